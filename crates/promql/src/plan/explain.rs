//! Writes a plan as a tree of lines, one per operator, what it needs below it.

use super::{NodeId, Op, Param, Pipeline, Plan, Sink, Source};
use std::fmt::{self, Write};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A list of what is still to be written stands in for recursion: plans can be deep.
        let mut todo = vec![(self.root, 0)];
        let mut written = vec![false; self.nodes.len()];
        while let Some((id, depth)) = todo.pop() {
            let node = &self.nodes[id.0];
            write!(f, "{:depth$}#{} ", "", id.0)?;
            // A node that several others need would be written a number of times that doubles a level.
            if std::mem::replace(&mut written[id.0], true) {
                f.write_str("as above\n")?;
                continue;
            }
            write!(f, "{} × {}: ", self.grids[node.grid.0].steps, self.grids[node.grid.0].step)?;
            let inputs = match &node.op {
                Op::Pipeline(p) => self.write_pipeline(f, &self.pipelines[p.0])?,
                op => write_operator(f, op)?,
            };
            f.write_char('\n')?;
            todo.extend(inputs.into_iter().rev().map(|input| (input, depth + 2)));
        }
        Ok(())
    }
}

impl Plan {
    fn write_pipeline(&self, f: &mut fmt::Formatter<'_>, p: &Pipeline) -> Result<Vec<NodeId>, fmt::Error> {
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
                f.write_str("rows")?;
                inputs.push(*node);
            }
        }
        for map in &p.maps {
            write!(f, " | {map:?}")?;
            inputs.extend(map.scalars());
        }
        match &p.sink {
            Sink::Collect { merge: false } => {}
            Sink::Collect { merge: true } => f.write_str(" | merge")?,
            Sink::Aggregate { op, grouping, .. } => write!(f, " | {op:?} {grouping:?}")?,
        }
        Ok(inputs)
    }
}

fn write_operator(f: &mut fmt::Formatter<'_>, op: &Op) -> Result<Vec<NodeId>, fmt::Error> {
    let (text, inputs) = match op {
        Op::Number(v) => (v.to_string(), vec![]),
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
    f.write_str(&text)?;
    Ok(inputs)
}
