//! What bounds a query, and what it says about itself: budgets, cancellation, plans, annotations. Owns
//! no rule of the language.

use crate::support::{
    memory::MemoryStorage,
    world::{World, labels},
};
use skopos_base::clock::Clock;
use skopos_model::{DurationMs, TimestampMs};
use skopos_promql::{Engine, EngineOptions, EvalError, Severity, Steps, parse, parse_within};
use skopos_storage::{
    LabelRequest, Querier, QueryBudget, QueryError, QueryLimits, Queryable, SelectRequest, SeriesSet,
    TimeRange,
};
use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A clock that goes on by one second at every look.
#[derive(Debug, Default)]
struct HastyClock(AtomicU64);

impl Clock for HastyClock {
    fn wall_ms(&self) -> i64 {
        0
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn sleep(&self, _: Duration) {}
}

fn world() -> World {
    let lines: Vec<String> = (0..50).map(|i| format!("m_total{{i=\"{i}\"}}: 1 2 3 4 5 6 7 8 9 10")).collect();
    World::load(60, &lines.join("\n"))
}

fn steps(count: i64) -> Steps {
    let end = TimestampMs::new((count - 1) * 1000);
    Steps { start: TimestampMs::new(0), end, step: DurationMs::from_secs(1) }
}

fn run(
    world: &World,
    text: &str,
    steps: Steps,
    limits: QueryLimits,
    clock: Arc<dyn Clock>,
) -> Result<u64, EvalError> {
    let engine = Engine::new(EngineOptions { limits, ..EngineOptions::default() }, clock);
    let budget = engine.budget();
    let expr = parse(text).expect("the tests' queries are well formed");
    let result = engine.range(&world.storage, &expr, steps, &budget)?;
    drop(result);
    Ok(budget.samples())
}

fn still() -> Arc<dyn Clock> {
    Arc::new(crate::support::memory::StillClock)
}

#[test]
fn what_a_query_holds_is_limited_and_given_back() {
    let world = world();
    let limits = QueryLimits { max_samples: 20_000, ..QueryLimits::default() };
    for (text, count, fits) in [
        // 50 series × 300 steps are held.
        ("m_total", 300, true),
        ("m_total", 600, false),
        // The rows of an aggregation are not.
        ("sum(m_total)", 600, true),
        ("sum(rate(m_total[5m])) / count(m_total)", 600, true),
        ("count(m_total + m_total)", 600, false),
        ("vector(1)", 20_001, false),
        ("sum_over_time(vector(1)[1d:1s])", 1, false),
        ("count_values(\"v\", m_total * time())", 600, false),
        ("topk(50, m_total)", 600, false),
    ] {
        match run(&world, text, steps(count), limits, still()) {
            Ok(left) => assert!(fits && left == 0, "{text}: {left} samples are still charged"),
            Err(EvalError::Storage(QueryError::Limit { limit, .. })) => {
                assert!(!fits && limit == "query.max-samples", "{text}: {limit}");
            }
            Err(e) => panic!("{text}: {e}"),
        }
    }
}

#[test]
fn a_subquery_costs_the_samples_that_there_are_and_not_the_steps_before_them() {
    let mut storage = MemoryStorage::default();
    for i in ["1", "2"] {
        let samples = (0..50).map(|k: i64| (10_000_000_000 + k * 2000, (k * k % 17) as f64));
        storage.push_all(&labels(&format!("up{{i=\"{i}\"}}")), samples);
    }
    let limits = QueryLimits { max_samples: 1_000_000, ..QueryLimits::default() };
    let engine = Engine::new(EngineOptions { limits, ..EngineOptions::default() }, still());
    let at = TimestampMs::new(10_000_100_000);
    let ask = |text: &str| {
        let result = engine.instant(&storage, &parse(text).unwrap(), at, &engine.budget());
        result.map(|r| format!("{:?} {:?}", crate::support::compare::series(&r), r.annotations))
    };
    for (long, short) in [
        ("up[365d:1s]", "up[10m:1s]"),
        ("count_over_time(up[1d:1ms])", "count_over_time(up[5m:1ms])"),
        ("sum_over_time((-up * on(i) up)[365d:1s])", "sum_over_time((-up * on(i) up)[10m:1s])"),
        ("last_over_time(rate(up[1m])[365d:1s])", "last_over_time(rate(up[1m])[10m:1s])"),
        ("count_over_time((up offset -10s)[365d:1s])", "count_over_time((up offset -10s)[10m:1s])"),
        (
            "max_over_time(count_over_time(up[365d:1s])[365d:30s])",
            "max_over_time(count_over_time(up[10m:1s])[15m:30s])",
        ),
        ("sum_over_time(quantile(2, up)[365d:1s])", "sum_over_time(quantile(2, up)[10m:1s])"),
        ("quantile(2, up offset 1d)[1d:1s]", "quantile(2, up offset 1d)[1m:1s]"),
        ("absent_over_time(up[365d:1s] offset 1d)", "absent_over_time(up[1m:1s] offset 1d)"),
    ] {
        let (long_result, short_result) = (ask(long).unwrap(), ask(short).unwrap());
        assert_eq!(long_result, short_result, "{long}");
    }
    for text in ["count_over_time(absent(up)[365d:1s])", "(up @ 10000050)[365d:1s]", "vector(1)[365d:1s]"] {
        let refused = ask(text).unwrap_err();
        let is_limit =
            matches!(refused, EvalError::Storage(QueryError::Limit { limit: "query.max-samples", .. }));
        assert!(is_limit, "{text}: {refused}");
    }
}

#[test]
fn a_query_ends_when_its_time_is_up_or_nobody_waits() {
    let world = world();
    let limits = QueryLimits { timeout: DurationMs::from_secs(3), ..QueryLimits::default() };
    let timed_out = run(
        &world,
        "sum(m_total) + count(m_total offset 1m)",
        steps(10),
        limits,
        Arc::new(HastyClock::default()),
    );
    assert!(matches!(timed_out, Err(EvalError::Storage(QueryError::Timeout(_)))), "{timed_out:?}");
    let budget = QueryBudget::new(QueryLimits::default(), still());
    budget.cancel();
    let cancelled = world.engine.range(&world.storage, &parse("sum(m_total)").unwrap(), steps(10), &budget);
    assert!(matches!(cancelled, Err(EvalError::Storage(QueryError::Cancelled))));
}

/// A clock that stands still, and cancels a query when it is looked at for the given time.
#[derive(Debug, Default)]
struct LeavingClock {
    looks: AtomicU64,
    leave_at: u64,
    query: OnceLock<Weak<QueryBudget>>,
}

impl Clock for LeavingClock {
    fn wall_ms(&self) -> i64 {
        0
    }
    fn monotonic(&self) -> Duration {
        if self.looks.fetch_add(1, Ordering::Relaxed) + 1 == self.leave_at
            && let Some(query) = self.query.get().and_then(Weak::upgrade)
        {
            query.cancel();
        }
        Duration::ZERO
    }
    fn sleep(&self, _: Duration) {}
}

/// One series, whose windows of 20,000 samples share most of them.
const LONG_WINDOWS: [&str; 6] = [
    "mad_over_time(long[20s])",
    "quantile_over_time(0.5, long[20s])",
    "quantile_over_time(0.5, long[20s:1ms])",
    "mad_over_time(vector(1)[20s:1ms])",
    // The sums overflow, so each window is gone through again.
    "avg_over_time(huge[20s])",
    "increase(endless[20s])",
];

fn long_series() -> (MemoryStorage, Steps) {
    let mut storage = MemoryStorage::default();
    let samples = |f: fn(i64) -> f64| (0..30_000).map(move |i| (i, f(i)));
    storage.push_all(&crate::support::world::labels("long"), samples(|i| (i * 7919 % 10_007) as f64));
    storage.push_all(&crate::support::world::labels("huge"), samples(|_| f64::MAX));
    storage.push_all(
        &crate::support::world::labels("endless"),
        samples(|i| if i % 2 == 0 { f64::INFINITY } else { 0.0 }),
    );
    let steps = Steps {
        start: TimestampMs::new(20_000),
        end: TimestampMs::new(29_999),
        step: DurationMs::from_ms(50),
    };
    (storage, steps)
}

#[test]
fn what_windows_share_is_looked_at_once() {
    let (storage, steps) = long_series();
    for function in ["max_over_time", "min_over_time", "ts_of_max_over_time", "ts_of_min_over_time"] {
        // Going through each window would take 61 looks.
        let limits = QueryLimits { timeout: DurationMs::from_secs(20), ..QueryLimits::default() };
        let budget = QueryBudget::new(limits, Arc::new(HastyClock::default()));
        let engine = Engine::new(EngineOptions::default(), still());
        let expr = parse(&format!("{function}(long[20s])")).unwrap();
        let result = engine.range(&storage, &expr, steps, &budget).map(|_| ());
        assert!(result.is_ok(), "{function}: {result:?}");
    }
}

#[test]
fn a_query_ends_in_the_middle_of_a_series() {
    let (storage, steps) = long_series();
    for text in LONG_WINDOWS {
        let expr = parse(text).unwrap();
        // All that is not done within the windows takes fewer looks.
        let limits = QueryLimits { timeout: DurationMs::from_secs(20), ..QueryLimits::default() };
        let budget = QueryBudget::new(limits, Arc::new(HastyClock::default()));
        let engine = Engine::new(EngineOptions::default(), still());
        let result = engine.range(&storage, &expr, steps, &budget).map(|_| "a result");
        assert!(matches!(result, Err(EvalError::Storage(QueryError::Timeout(_)))), "{text}: {result:?}");
        let clock = Arc::new(LeavingClock { leave_at: 20, ..LeavingClock::default() });
        let budget = QueryBudget::new(limits, Arc::clone(&clock) as Arc<dyn Clock>);
        clock.query.set(Arc::downgrade(&budget)).expect("an empty place");
        let result = engine.range(&storage, &expr, steps, &budget).map(|_| "a result");
        assert!(matches!(result, Err(EvalError::Storage(QueryError::Cancelled))), "{text}: {result:?}");
        assert_eq!(clock.looks.load(Ordering::Relaxed), 20, "{text}: it went on");
    }
}

#[test]
fn a_query_ends_in_the_middle_of_a_window() {
    // One window of a million samples: nothing is done for a second step.
    for text in ["mad_over_time(vector(1)[1000s:1ms])", "quantile_over_time(0.5, vector(1)[1000s:1ms])"] {
        let limits = QueryLimits { timeout: DurationMs::from_secs(25), ..QueryLimits::default() };
        let budget = QueryBudget::new(limits, Arc::new(HastyClock::default()));
        let engine = Engine::new(EngineOptions::default(), still());
        let at = TimestampMs::new(1_000_000);
        let result = engine.instant(&MemoryStorage::default(), &parse(text).unwrap(), at, &budget);
        let result = result.map(|_| "a result");
        assert!(matches!(result, Err(EvalError::Storage(QueryError::Timeout(_)))), "{text}: {result:?}");
    }
}

/// Counts how often series are selected.
struct Counting {
    inner: MemoryStorage,
    selects: Arc<AtomicUsize>,
}

struct CountingQuerier(Box<dyn Querier>, Arc<AtomicUsize>);

impl Queryable for Counting {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, QueryError> {
        Ok(Box::new(CountingQuerier(self.inner.querier(range)?, Arc::clone(&self.selects))))
    }
}

impl Querier for CountingQuerier {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.select(request)
    }
    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<skopos_model::Labels>, QueryError> {
        self.0.series(request)
    }
    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        self.0.label_names(request)
    }
    fn label_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        self.0.label_values(name, request)
    }
}

#[test]
fn equal_selectors_are_read_once_unless_far_apart() {
    let world = world();
    for (text, want) in [
        ("sum(m_total) / count(m_total)", 1),
        ("sum(rate(m_total[5m])) / sum(m_total)", 1),
        ("rate(m_total[5m]) / rate(m_total[5m])", 1),
        ("m_total - m_total offset 1m", 1),
        ("m_total - m_total offset 1w", 2),
        ("m_total{i=\"1\"} + m_total", 2),
        ("m_total * scalar(m_total{i=\"1\"})", 2),
        // The scalar is needed before the rows can be made.
        ("m_total * scalar(sum(m_total))", 2),
        ("time()", 0),
    ] {
        let selects = Arc::new(AtomicUsize::new(0));
        let storage = Counting { inner: world.storage.clone(), selects: Arc::clone(&selects) };
        let budget = world.engine.budget();
        world.engine.range(&storage, &parse(text).unwrap(), steps(60), &budget).unwrap();
        assert_eq!(selects.load(Ordering::Relaxed), want, "{text}");
    }
}

#[test]
fn a_plan_can_be_read() {
    let world = world();
    let explain = |text: &str| world.engine.explain(&parse(text).unwrap(), steps(60)).unwrap();
    let plan = explain("sum by (i) (rate(m_total[5m]) * 8) / on(i) count by (i) (m_total @ end())");
    for part in [
        "60 × 1s: join / on (i)",
        "| rate over 5m | * #",
        "| sum by (i)",
        "the same at all",
        "1 × 1s: scan",
        "8",
    ] {
        assert!(plan.contains(part), "{part} is missing:\n{plan}");
    }
    for (text, operators) in [
        ("m_total", &["scan 0 {__name__=\"m_total\"} | newest sample over 5m"][..]),
        ("increase(m_total[5m] anchored)", &["increase over 5m anchored"]),
        ("max_over_time(m_total{a!~\"b.c\"}[5m])", &["a!~\"b.c\"} | max_over_time over 5m"]),
        ("ts_of_max_over_time(m_total[5m:1m])", &["subquery #0 | ts_of_max_over_time over 5m"]),
        ("timestamp(m_total)", &["| timestamp over 5m"]),
        ("day_of_month(-m_total)", &["| negate | day_of_month"]),
        ("log10(clamp(m_total, time(), 2))", &["| clamp from #", " to #", " | log10"]),
        ("round(2 > bool m_total, 0.5)", &[" > bool | round to #"]),
        ("label_join(m_total, \"d\", \"-\", \"a\", \"b\")", &["label_join(\"d\", \"-\", \"a\", \"b\")"]),
        (
            "label_replace(m_total, \"d\", \"$1\", \"s\", \"(.*)\")",
            &["label_replace(\"d\", \"$1\", \"s\", \"\\\\A(?:(.*))\\\\z\")"],
        ),
        ("topk by (i) (3, m_total)", &["topk by (i) with #"]),
        ("count_values without (i) (\"v\", m_total)", &["count_values without (i) with \"v\""]),
        ("avg(m_total) unless on () m_total", &["unless on ()", "| avg"]),
        (
            "m_total == bool ignoring (a) group_left (b) m_total",
            &["join == bool ignoring (a) group_left (b)"],
        ),
        ("absent(m_total{a=\"b\"})", &["absent {a=\"b\"}"]),
        ("sort_by_label_desc(m_total, \"a\", \"b\")", &["sort_by_label_desc(a, b)"]),
        ("sort_desc(m_total)", &["sort_desc"]),
        ("histogram_fraction(0, time(), m_total)", &["histogram_fraction from #"]),
        ("histogram_quantiles(m_total, \"q\", 0.1, time())", &["histogram_quantiles \"q\" with #"]),
        ("histogram_stddev(m_total)", &["| histogram_stddev"]),
        ("max_of(time(), scalar(m_total)) + time()", &["scalar +", "max_of", "scalar"]),
        ("info(m_total, {a=\"b\"})", &["info {__name__=\"target_info\"} {a=\"b\"}"]),
    ] {
        let plan = explain(text);
        for operator in operators {
            assert!(plan.contains(operator), "{operator} is missing:\n{plan}");
        }
        for own in ["NodeId", "Some(", "None", "By(", "Place(", "{ ", "::"] {
            assert!(!plan.contains(own), "{own} is no word for readers:\n{plan}");
        }
    }
    // A tree that doubles at every level is written once.
    let doubling = (0..12).fold("m_total".to_owned(), |text, _| format!("({text} + {text})"));
    let plan = explain(&doubling);
    assert!(plan.lines().count() < 50, "{plan}");
}

#[test]
fn every_operator_says_what_it_did() {
    let world = world();
    let query = parse("sum by (i) (max_over_time(m_total[5m])) / on (i) sum by (i) (m_total)").unwrap();
    let budget = world.engine.budget();
    let result = world.engine.range(&world.storage, &query, steps(60), &budget).unwrap();
    assert!(result.operators.is_empty(), "nobody asked");
    let budget = world.engine.budget();
    let profiling = world.engine.profiling();
    let operators = profiling.range(&world.storage, &query, steps(60), &budget).unwrap().operators;
    let seen: Vec<_> = operators.iter().map(|o| (o.depth, o.steps, o.rows, o.series_read)).collect();
    // Both sides are read at once, in the time of the first.
    assert_eq!(seen, [(0, 60, 50, 0), (1, 60, 50, 50), (1, 60, 50, 0)], "{operators:?}");
    assert!(operators[0].operator.contains("join / on (i)"), "{operators:?}");
    assert!(operators[1].samples_fetched >= 50 && operators[1].samples_fetched <= budget.samples_read());
    // A range vector that is the whole query is read by one operator.
    let (at, budget) = (TimestampMs::new(9_000), profiling.budget());
    let whole = profiling.instant(&world.storage, &parse("m_total[5m]").unwrap(), at, &budget).unwrap();
    let seen: Vec<_> = whole.operators.iter().map(|o| (o.depth, o.rows, o.series_read)).collect();
    assert_eq!(seen, [(0, 50, 50)], "{:?}", whole.operators);
    assert_eq!(whole.operators[0].samples_queried, whole.samples.total);
}

#[test]
fn samples_are_counted_as_looked_at_and_read() {
    // A sample every ten seconds.
    let mut storage = MemoryStorage::default();
    for i in 0..3 {
        let series = labels(&format!("m{{i=\"{i}\"}}"));
        storage.push_all(&series, (0..200).map(|k| (k * 10_000, k as f64)));
    }
    let one = "m{i=\"1\"}";
    let (from, to) = (TimestampMs::new(400_000), TimestampMs::new(500_000));
    let range = Steps { start: from, end: to, step: DurationMs::from_secs(10) };
    let engine = Engine::new(EngineOptions::default(), still());
    let cases = [
        // The text, at how many steps, what is looked at and what is read.
        (one.to_owned(), 11, 11, 11),
        (format!("{one} + {one}"), 11, 22, 22),
        (format!("rate({one}[300s])"), 11, 330, 40),
        ("sum(rate(m[20s]))".to_owned(), 11, 66, 36),
        (format!("{one} @ 450"), 11, 11, 1),
        (format!("sum_over_time({one}[60s] @ 450)"), 11, 66, 6),
        (format!("max_over_time({one}[60s:5s])"), 11, 132, 32 + 32),
        ("max_over_time(m[60s:5s])".to_owned(), 1, 36, 72),
        ("max_over_time(m[60s])".to_owned(), 1, 18, 18),
        ("m[60s:5s]".to_owned(), 1, 36, 36),
        ("m[60s]".to_owned(), 1, 18, 18),
        ("m".to_owned(), 1, 3, 3),
    ];
    for (text, steps, looked_at, read) in cases {
        let expr = parse(&text).unwrap();
        for engine in [engine.clone(), engine.profiling()] {
            let budget = engine.budget();
            let result = match steps {
                1 => engine.instant(&storage, &expr, from, &budget),
                _ => engine.range(&storage, &expr, range, &budget),
            };
            let samples = result.unwrap().samples;
            assert_eq!((samples.total, samples.read), (looked_at, read), "{text}");
            let of_steps =
                [&samples.per_step, &samples.read_per_step].map(|s| (s.len(), s.iter().sum::<u64>()));
            let expected = [(steps, looked_at), (steps, read)];
            assert_eq!(of_steps, if engine.options().profile { expected } else { [(0, 0); 2] }, "{text}");
        }
    }
    // What a subquery reads for times between its windows does not count.
    let gapped = format!("sum_over_time({one}[20s:1s])");
    let steps = Steps { step: DurationMs::from_secs(50), ..range };
    for engine in [engine.clone(), engine.profiling()] {
        let budget = engine.budget();
        let samples = engine.range(&storage, &parse(&gapped).unwrap(), steps, &budget).unwrap().samples;
        assert_eq!((samples.total, samples.read), (60, 120));
    }
}

#[test]
fn what_a_query_holds_is_not_what_it_has_read() {
    let world = world();
    let limits = QueryLimits { max_samples: 2_000, ..QueryLimits::default() };
    let engine = Engine::new(EngineOptions { limits, ..EngineOptions::default() }, still());
    let budget = engine.budget();
    let query = parse("m_total + 1").unwrap();
    let steps =
        Steps { start: TimestampMs::new(0), end: TimestampMs::new(540_000), step: DurationMs::from_secs(1) };
    let ended = engine.range(&world.storage, &query, steps, &budget).map(|_| "a result");
    assert!(matches!(ended, Err(EvalError::Storage(QueryError::Limit { .. }))), "{ended:?}");
    let counts = budget.sample_counts();
    assert!(
        counts.read > 0 && counts.read < budget.samples_read(),
        "{counts:?} of {}",
        budget.samples_read()
    );
    // Refused within a window too.
    let budget = engine.budget();
    let query = parse("sum_over_time(m_total[9m]) + 1").unwrap();
    assert!(engine.range(&world.storage, &query, steps, &budget).is_err());
    let stored = 50 * 10;
    assert!((1..=stored).contains(&budget.sample_counts().read), "{:?}", budget.sample_counts());
}

#[test]
fn remarks_name_their_place() {
    let world = world();
    for (text, severity, want) in [
        (
            "1 +\n quantile(1.5, m_total)",
            Severity::Warning,
            "PromQL warning: quantile value should be between 0 and 1, got 1.5 (2:11)",
        ),
        (
            "quantile_over_time(-1, m_total[5m])",
            Severity::Warning,
            "PromQL warning: quantile value should be between 0 and 1, got -1 (1:20)",
        ),
        (
            "sum(rate({__name__=~\"m.*\"}[5m])) + rate(load[5m])",
            Severity::Info,
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \
             \"load\" (1:41)",
        ),
        (
            "abs(sort(m_total))",
            Severity::Warning,
            "PromQL warning: sort is ineffective for range queries since results are always ordered by \
             labels (1:5)",
        ),
    ] {
        let mut storage = world.storage.clone();
        storage.push_all(&crate::support::world::labels("load"), [(1000, 1.0), (2000, 2.0)]);
        let budget = world.engine.budget();
        let result = world.engine.range(&storage, &parse(text).unwrap(), steps(60), &budget).unwrap();
        let got: Vec<_> = result.annotations.iter().map(|a| (a.severity, a.text(text))).collect();
        assert_eq!(got, [(severity, want.to_owned())], "{text}");
    }
    let quiet = world.range("sum(rate(m_total[5m])) + quantile(0.5, m_total)", 0, 600, 60).unwrap();
    assert!(quiet.annotations.is_empty());
}

#[test]
fn reading_and_planning_end_with_the_query() {
    // 60 expressions that have to be compiled.
    let patterns: Vec<String> =
        (0..60).map(|i| format!("m{{a=~\"(x.?y|z){{{}}}.*[0-9]+{i}\"}}", i + 2)).collect();
    let text = patterns.join(" + ");
    let language = EngineOptions::default().language;
    let patient = QueryBudget::new(QueryLimits::default(), still());
    parse_within(&text, language, &patient).unwrap();
    let limits = QueryLimits { timeout: DurationMs::from_secs(20), ..QueryLimits::default() };
    let clock = Arc::new(HastyClock::default());
    let hasty = QueryBudget::new(limits, Arc::clone(&clock) as Arc<dyn Clock>);
    let refused = parse_within(&text, language, &hasty).unwrap_err().to_string();
    assert!(
        refused.contains("timed out after 20s, while its regular expressions were compiled"),
        "{refused}"
    );
    assert!(clock.0.load(Ordering::Relaxed) < 30, "it went on");
    let replace = |i: usize| format!("label_replace(m, \"d\", \"$1\", \"s\", \"(x.?y|z){{{}}}.*\")", i + 2);
    let text = (0..60).map(replace).collect::<Vec<_>>().join(" + ");
    let clock = Arc::new(HastyClock::default());
    let hasty = QueryBudget::new(limits, Arc::clone(&clock) as Arc<dyn Clock>);
    let engine = Engine::new(EngineOptions::default(), still());
    let ended = engine.range(&MemoryStorage::default(), &parse(&text).unwrap(), steps(1), &hasty);
    assert!(matches!(ended, Err(EvalError::Storage(QueryError::Timeout(_)))), "{ended:?}");
    assert!(clock.0.load(Ordering::Relaxed) < 30, "it went on");
}

#[test]
fn times_out_of_range_are_refused_and_steps_must_go_on() {
    let world = world();
    let query = |text: &str, start: i64, end: i64, step: i64| {
        let steps = Steps {
            start: TimestampMs::new(start),
            end: TimestampMs::new(end),
            step: DurationMs::from_ms(step),
        };
        run(&world, text, steps, QueryLimits::default(), still()).map_err(|e| e.to_string())
    };
    assert_eq!(query("m_total", 0, 10, 0).unwrap_err(), "zero or negative step width: try a positive one");
    assert_eq!(query("m_total", 10, 0, 1).unwrap_err(), "end timestamp must not be before start time");
    assert!(query("m_total", i64::MIN, i64::MAX, i64::MAX).is_err());
    assert!(query("m_total", i64::MAX - 10, i64::MAX, 1).is_err());
    assert!(query("m_total[5m]", 0, 10, 1).unwrap_err().contains("must be Scalar or instant Vector"));
    assert_eq!(query("m_total offset 100y", 0, 10, 1), Ok(0));
}
