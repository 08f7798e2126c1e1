//! Relabelling: rules that rewrite a set of labels, or drop what has it. Targets, series, samples on their
//! way out and alerts are relabelled by the same rules, which files spell as Prometheus does.
//!
//! Modules:
//! - `config`: `RuleConfig`, a rule as a file has it, with its defaults.
//! - `check`: what is wrong with a rule of the right shape.
//! - `rules`: `Rules`, checked and compiled; applied to labels as a whole, or step by step to be shown.
//! - `case`: upper and lower case as Go has them.
//!
//! What always holds:
//! - `Rules` that exist can be applied: what is wrong with one is said when it is read.
//! - Rules never fail: one that makes no label leaves the labels as they are.
//! - Label names are any text but the empty one, as in Prometheus 3.
//!
//! When you add an action: its name in `config`, what it may not have beside it in `check`, what it does in
//! `rules`, a row in each table of the tests, and docs/configuration.md.

mod case;
mod check;
mod config;
mod rules;

pub use check::RuleError;
pub use config::{Action, RuleConfig};
pub use rules::{Kept, Rules, Step};
