//! Writes a plan as a tree of lines, one per operator, what it needs below it.

use super::{NodeId, Op, Pipeline, Plan, Sink, Source, words};
use skopos_model::DurationMs;
use std::fmt::{self, Write};

/// A line of a plan that is written.
#[derive(Debug)]
pub(crate) struct Line {
    pub node: NodeId,
    pub depth: usize,
    pub steps: usize,
    pub step: DurationMs,
    pub operator: String,
    /// The node stands in a line above too.
    pub again: bool,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            let Line { node, depth, steps, step, operator, again } = line;
            write!(f, "{:indent$}#{} ", "", node.0, indent = 2 * depth)?;
            if again { writeln!(f, "{operator}")? } else { writeln!(f, "{steps} × {step}: {operator}")? }
        }
        Ok(())
    }
}

impl Plan {
    /// The tree, one operator a line, what it needs below it.
    pub(crate) fn lines(&self) -> Vec<Line> {
        // A list of what is still to be written stands in for recursion: plans can be deep.
        let mut todo = vec![(self.root, 0)];
        let mut written = vec![false; self.nodes.len()];
        let mut lines = Vec::new();
        while let Some((id, depth)) = todo.pop() {
            let node = &self.nodes[id.0];
            let grid = self.grids[node.grid.0];
            // A node that several others need would be written a number of times that doubles a level.
            let again = std::mem::replace(&mut written[id.0], true);
            let mut operator = String::new();
            if again {
                operator.push_str("as above");
            } else {
                let inputs = match &node.op {
                    Op::Pipeline(p) => self.write_pipeline(&mut operator, &self.pipelines[p.0]),
                    op => {
                        operator.push_str(&words::operator(op));
                        Ok(op.inputs())
                    }
                };
                let inputs = inputs.expect("invariant: a String takes all");
                todo.extend(inputs.into_iter().rev().map(|input| (input, depth + 1)));
            }
            lines.push(Line { node: id, depth, steps: grid.steps, step: grid.step, operator, again });
        }
        lines
    }
}

impl Plan {
    fn write_pipeline(&self, f: &mut String, p: &Pipeline) -> Result<Vec<NodeId>, fmt::Error> {
        let mut inputs = Vec::new();
        match &p.source {
            Source::Scan { scan, windows, kernel } => {
                let selector = words::selector(&self.scans[scan.0].matchers);
                write!(f, "scan {} {selector} | {}", scan.0, words::windowed(kernel.function, windows))?;
                inputs.extend(kernel.params.into_iter().flatten());
            }
            Source::Subquery { node, windows, kernel } => {
                write!(f, "subquery #{} | {}", node.0, words::windowed(kernel.function, windows))?;
                inputs.extend([*node].into_iter().chain(kernel.params.into_iter().flatten()));
            }
            Source::Node(node) => {
                write!(f, "rows of #{}", node.0)?;
                inputs.push(*node);
            }
        }
        for map in &p.maps {
            write!(f, " | {}", words::map(map))?;
            inputs.extend(map.scalars());
        }
        match &p.sink {
            Sink::Collect { merge: false } => {}
            Sink::Collect { merge: true } => f.push_str(" | merge"),
            Sink::Aggregate { op, grouping, .. } => write!(f, " | {}", words::aggregation(*op, grouping))?,
        }
        Ok(inputs)
    }
}
