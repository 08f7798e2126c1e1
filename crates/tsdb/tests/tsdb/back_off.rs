//! A disk that takes no block for a while: maintenance is tried again after longer and longer waits, samples
//! and queries go on meanwhile, and all that was due is done once the disk is well, without a restart.

use crate::common::{commit, dump, open, series};
use skopos_base::{
    Env,
    sim::{
        SimWorld,
        fs::{Failure, OpKind},
    },
};
use skopos_model::DurationMs;
use skopos_tsdb::{Db, Options, StatsSnapshot};
use std::time::Duration;

const BLOCK_MS: i64 = 10_000;
/// How many attempts fail.
const FAILURES: u64 = 9;
/// How many seconds each failed attempt keeps the next one waiting; the thread wakes every second.
const WAITS_S: [u64; FAILURES as usize] = [1, 2, 4, 8, 16, 32, 60, 60, 60];

fn options() -> Options {
    Options {
        min_block_duration: DurationMs::from_ms(BLOCK_MS),
        max_block_duration: DurationMs::from_ms(BLOCK_MS),
        maintenance_interval: DurationMs::from_secs(1),
        ..Options::default()
    }
}

fn fill(db: &Db, times_ms: std::ops::Range<i64>) {
    for t in times_ms.step_by(500) {
        commit(db, &[(series(0), t, t as f64), (series(1), t, 1.0)]).expect("all is sound");
    }
}

/// Lets time pass, with a sample and a query every second, until the attempts that are to fail have failed
/// and maintenance has gone on. Returns after how many seconds each attempt failed and when it went on.
fn live(env: &Env, db: &Db, is_done: impl Fn(&StatsSnapshot) -> bool) -> (Vec<u64>, u64) {
    let (mut failed_at, before) = (Vec::new(), dump(env, db));
    let newest = before.values().flatten().map(|(t, _)| *t).max().expect("there are samples");
    let mut expected = before;
    let failed_before = db.stats().maintenance_failed_total;
    for second in 1..1000 {
        env.clock.sleep(Duration::from_secs(1));
        let t = newest + second;
        commit(db, &[(series(0), t, 0.5)]).expect("ingestion goes on");
        expected.get_mut(&series(0)).expect("it is there").push((t, 0.5_f64.to_bits()));
        assert_eq!(dump(env, db), expected, "after {second} s");
        let (stats, second) = (db.stats(), second.unsigned_abs());
        let failures = stats.maintenance_failed_total - failed_before;
        if failures > failed_at.len() as u64 {
            failed_at.push(second);
        }
        assert_eq!(failures, failed_at.len() as u64, "one attempt at a time");
        if is_done(&stats) {
            return (failed_at, second);
        }
    }
    panic!("maintenance did not go on: {:?}", db.stats());
}

/// The waits grow and stay below their bound; the attempt behind the last of them succeeds.
#[track_caller]
fn check_waits((failed_at, went_on_at): (Vec<u64>, u64)) {
    assert_eq!(failed_at.len() as u64, FAILURES, "{failed_at:?}");
    let ends = failed_at.iter().skip(1).chain([&went_on_at]);
    for ((begin, end), wait) in failed_at.iter().zip(ends).zip(WAITS_S) {
        // An attempt comes with the next waking of the thread, before or after we look in the same second.
        assert!((wait - 1..=wait + 2).contains(&(end - begin)), "{wait}: {failed_at:?}, {went_on_at}");
    }
}

fn fail_blocks(world: &SimWorld, failure: Failure) {
    // The log makes no directory, a block begins with one.
    (1..=FAILURES).for_each(|n| world.fs().fail_nth(OpKind::CreateDir, n, failure));
}

#[test]
fn a_head_that_cannot_be_cut_is_cut_once_the_disk_is_well() {
    for failure in [Failure::NoSpace, Failure::Io] {
        let world = SimWorld::new(3);
        world.run(|env| {
            let db = open(env, options());
            fail_blocks(&world, failure);
            fill(&db, 0..40_000);
            check_waits(live(env, &db, |stats| stats.blocks_loaded > 0));
            let stats = db.stats();
            assert_eq!(stats.compactions_failed_total, FAILURES);
            assert_eq!((stats.maintenance_failed_total, stats.commits_failed_total), (FAILURES, 0));
            assert!(stats.compactions_total >= 2 && stats.head_truncations_total >= 2, "{stats:?}");
            // The waits begin anew with the next failure.
            world.fs().fail_nth(OpKind::CreateDir, 1, failure);
            fill(&db, 50_000..90_000);
            let blocks = stats.blocks_loaded;
            let (failed_at, went_on_at) = live(env, &db, |stats| stats.blocks_loaded > blocks);
            assert!(failed_at.len() == 1 && went_on_at - failed_at[0] <= 3, "{failed_at:?}, {went_on_at}");
        });
    }
}

#[test]
fn blocks_that_cannot_be_compacted_are_compacted_once_the_disk_is_well() {
    let world = SimWorld::new(4);
    world.run(|env| {
        let db = open(env, options());
        fill(&db, 0..100_000);
        db.maintain().expect("all is sound");
        let blocks = db.stats().blocks_loaded;
        assert!(blocks > 6, "{blocks}");
        drop(db);
        // Longer blocks are due from the start on.
        let longer = DurationMs::from_ms(3 * BLOCK_MS);
        let db = open(env, Options { max_block_duration: longer, ..options() });
        fail_blocks(&world, Failure::NoSpace);
        check_waits(live(env, &db, |stats| stats.blocks_loaded < blocks));
        let stats = db.stats();
        assert_eq!(stats.compactions_failed_total, FAILURES);
        assert_eq!((stats.maintenance_failed_total, stats.commits_failed_total), (FAILURES, 0));
        assert!(stats.compactions_total >= 2, "{stats:?}");
    });
}
