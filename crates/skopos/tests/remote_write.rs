//! Others push to us by remote write: real servers of both protocols as senders, what is stored of each kind
//! of sample, odd requests beside Prometheus 3's receiver, bombs and slow bodies, and `kill -9` after the
//! answer.

use crate::support::{PATIENCE, instant, range, server, value, wait_for_value};
use skopos_testkit::{
    http::{self, Response},
    misbehaving::{Misbehaviour, Server},
    peers,
    remote::{self, Protocol},
    series::{Content, Counts, Exemplar, Histogram, LabelPairs, Metadata, Reset, Series, Value},
    service::Service,
    skopos::Skopos,
    wait_until,
};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const RECEIVING: &str = "--web.enable-remote-write-receiver";
const V1: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

fn receiver() -> Skopos {
    server().config("global: {}\n").flag(RECEIVING)
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> LabelPairs {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn floats(samples: &[(i64, f64)]) -> Series {
    let samples = samples.iter().map(|(at, v)| (*at, Value::float(*v))).collect();
    Series { samples, ..Series::default() }
}

/// A histogram with whole counts, or float ones, of exponential or custom buckets.
fn histogram(counts: Counts, custom_bounds: &[f64]) -> Value {
    let schema = if custom_bounds.is_empty() { 2 } else { -53 };
    let negative = if custom_bounds.is_empty() { BTreeMap::from([(-3, 2.0)]) } else { BTreeMap::new() };
    let positive = BTreeMap::from([(0, 3.0), (1, 1.0), (2, 4.0)]);
    let zero_count = if custom_bounds.is_empty() { 1.0 } else { 0.0 };
    let count = positive.values().chain(negative.values()).sum::<f64>() + zero_count;
    Value::Histogram(Histogram {
        counts,
        schema,
        zero_threshold: if custom_bounds.is_empty() { 0.001 } else { 0.0 },
        zero_count,
        count,
        sum_bits: 17.25_f64.to_bits(),
        reset: Reset::Unknown,
        positive,
        negative,
        custom_bounds: custom_bounds.to_vec(),
    })
}

/// Every kind of sample, of the last minute.
fn content(now: i64) -> Content {
    let at = |n: i64| now - 60_000 + n * 10_000;
    let values = [0.1, -0.5, f64::INFINITY, 5e-324, f64::from_bits(0x7ff0_0000_0000_0002)];
    let plain: Vec<_> = values.iter().enumerate().map(|(n, v)| (at(n as i64), *v)).collect();
    let of = |value: Value| Series { samples: vec![(at(1), value)], ..Series::default() };
    let mut content = Content::from([
        (labels(&[("__name__", "plain"), ("job", "j"), ("a.dotted", "ü")]), floats(&plain)),
        (labels(&[("__name__", "whole")]), of(histogram(Counts::Whole, &[]))),
        (labels(&[("__name__", "float")]), of(histogram(Counts::Floats, &[]))),
        (labels(&[("__name__", "custom")]), of(histogram(Counts::Whole, &[0.5, 1.0, 2.0]))),
    ]);
    for i in 0..1000 {
        let i = format!("{i:04}");
        content.insert(labels(&[("__name__", "many"), ("i", &i)]), floats(&[(at(0), 1.0), (at(3), 2.0)]));
    }
    let seen = Exemplar { labels: labels(&[("trace_id", "t1")]), timestamp_ms: at(2), value: 0.75 };
    let counted = Series {
        exemplars: vec![seen],
        metadata: Some(Metadata {
            metric_type: "counter".to_owned(),
            help: "What was counted.".to_owned(),
            unit: "seconds".to_owned(),
        }),
        ..floats(&[(at(2), 3.0)])
    };
    content.insert(labels(&[("__name__", "counted_seconds_total")]), counted);
    content
}

/// What remote read tells of content: no exemplars, no metadata.
fn samples_only(mut content: Content) -> Content {
    for series in content.values_mut() {
        (series.exemplars, series.metadata) = (Vec::new(), None);
    }
    content
}

#[test]
fn every_kind_of_sample_comes_by_both_protocols() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let server = receiver().start();
        let now = now_ms();
        let content = content(now);
        remote::write(&server, protocol, &content);
        // The newest once more are the same, now by what is known of the labels.
        let mut newest = content.clone();
        newest.values_mut().for_each(|series| drop(series.samples.drain(..series.samples.len() - 1)));
        remote::write(&server, protocol, &newest);
        let (there, expected) = (remote::read(&server, now - 3_600_000, now), samples_only(content));
        assert!(there.keys().eq(expected.keys()), "{protocol:?}: {} series", there.len());
        for (labels, series) in &expected {
            assert_eq!(&there[labels], series, "{protocol:?}: {labels:?}");
        }
        let exemplars = server.get(&format!(
            "/api/v1/query_exemplars?query=counted_seconds_total&start={}&end={}",
            now / 1000 - 3600,
            now / 1000 + 1
        ));
        assert!(exemplars.text().contains("\"trace_id\":\"t1\""), "{}", exemplars.text());
        if protocol == Protocol::V2 {
            let metadata = server.get("/api/v1/metadata?metric=counted_seconds_total").text();
            assert!(metadata.contains("What was counted.") && metadata.contains("counter"), "{metadata}");
        }
        let page = server.get("/metrics").text();
        let counted = format!(
            "skopos_push_samples_total{{protocol=\"remote_write_{}\"}}",
            if protocol == Protocol::V1 { 1 } else { 2 }
        );
        assert!(page.lines().any(|line| line.starts_with(&counted) && !line.ends_with(" 0")), "{page}");
    }
}

/// A target with two series that change.
fn target() -> Server {
    Server::start([Misbehaviour::text(
        "# TYPE sent_total counter\n# HELP sent_total What was sent.\nsent_total{x=\"1\"} 41\n\
         sent_total{x=\"2\"} 1e300\n",
    )])
}

#[test]
fn real_servers_send_by_both_protocols() {
    let mut senders = vec![("2.42", peers::prometheus as fn(&str, &[&str]) -> Service, "")];
    fn three(config: &str, flags: &[&str]) -> Service {
        peers::prometheus_at(peers::prometheus_3().unwrap(), config, flags)
    }
    if peers::prometheus_3().is_some() {
        senders.push(("3.5, 1.0", three, ""));
        senders.push(("3.5, 2.0", three, "  protobuf_message: io.prometheus.write.v2.Request\n"));
    }
    let target = target();
    for (name, start, more) in senders {
        let server = receiver().start();
        let config = format!(
            "global: {{scrape_interval: 1s, external_labels: {{sender: s}}}}\nscrape_configs:\n- job_name: \
             sent\n  static_configs: [{{targets: ['{}']}}]\nremote_write:\n- url: {}\n  send_exemplars: \
             true\n\
             {more}  metadata_config: {{send_interval: 1s}}\n",
            target.address(),
            server.url("/api/v1/write"),
        );
        let sender = start(&config, &["--enable-feature=metadata-wal-records"]);
        wait_for_value(&server, "sent_total{job=\"sent\",sender=\"s\",x=\"1\"}", 41.0);
        wait_until("five samples", PATIENCE, || {
            let count = value(&server, "count_over_time(sent_total{x=\"2\"}[10m])")?;
            (count >= 5.0).then_some(())
        });
        let until = now_ms() / 1000 * 1000 - 1000;
        let steps = (until - 3000, until, 1000);
        let query = "sum by (x, __name__) ({__name__=~\"sent_total|up\"})";
        let theirs = wait_until("both have the same", PATIENCE, || {
            let theirs = range(&sender, query, steps).unwrap();
            (range(&server, query, steps).unwrap() == theirs).then_some(theirs)
        });
        assert_eq!(theirs.len(), 3, "{name}: {theirs:?}");
        let metadata = wait_until("metadata", PATIENCE, || {
            let text = server.get("/api/v1/metadata?metric=sent_total").text();
            text.contains("What was sent.").then_some(text)
        });
        assert!(metadata.contains("counter"), "{name}: {metadata}");
        let log = sender.log();
        assert!(!log.contains("non-recoverable error"), "{name}: {log}");
    }
}

fn post(server: &Service, headers: &[(&str, &str)], body: &[u8]) -> Response {
    try_post(server, headers, body).unwrap()
}

fn try_post(server: &Service, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Response> {
    http::request("POST", &server.url("/api/v1/write"), headers, body)
}

fn snappy(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}

fn text(field: u8, text: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut len = text.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(text);
    out
}

fn sample(at: i64, value: f64) -> Vec<u8> {
    let mut out = vec![0x09];
    out.extend(value.to_le_bytes());
    out.push(0x10);
    let mut at = at as u64;
    while at >= 0x80 {
        out.push(at as u8 | 0x80);
        at >>= 7;
    }
    out.push(at as u8);
    text(2, &out)
}

/// A request of version 1 with one series.
fn v1(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let label = |(n, v): &(&str, &str)| text(1, &[text(1, n.as_bytes()), text(2, v.as_bytes())].concat());
    let mut series: Vec<u8> = pairs.iter().flat_map(label).collect();
    samples.iter().for_each(|(at, v)| series.extend(sample(*at, *v)));
    text(1, &series)
}

/// A request of version 2 with one series of these references.
fn v2(symbols: &[&str], references: &[u8], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut series = text(1, references);
    samples.iter().for_each(|(at, v)| series.extend(sample(*at, *v)));
    let mut out: Vec<u8> = symbols.iter().flat_map(|s| text(4, s.as_bytes())).collect();
    out.extend(text(5, &series));
    out
}

/// Odd requests in the order in which both receivers get them: name, content type, encoding, body.
fn odd(now: i64) -> Vec<(&'static str, &'static str, &'static str, Vec<u8>)> {
    let m: &[(&str, &str)] = &[("__name__", "m")];
    let symbols = &["", "__name__", "n", "a", "b"];
    let broken = || snappy(&[0x0a, 0x7f, 1]);
    vec![
        ("good", V1, "snappy", snappy(&v1(m, &[(now, 1.0)]))),
        ("the same again", V1, "snappy", snappy(&v1(m, &[(now, 1.0)]))),
        ("no content type", "", "snappy", snappy(&v1(m, &[(now + 1, 1.0)]))),
        ("no encoding", V1, "", snappy(&v1(m, &[(now + 2, 1.0)]))),
        ("another type", "application/json", "snappy", snappy(&v1(m, &[(now + 3, 1.0)]))),
        ("unknown message", "application/x-protobuf;proto=x", "snappy", snappy(&v1(m, &[]))),
        ("a parameter without value", "application/x-protobuf;proto", "snappy", snappy(&v1(m, &[]))),
        ("gzip", V1, "gzip", snappy(&v1(m, &[(now + 4, 1.0)]))),
        ("zstd", V2, "zstd", snappy(&v1(m, &[(now + 4, 1.0)]))),
        ("not compressed", V1, "snappy", v1(m, &[(now + 4, 1.0)])),
        ("nothing", V1, "snappy", Vec::new()),
        ("an empty message", V1, "snappy", snappy(&[])),
        ("an empty message of 2.0", V2, "snappy", snappy(&[])),
        ("no message", V1, "snappy", broken()),
        ("no message of 2.0", V2, "snappy", broken()),
        ("an older sample", V1, "snappy", snappy(&v1(m, &[(now - 1000, 1.0)]))),
        ("another value at a time", V1, "snappy", snappy(&v1(m, &[(now + 2, 7.0)]))),
        ("far in the future", V1, "snappy", snappy(&v1(m, &[(now + 3_600_000, 7.0)]))),
        ("far in the past", V1, "snappy", snappy(&v1(&[("__name__", "p")], &[(now - 86_400_000, 7.0)]))),
        ("no name", V1, "snappy", snappy(&v1(&[("a", "b")], &[(now, 1.0)]))),
        (
            "a label twice",
            V1,
            "snappy",
            snappy(&v1(&[("__name__", "d"), ("a", "1"), ("a", "2")], &[(now, 1.0)])),
        ),
        ("an empty label name", V1, "snappy", snappy(&v1(&[("", "x"), ("__name__", "e")], &[(now, 1.0)]))),
        ("not sorted", V1, "snappy", snappy(&v1(&[("z", "1"), ("__name__", "s")], &[(now, 1.0)]))),
        ("no samples", V1, "snappy", snappy(&v1(&[("__name__", "none")], &[]))),
        ("good 2.0", V2, "snappy", snappy(&v2(symbols, &[1, 2, 3, 4], &[(now, 1.0)]))),
        (
            "an older one of 2.0",
            V2,
            "snappy",
            snappy(&v2(symbols, &[1, 2, 3, 4], &[(now - 1, 1.0), (now + 1, 2.0)])),
        ),
        ("references beyond", V2, "snappy", snappy(&v2(symbols, &[1, 2, 3, 9], &[(now, 1.0)]))),
        ("half a label", V2, "snappy", snappy(&v2(symbols, &[1, 2, 3], &[(now, 1.0)]))),
        ("no name of 2.0", V2, "snappy", snappy(&v2(symbols, &[3, 4], &[(now, 1.0)]))),
        ("a label of 2.0 twice", V2, "snappy", snappy(&v2(symbols, &[1, 2, 3, 4, 3, 2], &[(now, 1.0)]))),
        ("no samples of 2.0", V2, "snappy", snappy(&v2(symbols, &[1, 2, 3, 4], &[]))),
        ("1.0 said to be 2.0", V2, "snappy", snappy(&v1(m, &[(now + 5, 1.0)]))),
        ("2.0 said to be 1.0", V1, "snappy", snappy(&v2(symbols, &[1, 2], &[(now + 5, 1.0)]))),
    ]
}

const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

#[test]
fn odd_requests_get_the_answers_of_prometheus_3() {
    let Some(program) = peers::prometheus_3() else { return };
    let peer = peers::prometheus_at(program, "", &[RECEIVING]);
    let ours = receiver().start();
    let mut different = Vec::new();
    for (name, kind, encoding, body) in odd(now_ms()) {
        let headers: Vec<_> = [("Content-Type", kind), ("Content-Encoding", encoding)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let answer = |server: &Service| {
            let answer = try_post(server, &headers, &body).ok()?;
            let written = WRITTEN.map(|name| answer.header(name).map(str::to_owned));
            Some(((answer.status, written), answer.text()))
        };
        let own = answer(&ours).unwrap();
        // Prometheus panics at references that are not there.
        let Some(theirs) = answer(&peer) else {
            let panics = ["half a label", "references beyond"].contains(&name);
            assert!(panics && own.0.0 == 400, "{name}: {own:?}");
            continue;
        };
        if theirs.0 != own.0 {
            different.push(format!("{name}: Prometheus {theirs:?}, ours {own:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    // What was good of requests that were refused in part is there in both.
    for query in ["n", "m", "count({__name__=~\".+\"})"] {
        let of = |server: &Service| {
            let found = instant(server, query).into_iter();
            found.map(|(metric, samples)| (metric, samples[0].1)).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(of(&peer), of(&ours), "{query}");
    }
}

#[test]
fn a_receiver_takes_what_it_was_told_to() {
    let off = server().config("global: {}\n").start();
    let body = snappy(&v1(&[("__name__", "m")], &[(now_ms(), 1.0)]));
    let answer = post(&off, &[("Content-Type", V1)], &body);
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("--web.enable-remote-write-receiver"), "{}", answer.text());
    let two = receiver()
        .flag("--web.remote-write-receiver.accepted-protobuf-messages=io.prometheus.write.v2.Request")
        .start();
    assert_eq!(post(&two, &[("Content-Type", V1)], &body).status, 415);
    let good = snappy(&v2(&["", "__name__", "n"], &[1, 2], &[(now_ms(), 1.0)]));
    assert_eq!(post(&two, &[("Content-Type", V2)], &good).status, 204);
}

#[test]
fn bombs_and_slow_bodies_cost_little() {
    let server = receiver()
        .flag("--push.max-request-bytes=1MiB")
        .flag("--push.max-decoded-bytes=4MiB")
        .flag("--push.total-memory=16MiB")
        .flag("--push.body-timeout=1s")
        .start();
    let before = resident(&server);
    // A length that nothing unpacks to, and one that it does unpack to.
    let declared = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let zeros = snappy(&vec![0; 64 << 20]);
    for (body, status) in [(&declared[..], 413), (&zeros[..1 << 20], 413), (&[0x80, 0x80, 0x40, 0][..], 400)]
    {
        let answer = post(&server, &[("Content-Type", V1)], body);
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let long = vec![0; 2 << 20];
    let refused = http::request("POST", &server.url("/api/v1/write"), &[("Content-Type", V1)], &long);
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status == 413));
    let began = Instant::now();
    let mut slow = TcpStream::connect(server.address()).unwrap();
    let head = "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut part = [0; 1000];
    // A byte now and then does not keep it alive.
    while answer.is_empty() && began.elapsed() < Duration::from_secs(20) {
        let _may_be_over = slow.write_all(b"x");
        slow.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        if let Ok(n) = slow.read(&mut part) {
            answer.push_str(&String::from_utf8_lossy(&part[..n]));
        }
    }
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("push.body-timeout"), "{answer}");
    assert!(resident(&server) < before + (48 << 20), "{before} {}", resident(&server));
    let good = snappy(&v1(&[("__name__", "m")], &[(now_ms(), 1.0)]));
    assert_eq!(post(&server, &[("Content-Type", V1)], &good).status, 204);
    assert!(server.get("/metrics").text().contains("\nskopos_push_memory_bytes 0\n"));
}

fn resident(server: &Service) -> u64 {
    let page = server.get("/metrics").text();
    let line = page.lines().find(|line| line.starts_with("process_resident_memory_bytes ")).unwrap();
    line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
}

/// G2: what was answered with 2xx is there after a kill.
#[test]
fn what_was_answered_survives_a_kill() {
    let mut server = receiver().start();
    let mut expected = 0;
    for round in 0..3 {
        for n in 0..40 {
            let i = n.to_string();
            let body = snappy(&v1(
                &[("__name__", "kept"), ("i", &i), ("round", ["a", "b", "c"][round])],
                &[(now_ms(), 1.0)],
            ));
            assert_eq!(post(&server, &[("Content-Type", V1)], &body).status, 204);
            expected += 1;
        }
        server.kill9();
        server.restart();
        assert_eq!(value(&server, "count(last_over_time(kept[1h]))"), Some(f64::from(expected)));
    }
}
