//! `Samples`: the chunks of one series: the open one in memory, of the closed ones their places. Owns which
//! samples a reader sees; never reads a closed chunk.

use super::{Collected, CommitView, Newest, Stored};
use crate::{
    head::isolation::{Boundaries, CommitId},
    head_chunks::{ChunkMeta, Entry, Order},
};
use skopos_chunk::{Encoding, XorEncoder};
use skopos_model::{Sample, TimestampMs};
use skopos_storage::TimeRange;

/// A chunk is closed at so many samples.
const SAMPLES_PER_CHUNK: u16 = 120;
/// So many places are made room for at a time: a million lists live at once.
const CLOSED_GROWTH: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Samples {
    closed: Vec<ChunkMeta>,
    open: XorEncoder,
    open_min_ms: i64,
    /// The open chunk takes no sample so long after its first one, so that no chunk lies in two blocks.
    open_room_ms: u32,
    /// Samples in closed chunks.
    closed_len: u32,
    boundaries: Boundaries,
}

impl Samples {
    fn len(&self) -> u32 {
        self.closed_len + u32::from(self.open.len())
    }

    pub(super) fn visible(&self, mark: CommitId) -> u32 {
        self.boundaries.visible(mark, self.len())
    }

    /// The time of the first sample; of no meaning without any.
    pub(super) fn min_ms(&self) -> i64 {
        self.closed.first().map_or(self.open_min_ms, ChunkMeta::min_ms)
    }

    pub(super) fn newest(&self) -> Option<Newest> {
        match (self.open.last(), self.closed.last()) {
            (Some(Sample { timestamp, value }), _) => Some(Newest { timestamp, value: Some(value) }),
            (None, Some(last)) => Some(Newest { timestamp: TimestampMs::new(last.max_ms()), value: None }),
            (None, None) => None,
        }
    }

    pub(super) fn attach(&mut self, chunks: impl Iterator<Item = ChunkMeta>) -> usize {
        if !self.open.is_empty() {
            return 0;
        }
        let before = self.closed.len();
        for chunk in chunks {
            if self.closed.last().is_some_and(|last| chunk.min_ms() <= last.max_ms()) {
                break;
            }
            self.closed_len += u32::from(chunk.samples());
            self.closed.push(chunk);
        }
        self.closed.shrink_to_fit();
        self.closed.len() - before
    }

    #[inline]
    pub(super) fn append(
        &mut self,
        wal_ref: u64,
        timestamp_ms: i64,
        value: f64,
        commit: CommitView<'_>,
    ) -> Stored {
        let timestamp = TimestampMs::new(timestamp_ms);
        let mut stored = Stored::New;
        match self.open.last() {
            Some(last) if timestamp <= last.timestamp => {
                let same = last == Sample { timestamp, value };
                return if same { Stored::Same } else { Stored::Overtaken };
            }
            _ if timestamp_ms < commit.min_valid_ms => return Stored::Overtaken,
            Some(last) => {
                let full = self.open.len() >= SAMPLES_PER_CHUNK;
                if full || timestamp_ms.wrapping_sub(self.open_min_ms) as u64 >= u64::from(self.open_room_ms)
                {
                    self.close(wal_ref, last.timestamp, commit);
                    stored = Stored::NewChunk { first_of_series: false };
                }
            }
            None => match self.closed.last() {
                Some(last) if timestamp_ms <= last.max_ms() => return Stored::Overtaken,
                last => stored = Stored::NewChunk { first_of_series: last.is_none() },
            },
        }
        let len = self.len();
        self.boundaries.begin(commit.id, len, commit.marks);
        if stored != Stored::New {
            self.open_min_ms = timestamp_ms;
            let room = commit.block_ms - timestamp_ms.rem_euclid(commit.block_ms);
            self.open_room_ms = u32::try_from(room).unwrap_or(u32::MAX);
        }
        self.open.append(timestamp, value);
        stored
    }

    #[cold]
    fn close(&mut self, wal_ref: u64, max: TimestampMs, commit: CommitView<'_>) {
        let meta = commit.chunks.put(&Entry {
            wal_ref,
            min: TimestampMs::new(self.open_min_ms),
            max,
            encoding: Encoding::Xor,
            order: Order::InOrder,
            bytes: self.open.bytes(),
        });
        self.closed_len += u32::from(self.open.len());
        if self.closed.len() == self.closed.capacity() {
            self.closed.reserve_exact(CLOSED_GROWTH);
        }
        self.closed.push(meta);
        self.open = XorEncoder::new();
    }

    /// Drops the chunks that end before a time; how many. The open one goes last.
    pub(super) fn truncate_before(&mut self, before_ms: i64) -> usize {
        let mut gone = self.closed.partition_point(|c| c.max_ms() < before_ms);
        let mut samples: u32 = self.closed[..gone].iter().map(|c| u32::from(c.samples())).sum();
        self.closed.drain(..gone);
        self.closed_len -= samples;
        if gone > 0 {
            self.closed.shrink_to(CLOSED_GROWTH);
        }
        if self.closed.is_empty() && self.open.last().is_some_and(|l| l.timestamp.as_ms() < before_ms) {
            samples += u32::from(self.open.len());
            gone += 1;
            self.open = XorEncoder::new();
        }
        self.boundaries.drop_front(samples);
        gone
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn collect(&self, mark: CommitId, range: TimeRange, out: &mut Collected) {
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
            out.set_open(self.open.bytes(), self.open_min_ms, len);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.closed.capacity() * size_of::<ChunkMeta>() + self.open.heap_bytes()
    }
}
