//! `skopos agent` as a process: its page, its parameters, its limits.

use crate::support::PATIENCE;
use rustix::fs::Mode;
use skopos_testkit::{free_port, http, process::Process, service::Service, skopos::Skopos, wait_until};
use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

fn agent() -> Skopos {
    Skopos::agent(env!("CARGO_BIN_EXE_skopos"))
}

/// The names of the collectors that a page tells of.
fn collectors(page: &str) -> Vec<&str> {
    let start = "node_scrape_collector_success{collector=\"";
    page.lines().filter_map(|line| line.strip_prefix(start)?.split('"').next()).collect()
}

fn page(agent: &Service, path: &str) -> String {
    let response = agent.get(path);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.text()
}

#[test]
fn a_request_names_the_collectors_that_run_or_that_do_not() {
    let agent = agent().flag("--no-collector.stat").start();
    let all = page(&agent, "/metrics");
    assert!(collectors(&all).len() > 10, "{all}");
    let two = page(&agent, "/metrics?collect[]=loadavg&collect%5B%5D=cpu&other=1");
    assert_eq!(collectors(&two), ["cpu", "loadavg"]);
    assert!(two.contains("process_start_time_seconds"), "the agent's own metrics stay");
    let rest = page(&agent, "/metrics?exclude[]=cpu&exclude[]=stat");
    assert_eq!(collectors(&rest).len(), collectors(&all).len() - 1);
    for (query, said) in [
        ("collect[]=cpu&exclude[]=loadavg", "Combined collect and exclude queries are not allowed."),
        ("collect[]=stat", "disabled collector: stat"),
        ("collect[]=weather", "missing collector: weather"),
    ] {
        let response = agent.get(&format!("/metrics?{query}"));
        assert_eq!(response.status, 400, "{query}");
        assert!(response.text().contains(said), "{query}: {}", response.text());
    }
}

#[test]
fn the_page_stands_where_it_was_asked_for_on_every_address() {
    let other = format!("127.0.0.1:{}", free_port());
    let agent = agent()
        .flag("--web.telemetry-path=/node")
        .flag(&format!("--web.listen-address={other}"))
        .flag("--web.disable-exporter-metrics")
        .flag("--web.max-requests=0")
        .ready_path("/node")
        .start();
    let here = page(&agent, "/node");
    assert!(here.contains("\nnode_exporter_build_info{") && here.contains("\nskopos_agent_build_info{"));
    assert!(!here.contains("\nprocess_"), "{here}");
    assert_eq!(agent.get("/metrics").status, 404);
    assert!(page(&agent, "/").contains("href=\"/node\""));
    assert_eq!(http::get(&format!("http://{other}/node")).unwrap().status, 200);
}

#[test]
fn the_processes_that_use_most_are_told_by_agents_and_servers() {
    check_processes(&agent().start());
    check_processes(&Skopos::server(env!("CARGO_BIN_EXE_skopos")).start());
}

#[test]
fn many_who_ask_for_processes_at_the_same_time_get_one_answer() {
    let agent = agent().flag("--web.max-requests=1").start();
    let times = std::thread::scope(|scope| {
        let ask = || {
            let answer = agent.get("/api/v1/processes");
            assert_eq!(answer.status, 200, "{}", answer.text());
            let answer: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
            answer["data"]["timestamp"].as_f64().unwrap().to_bits()
        };
        let asking: Vec<_> = (0..40).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
    });
    // A machine under load may take more than the second for which an answer is good.
    assert!(times.len() < 10, "{} times were read", times.len());
}

fn check_processes(told_by: &Service) {
    let response = told_by.get("/api/v1/processes?by=memory&limit=3");
    assert_eq!(response.status, 200, "{}", response.text());
    let answer: serde_json::Value = serde_json::from_str(&response.text()).unwrap();
    assert_eq!((&answer["status"], &answer["data"]["by"]), (&"success".into(), &"memory".into()));
    let processes = answer["data"]["processes"].as_array().unwrap();
    assert!((1..=3).contains(&processes.len()), "{answer}");
    let memory: Vec<u64> = processes.iter().map(|p| p["resident_bytes"].as_u64().unwrap()).collect();
    assert!(memory.is_sorted_by(|a, b| a >= b), "{memory:?}");
    for field in ["pid", "name", "command", "user", "cpu", "threads", "start_time_seconds", "cgroup"] {
        assert!(!processes[0][field].is_null(), "{field} is missing: {answer}");
    }
    let all = told_by.get("/api/v1/processes?limit=1000").text();
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let own = std::process::id();
    let is_own = |process: &serde_json::Value| process["pid"] == own;
    assert!(all["data"]["processes"].as_array().unwrap().iter().any(is_own), "this test is a process too");
    let response = told_by.get("/api/v1/processes?by=size");
    assert_eq!(response.status, 400);
    assert!(response.text().contains("\"errorType\":\"bad_data\""), "{}", response.text());
}

/// A process file system, and a bus that greets a byte at a time, for as long as the agent listens: the
/// collector that asks it waits as long as it may.
struct Hanging {
    folder: tempfile::TempDir,
    /// Whether the bus has hung up, and hangs up on whoever comes.
    ended: Arc<(Mutex<bool>, Condvar)>,
    /// Has something for each caller.
    callers: Receiver<()>,
}

impl Hanging {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("proc")).unwrap();
        fs::write(folder.path().join("proc/meminfo"), "MemTotal: 7 kB\n").unwrap();
        let (called, callers) = mpsc::channel();
        let hanging = Self { folder, ended: Arc::default(), callers };
        let (bus, ended) = (UnixListener::bind(hanging.bus()).unwrap(), Arc::clone(&hanging.ended));
        thread::spawn(move || {
            for caller in bus.incoming() {
                called.send(()).ok();
                greet_slowly(caller.unwrap(), &ended);
            }
        });
        hanging
    }

    fn bus(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    fn agent(&self) -> Skopos {
        let procfs = format!("--path.procfs={}/proc", self.folder.path().display());
        let flags = ["--collector.disable-defaults", "--collector.logind", "--collector.meminfo", &procfs];
        let bus = format!("unix:path={}", self.bus().display());
        flags
            .into_iter()
            .fold(agent(), Skopos::flag)
            .variable("DBUS_SYSTEM_BUS_ADDRESS", &bus)
            .ready_path("/")
    }

    fn hang_up(&self) {
        *self.ended.0.lock().unwrap() = true;
        self.ended.1.notify_all();
    }
}

fn greet_slowly(mut caller: UnixStream, (ended, changed): &(Mutex<bool>, Condvar)) {
    const BETWEEN: Duration = Duration::from_millis(100);
    let mut ended = ended.lock().unwrap();
    while !*ended && caller.write_all(b"O").is_ok() {
        ended = changed.wait_timeout(ended, BETWEEN).unwrap().0;
    }
}

#[test]
fn a_service_that_drips_shows_and_delays_nobody() {
    let hanging = Hanging::new();
    let agent = hanging.agent().flag("--collector.deadline=1s").start();
    for _ in 0..3 {
        let page = page(&agent, "/metrics");
        assert!(page.contains("\nnode_scrape_collector_success{collector=\"logind\"} 0\n"), "{page}");
        assert!(page.contains("\nnode_scrape_collector_success{collector=\"meminfo\"} 1\n"), "{page}");
        assert!(page.contains("\nnode_memory_MemTotal_bytes 7168\n"), "{page}");
    }
    assert_eq!(hanging.callers.try_iter().count(), 1, "it is left alone");
    // On a machine that is busy, the collector may come back behind its deadline.
    wait_until("it to be said", PATIENCE, || {
        agent.log().contains("takes connections and has not answered in time").then_some(())
    });
    let said = agent.log().lines().filter(|line| line.contains("has not answered in time")).count();
    assert_eq!(said, 1, "it is said once: {}", agent.log());
    hanging.hang_up();
}

/// A file system whose program says nothing, as one of the network does whose server has gone, holds the
/// folder of udev's data.
#[test]
fn a_file_system_that_hangs_shows_and_delays_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let stuck = folder.path().join("stuck");
    fs::create_dir(&stuck).unwrap();
    if !Path::new("/dev/fuse").exists() {
        eprintln!("WARNING: this machine has no FUSE; this test did NOT run");
        return;
    }
    let (address, end) = (format!("127.0.0.1:{}", free_port()), folder.path().join("end"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &end, Mode::RUSR | Mode::WUSR).unwrap();
    // In a place of its own, so that nobody else meets it. It is there until somebody writes into the pipe.
    let script = format!(
        "exec 7<>/dev/fuse && mount -i -t fuse -o fd=7,rootmode=40000,user_id=0,group_id=0 stuck {} || exit
         read line <{} & exec 7<&- && exec \"$@\"",
        stuck.display(),
        end.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script, "sh"]);
    command.args([
        env!("CARGO_BIN_EXE_skopos"),
        "agent",
        "--collector.deadline=5s",
        "--collector.filesystem.mount-timeout=1s",
    ]);
    command
        .arg(format!("--web.listen-address={address}"))
        .arg(format!("--path.udev.data={}", stuck.display()));
    let mut agent = Process::start("skopos agent", command, &folder.path().join("log")).unwrap();
    let url = format!("http://{address}/metrics");
    let ask = || http::get_within(&url, PATIENCE).ok().map(|response| response.text());
    let mut shown = wait_until("the agent to answer", PATIENCE, ask);
    for _ in 0..3 {
        assert!(shown.contains("\nnode_scrape_collector_success{collector=\"diskstats\"} 0\n"), "{shown}");
        assert!(shown.contains("\nnode_scrape_collector_success{collector=\"meminfo\"} 1\n"), "{shown}");
        let error = format!(
            "device_error=\"mountpoint timeout\",fstype=\"fuse\",mountpoint=\"{}\"}} 1",
            stuck.display()
        );
        assert!(shown.contains(&error), "{shown}");
        shown = ask().unwrap();
    }
    let said = |what: &str| agent.log().lines().filter(|line| line.contains(what)).count();
    assert_eq!(said("collector hangs"), 1, "it is said once: {}", agent.log());
    fs::write(&end, "now\n").unwrap();
    wait_until("the collector to come back", PATIENCE, || {
        ask().filter(|page| page.contains("\nnode_scrape_collector_success{collector=\"diskstats\"} 1\n"))
    });
    assert_eq!(said("collector answers again"), 1, "{}", agent.log());
    agent.kill9();
}

#[test]
fn more_requests_than_may_run_are_refused() {
    let hanging = Hanging::new();
    let agent = hanging.agent().flag("--web.max-requests=1").flag("--collector.deadline=1h").start();
    let (url, is_refused) = (agent.url("/metrics"), Arc::new(AtomicBool::new(false)));
    let asks_on = Arc::clone(&is_refused);
    // One after the other, until one from below has met one of these. The first takes long.
    let taken = thread::spawn(move || {
        let mut taken = None;
        while taken.is_none() || !asks_on.load(Ordering::Relaxed) {
            let response = http::get_within(&url, PATIENCE).unwrap();
            taken = Some(response).filter(|response| response.status != 503).or(taken);
        }
        taken
    });
    let refused = wait_until("a request to be refused", PATIENCE, || {
        let url = agent.url("/metrics?collect[]=meminfo");
        http::get(&url).ok().filter(|response| response.status == 503)
    });
    assert!(refused.text().starts_with("Limit of concurrent requests reached (1)"), "{}", refused.text());
    is_refused.store(true, Ordering::Relaxed);
    hanging.hang_up();
    let taken = taken.join().unwrap().unwrap();
    assert_eq!(taken.status, 200);
    assert!(taken.text().contains("\nnode_memory_MemTotal_bytes 7168\n"), "{}", taken.text());
}

#[test]
fn clients_that_take_nothing_hold_so_much_together_and_lock_nobody_out() {
    const MOST: f64 = (20 << 20) as f64;
    let folder = tempfile::tempdir().unwrap();
    // Nine megabytes: twice as much as the system takes of an answer before anybody reads it.
    let samples: String = (0..4500).map(|n| format!("big{{text=\"{n:02000}\"}} 1\n")).collect();
    fs::write(folder.path().join("big.prom"), samples).unwrap();
    let agent = agent()
        .flag(&format!("--collector.textfile.directory={}", folder.path().display()))
        .flag("--web.max-waiting-bytes=20MB")
        .start();
    let slow: Vec<TcpStream> = (0..5).map(|_| asks_and_takes_nothing(&agent)).collect();
    let value = |name: &str| -> f64 {
        let page = page(&agent, "/metrics?collect[]=loadavg");
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name}: {page}")).parse().unwrap()
    };
    wait_until("slow clients to be given up", PATIENCE, || {
        assert!(value("skopos_web_waiting_bytes") <= MOST);
        (value("skopos_web_slow_clients_given_up_total") >= 3.0).then_some(())
    });
    let whole = page(&agent, "/metrics");
    assert!(whole.contains("\nnode_scrape_collector_success{") && whole.len() > 9_000_000, "{}", whole.len());
    assert!(agent.log().contains("--web.max-waiting-bytes is reached"), "{}", agent.log());
    drop(slow);
}

fn asks_and_takes_nothing(agent: &Service) -> TcpStream {
    let mut stream = TcpStream::connect(agent.address()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream
}

#[test]
fn a_file_says_who_may_read_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("open-sesame", 4).unwrap();
    fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{me: '{hash}'}}\n")).unwrap();
    let (_process, address) = start(folder.path(), "--web.config.file=web.yml");
    let url = format!("http://{address}/metrics");
    let status = |headers: &[(&str, &str)]| http::request("GET", &url, headers, b"").map(|r| r.status);
    let refused = wait_until("the agent to listen", PATIENCE, || status(&[]).ok());
    assert_eq!(refused, 401);
    let (wrong, right) = ("Basic bWU6aHVzaC1odXNo", "Basic bWU6b3Blbi1zZXNhbWU=");
    assert_eq!(status(&[("Authorization", wrong)]).unwrap(), 401);
    assert_eq!(status(&[("Authorization", right)]).unwrap(), 200);
}

#[test]
fn the_sockets_of_a_unit_are_listened_on() {
    const STARTER: &str = "/usr/bin/systemd-socket-activate";
    if !Path::new(STARTER).exists() {
        eprintln!("WARNING: there is no {STARTER}; this test did NOT run");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(STARTER);
    let flags = ["agent", "--web.systemd-socket", "--collector.disable-defaults", "--collector.loadavg"];
    command.args(["--listen", &address, env!("CARGO_BIN_EXE_skopos")]).args(flags);
    let _agent = Process::start("skopos agent", command, &folder.path().join("log")).unwrap();
    let url = format!("http://{address}/metrics");
    let page = wait_until("the agent to answer", PATIENCE, || http::get(&url).ok());
    assert!(page.text().contains("\nnode_load1 "), "{}", page.text());
    // Without a unit there are none.
    let alone = Command::new(env!("CARGO_BIN_EXE_skopos")).args(flags).output().unwrap();
    let said = String::from_utf8_lossy(&alone.stderr);
    assert!(
        !alone.status.success() && said.contains("web.systemd-socket: no socket was handed on"),
        "{said}"
    );
}

/// An agent that works in `folder`, and its address.
fn start(folder: &Path, flag: &str) -> (Process, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_skopos"));
    let listen = format!("--web.listen-address={address}");
    command.current_dir(folder).args(["agent", flag, &listen, "--collector.disable-defaults"]);
    (Process::start("skopos agent", command, &folder.join("log")).unwrap(), address)
}
