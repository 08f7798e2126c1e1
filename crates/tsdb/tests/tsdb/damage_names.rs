//! Damage to what names series in the log: it costs what stands in the damaged page, never samples of other
//! pages and segments; and a running database does not hand it on to a checkpoint.

use crate::common::{DIR, Dump, commit, dump, labels, open, series};
use skopos_base::{
    Env,
    fs::{OpenMode, append_all, read_all},
    sim::{SimFs, SimWorld},
};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_tsdb::{Db, Options, WalCompression, tool::verify::verify};
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
                db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
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

/// Lives of so many batches, each with a segment of its own.
const BATCHES: i64 = 20;

fn live(env: &Env, lives: std::ops::Range<i64>) {
    for life in lives {
        let db = open(env, Options { segment_bytes: 128 << 20, ..options() });
        write_some(&db, life * BATCHES, (life + 1) * BATCHES);
        db.close().expect("the disk is sound");
    }
}

/// A disk after three lives.
fn three_segments() -> SimFs {
    let world = SimWorld::new(1);
    let fs = world.fs().clone();
    world.run(|env| live(env, 0..3));
    fs
}

fn names_of(env: &Env) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join("wal_names");
    let mut files = Vec::new();
    for entry in env.fs.read_dir(&dir).expect("it is there") {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            files.extend(env.fs.read_dir(&path).expect("it is there").iter().map(|e| path.join(&e.name)));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_damaged_page_costs_what_touches_it_and_no_other_page_or_segment() {
    let fs = three_segments();
    let len = SimWorld::with_fs(1, fs.process_crash())
        .run(|env| read_all(&*env.fs, &wal_path(0)).expect("it is there").len());
    assert!(len > 3 * PAGE, "{len}");
    for at in [0, 9, 200, PAGE + 5, 2 * PAGE + 7000, len - 20] {
        SimWorld::with_fs(2, fs.process_crash()).run(|env| {
            change(env, &wal_path(0), |bytes| bytes[at] ^= 0x10);
            let check = |db: &Db, all| {
                let found = batches_in(&dump(env, db), all);
                let lost: Vec<i64> = (0..all).filter(|b| !found.contains(b)).collect();
                // A record takes about a sixth of a page; the names of the first one take a little more.
                assert!(
                    lost.len() <= 8 && lost.is_sorted_by(|a, b| a + 1 == *b),
                    "byte {at}: {lost:?} are lost"
                );
                assert!(lost.iter().all(|b| *b < BATCHES), "byte {at}: {lost:?} of later segments are lost");
                lost
            };
            let db = open(env, options());
            let lost = check(&db, 3 * BATCHES);
            assert!(db.stats().wal_corruptions_total > 0, "byte {at}");
            assert_eq!(db.stats().replay_unknown_series, 0, "byte {at}");
            write_some(&db, 3 * BATCHES, 3 * BATCHES + 5);
            drop(db);
            assert_eq!(check(&open(env, options()), 3 * BATCHES + 5), lost, "byte {at}: once more");
        });
    }
}

#[test]
fn damage_to_the_log_and_to_the_copy_of_its_names_is_counted_and_said() {
    SimWorld::with_fs(2, three_segments().process_crash()).run(|env| {
        change(env, &wal_path(0), |bytes| bytes[200] ^= 1);
        names_of(env).iter().for_each(|path| change(env, path, |bytes| bytes.fill(0xFF)));
        let log = crate::damage::logged(|| {
            let db = open(env, options());
            assert!(db.stats().replay_unknown_series > 0);
            assert!(db.stats().wal_corruptions_total > 2);
            drop(db);
        });
        assert!(log.contains("the copy of the series' names is damaged here"), "{log}");
        assert!(log.contains("neither the WAL nor the copy beside it names"), "{log}");
    });
}

/// Damage to the names alone costs nothing, and the next start writes them anew.
#[test]
fn damage_to_the_copy_of_names_costs_nothing() {
    SimWorld::with_fs(2, three_segments().process_crash()).run(|env| {
        names_of(env).iter().for_each(|path| change(env, path, |bytes| bytes.fill(0xFF)));
        let db = open(env, options());
        assert_eq!(db.stats().wal_corruptions_total, 0, "they are not read");
        assert_eq!(batches_in(&dump(env, &db), 60).len(), 60);
        drop(db);
        change(env, &wal_path(0), |bytes| bytes[200] ^= 1);
        let found = batches_in(&dump(env, &open(env, options())), 60);
        assert!((BATCHES..60).all(|b| found.contains(&b)), "{found:?}");
    });
}

/// Another program may have given a number that is named here to another series.
#[test]
fn names_are_not_believed_when_another_program_wrote_to_the_log() {
    SimWorld::with_fs(2, three_segments().process_crash()).run(|env| {
        let foreign = read_all(&*env.fs, &wal_path(2)).expect("it is there");
        let mut file = env.fs.open(&wal_path(3), OpenMode::CreateNew).expect("it is new");
        append_all(&mut *file, &foreign).expect("the disk is sound");
        change(env, &wal_path(0), |bytes| bytes[200] ^= 1);
        let db = open(env, options());
        assert!(db.stats().replay_unknown_series > 0, "what has no name is counted");
        drop(db);
    });
}

/// A series that is gone is no longer named, while the newer part of the log still has samples of it: they
/// are in blocks, and nobody says anything. Prometheus leaves the same.
#[test]
fn unnamed_samples_that_are_in_blocks_are_no_damage() {
    SimWorld::new(1).run(|env| {
        let options = || Options { max_future: DurationMs::from_secs(100_000), ..options() };
        let db = open(env, options());
        for b in 0..60 {
            let t = 60_000 * b;
            commit(&db, &(0..500).map(|i| (series(i), t, b as f64)).collect::<Vec<_>>()).unwrap();
        }
        commit(&db, &[(series(1000), 4 * 3_600_000, 1.0)]).unwrap();
        let done = db.maintain().expect("the disk is sound");
        assert_eq!((done.cut, done.checkpoints), (1, 1));
        let expected = dump(env, &db);
        assert_eq!(db.stats().series, 1, "the others are gone");
        drop(db);
        let verified = verify(&*env.fs, Path::new(DIR)).expect("it can be listed");
        assert_eq!(verified.findings, [], "nothing is damaged");
        let log = crate::damage::logged(|| {
            let db = open(env, options());
            let stats = db.stats();
            assert_eq!((stats.replay_unknown_series, stats.wal_corruptions_total), (0, 0));
            assert_eq!(dump(env, &db), expected);
        });
        assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    });
}

/// `verify` says what a start will lose for want of names, and no more.
#[test]
fn verify_counts_samples_that_nobody_names() {
    SimWorld::with_fs(2, three_segments().process_crash()).run(|env| {
        let unnamed = |env: &Env| {
            let verified = verify(&*env.fs, Path::new(DIR)).expect("it can be listed");
            assert!(verified.is_damaged());
            verified.findings.iter().any(|f| f.to_string().contains("neither the WAL nor the copy"))
        };
        change(env, &wal_path(0), |bytes| bytes[200] ^= 1);
        assert!(!unnamed(env), "the copy names them");
        names_of(env).iter().for_each(|path| change(env, path, |bytes| bytes.fill(0xFF)));
        assert!(unnamed(env));
    });
}

mod crash {
    use super::*;
    use skopos_base::sim::crash::{CrashMode, CrashTest};

    /// What a life was promised: in which of its parts it is, and up to which batch all is committed and
    /// durable.
    #[derive(Debug, Default)]
    struct Promised {
        committed: i64,
        durable: i64,
    }

    /// In each part of the life, which has a segment of its own.
    const PART: i64 = 3;

    fn small_batch(b: i64) -> Vec<(Labels, i64, f64)> {
        (0..3)
            .map(|i| (series(i), 1000 * b, b as f64))
            .chain([(series(100 + b as usize), 1000 * b, 0.5)])
            .collect()
    }

    fn parts(env: &Env, promised: &mut Promised) -> Result<(), Box<dyn std::error::Error>> {
        for part in 0..4 {
            let db = Db::open(Path::new(DIR), options(), env)?;
            for b in part * PART..(part + 1) * PART {
                commit(&db, &small_batch(b))?;
                promised.committed = b + 1;
            }
            if part == 2 {
                db.steps().truncate_wal(TimestampMs::new(0))?;
            }
            db.close()?;
            promised.durable = promised.committed;
        }
        Ok(())
    }

    /// A crash, and a damaged page on top of it: the page alone is lost.
    fn crash_and_damage(mode: CrashMode, states: usize) {
        let done = CrashTest::new(mode).states_per_point(states).run(parts, |env, promised: &Promised| {
            let sure = if mode == CrashMode::PowerLoss { promised.durable } else { promised.committed };
            // The first segment, which names the series of all; its batches are in one page.
            let checkpoint = Path::new(DIR).join("wal").join("checkpoint.00000001").join("00000000");
            let first = (0..4).map(wal_path).find(|p| env.fs.exists(p).is_ok_and(|there| there));
            let has_checkpoint = env.fs.exists(&checkpoint).expect("it can be asked");
            let (path, lost) = match first {
                _ if has_checkpoint => (checkpoint, 0..2 * PART),
                Some(path) => (path, 0..PART),
                None => return,
            };
            let bytes = env.fs.open(&path, OpenMode::Read).and_then(|f| f.len()).expect("it can be asked");
            if bytes < 10 {
                return;
            }
            change(env, &path, |bytes| bytes[9] ^= 1);
            for start in 0..2 {
                let found = dump(env, &open(env, options()));
                for (l, t, v) in (0..sure).filter(|b| !lost.contains(b)).flat_map(small_batch) {
                    let there = found.get(&l).is_some_and(|s| s.contains(&(t, v.to_bits())));
                    assert!(
                        there,
                        "start {start}: {l} at {t} is gone behind damage to {}: {promised:?}",
                        path.display()
                    );
                }
            }
        });
        assert!(done.states > 100, "{done:?}");
    }

    #[test]
    fn a_killed_process_and_a_damaged_page_cost_that_page() {
        crash_and_damage(CrashMode::ProcessKill, 1);
    }

    #[test]
    fn a_loss_of_power_and_a_damaged_page_cost_that_page() {
        crash_and_damage(CrashMode::PowerLoss, 3);
    }
}

/// The last record of a segment stands right behind damage, which took the name of one of its series: the
/// next segment tells that it is no part of a group, and then it is as half as it was before.
#[test]
fn a_batch_right_behind_damage_is_no_more_there_at_the_second_start_than_at_the_first() {
    SimWorld::new(1).run(|env| {
        let own = |b: usize| labels(&[("own", &format!("{b}{}", "x".repeat(PAGE / 6)))]);
        let put = |db: &Db, b: usize| {
            let samples = [(series(0), b as i64, 0.5), (series(1), b as i64, 0.5), (own(b), b as i64, 0.5)];
            commit(db, &samples).expect("the disk is sound");
        };
        let names = Path::new(DIR).join("wal_names").join("00000000");
        let db = open(env, options());
        (0..5).for_each(|b| put(&db, b));
        db.sync().expect("the disk is sound");
        let known = read_all(&*env.fs, &names).expect("it is there").len();
        // Its name reaches into the second page, where its samples are.
        put(&db, 5);
        drop(db);
        assert!(read_all(&*env.fs, &wal_path(0)).expect("it is there").len() > PAGE);
        change(env, &wal_path(0), |bytes| bytes[200] ^= 1);
        change(env, &names, |bytes| bytes[known..].fill(0));
        for start in 0..4 {
            let db = open(env, options());
            let found = dump(env, &db);
            let times: Vec<_> = found.values().flatten().map(|(t, _)| *t).collect();
            assert!(!times.contains(&5), "start {start}: {times:?}");
            assert_eq!(db.stats().replay_unknown_series, 3, "start {start}");
            if start == 2 {
                db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
                break;
            }
        }
        let found = dump(env, &open(env, options()));
        assert!(found.values().flatten().all(|(t, _)| *t != 5), "behind a checkpoint");
    });
}
