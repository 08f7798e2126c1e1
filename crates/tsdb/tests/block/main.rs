//! The tests of blocks through their public API, in one binary. Owns no test itself.

#![allow(clippy::unwrap_used)]

mod common;
mod crash;
mod damage;
mod damage_histograms;
mod delete;
mod peers;
mod queries;
mod size;
mod version_1;
mod writing;
