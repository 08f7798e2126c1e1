//! A configuration that changes every second while thousands of targets are scraped: those that it leaves as
//! they are keep their rhythm and their cache, and lose or double no sample.

use crate::support::{PATIENCE, instant, own_metric, reload, server, value};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    service::Service,
    wait_until,
};
use std::{
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

const TARGETS: usize = 2000;
const INTERVAL_MS: i64 = 5000;
const RELOADS: usize = 10;

/// Two thousand targets that stay, and some that are others after each reload.
fn config(target: &Server, round: usize) -> String {
    let mut stay = String::new();
    for n in 0..TARGETS {
        write!(stay, "{{targets: ['{}'], labels: {{n: 's{n}'}}}},", target.address()).unwrap();
    }
    let address = target.address();
    format!(
        "global: {{scrape_interval: {INTERVAL_MS}ms}}\nscrape_configs:\n\
         - {{job_name: stays, static_configs: [{stay}]}}\n\
         - {{job_name: changes, static_configs: [{{targets: ['{address}'], labels: {{r: 'r{round}'}}}}]}}\n\
         - {{job_name: 'job_{round}', static_configs: [{{targets: ['{address}']}}]}}\n"
    )
}

/// How many slots between the first and the last scrape of each target have no sample. Two samples of one
/// slot are an error.
#[track_caller]
fn missing(server: &Service, metric: &str) -> usize {
    let all = instant(server, &format!("{metric}{{job=\"stays\"}}[10m]"));
    assert_eq!(all.len(), TARGETS, "{metric}");
    let mut missing = 0;
    for (labels, samples) in &all {
        // A target's slots have the same place in each interval, and a scrape may be late by less than one.
        let slots: Vec<i64> =
            samples.iter().map(|(t, _)| (t - samples[0].0 + INTERVAL_MS / 2) / INTERVAL_MS).collect();
        assert!(slots.is_sorted_by(|a, b| a < b), "{labels:?} has two samples of one slot: {samples:?}");
        missing += slots.last().map_or(0, |last| *last as usize + 1 - slots.len());
    }
    missing
}

#[test]
fn two_thousand_targets_keep_their_rhythm_and_their_caches_over_reloads() {
    let target = Server::start([Misbehaviour::text("m 1\nn{a=\"b\"} 2\n")]);
    let server = server().config(&config(&target, 0)).flag("--web.enable-lifecycle").start();
    wait_until("all targets", PATIENCE * 2, || {
        (value(&server, "count(up{job=\"stays\"} == 1)") == Some(TARGETS as f64)).then_some(())
    });
    let mut took = Duration::ZERO;
    for round in 1..=RELOADS {
        let began = Instant::now();
        reload(&server, &config(&target, round));
        took = took.max(began.elapsed());
        thread::park_timeout(Duration::from_secs(1).saturating_sub(began.elapsed()));
    }
    wait_until("a last scrape of all", PATIENCE * 2, || {
        let behind = format!(
            "count(count_over_time(up{{job=\"stays\"}}[10m]) >= {})",
            RELOADS as i64 * 1000 / INTERVAL_MS + 2
        );
        (value(&server, &behind) == Some(TARGETS as f64)).then_some(())
    });
    // A slot that had passed before the target's turn came, on a machine that is busy with other things.
    let skipped = own_metric(&server, "prometheus_target_scrapes_skipped_total") as usize;
    let lacking = [missing(&server, "up"), missing(&server, "m")];
    println!("slots without a sample: {lacking:?}, {skipped} of them skipped; longest reload {took:?}");
    assert!(
        lacking.iter().all(|lacking| *lacking <= skipped),
        "{lacking:?} are missing, {skipped} were skipped"
    );
    let down = value(&server, "count(min_over_time(up{job=\"stays\"}[10m]) == 0)");
    assert_eq!(down, None, "all scrapes succeeded");
    // A cache that began anew would have counted its series as added a second time.
    let added = value(&server, "max(sum_over_time(scrape_series_added{job=\"stays\"}[10m]))");
    assert_eq!(added, Some(2.0), "each target's series were added once");
}
