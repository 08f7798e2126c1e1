//! From a body to what the database has: a real head and log on a simulated disk, one target, one scrape
//! after the other. No network.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

mod families;
mod windows;

use skopos_base::{Env, sim::SimWorld};
use skopos_exposition::Format;
use skopos_model::{DurationMs, Labels, Matcher, TimestampMs, is_stale_nan};
use skopos_relabel::{Action, RuleConfig, Rules};
use skopos_scrape::{
    body::{Body, Exposition},
    config::NameValidation,
    fetch::FetchError,
    ingest::{Ingest, MetadataLabels, Report, StreamError},
    status::{Health, ScrapeCounters},
    target::{Reading, ScrapeLimits, Source, Target},
};
use skopos_storage::{QueryBudget, QueryLimits, Queryable, SelectRequest, SeriesBatch, Shard, TimeRange};
use skopos_tsdb::{Db, Options};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How far apart scrapes are.
const STEP_MS: i64 = 15_000;
const TOOK: Duration = Duration::from_millis(7);

/// A target, its database, and the time.
struct Rig<'a> {
    env: &'a Env,
    db: Db,
    ingest: Ingest,
    counters: Arc<ScrapeCounters>,
    begun: i64,
    scrapes: i64,
    /// The most bytes in which text comes, where it comes window by window.
    windows: Option<usize>,
}

fn target(reading: Reading) -> Target {
    Target {
        job: Arc::from("j"),
        source: Source::Http("http://h/metrics".into()),
        labels: Labels::from_pairs([("instance", "h"), ("job", "j")]),
        discovered: Labels::empty(),
        interval: DurationMs::from_ms(STEP_MS),
        timeout: DurationMs::from_ms(STEP_MS),
        max_series: None,
        forced_error: None,
        access: Arc::default(),
        reading,
        extra_metrics: false,
        failure_log: None,
    }
}

/// Gives a body in windows of so many bytes; what is left of it.
fn stream(
    ingest: &mut Ingest,
    (at, format): (TimestampMs, Format),
    body: &[u8],
    windows: usize,
) -> Result<Vec<u8>, StreamError> {
    ingest.begin_stream(at, format);
    let mut come = Vec::new();
    for part in body.chunks(windows) {
        come.extend_from_slice(part);
        let read = ingest.window(&come)?;
        come.drain(..read);
    }
    Ok(come)
}

fn open(env: &Env, dir: &str) -> Db {
    Db::open(Path::new(dir), Options::default(), env).unwrap()
}

impl<'a> Rig<'a> {
    fn new(env: &'a Env, reading: Reading) -> Self {
        let counters = Arc::new(ScrapeCounters::default());
        let ingest = Ingest::new(&target(reading), Arc::clone(&counters));
        Self {
            env,
            db: open(env, "/data"),
            ingest,
            counters,
            begun: env.clock.wall_ms(),
            scrapes: 0,
            windows: None,
        }
    }

    /// The time of the scrape that comes next; time passes with it.
    fn next_time(&mut self) -> TimestampMs {
        let at = self.begun + self.scrapes * STEP_MS;
        self.scrapes += 1;
        self.env.clock.sleep(Duration::from_millis(STEP_MS.unsigned_abs()));
        TimestampMs::new(at)
    }

    fn scrape_as(&mut self, format: Format, body: &str) -> Report {
        let at = self.next_time();
        let exposition = Exposition::Lines(format);
        let rest = match self.windows.filter(|_| self.ingest.can_stream(exposition)) {
            Some(windows) => match stream(&mut self.ingest, (at, format), body.as_bytes(), windows) {
                Ok(rest) => rest,
                Err(e) => return self.ingest.failure(&self.db, at, TOOK, &e.into()),
            },
            None => body.as_bytes().to_vec(),
        };
        self.ingest.body(&self.db, at, TOOK, &Body::of(exposition, rest))
    }

    #[track_caller]
    fn scrape(&mut self, body: &str) {
        let report = self.scrape_as(Format::Text, body);
        assert_eq!(report, Report { health: Health::Up, error: String::new() });
    }

    fn fail(&mut self, error: &str) -> Report {
        let at = self.next_time();
        self.ingest.failure(&self.db, at, TOOK, &FetchError::Connection(error.to_owned()))
    }

    /// `at` as the number of a scrape, where it is the time of one.
    fn when(&self, at: i64) -> String {
        let since = at - self.begun;
        if since % STEP_MS == 0 { (since / STEP_MS).to_string() } else { format!("{since}ms") }
    }

    /// All that is stored, as `series: scrape=value …`; without the series that scrapes leave of themselves.
    fn stored(&self) -> Vec<String> {
        let own = |line: &String| !(line.starts_with("up{") || line.starts_with("scrape_"));
        self.everything().into_iter().filter(own).collect()
    }

    /// The values of one of the series that scrapes leave of themselves.
    fn report(&self, name: &str) -> String {
        let line = self.everything().into_iter().find(|line| line.starts_with(&format!("{name}{{")));
        line.unwrap().split_once(": ").unwrap().1.to_owned()
    }

    fn everything(&self) -> Vec<String> {
        let budget = QueryBudget::new(QueryLimits::default(), Arc::clone(&self.env.clock));
        let matchers: [Matcher; 0] = [];
        let range = TimeRange::ALL;
        let request = SelectRequest { matchers: &matchers, range, shard: Shard::WHOLE, budget };
        let mut set = self.db.querier(range).unwrap().select(&request).unwrap();
        let (mut batch, mut out) = (SeriesBatch::default(), BTreeMap::new());
        while set.next_batch(&mut batch).unwrap() {
            for series in batch.iter() {
                let value = |v: f64| if is_stale_nan(v) { "end".to_owned() } else { v.to_string() };
                let samples = series.timestamps.iter().zip(series.values);
                let samples = samples.map(|(t, v)| format!("{}={}", self.when(t.as_ms()), value(*v)));
                out.insert(series.labels.to_string(), samples.collect::<Vec<_>>().join(" "));
            }
        }
        out.retain(|_, samples| !samples.is_empty());
        out.into_iter().map(|(labels, samples)| format!("{labels}: {samples}")).collect()
    }
}

/// Runs a test in a world of its own.
fn in_world(test: impl FnOnce(&SimWorld, &Env)) {
    let world = SimWorld::new(7);
    world.run(|env| test(&world, env));
}

fn with_rig(reading: Reading, test: impl Fn(Rig<'_>)) {
    // Whether text comes whole or in windows, however they cut it, is all the same.
    for (reading, windows) in [(reading.clone(), None), (reading.clone(), Some(1)), (reading, Some(50))] {
        in_world(|_, env| test(Rig { windows, ..Rig::new(env, reading) }));
    }
}

#[test]
fn a_scrape_leaves_its_samples_and_what_it_says_of_itself() {
    with_rig(Reading::default(), |mut rig| {
        rig.scrape("a 1\nb{x=\"1\"} NaN\nb{x=\"2\"} -Inf\n");
        rig.scrape("a 2\nb{x=\"1\"} 1\nb{x=\"2\"} +Inf\n");
        let expected = [
            r#"a{instance="h", job="j"}: 0=1 1=2"#,
            r#"b{instance="h", job="j", x="1"}: 0=NaN 1=1"#,
            r#"b{instance="h", job="j", x="2"}: 0=-inf 1=inf"#,
        ];
        assert_eq!(rig.stored(), expected);
        assert_eq!(rig.report("up"), "0=1 1=1");
        assert_eq!(rig.report("scrape_duration_seconds"), "0=0.007 1=0.007");
        assert_eq!(rig.report("scrape_samples_scraped"), "0=3 1=3");
        assert_eq!(rig.report("scrape_samples_post_metric_relabeling"), "0=3 1=3");
        assert_eq!(rig.report("scrape_series_added"), "0=3 1=0");
        assert_eq!(rig.counters.samples.load(Ordering::Relaxed), 16);
    });
}

#[test]
fn a_series_that_vanishes_ends_and_counts_as_added_when_it_is_back() {
    with_rig(Reading::default(), |mut rig| {
        for body in ["a 1\nb 1\n", "a 2\n", "a 3\n", "b 4\na 4\n", "b 5\n"] {
            rig.scrape(body);
        }
        let expected = [
            r#"a{instance="h", job="j"}: 0=1 1=2 2=3 3=4 4=end"#,
            r#"b{instance="h", job="j"}: 0=1 1=end 3=4 4=5"#,
        ];
        assert_eq!(rig.stored(), expected);
        assert_eq!(rig.report("scrape_series_added"), "0=2 1=0 2=0 3=1 4=0");
    });
}

#[test]
fn a_target_that_fails_ends_all_its_series_once() {
    with_rig(Reading::default(), |mut rig| {
        rig.scrape("a 1\n");
        for _ in 0..2 {
            let report = rig.fail("no answer");
            assert_eq!(report, Report { health: Health::Down, error: "no answer".into() });
        }
        rig.scrape("a 2\n");
        assert_eq!(rig.stored(), [r#"a{instance="h", job="j"}: 0=1 1=end 3=2"#]);
        assert_eq!(rig.report("up"), "0=1 1=0 2=0 3=1");
        assert_eq!(rig.report("scrape_samples_scraped"), "0=1 1=0 2=0 3=1");
        assert_eq!(rig.report("scrape_series_added"), "0=1 1=0 2=0 3=0");
    });
}

#[test]
fn of_a_body_with_an_error_nothing_is_stored() {
    with_rig(Reading::default(), |mut rig| {
        rig.scrape("a 1\n");
        let report = rig.scrape_as(Format::Text, "a 2\nb 2\nc{ 3\n");
        assert_eq!(report.health, Health::Down);
        assert!(report.error.starts_with("line 3, column 4: expected a label name"), "{}", report.error);
        assert_eq!(rig.stored(), [r#"a{instance="h", job="j"}: 0=1 1=end"#]);
        assert_eq!(
            (rig.report("up"), rig.report("scrape_samples_scraped")),
            ("0=1 1=0".into(), "0=1 1=2".into())
        );
        rig.scrape("a 3\nb 3\n");
        let expected = [r#"a{instance="h", job="j"}: 0=1 1=end 2=3"#, r#"b{instance="h", job="j"}: 2=3"#];
        assert_eq!(rig.stored(), expected);
    });
}

#[test]
fn bodies_with_an_error_leave_no_series_behind() {
    with_rig(Reading::default(), |mut rig| {
        rig.scrape("a 1\n");
        let before = rig.db.stats().series;
        let own_time = rig.begun;
        for i in 0..100 {
            let new = (0..50).map(|n| format!("m{{i=\"{i}\",n=\"{n}\"}} 1\n")).collect::<String>();
            let report = rig.scrape_as(Format::Text, &format!("a 2\n{new}own{i} 1 {own_time}\nbroken{{ 3\n"));
            assert_eq!(report.health, Health::Down);
            assert!(report.error.starts_with("line 53, column 9"), "{}", report.error);
        }
        assert_eq!(rig.db.stats().series, before, "series in the head");
        assert_eq!(rig.ingest.remembered_series(), 1);
        rig.scrape("m{i=\"7\",n=\"7\"} 1\na 3\n");
        assert_eq!((rig.db.stats().series, rig.ingest.remembered_series()), (before + 1, 2));
    });
}

#[test]
fn new_series_keep_their_place_and_their_order() {
    with_rig(Reading::default(), |mut rig| {
        let at = |rig: &Rig<'_>, ms: i64| rig.begun + ms;
        let twice = format!("own 1 {}\nb 1\nown 2 {}\n", at(&rig, -2000), at(&rig, -1000));
        rig.scrape(&twice);
        rig.scrape("a 2\nb 2\nc 2\n");
        rig.scrape("a 3\nb 3\nc 3\n");
        let expected = [
            r#"a{instance="h", job="j"}: 1=2 2=3"#,
            r#"b{instance="h", job="j"}: 0=1 1=2 2=3"#,
            r#"c{instance="h", job="j"}: 1=2 2=3"#,
            r#"own{instance="h", job="j"}: -2000ms=1 -1000ms=2"#,
        ];
        assert_eq!(rig.stored(), expected);
        assert_eq!(rig.report("scrape_series_added"), "0=2 1=2 2=0");
    });
}

#[test]
fn times_of_the_target_are_kept_and_their_series_never_ended() {
    with_rig(Reading::default(), |mut rig| {
        let at = |rig: &Rig<'_>, ms: i64| rig.begun + ms;
        let first = format!("own 1 {}\nown 2 {}\nplain 1\n", at(&rig, -3000), at(&rig, -1000));
        rig.scrape(&first);
        let second = format!("own 3 {}\nplain 2\n", at(&rig, 9000));
        rig.scrape(&second);
        // The same sample again is no error; the series that has its own time does not end.
        rig.scrape(&second);
        rig.scrape("plain 3\n");
        let expected = [
            r#"own{instance="h", job="j"}: -3000ms=1 -1000ms=2 9000ms=3"#,
            r#"plain{instance="h", job="j"}: 0=1 1=2 2=2 3=3"#,
        ];
        assert_eq!(rig.stored(), expected);
    });
}

#[test]
fn times_of_the_target_are_passed_over_where_they_are_not_honored() {
    with_rig(Reading { honor_timestamps: false, ..Reading::default() }, |mut rig| {
        rig.scrape("own 1 1\n");
        rig.scrape("own 2 1\n");
        rig.scrape("");
        assert_eq!(rig.stored(), [r#"own{instance="h", job="j"}: 0=1 1=2 2=end"#]);
    });
}

#[test]
fn samples_that_are_refused_are_said_and_cost_no_other() {
    with_rig(Reading::default(), |mut rig| {
        let early = rig.begun - 5000;
        let late = rig.begun + 700_000;
        let cases = [
            ("m 1\nm 2\n".to_owned(), "1 samples were refused; the first: m: duplicate"),
            (format!("m 1 {late}\nm 2\n"), "1 samples were refused; the first: m: timestamp"),
            (format!("m 3\nold 1\nold 1 {early}\n"), "1 samples were refused; the first: old: out of order"),
            ("m{a=\"1\",a=\"2\"} 1\nm 4\n".to_owned(), "m{a=\"1\",a=\"2\"}: the label a stands twice"),
        ];
        for (body, said) in cases {
            let report = rig.scrape_as(Format::Text, &body);
            assert_eq!(report.health, Health::Up);
            assert!(report.error.contains(said), "{body}: {}", report.error);
        }
        let expected =
            [r#"m{instance="h", job="j"}: 0=1 1=2 2=3 3=4"#, r#"old{instance="h", job="j"}: 2=1 3=end"#];
        assert_eq!(rig.stored(), expected);
        // Refused samples count as scraped, as Prometheus counts them.
        assert_eq!(rig.report("scrape_samples_scraped"), "0=2 1=2 2=3 3=2");
        assert_eq!(rig.report("scrape_samples_post_metric_relabeling"), "0=2 1=2 2=3 3=2");
        let c = &rig.counters;
        let counts = [&c.duplicates, &c.out_of_bounds, &c.out_of_order, &c.refused];
        assert_eq!(counts.map(|counter| counter.load(Ordering::Relaxed)), [1, 1, 1, 1]);
    });
}

#[test]
fn an_error_never_shows_more_than_the_beginning_of_a_series() {
    with_rig(Reading::default(), |mut rig| {
        let report = rig.scrape_as(Format::Text, &format!("m{{l=\"{}\"}} 1\nok 1\n", "ü".repeat(50_000)));
        assert!(report.error.len() < 1000 && report.error.contains("max-label-bytes"), "{}", report.error);
        assert_eq!(rig.stored(), [r#"ok{instance="h", job="j"}: 0=1"#]);
    });
}

#[test]
fn labels_that_both_have_are_exported_or_honored() {
    let body = "m{job=\"theirs\",instance=\"\"} 1\n";
    with_rig(Reading::default(), |mut rig| {
        rig.scrape(body);
        assert_eq!(rig.stored(), [r#"m{exported_job="theirs", instance="h", job="j"}: 0=1"#]);
    });
    with_rig(Reading { honor_labels: true, ..Reading::default() }, |mut rig| {
        rig.scrape(body);
        assert_eq!(rig.stored(), [r#"m{job="theirs"}: 0=1"#]);
        assert_eq!(rig.report("up"), "0=1");
    });
}

/// Runs a test where types and units are labels.
fn with_typed_rig(test: impl Fn(Rig<'_>)) {
    with_rig(Reading::default(), |rig| {
        let ingest = Ingest::new(&target(Reading::default()), Arc::clone(&rig.counters));
        test(Rig { ingest: ingest.with_metadata_labels(MetadataLabels::TypeAndUnit), ..rig });
    });
}

#[test]
fn types_and_units_are_labels_where_that_is_wanted() {
    let body = "# TYPE g_seconds gauge\n# UNIT g_seconds seconds\ng_seconds 1\n\
        g_seconds{a=\"b\",__type__=\"mine\",__unit__=\"mine\"} 2\n# TYPE c counter\nc_total 3\nc_created 4\n\
        # TYPE h histogram\nh_bucket{le=\"+Inf\"} 5\nh_count 5\nh_sum 6\nh_created 7\n\
        # TYPE u unknown\nu 8\nu{__type__=\"mine\"} 9\nother 10\n# EOF\n";
    let labels = |more: &str| format!("{{{more}instance=\"h\", job=\"j\"}}");
    with_typed_rig(|mut rig| {
        rig.scrape_as(Format::OpenMetrics, body);
        let (gauge, counter) =
            (labels("__type__=\"gauge\", __unit__=\"seconds\", "), "__type__=\"counter\", ");
        let histogram = "__type__=\"histogram\", ";
        let expected = [
            format!("c_created{}: 0=4", labels(counter)),
            format!("c_total{}: 0=3", labels(counter)),
            format!("g_seconds{}: 0=2", gauge.replace("inst", "a=\"b\", inst")),
            format!("g_seconds{gauge}: 0=1"),
            format!("h_bucket{}: 0=5", labels(histogram).replace("\"j\"", "\"j\", le=\"+Inf\"")),
            format!("h_count{}: 0=5", labels(histogram)),
            format!("h_created{}: 0=7", labels(histogram)),
            format!("h_sum{}: 0=6", labels(histogram)),
            format!("other{}: 0=10", labels("")),
            format!("u{}: 0=9", labels("__type__=\"mine\", ")),
            format!("u{}: 0=8", labels("")),
        ];
        assert_eq!(rig.stored(), expected);
        assert!(rig.report("up") == "0=1" && rig.everything().iter().any(|l| l.starts_with("up{instance")));
    });
    with_rig(Reading::default(), |mut rig| {
        rig.scrape_as(Format::OpenMetrics, "# TYPE c counter\nc_total 3\n# EOF\n");
        assert_eq!(rig.stored(), [r#"c_total{instance="h", job="j"}: 0=3"#]);
    });
}

#[test]
fn a_series_of_which_another_type_is_said_is_another_series() {
    with_typed_rig(|mut rig| {
        rig.scrape("m 1\nsame 1\n");
        rig.scrape("# TYPE m gauge\nm 2\nsame 2\n# TYPE new gauge\nnew 2\n");
        rig.scrape("# TYPE m gauge\nm 3\nsame 3\n");
        rig.scrape("# TYPE m gauge\n# TYPE m counter\nsame 4\nm 4\n");
        rig.scrape("# TYPE m gauge\n# TYPE m counter\nsame 5\nm 5\n");
        let expected = [
            r#"m{__type__="counter", instance="h", job="j"}: 3=4 4=5"#,
            r#"m{__type__="gauge", instance="h", job="j"}: 1=2 2=3 3=end"#,
            r#"m{instance="h", job="j"}: 0=1 1=end"#,
            r#"new{__type__="gauge", instance="h", job="j"}: 1=2 2=end"#,
            r#"same{instance="h", job="j"}: 0=1 1=2 2=3 3=4 4=5"#,
        ];
        assert_eq!(rig.stored(), expected);
        assert_eq!(rig.report("scrape_samples_scraped"), "0=2 1=3 2=2 3=2 4=2");
        // Of a body with an error nothing is stored, whatever it says of types.
        rig.scrape_as(Format::Text, "# TYPE m gauge\nm 6\n!\n");
        assert!(rig.stored()[0].ends_with("3=4 4=5 5=end"), "{:?}", rig.stored());
        rig.scrape("# TYPE m gauge\nm 7\nsame 7\n");
        let stored = rig.stored();
        assert!(stored[0].ends_with("4=5 5=end") && stored[1].ends_with("3=end 6=7"), "{stored:?}");
    });
}

#[test]
fn a_change_of_the_format_changes_no_series() {
    with_rig(Reading::default(), |mut rig| {
        rig.scrape("m{a=\"x\"} 1\nn 1\n");
        let open = rig.scrape_as(Format::OpenMetrics, "m{a=\"x\"} 2\nn 2\n# EOF\n");
        assert_eq!(open, Report { health: Health::Up, error: String::new() });
        rig.scrape("m{a=\"x\"} 3\nn 3\n");
        let expected =
            [r#"m{a="x", instance="h", job="j"}: 0=1 1=2 2=3"#, r#"n{instance="h", job="j"}: 0=1 1=2 2=3"#];
        assert_eq!(rig.stored(), expected);
        assert_eq!(rig.report("scrape_series_added"), "0=2 1=0 2=0");
    });
}

#[test]
fn a_series_that_storage_has_forgotten_is_made_again() {
    with_rig(Reading::default(), |mut rig| {
        rig.scrape("a 1\nb{x=\"1\"} 1\n");
        // Another database knows none of the references.
        rig.db = open(rig.env, "/other");
        rig.scrape("a 2\nb{x=\"1\"} 2\n");
        let own_time = format!("a 3 {}\nb{{x=\"1\"}} 3\n", rig.begun + 2 * STEP_MS);
        rig.scrape(&own_time);
        let expected =
            [r#"a{instance="h", job="j"}: 1=2 2=3"#, r#"b{instance="h", job="j", x="1"}: 1=2 2=3"#];
        assert_eq!(rig.stored(), expected);
        assert_eq!(rig.report("up"), "1=1 2=1");
        rig.db = open(rig.env, "/third");
        rig.scrape(&format!("a 4 {}\n", rig.begun + 3 * STEP_MS));
        assert_eq!(rig.stored(), [r#"a{instance="h", job="j"}: 3=4"#]);
    });
}

#[test]
fn a_full_disk_is_the_targets_error_until_there_is_room_again() {
    in_world(|world, env| {
        let mut rig = Rig::new(env, Reading::default());
        rig.scrape("a 1\nb 1\n");
        rig.db.sync().unwrap();
        world.fs().set_capacity(Some(0));
        for body in ["a 2\nnew 2\n", "a 3\n"] {
            let report = rig.scrape_as(Format::Text, body);
            assert_eq!(report.health, Health::Down);
            assert!(report.error.contains("nothing of it was stored"), "{}", report.error);
        }
        assert_eq!(rig.counters.commit_failures.load(Ordering::Relaxed), 2);
        assert_eq!(rig.stored().len(), 2, "nothing of it is there");
        world.fs().set_capacity(None);
        rig.scrape("a 4\nnew 4\n");
        // What vanished while nothing could be written ends now.
        let expected = [
            r#"a{instance="h", job="j"}: 0=1 3=4"#,
            r#"b{instance="h", job="j"}: 0=1 3=end"#,
            r#"new{instance="h", job="j"}: 3=4"#,
        ];
        assert_eq!(rig.stored(), expected);
        assert_eq!(rig.report("up"), "0=1 3=1");
        drop(rig.db);
        rig.db = open(env, "/data");
        assert_eq!(rig.stored(), expected, "after a restart");
    });
}

#[test]
fn a_target_that_is_removed_ends_everything_that_it_had() {
    with_rig(Reading::default(), |mut rig| {
        rig.scrape("a 1\n");
        let at = rig.next_time();
        rig.ingest.target_gone(&rig.db, at);
        assert_eq!(rig.stored(), [r#"a{instance="h", job="j"}: 0=1 1=end"#]);
        for name in ["up", "scrape_samples_scraped", "scrape_series_added"] {
            assert!(rig.report(name).ends_with(" 1=end"), "{name}: {}", rig.report(name));
        }
    });
}

#[test]
fn series_beyond_the_bound_are_refused_and_a_restart_does_not_raise_it() {
    with_rig(Reading::default(), |mut rig| {
        let bounded = |rig: &Rig<'_>, max_series| {
            let target = Target { max_series, ..target(Reading::default()) };
            Ingest::new(&target, Arc::clone(&rig.counters)).with_max_series(&target, 3)
        };
        rig.ingest = bounded(&rig, None);
        rig.scrape("a 1\nb 1\n");
        let report = rig.scrape_as(Format::Text, "b 2\nc 2\nd 2\ne 2\n");
        assert_eq!(report.health, Health::Up);
        let said = "2 samples were refused; the first: limit scrape.max-series-per-target of 3 reached: d";
        assert_eq!(report.error, said);
        // What vanished is in storage, and so it counts, also behind a restart.
        drop(rig.db);
        rig.db = open(rig.env, "/data");
        rig.ingest = bounded(&rig, None);
        let report = rig.scrape_as(Format::Text, "b 3\nc 3\nd 3\n");
        assert!(report.error.starts_with("1 samples were refused; the first: limit "), "{}", report.error);
        assert_eq!(rig.counters.beyond_max_series.load(Ordering::Relaxed), 3);
        assert_eq!(rig.counters.refused.load(Ordering::Relaxed), 0);
        assert_eq!(rig.report("up"), "0=1 1=1 2=1", "what is said of the target is not the target's");
        // The job's own word goes before the flag, and zero is no bound.
        drop(rig.db);
        rig.db = open(rig.env, "/data");
        rig.ingest = bounded(&rig, Some(4));
        let report = rig.scrape_as(Format::Text, "b 4\nc 4\nd 4\ne 4\n");
        let said = "1 samples were refused; the first: limit max_series (of the job) of 4 reached: e";
        assert_eq!(report.error, said);
        rig.ingest = bounded(&rig, Some(0));
        rig.scrape("b 5\nc 5\nd 5\ne 5\nf 5\n");
    });
}

#[test]
fn what_metrics_are_is_stored_once_and_outlives_the_target() {
    let body = "# HELP h took\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 2\n\
        # HELP g level\n# TYPE g gauge\ng{i=\"1\"} 1\ng{i=\"2\"} 1\n# TYPE empty counter\nplain 1\n";
    in_world(|_, env| {
        let mut rig = Rig::new(env, Reading::default());
        let said = |db: &Db| {
            let mut all = db.all_metadata();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all.iter().map(|(m, of)| format!("{m} {} {}", of.metric_type, of.help)).collect::<Vec<_>>()
        };
        let written = |rig: &mut Rig<'_>, body: &str| {
            let before = rig.db.stats().wal_written_bytes_total;
            rig.scrape(body);
            rig.db.stats().wal_written_bytes_total - before
        };
        // A body that is not stored says nothing, and is no reason to say nothing later.
        assert_eq!(rig.scrape_as(Format::Text, &format!("{body}!\n")).health, Health::Down);
        assert_eq!(said(&rig.db), Vec::<String>::new());
        rig.scrape(body);
        let histogram = ["g gauge level", "h_bucket histogram took", "h_count histogram took"];
        assert_eq!(said(&rig.db)[..3], histogram);
        assert_eq!(said(&rig.db)[3..], ["h_sum histogram took"]);
        let steady = written(&mut rig, body);
        assert_eq!(written(&mut rig, body), steady);
        // Another text costs bytes once.
        let changed = body.replace("level", "height");
        assert!(written(&mut rig, &changed) > steady);
        assert_eq!(written(&mut rig, &changed), steady);
        // A family that was declared before it had a series.
        rig.scrape(&format!("{changed}empty 1\n"));
        let expected = ["empty counter ", "g gauge height"];
        assert_eq!(said(&rig.db)[..2], expected);
        let Rig { db, .. } = rig;
        drop(db);
        assert_eq!(said(&open(env, "/data"))[..2], expected);
    });
}

fn with_rules(rules: impl IntoIterator<Item = RuleConfig>) -> Reading {
    Reading { rules: Rules::new(rules.into_iter().collect()).unwrap(), ..Reading::default() }
}

/// Drops what has such a value in a label.
fn drop_where(label: &str, regex: &str) -> RuleConfig {
    RuleConfig {
        source_labels: vec![label.into()],
        regex: regex.into(),
        action: Action::Drop,
        ..RuleConfig::default()
    }
}

#[test]
fn what_rules_drop_is_not_stored_and_counts_as_scraped_alone() {
    let rename = RuleConfig {
        source_labels: vec!["__name__".into()],
        regex: "b(.*)".into(),
        target_label: "__name__".into(),
        replacement: "c$1".into(),
        ..RuleConfig::default()
    };
    with_rig(with_rules([drop_where("__name__", "a.*"), rename]), |mut rig| {
        for _ in 0..3 {
            // A series that is dropped may stand twice.
            rig.scrape("a 1\nb 2\na 1\nb_x 3\n");
        }
        rig.scrape("b 2\n");
        assert_eq!(
            rig.stored(),
            [
                r#"c_x{instance="h", job="j"}: 0=3 1=3 2=3 3=end"#,
                r#"c{instance="h", job="j"}: 0=2 1=2 2=2 3=2"#,
            ]
        );
        assert_eq!(rig.report("scrape_samples_scraped"), "0=4 1=4 2=4 3=1");
        assert_eq!(rig.report("scrape_samples_post_metric_relabeling"), "0=2 1=2 2=2 3=1");
        assert_eq!(rig.report("scrape_series_added"), "0=2 1=0 2=0 3=0");
    });
}

#[test]
fn other_rules_end_what_they_drop_and_bring_back_what_they_keep() {
    with_rig(with_rules([drop_where("__name__", "a")]), |mut rig| {
        rig.scrape("a 1\nb 2\n");
        let target = target(with_rules([drop_where("__name__", "b")]));
        let before = std::mem::replace(&mut rig.ingest, Ingest::new(&target, Arc::clone(&rig.counters)));
        rig.ingest = Ingest::replacing(&target, before);
        rig.scrape("a 1\nb 2\n");
        rig.scrape("a 1\nb 2\n");
        assert_eq!(
            rig.stored(),
            [r#"a{instance="h", job="j"}: 1=1 2=1"#, r#"b{instance="h", job="j"}: 0=2 1=end"#]
        );
    });
}

#[test]
fn a_target_that_was_beyond_a_limit_is_scraped_on() {
    let limits = ScrapeLimits { samples: 3, label_value_bytes: 3, ..ScrapeLimits::default() };
    for too_much in
        ["a 1\nb 2\nc 3\nd 4\ne 5\n", "a 1\nb 2\nc 3\nd{x=\"1234\"} 4\n", "c 3\nd{x=\"1234\"} 4\n"]
    {
        for (windows, first) in [(None, false), (None, true), (Some(7), false), (Some(7), true)] {
            in_world(|_, env| {
                let reading = Reading { limits, ..Reading::default() };
                let mut rig = Rig { windows, ..Rig::new(env, reading) };
                if !first {
                    rig.scrape("a 1\nb 2\n");
                }
                let report = rig.scrape_as(Format::Text, too_much);
                assert!(report.health == Health::Down && report.error.contains("limit"), "{report:?}");
                for _ in 0..2 {
                    rig.scrape("a 1\nb 2\n");
                }
                rig.scrape("a 1\nf 2\n");
            });
        }
    }
}

#[test]
fn a_scrape_beyond_a_limit_fails_as_a_whole() {
    let limits = ScrapeLimits { samples: 2, ..ScrapeLimits::default() };
    let reading = Reading { limits, ..with_rules([drop_where("__name__", "a.*")]) };
    with_rig(reading, |mut rig| {
        rig.scrape("a 1\nb 2\nc 3\n");
        let report = rig.scrape_as(Format::Text, "a 1\nb 2\nc 3\nd 4\na2 1\ne 5\n");
        let error =
            "sample_limit exceeded: there are 4 samples behind metric_relabel_configs, the limit is 2";
        assert_eq!(report, Report { health: Health::Down, error: error.into() });
        // What it would have made is not there.
        assert_eq!(
            rig.stored(),
            [r#"b{instance="h", job="j"}: 0=2 1=end"#, r#"c{instance="h", job="j"}: 0=3 1=end"#]
        );
        rig.scrape("b 2\nc 3\n");
        assert_eq!(rig.report("up"), "0=1 1=0 2=1");
        assert_eq!(rig.report("scrape_samples_post_metric_relabeling"), "0=2 1=4 2=2");
    });
    let limits = ScrapeLimits { label_value_bytes: 3, ..ScrapeLimits::default() };
    with_rig(Reading { limits, ..Reading::default() }, |mut rig| {
        rig.scrape("a{x=\"123\"} 1\n");
        let report = rig.scrape_as(Format::Text, "a{x=\"123\"} 1\na{x=\"1234\"} 1\n");
        assert!(
            report.health == Health::Down && report.error.contains("label_value_length_limit"),
            "{report:?}"
        );
        assert_eq!(rig.stored(), [r#"a{instance="h", job="j", x="123"}: 0=1 1=end"#]);
    });
    let forget = RuleConfig { regex: "__name__".into(), action: Action::LabelDrop, ..RuleConfig::default() };
    with_rig(with_rules([forget]), |mut rig| {
        let report = rig.scrape_as(Format::Text, "a 1\n");
        assert!(
            report.health == Health::Down && report.error.contains("without the label __name__"),
            "{report:?}"
        );
    });
}
