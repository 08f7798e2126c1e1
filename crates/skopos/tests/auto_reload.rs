//! Files of the configuration are loaded as they change, all or nothing, and what goes on goes on.

use crate::support::{self, PATIENCE, server, targets};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    service::Service,
    wait_until,
};
use std::fs;

const FLAGS: [&str; 2] = ["--enable-feature=auto-reload-config", "--config.auto-reload-interval=100ms"];

fn config(jobs: &[&str], target: &Server) -> String {
    let job = |name: &&str| {
        format!("- job_name: {name}\n  static_configs: [{{targets: ['{}']}}]\n", target.address())
    };
    let jobs: String = jobs.iter().map(job).collect();
    format!("global: {{scrape_interval: 200ms}}\nscrape_configs:\n{jobs}")
}

fn write(server: &Service, text: &str) {
    let path = server.folder().join("prometheus.yml");
    fs::write(path.with_extension("new"), text).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}

fn last_reload(server: &Service) -> Option<f64> {
    let page = server.get("/metrics").text();
    let line = page.lines().find(|line| line.starts_with("prometheus_config_last_reload_successful "))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_file_that_changes_is_loaded_and_a_bad_one_changes_nothing() {
    let page = Server::start([Misbehaviour::text("m 1\n")]);
    let server = server().config(&config(&["a"], &page)).flag(FLAGS[0]).flag(FLAGS[1]).start();
    write(&server, &config(&["a", "b"], &page));
    wait_until("the new job", PATIENCE, || (targets(&server).len() == 2).then_some(()));
    write(&server, "nonsense: 1\n");
    wait_until("the failure", PATIENCE, || last_reload(&server).filter(|value| *value == 0.0));
    assert_eq!(targets(&server).len(), 2);
    assert!(server.log().contains("unknown field `nonsense`"), "{}", server.log());
    // The file that was loaded is back: nothing is wrong any more.
    write(&server, &config(&["a", "b"], &page));
    wait_until("the file of before", PATIENCE, || last_reload(&server).filter(|value| *value == 1.0));
    let path = server.folder().join("prometheus.yml");
    fs::rename(&path, path.with_extension("away")).unwrap();
    wait_until("no file", PATIENCE, || last_reload(&server).filter(|value| *value == 0.0));
    fs::rename(path.with_extension("away"), &path).unwrap();
    wait_until("the file again", PATIENCE, || last_reload(&server).filter(|value| *value == 1.0));
    assert_eq!(targets(&server).len(), 2);
    write(&server, &config(&["b"], &page));
    wait_until("the file that is mended", PATIENCE, || (targets(&server).len() == 1).then_some(()));
    assert_eq!(last_reload(&server), Some(1.0));
}

#[test]
fn without_the_feature_nothing_is_loaded_by_itself() {
    let page = Server::start([Misbehaviour::text("m 1\n")]);
    let server = server().config(&config(&["a"], &page)).flag(FLAGS[1]).start();
    write(&server, &config(&["a", "b"], &page));
    let scrapes = || support::instant(&server, "count_over_time(up[1m])");
    wait_until("further scrapes", PATIENCE, || {
        let all = scrapes();
        all.values().next().filter(|samples| f64::from_bits(samples[0].1) > 10.0).map(|_| ())
    });
    assert_eq!(targets(&server).len(), 1);
}

/// Whether a target of this job is known.
fn has(server: &Service, job: &str) -> Option<()> {
    let all = support::json(&server.get("/api/v1/targets"));
    let all = all["data"]["activeTargets"].as_array()?.clone();
    all.iter().any(|target| target["scrapePool"] == job).then_some(())
}

/// Twenty reloads while targets are scraped: the target that stays has one sample in each slot of its rhythm.
#[test]
fn reloads_under_load_lose_and_double_no_sample() {
    const SLOT_MS: i64 = 200;
    let page = Server::start([Misbehaviour::text("m 1\n")]);
    let server = server().config(&config(&["steady"], &page)).flag(FLAGS[0]).flag(FLAGS[1]).start();
    wait_until("the first scrape", PATIENCE, || {
        (!support::instant(&server, "up{job=\"steady\"}").is_empty()).then_some(())
    });
    for round in 0..20 {
        let other = format!("other{round}");
        write(&server, &config(&["steady", &other], &page));
        wait_until("the other job", PATIENCE, || has(&server, &other));
    }
    let all = support::instant(&server, "up{job=\"steady\"}[5m]");
    assert_eq!(all.len(), 1, "{all:?}");
    let samples = all.values().next().unwrap();
    assert!(samples.len() >= 8, "{samples:?}");
    // A scrape that comes late on a busy machine still belongs to its slot.
    let first = samples[0].0;
    let slots: Vec<_> = samples.iter().map(|(at, _)| (at - first + SLOT_MS / 2) / SLOT_MS).collect();
    let expected: Vec<_> = (0..samples.len() as i64).collect();
    assert_eq!(slots, expected, "{samples:?}");
    assert!(samples.iter().all(|(_, bits)| f64::from_bits(*bits) == 1.0), "{samples:?}");
}
