//! Series as encoded chunks: what ships, compacts and streams samples without decoding them.

use crate::{QueryError, SelectRequest};
use bytes::Bytes;
use skopos_chunk::Encoding;
use skopos_model::{Labels, TimestampMs};

/// Samples of one series, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The time of the first sample.
    pub min: TimestampMs,
    /// The time of the last sample.
    pub max: TimestampMs,
    /// How `bytes` are written.
    pub encoding: Encoding,
    /// The encoded samples, beginning with their count.
    pub bytes: Bytes,
}

/// One series with its chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkSeries {
    /// What identifies it.
    pub labels: Labels,
    /// By their first samples' times. Chunks may overlap where the storage says so.
    pub chunks: Vec<Chunk>,
}

/// Series in the order of their labels, each once.
pub trait ChunkSeriesSet: Send {
    /// The next series; none when there are no more.
    fn next_series(&mut self) -> Result<Option<ChunkSeries>, QueryError>;
}

/// A view that hands out chunks. It may be asked by several threads at once.
pub trait ChunkQuerier: Send + Sync {
    /// The series that fulfil all matchers, with the chunks that overlap the request's range. A chunk comes
    /// whole, with samples beyond the range; samples deleted from it have been taken out.
    fn select_chunks(&self, request: &SelectRequest<'_>) -> Result<Box<dyn ChunkSeriesSet>, QueryError>;
}
