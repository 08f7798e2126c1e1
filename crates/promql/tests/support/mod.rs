//! What the tests of this crate share: a storage in memory, a clock that stands still, and a world to
//! ask. Owns no test of its own.

pub(crate) mod compare;
pub(crate) mod memory;
pub(crate) mod world;
