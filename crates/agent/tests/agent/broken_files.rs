//! Machines whose files are cut at any length, have flipped bits, or are full of nonsense: no panic, no page
//! that cannot be read, and no number that the whole file does not have.

use crate::common::{self, Page, copy_below, entries_in, here, options, seeded, still_agent, still_agent_of};
use skopos_agent::{NodeAgent, NodeOptions, collector_names};
use skopos_base::rng::Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// What makes collectors read more than they do by default. One line a flag, sorted.
const FLAGS: &[&str] = &[
    "--collector.bcache.priorityStats",
    "--collector.cpu.info",
    "--collector.cpu.info.flags-include=.",
    "--collector.diskstats.device-exclude=",
    "--collector.netdev.label-ifalias",
    "--collector.netstat.fields=.*",
    "--collector.pcidevice.names",
    "--collector.perf.tracepoint=sched:sched_switch",
    "--collector.stat.softirq",
    "--collector.sysctl.include-info=kernel.seccomp.actions_avail",
    "--collector.sysctl.include=fs.dentry-state",
    "--collector.sysctl.include=kernel.pid_max",
    "--collector.vmstat.fields=.*",
    "--no-collector.arp.netlink",
    "--no-collector.netdev.netlink",
];

/// Families that sum or count what their file says: of a table that was cut between two lines, they are less.
const SUMS: &[&str] = &[
    "namedprocess_",
    "node_arp_entries",
    "node_ipvs_backend_",
    "node_md_blocks_synced",
    "node_md_state",
    "node_nf_conntrack_stat_",
    "node_udp_queues",
];

/// No more places than this are broken in one file.
const MAX_PLACES: usize = 250;

/// The tests of each machine in `tests/fixtures`.
macro_rules! machines {
    ($($machine:ident),+ $(,)?) => {
        const MACHINES: &[&str] = &[$(stringify!($machine)),+];

        mod broken {
            $(#[test]
            fn $machine() {
                super::every_file_is_broken(stringify!($machine));
            })+
        }
    };
}

machines! {
    devices,
    laptop,
    metal,
    numa,
    old,
    rack,
    storage,
}

#[test]
fn every_machine_is_broken() {
    let folders = fs::read_dir(here("fixtures")).unwrap().map(|entry| entry.unwrap().file_name());
    let folders: BTreeSet<String> = folders.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(folders, MACHINES.iter().map(|name| (*name).to_owned()).collect());
}

/// A copy of the machine whose files may be broken.
fn copy(machine: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_below(&here("fixtures").join(machine), folder.path());
    folder
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    entries_in(folder).into_iter().filter(|name| !folder.join(name).is_symlink()).collect()
}

fn gather(agent: &NodeAgent) -> Page {
    let page = common::gather(agent);
    let collectors = page.samples.keys().filter(|(name, _)| name == "node_scrape_collector_success").count();
    assert_eq!(collectors, agent.enabled().count(), "every collector says how it went");
    page
}

/// The command line of these collectors, with all that they can be asked for.
fn line<'a>(collectors: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut line: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
    line.push("--collector.disable-defaults".into());
    line.extend(collectors.into_iter().map(|name| format!("--collector.{name}")));
    line
}

fn agent(folder: &Path, line: &[String]) -> NodeAgent {
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    still_agent(folder, &line)
}

/// The collectors that read each file, found out by changing it.
fn readers(folder: &Path) -> BTreeMap<PathBuf, BTreeSet<&'static str>> {
    const PROBES: &[&str] = &["", "7654321\n"];
    // Those that find nothing here are not asked again.
    let mut owners: BTreeMap<String, &'static str> = BTreeMap::new();
    for name in collector_names() {
        let families = gather(&agent(folder, &line([name]))).types.into_keys();
        owners.extend(families.filter(|family| is_of_a_collector(family)).map(|family| (family, name)));
    }
    let found: BTreeSet<&str> = owners.values().copied().collect();
    let every = parsed(&line(found.iter().copied()));
    let read = || gather(&still_agent_of(folder, every.clone()));
    let whole = read();
    let mut readers_of = BTreeMap::new();
    for name in files_in(folder) {
        let path = folder.join(&name);
        let content = fs::read(&path).unwrap();
        let mut readers = BTreeSet::new();
        for probe in PROBES {
            fs::write(&path, probe).unwrap();
            for (family, labels) in changed(&whole, &read()) {
                if let Some(owner) = owners.get(&family) {
                    readers.insert(*owner);
                } else if family == "node_scrape_collector_success" {
                    readers.extend(found.get(labels[0].1.as_str()));
                }
            }
        }
        fs::write(&path, &content).unwrap();
        // Of some files it matters only whether they exist.
        if !readers.is_empty() {
            readers_of.insert(name, readers);
        }
    }
    readers_of
}

fn parsed(line: &[String]) -> NodeOptions {
    options(&line.iter().map(String::as_str).collect::<Vec<_>>())
}

fn is_of_a_collector(family: &str) -> bool {
    !family.starts_with("node_scrape_collector_") && !family.ends_with("_build_info")
}

/// The samples that only one of the two has, or that differ.
fn changed(one: &Page, other: &Page) -> Vec<common::Key> {
    let differs = |key: &&common::Key| one.samples.get(*key) != other.samples.get(*key);
    one.samples.keys().chain(other.samples.keys()).filter(differs).cloned().collect()
}

/// Where the agent panicked. A collector that does fails alone, so that its page does not tell.
static PANICS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn watch_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        if place.contains("agent/src") {
            PANICS.lock().unwrap().insert(place);
        }
        before(panic);
    }));
}

/// Breaks every file of the machine, for an agent that reads it anew each time: agents remember.
fn every_file_is_broken(machine: &str) {
    watch_panics();
    let rng = seeded();
    let folder = copy(machine);
    for (name, readers) in readers(folder.path()) {
        let options = parsed(&line(readers));
        let path = folder.path().join(&name);
        let file = Broken {
            is_table: name.starts_with("proc"),
            content: fs::read(&path).unwrap(),
            path,
            read: &|| gather(&still_agent_of(folder.path(), options.clone())),
        };
        file.gives_no_number_that_the_whole_does_not_have_when_cut();
        file.gives_a_page_when_bits_are_flipped();
        file.gives_a_page_when_full_of_nonsense(&rng);
        fs::write(&file.path, &file.content).unwrap();
    }
    assert_eq!(*PANICS.lock().unwrap(), BTreeSet::new(), "places of panics");
}

/// A file that is broken in all ways, and how to read what has become of the machine.
struct Broken<'a> {
    path: PathBuf,
    content: Vec<u8>,
    /// Whether it ends with a line feed unless it was cut.
    is_table: bool,
    read: &'a dyn Fn() -> Page,
}

impl Broken<'_> {
    /// The places at which the file is broken: all of them, unless they are too many.
    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.content.len()).step_by(self.content.len().div_ceil(MAX_PLACES).max(1))
    }

    fn gives_no_number_that_the_whole_does_not_have_when_cut(&self) {
        let whole = (self.read)();
        for len in self.places() {
            fs::write(&self.path, &self.content[..len]).unwrap();
            let page = (self.read)();
            for (key, value) in page.samples.iter().filter(|_| self.is_table) {
                // Descriptions are texts: a part of one is less, not wrong.
                let is_exempt = key.0 == "node_scrape_collector_success"
                    || key.0.ends_with("_info")
                    || SUMS.iter().any(|family| key.0.starts_with(family));
                if !is_exempt {
                    assert_eq!(whole.samples.get(key), Some(value), "{:?} cut at {len}: {key:?}", self.path);
                }
            }
        }
    }

    fn gives_a_page_when_bits_are_flipped(&self) {
        for at in self.places() {
            let mut broken = self.content.clone();
            broken[at] ^= 1 << (at % 8);
            fs::write(&self.path, &broken).unwrap();
            (self.read)();
        }
    }

    fn gives_a_page_when_full_of_nonsense(&self, rng: &Rng) {
        // Much can go wrong with a table, and little with a number.
        const MAX_ROUNDS: usize = 25;
        for _ in 0..(self.content.len() / 8 + 2).min(MAX_ROUNDS) {
            let mut broken = self.content.clone();
            for _ in 0..=rng.below(4) {
                break_once(&mut broken, rng);
            }
            fs::write(&self.path, &broken).unwrap();
            (self.read)();
        }
    }
}

/// Changes a byte, or puts one in, or doubles a line, or takes a piece out.
fn break_once(content: &mut Vec<u8>, rng: &Rng) {
    const ODD: &[u8] = b"\0\n\t :=-9\\\"{}\xff\xc3";
    let at = rng.below(content.len() as u64 + 1) as usize;
    let odd = ODD[rng.below(ODD.len() as u64) as usize];
    match rng.below(4) {
        0 if at < content.len() => content[at] = odd,
        1 => content.insert(at, odd),
        2 => {
            let line = content[at..].split_inclusive(|b| *b == b'\n').nth(1).unwrap_or_default().to_vec();
            content.splice(content.len().., line);
        }
        _ => {
            let end = (at + 1 + rng.below(20) as usize).min(content.len());
            content.drain(at.min(end)..end);
        }
    }
}

#[test]
fn a_file_that_is_missing_costs_only_those_that_read_it() {
    let folder = copy("metal");
    for (name, collector) in [
        ("proc/1/mountinfo", "filesystem"),
        ("proc/cpuinfo", "cpu cpufreq"),
        ("proc/diskstats", "diskstats"),
        ("proc/loadavg", "loadavg"),
        ("proc/meminfo", "meminfo"),
        ("proc/net/dev", "netdev"),
        ("proc/sys/fs/file-nr", "filefd"),
        ("proc/vmstat", "vmstat"),
        ("etc/os-release", "os"),
    ] {
        let line = line(collector_names());
        let success = || {
            let page = gather(&agent(folder.path(), &line));
            let is_success = |(family, _): &common::Key| family == "node_scrape_collector_success";
            let all = page.samples.into_iter().filter(|(key, _)| is_success(key));
            all.map(|((_, labels), value)| (labels[0].1.clone(), value)).collect::<BTreeMap<_, _>>()
        };
        let mut expected = success();
        expected.extend(collector.split(' ').map(|collector| (collector.to_owned(), 0.0)));
        let path = folder.path().join(name);
        let content = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(success(), expected, "{name}");
        fs::write(&path, &content).unwrap();
    }
}
