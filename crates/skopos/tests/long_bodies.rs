//! Bodies of very many lines, from hostile targets: they are read while they come, so that they take no
//! memory beyond that of the series they have, and others lose no scrape.

use crate::support::{
    PATIENCE, assert_no_scrape_is_missing, own_metric, peak_resident_bytes, reload, server, targets, value,
    wait_for_target,
};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    skopos::Skopos,
    wait_until,
};
use std::fmt::Write as _;

/// More than a body has that is held: about 80 MB of a series each.
const LINES: usize = 1_600_000;
/// And of a few series: 160 MB.
const LINES_OF_FEW: usize = 10_000_000;
/// And with an error behind them: 80 MB.
const LINES_BEFORE_ERROR: usize = 5_000_000;
/// How much memory such bodies may take beyond what their series need.
const MORE_MAX_BYTES: u64 = 32 << 20;
const GOOD_INTERVAL_MS: i64 = 1000;
/// With a scrape a second more than a million in a minute.
const NEW_SERIES: usize = 20_000;
/// A long body has time to come, also on a slow machine.
const LONG: &str = "scrape_interval: 45s, scrape_timeout: 45s";

fn config(good: &Server, more: &str) -> String {
    format!(
        "scrape_configs:\n- {{job_name: good, scrape_interval: {GOOD_INTERVAL_MS}ms, \
         static_configs: [{{targets: ['{}']}}]}}\n{more}",
        good.address()
    )
}

#[test]
fn bodies_of_very_many_lines_take_no_memory_but_that_of_their_series() {
    let good = Server::start([Misbehaviour::text("m 1\n")]);
    let of = |lines, series, last| Server::start([Misbehaviour::ManyLines { lines, series, last }]);
    // Ever the same series; more of them than the target may have; an error behind all.
    let (again, many, broken) =
        (of(LINES_OF_FEW, 10, ""), of(LINES, LINES, ""), of(LINES_BEFORE_ERROR, 10, "broken{ 1\n"));
    let job = |name: &str, server: &Server| {
        format!(
            "- {{job_name: {name}, {LONG}, max_series: 100, static_configs: [{{targets: ['{}']}}]}}\n",
            server.address()
        )
    };
    let mut server = server().config(&config(&good, "")).flag("--web.enable-lifecycle").start();
    wait_until("some scrapes", PATIENCE, || value(&server, "count_over_time(up[1m]) > 5"));
    let before = peak_resident_bytes(server.process().id());
    let jobs = job("again", &again) + &job("many", &many) + &job("broken", &broken);
    reload(&server, &config(&good, &jobs));
    for (name, health) in [("again", "up"), ("many", "up"), ("broken", "down")] {
        wait_until(&format!("a scrape of {name}"), PATIENCE * 4, || {
            (targets(&server)[name].health == health).then_some(())
        });
    }
    wait_for_target(&server, "again", "up", &format!("{} samples were refused", LINES_OF_FEW - 10));
    let beyond = format!("{} samples were refused; the first: limit max_series (of the job)", LINES - 100);
    wait_for_target(&server, "many", "up", &beyond);
    wait_for_target(&server, "broken", "down", &format!("line {}, column 9: ", LINES_BEFORE_ERROR + 1));
    let stored = |job: &str| value(&server, &format!("count({{job=\"{job}\",number!=\"\"}})"));
    assert_eq!([stored("again"), stored("many"), stored("broken")], [Some(10.0), Some(100.0), None]);
    let scraped = value(&server, "scrape_samples_scraped{job=\"many\"}");
    assert_eq!(scraped, Some(LINES as f64));
    assert_no_scrape_is_missing(&server, "good", GOOD_INTERVAL_MS);
    let more = peak_resident_bytes(server.process().id()) - before;
    let took = value(&server, "scrape_duration_seconds{job=\"again\"}");
    println!("{} MiB before, {} MiB more at the peak; {took:?} s for all lines", before >> 20, more >> 20);
    assert!(more <= MORE_MAX_BYTES, "{more} bytes more were resident");
}

/// A body of series that no other one has.
fn ever_new(scrape: usize) -> Misbehaviour {
    let mut body = String::new();
    for i in 0..NEW_SERIES {
        writeln!(body, "churn{{scrape=\"{scrape}\",i=\"{i}\"}} 1").unwrap();
    }
    Misbehaviour::text(&body)
}

#[test]
fn a_million_new_series_a_minute_fill_one_targets_own_bound() {
    let good = Server::start([Misbehaviour::text("m 1\n")]);
    // Each scrape has others: at least a million in a minute.
    let bodies = (0..40).map(ever_new);
    let new = Server::start(bodies);
    let jobs = format!(
        "- {{job_name: new, scrape_interval: 1s, static_configs: [{{targets: ['{}']}}]}}\n",
        new.address()
    );
    let server = Skopos::flag(server(), "--scrape.max-series-per-target=30000");
    let mut server = server.config(&config(&good, &jobs)).start();
    wait_until("most bodies", PATIENCE * 2, || (new.requests().len() > 30).then_some(()));
    wait_for_target(&server, "new", "up", "limit scrape.max-series-per-target of 30000 reached");
    let series = own_metric(&server, "prometheus_tsdb_head_series");
    assert!(series < 31_000.0, "{series} series are in the head");
    let refused = value(&server, "scrape_samples_scraped{job=\"new\"}");
    assert_eq!(refused, Some(NEW_SERIES as f64));
    assert_no_scrape_is_missing(&server, "good", GOOD_INTERVAL_MS);
    let peak = peak_resident_bytes(server.process().id());
    println!("{series} series, peak of resident memory: {} MiB", peak >> 20);
    assert!(peak < 300 << 20, "{peak} bytes were resident");
}
