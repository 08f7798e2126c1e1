//! The write-ahead log in Prometheus' format (docs/formats/wal.md): what a commit wrote before it
//! became visible. Owns the directory `wal`; knows no series and no chunk.
//!
//! - `page`: how a record is cut into fragments on pages of 32 KiB.
//! - `record`: what a record holds: series, samples, histograms, tombstones and the rest.
//! - `compress`: records smaller and back.
//! - `segment`: the numbered files and checkpoints.
//! - `reader`: the records of one segment; damage costs its page, never more.
//! - `writer`: one append a batch, group synchronisation, and what happens when the disk refuses.
//! - `unsynced`: the records that a power loss would cost, kept until they are durable.

pub(crate) mod compress;
pub(crate) mod page;
pub(crate) mod reader;
#[expect(dead_code, unused_imports, reason = "the head does not write or keep all kinds yet")]
pub(crate) mod record;
pub(crate) mod segment;
mod unsynced;
pub(crate) mod writer;

pub(crate) use page::{PAGE_SIZE, segment_capacity};
pub(crate) use writer::Wal;
