//! Requests in masses from strangers: whoever is known is answered meanwhile, targets lose no scrape, and
//! passwords that are wrong cost no more than half of the processors.

use crate::support::{BINARY, PATIENCE, assert_each_slot_has_one, encoded, json, peak_resident_bytes};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use skopos_testkit::{
    free_port, http,
    misbehaving::{Misbehaviour, Server},
    process::Process,
    wait_until,
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

const GOOD_INTERVAL_MS: i64 = 1000;
/// So many at a time ask without a pause.
const STRANGERS: usize = 16;
/// So often the one who is known asks meanwhile.
const QUESTIONS: usize = 40;
const RESIDENT_MAX_BYTES: u64 = 300 << 20;
/// What strangers ask for, the last of them as calls of gRPC begin.
const DOORS: [(&str, &str); 5] = [
    ("POST", "/api/v1/write"),
    ("POST", "/-/reload"),
    ("GET", "/api/v1/query?query=up"),
    ("POST", "/api/v1/otlp/v1/metrics"),
    ("POST", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"),
];

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Asks until `over`, each time with another password or with none; counts the answers by their statuses.
fn flood(
    url: &str,
    nth: usize,
    over: &AtomicBool,
    statuses: &Mutex<BTreeMap<u16, u64>>,
    refused: &AtomicU64,
) {
    for round in nth.. {
        if over.load(Relaxed) {
            return;
        }
        let (method, path) = DOORS[round % DOORS.len()];
        let wrong = basic(["alice", "nobody"][round % 2], &format!("guess {nth} {round}"));
        let mut headers = vec![("Content-Type", "application/x-protobuf")];
        // Half of them have no password at all, and wait for nothing.
        if nth.is_multiple_of(2) {
            headers.push(("Authorization", &wrong));
        }
        match http::request(
            method,
            &format!("{url}{path}"),
            &headers,
            if method == "POST" { b"x" } else { b"" },
        ) {
            Ok(answer) => *statuses.lock().unwrap().entry(answer.status).or_default() += 1,
            Err(_) => {
                refused.fetch_add(1, Relaxed);
            }
        }
    }
}

/// What the one who is known is answered.
fn ask(url: &str, query: &str) -> Option<Value> {
    let path = format!("{url}/api/v1/query?query={}", encoded(query));
    let known = basic("alice", "sesame");
    let answer = http::request("GET", &path, &[("Authorization", &known)], &[]).ok()?;
    (answer.status == 200).then(|| json(&answer))
}

/// How often the target has been scraped.
fn scrapes(url: &str) -> Option<usize> {
    Some(ask(url, "up[10m]")?["data"]["result"].get(0)?["values"].as_array()?.len())
}

/// All scrapes of the one target succeeded, and none was left out.
fn assert_no_scrape_is_missing(url: &str) {
    let all = ask(url, "up[10m]").unwrap();
    let samples = all["data"]["result"][0]["values"].as_array().unwrap();
    let sample = |sample: &Value| {
        let value: f64 = sample[1].as_str().unwrap().parse().unwrap();
        ((sample[0].as_f64().unwrap() * 1000.0).round() as i64, value.to_bits())
    };
    assert_each_slot_has_one("good", &samples.iter().map(sample).collect(), GOOD_INTERVAL_MS);
}

/// A server with one user, whose password has a hash of the cost that Prometheus' documentation uses.
fn serve(folder: &Path, target: &Server) -> (Process, String) {
    let hash = bcrypt::hash("sesame", 10).unwrap();
    fs::write(folder.join("web.yml"), format!("basic_auth_users: {{alice: '{hash}'}}\n")).unwrap();
    let config = format!(
        "scrape_configs:\n- {{job_name: good, scrape_interval: {GOOD_INTERVAL_MS}ms, static_configs: \
         [{{targets: ['{}']}}]}}\n",
        target.address()
    );
    fs::write(folder.join("prometheus.yml"), config).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(BINARY);
    command.current_dir(folder).args([
        "server",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--web.config.file=web.yml",
        "--web.enable-lifecycle",
        "--web.enable-remote-write-receiver",
        "--web.enable-otlp-receiver",
        &format!("--web.listen-address={address}"),
    ]);
    (Process::start("skopos server", command, &folder.join("log")).unwrap(), format!("http://{address}"))
}

#[test]
fn a_flood_of_strangers_keeps_nobody_who_is_known_from_answers_and_no_target_from_its_scrapes() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Server::start([Misbehaviour::text("m 1\n")]));
    let (process, url) = serve(folder.path(), &target);
    wait_until("some scrapes", PATIENCE, || scrapes(&url).filter(|scrapes| *scrapes > 3));
    let (over, statuses, refused) = (AtomicBool::new(false), Mutex::default(), AtomicU64::new(0));
    let longest = thread::scope(|scope| {
        for nth in 0..STRANGERS {
            let (url, over, statuses, refused) = (&url, &over, &statuses, &refused);
            scope.spawn(move || flood(url, nth, over, statuses, refused));
        }
        let ask = || {
            let began = Instant::now();
            let answered = scrapes(&url).is_some();
            (answered, began.elapsed())
        };
        let asked: Vec<_> = (0..QUESTIONS).map(|_| ask()).collect();
        let more = skopos_testkit::wait::poll(PATIENCE, || scrapes(&url).filter(|scrapes| *scrapes > 10));
        // Before anything is asserted: the flood ends by this alone.
        over.store(true, Relaxed);
        assert!(asked.iter().all(|(answered, _)| *answered) && more.is_some(), "who is known is answered");
        asked.iter().map(|(_, took)| *took).max()
    });
    let statuses = statuses.into_inner().unwrap();
    println!("{statuses:?}, {} without an answer; longest answer {longest:?}", refused.into_inner());
    assert!(statuses.keys().all(|status| [401, 503].contains(status)), "{statuses:?}");
    assert!(statuses[&401] > 50, "{statuses:?}");
    assert_no_scrape_is_missing(&url);
    let peak = peak_resident_bytes(process.id());
    assert!(peak < RESIDENT_MAX_BYTES, "{peak} bytes were resident");
}
