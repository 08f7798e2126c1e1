//! What goes from the head once it is in a block: chunks, series without samples, whole head chunk files.
//! Never takes what a living reader or batch needs, and never stops ingestion.

use super::{Head, isolation::GivenUp, series::SeriesIndex, wal_ref::WalRef};
use crate::stats::Stats;
use skopos_base::sync::atomic::Ordering;
use skopos_model::TimestampMs;
use skopos_storage::TimeRange;

/// Series looked at before the table is let go.
const STRIDE: usize = 256;

/// A living reader may still ask for what was to go: try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reader still needs samples of before the time of truncation: try again later")]
pub struct Busy;

/// What a truncation took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truncated {
    /// Chunks, open ones among them.
    pub chunks: usize,
    /// The WAL's numbers of the series that went, growing. A checkpoint keeps their names as long as there
    /// are segments with samples of them.
    pub series: Vec<u64>,
    /// The WAL's numbers of the series that are left, growing: what a checkpoint names.
    pub alive: Vec<u64>,
    /// Head chunk files.
    pub files: usize,
}

impl Head {
    /// The block that may be cut: the first one, once the head spans one and a half of them. Both ends belong
    /// to it. Samples of it are refused from the moment on when its chunks are asked for (`cut_chunks`).
    pub(crate) fn cuttable(&self) -> Option<TimeRange> {
        let block_ms = self.options.min_block_duration.as_ms().max(1);
        let TimeRange { min, max } = self.time_range()?;
        if max.as_ms().saturating_sub(min.as_ms()) <= block_ms.saturating_add(block_ms / 2) {
            return None;
        }
        let start = min.as_ms() - min.as_ms().rem_euclid(block_ms);
        let end = start.saturating_add(block_ms - 1);
        Some(TimeRange { min: TimestampMs::new(start), max: TimestampMs::new(end) })
    }

    /// The time before which samples belong to blocks.
    pub(crate) fn min_valid_ms(&self) -> i64 {
        self.min_valid_ms.load(Ordering::Acquire)
    }

    /// From now on samples before `time` belong to blocks: none is appended any more. When it returns, no
    /// commit is under way that does.
    pub(crate) fn refuse_before(&self, time: TimestampMs) {
        let _no_commit = self.commit.lock();
        self.min_valid_ms.fetch_max(time.as_ms(), Ordering::AcqRel);
    }

    /// Has later readers see no sample in order of before `time`, which blocks have; late ones stay to be
    /// seen. Nothing is dropped.
    pub(crate) fn see_from(&self, time: TimestampMs) {
        self.refuse_before(time);
        let first = TimestampMs::new(self.min_ms.load(Ordering::Acquire));
        let _older_readers = self.readers.give_up(GivenUp { first, floor: time });
        let _no_commit = self.commit.lock();
        self.min_ms.fetch_max(time.as_ms(), Ordering::AcqRel);
    }

    /// Up to where the head has no sample, at least `time`, before which it has none: a gap of months is
    /// passed over in one step. From now on no sample of before is taken.
    pub(crate) fn empty_until(&self, time: TimestampMs) -> TimestampMs {
        let block_ms = self.options.min_block_duration.as_ms().max(1);
        let Some(TimeRange { max: newest, .. }) = self.time_range() else { return time };
        let aligned = |ms: i64| ms - ms.rem_euclid(block_ms);
        // No batch begun now may have a sample of before.
        let most = aligned(newest.as_ms().saturating_sub(block_ms)).max(time.as_ms());
        self.refuse_before(TimestampMs::new(most));
        let all: Vec<u32> = self.registry.postings().all().to_vec();
        let mut oldest = most;
        for part in all.chunks(STRIDE) {
            let table = self.registry.table();
            let series = part.iter().filter_map(|index| table.get(SeriesIndex(*index)));
            oldest = series.filter_map(|s| s.oldest_ms()).fold(oldest, i64::min);
        }
        TimestampMs::new(aligned(oldest).max(time.as_ms()))
    }

    /// Drops the chunks that end before `time`, the series that have no sample then, and head chunk files.
    /// The samples must be in a block that queries read already: later readers of the head see none of them.
    /// So a view of both takes the head's first and then the list of blocks.
    ///
    /// # Errors
    /// While a reader that began before asks for samples of before `time`. Nothing is dropped then.
    pub(crate) fn truncate_before(&self, time: TimestampMs) -> Result<Truncated, Busy> {
        let before_ms = time.as_ms();
        self.refuse_before(time);
        let first = TimestampMs::new(self.min_ms.load(Ordering::Acquire));
        if self.readers.give_up(GivenUp { first, floor: time }) {
            return Err(Busy);
        }
        let mut truncated = Truncated::default();
        let emptied = self.drop_chunks(before_ms, &mut truncated);
        self.remove_series(&emptied, &mut truncated);
        {
            let _no_commit = self.commit.lock();
            self.min_ms.fetch_max(before_ms, Ordering::AcqRel);
        }
        // Late samples may be older; those of now are looked for, and those to come are in later files.
        let next_file = self.chunks.begin_file();
        let keep_from = self.first_late_file().map_or(next_file, |file| file.min(next_file));
        match self.chunks.truncate(before_ms, keep_from) {
            Ok(files) => truncated.files = files,
            Err(e) => tracing::warn!(error = %e, "head chunk files stay until the next truncation"),
        }
        truncated.alive = self.wal_refs();
        Ok(truncated)
    }

    /// The time of the first sample that the head has when those before `before` are gone; late ones stay.
    pub(crate) fn first_from(&self, before: TimestampMs) -> TimestampMs {
        self.late.time_range().map_or(before, |late| late.min.min(before))
    }

    fn wal_refs(&self) -> Vec<u64> {
        let table = self.registry.table();
        let mut refs: Vec<u64> = table.iter().map(|s| s.wal_ref().get()).collect();
        let mut older = self.older_refs.lock();
        older.retain(|(series, _)| table.get(*series).is_some());
        refs.extend(older.iter().map(|(_, wal_ref)| wal_ref.get()));
        refs.sort_unstable();
        refs.dedup();
        refs
    }

    /// Returns the series without samples.
    fn drop_chunks(&self, before_ms: i64, truncated: &mut Truncated) -> Vec<SeriesIndex> {
        let all: Vec<u32> = self.registry.postings().all().to_vec();
        let mut emptied = Vec::new();
        for part in all.chunks(STRIDE) {
            let table = self.registry.table();
            for index in part.iter().map(|i| SeriesIndex(*i)) {
                let Some(series) = table.get(index) else { continue };
                truncated.chunks += series.truncate_before(before_ms);
                if series.is_empty() {
                    emptied.push(index);
                }
            }
        }
        Stats::sub(&self.stats.chunks, truncated.chunks as u64);
        emptied
    }

    fn remove_series(&self, emptied: &[SeriesIndex], truncated: &mut Truncated) {
        let wal_ref = |i: &SeriesIndex| Some((*i, self.registry.table().get(*i)?.wal_ref()));
        let candidates: Vec<(SeriesIndex, WalRef)> = emptied.iter().filter_map(wal_ref).collect();
        let oldest = self.batches.oldest();
        let removed = self.registry.remove_if(emptied, |s| s.is_abandoned(oldest));
        Stats::sub(&self.stats.series, removed as u64);
        let gone = candidates.iter().filter(|(i, _)| self.registry.table().get(*i).is_none());
        truncated.series = gone.map(|(_, wal_ref)| wal_ref.get()).collect();
        truncated.series.sort_unstable();
    }
}
