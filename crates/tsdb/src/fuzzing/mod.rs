//! What fuzz targets see of the private decoders: for each a check over bytes that panics when something does
//! not hold and says whether they were taken as sound, and seeds that the real encoders made. Built with the
//! feature `fuzzing` alone; `crates/fuzz` has the table of targets. Never part of the product.
#![allow(missing_docs, reason = "seen by `crates/fuzz` alone, whose table says what each is")]

pub mod block;
pub mod head_chunks;
pub mod index;
pub mod tombstones;
pub mod wal;
