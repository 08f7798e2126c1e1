//! Native histograms among samples: what they take of a budget, and that a range query yields at each step
//! what a query at that time alone yields, whatever the samples are. Prints its seed; `SKOPOS_TEST_SEED`
//! replays it.

use crate::support::memory::{MemoryStorage, Sample, StillClock};
use skopos_base::rng::Rng;
use skopos_model::{
    CounterResetHint, DurationMs, FloatHistogram, Labels, Layout, Span, TimestampMs,
    histogram::CUSTOM_SCHEMA, stale_nan,
};
use skopos_promql::{Engine, EngineOptions, EvalError, Steps, Value, parse};
use skopos_storage::{QueryBudget, QueryError, QueryLimits};
use skopos_testkit::expressions::{chance, pick};
use std::{collections::BTreeMap, sync::Arc};

fn histogram(schema: i32, buckets: Vec<f64>) -> FloatHistogram {
    let positive_spans = vec![Span { offset: 0, length: buckets.len() as u32 }];
    let custom_bounds = if schema == CUSTOM_SCHEMA { vec![1.0, 2.0, 5.0] } else { Vec::new() };
    let layout = Layout { schema, positive_spans, custom_bounds, ..Layout::default() };
    let count = buckets.iter().sum();
    FloatHistogram { layout, count, sum: 1.5 * count, positive_buckets: buckets, ..Default::default() }
}

/// Counters and gauges of several schemas, with resets, markers and floats among them.
fn random_storage(rng: &Rng) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for i in 0..12 {
        let labels = Labels::from_pairs([("__name__", "h".to_owned()), ("i", i.to_string())]);
        let schema = [0, 1, CUSTOM_SCHEMA][rng.below(3) as usize];
        let mut buckets = vec![0.0; 3];
        let (odd, gauge) = (chance(rng, 30), chance(rng, 20));
        let samples = (0..80).filter(|_| !chance(rng, 10)).map(|k| {
            if chance(rng, 5) {
                buckets.iter_mut().for_each(|b| *b = 0.0);
            }
            buckets[rng.below(3) as usize] += rng.below(9) as f64;
            let schema = if odd && chance(rng, 10) { 0 } else { schema };
            let mut h = histogram(schema, buckets.clone());
            if gauge {
                h.layout.counter_reset_hint = CounterResetHint::Gauge;
            }
            let sample: Box<dyn Sample> = match rng.below(100) {
                0..3 => Box::new(FloatHistogram { sum: stale_nan(), ..FloatHistogram::default() }),
                3..6 if odd => Box::new(rng.below(9) as f64),
                _ => Box::new(h),
            };
            (k * 15_000, sample)
        });
        storage.push_all(&labels, samples.collect::<Vec<_>>());
    }
    storage
}

/// All points of a result as text, by time and labels.
fn points(value: &Value) -> BTreeMap<(i64, String), String> {
    let mut all = BTreeMap::new();
    match value {
        Value::Matrix(m) => {
            for i in 0..m.len() {
                let key = |t: TimestampMs| (t.as_ms(), m.labels(i).to_string());
                all.extend(m.points(i).map(|(t, v)| (key(t), format!("{v}"))));
                all.extend(m.histograms(i).map(|(t, h)| (key(t), format!("{h:?}"))));
            }
        }
        Value::Vector(v) => {
            for (i, labels) in v.labels.iter().enumerate() {
                let text = v.histogram(i).map_or_else(|| v.values[i].to_string(), |h| format!("{h:?}"));
                all.insert((v.timestamp.as_ms(), labels.to_string()), text);
            }
        }
        Value::Scalar { .. } | Value::String { .. } => panic!("no scalar is asked for"),
    }
    all
}

const QUERIES: &[&str] = &[
    "h",
    "FUNCTION(h[RANGE])",
    "FUNCTION(h[2m:20s])",
    "AGGREGATION by (x) (h)",
    "AGGREGATION(FUNCTION(h[RANGE]))",
    "histogram_count(AGGREGATION(h))",
    "histogram_quantile(0.9, FUNCTION(h[RANGE]))",
    "histogram_fraction(0, 2, h)",
    "h </ 2 + h",
    "h - FUNCTION(h[RANGE])",
    "h == ignoring() h or -h / 2",
    "FUNCTION(h[RANGE] anchored)",
    "FUNCTION(h[RANGE] smoothed)",
];

fn filled(rng: &Rng, template: &str) -> String {
    let all = ["rate", "increase", "delta", "changes", "resets", "sum_over_time", "avg_over_time", "irate"];
    let some = if template.contains("smoothed") { &all[..3] } else { &all[..5] };
    let extended = template.contains("anchored") || template.contains("smoothed");
    let function = pick(rng, if extended { some } else { &all });
    let aggregation = pick(rng, &["sum", "avg", "count", "group", "max", "limitk"]);
    let aggregated = template.replace("FUNCTION", function).replace("RANGE", pick(rng, &["1m", "3m", "40s"]));
    match aggregation {
        "limitk" => aggregated
            .replace("AGGREGATION by (x) (", "limitk by (x) (3, ")
            .replace("AGGREGATION(", "limitk(3, "),
        other => aggregated.replace("AGGREGATION", other),
    }
}

fn unlimited() -> Arc<QueryBudget> {
    QueryBudget::new(QueryLimits::default(), Arc::new(StillClock))
}

#[test]
fn a_range_query_yields_at_each_step_what_a_query_at_that_time_yields() {
    let seed = std::env::var("SKOPOS_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_240_611);
    println!("SKOPOS_TEST_SEED={seed}");
    let rng = Rng::from_seed(seed);
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let mut histograms = 0;
    for _ in 0..6 {
        let storage = random_storage(&rng);
        for text in QUERIES.iter().map(|template| filled(&rng, template)) {
            let expr = parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let (start, end) = (TimestampMs::new(100_000), TimestampMs::new(1_300_000));
            let steps = Steps { start, end, step: DurationMs::from_secs(25) };
            let range = engine.range(&storage, &expr, steps, &unlimited());
            let range = range.unwrap_or_else(|e| panic!("{text}: {e}"));
            let got = points(&range.value);
            histograms += got.values().filter(|v| v.contains("FloatHistogram")).count();
            let mut want = BTreeMap::new();
            for k in 0..=48 {
                let at = TimestampMs::new(100_000 + k * 25_000);
                let one = engine.instant(&storage, &expr, at, &unlimited());
                want.extend(points(&one.unwrap_or_else(|e| panic!("{text} at {at:?}: {e}")).value));
            }
            assert_eq!(got, want, "{text}, seed {seed}");
        }
    }
    assert!(histograms > 1000, "{histograms} histograms came out");
}

/// Counters of fractions with a reset now and then or often, buckets that come and go, few shapes.
fn long_storage(rng: &Rng, samples: i64) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for i in 0..6 {
        let labels = Labels::from_pairs([("__name__", "h".to_owned()), ("i", i.to_string())]);
        let mut counts = vec![0.0; 6];
        let every = [3, 40, 1000][i % 3];
        let series = (0..samples).map(|k| {
            if rng.below(every) == 0 {
                counts.fill(0.0);
            }
            for count in &mut counts {
                *count += rng.below(1 << 20) as f64 / 1e5;
            }
            let schema = if i == 5 && k % 150 > 120 { 0 } else { 2 };
            let mut h = histogram(schema, counts.clone());
            let from = rng.below(3) as usize;
            h.layout.positive_spans[0] = Span { offset: from as i32, length: (6 - from) as u32 };
            h.positive_buckets.drain(..from);
            h.count = h.positive_buckets.iter().sum();
            h.sum = h.count / 7.0;
            (k * 1000, h)
        });
        storage.push_all(&labels, series.collect::<Vec<_>>());
    }
    storage
}

/// All numbers of the histograms of a result, by series and time.
fn numbers(value: &Value) -> BTreeMap<(i64, String), Vec<f64>> {
    let all = |h: &FloatHistogram| {
        let mut all = vec![h.count, h.sum, h.zero_count];
        all.extend(h.positive_buckets.iter().chain(&h.negative_buckets));
        all
    };
    let mut out = BTreeMap::new();
    match value {
        Value::Matrix(m) => {
            for i in 0..m.len() {
                out.extend(m.histograms(i).map(|(t, h)| ((t.as_ms(), m.labels(i).to_string()), all(&h))));
            }
        }
        Value::Vector(v) => {
            let of = |(i, h): &(usize, Arc<FloatHistogram>)| {
                ((v.timestamp.as_ms(), v.labels[*i].to_string()), all(h))
            };
            out.extend(v.histograms.iter().map(of));
        }
        Value::Scalar { .. } | Value::String { .. } => panic!("no scalar is asked for"),
    }
    out
}

#[test]
fn sums_of_windows_that_overlap_are_those_of_each_window() {
    let seed = std::env::var("SKOPOS_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_124);
    println!("SKOPOS_TEST_SEED={seed}");
    let rng = Rng::from_seed(seed);
    let storage = long_storage(&rng, 700);
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    for (function, step) in
        [("sum_over_time", 7), ("avg_over_time", 1), ("rate", 3), ("increase", 11), ("sum_over_time", 25)]
    {
        let expr = parse(&format!("{function}(h[100s])")).unwrap();
        let steps = Steps {
            start: TimestampMs::new(50_000),
            end: TimestampMs::new(750_000),
            step: DurationMs::from_secs(step),
        };
        let range = numbers(&engine.range(&storage, &expr, steps, &unlimited()).unwrap().value);
        let mut want = BTreeMap::new();
        for k in 0..=700 / step {
            let at = TimestampMs::new(50_000 + k * step * 1000);
            want.extend(numbers(&engine.instant(&storage, &expr, at, &unlimited()).unwrap().value));
        }
        assert!(want.len() > 100, "{function}: {}", want.len());
        assert_eq!(range.len(), want.len(), "{function}, seed {seed}");
        for ((got_at, got), (at, want)) in range.iter().zip(&want) {
            assert_eq!((got_at, got.len()), (at, want.len()), "{function}, seed {seed}");
            let largest = want.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
            for (got, want) in got.iter().zip(want) {
                let close = (got - want).abs() <= 1e-12 * largest;
                assert!(close, "{function} at {at:?}, seed {seed}: {got} for {want}");
            }
        }
    }
}

/// A clock that counts how often it is looked at.
#[derive(Debug, Default)]
struct CountingClock(std::sync::atomic::AtomicU64);

impl skopos_base::clock::Clock for CountingClock {
    fn wall_ms(&self) -> i64 {
        0
    }
    fn monotonic(&self) -> std::time::Duration {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::time::Duration::ZERO
    }
    fn sleep(&self, _: std::time::Duration) {}
}

#[test]
fn long_windows_of_histograms_cost_no_more_than_short_ones() {
    let rng = Rng::from_seed(5);
    let storage = long_storage(&rng, 5_000);
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let steps = Steps {
        start: TimestampMs::new(3_000_000),
        end: TimestampMs::new(5_000_000),
        step: DurationMs::from_secs(2),
    };
    for function in ["sum_over_time", "avg_over_time", "increase"] {
        // The budget is asked after so much work, so that looks at the clock count it.
        let looks = |range: &str| {
            let expr = parse(&format!("{function}(h{{i!=\"5\"}}[{range}])")).unwrap();
            let clock = Arc::new(CountingClock::default());
            let budget = QueryBudget::new(QueryLimits::default(), Arc::clone(&clock) as _);
            engine.range(&storage, &expr, steps, &budget).unwrap();
            clock.0.load(std::sync::atomic::Ordering::Relaxed)
        };
        let (short, long) = (looks("20s"), looks("40m"));
        assert!(long < 2 * short + 50, "{function}: {short} looks for 20 s, {long} for 40 min");
    }
}

#[test]
fn histograms_are_charged_by_their_size() {
    let mut storage = MemoryStorage::default();
    let labels = Labels::from_pairs([("__name__", "h")]);
    storage.push_all(&labels, (0..40).map(|k| (k * 15_000, histogram(3, vec![k as f64; 2000]))));
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let steps =
        Steps { start: TimestampMs::new(0), end: TimestampMs::new(600_000), step: DurationMs::from_secs(15) };
    for (text, fits) in [("h", false), ("histogram_count(h)", true), ("sum(h)", false), ("count(h)", true)] {
        let limits = QueryLimits { max_samples: 20_000, ..QueryLimits::default() };
        let budget = QueryBudget::new(limits, Arc::new(StillClock));
        match engine.range(&storage, &parse(text).unwrap(), steps, &budget) {
            Ok(_) => assert!(fits, "{text} fits"),
            Err(EvalError::Storage(QueryError::Limit { limit, .. })) => {
                assert!(!fits && limit == "query.max-samples", "{text}: {limit}");
            }
            Err(e) => panic!("{text}: {e}"),
        }
    }
}

#[test]
fn a_histogram_counts_for_its_size_wherever_it_stands() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let storage = random_storage(&Rng::from_seed(seed));
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock)).profiling();
    let (at, long) = (TimestampMs::new(900_000), TimestampMs::new(600_000));
    let looked_at = |text: &str, at: TimestampMs| {
        let budget = engine.budget();
        let result = engine.instant(&storage, &parse(text).unwrap(), at, &budget).unwrap();
        let operators = result.operators.iter().map(|o| o.samples_queried).sum::<u64>();
        assert_eq!((result.samples.total, result.samples.read), (operators, operators), "{text}");
        (result.samples.total, points(&result.value).len() as u64)
    };
    for at in [at, long] {
        let (whole, samples) = looked_at("h[5m]", at);
        assert!(whole > 5 * samples, "{whole} of {samples} samples");
        assert_eq!(looked_at("count_over_time(h[5m])", at).0, whole);
    }
}
