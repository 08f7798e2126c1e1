//! What the engine yields: by tables, by a second evaluator over random expressions; and what bounds
//! it. Owns no test itself.

mod extended;
mod histograms;
mod limits;
mod random;
mod reference;
mod semantics;
mod shards;
#[path = "../support/mod.rs"]
mod support;
mod whole_windows;
