//! A write-behind log that somebody took away: the next start finds all late samples in the WAL and in chunks
//! on disk, and writes the log anew, so that nothing depends on those chunks once the WAL is shorter.

use crate::{
    common::{DIR, Dump, commit, dump, labels, open, series},
    snapshot::read_wal,
};
use skopos_base::{
    Env,
    fs::{Fs, OpenMode, append_all},
    sim::{SimFs, SimWorld, failing::every_call},
};
use skopos_model::{DurationMs, TimestampMs};
use skopos_tsdb::{Db, Options};
use std::{path::Path, time::Duration};

/// Of each series: enough for closed chunks, and some beyond them.
const LATE: i64 = 100;
/// What comes in order is behind this time, what comes out of order is before it.
const BETWEEN_MS: i64 = 900_000;

/// How the database ended before the log was taken away.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    /// With a snapshot.
    Closed,
}

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        out_of_order_window: DurationMs::from_secs(6 * 3600),
        maintenance_interval: DurationMs::from_secs(3600),
        ..Options::default()
    }
}

/// As from a start that takes no samples out of order any more.
fn without_window() -> Options {
    Options { out_of_order_window: DurationMs::from_ms(0), ..options() }
}

fn remove(fs: &dyn Fs, name: &str) {
    let dir = Path::new(DIR).join(name);
    assert!(!fs.read_dir(&dir).expect("it is there").is_empty(), "{name}");
    fs.remove_dir_all(&dir).expect("the disk is sound");
}

/// A durable disk without the log, and what its database had.
fn without_log(end: End) -> (SimFs, Dump) {
    let world = SimWorld::new(1);
    let fs = world.fs().clone();
    let (fs, dump) = world.run(|env| {
        let db = open(env, options());
        let all = [labels(&[("late", "too")]), series(0), series(1)];
        let at = |t: i64| all.each_ref().map(|l| (l.clone(), t, t as f64));
        commit(&db, &at(1_000_000)).expect("the disk is sound");
        for k in 0..LATE {
            commit(&db, &at(100_000 + 1000 * (k * 37 % LATE))).expect("the disk is sound");
        }
        // Threads write logs and chunks.
        env.clock.sleep(Duration::from_secs(10));
        let dump = dump(env, &db);
        let killed = fs.process_crash();
        match end {
            End::Killed => (killed, dump),
            End::Closed => {
                db.close().expect("the disk is sound");
                (fs.process_crash(), dump)
            }
        }
    });
    remove(&fs, "wbl");
    fs.settle();
    assert_eq!(dump.values().map(Vec::len).sum::<usize>() as i64, 3 * (1 + LATE));
    (fs, dump)
}

#[test]
fn a_log_that_is_gone_is_written_anew_before_the_wal_is_shorter() {
    for end in [End::Killed, End::Closed] {
        let (fs, expected) = without_log(end);
        SimWorld::with_fs(2, fs.clone()).run(|env| {
            let db = open(env, options());
            assert_eq!(dump(env, &db), expected, "{end:?}: without the log");
            assert!(
                db.steps().truncate_wal(TimestampMs::new(BETWEEN_MS)).expect("the disk is sound").is_some()
            );
        });
        for gone in ["wbl", "chunks_head"] {
            let fs = fs.process_crash();
            remove(&fs, gone);
            let found = SimWorld::with_fs(3, fs).run(|env| dump(env, &open(env, options())));
            // In memory there are those of the last chunk of each series; a chunk has 32.
            match gone {
                "chunks_head" => assert_eq!(found, expected, "{end:?}: without chunks"),
                _ => assert!(found.values().all(|s| s.len() as i64 >= LATE / 32 * 32), "{end:?}: {found:?}"),
            }
        }
    }
}

/// Nobody tells a start without a window that there were late samples.
#[test]
fn a_start_without_a_window_finds_what_the_wal_has_without_the_log() {
    for end in [End::Killed, End::Closed] {
        let (fs, expected) = without_log(end);
        SimWorld::with_fs(2, fs.clone()).run(|env| {
            let db = open(env, without_window());
            assert_eq!(dump(env, &db), expected, "{end:?}: without the log");
            assert!(
                db.steps().truncate_wal(TimestampMs::new(BETWEEN_MS)).expect("the disk is sound").is_some()
            );
        });
        let fs = fs.process_crash();
        remove(&fs, "chunks_head");
        let found = SimWorld::with_fs(3, fs).run(|env| dump(env, &open(env, without_window())));
        assert_eq!(found, expected, "{end:?}: without chunks");
    }
}

/// Of a log that somebody else began, as Prometheus does in a directory that has none.
#[test]
fn a_snapshot_is_used_beside_the_log_that_it_was_taken_with_alone() {
    for begun in [&b""[..], b"not a page"] {
        let (fs, expected) = without_log(End::Closed);
        let wbl = Path::new(DIR).join("wbl");
        fs.create_dir_all(&wbl).expect("the disk is sound");
        let mut file = fs.open(&wbl.join("00000000"), OpenMode::CreateNew).expect("the disk is sound");
        append_all(&mut *file, begun).expect("the disk is sound");
        drop(file);
        SimWorld::with_fs(2, fs.process_crash()).run(|env| {
            assert_eq!(dump(env, &open(env, options())), expected, "{} bytes", begun.len());
        });
    }
}

/// A directory of Prometheus has no note that late samples were taken: a log that is there says so.
#[test]
fn a_start_that_finds_a_log_notes_that_there_is_one() {
    let (fs, expected) = without_log(End::Killed);
    let world = SimWorld::with_fs(2, fs.clone());
    world.run(|env| drop(open(env, options())));
    let fs = fs.process_crash();
    fs.remove_file(&Path::new(DIR).join("late_cut.json")).expect("it is there");
    SimWorld::with_fs(3, fs.clone()).run(|env| {
        assert_eq!(dump(env, &open(env, without_window())), expected);
    });
    let fs = fs.process_crash();
    remove(&fs, "wbl");
    let found = SimWorld::with_fs(4, fs).run(|env| dump(env, &open(env, without_window())));
    assert_eq!(found, expected);
}

#[test]
fn a_start_without_late_samples_makes_no_log_and_keeps_its_snapshot() {
    let world = SimWorld::new(1);
    let fs = world.fs().clone();
    let expected = world.run(|env| {
        let db = open(env, without_window());
        for t in 0..50 {
            commit(&db, &[(series(0), 1000 * t, 1.0), (series(1), 1000 * t, 2.0)])
                .expect("the disk is sound");
        }
        let dump = dump(env, &db);
        db.close().expect("the disk is sound");
        dump
    });
    for options in [without_window(), options()] {
        let takes_late = options.out_of_order_window.as_ms() > 0;
        SimWorld::with_fs(2, fs.process_crash()).run(|env| {
            let db = open(env, options);
            assert!(!read_wal(env, &db), "the snapshot is used; a window: {takes_late}");
            assert_eq!(dump(env, &db), expected);
            let wbl = Path::new(DIR).join("wbl");
            assert_eq!(env.fs.exists(&wbl).expect("the disk is sound"), takes_late);
        });
    }
}

/// Nothing but chunks on disk has these samples by then.
#[test]
fn a_log_that_could_not_be_written_anew_is_written_by_the_next_start() {
    let (fs, _) = without_log(End::Killed);
    let wbl = Path::new(DIR).join("wbl");
    let in_the_way = wbl.join("note.txt");
    SimWorld::with_fs(2, fs.clone()).run(|env| {
        let db = open(env, options());
        assert!(db.steps().truncate_wal(TimestampMs::new(BETWEEN_MS)).expect("the disk is sound").is_some());
    });
    let fs = fs.process_crash();
    remove(&fs, "wbl");
    let expected = SimWorld::with_fs(3, fs.clone()).run(|env| {
        env.fs.create_dir_all(&wbl).expect("the disk is sound");
        drop(env.fs.open(&in_the_way, OpenMode::CreateNew).expect("the disk is sound"));
        let db = open(env, options());
        let bytes = |fs: &dyn Fs| fs.read_dir(&wbl).expect("it is there").iter().map(|e| e.len).sum::<u64>();
        assert_eq!(bytes(&*env.fs), 0, "an empty segment, and what is in the way");
        dump(env, &db)
    });
    assert!(expected.values().all(|samples| samples.len() as i64 >= LATE / 32 * 32), "{expected:?}");
    let fs = fs.process_crash();
    fs.remove_file(&in_the_way).expect("it is there");
    SimWorld::with_fs(4, fs.clone()).run(|env| drop(open(env, options())));
    let fs = fs.process_crash();
    remove(&fs, "chunks_head");
    assert_eq!(SimWorld::with_fs(5, fs).run(|env| dump(env, &open(env, options()))), expected);
}

/// A chunk that cannot be read while the log is written anew costs no other chunk its place there.
#[test]
fn of_what_chunks_alone_have_no_failing_read_costs_the_new_log_more_than_one() {
    let (fs, _) = without_log(End::Killed);
    let expected = SimWorld::with_fs(2, fs.clone()).run(|env| {
        let db = open(env, options());
        assert!(db.steps().truncate_wal(TimestampMs::new(BETWEEN_MS)).expect("the disk is sound").is_some());
        dump(env, &db)
    });
    let fs = fs.process_crash();
    remove(&fs, "wbl");
    let of_chunks = |dump: &Dump| dump.values().map(|s| s.len() as i64).collect::<Vec<_>>();
    let whole = expected.values().map(|_| LATE / 32 * 32 + 1).collect::<Vec<_>>();
    let mut complete = 0;
    every_call(&fs, |env, fault| {
        fault.arm();
        let opened = Db::open(Path::new(DIR), options(), env).is_ok();
        fault.disarm();
        if opened {
            // Where nothing was written, this start writes it.
            drop(open(env, options()));
            remove(&*env.fs, "chunks_head");
            let found = of_chunks(&dump(env, &open(env, options())));
            let missing: Vec<i64> = whole.iter().zip(&found).map(|(whole, found)| whole - found).collect();
            let one = missing.iter().filter(|missing| **missing > 0).count() <= 1;
            assert!(one && missing.iter().all(|missing| *missing <= 32), "{found:?}");
            complete += usize::from(found == whole);
        }
    });
    assert!(complete > 20, "{complete}");
}

/// Samples that a chunk and the WAL have, and the log has not: also a log that goes on gets them.
#[test]
fn what_the_log_lacks_of_the_wal_goes_there_before_the_wal_is_shorter() {
    let (fs, expected) = without_log(End::Killed);
    let in_the_way = Path::new(DIR).join("wbl/note.txt");
    SimWorld::with_fs(2, fs.clone()).run(|env| {
        env.fs.create_dir_all(&Path::new(DIR).join("wbl")).expect("the disk is sound");
        drop(env.fs.open(&in_the_way, OpenMode::CreateNew).expect("the disk is sound"));
        let db = open(env, options());
        assert!(db.steps().truncate_wal(TimestampMs::new(BETWEEN_MS)).expect("the disk is sound").is_some());
    });
    let fs = fs.process_crash();
    remove(&fs, "chunks_head");
    assert_eq!(SimWorld::with_fs(3, fs).run(|env| dump(env, &open(env, options()))), expected);
}

#[test]
fn a_file_in_the_place_of_the_unfinished_log_hinders_no_start() {
    let (fs, expected) = without_log(End::Killed);
    SimWorld::with_fs(2, fs).run(|env| {
        let path = Path::new(DIR).join("wbl.tmp");
        drop(env.fs.open(&path, OpenMode::CreateNew).expect("the disk is sound"));
        assert_eq!(dump(env, &open(env, options())), expected);
        assert!(!env.fs.exists(&path).expect("the disk is sound"));
    });
}

/// Nor that of a full disk: the next start finds all, also when the chunks on disk are gone.
#[test]
fn no_failing_call_of_the_start_that_writes_the_log_anew_costs_a_sample() {
    let (fs, expected) = without_log(End::Killed);
    let (mut opened, mut refused) = (0, 0);
    every_call(&fs, |env, fault| {
        fault.arm();
        let db = Db::open(Path::new(DIR), options(), env);
        fault.disarm();
        match &db {
            Ok(db) => assert_eq!(dump(env, db), expected),
            Err(_) => refused += 1,
        }
        let mut shortened = false;
        if let Ok(db) = db {
            opened += 1;
            shortened = db.steps().truncate_wal(TimestampMs::new(BETWEEN_MS)).is_ok();
        }
        assert_eq!(dump(env, &open(env, options())), expected, "the next start");
        if shortened {
            remove(&*env.fs, "chunks_head");
            assert_eq!(dump(env, &open(env, options())), expected, "without chunks");
        }
    });
    assert!(opened > 20 && refused > 20, "{opened} starts, {refused} refused");
}

mod crash {
    use super::*;
    use skopos_base::sim::crash::{CrashMode, CrashTest};

    #[derive(Debug, Default)]
    struct Promised {
        /// The WAL has no late sample any more.
        shortened: bool,
    }

    fn start(env: &Env, promised: &mut Promised) -> Result<(), Box<dyn std::error::Error>> {
        let db = Db::open(Path::new(DIR), options(), env)?;
        db.steps().truncate_wal(TimestampMs::new(BETWEEN_MS))?;
        promised.shortened = true;
        Ok(())
    }

    #[test]
    fn no_crash_of_the_start_that_writes_the_log_anew_costs_a_sample() {
        for end in [End::Killed, End::Closed] {
            let (fs, expected) = without_log(end);
            for (mode, states) in [(CrashMode::ProcessKill, 1), (CrashMode::PowerLoss, 2)] {
                let test = CrashTest::new(mode).seed(2).start(&fs).states_per_point(states);
                let done = test.run(start, |env, promised| {
                    if promised.shortened {
                        remove(&*env.fs, "chunks_head");
                    }
                    for nth in 0..2 {
                        let db = open(env, options());
                        assert_eq!(dump(env, &db), expected, "start {nth}");
                        db.close().expect("the disk is sound");
                    }
                    assert!(!env.fs.exists(&Path::new(DIR).join("wbl.tmp")).expect("the disk is sound"));
                });
                assert!(done.states > 20, "{end:?}, {mode:?}: {done:?}");
            }
        }
    }
}
