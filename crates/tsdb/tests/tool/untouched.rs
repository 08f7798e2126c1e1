//! What only reads changes nothing: not a byte, not a name, whatever is damaged.

use crate::common::{DIR, damaged, lines, sound};
use skopos_base::sim::SimWorld;
use skopos_tsdb::tool::{
    listing::list_blocks,
    repair::{RepairMode, Repaired, repair},
    verify::verify,
};
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
