//! `Planner`: which blocks are to become one, from their metas alone. Opens no file and changes nothing.
//!
//! The rules are those of Prometheus' levelled compaction, so that a directory that both programs have
//! worked on ends in the same blocks. One is stricter: a block whose compaction failed is never chosen
//! again, also where it overlaps with others or has many tombstones.

#[cfg(test)]
mod tests;

use crate::block::{BlockId, BlockMeta};
use skopos_model::{DurationMs, TimestampMs};
use std::collections::BTreeSet;

/// Each range is so many times the one before.
const STEP: i64 = 3;
/// No more ranges than this.
const MAX_RANGES: usize = 10;
/// A block with tombstones for more than this part of its series is written anew.
const TOMBSTONES_WORTH_CLEANING: f64 = 0.05;

/// Why blocks are compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanReason {
    /// Their times overlap.
    Overlap,
    /// They fill a larger range, or nothing more will come into it.
    Level(DurationMs),
    /// Much of the one block is deleted.
    Tombstones,
}

/// Blocks that are to become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What makes it worth it.
    pub reason: PlanReason,
    /// By their earliest times.
    pub blocks: Vec<BlockId>,
}

/// Decides by the lengths that blocks should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planner {
    /// Growing.
    ranges: Vec<DurationMs>,
}

impl Planner {
    /// Blocks of `min` grow threefold each time, up to `max`. A `max` below `min` counts as `min`: nothing is
    /// compacted but what overlaps.
    pub fn new(min: DurationMs, max: DurationMs) -> Self {
        let min = DurationMs::from_ms(min.as_ms().max(1));
        let longer = |range: &DurationMs| range.as_ms().checked_mul(STEP).map(DurationMs::from_ms);
        let all = std::iter::successors(Some(min), longer).take(MAX_RANGES);
        Self { ranges: all.take_while(|range| *range <= max.max(min)).collect() }
    }

    /// The lengths of blocks, growing.
    pub fn ranges(&self) -> &[DurationMs] {
        &self.ranges
    }

    /// What to compact next; none when all is well. Blocks that overlap come first, then the smallest
    /// range that is full, then blocks of which much is deleted. The newest block takes part only where
    /// it overlaps: it was just cut, and whoever copies new blocks elsewhere has time to.
    pub fn plan(&self, metas: &[BlockMeta]) -> Option<Plan> {
        let mut blocks: Vec<&BlockMeta> = metas.iter().filter(|m| !m.compaction.deletable).collect();
        blocks.sort_by_key(|m| (m.min_time, m.max_time, m.ulid));
        let plan = |reason, blocks: Vec<BlockId>| Some(Plan { reason, blocks });
        let overlapping = overlapping(&blocks);
        if !overlapping.is_empty() {
            return plan(PlanReason::Overlap, overlapping);
        }
        blocks.pop();
        if let Some((range, blocks)) = self.full_range(&blocks) {
            return plan(PlanReason::Level(range), blocks);
        }
        self.mostly_deleted(&blocks).and_then(|id| plan(PlanReason::Tombstones, vec![id]))
    }

    fn full_range(&self, blocks: &[&BlockMeta]) -> Option<(DurationMs, Vec<BlockId>)> {
        let newest = blocks.last()?.min_time;
        for range in self.ranges.get(1..)? {
            for part in split_by_range(blocks, *range) {
                let (first, last) = (part.first()?, part.last()?);
                let fills = last.max_time.since(first.min_time) == *range;
                let nothing_more_comes = last.max_time <= newest;
                let failed = part.iter().any(|m| m.compaction.failed);
                if part.len() > 1 && (fills || nothing_more_comes) && !failed {
                    return Some((*range, part.iter().map(|m| m.ulid).collect()));
                }
            }
        }
        None
    }

    /// The newest large block of which much is deleted. Small ones are compacted soon anyway; only one
    /// that is deleted altogether, as far as the count of tombstones tells, is worth it.
    fn mostly_deleted(&self, blocks: &[&BlockMeta]) -> Option<BlockId> {
        let large = self.ranges[self.ranges.len() / 2];
        for meta in blocks.iter().rev() {
            let (tombstones, series) = (meta.stats.num_tombstones, meta.stats.num_series);
            if meta.max_time.since(meta.min_time) < large {
                let all_deleted = tombstones > 0 && tombstones >= series && !meta.compaction.failed;
                return all_deleted.then_some(meta.ulid);
            }
            let part = tombstones as f64 / (series + 1) as f64;
            if part > TOMBSTONES_WORTH_CLEANING && !meta.compaction.failed {
                return Some(meta.ulid);
            }
        }
        None
    }
}

/// The first blocks that overlap, directly or through others; none when no two do. They stand by their times.
fn overlapping(blocks: &[&BlockMeta]) -> Vec<BlockId> {
    let mut out: Vec<BlockId> = Vec::new();
    let mut before: Option<(BlockId, TimestampMs)> = None;
    for meta in blocks.iter().filter(|m| !m.compaction.failed) {
        let end = match before {
            Some((id, end)) if meta.min_time < end => {
                if out.is_empty() {
                    out.push(id);
                }
                out.push(meta.ulid);
                end.max(meta.max_time)
            }
            _ if !out.is_empty() => break,
            _ => meta.max_time,
        };
        before = Some((meta.ulid, end));
    }
    out
}

/// Groups blocks by the aligned ranges that they lie in. A block that lies in none is in no group.
fn split_by_range<'a>(blocks: &[&'a BlockMeta], range: DurationMs) -> Vec<Vec<&'a BlockMeta>> {
    let range = range.as_ms();
    let mut out: Vec<Vec<&BlockMeta>> = Vec::new();
    let mut end = None;
    for meta in blocks {
        let fits = |end: i64| meta.max_time.as_ms() <= end;
        if end.is_some_and(fits)
            && let Some(group) = out.last_mut()
        {
            group.push(meta);
            continue;
        }
        let aligned = meta.min_time.as_ms().div_euclid(range).saturating_mul(range).saturating_add(range);
        end = fits(aligned).then_some(aligned);
        if end.is_some() {
            out.push(vec![meta]);
        }
    }
    out
}

/// The blocks that may go: those whose successor is among `metas`, and those that compaction left nothing
/// of. A crash between a new block and the removal of its parents leaves both; their samples must not be
/// counted twice, and none is lost with the parents. `metas` are those of blocks that can be read: a
/// successor that cannot must not take its parents with it.
pub fn obsolete_blocks(metas: &[BlockMeta]) -> BTreeSet<BlockId> {
    let parents =
        metas.iter().flat_map(|m| m.compaction.parents.iter().map(|p| p.ulid).filter(|p| *p != m.ulid));
    let parents: BTreeSet<BlockId> = parents.collect();
    let obsolete = |m: &&BlockMeta| m.compaction.deletable || parents.contains(&m.ulid);
    metas.iter().filter(obsolete).map(|m| m.ulid).collect()
}
