//! `expired_blocks`: which blocks are too old or too much for the disk. Decides by times and sizes alone;
//! removes nothing.

use crate::block::BlockId;
use skopos_base::fs::DiskSpace;
use skopos_model::{DurationMs, TimestampMs};
use std::{cmp::Reverse, collections::BTreeMap};

/// Of the whole, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskShare(u16);

impl DiskShare {
    const WHOLE: u16 = 10_000;

    /// So many percent; none unless more than 0 and at most 100.
    pub fn from_percent(percent: f64) -> Option<Self> {
        let share = (percent * 100.0).round();
        (share >= 1.0 && share <= f64::from(Self::WHOLE)).then_some(Self(share as u16))
    }

    /// That share of `total`.
    pub fn of(self, total: u64) -> u64 {
        (u128::from(total) * u128::from(self.0) / u128::from(Self::WHOLE)) as u64
    }
}

/// What blocks, WAL and head chunks may take. Each limit counts for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionLimits {
    /// A block goes when all of it is so much older than the newest block, or than now where that one ends
    /// later (`--storage.tsdb.retention.time`).
    pub time: Option<DurationMs>,
    /// The oldest blocks go when there is more than this (`--storage.tsdb.retention.size`).
    pub bytes: Option<u64>,
    /// As `bytes`, as a share of the disk (`--storage.tsdb.retention.percentage`).
    pub disk: Option<DiskShare>,
}

/// Fifteen days, as in Prometheus.
impl Default for RetentionLimits {
    fn default() -> Self {
        Self { time: Some(DurationMs::from_secs(15 * 86_400)), bytes: None, disk: None }
    }
}

/// A block as retention sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its name.
    pub id: BlockId,
    /// The time behind its latest.
    pub max_time: TimestampMs,
    /// All its files.
    pub bytes: u64,
}

/// Which limit a block goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// It is too old.
    Time,
    /// There is too much.
    Size,
}

/// What retention looks at besides blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The wall clock. A block that ends later makes none old.
    pub now: TimestampMs,
    /// WAL, out-of-order log and head chunks: they count, but blocks go for them.
    pub head_bytes: u64,
    /// The disk that holds the data; not needed without `RetentionLimits::disk`.
    pub disk: Option<DiskSpace>,
}

/// The blocks that are beyond a limit. When one goes, all older ones go too, so that no hole opens. The
/// newest block never goes for its age, but may for its size.
pub fn expired_blocks(
    blocks: &[StoredBlock],
    limits: &RetentionLimits,
    surroundings: Surroundings,
) -> BTreeMap<BlockId, Expired> {
    let mut newest_first: Vec<&StoredBlock> = blocks.iter().collect();
    newest_first.sort_by_key(|b| Reverse((b.max_time, b.id)));
    let mut out = BTreeMap::new();
    let Some(newest) = newest_first.first().map(|b| b.max_time.min(surroundings.now)) else { return out };
    let too_old = |b: &StoredBlock| limits.time.is_some_and(|time| newest.since(b.max_time) >= time);
    let first = newest_first.iter().skip(1).position(|b| too_old(b)).map_or(blocks.len(), |at| at + 1);
    out.extend(newest_first[first..].iter().map(|b| (b.id, Expired::Time)));

    let share = limits.disk.zip(surroundings.disk).map(|(share, disk)| share.of(disk.total));
    let Some(most) = [limits.bytes, share].into_iter().flatten().min() else { return out };
    let mut held = surroundings.head_bytes;
    for block in newest_first {
        held = held.saturating_add(block.bytes);
        if held > most {
            out.entry(block.id).or_insert(Expired::Size);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(id: u128, max_time: i64, bytes: u64) -> StoredBlock {
        StoredBlock { id: BlockId::new(id), max_time: TimestampMs::new(max_time), bytes }
    }

    const NONE: RetentionLimits = RetentionLimits { time: None, bytes: None, disk: None };

    fn check(blocks: &[StoredBlock], limits: RetentionLimits, head_bytes: u64, expected: &[(u128, Expired)]) {
        let surroundings = Surroundings {
            now: TimestampMs::new(100),
            head_bytes,
            disk: Some(DiskSpace { total: 1000, available: 10 }),
        };
        let got = expired_blocks(blocks, &limits, surroundings);
        assert_eq!(got, expected.iter().map(|(id, why)| (BlockId::new(*id), *why)).collect());
    }

    #[test]
    fn age_counts_from_the_newest_block() {
        let blocks = [block(1, 20, 1), block(2, 40, 1), block(3, 60, 1), block(4, 80, 1)];
        let time = |ms| RetentionLimits { time: Some(DurationMs::from_ms(ms)), ..NONE };
        check(&[], time(1), 0, &[]);
        check(&blocks[..1], time(0), 0, &[]);
        check(&blocks, time(61), 0, &[]);
        check(&blocks, time(60), 0, &[(1, Expired::Time)]);
        check(&blocks, time(40), 0, &[(1, Expired::Time), (2, Expired::Time)]);
        check(&blocks, time(0), 0, &[(1, Expired::Time), (2, Expired::Time), (3, Expired::Time)]);
        check(&blocks, NONE, u64::MAX, &[]);
    }

    #[test]
    fn a_block_of_the_future_makes_none_old() {
        let blocks = [block(1, 20, 1), block(2, 40, 1), block(3, 400_000, 1)];
        let time = |ms| RetentionLimits { time: Some(DurationMs::from_ms(ms)), ..NONE };
        check(&blocks, time(81), 0, &[]);
        check(&blocks, time(80), 0, &[(1, Expired::Time)]);
        check(&blocks, time(60), 0, &[(1, Expired::Time), (2, Expired::Time)]);
    }

    #[test]
    fn size_counts_from_the_newest_block_and_with_the_head() {
        let blocks = [block(3, 60, 30), block(1, 20, 10), block(2, 40, 20)];
        let bytes = |n| RetentionLimits { bytes: Some(n), ..NONE };
        check(&blocks, bytes(60), 0, &[]);
        check(&blocks, bytes(60), 1, &[(1, Expired::Size)]);
        check(&blocks, bytes(49), 0, &[(1, Expired::Size), (2, Expired::Size)]);
        check(&blocks, bytes(29), 0, &[(1, Expired::Size), (2, Expired::Size), (3, Expired::Size)]);
        // A small old block does not stay behind a large one that goes.
        check(
            &[block(2, 40, 90), block(1, 20, 1), block(3, 60, 5)],
            bytes(50),
            0,
            &[(1, Expired::Size), (2, Expired::Size)],
        );
    }

    #[test]
    fn a_share_of_the_disk_is_a_size() {
        let blocks = [block(1, 20, 100), block(2, 40, 100)];
        let limits = |percent| RetentionLimits { disk: DiskShare::from_percent(percent), ..NONE };
        check(&blocks, limits(20.0), 0, &[]);
        check(&blocks, limits(19.99), 0, &[(1, Expired::Size)]);
        check(&blocks, RetentionLimits { bytes: Some(150), ..limits(50.0) }, 0, &[(1, Expired::Size)]);
        for (percent, total) in
            [(0.01, Some(1)), (100.0, Some(10_000)), (0.0, None), (100.1, None), (f64::NAN, None)]
        {
            assert_eq!(DiskShare::from_percent(percent).map(|s| s.of(10_000)), total);
        }
        let unknown = Surroundings { now: TimestampMs::new(100), head_bytes: 0, disk: None };
        assert!(expired_blocks(&blocks, &limits(1.0), unknown).is_empty());
    }

    #[test]
    fn both_limits_count_and_age_is_named_first() {
        let blocks = [block(1, 20, 10), block(2, 40, 10), block(3, 60, 10)];
        let limits = RetentionLimits { time: Some(DurationMs::from_ms(40)), bytes: Some(15), ..NONE };
        check(&blocks, limits, 0, &[(1, Expired::Time), (2, Expired::Size)]);
    }
}
