//! Damage to what names series in the log: it costs what stands in the damaged page, never samples of other
//! pages and segments; and a running database does not hand it on to a checkpoint.

use crate::common::{DIR, Dump, commit, dump, open, series};
use skopos_base::{
    Env,
    fs::{OpenMode, append_all, read_all},
    sim::SimWorld,
};
use skopos_model::{Labels, TimestampMs};
use skopos_tsdb::{Db, Options, WalCompression};
use std::path::{Path, PathBuf};

pub(crate) const PAGE: usize = 32 << 10;

pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 4 * PAGE as u64,
        wal_compression: WalCompression::None,
        snapshot_on_shutdown: false,
        ..Options::default()
    }
}

/// A batch of about a sixth of a page: old series, and a new one.
fn batch(b: i64) -> Vec<(Labels, i64, f64)> {
    let own = (series(10_000 + b as usize), 1000 * b, 0.5);
    (0..500).map(|i| (series(i), 1000 * b, b as f64 + i as f64 / 1000.0)).chain([own]).collect()
}

pub(crate) fn wal_path(index: usize) -> PathBuf {
    Path::new(DIR).join("wal").join(format!("{index:08}"))
}

/// Writes other bytes in the place of a file's, as a disk would.
pub(crate) fn change(env: &Env, path: &Path, change: impl FnOnce(&mut [u8])) {
    let mut bytes = read_all(&*env.fs, path).expect("it is there");
    change(&mut bytes);
    let mut file = env.fs.open(path, OpenMode::Append).expect("it is there");
    file.truncate(0).expect("the disk is sound");
    append_all(&mut *file, &bytes).expect("the disk is sound");
    file.sync().expect("the disk is sound");
}

/// Which batches are there; panics over a part of one.
fn batches_in(found: &Dump, all: i64) -> Vec<i64> {
    let whole = |b: &i64| {
        let batch = batch(*b);
        let has = |(l, t, v): &&(Labels, i64, f64)| {
            found
                .get(l)
                .is_some_and(|s| s.binary_search_by_key(t, |(t, _)| *t).is_ok_and(|i| s[i].1 == v.to_bits()))
        };
        let there = batch.iter().filter(has).count();
        assert!(there == 0 || there == batch.len(), "{there} samples of batch {b}");
        there > 0
    };
    (0..all).filter(whole).collect()
}

fn write_some(db: &Db, from: i64, to: i64) {
    (from..to).for_each(|b| assert_eq!(commit(db, &batch(b)).expect("the disk is sound").samples, 501));
}

#[test]
fn a_running_database_takes_what_damage_took_from_its_log_from_memory() {
    for damage in ["names", "samples", "all"] {
        let world = SimWorld::new(1);
        let fs = world.fs().clone();
        let expected = world.run(|env| {
            let db = open(env, options());
            write_some(&db, 0, 60);
            db.sync().expect("the disk is sound");
            change(env, &wal_path(0), |bytes| match damage {
                "names" => bytes[200..203].fill(0xFF),
                "samples" => bytes[2 * PAGE + 200] ^= 1,
                _ => bytes.fill(0xFF),
            });
            for b in 60..64 {
                write_some(&db, b, b + 1);
                db.truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
            }
            assert!(db.stats().wal_corruptions_total > 0, "{damage}: it is counted");
            dump(env, &db)
        });
        SimWorld::with_fs(2, fs.process_crash()).run(|env| {
            let db = open(env, options());
            assert_eq!(db.stats().wal_corruptions_total, 0, "{damage}: it is gone");
            let found = dump(env, &db);
            assert_eq!(batches_in(&found, 64).len(), 64, "{damage}");
            assert!(found == expected, "{damage}");
        });
    }
}
