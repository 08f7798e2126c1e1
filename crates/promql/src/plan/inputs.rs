//! What each node of a plan needs, in the order in which it is evaluated. Evaluates nothing.

use super::{NodeId, Op, Param, PipelineId, Plan, Source, Windows};

impl Op {
    /// The nodes that the operator itself names. A pipeline names its own.
    pub(crate) fn inputs(&self) -> Vec<NodeId> {
        match self {
            Self::Number(_) | Self::Time | Self::Pipeline(_) => Vec::new(),
            Self::ScalarOf(n) | Self::ScalarNegate(n) | Self::VectorOf(n) | Self::Broadcast(n) => vec![*n],
            Self::Absent { input, .. } | Self::Sort { input, .. } => vec![*input],
            Self::ScalarBinary { lhs, rhs, .. } | Self::Set { lhs, rhs, .. } => vec![*lhs, *rhs],
            Self::ScalarExtreme { a, b, .. } => vec![*a, *b],
            Self::Join(join) => vec![join.lhs, join.rhs],
            Self::Info { base, info, .. } => vec![*base, *info],
            Self::Ranks(ranks) => [ranks.input].into_iter().chain(ranks.function.scalars()).collect(),
            Self::Gather(gather) => match gather.param {
                Param::Scalar(node) => vec![gather.input, node],
                Param::Text(_) => vec![gather.input],
            },
        }
    }
}

/// A node that another needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub node: NodeId,
    /// Those that slide over it, if it stands in a subquery.
    pub windows: Option<&'a Windows>,
}

impl Plan {
    /// At how many times a node is evaluated.
    pub(crate) fn steps(&self, id: NodeId) -> usize {
        self.grids[self.nodes[id.0].grid.0].steps
    }

    /// The nodes of which the value of `id` is made.
    pub(crate) fn own_inputs(&self, id: NodeId) -> Vec<Input<'_>> {
        let Op::Pipeline(pipeline) = &self.nodes[id.0].op else {
            return self.inputs(id).into_iter().map(|node| Input { node, windows: None }).collect();
        };
        let windowed = match &self.pipelines[pipeline.0].source {
            Source::Subquery { node, windows, .. } => Some((*node, windows)),
            Source::Scan { .. } | Source::Node(_) => None,
        };
        let all = self.pipeline_inputs(*pipeline).into_iter();
        all.map(|node| Input { node, windows: windowed.filter(|w| w.0 == node).map(|w| w.1) }).collect()
    }

    /// The nodes whose values `id` needs. A pipeline that reads storage is carried out with all others of its
    /// scan, so it needs what those need.
    pub(crate) fn inputs(&self, id: NodeId) -> Vec<NodeId> {
        match &self.nodes[id.0].op {
            Op::Pipeline(pipeline) => match &self.pipelines[pipeline.0].source {
                Source::Scan { scan, .. } => {
                    let fed = &self.scans[scan.0].pipelines;
                    fed.iter().flat_map(|pipeline| self.pipeline_inputs(*pipeline)).collect()
                }
                _ => self.pipeline_inputs(*pipeline),
            },
            op => op.inputs(),
        }
    }

    /// The nodes whose values a pipeline needs.
    fn pipeline_inputs(&self, pipeline: PipelineId) -> Vec<NodeId> {
        let pipeline = &self.pipelines[pipeline.0];
        let mut inputs = Vec::new();
        match &pipeline.source {
            Source::Scan { kernel, .. } => inputs.extend(kernel.params.into_iter().flatten()),
            Source::Subquery { node, kernel, .. } => {
                inputs.push(*node);
                inputs.extend(kernel.params.into_iter().flatten());
            }
            Source::Node(node) => inputs.push(*node),
        }
        inputs.extend(pipeline.maps.iter().flat_map(super::Map::scalars));
        inputs
    }
}
