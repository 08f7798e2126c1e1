//! The range query of the first dashboard, whole: postings, chunks, decoding, engine. 2,000 series ×
//! 6 h at 15 s in the head of a real database; one element is one stored sample.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skopos_base::Env;
use skopos_model::{DurationMs, Labels, SeriesRef, TimestampMs};
use skopos_promql::{
    Engine, EngineOptions, Steps, Value, parse,
    shards::{ShardOptions, Shards},
};
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_tsdb::{Db, Options};
use std::{hint::black_box, sync::Arc};

const SERIES: usize = 2000;
const INTERVAL_MS: i64 = 15_000;
const SAMPLES: i64 = 6 * 3600 * 1000 / INTERVAL_MS;

/// Fills the database scrape by scrape, up to now; returns the time of the first sample.
fn fill(db: &Db, now_ms: i64) -> TimestampMs {
    let start = now_ms - SAMPLES * INTERVAL_MS;
    let mut refs: Vec<SeriesRef> = Vec::with_capacity(SERIES);
    let mut values = vec![0.0; SERIES];
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut refused = Vec::new();
    for k in 0..SAMPLES {
        let at = TimestampMs::new(start + k * INTERVAL_MS);
        for value in &mut values {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *value += (random >> 60) as f64 / 16.0;
        }
        let mut batch = db.appender();
        if refs.is_empty() {
            for (i, value) in values.iter().enumerate() {
                let labels = labels(i);
                let sample = Append::float(SeriesId::Labels(&labels), at, *value);
                refs.push(batch.append(&sample).expect("the series is new"));
            }
        } else {
            batch.append_floats(at, &refs, &values, &mut refused);
        }
        batch.commit().expect("the disk takes it");
    }
    assert!(refused.is_empty(), "refused: {:?}", refused.first());
    TimestampMs::new(start)
}

/// A processor's time in one of eight modes, as node_exporter names it.
fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "node_cpu_seconds_total".to_owned()),
        ("mode", format!("mode{}", i % 8)),
        ("cpu", (i / 8 % 16).to_string()),
        ("instance", format!("host{}:9100", i / 128)),
        ("job", "node".to_owned()),
    ])
}

fn range_query(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let env = Env::real();
    let db = Db::open(folder.path(), Options::default(), &env).expect("the folder is new");
    let start = fill(&db, env.clock.wall_ms());
    let engine = Engine::new(EngineOptions::default(), Arc::clone(&env.clock));
    let end = start.plus(DurationMs::from_ms(SAMPLES * INTERVAL_MS));
    let steps = Steps { start, end, step: DurationMs::from_secs(60) };
    let mut group = c.benchmark_group("range_query");
    group.sample_size(10);
    group.throughput(Throughput::Elements(SERIES as u64 * SAMPLES.unsigned_abs()));
    let shards = |max| Shards::new(Arc::clone(&env.spawner), ShardOptions::new(max));
    let two = engine.clone().with_shards(shards(2));
    for (name, text, series, engine) in [
        ("sum_by_mode_rate", "sum by (mode) (rate(node_cpu_seconds_total[5m]))", 8, &engine),
        ("sum_by_mode_rate_two_shards", "sum by (mode) (rate(node_cpu_seconds_total[5m]))", 8, &two),
        ("sum_by_mode_irate", "sum by (mode) (irate(node_cpu_seconds_total[60s]))", 8, &engine),
        ("avg_without_cpu", "avg without (cpu) (node_cpu_seconds_total)", 128, &engine),
    ] {
        let expr = parse(text).expect("the bench's queries are well formed");
        group.bench_function(name, |b| {
            b.iter(|| {
                let result =
                    engine.range(&db, &expr, steps, &engine.budget()).expect("the query has a result");
                let Value::Matrix(matrix) = &result.value else { panic!("a range query gives a matrix") };
                assert_eq!(matrix.len(), series);
                black_box(result)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, range_query);
criterion_main!(benches);
