//! Snapshots: whole or not there, and of no consequence to the database.

use crate::common::{DATA, contents, new_block, open, write_blocks};
use skopos_base::{
    Env,
    fs::Fs,
    sim::{
        SimFs, SimWorld, effort,
        fs::{Failure, OpKind},
    },
};
use skopos_model::Labels;
use skopos_storage::TimeRange;
use skopos_testkit::storage::{Kinds, MemoryStorage, budget};
use skopos_tsdb::{
    block::{Block, BlockIds, remove_block},
    compact::{CompactError, SNAPSHOTS_DIR, SnapshotRequest, remove_unfinished_snapshots, snapshot},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

fn head() -> MemoryStorage {
    let mut head = MemoryStorage::default();
    head.insert_floats(&Labels::from_pairs([("n", "head")]), (0..30).map(|i| (400_000 + i * 10, i as f64)));
    head
}

fn make(env: &Env) -> Result<PathBuf, CompactError> {
    make_of(env, &paths(env))
}

fn paths(env: &Env) -> Vec<PathBuf> {
    open(&*env.fs).iter().map(|b| b.dir().to_owned()).collect()
}

fn make_of(env: &Env, blocks: &[PathBuf]) -> Result<PathBuf, CompactError> {
    let stop = env.spawner.stop_signal();
    let head = head();
    let request = SnapshotRequest { blocks, head: Some(new_block(&head, 20, (400_000, 500_000), &*stop)) };
    snapshot(env, &Arc::new(BlockIds::new(env)), Path::new(DATA), request)
}

/// The blocks of one snapshot.
fn opened(fs: &dyn Fs, dir: &Path) -> Vec<Arc<Block>> {
    let open = |name: String| Arc::new(Block::open(fs, &dir.join(name)).unwrap());
    fs.read_dir(dir).unwrap().into_iter().map(|e| open(e.name)).collect()
}

#[test]
fn a_snapshot_keeps_what_was_there() {
    let world = SimWorld::new(1);
    let env = world.env();
    let mut all = write_blocks(&env, 3, Kinds::Floats, 100_000, (6, 40));
    let dir = make(&env).unwrap();
    let name = dir.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("20260101T000000Z-") && name.len() == 33, "{name}");
    let blocks = open(&*env.fs);
    blocks[0].delete(&*env.fs, &[], TimeRange::ALL, &budget()).unwrap();
    blocks.iter().for_each(|b| remove_block(&*env.fs, Path::new(DATA), b.id()).unwrap());
    all.merge(&head());
    contents(&opened(&*env.fs, &dir)).assert_equals(&all);
}

mod crash {
    use super::*;
    use skopos_base::sim::crash::{CrashMode, CrashTest};

    #[test]
    fn a_snapshot_survives_or_leaves_no_trace() {
        let fs = SimFs::new(1);
        let all = write_blocks(&SimWorld::with_fs(1, fs.clone()).env(), 3, Kinds::Floats, 100_000, (3, 10));
        fs.settle();
        let mut whole = all.clone();
        whole.merge(&head());
        for mode in [CrashMode::PowerLoss, CrashMode::ProcessKill] {
            let done = CrashTest::new(mode).seed(2).start(&fs).states_per_point(30).run(
                |env, made: &mut bool| {
                    make(env)?;
                    *made = true;
                    Ok::<(), CompactError>(())
                },
                |env, made| {
                    contents(&open(&*env.fs)).assert_equals(&all);
                    remove_unfinished_snapshots(&*env.fs, Path::new(DATA)).unwrap();
                    let dir = Path::new(DATA).join(SNAPSHOTS_DIR);
                    let there =
                        if env.fs.exists(&dir).unwrap() { env.fs.read_dir(&dir).unwrap() } else { vec![] };
                    assert!(there.len() == 1 || !*made, "a snapshot that was promised is lost");
                    for entry in there {
                        contents(&opened(&*env.fs, &dir.join(entry.name))).assert_equals(&whole);
                    }
                },
            );
            println!("{mode:?}: {done:?}");
        }
    }
}

/// One snapshot is there already, so that a name in the directory is all that the next one adds to what is
/// durable. Each of the calls from publishing it on fails, and in the end those that take it back too.
#[test]
fn a_snapshot_that_failed_is_no_half_of_one_after_a_loss_of_power() {
    let start = SimFs::new(1);
    let env = SimWorld::with_fs(1, start.clone()).env();
    let mut whole = write_blocks(&env, 3, Kinds::Floats, 100_000, (3, 10));
    whole.merge(&head());
    let first = make(&env).unwrap();
    start.settle();
    let syncs = |fs: &SimFs| fs.ops().iter().filter(|op| op.kind == OpKind::SyncDir).count() as u64;
    let made = start.process_crash();
    let before = syncs(&made);
    make(&SimWorld::with_fs(2, made.clone()).env()).unwrap();
    let all = syncs(&made) - before;
    assert!(all > 5, "{all}");
    let mut taken_back = 0;
    for n in 1..=all {
        for also in [None, Some(n + 1)] {
            let fs = start.process_crash();
            fs.fail_nth(OpKind::SyncDir, n, Failure::Io);
            also.into_iter().for_each(|n| fs.fail_nth(OpKind::SyncDir, n, Failure::Io));
            make(&SimWorld::with_fs(2, fs.clone()).env()).unwrap_err();
            for lost in fs.crash_states(effort::states(60), effort::seed(n)) {
                let dir = Path::new(DATA).join(SNAPSHOTS_DIR);
                let there = lost.read_dir(&dir).unwrap();
                taken_back += usize::from(there.len() == 1);
                for entry in there.iter().filter(|e| !e.name.ends_with(".tmp")) {
                    let origin = lost.origin();
                    println!("{}, call {n} and {also:?}: {origin}", entry.name);
                    contents(&opened(&lost, &dir.join(&entry.name))).assert_equals(&whole);
                }
                assert!(lost.exists(&first).unwrap(), "the one before stays");
            }
        }
    }
    assert!(taken_back > 0, "none was taken back");
}

#[test]
fn a_snapshot_that_fails_is_not_there_whichever_call_failed() {
    let run = |fail: Option<u64>| {
        let world = SimWorld::new(7);
        let (env, fs) = (world.env(), world.fs());
        write_blocks(&env, 2, Kinds::Floats, 100_000, (2, 40));
        let (blocks, before) = (paths(&env), fs.calls());
        fail.into_iter().for_each(|n| fs.fail_call(n, Failure::Io));
        let (made, calls) = (make_of(&env, &blocks), fs.calls() - before);
        let all = Path::new(DATA).join(SNAPSHOTS_DIR);
        let entries = if fs.exists(&all).unwrap() { fs.read_dir(&all).unwrap() } else { Vec::new() };
        let named = entries.into_iter().filter(|e| !e.name.ends_with(".tmp")).count();
        assert_eq!(named, usize::from(made.is_ok()), "call {fail:?}: {made:?}");
        calls
    };
    let calls = run(None);
    assert!(calls > 20, "{calls}");
    for n in 1..=calls {
        run(Some(n));
    }
}
