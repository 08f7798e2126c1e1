//! `OutOfOrder`: the samples of one series that came behind later ones ("late" samples): the latest in
//! an open chunk sorted by time, the others in closed chunks, which may overlap. Owns which of them a
//! reader sees; never knows the samples in order.

use super::{CommitView, HistogramRef, Place};
use crate::{
    head::{isolation::CommitId, wal_ref::WalRef},
    head_chunks::{ChunkMeta, Entry, HeadChunks, Order},
};
use bytes::Bytes;
use skopos_chunk::{BuiltChunk, ChunkBuilder, ChunkError, ChunkValue, CutAt, SampleIter, decode_columns};
use skopos_model::{Columns, FloatHistogram, Histogram, TimestampMs, is_stale_nan};
use skopos_storage::{Chunk, QueryError, TimeRange};
use std::sync::Arc;

/// The open chunk is closed at so many samples, as Prometheus does.
const SAMPLES_PER_CHUNK: usize = 32;

/// The value of a late sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LateValue {
    Float(f64),
    Histogram(Box<Histogram>),
    FloatHistogram(Box<FloatHistogram>),
}

impl From<ChunkValue> for LateValue {
    fn from(value: ChunkValue) -> Self {
        match value {
            ChunkValue::Float(v) => Self::Float(v),
            ChunkValue::Histogram(h) => Self::Histogram(Box::new(h)),
            ChunkValue::FloatHistogram(h) => Self::FloatHistogram(Box::new(h)),
        }
    }
}

impl LateValue {
    fn to_chunk_value(&self) -> ChunkValue {
        match self {
            Self::Float(v) => ChunkValue::Float(*v),
            Self::Histogram(h) => ChunkValue::Histogram((**h).clone()),
            Self::FloatHistogram(h) => ChunkValue::FloatHistogram((**h).clone()),
        }
    }

    /// The bytes beside its own.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Float(_) => 0,
            Self::Histogram(h) => h.heap_bytes() + size_of::<Histogram>(),
            Self::FloatHistogram(h) => h.heap_bytes() + size_of::<FloatHistogram>(),
        }
    }

    fn is_stale(&self) -> bool {
        match self {
            Self::Float(v) => is_stale_nan(*v),
            Self::Histogram(h) => h.is_stale(),
            Self::FloatHistogram(h) => h.is_stale(),
        }
    }

    /// Whether it is that float; the marker of staleness is one whatever its kind.
    pub(super) fn is_float(&self, value: f64) -> bool {
        match self {
            Self::Float(own) => own.to_bits() == value.to_bits(),
            _ => is_stale_nan(value) && self.is_stale(),
        }
    }

    /// Whether it is that histogram, whatever its hint.
    pub(super) fn is_histogram(&self, value: HistogramRef<'_>) -> bool {
        match (self, value) {
            (Self::Histogram(own), HistogramRef::Int(h)) => own.same_bits(h),
            (Self::FloatHistogram(own), HistogramRef::Float(h)) => own.same_bits(h),
            (_, HistogramRef::Int(h)) => h.is_stale() && self.is_stale(),
            (_, HistogramRef::Float(h)) => h.is_stale() && self.is_stale(),
        }
    }
}

/// A sample of the open chunk.
#[derive(Clone, Debug)]
struct Late {
    timestamp: TimestampMs,
    commit: CommitId,
    value: LateValue,
}

/// Where a closed chunk is.
#[derive(Clone, Debug)]
pub(super) struct ClosedLate {
    meta: ChunkMeta,
    /// The last commit that it has samples of.
    newest: CommitId,
    /// The commit of each sample, while a reader may not see all of them.
    commits: Option<Arc<[CommitId]>>,
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct OutOfOrder {
    /// In the order in which they were closed.
    closed: Vec<ClosedLate>,
    /// Sorted by time, each time once.
    open: Vec<Late>,
}

impl OutOfOrder {
    /// Takes over a chunk that was found on disk; whether it is a new one.
    pub(super) fn attach(&mut self, meta: ChunkMeta) -> bool {
        let known = self.closed.iter().any(|c| c.meta.place() == meta.place());
        if !known {
            self.closed.push(ClosedLate { meta, newest: 0, commits: None });
        }
        !known
    }

    /// Where a sample would stand in the open chunk, given what tells whether a value is its own.
    pub(super) fn place(&self, timestamp: TimestampMs, same: impl FnOnce(&LateValue) -> bool) -> Place {
        match self.open.binary_search_by_key(&timestamp, |s| s.timestamp) {
            Ok(at) if same(&self.open[at].value) => Place::Same,
            Ok(_) => Place::Conflict,
            Err(_) => Place::Behind,
        }
    }

    /// Stores a sample, unless the open chunk has one of its time. Chunks that had to be closed before it are
    /// pushed to `closed`.
    pub(super) fn insert(
        &mut self,
        wal_ref: WalRef,
        timestamp: TimestampMs,
        value: LateValue,
        commit: CommitView<'_>,
        closed: &mut Vec<ChunkMeta>,
    ) -> bool {
        if self.open.binary_search_by_key(&timestamp, |s| s.timestamp).is_ok() {
            return false;
        }
        if self.open.len() >= SAMPLES_PER_CHUNK {
            self.close(wal_ref, commit, closed);
        }
        let at = self.open.partition_point(|s| s.timestamp < timestamp);
        self.open.insert(at, Late { timestamp, commit: commit.id, value });
        true
    }

    /// Closes the open chunk: what is to be cut apart from what is not.
    fn close(&mut self, wal_ref: WalRef, commit: CommitView<'_>, closed: &mut Vec<ChunkMeta>) {
        self.close_cut(wal_ref, commit, closed);
        let rest = std::mem::take(&mut self.open);
        self.put(&rest, wal_ref, commit, closed);
    }

    /// Closes what of the open chunk is to be cut, and leaves the rest open.
    pub(super) fn close_cut(&mut self, wal_ref: WalRef, commit: CommitView<'_>, closed: &mut Vec<ChunkMeta>) {
        let is_cut = |s: &Late| s.commit <= commit.late_cut;
        let (cut, rest) = std::mem::take(&mut self.open).into_iter().partition::<Vec<_>, _>(is_cut);
        self.open = rest;
        self.put(&cut, wal_ref, commit, closed);
    }

    /// Puts samples into a closed chunk, or into several where kinds of values change.
    fn put(
        &mut self,
        samples: &[Late],
        wal_ref: WalRef,
        commit: CommitView<'_>,
        closed: &mut Vec<ChunkMeta>,
    ) {
        let seen_by_all = commit.seen_by_all();
        for known in self.closed.iter_mut() {
            if known.commits.as_ref().is_some_and(|c| c.iter().all(|c| *c <= seen_by_all)) {
                known.commits = None;
            }
        }
        let mut left = samples;
        for chunk in build(samples) {
            let (of_chunk, behind) = left.split_at(usize::from(chunk.samples));
            left = behind;
            let meta = commit.chunks.put(&Entry {
                wal_ref: wal_ref.get(),
                min: chunk.min,
                max: chunk.max,
                encoding: chunk.encoding,
                order: Order::OutOfOrder,
                bytes: &chunk.bytes,
            });
            let newest = of_chunk.iter().map(|s| s.commit).max().unwrap_or_default();
            let hidden = newest > seen_by_all;
            let commits = hidden.then(|| of_chunk.iter().map(|s| s.commit).collect());
            self.closed.push(ClosedLate { meta, newest, commits });
            closed.push(meta);
        }
    }

    /// Drops the closed chunks of commits up to one; how many.
    pub(super) fn drop_up_to(&mut self, commit: CommitId) -> usize {
        let before = self.closed.len();
        self.closed.retain(|c| c.newest > commit);
        self.closed.shrink_to_fit();
        before - self.closed.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.is_empty()
    }

    pub(super) fn each_span_up_to(&self, commit: CommitId, mut each: impl FnMut(TimeRange)) {
        self.closed.iter().filter(|c| c.newest <= commit).for_each(|c| each(c.meta.range()));
    }

    /// The times of the first and of the last sample.
    pub(super) fn range(&self) -> Option<TimeRange> {
        let closed = self.closed.iter().map(|c| c.meta.range());
        let open = self.open.first().zip(self.open.last());
        let open = open.map(|(a, b)| TimeRange { min: a.timestamp, max: b.timestamp });
        closed.chain(open).reduce(|a, b| TimeRange { min: a.min.min(b.min), max: a.max.max(b.max) })
    }

    /// The first file that has a chunk of it.
    pub(super) fn first_file(&self) -> Option<u32> {
        self.closed.iter().map(|c| c.meta.file()).min()
    }

    /// Whether a reader of `mark` finds a sample in `range`. It errs on the side of yes.
    pub(super) fn may_have(&self, mark: CommitId, range: TimeRange) -> bool {
        let closed = self.closed.iter().any(|c| {
            overlaps(&c.meta, range)
                && c.commits.as_ref().is_none_or(|commits| commits.iter().any(|c| *c <= mark))
        });
        closed || self.open.iter().any(|s| s.commit <= mark && contains(range, s.timestamp))
    }

    pub(super) fn collect(&self, mark: CommitId, range: TimeRange, out: &mut CollectedLate) {
        out.mark = mark;
        out.closed.extend(self.closed.iter().filter(|c| overlaps(&c.meta, range)).cloned());
        let open = self.open.iter().filter(|s| s.commit <= mark && contains(range, s.timestamp));
        out.open.extend(open.cloned());
    }

    /// The closed chunks of commits up to one.
    pub(super) fn collect_up_to(&self, commit: CommitId, range: TimeRange, out: &mut CollectedLate) {
        out.mark = CommitId::MAX;
        let wanted = |c: &&ClosedLate| c.newest <= commit && overlaps(&c.meta, range);
        out.closed.extend(self.closed.iter().filter(wanted).cloned());
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self.closed.capacity() * size_of::<ClosedLate>()
            + self.open.capacity() * size_of::<Late>()
    }
}

fn overlaps(chunk: &ChunkMeta, range: TimeRange) -> bool {
    chunk.min_ms() <= range.max.as_ms() && chunk.max_ms() >= range.min.as_ms()
}

fn contains(range: TimeRange, timestamp: TimestampMs) -> bool {
    range.min <= timestamp && timestamp <= range.max
}

/// Samples as chunks. None spans more than a file of head chunks can say.
fn build(samples: &[Late]) -> Vec<BuiltChunk> {
    let mut out = Vec::new();
    let mut rest = samples;
    while let Some(first) = rest.first() {
        let fits =
            |s: &Late| u32::try_from(s.timestamp.as_ms().wrapping_sub(first.timestamp.as_ms())).is_ok();
        let (part, behind) = rest.split_at(rest.partition_point(fits).max(1));
        rest = behind;
        let mut builder = ChunkBuilder::new(CutAt::default());
        part.iter().for_each(|s| builder.push(s.timestamp, &s.value.to_chunk_value()));
        out.extend(builder.finish());
    }
    out
}

/// The late samples of one series that a reader needs, taken under the series' lock.
#[derive(Debug, Default)]
pub(super) struct CollectedLate {
    mark: CommitId,
    closed: Vec<ClosedLate>,
    open: Vec<Late>,
}

impl CollectedLate {
    pub(super) fn clear(&mut self) {
        self.closed.clear();
        self.open.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.is_empty()
    }

    /// All chunks in the order in which samples came: of equal times the first one counts.
    ///
    /// # Errors
    /// That of the first chunk that cannot be read; the others are.
    pub(super) fn chunks(&self, chunks: &HeadChunks, out: &mut Vec<Chunk>) -> Result<(), QueryError> {
        let mut result = Ok(());
        for closed in &self.closed {
            result = result.and(self.chunk(closed, chunks, out));
        }
        out.extend(build(&self.open).into_iter().map(of_built));
        result
    }

    fn chunk(
        &self,
        closed: &ClosedLate,
        chunks: &HeadChunks,
        out: &mut Vec<Chunk>,
    ) -> Result<(), QueryError> {
        let mut buffer = Vec::new();
        let read = chunks.read(&closed.meta, &mut buffer)?;
        match &closed.commits {
            Some(commits) if commits.iter().any(|c| *c > self.mark) => {
                let samples = SampleIter::new(read.encoding, &buffer[read.bytes]);
                visible(samples, commits, self.mark, out).map_err(super::collected::corrupt)?;
            }
            _ => out.push(Chunk {
                min: TimestampMs::new(closed.meta.min_ms()),
                max: TimestampMs::new(closed.meta.max_ms()),
                encoding: read.encoding,
                bytes: Bytes::from(buffer).slice(read.bytes),
            }),
        }
        Ok(())
    }

    /// Hands out the times of the samples of `range`. Holds one chunk at a time.
    ///
    /// # Errors
    /// That of the first chunk that cannot be read; the others are.
    pub(super) fn each_time(
        &self,
        chunks: &HeadChunks,
        range: TimeRange,
        mut each: impl FnMut(TimestampMs),
    ) -> Result<(), QueryError> {
        let (mut buffer, mut columns, mut result) = (Vec::new(), Columns::default(), Ok(()));
        for ClosedLate { meta, .. } in &self.closed {
            columns.clear();
            let read = chunks.read(meta, &mut buffer).and_then(|read| {
                let bytes = &buffer[read.bytes];
                decode_columns(read.encoding, bytes, range.min, range.max, &mut columns)
                    .map_err(super::collected::corrupt)
            });
            result = result.and(read);
            columns.timestamps.iter().for_each(|t| each(*t));
        }
        self.open.iter().for_each(|s| each(s.timestamp));
        result
    }

    /// Decodes the samples of `range`: each chunk to columns of its own.
    pub(super) fn decode(
        &self,
        chunks: &HeadChunks,
        range: TimeRange,
        out: &mut Vec<Columns>,
    ) -> Result<(), QueryError> {
        let mut all = Vec::with_capacity(self.closed.len() + 1);
        self.chunks(chunks, &mut all)?;
        for chunk in all {
            let mut columns = Columns::default();
            decode_columns(chunk.encoding, &chunk.bytes, range.min, range.max, &mut columns)
                .map_err(super::collected::corrupt)?;
            out.push(columns);
        }
        Ok(())
    }
}

/// A chunk without the samples that a reader of `mark` does not see.
fn visible(
    mut samples: SampleIter<'_>,
    commits: &[CommitId],
    mark: CommitId,
    out: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    let mut builder = ChunkBuilder::new(CutAt::default());
    for commit in commits {
        let Some((timestamp, value)) = samples.next().transpose()? else { break };
        if *commit <= mark {
            builder.push_since(timestamp, samples.start(), &value);
        }
    }
    out.extend(builder.finish().into_iter().map(of_built));
    Ok(())
}

fn of_built(built: BuiltChunk) -> Chunk {
    let BuiltChunk { encoding, min, max, bytes, .. } = built;
    Chunk { min, max, encoding, bytes: Bytes::from(bytes) }
}
