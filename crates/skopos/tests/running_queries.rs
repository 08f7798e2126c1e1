//! What is said of a query that runs: who asks it, and at the next start that the server died meanwhile.

use crate::support::{PATIENCE, encoded, json, server, wait_for_log};
use serde_json::Value;
use skopos_testkit::{service::Service, wait_until};
use std::{fs, io::Write as _, net::TcpStream, path::Path};

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
