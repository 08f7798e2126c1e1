//! `Collected`: the chunks of one series that a reader needs, taken under the series' lock and decoded
//! without one. Never sees a sample that its reader must not see.

use super::out_of_order::CollectedLate;
use crate::head_chunks::{ChunkMeta, HeadChunks};
use bytes::Bytes;
use skopos_chunk::{
    ChunkError, Encoding, FloatHistogramEncoder, HistogramEncoder, XorEncoder, decode_columns,
};
use skopos_model::{Columns, TimestampMs};
use skopos_storage::{Chunk, QueryError, TimeRange, merge::merge_columns};
use std::path::PathBuf;

/// See above. Reused from series to series.
#[derive(Debug)]
pub(crate) struct Collected {
    closed: Vec<Closed>,
    /// The open chunk, cut to what the reader sees; may be empty.
    open: Vec<u8>,
    open_min_ms: i64,
    open_encoding: Encoding,
    /// Samples that came behind later ones.
    late: CollectedLate,
    /// In order, samples of before this time are not asked for.
    floor: TimestampMs,
    /// What closed chunks are read into.
    buffer: Vec<u8>,
}

impl Default for Collected {
    fn default() -> Self {
        Self {
            closed: Vec::new(),
            open: Vec::new(),
            open_min_ms: 0,
            open_encoding: Encoding::Xor,
            late: CollectedLate::default(),
            floor: TimestampMs::MIN,
            buffer: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Closed {
    meta: ChunkMeta,
    /// So many of its samples are seen.
    visible: u16,
}

impl Collected {
    pub(super) fn clear(&mut self, floor: TimestampMs) {
        self.closed.clear();
        self.open.clear();
        self.late.clear();
        self.floor = floor;
    }

    pub(super) fn late_mut(&mut self) -> &mut CollectedLate {
        &mut self.late
    }

    /// Leaves out the samples that came behind later ones.
    pub(crate) fn forget_late(&mut self) {
        self.late.clear();
    }

    pub(super) fn push_closed(&mut self, meta: ChunkMeta, visible: u16) {
        self.closed.push(Closed { meta, visible });
    }

    pub(super) fn set_open(&mut self, encoding: Encoding, bytes: &[u8], min_ms: i64, visible: u16) {
        self.open_encoding = encoding;
        self.open_min_ms = min_ms;
        self.open.extend_from_slice(bytes);
        cut(&mut self.open, visible);
    }

    /// All chunks as they are, with samples beyond the range that they were collected for; those of
    /// late samples come last and overlap.
    pub(crate) fn chunks(&mut self, chunks: &HeadChunks) -> Result<Vec<Chunk>, QueryError> {
        let mut out = Vec::with_capacity(self.closed.len() + 1);
        for Closed { meta, visible } in &self.closed {
            let mut buffer = Vec::new();
            let read = chunks.read(meta, &mut buffer)?;
            if *visible < meta.samples() {
                let bytes = &mut buffer[read.bytes];
                cut(bytes, *visible);
                out.push(visible_chunk(read.encoding, meta.min_ms(), bytes)?);
            } else {
                out.push(Chunk {
                    min: TimestampMs::new(meta.min_ms()),
                    max: TimestampMs::new(meta.max_ms()),
                    encoding: read.encoding,
                    bytes: Bytes::from(buffer).slice(read.bytes),
                });
            }
        }
        if !self.open.is_empty() {
            out.push(visible_chunk(self.open_encoding, self.open_min_ms, &self.open)?);
        }
        self.late.chunks(chunks, &mut out)?;
        Ok(out)
    }

    /// Decodes the samples of `range` to the columns: those in order and late ones merged, each time once.
    pub(crate) fn decode(
        &mut self,
        chunks: &HeadChunks,
        range: TimeRange,
        columns: &mut Columns,
    ) -> Result<(), QueryError> {
        let in_order = TimeRange { min: range.min.max(self.floor), ..range };
        if self.late.is_empty() {
            return self.decode_in_order(chunks, in_order, columns);
        }
        let mut first = Columns::default();
        self.decode_in_order(chunks, in_order, &mut first)?;
        let mut sources = vec![first];
        self.late.decode(chunks, range, &mut sources)?;
        merge_columns(&sources, columns);
        Ok(())
    }

    fn decode_in_order(
        &mut self,
        chunks: &HeadChunks,
        range: TimeRange,
        columns: &mut Columns,
    ) -> Result<(), QueryError> {
        for Closed { meta, visible } in &self.closed {
            let chunk = chunks.read(meta, &mut self.buffer)?;
            let bytes = &mut self.buffer[chunk.bytes];
            if *visible < meta.samples() {
                cut(bytes, *visible);
            }
            decode_columns(chunk.encoding, bytes, range.min, range.max, columns).map_err(corrupt)?;
        }
        if !self.open.is_empty() {
            decode_columns(self.open_encoding, &self.open, range.min, range.max, columns).map_err(corrupt)?;
        }
        Ok(())
    }
}

/// A chunk of which not all samples are seen: those that are, written anew without the rest.
fn visible_chunk(encoding: Encoding, min_ms: i64, bytes: &[u8]) -> Result<Chunk, QueryError> {
    let min = TimestampMs::new(min_ms);
    let (max, bytes) = match encoding {
        Encoding::Histogram => {
            let encoder = HistogramEncoder::from_bytes(bytes).map_err(corrupt)?;
            (encoder.last_timestamp(), encoder.into_bytes())
        }
        Encoding::FloatHistogram => {
            let encoder = FloatHistogramEncoder::from_bytes(bytes).map_err(corrupt)?;
            (encoder.last_timestamp(), encoder.into_bytes())
        }
        // The head writes no other encoding, and what it finds on disk is seen whole.
        _ => {
            let encoder = XorEncoder::from_bytes(bytes).map_err(corrupt)?;
            (encoder.last().map(|last| last.timestamp), encoder.into_bytes())
        }
    };
    Ok(Chunk { min, max: max.unwrap_or(min), encoding, bytes: Bytes::from(bytes) })
}

/// A chunk says in its first bytes how many samples it has; those behind are not read.
fn cut(chunk: &mut [u8], visible: u16) {
    chunk[..2].copy_from_slice(&visible.to_be_bytes());
}

pub(super) fn corrupt(e: ChunkError) -> QueryError {
    QueryError::Corrupt { path: PathBuf::from("head"), offset: 0, reason: e.to_string() }
}
