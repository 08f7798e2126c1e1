//! What each operator of a query did: the plan as a tree, with times and numbers beside it. Carries out
//! nothing.

use crate::exec::work::{Counted, Tally};
use crate::plan::{Grid, NodeId, Plan, Windows};
use skopos_storage::{QueryBudget, QueryError};
use std::{sync::Arc, time::Duration};

/// How many samples a query looked at, each as often as a window has it, and how many were read for it:
/// Prometheus' `totalQueryableSamples` and `samplesRead`. A native histogram counts as so many samples as
/// have its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueriedSamples {
    /// In all.
    pub total: u64,
    /// Those of each step, if that was asked for (`Engine::profiling`).
    pub per_step: Vec<u64>,
    /// How many were read: of each window those that the one before had not.
    pub read: u64,
    /// Those of each step.
    pub read_per_step: Vec<u64>,
}

/// One operator of a plan and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorStats {
    /// How many operators stand between it and the whole query. What it needs stands behind it, one deeper.
    pub depth: usize,
    /// Its number, which others name it by: `#3`.
    pub node: usize,
    /// What it does, in words. One that was written before is `as above`.
    pub operator: String,
    /// At how many times it is evaluated.
    pub steps: usize,
    /// Series that the storage said it had before any was read, about.
    pub series_expected: u64,
    /// Series that it selected from storage.
    pub series_read: u64,
    /// Samples that storage handed out to it.
    pub samples_fetched: u64,
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
    pub samples_fetched: u64,
    pub rows: usize,
    pub took: Duration,
}

/// The operators of `plan` in the order of its tree.
pub(crate) fn operators(plan: &Plan, mut all: Vec<NodeStats>) -> Vec<OperatorStats> {
    let lines = plan.lines();
    let operator = |line: crate::plan::Line| {
        // What is used twice did its work once.
        let stats = if line.again { NodeStats::default() } else { std::mem::take(&mut all[line.node.0]) };
        OperatorStats {
            node: line.node.0,
            depth: line.depth,
            operator: line.operator,
            steps: line.steps,
            series_expected: stats.series_expected,
            series_read: stats.series_read,
            samples_fetched: stats.samples_fetched,
            samples_queried: stats.counted.looked_at.total,
            samples_queried_per_step: stats.counted.looked_at.per_step,
            rows: stats.rows,
            took: stats.took,
        }
    };
    lines.into_iter().map(operator).collect()
}

/// The operators of `plan`, of which only the whole did something.
pub(crate) fn of_root(plan: &Plan, stats: NodeStats) -> Vec<OperatorStats> {
    let mut all: Vec<_> = plan.nodes.iter().map(|_| NodeStats::default()).collect();
    all[plan.root.0] = stats;
    operators(plan, all)
}

/// What the whole query has looked at and read: what its operators have, each as often as it stands in the
/// query. One of a single time was looked at at each step that needs it, and read at the first. Of a subquery
/// the windows over its values were looked at; they were read, and so was what the values were made of, each
/// at the first step whose window has it.
pub(crate) fn queried(
    plan: &Plan,
    all: &[NodeStats],
    budget: &Arc<QueryBudget>,
) -> Result<QueriedSamples, QueryError> {
    let mut so_far: Vec<Counted> = Vec::with_capacity(all.len());
    let mut left: Vec<usize> = plan.nodes.iter().map(|n| n.uses).collect();
    for (i, stats) in all.iter().enumerate() {
        let steps = plan.steps(NodeId(i));
        let mut counted =
            if plan.counts_steps { Counted::of_steps(steps, budget)? } else { Counted::default() };
        counted.absorb(&stats.counted);
        for input in plan.own_inputs(NodeId(i)) {
            let below = &so_far[input.node.0];
            match input.windows {
                Some(windows) => {
                    let inner = plan.grids[plan.nodes[input.node.0].grid.0];
                    add_consumed(&mut counted.read, &below.read, windows, inner);
                }
                None if plan.steps(input.node) == steps => counted.absorb(below),
                None => {
                    (0..steps).for_each(|k| counted.looked_at.add(k, below.looked_at.total));
                    counted.read.add(0, below.read.total);
                }
            }
            let left = &mut left[input.node.0];
            *left = left.saturating_sub(1);
            if *left == 0 {
                so_far[input.node.0].forget_steps();
            }
        }
        so_far.push(counted);
    }
    let Counted { looked_at, read, .. } = so_far.swap_remove(plan.root.0);
    Ok(QueriedSamples {
        total: looked_at.total,
        per_step: looked_at.per_step,
        read: read.total,
        read_per_step: read.per_step,
    })
}

/// Adds what was read for each time of `inner` to the first step whose window has that time, if one has it.
fn add_consumed(to: &mut Tally, below: &Tally, windows: &Windows, inner: Grid) {
    if below.per_step.is_empty() || windows.steps <= 1 || windows.step <= 0 {
        return to.add(0, below.total);
    }
    for (k, n) in below.per_step.iter().enumerate().filter(|(_, n)| **n > 0) {
        let behind = inner.at(k).as_ms().saturating_sub(windows.first_end);
        let step = if behind > 0 { (behind as u64).div_ceil(windows.step as u64) as usize } else { 0 };
        let end = step as i64 * windows.step;
        if step < windows.steps && behind > end - windows.range {
            to.add(step, *n);
        }
    }
}
