//! `LateReplay`: samples out of order back into their series, each time of a series once. What the
//! write-behind log has comes first, then what the WAL alone has: the end of both differs after a
//! crash.
//!
//! A sample of the WAL is late when its series had a later one before it in the WAL. Whether a chunk on
//! disk has it is seen by its time, so that nothing depends on the markers of the write-behind log,
//! which may speak of chunks that were lost. What the WAL alone has goes to the write-behind log too: nobody
//! would know later that it is not there, when the WAL is shortened or a snapshot stands for it.

use crate::{
    head::{
        Head,
        out_of_order::{Records, late_value},
        series::{LateValue, SeriesIndex},
    },
    stats::Stats,
    wal::record::WalHistogram,
};
use skopos_model::TimestampMs;
use std::collections::{HashMap, HashSet};

/// So many samples of the WAL wait for the write-behind log. With more, the value that came first may lose
/// against another one of the same time.
const MAX_WAITING: usize = 4 << 20;

/// See above.
#[derive(Debug, Default)]
pub(super) struct LateReplay {
    /// The time of the newest sample that the WAL has had so far, by series, and of all.
    newest_ms: Vec<i64>,
    newest_of_all_ms: i64,
    /// Samples before this time are in blocks, or late.
    min_valid_ms: i64,
    /// What is so much older than the newest sample of all is taken out of order alone.
    window_ms: i64,
    /// For the write-behind log.
    records: Records,
    waiting: Vec<(SeriesIndex, i64, LateValue)>,
    /// The times of the late samples of a series.
    known: HashMap<SeriesIndex, HashSet<i64>>,
    stored: u64,
    range_ms: Option<(i64, i64)>,
}

impl LateReplay {
    /// `newest_ms`: the newest samples of the part of the WAL that a snapshot stands for.
    pub(super) fn new(head: &Head, newest_ms: Vec<i64>) -> Self {
        let newest_of_all_ms = newest_ms.iter().copied().max().unwrap_or(i64::MIN);
        let (min_valid_ms, window_ms) = (head.min_valid_ms(), head.options.min_block_duration.as_ms() / 2);
        Self { newest_ms, newest_of_all_ms, min_valid_ms, window_ms, ..Self::default() }
    }

    /// Whether a sample that stands next in the WAL came out of order. The first one of its series did when
    /// no block that was cut before can have it.
    #[inline]
    pub(super) fn is_late(&mut self, series: SeriesIndex, timestamp_ms: i64) -> bool {
        let at = series.0 as usize;
        if self.newest_ms.len() <= at {
            self.newest_ms.resize(at + 1, i64::MIN);
        }
        let newest = &mut self.newest_ms[at];
        let late = timestamp_ms < *newest
            || (timestamp_ms < self.min_valid_ms
                && timestamp_ms < self.newest_of_all_ms.saturating_sub(self.window_ms));
        *newest = (*newest).max(timestamp_ms);
        self.newest_of_all_ms = self.newest_of_all_ms.max(timestamp_ms);
        late
    }

    /// Keeps a sample of the WAL until the write-behind log is read.
    #[cold]
    pub(super) fn wait(&mut self, head: &Head, series: SeriesIndex, timestamp_ms: i64, value: LateValue) {
        self.waiting.push((series, timestamp_ms, value));
        if self.waiting.len() >= MAX_WAITING {
            self.apply_waiting(head);
        }
    }

    pub(super) fn wait_histogram(&mut self, head: &Head, series: SeriesIndex, sample: &WalHistogram) {
        self.wait(head, series, sample.timestamp_ms, late_value(&sample.value));
    }

    /// Stores a sample, unless there is a late one of its time; whether it did.
    pub(super) fn insert(
        &mut self,
        head: &Head,
        index: SeriesIndex,
        timestamp_ms: i64,
        value: LateValue,
    ) -> bool {
        let table = head.registry.table();
        let Some(series) = table.get(index) else { return false };
        let known = self.known.entry(index).or_insert_with(|| {
            let times = series.late_times(&head.chunks).unwrap_or_else(|error| {
                tracing::warn!(%error, "chunks of samples out of order cannot be read");
                Vec::new()
            });
            times.into_iter().collect()
        });
        if !known.insert(timestamp_ms) {
            return false;
        }
        let mut closed = Vec::new();
        let timestamp = TimestampMs::new(timestamp_ms);
        let stored = series.insert_late(timestamp, value, head.replay_view(), &mut closed);
        if stored {
            self.stored += 1;
            let (min, max) = self.range_ms.unwrap_or((timestamp_ms, timestamp_ms));
            self.range_ms = Some((min.min(timestamp_ms), max.max(timestamp_ms)));
        }
        Stats::add(&head.stats.chunks, closed.len() as u64);
        stored
    }

    fn apply_waiting(&mut self, head: &Head) {
        for (index, timestamp_ms, value) in std::mem::take(&mut self.waiting) {
            let wal_ref = head.registry.table().get(index).map(|series| series.wal_ref());
            if let Some(wal_ref) = wal_ref
                && self.insert(head, index, timestamp_ms, value.clone())
            {
                self.records.late(wal_ref, timestamp_ms, value);
            }
        }
    }

    /// Stores what is left.
    pub(super) fn finish(mut self, head: &Head) {
        self.apply_waiting(head);
        if let Some(range_ms) = self.range_ms {
            head.late.saw(range_ms);
        }
        head.late.found(self.records.finish());
        Stats::add(&head.stats.replayed_samples, self.stored);
    }
}
