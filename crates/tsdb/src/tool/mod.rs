//! What the command line does with data directories: lists, reads, checks and repairs them, and makes
//! blocks of other data. Owns no flag and prints nothing.
//!
//! - `listing`: the blocks of a directory by their metas.
//! - `view`: all samples of a directory, without a lock or a change; `untouched`: how nothing is changed.
//! - `analyze`: what the series of one block are of.
//! - `backfill`: samples in any order into blocks, in bounded memory; `open_metrics`: from a text into it.
//! - `verify`: what is damaged; `verify_block`: in one block.
//! - `repair`: damage set aside, what is left of it written anew; `salvage`: of one block;
//!   `watched`: whether a disk that does not answer was taken for damage.
//! - `bench`: a load of scrapes on a new database.
//! - `text`: samples and figures as lines.

pub mod analyze;
pub mod backfill;
pub mod bench;
pub mod listing;
pub mod open_metrics;
pub mod repair;
mod salvage;
pub mod text;
mod untouched;
pub mod verify;
mod verify_block;
mod verify_names;
pub mod view;
mod watched;
