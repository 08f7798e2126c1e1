//! From samples to a committed batch: checks, WAL record, compression, one write, chunks. The whole chain
//! on one core, as a scrape takes it. Goal: 8 M samples a second in steady state.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skopos_base::Env;
use skopos_model::{Labels, SeriesRef, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_tsdb::{Db, Options, WalCompression};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const STEP_MS: i64 = 15_000;
const DAY_MS: i64 = 86_400_000;

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("node_network_receive_bytes_total_{}", i % 50)),
        ("device", format!("eth{}", i / 50 % 20)),
        ("instance", format!("host-{}.example:9100", i / 1000)),
        ("job", "node".to_owned()),
    ])
}

/// Series that grow like counters and gauges do.
struct Load {
    db: Db,
    all: Vec<Labels>,
    refs: Vec<SeriesRef>,
    values: Vec<f64>,
    now_ms: i64,
    _dir: tempfile::TempDir,
}

impl Load {
    fn new(series: usize, compression: WalCompression) -> Self {
        let env = Env::real();
        let dir = tempfile::tempdir().expect("there is room");
        let options = Options { wal_compression: compression, ..Options::default() };
        let db = Db::open(dir.path(), options, &env).expect("the directory is new");
        let all: Vec<Labels> = (0..series).map(labels).collect();
        let now_ms = env.clock.wall_ms() - 60 * DAY_MS;
        let mut load = Self { db, all, refs: Vec::new(), values: vec![0.0; series], now_ms, _dir: dir };
        load.refs = load.by_labels();
        load
    }

    fn tick(&mut self) -> TimestampMs {
        self.now_ms += STEP_MS;
        for (i, v) in self.values.iter_mut().enumerate() {
            *v += (i * 7919 % 1000) as f64;
        }
        TimestampMs::new(self.now_ms)
    }

    fn by_labels(&mut self) -> Vec<SeriesRef> {
        let timestamp = self.tick();
        let mut appender = self.db.appender();
        let refs = self.all.iter().zip(&self.values).map(|(labels, value)| {
            let append = Append::float(SeriesId::Labels(labels), timestamp, *value);
            appender.append(&append).expect("the sample is in order")
        });
        let refs = refs.collect();
        appender.commit().expect("the disk is sound");
        refs
    }

    fn by_refs(&mut self) {
        let timestamp = self.tick();
        let mut appender = self.db.appender();
        let mut refused = Vec::new();
        appender.append_floats(timestamp, &self.refs, &self.values, &mut refused);
        appender.commit().expect("the disk is sound");
    }
}

fn steady(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit");
    for (name, series, compression) in [
        ("10k_series_snappy", 10_000, WalCompression::Snappy),
        ("10k_series_plain", 10_000, WalCompression::None),
        ("1k_series_snappy", 1000, WalCompression::Snappy),
        ("100k_series_snappy", 100_000, WalCompression::Snappy),
    ] {
        let mut load = Load::new(series, compression);
        group.throughput(Throughput::Elements(series as u64));
        group.bench_function(name, |b| b.iter(|| load.by_refs()));
    }
    let mut load = Load::new(10_000, WalCompression::Snappy);
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("10k_series_by_labels", |b| b.iter(|| load.by_labels()));
    group.finish();
}

/// Series that nobody has seen before, one sample each.
fn new_series(c: &mut Criterion) {
    let mut group = c.benchmark_group("new_series");
    group.throughput(Throughput::Elements(10_000));
    group.sample_size(20);
    let mut load = Load::new(1, WalCompression::Snappy);
    let mut generation = 0;
    group.bench_function("10k", |b| {
        b.iter_batched(
            || {
                generation += 1;
                let pod = format!("pod-{generation}");
                (0..10_000)
                    .map(|i| Labels::from_pairs(labels(i).iter().chain([("pod", pod.as_str())])))
                    .collect::<Vec<_>>()
            },
            |fresh| {
                load.all = fresh;
                load.values.resize(load.all.len(), 1.0);
                load.by_labels()
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, steady, new_series);
criterion_main!(benches);
