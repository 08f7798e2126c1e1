//! Body to committed: parsed, found in the cache, in the head and in the log of a real file system; one core,
//! steady state (the series are known and keep their order), samples a second. Cold: the target is new.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use skopos_base::Env;
use skopos_exposition::Format;
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_scrape::{
    body::{Body, Exposition},
    ingest::Ingest,
    status::{Health, ScrapeCounters},
    target::{Reading, Source, Target},
};
use skopos_tsdb::{Db, Options};
use std::{fmt::Write, sync::Arc, time::Duration};

/// The allocator of the product.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SERIES: u64 = 1_000;
/// So many bodies with other values follow one another.
const BODIES: u64 = 40;
/// The first scrape, in the past, so that the bench does not catch up with the clock.
const BEGIN_MS: i64 = 1_000_000_000_000;
const STEP_MS: i64 = 15_000;

fn target(instance: u64) -> Target {
    Target {
        job: Arc::from("bench"),
        source: Source::InProcess("bench"),
        labels: Labels::from_pairs([("instance", instance.to_string().as_str()), ("job", "bench")]),
        discovered: Labels::empty(),
        interval: DurationMs::from_ms(STEP_MS),
        timeout: DurationMs::from_ms(STEP_MS),
        max_series: None,
        forced_error: None,
        access: Arc::default(),
        reading: Reading::default(),
        extra_metrics: false,
        failure_log: None,
    }
}

/// Counters and gauges of an application, some of them with fractions.
fn body(round: u64) -> Body {
    let mut out = String::new();
    for i in 0..SERIES {
        if i % 20 == 0 {
            writeln!(out, "# HELP app_metric_{} Something.\n# TYPE app_metric_{0} untyped", i / 20)
                .expect("a String takes all");
        }
        let labels = format!("handler=\"/api/v1/{}\",code=\"200\",method=\"get\"", i % 20);
        let value = match i % 4 {
            0 => (round * (i + 3)) as f64,
            1 => (i * 1024) as f64,
            2 => round as f64 * 0.25 + i as f64 / 8.0,
            _ => (round as f64).sin(),
        };
        writeln!(out, "app_metric_{}{{{labels}}} {value}", i / 20).expect("a String takes all");
    }
    Body::of(Exposition::Lines(Format::Text), out)
}

fn ingest(c: &mut Criterion) {
    let bodies: Vec<Body> = (0..BODIES).map(body).collect();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let db = Db::open(folder.path(), Options::default(), &Env::real()).expect("the database opens");
    let counters = Arc::new(ScrapeCounters::default());
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements(SERIES));

    let mut known = Ingest::new(&target(0), Arc::clone(&counters));
    let mut scrape = 0;
    group.bench_function("steady", |b| {
        b.iter(|| {
            let at = TimestampMs::new(BEGIN_MS + scrape * STEP_MS);
            let body = &bodies[scrape as usize % bodies.len()];
            let report = known.body(&db, at, Duration::ZERO, body);
            assert_eq!((report.health, report.error.as_str()), (Health::Up, ""));
            scrape += 1;
        });
    });

    let mut instance = 0;
    let at = TimestampMs::new(BEGIN_MS + scrape * STEP_MS);
    group.bench_function("cold", |b| {
        b.iter_batched(
            || {
                instance += 1;
                Ingest::new(&target(instance), Arc::clone(&counters))
            },
            |mut new| new.body(&db, at, Duration::ZERO, &bodies[0]),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
