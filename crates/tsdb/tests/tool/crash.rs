//! Tools that change a directory, stopped after each change of the disk and with each call failing: nothing
//! sound is lost, and doing it again brings it to its end.

use crate::common::{DIR, Lines, append, blocks, damaged, lines, options, series, sound};
use skopos_base::{
    Env,
    fs::{Fs, OpenMode, append_all},
    sim::{
        SimFs, SimWorld,
        crash::{CrashMode, CrashTest},
        fs::Failure,
    },
};
use skopos_model::{MatchOp, Matcher};
use skopos_storage::TimeRange;
use skopos_testkit::storage::budget;
use skopos_tsdb::{
    Db, SnapshotOf,
    block::Block,
    tool::{
        backfill::{Backfill, BackfillOptions},
        open_metrics::import_open_metrics,
        repair::{RepairError, RepairMode, repair},
        verify::verify,
    },
};
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The seed of all that happens later: another one, else new blocks get names that are there.
const LATER: u64 = 2;
const MODES: [CrashMode; 2] = [CrashMode::PowerLoss, CrashMode::ProcessKill];

fn dir() -> &'static Path {
    Path::new(DIR)
}

/// What an undisturbed repair of `damaged` leaves: samples, and how many blocks.
fn repaired() -> (Lines, usize) {
    let fs = damaged();
    let env = SimWorld::with_fs(LATER, fs.clone()).env();
    repair(&env, dir(), RepairMode::Repair).unwrap();
    assert!(!verify(&*env.fs, dir()).unwrap().is_damaged());
    (lines(&env, dir()), blocks(&fs, dir()).len())
}

/// Repairs what is there, and asserts that this is the end of it.
fn check_repair(env: &Env, (expected, count): &(Lines, usize)) {
    repair(env, dir(), RepairMode::Repair).unwrap();
    assert_eq!(verify(&*env.fs, dir()).unwrap().findings, []);
    assert_eq!(&lines(env, dir()), expected);
    let found = blocks(&*env.fs, dir());
    // A block whose meta cannot be read is no parent of what is made of it: it may be made twice.
    assert!((*count..=count + 1).contains(&found.len()), "{found:?}");
}

#[test]
fn a_repair_that_is_cut_short_is_brought_to_its_end_by_the_next() {
    let expected = repaired();
    let (all, kept) = (lines(&SimWorld::with_fs(1, sound()).env(), dir()).len(), expected.0.len());
    assert!(kept < all && kept + 12 > all, "one chunk is lost: {kept} of {all}");
    let fs = damaged();
    for mode in MODES {
        let test = CrashTest::new(mode).seed(LATER).start(&fs).states_per_point(3);
        let done = test.run(
            |env, (): &mut ()| repair(env, dir(), RepairMode::Repair).map(drop),
            |env, ()| check_repair(env, &expected),
        );
        println!("{mode:?}: {done:?}");
        assert!(done.states > 60, "{done:?}");
    }
}

#[test]
fn no_failing_call_of_a_repair_loses_what_is_sound() {
    let expected = repaired();
    let fs = damaged();
    let mut failed = 0;
    for (failure, stride) in [(Failure::NoSpace, 3), (Failure::Io, 4), (Failure::Short(1), 5)] {
        for n in (1..).step_by(stride) {
            let fs = fs.process_crash();
            let env = SimWorld::with_fs(LATER, fs.clone()).env();
            let before = fs.calls();
            fs.fail_call(n, failure);
            let result = repair(&env, dir(), RepairMode::Repair);
            if fs.calls() < before + n {
                assert!(n > 50, "only {n} calls");
                break;
            }
            failed += usize::from(matches!(result, Err(RepairError::Io { .. } | RepairError::Block(_))));
            check_repair(&SimWorld::with_fs(LATER + n, fs).env(), &expected);
        }
    }
    assert!(failed > 20, "{failed} repairs failed");
}

/// A text over two blocks, and the disk that it stands on, beside a block that is there already.
fn text() -> SimFs {
    let fs = SimFs::new(1);
    fs.create_dir_all(Path::new("/data")).unwrap();
    let (mut text, mut first) = (String::new(), String::new());
    for i in 0..40i64 {
        let at = if i == 39 { 7300 } else { (i * 37 % 40) * 150 + 100 };
        text += &format!("m{{i=\"{}\"}} {i} {at}\n", i % 3);
        first += &format!("there {i} {at}\n");
    }
    for (name, text) in [("/data/in.om", text), ("/data/first.om", first)] {
        let mut file = fs.open(Path::new(name), OpenMode::CreateNew).unwrap();
        append_all(&mut *file, (text + "# EOF\n").as_bytes()).unwrap();
    }
    import(&SimWorld::with_fs(1, fs.clone()).env(), "/data/first.om").unwrap();
    fs.settle();
    fs
}

/// So little memory that some goes to the disk in between.
fn import(env: &Env, file: &str) -> Outcome {
    let options = BackfillOptions { memory_bytes: 1000, ..BackfillOptions::default() };
    let mut backfill = Backfill::new(env, dir(), options)?;
    import_open_metrics(&*env.fs, Path::new(file), &[], &mut backfill)?;
    backfill.finish()?;
    Ok(())
}

/// What is there is sound and of the text or from before; with the import done again it is all.
fn check_import(env: &Env, before: &Lines, after: &Lines, is_done: bool) {
    let verified = verify(&*env.fs, dir()).unwrap();
    assert!(!verified.is_damaged(), "{:?}", verified.findings);
    let found = lines(env, dir());
    assert!(before.is_subset(&found) && found.is_subset(after));
    assert!(!is_done || found == *after, "blocks that were promised are gone");
    import(env, "/data/in.om").unwrap();
    assert_eq!(&lines(env, dir()), after);
    assert!(!env.fs.exists(&dir().join("backfill.tmp")).unwrap());
}

fn before_and_after() -> (SimFs, Lines, Lines) {
    let fs = text();
    let env = SimWorld::with_fs(LATER, fs.process_crash()).env();
    let before = lines(&env, dir());
    import(&env, "/data/in.om").unwrap();
    let after = lines(&env, dir());
    assert_eq!((before.len(), after.len()), (40, 80));
    (fs, before, after)
}

#[test]
fn an_import_that_is_cut_short_leaves_whole_blocks_only() {
    let (fs, before, after) = before_and_after();
    for mode in MODES {
        let test = CrashTest::new(mode).seed(LATER).start(&fs).states_per_point(1);
        let done = test.run(
            |env, done: &mut bool| {
                import(env, "/data/in.om")?;
                *done = true;
                Outcome::Ok(())
            },
            |env, done| check_import(env, &before, &after, *done),
        );
        println!("{mode:?}: {done:?}");
        assert!(done.states > 60, "{done:?}");
    }
}

#[test]
fn no_failing_call_of_an_import_leaves_a_part_of_a_block() {
    let (fs, before, after) = before_and_after();
    let mut failed = 0;
    for (failure, stride) in [(Failure::NoSpace, 7), (Failure::Io, 11), (Failure::Short(1), 13)] {
        for n in (1..).step_by(stride) {
            let fs = fs.process_crash();
            let env = SimWorld::with_fs(LATER, fs.clone()).env();
            let calls = fs.calls();
            fs.fail_call(n, failure);
            let result = import(&env, "/data/in.om");
            if fs.calls() < calls + n {
                assert!(n > 100, "only {n} calls");
                break;
            }
            failed += usize::from(result.is_err());
            check_import(&SimWorld::with_fs(LATER + n, fs).env(), &before, &after, result.is_ok());
        }
    }
    assert!(failed > 20, "{failed} imports failed");
}

/// Deletes the first series from every block of a directory.
fn delete_from_blocks(env: &Env, dir: &Path) -> Outcome {
    let of = Matcher::new("i", MatchOp::Equal, "0")?;
    for block in blocks(&*env.fs, dir) {
        let block = Block::open(&*env.fs, &block)?;
        block.delete(&*env.fs, std::slice::from_ref(&of), TimeRange::ALL, &budget())?;
    }
    Ok(())
}

/// What a scenario was promised: where the snapshot is, and what was deleted.
#[derive(Clone, Debug, Default)]
struct Promised {
    snapshot: Option<PathBuf>,
    deleting: bool,
    deleted: bool,
}

/// The samples of the series that is deleted, and of the others.
fn parts(lines: &Lines) -> (usize, Lines) {
    let gone = dump_of(0);
    let others: Lines = lines.iter().filter(|l| !l.starts_with(&gone)).cloned().collect();
    (lines.len() - others.len(), others)
}

fn dump_of(i: usize) -> String {
    skopos_tsdb::tool::text::dump_labels(&series(i))
}

/// One of the two directories was deleted from, as far as was promised; the other has all it had.
fn check_apart(env: &Env, deleted_from: &Path, other: &Path, promised: &Promised, all: &Lines) {
    assert_eq!(&lines(env, other), all, "what was deleted elsewhere is gone here");
    let (gone, kept) = parts(&lines(env, deleted_from));
    let (before, others) = parts(all);
    assert_eq!(kept, others, "a series is gone that was not deleted");
    assert!(gone == before || promised.deleting, "{gone} of {before}");
    assert!(gone == 0 || !promised.deleted, "what was deleted is back");
}

#[test]
fn a_snapshot_has_what_is_deleted_from_its_database_later() {
    let fs = sound();
    let all = lines(&SimWorld::with_fs(1, fs.process_crash()).env(), dir());
    let life = |env: &Env, promised: &mut Promised| -> Outcome {
        let db = Db::open(dir(), options(), env)?;
        let name = db.snapshot(SnapshotOf::BlocksAndHead)?;
        promised.snapshot = Some(dir().join("snapshots").join(name));
        promised.deleting = true;
        let of = Matcher::new("i", MatchOp::Equal, "0")?;
        db.delete_series(&[of], TimeRange::ALL, &budget())?;
        promised.deleted = true;
        db.clean_tombstones()?;
        append(&db, 16..20)?;
        db.maintain()?;
        Ok(())
    };
    for mode in MODES {
        let done =
            CrashTest::new(mode).seed(LATER).start(&fs).states_per_point(1).run(life, |env, promised| {
                drop(Db::open(dir(), options(), env).unwrap());
                if let Some(snapshot) = &promised.snapshot {
                    assert_eq!(lines(env, snapshot), all, "the snapshot is not what it was");
                }
                let mut found = lines(env, dir());
                found.retain(|line| {
                    line.rsplit(' ').next().unwrap().trim().parse::<i64>().unwrap() < 16 * 250
                });
                let (gone, kept) = parts(&found);
                let (before, others) = parts(&all);
                assert_eq!(kept, others);
                assert!(gone == before || promised.deleting);
                assert!(gone == 0 || !promised.deleted, "what was deleted is back");
            });
        println!("{mode:?}: {done:?}");
        assert!(done.states > 100, "{done:?}");
    }
}

#[test]
fn a_database_has_what_is_deleted_from_its_snapshot_later() {
    let fs = sound();
    let snapshot = SimWorld::with_fs(LATER, fs.clone()).run(|env| {
        let db = Db::open(dir(), options(), env).unwrap();
        let name = db.snapshot(SnapshotOf::BlocksAndHead).unwrap();
        db.close().unwrap();
        dir().join("snapshots").join(name)
    });
    fs.settle();
    let all = lines(&SimWorld::with_fs(1, fs.process_crash()).env(), dir());
    for mode in MODES {
        let done = CrashTest::new(mode).seed(LATER + 1).start(&fs).states_per_point(1).run(
            |env, promised: &mut Promised| -> Outcome {
                promised.deleting = true;
                delete_from_blocks(env, &snapshot)?;
                promised.deleted = true;
                let db = Db::open(&snapshot, options(), env)?;
                db.clean_tombstones()?;
                db.maintain()?;
                Ok(())
            },
            |env, promised| {
                drop(Db::open(&snapshot, options(), env).unwrap());
                check_apart(env, &snapshot, dir(), promised, &all);
            },
        );
        println!("{mode:?}: {done:?}");
        assert!(done.states > 60, "{done:?}");
    }
}
