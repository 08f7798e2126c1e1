//! The chunk segments of a block. Knows no series.
//!
//! - `writer`: `ChunkWriter`, one segment after the other.
//! - `reader`: `ChunkSegments`, all open segments, and `ChunkFetcher`, which reads neighbours together.

pub(crate) mod reader;
pub(crate) mod writer;

/// The directory's name in a block's directory.
pub const CHUNKS_DIR: &str = "chunks";
const MAGIC: u32 = 0x85BD_40DD;
const VERSION: u8 = 1;
const HEADER_LEN: u64 = 8;
const CRC_LEN: usize = 4;
const ENCODING_LEN: usize = 1;

/// The segment of that number, counted from 0. The files are counted from 1.
fn segment_name(segment: usize) -> String {
    format!("{:06}", segment + 1)
}
