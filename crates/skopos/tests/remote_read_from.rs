//! Queries read from other servers too (`remote_read`): real ones, streamed, and our own. What they answer is
//! what those servers answer themselves; one that is away or wrong costs a warning.

use crate::support::{PATIENCE, ask, instant, json, peak_resident_bytes, range, server};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    peers,
    remote::{self, Protocol},
    series::{Content, Series, Value},
    service::Service,
    wait_until,
};
use std::{
    io::Write as _,
    net::TcpStream,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

const RECEIVING: &str = "--web.enable-remote-write-receiver";

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Counters of some jobs, a sample every ten seconds for 20 minutes up to `end`; samples of one in the middle
/// of it are missing.
fn content(end: i64, external: &[(&str, &str)]) -> Content {
    let mut content = Content::new();
    for i in 0..40_i64 {
        let of = |n: i64| (end - 1_200_000 + n * 10_000, Value::float((n * (i + 1)) as f64));
        let samples = (0..120).filter(|n| i != 7 || !(40..80).contains(n)).map(of).collect();
        let (job, i) = (format!("j{}", i % 4), i.to_string());
        let own = [("__name__", "counted_total"), ("i", &*i), ("job", &*job)];
        let pairs = own.iter().chain(external).map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        content.insert(pairs.collect(), Series { samples, ..Series::default() });
    }
    content
}

fn reader(more: &str) -> Service {
    server().config(&format!("global: {{external_labels: {{site: s}}}}\nremote_read:\n{more}")).start()
}

const QUERIES: [&str; 5] = [
    "counted_total{job=\"j1\"}",
    "sum by (job) (rate(counted_total[2m]))",
    "count(counted_total{job=~\"j[12]\", i!=\"5\"})",
    "max_over_time(counted_total{i=\"7\"}[5m])",
    "counted_total - counted_total offset 1m",
];

#[test]
fn answers_are_those_of_the_servers_that_are_read_from() {
    let end = now_ms() / 10_000 * 10_000;
    let mut peers = vec![
        ("Prometheus 2.42", peers::prometheus("", &[RECEIVING])),
        ("ours", server().config("global: {}\n").flag(RECEIVING).start()),
    ];
    if let Some(three) = peers::prometheus_3() {
        peers.push(("Prometheus 3", peers::prometheus_at(three, "", &[RECEIVING])));
    }
    for (_, peer) in &peers {
        remote::write(peer, Protocol::V1, &content(end, &[]));
    }
    for (name, peer) in &peers {
        let url = peer.url("/api/v1/read");
        let reader = reader(&format!("- url: {url}\n  read_recent: true\n  filter_external_labels: false\n"));
        for query in QUERIES {
            let steps = (end - 1_100_000, end, 30_000);
            // Windows of 2.42 have both of their ends: there what ours says of the same samples counts.
            let of = if *name == "Prometheus 2.42" && query.contains('[') { &peers[1].1 } else { peer };
            let (theirs, read) = (range(of, query, steps).unwrap(), range(&reader, query, steps).unwrap());
            assert!(!theirs.is_empty() && theirs == read, "{name}: {query}");
        }
        let series = |server| {
            let (start, end) = (((end - 1_200_000) / 1000).to_string(), (end / 1000).to_string());
            let params = [("match[]", "counted_total{job=\"j1\"}"), ("start", &*start), ("end", &*end)];
            let mut all = json(&ask(server, "/api/v1/series", &params))["data"].as_array().unwrap().clone();
            all.sort_by_key(ToString::to_string);
            all
        };
        assert_eq!(series(&reader), series(peer), "{name}");
        let page = reader.get("/metrics").text();
        let counted = page.lines().find(|line| {
            line.starts_with("prometheus_remote_storage_read_queries_total{code=\"200\"")
                && !line.ends_with(" 0")
        });
        assert!(counted.is_some(), "{page}");
    }
    // All of them at once are one, and of what several have one is taken.
    let all: String = peers
        .iter()
        .map(|(_, peer)| {
            format!(
                "- {{url: '{}', read_recent: true, filter_external_labels: false}}\n",
                peer.url("/api/v1/read")
            )
        })
        .collect();
    let reader = reader(&all);
    let steps = (end - 1_100_000, end, 30_000);
    for query in QUERIES {
        assert!(
            range(&reader, query, steps).unwrap() == range(&peers[1].1, query, steps).unwrap(),
            "{query}"
        );
    }
}

#[test]
fn labels_of_this_server_are_conditions_and_required_matchers_say_when_a_server_is_asked() {
    let end = now_ms() / 10_000 * 10_000;
    let peer = server().config("global: {}\n").flag(RECEIVING).start();
    remote::write(&peer, Protocol::V1, &content(end, &[("site", "s")]));
    remote::write(&peer, Protocol::V1, &content(end, &[("site", "other")]));
    let url = peer.url("/api/v1/read");
    let reader = reader(&format!("- url: {url}\n  read_recent: true\n  required_matchers: {{job: j1}}\n"));
    let count = |query: &str| instant(&reader, query).len();
    assert_eq!(count("counted_total{job=\"j1\"}"), 10);
    assert!(instant(&reader, "counted_total{job=\"j1\"}").keys().all(|labels| !labels.contains_key("site")));
    assert_eq!(count("counted_total{job=\"j1\",site=~\".+\"}"), 20, "who asks for the label gets it");
    assert_eq!((count("counted_total"), count("counted_total{job=\"j2\"}")), (0, 0));
}

#[test]
fn what_is_here_is_not_asked_for_elsewhere_unless_it_is_wanted() {
    let end = now_ms() / 10_000 * 10_000;
    let away = Server::start([Misbehaviour::NeverAnswers]);
    let reader = server()
        .config(&format!("remote_read: [{{url: '{}', remote_timeout: 1s}}]\n", away.url("/read")))
        .flag(RECEIVING)
        .start();
    remote::write(&reader, Protocol::V1, &content(end, &[]));
    let of = |steps| {
        let answer = range(&reader, "sum(counted_total)", steps).unwrap();
        answer.values().map(Vec::len).sum::<usize>()
    };
    assert!(of((end - 600_000, end, 60_000)) > 5);
    assert_eq!(away.requests().len(), 0);
    assert!(of((end - 3_600_000, end, 60_000)) > 5);
    assert_eq!(away.requests().len(), 1);
}

#[test]
fn a_server_that_is_away_or_wrong_costs_a_warning() {
    let end = now_ms() / 10_000 * 10_000;
    let gone = "http://127.0.0.1:1/read".to_owned();
    let answers = |status: u16, content_type: &str, body: &[u8]| {
        let content_type = content_type.to_owned();
        Server::start([Misbehaviour::Answers { status, content_type, body: body.to_vec() }])
    };
    let hangs = Server::start([Misbehaviour::NeverAnswers]);
    let servers = [
        answers(500, "text/plain", b"no disk\n"),
        answers(200, "application/x-protobuf", b"\xff\xff\xff\xff\x0fxx"),
        answers(200, "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse", b"\x7fxx"),
        answers(200, "text/html", b"<html>"),
    ];
    let cases = [
        (gone, "error"),
        (hangs.url("/read"), "no answer within"),
        (servers[0].url("/read"), "status 500: no disk"),
        (servers[1].url("/read"), "cannot be read"),
        (servers[2].url("/read"), "cannot be read"),
        (servers[3].url("/read"), "cannot be read"),
    ];
    for (url, said) in cases {
        let reader = server()
            .config(&format!("remote_read: [{{url: '{url}', remote_timeout: 1s, read_recent: true}}]\n"))
            .flag(RECEIVING)
            .start();
        remote::write(&reader, Protocol::V1, &content(end, &[]));
        let began = Instant::now();
        let answer = ask(&reader, "/api/v1/query", &[("query", "count(counted_total)")]);
        assert!(answer.status == 200 && began.elapsed().as_secs() < 20, "{}", answer.text());
        let answer = json(&answer);
        assert_eq!(answer["data"]["result"][0]["value"][1], "40", "what is here is there: {answer}");
        let warning = answer["warnings"][0].as_str().unwrap_or_default();
        assert!(warning.starts_with("remote_read: http://127.0.0.1:") && warning.contains(said), "{answer}");
        let series = json(&ask(&reader, "/api/v1/series", &[("match[]", "counted_total")]));
        assert!(series["warnings"][0].as_str().unwrap_or_default().contains(said), "{said}");
    }
}

#[test]
fn a_query_that_waits_for_another_server_ends_with_its_client() {
    let hangs = Server::start([Misbehaviour::NeverAnswers]);
    let entry = format!("- {{url: '{}', remote_timeout: 2m, read_recent: true}}\n", hangs.url("/read"));
    let reader = reader(&entry);
    let mut stream = TcpStream::connect(reader.address()).unwrap();
    write!(stream, "GET /api/v1/query?query=m HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    wait_until("it is asked", PATIENCE, || (hangs.requests().len() == 1).then_some(()));
    drop(stream);
    wait_until("its end", PATIENCE, || {
        let shown = json(&reader.get("/api/v1/status/active_queries"));
        shown["data"].as_array().unwrap().is_empty().then_some(())
    });
}

#[test]
fn an_answer_that_is_too_long_ends_the_query_at_its_memory() {
    let end = now_ms() / 10_000 * 10_000;
    let streamed = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse".to_owned();
    let servers = [
        Server::start([Misbehaviour::EndlessBody]),
        Server::start([Misbehaviour::Answers {
            status: 200,
            content_type: streamed,
            body: vec![7; 200 << 20],
        }]),
    ];
    for other in servers {
        let mut reader = server()
            .config(&format!("remote_read: [{{url: '{}', read_recent: true}}]\n", other.url("/read")))
            .flag("--query.max-memory=32MiB")
            .flag(RECEIVING)
            .start();
        remote::write(&reader, Protocol::V1, &content(end, &[]));
        let before = peak_resident_bytes(reader.process().id());
        let answer = ask(&reader, "/api/v1/query", &[("query", "count(counted_total)")]);
        assert!(answer.status == 422 && answer.text().contains("query.max-memory"), "{}", answer.text());
        let more = peak_resident_bytes(reader.process().id()) - before;
        println!("{} MiB more at the peak", more >> 20);
        // The answer may be held twice while its memory grows.
        assert!(more < 96 << 20, "{more} bytes more were resident");
    }
}

#[test]
fn an_answer_that_says_a_length_that_is_not_true_takes_no_memory() {
    let end = now_ms() / 10_000 * 10_000;
    // Snappy that says it would become two gigabytes.
    let body = vec![0xff, 0xff, 0xff, 0xff, 0x07, 0x00];
    let content_type = "application/x-protobuf".to_owned();
    let bomb = Server::start([Misbehaviour::Answers { status: 200, content_type, body }]);
    let mut reader = server()
        .config(&format!("remote_read: [{{url: '{}', read_recent: true}}]\n", bomb.url("/read")))
        .flag(RECEIVING)
        .start();
    remote::write(&reader, Protocol::V1, &content(end, &[]));
    let before = peak_resident_bytes(reader.process().id());
    let answer = json(&ask(&reader, "/api/v1/query", &[("query", "count(counted_total)")]));
    assert_eq!(answer["data"]["result"][0]["value"][1], "40", "what is here is there: {answer}");
    assert!(answer["warnings"][0].as_str().unwrap_or_default().contains("cannot be read"), "{answer}");
    let more = peak_resident_bytes(reader.process().id()) - before;
    assert!(more < 32 << 20, "{more} bytes more were resident");
}
