//! Compaction and the removal of blocks, stopped after each change of the disk, and with each call failing.

use crate::common::{DATA, compact_in_batches, contents, names, open, remove_obsolete, write_blocks};
use skopos_base::{
    Env,
    sim::{
        SimFs, SimWorld,
        crash::{CrashMode, CrashTest},
        fs::Failure,
    },
};
use skopos_testkit::storage::{Kinds, MemoryStorage};
use skopos_tsdb::{block::remove_block, compact::CompactError};
use std::path::Path;

/// The seed of all that happens after the blocks are there: another one, else new blocks get their names.
const LATER: u64 = 2;

/// A disk with three blocks that overlap, all durable, and what they hold.
fn disk(step: i64, size: (u64, u64)) -> (SimFs, MemoryStorage) {
    let fs = SimFs::new(1);
    let world = SimWorld::with_fs(1, fs.clone());
    let all = write_blocks(&world.env(), 7, Kinds::Floats, step, size);
    fs.settle();
    (fs, all)
}

/// A thread is started for about every second series.
const BATCH_BYTES: usize = 100;

fn compact_and_remove(env: &Env) -> Result<(), CompactError> {
    let mut metas: Vec<_> = open(&*env.fs).iter().map(|b| b.meta()).collect();
    metas.extend(compact_in_batches(env, &open(&*env.fs), BATCH_BYTES)?);
    remove_obsolete(&*env.fs, &metas)
}

/// No sample is lost, none is there twice, and nothing unfinished stays.
fn check(env: &Env, all: &MemoryStorage) {
    let blocks = open(&*env.fs);
    contents(&blocks).assert_equals(all);
    assert!(blocks.len() == 3 || blocks.len() == 1, "{blocks:?}");
    assert_eq!(names(&*env.fs).len(), blocks.len(), "{:?}", names(&*env.fs));
}

#[test]
fn no_crash_of_a_compaction_loses_a_sample() {
    let (fs, all) = disk(40_000, (3, 12));
    for (mode, least) in [(CrashMode::PowerLoss, 500), (CrashMode::ProcessKill, 100)] {
        let test = CrashTest::new(mode).seed(LATER).start(&fs).states_per_point(40);
        let scenario = |env: &Env, done: &mut bool| {
            compact_and_remove(env)?;
            *done = true;
            Ok::<(), CompactError>(())
        };
        let done = test.run(scenario, |env, done| {
            check(env, &all);
            assert!(!*done || open(&*env.fs).len() == 1, "a finished compaction is durable");
        });
        println!("{mode:?}: {done:?}");
        assert!(done.states >= least, "{done:?}");
    }
}

#[test]
fn no_crash_of_a_removal_touches_other_blocks() {
    let (fs, _) = disk(100_000, (3, 12));
    let world = SimWorld::with_fs(1, fs.process_crash());
    let blocks = open(&*world.env().fs);
    let (first, rest) = (blocks[0].id(), contents(&blocks[1..]));
    for mode in [CrashMode::PowerLoss, CrashMode::ProcessKill] {
        CrashTest::new(mode).seed(LATER).start(&fs).states_per_point(100).run(
            |env, removed: &mut bool| {
                remove_block(&*env.fs, Path::new(DATA), first)?;
                *removed = true;
                Ok::<(), skopos_tsdb::block::BlockError>(())
            },
            |env, removed| {
                let left = open(&*env.fs);
                let others: Vec<_> = left.iter().filter(|b| b.id() != first).cloned().collect();
                contents(&others).assert_equals(&rest);
                assert!(!*removed || left.len() == 2, "a removed block is back");
            },
        );
    }
}

#[test]
fn no_failing_call_of_a_compaction_loses_a_sample() {
    let (fs, all) = disk(40_000, (3, 12));
    let calls = {
        let fs = fs.process_crash();
        let world = SimWorld::with_fs(LATER, fs.clone());
        world.run(compact_and_remove).unwrap();
        fs.calls()
    };
    // Openings of the test itself fail first; from there on every call does.
    let before = {
        let fs = fs.process_crash();
        let world = SimWorld::with_fs(1, fs.clone());
        let blocks = open(&*world.env().fs);
        drop(blocks);
        fs.calls() * 2
    };
    assert!(calls > before + 50, "{calls} calls, {before} of them before the compaction");
    let mut failed = 0;
    for failure in [Failure::NoSpace, Failure::Io, Failure::Short(1)] {
        for n in before + 1..=calls {
            let fs = fs.process_crash();
            let world = SimWorld::with_fs(LATER, fs.clone());
            let env = world.env();
            fs.fail_call(n, failure);
            match world.run(compact_and_remove) {
                Ok(()) => {}
                Err(CompactError::Retry(_)) => failed += 1,
                Err(other) => panic!("{failure:?} of call {n}: {other}"),
            }
            check(&env, &all);
            let blocks = open(&*env.fs);
            assert!(blocks.iter().all(|b| !b.meta().compaction.failed), "a full disk is no damage");
            if blocks.len() == 3 {
                compact_and_remove(&env).unwrap();
                check(&env, &all);
            }
        }
    }
    assert!(failed > 100, "{failed} failures were seen");
}
