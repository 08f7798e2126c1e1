//! The tests of the tools for data directories through their public API, in one binary: crashes, failing
//! calls, and what must not be changed. Owns no test itself.

#![allow(clippy::unwrap_used)]

mod common;
mod crash;
mod running;
mod slow;
mod untouched;
