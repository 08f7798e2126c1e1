//! What each node of a plan needs, in the order in which it is evaluated. Evaluates nothing.

use super::{NodeId, Op, Param, PipelineId, Plan, Source};

impl Plan {
    /// The nodes whose values `id` needs. A pipeline that reads storage is carried out with all others of its
    /// scan, so it needs what those need.
    pub(crate) fn inputs(&self, id: NodeId) -> Vec<NodeId> {
        match &self.nodes[id.0].op {
            Op::Number(_) | Op::Time => Vec::new(),
            Op::ScalarOf(n) | Op::ScalarNegate(n) | Op::VectorOf(n) | Op::Broadcast(n) => vec![*n],
            Op::Absent { input, .. } | Op::Sort { input, .. } => vec![*input],
            Op::ScalarBinary { lhs, rhs, .. } | Op::Set { lhs, rhs, .. } => vec![*lhs, *rhs],
            Op::ScalarExtreme { a, b, .. } => vec![*a, *b],
            Op::Join(join) => vec![join.lhs, join.rhs],
            Op::Info { base, info, .. } => vec![*base, *info],
            Op::Ranks(ranks) => [ranks.input].into_iter().chain(ranks.function.scalars()).collect(),
            Op::Gather(gather) => match gather.param {
                Param::Scalar(node) => vec![gather.input, node],
                Param::Text(_) => vec![gather.input],
            },
            Op::Pipeline(pipeline) => match &self.pipelines[pipeline.0].source {
                Source::Scan { scan, .. } => {
                    let fed = &self.scans[scan.0].pipelines;
                    fed.iter().flat_map(|pipeline| self.pipeline_inputs(*pipeline)).collect()
                }
                _ => self.pipeline_inputs(*pipeline),
            },
        }
    }

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
