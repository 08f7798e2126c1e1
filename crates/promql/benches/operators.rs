//! What each class of operators costs, from decoded columns on: 400 series × 2 h at 15 s in memory, a step a
//! minute. One element is one sample that the storage hands out. Small inputs: all of it runs in seconds.

#[path = "../tests/support/memory.rs"]
mod memory;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use memory::{MemoryStorage, StillClock, budget};
use skopos_model::{DurationMs, FloatHistogram, Labels, Layout, Span, TimestampMs};
use skopos_promql::{Engine, EngineOptions, QueryResult, Steps, Value, parse};
use std::{hint::black_box, sync::Arc, time::Duration};

const MACHINES: usize = 50;
const INTERVAL_MS: i64 = 15_000;
const SAMPLES: i64 = 2 * 3600 * 1000 / INTERVAL_MS;
const BOUNDS: [&str; 8] = ["0.01", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];

/// By class: the name of the bench, the expression, and how many series it reads.
const CASES: [(&str, &str, usize); 36] = [
    ("aggregate/sum_by", "sum by (mode) (m_total)", 400),
    ("aggregate/avg_without", "avg without (cpu) (m_total)", 400),
    ("aggregate/stddev", "stddev by (mode) (m_total)", 400),
    ("aggregate/topk", "topk by (mode) (3, m_total)", 400),
    ("aggregate/quantile", "quantile by (mode) (0.9, m_total)", 400),
    ("aggregate/count_values", r#"count_values("v", round(m_total, 100))"#, 400),
    ("binary/with_number", "m_total * 8", 400),
    ("binary/compare", "m_total > 500", 400),
    ("binary/one_to_one", "m_total / n_total", 800),
    ("binary/on", "m_total / on (cpu, mode) n_total", 800),
    ("binary/many_to_one", "m_total / on (cpu) group_left () sum by (cpu) (n_total)", 800),
    ("binary/and", "m_total and n_total", 800),
    ("binary/unless", r#"m_total unless n_total{mode="mode3"}"#, 450),
    ("binary/or", "m_total or n_total", 800),
    ("range/rate", "rate(m_total[5m])", 400),
    ("range/irate", "irate(m_total[5m])", 400),
    ("range/increase_1h", "increase(m_total[1h])", 400),
    ("range/avg", "avg_over_time(m_total[30m])", 400),
    ("range/max", "max_over_time(m_total[30m])", 400),
    ("range/ts_of_max", "ts_of_max_over_time(m_total[30m])", 400),
    ("range/ts_of_max_1h", "ts_of_max_over_time(m_total[1h])", 400),
    ("range/count", "count_over_time(m_total[30m])", 400),
    ("range/stddev", "stddev_over_time(m_total[30m])", 400),
    ("range/quantile", "quantile_over_time(0.9, m_total[30m])", 400),
    ("range/deriv", "deriv(m_total[30m])", 400),
    ("range/changes", "changes(m_total[30m])", 400),
    ("range/subquery", "max_over_time(rate(m_total[5m])[30m:1m])", 400),
    ("range/subquery_of_sum", "max_over_time(sum by (mode) (rate(m_total[5m]))[30m:1m])", 400),
    ("histogram/classic", "histogram_quantile(0.9, sum by (le, cpu) (rate(h_bucket[5m])))", 400),
    ("histogram/native", "histogram_quantile(0.9, rate(h[5m]))", 50),
    ("histogram/native_sum", "histogram_quantile(0.9, sum(rate(h[5m])))", 50),
    ("labels/replace", r#"label_replace(m_total, "host", "$1", "cpu", "cpu-(.*)")"#, 400),
    ("labels/join", r#"label_join(m_total, "both", "-", "cpu", "mode")"#, 400),
    ("selector/equal", r#"m_total{mode="mode3"}"#, 50),
    ("selector/regex", r#"m_total{cpu=~"cpu-[1-3].*",mode!~"mode[0-3]"}"#, 132),
    ("function/round", "round(m_total, 10)", 400),
];

/// A number that looks like chance.
fn next(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 60) as f64
}

/// The values of a counter, which now and then is reset.
fn counter(state: &mut u64) -> impl Iterator<Item = (i64, f64)> {
    let mut value = 0.0;
    (0..SAMPLES).map(move |k| {
        value = if k % 397 == 396 { 0.0 } else { value + next(state) };
        (k * INTERVAL_MS, value)
    })
}

/// A histogram of which so many observations fell into each of eight buckets.
fn native(each: f64) -> FloatHistogram {
    let positive_spans = vec![Span { offset: 0, length: 8 }];
    let layout = Layout { schema: 1, positive_spans, ..Layout::default() };
    let (count, positive_buckets) = (8.0 * each, vec![each; 8]);
    FloatHistogram { layout, count, sum: 1.5 * count, positive_buckets, ..Default::default() }
}

fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    let mut state = 0x9E37_79B9_7F4A_7C15;
    for i in 0..MACHINES {
        let labels = |name: &str, more: (&str, String)| {
            let cpu = ("cpu", format!("cpu-{i}"));
            Labels::from_pairs([("__name__", name.to_owned()), ("job", "node".to_owned()), cpu, more])
        };
        for (j, bound) in BOUNDS.iter().enumerate() {
            for name in ["m_total", "n_total"] {
                storage.push_all(&labels(name, ("mode", format!("mode{j}"))), counter(&mut state));
            }
            let bucket = counter(&mut state).map(|(at, value)| (at, value * (j + 1) as f64));
            storage.push_all(&labels("h_bucket", ("le", (*bound).to_owned())), bucket);
        }
        let native = counter(&mut state).map(|(at, value)| (at, native(value)));
        storage.push_all(&labels("h", ("mode", String::new())), native);
    }
    storage
}

fn query(storage: &MemoryStorage, expr: &str) -> QueryResult {
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let expr = parse(expr).expect("the bench's queries are well formed");
    let end = TimestampMs::new(SAMPLES * INTERVAL_MS);
    let steps = Steps { start: TimestampMs::new(0), end, step: DurationMs::from_secs(60) };
    engine.range(storage, &expr, steps, &budget()).expect("the bench's queries have results")
}

fn operators(c: &mut Criterion) {
    let storage = storage();
    assert_eq!(storage.iter().count(), MACHINES * (3 * BOUNDS.len() + 1));
    let mut group = c.benchmark_group("operators");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300));
    for (name, expr, series) in CASES {
        group.throughput(Throughput::Elements(series as u64 * SAMPLES as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let result = query(&storage, expr);
                assert!(matches!(&result.value, Value::Matrix(m) if !m.is_empty()), "{expr} has no result");
                black_box(result)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, operators);
criterion_main!(benches);
