//! The turns of a head's life: a start from a snapshot, a start from the log that writes the names of all
//! series anew, a cut into a block, and scrapes whose series partly change each time.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use skopos_base::Env;
use skopos_model::{DurationMs, Labels, SeriesRef, TimestampMs};
use skopos_storage::{Append, Appendable, Appender, SeriesId};
use skopos_tsdb::{Db, Options};
use std::{hint::black_box, path::Path};
use tempfile::TempDir;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const STEP_MS: i64 = 15_000;
/// Series of a start.
const STARTED: usize = 100_000;
/// Series of a cut, and scrapes of each: three hours and a little, so that two hours are cut.
const CUT: usize = 10_000;
const CUT_SCRAPES: usize = 730;
/// Series of a scrape that partly change, of which so many are new each time.
const CHURNED: usize = 10_000;
const NEW: usize = 100;

fn labels(i: usize, generation: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("node_network_receive_bytes_total_{}", i % 50)),
        ("device", format!("eth{}", i / 50 % 20)),
        ("instance", format!("host-{}.example:9100", i / 1000)),
        ("job", "node".to_owned()),
        ("pod", format!("pod-{generation}")),
    ])
}

fn first(appender: &mut dyn Appender, labels: &Labels, at: TimestampMs) -> SeriesRef {
    let append = Append::float(SeriesId::Labels(labels), at, 1.0);
    appender.append(&append).expect("the sample is in order")
}

/// Writes so many scrapes of so many series.
fn write(db: &Db, series: usize, scrapes: usize, start_ms: i64) {
    let mut refs = Vec::new();
    for scrape in 0..scrapes {
        let at = TimestampMs::new(start_ms + scrape as i64 * STEP_MS);
        let mut appender = db.appender();
        if refs.is_empty() {
            refs = (0..series).map(|i| first(&mut *appender, &labels(i, 0), at)).collect();
        } else {
            let values: Vec<f64> = (0..series).map(|i| (scrape * (i * 7919 % 1000)) as f64).collect();
            appender.append_floats(at, &refs, &values, &mut Vec::new());
        }
        appender.commit().expect("the disk is sound");
    }
}

/// A database of many series that was closed, with a snapshot or without.
fn closed(env: &Env, options: &Options) -> TempDir {
    let dir = tempfile::tempdir().expect("there is room");
    let db = Db::open(dir.path(), options.clone(), env).expect("the directory is new");
    write(&db, STARTED, 10, env.clock.wall_ms() - 600_000);
    db.close().expect("the disk is sound");
    dir
}

fn open(dir: &Path, options: &Options, env: &Env) -> Db {
    let db = Db::open(dir, options.clone(), env).expect("the directory is ours");
    assert_eq!(db.stats().series, STARTED as u64);
    db
}

fn start(c: &mut Criterion) {
    let env = Env::real();
    let mut group = c.benchmark_group("start");
    group.throughput(Throughput::Elements(STARTED as u64));
    group.sample_size(10);
    // What is opened is dropped, not closed: so the snapshot stays as it is.
    for (name, snapshot_on_shutdown) in [("snapshot_100k_series", true), ("names_100k_series", false)] {
        let options = Options { snapshot_on_shutdown, ..Options::default() };
        let dir = closed(&env, &options);
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    if !snapshot_on_shutdown {
                        let names = dir.path().join("wal_names");
                        env.fs.remove_dir_all(&names).expect("the directory is ours");
                    }
                },
                |()| black_box(open(dir.path(), &options, &env)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn cut(c: &mut Criterion) {
    let env = Env::real();
    let mut group = c.benchmark_group("head");
    group.sample_size(10);
    let options = Options { maintenance_interval: DurationMs::from_secs(86_400), ..Options::default() };
    // Two hours that are whole, and what is needed behind them so that they are cut.
    let block_ms = options.min_block_duration.as_ms();
    let now_ms = env.clock.wall_ms();
    let start_ms = (now_ms - CUT_SCRAPES as i64 * STEP_MS).div_euclid(block_ms) * block_ms;
    let cut_samples = CUT as i64 * block_ms / STEP_MS;
    group.throughput(Throughput::Elements(cut_samples as u64));
    group.bench_function("cut_10k_series", |b| {
        b.iter_batched(
            || {
                let dir = tempfile::tempdir().expect("there is room");
                let db = Db::open(dir.path(), options.clone(), &env).expect("the directory is new");
                write(&db, CUT, CUT_SCRAPES, start_ms);
                (db, dir)
            },
            |(db, dir)| {
                let range = db.steps().cuttable().expect("three hours have two that can be cut");
                black_box(db.maintain().expect("the disk is sound"));
                assert!(db.steps().cuttable().is_none_or(|next| next.min > range.min), "the block is cut");
                (db, dir)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn churn(c: &mut Criterion) {
    let env = Env::real();
    let dir = tempfile::tempdir().expect("there is room");
    let db = Db::open(dir.path(), Options::default(), &env).expect("the directory is new");
    let mut at_ms = env.clock.wall_ms() - 5 * 86_400_000;
    let (mut refs, mut generation) = (Vec::new(), 0);
    let mut group = c.benchmark_group("commit");
    group.throughput(Throughput::Elements(CHURNED as u64));
    group.bench_function("10k_series_100_new", |b| {
        b.iter(|| {
            at_ms += STEP_MS;
            generation += 1;
            let at = TimestampMs::new(at_ms);
            let mut appender = db.appender();
            if refs.is_empty() {
                refs = (0..CHURNED).map(|i| first(&mut *appender, &labels(i, 0), at)).collect();
            }
            // The oldest series end and as many begin.
            let from = generation * NEW % CHURNED;
            for (i, series) in refs.iter_mut().enumerate().skip(from).take(NEW) {
                *series = first(&mut *appender, &labels(i, generation), at);
            }
            let values = vec![generation as f64; CHURNED - NEW];
            let old: Vec<SeriesRef> = [&refs[..from], &refs[from + NEW..]].concat();
            appender.append_floats(at, &old, &values, &mut Vec::new());
            appender.commit().expect("the disk is sound")
        });
    });
    group.finish();
}

criterion_group!(benches, start, cut, churn);
criterion_main!(benches);
