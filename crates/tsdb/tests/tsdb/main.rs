//! The tests of the database through its public API, in one binary. Owns no test itself.

mod blocks;
mod common;
mod concurrent;
mod crash;
mod crash_blocks;
mod damage;
mod deletion;
mod exemplars;
mod head;
mod histograms;
mod limits;
mod peers;
mod random;
mod replay;
mod truncate;
mod truncation;
