//! From a killed process' WAL to a database that answers. Goal: 5 M samples a second and core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skopos_base::Env;
use skopos_model::{DurationMs, Labels, SeriesRef, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_tsdb::{Db, Options};
use std::{hint::black_box, path::Path};

const SERIES: usize = 10_000;
const BATCHES: i64 = 500;

#[expect(clippy::print_stdout, reason = "sizes are results of the bench too")]
fn write(dir: &Path, env: &Env) {
    let db = Db::open(dir, Options::default(), env).expect("the directory is new");
    let start = env.clock.wall_ms() - 86_400_000;
    let mut refs: Vec<SeriesRef> = Vec::new();
    for b in 0..BATCHES {
        let timestamp = TimestampMs::new(start + b * 15_000);
        let values: Vec<f64> = (0..SERIES).map(|i| (b as usize * (i * 7919 % 1000)) as f64).collect();
        let mut appender = db.appender();
        if refs.is_empty() {
            for (i, value) in values.iter().enumerate() {
                let labels = Labels::from_pairs([
                    ("__name__", format!("node_network_receive_bytes_total_{}", i % 50)),
                    ("device", format!("eth{}", i / 50 % 20)),
                    ("instance", format!("host-{}.example:9100", i / 1000)),
                ]);
                let append = Append::float(SeriesId::Labels(&labels), timestamp, *value);
                refs.push(appender.append(&append).expect("the sample is in order"));
            }
        } else {
            appender.append_floats(timestamp, &refs, &values, &mut Vec::new());
        }
        appender.commit().expect("the disk is sound");
    }
    let bytes = db.stats().wal_written_bytes_total;
    let samples = SERIES as u64 * BATCHES as u64;
    println!("WAL: {:.2} bytes a sample", bytes as f64 / samples as f64);
    println!("head: {:.2} bytes a sample", db.series_bytes() as f64 / samples as f64);
}

fn replay(c: &mut Criterion) {
    let env = Env::real();
    let dir = tempfile::tempdir().expect("there is room");
    write(dir.path(), &env);
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(SERIES as u64 * BATCHES as u64));
    group.sample_size(10);
    for (name, threads) in [("5M_samples", 1), ("5M_samples_2_threads", 2)] {
        let options = Options { replay_threads: threads, ..Options::default() };
        group.bench_function(name, |b| {
            b.iter(|| {
                // All of the log is read, also what an earlier life had moved to chunk files.
                let chunks = dir.path().join("chunks_head");
                if env.fs.exists(&chunks).expect("the directory is ours") {
                    env.fs.remove_dir_all(&chunks).expect("the directory is ours");
                }
                let db = Db::open(dir.path(), options.clone(), &env).expect("the directory is ours");
                assert_eq!(db.stats().replayed_samples, SERIES as u64 * BATCHES as u64);
                black_box(db)
            });
        });
    }
    group.finish();
}

/// Samples out of order: so many of each of so many series.
const LATE_SERIES: usize = 2_000;
const LATE_BATCHES: i64 = 500;

fn write_late(dir: &Path, env: &Env, options: Options) {
    let db = Db::open(dir, options, env).expect("the directory is new");
    let newest = env.clock.wall_ms() - 3_600_000;
    let labels = |i: usize| Labels::from_pairs([("__name__", "late"), ("instance", &i.to_string())]);
    let all: Vec<Labels> = (0..LATE_SERIES).map(labels).collect();
    let mut appender = db.appender();
    let refs: Vec<SeriesRef> = all
        .iter()
        .map(|l| Append::float(SeriesId::Labels(l), TimestampMs::new(newest), 0.0))
        .map(|append| appender.append(&append).expect("the sample is in order"))
        .collect();
    appender.commit().expect("the disk is sound");
    for b in 0..LATE_BATCHES {
        // In no order.
        let timestamp = TimestampMs::new(newest - 15_000 * (1 + b * 7919 % LATE_BATCHES));
        let values: Vec<f64> = (0..LATE_SERIES).map(|i| (b as usize * (i * 7919 % 1000)) as f64).collect();
        let (mut appender, mut refused) = (db.appender(), Vec::new());
        appender.append_floats(timestamp, &refs, &values, &mut refused);
        assert!(refused.is_empty(), "the window is long enough");
        appender.commit().expect("the disk is sound");
    }
}

/// All samples but one of each series came out of order: where no chunk file has them, where all of them do,
/// and where so few may wait that chunks are read again and again.
fn late(c: &mut Criterion) {
    let env = Env::real();
    let dir = tempfile::tempdir().expect("there is room");
    let options = Options {
        out_of_order_window: DurationMs::from_secs(86_400),
        snapshot_on_shutdown: false,
        ..Options::default()
    };
    write_late(dir.path(), &env, options.clone());
    let samples = LATE_SERIES as u64 * (LATE_BATCHES as u64 + 1);
    let mut group = c.benchmark_group("late_replay");
    group.throughput(Throughput::Elements(samples));
    group.sample_size(10);
    let few = Options { replay_waiting_bytes: 16 << 20, ..options.clone() };
    for (name, options, chunks_stay) in [
        ("1M_samples", &options, false),
        ("1M_samples_on_disk", &options, true),
        ("1M_samples_few_wait", &few, false),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let chunks = dir.path().join("chunks_head");
                if !chunks_stay && env.fs.exists(&chunks).expect("the directory is ours") {
                    env.fs.remove_dir_all(&chunks).expect("the directory is ours");
                }
                let db = Db::open(dir.path(), options.clone(), &env).expect("the directory is ours");
                assert_eq!(db.stats().replayed_samples, samples);
                black_box(db)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, replay, late);
criterion_main!(benches);
