//! What the tests of this crate share: a storage in memory, a clock that stands still, and a world to
//! ask. Owns no test of its own.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this")]

pub mod compare;
pub mod memory;
pub mod world;
pub mod writer;
