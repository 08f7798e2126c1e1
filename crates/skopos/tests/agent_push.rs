//! `skopos agent --remote-write.url` beside a real Prometheus that receives: outages, kills, refusals,
//! metadata, new certificates, the end.

use crate::{
    secured::{certificate, secured},
    support::{BINARY, PATIENCE, Samples, instant},
};
use skopos_testkit::{free_port, peers, service::Service, skopos::Skopos, wait_until};
use std::fs;

const RECEIVING: &str = "--web.enable-remote-write-receiver";
/// A number for each collection, from 0 in each life of the agent, in what is sent itself.
const NUMBERED: &str = "skopos_remote_write_collections_total";

fn agent(receiver: &Service) -> Skopos {
    Skopos::agent(BINARY)
        .flag(&format!("--remote-write.url={}", receiver.url("/api/v1/write")))
        .flag("--remote-write.interval=200ms")
        .flag("--remote-write.label=instance=vm")
        .flag("--storage.agent.path={folder}/wal")
        .flag("--collector.disable-defaults")
        .flag("--collector.loadavg")
}

/// The value of a metric on the agent's page; of several series, of the first.
fn metric(agent: &Service, name: &str) -> f64 {
    let page = agent.get("/metrics").text();
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn wait_for(agent: &Service, name: &str, holds: impl Fn(f64) -> bool) -> f64 {
    wait_until(name, PATIENCE, || Some(metric(agent, name)).filter(|value| holds(*value)))
}

const PENDING: &str = "prometheus_remote_storage_samples_pending";
const COLLECTIONS: &str = "skopos_remote_write_collections_total ";

/// The numbers of the collections that the receiver has, in order of time, life by life of the agent.
fn received(receiver: &Service) -> Vec<Vec<f64>> {
    let matrix = instant(receiver, &format!("{NUMBERED}{{instance=\"vm\",job=\"node\"}}[1h]"));
    let samples: Samples = matrix.into_values().flatten().collect();
    assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{samples:?}");
    let numbers: Vec<f64> = samples.iter().map(|(_, bits)| f64::from_bits(*bits)).collect();
    numbers.chunk_by(|a, b| b > a).map(<[f64]>::to_vec).collect()
}

#[test]
fn an_outage_and_a_kill_cost_no_interval() {
    let mut receiver = peers::prometheus("", &[RECEIVING]);
    let mut agent = agent(&receiver).start();
    wait_until("samples to be received", PATIENCE, || (!received(&receiver).is_empty()).then_some(()));
    receiver.terminate();
    let already = metric(&agent, COLLECTIONS);
    wait_for(&agent, COLLECTIONS, |n| n >= already + 5.0);
    let pending = wait_for(&agent, PENDING, |n| n > 50.0);
    let durable = metric(&agent, COLLECTIONS);
    agent.kill9();
    agent.restart();
    assert!(metric(&agent, PENDING) >= pending, "what waited waits still");
    wait_for(&agent, COLLECTIONS, |n| n >= 5.0);
    assert!(agent.get("/metrics").text().contains("\nnode_load1 "), "the page answers meanwhile");
    receiver.restart();
    let second = metric(&agent, COLLECTIONS);
    wait_for(&agent, "prometheus_remote_storage_samples_total", |n| n > 0.0);
    wait_for(&agent, PENDING, |n| n < 50.0);
    assert!(agent.terminate().success(), "{}", agent.log());
    let lives = received(&receiver);
    assert_eq!(lives.len(), 2, "{lives:?}");
    for life in &lives {
        let expected: Vec<f64> = (0..life.len()).map(|n| n as f64).collect();
        assert_eq!(life, &expected, "every collection is there, in order");
    }
    assert!(
        lives[0].len() as f64 >= durable && lives[1].len() as f64 >= second,
        "{lives:?} {durable} {second}"
    );
    let ups = instant(&receiver, "count_over_time(up{job=\"node\",instance=\"vm\"}[1h])");
    let ups: Vec<f64> = ups.into_values().flatten().map(|(_, bits)| f64::from_bits(bits)).collect();
    assert_eq!(ups, [(lives[0].len() + lives[1].len()) as f64]);
    let log = agent.log();
    assert!(log.contains("samples cannot be sent now: they wait"), "{log}");
    assert!(log.contains("the server takes samples again"), "{log}");
}

#[test]
fn what_is_refused_is_counted_and_said_once_without_secrets() {
    // Without its flag it refuses with 404.
    let receiver = peers::prometheus("", &[]);
    let url = receiver.url("/api/v1/write").replace("http://", "http://me:hush@");
    let agent = Skopos::agent(BINARY)
        .flag(&format!("--remote-write.url={url}?token=hush"))
        .flag("--remote-write.header=X-Key=hush")
        .flag("--remote-write.interval=100ms")
        .flag("--storage.agent.path={folder}/wal")
        .flag("--log.level=debug")
        .start();
    wait_for(&agent, "prometheus_remote_storage_samples_failed_total", |n| n > 2000.0);
    let log = agent.log();
    assert_eq!(log.matches("refuses samples").count(), 1, "{log}");
    assert!(!log.contains("hush") && !log.contains("bWU6aHVzaA"), "{log}");
    assert!(!agent.get("/metrics").text().contains("hush"));
}

#[test]
fn a_file_of_metrics_does_not_say_whether_the_agent_is_up() {
    let receiver = peers::prometheus("", &[RECEIVING]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.prom"), "up 0\nup{a=\"1\"} 0\nmine 3\n").unwrap();
    let agent = agent(&receiver)
        .flag(&format!("--collector.textfile.directory={}", folder.path().display()))
        .flag("--collector.textfile")
        .start();
    wait_for(&agent, "prometheus_remote_storage_samples_total", |n| n > 100.0);
    let shown =
        receiver.get("/api/v1/query?query=%7B__name__%3D~%22up%7Cmine%7Cnode_textfile_scrape_error%22%7D");
    let body: serde_json::Value = serde_json::from_str(&shown.text()).unwrap();
    let mut values: Vec<_> = body["data"]["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| {
            format!(
                "{} {}",
                series["metric"]["__name__"].as_str().unwrap(),
                series["value"][1].as_str().unwrap()
            )
        })
        .collect();
    values.sort();
    assert_eq!(values, ["mine 3", "node_textfile_scrape_error 1", "up 1"], "{body}");
    let log = agent.log();
    assert_eq!(log.matches("a family of the agent's own").count(), 1, "{log}");
    assert!(agent.get("/metrics").text().contains("\nup 0\n"), "a page that is scraped has it");
}

#[test]
fn damage_of_the_queue_is_named_with_its_place() {
    let mut receiver = peers::prometheus("", &[RECEIVING]);
    receiver.terminate();
    let mut agent = agent(&receiver).start();
    // The newest one is looked through at the start.
    wait_for(&agent, COLLECTIONS, |n| n >= 4.0);
    agent.kill9();
    let wal = agent.folder().join("wal");
    let is_segment = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
    };
    let mut files: Vec<_> = std::fs::read_dir(&wal).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(is_segment);
    let file = files.iter().min().unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    // Within the body of the first record, behind the file's head and the record's.
    bytes[8 + 32 + 40] ^= 1;
    std::fs::write(file, bytes).unwrap();
    agent.restart();
    receiver.restart();
    let said = wait_until("damage to be named", PATIENCE, || {
        agent.log().lines().find(|line| line.contains("a record of the queue is damaged")).map(str::to_owned)
    });
    assert!(said.contains(file.to_str().unwrap()) && said.contains("offset=8 "), "{said}");
}

#[test]
fn a_queue_is_of_one_process() {
    let receiver = peers::prometheus("", &[RECEIVING]);
    let first = agent(&receiver).start();
    let wal = format!("--storage.agent.path={}/wal", first.folder().display());
    let url = format!("--remote-write.url={}", receiver.url("/api/v1/write"));
    let second = std::process::Command::new(BINARY)
        .args(["agent", "--web.listen-address=127.0.0.1:0", &wal, &url])
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("is in use by another process"), "{said}");
}

#[test]
fn types_and_help_are_told_to_a_server_that_takes_samples() {
    let receiver = peers::prometheus("", &[RECEIVING]);
    let agent = agent(&receiver).flag("--remote-write.metadata-interval=500ms").start();
    let families = agent.get("/metrics").text().lines().filter(|line| line.starts_with("# TYPE ")).count();
    let told = "prometheus_remote_storage_metadata_total";
    // More than once, and all of them each time; what is sent has families of its own.
    wait_for(&agent, told, |n| n >= 3.0 * families as f64 - 50.0);
    assert_eq!(metric(&agent, "prometheus_remote_storage_metadata_failed_total"), 0.0);
    let silent = Skopos::agent(BINARY)
        .flag(&format!("--remote-write.url={}", receiver.url("/api/v1/write")))
        .flag("--remote-write.interval=200ms")
        .flag("--remote-write.metadata-interval=0s")
        .flag("--storage.agent.path={folder}/wal")
        .start();
    wait_for(&silent, "prometheus_remote_storage_samples_total", |n| n > 2000.0);
    assert_eq!(metric(&silent, told), 0.0);
}

#[test]
fn a_new_authority_needs_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    certificate(folder.path(), &authority);
    let port = free_port();
    let mut receiver = secured(folder.path(), &format!("127.0.0.1:{port}"));
    let agent = Skopos::agent(BINARY)
        .flag(&format!("--remote-write.url=https://localhost:{port}/api/v1/write"))
        .flag(&format!("--remote-write.tls.ca-file={}", authority.display()))
        .flag("--remote-write.interval=200ms")
        .flag("--storage.agent.path={folder}/wal")
        .flag("--collector.disable-defaults")
        .flag("--collector.loadavg")
        .flag("--log.level=debug")
        .start();
    let sent = "prometheus_remote_storage_samples_total";
    wait_for(&agent, sent, |n| n > 0.0);
    receiver.kill9();
    let next = folder.path().join("next-ca.pem");
    certificate(folder.path(), &next);
    let before = metric(&agent, sent);
    let _again = secured(folder.path(), &format!("127.0.0.1:{port}"));
    wait_until("the new certificate to be refused", PATIENCE, || {
        agent.log().contains("invalid peer certificate").then_some(())
    });
    assert_eq!(metric(&agent, sent), before, "nobody vouches for the server");
    fs::rename(&next, &authority).unwrap();
    wait_for(&agent, sent, |n| n > before);
    wait_for(&agent, PENDING, |n| n < 50.0);
    assert!(agent.log().contains("connections have new certificates"), "{}", agent.log());
}
