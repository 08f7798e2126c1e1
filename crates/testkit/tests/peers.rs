//! Real peers start, answer, survive a crash and are gone afterwards.

use std::path::Path;
use std::time::Duration;

use skopos_testkit::{http, peers, wait_until};

fn is_alive(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn node_exporter_serves_metrics_and_is_gone_with_its_handle() {
    let mut exporter = peers::node_exporter(&["--collector.disable-defaults", "--collector.loadavg"]);
    let id = exporter.process().id();
    let answer = exporter.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.text().lines().any(|line| line.starts_with("node_load1 ")), "{}", answer.text());
    drop(exporter);
    assert!(!is_alive(id));
}

#[test]
fn prometheus_scrapes_what_it_is_told_and_comes_back_after_a_crash() {
    let exporter = peers::node_exporter(&["--collector.disable-defaults", "--collector.loadavg"]);
    let config = format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs:\n- job_name: node\n  static_configs:\n  - targets: ['{}']\n",
        exporter.address()
    );
    let mut prometheus = peers::prometheus(&config, &["--log.level=warn"]);
    let up = |prometheus: &skopos_testkit::service::Service| {
        let answer = http::get(&prometheus.url("/api/v1/query?query=up")).ok()?;
        answer.text().contains(r#""job":"node""#).then_some(())
    };
    wait_until("the first scrape", Duration::from_secs(30), || up(&prometheus));
    let first = prometheus.process().id();
    prometheus.kill9();
    prometheus.restart();
    assert_ne!(prometheus.process().id(), first);
    wait_until("a sample after the crash", Duration::from_secs(30), || up(&prometheus));
    let id = prometheus.process().id();
    assert_eq!(prometheus.terminate().code(), Some(0), "{}", prometheus.log());
    assert!(!is_alive(first) && !is_alive(id));
}

#[test]
fn a_peer_that_refuses_its_configuration_shows_its_log() {
    let refused = std::panic::catch_unwind(|| peers::prometheus("no_such_field: 1\n", &[]));
    let message = *refused.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("Prometheus ended before it was ready"), "{message}");
    assert!(message.contains("no_such_field"), "{message}");
}
