//! `Collected`: the chunks of one series that a reader needs, taken under the series' lock and decoded
//! without one. Never sees a sample that its reader must not see.

use crate::head_chunks::{ChunkMeta, HeadChunks};
use skopos_chunk::{ChunkError, Encoding, decode_range_into};
use skopos_model::Columns;
use skopos_storage::{QueryError, TimeRange};
use std::path::PathBuf;

/// See above. Reused from series to series.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    closed: Vec<Closed>,
    /// The open chunk, cut to what the reader sees; may be empty.
    open: Vec<u8>,
    /// What closed chunks are read into.
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Closed {
    meta: ChunkMeta,
    /// So many of its samples are seen.
    visible: u16,
}

impl Collected {
    pub(super) fn clear(&mut self) {
        self.closed.clear();
        self.open.clear();
    }

    pub(super) fn push_closed(&mut self, meta: ChunkMeta, visible: u16) {
        self.closed.push(Closed { meta, visible });
    }

    pub(super) fn set_open(&mut self, bytes: &[u8], visible: u16) {
        self.open.extend_from_slice(bytes);
        cut(&mut self.open, visible);
    }

    /// Decodes the samples of `range` to the columns.
    pub(crate) fn decode(
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
            decode(chunk.encoding, bytes, range, columns)?;
        }
        if !self.open.is_empty() {
            decode(Encoding::Xor, &self.open, range, columns)?;
        }
        Ok(())
    }
}

/// A chunk says in its first bytes how many samples it has; those behind are not read.
fn cut(chunk: &mut [u8], visible: u16) {
    chunk[..2].copy_from_slice(&visible.to_be_bytes());
}

fn decode(
    encoding: Encoding,
    bytes: &[u8],
    range: TimeRange,
    columns: &mut Columns,
) -> Result<(), QueryError> {
    match encoding {
        Encoding::Xor => {
            decode_range_into(bytes, range.min, range.max, &mut columns.timestamps, &mut columns.values)
                .map_err(corrupt)
        }
        Encoding::Histogram | Encoding::FloatHistogram => {
            Err(QueryError::Invalid("native histograms cannot be read from head chunks".to_owned()))
        }
    }
}

fn corrupt(e: ChunkError) -> QueryError {
    QueryError::Corrupt { path: PathBuf::from("head"), offset: 0, reason: e.to_string() }
}
