//! Crashes while a database is closed with a snapshot and opened from one, with samples out of order in it:
//! every state is opened. A batch is there whole or not at all, whether the start was from a snapshot or from
//! the logs.

use crate::{
    common::{DIR, dump, open},
    crash_out_of_order::{BATCHES, BETWEEN_MS, Outcome, Promised, batches_in, commit_batches, options},
};
use skopos_base::{
    Env,
    sim::{
        SimFs, SimWorld,
        crash::{CrashMode, CrashTest},
        effort,
        failing::every_call,
    },
};
use skopos_model::TimestampMs;
use skopos_tsdb::{Db, Options, snapshot};
use std::path::Path;

/// How the lives of the scenario end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With a snapshot.
    Closed,
    /// Without one: the WAL goes on behind the one before.
    Dropped,
}

/// Up to which batch each life goes, and how it ends.
const LIVES: [(usize, End); 4] =
    [(3, End::Closed), (5, End::Dropped), (7, End::Closed), (BATCHES, End::Closed)];

fn scenario(env: &Env, promised: &mut Promised) -> Outcome {
    for (until, end) in LIVES {
        let db = Db::open(Path::new(DIR), options(), env)?;
        commit_batches(&db, promised, until)?;
        match end {
            End::Closed => db.close()?,
            End::Dropped => {
                db.sync()?;
                drop(db);
            }
        }
        promised.durable = until;
    }
    Ok(())
}

fn check(env: &Env, promised: &Promised, mode: CrashMode) {
    let db = open(env, options());
    let there = batches_in(&dump(env, &db));
    let sure = if mode == CrashMode::PowerLoss { promised.durable } else { promised.committed };
    assert!(there.starts_with(&(0..sure).collect::<Vec<_>>()), "{there:?} {promised:?}");
    assert!(there.len() <= promised.committed + 1, "{there:?}");
    db.close().expect("the disk is sound");
    assert!(has_snapshot(env));
    let db = open(env, options());
    assert_eq!(batches_in(&dump(env, &db)), there, "from the snapshot");
    db.steps().truncate_wal(TimestampMs::new(BETWEEN_MS)).expect("the disk is sound");
    db.close().expect("the disk is sound");
    let db = open(env, Options { snapshot_on_shutdown: false, ..options() });
    assert_eq!(batches_in(&dump(env, &db)), there, "from the logs");
}

fn has_snapshot(env: &Env) -> bool {
    snapshot::newest(&*env.fs, Path::new(DIR)).expect("it can be listed").is_some()
}

fn run(mode: CrashMode, states: usize) {
    let enumerated = CrashTest::new(mode)
        .states_per_point(states)
        .run(scenario, |env, promised| check(env, promised, mode));
    assert!(enumerated.states > 50, "{enumerated:?}");
}

#[test]
fn a_killed_process_leaves_all_that_was_committed() {
    run(CrashMode::ProcessKill, 1);
}

#[test]
fn a_loss_of_power_leaves_whole_batches_and_all_that_was_synchronised() {
    run(CrashMode::PowerLoss, 2);
}

/// No snapshot may stand for what no log has. What a failed closing says of the disk is not asked, but for
/// one that succeeds: the process ends, and nothing is lost.
#[test]
fn failures_of_any_call_while_closing_cost_no_sample() {
    let (mut refused, start) = (0, SimFs::new(7));
    let failed = every_call(&start, |env, fault| {
        let db = open(env, options());
        let mut promised = Promised::default();
        commit_batches(&db, &mut promised, BATCHES).expect("the disk is sound");
        let expected = dump(env, &db);
        fault.arm();
        let closed = db.close();
        fault.disarm();
        refused += usize::from(!has_snapshot(env));
        let found = |state| SimWorld::with_fs(9, state).run(|env| dump(env, &open(env, options())));
        assert_eq!(found(fault.fs().process_crash()), expected, "killed, {closed:?}");
        for state in fault.fs().crash_states(effort::states(2), effort::seed(11)) {
            let found = found(state);
            let there = batches_in(&found);
            assert!(closed.is_err() || there.len() == BATCHES, "power lost, closed: {there:?}");
        }
    });
    assert!(failed > 50, "{failed} calls failed");
    assert!(refused > 15, "{refused} of the snapshots were not taken");
}
