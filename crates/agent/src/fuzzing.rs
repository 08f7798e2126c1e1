//! What fuzz targets see of this crate: collectors on machines made of the bytes, and the texts that others
//! write. Each check panics when something does not hold, and says whether the bytes were taken as sound.
//! Built with the feature `fuzzing` alone; `crates/fuzz` has the table of targets. Never part of the product.
#![allow(missing_docs, reason = "seen by `crates/fuzz` alone, whose table says what each is")]

use crate::{
    collector::Context,
    collectors, containers,
    error::CollectError,
    foreign,
    host::{Host, Stream, Uname, Usage},
    netlink,
    options::NodeOptions,
    output::Output,
    process_groups::ProcessRules,
    registry::{AgentEnv, Scrape, Selection},
    source::Paths,
    system_calls, task_exits,
};
use skopos_base::{
    clock::Clock,
    spawn::{Joined, Spawner, Stop},
};
use skopos_exposition::{Entry, Format, Parser};
use skopos_model::LabelsBuilder;
use std::{
    cell::LazyCell,
    collections::{BTreeSet, HashSet},
    fs,
    io::{self, Cursor, Read, Write},
    path::{Component, Path},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

/// The line that begins a file: this, its path, and this again turned round.
const FILE_BEGIN: &[u8] = b"-- ";
const FILE_BEGIN_END: &[u8] = b" --";
/// No more files than this are looked at.
const MOST_FILES: usize = 24;
/// What the kernel answers to whatever is asked over netlink, and what a service says over its socket.
const NETLINK: &str = "host/netlink";
const SOCKET: &str = "host/socket";
/// Files of metrics.
const METRICS: &str = "metrics";

thread_local! {
    /// Where the machine is made.
    static FOLDER: LazyCell<TempDir> = const { LazyCell::new(|| {
        let in_memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        in_memory.expect("invariant: there is a folder for files that pass")
    }) };
    static OPTIONS: LazyCell<NodeOptions> = const { LazyCell::new(NodeOptions::default) };
}

/// A machine: the name of a collector in a line, then files, each behind a line `-- path --`.
#[derive(Debug)]
struct Machine<'a> {
    collector: &'static str,
    files: Vec<(&'a str, Vec<u8>)>,
}

/// A collector of files gives the same page each time, which can be read, and in which nothing stands twice;
/// or it fails.
pub fn collector(bytes: &[u8]) -> bool {
    let Some(machine) = machine_of(bytes) else { return false };
    FOLDER.with(|folder| {
        let folder = folder.path();
        machine.write(folder).expect("invariant: files that pass can be written");
        let page = |format| machine.page(folder, format).ok();
        let text = page(Format::Text);
        assert_eq!(text, page(Format::Text), "{} gives two pages of one machine", machine.collector);
        if let Some(text) = &text {
            check_page(Format::Text, text);
        }
        if let Some(open_metrics) = page(Format::OpenMetrics) {
            check_page(Format::OpenMetrics, &[&open_metrics[..], b"# EOF\n"].concat());
        }
        text.is_some()
    })
}

/// Texts of others, told apart by the first byte: answers of runtimes of containers, files of rules, parts of
/// pages, what the kernel tells of tasks and of memory.
pub fn texts(bytes: &[u8]) -> bool {
    match bytes {
        [b'a', answer @ ..] => containers::fuzz_answer(answer),
        [b'r', rules @ ..] => {
            std::str::from_utf8(rules).is_ok_and(|rules| ProcessRules::parse(rules).is_ok())
        }
        [b'p', pages @ ..] => beside(pages),
        [b's', areas @ ..] => system_calls::fuzz(areas),
        [b't', messages @ ..] => task_exits::fuzz(messages),
        _ => false,
    }
}

/// A page and a part, with a NUL between: nothing of the page changes, and of the part nothing is shown that
/// the page has.
fn beside(pages: &[u8]) -> bool {
    let Some(end) = memchr::memchr(0, pages) else { return false };
    let (own, part) = (&pages[..end], &pages[end + 1..]);
    let mut page = own.to_vec();
    let scrape =
        Scrape { format: Format::Text, selection: Selection::default(), timeout: None, reserved: &["up"] };
    let left_out = foreign::append(&mut page, part, &scrape);
    assert!(page.starts_with(own));
    let shown = &page[own.len()..];
    assert!(shown.len() <= part.len());
    assert!(!left_out.is_empty() || shown == part);
    let own: HashSet<&[u8]> = foreign::types(own).collect();
    for family in foreign::types(shown).filter(|family| !family.starts_with(b"node_textfile_")) {
        assert!(!own.contains(family), "{} stands twice", String::from_utf8_lossy(family));
    }
    !left_out.is_empty()
}

fn machine_of(bytes: &[u8]) -> Option<Machine<'_>> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let name = lines.next()?.trim_ascii_end();
    let collector = collectors::names().find(|known| known.as_bytes() == name)?;
    let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
    for line in lines {
        let path =
            line.strip_prefix(FILE_BEGIN).and_then(|rest| rest.trim_ascii_end().strip_suffix(FILE_BEGIN_END));
        match path.and_then(|path| std::str::from_utf8(path).ok()).filter(|path| is_below(path)) {
            Some(_) if files.len() == MOST_FILES => break,
            Some(path) => files.push((path, Vec::new())),
            None => files.last_mut()?.1.extend_from_slice(line),
        }
    }
    Some(Machine { collector, files })
}

/// Whether a path stays below the machine's folder.
fn is_below(path: &str) -> bool {
    path.len() < 256
        && !path.contains('\0')
        && Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(name) if name.len() < 128))
}

impl Machine<'_> {
    /// Makes the folder this machine. A file in whose place there is a folder is left out.
    fn write(&self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        for (path, content) in &self.files {
            let path = folder.join(path);
            if path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()) {
                let _ = fs::write(path, content);
            }
        }
        Ok(())
    }

    /// What a new collector writes about the machine.
    fn page(&self, folder: &Path, format: Format) -> Result<Vec<u8>, CollectError> {
        let folder = folder.to_str().expect("invariant: the folder was named here");
        let file = |name: &str| {
            self.files.iter().find(|(path, _)| *path == name).map(|(_, content)| content.clone())
        };
        let (netlink, socket) = (file(NETLINK), file(SOCKET));
        let mut options = OPTIONS.with(|options| (**options).clone());
        options.enabled = BTreeSet::from([self.collector]);
        options.paths = Paths::below(folder);
        options.netdev.netlink = netlink.is_some();
        options.devices.arp.netlink = netlink.is_some();
        options.devices.netclass.netlink = netlink.is_some();
        options.process_groups.threads = true;
        options.containers.sockets = true;
        options.containers.connections = true;
        options.containers.tcp_counters = true;
        options.containers.numa = true;
        options.containers.schedule = true;
        options.containers.topology = true;
        options.textfile_directories = vec![format!("{folder}/{METRICS}")];
        let host = Arc::new(Told { netlink, socket });
        let env = AgentEnv { clock: Arc::new(Hours::default()), spawner: Arc::new(NoThreads), host };
        let mut page = Vec::new();
        for (_, mut collector) in collectors::build(&options, &env) {
            let out = Output::new(format, &mut page);
            let mut context = Context {
                paths: &options.paths,
                host: &*env.host,
                clock: &*env.clock,
                ends_at: Duration::MAX,
                out,
            };
            collector.collect(&mut context)?;
            context.out.end_part()?;
        }
        Ok(page)
    }
}

/// Reads a page as a scrape does, and more strictly: no family and no series stands twice.
fn check_page(format: Format, page: &[u8]) {
    let (mut families, mut series) = (HashSet::new(), HashSet::new());
    let mut labels = LabelsBuilder::default();
    for entry in Parser::new(format, page) {
        match entry.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(page))) {
            Entry::Type { name, .. } => assert!(families.insert(name.to_string()), "{name} is begun twice"),
            Entry::Sample(sample) => {
                labels.clear();
                let taken = sample.series.labels_into(&mut labels);
                assert!(taken.is_ok(), "{:?} has a label twice", sample.series);
                let pairs: Vec<_> =
                    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                assert!(series.insert(pairs), "{:?} stands twice", sample.series);
            }
            _ => {}
        }
    }
}

/// A host that says what it was told to.
#[derive(Debug)]
struct Told {
    netlink: Option<Vec<u8>>,
    socket: Option<Vec<u8>>,
}

impl Host for Told {
    fn uname(&self) -> Uname {
        Uname::default()
    }

    fn usage(&self, _: &str) -> io::Result<Usage> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn netlink(&self, _: netlink::Request, answer: &mut Vec<u8>) -> io::Result<()> {
        answer.clear();
        answer.extend_from_slice(self.netlink.as_ref().ok_or(io::ErrorKind::Unsupported)?);
        // Where the answer ends is for the system to look for; here all of it is read.
        let _ = netlink::is_last(answer);
        Ok(())
    }

    fn connect(&self, _: &str, _: Duration) -> io::Result<Box<dyn Stream>> {
        let says = self.socket.clone().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Says(Cursor::new(says))))
    }
}

/// A service that says the same to whatever it is asked.
#[derive(Debug)]
struct Says(Cursor<Vec<u8>>);

impl Read for Says {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Says {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A clock on which an hour goes by between two looks, so that nobody waits.
#[derive(Debug, Default)]
struct Hours(AtomicU64);

impl Clock for Hours {
    fn wall_ms(&self) -> i64 {
        1_790_000_000_123
    }

    fn monotonic(&self) -> Duration {
        Duration::from_hours(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) {}
}

#[derive(Debug)]
struct NoThreads;

impl Spawner for NoThreads {
    fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Joined>> {
        Err(io::ErrorKind::OutOfMemory.into())
    }

    fn stop_signal(&self) -> Arc<dyn Stop> {
        unreachable!("invariant: who has no thread stops none")
    }
}

/// Files of the machines in `tests/fixtures`, and the collectors that read them.
const FIXTURES: &[(&str, &str, &[&str])] = &[
    ("arp", "devices", &["proc/net/arp"]),
    ("buddyinfo", "numa", &["proc/buddyinfo"]),
    ("cgroups", "numa", &["proc/cgroups"]),
    ("cpu", "old", &["proc/stat"]),
    ("diskstats", "old", &["proc/diskstats"]),
    ("drbd", "storage", &["proc/drbd"]),
    ("filefd", "old", &["proc/sys/fs/file-nr"]),
    ("interrupts", "numa", &["proc/interrupts"]),
    ("ipvs", "devices", &["proc/net/ip_vs", "proc/net/ip_vs_stats"]),
    ("loadavg", "old", &["proc/loadavg"]),
    ("mdadm", "devices", &["proc/mdstat"]),
    ("meminfo", "old", &["proc/meminfo"]),
    ("mountstats", "storage", &["proc/self/mountinfo", "proc/self/mountstats"]),
    ("netdev", "old", &["proc/net/dev"]),
    ("netstat", "devices", &["proc/net/netstat", "proc/net/snmp"]),
    ("nfs", "devices", &["proc/net/rpc/nfs"]),
    ("nfsd", "devices", &["proc/net/rpc/nfsd"]),
    ("os", "metal", &["etc/os-release"]),
    ("pressure", "metal", &["proc/pressure/cpu", "proc/pressure/io", "proc/pressure/memory"]),
    ("schedstat", "numa", &["proc/schedstat"]),
    ("slabinfo", "rack", &["proc/slabinfo"]),
    ("sockstat", "laptop", &["proc/net/sockstat"]),
    ("softirqs", "rack", &["proc/softirqs"]),
    ("softnet", "numa", &["proc/net/softnet_stat"]),
    ("stat", "old", &["proc/stat"]),
    ("swap", "rack", &["proc/swaps"]),
    ("udp_queues", "laptop", &["proc/net/udp"]),
    ("vmstat", "old", &["proc/vmstat"]),
    ("xfrm", "rack", &["proc/net/xfrm_stat"]),
    ("zfs", "storage", &["proc/spl/kstat/zfs/arcstats"]),
    ("zoneinfo", "rack", &["proc/zoneinfo"]),
];

/// A collector, and files with their paths.
type ByHand = (&'static str, &'static [(&'static str, &'static [u8])]);

/// Machines by hand: of collectors that read folders, of netlink, of files of metrics.
const BY_HAND: &[ByHand] = &[
    (
        "containers",
        &[
            ("sys/fs/cgroup/cgroup.controllers", b"memory\n"),
            ("sys/fs/cgroup/a/memory.current", b"4096\n"),
            ("sys/fs/cgroup/a/memory.numa_stat", b"anon N0=8192 N1=0\n"),
            ("proc/7/net/netstat", b"TcpExt: TW\nTcpExt: 4\n"),
            ("sys/fs/cgroup/a/io.stat", b"8:0 rbytes=1 wbytes=2 rios=3 wios=4\n"),
            ("sys/fs/cgroup/a/cgroup.procs", b"7\n"),
            ("proc/7/net/dev", b"a|\nb|\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
            ("sys/fs/cgroup/lxc/web/cgroup.procs", b"7\n"),
            ("proc/1/mountinfo", b"36 1 8:0 / / rw - ext4 /dev/sda rw\n"),
            ("proc/7/mountinfo", b"36 1 0:50 / / rw - overlay overlay rw,upperdir=/x/overlay2/a/diff\n"),
            ("sys/devices/system/cpu/online", b"0\n"),
            ("sys/devices/system/cpu/cpu0/topology/core_id", b"0\n"),
            ("sys/devices/system/cpu/cpu0/topology/physical_package_id", b"0\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/level", b"1\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/type", b"Data\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/size", b"48K\n"),
            ("sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list", b"0\n"),
            ("proc/diskstats", b"8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n"),
            ("proc/meminfo", b"MemTotal: 7 kB\n"),
        ],
    ),
    ("filesystem", &[("proc/1/mountinfo", b"36 1 8:1 / /mnt rw - ext4 /dev/sda rw\n")]),
    (
        "hwmon",
        &[("sys/class/hwmon/hwmon0/name", b"chip\n"), ("sys/class/hwmon/hwmon0/temp1_input", b"41000\n")],
    ),
    ("netdev", &[(NETLINK, b"\x20\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0")]),
    ("netclass", &[("sys/class/net/eth0/mtu", b"1500\n"), ("sys/class/net/eth0/operstate", b"up\n")]),
    (
        "powersupplyclass",
        &[
            ("sys/class/power_supply/BAT0/uevent", b"POWER_SUPPLY_CAPACITY=81\n"),
            ("sys/class/power_supply/BAT0/capacity", b"81\n"),
            ("sys/class/power_supply/BAT0/type", b"Battery\n"),
        ],
    ),
    (
        "process-groups",
        &[
            ("proc/7/stat", b"7 (a b) S 1 7 7 0 -1 64 10 20 3 4 500 600 70 80 20 0 9 0 12345 4096000 77 1\n"),
            ("proc/7/status", b"Uid:\t1\t33\t1\t1\nVmRSS:\t 12 kB\n"),
            ("proc/7/io", b"read_bytes: 2\nwrite_bytes: 3\n"),
            ("proc/7/cmdline", b"/bin/a\0b\0"),
            ("proc/7/cgroup", b"0::/a\n"),
            ("proc/7/task/7/stat", b"7 (a b) S 1 7 7 0 -1 64 1 0 3 0 5 6 0 0 20 0 9 0 12345 4096000 77 1\n"),
            ("proc/7/task/7/status", b"voluntary_ctxt_switches:\t5\n"),
            ("proc/7/task/8/stat", b"8 (w) D 1 7 7 0 -1 64 1 0 3 0 5 6 0 0 20 0 9 0 12346 4096000 77 1\n"),
            ("proc/7/task/8/status", b"nonvoluntary_ctxt_switches:\t5\n"),
            ("proc/7/task/8/wchan", b"futex_do_wait"),
        ],
    ),
    (
        "textfile",
        &[
            ("metrics/a.prom", b"# HELP x X.\n# TYPE x counter\nx{a=\"1\"} 1\nx_total 2\n"),
            ("metrics/b.prom", b"# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 1\ns_sum 3\n"),
        ],
    ),
    (
        "thermal_zone",
        &[
            ("sys/class/thermal/thermal_zone0/temp", b"49925\n"),
            ("sys/class/thermal/thermal_zone0/type", b"acpitz\n"),
        ],
    ),
    (
        "containers",
        &[
            ("sys/fs/cgroup/memory/b/memory.usage_in_bytes", b"4096\n"),
            ("sys/fs/cgroup/memory/b/memory.numa_stat", b"file=5 N0=3 N1=2\nhierarchical_anon=8 N0=8\n"),
        ],
    ),
];

/// What collectors take as sound.
pub fn collector_seeds() -> Vec<Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let of_fixture = |(collector, machine, paths): &(&str, &str, &[&str])| {
        let read =
            |path: &str| fs::read(fixtures.join(machine).join(path)).expect("invariant: fixtures are kept");
        archive(collector, paths.iter().map(|path| (*path, read(path))))
    };
    let by_hand = BY_HAND.iter().map(|(collector, files)| {
        archive(collector, files.iter().map(|(path, content)| (*path, content.to_vec())))
    });
    FIXTURES.iter().map(of_fixture).chain(by_hand).collect()
}

fn archive<'a>(collector: &str, files: impl Iterator<Item = (&'a str, Vec<u8>)>) -> Vec<u8> {
    let mut archive = format!("{collector}\n").into_bytes();
    for (path, content) in files {
        archive.extend_from_slice(format!("-- {path} --\n").as_bytes());
        archive.extend_from_slice(&content);
    }
    archive
}

/// What readers of texts take as sound.
pub fn text_seeds() -> Vec<Vec<u8>> {
    let list = r#"[{"Id": "aa", "Names": ["/db"], "Image": "x:1", "Created": 17, "Labels": {"a": "b"}}]"#;
    let texts = [
        format!("aHTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len()),
        "aHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_owned(),
        "rprocess_names:\n- name: '{{.Matches.a}}{{.Comm}}'\n  comm: [x, y]\n  cmdline: ['(?P<a>.)+']\n"
            .to_owned(),
        "s1000-3000 r-xp 00000000 fe:00 12   /bin/x\nRss: 4 kB\nAnonymous: 0 kB\n".to_owned(),
        "p# TYPE a gauge\na 1\n\0# HELP a A.\n# TYPE a gauge\na{b=\"c\"} 1\n# TYPE d gauge\nd 2\n".to_owned(),
    ]
    .map(String::into_bytes);
    texts.into_iter().chain([[b"t", &task_exits::fuzz_seed()[..]].concat()]).collect()
}
