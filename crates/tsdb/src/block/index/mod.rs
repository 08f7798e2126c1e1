//! The index of a block: which series there are, which labels they have, and where their chunks stand.
//! Knows no chunk's bytes.
//!
//! - `toc`: the table of contents at the file's end.
//! - `paged`: a table that is read page by page, each with a checksum of its own taken when it was opened.
//! - `symbols`: all texts of labels, by number.
//! - `offsets`: where the postings of each label pair stand.
//! - `series`: one entry of the series section, and reading many with few calls.
//! - `reader`: `IndexReader`, all of it together.
//! - `pairs`: the label pairs of a new index and their postings.
//! - `symbol_table`: the texts of a new index.
//! - `writer`: `IndexWriter`.

pub(crate) mod offsets;
mod paged;
mod pairs;
pub(crate) mod reader;
pub(crate) mod series;
pub(crate) mod symbol_table;
pub(crate) mod symbols;
mod toc;
pub(crate) mod writer;

use skopos_model::TimestampMs;

/// The file's name in a block's directory.
pub const INDEX_FILE: &str = "index";
const MAGIC: u32 = 0xBAAA_D700;
const HEADER_LEN: u64 = 5;
const CRC_LEN: u64 = 4;
/// Series of version 2 begin at multiples of this.
const SERIES_ALIGNMENT: u64 = 16;

/// The versions of the format that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexVersion {
    /// Symbols and series are named by their bytes' offsets.
    V1,
    /// Symbols are named by number, series by a sixteenth of their offset.
    V2,
}

/// Where a chunk stands: the segment's number, counted from 0, in the upper half, the offset in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChunkRef(u64);

impl ChunkRef {
    /// The chunk at `offset` of the segment of that number, counted from 0.
    pub(crate) const fn new(segment: u32, offset: u32) -> Self {
        Self((segment as u64) << 32 | offset as u64)
    }

    /// The segment's number, counted from 0.
    pub(crate) const fn segment(self) -> usize {
        (self.0 >> 32) as usize
    }

    /// The chunk's first byte in the segment.
    pub(crate) const fn offset(self) -> u64 {
        self.0 & 0xffff_ffff
    }
}

/// What the index says about a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkMeta {
    /// The time of the first sample.
    pub(crate) min: TimestampMs,
    /// The time of the last sample.
    pub(crate) max: TimestampMs,
    /// Where it stands.
    pub(crate) at: ChunkRef,
}
