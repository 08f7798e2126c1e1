//! `RemoteSource` against a server that writes down what it is asked.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use skopos_base::{secret::Secret, sim::SimWorld};
use skopos_client::{
    HttpConfig,
    config::{Authorization, BasicAuth},
};
use skopos_model::{DurationMs, TimestampMs};
use skopos_promql::{Steps, parse};
use skopos_rules::{
    remote::RemoteSource,
    source::{Answer, RangeSource, SourceError},
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

const MATRIX: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;

/// First line, `Authorization` and body.
type Request = (String, String, String);

/// Asks a server that gives these answers (status and body) one after the other; gives what came of it, and
/// the requests.
fn ask(
    http: &HttpConfig,
    prefix: &str,
    answers: &'static [(&str, &str)],
) -> (Result<Answer, SourceError>, Vec<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}{prefix}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut requests = Vec::new();
        for (status, answer) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                lines.push(line.trim().to_owned());
            }
            let header = |name: &str| {
                let found = lines.iter().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
                found.unwrap_or_default().to_owned()
            };
            let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            requests.push((lines[0].clone(), header("authorization"), String::from_utf8(body).unwrap()));
            let len = answer.len();
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
            stream.write_all((head + answer).as_bytes()).unwrap();
        }
        requests
    });
    let mut source = RemoteSource::new(&url, http, &SimWorld::new(1).env().fs).unwrap();
    let steps = Steps {
        start: TimestampMs::new(1_700_000_017_110),
        end: TimestampMs::new(1_700_000_020_000),
        step: DurationMs::from_ms(1500),
    };
    let answer = source.range(&parse("a + b").unwrap(), steps);
    (answer, server.join().unwrap())
}

const FORM: &str = "query=a+%2B+b&start=1700000017.11&end=1700000020&step=1.5";

#[test]
fn a_query_is_posted_behind_the_prefix_with_its_credentials() {
    let secret = |text: &str| Secret::new(text.to_owned());
    let basic = BasicAuth { username: "me".into(), password: secret("hush"), ..BasicAuth::default() };
    let basic = HttpConfig { basic_auth: Some(basic), ..HttpConfig::default() };
    let token = Some(Authorization::bearer(secret("t0"), None));
    let token = HttpConfig { authorization: token, ..HttpConfig::default() };
    for (http, authorization) in
        [(HttpConfig::default(), ""), (basic, "Basic bWU6aHVzaA=="), (token, "Bearer t0")]
    {
        let (answer, requests) = ask(&http, "/p/", &[("200", MATRIX)]);
        assert_eq!(answer.unwrap(), Answer::default());
        let line = "POST /p/api/v1/query_range HTTP/1.1";
        assert_eq!(requests, [(line.to_owned(), authorization.to_owned(), FORM.to_owned())]);
    }
}

#[test]
fn a_server_that_knows_no_post_is_asked_with_get() {
    for status in [&[("405", ""), ("200", MATRIX)], &[("501", "no"), ("200", MATRIX)]] {
        let (answer, requests) = ask(&HttpConfig::default(), "", status);
        assert_eq!(answer.unwrap(), Answer::default());
        assert_eq!(requests[1].0, format!("GET /api/v1/query_range?{FORM} HTTP/1.1"));
    }
}

#[test]
fn a_refusal_and_a_cut_answer_are_told_apart() {
    let (answer, _) = ask(&HttpConfig::default(), "", &[("401", "who are you?\n")]);
    assert!(matches!(answer, Err(SourceError::Refused { status: 401, .. })), "{answer:?}");
    let (answer, _) = ask(&HttpConfig::default(), "", &[("200", "{\"status\":\"succ")]);
    assert!(matches!(answer, Err(SourceError::Answer { .. })), "{answer:?}");
    let (answer, _) = ask(&HttpConfig::default(), "", &[]);
    assert!(matches!(answer, Err(SourceError::Connection { .. })), "{answer:?}");
}
