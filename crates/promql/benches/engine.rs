//! What a query costs from decoded columns on: 2,000 series × 6 h at 15 s, in memory. One element is one
//! sample that the storage hands out.

#[path = "../tests/support/memory.rs"]
mod memory;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use memory::{MemoryStorage, StillClock, budget};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_promql::{Engine, EngineOptions, QueryResult, Steps, Value, parse};
use std::{hint::black_box, sync::Arc};

const SERIES: usize = 2000;
const INTERVAL_MS: i64 = 15_000;
const SAMPLES: i64 = 6 * 3600 * 1000 / INTERVAL_MS;

/// Counters called `name`: 8 modes of 250 processors each. Now and then one is reset.
fn fill(storage: &mut MemoryStorage, name: &str) {
    let mut x = 0x9E37_79B9_7F4A_7C15u64;
    for i in 0..SERIES {
        let labels = Labels::from_pairs([
            ("__name__", name.to_owned()),
            ("mode", format!("mode{}", i % 8)),
            ("cpu", (i / 8).to_string()),
            ("instance", "localhost:9100".to_owned()),
            ("job", "node".to_owned()),
        ]);
        let mut value = 0.0;
        let samples = (0..SAMPLES).map(|k| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            value = if i % 10 == 0 && k % 997 == 996 { 0.0 } else { value + (x >> 60) as f64 / 16.0 };
            (k * INTERVAL_MS, value)
        });
        storage.push_all(&labels, samples);
    }
}

fn query(storage: &MemoryStorage, expr: &str, step_s: i64) -> QueryResult {
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let expr = parse(expr).expect("the bench's queries are well formed");
    let end = TimestampMs::new(SAMPLES * INTERVAL_MS);
    let steps = Steps { start: TimestampMs::new(0), end, step: DurationMs::from_secs(step_s) };
    engine.range(storage, &expr, steps, &budget()).expect("the bench's queries have results")
}

fn engine(c: &mut Criterion) {
    let mut storage = MemoryStorage::default();
    fill(&mut storage, "m_total");
    fill(&mut storage, "n_total");
    let stored: usize = storage.iter().map(|(_, columns)| columns.len()).sum();
    assert_eq!(stored, 2 * SERIES * SAMPLES as usize);
    let mut group = c.benchmark_group("engine");
    group.sample_size(10);
    for (name, expr, step_s, selectors) in [
        ("read_only", "count(present_over_time(m_total[6h] @ end()))", 3600, 1),
        ("sum_by_rate", "sum by (mode) (rate(m_total[5m]))", 60, 1),
        ("rate", "rate(m_total[5m])", 60, 1),
        ("selector", "sum(m_total)", 60, 1),
        ("avg_over_time", "avg_over_time(m_total[5m])", 60, 1),
        ("sum_avg_over_time_1h", "sum(avg_over_time(m_total[1h]))", 60, 1),
        ("sum_max_over_time_1h_step_15s", "sum(max_over_time(m_total[1h]))", 15, 1),
        ("sum_stddev_over_time_1h", "sum(stddev_over_time(m_total[1h]))", 60, 1),
        ("sum_quantile_over_time_1h", "sum(quantile_over_time(0.9, m_total[1h]))", 60, 1),
        ("join", "m_total / n_total", 60, 2),
        ("sum_of_join", "sum by (mode) (m_total) / sum by (mode) (n_total)", 60, 2),
        ("topk", "topk(5, rate(m_total[5m]))", 60, 1),
        ("quantile", "quantile by (mode) (0.9, rate(m_total[5m]))", 60, 1),
        ("same_selector_twice", "sum(rate(m_total[5m])) / count(m_total)", 60, 1),
    ] {
        let samples = SERIES as u64 * SAMPLES as u64 * selectors;
        group.throughput(Throughput::Elements(samples));
        group.bench_function(name, |b| {
            b.iter(|| {
                let result = query(&storage, expr, step_s);
                assert!(matches!(&result.value, Value::Matrix(m) if !m.is_empty()), "{expr} has no result");
                black_box(result)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
