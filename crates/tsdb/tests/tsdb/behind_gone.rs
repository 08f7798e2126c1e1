//! A write-behind log that somebody took away: the next start finds all late samples in the WAL and in chunks
//! on disk, and writes the log anew, so that nothing depends on those chunks once the WAL is shorter.

use crate::common::{DIR, Dump, commit, dump, labels, open, series};
use skopos_base::{
    Env,
    fs::Fs,
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

/// Nor that of a full disk: the next start, or the one after it, finds all.
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
        opened += usize::from(db.is_ok());
        drop(db);
        assert_eq!(dump(env, &open(env, options())), expected, "the next start");
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
