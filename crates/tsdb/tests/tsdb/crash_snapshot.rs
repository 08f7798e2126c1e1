//! Crashes while a database is closed with a snapshot and opened from one, with samples out of order in it:
//! every state is opened. A batch is there whole or not at all, whether the start was from a snapshot or from
//! the logs.

use crate::{
    common::{DIR, budget, commit, dump, labels, matcher, open, range, series},
    content::append_one,
    crash_out_of_order::{BATCHES, BETWEEN_MS, Outcome, Promised, batches_in, commit_batches, options},
    snapshot::{closed_after, options as snapshot_options, put, read_wal, seen},
};
use skopos_base::{
    Env,
    fs::read_all,
    sim::{
        SimFs, SimWorld,
        crash::{CrashMode, CrashTest},
        effort,
        failing::every_call,
    },
};
use skopos_model::{Exemplar, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_testkit::series::{Counts, Histogram, Reset, Value};
use skopos_tsdb::{Db, Options, snapshot};
use std::{collections::BTreeMap, path::Path, sync::Arc};

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

/// As little as has an open chunk, a deletion and an exemplar.
fn live_shortly(db: &Db, env: &Env) {
    commit(db, &[(series(0), 1000, 1.5), (series(1), 1000, 2.5)]).expect("the disk is sound");
    commit(db, &[(series(0), 2000, 0.5)]).expect("the disk is sound");
    let matchers = [matcher("i", "=", "0")];
    assert_eq!(db.delete_series(&matchers, range(0, 1500), &budget(env)).expect("in budget"), 1);
    let labels = labels(&[("trace", "x")]);
    let exemplar = Exemplar { labels, value: 0.5, timestamp: Some(TimestampMs::new(9)) };
    let mut appender = db.appender();
    let (of, at) = (series(1), TimestampMs::new(3000));
    let sample = Append::float(SeriesId::Labels(&of), at, 7.0);
    appender.append(&Append { exemplars: &[exemplar], ..sample }).expect("it is in order");
    appender.commit().expect("the disk is sound");
}

/// The same of native histograms: an open chunk of each kind.
fn live_shortly_with_histograms(db: &Db, _: &Env) {
    let mut appender = db.appender();
    for (i, kind) in kinds().into_iter().enumerate() {
        for (t, more) in [(1000, 0.0), (2000, 3.0)] {
            let value = Value::Histogram(kind(more));
            append_one(&mut *appender, &series(i), t, &value).expect("it is in order");
        }
    }
    appender.commit().expect("the disk is sound");
}

/// Histograms of whole and of float counts, with buckets of a schema and of their own bounds; with so many
/// more observations.
fn kinds() -> [fn(f64) -> Histogram; 4] {
    fn histogram(counts: Counts, custom_bounds: Vec<f64>, more: f64) -> Histogram {
        // A float histogram never equals a whole one.
        let odd = if counts == Counts::Floats { 0.5 } else { 0.0 };
        let positive = BTreeMap::from([(0, 2.0 + odd), (1, 1.0 + more)]);
        let zero_count = if custom_bounds.is_empty() { 1.0 } else { 0.0 };
        Histogram {
            counts,
            schema: if custom_bounds.is_empty() { 2 } else { -53 },
            zero_threshold: if custom_bounds.is_empty() { 0.001 } else { 0.0 },
            zero_count,
            count: positive.values().sum::<f64>() + zero_count,
            sum_bits: (7.5 + more).to_bits(),
            reset: Reset::Unknown,
            positive,
            negative: BTreeMap::new(),
            custom_bounds,
        }
    }
    [
        |more| histogram(Counts::Whole, Vec::new(), more),
        |more| histogram(Counts::Floats, Vec::new(), more),
        |more| histogram(Counts::Whole, vec![0.1, 1.0], more),
        |more| histogram(Counts::Floats, vec![0.1, 1.0], more),
    ]
}

/// The snapshot that a closing leaves, with bits of it flipped and cut at every length: the database is the
/// same. Of each byte so many bits are flipped, other ones with each seed.
fn damage(live: fn(&Db, &Env), series: usize, bits_of_a_byte: usize) {
    let world = SimWorld::new(3);
    world.run(|env| {
        let (expected, path) = closed_after(env, live);
        assert_eq!(expected.dump.len(), series);
        let whole = read_all(&*env.fs, &path).expect("it is there");
        let content = whole.iter().rposition(|b| *b != 0).expect("it is not empty") + 1;
        let mut states = 0;
        let mut check = |bytes: &[u8], what: &str| {
            let env = Env { fs: Arc::new(world.fs().process_crash()), ..env.clone() };
            put(&*env.fs, &path, bytes);
            let db = open(&env, snapshot_options());
            assert_eq!(seen(&env, &db), expected, "{what}");
            states += 1;
            read_wal(&env, &db)
        };
        assert!(!check(&whole, "whole"));
        for at in 0..content {
            for nth in 0..bits_of_a_byte.min(8) {
                let bit = (at + effort::seed(0) as usize + nth * 8 / bits_of_a_byte.min(8)) % 8;
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                check(&damaged, &format!("bit {bit} of byte {at} flipped"));
            }
        }
        for len in 0..content {
            assert!(check(&whole[..len], &format!("cut to {len}")), "cut to {len}: it was believed");
        }
        // The zeros behind it, of which each run takes others.
        let step = 1021 / effort::states(1);
        for len in (content + effort::seed(0) as usize % step..whole.len()).step_by(step) {
            check(&whole[..len], &format!("cut to {len}"));
            let mut damaged = whole.clone();
            damaged[len] ^= 1 << (len % 8);
            check(&damaged, &format!("a bit of byte {len} flipped"));
        }
        effort::report(states);
    });
}

#[test]
fn every_damage_of_a_snapshot_costs_only_time() {
    damage(live_shortly, 2, 8);
}

/// Every bit where it is run at length.
#[test]
fn damage_of_histograms_in_a_snapshot_costs_only_time() {
    damage(live_shortly_with_histograms, kinds().len(), effort::states(2));
}
