//! Bounds of a running server on what targets may bring: named where they are reached, counted, the same
//! behind a restart, and changed by a reload.

use crate::support::{server, value, wait_for_target, wait_for_value};
use rustix::process::Signal;
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    service::Service,
};
use std::{fmt::Write as _, fs, ops::Range};

fn body(series: Range<usize>) -> Misbehaviour {
    let mut out = String::new();
    series.for_each(|i| writeln!(out, "m{{i=\"{i}\"}} 1").unwrap());
    Misbehaviour::text(&out)
}

fn config(limited: &Server, free: &Server, keys: &str) -> String {
    format!(
        "global: {{scrape_interval: 100ms}}\nscrape_configs:\n\
         - {{job_name: limited, {keys} static_configs: [{{targets: ['{}']}}]}}\n\
         - {{job_name: free, max_series: 0, static_configs: [{{targets: ['{}']}}]}}\n",
        limited.address(),
        free.address()
    )
}

/// One of the server's own metrics.
fn own(server: &Service, name: &str) -> f64 {
    let text = server.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

const REFUSED: &str = "skopos_scrape_samples_beyond_max_series_total";

#[test]
fn series_beyond_those_that_a_target_may_have_are_refused_also_behind_a_restart() {
    let (limited, free) = (Server::start([body(0..15)]), Server::start([body(0..15)]));
    let start = server().config(&config(&limited, &free, "")).flag("--scrape.max-series-per-target=10");
    let mut server = start.start();
    let reached = "limit scrape.max-series-per-target of 10 reached";
    wait_for_target(&server, "limited", "up", reached);
    wait_for_target(&server, "limited", "up", "5 samples were refused; the first: limit ");
    wait_for_target(&server, "free", "up", "");
    wait_for_value(&server, "count(m{job=\"limited\"})", 10.0);
    wait_for_value(&server, "count(m{job=\"free\"})", 15.0);
    assert_eq!(value(&server, "up{job=\"limited\"}"), Some(1.0));
    assert_eq!(own(&server, "skopos_scrape_max_series_per_target"), 10.0);
    assert!(own(&server, REFUSED) >= 5.0);
    assert!(own(&server, "skopos_tsdb_refused_series_per_source_total") >= 5.0);

    // The target shows other series from now on; those from before count as long as they are in the head.
    limited.behave([body(5..15)]);
    for crash in [true, false] {
        if crash {
            server.kill9();
        }
        server.restart();
        wait_for_target(&server, "limited", "up", "5 samples were refused");
        wait_for_target(&server, "limited", "up", reached);
        assert_eq!(value(&server, "count(m{job=\"limited\",i=~\"1.\"})"), None, "none is new");
        assert!(own(&server, REFUSED) >= 5.0);
    }

    // A reload changes the bound of the job without a restart.
    let file = server.folder().join("prometheus.yml");
    fs::write(file, config(&limited, &free, "max_series: 12,")).unwrap();
    server.process().signal(Signal::HUP);
    wait_for_target(&server, "limited", "up", "limit max_series (of the job) of 12 reached");
    wait_for_value(&server, "count(m{job=\"limited\",i=~\"1.\"})", 2.0);
}
