//! A bounded queue on disk: records go in at one end, and each reader takes them out in their order, at its
//! own pace, with a place that survives a restart. Knows nothing of what records hold.
//!
//! Modules:
//! - `record`: the header of a record, as it stands in a file.
//! - `segment`: one file of records; finding what of it is whole.
//! - `position`: how far a reader is, on disk.
//! - `open`: from a directory, as a crash may have left it, to a queue.
//! - `spool`: `Spool`: records in, records out, bounds.
//! - `stats`: what a queue says of itself.
//!
//! The way in: `Spool::push` → the unwritten records in memory → room is made → `append`, `sync` → readers
//! see it. The way out: `Spool::peek` → the reader does what it does → `Spool::advance` → its position →
//! files that no reader needs are removed.
//!
//! What always holds:
//! - Records have numbers that grow and are never given twice, whatever was lost.
//! - A reader gets records by growing numbers. It misses one only where `Lost` counts it.
//! - What `push` called durable survives a loss of power until all readers are past it or a bound takes it.
//! - A reader's place is never ahead of what it said; after a loss of power it may be behind.
//! - No bytes of a file make this panic or allocate without bound.
//!
//! When you change a record or a position, change docs/formats/spool.md and its version, add a fixture in
//! `tests/fixtures` (those that are there stay), and look at the fuzz target `spool`.

mod open;
mod position;
mod record;
mod segment;
mod spool;
mod stats;

pub use open::OpenError;
pub use record::{HEADER_BYTES, Header, MAX_BODY_BYTES, Record};
pub use spool::{Options, Pushed, ReaderId, Spool};
pub use stats::{Lost, ReaderStats, Stats};
