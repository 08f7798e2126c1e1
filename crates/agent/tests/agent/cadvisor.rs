//! The collector `containers` and a real cAdvisor (0.38) on this machine: the control groups that are there,
//! and one of known behaviour, come to the same families, labels, types and values. `DIFFERENCES` and
//! `docs/agent.md` hold what the two do otherwise, and nothing else is let through.

use crate::common::{Key, Page, gather, options, real_agent};
use skopos_model::MetricType;
use skopos_testkit::{
    peers,
    service::Service,
    wait::{poll, wait_until},
};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// What the two do otherwise. Each holds for the families whose names begin like this.
#[derive(Debug)]
enum Difference {
    /// The reference does not have them.
    New(&'static str),
    /// Only the reference has them.
    Missing(&'static str),
    /// The reference shows 0 where there is nothing to show.
    Zeros(&'static str),
    /// The reference shows them for fewer groups.
    More(&'static str),
    /// Their values are others.
    OtherValue(&'static str),
    /// Milliseconds that the reference shows as if they were nanoseconds.
    Milliseconds(&'static str),
    /// The reference shows them for file systems that are on no disk, too.
    OnDisks(&'static str),
}

use Difference::{Milliseconds, Missing, More, New, OnDisks, OtherValue, Zeros};

const DIFFERENCES: &[Difference] = &[
    New("container_cpu_cfs_burst_"),
    New("container_memory_events_"),
    New("container_memory_file_dirty_bytes"),
    New("container_memory_file_writeback_bytes"),
    New("container_memory_kernel_usage"),
    New("container_memory_pgscan_total"),
    New("container_memory_pgsteal_total"),
    New("container_memory_total_active_file_bytes"),
    New("container_memory_total_inactive_file_bytes"),
    New("container_memory_workingset_refault_"),
    New("container_oom_events_total"),
    New("container_pressure_"),
    New("machine_swap_bytes"),
    Missing("cadvisor_version_info"),
    Missing("container_referenced_bytes"),
    Missing("machine_nvm_"),
    Zeros("container_cpu_schedstat_"),
    Zeros("container_cpu_system_seconds_total"),
    Zeros("container_cpu_user_seconds_total"),
    Zeros("container_network_advance_tcp_stats_total"),
    Zeros("container_network_tcp"),
    Zeros("container_network_udp"),
    Zeros("container_sockets"),
    Zeros("container_threads"),
    More("container_network_"),
    More("container_ulimits_soft"),
    OtherValue("container_cpu_load_average_10s"),
    OtherValue("container_cpu_schedstat_"),
    OtherValue("container_network_advance_tcp_stats_total"),
    OtherValue("container_network_tcp"),
    OtherValue("container_network_udp"),
    OtherValue("container_start_time_seconds"),
    OtherValue("container_tasks_state"),
    Milliseconds("container_fs_io_time_seconds_total"),
    Milliseconds("container_fs_io_time_weighted_seconds_total"),
    Milliseconds("container_fs_read_seconds_total"),
    Milliseconds("container_fs_write_seconds_total"),
    OnDisks("container_fs_"),
];

/// What a shell does in the group of known behaviour: it burns, holds memory and opens files.
const WORK: &str = "read go; for ((i = 0; i < 200000; i++)); do :; done; printf -v held '%*s' 30000000 ''; \
                    exec 11</dev/null 12</dev/null; echo done; read end";

/// A control group with limits and a shell in it.
struct Known {
    path: String,
    folders: Vec<PathBuf>,
    shell: Child,
}

/// A group that one controller of version 1 has, and no other.
struct Lone(PathBuf);

impl Lone {
    /// `None` if there is no version 1, or this user may not make one.
    fn make() -> Option<Self> {
        let tree = Path::new("/sys/fs/cgroup/cpu");
        let folder = tree.join(format!("skopos-lone-{}", std::process::id()));
        (tree.is_dir() && fs::create_dir(&folder).is_ok()).then_some(Self(folder))
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

impl Known {
    /// `None` if this user may not make one.
    fn make() -> Option<Self> {
        let path = format!("/skopos-test-{}", std::process::id());
        let trees: Vec<PathBuf> = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            vec!["/sys/fs/cgroup".into()]
        } else {
            let names = ["cpu", "cpuacct", "memory", "blkio", "pids"];
            names
                .map(|name| Path::new("/sys/fs/cgroup").join(name))
                .into_iter()
                .filter(|p| p.exists())
                .collect()
        };
        let folders: Vec<PathBuf> = trees.iter().map(|tree| tree.join(&path[1..])).collect();
        let mut command = Command::new("bash");
        command.args(["-c", WORK]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let known = Self { path, folders, shell: command.spawn().unwrap() };
        for folder in &known.folders {
            fs::create_dir(folder).ok()?;
            for (file, limit) in [
                ("memory.limit_in_bytes", "268435456"),
                ("memory.max", "268435456"),
                ("cpu.shares", "512"),
                ("cpu.cfs_quota_us", "80000"),
                ("cpu.max", "80000 100000"),
                ("pids.max", "100"),
            ] {
                let file = folder.join(file);
                if file.exists() {
                    fs::write(file, limit).unwrap();
                }
            }
            fs::write(folder.join("cgroup.procs"), known.shell.id().to_string()).unwrap();
        }
        Some(known)
    }

    /// Has the shell do its work, and waits until it has.
    fn work(&mut self) {
        self.shell.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        let mut line = String::new();
        BufReader::new(self.shell.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "done\n");
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
        for folder in &self.folders {
            // The kernel takes a moment to see that nobody is in it any more.
            poll(Duration::from_secs(10), || {
                (fs::remove_dir(folder).is_ok() || !folder.exists()).then_some(())
            });
        }
    }
}

fn page(peer: &Service) -> Page {
    Page::parse(&peer.get("/metrics").body)
}

fn is_of_runtime(name: &str) -> bool {
    ["go_", "process_", "node_", "skopos_"].iter().any(|start| name.starts_with(start))
}

fn label<'a>((_, labels): &'a Key, name: &str) -> Option<&'a str> {
    labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
}

/// Whether one of the differences of a kind holds for a family.
fn is(family: &str, kind: impl Fn(&Difference) -> Option<&'static str>) -> bool {
    DIFFERENCES.iter().filter_map(kind).any(|start| family.starts_with(start))
}

macro_rules! known {
    ($kind:ident, $family:expr) => {
        is($family, |difference| if let $kind(start) = difference { Some(start) } else { None })
    };
}

fn is_on_disk(key: &Key) -> bool {
    let device = label(key, "device").unwrap_or_default();
    fs::metadata(device).is_ok_and(|found| found.file_type().is_block_device())
}

/// Families and their types.
fn compare_families(theirs: &Page, ours: &Page) {
    for (name, kind) in theirs.types.iter().filter(|(name, _)| !is_of_runtime(name)) {
        let has_some = theirs.samples.iter().any(|((family, _), value)| family == name && *value != 0.0);
        if !known!(Missing, name) && (has_some || !known!(Zeros, name)) {
            assert_eq!(ours.types.get(name), Some(kind), "the type of {name}");
        }
    }
    for name in ours.types.keys().filter(|name| !is_of_runtime(name)) {
        assert!(theirs.types.contains_key(name) || known!(New, name), "{name} is not in the reference");
        assert!(!known!(Missing, name), "{name} is there after all");
    }
}

/// The labels of the samples of these groups and of the machine.
fn compare_labels(ids: &BTreeSet<String>, theirs: &Page, ours: &Page) {
    let is_one = |key: &Key| {
        let is_shown = !is_of_runtime(&key.0) && !known!(New, &key.0) && !known!(Missing, &key.0);
        is_shown && label(key, "id").is_none_or(|id| ids.contains(id))
    };
    for (key, value) in theirs.samples.iter().filter(|(key, _)| is_one(key)) {
        let is_let_through =
            (known!(Zeros, &key.0) && *value == 0.0) || (known!(OnDisks, &key.0) && !is_on_disk(key));
        assert!(
            is_let_through || ours.samples.contains_key(key),
            "{key:?} {value} is in the reference alone"
        );
    }
    for (key, value) in ours.samples.iter().filter(|(key, _)| is_one(key)) {
        let is_known = known!(More, &key.0) || theirs.samples.contains_key(key);
        assert!(is_known, "{key:?} {value} is not in the reference");
    }
}

/// How far two reads of a gauge may lie apart on a machine that works: a part, and something beside.
fn room(family: &str) -> (f64, f64) {
    let moving = ["container_memory_", "container_fs_usage", "container_fs_inodes_free", "container_fs_io"];
    let counted = ["container_processes", "container_threads", "container_file_d", "container_sockets"];
    if moving.iter().any(|start| family.starts_with(start)) {
        (0.5, 2e9)
    } else if counted.iter().any(|start| family.starts_with(start)) {
        (1.0, 1000.0)
    } else if family == "container_last_seen" {
        (0.0, 10.0)
    } else {
        (0.0, 0.0)
    }
}

/// What all groups have, within the time between two reads.
fn compare_values(before: &Page, ours: &Page, after: &Page) {
    let mut compared = 0;
    for (key, our) in &ours.samples {
        let of = |page: &Page| page.samples.get(key).copied();
        let (Some(first), Some(last)) = (of(before), of(after)) else { continue };
        if is_of_runtime(&key.0) || known!(OtherValue, &key.0) {
            continue;
        }
        let unit = if known!(Milliseconds, &key.0) { 1e6 } else { 1.0 };
        let is_counter = ours.types.get(&key.0) == Some(&MetricType::Counter);
        let (part, beside) = if is_counter { (0.0, 0.0) } else { room(&key.0) };
        let (low, high) = (first.min(last) * unit, first.max(last) * unit);
        let room = part * high.abs() + beside + 1e-9 * high.abs();
        assert!(
            (low - room..=high + room).contains(our),
            "{key:?}: {first} before, {our} ours, {last} after"
        );
        compared += 1;
    }
    assert!(compared > 60, "only {compared} values were compared");
}

/// What the group of known behaviour has, which stands still.
fn compare_still(id: &str, theirs: &Page, ours: &Page) {
    let mut compared = 0;
    for (key, our) in ours.samples.iter().filter(|(key, _)| label(key, "id") == Some(id)) {
        let Some(their) = theirs.samples.get(key) else { continue };
        if known!(OtherValue, &key.0) || key.0 == "container_last_seen" {
            continue;
        }
        // The kernel adds up the counters of memory by CPU every few seconds.
        let room = if key.0.starts_with("container_memory_") { 2e6 } else { 1e-6 };
        assert!((their - our).abs() <= room, "{key:?}: {their}, ours {our}");
        compared += 1;
    }
    assert!(compared > 20, "only {compared} values were compared");
    let of = |family: &str| ours.value(family, &[("id", id)]).unwrap();
    for name in ["run_seconds", "runqueue_seconds", "run_periods"] {
        let family = format!("container_cpu_schedstat_{name}_total");
        let their = theirs.value(&family, &[("id", id)]).unwrap();
        let our = of(&family);
        // Of groups that no runtime made it may know no processes.
        assert!(our > 0.0 && (their == 0.0 || (their - our).abs() < 1e-6), "{family}: {their}, ours {our}");
    }
    assert_eq!(of("container_processes"), 1.0);
    assert_eq!(of("container_spec_memory_limit_bytes"), 268_435_456.0);
    assert!(of("container_memory_rss") > 25e6);
    assert!(of("container_file_descriptors") >= 5.0);
}

/// The seconds of CPU that a page shows of a group.
fn cpu_s(page: &Page, id: &str) -> f64 {
    let is_it = |key: &Key| key.0 == "container_cpu_usage_seconds_total" && label(key, "id") == Some(id);
    page.samples.iter().filter(|(key, _)| is_it(key)).map(|(_, value)| value).sum()
}

#[test]
fn control_groups_are_what_cadvisor_makes_of_them() {
    let _lone = Lone::make();
    let mut known = Known::make().filter(|known| known.folders.iter().all(|folder| folder.exists()));
    let flags = [
        "-housekeeping_interval=1s",
        "-allow_dynamic_housekeeping=false",
        // By default it leaves much out; accelerators are what this machine does not have.
        "-disable_metrics=accelerator",
    ];
    let Some(peer) = peers::cadvisor(&flags) else { return };
    let agent = real_agent(options(&[
        "--collector.disable-defaults",
        "--collector.containers",
        "--collector.containers.advtcp",
        "--collector.containers.percpu",
        "--collector.containers.connections",
        "--collector.containers.load",
        "--collector.containers.numa",
        "--collector.containers.schedstat",
        "--collector.containers.sockets",
        "--collector.containers.topology",
    ]));
    if let Some(known) = &mut known {
        known.work();
    }
    // It looks at a group once a second, and tells what it saw then.
    let limit = Duration::from_secs(60);
    let before = wait_until("cAdvisor to see the groups", limit, || {
        let (theirs, ours) = (page(&peer), gather(&agent));
        let id = known.as_ref().map_or("/", |known| known.path.as_str());
        let (their, our) = (cpu_s(&theirs, id), cpu_s(&ours, id));
        let is_still = known.is_none() || (their - our).abs() < 1e-6;
        (their > 0.0 && is_still).then_some(theirs)
    });
    let ours = gather(&agent);
    let is_past = |theirs: &Page| {
        let counters =
            ours.samples.iter().filter(|(key, _)| ours.types.get(&key.0) == Some(&MetricType::Counter));
        let mut both =
            counters.filter_map(|(key, our)| theirs.samples.get(key).map(|their| (key, our, their)));
        both.all(|(key, our, their)| known!(Milliseconds, &key.0) || their >= our)
    };
    let later = poll(Duration::from_secs(20), || Some(page(&peer)).filter(is_past));
    let after = later.unwrap_or_else(|| page(&peer));

    let ids = |page: &Page| -> BTreeSet<String> {
        let seen = page.samples.keys().filter(|(family, _)| family == "container_last_seen");
        seen.map(|key| label(key, "id").unwrap().to_owned()).collect()
    };
    let both: BTreeSet<String> = ids(&before).intersection(&ids(&after)).cloned().collect();
    let stay: BTreeSet<String> = both.intersection(&ids(&ours)).cloned().collect();
    assert_eq!(both, stay, "groups that were there all the time");
    compare_families(&before, &ours);
    compare_labels(&stay, &before, &ours);
    compare_values(&before, &ours, &after);
    match &known {
        Some(known) => compare_still(&known.path, &before, &ours),
        None => eprintln!("WARNING: no control group could be made; NONE of known behaviour was compared"),
    }
}

#[test]
fn the_differences_are_written_down() {
    let text = include_str!("../../../../docs/agent.md");
    for difference in DIFFERENCES {
        let (New(name) | Missing(name) | Zeros(name) | More(name) | OtherValue(name) | Milliseconds(name)
        | OnDisks(name)) = difference;
        assert!(text.contains(&format!("`{name}")), "docs/agent.md does not name `{name}`");
    }
}
