//! What the tests of this crate share: a storage in memory and a clock that stands still. Owns no
//! test of its own.

pub mod memory;
