//! Which blocks are chosen, case by case.

use super::*;
use crate::block::{BlockParent, Compaction};

/// A block from `min` to before `max`, named by its number; `t` is its tombstones and series, `failed` and
/// `deletable` its marks.
#[derive(Clone, Copy, Default)]
struct B {
    id: u128,
    min: i64,
    max: i64,
    tombstones: u64,
    series: u64,
    failed: bool,
    deletable: bool,
}

fn b(id: u128, min: i64, max: i64) -> B {
    B { id, min, max, ..B::default() }
}

fn meta(b: &B) -> BlockMeta {
    let compaction = Compaction { failed: b.failed, deletable: b.deletable, ..Compaction::default() };
    let (min, max) = (TimestampMs::new(b.min), TimestampMs::new(b.max));
    let mut meta = BlockMeta::new(BlockId::new(b.id), min, max, compaction);
    (meta.stats.num_tombstones, meta.stats.num_series) = (b.tombstones, b.series);
    meta
}

/// Blocks of 20, 60, 180, 540 and 1620.
fn planner() -> Planner {
    let planner = Planner::new(DurationMs::from_ms(20), DurationMs::from_ms(1620));
    let ranges: Vec<_> = planner.ranges().iter().map(|r| r.as_ms()).collect();
    assert_eq!(ranges, [20, 60, 180, 540, 1620]);
    planner
}

fn check(blocks: &[B], expected: &[u128]) {
    let metas: Vec<BlockMeta> = blocks.iter().map(meta).collect();
    let mut turned = metas.clone();
    turned.reverse();
    let plan = planner().plan(&metas);
    assert_eq!(plan, planner().plan(&turned), "the order of metas does not matter");
    let got: Vec<BlockId> = plan.map(|p| p.blocks).unwrap_or_default();
    assert_eq!(got, expected.iter().map(|id| BlockId::new(*id)).collect::<Vec<_>>());
}

#[test]
fn ranges_grow_threefold_up_to_the_longest() {
    let hours = |h: i64| DurationMs::from_secs(h * 3600);
    let ranges = |min, max| Planner::new(min, max).ranges().to_vec();
    assert_eq!(ranges(hours(2), hours(24 * 31)), [2, 6, 18, 54, 162, 486].map(hours));
    assert_eq!(ranges(hours(2), hours(2)), [hours(2)]);
    assert_eq!(ranges(hours(2), hours(1)), [hours(2)]);
    assert_eq!(ranges(hours(2), DurationMs::from_ms(i64::MAX)).len(), MAX_RANGES);
    assert_eq!(ranges(DurationMs::from_ms(i64::MAX), DurationMs::from_ms(i64::MAX)).len(), 1);
}

#[test]
fn few_blocks_are_left_alone() {
    check(&[], &[]);
    check(&[b(1, 0, 20)], &[]);
    check(&[b(1, 0, 20), b(2, 20, 40)], &[]);
    // Three fill the range of 60, but the newest stays out of it.
    check(&[b(1, 0, 20), b(2, 20, 40), b(3, 40, 60)], &[]);
}

#[test]
fn a_full_range_is_compacted_once_a_newer_block_is_there() {
    check(&[b(1, 0, 20), b(2, 20, 40), b(3, 40, 60), b(4, 60, 80)], &[1, 2, 3]);
    check(&[b(1, -60, -40), b(2, -40, -20), b(3, -20, 0), b(4, 0, 20)], &[1, 2, 3]);
    // Not aligned: 20 to 40 and 40 to 60 are of one range, 60 to 80 of the next.
    check(&[b(1, 20, 40), b(2, 40, 60), b(3, 60, 80)], &[]);
    // A block before the newest but one closes the range: nothing more comes into it.
    check(&[b(1, 20, 40), b(2, 40, 60), b(3, 60, 80), b(4, 80, 100)], &[1, 2]);
}

#[test]
fn gaps_do_not_hinder() {
    check(&[b(1, 0, 20), b(2, 40, 60), b(3, 60, 80)], &[1, 2]);
    check(&[b(1, 0, 20), b(2, 60, 80), b(3, 180, 200), b(4, 200, 220)], &[1, 2]);
    check(&[b(1, 0, 20), b(2, 60, 80), b(3, 80, 100), b(4, 120, 140), b(5, 180, 200)], &[2, 3]);
    // The range of 180 is neither filled nor closed: 120 to 180 may still come.
    check(&[b(1, 0, 60), b(2, 60, 120), b(3, 120, 140)], &[]);
}

#[test]
fn the_smallest_range_comes_first_and_in_it_the_oldest() {
    let blocks = [b(1, 0, 60), b(2, 60, 120), b(3, 120, 140), b(4, 140, 160), b(5, 160, 180), b(6, 180, 200)];
    check(&blocks, &[3, 4, 5]);
    check(&[b(1, 0, 60), b(2, 60, 120), b(3, 120, 180), b(4, 180, 200)], &[1, 2, 3]);
    let old = [b(1, 0, 20), b(2, 20, 40), b(3, 40, 60), b(4, 60, 80), b(5, 80, 100), b(6, 100, 120)];
    check(&[&old[..], &[b(7, 120, 140)]].concat(), &[1, 2, 3]);
    // Larger ranges follow the smaller ones.
    check(&[b(1, 0, 180), b(2, 180, 360), b(3, 360, 540), b(4, 540, 560)], &[1, 2, 3]);
    check(&[b(1, 0, 540), b(2, 540, 1080), b(3, 1080, 1620), b(4, 1620, 1640)], &[1, 2, 3]);
    check(&[b(1, 0, 1620), b(2, 1620, 3240), b(3, 3240, 4860), b(4, 4860, 4880)], &[]);
}

#[test]
fn blocks_that_fit_no_range_are_left_out_of_it() {
    // Longer than the longest range, or across its border.
    check(&[b(1, 0, 2000), b(2, 2000, 2020), b(3, 2020, 2040), b(4, 2040, 2060), b(5, 2060, 2080)], &[2, 3]);
    check(&[b(1, 10, 70), b(2, 80, 100), b(3, 100, 120), b(4, 120, 140), b(5, 140, 160)], &[2, 3]);
}

#[test]
fn overlaps_come_before_all_else() {
    check(&[b(1, 0, 20), b(2, 19, 40)], &[1, 2]);
    check(&[b(1, 0, 20), b(2, 20, 40), b(3, 40, 60), b(4, 60, 80), b(5, 60, 80)], &[4, 5]);
    // Within, around, and through one another.
    check(&[b(1, 0, 100), b(2, 10, 20), b(3, 30, 40), b(4, 100, 120)], &[1, 2, 3]);
    check(&[b(1, 0, 20), b(2, 10, 30), b(3, 25, 40), b(4, 40, 60)], &[1, 2, 3]);
    // Only the first group; the next is found when that is done.
    check(&[b(1, 0, 20), b(2, 0, 20), b(3, 20, 40), b(4, 40, 60), b(5, 40, 60)], &[1, 2]);
    check(&[b(1, 0, 20), b(2, 20, 40), b(3, 30, 50), b(4, 50, 70)], &[2, 3]);
}

#[test]
fn failed_blocks_are_never_chosen() {
    let failed = |b: B| B { failed: true, ..b };
    check(&[b(1, 0, 20), failed(b(2, 20, 40)), b(3, 40, 60), b(4, 60, 80)], &[]);
    let rest = [b(4, 60, 80), b(5, 80, 100), b(6, 100, 120), b(7, 120, 140)];
    check(&[&[b(1, 0, 20), failed(b(2, 20, 40)), b(3, 40, 60)], &rest[..]].concat(), &[4, 5, 6]);
    check(&[failed(b(1, 0, 20)), b(2, 0, 20)], &[]);
    check(&[failed(b(1, 0, 20)), b(2, 0, 20), b(3, 10, 20)], &[2, 3]);
    let deleted = B { tombstones: 10, series: 10, ..b(1, 0, 540) };
    check(&[failed(deleted), b(2, 540, 560)], &[]);
}

#[test]
fn blocks_marked_deletable_do_not_count() {
    let gone = |b: B| B { deletable: true, ..b };
    check(&[b(1, 0, 20), gone(b(2, 0, 20))], &[]);
    check(&[b(1, 0, 20), b(2, 20, 40), b(3, 40, 60), gone(b(4, 60, 80))], &[]);
}

#[test]
fn large_blocks_with_many_tombstones_are_cleaned() {
    let t = |b: B, tombstones, series| B { tombstones, series, ..b };
    // Of the ranges up to 1620 those from 180 on are large.
    check(&[t(b(1, 0, 540), 10, 100), b(2, 540, 560)], &[1]);
    check(&[t(b(1, 0, 540), 5, 100), b(2, 540, 560)], &[]);
    check(&[t(b(1, 0, 540), 6, 100), b(2, 540, 560)], &[1]);
    check(&[t(b(1, 0, 60), 10, 100), b(2, 60, 80)], &[]);
    check(&[t(b(1, 0, 60), 100, 100), b(2, 60, 80)], &[1]);
    check(&[t(b(1, 0, 540), 10, 100), t(b(2, 540, 1080), 10, 100), b(3, 1080, 1100)], &[2]);
    // The newest stays out of it.
    check(&[t(b(1, 0, 540), 10, 100)], &[]);
    // A small block that is not all deleted hides the older ones: they have been looked at before it came.
    check(&[t(b(1, 0, 540), 10, 100), b(2, 540, 560), b(3, 560, 580)], &[]);
}

#[test]
fn parents_and_empty_blocks_are_obsolete() {
    let mut child = meta(&b(9, 0, 60));
    let parent = |id| BlockParent {
        ulid: BlockId::new(id),
        min_time: TimestampMs::new(0),
        max_time: TimestampMs::new(20),
        other: Default::default(),
    };
    // A parent that is gone already is no matter; a block is not its own parent.
    child.compaction.parents = vec![parent(1), parent(2), parent(7), parent(9)];
    let empty = meta(&B { deletable: true, ..b(4, 60, 80) });
    let metas = [meta(&b(1, 0, 20)), meta(&b(2, 20, 40)), meta(&b(3, 40, 60)), empty, child];
    let ids = |ids: &[u128]| ids.iter().map(|id| BlockId::new(*id)).collect::<BTreeSet<_>>();
    assert_eq!(obsolete_blocks(&metas), ids(&[1, 2, 4]));
    assert_eq!(obsolete_blocks(&metas[..3]), ids(&[]), "without the successor its parents stay");
}
