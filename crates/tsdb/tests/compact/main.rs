//! The tests of compaction, retention and snapshots through their public API, in one binary. Owns no test
//! itself.

#![allow(clippy::unwrap_used)]

mod chain;
mod common;
mod compaction;
mod crash;
mod snapshot;
