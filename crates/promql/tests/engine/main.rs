//! What the engine yields: by tables, by a second evaluator over random expressions, by Debian's
//! Prometheus over the same samples; and what bounds it. Owns no test itself.

mod histograms;
mod limits;
mod peer;
mod random;
mod reference;
mod semantics;
mod shards;
#[path = "../support/mod.rs"]
mod support;
