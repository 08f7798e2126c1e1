//! Crashes while samples out of order come in, go to the write-behind log and to chunks on disk, while the
//! WAL is shortened and while they become blocks: every state is opened. A batch is there whole or not at
//! all.

use crate::common::{DIR, Dump, commit, dump, labels, open, series};
use skopos_base::{
    Env,
    sim::{
        SimFs, SimWorld,
        crash::{CrashMode, CrashTest},
        effort,
        failing::every_call,
    },
};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_tsdb::{Db, Options};
use std::path::Path;

pub(crate) const BATCHES: usize = 9;
const LATE_PER_BATCH: usize = 8;
/// What comes in order is behind this time, what comes out of order is before it.
pub(crate) const BETWEEN_MS: i64 = 900_000;

pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        out_of_order_window: DurationMs::from_secs(6 * 3600),
        maintenance_interval: DurationMs::from_secs(3600),
        ..Options::default()
    }
}

fn late() -> Labels {
    labels(&[("__name__", "late")])
}

/// Batch `b`: some samples in order, and more out of order than every fourth batch finds room for.
fn batch(b: usize) -> Vec<(Labels, i64, f64)> {
    let t = 1_000_000 + 1000 * b as i64;
    let in_order = [late(), series(0), series(1)].map(|l| (l, t, b as f64));
    let times = (0..LATE_PER_BATCH).map(|k| 100_000 + 1000 * ((k * 37 + b * 11) % 100) as i64 + b as i64);
    in_order.into_iter().chain(times.map(|t| (late(), t, b as f64))).collect()
}

/// Which batches the dump has; panics when it has a part of one.
pub(crate) fn batches_in(dump: &Dump) -> Vec<usize> {
    let has = |(l, t, v): &&(Labels, i64, f64)| dump.get(l).is_some_and(|s| s.contains(&(*t, v.to_bits())));
    let mut found = Vec::new();
    for b in 0..BATCHES {
        let batch = batch(b);
        let there = batch.iter().filter(has).count();
        assert!(there == 0 || there == batch.len(), "batch {b}: {there} of {} samples", batch.len());
        found.extend((there > 0).then_some(b));
    }
    let samples = dump.values().map(Vec::len).sum::<usize>();
    assert_eq!(samples, found.len() * (3 + LATE_PER_BATCH), "there are samples that nobody wrote");
    found
}

#[derive(Debug, Default)]
pub(crate) struct Promised {
    pub(crate) committed: usize,
    pub(crate) durable: usize,
}

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

pub(crate) fn commit_batches(db: &Db, promised: &mut Promised, until: usize) -> Outcome {
    while promised.committed < until {
        commit(db, &batch(promised.committed))?;
        promised.committed += 1;
    }
    Ok(())
}

fn scenario(env: &Env, promised: &mut Promised) -> Outcome {
    let db = Db::open(Path::new(DIR), options(), env)?;
    commit_batches(&db, promised, 2)?;
    db.sync()?;
    promised.durable = 2;
    commit_batches(&db, promised, 6)?;
    // The WAL has no late sample of before any more.
    db.steps().truncate_wal(TimestampMs::new(BETWEEN_MS))?;
    promised.durable = 6;
    commit_batches(&db, promised, 7)?;
    db.compact_out_of_order()?;
    commit_batches(&db, promised, BATCHES)?;
    db.close()?;
    promised.durable = BATCHES;
    Ok(())
}

fn check(env: &Env, promised: &Promised, mode: CrashMode) {
    let db = open(env, options());
    let there = batches_in(&dump(env, &db));
    let sure = if mode == CrashMode::PowerLoss { promised.durable } else { promised.committed };
    assert!(there.starts_with(&(0..sure).collect::<Vec<_>>()), "{there:?} {promised:?}");
    assert!(there.len() <= promised.committed + 1, "{there:?}");
    db.close().expect("the disk is sound");
    let db = open(env, options());
    assert_eq!(batches_in(&dump(env, &db)), there, "opening twice finds the same");
    db.compact_out_of_order().expect("the disk is sound");
    assert_eq!(batches_in(&dump(env, &db)), there, "and so do blocks");
}

#[test]
fn a_killed_process_leaves_all_that_was_committed() {
    let enumerated = CrashTest::new(CrashMode::ProcessKill)
        .states_per_point(2)
        .run(scenario_of, |env, promised| check(env, promised, CrashMode::ProcessKill));
    assert!(enumerated.states > 120, "{enumerated:?}");
}

#[test]
fn a_loss_of_power_leaves_whole_batches_and_all_that_was_synchronised() {
    let enumerated = CrashTest::new(CrashMode::PowerLoss)
        .states_per_point(3)
        .run(scenario_of, |env, promised| check(env, promised, CrashMode::PowerLoss));
    assert!(enumerated.states > 240, "{enumerated:?}");
}

fn scenario_of(env: &Env, promised: &mut Promised) -> Outcome {
    scenario(env, promised)
}

/// What a commit says is true, for the process' life and after it; what was synchronised survives the power.
#[test]
fn failures_of_any_call_cost_no_sample_that_was_committed() {
    let mut reached = 0;
    let failed = every_call(&SimFs::new(7), |env, fault| {
        let (mut accepted, mut durable, mut failed) = (Vec::new(), 0, false);
        let db = open(env, options());
        fault.arm();
        for b in 0..BATCHES {
            match commit(&db, &batch(b)) {
                Ok(_) => accepted.push(b),
                Err(_) => failed = true,
            }
            let synced = match b {
                2 | 7 => db.sync().is_ok(),
                4 => db.steps().truncate_wal(TimestampMs::new(BETWEEN_MS)).is_ok(),
                6 => db.compact_out_of_order().is_ok(),
                _ => continue,
            };
            failed |= !synced;
            if synced && matches!(b, 2 | 7) {
                durable = accepted.len();
            }
        }
        fault.disarm();
        reached += usize::from(failed);
        assert_eq!(batches_in(&dump(env, &db)), accepted);
        let found = |state: SimFs| {
            SimWorld::with_fs(9, state).run(|env| batches_in(&dump(env, &open(env, options()))))
        };
        assert_eq!(found(fault.fs().process_crash()), accepted, "killed");
        for state in fault.fs().crash_states(effort::states(1), effort::seed(11)) {
            let there = found(state);
            assert!(accepted[..durable].iter().all(|b| there.contains(b)), "power lost: {there:?}");
            assert!(there.iter().all(|b| accepted.contains(b)), "power lost: {there:?}");
        }
    });
    assert!(failed > 200, "{failed} calls failed");
    assert!(reached > 50, "the failures reached {reached} steps");
}
