//! Samples out of order at a start: the memory that they take, and that nothing is stored a second time.

use crate::common::{DIR, Dump, commit, dump, labels, open, series};
use skopos_base::{
    Env,
    fs::{Fs, read_all},
    rng::Rng,
    sim::{SimFs, SimWorld},
};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_storage::{Append, Appendable as _, SeriesId};
use skopos_tsdb::{Options, StatsSnapshot};
use std::path::Path;

const HOUR_MS: i64 = 3_600_000;
const SERIES: usize = 40;
/// A sample that waits takes 32 bytes: all of them take more than ten times the bound below.
const LATE_SAMPLES: usize = 12_000;
const BOUND_BYTES: usize = 32 << 10;

fn options(replay_waiting_bytes: usize) -> Options {
    Options {
        out_of_order_window: DurationMs::from_ms(12 * HOUR_MS),
        maintenance_interval: DurationMs::from_secs(1 << 30),
        snapshot_on_shutdown: false,
        replay_waiting_bytes,
        ..Options::default()
    }
}

/// Each series has one sample in order; the others come in no order at all, some of them twice.
fn written() -> (SimFs, Dump) {
    let world = SimWorld::new(11);
    let fs = world.fs().clone();
    let dump = world.run(|env| {
        let rng = Rng::from_seed(11);
        let db = open(env, options(1 << 20));
        let first: Vec<_> = (0..SERIES).map(|i| (series(i), 100 * HOUR_MS, 0.0)).collect();
        commit(&db, &first).expect("the disk is sound");
        for n in 0..LATE_SAMPLES / 100 {
            let mut batch: Vec<(Labels, i64, f64)> = Vec::new();
            while batch.len() < 100 {
                let (i, back) =
                    (rng.below(SERIES as u64) as usize, 1 + rng.below(10 * HOUR_MS as u64) as i64);
                batch.push((series(i), 100 * HOUR_MS - back / 20 * 20 - 20, n as f64));
            }
            // A contradicting one is refused where it is seen.
            let mut appender = db.appender();
            for (labels, t, value) in &batch {
                let sample = Append::float(SeriesId::Labels(labels), TimestampMs::new(*t), *value);
                let _ = appender.append(&sample);
            }
            appender.commit().expect("the disk is sound");
        }
        db.sync().expect("the disk is sound");
        dump(env, &db)
    });
    (fs, dump)
}

/// Starts once more, and says what the start did.
fn started(fs: &SimFs, bound: usize, expected: &Dump) -> StatsSnapshot {
    SimWorld::with_fs(12, fs.clone()).run(|env| {
        let db = open(env, options(bound));
        assert!(dump(env, &db) == *expected, "the answers differ");
        let stats = db.stats();
        db.close().expect("the disk is sound");
        stats
    })
}

fn bytes_of(fs: &SimFs, name: &str) -> u64 {
    fs.read_dir(&Path::new(DIR).join(name)).expect("the disk is sound").iter().map(|file| file.len).sum()
}

/// Whatever is left of the chunks and the logs.
#[test]
fn a_replay_of_many_late_samples_stays_within_its_bound() {
    let (whole, expected) = written();
    let samples: usize = expected.values().map(Vec::len).sum();
    assert!(samples * 32 > 10 * BOUND_BYTES, "too few are late: {samples}");
    for gone in [&[][..], &["chunks_head"], &["wbl"], &["chunks_head", "wbl"]] {
        let fs = whole.process_crash();
        gone.iter().for_each(|name| fs.remove_dir_all(&Path::new(DIR).join(name)).unwrap());
        let stats = started(&fs, BOUND_BYTES, &expected);
        // The chunk files have what was accepted at the time of another sample, and never answers.
        let contradicting = if gone.contains(&"chunks_head") { 0 } else { LATE_SAMPLES as u64 / 20 };
        let stored = samples as u64..=samples as u64 + contradicting;
        assert!(stored.contains(&stats.replayed_samples), "without {gone:?}: each is stored once: {stats:?}");
        // A list is full at a quarter of it, and grows by a quarter.
        let (least, most) = (BOUND_BYTES as u64 / 5, BOUND_BYTES as u64);
        let took = stats.replay_waiting_bytes_max;
        assert!((least..=most).contains(&took), "without {gone:?}: {took} bytes");
    }
}

/// The times of late samples in closed chunks are known: neither the chunk files nor the write-behind log
/// grow from start to start.
#[test]
fn a_start_stores_no_late_sample_that_is_on_the_disk() {
    let (fs, expected) = written();
    for bound in [1 << 20, BOUND_BYTES] {
        let fs = fs.process_crash();
        // What the log alone had goes to chunks and to the write-behind log.
        let first = started(&fs, bound, &expected).replayed_samples;
        let (chunks, log) = (bytes_of(&fs, "chunks_head"), bytes_of(&fs, "wbl"));
        for start in 0..2 {
            let stats = started(&fs, bound, &expected);
            assert_eq!(stats.replayed_samples, first, "start {start}, {bound} bytes");
            assert_eq!(bytes_of(&fs, "wbl"), log, "start {start}, {bound} bytes");
            // Open chunks are open again: what they were written as last time stays in the files.
            assert_eq!(bytes_of(&fs, "chunks_head"), chunks, "start {start}, {bound} bytes");
        }
    }
}

/// A chunk on disk, an open chunk and the batch being stored have each time once, also where the open chunk
/// is closed while the batch is stored.
#[test]
fn a_time_of_the_open_chunk_is_not_stored_again_once_it_is_closed() {
    let kept = labels(&[("__name__", "kept")]);
    for bound in [1, 1500, 4000, 1 << 20] {
        let world = SimWorld::new(13);
        let fs = world.fs().clone();
        let expected = world.run(|env: &Env| {
            let db = open(env, options(bound));
            commit(&db, &[(kept.clone(), 100 * HOUR_MS, 0.0)]).unwrap();
            // Times come again while their chunk is open, just when it is closed, and later.
            let rng = Rng::from_seed(14);
            let times: Vec<i64> = (0..3000).map(|n| n / 2 + rng.below(60) as i64).collect();
            for times in times.chunks(30) {
                let mut appender = db.appender();
                for t in times {
                    let t = TimestampMs::new(99 * HOUR_MS + t);
                    let _ = appender.append(&Append::float(SeriesId::Labels(&kept), t, 1.0));
                }
                appender.commit().unwrap();
            }
            db.sync().unwrap();
            dump(env, &db)
        });
        let samples = expected[&kept].len() as u64;
        assert!(samples > 1000 && samples < 2000, "{samples}");
        fs.remove_dir_all(&Path::new(DIR).join("chunks_head")).unwrap();
        for start in 0..2 {
            let stats = started(&fs, bound, &expected);
            assert_eq!(stats.replayed_samples, samples, "start {start}, {bound} bytes");
        }
    }
}

/// How long blocks are says which of the WAL's samples may have come in order.
#[test]
fn a_start_with_longer_blocks_finds_what_the_wal_alone_has() {
    let shorter = Options {
        min_block_duration: DurationMs::from_ms(1000),
        max_block_duration: DurationMs::from_ms(3000),
        sync_interval: DurationMs::from_secs(1 << 30),
        ..options(1 << 20)
    };
    let world = SimWorld::new(13);
    let fs = world.fs().clone();
    let (killed, expected) = world.run(|env| {
        let db = open(env, shorter);
        for t in (100_000..104_000).step_by(250) {
            commit(&db, &[(series(0), t, 0.5)]).expect("the disk is sound");
        }
        assert!(db.maintain().expect("the disk is sound").cut > 1);
        for t in [90_000, 95_000, 101_000] {
            commit(&db, &[(series(1), t, 1.5)]).expect("the disk is sound");
        }
        (fs.process_crash(), dump(env, &db))
    });
    assert_eq!(expected[&series(1)].len(), 3);
    SimWorld::with_fs(14, killed).run(|env| {
        let db = open(env, options(1 << 20));
        assert_eq!(dump(env, &db), expected);
        // What it notes of its own cuts must not hide that the log may be of before.
        for t in [110_000, 50_000_000] {
            commit(&db, &[(series(0), t, 0.5)]).expect("the disk is sound");
        }
        assert!(db.maintain().expect("the disk is sound").cut > 0);
        let note = read_all(&*env.fs, &Path::new(DIR).join("head_cut.json")).expect("it is there");
        let note = String::from_utf8(note).expect("it is JSON");
        assert!(note.contains(r#""block_ms":1000,"#), "{note}");
    });
}
