//! What each operator of a query did: the plan as a tree, with times and numbers beside it. Carries out
//! nothing.

use crate::plan::{NodeId, Plan};
use std::time::Duration;

/// One operator of a plan and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorStats {
    /// How many operators stand between it and the whole query. What it needs stands behind it, one deeper.
    pub depth: usize,
    /// What it does, in words. One that was written before is `as above`.
    pub operator: String,
    /// At how many times it is evaluated.
    pub steps: usize,
    /// Series that it selected from storage.
    pub series_read: u64,
    /// Samples that it read.
    pub samples_read: u64,
    /// Rows that it handed on; one for a scalar.
    pub rows: usize,
    /// How long it took without what it needs. Operators that read the same series are carried out together,
    /// in the time of the first.
    pub took: Duration,
}

/// What a node did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NodeStats {
    pub series_read: u64,
    pub samples_read: u64,
    pub rows: usize,
    pub took: Duration,
}

/// The operators of `plan` in the order of its tree.
pub(crate) fn operators(plan: &Plan, of: impl Fn(NodeId) -> NodeStats) -> Vec<OperatorStats> {
    let lines = plan.lines();
    let operator = |line: crate::plan::Line| {
        // What is used twice did its work once.
        let stats = if line.again { NodeStats::default() } else { of(line.node) };
        OperatorStats {
            depth: line.depth,
            operator: line.operator,
            steps: line.steps,
            series_read: stats.series_read,
            samples_read: stats.samples_read,
            rows: stats.rows,
            took: stats.took,
        }
    };
    lines.into_iter().map(operator).collect()
}
