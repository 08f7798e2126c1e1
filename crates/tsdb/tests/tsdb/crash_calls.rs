//! Failing calls while an operator asks for something, and while the log is shortened: a deletion, its
//! cleaning up, blocks and samples that expire, a snapshot. What the answer says is true, also for the next
//! start and without power; what was not to go stays; and asked again it is done.

use crate::{
    common::{DIR, Dump, budget, commit, dump, matcher, open, range, series},
    crash_blocks::{DELETED, disk, keep, options},
};
use skopos_base::{
    Env,
    sim::{
        SimFs, SimWorld, effort,
        failing::{Fault, every_call},
    },
};
use skopos_model::{DurationMs, Matcher, TimestampMs};
use skopos_storage::TimeRange;
use skopos_tsdb::{
    Db, Options, Retention, SnapshotOf,
    block::BlockDir,
    compact::{RetentionRule, SNAPSHOTS_DIR, SelectorRetention},
};
use std::{path::Path, time::Duration};

/// A database with blocks of two lengths and a head, all durable.
fn cut_disk() -> SimFs {
    let fs = disk();
    changed(&fs, 3, |_, db| assert!(db.maintain().expect("the disk is sound").cut > 0));
    fs
}

/// Opens a database, changes it, and makes all of it durable. New blocks take their names from the seed.
fn changed(fs: &SimFs, seed: u64, change: impl FnOnce(&Env, &Db)) {
    SimWorld::with_fs(effort::seed(seed), fs.clone()).run(|env| {
        let db = open(env, options());
        change(env, &db);
        db.close().expect("the disk is sound");
    });
    fs.settle();
}

fn deleted() -> (Matcher, TimeRange) {
    (matcher("i", "=", &DELETED.to_string()), range(500, 5300))
}

fn delete(env: &Env, db: &Db) -> Result<usize, skopos_tsdb::DeleteError> {
    let (of, range) = deleted();
    db.delete_series(&[of], range, &budget(env))
}

/// What is left behind the deletion.
fn without_deleted(all: &Dump) -> Dump {
    let mut left = all.clone();
    let of = left.get_mut(&series(DELETED)).expect("it is there");
    of.retain(|(t, _)| !(500..=5300).contains(t));
    left
}

/// What is left where samples of a series go that are older than `from`, of all series without one.
fn from_on(all: &Dump, of: Option<usize>, from: i64) -> Dump {
    let mut left = all.clone();
    for (labels, samples) in &mut left {
        if of.is_none_or(|i| *labels == series(i)) {
            samples.retain(|(t, _)| *t >= from);
        }
    }
    assert!(is_part(&left, all) && left != *all, "some go");
    left
}

/// Whether all of `part` is in `whole`.
fn is_part(part: &Dump, whole: &Dump) -> bool {
    let is_in = |(labels, samples): (_, &Vec<(i64, u64)>)| {
        whole.get(labels).is_some_and(|all| samples.iter().all(|s| all.contains(s)))
    };
    part.iter().all(is_in)
}

/// What a start finds, and of which blocks.
struct Found {
    /// After what.
    origin: String,
    all: Dump,
    blocks: (usize, u64),
}

/// What a start finds after a kill, and in some states after a loss of power.
fn found_later(fault: &Fault) -> Vec<Found> {
    let killed = [fault.fs().process_crash()];
    let lost = fault.fs().crash_states(effort::states(1), effort::seed(11));
    let found = |state: SimFs| {
        let origin = state.origin().to_string();
        SimWorld::with_fs(9, state).run(|env| {
            let db = open(env, options());
            Found { origin, all: dump(env, &db), blocks: blocks_of(&db) }
        })
    };
    killed.into_iter().chain(lost).map(found).collect()
}

/// How many blocks there are, and how many spans are marked as deleted in them.
fn blocks_of(db: &Db) -> (usize, u64) {
    let metas = db.block_metas();
    (metas.len(), metas.iter().map(|meta| meta.stats.num_tombstones).sum())
}

/// A step that takes samples away, so that what `left` says is left: with a call of it failing there is never
/// less than that, nor more than what there was, and what it says is done is done for good: no block stays
/// that was to go, or to be cleaned.
fn takes_away<E: std::fmt::Debug>(
    start: &SimFs,
    left: impl Fn(&Dump) -> Dump,
    prepare: impl Fn(&Db),
    step: impl Fn(&Env, &Db) -> Result<(), E>,
) -> usize {
    let (before, after, blocks) = SimWorld::with_fs(2, start.process_crash()).run(|env| {
        let db = open(env, options());
        let before = dump(env, &db);
        prepare(&db);
        step(env, &db).expect("the disk is sound");
        (before, dump(env, &db), blocks_of(&db))
    });
    assert_eq!(after, left(&before), "on a sound disk");
    let check = |found: &Dump, is_done: bool, what: &str| {
        assert!(is_part(found, &before), "{what}: more than there was");
        assert!(is_part(&after, found), "{what}: less than is to be left");
        assert!(!is_done || *found == after, "{what}: it was done and is not");
    };
    every_call(start, |env, fault| {
        let db = open(env, options());
        prepare(&db);
        fault.arm();
        let result = step(env, &db);
        let came = fault.disarm();
        assert!(came || result.is_ok(), "{result:?}");
        let is_done = result.is_ok();
        check(&dump(env, &db), is_done, "at once");
        let there = blocks_of(&db);
        assert!(!is_done || there == blocks, "it was done with {there:?} blocks left instead of {blocks:?}");
        for Found { origin, all, blocks: there } in found_later(fault) {
            check(&all, is_done, &origin);
            assert!(
                !is_done || there == blocks,
                "{origin}: it was done with {there:?} instead of {blocks:?}"
            );
        }
        // Rules of retention are looked at once a second here.
        env.clock.sleep(Duration::from_secs(2));
        step(env, &db).expect("the disk is sound");
        check(&dump(env, &db), true, "again");
        assert_eq!(blocks_of(&db), blocks, "again");
        drop(db);
        check(&dump(env, &open(env, options())), true, "again, opened");
        let names = env.fs.read_dir(Path::new(DIR)).expect("the disk is sound");
        assert!(names.iter().all(|e| BlockDir::of(&e.name) != Some(BlockDir::Leftover)), "{names:?}");
    })
}

#[test]
fn a_failing_call_of_a_deletion_deletes_nothing_else() {
    let start = cut_disk();
    let failed = takes_away(&start, without_deleted, |_| (), |env, db| delete(env, db).map(drop));
    assert!(failed > 50, "{failed} calls failed");
}

#[test]
fn a_failing_call_of_a_cleaning_up_changes_no_answer() {
    let start = cut_disk();
    changed(&start, 4, |env, db| assert!(delete(env, db).expect("the disk is sound") > 0));
    let failed = takes_away(&start, Dump::clone, |_| (), |_, db| db.clean_tombstones().map(drop));
    changed(&start, 5, |_, db| {
        let cleaned = db.clean_tombstones().expect("the disk is sound");
        assert!(cleaned > 1, "{cleaned} blocks");
        assert_eq!(db.clean_tombstones().expect("the disk is sound"), 0, "nothing is left to clean");
    });
    assert!(failed > 200, "{failed} calls failed");
}

#[test]
fn a_failing_call_of_a_pass_of_retention_takes_no_sample_that_is_to_stay() {
    let start = cut_disk();
    // The newest block ends at 5000: what ends at 3500 and before goes, and of the three that were compacted
    // to one the last ends at 3000.
    let failed = takes_away(
        &start,
        |before| from_on(before, None, 3000),
        |db| db.set_retention(keep(Some(1500))),
        |_, db| db.maintain().map(drop),
    );
    assert!(failed > 20, "{failed} calls failed");
}

#[test]
fn a_failing_call_of_a_rule_of_retention_takes_no_sample_that_is_to_stay() {
    let rule = RetentionRule { matchers: vec![deleted().0], time: DurationMs::from_ms(1500) };
    let rules = SelectorRetention::new(vec![rule]);
    let by_rule = |db: &Db| db.set_retention(Retention { rules: rules.clone(), ..keep(None) });
    // The clock is decades on: all that blocks have of the series goes.
    let left = |before: &Dump| from_on(before, Some(DELETED), 5000);
    let failed = takes_away(&cut_disk(), left, by_rule, |_, db| db.maintain().map(drop));
    assert!(failed > 100, "{failed} calls failed");
}

/// A head, and beside it a block that another program made later, of other values at some of its times: it
/// counts before the head, and behind whichever block has the same times.
fn disk_with_a_later_block() -> SimFs {
    let fs = SimFs::new(1);
    SimWorld::with_fs(1, fs.clone()).run(|env| {
        let db = open(env, options());
        for b in 0..10 {
            let batch: Vec<_> = (0..3).map(|i| (series(i), 250 * b, (b * 10 + i as i64) as f64)).collect();
            commit(&db, &batch).expect("the disk is sound");
        }
        db.close().expect("the disk is sound");
    });
    SimWorld::with_fs(2, fs.clone()).run(|env| {
        env.clock.sleep(Duration::from_secs(3600));
        let other = Path::new("/other");
        let db = Db::open(other, options(), env).expect("the disk is sound");
        for t in [250, 500] {
            commit(&db, &[(series(0), t, -1.0), (series(2), t, -2.0)]).expect("the disk is sound");
        }
        let name = db.snapshot(SnapshotOf::BlocksAndHead).expect("the disk is sound");
        drop(db);
        let made = other.join(SNAPSHOTS_DIR).join(name);
        let block = env.fs.read_dir(&made).expect("the disk is sound").remove(0).name;
        env.fs.rename(&made.join(&block), &Path::new(DIR).join(&block)).expect("the disk is sound");
    });
    fs.settle();
    fs
}

#[test]
fn a_failing_call_of_a_cut_contradicts_no_block() {
    let start = disk_with_a_later_block();
    let expected = SimWorld::with_fs(3, start.process_crash()).run(|env| {
        let found = dump(env, &open(env, options()));
        let of =
            |i: usize| found[&series(i)].iter().find(|(t, _)| *t == 500).map(|(_, v)| f64::from_bits(*v));
        assert_eq!([of(0), of(1), of(2)], [Some(-1.0), Some(21.0), Some(-2.0)], "the block counts first");
        found
    });
    let mut failures = 0;
    let failed = every_call(&start, |env, fault| {
        let db = open(env, options());
        fault.arm();
        let result = db.maintain();
        let came = fault.disarm();
        assert!(came || result.as_ref().is_ok_and(|done| done.cut > 0), "{result:?}");
        failures += usize::from(result.is_err());
        assert_eq!(dump(env, &db), expected, "at once: {result:?}");
        for Found { origin, all, .. } in found_later(fault) {
            assert_eq!(all, expected, "{origin}: {result:?}");
        }
        db.maintain().expect("the disk is sound");
        assert_eq!(dump(env, &db), expected, "again");
        drop(db);
        assert_eq!(dump(env, &open(env, options())), expected, "again, opened");
    });
    assert!(failed > 100 && failures > 50, "{failed} calls failed, {failures} passes");
}

/// The snapshots that stand there under their names.
fn snapshots(env: &Env) -> Vec<String> {
    let dir = Path::new(DIR).join(SNAPSHOTS_DIR);
    if !env.fs.exists(&dir).expect("the disk is sound") {
        return Vec::new();
    }
    let entries = env.fs.read_dir(&dir).expect("the disk is sound");
    entries.into_iter().map(|e| e.name).filter(|name| !name.ends_with(".tmp")).collect()
}

/// What a snapshot has, opened as a database.
fn snapshot_of(env: &Env, name: &str) -> Dump {
    let dir = Path::new(DIR).join(SNAPSHOTS_DIR).join(name);
    dump(env, &Db::open(&dir, options(), env).expect("a snapshot opens"))
}

#[test]
fn a_failing_call_of_a_snapshot_leaves_none_and_one_that_is_promised_is_whole() {
    let mut refused = 0;
    let failed = every_call(&cut_disk(), |env, fault| {
        let db = open(env, options());
        let before = dump(env, &db);
        fault.arm();
        let result = db.snapshot(SnapshotOf::BlocksAndHead);
        fault.disarm();
        refused += usize::from(result.is_err());
        assert_eq!(dump(env, &db), before, "{result:?}");
        // After an error there is none, also where the call failed behind the one that gave it its name.
        let made: Vec<String> = result.iter().cloned().collect();
        assert_eq!(snapshots(env), made, "{result:?}");
        let lost = fault.fs().crash_states(effort::states(1), effort::seed(11));
        for state in [fault.fs().process_crash()].into_iter().chain(lost) {
            let origin = state.origin();
            SimWorld::with_fs(9, state).run(|env| {
                assert_eq!(dump(env, &open(env, options())), before, "{origin}");
                let there = snapshots(env);
                assert_eq!(there, made, "{origin}: {result:?}");
                for name in there {
                    assert_eq!(snapshot_of(env, &name), before, "{origin}");
                }
            });
        }
        let name = db.snapshot(SnapshotOf::BlocksAndHead).expect("the disk is sound");
        assert_eq!(snapshot_of(env, &name), before);
    });
    assert!(failed > 100, "{failed} calls failed");
    assert!(refused > 100, "{refused} snapshots were refused");
}

/// A log of several segments, all durable.
fn long_log() -> SimFs {
    let fs = SimFs::new(1);
    SimWorld::with_fs(1, fs.clone()).run(|env| {
        let db = open(env, log_options());
        for b in 0..5 {
            let batch: Vec<_> =
                (0..900).map(|i| (series(i), 1000 * b, b as f64 + i as f64 / 1000.0)).collect();
            commit(&db, &batch).expect("the disk is sound");
        }
        db.close().expect("the disk is sound");
    });
    fs.settle();
    fs
}

fn log_options() -> Options {
    Options {
        segment_bytes: 32 << 10,
        snapshot_on_shutdown: false,
        wal_compression: skopos_tsdb::WalCompression::None,
        ..Options::default()
    }
}

#[test]
fn a_failing_call_of_a_truncation_of_the_log_loses_nothing_that_is_newer() {
    const CUT_MS: i64 = 3000;
    let newer = |mut all: Dump| {
        all.values_mut().for_each(|samples| samples.retain(|(t, _)| *t >= CUT_MS));
        all.retain(|_, samples| !samples.is_empty());
        all
    };
    let mut refused = 0;
    let failed = every_call(&long_log(), |env, fault| {
        let db = open(env, log_options());
        let before = dump(env, &db);
        fault.arm();
        let result = db.steps().truncate_wal(TimestampMs::new(CUT_MS));
        let came = fault.disarm();
        refused += usize::from(result.is_err());
        assert!(came || matches!(result, Ok(Some(_))), "the log is shortened: {result:?}");
        assert!(dump(env, &db) == before, "memory has what it had");
        commit(&db, &[(series(0), 9000, 1.0)]).expect("the disk is sound");
        db.sync().expect("the disk is sound");
        let all = newer(dump(env, &db));
        let lost = fault.fs().crash_states(effort::states(1), effort::seed(11));
        for state in [fault.fs().process_crash()].into_iter().chain(lost) {
            let origin = state.origin();
            let found = SimWorld::with_fs(9, state).run(|env| dump(env, &open(env, log_options())));
            assert!(newer(found) == all, "{origin}: {result:?}");
        }
        db.steps().truncate_wal(TimestampMs::new(CUT_MS)).expect("the disk is sound");
        drop(db);
        assert!(newer(dump(env, &open(env, log_options()))) == all, "shortened again");
    });
    assert!(failed > 20, "{failed} calls failed");
    assert!(refused > 10, "{refused} truncations were refused");
}
