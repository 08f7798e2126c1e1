//! What each operator of a query did: the plan as a tree, with times and numbers beside it. Carries out
//! nothing.

use crate::exec::work::Counted;
use crate::plan::{NodeId, Plan};
use std::time::Duration;

/// How many samples a query looked at, each as often as a window has it: Prometheus' `totalQueryableSamples`.
/// A native histogram counts as so many samples as have its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueriedSamples {
    /// In all.
    pub total: u64,
    /// Those of each step, if that was asked for (`Engine::profiling`).
    pub per_step: Vec<u64>,
    /// How many were read from storage, each once for each read.
    pub read: u64,
}

/// One operator of a plan and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorStats {
    /// How many operators stand between it and the whole query. What it needs stands behind it, one deeper.
    pub depth: usize,
    /// What it does, in words. One that was written before is `as above`.
    pub operator: String,
    /// At how many times it is evaluated.
    pub steps: usize,
    /// Series that the storage said it had before any was read, about.
    pub series_expected: u64,
    /// Series that it selected from storage.
    pub series_read: u64,
    /// Samples that it read.
    pub samples_read: u64,
    /// Samples that its windows have, each as often as it is in one.
    pub samples_queried: u64,
    /// Those of each step.
    pub samples_queried_per_step: Vec<u64>,
    /// Rows that it handed on; one for a scalar.
    pub rows: usize,
    /// How long it took without what it needs. Operators that read the same series are carried out together,
    /// in the time of the first.
    pub took: Duration,
}

/// What a node did.
#[derive(Debug, Default)]
pub(crate) struct NodeStats {
    pub counted: Counted,
    pub series_expected: u64,
    pub series_read: u64,
    pub samples_read: u64,
    pub rows: usize,
    pub took: Duration,
}

/// The operators of `plan` in the order of its tree.
pub(crate) fn operators(plan: &Plan, all: &[NodeStats]) -> Vec<OperatorStats> {
    let lines = plan.lines();
    let none = NodeStats::default();
    let operator = |line: crate::plan::Line| {
        // What is used twice did its work once.
        let stats = if line.again { &none } else { &all[line.node.0] };
        OperatorStats {
            depth: line.depth,
            operator: line.operator,
            steps: line.steps,
            series_expected: stats.series_expected,
            series_read: stats.series_read,
            samples_read: stats.samples_read,
            samples_queried: stats.counted.total,
            samples_queried_per_step: stats.counted.per_step.clone(),
            rows: stats.rows,
            took: stats.took,
        }
    };
    lines.into_iter().map(operator).collect()
}

/// What the whole query has looked at: what its operators have, each as often as it stands in the query, and
/// one of a single time as often as there are steps that need it. Of a subquery the windows over its values
/// count, and not what these were made of.
pub(crate) fn queried(plan: &Plan, all: Vec<NodeStats>) -> QueriedSamples {
    let read = all.iter().map(|stats| stats.samples_read).sum();
    let mut so_far: Vec<Counted> = Vec::with_capacity(all.len());
    let mut left: Vec<usize> = plan.nodes.iter().map(|n| n.uses).collect();
    for (i, stats) in all.into_iter().enumerate() {
        let mut counted = stats.counted;
        let steps = plan.steps(NodeId(i));
        for input in plan.own_inputs(NodeId(i)) {
            let below = &so_far[input.node.0];
            let times = if plan.steps(input.node) == steps { 1 } else { steps as u64 };
            if !input.is_windowed {
                counted.total = counted.total.saturating_add(below.total.saturating_mul(times));
            }
            if counted.per_step.is_empty() && plan.counts_steps {
                counted.per_step = vec![0; steps];
            }
            let own = counted.per_step.iter_mut().filter(|_| !input.is_windowed);
            if times == 1 {
                own.zip(&below.per_step).for_each(|(a, b)| *a = a.saturating_add(*b));
            } else {
                own.for_each(|a| *a = a.saturating_add(below.total));
            }
            let left = &mut left[input.node.0];
            *left = left.saturating_sub(1);
            if *left == 0 {
                so_far[input.node.0].per_step = Vec::new();
            }
        }
        so_far.push(counted);
    }
    let Counted { total, per_step } = so_far.swap_remove(plan.root.0);
    QueriedSamples { total, per_step, read }
}
