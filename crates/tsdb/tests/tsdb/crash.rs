//! Crashes: the disk is stopped after each of its changes, and every state that may be left is opened.
//! A batch is there whole or not at all; those that were committed survive the process, those that were
//! synchronised survive the power.

use crate::common::{DIR, Dump, commit, dump, labels, open, series};
use skopos_base::{
    Env,
    fs::Fs,
    sim::{
        SimFs, SimWorld,
        crash::{CrashMode, CrashTest, Enumerated},
        effort,
        failing::every_call,
        fs::{Failure, OpKind},
    },
};
use skopos_model::{DurationMs, Labels};
use skopos_storage::CommitError;
use skopos_tsdb::{Db, Options};
use std::{ops::Range, path::Path, time::Duration};

type Batch = Vec<(Labels, i64, f64)>;

/// Batch `b`: it has series of its own, series of all, and a label of its length.
fn batch(b: usize, size: usize) -> Batch {
    let t = 1000 * (b as i64 + 1);
    let own =
        (labels(&[("__name__", "own"), ("b", &b.to_string()), ("pad", &"x".repeat(size))]), t, b as f64);
    let shared = (0..4).map(|i| (series(i), t, (b * 10 + i) as f64));
    shared.chain([own]).collect()
}

/// Why a scenario ended before its time: after a crash, anything may fail.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// What a scenario was promised.
#[derive(Debug, Default)]
struct Promised {
    /// Batches whose commit returned.
    committed: usize,
    /// Batches after which a synchronisation returned.
    durable: usize,
}

/// Which batches the dump has; panics when it has a part of one, or a sample that nobody wrote.
fn batches_in(dump: &Dump, sizes: &[usize]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut samples = 0;
    for (b, size) in sizes.iter().enumerate() {
        let batch = batch(b, *size);
        let has = |(l, t, v): &&(Labels, i64, f64)| {
            dump.get(l).is_some_and(|samples| samples.contains(&(*t, v.to_bits())))
        };
        let there = batch.iter().filter(has).count();
        assert!(
            there == 0 || there == batch.len(),
            "batch {b} is there with {there} of {} samples",
            batch.len()
        );
        if there > 0 {
            found.push(b);
            samples += there;
        }
    }
    assert_eq!(dump.values().map(Vec::len).sum::<usize>(), samples, "there are samples that nobody wrote");
    found
}

fn options() -> Options {
    Options { segment_bytes: 64 << 10, ..Options::default() }
}

fn write_batches(
    db: &Db,
    promised: &mut Promised,
    range: Range<usize>,
    sizes: &[usize],
) -> Result<(), CommitError> {
    for b in range {
        commit(db, &batch(b, sizes[b]))?;
        promised.committed = b + 1;
    }
    Ok(())
}

fn enumerate(
    mode: CrashMode,
    states: usize,
    sizes: &[usize],
    scenario: fn(&Env, &mut Promised, &[usize]) -> Outcome,
) -> Enumerated {
    CrashTest::new(mode).states_per_point(states).run(
        |env, promised: &mut Promised| scenario(env, promised, sizes),
        |env, promised| {
            let db = open(env, options());
            let there = batches_in(&dump(env, &db), sizes);
            let sure = if mode == CrashMode::PowerLoss { promised.durable } else { promised.committed };
            assert!(there.starts_with(&(0..sure).collect::<Vec<_>>()), "{there:?}");
            assert!(there.len() <= promised.committed + 1, "{there:?}");
            if mode == CrashMode::ProcessKill {
                assert!(there.iter().copied().eq(0..there.len()), "{there:?}");
            }
            // It goes on, and what it found is found again.
            let after = (series(99), 500_000, 1.0);
            commit(&db, std::slice::from_ref(&after)).expect("the disk is sound");
            db.close().expect("the disk is sound");
            let mut again = dump(env, &open(env, options()));
            assert_eq!(
                again.remove(&after.0).expect("the new series is there"),
                [(after.1, after.2.to_bits())]
            );
            assert_eq!(batches_in(&again, sizes), there, "opening twice finds the same");
        },
    )
}

/// Lets the database synchronise by itself. Fails on a machine that is off: nothing was synchronised there.
fn an_interval_passes(env: &Env) -> std::io::Result<()> {
    env.clock.sleep(Options::default().sync_interval.as_std() + Duration::from_millis(1));
    env.fs.exists(Path::new(DIR)).map(drop)
}

/// Some batches without a synchronisation, one by hand, some by the clock.
fn short_life(env: &Env, promised: &mut Promised, sizes: &[usize]) -> Outcome {
    let db = Db::open(Path::new(DIR), options(), env)?;
    write_batches(&db, promised, 0..3, sizes)?;
    db.sync()?;
    promised.durable = 3;
    write_batches(&db, promised, 3..5, sizes)?;
    an_interval_passes(env)?;
    promised.durable = 5;
    write_batches(&db, promised, 5..sizes.len(), sizes)?;
    db.close()?;
    promised.durable = sizes.len();
    Ok(())
}

const SMALL: &[usize] = &[10, 0, 300, 5, 40, 0, 10];
/// Batches of several pages that fill more than one segment.
const LARGE: &[usize] = &[9000, 40_000, 100, 15_000, 15_500, 16_000, 3000, 16_300, 10];

fn large() -> Options {
    Options { max_label_bytes: 64 << 10, wal_compression: skopos_tsdb::WalCompression::None, ..options() }
}

fn long_life(env: &Env, promised: &mut Promised, sizes: &[usize]) -> Outcome {
    let db = Db::open(Path::new(DIR), large(), env)?;
    write_batches(&db, promised, 0..4, sizes)?;
    an_interval_passes(env)?;
    promised.durable = 4;
    write_batches(&db, promised, 4..sizes.len(), sizes)?;
    db.close()?;
    promised.durable = sizes.len();
    Ok(())
}

/// Opens what a crash left in the middle of an append, and is stopped while it recovers.
fn second_life(env: &Env, promised: &mut Promised, sizes: &[usize]) -> Outcome {
    let db = Db::open(Path::new(DIR), options(), env)?;
    // Opening made durable what it found.
    promised.durable = 3;
    write_batches(&db, promised, 3..sizes.len(), sizes)?;
    db.close()?;
    promised.durable = sizes.len();
    Ok(())
}

#[test]
fn committed_batches_survive_the_process() {
    let done = enumerate(CrashMode::ProcessKill, 60, SMALL, short_life);
    assert!(done.states > 300, "{done:?}");
    let done = enumerate(CrashMode::ProcessKill, 20, LARGE, long_life);
    assert!(done.states > 150, "{done:?}");
}

#[test]
fn synchronised_batches_survive_the_power() {
    let done = enumerate(CrashMode::PowerLoss, 100, SMALL, short_life);
    assert!(done.states > 400, "{done:?}");
    let done = enumerate(CrashMode::PowerLoss, 100, LARGE, long_life);
    assert!(done.states > 1000, "{done:?}");
}

#[test]
fn a_crash_while_recovering_from_a_crash_loses_nothing_more() {
    // A first life ends in the middle of its fourth commit.
    let fs = SimFs::new(3);
    let mut torn = Vec::new();
    let world = SimWorld::with_fs(3, fs.clone());
    world.run(|env| {
        let db = open(env, options());
        write_batches(&db, &mut Promised::default(), 0..3, SMALL).unwrap();
        db.close().unwrap();
        let db = open(env, options());
        fs.crash_after(fs.ops().len());
        assert!(commit(&db, &batch(3, 300)).is_err());
        torn = fs.process_crash_states(8, 5).collect();
    });
    assert!(torn.len() > 2);
    let sizes: Vec<usize> = SMALL.iter().enumerate().map(|(b, s)| if b == 3 { 300 } else { *s }).collect();
    for start in torn {
        for mode in [CrashMode::ProcessKill, CrashMode::PowerLoss] {
            CrashTest::new(mode).start(&start).states_per_point(20).run(
                |env, promised: &mut Promised| second_life(env, promised, &sizes),
                |env, promised| {
                    let there = batches_in(&dump(env, &open(env, options())), &sizes);
                    let sure = if mode == CrashMode::PowerLoss {
                        promised.durable
                    } else {
                        promised.committed.max(3)
                    };
                    assert!(there.starts_with(&(0..sure).collect::<Vec<_>>()), "{there:?}");
                },
            );
        }
    }
}

/// Whatever a commit then says is true, and later batches are taken.
#[test]
fn failures_of_any_call_cost_no_batch_that_was_committed() {
    let mut failed_commits = 0;
    let failed = every_call(&SimFs::new(7), |env, fault| {
        failed_commits += life_with_failures(
            env,
            fault.fs(),
            &Failures {
                what: fault.to_string(),
                count: 1,
                of_syncs: 1,
                arm: &|| fault.arm(),
                disarm: &|| {
                    fault.disarm();
                },
            },
        );
    });
    assert!(failed > 100, "{failed} calls failed");
    assert!(failed_commits > 30, "the failures reached {failed_commits} commits");
}

/// A write that fails, and then the truncation that should take back its first part.
#[test]
fn a_write_that_cannot_be_taken_back_is_left_behind_with_its_segment() {
    for n in 1..20 {
        for at in [0, 1, 7, 100] {
            one_failure(&[
                (OpKind::Append, n, Failure::Short(at)),
                (OpKind::Append, n, Failure::Io),
                (OpKind::Truncate, 1, Failure::Io),
            ]);
        }
    }
}

#[test]
fn two_failed_synchronisations_halt_and_a_restart_goes_on() {
    let mut checked = 0;
    for (unsynced, by_interval) in (1..LARGE.len()).flat_map(|n| [(n, false), (n, true)]) {
        let what = format!("{unsynced} batches, by the interval: {by_interval}");
        let world = SimWorld::new(3);
        let fs = world.fs().clone();
        world.run(|env| {
            // One segment, so that no batch synchronises.
            let options = || Options { segment_bytes: 1 << 20, ..large() };
            let db = open(env, options());
            commit(&db, &batch(0, LARGE[0])).unwrap();
            db.sync().unwrap();
            write_batches(&db, &mut Promised::default(), 1..unsynced, LARGE).unwrap();
            fs.fail_nth(OpKind::Sync, 1, Failure::Io);
            fs.fail_nth(OpKind::Sync, 2, Failure::Io);
            commit(&db, &batch(unsynced, LARGE[unsynced])).unwrap();
            if by_interval {
                an_interval_passes(env).unwrap();
            }
            let committed: Vec<usize> = (0..=unsynced).collect();
            let later = (series(50), 900_000, 1.0);
            for refused in [db.sync(), commit(&db, std::slice::from_ref(&later)).map(drop), db.sync()] {
                let said = refused.expect_err("the log has halted");
                assert!(matches!(said, CommitError::Halt { .. }), "{what}: {said}");
                assert!(said.to_string().contains("restart once the disk is sound"), "{what}: {said}");
            }
            assert_eq!(db.stats().wal_halted, 1, "{what}");
            assert_eq!(batches_in(&dump(env, &db), LARGE), committed, "{what}: queries go on");
            for (n, state) in [fs.process_crash()].into_iter().chain(lost_power(&fs)).enumerate() {
                checked += 1;
                SimWorld::with_fs(9, state).run(|env| {
                    let db = open(env, options());
                    let there = batches_in(&dump(env, &db), LARGE);
                    // Power was lost, and two synchronisations had failed: but for the first batch nothing is
                    // sure.
                    let sure = if n == 0 { &committed[..] } else { &committed[..1] };
                    assert!(there.starts_with(sure) && there.len() <= committed.len(), "{what}: {there:?}");
                    commit(&db, std::slice::from_ref(&later)).expect("a restart goes on");
                    db.close().expect("the disk is sound");
                    let mut again = dump(env, &open(env, options()));
                    assert!(again.remove(&later.0).is_some(), "{what}");
                    assert_eq!(batches_in(&again, LARGE), there, "{what}");
                });
            }
        });
    }
    effort::report(checked);
}

/// The rescue of a failed synchronisation fails too, in ways that pass.
#[test]
fn failures_of_several_calls_cost_no_batch_that_was_committed() {
    for n in 1..6 {
        one_failure(&[
            (OpKind::Sync, n, Failure::Io),
            (OpKind::Sync, n, Failure::Io),
            (OpKind::Append, 3, Failure::NoSpace),
        ]);
        one_failure(&[(OpKind::Sync, n, Failure::Io), (OpKind::Create, 1, Failure::NoSpace)]);
    }
}

/// A disk whose want of room shows at synchronisations only, as on NFS: however long it lasts, nothing that
/// was committed is lost, no files pile up, and ingestion goes on without a restart.
#[test]
fn synchronisations_without_room_stop_ingestion_until_there_is_some() {
    let mut checked = 0;
    for (lasts, written) in (1..8).flat_map(|lasts| [1, 2, 3, 5].map(|written| (lasts, written))) {
        let what = format!("{lasts} failures, {written} batches");
        let world = SimWorld::new(lasts);
        let fs = world.fs().clone();
        world.run(|env| {
            let db = open(env, large());
            let segments = || env.fs.read_dir(&Path::new(DIR).join("wal")).expect("it is there").len();
            let mut accepted = vec![0];
            commit(&db, &batch(0, LARGE[0])).unwrap();
            db.sync().unwrap();
            for n in 1..=lasts {
                fs.fail_nth(OpKind::Sync, n, Failure::NoSpace);
            }
            for (b, size) in LARGE.iter().enumerate().take(written + 1).skip(1) {
                match commit(&db, &batch(b, *size)) {
                    Ok(_) => accepted.push(b),
                    Err(e) => assert!(matches!(e, CommitError::Retry { .. }), "{what}: {e}"),
                }
            }
            let before = segments();
            let mut refused = 0;
            while let Err(e) = db.sync() {
                assert!(matches!(e, CommitError::Retry { .. }), "{what}: {e}");
                assert!(refused < lasts, "{what}: there is room again");
                assert!(segments() <= before + 1, "{what}: {} segments of {before}", segments());
                refused += 1;
            }
            commit(&db, &[(series(50), 900_000, 1.0)]).expect("there is room");
            db.sync().expect("there is room");
            let mut answered = dump(env, &db);
            let states = [fs.process_crash()].into_iter().chain(lost_power(&fs));
            for state in states {
                checked += 1;
                let found = SimWorld::with_fs(9, state).run(|env| dump(env, &open(env, large())));
                assert_eq!(found, answered, "{what}");
            }
            answered.remove(&series(50)).expect("it was committed");
            assert_eq!(batches_in(&answered, LARGE), accepted, "{what}");
        });
    }
    effort::report(checked);
}

/// Some of the states in which a loss of power may leave the disk now.
fn lost_power(fs: &SimFs) -> impl Iterator<Item = SimFs> {
    fs.crash_states(effort::states(3), effort::seed(11))
}

fn samples_of(samples: impl IntoIterator<Item = (Labels, i64, f64)>) -> Dump {
    let mut dump = Dump::new();
    for (labels, t, v) in samples {
        dump.entry(labels).or_default().push((t, v.to_bits()));
    }
    dump
}

/// Calls that fail in a life.
struct Failures<'a> {
    what: String,
    count: usize,
    /// At most so many of them are of synchronisations.
    of_syncs: usize,
    /// Called where the calls begin to count, …
    arm: &'a dyn Fn(),
    /// … and where no more of them is to fail.
    disarm: &'a dyn Fn(),
}

/// Whether a batch is taken, at the latest when all of `failures` have passed. Otherwise the log has halted,
/// which it may when two synchronisations failed.
fn taken_in_the_end(db: &Db, sample: &(Labels, i64, f64), failures: &Failures<'_>) -> bool {
    for _ in 0..=failures.count {
        match commit(db, std::slice::from_ref(sample)) {
            Ok(_) => return true,
            Err(CommitError::Retry { .. }) => {}
            Err(e @ CommitError::Halt { .. }) => {
                assert!(failures.of_syncs >= 2, "{}: {e}", failures.what);
                return false;
            }
        }
    }
    panic!("{}: a batch is refused though all failures have passed", failures.what);
}

/// Runs a life with these failures; returns how many commits failed.
fn one_failure(failures: &[(OpKind, u64, Failure)]) -> usize {
    let world = SimWorld::new(7);
    let fs = world.fs().clone();
    let arm = || failures.iter().for_each(|(kind, n, failure)| fs.fail_nth(*kind, *n, *failure));
    let failures = Failures {
        what: format!("{failures:?}"),
        count: failures.len(),
        of_syncs: failures.iter().filter(|(kind, ..)| *kind == OpKind::Sync).count(),
        arm: &arm,
        disarm: &|| (),
    };
    world.run(|env| life_with_failures(env, &fs, &failures))
}

/// The same. Power is lost at the end.
fn life_with_failures(env: &Env, fs: &SimFs, failures: &Failures<'_>) -> usize {
    let what = &failures.what;
    let (mut accepted, mut durable, mut failed) = (Vec::new(), 0, 0);
    let db = open(env, large());
    (failures.arm)();
    for (b, size) in LARGE.iter().enumerate() {
        match commit(&db, &batch(b, *size)) {
            Ok(_) => accepted.push(b),
            Err(_) => failed += 1,
        }
        if b % 3 == 2 && db.sync().is_ok() {
            durable = accepted.len();
        }
    }
    (failures.disarm)();
    let mut expected = samples_of(accepted.iter().flat_map(|b| batch(*b, LARGE[*b])));
    assert_eq!(dump(env, &db), expected, "{what}: what was refused is absent, and nothing else is");
    // What was refused is offered again, and is taken once all failures have passed.
    for b in (0..LARGE.len()).filter(|b| !accepted.contains(b)) {
        // Later batches have overtaken its shared series: only its own series takes it.
        let own = batch(b, LARGE[b]).pop().expect("a batch has its own series");
        if taken_in_the_end(&db, &own, failures) {
            expected.extend(samples_of([own]));
        }
    }
    let answered = dump(env, &db);
    assert_eq!(answered, expected, "{what}");
    if db.sync().is_ok() {
        durable = accepted.len();
    }
    drop(db);
    let killed = [(fs.process_crash(), false)];
    let mut checked = 0;
    for (state, power_lost) in killed.into_iter().chain(lost_power(fs).map(|state| (state, true))) {
        checked += 1;
        let found = SimWorld::with_fs(9, state).run(|env| dump(env, &open(env, large())));
        if !power_lost {
            assert_eq!(found, answered, "{what}: what was answered is found again");
        }
        for (l, samples) in &found {
            let known = answered.get(l).is_some_and(|all| samples.iter().all(|s| all.contains(s)));
            assert!(known, "{what}: {l:?} has what was refused (power lost: {power_lost})");
        }
        for b in &accepted[..durable] {
            for (l, t, v) in batch(*b, LARGE[*b]) {
                let there = found.get(&l).is_some_and(|s| s.contains(&(t, v.to_bits())));
                assert!(there, "{what}: batch {b} was durable, {l:?} is gone (power lost: {power_lost})");
            }
        }
    }
    effort::report(checked);
    failed
}

/// Queries are answered from a full disk after a restart too, and batches are taken once there is room.
/// As when somebody makes it just before, or a process that made it was killed.
#[test]
fn synchronised_batches_survive_the_power_in_a_directory_that_nobody_made_durable() {
    for made in ["/a", "/a/b", "/a/b/data", "/a/b/data/wal"] {
        let fs = SimFs::new(1);
        fs.create_dir_all(Path::new(made)).unwrap();
        let dir = Path::new("/a/b/data");
        let states: Vec<SimFs> = SimWorld::with_fs(1, fs.clone()).run(|env| {
            let db = Db::open(dir, options(), env).unwrap();
            commit(&db, &[(series(0), 1000, 1.0)]).unwrap();
            db.sync().unwrap();
            fs.crash_states(effort::states(8), effort::seed(1)).collect()
        });
        for state in states {
            let origin = state.origin();
            let found = SimWorld::with_fs(9, state)
                .run(|env| dump(env, &Db::open(dir, options(), env).expect("the database opens")));
            assert_eq!(found, samples_of([(series(0), 1000, 1.0)]), "{made}, {origin}");
        }
    }
}

#[test]
fn a_database_opens_on_a_full_disk() {
    let late = DurationMs::from_ms(60_000);
    let with = |window| Options { out_of_order_window: window, ..large() };
    for (spare, window) in [0, 1, 10, 100, 4000].into_iter().flat_map(|s| [(s, DurationMs::ZERO), (s, late)])
    {
        let world = SimWorld::new(spare);
        let fs = world.fs().clone();
        world.run(|env| {
            let db = open(env, with(window));
            (0..LARGE.len()).for_each(|b| assert_eq!(commit(&db, &batch(b, LARGE[b])).unwrap().samples, 5));
            db.sync().unwrap();
            let before = dump(env, &db);
            drop(db);
            let used = fs.ops().iter().filter_map(|op| op.bytes).sum::<u64>();
            fs.set_capacity(Some(if spare == 0 { 0 } else { used + spare }));
            let db = Db::open(Path::new(DIR), with(window), env).unwrap_or_else(|e| panic!("{spare}: {e}"));
            assert_eq!(dump(env, &db), before);
            let refused = commit(&db, &[(labels(&[("pad", &"x".repeat(9000))]), 800_000, 1.0)]);
            assert!(matches!(refused, Err(CommitError::Retry { .. })), "{refused:?}");
            fs.set_capacity(None);
            commit(&db, &[(series(50), 900_000, 1.0)]).unwrap();
            let taken = dump(env, &db);
            assert!(taken.len() > before.len());
            db.close().unwrap();
            assert_eq!(dump(env, &open(env, with(window))), taken);
        });
    }
}

/// The disk fills up, stays full for a while, and has room again: reads go on all the while, and no restart
/// is needed.
#[test]
fn a_full_disk_stops_ingestion_until_there_is_room() {
    for spare in [0, 1, 6, 7, 8, 100, 500, 40_000] {
        let world = SimWorld::new(spare);
        let fs = world.fs().clone();
        world.run(|env| {
            let db = open(env, large());
            commit(&db, &batch(0, LARGE[0])).unwrap();
            db.sync().unwrap();
            let used = fs.ops().iter().filter_map(|op| op.bytes).sum::<u64>();
            fs.set_capacity(Some(used + spare));
            let mut accepted = vec![0];
            for (b, size) in LARGE.iter().copied().enumerate().skip(1) {
                match commit(&db, &batch(b, size)) {
                    Ok(_) => accepted.push(b),
                    Err(e) => assert!(matches!(e, CommitError::Retry { .. }), "{spare}: {e}"),
                }
                env.clock.sleep(Duration::from_millis(120));
                assert_eq!(batches_in(&dump(env, &db), LARGE), accepted, "{spare}: while the disk is full");
            }
            assert!(accepted.len() < LARGE.len(), "{spare}: the disk was full");
            fs.set_capacity(None);
            commit(&db, &[(series(50), 900_000, 1.0)]).unwrap();
            db.close().unwrap();
            let mut found = dump(env, &open(env, large()));
            assert!(found.remove(&series(50)).is_some(), "{spare}: there is room again");
            assert_eq!(batches_in(&found, LARGE), accepted, "{spare}");
        });
    }
}
