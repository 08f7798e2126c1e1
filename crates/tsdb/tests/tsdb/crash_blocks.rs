//! Crashes and failing calls in the whole way of a sample: appended, cut, its log shortened, compacted,
//! deleted, expired. What was promised is answered once; what was deleted stays away.

use crate::common::{DIR, Dump, budget, commit, dump, matcher, open, range, series};
use skopos_base::{
    Env,
    sim::{
        SimFs, SimWorld,
        crash::{CrashMode, CrashTest, Enumerated},
        failing::every_call,
    },
};
use skopos_model::DurationMs;
use skopos_tsdb::{
    Db, Options, Retention,
    block::BlockDir,
    compact::{RetentionLimits, SelectorRetention},
};
use std::{collections::BTreeSet, path::Path};

const BLOCK_MS: i64 = 1000;
/// Every so often a batch.
const STEP_MS: i64 = 250;
/// The series that is deleted, and of which time.
pub(crate) const DELETED: usize = 1;

/// Why a scenario ended before its time: after a crash, anything may fail.
type Outcome = Result<(), Box<dyn std::error::Error>>;

pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        min_block_duration: DurationMs::from_ms(BLOCK_MS),
        max_block_duration: DurationMs::from_ms(3 * BLOCK_MS),
        maintenance_interval: DurationMs::from_secs(36_000),
        retention: keep(None),
        ..Options::default()
    }
}

pub(crate) fn keep(time: Option<i64>) -> Retention {
    let time = time.map(DurationMs::from_ms);
    let limits = RetentionLimits { time, bytes: None, disk: None };
    Retention { limits, rules: SelectorRetention::default() }
}

/// What a scenario was promised.
#[derive(Clone, Debug, Default)]
struct Promised {
    /// Batches whose commit was begun, …
    begun: i64,
    /// … returned, …
    committed: i64,
    /// … was synchronised.
    durable: i64,
    /// The time of the deletion, both ends: begun, and done.
    deleting: Option<(i64, i64)>,
    deleted: bool,
    /// Nothing before may be there any more, or not yet.
    expiring_before: i64,
}

fn append(db: &Db, promised: &mut Promised, to: i64) -> Outcome {
    while promised.begun < to {
        let b = promised.begun;
        promised.begun += 1;
        let batch: Vec<_> = (0..2).map(|i| (series(i), b * STEP_MS, (b * 10 + i as i64) as f64)).collect();
        commit(db, &batch)?;
        promised.committed = b + 1;
    }
    Ok(())
}

fn sync(db: &Db, promised: &mut Promised) -> Outcome {
    db.sync()?;
    promised.durable = promised.committed;
    Ok(())
}

fn delete(env: &Env, db: &Db, promised: &mut Promised, from: i64, to: i64) -> Outcome {
    promised.deleting = Some((from, to));
    let of = matcher("i", "=", &DELETED.to_string());
    db.delete_series(&[of], range(from, to), &budget(env))?;
    promised.deleted = true;
    Ok(())
}

/// Every promised sample is there, none that was not written, none that was deleted, each once (`dump` sees
/// to that).
fn check(found: &Dump, promised: &Promised, sure: i64) {
    let mut there: Vec<BTreeSet<i64>> = Vec::new();
    for i in 0..2 {
        let samples = found.get(&series(i)).cloned().unwrap_or_default();
        for (t, bits) in &samples {
            assert_eq!(f64::from_bits(*bits), (t / STEP_MS * 10 + i as i64) as f64, "series {i} at {t}");
            assert!(*t < promised.begun * STEP_MS, "series {i} at {t} was never written");
        }
        there.push(samples.iter().map(|(t, _)| *t).collect());
    }
    let is_deleted = |t: i64| promised.deleting.is_some_and(|(from, to)| (from..=to).contains(&t));
    for b in 0..promised.begun {
        let t = b * STEP_MS;
        let (kept, other) = (there[0].contains(&t), there[DELETED].contains(&t));
        if t >= promised.expiring_before {
            assert!(kept || b >= sure, "the batch at {t} is gone");
        }
        if is_deleted(t) {
            assert!(!(promised.deleted && other), "the sample at {t} was deleted and is back");
        } else {
            assert_eq!(kept, other, "the batch at {t} is there in part");
        }
    }
    assert!(found.len() <= 2);
}

fn enumerate(mode: CrashMode, states: usize, scenario: fn(&Env, &mut Promised) -> Outcome) -> Enumerated {
    CrashTest::new(mode).states_per_point(states).run(scenario, |env, promised: &Promised| {
        let db = open(env, options());
        let found = dump(env, &db);
        let sure = if mode == CrashMode::PowerLoss { promised.durable } else { promised.committed };
        check(&found, promised, sure);
        // It goes on: maintenance changes no answer, nor does another start.
        db.maintain().expect("the disk is sound");
        assert_eq!(dump(env, &db), found, "maintenance changed an answer");
        drop(db);
        let db = open(env, options());
        assert_eq!(dump(env, &db), found, "another start changed an answer");
        let names = env.fs.read_dir(Path::new(DIR)).expect("the disk is sound");
        assert!(names.iter().all(|e| BlockDir::of(&e.name) != Some(BlockDir::Leftover)), "{names:?}");
    })
}

/// Blocks are cut and compacted, the log is shortened.
fn cutting_life(env: &Env, promised: &mut Promised) -> Outcome {
    let db = Db::open(Path::new(DIR), options(), env)?;
    append(&db, promised, 7)?;
    sync(&db, promised)?;
    db.maintain()?;
    append(&db, promised, 20)?;
    db.maintain()?;
    sync(&db, promised)?;
    append(&db, promised, 22)?;
    db.close()?;
    promised.durable = promised.committed;
    Ok(())
}

/// Samples of head and blocks are deleted, and blocks written anew.
fn deleting_life(env: &Env, promised: &mut Promised) -> Outcome {
    let db = Db::open(Path::new(DIR), options(), env)?;
    append(&db, promised, 12)?;
    db.maintain()?;
    delete(env, &db, promised, 500, 2300)?;
    promised.durable = promised.committed;
    db.clean_tombstones()?;
    append(&db, promised, 18)?;
    sync(&db, promised)?;
    db.maintain()?;
    db.close()?;
    promised.durable = promised.committed;
    Ok(())
}

/// The oldest blocks go.
fn expiring_life(env: &Env, promised: &mut Promised) -> Outcome {
    let db = Db::open(Path::new(DIR), options(), env)?;
    append(&db, promised, 20)?;
    db.maintain()?;
    sync(&db, promised)?;
    promised.expiring_before = 2000;
    db.set_retention(keep(Some(1500)));
    db.maintain()?;
    append(&db, promised, 22)?;
    db.close()?;
    promised.durable = promised.committed;
    Ok(())
}

/// A part of a database's life that a crash may end.
type Life = fn(&Env, &mut Promised) -> Outcome;

const LIVES: [(&str, Life); 3] =
    [("cutting", cutting_life), ("deleting", deleting_life), ("expiring", expiring_life)];

#[test]
fn what_was_committed_survives_the_process_on_its_whole_way() {
    for (name, life) in LIVES {
        let done = enumerate(CrashMode::ProcessKill, 2, life);
        println!("{name}: {done:?}");
        assert!(done.states > 150, "{name}: {done:?}");
    }
}

#[test]
fn what_was_synchronised_survives_the_power_on_its_whole_way() {
    for (name, life) in LIVES {
        let done = enumerate(CrashMode::PowerLoss, 3, life);
        println!("{name}: {done:?}");
        assert!(done.states > 500, "{name}: {done:?}");
    }
}

/// A database with three blocks' worth in the head, some of it in blocks already; all durable.
pub(crate) fn disk() -> SimFs {
    let fs = SimFs::new(1);
    SimWorld::with_fs(1, fs.clone()).run(|env| {
        let db = open(env, options());
        let mut promised = Promised::default();
        append(&db, &mut promised, 12).expect("all is sound");
        db.maintain().expect("all is sound");
        append(&db, &mut promised, 24).expect("all is sound");
        db.close().expect("all is sound");
    });
    fs.settle();
    fs
}

/// Reads go on, so does ingestion, and the next pass does what was due.
#[test]
fn a_failing_call_of_a_pass_costs_nothing_but_time() {
    let mut passes = 0;
    let failed = every_call(&disk(), |env, fault| {
        let db = open(env, options());
        let before = dump(env, &db);
        fault.arm();
        let result = db.maintain();
        let came = fault.disarm();
        passes += usize::from(result.is_err());
        assert!(came || result.is_ok(), "{result:?}");
        assert_eq!(dump(env, &db), before, "{result:?}");
        commit(&db, &[(series(0), 9000, 1.0)]).expect("the disk is sound");
        let done = db.maintain().expect("the disk is sound");
        assert_eq!(db.maintain().expect("the disk is sound").cut, 0, "{done:?}");
        let all = dump(env, &db);
        assert_eq!(all.values().map(Vec::len).sum::<usize>(), 49);
        drop(db);
        assert_eq!(dump(env, &open(env, options())), all, "opened again");
    });
    assert!(failed > 400, "{failed} calls failed");
    assert!(passes > 200, "{passes} passes failed");
}
