//! A block cut, thinned and removed while the disk is stopped after each of its changes, or fails at each of
//! its calls: a block is there whole or not at all, and what was promised stays.

use crate::common::*;
use skopos_base::{
    Env,
    sim::{
        SimWorld,
        crash::{CrashMode, CrashTest},
        fs::Failure,
    },
};
use skopos_storage::TimeRange;
use skopos_tsdb::block::{BlockDir, BlockError, BlockWriter, Symbols, WriteOptions, remove_block};
use std::path::Path;

/// What has been promised, and what is being tried.
#[derive(Debug, Default)]
struct Promised {
    written: bool,
    deleted: bool,
    removing: bool,
    removed: bool,
}

fn gone() -> TimeRange {
    range(1_005_000, 1_025_000)
}

fn thinned(series: &Dump) -> Dump {
    let mut left = series.clone();
    for samples in left.values_mut() {
        samples.retain(|(t, _)| !(gone().min.as_ms()..=gone().max.as_ms()).contains(t));
    }
    left
}

fn life(env: &Env, promised: &mut Promised) -> Result<(), BlockError> {
    let dir = Path::new(DIR);
    let series = some_series(5, 6);
    let mut symbols = Symbols::default();
    series.keys().for_each(|labels| symbols.add(labels));
    let options = WriteOptions { segment_bytes: 150 };
    let mut writer = BlockWriter::create(&env.fs, dir, ID, symbols, options)?;
    for (labels, samples) in &series {
        writer.add_series(labels, &samples.chunks(3).map(chunk).collect::<Vec<_>>())?;
    }
    writer.finish(meta_of(&series))?;
    promised.written = true;
    let whole = dir.join(ID.to_string());
    let block = skopos_tsdb::block::Block::open(&*env.fs, &whole)?;
    block.delete(&*env.fs, &[], gone(), &budget(env))?;
    promised.deleted = true;
    promised.removing = true;
    remove_block(&*env.fs, dir, ID)?;
    promised.removed = true;
    Ok(())
}

fn check(env: &Env, promised: &Promised) {
    let series = some_series(5, 6);
    let mut found = false;
    for entry in env.fs.read_dir(Path::new(DIR)).expect("the disk is sound") {
        let path = Path::new(DIR).join(&entry.name);
        match BlockDir::of(&entry.name) {
            Some(BlockDir::Whole(_)) => {
                found = true;
                let got = dump_of(env, &path).expect("a block is whole");
                let left = thinned(&series);
                assert!(got == left || (!promised.deleted && got == series), "{promised:?}");
            }
            Some(BlockDir::Leftover) => env.fs.remove_dir_all(&path).expect("it can be removed"),
            None => panic!("{} is no business of blocks", entry.name),
        }
    }
    assert!(found || !promised.written || promised.removing, "{promised:?}");
    assert!(!(found && promised.removed), "{promised:?}");
}

#[test]
fn every_state_that_a_crash_leaves_is_sound() {
    for mode in [CrashMode::ProcessKill, CrashMode::PowerLoss] {
        let done = CrashTest::new(mode).states_per_point(60).run(life, check);
        assert!(done.points > 40, "{done:?}");
    }
}

#[test]
fn a_failed_call_leaves_what_was_promised() {
    for failure in [Failure::NoSpace, Failure::Io, Failure::Short(3)] {
        let mut calls = 0;
        for n in 1.. {
            let world = SimWorld::new(n);
            let env = world.env();
            env.fs.create_dir_all(Path::new(DIR)).unwrap();
            world.fs().settle();
            let before = world.fs().calls();
            world.fs().fail_call(n, failure);
            let mut promised = Promised::default();
            let result = life(&env, &mut promised);
            assert!(result.is_ok() || !matches!(failure, Failure::Short(_)), "{result:?}");
            // The end of all calls was reached.
            if n > world.fs().calls() - before {
                calls = n;
                break;
            }
            check(&env, &promised);
        }
        assert!(calls > 60, "{failure:?}: {calls} calls");
    }
}
