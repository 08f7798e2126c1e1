//! From matchers to series, and from series to columns. Goal: 100 M samples a second decoded, on one core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skopos_base::Env;
use skopos_model::{Labels, MatchOp, Matcher, SeriesRef, TimestampMs};
use skopos_storage::{
    Append, Appendable, LabelRequest, QueryBudget, QueryLimits, Queryable, SelectRequest, SeriesBatch,
    SeriesId, Shard, TimeRange,
};
use skopos_tsdb::{Db, Options};
use std::{hint::black_box, sync::Arc};

const LIMITS: QueryLimits = QueryLimits {
    max_samples: u64::MAX,
    max_series: u64::MAX,
    max_memory: u64::MAX,
    timeout: skopos_model::DurationMs::from_secs(3600),
};

fn fill(db: &Db, env: &Env, all: &[Labels], batches: i64) {
    let start = env.clock.wall_ms() - 86_400_000;
    let mut refs: Vec<SeriesRef> = Vec::new();
    for b in 0..batches {
        let timestamp = TimestampMs::new(start + b * 15_000);
        let mut appender = db.appender();
        if refs.is_empty() {
            for labels in all {
                let append = Append::float(SeriesId::Labels(labels), timestamp, 1.0);
                refs.push(appender.append(&append).expect("the sample is in order"));
            }
        } else {
            let values: Vec<f64> = (0..all.len()).map(|i| (b as usize * (i * 7919 % 1000)) as f64).collect();
            appender.append_floats(timestamp, &refs, &values, &mut Vec::new());
        }
        appender.commit().expect("the disk is sound");
    }
}

fn open(env: &Env) -> (Db, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("there is room");
    (Db::open(dir.path(), Options::default(), env).expect("the directory is new"), dir)
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).expect("the expression is valid")
}

/// Which of a hundred thousand series: the matchers alone, without sorting much or decoding.
fn postings(c: &mut Criterion) {
    let env = Env::real();
    let (db, _dir) = open(&env);
    let all: Vec<Labels> = (0..100_000)
        .map(|i| {
            Labels::from_pairs([
                ("__name__", format!("m{}", i % 100)),
                ("pod", format!("pod-{i}")),
                ("zone", format!("z{}", i % 7)),
                ("job", "node".to_owned()),
            ])
        })
        .collect();
    fill(&db, &env, &all, 1);
    let querier = db.querier(TimeRange::ALL).expect("a head is always there");
    let mut group = c.benchmark_group("postings_100k");
    for (name, matchers) in [
        ("name_and_zone", vec![Matcher::equal("__name__", "m7"), Matcher::equal("zone", "z3")]),
        (
            "name_and_not_zone",
            vec![Matcher::equal("__name__", "m7"), matcher("zone", MatchOp::NotRegex, "z3|z4")],
        ),
        ("job_and_one_pod", vec![Matcher::equal("job", "node"), Matcher::equal("pod", "pod-4711")]),
        (
            "name_and_pod_regex",
            vec![Matcher::equal("__name__", "m7"), matcher("pod", MatchOp::Regex, "pod-.*7.*7")],
        ),
        ("pod_regex_alone", vec![matcher("pod", MatchOp::Regex, "pod-.*7.*7.*7")]),
        ("pod_prefix", vec![matcher("pod", MatchOp::Regex, "pod-471.*")]),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let budget = QueryBudget::new(LIMITS, Arc::clone(&env.clock));
                querier.series(&LabelRequest { matchers: &matchers, limit: 0, budget }).expect("in budget")
            });
        });
    }
    group.finish();
}

/// Two thousand series of six hours at 15 s, as columns.
fn decode(c: &mut Criterion) {
    let env = Env::real();
    let (db, _dir) = open(&env);
    let all: Vec<Labels> = (0..2000)
        .map(|i| {
            Labels::from_pairs([("__name__", "node_cpu_seconds_total".to_owned()), ("i", i.to_string())])
        })
        .collect();
    let batches = 6 * 240;
    fill(&db, &env, &all, batches);
    let querier = db.querier(TimeRange::ALL).expect("a head is always there");
    let matchers = [Matcher::equal("__name__", "node_cpu_seconds_total")];
    let mut group = c.benchmark_group("select");
    group.throughput(Throughput::Elements(2000 * batches as u64));
    let mut batch = SeriesBatch::default();
    group.bench_function("2000_series_6h", |b| {
        b.iter(|| {
            let budget = QueryBudget::new(LIMITS, Arc::clone(&env.clock));
            let request =
                SelectRequest { matchers: &matchers, range: TimeRange::ALL, shard: Shard::WHOLE, budget };
            let mut set = querier.select(&request).expect("in budget");
            let mut samples = 0;
            while set.next_batch(&mut batch).expect("all chunks are sound") {
                samples += black_box(batch.sample_count());
            }
            assert_eq!(samples, 2000 * batches as usize);
        });
    });
    group.finish();
}

criterion_group!(benches, postings, decode);
criterion_main!(benches);
