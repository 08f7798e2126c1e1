//! PromQL: parse, plan and execute over columnar series. Knows no storage but its seam.
//!
//! # Modules
//! - `parse`: text to tree, with types checked and every error at its place; limits of length and depth
//! - `ast`: the tree; every node knows where it stands in the text
//! - `functions`: the table of functions: identifiers, names, signatures
//! - `printer`: tree to text (`Display` of `ast::Expr`), in Prometheus' canonical form
//! - `plan`: tree to plan: what is read, what is done row by row, what needs all rows at once
//! - `exec`: carries out a plan over columns
//! - `shards`: the threads that help queries, and work in parts whose results are taken in order
//! - `queries`: which queries wait and run, and what they came to; `active_log`: the file of those that run
//! - `profile`: what each operator of a query did
//! - `engine`: `Engine`, which plans, carries out and hands out values; `value`, `error`: what it yields
//!
//! # Way of a query
//! `parse` → `Engine::instant` or `Engine::range` → `plan::build` → `exec::Executor`, which selects from a
//! `storage::Queryable` on the account of a `QueryBudget` → `QueryResult` with its annotations.
//!
//! # What always holds
//! - A tree that `parse` made is well typed, no deeper than `parse::MAX_DEPTH`, and reads back from its
//!   written form as the same tree.
//! - What a query yields does not depend on how many threads worked on it, to the last bit.
//! - Evaluation reads no clock and no file, and keeps nothing from one query to the next. Only `queries` and
//!   `active_log` do, which evaluation does not know.
//!
//! # When you change something
//! - a function is added: a row in `functions`, its computation in `exec`
//! - a node of `ast` is added or changed: `parse`, `printer`, `plan::build`, and the makers and visitors of
//!   trees in `parse/tests` and `tests/promqltest/run.rs`
//! - what a query yields changes: the evaluator in `tests/engine/reference` says it by definition
//! - a keyword is added: `parse::words` says where it may be a name all the same
//! - the grammar goes beyond Prometheus 2.42: `tests/syntax/newer.txt` names what that version refuses

pub mod active_log;
pub mod ast;
mod engine;
mod error;
mod exec;
pub mod functions;
pub mod parse;
mod plan;
mod printer;
mod profile;
pub mod queries;
pub mod shards;
mod value;

pub use engine::{Engine, EngineOptions, Steps};
pub use error::EvalError;
pub use parse::{
    ParseError, ParseOptions, parse, parse_matchers, parse_matchers_within, parse_selector,
    parse_selector_within, parse_with, parse_within,
};
pub use profile::{OperatorStats, QueriedSamples};
pub use value::{Annotation, Matrix, QueryResult, Severity, Value, Vector};
