//! PromQL: any expression over generated data gives a value or an error, and gives back what it held.

#[path = "../../../promql/tests/support/memory.rs"]
mod memory;

use memory::{MemoryStorage, Sample, StillClock};
use skopos_base::rng::Rng;
use skopos_model::{DurationMs, FloatHistogram, Labels, Layout, Span, TimestampMs, stale_nan};
use skopos_promql::{Engine, EngineOptions, EvalError, Steps, parse};
use skopos_storage::{QueryBudget, QueryLimits};
use std::sync::{Arc, LazyLock};

/// What one query may hold: little, so that a run tries many.
const MAX_SAMPLES: u64 = 200_000;
const SEED: u64 = 1;

/// Native histograms of several resolutions and of bounds of their own, with resets, markers and floats among
/// them.
fn histograms(rng: &Rng, storage: &mut MemoryStorage) {
    for (i, schema) in [0, 3, -53].into_iter().enumerate() {
        let instance = i.to_string();
        let labels = [("__name__", "h"), ("instance", &*instance), ("job", "j")];
        let custom_bounds = if schema == -53 { vec![0.5, 1.0, 4.0] } else { Vec::new() };
        let positive_spans = vec![Span { offset: if schema == -53 { 0 } else { -2 }, length: 4 }];
        let layout =
            Layout { schema, zero_threshold: 0.001, positive_spans, custom_bounds, ..Layout::default() };
        let mut buckets = vec![0.0; 4];
        let samples = (0..60).map(|k| {
            match rng.below(20) {
                0 => buckets.fill(0.0),
                _ => buckets[rng.below(4) as usize] += rng.below(9) as f64,
            }
            let count = buckets.iter().sum::<f64>();
            let positive_buckets = buckets.clone();
            let h = FloatHistogram {
                layout: layout.clone(),
                count,
                sum: count * 1.5,
                positive_buckets,
                ..Default::default()
            };
            let sample: Box<dyn Sample> = match rng.below(20) {
                0 => Box::new(FloatHistogram::stale()),
                1 => Box::new(rng.below(9) as f64),
                2 => Box::new(FloatHistogram { sum: f64::NAN, ..h }),
                _ => Box::new(h),
            };
            (k * 15_000, sample)
        });
        storage.push_all(&Labels::from_pairs(labels), samples.collect::<Vec<_>>());
    }
}

/// Gauges and counters with gaps, markers and odd values, an info metric, and histograms.
static STORAGE: LazyLock<MemoryStorage> = LazyLock::new(|| {
    let rng = Rng::from_seed(SEED);
    let mut storage = MemoryStorage::default();
    for (metric, instances) in [("a", 3), ("b", 2), ("c_total", 3), ("target_info", 2)] {
        for i in 0..instances {
            let instance = i.to_string();
            let labels = [("__name__", metric), ("instance", &*instance), ("job", "j"), ("le", &*instance)];
            let (mut t, mut v) = (rng.below(30_000) as i64, 0.0);
            let mut samples = Vec::new();
            while t < 1_000_000 {
                v = match rng.below(40) {
                    0 => f64::NAN,
                    1 => f64::INFINITY,
                    2 => stale_nan(),
                    3 => 0.0,
                    _ if f64::is_finite(v) => {
                        v + rng.below(10) as f64 - if metric == "a" { 5.0 } else { 0.0 }
                    }
                    _ => 1.0,
                };
                samples.push((t, v));
                t += 15_000 + if rng.below(20) == 0 { rng.below(400_000) as i64 } else { 0 };
            }
            storage.push_all(&Labels::from_pairs(labels), samples);
        }
    }
    histograms(&rng, &mut storage);
    storage
});

pub(super) fn expression(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(tree) = parse(text) else { return false };
    let limits = QueryLimits { max_samples: MAX_SAMPLES, ..QueryLimits::default() };
    let mut has_value = true;
    for delayed_name_removal in [false, true] {
        let options = EngineOptions { delayed_name_removal, limits, ..EngineOptions::default() };
        let engine = Engine::new(options, Arc::new(StillClock));
        let budget = QueryBudget::new(limits, Arc::new(StillClock));
        let step = DurationMs::from_ms(60_001);
        let steps = Steps { start: TimestampMs::new(299_999), end: TimestampMs::new(900_000), step };
        let range = engine.range(&*STORAGE, &tree, steps, &budget);
        let failed = range.as_ref().is_err_and(|e| !e.to_string().is_empty() && points_into(e, text));
        assert!(range.is_ok() || failed, "`{text}`: an error without words or outside of the text");
        drop(range);
        assert_eq!(budget.samples(), 0, "`{text}`: samples are accounted for that nobody holds");
        let budget = QueryBudget::new(limits, Arc::new(StillClock));
        has_value &= engine.instant(&*STORAGE, &tree, TimestampMs::new(600_000), &budget).is_ok();
    }
    has_value
}

/// Whether the place of the error lies in the text.
fn points_into(e: &EvalError, text: &str) -> bool {
    e.span().is_none_or(|span| text.get(span.start as usize..span.end as usize).is_some())
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "sum by (instance) (rate(c_total{job=\"j\"}[5m] offset 30s)) / on(instance) group_left(le) a ^ 2",
        "quantile_over_time(0.9, a[10m:30s]) > bool scalar(b{instance=\"0\"}) or -vector(time())",
        "a + on(instance) fill_left(1) fill_right(NaN) b unless c_total @ end()",
        "increase(c_total[step() * 3 + 1m] smoothed) + increase(c_total[5m] anchored)",
        "info(b, {le=~\".+\"}) and limit_ratio(0.5, {__name__=~\"a|b\"})",
        "predict_linear(a[7m], 3600) - deriv(a[7m]) * double_exponential_smoothing(b[9m], 0.3, 0.6)",
        "topk(2, label_replace(a, \"x\", \"$1\", \"instance\", \"(.)\")) + ignoring(x) max_over_time(a[5m])",
        "count_values(\"v\", round(b)) + sort_by_label(day_of_year(a), \"le\") atan2 min_of(1, pi())",
        "absent_over_time(none[5m]) + quantile(0.5, mad_over_time(b[9m])) % stddev(a smoothed)",
        "histogram_quantile(0.9, sum by (job) (rate(h[5m]))) or histogram_stddev(h) + histogram_avg(h * 2)",
        "histogram_fraction(0, 1, avg_over_time(h[9m])) > histogram_count(h{instance=\"2\"} - h) </ 1",
        "max_over_time(histogram_sum(increase(h[3m]))[9m:2m]) + count(histogram_quantile(0.1, \
         {__name__=\"h\"}))",
    ];
    // What is refused by itself is no place to begin, nor is data of which nothing is there.
    assert!(STORAGE.iter().all(|(_, columns)| columns.len() > 5));
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    for text in texts {
        let tree = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let at = TimestampMs::new(600_000);
        assert!(engine.instant(&*STORAGE, &tree, at, &memory::budget()).is_ok(), "{text} has no value");
    }
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
