//! A machine that means no good: programs on sockets that are silent, endless or talk nonsense, processes by
//! the thousand that come and go, names of any bytes, and things in the place of files that are none. Each
//! costs its own collector's values, and nobody else's.

use crate::common::{
    Page, copy_below, entries_in, gather, here, options, real_agent, seeded, still_agent, succeeded, text,
};
use rustix::fs::{CWD, Mode, mkfifoat};
use skopos_agent::{
    AgentEnv, BuildInfo, Host, NodeAgent, Stream, ThisHost, Uname, Usage, collector_names, netlink,
};
use skopos_base::env::Env;
use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{
        ffi::OsStrExt,
        fs::symlink,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How a program on a socket behaves to each that connects.
type Behaviour = fn(&mut UnixStream) -> io::Result<()>;

/// Listens at `path` for as long as the test runs.
fn listen(path: &Path, behaviour: Behaviour) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            thread::spawn(move || {
                let _ = behaviour(&mut connection);
            });
        }
    });
}

fn silent(_: &mut UnixStream) -> io::Result<()> {
    loop {
        thread::park();
    }
}

fn endless(out: &mut UnixStream) -> io::Result<()> {
    out.write_all(b"HTTP/1.0 200 OK\r\n\r\n[")?;
    loop {
        out.write_all(&[b' '; 64 << 10])?;
    }
}

fn nonsense(out: &mut UnixStream) -> io::Result<()> {
    out.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n[{\xff\0\"")
}

fn too_many(out: &mut UnixStream) -> io::Result<()> {
    out.write_all(b"HTTP/1.0 200 OK\r\n\r\n[")?;
    for _ in 0..1_000_000 {
        out.write_all(b"{\"Id\":\"\"},")?;
    }
    Ok(())
}

#[test]
fn runtimes_that_misbehave_cost_names_not_numbers() {
    for behaviour in [silent, endless, nonsense, too_many] {
        let folder = tempfile::tempdir().unwrap();
        copy_below(&here("containers").join("pods"), folder.path());
        for socket in ["run/docker.sock", "run/podman/podman.sock", "run/crio/crio.sock"] {
            listen(&folder.path().join(socket), behaviour);
        }
        let agent = still_agent(
            folder.path(),
            &["--collector.disable-defaults", "--collector.containers", "--collector.loadavg"],
        );
        for _ in 0..3 {
            let page = gather(&agent);
            assert!(succeeded(&page, "containers"));
            assert!(page.samples.keys().any(|(family, _)| family == "container_memory_usage_bytes"));
        }
    }
}

/// Labels that a user of the machine gave a container.
fn odd_labels(out: &mut UnixStream) -> io::Result<()> {
    let id = "4".repeat(64);
    let long = "x".repeat(1 << 20);
    let body = format!(
        r#"[{{"Id": "{id}", "Names": ["/a\"b\\c\nd\u0000e"], "Image": "i\"\n", "Labels": {{
            "": "empty", "a.b": "1", "a-b": "2", "a b": "\"\\\n", "ü\n": "ü", "long": "{long}"}}}}]"#
    );
    // Who closes with a question unread takes the answer back.
    let lines = BufReader::new(out.try_clone()?).lines();
    lines.map_while(Result::ok).find(String::is_empty);
    write!(out, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn what_users_call_their_containers_is_shown_as_it_is_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let id = "4".repeat(64);
    let group = folder.path().join("sys/fs/cgroup/docker").join(&id);
    fs::create_dir_all(&group).unwrap();
    fs::write(folder.path().join("sys/fs/cgroup/cgroup.controllers"), "memory\n").unwrap();
    fs::write(group.join("memory.current"), "4096\n").unwrap();
    listen(&folder.path().join("run/docker.sock"), odd_labels);
    let agent = still_agent(folder.path(), &["--collector.disable-defaults", "--collector.containers"]);
    let name = [("name", "a\"b\\c\nd\0e")];
    let page = (0..10_000)
        .map(|_| gather(&agent))
        .find(|page| page.value("container_memory_usage_bytes", &name).is_some());
    let page = page.expect("the name comes when the runtime has answered");
    let labels = [("image", "i\"\n"), ("container_label_", "empty"), ("container_label___", "ü")];
    assert_eq!(page.value("container_memory_usage_bytes", &labels), Some(4096.0));
    assert!(!text(&agent).contains("xxxx"));
}

/// A machine on which every service listens at one place.
#[derive(Debug)]
struct Services {
    socket: PathBuf,
    /// The longest that somebody would have talked to one.
    longest: Mutex<Duration>,
}

impl Host for Services {
    fn uname(&self) -> Uname {
        ThisHost.uname()
    }

    fn usage(&self, path: &str) -> io::Result<Usage> {
        ThisHost.usage(path)
    }

    fn netlink(&self, request: netlink::Request, answer: &mut Vec<u8>) -> io::Result<()> {
        ThisHost.netlink(request, answer)
    }

    fn connect(&self, _: &str, patience: Duration) -> io::Result<Box<dyn Stream>> {
        let mut longest = self.longest.lock().unwrap();
        *longest = patience.max(*longest);
        ThisHost.connect(self.socket.to_str().unwrap(), patience)
    }
}

/// A machine whose root file system does not answer.
#[derive(Debug)]
struct HangingRoot;

impl Host for HangingRoot {
    fn uname(&self) -> Uname {
        ThisHost.uname()
    }

    fn usage(&self, path: &str) -> io::Result<Usage> {
        if path == "/" {
            loop {
                thread::park();
            }
        }
        ThisHost.usage(path)
    }

    fn netlink(&self, request: netlink::Request, answer: &mut Vec<u8>) -> io::Result<()> {
        ThisHost.netlink(request, answer)
    }
}

#[test]
fn a_mount_that_hangs_is_given_up_before_the_collector_is() {
    let line = [
        "--collector.disable-defaults",
        "--collector.filesystem",
        "--collector.filesystem.mount-timeout=1h",
        "--collector.filesystem.fs-types-exclude=^$",
        "--collector.filesystem.mount-points-exclude=^$",
        "--collector.deadline=1s",
    ];
    let Env { clock, spawner, .. } = Env::real();
    let env = AgentEnv { clock, spawner, host: Arc::new(HangingRoot) };
    let agent = NodeAgent::new(options(&line), BuildInfo::default(), env);
    let page = gather(&agent);
    assert!(succeeded(&page, "filesystem"), "{page:?}");
    let hangs = [("mountpoint", "/"), ("device_error", "mountpoint timeout")];
    assert_eq!(page.value("node_filesystem_device_error", &hangs), Some(1.0));
    let mut others = page.samples.keys().filter(|(name, _)| name == "node_filesystem_size_bytes");
    assert!(others.next().is_some(), "others answer");
}

fn endless_bus(out: &mut UnixStream) -> io::Result<()> {
    out.write_all(b"OK 1234\r\n")?;
    loop {
        // A message without fields and without a body, of another's.
        out.write_all(&[b'l', 4, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])?;
    }
}

fn large_bus(out: &mut UnixStream) -> io::Result<()> {
    out.write_all(b"OK 1234\r\nl\x02\0\x01\xff\xff\xff\xff\x01\0\0\0\xff\xff\xff\xff")
}

fn endless_greeting(out: &mut UnixStream) -> io::Result<()> {
    loop {
        out.write_all(&[b'O'; 4096])?;
    }
}

fn dripping_bus(out: &mut UnixStream) -> io::Result<()> {
    // 16 MB, byte by byte.
    out.write_all(b"OK 1234\r\nl\x02\0\x01\0\0\xf0\0\x01\0\0\0\0\0\0\0")?;
    loop {
        out.write_all(b"x")?;
    }
}

#[test]
fn a_bus_that_misbehaves_costs_those_that_ask_it() {
    for behaviour in [silent, endless_bus, large_bus, endless_greeting, dripping_bus] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        listen(&path, behaviour);
        let line = [
            "--collector.disable-defaults",
            "--collector.systemd",
            "--collector.logind",
            "--collector.loadavg",
            "--collector.deadline=6s",
        ];
        let Env { clock, spawner, .. } = Env::real();
        let services = Arc::new(Services { socket: path, longest: Mutex::default() });
        let env = AgentEnv { clock, spawner, host: services.clone() };
        let agent = NodeAgent::new(options(&line), BuildInfo::default(), env);
        let page = gather(&agent);
        assert!(!succeeded(&page, "systemd") && !succeeded(&page, "logind"));
        assert!(succeeded(&page, "loadavg"));
        assert!(!page.types.keys().any(|name| name.starts_with("node_systemd_")));
        let longest = *services.longest.lock().unwrap();
        assert!(longest > Duration::ZERO && longest < Duration::from_secs(6), "{longest:?}");
        let began = Instant::now();
        let again = (0..4).map(|_| gather(&agent));
        assert!(again.last().is_some_and(|page| !succeeded(&page, "logind")));
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "who was silent is left alone: {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn processes_that_come_and_go_by_the_thousand_fail_nothing() {
    const STORM: u64 = 2000;
    const THREADS: usize = 4;
    let line = [
        "--collector.disable-defaults",
        "--collector.processes",
        "--collector.process-groups",
        "--collector.containers",
        "--collector.containers.load",
    ];
    let agent = real_agent(options(&line));
    let before = gather(&agent);
    let (ends, begun) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    assert!(Command::new("true").status().unwrap().success());
                    begun.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut counts = Vec::new();
        while begun.load(Ordering::Relaxed) < STORM {
            let page = gather(&agent);
            // A sandbox may have no control groups.
            for name in ["processes", "process-groups", "containers"] {
                assert!(succeeded(&page, name) || !succeeded(&before, name), "{name}");
            }
            counts.push(page.value("node_processes_pids", &[]).unwrap());
        }
        ends.store(true, Ordering::Relaxed);
        assert!(counts.iter().all(|count| *count >= 1.0), "{counts:?}");
    });
}

/// Puts something that is no file of the kernel in the place of `path`.
fn replace(path: &Path, kind: u64) {
    let _ = fs::remove_file(path);
    match kind {
        0 => mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap(),
        1 => symlink("/dev/zero", path).unwrap(),
        2 => fs::create_dir(path).unwrap(),
        3 => symlink(path, path).unwrap(),
        4 => fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
        5 => drop(UnixListener::bind(path)),
        _ => fs::write(path, (0..=u8::MAX).cycle().take(100_000).collect::<Vec<u8>>()).unwrap(),
    }
}

#[test]
fn what_is_no_file_is_not_waited_for_nor_read_without_end() {
    const KINDS: u64 = 7;
    const ROUNDS: usize = 2;
    const REPLACED: usize = 25;
    let rng = seeded();
    let enabled: Vec<String> = collector_names().map(|name| format!("--collector.{name}")).collect();
    let enabled: Vec<&str> = enabled.iter().map(String::as_str).collect();
    for machine in ["devices", "laptop", "metal", "rack", "storage"] {
        for _ in 0..ROUNDS {
            let folder = tempfile::tempdir().unwrap();
            copy_below(&here("fixtures").join(machine), folder.path());
            let files = entries_in(folder.path());
            for _ in 0..REPLACED {
                let file = folder.path().join(&files[rng.below(files.len() as u64) as usize]);
                if !file.is_dir() {
                    replace(&file, rng.below(KINDS));
                }
            }
            let page = gather(&still_agent(folder.path(), &enabled));
            assert!(succeeded(&page, "uname"));
        }
    }
}

/// Names that no sane machine has: quotes, backslashes, line feeds, bytes that are no text.
const ODD_NAMES: [&[u8]; 6] =
    [b"a\"b", b"a\\b", b"a{b=\"c\"}", b"a\xff", b"a\xfe", "ä\u{7f}\u{1b}".as_bytes()];

#[test]
fn names_of_any_bytes_make_pages_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    copy_below(&here("fixtures").join("metal"), folder.path());
    let at = |name: &str| folder.path().join(name);
    let (mut mounts, mut disks, mut links) = (Vec::new(), Vec::new(), Vec::new());
    let head = fs::read_to_string(at("proc/net/dev")).unwrap();
    links.extend(head.lines().take(2).flat_map(|line| format!("{line}\n").into_bytes()));
    fs::write(at("sys/fs/cgroup/cgroup.controllers"), "memory\n").ok();
    for (i, name) in ODD_NAMES.iter().enumerate() {
        let line = [b"36 1 8:1 / /mnt/", *name, b"\\012\\134\\042 rw - ext4 /dev/", name, b" rw\n"].concat();
        mounts.extend(line);
        disks.extend(
            [format!("8 {i} ").as_bytes(), name, b" 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"].concat(),
        );
        links.extend([name, &b": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"[..]].concat());
        for parent in ["sys/class/net", "sys/class/hwmon", "sys/class/thermal", "sys/class/power_supply"] {
            let entry = at(parent).join(OsStr::from_bytes(name));
            fs::create_dir_all(&entry).unwrap();
            for (file, content) in
                [("type", &b"1"[..]), ("name", name), ("temp1_input", b"1"), ("temp1_label", name)]
            {
                fs::write(entry.join(file), content).unwrap();
            }
        }
    }
    fs::write(at("proc/1/mountinfo"), &mounts)
        .or_else(|_| fs::write(at("proc/self/mountinfo"), &mounts))
        .unwrap();
    fs::write(at("proc/diskstats"), disks).unwrap();
    fs::write(at("proc/net/dev"), links).unwrap();
    let enabled: Vec<String> = collector_names().map(|name| format!("--collector.{name}")).collect();
    let mut line: Vec<&str> = enabled.iter().map(String::as_str).collect();
    line.extend(["--no-collector.netdev.netlink", "--collector.filesystem.mount-points-exclude=^$"]);
    let page = gather(&still_agent(folder.path(), &line));
    for collector in ["filesystem", "diskstats", "netdev", "netclass", "hwmon"] {
        assert!(succeeded(&page, collector), "{collector}");
    }
    let labels = |family: &str, label: &str| -> Vec<String> {
        let of_family = page.samples.keys().filter(|(name, _)| name == family);
        of_family
            .flat_map(|(_, labels)| labels.clone())
            .filter(|(name, _)| name == label)
            .map(|(_, v)| v)
            .collect()
    };
    let found = labels("node_disk_reads_completed_total", "device");
    assert!(found.contains(&"a\"b".into()) && found.contains(&"a\\b".into()), "{found:?}");
    let found = labels("node_filesystem_device_error", "mountpoint");
    assert!(found.iter().any(|point| point == "/mnt/a\"b\n\\\""), "{found:?}");
    let found = labels("node_network_receive_bytes_total", "device");
    assert!(found.contains(&"a{b=\"c\"}".into()), "{found:?}");
    // What is no text is replaced: then two names can be one, and one of them is shown.
    Page::parse(text(&still_agent(folder.path(), &line)).as_bytes());
}
