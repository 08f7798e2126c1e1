//! `skopos tool query` and `tool promql` beside promtool: the same lines of the same server, and of ours.

use crate::support::{BINARY, server, server_scraping, wait_for_value};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    peers,
    service::Service,
};
use std::{
    path::PathBuf,
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

const BODY: &str = "a{x=\"<&\\\"\\n\\\\\"} 1.5\na{x=\"ü\"} 1e20\nb NaN\nc -Inf\n\
    # TYPE h histogram\nh_bucket{le=\"1\",p=\"q\"} 1\nh_bucket{le=\"2\",p=\"q\"} 1\n\
    h_bucket{le=\"+Inf\",p=\"q\"} 4\nh_bucket{le=\"1\",p=\"r\"} 0\nh_bucket{le=\"+Inf\",p=\"r\"} 0\nh_sum 1\n\
    h_count 4\nlast 1\n";

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// promtool of version 3, where the set-up could get it.
fn promtool_3() -> Option<PathBuf> {
    peers::prometheus_3().map(|program| program.with_file_name("promtool"))
}

/// A server that scrapes, with all that the target says, and a time since when it did so.
fn scraping(target: &Server) -> (Service, i64) {
    let server = server_scraping(target, "1s").start();
    wait_for_value(&server, "min(count_over_time(last[5m])) > bool 3", 1.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    (server, now)
}

#[test]
fn answers_are_written_as_promtool_writes_them() {
    let target = Server::start([Misbehaviour::text(BODY)]);
    let (server, now) = scraping(&target);
    let url = server.url("");
    let (start, end) = ((now - 3).to_string(), now.to_string());
    let range = |query| vec!["range", "--start", &start, "--end", &end, "--step=2s", &url, query];
    let cases = [
        vec!["instant", "--time", &end, &url, "a"],
        vec!["instant", "--time", &end, &url, "{__name__=~\"b|c\"}"],
        vec!["instant", "--time", &end, &url, "sum(last)"],
        vec!["instant", "--time", &end, &url, "last + 1e-7"],
        vec!["instant", "--time", &end, &url, "1.25"],
        vec!["instant", "--time", &end, &url, "none"],
        vec!["instant", "--time", &end, &url, "last[3s]"],
        range("a"),
        range("none"),
        vec!["series", "--match=last", "--match=a", &url],
        vec!["series", "--match=none", &url],
        vec!["labels", &url, "job"],
        vec!["labels", &url, "x"],
        vec!["labels", "--match=b", &url, "__name__"],
        vec!["labels", &url, "none"],
    ];
    for case in &cases {
        for format in ["promql", "json"] {
            let arguments = [&["query", "-o", format][..], case].concat();
            let theirs = run("promtool", &arguments);
            let ours = run(BINARY, &[&["tool"], &arguments[..]].concat());
            assert!(theirs.status.success() && ours.status.success(), "{case:?}: {ours:?} {theirs:?}");
            assert_eq!(sorted(&said(&ours), case[0]), sorted(&said(&theirs), case[0]), "{arguments:?}");
        }
    }
    if let Some(promtool) = promtool_3() {
        let server = format!("--server={url}");
        let case = ["query", "analyze", &server, "--type=histogram", "--match=h_bucket", "--time", &end];
        let theirs = said(&run(promtool.to_str().unwrap(), &case));
        assert!(theirs.contains("(classic)"), "{theirs}");
        let sorted = |text: &str| sorted(text, "series");
        assert_eq!(sorted(&said(&run(BINARY, &[&["tool"], &case[..]].concat()))), sorted(&theirs));
    }
}

/// Series and histograms come in any order.
fn sorted(text: &str, command: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if command == "series" {
        lines.sort();
    }
    lines
}

#[test]
fn what_goes_wrong_is_said_and_is_no_success() {
    let server = server().start();
    let url = server.url("");
    for (arguments, words) in [
        (vec!["instant", &url, "sum("], "query error: bad_data: invalid parameter \"query\""),
        (vec!["instant", "http://127.0.0.1:1", "up"], "query error: "),
        (vec!["instant", "ftp://x", "up"], "no address"),
        (vec!["instant", "--time=x", &url, "up"], "error parsing evaluation time"),
        (vec!["range", "--start=5", "--end=5", &url, "up"], "start time is not before end time"),
        (vec!["instant", "--header=none", &url, "up"], "--header=none: write NAME=VALUE"),
        (vec!["series", &url], "--match"),
        (vec!["analyze", "--server", &url, "--type=gauge", "--match=up"], "must be 'histogram'"),
        (vec!["instant", "--http.config.file=/nowhere/x.yml", &url, "up"], "/nowhere/x.yml"),
    ] {
        let output = run(BINARY, &[&["tool", "query"], &arguments[..]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains(words), "{arguments:?}: {error}");
    }
}

#[test]
fn queries_are_written_anew_as_promtool_writes_them() {
    let long = "sum by(job,instance)(rate(http_requests_total{code=~\"5..\",handler!=\"/metrics\"}[5m])) / \
                on(job,instance) sum by(job,instance)(rate(http_requests_total[5m] offset 1h))";
    let cases = [
        (vec!["format", "sum  by(a)(x)"], "sum by (a) (x)\n"),
        (vec!["format", "-x"], "-x\n"),
        (
            vec!["label-matchers", "set", "sum(rate(x[5m])) + y{a=\"1\"}", "a", "2"],
            "sum(rate(x{a=\"2\"}[5m])) + y{a=\"2\"}\n",
        ),
        (
            vec!["label-matchers", "set", "-t", "=~", "max_over_time((x - y)[5m:1m])", "b", "2.*"],
            "max_over_time((x{b=~\"2.*\"} - y{b=~\"2.*\"})[5m:1m])\n",
        ),
        (
            vec!["label-matchers", "delete", "topk(scalar(z{a=\"1\"}), x{b=\"1\",a!=\"3\"})", "a"],
            "topk(scalar(z), x{b=\"1\"})\n",
        ),
        (vec!["format", long], ""),
    ];
    for (arguments, expected) in cases {
        let ours = run(BINARY, &[&["tool", "promql"], &arguments[..]].concat());
        assert!(ours.status.success(), "{arguments:?}: {ours:?}");
        if !expected.is_empty() {
            assert_eq!(said(&ours), expected, "{arguments:?}");
        }
        if let Some(promtool) = promtool_3().filter(|_| arguments[1] != "-x") {
            let arguments = [&["--experimental", "promql"], &arguments[..]].concat();
            assert_eq!(said(&ours), said(&run(promtool.to_str().unwrap(), &arguments)), "{arguments:?}");
            assert_eq!(
                said(&ours),
                said(&run(BINARY, &[&["tool"], &arguments[..]].concat())),
                "{arguments:?}"
            );
        }
    }
    for (arguments, words) in [
        (vec!["format", "sum("], "1:5"),
        (vec!["label-matchers", "set", "-t", "==", "x", "a", "b"], "= != =~ !~"),
        (vec!["label-matchers", "set", "-t", "=~", "x", "a", "("], "regular expression"),
        (vec!["format", "--enable-feature=nonsense", "x"], "no such feature"),
    ] {
        let output = run(BINARY, &[&["tool", "promql"], &arguments[..]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains(words), "{arguments:?}: {error}");
    }
}
