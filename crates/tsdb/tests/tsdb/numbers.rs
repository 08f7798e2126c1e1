//! Numbers of series: what a chunk file or a log has under one is never taken for another series', whatever
//! of the data directory was lost.

use crate::common::{DIR, Dump, commit, dump, labels, open, series};
use skopos_base::{
    Env,
    fs::{OpenMode, append_all, read_all},
    sim::{SimFs, SimWorld},
};
use skopos_model::{DurationMs, Labels};
use skopos_tsdb::{Db, Options, WalCompression, tool::verify::verify};
use std::path::Path;

const BLOCK_MS: i64 = 100_000;

fn options() -> Options {
    Options {
        min_block_duration: DurationMs::from_ms(BLOCK_MS),
        max_block_duration: DurationMs::from_ms(BLOCK_MS),
        out_of_order_window: DurationMs::from_ms(10 * BLOCK_MS),
        segment_bytes: 64 << 10,
        wal_compression: WalCompression::None,
        // Tests drive the maintenance themselves.
        maintenance_interval: DurationMs::from_secs(36_000),
        ..Options::default()
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    Killed,
}

/// Opens the database, does something, and ends; the disk as it is then.
fn live(fs: &SimFs, end: End, life: impl FnOnce(&Env, &Db)) -> SimFs {
    let world = SimWorld::with_fs(3, fs.process_crash());
    let fs = world.fs().clone();
    world.run(|env| {
        let db = open(env, options());
        life(env, &db);
        match end {
            End::Closed => {
                db.close().expect("the disk is sound");
                fs.process_crash()
            }
            End::Killed => fs.process_crash(),
        }
    })
}

fn remove_dirs(fs: &SimFs, is_lost: impl Fn(&str) -> bool) -> SimFs {
    let world = SimWorld::with_fs(3, fs.process_crash());
    let fs = world.fs().clone();
    world.run(|env| {
        let dir = Path::new(DIR);
        let entries = env.fs.read_dir(dir).expect("it is there");
        for entry in entries.iter().filter(|e| e.is_dir && is_lost(&e.name)) {
            env.fs.remove_dir_all(&dir.join(&entry.name)).expect("it is there");
        }
    });
    fs.process_crash()
}

/// Five series, in order and out of it, of some hundred samples each.
fn write_old(db: &Db) {
    for t in 0..300 {
        let batch: Vec<_> = (0..5).map(|i| (series(i), 1000 * t, (t * 10) as f64 + i as f64)).collect();
        commit(db, &batch).expect("the disk is sound");
    }
    for t in 0..70 {
        let batch: Vec<_> = (0..5).map(|i| (series(i), 1000 * t + 500, 0.25)).collect();
        commit(db, &batch).expect("the disk is sound");
    }
    db.sync().expect("the disk is sound");
}

/// Other series, behind those.
fn write_new(db: &Db, from: i64) {
    for t in from..from + 5 {
        let batch: Vec<_> = (100..110).map(|i| (series(i), 1000 * t, t as f64)).collect();
        commit(db, &batch).expect("the disk is sound");
    }
    db.sync().expect("the disk is sound");
}

fn expected(until: i64) -> Dump {
    let samples: Vec<_> = (1000..until).map(|t| (1000 * t, (t as f64).to_bits())).collect();
    (100..110).map(|i| (series(i), samples.clone())).collect()
}

#[test]
fn chunks_whose_log_was_lost_become_no_other_series() {
    for end in [End::Closed, End::Killed] {
        let old = live(&SimFs::new(1), end, |_, db| write_old(db));
        for log_behind_too in [false, true] {
            let mut fs = remove_dirs(&old, |name| {
                name.starts_with("wal")
                    || name.starts_with("chunk_snapshot.")
                    || log_behind_too && name == "wbl"
            });
            for from in [1000, 1005] {
                fs = live(&fs, end, |env, db| {
                    // Of each some in order, and two of those that came late.
                    assert_eq!(db.stats().head_chunks_unnamed, 5 * 4, "{end:?}");
                    write_new(db, from);
                    assert_eq!(dump(env, db), expected(from + 5), "{end:?}, wbl {log_behind_too}");
                });
            }
            for _ in 0..2 {
                fs = live(&fs, end, |env, db| {
                    assert_eq!(dump(env, db), expected(1010), "{end:?}, wbl {log_behind_too}: later");
                });
            }
        }
    }
}

#[test]
fn chunks_whose_log_was_lost_are_said_counted_and_verified() {
    let old = live(&SimFs::new(1), End::Closed, |_, db| write_old(db));
    let whole = live(&old, End::Closed, |env, db| {
        assert_eq!(db.stats().head_chunks_unnamed, 0);
        assert_eq!(verify(&*env.fs, Path::new(DIR)).expect("it is there").findings, []);
    });
    let lost = remove_dirs(&whole, |name| name.starts_with("wal") || name.starts_with("chunk_snapshot."));
    SimWorld::with_fs(4, lost).run(|env| {
        let said = "20 chunks with ";
        let verified = verify(&*env.fs, Path::new(DIR)).expect("it is there");
        assert!(verified.is_damaged());
        assert!(verified.findings.iter().any(|f| f.reason.starts_with(said)), "{:?}", verified.findings);
        let log = crate::damage::logged(|| {
            let db = open(env, options());
            assert_eq!(db.stats().head_chunks_unnamed, 20);
        });
        assert!(log.contains(said) && log.contains("belong to 5 series"), "{log}");
    });
}

/// The write-behind log alone has samples of the highest numbers, and stays for those of another series.
#[test]
fn samples_of_a_write_behind_log_whose_series_nobody_names_become_no_other_series() {
    let of = |count: usize| {
        live(&SimFs::new(1), End::Killed, |_, db| {
            for t in (0..10).map(|t| 60_000 - 1000 * t) {
                let batch: Vec<_> = (0..count).map(|i| (series(i), t, 2.0)).collect();
                commit(db, &batch).expect("the disk is sound");
            }
            db.sync().expect("the disk is sound");
        })
    };
    let wbl = |name: &str| Path::new(DIR).join("wbl").join(name);
    let other = SimWorld::with_fs(2, of(5)).run(|env| read_all(&*env.fs, &wbl("00000000")));
    let fs = of(1);
    SimWorld::with_fs(2, fs.clone()).run(|env| {
        let mut file = env.fs.open(&wbl("00000001"), OpenMode::CreateNew).expect("it is new");
        append_all(&mut *file, &other.expect("it is there")).expect("the disk is sound");
    });
    let mut all = Dump::new();
    let new = live(&fs, End::Killed, |env, db| {
        write_new(db, 1000);
        all = dump(env, db);
    });
    assert_eq!(all.len(), 11);
    live(&new, End::Killed, |env, db| assert_eq!(dump(env, db), all));
}

/// One series comes last, is short-lived, and is in blocks alone in the end; its chunks stand in a file with
/// those of others.
#[test]
fn the_number_of_a_series_that_blocks_alone_have_is_not_given_again_while_chunk_files_have_it() {
    let short_lived = labels(&[("__name__", "short")]);
    let write = |db: &Db, steps: std::ops::Range<i64>| {
        for ms in steps.map(|step| 250 * step) {
            let mut batch: Vec<_> = (0..50).map(|i| (series(i), ms, ms as f64)).collect();
            if (10_000..45_000).contains(&ms) {
                batch.push((short_lived.clone(), ms, 0.5));
            }
            if (20_000..40_000).contains(&ms) {
                batch.push((short_lived.clone(), ms - 9_900, 0.75));
            }
            commit(db, &batch).expect("the disk is sound");
        }
        db.sync().expect("the disk is sound");
    };
    let fs = live(&SimFs::new(1), End::Killed, |env, db| {
        write(db, 0..590);
        assert_eq!(db.compact_out_of_order().expect("the disk is sound").out_of_order, 1);
        write(db, 590..608);
        let done = db.maintain().expect("the disk is sound");
        assert_eq!((done.truncated, done.checkpoints), (1, 1));
        assert_eq!(db.stats().series, 50, "the short-lived one has gone");
        assert!(env.fs.exists(&Path::new(DIR).join("chunks_head/000001")).expect("the disk is sound"));
    });
    let new = |i: usize| Labels::from_pairs([("__name__", "new"), ("i", &i.to_string())]);
    let mut before = Dump::new();
    let fs = live(&fs, End::Killed, |env, db| {
        assert_eq!(db.stats().head_chunks_unnamed, 0, "what blocks have is not missed");
        let batch: Vec<_> = (0..5).map(|i| (new(i), 151_000, 0.125)).collect();
        commit(db, &batch).expect("the disk is sound");
        db.sync().expect("the disk is sound");
        before = dump(env, db);
    });
    live(&fs, End::Killed, |env, db| {
        let found = dump(env, db);
        for i in 0..5 {
            assert_eq!(found[&new(i)], [(151_000, 0.125f64.to_bits())]);
        }
        assert!(found == before);
        let verified = verify(&*env.fs, Path::new(DIR)).expect("it is there");
        assert_eq!(verified.findings, [], "what blocks have is not missed");
    });
}
