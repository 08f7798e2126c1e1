//! What a query says of itself: the samples that it looked at, beside Prometheus, and its operators.

use crate::support::{BINARY, ask, json, server};
use serde_json::Value;
use skopos_testkit::{peers, service::Service};
use std::{fmt::Write as _, fs, process::Command};

const BEGIN_S: i64 = 1_700_000_000;
const SAMPLES: i64 = 400;

/// Counters at 15 s, one with gaps, one that begins late; never on a full second, so that no sample stands on
/// the edge of a window, which belonged to it in version 2 of Prometheus and does not in version 3.
fn samples() -> String {
    let mut out = String::from("# TYPE m counter\n");
    for i in 0..8 {
        for k in 0..SAMPLES {
            if (i == 3 && k % 50 > 20) || (i == 5 && k < 100) {
                continue;
            }
            let (t, ms) = (BEGIN_S + 15 * k + i, 137 + 31 * i);
            writeln!(out, "m_total{{i=\"{i}\",g=\"{}\"}} {} {t}.{ms:03}", i % 2, k * (i + 1)).unwrap();
        }
    }
    out.push_str("# EOF\n");
    out
}

/// Puts blocks of the samples into the data of a server, made by the program and arguments.
fn fill(server: &mut Service, program: &str, arguments: &[&str]) {
    server.terminate();
    let file = server.folder().join("in.om");
    fs::write(&file, samples()).unwrap();
    let made =
        Command::new(program).args(arguments).args([&file, &server.folder().join("data")]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    server.restart();
}

/// Values that only a query at one time may have.
const AT_ONE_TIME: [&str; 4] =
    ["m_total[5m]", "m_total{i=\"3\"}[20m] offset 1m", "m_total[5m:1m]", "\"a string\""];

const EXPRESSIONS: [&str; 25] = [
    "m_total",
    "sum by (g) (m_total)",
    "m_total + m_total",
    "rate(m_total[5m])",
    "sum(rate(m_total[5m])) / count(m_total)",
    "rate(m_total[1m]) + rate(m_total[1m])",
    "avg_over_time(m_total{i=\"3\"}[10m])",
    "m_total @ 1700003000",
    "rate(m_total[5m] @ 1700003000) * 2",
    "sum(m_total @ end()) - m_total offset 5m",
    "max_over_time(rate(m_total[2m])[10m:1m])",
    "sum_over_time(m_total[5m:30s])",
    "sum_over_time((m_total @ 1700003000)[5m:30s])",
    "avg_over_time(max_over_time(m_total[1m:20s])[5m:1m])",
    "scalar(m_total{i=\"1\"}) + time()",
    "m_total * scalar(sum(m_total))",
    "topk(2, rate(m_total[3m]))",
    "quantile(scalar(m_total{i=\"0\"}), m_total)",
    "absent(m_total{i=\"9\"}) or absent_over_time(m_total{i=\"5\"}[5m])",
    "timestamp(m_total)",
    "label_replace(m_total, \"x\", \"$1\", \"i\", \"(.*)\") unless m_total{g=\"1\"}",
    "predict_linear(m_total[10m], 3600)",
    "vector(1) + 2 * 3",
    "histogram_quantile(0.9, m_total) or sort(m_total)",
    "clamp_max(m_total, scalar(m_total{i=\"2\"}))",
];

/// The samples in all and those of each step.
fn counted(response: &skopos_testkit::http::Response) -> (Value, Value) {
    assert_eq!(response.status, 200, "{}", response.text());
    let samples = json(response)["data"]["stats"]["samples"].clone();
    (samples["totalQueryableSamples"].clone(), samples["totalQueryableSamplesPerStep"].clone())
}

#[test]
fn samples_are_counted_as_prometheus_counts_them() {
    let flags = ["--storage.tsdb.retention.time=100y", "--enable-feature=promql-per-step-stats"];
    let mut theirs = peers::prometheus("global: {}\n", &flags);
    fill(&mut theirs, "promtool", &["tsdb", "create-blocks-from", "openmetrics"]);
    let mut ours = server().flag("--storage.tsdb.retention.time=100y").start();
    fill(&mut ours, BINARY, &["tool", "tsdb", "create-blocks-from", "openmetrics"]);
    let (start, end) = ((BEGIN_S + 1807).to_string(), (BEGIN_S + 5407).to_string());
    let mut looked_at = 0;
    let all = EXPRESSIONS.map(|text| (text, 2)).into_iter().chain(AT_ONE_TIME.map(|text| (text, 1)));
    for (text, ways) in all {
        let both = [
            ("/api/v1/query", &[("time", start.as_str())][..]),
            ("/api/v1/query_range", &[("start", start.as_str()), ("end", &end), ("step", "60")][..]),
        ];
        for (path, times) in both.into_iter().take(ways) {
            let params: Vec<_> = times.iter().copied().chain([("query", text), ("stats", "all")]).collect();
            let (ours, theirs) = (ask(&ours, path, &params), ask(&theirs, path, &params));
            let (got, want) = (counted(&ours), counted(&theirs));
            assert_eq!(got.0, want.0, "{path} {text}");
            assert_eq!(numbers(&got.1), numbers(&want.1), "{path} {text}");
            looked_at += got.0.as_u64().unwrap();
        }
    }
    assert!(looked_at > 10_000, "{looked_at}");
}

/// Times and counts of the steps; none where nothing is told.
fn numbers(per_step: &Value) -> Vec<(i64, u64)> {
    let all = per_step.as_array().cloned().unwrap_or_default();
    all.iter().map(|s| ((s[0].as_f64().unwrap() * 1000.0) as i64, s[1].as_u64().unwrap())).collect()
}

#[test]
fn operators_say_what_they_did() {
    let mut server = server().flag("--storage.tsdb.retention.time=100y").start();
    fill(&mut server, BINARY, &["tool", "tsdb", "create-blocks-from", "openmetrics"]);
    let (start, end) = ((BEGIN_S + 1807).to_string(), (BEGIN_S + 2407).to_string());
    let query = "sum by (g) (rate(m_total[5m])) > 0 * sum by (g) (m_total)";
    let params = |more| [("query", query), ("start", &start), ("end", &end), ("step", "60"), more];
    let explained = json(&ask(&server, "/api/v1/query_range", &params(("explain", "1"))));
    let operators = explained["data"]["explain"].as_array().expect("a list of operators").clone();
    assert!(explained["data"]["stats"].is_null(), "{explained}");
    let all = json(&ask(&server, "/api/v1/query_range", &params(("stats", "all"))));
    assert!(all["data"]["explain"].is_null(), "{all}");
    let sum = |name: &str| operators.iter().map(|o| o[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("seriesRead"), 8, "{operators:?}");
    assert_eq!(sum("seriesExpected"), 8, "{operators:?}");
    assert_eq!(sum("samplesQueried"), all["data"]["stats"]["samples"]["totalQueryableSamples"]);
    assert!(sum("samplesFetched") > 8 * 40, "{operators:?}");
    let of_steps = |o: &Value| o["samplesQueriedPerStep"].as_array().unwrap().len();
    assert!(operators.iter().any(|o| of_steps(o) == 11), "{operators:?}");
    for operator in &operators {
        let per_step = operator["samplesQueriedPerStep"].as_array().unwrap().iter();
        assert_eq!(per_step.map(|n| n.as_u64().unwrap()).sum::<u64>(), operator["samplesQueried"]);
        assert!(operator["operator"].is_string() && operator["seconds"].is_number(), "{operator}");
    }
    let one = json(&ask(&server, "/api/v1/query_range", &params(("stats", "1"))));
    let samples = &one["data"]["stats"]["samples"];
    let all_samples = &all["data"]["stats"]["samples"];
    assert_eq!(samples["samplesRead"], all_samples["samplesRead"]);
    let read = numbers(&all_samples["samplesReadPerStep"]);
    assert_eq!(read.len(), 11, "{all_samples}");
    assert_eq!(read.iter().map(|(_, n)| n).sum::<u64>(), all_samples["samplesRead"]);
    assert!(read[0].1 > 3 * read[1].1, "the first window is read whole, of the others what is new: {read:?}");
    assert_eq!(samples["totalQueryableSamples"], all["data"]["stats"]["samples"]["totalQueryableSamples"]);
    assert!(
        samples["samplesReadPerStep"].is_null()
            && samples["totalQueryableSamplesPerStep"].is_null()
            && one["data"]["stats"]["operators"].is_null()
    );
}

#[test]
fn the_query_log_has_of_a_request_what_prometheus_has() {
    let Some(program) = peers::prometheus_3() else { return };
    let config = "global: {query_log_file: queries.log}\n";
    let (mut ours, mut theirs) =
        (server().config(config).start(), peers::prometheus_at(program, config, &[]));
    let logged = |server: &mut Service| {
        let times = [("start", "0"), ("end", "60"), ("step", "15")];
        let params = [&[("query", "up < 2")][..], &times].concat();
        assert_eq!(ask(server, "/api/v1/query_range", &params).status, 200);
        let metrics = server.get("/metrics").text();
        assert!(metrics.contains("\nprometheus_engine_query_log_enabled 1\n"), "{metrics}");
        server.terminate();
        let text = fs::read_to_string(server.folder().join("queries.log")).unwrap();
        let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let members: Vec<String> = line.as_object().unwrap().keys().cloned().collect();
        let source = line["source"].as_str().unwrap().rsplit_once(':').unwrap();
        assert!(source.1.parse::<u32>().is_ok(), "{line}");
        (
            members,
            line["params"].clone(),
            line["httpRequest"].clone(),
            line["spanID"].clone(),
            line["msg"].clone(),
        )
    };
    let theirs = logged(&mut theirs);
    assert_eq!(logged(&mut ours), theirs);
}
