//! What the tests share: a machine that stands still, agents on it, copies of machines that may be broken,
//! and reading pages.

use crate::answers;
use jiff::tz::TimeZone;
use skopos_agent::{
    AgentEnv, BtrfsDevice, BtrfsSystem, BuildInfo, ClockState, CollectorArgs, Host, NodeAgent, NodeOptions,
    Paths, Uname, Usage, netlink,
    perf_events::{Count, Event},
};
use skopos_base::{clock::Clock, env::Env, rng::Rng};
use skopos_exposition::{Entry, Format, Parser};
use skopos_model::{LabelsBuilder, MetricType, name::METRIC_NAME};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

#[derive(Debug, clap::Parser)]
struct Program {
    #[command(flatten)]
    collectors: CollectorArgs,
}

/// The options of a command line.
pub(crate) fn options(line: &[&str]) -> NodeOptions {
    let program = <Program as clap::Parser>::try_parse_from(std::iter::once(&"agent").chain(line))
        .expect("a right command line");
    program.collectors.options().expect("flags that fit together")
}

/// An agent on the machine in `folder`, whose clock stands still.
pub(crate) fn still_agent(folder: &Path, line: &[&str]) -> NodeAgent {
    still_agent_of(folder, options(line))
}

/// As `still_agent`, of options that were read before.
pub(crate) fn still_agent_of(folder: &Path, mut options: NodeOptions) -> NodeAgent {
    options.paths = Paths::below(folder.to_str().unwrap());
    options.time_zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let host = Arc::new(StillHost { root: folder.to_str().unwrap().to_owned() });
    let env = AgentEnv { clock: Arc::new(StillClock), spawner: Env::real().spawner, host };
    NodeAgent::new(options, BuildInfo { version: "1.2.3".into(), revision: "abc".into() }, env)
}

/// An agent on this machine.
pub(crate) fn real_agent(options: NodeOptions) -> NodeAgent {
    let Env { clock, spawner, .. } = Env::real();
    NodeAgent::new(
        options,
        BuildInfo::default(),
        AgentEnv { clock, spawner, host: Arc::new(skopos_agent::ThisHost) },
    )
}

/// A clock that shows one moment.
#[derive(Debug)]
struct StillClock;

impl Clock for StillClock {
    fn wall_ms(&self) -> i64 {
        1_790_000_000_123
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

/// A system that always says the same.
#[derive(Debug)]
struct StillHost {
    root: String,
}

impl Host for StillHost {
    fn uname(&self) -> Uname {
        Uname {
            sysname: "Linux".into(),
            nodename: "metal".into(),
            release: "6.1.0".into(),
            version: "#1 SMP \"test\"".into(),
            machine: "x86_64".into(),
            domainname: "(none)".into(),
        }
    }

    fn usage(&self, path: &str) -> io::Result<Usage> {
        match path.strip_prefix(&self.root) {
            None => Err(io::Error::from_raw_os_error(2)),
            Some("/mnt/broken") => Err(io::Error::from_raw_os_error(13)),
            Some(mount_point) => Ok(Usage {
                block_bytes: 4096,
                blocks: 1000 + mount_point.len() as u64,
                blocks_free: 500,
                blocks_available: 450,
                inodes: 300,
                inodes_free: 200,
            }),
        }
    }

    /// One of the two file systems of the machine `devices`; nobody may look into another.
    fn btrfs(&self, mount_point: &str) -> io::Result<BtrfsSystem> {
        let device = |last: u8, path: &str, errors| BtrfsDevice {
            uuid: [0x5a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, last],
            path: path.into(),
            bytes: 10_737_418_240,
            used_bytes: 2_147_483_648,
            errors,
        };
        match mount_point.strip_prefix(&self.root) {
            Some("/srv data") => Ok(BtrfsSystem {
                uuid: *b"\x0a\xbb\x23\xa9\x57\x9b\x43\xe6\xad\x30\x22\x7e\xf4\x7f\xcb\x9d",
                devices: vec![
                    device(1, "/dev/loop25", [0; 5]),
                    device(2, "/rootfs/dev/loop26", [1, 2, 3, 4, 5]),
                ],
            }),
            _ => Err(io::Error::from_raw_os_error(13)),
        }
    }

    fn count_events(&self, event: &Event, cpu: usize) -> io::Result<Box<dyn Count>> {
        answers::count_events(event, cpu)
    }

    fn netlink(&self, request: netlink::Request, answer: &mut Vec<u8>) -> io::Result<()> {
        answer.clear();
        match request {
            netlink::Request::Links => {
                for (index, name) in [(1, "lo"), (2, "eno1"), (7, "bond0")] {
                    push_link(answer, index, name);
                }
            }
            netlink::Request::Addresses => {
                push_address(answer, 1, 8, &[127, 0, 0, 1]);
                push_address(answer, 2, 24, &[192, 0, 2, 17]);
                push_address(answer, 7, 64, &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
                push_address(answer, 99, 24, &[192, 0, 2, 18]);
            }
            netlink::Request::Routes => push_routes(answer),
            netlink::Request::Neighbours => {
                for (index, family, state) in
                    [(2, 2, 2), (2, 2, 4), (2, 10, 2), (7, 2, 8), (1, 2, 0x40), (99, 2, 2)]
                {
                    let mut body = vec![family, 0, 0, 0];
                    body.extend_from_slice(&u32::to_ne_bytes(index));
                    body.extend_from_slice(&u16::to_ne_bytes(state));
                    push_message(answer, 28, &[body, vec![0, 1]].concat());
                }
            }
            other => return answers::netlink(other, answer),
        }
        Ok(())
    }

    fn clock_state(&self) -> io::Result<ClockState> {
        Ok(ClockState {
            is_synchronised: true,
            status: 0x2001,
            offset: -1_500_000,
            frequency: 65536 * 250,
            max_error: 2500,
            estimated_error: 5,
            constant: 7,
            tick: 10_000,
            pps_shift: 4,
            pps_jitters: 1,
            tai_offset: 37,
            ..ClockState::default()
        })
    }

    fn driver_counters(&self, device: &str) -> io::Result<Vec<(String, u64)>> {
        let counter = |(name, value): &(&str, u64)| ((*name).to_owned(), *value);
        let counters: &[(&str, u64)] = match device {
            "eno1" => &[("rx_bytes", 7), ("rx_queue_0.drops", 1), ("rx_queue_0 drops", 2), ("tx_ucast", 3)],
            "bond0" => &[("rx_bytes", 70)],
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(counters.iter().map(counter).collect())
    }
}

pub(crate) fn push_message(answer: &mut Vec<u8>, kind: u16, body: &[u8]) {
    answer.extend_from_slice(&(16 + body.len() as u32).to_ne_bytes());
    answer.extend_from_slice(&kind.to_ne_bytes());
    answer.extend_from_slice(&[0; 10]);
    answer.extend_from_slice(body);
    answer.resize(answer.len().next_multiple_of(4), 0);
}

pub(crate) fn push_attribute(body: &mut Vec<u8>, kind: u16, content: &[u8]) {
    body.extend_from_slice(&(4 + content.len() as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(content);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A link whose counters are 1, 2, 3 and so on, times its index.
fn push_link(answer: &mut Vec<u8>, index: u32, name: &str) {
    let mut body = vec![0; 16];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    push_attribute(&mut body, 3, format!("{name}\0").as_bytes());
    let counters = (1..=24_u64).flat_map(|i| (i * u64::from(index)).to_ne_bytes());
    push_attribute(&mut body, 23, &counters.collect::<Vec<u8>>());
    push_message(answer, 16, &body);
}

fn push_address(answer: &mut Vec<u8>, index: u32, prefix_bits: u8, address: &[u8]) {
    let mut body = vec![2, prefix_bits, 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    push_attribute(&mut body, 1, address);
    push_message(answer, 20, &body);
}

/// A default route of IPv4, a network of this machine, a route over two ways, and the address of the machine
/// itself, which is no route to others.
fn push_routes(answer: &mut Vec<u8>) {
    let body = |family, prefix_bits, protocol, kind| {
        vec![family, prefix_bits, 0, 0, 254, protocol, 0, kind, 0, 0, 0, 0]
    };
    let mut gateway = body(2, 0, 3, 1);
    push_attribute(&mut gateway, 5, &[192, 0, 2, 1]);
    push_attribute(&mut gateway, 4, &2_u32.to_ne_bytes());
    push_attribute(&mut gateway, 6, &100_u32.to_ne_bytes());
    push_message(answer, 24, &gateway);
    let mut network = body(2, 24, 2, 1);
    push_attribute(&mut network, 1, &[192, 0, 2, 0]);
    push_attribute(&mut network, 7, &[192, 0, 2, 17]);
    push_attribute(&mut network, 4, &2_u32.to_ne_bytes());
    push_message(answer, 24, &network);
    let mut spread = body(10, 64, 77, 1);
    push_attribute(&mut spread, 1, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut hops = Vec::new();
    for (link, weight) in [(2_u32, 0), (7, 9)] {
        hops.extend_from_slice(&16_u16.to_ne_bytes());
        hops.extend_from_slice(&[0, weight]);
        hops.extend_from_slice(&link.to_ne_bytes());
        push_attribute(&mut hops, 5, &[192, 0, 2, weight]);
    }
    push_attribute(&mut spread, 9, &hops);
    push_message(answer, 24, &spread);
    let mut own = body(2, 32, 2, 2);
    push_attribute(&mut own, 1, &[192, 0, 2, 17]);
    push_message(answer, 24, &own);
}

/// A page, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The types of the families.
    pub(crate) types: BTreeMap<String, MetricType>,
    /// The samples, by name and labels.
    pub(crate) samples: BTreeMap<Key, f64>,
}

/// A sample's name and labels, sorted.
pub(crate) type Key = (String, Vec<(String, String)>);

impl Page {
    /// Reads a page of the classic format as a scrape does, and more strictly: every sample belongs to
    /// the family that was begun last, and nothing stands twice.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut page = Self::default();
        let mut current = String::new();
        for entry in Parser::new(Format::Text, text) {
            match entry.unwrap() {
                Entry::Type { name, metric_type } => {
                    let before = page.types.insert(name.to_string(), metric_type);
                    assert_eq!(before, None, "{name} is begun twice");
                    current = name.into_owned();
                }
                Entry::Sample(sample) => {
                    let name = sample.series.metric_name().into_owned();
                    let suffix = ["_sum", "_count", "_bucket"].into_iter().find(|end| name.ends_with(end));
                    let base = name.trim_end_matches(suffix.unwrap_or_default());
                    assert!(
                        name == current || base == current,
                        "{:?} stands outside of its family",
                        sample.series
                    );
                    let mut labels = LabelsBuilder::default();
                    sample.series.labels_into(&mut labels).unwrap();
                    let labels = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
                    let mut labels: Vec<_> =
                        labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                    labels.sort();
                    let before = page.samples.insert((name, labels), sample.value);
                    assert_eq!(before, None, "{:?} stands twice", sample.series);
                }
                _ => {}
            }
        }
        page
    }

    /// The value of the one sample of `name` whose labels include these.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |found: &[(String, String)], (name, value): &(&str, &str)| {
            found.iter().any(|(n, v)| n == name && v == value)
        };
        let fits = |found: &[(String, String)]| labels.iter().all(|label| has(found, label));
        let mut found = self.samples.iter().filter(|((family, found), _)| family == name && fits(found));
        let first = found.next().map(|(_, value)| *value);
        assert!(found.next().is_none(), "{name}{labels:?} is not one sample");
        first
    }
}

/// The page of one scrape.
pub(crate) fn gather(agent: &NodeAgent) -> Page {
    let mut out = Vec::new();
    agent.gather(Format::Text, &mut out);
    Page::parse(&out)
}

/// The text of the page of one scrape.
pub(crate) fn text(agent: &NodeAgent) -> String {
    let mut out = Vec::new();
    agent.gather(Format::Text, &mut out);
    String::from_utf8(out).unwrap()
}

/// Whether the collector could read the machine.
pub(crate) fn succeeded(page: &Page, collector: &str) -> bool {
    page.value("node_scrape_collector_success", &[("collector", collector)]) == Some(1.0)
}

/// What these tests have beside their code.
pub(crate) fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Compares a page with the one that is kept in `golden`, or keeps it if `UPDATE_GOLDEN` says so.
pub(crate) fn check_golden(name: &str, given: &str) {
    let path = here("golden").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, given).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    for (i, (given, kept)) in given.lines().zip(kept.lines()).enumerate() {
        assert_eq!(given, kept, "{name}: line {}", i + 1);
    }
    assert_eq!(given.len(), kept.len(), "{name}");
}

/// The files and links below `folder`, by their names from there, sorted.
pub(crate) fn entries_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Copies the machine in `from`, with its links and empty folders.
pub(crate) fn copy_below(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else if kind.is_dir() {
            copy_below(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Chance for a test, from a seed that it prints, or from the one in `SEED`.
#[expect(clippy::print_stdout, reason = "random tests print their seed")]
pub(crate) fn seeded() -> Rng {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| Env::real().rng.next_u64());
    println!("SEED={seed}");
    Rng::from_seed(seed)
}

/// Removes a file, cuts it, or fills it with nonsense. `false` if it is not there any more.
pub(crate) fn break_file(path: &Path, rng: &Rng) -> bool {
    let Ok(mut content) = fs::read(path) else { return false };
    let at = rng.below(content.len() as u64 + 1) as usize;
    match rng.below(4) {
        0 => fs::remove_file(path).unwrap(),
        1 => fs::write(path, &content[..at]).unwrap(),
        2 => fs::write(path, b"18446744073709551615 -1 \xff\n\n:=\n").unwrap(),
        _ => {
            content.insert(at, rng.below(256) as u8);
            fs::write(path, content).unwrap();
        }
    }
    true
}
