//! `MemSeries`: one series in memory: its labels, its chunks, and which of its samples a reader sees.
//! Never decides whether a batch is visible as a whole; never touches the WAL.
//!
//! - `samples`: its chunks: the open one, and where the closed ones are.
//! - `open`: the chunk that takes samples, of any kind of value.
//! - `out_of_order`: its samples that came behind later ones.
//! - `collected`: what a reader takes out of it, decoded without a lock.

mod collected;
mod open;
mod out_of_order;
mod samples;

pub(crate) use collected::Collected;
pub(crate) use open::HistogramRef;
use out_of_order::CollectedLate;
pub(crate) use out_of_order::LateValue;

use super::{
    batches::BatchNumber,
    isolation::CommitId,
    series_labels::SeriesLabels,
    wal_ref::{NewestWalRef, WalRef},
};
use crate::{
    head_chunks::{ChunkMeta, HeadChunks},
    wal::snapshot::{ClosedChunks, OpenChunk},
};
use samples::Samples;
use skopos_base::sync::{
    Mutex,
    atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
};
use skopos_model::{Sample, TimestampMs};
use skopos_storage::{Chunk, QueryError, TimeRange};

/// The place of a series in the registry, and its number in postings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SeriesIndex(pub(crate) u32);

/// One series. Its order is that of the memory: with the counts of its pointer it takes three lines of the
/// processor's cache, of which gathering a batch touches the first alone.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct MemSeries {
    /// The time of the newest committed sample; `i64::MIN` without any.
    newest_ms: AtomicI64,
    /// Of the newest batch that has a sample for it, or that keeps it.
    pending: AtomicU64,
    /// Its number in the WAL, the newest where there are several.
    wal_ref: NewestWalRef,
    pub(crate) index: SeriesIndex,
    /// How many times batches hold it, counted only while the WAL does not name it; and `LOGGED`.
    holds: AtomicU32,
    pub(crate) labels: SeriesLabels,
    samples: Mutex<Samples>,
}

/// Whether the WAL names a series: a bit beside how many batches hold it.
const LOGGED: u32 = 1 << 31;

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is in a chunk.
    New,
    /// It is in a new chunk, the series' first when `first_of_series`.
    NewChunk { first_of_series: bool },
    /// It was there already.
    Same,
    /// There is another value at its time, or a later sample.
    Overtaken,
    /// It is among those that came behind later ones; the series' first when `first_of_series`.
    Late { first_of_series: bool },
}

/// What a snapshot gave to a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    /// So many samples.
    pub(crate) samples: u16,
    /// The time of the newest sample that the series had when the snapshot was taken; none without any.
    pub(crate) newest: Option<TimestampMs>,
}

/// What a commit brings beside its samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitView<'a> {
    pub(crate) id: CommitId,
    /// Of living readers, growing.
    pub(crate) marks: &'a [CommitId],
    pub(crate) block_ms: i64,
    /// Samples before this time belong to blocks.
    pub(crate) min_valid_ms: i64,
    /// Late samples up to this commit are on their way to blocks: none shares a chunk with later ones.
    pub(crate) late_cut: CommitId,
    /// Where closed chunks go.
    pub(crate) chunks: &'a HeadChunks,
}

impl CommitView<'_> {
    /// Every reader, living or to come, sees the commits up to this one.
    fn seen_by_all(&self) -> CommitId {
        let before = self.id.saturating_sub(1);
        self.marks.first().map_or(before, |oldest| before.min(*oldest))
    }
}

/// What a reader sees, and what it asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) mark: CommitId,
    pub(crate) range: TimeRange,
    /// What came in order before this time is in blocks, which the reader looks at too.
    pub(crate) floor: TimestampMs,
    /// Whether any series may have late samples in the range.
    pub(crate) late: bool,
}

impl View {
    /// The part of the range in which samples in order are asked for; may be empty.
    pub(crate) fn in_order(&self) -> TimeRange {
        TimeRange { min: self.range.min.max(self.floor), ..self.range }
    }
}

/// Where a series has late samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LateExtent {
    /// The times of the first and of the last one.
    pub(crate) range: TimeRange,
    /// The first file that has some.
    pub(crate) first_file: Option<u32>,
}

/// Where a sample would stand in a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind all.
    Behind,
    /// It is the newest one.
    Same,
    /// At the time of the newest one, which is another.
    Conflict,
    /// Before the newest one, which is of this time.
    Before(TimestampMs),
}

impl MemSeries {
    /// A series that the WAL does not name yet.
    pub(crate) fn new(labels: SeriesLabels, index: SeriesIndex, wal_ref: WalRef) -> Self {
        Self {
            newest_ms: AtomicI64::new(i64::MIN),
            pending: AtomicU64::new(0),
            wal_ref: NewestWalRef::new(wal_ref),
            index,
            holds: AtomicU32::new(0),
            labels,
            samples: Mutex::default(),
        }
    }

    /// Its number in the WAL.
    #[inline]
    pub(crate) fn wal_ref(&self) -> WalRef {
        self.wal_ref.get()
    }

    /// Gives it another number, by which the WAL names it too.
    pub(crate) fn set_wal_ref(&self, wal_ref: WalRef) {
        self.wal_ref.set(wal_ref);
    }

    #[inline]
    pub(crate) fn is_logged(&self) -> bool {
        self.holds.load(Ordering::Acquire) & LOGGED != 0
    }

    pub(crate) fn set_logged(&self) {
        self.holds.fetch_or(LOGGED, Ordering::AcqRel);
    }

    /// Keeps the series in the registry until `let_go`, when the WAL does not name it; whether it does not.
    /// Only under a lock under which it was found.
    #[inline]
    pub(crate) fn hold_unlogged(&self) -> bool {
        let held = !self.is_logged();
        if held {
            self.holds.fetch_add(1, Ordering::AcqRel);
        }
        held
    }

    /// The counterpart of one `hold_unlogged` that held it; whether it seems unused now.
    pub(crate) fn let_go(&self) -> bool {
        let before = self.holds.fetch_sub(1, Ordering::AcqRel);
        assert!(before & !LOGGED > 0, "invariant: only what is held is let go");
        before == 1
    }

    /// Whether nobody holds it and the WAL does not name it. Certain only while nobody can find it.
    pub(crate) fn is_unused(&self) -> bool {
        self.holds.load(Ordering::Acquire) == 0
    }

    /// Marks the series as part of `batch`; whether it may be already: the mark of a newer batch, which may
    /// have found it only, hides whether it is.
    #[inline]
    pub(crate) fn mark_pending(&self, batch: BatchNumber) -> bool {
        let batch = batch.pending();
        let newest = self.pending.load(Ordering::Relaxed);
        if newest < batch {
            self.pending.fetch_max(batch, Ordering::Relaxed);
        }
        newest >= batch
    }

    /// Keeps the series in the registry until `batch` ends, as `mark_pending` does. Only under a lock under
    /// which it was found: whoever takes it out asks under all of them.
    #[inline]
    pub(crate) fn keep_for(&self, batch: BatchNumber) {
        if self.pending.load(Ordering::Relaxed) < batch.kept() {
            self.pending.fetch_max(batch.kept(), Ordering::Relaxed);
        }
    }

    /// Whether it has no sample, and no batch from `oldest` on keeps it. Certain only while nobody can find
    /// it.
    pub(crate) fn is_abandoned(&self, oldest: BatchNumber) -> bool {
        self.pending.load(Ordering::Relaxed) < oldest.kept()
            && self.holds.load(Ordering::Acquire) & !LOGGED == 0
            && self.samples.lock().is_empty()
    }

    /// Drops the chunks that end before a time; how many.
    pub(crate) fn truncate_before(&self, before_ms: i64) -> usize {
        self.samples.lock().truncate_before(before_ms)
    }

    /// The time of the first sample; none without any.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        let samples = self.samples.lock();
        (!samples.is_empty()).then(|| samples.min_ms())
    }

    /// Whether it has no sample.
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.lock().is_empty()
    }

    #[inline]
    pub(crate) fn newest_ms(&self) -> i64 {
        self.newest_ms.load(Ordering::Acquire)
    }

    /// Where a float would stand.
    pub(crate) fn place(&self, sample: Sample) -> Place {
        self.samples.lock().place(sample)
    }

    /// Where a histogram would stand.
    pub(crate) fn place_of_histogram(&self, timestamp: TimestampMs, value: HistogramRef<'_>) -> Place {
        self.samples.lock().place_of_histogram(timestamp, value)
    }

    /// Where a late float would stand in the open chunk of late samples: `Behind` when nothing is at its
    /// time.
    pub(crate) fn late_place(&self, sample: Sample) -> Place {
        let samples = self.samples.lock();
        samples
            .late()
            .map_or(Place::Behind, |late| late.place(sample.timestamp, |v| v.is_float(sample.value)))
    }

    /// The same for a late histogram.
    pub(crate) fn late_place_of_histogram(&self, timestamp: TimestampMs, value: HistogramRef<'_>) -> Place {
        let samples = self.samples.lock();
        samples.late().map_or(Place::Behind, |late| late.place(timestamp, |v| v.is_histogram(value)))
    }

    /// Takes over chunks that were found on disk, the oldest first, before any sample is appended.
    /// One whose times are there already is passed over. One that only partly follows those before it ends
    /// the taking, as do samples: the WAL has what it has.
    pub(crate) fn attach(&self, chunks: impl Iterator<Item = ChunkMeta>, attached: impl FnMut(&ChunkMeta)) {
        let mut samples = self.samples.lock();
        samples.attach(chunks, attached);
        if let Some(newest) = samples.newest() {
            self.newest_ms.store(newest.as_ms(), Ordering::Release);
        }
    }

    /// Takes over the open chunk of a snapshot behind the closed ones that were attached. None, when the two
    /// do not fit.
    pub(crate) fn restore(
        &self,
        closed: ClosedChunks,
        chunk: Option<&OpenChunk>,
        commit: CommitView<'_>,
    ) -> Option<Restored> {
        let mut samples = self.samples.lock();
        let restored = samples.restore(closed, chunk, commit)?;
        if let Some(newest) = samples.newest() {
            self.newest_ms.store(newest.as_ms(), Ordering::Release);
        }
        Some(restored)
    }

    /// Its open chunk, and what tells its closed ones.
    pub(crate) fn to_snapshot(&self) -> (ClosedChunks, Option<OpenChunk>) {
        self.samples.lock().snapshot()
    }

    /// Stores a sample of a commit.
    #[inline]
    pub(crate) fn append(&self, timestamp_ms: i64, value: f64, commit: &CommitView<'_>) -> Stored {
        let mut samples = self.samples.lock();
        let stored = samples.append(self.wal_ref(), timestamp_ms, value, commit);
        if matches!(stored, Stored::New | Stored::NewChunk { .. }) {
            self.newest_ms.store(timestamp_ms, Ordering::Release);
        }
        stored
    }

    /// Stores samples of commits in their order, under one lock, and says of each what became of it.
    #[inline]
    pub(crate) fn append_all(
        &self,
        floats: impl Iterator<Item = (i64, f64)>,
        commit: &CommitView<'_>,
        mut each: impl FnMut(Stored, i64),
    ) {
        let mut samples = self.samples.lock();
        let mut newest = None;
        for (timestamp_ms, value) in floats {
            let stored = samples.append(self.wal_ref(), timestamp_ms, value, commit);
            if matches!(stored, Stored::New | Stored::NewChunk { .. }) {
                newest = Some(timestamp_ms);
            }
            each(stored, timestamp_ms);
        }
        if let Some(newest) = newest {
            self.newest_ms.store(newest, Ordering::Release);
        }
    }

    /// Stores a histogram of a commit. It is valid or the marker of staleness.
    pub(crate) fn append_histogram(
        &self,
        timestamp: TimestampMs,
        value: HistogramRef<'_>,
        commit: CommitView<'_>,
    ) -> Stored {
        let mut samples = self.samples.lock();
        let stored = samples.append_histogram(self.wal_ref(), timestamp, value, commit);
        if matches!(stored, Stored::New | Stored::NewChunk { .. }) {
            self.newest_ms.store(timestamp.as_ms(), Ordering::Release);
        }
        stored
    }

    /// Closes the open chunk of samples in order: a chunk file gets what the log alone had.
    pub(crate) fn close_open(&self, commit: CommitView<'_>) {
        self.samples.lock().close_open(self.wal_ref(), commit);
    }

    /// Stores a sample that comes behind later ones; whether it did. Chunks that were closed for it are
    /// pushed to `closed`.
    pub(crate) fn insert_late(
        &self,
        timestamp: TimestampMs,
        value: LateValue,
        commit: CommitView<'_>,
        closed: &mut Vec<ChunkMeta>,
    ) -> bool {
        self.samples.lock().insert_late(self.wal_ref(), timestamp, value, commit, closed)
    }

    /// Takes over a chunk of late samples that was found on disk; whether it is a new one.
    pub(crate) fn attach_late(&self, chunk: ChunkMeta) -> bool {
        self.samples.lock().late_mut().attach(chunk)
    }

    /// Closes the open chunk of late samples, as far as it is to be cut.
    pub(crate) fn close_late(&self, commit: CommitView<'_>, closed: &mut Vec<ChunkMeta>) {
        self.samples.lock().close_late(self.wal_ref(), commit, closed);
    }

    /// Drops the closed chunks of late samples of commits up to one; how many.
    pub(crate) fn drop_late_up_to(&self, commit: CommitId) -> usize {
        self.samples.lock().drop_late_up_to(commit)
    }

    /// Hands out the times of the closed chunks of late samples of commits up to one.
    pub(crate) fn each_late_span(&self, up_to: CommitId, each: impl FnMut(TimeRange)) {
        if let Some(late) = self.samples.lock().late() {
            late.each_span_up_to(up_to, each);
        }
    }

    /// Hands out the times of the late samples of a range. Holds no lock and one chunk at a time.
    ///
    /// # Errors
    /// When a chunk cannot be read; the others are.
    pub(crate) fn each_late_time(
        &self,
        chunks: &HeadChunks,
        range: TimeRange,
        each: impl FnMut(TimestampMs),
    ) -> Result<(), QueryError> {
        let mut collected = CollectedLate::default();
        if let Some(late) = self.samples.lock().late() {
            late.collect(CommitId::MAX, range, &mut collected);
        }
        collected.each_time(chunks, range, each)
    }

    /// Its late samples in chunks, in the order in which they came: of equal times the first one counts.
    /// Holds no lock while they are read.
    ///
    /// # Errors
    /// When a chunk cannot be read; those before it are there.
    pub(crate) fn late_chunks(&self, chunks: &HeadChunks, out: &mut Vec<Chunk>) -> Result<(), QueryError> {
        let mut collected = CollectedLate::default();
        if let Some(late) = self.samples.lock().late() {
            late.collect(CommitId::MAX, TimeRange::ALL, &mut collected);
        }
        collected.chunks(chunks, out)
    }

    /// Where its late samples are; none without any.
    pub(crate) fn late_extent(&self) -> Option<LateExtent> {
        let samples = self.samples.lock();
        let late = samples.late()?;
        late.range().map(|range| LateExtent { range, first_file: late.first_file() })
    }

    /// Whether a reader may find a sample. It errs on the side of yes.
    pub(crate) fn may_have(&self, view: View) -> bool {
        let (newest, in_order) = (self.newest_ms(), view.in_order());
        let none_in_order = newest == i64::MIN || newest < in_order.min.as_ms();
        if none_in_order && !view.late {
            return false;
        }
        let samples = self.samples.lock();
        !none_in_order && samples.min_ms() <= in_order.max.as_ms() && samples.visible(view.mark) > 0
            || samples.late().is_some_and(|late| late.may_have(view.mark, view.range))
    }

    /// Copies to `out` what `decode` needs, so that no lock is held while decoding.
    pub(crate) fn collect(&self, view: View, out: &mut Collected) {
        out.clear(view.floor);
        self.samples.lock().collect(view, out);
    }

    /// The same for the closed chunks of late samples alone, of commits up to one.
    pub(crate) fn collect_late_up_to(&self, commit: CommitId, range: TimeRange, out: &mut Collected) {
        out.clear(TimestampMs::MIN);
        if let Some(late) = self.samples.lock().late() {
            late.collect_up_to(commit, range, out.late_mut());
        }
    }

    /// How many bytes the series holds in memory, its share of labels among them.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + 16 + self.labels.heap_bytes() + self.samples.lock().heap_bytes()
    }
}

// The locks of a checker of schedules are larger.
#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn a_series_takes_three_lines_of_the_cache() {
        assert_eq!(size_of::<MemSeries>() + 2 * size_of::<usize>(), 3 * 64);
    }
}
