//! What is said of a query that runs: who asks it, and at the next start that the server died meanwhile.

use crate::support::{PATIENCE, ask, encoded, json, server, wait_for_log};
use serde_json::Value;
use skopos_testkit::{service::Service, wait_until};
use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

/// Takes as long as it may, and holds little: each of its windows has to be sorted.
const ENDLESS: &str = "count_over_time(quantile_over_time(0.5, vector(1)[1d:1s])[7d:1s])";

/// Asks for what does not end, on a connection that stays open.
fn ask_endlessly(server: &Service) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let path = format!("/api/v1/query?query={}", encoded(ENDLESS));
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream
}

fn active(server: &Service) -> Vec<Value> {
    json(&server.get("/api/v1/status/active_queries"))["data"].as_array().unwrap().clone()
}

#[test]
fn a_query_that_runs_says_who_asks_it_and_ends_with_its_client() {
    let server = server().start();
    let stream = ask_endlessly(&server);
    let shown = wait_until("the query among those that run", PATIENCE, || active(&server).first().cloned());
    assert_eq!(shown["query"], ENDLESS);
    assert_eq!(shown["remote_addr"], stream.local_addr().unwrap().to_string());
    drop(stream);
    wait_until("its end", PATIENCE, || active(&server).is_empty().then_some(()));
}

/// A query is cancelled so soon after its client has gone.
const CANCELLED_WITHIN: Duration = Duration::from_millis(100);

#[test]
fn a_query_ends_within_100_ms_of_its_client() {
    let server = server().start();
    let mut soonest = Duration::MAX;
    // Another process may take the processors for a while, but not at every attempt.
    for attempt in 1..=20 {
        let stream = ask_endlessly(&server);
        wait_until("the query among those that run", PATIENCE, || active(&server).first().cloned());
        drop(stream);
        let left = Instant::now();
        wait_until("its end", PATIENCE, || active(&server).is_empty().then_some(()));
        soonest = soonest.min(left.elapsed());
        let metrics = server.get("/metrics").text();
        let counted = format!("\nskopos_queries_cut_off_total{{by=\"client\"}} {attempt}\n");
        assert!(metrics.contains(&counted), "{counted}");
        if soonest <= CANCELLED_WITHIN {
            return;
        }
    }
    panic!(
        "of 20 queries none ended within {CANCELLED_WITHIN:?} of its client; the soonest took {soonest:?}"
    );
}

#[test]
fn slow_queries_are_logged_and_others_are_not() {
    let server = server().flag("--query.log-slower-than=100ms").start();
    assert_eq!(ask(&server, "/api/v1/query", &[("query", "1 + 41")]).status, 200);
    assert_eq!(ask(&server, "/api/v1/query", &[("query", ENDLESS), ("timeout", "300ms")]).status, 503);
    let line = wait_for_log(&server, &["slow query", ENDLESS]);
    assert!(line.contains("level=warn") && line.contains("path=/api/v1/query"), "{line}");
    let seconds = line.split("seconds=").nth(1).and_then(|rest| rest.split(' ').next());
    let seconds: f64 = seconds.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    assert!(seconds >= 0.1, "{line}");
    assert!(!server.log().contains("1 + 41"), "{}", server.log());
}

#[test]
fn queries_that_ran_when_the_server_died_are_named_at_its_next_start() {
    let mut server = server().start();
    let stream = ask_endlessly(&server);
    wait_until("the query among those that run", PATIENCE, || active(&server).first().cloned());
    let log = server.folder().join("data/queries.active");
    wait_until("the query in the file", PATIENCE, || has(&log, ENDLESS).then_some(()));
    server.kill9();
    drop(stream);
    server.restart();
    wait_for_log(&server, &["this query ran when the server ended without stopping", ENDLESS]);
    assert_eq!(server.get("/api/v1/query?query=1").status, 200);
    assert!(!has(&log, ENDLESS), "it is said once");
}

fn has(file: &Path, text: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|all| all.contains(text))
}
