//! `LateReplay`: samples out of order back into their series, each time of a series once. What the
//! write-behind log has comes first, then what the WAL alone has: the end of both differs after a
//! crash. So samples of the WAL wait until the write-behind log is read. When they are too many to wait, the
//! log is asked which of them it has: those are left to it, and the others are stored, since nothing of the
//! log has their times.
//!
//! A sample of the WAL is late when its series had a later one before it in the WAL. Whether a chunk on
//! disk has it is seen by its time, so that nothing depends on the markers of the write-behind log,
//! which may speak of chunks that were lost. What the write-behind log lacks of the WAL goes to it, also
//! where a chunk has it: nobody would know later that it is not there, when the WAL is shortened or a
//! snapshot stands for it.
//!
//! Memory: the samples of either log wait in a list, by series and time once it is stored, so that the times
//! which a series has already are looked up in its chunks, one chunk at a time, and none is kept. Both lists
//! together stay within `Options::replay_waiting_bytes`, also while one of them grows, whatever the logs
//! have, but for the samples of one batch; beyond that there is a chunk, and what the head itself holds.

use super::PROGRESS_EVERY;
use crate::{
    head::{
        Head,
        out_of_order::{Records, late_value},
        series::{LateValue, MemSeries, SeriesIndex},
    },
    stats::Stats,
    wal::record::WalHistogram,
};
use skopos_model::{DurationMs, TimestampMs};
use skopos_storage::TimeRange;
use std::time::Duration;

/// So many bytes of samples are made records at once.
const RECORDS_BYTES: usize = 1 << 20;
/// A list is full at this part of what may wait: it grows by a quarter, and may have its old place beside the
/// new one for a moment, so that both together never have more.
const LIST_PART: usize = 4;
/// A list has room for so many samples at least.
const LEAST_ROOM: usize = 16;
/// Samples stored before the clock is asked again.
const SAY_EVERY: u64 = 4096;

/// A sample that waits.
#[derive(Debug)]
struct Waiting {
    series: SeriesIndex,
    /// Its place among those that wait.
    nth: u32,
    timestamp_ms: i64,
    value: LateValue,
}

impl Waiting {
    fn key(&self) -> (SeriesIndex, i64) {
        (self.series, self.timestamp_ms)
    }
}

/// Samples that wait, in the order in which they came.
#[derive(Debug, Default)]
struct List {
    samples: Vec<Waiting>,
    /// Of their values, beside the list itself.
    heap_bytes: usize,
}

impl List {
    fn push(&mut self, series: SeriesIndex, timestamp_ms: i64, value: LateValue) {
        let len = self.samples.len();
        if len == self.samples.capacity() {
            self.samples.reserve_exact((len / 4).max(LEAST_ROOM));
        }
        self.heap_bytes += value.heap_bytes();
        self.samples.push(Waiting { series, nth: len as u32, timestamp_ms, value });
    }

    fn is_full(&self, head: &Head) -> bool {
        let bytes = size_of_val(&*self.samples) + self.heap_bytes;
        bytes >= (head.options.replay_waiting_bytes / LIST_PART).max(1) || self.samples.len() > MOST_SAMPLES
    }

    fn bytes(&self) -> usize {
        self.samples.capacity() * size_of::<Waiting>() + self.heap_bytes
    }

    /// By series and time, each time of a series once: the first one that came stays.
    fn sort(&mut self) {
        self.samples.sort_unstable_by_key(|sample| (sample.key(), sample.nth));
        self.samples.dedup_by_key(|sample| sample.key());
    }

    /// Takes out the samples for which there is a mark.
    fn leave_out(&mut self, marked: Vec<bool>) {
        let mut marked = marked.into_iter();
        self.samples.retain(|_| marked.next() == Some(false));
    }
}

/// `Waiting::nth` must not overflow; a record has less than as many again.
const MOST_SAMPLES: usize = 1 << 31;

/// See above.
#[derive(Debug, Default)]
pub(super) struct LateReplay {
    /// Whether there may be any.
    taken: bool,
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
    /// Of the WAL.
    ahead: List,
    /// Which of those the write-behind log has, as far as it is read.
    logged: Vec<bool>,
    /// Of the write-behind log.
    behind: List,
    /// The most bytes that both lists had.
    most_bytes: usize,
    stored: u64,
    range: Option<TimeRange>,
    /// When the log last said how far it is.
    said: Duration,
}

impl LateReplay {
    /// `taken`: whether samples out of order are taken or ever were.
    /// `block`: how long a block is that was cut from the head. The options may speak of others: the program
    /// may run with longer ones since, or read what another one writes.
    /// `newest_ms`: the newest samples of the part of the WAL that a snapshot stands for.
    pub(super) fn new(head: &Head, taken: bool, block: Option<DurationMs>, newest_ms: Vec<i64>) -> Self {
        let newest_of_all_ms = newest_ms.iter().copied().max().unwrap_or(i64::MIN);
        let block = block.into_iter().fold(head.options.min_block_duration, DurationMs::min);
        let (min_valid_ms, window_ms) = (head.min_valid_ms(), block.as_ms() / 2);
        let said = head.clock.monotonic();
        Self { taken, newest_ms, newest_of_all_ms, min_valid_ms, window_ms, said, ..Self::default() }
    }

    pub(super) fn are_taken(&self) -> bool {
        self.taken
    }

    /// Says from time to time how far it is.
    fn say(&mut self, head: &Head) {
        let now = head.clock.monotonic();
        if now.saturating_sub(self.said) >= PROGRESS_EVERY {
            self.said = now;
            tracing::info!(samples = self.stored, "storing samples out of order");
        }
    }

    /// Whether a sample that stands next in the WAL came out of order. The first one of its series did when
    /// no block that was cut before can have it.
    #[inline]
    pub(super) fn is_late(&mut self, series: SeriesIndex, timestamp_ms: i64) -> bool {
        if !self.taken {
            return false;
        }
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
        self.ahead.push(series, timestamp_ms, value);
    }

    pub(super) fn wait_histogram(&mut self, series: SeriesIndex, sample: &WalHistogram) {
        self.wait(series, sample.timestamp_ms, late_value(&sample.value));
    }

    /// Takes a sample of the write-behind log, which is stored with others.
    pub(super) fn take(&mut self, head: &Head, series: SeriesIndex, timestamp_ms: i64, value: LateValue) {
        self.behind.push(series, timestamp_ms, value);
        if self.behind.is_full(head) {
            self.count_bytes();
            self.store_behind(head);
        }
    }

    /// Whether as many samples of the WAL wait as may.
    #[inline]
    pub(super) fn is_full(&self, head: &Head) -> bool {
        self.ahead.is_full(head)
    }

    fn count_bytes(&mut self) {
        self.most_bytes = self.most_bytes.max(self.ahead.bytes() + self.behind.bytes());
    }

    /// Stores the samples of the WAL that the write-behind log does not have, and forgets the others, which
    /// it has yet to bring. `each_logged` hands out what it has.
    ///
    /// # Errors
    /// Those of `each_logged`.
    pub(super) fn store_unlogged<E>(
        &mut self,
        head: &Head,
        each_logged: impl FnOnce(&mut dyn FnMut(SeriesIndex, i64)) -> Result<(), E>,
    ) -> Result<(), E> {
        self.count_bytes();
        self.begin_behind();
        each_logged(&mut |series, timestamp_ms| mark(&self.ahead, &mut self.logged, (series, timestamp_ms)))?;
        self.store_ahead(head);
        Ok(())
    }

    /// To be called when the write-behind log is about to be read.
    pub(super) fn begin_behind(&mut self) {
        self.ahead.sort();
        self.logged = vec![false; self.ahead.samples.len()];
    }

    /// Stores what waits of the WAL and was not marked.
    fn store_ahead(&mut self, head: &Head) {
        let mut list = std::mem::take(&mut self.ahead);
        list.leave_out(std::mem::take(&mut self.logged));
        let known = self.known(head, &list);
        for (Waiting { series, timestamp_ms, value, .. }, known) in list.samples.into_iter().zip(known) {
            let wal_ref = head.registry.table().get(series).map(|series| series.wal_ref());
            let Some(wal_ref) = wal_ref else { continue };
            self.records_bytes += size_of::<Waiting>() + value.heap_bytes();
            if !known {
                self.insert(head, series, timestamp_ms, value.clone());
            }
            self.records.late(wal_ref.get(), timestamp_ms, value);
            if self.records_bytes >= RECORDS_BYTES {
                self.records_bytes = 0;
                head.late.found(std::mem::take(&mut self.records).finish());
            }
        }
    }

    /// Stores what waits of the write-behind log, and marks what of the WAL is among it.
    fn store_behind(&mut self, head: &Head) {
        let mut list = std::mem::take(&mut self.behind);
        list.sort();
        list.samples.iter().for_each(|sample| mark(&self.ahead, &mut self.logged, sample.key()));
        let known = self.known(head, &list);
        list.leave_out(known);
        for Waiting { series, timestamp_ms, value, .. } in list.samples {
            self.insert(head, series, timestamp_ms, value);
        }
    }

    /// Which samples of a sorted list are at the time of a late sample that their series has.
    fn known(&mut self, head: &Head, list: &List) -> Vec<bool> {
        let mut known = vec![false; list.samples.len()];
        let mut from = 0;
        for samples in list.samples.chunk_by(|a, b| a.series == b.series) {
            let series = head.registry.table().get(samples[0].series).cloned();
            if let Some(series) = series {
                mark_known(head, &series, samples, &mut known[from..from + samples.len()]);
                self.say(head);
            }
            from += samples.len();
        }
        known
    }

    /// Stores a sample at whose time its series has no late one.
    fn insert(&mut self, head: &Head, series: SeriesIndex, timestamp_ms: i64, value: LateValue) {
        let table = head.registry.table();
        let Some(series) = table.get(series) else { return };
        let mut closed = Vec::new();
        let timestamp = TimestampMs::new(timestamp_ms);
        let stored = series.insert_late(timestamp, value, head.replay_view(), &mut closed);
        if stored {
            self.stored += 1;
            if self.stored.is_multiple_of(SAY_EVERY) {
                self.say(head);
            }
            let at = TimeRange::at(timestamp);
            self.range = Some(self.range.map_or(at, |range| range.with(at)));
        }
        Stats::add(&head.stats.chunks, closed.len() as u64);
    }

    /// Stores what is left.
    pub(super) fn finish(mut self, head: &Head) {
        self.count_bytes();
        self.store_behind(head);
        self.store_ahead(head);
        if let Some(range) = self.range {
            head.late.saw(range);
        }
        head.late.found(self.records.finish());
        Stats::add(&head.stats.replayed_samples, self.stored);
        Stats::raise(&head.stats.replay_waiting_bytes_max, self.most_bytes as u64);
    }
}

/// Marks a sample where a sorted list has it.
fn mark(list: &List, marks: &mut [bool], key: (SeriesIndex, i64)) {
    if let Ok(at) = list.samples.binary_search_by_key(&key, Waiting::key) {
        marks[at] = true;
    }
}

/// Marks the samples, sorted by time, at whose times a series has late ones.
fn mark_known(head: &Head, series: &MemSeries, samples: &[Waiting], known: &mut [bool]) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return };
    let range =
        TimeRange { min: TimestampMs::new(first.timestamp_ms), max: TimestampMs::new(last.timestamp_ms) };
    let read = series.each_late_time(&head.chunks, range, |timestamp| {
        if let Ok(at) = samples.binary_search_by_key(&timestamp.as_ms(), |s| s.timestamp_ms) {
            known[at] = true;
        }
    });
    if let Err(error) = read {
        tracing::warn!(%error, "a chunk of samples out of order cannot be read");
    }
}
