//! The time-series database: the head in memory, its write-ahead log, and blocks.
//!
//! Modules:
//! - `db`: `Db`, what the rest of the program opens: head and blocks as one; see its own map.
//! - `dirs`: the directories of logs and chunk files, also on a full disk.
//! - `options`, `error`, `stats`: what is configured, what goes wrong, what is counted.
//! - `equal_times`: which of several samples of one time counts, and the order of sources that says so.
//! - `intervals`: spans of time that are deleted from a series, in the head and in blocks.
//! - `select`: what `head::select` and `block::select` share, which turn matchers into series.
//! - `head_chunks`: the directory of closed chunks; see its own map.
//! - `head`: series, postings, chunks, batches and views; see its own map.
//! - `block`: Prometheus' blocks, written and read; see its own map.
//! - `compact`: what becomes of blocks: compaction, retention, snapshots; see its own map.
//! - `tool`: what the command line does with data directories; see its own map.
//! - `wal`: Prometheus' write-ahead log, read and written; see its own map.
//! - `fuzzing`: the decoders as `crates/fuzz` sees them; only with the feature of this name.
//!
//! Write path: `Db::appender` → `HeadAppender::append`/`append_floats` (checks, and encodes the WAL
//! record as it goes) → `commit`: under one lock `Wal::log` (one append to the file), then
//! `MemSeries::append` for each sample, then `Readers::publish`. `Head::sync_logs` follows every 100 ms
//! (`Wal::sync`), on another thread `HeadChunks::write` of the chunks that were closed before it.
//! Read path: `Db::querier` takes a `ReadMark`, then the list of blocks, and merges both. In the head:
//! `head::select` (matchers to numbers by `Postings`) → sorted series → `MemSeries::collect` under its lock,
//! `Collected::decode` without one → `SeriesBatch`.
//! Out of order: what its series does not take in order goes to the series' own chunk of such samples by
//! `LateBatch`; its record waits until the WAL is durable, then `Head::write_late` puts it into `wbl`.
//! `Head::cut_out_of_order` → blocks → `Head::drop_out_of_order`.
//! To blocks (`db::maintain`): `Head::cuttable` → `Head::refuse_before` → `Compactor::write` → the block is
//! opened and published → `Head::truncate_before` → `Wal::truncate_before`.
//! Start: `Db::open` → blocks → `HeadChunks::open` → a snapshot, if closing left one → `replay` of what is
//! behind them → a new segment.
//!
//! What always holds:
//! - A batch is visible only after the WAL has all of it: one record, or a group of several that is read
//!   whole or not at all.
//! - Memory stores batches, and the samples that a batch has of a series, in the order in which the WAL has
//!   them, so a replay gives the same head.
//! - No lock is held while a chunk is decoded. While one is appended to, its series' own is, with those of
//!   the commit and of the table of series, which is let go every few thousand samples.
//! - A query holds a lock of the registry for one stride of values or series, and never two of them.
//! - The numbers of series in postings grow; a number, also the WAL's, is never given twice.
//! - Locks are taken in this order: `Names::rewriting`, commit, `Names::file`, shard, postings, table,
//!   series; those of late samples: `writing`, `waiting`, `extent`; `Wal::truncating`, `Wal::syncing`,
//!   `Wal::inner`; `HeadChunks::writer`, `HeadChunks::buffer`, which is the last of all. `Head::durable` is
//!   held alone.
//! - Head chunk files, the write-behind log and blocks of samples out of order have no sample that the WAL
//!   does not have, or had, durably.
//! - Nothing here panics on bytes of a file.
//!
//! When you change a record or its framing, change docs/formats/wal.md too, and the tests against the
//! real Prometheus will tell whether it still reads it. When you change what a commit does with a
//! sample, look at `replay`, which does the same. When you change the order of a commit's steps, read
//! docs/decisions/0003-isolation-by-commit-number.md first.

pub mod block;
pub mod compact;
mod db;
mod dirs;
mod equal_times;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod head_chunks;
mod intervals;
mod options;
mod select;
mod stats;
pub mod tool;
mod wal;

#[doc(hidden)]
pub use db::Steps;
pub use db::{Db, MaintainError, Maintained, Retention, SnapshotOf};
pub use error::OpenError;
pub use head::{
    cardinality::{Cardinality, HeadShape, TopEntry},
    tombstones::DeleteError,
    truncate::{Busy, Truncated},
};
pub use intervals::{Interval, Intervals};
pub use options::{
    DEFAULT_MAX_UNWRITTEN_CHUNK_BYTES, Options, ReplayProgress, ReplaySegments, WalCompression,
};
pub use stats::StatsSnapshot;
pub use wal::{
    checkpoint::{CheckpointError, CheckpointStats, Passed},
    sequence::SequenceError,
    snapshot, tail,
};
