//! `Samples`: the chunks of one series: the open one in memory, of the closed ones their places. Owns which
//! samples a reader sees; never reads a closed chunk.

use super::{
    Collected, CommitView, Place, Restored, Stored, View,
    open::{Fits, HistogramRef, Open, Room},
    out_of_order::{LateValue, OutOfOrder},
};
use crate::{
    head::{
        isolation::{CommitId, LastBoundary, OlderBoundaries},
        wal_ref::WalRef,
    },
    head_chunks::{ChunkMeta, Entry, Order},
    wal::snapshot::{ClosedChunks, OpenChunk},
};
use skopos_model::{FloatHistogram, Histogram, Sample, TimestampMs, is_stale_nan};

/// See above. What an append touches stands first and together.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Samples {
    open: Open,
    boundary: LastBoundary,
    open_min_ms: i64,
    /// The open chunk takes no sample so long after its first one, so that no chunk lies in two blocks.
    open_room_ms: u32,
    rare: Option<Box<Rare>>,
    /// Without room to spare: a million lists live at once, and grow once in a hundred samples.
    closed: Box<[ChunkMeta]>,
}

/// What most series have nothing of.
#[derive(Debug, Default)]
struct Rare {
    older: OlderBoundaries,
    /// Samples that came behind later ones.
    late: Option<OutOfOrder>,
}

/// What tells closed chunks from others.
fn tell(chunks: &[ChunkMeta]) -> ClosedChunks {
    let crc = chunks.iter().fold(0, |crc, chunk| {
        let crc = crc32c::crc32c_append(crc, &chunk.min_ms().to_be_bytes());
        let crc = crc32c::crc32c_append(crc, &chunk.max_ms().to_be_bytes());
        crc32c::crc32c_append(crc, &chunk.samples().to_be_bytes())
    });
    ClosedChunks { count: chunks.len() as u32, crc }
}

impl Samples {
    pub(super) fn visible(&self, mark: CommitId) -> u32 {
        self.boundary.visible(mark, self.rare.as_ref().map(|rare| &rare.older))
    }

    /// Notes one more sample, of a commit.
    #[inline]
    fn grow(&mut self, commit: &CommitView<'_>) {
        let older = self.rare.as_ref().is_some_and(|rare| !rare.older.is_empty());
        if older || self.boundary.is_needed(commit.id, commit.marks) {
            self.keep_boundaries(commit);
        }
        self.boundary.grow(commit.id, 1);
    }

    #[cold]
    fn keep_boundaries(&mut self, commit: &CommitView<'_>) {
        let rare = self.rare.get_or_insert_default();
        rare.older.keep_needed(&self.boundary, commit.id, commit.marks);
        self.drop_empty();
    }

    /// Drops the room for what is rare when there is none of it.
    fn drop_empty(&mut self) {
        let is_empty = |rare: &Rare| rare.older.is_empty() && rare.late.is_none();
        if self.rare.as_deref().is_some_and(is_empty) {
            self.rare = None;
        }
    }

    /// The time of the first sample; of no meaning without any.
    pub(super) fn min_ms(&self) -> i64 {
        self.closed.first().map_or(self.open_min_ms, ChunkMeta::min_ms)
    }

    pub(super) fn newest(&self) -> Option<TimestampMs> {
        let closed = || self.closed.last().map(|last| TimestampMs::new(last.max_ms()));
        self.open.last_timestamp().or_else(closed)
    }

    /// Where a float would stand.
    pub(super) fn place(&self, sample: Sample) -> Place {
        self.place_at(sample.timestamp, || self.open.ends_with(sample))
    }

    /// Where a histogram would stand.
    pub(super) fn place_of_histogram(&self, timestamp: TimestampMs, value: HistogramRef<'_>) -> Place {
        self.place_at(timestamp, || self.open.ends_with_histogram(timestamp, value))
    }

    /// What stands at the end of a closed chunk is not known, and taken for another value.
    fn place_at(&self, timestamp: TimestampMs, same: impl FnOnce() -> bool) -> Place {
        match self.newest() {
            Some(newest) if timestamp < newest => Place::Before(newest),
            Some(newest) if timestamp == newest => {
                if same() {
                    Place::Same
                } else {
                    Place::Conflict
                }
            }
            _ => Place::Behind,
        }
    }

    pub(super) fn attach(
        &mut self,
        chunks: impl Iterator<Item = ChunkMeta>,
        mut attached: impl FnMut(&ChunkMeta),
    ) {
        if !self.open.is_empty() {
            return;
        }
        let mut closed = std::mem::take(&mut self.closed).into_vec();
        for chunk in chunks {
            let newest_ms = closed.last().map(ChunkMeta::max_ms);
            // A series with several numbers may have been read from the log, and closed, more than once.
            if newest_ms.is_some_and(|newest_ms| chunk.max_ms() <= newest_ms) {
                continue;
            }
            if newest_ms.is_some_and(|newest_ms| chunk.min_ms() <= newest_ms) {
                break;
            }
            self.boundary.grow(0, u32::from(chunk.samples()));
            attached(&chunk);
            closed.push(chunk);
        }
        self.closed = closed.into_boxed_slice();
    }

    /// The open chunk, and what tells the closed ones.
    pub(super) fn snapshot(&mut self) -> (ClosedChunks, Option<OpenChunk>) {
        (tell(&self.closed), self.open.snapshot(TimestampMs::new(self.open_min_ms)))
    }

    /// Takes over the open chunk of a snapshot, behind the closed chunks that were attached. None, when
    /// chunks that the snapshot knows are not among those, or the chunk is no open one.
    ///
    /// There may be later closed chunks than those of the snapshot: then the first of them is the open chunk
    /// as it became. There may be earlier ones, which were given up and still stood in a file.
    pub(super) fn restore(
        &mut self,
        closed: ClosedChunks,
        chunk: Option<&OpenChunk>,
        commit: CommitView<'_>,
    ) -> Option<Restored> {
        let count = closed.count as usize;
        let last_from = self.closed.len().checked_sub(count)?;
        let follows = |from: usize| match (chunk, self.closed.get(from + count), self.closed.last()) {
            (Some(chunk), Some(next), _) => {
                next.min_ms() == chunk.min.as_ms() && next.max_ms() >= chunk.max.as_ms()
            }
            (Some(chunk), None, Some(last)) => last.max_ms() < chunk.min.as_ms(),
            _ => true,
        };
        let found = |from: &usize| tell(&self.closed[*from..*from + count]) == closed && follows(*from);
        let from = (0..=last_from).rev().find(found)?;
        let last_closed = self.closed[..from + count].last().filter(|_| count > 0);
        let newest = chunk.map(|c| c.max).or(last_closed.map(|c| TimestampMs::new(c.max_ms())));
        let nothing = Restored { samples: 0, newest };
        let Some(chunk) = chunk.filter(|_| from == last_from) else { return Some(nothing) };
        let open = Open::from_snapshot(chunk)?;
        if chunk.max.as_ms() < commit.min_valid_ms {
            return Some(nothing);
        }
        self.begin_chunk(chunk.min.as_ms(), commit);
        // Of a database with longer blocks.
        if self.is_beyond_open(chunk.max.as_ms()) {
            return None;
        }
        self.open = open;
        self.boundary.grow(commit.id, u32::from(self.open.len()));
        Some(Restored { samples: self.open.len(), newest })
    }

    #[inline]
    pub(super) fn append(
        &mut self,
        wal_ref: WalRef,
        timestamp_ms: i64,
        value: f64,
        commit: &CommitView<'_>,
    ) -> Stored {
        let timestamp = TimestampMs::new(timestamp_ms);
        let Open::Floats(open) = &mut self.open else {
            return self.append_behind_histogram(wal_ref, Sample { timestamp, value }, *commit);
        };
        let mut stored = Stored::New;
        match open.last() {
            Some(last) if timestamp <= last.timestamp => {
                let same = last == Sample { timestamp, value };
                return if same { Stored::Same } else { Stored::Overtaken };
            }
            _ if timestamp_ms < commit.min_valid_ms => return Stored::Overtaken,
            Some(_) => {
                if self.open.is_full() || self.is_beyond_open(timestamp_ms) {
                    self.close(wal_ref, *commit);
                    stored = Stored::NewChunk { first_of_series: false };
                }
            }
            None => match self.closed.last() {
                Some(last) if timestamp_ms <= last.max_ms() => return Stored::Overtaken,
                last => stored = Stored::NewChunk { first_of_series: last.is_none() },
            },
        }
        self.grow(commit);
        if stored != Stored::New {
            self.begin_chunk(timestamp_ms, *commit);
        }
        if let Open::Floats(open) = &mut self.open {
            open.append(timestamp, value);
        }
        stored
    }

    /// A float behind histograms: the marker of staleness becomes theirs, any other begins a chunk.
    #[cold]
    fn append_behind_histogram(&mut self, wal_ref: WalRef, sample: Sample, commit: CommitView<'_>) -> Stored {
        let stale = is_stale_nan(sample.value);
        match self.open {
            Open::Histograms(_) if stale => {
                let marker = Histogram::stale();
                return self.append_histogram(wal_ref, sample.timestamp, HistogramRef::Int(&marker), commit);
            }
            Open::FloatHistograms(_) if stale => {
                let marker = FloatHistogram::stale();
                return self.append_histogram(
                    wal_ref,
                    sample.timestamp,
                    HistogramRef::Float(&marker),
                    commit,
                );
            }
            _ => {}
        }
        let timestamp_ms = sample.timestamp.as_ms();
        match self.place(sample) {
            Place::Same => return Stored::Same,
            Place::Conflict | Place::Before(_) => return Stored::Overtaken,
            Place::Behind if timestamp_ms < commit.min_valid_ms => return Stored::Overtaken,
            Place::Behind => {}
        }
        self.close(wal_ref, commit);
        self.append(wal_ref, timestamp_ms, sample.value, &commit)
    }

    pub(super) fn append_histogram(
        &mut self,
        wal_ref: WalRef,
        timestamp: TimestampMs,
        value: HistogramRef<'_>,
        commit: CommitView<'_>,
    ) -> Stored {
        let timestamp_ms = timestamp.as_ms();
        match self.place_of_histogram(timestamp, value) {
            Place::Same => return Stored::Same,
            Place::Conflict | Place::Before(_) => return Stored::Overtaken,
            Place::Behind if timestamp_ms < commit.min_valid_ms => return Stored::Overtaken,
            Place::Behind => {}
        }
        let first_of_series = self.boundary.len() == 0;
        self.grow(&commit);
        let ended = self.open.is_empty() || self.open.is_full() || self.is_beyond_open(timestamp_ms);
        let room = if ended { Room::None } else { Room::Left };
        let Fits::Not(header) = self.open.append_histogram(timestamp, value, room) else {
            return Stored::New;
        };
        if !self.open.is_empty() {
            self.close(wal_ref, commit);
        }
        self.open = Open::begin(header, timestamp, value);
        self.begin_chunk(timestamp_ms, commit);
        Stored::NewChunk { first_of_series }
    }

    fn is_beyond_open(&self, timestamp_ms: i64) -> bool {
        timestamp_ms.wrapping_sub(self.open_min_ms) as u64 >= u64::from(self.open_room_ms)
    }

    /// Notes what the open chunk spans.
    fn begin_chunk(&mut self, timestamp_ms: i64, commit: CommitView<'_>) {
        self.open_min_ms = timestamp_ms;
        let room = commit.block_ms - timestamp_ms.rem_euclid(commit.block_ms);
        self.open_room_ms = u32::try_from(room).unwrap_or(u32::MAX);
    }

    #[cold]
    fn close(&mut self, wal_ref: WalRef, commit: CommitView<'_>) {
        let max = self.open.last_timestamp().expect("invariant: only a chunk with samples is closed");
        let encoding = self.open.encoding();
        let meta = commit.chunks.put(&Entry {
            wal_ref: wal_ref.get(),
            min: TimestampMs::new(self.open_min_ms),
            max,
            encoding,
            order: Order::InOrder,
            bytes: self.open.bytes(),
        });
        let mut closed = std::mem::take(&mut self.closed).into_vec();
        closed.reserve_exact(1);
        closed.push(meta);
        self.closed = closed.into_boxed_slice();
        self.open = Open::default();
    }

    /// Closes the open chunk.
    pub(super) fn close_open(&mut self, wal_ref: WalRef, commit: CommitView<'_>) {
        if !self.open.is_empty() {
            self.close(wal_ref, commit);
        }
    }

    /// Drops the chunks that end before a time; how many. The open one goes last.
    pub(super) fn truncate_before(&mut self, before_ms: i64) -> usize {
        let mut gone = self.closed.partition_point(|c| c.max_ms() < before_ms);
        let mut samples: u32 = self.closed[..gone].iter().map(|c| u32::from(c.samples())).sum();
        if gone > 0 {
            self.closed = Box::from(&self.closed[gone..]);
        }
        if self.closed.is_empty() && self.open.last_timestamp().is_some_and(|t| t.as_ms() < before_ms) {
            samples += u32::from(self.open.len());
            gone += 1;
            self.open = Open::default();
        }
        self.boundary.drop_front(samples, self.rare.as_mut().map(|rare| &mut rare.older));
        gone
    }

    pub(super) fn is_empty(&self) -> bool {
        self.boundary.len() == 0 && self.late().is_none()
    }

    /// Stores a sample that comes behind later ones, unless it is the newest one or stands in the open
    /// chunk of such samples.
    pub(super) fn insert_late(
        &mut self,
        wal_ref: WalRef,
        timestamp: TimestampMs,
        value: LateValue,
        commit: CommitView<'_>,
        closed: &mut Vec<ChunkMeta>,
    ) -> bool {
        if self.newest() == Some(timestamp) {
            return false;
        }
        self.late_mut().insert(wal_ref, timestamp, value, commit, closed)
    }

    pub(super) fn late(&self) -> Option<&OutOfOrder> {
        self.rare.as_ref()?.late.as_ref()
    }

    pub(super) fn late_mut(&mut self) -> &mut OutOfOrder {
        self.rare.get_or_insert_default().late.get_or_insert_default()
    }

    /// Closes the open chunk of late samples, as far as it is to be cut.
    pub(super) fn close_late(
        &mut self,
        wal_ref: WalRef,
        commit: CommitView<'_>,
        closed: &mut Vec<ChunkMeta>,
    ) {
        if let Some(late) = self.rare.as_mut().and_then(|rare| rare.late.as_mut()) {
            late.close_cut(wal_ref, commit, closed);
        }
    }

    /// Drops the closed chunks of late samples of commits up to one; how many.
    pub(super) fn drop_late_up_to(&mut self, commit: CommitId) -> usize {
        let Some(rare) = &mut self.rare else { return 0 };
        let Some(late) = &mut rare.late else { return 0 };
        let gone = late.drop_up_to(commit);
        if late.is_empty() {
            rare.late = None;
            self.drop_empty();
        }
        gone
    }

    pub(super) fn collect(&mut self, view: View, out: &mut Collected) {
        if let Some(late) = self.late() {
            late.collect(view.mark, view.range, out.late_mut());
        }
        let (mark, range) = (view.mark, view.in_order());
        let mut visible = self.visible(mark);
        let (min, max) = (range.min.as_ms(), range.max.as_ms());
        for chunk in &self.closed {
            if chunk.min_ms() > max || visible == 0 {
                return;
            }
            let len = u32::from(chunk.samples());
            if chunk.max_ms() >= min {
                out.push_closed(*chunk, visible.min(len) as u16);
            }
            visible = visible.saturating_sub(len);
        }
        if visible > 0 && !self.open.is_empty() && self.open_min_ms <= max {
            let len = visible.min(u32::from(self.open.len())) as u16;
            let encoding = self.open.encoding();
            out.set_open(encoding, self.open.bytes(), self.open_min_ms, len);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let late = self.late().map_or(0, OutOfOrder::heap_bytes);
        let rare = self.rare.as_ref().map_or(0, |_| size_of::<Rare>());
        size_of_val(&*self.closed) + self.open.heap_bytes() + rare + late
    }
}
