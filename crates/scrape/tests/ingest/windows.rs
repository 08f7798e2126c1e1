//! Bodies that come window by window: what is stored of them is what is stored of the same that come whole.

use crate::{Rig, STEP_MS, drop_where, in_world, stream, target, with_rules};
use skopos_base::Env;
use skopos_exposition::Format;
use skopos_model::{DurationMs, TimestampMs};
use skopos_scrape::{
    ingest::{Ingest, Report},
    status::Health,
    target::{HistogramReading, Reading, ScrapeLimits},
};
use std::{
    fmt::Write as _,
    sync::{Arc, atomic::Ordering},
};

/// What the database has of some bodies, one scrape after the other, and what was said of each; with
/// windows of so many bytes. The time at which all begins is `BEGIN` in the bodies.
fn outcome(
    env: &Env,
    reading: &Reading,
    bodies: &[(Format, &str)],
    windows: Option<usize>,
) -> (Vec<String>, Vec<String>) {
    let mut rig = Rig { windows, ..Rig::new(env, reading.clone()) };
    let begun = rig.begun.to_string();
    let mut said = Vec::new();
    for (format, body) in bodies {
        let report = rig.scrape_as(*format, &body.replace("BEGIN", &begun));
        said.push(format!("{:?} {}", report.health, report.error));
    }
    (rig.everything(), said)
}

fn check(reading: &Reading, bodies: &[(Format, &str)]) {
    let whole = |windows| {
        let mut result = None;
        in_world(|_, env| result = Some(outcome(env, reading, bodies, windows)));
        result.unwrap()
    };
    let expected = whole(None);
    let longest = bodies.iter().map(|(_, body)| body.len()).max().unwrap_or_default();
    for windows in (1..=longest.min(40)).chain([longest]) {
        assert_eq!(whole(Some(windows)), expected, "windows of {windows} bytes");
    }
}

#[test]
fn it_does_not_matter_where_windows_cut() {
    let text = "# HELP m what it \\n is\n# TYPE m gauge\nm{a=\"1\"} 1\nm{a=\"two\nlines \"} 2\n\n  # note\n\
        own 3 BEGIN\nm{a=\"1\"} 5\n{\"quoted.name\",l=\"ü\"} 6\nlast 7";
    let open =
        "# TYPE c counter\nc_total 3 # {trace=\"x\"} 1\n# TYPE g_s gauge\n# UNIT g_s s\ng_s 1\n# EOF\n";
    let no_end = open.trim_end_matches("# EOF\n");
    let behind = format!("{open}more 1\n");
    let (t, o) = (Format::Text, Format::OpenMetrics);
    check(&Reading::default(), &[(t, text), (t, text), (o, open), (o, open), (t, text)]);
    check(&Reading::default(), &[(o, open), (o, no_end), (o, open), (o, &behind), (o, open)]);
    check(&Reading::default(), &[(t, text), (t, "m 1\nm{a=\"1\n"), (t, text), (t, "m{ 1\n")]);
    check(&Reading::default(), &[(o, open.trim_end()), (o, "\n"), (o, "# EOF"), (o, "# EOF\n\n")]);
}

#[test]
fn rules_limits_and_histograms_hold_over_windows() {
    let t = Format::Text;
    let body = "a1 1\nb 2\na2 3 BEGIN\na1 4\nb 5\nc 6\n";
    check(&with_rules([drop_where("__name__", "a.*")]), &[(t, body), (t, body), (t, "a3 1\nb 1\nb 2\n")]);
    let limits = ScrapeLimits { samples: 2, ..ScrapeLimits::default() };
    let limited = Reading { limits, ..Reading::default() };
    check(&limited, &[(t, "a 1\nb 2\n"), (t, body), (t, "a 1\nb 2\nc 3\n"), (t, "a 1\n")]);
    let custom = HistogramReading { to_custom: true, native: true, ..HistogramReading::default() };
    let histogram = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n\
        # TYPE i histogram\ni_bucket{x=\"y\",le=\"+Inf\"} 3\ni_count{x=\"y\"} 3\n";
    for classic_too in [false, true] {
        let histograms = HistogramReading { classic_too, ..custom };
        check(&Reading { histograms, ..Reading::default() }, &[(t, histogram), (t, histogram)]);
    }
}

#[test]
fn a_body_that_never_comes_whole_ends_all_series_and_leaves_none() {
    in_world(|_, env| {
        let mut rig = Rig { windows: Some(7), ..Rig::new(env, Reading::default()) };
        rig.scrape("a 1\nb 1\n");
        let at = rig.next_time();
        stream(&mut rig.ingest, (at, Format::Text), b"a 2\nnew 2\n", 4).unwrap();
        let report =
            rig.ingest.failure(&rig.db, at, crate::TOOK, &crate::FetchError::Connection("torn".into()));
        assert_eq!((report.health, report.error.as_str()), (Health::Down, "torn"));
        rig.scrape("a 3\nb 3\n");
        let expected =
            [r#"a{instance="h", job="j"}: 0=1 1=end 2=3"#, r#"b{instance="h", job="j"}: 0=1 1=end 2=3"#];
        assert_eq!(rig.stored(), expected);
        assert_eq!(rig.ingest.remembered_series(), 2);
    });
}

#[test]
fn a_scrape_that_is_given_up_within_its_body_leaves_all_as_it_was() {
    in_world(|_, env| {
        let mut rig = Rig { windows: Some(7), ..Rig::new(env, Reading::default()) };
        rig.scrape("a 1\nb 1\n");
        let at = rig.next_time();
        stream(&mut rig.ingest, (at, Format::OpenMetrics), b"a 2\nnew 2\n", 4).unwrap();
        let before =
            std::mem::replace(&mut rig.ingest, Ingest::new(&target(Reading::default()), Arc::default()));
        rig.ingest = Ingest::replacing(&target(Reading::default()), before);
        rig.scrape("a 3\n");
        let at = rig.next_time();
        stream(&mut rig.ingest, (at, Format::Text), b"a 2\nnew 2\n", 4).unwrap();
        rig.ingest.target_gone(&rig.db, TimestampMs::new(rig.begun + 3 * STEP_MS));
        let expected =
            [r#"a{instance="h", job="j"}: 0=1 2=3 3=end"#, r#"b{instance="h", job="j"}: 0=1 2=end"#];
        assert_eq!(rig.stored(), expected);
    });
}

#[test]
fn new_series_beyond_the_bound_are_refused_while_they_come() {
    in_world(|_, env| {
        let mut rig = Rig::new(env, Reading::default());
        rig.scrape("m{i=\"0\"} 1\n");
        let of = crate::Target { max_series: Some(50), ..target(Reading::default()) };
        let ingest = Ingest::new(&of, Arc::clone(&rig.counters)).with_max_series(&of, 7);
        let mut rig = Rig { ingest, windows: Some(1000), ..rig };
        let mut body = String::new();
        (0..10_000).for_each(|i| writeln!(body, "m{{i=\"{i}\"}} 2").unwrap());
        let report = rig.scrape_as(Format::Text, &body);
        assert_eq!(report.health, Health::Up);
        let said = "9950 samples were refused; the first: limit max_series (of the job) of 50 reached";
        assert!(report.error.starts_with(said), "{}", report.error);
        assert_eq!(rig.stored().len(), 50);
        assert_eq!(rig.ingest.remembered_series(), 50, "what is refused is not remembered");
        assert_eq!(rig.counters.beyond_max_series.load(Ordering::Relaxed), 9950);
        assert_eq!(rig.report("scrape_samples_scraped"), "0=1 1=10000");
    });
}

#[test]
fn series_that_rules_drop_take_no_place_of_those_that_they_keep() {
    in_world(|_, env| {
        let reading = with_rules([drop_where("__name__", "m")]);
        let mut rig = Rig::new(env, reading.clone());
        let of = crate::Target { max_series: Some(50), ..target(reading) };
        let ingest = Ingest::new(&of, Arc::clone(&rig.counters)).with_max_series(&of, 7);
        rig = Rig { ingest, windows: Some(1 << 20), ..rig };
        for round in 0..3 {
            let mut body = String::new();
            // Other ones each time, before, between and behind.
            let dropped = |body: &mut String, part: usize| {
                (0..1000).for_each(|i| writeln!(body, "m{{i=\"{round}.{part}.{i}\"}} 2").unwrap());
            };
            dropped(&mut body, 0);
            (0..25).for_each(|i| writeln!(body, "n{{i=\"{i}\"}} 2").unwrap());
            dropped(&mut body, 1);
            (25..50).for_each(|i| writeln!(body, "n{{i=\"{i}\"}} 2").unwrap());
            dropped(&mut body, 2);
            let report = rig.scrape_as(Format::Text, &body);
            assert_eq!((report.health, report.error.as_str()), (Health::Up, ""));
            assert_eq!(rig.stored().len(), 50);
        }
        assert!(rig.ingest.remembered_series() <= 50 + 3 * 50, "{}", rig.ingest.remembered_series());
    });
}

#[test]
fn a_line_that_stands_again_and_again_takes_no_memory() {
    in_world(|_, env| {
        let mut rig = Rig { windows: Some(1000), ..Rig::new(env, Reading::default()) };
        let (at, body) = (rig.next_time(), "m{i=\"0\"} 1\n".repeat(10_000));
        let rest = stream(&mut rig.ingest, (at, Format::Text), body.as_bytes(), 1000).unwrap();
        assert!(rest.is_empty());
        let waiting = rig.ingest.waiting_bytes();
        assert!(waiting < 200, "{waiting} bytes wait");
    });
}

#[test]
fn samples_with_times_of_their_own_wait_within_a_bound() {
    in_world(|_, env| {
        let mut rig = Rig { windows: Some(64 << 10), ..Rig::new(env, Reading::default()) };
        let (at, mut body) = (rig.next_time(), String::new());
        let first = at.minus(DurationMs::from_secs(600)).as_ms();
        (0..500_020).for_each(|i| writeln!(body, "m 1 {}", first + i).unwrap());
        stream(&mut rig.ingest, (at, Format::Text), body.as_bytes(), 64 << 10).unwrap();
        let waiting = rig.ingest.waiting_bytes();
        assert!(waiting <= 16_100_000, "{waiting} bytes wait");
        let report = rig.scrape_as(Format::Text, &body);
        let said = "19 samples were refused; the first: limit samples of series that a long body has already \
            of 500000 reached: m";
        assert_eq!(report, Report { health: Health::Up, error: said.into() });
        assert_eq!(rig.report("scrape_samples_scraped"), "1=500020");
    });
}

#[test]
fn a_line_without_end_is_refused_when_it_is_too_long() {
    in_world(|_, env| {
        let mut rig = Rig { windows: Some(64 << 10), ..Rig::new(env, Reading::default()) };
        for begin in ["m{l=\"", "m{l=\"\n", "mmm"] {
            let report = rig.scrape_as(Format::Text, &format!("a 1\n{begin}{}", "x".repeat(3 << 20)));
            assert_eq!(report.health, Health::Down);
            let expected =
                if begin.contains('\n') { "line 2, column 5: quoted" } else { "line 2, column 1: entry" };
            assert!(report.error.starts_with(expected), "{}", report.error);
        }
    });
}
