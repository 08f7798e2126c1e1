//! The program towards whoever runs it: files, flags and exit codes; signals; ports and locks; what it shows
//! when it is told nothing.

use crate::support::{
    self, BINARY, PATIENCE, encoded, log_line, server, targets, value, wait_for_log, wait_for_value,
};
use rustix::process::Signal;
use skopos_testkit::{
    free_port, http,
    misbehaving::{Misbehaviour, Server},
    service::Service,
    skopos::Skopos,
    wait_until,
};
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

/// Runs the program to its end.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).current_dir(folder).output().unwrap()
}

/// What it said when it failed, with exit code 1.
#[track_caller]
fn failure(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    said
}

fn config_of(jobs: &[(&str, &Server)]) -> String {
    let mut out = "global: {scrape_interval: 200ms}\nscrape_configs:\n".to_owned();
    for (job, target) in jobs {
        writeln!(out, "- job_name: {job}\n  static_configs: [{{targets: ['{}']}}]", target.address())
            .unwrap();
    }
    out
}

fn good_target() -> Server {
    Server::start([Misbehaviour::text("m 1\n")])
}

fn reload(server: &mut Service, config: &str, said: &str) {
    fs::write(server.folder().join("prometheus.yml"), config).unwrap();
    let before = server.log().len();
    server.process().signal(Signal::HUP);
    let waited = || log_line(server.log().get(before..)?, &[said]);
    wait_until(&format!("{said:?} in the log"), PATIENCE, waited);
}

#[test]
fn a_bad_file_ends_the_start_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yml");
    for (text, said) in [
        ("global:\n  scrape_intervall: 15s\n", "bad.yml:2:3: unknown field `scrape_intervall`"),
        (
            "scrape_configs:\n- job_name: a\n- job_name: a\n",
            "bad.yml:3:13: scrape_configs: job_name \"a\" stands twice",
        ),
        ("scrape_configs: [{job_name: 1, scrape_interval: soon}]\n", "bad.yml:1:49: "),
    ] {
        fs::write(&file, text).unwrap();
        let server = failure(folder.path(), &["server", "--config.file=bad.yml"]);
        assert!(server.contains(said), "{server}");
        let check = failure(folder.path(), &["tool", "check", "config", "bad.yml"]);
        assert!(check.contains(said), "{check}");
        assert!(!folder.path().join("data").exists(), "a start that fails leaves nothing behind");
    }
    let missing = failure(folder.path(), &["server", "--config.file=none.yml"]);
    assert!(missing.contains("configuration: cannot open none.yml: No such file"), "{missing}");
}

#[test]
fn good_files_are_said_to_be_valid_and_the_first_bad_one_ends_the_check() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("one.yml", include_str!("data/prometheus.yml")),
        ("two.yml", include_str!("data/prometheus_two.yml")),
        ("bad.yml", "globall: {}\n"),
        ("more.yml", "scrape_config_files: [jobs*.yml]\n"),
        ("jobs.yml", "scrape_configs: [{job_name: further}]\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let output = run(folder.path(), &["tool", "check", "config", "one.yml", "two.yml"]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "one.yml: valid, 8 jobs, 8 targets\ntwo.yml: valid, 4 jobs, 4 targets\n");
    // Files that another one names stand beside it.
    let output = run(folder.path(), &["tool", "check", "config", "more.yml"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "more.yml: valid, 1 jobs, 0 targets\n");
    let said = failure(folder.path(), &["tool", "check", "config", "one.yml", "bad.yml"]);
    assert!(said.contains("bad.yml:1:1: unknown field `globall`"), "{said}");
}

#[test]
fn the_files_of_a_real_deployment_load() {
    for (text, jobs) in
        [(include_str!("data/prometheus.yml"), 8), (include_str!("data/prometheus_two.yml"), 4)]
    {
        // No name of that deployment may be asked for on the network, nor its machines.
        let text = offline(text);
        let server = server().config(&text).start();
        assert_eq!(targets(&server).len(), jobs);
        let yaml = support::json(&server.get("/api/v1/status/config"))["data"]["yaml"].to_string();
        assert!(yaml.contains("monitor") && yaml.contains("scrape_interval: 30s"), "{yaml}");
    }
}

/// The same file with all hosts on loopback.
fn offline(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.split_once("targets: [") {
            Some((indent, targets)) => {
                let port = targets.rsplit(':').next().unwrap().trim_matches(|c: char| !c.is_ascii_digit());
                writeln!(out, "{indent}targets: ['127.0.0.1:{port}']").unwrap();
            }
            None => writeln!(out, "{line}").unwrap(),
        }
    }
    out
}

#[test]
fn the_agent_takes_the_flags_of_a_containers_node_exporter() {
    let agent = Skopos::agent(BINARY)
        .flag("--path.procfs=/proc")
        .flag("--path.rootfs=/")
        .flag("--path.sysfs=/sys")
        .flag("--collector.filesystem.mount-points-exclude=^(sys|proc|dev|host|etc)($|/)")
        .start();
    let text = agent.get("/metrics").text();
    for metric in
        ["node_cpu_seconds_total{", "node_memory_MemTotal_bytes ", "node_time_seconds ", "node_load5 "]
    {
        assert!(text.lines().any(|line| line.starts_with(metric)), "no {metric}:\n{text}");
    }
}

#[test]
fn a_reload_starts_and_ends_targets_and_leaves_the_others_alone() {
    let [kept, gone, new] = [good_target(), good_target(), good_target()];
    let mut server = server().config(&config_of(&[("kept", &kept), ("gone", &gone)])).start();
    for job in ["kept", "gone"] {
        wait_for_value(&server, &format!("count_over_time(m{{job=\"{job}\"}}[1m]) > bool 2"), 1.0);
    }
    reload(&mut server, &config_of(&[("new", &new), ("kept", &kept)]), "configuration reloaded");
    wait_for_value(&server, "m{job=\"new\"}", 1.0);
    wait_until("the end of the removed target's series", PATIENCE, || {
        (value(&server, "m{job=\"gone\"}").is_none() && value(&server, "up{job=\"gone\"}").is_none())
            .then_some(())
    });
    wait_for_value(&server, "count_over_time(m{job=\"new\"}[1m]) > bool 3", 1.0);
    let line = wait_for_log(&server, &["configuration reloaded"]);
    assert!(line.contains("kept=1") && line.contains("started=1") && line.contains("stopped=1"), "{line}");
    let jobs: Vec<String> = targets(&server).into_keys().collect();
    assert_eq!(jobs, ["kept", "new"]);
    assert_no_gap(&server, "m{job=\"kept\"}", 200);

    reload(&mut server, "global:\n  nonsense: 1\n", "configuration not reloaded");
    let line = wait_for_log(&server, &["configuration not reloaded"]);
    assert!(line.contains("level=error") && line.contains("prometheus.yml:2:3: unknown field"), "{line}");
    let asked = new.requests().len();
    wait_until("scrapes after the failed reload", PATIENCE, || {
        (new.requests().len() > asked + 2).then_some(())
    });
    assert_eq!(targets(&server).len(), 2);
    let yaml = support::json(&server.get("/api/v1/status/config"))["data"]["yaml"].to_string();
    assert!(yaml.contains("job_name: new"), "{yaml}");
}

#[test]
fn a_target_whose_rhythm_changes_goes_on_without_an_end() {
    let target = good_target();
    let config = config_of(&[("a", &target)]);
    let mut server = server().config(&config).start();
    wait_for_value(&server, "count_over_time(m[1m]) > bool 2", 1.0);
    reload(&mut server, &config.replace("200ms", "300ms"), "configuration reloaded");
    let asked = target.requests().len();
    wait_until("scrapes in the new rhythm", PATIENCE, || (target.requests().len() > asked + 3).then_some(()));
    let all = support::instant(&server, "m[1m]");
    let samples = all.values().next().unwrap();
    assert!(samples.iter().all(|(_, bits)| *bits == 1.0_f64.to_bits()), "there is a marker: {samples:?}");
    // Markers are not shown in a matrix: where one was, the series would be away until the next scrape.
    let resets =
        support::range(&server, "count(m)", (samples[0].0, samples[samples.len() - 1].0, 10)).unwrap();
    let present = resets.values().next().unwrap().len() as i64;
    let steps = (samples[samples.len() - 1].0 - samples[0].0) / 10 + 1;
    assert_eq!(present, steps, "the series was away for {} steps of 10 ms", steps - present);
}

#[test]
fn a_target_whose_address_changes_ends_only_what_it_lacks() {
    let before = Server::start([Misbehaviour::text("m 1\nonly_before 1\n")]);
    let after = Server::start([Misbehaviour::text("m 1\nonly_after 1\n")]);
    let config = |target: &Server| {
        format!(
            "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: a\n  static_configs: \
             [{{targets: ['{}'], labels: {{instance: x}}}}]\n",
            target.address()
        )
    };
    let mut server = server().config(&config(&before)).start();
    wait_for_value(&server, "only_before", 1.0);
    reload(&mut server, &config(&after), "configuration reloaded");
    wait_for_value(&server, "only_after", 1.0);
    assert_eq!(value(&server, "only_before"), None, "it ends with the first scrape that lacks it");
    assert_eq!(value(&server, "m"), Some(1.0));
}

#[test]
fn a_proxy_in_the_environment_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let target = good_target();
    fs::write(folder.path().join("prometheus.yml"), config_of(&[("a", &target)])).unwrap();
    let port = free_port();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let mut command = Command::new(BINARY);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, &nobody);
    }
    let mut process = command
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .args(["server", "--config.file=prometheus.yml", &format!("--web.listen-address=127.0.0.1:{port}")])
        .current_dir(folder.path())
        .stderr(fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let _ended = Ended(&mut process);
    let mut last = String::new();
    let url = format!("http://127.0.0.1:{port}/api/v1/targets");
    let up = skopos_testkit::wait::poll(PATIENCE, || {
        last = http::get(&url).ok()?.text();
        assert!(!last.contains("\"health\":\"down\""), "{last}");
        last.contains("\"health\":\"up\"").then_some(())
    });
    assert!(up.is_some(), "{last}");
}

/// The samples of a series are never further apart than some intervals, also on a busy machine.
#[track_caller]
fn assert_no_gap(server: &Service, series: &str, interval_ms: i64) {
    let all = support::instant(server, &format!("{series}[5m]"));
    let samples = all.values().next().unwrap_or_else(|| panic!("there is no {series}"));
    let widest = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default();
    assert!(widest <= 5 * interval_ms, "{series} has a gap of {widest} ms: {samples:?}");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = server().config("global: {}\n").start();
    let data = format!("--storage.tsdb.path={}/data", server.folder().display());
    let address = format!("--web.listen-address=127.0.0.1:{}", free_port());
    let folder = tempfile::tempdir().unwrap();
    let said = failure(folder.path(), &["server", &data, &address]);
    let expected = format!("skopos: database at {}/data is in use", server.folder().display());
    assert!(said.contains(&expected) && said.contains("locked by process"), "{said}");
    assert_eq!(server.get("/-/healthy").status, 200, "the first one goes on");
}

#[test]
fn an_occupied_port_is_named() {
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = occupied.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    for role in ["server", "agent"] {
        let said = failure(folder.path(), &[role, &format!("--web.listen-address={address}")]);
        assert!(said.contains(&format!("cannot listen on {address}: Address already in use")), "{said}");
    }
}

#[test]
fn sigterm_finishes_what_is_under_way_and_waits_for_nobody_else() {
    let hanging = Server::start([Misbehaviour::NeverAnswers]);
    let config = config_of(&[("hangs", &hanging)]).replace("200ms", "8s, scrape_timeout: 8s");
    let mut server = server().config(&config).start();
    // A connection that is kept open without a request must not hold up the end.
    let idle = std::net::TcpStream::connect(server.address()).unwrap();
    let url = server.url("/api/v1/query?query=vector(1)");
    let asking = thread::spawn(move || {
        let mut answered = 0;
        while let Ok(response) = http::get(&url) {
            assert_eq!(response.status, 200, "{}", response.text());
            answered += 1;
        }
        answered
    });
    wait_until("a scrape that hangs", PATIENCE, || (!hanging.requests().is_empty()).then_some(()));
    let started = Instant::now();
    assert_eq!(server.terminate().code(), Some(0), "{}", server.log());
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());
    assert!(asking.join().unwrap() > 0);
    drop(idle);
    assert!(log_line(&server.log(), &["level=error"]).is_none(), "{}", server.log());
}

#[test]
fn a_request_under_way_at_sigterm_gets_its_answer() {
    let mut server = server().config("global: {}\n").start();
    // The head of the request is there; the rest of its body comes only after the signal.
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let form = format!("query={}", encoded("vector(7)"));
    let head = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n",
        form.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&form.as_bytes()[..3]).unwrap();
    skopos_testkit::let_live(Duration::from_millis(200));
    server.process().signal(Signal::TERM);
    wait_for_log(&server, &["stopping"]);
    stream.write_all(&form.as_bytes()[3..]).unwrap();
    let mut first = String::new();
    BufReader::new(&stream).read_line(&mut first).unwrap();
    assert_eq!(first, "HTTP/1.1 200 OK\r\n");
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn without_any_flag_the_server_listens_on_loopback_and_watches_this_machine() {
    // The port is the test's; the host is the default's, which the next line holds.
    let help = run(Path::new("/"), &["server", "--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("[default: localhost:9090]"), "{help}");
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut process = Command::new(BINARY)
        .args(["server", &format!("--web.listen-address=localhost:{port}")])
        .current_dir(folder.path())
        .stderr(fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let ended = Ended(&mut process);
    let started = Instant::now();
    let base = format!("http://127.0.0.1:{port}");
    wait_until("the server", PATIENCE, || {
        http::get(&format!("{base}/-/ready")).ok().filter(|r| r.status == 200)
    });
    let sockets = listening(ended.0.id());
    assert!(!sockets.is_empty() && sockets.iter().all(|address| is_loopback(address)), "{sockets:?}");
    let has = |query: &str| {
        let url = format!("{base}/api/v1/query?query={}", encoded(query));
        http::get(&url).is_ok_and(|r| r.text().contains("\"value\""))
    };
    for query in [
        "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
        "node_load1 + on(instance) node_load5",
        "node_filesystem_avail_bytes / node_filesystem_size_bytes",
        "node_time_seconds - node_boot_time_seconds",
        "count(count(node_cpu_seconds_total) by (cpu))",
        "sum by (instance) (irate(node_cpu_seconds_total{mode!=\"idle\"}[1m]))",
        "irate(node_network_receive_packets_total[1m]) + irate(node_network_transmit_packets_total[1m])",
    ] {
        wait_until(query, PATIENCE, || has(query).then_some(()));
    }
    assert!(started.elapsed() < Duration::from_secs(15), "it took {:?}", started.elapsed());
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains(&format!("open http://localhost:{port}/")), "{log}");
    assert!(folder.path().join("data/wal").is_dir(), "data goes to ./data");
}

/// A process that ends with the test.
struct Ended<'a>(&'a mut std::process::Child);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The addresses, in hexadecimal as the kernel writes them, on which a process listens.
fn listening(id: u32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{id}/fd")).unwrap().flatten();
    let links: Vec<String> =
        links.filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned())).collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{id}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // State 0A is "listening"; the tenth field is the socket's number.
            if fields[3] == "0A" && links.contains(&format!("socket:[{}]", fields[9])) {
                found.push(fields[1].to_owned());
            }
        }
    }
    found
}

fn is_loopback(address: &str) -> bool {
    address.starts_with("0100007F:") || address.starts_with("00000000000000000000000001000000:")
}

#[test]
fn flags_out_of_range_are_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, said) in [
        (["server", "--web.max-connections=18446744073709551615"], "--web.max-connections"),
        (["server", "--web.max-connections=0"], "--web.max-connections"),
        (["server", "--query.max-concurrency=0"], "--query.max-concurrency"),
        (["server", "--storage.tsdb.wal-compression-type=lz4"], "snappy, zstd, none"),
        (["agent", "--web.telemetry-path=metrics"], "must begin with /"),
    ] {
        let message = failure(folder.path(), &arguments);
        assert!(message.contains(said), "{arguments:?}: {message}");
    }
}

#[test]
fn a_subquery_without_a_step_takes_the_evaluation_interval_in_force() {
    let config = |interval: &str| format!("global: {{evaluation_interval: {interval}}}\n");
    let mut server = server().config(&config("5s")).start();
    let count = "count_over_time(vector(1)[5m:])";
    wait_for_value(&server, count, 60.0);
    reload(&mut server, &config("10s"), "configuration reloaded");
    wait_for_value(&server, count, 30.0);
}

#[test]
fn the_metrics_say_whether_the_last_reload_succeeded() {
    let mut server = server().config("global: {}\n").start();
    let succeeded = |server: &Service| {
        let page = server.get("/metrics").text();
        let line = page.lines().find(|l| l.starts_with("prometheus_config_last_reload_successful "));
        line.unwrap().to_owned()
    };
    assert!(succeeded(&server).ends_with(" 1"));
    reload(&mut server, "nonsense: 1\n", "configuration not reloaded");
    assert!(succeeded(&server).ends_with(" 0"));
    reload(&mut server, "global: {}\n", "configuration reloaded");
    assert!(succeeded(&server).ends_with(" 1"));
}

#[test]
fn the_agents_page_is_compressed_for_whom_it_asks() {
    let agent = Skopos::agent(BINARY).start();
    let plain = agent.get("/metrics");
    let packed = support::fetch(&agent.url("/metrics"), &[("Accept-Encoding", "gzip")]);
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() * 2 < plain.body.len());
}

#[test]
fn the_command_line_of_a_prometheus_starts_the_server() {
    let flags = [
        "--web.console.libraries=/etc/prometheus/console_libraries",
        "--web.console.templates=/etc/prometheus/consoles",
        "--storage.tsdb.retention.time=2h",
        "--web.enable-lifecycle",
        "--web.enable-admin-api",
        "--storage.tsdb.min-block-duration=5m",
        "--storage.tsdb.max-block-duration=5m",
        "--storage.tsdb.wal-segment-size=16MB",
        "--storage.tsdb.no-lockfile",
        "--enable-feature=native-histograms,exemplar-storage,delayed-compaction,no-such",
        "--web.enable-remote-write-receiver",
    ];
    let server = flags.iter().fold(server(), |server, flag| server.flag(flag)).start();
    wait_for_log(&server, &["--web.console.libraries changes nothing"]);
    wait_for_log(&server, &["--storage.tsdb.no-lockfile changes nothing"]);
    wait_for_log(
        &server,
        &["--enable-feature=exemplar-storage changes nothing: it is not needed, it is always on"],
    );
    wait_for_log(&server, &["--enable-feature=delayed-compaction changes nothing: it is not there yet"]);
    wait_for_log(&server, &["Unknown option for --enable-feature", "option=no-such"]);
    let ready =
        wait_until("it is ready", PATIENCE, || Some(server.get("/-/ready")).filter(|r| r.status != 503));
    assert_eq!((ready.status, ready.text().trim()), (200, "Skopos is ready."));
    // The flags that it knows are in force, and those that change nothing are not said to be.
    let flags = server.get("/api/v1/status/flags").text();
    for said in ["\"storage.tsdb.retention.time\":\"2h\"", "\"web.enable-lifecycle\":\"true\""] {
        assert!(flags.contains(said), "{said}: {flags}");
    }
    assert_eq!(
        http::request("POST", &server.url("/-/reload"), &[], &[]).unwrap().status,
        200,
        "--web.enable-lifecycle"
    );
}
