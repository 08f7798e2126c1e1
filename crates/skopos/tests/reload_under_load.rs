//! A configuration that changes every second while thousands of targets are scraped: those that it leaves as
//! they are keep their rhythm and their cache, and lose or double no sample.

use crate::support::{PATIENCE, Samples, assert_each_slot_has_one, instant, reload, server, value};
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
/// Long enough that a busy machine is late by less.
const INTERVAL_MS: i64 = 10_000;
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

/// Each target has one sample in each slot of its rhythm.
#[track_caller]
fn assert_none_is_missing(server: &Service) {
    let [up, m] = ["up", "m"].map(|metric| instant(server, &format!("{metric}{{job=\"stays\"}}[10m]")));
    assert_eq!([up.len(), m.len()], [TARGETS; 2]);
    for ((labels, up), (_, m)) in up.iter().zip(&m) {
        assert_each_slot_has_one(&format!("{labels:?}"), up, INTERVAL_MS);
        // Scrapes may have come between the two queries.
        let times = |samples: &Samples| samples.iter().map(|(t, _)| *t).collect::<Vec<_>>();
        assert!(times(m).starts_with(&times(up)), "{labels:?}: {up:?} {m:?}");
    }
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
    println!("longest reload {took:?}");
    assert_none_is_missing(&server);
    // A cache that began anew would have counted its series as added a second time.
    let added = value(&server, "max(sum_over_time(scrape_series_added{job=\"stays\"}[10m]))");
    assert_eq!(added, Some(2.0), "each target's series were added once");
}
