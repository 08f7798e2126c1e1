//! Writes a plan as a tree of lines, one per operator, what it needs below it.

use super::{NodeId, Op, Param, Pipeline, Plan, Sink, Source};
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
                    op => write_operator(&mut operator, op),
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
                let matchers = &self.scans[scan.0].matchers;
                write!(f, "scan {} {matchers:?} | {:?} over {}ms", scan.0, kernel.function, windows.range)?;
                inputs.extend(kernel.params.into_iter().flatten());
            }
            Source::Subquery { node, windows, kernel } => {
                write!(f, "subquery | {:?} over {}ms", kernel.function, windows.range)?;
                inputs.extend([*node].into_iter().chain(kernel.params.into_iter().flatten()));
            }
            Source::Node(node) => {
                f.push_str("rows");
                inputs.push(*node);
            }
        }
        for map in &p.maps {
            write!(f, " | {map:?}")?;
            inputs.extend(map.scalars());
        }
        match &p.sink {
            Sink::Collect { merge: false } => {}
            Sink::Collect { merge: true } => f.push_str(" | merge"),
            Sink::Aggregate { op, grouping, .. } => write!(f, " | {op:?} {grouping:?}")?,
        }
        Ok(inputs)
    }
}

fn write_operator(f: &mut String, op: &Op) -> Result<Vec<NodeId>, fmt::Error> {
    let (text, inputs) = match op {
        Op::Number(v) => (v.0.to_string(), vec![]),
        Op::Time => ("time".to_owned(), vec![]),
        Op::ScalarOf(n) => ("scalar".to_owned(), vec![*n]),
        Op::ScalarNegate(n) => ("negate".to_owned(), vec![*n]),
        Op::VectorOf(n) => ("vector".to_owned(), vec![*n]),
        Op::Broadcast(n) => ("broadcast".to_owned(), vec![*n]),
        Op::ScalarBinary { op, lhs, rhs } => (format!("scalar {op:?}"), vec![*lhs, *rhs]),
        Op::Set { op, lhs, rhs, matching } => (format!("{op:?} {:?}", matching.on), vec![*lhs, *rhs]),
        Op::Join(join) => (format!("join {:?} {:?}", join.op, join.matching), vec![join.lhs, join.rhs]),
        Op::Gather(gather) => {
            let inputs = match gather.param {
                Param::Scalar(node) => vec![gather.input, node],
                Param::Text(_) => vec![gather.input],
            };
            (format!("{:?} {:?}", gather.op, gather.grouping), inputs)
        }
        Op::Absent { input, labels } => (format!("absent {labels}"), vec![*input]),
        Op::Sort { input, order } => (format!("sort {order:?}"), vec![*input]),
        Op::Info { base, info, select } => (format!("info {select:?}"), vec![*base, *info]),
        Op::ScalarExtreme { extreme, a, b } => (format!("scalar {extreme:?}"), vec![*a, *b]),
        Op::Ranks(ranks) => {
            let inputs = [ranks.input].into_iter().chain(ranks.function.scalars()).collect();
            (format!("{:?}", ranks.function), inputs)
        }
        Op::Pipeline(_) => (String::new(), vec![]),
    };
    f.push_str(&text);
    Ok(inputs)
}
