//! Pipelines while the plan is being made: a draft can still be extended by maps; closing it makes it a
//! node. Decides where rows may have come to have equal labels.

use super::{
    GridId, Kernel, Map, Node, NodeId, Op, Pipeline, PipelineId, Place, Scan, ScanId, Sink, Source, Twin,
    TwinOf, Windows,
    build::{Builder, Frame},
};
use crate::ast::{AggregateOp, Grouping, Span};
use skopos_model::{Matcher, name::METRIC_NAME};
use skopos_storage::TimeRange;

/// What a part of the expression was planned to.
#[derive(Debug)]
pub(crate) struct Part {
    pub body: Body,
    /// The value is the same at every step; it is computed for one.
    pub invariant: bool,
    /// Rows would still have different labels without their names. Of no meaning for scalars.
    pub pinned: bool,
}

#[derive(Debug)]
pub(crate) enum Body {
    Scalar(NodeId),
    Rows(NodeId),
    Draft(Draft),
}

/// A node that yields rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Collected {
    pub node: NodeId,
    /// They would still have different labels without their names.
    pub pinned: bool,
}

/// A pipeline without its sink.
#[derive(Debug)]
pub(crate) struct Draft {
    source: DraftSource,
    maps: Vec<Map>,
    /// No two rows have equal labels.
    unique: bool,
    /// No row has a name any more.
    nameless: bool,
    span: Span,
}

#[derive(Debug)]
enum DraftSource {
    Select { matchers: Vec<Matcher>, windows: Windows, kernel: Kernel },
    Subquery { node: NodeId, windows: Windows, kernel: Kernel },
    Node(NodeId),
}

/// An aggregation that is done row by row.
#[derive(Clone, Debug)]
pub(crate) struct Grouped {
    pub op: AggregateOp,
    pub grouping: Grouping,
    /// What is aggregated.
    pub input: Place,
}

/// How far back equal nodes and scans are looked for; bounds the time that planning takes.
const LOOK_BACK: usize = 256;

impl Part {
    pub(crate) fn scalar(node: NodeId, invariant: bool) -> Self {
        Self { body: Body::Scalar(node), invariant, pinned: true }
    }

    /// Windows over the samples that fulfil `matchers`.
    pub(crate) fn select(matchers: &[Matcher], windows: Windows, kernel: Kernel, invariant: bool) -> Self {
        let pinned = pins_name(matchers);
        let span = kernel.span;
        let source = DraftSource::Select { matchers: matchers.to_vec(), windows, kernel };
        Self { body: Body::Draft(Draft::new(source, span)), invariant, pinned }
    }

    /// Windows over rows.
    pub(crate) fn subquery(
        Collected { node, pinned }: Collected,
        windows: Windows,
        kernel: Kernel,
        invariant: bool,
    ) -> Self {
        let span = kernel.span;
        let draft = Draft::new(DraftSource::Subquery { node, windows, kernel }, span);
        Self { body: Body::Draft(draft), invariant, pinned }
    }

    /// The node of a scalar.
    pub(crate) fn as_scalar(&self) -> Option<NodeId> {
        if let Body::Scalar(node) = self.body { Some(node) } else { None }
    }
}

impl Draft {
    fn new(source: DraftSource, span: Span) -> Self {
        Self { source, maps: Vec::new(), unique: true, nameless: false, span }
    }
}

/// Whether all series that fulfil `matchers` have one name.
fn pins_name(matchers: &[Matcher]) -> bool {
    matchers
        .iter()
        .any(|m| m.name() == METRIC_NAME && m.op() == skopos_model::MatchOp::Equal && !m.value().is_empty())
}

impl Builder<'_> {
    /// `part` with its rows' names gone, if it has any.
    pub(crate) fn without_names(&self, mut part: Part) -> Part {
        if let Body::Draft(draft) = &mut part.body {
            // Names that go at the very end do no harm before.
            draft.unique &= part.pinned || self.options.name_removal.is_late();
            draft.nameless = true;
        }
        part
    }

    /// `part` with `map` applied to every row.
    pub(crate) fn mapped(&mut self, part: Part, map: Map, frame: Frame, span: Span) -> Part {
        let mut part = self.opened(part, frame);
        let (drops_name, relabels) = (map.drops_name(), map.relabels());
        if let Body::Draft(draft) = &mut part.body {
            draft.maps.push(map);
            draft.span = span;
            if relabels {
                draft.unique = false;
                draft.nameless = false;
                part.pinned = false;
            }
        }
        if drops_name { self.without_names(part) } else { part }
    }

    /// `part` as a draft whose rows are known to have different labels.
    fn opened(&mut self, part: Part, frame: Frame) -> Part {
        if matches!(&part.body, Body::Draft(draft) if draft.unique) {
            return part;
        }
        let (invariant, span) = (part.invariant, Span::default());
        let Collected { node, pinned } = self.rows_of(part, frame);
        let draft = Draft::new(DraftSource::Node(node), span);
        Part { body: Body::Draft(draft), invariant, pinned }
    }

    /// The rows of `part` at the steps of `part`.
    pub(crate) fn rows_of(&mut self, part: Part, frame: Frame) -> Collected {
        let pinned = part.pinned;
        match part.body {
            Body::Rows(node) => Collected { node, pinned },
            Body::Scalar(node) => {
                let grid = frame.grid_of(part.invariant);
                Collected { node: self.node(Op::VectorOf(node), grid, Span::default()), pinned: true }
            }
            Body::Draft(draft) => {
                let merge = !draft.unique;
                let pinned = pinned || (merge && draft.nameless);
                let grid = frame.grid_of(part.invariant);
                Collected { node: self.pipeline(draft, Sink::Collect { merge }, grid), pinned }
            }
        }
    }

    /// The rows of `part` at all steps.
    pub(crate) fn rows_at_all_steps(&mut self, part: Part, frame: Frame) -> Collected {
        let invariant = part.invariant;
        let Collected { node, pinned } = self.rows_of(part, frame);
        if invariant && frame.once != frame.grid {
            let node = self.node(Op::Broadcast(node), frame.grid, Span::default());
            return Collected { node, pinned };
        }
        Collected { node, pinned }
    }

    /// The rows of `part` put into groups on their way.
    pub(crate) fn aggregated(
        &mut self,
        part: Part,
        Grouped { op, grouping, input }: Grouped,
        frame: Frame,
        span: Span,
    ) -> Part {
        let part = self.opened(part, frame);
        let pinned = !matches!(&grouping, Grouping::By(names) if names.iter().any(|n| n == METRIC_NAME));
        let invariant = part.invariant;
        let Body::Draft(mut draft) = part.body else { return part };
        draft.span = span;
        let node = self.pipeline(draft, Sink::Aggregate { op, grouping, input }, frame.grid_of(invariant));
        Part { body: Body::Rows(node), invariant, pinned }
    }

    /// Makes a pipeline of `draft`, or finds the equal one.
    fn pipeline(&mut self, draft: Draft, sink: Sink, grid: GridId) -> NodeId {
        let Draft { source, maps, span, .. } = draft;
        // A draft that does nothing is the node that it begins with.
        if let (DraftSource::Node(node), true, Sink::Collect { merge: false }) =
            (&source, maps.is_empty(), &sink)
        {
            return *node;
        }
        let source = self.source(source, &maps);
        let from = self.pipelines.len().saturating_sub(LOOK_BACK);
        let same = |p: &Pipeline| p.grid == grid && p.source == source && p.maps == maps && p.sink == sink;
        if let Some(at) = self.pipelines[from..].iter().position(same) {
            let found = &self.pipelines[from + at];
            let node = found.node;
            let twins = twins_of_pipelines((found, found.span), (&source, &maps, &sink, span));
            self.twins.extend(twins);
            return node;
        }
        let id = PipelineId(self.pipelines.len());
        let node = self.node(Op::Pipeline(id), grid, span);
        let pipeline = Pipeline { node, source, maps, sink, grid, span };
        if let Source::Scan { scan, .. } = &pipeline.source {
            self.scans[scan.0].pipelines.push(id);
        }
        self.use_scalars(&pipeline);
        self.pipelines.push(pipeline);
        node
    }

    fn use_scalars(&mut self, pipeline: &Pipeline) {
        let source = match &pipeline.source {
            Source::Scan { kernel, .. } => [kernel.params[0], kernel.params[1], None],
            Source::Subquery { node, kernel, .. } => [kernel.params[0], kernel.params[1], Some(*node)],
            Source::Node(node) => [Some(*node), None, None],
        };
        for node in source.into_iter().flatten().chain(pipeline.maps.iter().flat_map(Map::scalars)) {
            self.nodes[node.0].uses += 1;
        }
    }

    fn source(&mut self, source: DraftSource, maps: &[Map]) -> Source {
        match source {
            DraftSource::Node(node) => Source::Node(node),
            DraftSource::Subquery { node, windows, kernel } => Source::Subquery { node, windows, kernel },
            DraftSource::Select { matchers, windows, kernel } => {
                let mut needed =
                    kernel.params.into_iter().flatten().chain(maps.iter().flat_map(Map::scalars));
                let exclusive = needed.any(|n| !self.scan_free(n));
                Source::Scan { scan: self.scan(matchers, windows.span(), exclusive), windows, kernel }
            }
        }
    }

    /// Whether the scalar `node` is known without reading anything.
    fn scan_free(&self, node: NodeId) -> bool {
        matches!(self.nodes[node.0].op, Op::Number(_) | Op::Time)
    }

    /// The scan of these series that covers `range`. One that exists is widened when the two ranges
    /// touch; else more would be read than is asked for.
    fn scan(&mut self, matchers: Vec<Matcher>, range: TimeRange, exclusive: bool) -> ScanId {
        let from = self.scans.len().saturating_sub(LOOK_BACK);
        let touches = |s: &Scan| s.range.min <= range.max && range.min <= s.range.max;
        let fits = |s: &Scan| !s.exclusive && touches(s) && s.matchers == matchers;
        if !exclusive && let Some(at) = self.scans[from..].iter().position(fits) {
            let scan = &mut self.scans[from + at];
            scan.range.min = scan.range.min.min(range.min);
            scan.range.max = scan.range.max.max(range.max);
            return ScanId(from + at);
        }
        self.scans.push(Scan { matchers, range, pipelines: Vec::new(), exclusive });
        ScanId(self.scans.len() - 1)
    }

    /// Makes a node, or finds the equal one, and counts its inputs' uses.
    pub(crate) fn node(&mut self, op: Op, grid: GridId, span: Span) -> NodeId {
        let from = self.nodes.len().saturating_sub(LOOK_BACK);
        if let Some(at) = self.nodes[from..].iter().position(|n| n.grid == grid && n.op == op) {
            let found = &self.nodes[from + at];
            let twins = twins_of_nodes((&found.op, found.span), (&op, span));
            self.twins.extend(twins);
            return NodeId(from + at);
        }
        for input in op.inputs() {
            self.nodes[input.0].uses += 1;
        }
        self.nodes.push(Node { op, grid, span, uses: 0 });
        NodeId(self.nodes.len() - 1)
    }
}

/// The places of two equal operators that remarks are about.
fn twins_of_nodes((first, span): (&Op, Span), (other, other_span): (&Op, Span)) -> Vec<Twin> {
    let mut twins = Vec::new();
    match (first, other) {
        (Op::Gather(a), Op::Gather(b)) => {
            twin(&mut twins, TwinOf::Aggregation, (a.argument.0, b.argument.0));
            twin(&mut twins, TwinOf::Aggregation, (span, other_span));
            twin(&mut twins, TwinOf::Other, (a.param_place.0, b.param_place.0));
        }
        (Op::Ranks(a), Op::Ranks(b)) => {
            twin(&mut twins, TwinOf::Other, (a.place.0, b.place.0));
            let places = a.scalars.iter().zip(&b.scalars);
            places.for_each(|(a, b)| twin(&mut twins, TwinOf::Other, (a.0, b.0)));
        }
        (Op::Join(_) | Op::Sort { .. }, _) => twin(&mut twins, TwinOf::Other, (span, other_span)),
        _ => {}
    }
    twins
}

/// The same of two equal pipelines.
fn twins_of_pipelines(
    (first, span): (&Pipeline, Span),
    (source, maps, sink, other_span): (&Source, &[Map], &Sink, Span),
) -> Vec<Twin> {
    let mut twins = Vec::new();
    twin(&mut twins, TwinOf::Other, (span, other_span));
    if let (Some(a), Some(b)) = (first.source.kernel(), source.kernel()) {
        twin(&mut twins, TwinOf::Other, (a.span, b.span));
    }
    for (a, b) in first.maps.iter().zip(maps) {
        if let (Map::Scalar(a), Map::Scalar(b)) = (a, b) {
            twin(&mut twins, TwinOf::Other, (a.place.0, b.place.0));
        }
    }
    if let (Sink::Aggregate { input: a, .. }, Sink::Aggregate { input: b, .. }) = (&first.sink, sink) {
        twin(&mut twins, TwinOf::Aggregation, (a.0, b.0));
    }
    twins
}

fn twin(twins: &mut Vec<Twin>, of: TwinOf, (first, other): (Span, Span)) {
    if first != other {
        twins.push(Twin { first, other, of });
    }
}
