//! `Tombstones`: spans of time that are deleted from series of the head; `Head::delete`, which adds some, and
//! `Head::forget_deleted`, which forgets what concerns blocks alone. Samples stay in their chunks: who reads
//! or cuts them leaves out what is deleted. Both stand in the WAL before in memory, at the place where it
//! happened, so that a start comes to have what memory had.

use super::{Head, select::select, series::SeriesIndex};
use crate::{
    block::BlockError,
    intervals::{Interval, Intervals},
    wal::{
        Wal,
        compress::Compressor,
        record::{WalTombstone, push_deletion_bound, push_tombstones},
    },
};
use skopos_base::sync::{
    RwLock,
    atomic::{AtomicBool, Ordering},
};
use skopos_model::{Matcher, TimestampMs};
use skopos_storage::{CommitError, QueryBudget, QueryError, TimeRange};
use std::{collections::HashMap, sync::Arc};

/// Series looked at before the table is let go.
const STRIDE: usize = 256;

/// Why samples were not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The series could not be found; nothing was deleted.
    #[error(transparent)]
    Select(#[from] QueryError),
    /// The log did not take it, or its disk does not say that it has it.
    #[error(transparent)]
    Log(#[from] CommitError),
    /// A block could not be read, or its deletions not be written.
    #[error(transparent)]
    Block(#[from] BlockError),
}

/// What is deleted, by series.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    /// Almost always nothing is deleted: then no lock is taken.
    any: AtomicBool,
    /// The log's bounds say of some that they count no more, and they do.
    held_back: AtomicBool,
    by_series: RwLock<HashMap<SeriesIndex, Arc<Intervals>>>,
}

impl Tombstones {
    /// What is deleted from a series; none when nothing is.
    #[inline]
    pub(crate) fn get(&self, series: SeriesIndex) -> Option<Arc<Intervals>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.by_series.read().get(&series).cloned()
    }

    /// All that is deleted, by series.
    pub(crate) fn all(&self) -> Vec<(SeriesIndex, Arc<Intervals>)> {
        self.by_series.read().iter().map(|(series, spans)| (*series, Arc::clone(spans))).collect()
    }

    /// Deletes a span from a series.
    pub(crate) fn add(&self, series: SeriesIndex, span: Interval) {
        let mut all = self.by_series.write();
        Arc::make_mut(all.entry(series).or_default()).add(span);
        self.any.store(true, Ordering::Release);
    }

    /// Deletes what the WAL says.
    pub(crate) fn add_logged(&self, series: SeriesIndex, tombstone: WalTombstone) {
        // Other writers may have put empty spans there.
        if let Some(span) = Interval::new(tombstone.min_ms, tombstone.max_ms) {
            self.add(series, span);
        }
    }

    /// Whether something is deleted before `first`.
    fn has_before(&self, first: TimestampMs) -> bool {
        let begins = |spans: &Intervals| spans.as_slice().first().map(|span| span.min_ms);
        self.any.load(Ordering::Acquire)
            && self.by_series.read().values().any(|spans| begins(spans).is_some_and(|at| at < first.as_ms()))
    }

    /// Forgets what a bound in the log says, as far as blocks are there that had it then: before
    /// `at_most`.
    pub(crate) fn forget_logged(&self, bound: TimestampMs, at_most: TimestampMs) {
        self.forget_before(bound.min(at_most));
        if self.has_before(bound) {
            self.held_back.store(true, Ordering::Release);
        }
    }

    /// Whether the log's bounds say of some that they count no more, and they do. From now on none is.
    pub(super) fn take_held_back(&self) -> bool {
        self.held_back.swap(false, Ordering::AcqRel)
    }

    /// They are not in the log as they should be.
    pub(super) fn give_back_held_back(&self) {
        self.held_back.store(true, Ordering::Release);
    }

    /// Forgets what is deleted before `first`.
    pub(crate) fn forget_before(&self, first: TimestampMs) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut all = self.by_series.write();
        all.retain(|_, spans| {
            Arc::make_mut(spans).forget_before(first.as_ms());
            !spans.is_empty()
        });
        all.shrink_to_fit();
        self.any.store(!all.is_empty(), Ordering::Release);
    }
}

impl Head {
    /// Deletes the samples of `range` of the series that fulfil all matchers; returns of how many series
    /// some may be deleted. When it returns it is durable. Later samples are not concerned, also where
    /// their times lie in `range`: a deletion ends with the newest sample that a series has. One that comes
    /// out of order into a deleted span is deleted with it, as with Prometheus, until what the head has of
    /// the span is in a block.
    pub(crate) fn delete(
        &self,
        wal: &Wal,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &QueryBudget,
    ) -> Result<usize, DeleteError> {
        let ids = select(&self.registry, matchers, budget)?;
        let mut deleted: Vec<(SeriesIndex, WalTombstone)> = Vec::new();
        {
            // No commit is under way, so that the newest samples are known and the log has those of before.
            let _no_commit = self.commit.lock();
            let mut min = self.min_ms.load(Ordering::Acquire);
            if self.contradicted.were_found() {
                min = min.min(self.min_valid_ms());
            }
            let min_ms = self.first_from(TimestampMs::new(min)).max(range.min).as_ms();
            for part in ids.chunks(STRIDE) {
                let table = self.registry.table();
                deleted.extend(part.iter().filter_map(|id| {
                    let series = table.get(SeriesIndex(*id))?;
                    let late = series.late_extent().map_or(TimestampMs::MIN, |late| late.range.max);
                    let max_ms = series.newest_ms().max(late.as_ms()).min(range.max.as_ms());
                    let tombstone = WalTombstone { wal_ref: series.wal_ref().get(), min_ms, max_ms };
                    (min_ms <= max_ms).then_some((series.index, tombstone))
                }));
            }
            if deleted.is_empty() {
                return Ok(0);
            }
            let mut record = Vec::new();
            deleted.iter().for_each(|(_, tombstone)| push_tombstones(&mut record, &[*tombstone]));
            let mut compressed = Vec::new();
            let how = self.options.wal_compression;
            self.log_names_due(wal)?;
            wal.log(&[Compressor::default().compress(how, &record, &mut compressed)])?;
            for (series, tombstone) in &deleted {
                self.tombstones.add_logged(*series, *tombstone);
            }
        }
        wal.sync()?;
        Ok(deleted.len())
    }

    /// Forgets what is deleted before the first sample that the head has, late ones counted: blocks have what
    /// it concerns. What comes late into such a span from now on is not deleted.
    ///
    /// # Errors
    /// When the log does not take it. Then nothing is forgotten, and it is to be tried again.
    pub(crate) fn forget_deleted(&self, wal: &Wal) -> Result<(), CommitError> {
        let _no_commit = self.commit.lock();
        let first = self.first_from(TimestampMs::new(self.min_ms.load(Ordering::Acquire)));
        if !self.tombstones.has_before(first) {
            return Ok(());
        }
        let (mut record, mut compressed) = (Vec::new(), Vec::new());
        push_deletion_bound(&mut record, first.as_ms(), &[]);
        wal.log(&[Compressor::default().compress(self.options.wal_compression, &record, &mut compressed)])?;
        self.tombstones.forget_before(first);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_sample_any_more_is_forgotten() {
        let tombstones = Tombstones::default();
        let (a, b) = (SeriesIndex(1), SeriesIndex(2));
        let add = |series, min, max| tombstones.add(series, Interval::new(min, max).unwrap());
        assert_eq!(tombstones.get(a), None);
        add(a, 1, 5);
        add(a, 10, 20);
        add(b, 3, 4);
        let before = tombstones.get(a).unwrap();
        tombstones.forget_before(TimestampMs::new(6));
        assert_eq!(tombstones.get(a).unwrap().as_slice(), [Interval { min_ms: 10, max_ms: 20 }]);
        assert_eq!((tombstones.get(b), before.as_slice().len()), (None, 2));
        tombstones.forget_before(TimestampMs::new(21));
        assert!(!tombstones.any.load(Ordering::Acquire));
    }
}
