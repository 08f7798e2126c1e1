//! The write-ahead log in Prometheus' format (docs/formats/wal.md): what a commit wrote before it
//! became visible. Owns the directory `wal`; knows no series and no chunk.
//!
//! - `page`: how a record is cut into fragments on pages of 32 KiB.
//! - `record`: what a record holds: series, samples, histograms, tombstones and the rest.
//! - `group`: the records of a batch that needs several, whole or not at all.
//! - `compress`: records smaller and back.
//! - `names`: the names of series once more, for when damage takes them from the log.
//! - `segment`: the numbered files and checkpoints.
//! - `checkpoint`: what is still needed of old segments, written anew so that those can go.
//! - `sequence`: directories of segments that appear whole or not at all.
//! - `snapshot`: open chunks of a database that was closed, beside the log.
//! - `reader`: the records of one segment; damage costs its page, never more.
//! - `writer`: one append a batch, group synchronisation, and what happens when the disk refuses.
//! - `tail`: the log as it grows, for whoever sends on what was stored.
//! - `unnamed`: samples that no series record and no copy of one speaks for.
//! - `unsynced`: the records that a power loss would cost, kept until they are durable.

pub(crate) mod checkpoint;
pub(crate) mod compress;
pub(crate) mod group;
pub(crate) mod names;
pub(crate) mod page;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod sequence;
pub mod snapshot;
pub mod tail;
pub(crate) mod unnamed;
mod unsynced;
pub(crate) mod writer;

pub(crate) use page::{PAGE_SIZE, segment_capacity};
pub(crate) use writer::Wal;
