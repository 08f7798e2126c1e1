//! What only reads changes nothing: not a byte, not a name, whatever is damaged.

use crate::common::{DIR, append, blocks, damaged, lines, options, series, sound};
use skopos_base::{
    fs::Fs,
    sim::{SimFs, SimWorld},
};
use skopos_model::{DurationMs, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_tsdb::tool::{
    listing::list_blocks,
    repair::{RepairMode, Repaired, repair},
    verify::verify,
    view::DirView,
};
use skopos_tsdb::{Db, Options};
use std::path::Path;

/// What was done, without the names of new blocks, which a dry run cannot know.
fn told(done: Vec<Repaired>) -> Vec<Repaired> {
    let plain = |one| match one {
        Repaired::SetAside { block, lost_series, lost_chunks, notes, .. } => {
            Repaired::SetAside { block, replaced_by: None, lost_series, lost_chunks, notes }
        }
        other => other,
    };
    done.into_iter().map(plain).collect()
}

#[test]
fn looking_changes_nothing() {
    let dir = Path::new(DIR);
    for (fs, findings) in [(sound(), 0), (damaged(), 4)] {
        let before = fs.ops().len();
        let env = SimWorld::with_fs(2, fs.clone()).env();
        let verified = verify(&*env.fs, dir).unwrap();
        assert_eq!(verified.findings.len(), findings, "{:?}", verified.findings);
        let listed = list_blocks(&*env.fs, dir).unwrap();
        assert_eq!(listed.blocks.len() + listed.unread.len(), verified.blocks);
        if findings == 0 {
            assert_eq!(lines(&env, dir).len(), 32);
        }
        let ops = fs.ops();
        assert_eq!(ops.len(), before, "{:?}", &ops[before..]);
    }
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_a_repair_does() {
    let (dir, fs) = (Path::new(DIR), damaged());
    let before = fs.ops().len();
    let env = SimWorld::with_fs(2, fs.clone()).env();
    let said = repair(&env, dir, RepairMode::DryRun).unwrap();
    let ops = fs.ops();
    assert_eq!(ops.len(), before, "{:?}", &ops[before..]);
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(told(repair(&env, dir, RepairMode::Repair).unwrap()), said);
    assert_eq!(repair(&env, dir, RepairMode::Repair).unwrap(), []);
}

/// In order the head has nothing of before its cut; late samples it has.
#[test]
fn late_samples_of_before_the_cut_of_the_head_are_seen() {
    let (dir, fs) = (Path::new(DIR), SimFs::new(1));
    SimWorld::with_fs(1, fs.clone()).run(|env| {
        let options = Options { out_of_order_window: DurationMs::from_ms(60_000), ..options() };
        let db = Db::open(dir, options, env).unwrap();
        append(&db, 0..16).unwrap();
        assert!(db.maintain().unwrap().cut > 0);
        let before = lines(env, dir);
        let all: Vec<_> = (0..100).map(|i| (1 + i * 7, -1.0)).chain([(250, -2.0)]).collect();
        for (t, value) in &all {
            let mut batch = db.appender();
            let labels = series(0);
            batch.append(&Append::float(SeriesId::Labels(&labels), TimestampMs::new(*t), *value)).unwrap();
            batch.commit().unwrap();
        }
        db.sync().unwrap();
        let seen = lines(env, dir);
        let new: Vec<_> = seen.difference(&before).collect();
        assert_eq!(new.len(), 100, "{new:?}");
        // One contradicts what a block has.
        assert!(new.iter().all(|line| line.contains(" -1 ")), "{new:?}");
        assert!(before.is_subset(&seen));
        db.close().unwrap();
        assert_eq!(lines(env, dir), seen);
        // Whether samples out of order are taken is not said there; the WAL has them.
        env.fs.remove_dir_all(&dir.join("wbl")).unwrap();
        env.fs.remove_dir_all(&dir.join("chunks_head")).unwrap();
        assert_eq!(lines(env, dir), seen, "of the WAL alone");
    });
}

/// What is listed and not there is looked for once more, as by then it is listed no more; and no oftener.
#[test]
fn a_block_without_its_meta_is_an_error_at_the_second_look() {
    let (dir, fs) = (Path::new(DIR), sound());
    let env = SimWorld::with_fs(2, fs.clone()).env();
    let before = fs.calls();
    DirView::open(dir, &env).unwrap();
    let of_one_look = fs.calls() - before;
    let meta = blocks(&fs, dir)[0].join("meta.json");
    fs.remove_file(&meta).unwrap();
    let before = fs.calls();
    let error = DirView::open(dir, &env).unwrap_err().to_string();
    assert!(error.contains(meta.to_str().unwrap()), "{error}");
    let calls = fs.calls() - before;
    assert!(calls <= 2 * of_one_look, "{calls} calls, where one look takes {of_one_look}");
}

#[test]
fn a_write_behind_log_that_was_not_finished_is_left_over_and_repaired_away() {
    let (dir, fs) = (Path::new(DIR), sound());
    let env = SimWorld::with_fs(2, fs.clone()).env();
    let left = dir.join("wbl.tmp");
    fs.create_dir_all(&left).unwrap();
    let verified = verify(&*env.fs, dir).unwrap();
    assert!(!verified.is_damaged());
    assert_eq!(verified.findings.iter().map(|f| &f.path).collect::<Vec<_>>(), [&left]);
    assert_eq!(repair(&env, dir, RepairMode::Repair).unwrap(), [Repaired::Removed(left.clone())]);
    assert!(!fs.exists(&left).unwrap());
}
