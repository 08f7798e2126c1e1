//! `LateReplay`: samples out of order back into their series, each time of a series once. What the
//! write-behind log has comes first, then what the WAL alone has: the end of both differs after a
//! crash. So samples of the WAL wait until the write-behind log is read. When they are too many to wait, the
//! log is asked which of them it has: those are left to it, and the others are stored, since nothing of the
//! log has their times.
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

/// So many bytes of samples are made records at once.
const RECORDS_BYTES: usize = 1 << 20;

/// A sample of the WAL that waits for the write-behind log.
#[derive(Debug)]
struct Waiting {
    series: SeriesIndex,
    timestamp_ms: i64,
    value: LateValue,
}

impl Waiting {
    fn key(&self) -> (SeriesIndex, i64) {
        (self.series, self.timestamp_ms)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.value.heap_bytes()
    }
}

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
    records_bytes: usize,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
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

    /// Keeps a sample of the WAL until the write-behind log is read, or asked.
    #[cold]
    pub(super) fn wait(&mut self, series: SeriesIndex, timestamp_ms: i64, value: LateValue) {
        let sample = Waiting { series, timestamp_ms, value };
        self.waiting_bytes += sample.bytes();
        self.waiting.push(sample);
    }

    pub(super) fn wait_histogram(&mut self, series: SeriesIndex, sample: &WalHistogram) {
        self.wait(series, sample.timestamp_ms, late_value(&sample.value));
    }

    /// Whether as many samples wait as may.
    #[inline]
    pub(super) fn is_full(&self, head: &Head) -> bool {
        self.waiting_bytes >= head.options.replay_waiting_bytes.max(1)
    }

    /// Stores the samples that the write-behind log does not have, and forgets the others, which it has yet
    /// to bring. `each_logged` hands out what it has.
    ///
    /// # Errors
    /// Those of `each_logged`.
    pub(super) fn store_unlogged<E>(
        &mut self,
        head: &Head,
        each_logged: impl FnOnce(&mut dyn FnMut(SeriesIndex, i64)) -> Result<(), E>,
    ) -> Result<(), E> {
        // Stable: of equal times the first one stays the first.
        self.waiting.sort_by_key(Waiting::key);
        self.waiting.dedup_by_key(|sample| sample.key());
        let mut logged = vec![false; self.waiting.len()];
        each_logged(&mut |series, timestamp_ms| {
            if let Ok(at) = self.waiting.binary_search_by_key(&(series, timestamp_ms), Waiting::key) {
                logged[at] = true;
            }
        })?;
        let mut logged = logged.into_iter();
        self.waiting.retain(|_| logged.next() == Some(false));
        self.apply_waiting(head);
        Ok(())
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
        self.waiting_bytes = 0;
        for sample in std::mem::take(&mut self.waiting) {
            let bytes = sample.bytes();
            let Waiting { series, timestamp_ms, value } = sample;
            let wal_ref = head.registry.table().get(series).map(|series| series.wal_ref());
            if let Some(wal_ref) = wal_ref
                && self.insert(head, series, timestamp_ms, value.clone())
            {
                self.records.late(wal_ref, timestamp_ms, value);
                self.records_bytes += bytes;
                if self.records_bytes >= RECORDS_BYTES {
                    self.records_bytes = 0;
                    head.late.found(std::mem::take(&mut self.records).finish());
                }
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
