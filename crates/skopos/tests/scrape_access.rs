//! How targets are spoken to: who we are, how connections are secured, how much they may answer; beside
//! Prometheus 3 over the same configuration.

use crate::{
    secured::{certificate, secured},
    support::{BINARY, PATIENCE, json, server, targets, wait_for_value},
};
use rustix::process::Signal;
use skopos_testkit::{
    misbehaving::{Misbehaviour, Request, Server},
    peers,
    port::free_port,
    process::Process,
    service::Service,
    wait_until,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
    process::Command,
};

/// Keys of jobs, which are told apart by their paths. `{dir}` is a folder with the files `secret` and `name`.
const JOBS: [&str; 18] = [
    "",
    "basic_auth: {username: me, password: hush}",
    "basic_auth: {username: me, password: 17}",
    "basic_auth: {username_file: '{dir}/name', password_file: '{dir}/secret'}",
    "authorization: {credentials: t0}",
    "authorization: {type: ' Token ', credentials_file: '{dir}/secret'}",
    "bearer_token: t1",
    "bearer_token_file: '{dir}/secret'",
    "enable_compression: false",
    "http_headers: {X-A: {values: [a, b]}, x-b: {secrets: [c], files: ['{dir}/secret']}}",
    "follow_redirects: false",
    "scrape_protocols: [PrometheusProto, PrometheusText0.0.4]",
    "scrape_protocols: [PrometheusText1.0.0, OpenMetricsText1.0.0, PrometheusText0.0.4, \
     OpenMetricsText0.0.1, PrometheusProto]",
    "scrape_protocols: [OpenMetricsText0.0.1]",
    "metric_name_validation_scheme: legacy, metric_name_escaping_scheme: underscores",
    "metric_name_escaping_scheme: dots",
    "{metric_name_escaping_scheme: values, scrape_protocols: [OpenMetricsText1.0.0], scrape_timeout: 500ms}",
    "{enable_http2: false, tls_config: {insecure_skip_verify: true}, params: {a: [b]}}",
];

fn config(target: &Server, dir: &Path) -> String {
    let mut text = "global: {scrape_interval: 1s}\nscrape_configs:\n".to_owned();
    for (nth, keys) in JOBS.iter().enumerate() {
        let keys = keys.replace("{dir}", &dir.display().to_string());
        let keys = keys.strip_prefix('{').and_then(|keys| keys.strip_suffix('}')).unwrap_or(&keys).to_owned();
        let keys = if keys.is_empty() { keys } else { format!("{keys}, ") };
        let address = target.address();
        writeln!(
            text,
            "- {{job_name: j{nth}, metrics_path: /{nth}, {keys}static_configs: [{{targets: ['{address}']}}]}}"
        )
        .unwrap();
    }
    text
}

/// What each job's target was sent, but for what tells the two systems apart.
fn asked(requests: Vec<Request>) -> BTreeMap<String, Vec<(String, String)>> {
    let of_a_job = |Request { line, mut headers }: Request| {
        headers.retain(|(name, _)| !["user-agent", "connection"].contains(&name.as_str()));
        headers.sort();
        (line, headers)
    };
    requests.into_iter().map(of_a_job).collect()
}

#[test]
fn targets_are_sent_what_prometheus_sends_them() {
    let Some(program) = peers::prometheus_3() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "of a file\n").unwrap();
    fs::write(folder.path().join("name"), "me\n").unwrap();
    let target = || Server::start([Misbehaviour::text("m 1\n")]);
    let (ours, theirs) = (target(), target());
    let _server = server().config(&config(&ours, folder.path())).start();
    let _peer = peers::prometheus_at(program, &config(&theirs, folder.path()), &["--log.level=error"]);
    let all = |target: &Server| {
        wait_until("a scrape of each job", PATIENCE, || {
            let asked = asked(target.requests());
            (asked.len() == JOBS.len()).then_some(asked)
        })
    };
    let (mut ours, mut theirs) = (all(&ours), all(&theirs));
    for headers in ours.values_mut().chain(theirs.values_mut()) {
        // Each system has a target of its own.
        headers.retain(|(name, _)| name != "host");
    }
    assert_eq!(ours, theirs);
    let authorized = ours.values().flatten().filter(|(name, _)| name == "authorization").count();
    assert_eq!(authorized, 7, "{ours:?}");
}

/// Paths with letters that mean something in a URL, and names and values of a parameter.
const ODD: [(&str, &str, &str); 25] = [
    ("/m?q", "", ""),
    ("/m#f", "#", "%"),
    ("/m%41", "a b", "c d"),
    ("/m%zz", "a", "%zz"),
    ("/m%", "ü", "ü"),
    ("/m b", "a", "&=?+"),
    ("/mü", "a", "'()*~!$,:@/;"),
    ("/m%3Fq", "a", "\"<>\\^`{|}[]"),
    ("/m+b&a=b;c", "a", "-_."),
    ("/m\"<[{|\\^`}]>", "a", "\n\t"),
    ("/m'(x)*!$,:=@~", "a?b", "é"),
    ("/m?a=b&c=d#e", "x", "1"),
    ("/m?%41", "x", "%2F"),
    ("/m\tx", "y", "1"),
    ("/m é%20", "y", "2"),
    ("/😀", "y", "3"),
    ("m", "y", "4"),
    ("//m", "y", "5"),
    ("/", "y", "6"),
    ("", "y", "7"),
    ("/a/../b", "y", "8"),
    ("/../a/./b//c", "y", "9"),
    ("/%2e%2e/m", "z", "1"),
    ("*", "z", "2"),
    ("/*", "z", "3"),
];

#[test]
fn urls_with_odd_letters_are_shown_and_asked_as_by_prometheus() {
    let Some(program) = peers::prometheus_3() else { return };
    let target = || Server::start([Misbehaviour::text("m 1\n")]);
    let config = |target: &Server| {
        let mut text = "global: {scrape_interval: 1s}\nscrape_configs:\n".to_owned();
        for (nth, (path, name, value)) in ODD.iter().enumerate() {
            let (plain, with) = (format!("p{nth}"), format!("q{nth}"));
            let targets = serde_json::json!([{"targets": [target.address()]}]);
            let job = |job_name, params: serde_json::Value| {
                serde_json::json!({"job_name": job_name, "metrics_path": path, "params": params,
                    "static_configs": targets})
            };
            writeln!(text, "- {}", job(plain, serde_json::json!({}))).unwrap();
            writeln!(text, "- {}", job(with, serde_json::json!({*name: [value, "more"]}))).unwrap();
        }
        text
    };
    let (to_ours, to_theirs) = (target(), target());
    let ours = server().config(&config(&to_ours)).start();
    let theirs = peers::prometheus_at(program, &config(&to_theirs), &["--log.level=error"]);
    let shown = |server: &Service, target: &Server| {
        let here = format!("http://{}", target.address());
        wait_until("a scrape of each job", PATIENCE, || {
            let data = json(&server.get("/api/v1/targets?state=active"))["data"].take();
            let of_file = |t: &&serde_json::Value| {
                t["discoveredLabels"]["__address__"] == target.address() && t["health"] == "up"
            };
            let urls = data["activeTargets"].as_array().unwrap().iter().filter(of_file).map(|t| {
                let url = t["scrapeUrl"].as_str().unwrap().strip_prefix(&here).unwrap();
                (t["scrapePool"].as_str().unwrap().to_owned(), url.to_owned())
            });
            Some(urls.collect::<BTreeMap<_, _>>()).filter(|urls| urls.len() == 2 * ODD.len())
        })
    };
    let (ours, theirs) = (shown(&ours, &to_ours), shown(&theirs, &to_theirs));
    assert_eq!(ours, theirs);
    let expected: BTreeSet<String> =
        ours.into_values().map(|url| if url.starts_with('/') { url } else { format!("/{url}") }).collect();
    for target in [&to_ours, &to_theirs] {
        let asked = target.requests().into_iter().map(|r| r.line.split(' ').nth(1).unwrap().to_owned());
        assert_eq!(asked.collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn a_target_with_tls_is_known_by_who_vouches_for_it_and_secrets_stay_out_of_sight() {
    let folder = tempfile::tempdir().unwrap();
    let [good, wrong] = ["ca.pem", "wrong.pem"].map(|name| folder.path().join(name));
    certificate(folder.path(), &wrong);
    certificate(folder.path(), &good);
    let port = free_port();
    let _target = secured(folder.path(), &format!("127.0.0.1:{port}"));
    let job = |name: &str, host: &str, tls: &str| {
        format!(
            "- {{job_name: {name}, scheme: https, bearer_token: hush, tls_config: {{{tls}}}, static_configs: \
             [{{targets: ['{host}:{port}']}}]}}\n"
        )
    };
    let config = [
        "global: {scrape_interval: 1s}\nscrape_configs:\n".to_owned(),
        job("good", "localhost", "ca_file: ca.pem"),
        job("named", "127.0.0.1", "ca_file: ca.pem, server_name: localhost"),
        job("blind", "127.0.0.1", "insecure_skip_verify: true"),
        job("wrong", "localhost", "ca_file: wrong.pem"),
        job("other", "127.0.0.1", "ca_file: ca.pem, server_name: other.example"),
        job("none", "localhost", ""),
    ];
    let file = folder.path().join("scrape.yml");
    fs::write(&file, config.concat()).unwrap();
    let server = server().flag(&format!("--config.file={}", file.display())).start();
    for job in ["good", "named", "blind"] {
        wait_for_value(&server, &format!("up{{job=\"{job}\"}}"), 1.0);
    }
    for job in ["wrong", "other", "none"] {
        wait_for_value(&server, &format!("up{{job=\"{job}\"}}"), 0.0);
        let error = targets(&server)[job].last_error.clone();
        assert!(error.contains("certificate"), "{job}: {error}");
    }
    let yaml = json(&server.get("/api/v1/status/config"))["data"]["yaml"].to_string();
    assert!(yaml.contains("<secret>") && yaml.contains("ca_file: "), "{yaml}");
    assert!(!yaml.contains("hush") && !server.log().contains("hush"));
}

#[test]
fn an_answer_beyond_the_limit_of_its_job_is_not_read() {
    let body: String = (0..100).map(|n| format!("m{n} 1\n")).collect();
    let [plain, compressed] =
        [Misbehaviour::text(&body), Misbehaviour::Gzip { body: body.clone().into_bytes() }]
            .map(|way| Server::start([way]));
    let job = |name: &str, target: &Server, keys: &str| {
        let address = target.address();
        format!("- {{job_name: {name}, {keys}static_configs: [{{targets: ['{address}']}}]}}\n")
    };
    let config = [
        "global: {scrape_interval: 1s, body_size_limit: 500B}\nscrape_configs:\n".to_owned(),
        job("plain", &plain, ""),
        job("compressed", &compressed, ""),
        job("larger", &plain, "body_size_limit: 1KB, "),
    ];
    let server = server().config(&config.concat()).start();
    wait_for_value(&server, "up{job=\"larger\"}", 1.0);
    for job in ["plain", "compressed"] {
        wait_for_value(&server, &format!("up{{job=\"{job}\"}}"), 0.0);
        let error = targets(&server)[job].last_error.clone();
        assert!(error.contains("longer than 500 bytes (body_size_limit)"), "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_ends_the_start_and_changes_nothing_at_a_reload() {
    let target = Server::start([Misbehaviour::text("m 1\n")]);
    let config = |tls: &str| {
        let address = target.address();
        format!(
            "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- {{job_name: j, tls_config: {{{tls}}}, \
             static_configs: [{{targets: ['{address}']}}]}}\n"
        )
    };
    let mut server = server().config(&config("")).start();
    wait_for_value(&server, "up", 1.0);
    let file = server.folder().join("prometheus.yml");
    fs::write(&file, config("ca_file: gone.pem")).unwrap();
    server.process().signal(Signal::HUP);
    wait_until("the reload to fail", PATIENCE, || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains("configuration not reloaded"))?;
        assert!(line.contains("job \\\"j\\\"") && line.contains("gone.pem"), "{line}");
        Some(())
    });
    let asked = target.requests().len();
    wait_until("more scrapes", PATIENCE, || (target.requests().len() > asked + 2).then_some(()));
    let refused = Command::new(BINARY)
        .args(["server", "--web.listen-address=127.0.0.1:0", "--config.file"])
        .arg(&file)
        .arg(format!("--storage.tsdb.path={}", server.folder().join("other").display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("gone.pem"), "{said}");
}

/// An agent that wants a user, read by ours and by Debian's Prometheus.
#[test]
fn a_target_that_wants_a_user_is_scraped_by_both() {
    let folder = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("hush", 4).unwrap();
    let web = folder.path().join("web.yml");
    fs::write(&web, format!("basic_auth_users: {{me: '{hash}'}}\n")).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(BINARY);
    command.args(["agent", "--collector.disable-defaults", "--collector.loadavg"]);
    command.arg(format!("--web.listen-address={address}"));
    command.arg(format!("--web.config.file={}", web.display()));
    let _agent = Process::start("agent", command, &folder.path().join("log")).unwrap();
    let job = |name: &str, password: &str| {
        format!(
            "- {{job_name: {name}, basic_auth: {{username: me, password: {password}}}, static_configs: \
             [{{targets: ['{address}']}}]}}\n"
        )
    };
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n{}{}",
        job("right", "hush"),
        job("wrong", "other")
    );
    let (ours, theirs) = (server().config(&config).start(), peers::prometheus(&config, &[]));
    let both: [&Service; 2] = [&ours, &theirs];
    for server in both {
        wait_for_value(server, "up{job=\"right\"}", 1.0);
        wait_for_value(server, "up{job=\"wrong\"}", 0.0);
        wait_for_value(server, "count(node_load1)", 1.0);
    }
    assert!(targets(&ours)["wrong"].last_error.contains("401"));
}
