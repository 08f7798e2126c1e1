//! Body to committed: parsed, found in the cache, in the head and in the log of a real file system; one core,
//! steady state (the series are known and keep their order), samples a second. Cold: the target is new.

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use skopos_base::Env;
use skopos_exposition::Format;
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_proto::families::{
    FamilyBucket, FamilyHistogram, FamilySpan, FamilyType, LabelPair, Metric, MetricFamily, MetricValue,
    Untyped, write_delimited,
};
use skopos_scrape::{
    body::{Body, Exposition},
    ingest::Ingest,
    status::Health,
    target::{HistogramReading, Reading, Source, Target},
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
        reading: Reading {
            histograms: HistogramReading { native: true, ..HistogramReading::default() },
            ..Reading::default()
        },
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

/// The same body as families in protocol buffers.
fn families(round: u64) -> Body {
    let metric = |family: u64, nth: u64| {
        let i = family * 20 + nth;
        let labels =
            [("handler", format!("/api/v1/{nth}")), ("code", "200".into()), ("method", "get".into())];
        let value = MetricValue::Gauge(Untyped { value: Some((round * (i + 3)) as f64) });
        let labels = labels.iter().map(|(name, value)| LabelPair::new(name, value)).collect();
        Metric { labels, timestamp_ms: None, value: Some(value) }
    };
    let of = |family| MetricFamily {
        name: Some(format!("app_metric_{family}")),
        help: Some("Something.".to_owned()),
        r#type: Some(FamilyType::Gauge.into()),
        metrics: (0..20).map(|nth| metric(family, nth)).collect(),
        unit: None,
    };
    Body::of(Exposition::Families, write_delimited(&(0..SERIES / 20).map(of).collect::<Vec<_>>()))
}

/// Classic histograms of eight buckets, which are so many series; or as many native ones of ten buckets.
fn histograms(round: u64, native: bool) -> Body {
    let count = if native { SERIES } else { SERIES / 10 };
    let bucket = |n: u64| FamilyBucket {
        cumulative_count: Some(round * n),
        upper_bound: Some(if n == 7 { f64::INFINITY } else { n as f64 * 0.25 }),
        ..FamilyBucket::default()
    };
    let histogram = || FamilyHistogram {
        sample_count: Some(if native { round * 10 } else { round * 7 }),
        sample_sum: Some(round as f64),
        buckets: if native { Vec::new() } else { (0..8).map(bucket).collect() },
        schema: native.then_some(3),
        positive_spans: if native {
            vec![FamilySpan { offset: Some(-2), length: Some(10) }]
        } else {
            Vec::new()
        },
        positive_deltas: if native {
            let mut deltas = vec![0; 10];
            deltas[0] = i64::try_from(round).expect("a round is small");
            deltas
        } else {
            Vec::new()
        },
        ..FamilyHistogram::default()
    };
    let metric = |n: u64| Metric {
        labels: vec![LabelPair::new("handler", &format!("/api/v1/{n}")), LabelPair::new("method", "get")],
        timestamp_ms: None,
        value: Some(MetricValue::Histogram(Box::new(histogram()))),
    };
    let family = MetricFamily {
        name: Some("app_latency_seconds".to_owned()),
        help: Some("How long it took.".to_owned()),
        r#type: Some(FamilyType::Histogram.into()),
        metrics: (0..count).map(metric).collect(),
        unit: None,
    };
    Body::of(Exposition::Families, write_delimited(&[family]))
}

fn open_metrics(round: u64) -> Body {
    let text = String::from_utf8(std::mem::take(&mut body(round).bytes)).expect("it is text");
    let text = text.replace(" untyped\n", " unknown\n") + "# EOF\n";
    Body::of(Exposition::Lines(Format::OpenMetrics), text)
}

fn steady(
    group: &mut BenchmarkGroup<'_, WallTime>,
    db: &Db,
    (name, instance): (&str, u64),
    body: impl Fn(u64) -> Body,
) {
    let bodies: Vec<Body> = (1..=BODIES).map(body).collect();
    let mut known = Ingest::new(&target(instance), Arc::default());
    let mut scrape = 0;
    group.bench_function(name, |b| {
        b.iter(|| {
            let at = TimestampMs::new(BEGIN_MS + scrape * STEP_MS);
            let body = &bodies[scrape as usize % bodies.len()];
            let report = known.body(db, at, Duration::ZERO, body);
            assert_eq!((report.health, report.error.as_str()), (Health::Up, ""));
            scrape += 1;
        });
    });
}

fn cold(
    group: &mut BenchmarkGroup<'_, WallTime>,
    db: &Db,
    (name, first): (&str, u64),
    body: impl Fn(u64) -> Body,
) {
    let (mut instance, body) = (first, body(1));
    group.bench_function(name, |b| {
        b.iter_batched(
            || {
                instance += 1;
                Ingest::new(&target(instance), Arc::default())
            },
            |mut new| new.body(db, TimestampMs::new(BEGIN_MS), Duration::ZERO, &body),
            BatchSize::PerIteration,
        );
    });
}

fn ingest(c: &mut Criterion) {
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements(SERIES));
    let in_database = |bench: &mut dyn FnMut(&Db)| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        bench(&Db::open(folder.path(), Options::default(), &Env::real()).expect("the database opens"));
    };
    in_database(&mut |db| steady(&mut group, db, ("steady", 0), body));
    in_database(&mut |db| steady(&mut group, db, ("steady, OpenMetrics", 0), open_metrics));
    in_database(&mut |db| steady(&mut group, db, ("steady, families", 0), families));
    in_database(&mut |db| {
        steady(&mut group, db, ("steady, classic histograms", 0), |n| histograms(n, false));
    });
    in_database(&mut |db| steady(&mut group, db, ("steady, native histograms", 0), |n| histograms(n, true)));
    in_database(&mut |db| cold(&mut group, db, ("cold", 0), body));
    in_database(&mut |db| cold(&mut group, db, ("cold, families", 0), families));
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
