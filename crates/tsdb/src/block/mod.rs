//! Prometheus' blocks: samples of a range of time in a directory that never changes but for its tombstones.
//!
//! - `meta`: `BlockMeta`, the file `meta.json`. `id`: `BlockId`, the ULID that names a block.
//! - `index`: which series there are; see its own map. `chunks`: their samples; see its own map.
//! - `tombstones`: `Tombstones`, what is deleted.
//! - `writer`: `BlockWriter`, and what is a block in a data directory.
//! - `reader`: `Block`, opened, and its deletions.
//! - `select`: matchers to series. `querier`: `BlockQuerier`, series to columns or chunks, and `BlockChain`,
//!   the same of several blocks in the order of their times. `kept`: one chunk without what is deleted.
//! - `input`, `files`: reading by position, writing durably. `error`: `BlockError`.
//!
//! Write path: `BlockWriter::create` with all symbols → `add_series` (chunks to `ChunkWriter`, the rest to
//! `IndexWriter`) → `finish`: everything synchronised, then renamed.
//! Read path: `Block::open` (tables walked once, sampled) → `Block::querier` → `select` → `SeriesReader` and
//! `ChunkFetcher`, which read neighbours together → `decode_kept` → `SeriesBatch`.
//!
//! What always holds:
//! - Every byte that decides about an answer is under a checksum that is checked at each read, but for
//!   `meta.json` of other writers.
//! - No length from a file asks for memory before it is held against the file's own length.
//! - A block open stays readable when its directory is removed.
//! - An open block takes memory by the number of its label names and a thirty-second of its label pairs and
//!   symbols, not by its size.
//!
//! When you change what is written, look at docs/formats/block.md and at the tests that hold our files
//! against those of promtool, byte for byte. When a chunk encoding is added, nothing changes here.

pub(crate) mod chunks;
mod error;
mod files;
mod id;
pub(crate) mod index;
pub(crate) mod input;
pub(crate) mod kept;
mod meta;
mod querier;
mod reader;
mod select;
mod tombstones;
mod writer;

pub use crate::intervals::{Interval, Intervals};
pub use chunks::CHUNKS_DIR;
pub(crate) use chunks::reader as chunk_access;
pub use error::BlockError;
pub(crate) use files::replace;
pub use id::{BlockId, BlockIds, NotAnId};
pub use index::{INDEX_FILE, symbol_table::Symbols};
pub(crate) use meta::FROM_OUT_OF_ORDER;
pub use meta::{BlockMeta, BlockParent, BlockStats, Compaction, META_FILE};
pub use querier::{BlockChain, BlockQuerier};
pub use reader::Block;
pub(crate) use select::select as select_series;
pub use tombstones::{TOMBSTONES_FILE, Tombstones};
pub use writer::{BlockDir, BlockWriter, CREATION_SUFFIX, DELETION_SUFFIX, WriteOptions, remove_block};
