//! `MemSeries`: one series in memory: its labels, its chunks, and which of its samples a reader sees.
//! Never decides whether a batch is visible as a whole; never touches the WAL.

use super::{
    isolation::{Boundaries, CommitId},
    series_labels::SeriesLabels,
};
use parking_lot::Mutex;
use skopos_chunk::{ChunkError, XorEncoder, decode_range_into};
use skopos_model::{Sample, TimestampMs};
use skopos_storage::{SeriesCharge, TimeRange};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
};

/// A chunk is closed at so many samples.
const SAMPLES_PER_CHUNK: u16 = 120;

/// The place of a series in the registry, and its number in postings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SeriesIndex(pub(crate) u32);

/// One series.
#[derive(Debug)]
pub(crate) struct MemSeries {
    pub(crate) labels: SeriesLabels,
    pub(crate) index: SeriesIndex,
    /// Its number in the WAL.
    pub(crate) wal_ref: u64,
    /// Its place in the account of its source.
    pub(super) charge: Option<SeriesCharge>,
    /// Whether the WAL names it.
    logged: AtomicBool,
    /// How many times batches hold it; counted only while the WAL does not name it.
    holds: AtomicU32,
    /// The last batch that has a sample for it.
    pending: AtomicU32,
    /// The time of the newest committed sample; `i64::MIN` without any.
    newest_ms: AtomicI64,
    samples: Mutex<Samples>,
}

#[derive(Debug, Default)]
struct Samples {
    closed: Vec<ClosedChunk>,
    open: XorEncoder,
    open_min_ms: i64,
    /// The open chunk takes no sample from here on, so that no chunk lies in two blocks.
    open_end_ms: i64,
    /// Samples in closed chunks.
    closed_len: u32,
    boundaries: Boundaries,
}

#[derive(Debug)]
struct ClosedChunk {
    bytes: Arc<[u8]>,
    min_ms: i64,
    max_ms: i64,
}

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
}

/// What a commit brings beside its samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitView<'a> {
    pub(crate) id: CommitId,
    /// Of living readers, growing.
    pub(crate) marks: &'a [CommitId],
    pub(crate) block_ms: i64,
}

impl MemSeries {
    pub(crate) fn new(labels: SeriesLabels, index: SeriesIndex, wal_ref: u64, logged: bool) -> Self {
        Self {
            labels,
            index,
            wal_ref,
            charge: None,
            logged: AtomicBool::new(logged),
            holds: AtomicU32::new(0),
            pending: AtomicU32::new(0),
            newest_ms: AtomicI64::new(i64::MIN),
            samples: Mutex::default(),
        }
    }

    pub(crate) fn is_logged(&self) -> bool {
        self.logged.load(Ordering::Acquire)
    }

    pub(crate) fn set_logged(&self) {
        self.logged.store(true, Ordering::Release);
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
        assert!(before > 0, "invariant: only what is held is let go");
        before == 1 && !self.is_logged()
    }

    /// Whether nobody holds it and the WAL does not name it. Certain only while nobody can find it.
    pub(crate) fn is_unused(&self) -> bool {
        self.holds.load(Ordering::Acquire) == 0 && !self.is_logged()
    }

    /// Marks the series as part of `batch`; whether it already was.
    #[inline]
    pub(crate) fn mark_pending(&self, batch: u32) -> bool {
        // Two batches may overwrite each other's mark. Then a repetition inside one of them shows only
        // at its commit, where every sample is checked against the series.
        if self.pending.load(Ordering::Relaxed) == batch {
            return true;
        }
        self.pending.store(batch, Ordering::Relaxed);
        false
    }

    #[inline]
    pub(crate) fn newest_ms(&self) -> i64 {
        self.newest_ms.load(Ordering::Acquire)
    }

    /// The newest committed sample.
    pub(crate) fn newest(&self) -> Option<Sample> {
        self.samples.lock().open.last()
    }

    /// Stores a sample of a commit.
    #[inline]
    pub(crate) fn append(&self, timestamp_ms: i64, value: f64, commit: CommitView<'_>) -> Stored {
        let mut samples = self.samples.lock();
        let stored = samples.append(timestamp_ms, value, commit);
        if matches!(stored, Stored::New | Stored::NewChunk { .. }) {
            self.newest_ms.store(timestamp_ms, Ordering::Release);
        }
        stored
    }

    /// Whether a reader of `mark` may find a sample in `range`. It errs on the side of yes.
    pub(crate) fn may_have(&self, mark: CommitId, range: TimeRange) -> bool {
        let newest = self.newest_ms();
        if newest == i64::MIN || newest < range.min.as_ms() {
            return false;
        }
        let samples = self.samples.lock();
        samples.min_ms() <= range.max.as_ms() && samples.visible(mark) > 0
    }

    /// Copies to `out` what `decode` needs, so that no lock is held while decoding.
    pub(crate) fn collect(&self, mark: CommitId, range: TimeRange, out: &mut Collected) {
        out.clear();
        self.samples.lock().collect(mark, range, out);
    }

    /// How many bytes the series holds in memory, its share of labels among them.
    pub(crate) fn heap_bytes(&self) -> usize {
        let samples = self.samples.lock();
        let closed: usize = samples.closed.iter().map(|c| c.bytes.len() + 16).sum();
        let list = samples.closed.capacity() * size_of::<ClosedChunk>();
        size_of::<Self>() + 16 + self.labels.heap_bytes() + closed + list + samples.open.heap_bytes()
    }
}

impl Samples {
    fn len(&self) -> u32 {
        self.closed_len + u32::from(self.open.len())
    }

    fn visible(&self, mark: CommitId) -> u32 {
        self.boundaries.visible(mark, self.len())
    }

    fn min_ms(&self) -> i64 {
        self.closed.first().map_or(self.open_min_ms, |c| c.min_ms)
    }

    #[inline]
    fn append(&mut self, timestamp_ms: i64, value: f64, commit: CommitView<'_>) -> Stored {
        let timestamp = TimestampMs::new(timestamp_ms);
        let mut stored = Stored::New;
        match self.open.last() {
            Some(last) if timestamp <= last.timestamp => {
                let same = last == Sample { timestamp, value };
                return if same { Stored::Same } else { Stored::Overtaken };
            }
            Some(last) => {
                if self.open.len() >= SAMPLES_PER_CHUNK || timestamp_ms >= self.open_end_ms {
                    self.close(last.timestamp.as_ms());
                    stored = Stored::NewChunk { first_of_series: false };
                }
            }
            None => stored = Stored::NewChunk { first_of_series: true },
        }
        let len = self.len();
        self.boundaries.begin(commit.id, len, commit.marks);
        if stored != Stored::New {
            self.open_min_ms = timestamp_ms;
            let into_block = timestamp_ms.rem_euclid(commit.block_ms);
            self.open_end_ms = (timestamp_ms - into_block).saturating_add(commit.block_ms);
        }
        self.open.append(timestamp, value);
        stored
    }

    #[cold]
    fn close(&mut self, max_ms: i64) {
        let bytes: Arc<[u8]> = Arc::from(self.open.bytes());
        self.closed_len += u32::from(self.open.len());
        self.closed.push(ClosedChunk { bytes, min_ms: self.open_min_ms, max_ms });
        self.open = XorEncoder::new();
    }

    fn collect(&self, mark: CommitId, range: TimeRange, out: &mut Collected) {
        let mut visible = self.visible(mark);
        let (min, max) = (range.min.as_ms(), range.max.as_ms());
        for chunk in &self.closed {
            let len = chunk_len(&chunk.bytes);
            if chunk.min_ms > max || visible == 0 {
                return;
            }
            if chunk.max_ms >= min {
                if u32::from(len) <= visible {
                    out.closed.push(Arc::clone(&chunk.bytes));
                } else {
                    out.copy_open(&chunk.bytes, visible as u16);
                    return;
                }
            }
            visible = visible.saturating_sub(u32::from(len));
        }
        if visible > 0 && !self.open.is_empty() && self.open_min_ms <= max {
            out.copy_open(self.open.bytes(), visible.min(u32::from(self.open.len())) as u16);
        }
    }
}

/// The chunks of one series that a reader needs. Reused from series to series.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    closed: Vec<Arc<[u8]>>,
    /// The last chunk, cut to what the reader sees; may be empty.
    open: Vec<u8>,
}

impl Collected {
    fn clear(&mut self) {
        self.closed.clear();
        self.open.clear();
    }

    /// A chunk says in its first bytes how many samples it has; those behind are not read.
    fn copy_open(&mut self, bytes: &[u8], len: u16) {
        self.open.extend_from_slice(bytes);
        self.open[..2].copy_from_slice(&len.to_be_bytes());
    }

    /// Decodes the samples of `range` to the columns.
    pub(crate) fn decode(
        &self,
        range: TimeRange,
        timestamps: &mut Vec<TimestampMs>,
        values: &mut Vec<f64>,
    ) -> Result<(), ChunkError> {
        for bytes in &self.closed {
            decode_range_into(bytes, range.min, range.max, timestamps, values)?;
        }
        if !self.open.is_empty() {
            decode_range_into(&self.open, range.min, range.max, timestamps, values)?;
        }
        Ok(())
    }
}

fn chunk_len(bytes: &[u8]) -> u16 {
    bytes.first_chunk::<2>().map_or(0, |count| u16::from_be_bytes(*count))
}
