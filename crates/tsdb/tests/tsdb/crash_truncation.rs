//! The WAL made shorter: what is newer than the cut survives everything, what is older goes, and the log is
//! smaller.

use crate::common::{DIR, Dump, commit, dump, labels, open, series};
use skopos_base::{
    Env,
    sim::{
        SimWorld,
        crash::{CrashMode, CrashTest},
    },
};
use skopos_model::{Labels, TimestampMs};
use skopos_tsdb::{Db, Options, WalCompression};
use std::path::Path;

fn options() -> Options {
    Options { segment_bytes: 64 << 10, wal_compression: WalCompression::None, ..Options::default() }
}

fn batch(b: i64) -> Vec<(Labels, i64, f64)> {
    let own = labels(&[("own", &b.to_string()), ("pad", &"x".repeat(6000))]);
    (0..4).map(|i| (series(i), 1000 * b, (b * 10) as f64 + i as f64)).chain([(own, 1000 * b, 0.5)]).collect()
}

fn after(dump: Dump, min_ms: i64) -> Dump {
    let cut = |(l, samples): (Labels, Vec<(i64, u64)>)| {
        let samples: Vec<_> = samples.into_iter().filter(|(t, _)| *t >= min_ms).collect();
        (!samples.is_empty()).then_some((l, samples))
    };
    dump.into_iter().filter_map(cut).collect()
}

fn truncate(db: &Db, before_ms: i64) -> bool {
    db.steps().truncate_wal(TimestampMs::new(before_ms)).expect("the disk is sound").is_some()
}

#[test]
fn what_is_newer_survives_and_what_is_older_goes() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        assert!(!truncate(&db, 0), "an empty log is not made shorter");
        for b in 0..100 {
            let many = (10..400).map(|i| (series(i), 1000 * b, 0.1 * i as f64));
            commit(&db, &batch(b).into_iter().take(4).chain(many).collect::<Vec<_>>()).unwrap();
        }
        let (before, bytes) = (dump(env, &db), db.wal_bytes().unwrap());
        assert!(truncate(&db, 50_000));
        assert_eq!(dump(env, &db), before, "memory has what it had");
        let less = db.wal_bytes().unwrap();
        for _ in 0..10 {
            truncate(&db, 50_000);
        }
        assert!(less < bytes && db.wal_bytes().unwrap() <= less, "{less} of {bytes} bytes");
        commit(&db, &batch(100)).unwrap();
        let before = dump(env, &db);
        // Without a snapshot, which would have what memory had.
        drop(db);
        let db = open(env, options());
        let found = dump(env, &db);
        assert_eq!(after(found.clone(), 50_000), after(before, 50_000));
        let oldest = found.values().flatten().map(|(t, _)| *t).min();
        assert!(oldest > Some(45_000), "{oldest:?}");
        assert_eq!(db.stats().wal_corruptions_total, 0);
        // All series are named still: none was taken out of the head.
        assert_eq!(db.stats().series, 395);
    });
}

/// What a life that shortens its log was promised: batches committed, and durable.
#[derive(Debug, Default)]
struct Promised {
    committed: i64,
    durable: i64,
    cut_ms: i64,
}

fn life(env: &Env, promised: &mut Promised) -> Result<(), Box<dyn std::error::Error>> {
    let db = Db::open(Path::new(DIR), options(), env)?;
    for b in 0..30 {
        commit(&db, &batch(b))?;
        promised.committed = b + 1;
        if b % 15 == 14 {
            promised.cut_ms = (b - 7) * 1000;
            db.sync()?;
            promised.durable = b + 1;
            db.steps().truncate_wal(TimestampMs::new(promised.cut_ms))?;
        }
    }
    db.close()?;
    promised.durable = promised.committed;
    Ok(())
}

fn survives(mode: CrashMode) {
    let done = CrashTest::new(mode).states_per_point(4).run(life, |env, promised: &Promised| {
        let found = dump(env, &open(env, options()));
        let sure = if mode == CrashMode::PowerLoss { promised.durable } else { promised.committed };
        for (l, t, v) in (0..sure).flat_map(batch).filter(|(_, t, _)| *t >= promised.cut_ms) {
            let there = found.get(&l).is_some_and(|s| s.contains(&(t, v.to_bits())));
            assert!(there, "{l} at {t} is gone: {promised:?}");
        }
        let db = open(env, options());
        db.steps().truncate_wal(TimestampMs::new(promised.cut_ms)).expect("the disk is sound");
        db.close().expect("the disk is sound");
        let again = dump(env, &open(env, options()));
        assert_eq!(after(again, promised.cut_ms), after(found, promised.cut_ms));
    });
    assert!(done.states > 150, "{done:?}");
}

#[test]
fn a_crash_of_the_process_while_the_log_is_shortened_costs_nothing() {
    survives(CrashMode::ProcessKill);
}

#[test]
fn a_power_loss_while_the_log_is_shortened_costs_nothing_that_is_durable() {
    survives(CrashMode::PowerLoss);
}

#[test]
fn a_full_disk_leaves_the_log_as_long_as_it_was() {
    let world = SimWorld::new(1);
    let fs = world.fs().clone();
    world.run(|env| {
        let db = open(env, options());
        (0..60).for_each(|b| assert_eq!(commit(&db, &batch(b)).unwrap().samples, 5));
        let before = dump(env, &db);
        let used = fs.ops().iter().filter_map(|op| op.bytes).sum::<u64>();
        for spare in [0, 10, 5000, 70_000] {
            fs.set_capacity(Some(used + spare));
            let said =
                db.steps().truncate_wal(TimestampMs::new(0)).expect_err("there is no room").to_string();
            assert!(said.contains("the old segments stay") || said.contains("WAL"), "{said}");
        }
        fs.set_capacity(None);
        assert!(truncate(&db, 0));
        db.close().unwrap();
        assert_eq!(dump(env, &open(env, options())), before);
    });
}
