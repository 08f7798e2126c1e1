//! Targets of every bad manner beside good ones: each bad one says what is wrong with it, the good ones
//! notice nothing, memory stays bounded, and a target that behaves again is up again.

use crate::support::{self, PATIENCE, peak_resident_bytes, server, targets, value, wait_for_target};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    service::Service,
    wait_until,
};
use std::{fmt::Write as _, time::Duration};

/// What the process may hold at its peak.
const RESIDENT_MAX_BYTES: u64 = 400 << 20;
/// How often the good targets are scraped.
const GOOD_INTERVAL_MS: i64 = 1000;
/// Broken bodies, and how many series each has that no other one has.
const EVER_NEW_BODIES: usize = 30;
const EVER_NEW_SERIES: usize = 10_000;
const GOOD: [&str; 3] = ["good_a", "good_b", "good_c"];

/// A job of one bad target and what is to be seen of it.
struct Bad {
    job: &'static str,
    way: Misbehaviour,
    /// Whether its scrapes count as successful all the same: only some samples were refused.
    up: bool,
    /// Parts of its error.
    says: &'static [&'static str],
    interval: &'static str,
}

fn bad(job: &'static str, way: Misbehaviour, says: &'static [&'static str]) -> Bad {
    Bad { job, way, up: false, says, interval: "1s" }
}

fn refused_in_part(job: &'static str, body: &str, says: &'static [&'static str]) -> Bad {
    Bad { up: true, ..bad(job, Misbehaviour::text(body), says) }
}

fn answers(status: u16, content_type: &str, body: &[u8]) -> Misbehaviour {
    Misbehaviour::Answers { status, content_type: content_type.to_owned(), body: body.to_vec() }
}

fn bodies_that_are_wrong() -> Vec<Bad> {
    vec![
        bad("garbage_body", Misbehaviour::GarbageBody { bytes: 4096 }, &["line 1, column 1: "]),
        bad("half_a_line", Misbehaviour::HalfLine, &["line 2, column ", "no closing quote"]),
        Bad {
            interval: "5s",
            ..bad(
                "huge_line",
                Misbehaviour::HugeLine { bytes: 16 << 20 },
                &["line 1, column 1: entry is longer than the limit of 1048576 bytes"],
            )
        },
        bad(
            "invalid_utf8",
            answers(200, "text/plain", b"m 1\nm{l=\"\xff\xfe\"} 1\n"),
            &["line 2, column 6: text is not valid UTF-8"],
        ),
        bad(
            "no_number",
            Misbehaviour::text("m 1\nn 0x1p\n"),
            &["line 2, column 3: expected a decimal number"],
        ),
        bad(
            "timestamp_too_long",
            Misbehaviour::text("m 1 99999999999999999999\n"),
            &["line 1, column 5: expected a timestamp"],
        ),
        bad(
            "cut_openmetrics",
            answers(200, "application/openmetrics-text; version=1.0.0", b"# TYPE m gauge\nm 1\n"),
            &["does not end with `# EOF`"],
        ),
        refused_in_part("duplicate", "dup 1\ndup 2\nm 1\n", &["1 samples were refused", "dup: duplicate"]),
        refused_in_part(
            "huge_label",
            &format!("huge{{l=\"{}\"}} 1\nm 1\n", "a".repeat(100 << 10)),
            &[
                "1 samples were refused; the first: limit max-label-bytes (tsdb) of ",
                " bytes reached: huge{l=\"aaa",
            ],
        ),
        refused_in_part(
            "label_twice",
            "m{a=\"1\",a=\"2\"} 1\nm 1\n",
            &["1 samples were refused", "a=\"2\"}: ", "label a stands twice"],
        ),
        refused_in_part(
            "far_future",
            "far 1 99999999999999\nmax 1 9223372036854775807\nm 1\n",
            &["2 samples were refused", "far: timestamp", "out of bounds"],
        ),
        refused_in_part(
            "far_past",
            "old 1 5\nm 1\n",
            &["1 samples were refused", "old: timestamp 5 is out of bounds"],
        ),
        bad(
            "before_1970",
            Misbehaviour::text("m 1 -5\n"),
            &["line 1, column 5: expected the end of the line behind the value"],
        ),
    ]
}

fn manners_that_are_wrong() -> Vec<Bad> {
    let body = || b"m 1\nn 2\n".repeat(100);
    let timeout: &[&str] = &["no complete answer within 1s (scrape_timeout)"];
    let pause = Duration::from_millis(50);
    vec![
        bad("drips", Misbehaviour::Drips { body: body(), pause }, timeout),
        bad("endless", Misbehaviour::EndlessBody, &[]),
        bad("never_answers", Misbehaviour::NeverAnswers, timeout),
        bad("never_sends_body", Misbehaviour::NeverSendsBody, timeout),
        bad(
            "closes_at_once",
            Misbehaviour::ClosesAtOnce,
            &["the connection was closed before the answer was complete"],
        ),
        bad("speaks_garbage", Misbehaviour::SpeaksGarbage, &["the answer is no HTTP"]),
        bad(
            "length_too_long",
            Misbehaviour::WrongContentLength { body: body(), claimed: 5000 },
            &["the connection was closed before the answer was complete"],
        ),
        bad(
            "length_too_short",
            Misbehaviour::WrongContentLength { body: body(), claimed: 5 },
            &["line 2, column 2: expected a value"],
        ),
        bad(
            "torn_gzip",
            Misbehaviour::TornGzip { body: body() },
            &["body cannot be decompressed: unexpected end of file"],
        ),
        Bad { interval: "8s", ..bad("gzip_bomb", Misbehaviour::GzipBomb { inflated_bytes: 1 << 30 }, &[]) },
        bad(
            "web_page",
            answers(200, "text/html", b"<html>"),
            &["received unsupported Content-Type \"text/html\""],
        ),
        bad("redirects", Misbehaviour::RedirectsToItself, &["too many redirects"]),
        bad("fails", answers(500, "text/plain", b"m 1\n"), &["server returned HTTP status 500"]),
        bad("not_found", answers(404, "text/plain", b"m 1\n"), &["server returned HTTP status 404"]),
    ]
}

fn config(bad: &[(Bad, Server)], good: &[Server]) -> String {
    let mut out = format!("global: {{scrape_interval: {GOOD_INTERVAL_MS}ms}}\nscrape_configs:\n");
    let mut job = |name: &str, interval: &str, address: &str| {
        writeln!(
            out,
            "- {{job_name: {name}, scrape_interval: {interval}, scrape_timeout: {interval}, \
             static_configs: [{{targets: ['{address}']}}]}}"
        )
        .unwrap();
    };
    for (name, server) in GOOD.iter().zip(good) {
        job(name, &format!("{GOOD_INTERVAL_MS}ms"), &server.address());
    }
    for (bad, server) in bad {
        job(bad.job, bad.interval, &server.address());
    }
    // No port that is free now: somebody else may have it a moment later.
    job("nobody_there", "1s", "127.0.0.1:1");
    out
}

fn good_body() -> String {
    let mut out = "special NaN\nspecial{l=\"up\"} +Inf\nspecial{l=\"down\"} -Inf\n".to_owned();
    for i in 0..500 {
        writeln!(out, "m{{i=\"{i}\"}} {i}").unwrap();
    }
    out
}

#[test]
fn bad_targets_say_what_is_wrong_and_disturb_nobody() {
    let bad: Vec<Bad> = bodies_that_are_wrong().into_iter().chain(manners_that_are_wrong()).collect();
    let bad: Vec<(Bad, Server)> = bad
        .into_iter()
        .map(|b| {
            let s = Server::start([b.way.clone()]);
            (b, s)
        })
        .collect();
    let good: Vec<Server> = GOOD.iter().map(|_| Server::start([Misbehaviour::text(&good_body())])).collect();
    let mut server = server().config(&config(&bad, &good)).start();

    for (bad, _) in &bad {
        let (job, health) = (bad.job, if bad.up { "up" } else { "down" });
        wait_until(&format!("a scrape of {job}"), PATIENCE, || {
            (targets(&server)[job].health == health).then_some(())
        });
        for text in bad.says {
            wait_for_target(&server, job, health, text);
        }
        let up = value(&server, &format!("up{{job=\"{job}\"}}"));
        assert_eq!(up, Some(if bad.up { 1.0 } else { 0.0 }), "up of {job}");
        let stored = value(&server, &format!("count({{job=\"{job}\",__name__=~\"m|n|dup\"}})"));
        assert_eq!(stored.is_some(), bad.up, "{job}: a body with an error in it is not stored at all");
    }
    wait_for_target(&server, "nobody_there", "down", "cannot connect to 127.0.0.1:1: Connection refused");
    let endless = &targets(&server)["endless"].last_error;
    assert!(endless.starts_with("no complete answer") || endless.starts_with("body is longer"), "{endless}");
    wait_for_target(&server, "gzip_bomb", "down", "entry is longer than the limit of 1048576 bytes");
    for job in GOOD {
        wait_for_target(&server, job, "up", "");
        let specials = support::instant(&server, &format!("special{{job=\"{job}\"}}"));
        let values: Vec<String> = specials.values().map(|s| f64::from_bits(s[0].1).to_string()).collect();
        assert_eq!(values, ["NaN", "-inf", "inf"]);
    }

    for (bad, target) in &bad {
        target.behave([Misbehaviour::text(&format!("m{{after=\"{}\"}} 1\n", bad.job))]);
    }
    for (bad, _) in &bad {
        wait_for_target(&server, bad.job, "up", "");
        let query = format!("m{{job=\"{0}\",after=\"{0}\"}}", bad.job);
        assert_eq!(value(&server, &query), Some(1.0), "{} is stored again", bad.job);
    }
    assert_no_gaps(&server);
    let peak = peak_resident_bytes(server.process().id());
    println!("peak of resident memory: {} MiB", peak >> 20);
    assert!(peak < RESIDENT_MAX_BYTES, "{peak} bytes were resident");
    assert!(!server.log().contains("level=error"), "{}", server.log());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// All scrapes of the good targets succeeded, and none was left out.
#[track_caller]
fn assert_no_gaps(server: &Service) {
    for job in GOOD {
        let all = support::instant(server, &format!("{{__name__=~\"m|up\",i=~\"|7\",job=\"{job}\"}}[10m]"));
        assert_eq!(all.len(), 2, "{job}: up and one of its series");
        for (metric, samples) in all {
            if metric["__name__"] == "up" {
                let one = 1.0_f64.to_bits();
                assert!(samples.iter().all(|(_, bits)| *bits == one), "{job} was down: {samples:?}");
            }
            // Without a scrape left out, sample `i` is that of slot `i`, and as late as it is behind it.
            let behind: Vec<_> = (0..).zip(&samples).map(|(i, (t, _))| t - i * GOOD_INTERVAL_MS).collect();
            let (first, last) = (behind.iter().min().unwrap(), behind.iter().max().unwrap());
            assert!(last - first < GOOD_INTERVAL_MS, "{metric:?} lacks a scrape: {samples:?}");
        }
    }
}

/// A broken body of series that no other scrape has.
fn ever_new(scrape: usize) -> Misbehaviour {
    let mut body = String::new();
    for i in 0..EVER_NEW_SERIES {
        writeln!(body, "churn{{scrape=\"{scrape}\",i=\"{i}\"}} 1").unwrap();
    }
    body.push_str("broken{ 1\n");
    Misbehaviour::text(&body)
}

#[test]
fn broken_bodies_of_ever_new_series_fill_nothing() {
    let bad = Server::start((0..EVER_NEW_BODIES).map(ever_new));
    let good = Server::start([Misbehaviour::text("m 1\n")]);
    let config = format!(
        "global: {{scrape_interval: 100ms}}\nscrape_configs:\n\
         - {{job_name: churn, static_configs: [{{targets: ['{}']}}]}}\n\
         - {{job_name: good, static_configs: [{{targets: ['{}']}}]}}\n",
        bad.address(),
        good.address()
    );
    let mut server = server().config(&config).start();
    wait_until("all broken bodies", PATIENCE, || (bad.requests().len() > EVER_NEW_BODIES).then_some(()));
    wait_for_target(&server, "churn", "down", "expected a label name");
    wait_for_target(&server, "good", "up", "");
    let series = support::own_metric(&server, "prometheus_tsdb_head_series");
    assert!(series < 50.0, "{series} series are in the head");
    let peak = peak_resident_bytes(server.process().id());
    println!("peak of resident memory: {} MiB", peak >> 20);
    assert!(peak < RESIDENT_MAX_BYTES, "{peak} bytes were resident");
}
