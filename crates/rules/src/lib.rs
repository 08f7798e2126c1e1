//! Recording and alerting rules: what their files say, when they are due, and what a recording rule records.
//!
//! Modules:
//! - `file`: `RuleFile`, a file as it is written, and its `Group`s once they are checked.
//! - `schedule`: `Schedule`, the times at which a group is due.
//! - `backfill`: recording rules over a time that has passed: the spans that are asked for one by one, and
//!   the series that follow from an answer.
//! - `source`: who answers: `local`, our own engine over any storage; `remote`, a server that speaks the
//!   HTTP API of Prometheus.
//!
//! Way of a backfill: `RuleFile::groups` → for each recording rule `backfill::spans` → `RangeSource::range` →
//! `backfill::recorded` → whoever keeps samples.
//!
//! What always holds:
//! - A `Group` that exists is valid: every expression is parsed, every name is a name.
//! - A group is due at the same times in every process: they follow from its name and file.
//! - Nothing here reads a file or writes one; files are read by `config`, which knows their lines.
//!
//! When you change what a file may say, change docs/tools.md too, and `config::rules`, which finds the place
//! of an error in the text.

pub mod backfill;
pub mod file;
mod local;
pub mod remote;
pub mod schedule;
pub mod source;

pub use local::LocalSource;
