//! The plan of a query: what is read, what is done to every row on its way, and what needs all rows at
//! once. Owns no data; `build` makes it from the syntax tree, `exec` carries it out.
//!
//! A plan is a list of nodes, each behind those that it needs. Most of the work stands in pipelines:
//! rows come from a scan, a subquery or another node, pass the maps one by one, and end in a sink that
//! keeps them or puts them into groups. So an aggregation holds its groups and never the rows.

pub(crate) mod build;
mod call;
mod draft;
mod explain;
mod info;
mod inputs;
mod kinds;
mod regexes;
mod since;
mod words;

pub(crate) use explain::Line;

use crate::ast::{AggregateOp, BinaryOp, Edges, Grouping, Matching, Span};
use skopos_model::{DurationMs, Labels, Matcher, TimestampMs};
use skopos_storage::TimeRange;
use std::sync::Arc;

/// The number of a node in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(pub usize);

/// The number of a grid in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GridId(pub usize);

/// The number of a pipeline in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PipelineId(pub usize);

/// The number of a scan in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScanId(pub usize);

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub nodes: Vec<Node>,
    pub pipelines: Vec<Pipeline>,
    pub scans: Vec<Scan>,
    pub grids: Vec<Grid>,
    pub root: NodeId,
    /// When names go.
    pub name_removal: NameRemoval,
    /// Whether anything is made of since when samples were counted.
    pub starts: StartTimestamps,
    /// By what a counter is known.
    pub counter_sign: CounterSign,
    /// Places that are carried out together with others.
    pub twins: Vec<Twin>,
    /// Samples are counted step by step.
    pub counts_steps: bool,
}

/// When the names of metrics go, where values are no longer those of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameRemoval {
    /// With the operator that makes other values of them.
    AtOnce,
    /// At the very end of the query.
    Late,
}

impl NameRemoval {
    pub(crate) const fn is_late(self) -> bool {
        matches!(self, Self::Late)
    }
}

/// By what a counter is known, where a function wants one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CounterSign {
    /// By the end of its name.
    Name,
    /// By its label `__type__`.
    Type,
}

/// What is made of the start timestamps of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartTimestamps {
    Used,
    Ignored,
}

/// A place of the query that is carried out together with an equal one, so that what is said of that one
/// holds for it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Twin {
    /// The place that remarks name.
    pub first: Span,
    pub other: Span,
    pub of: TwinOf,
}

/// What stands at two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TwinOf {
    /// Something that is put into groups.
    Aggregation,
    Other,
}

impl Plan {
    /// The times of a pipeline.
    pub(crate) fn grid_of(&self, pipeline: PipelineId) -> Grid {
        self.grids[self.pipelines[pipeline.0].grid.0]
    }
}

/// The times at which something is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub start: TimestampMs,
    pub step: DurationMs,
    pub steps: usize,
}

impl Grid {
    /// The time of step `k`.
    pub(crate) fn at(&self, k: usize) -> TimestampMs {
        TimestampMs::new(self.start.as_ms() + k as i64 * self.step.as_ms())
    }

    /// The time of the last step.
    pub(crate) fn end(&self) -> TimestampMs {
        self.at(self.steps - 1)
    }
}

/// One operator.
#[derive(Debug)]
pub(crate) struct Node {
    pub op: Op,
    pub grid: GridId,
    pub span: Span,
    /// How many others need the value.
    pub uses: usize,
}

/// The operators. Scalars yield a number per step, all others rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    Number(Constant),
    /// `time()`
    Time,
    /// `scalar(v)`
    ScalarOf(NodeId),
    ScalarNegate(NodeId),
    ScalarBinary {
        op: BinaryOp,
        lhs: NodeId,
        rhs: NodeId,
    },
    /// `vector(s)`
    VectorOf(NodeId),
    Pipeline(PipelineId),
    /// The one step of a value that does not change, at all steps.
    Broadcast(NodeId),
    Join(Join),
    Set {
        op: BinaryOp,
        lhs: NodeId,
        rhs: NodeId,
        matching: Matching,
    },
    /// An aggregation that sees all rows, such as `topk`, `limitk`, `quantile`.
    Gather(Gather),
    /// 1 where the input has no row with a value.
    Absent {
        input: NodeId,
        labels: Labels,
    },
    Sort {
        input: NodeId,
        order: SortOrder,
    },
    /// `info`: the rows of `base` with labels of those of `info`.
    Info {
        base: NodeId,
        info: NodeId,
        select: Arc<InfoLabels>,
    },
    /// `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`.
    Ranks(Ranks),
    /// `max_of(a, b)` and `min_of(a, b)`
    ScalarExtreme {
        extreme: Extreme,
        a: NodeId,
        b: NodeId,
    },
}

/// A number that is known before anything is read. Equal bit by bit: 0 and -0 are two, and not a number is
/// itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constant(pub f64);

impl PartialEq for Constant {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

/// Which info metrics and which of their labels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InfoLabels {
    /// What the names fulfil.
    pub names: Vec<Matcher>,
    /// What the labels to be taken over fulfil; without any, all labels are taken over.
    pub data: Vec<Matcher>,
}

/// Which of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extreme {
    Max,
    Min,
}

/// The order in which rows are handed out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SortOrder {
    ByValue(Direction),
    /// By the values of these labels, numbers in them by their size.
    ByLabels(Direction, Vec<Arc<str>>),
}

/// Whether the least or the greatest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// A binary operator whose sides are matched by labels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Join {
    pub op: BinaryOp,
    pub lhs: NodeId,
    pub rhs: NodeId,
    pub return_bool: bool,
    pub matching: Matching,
}

/// Quantiles or shares of histograms, classic ones (of which all buckets are needed at once) and native ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranks {
    pub input: NodeId,
    /// Where the histograms stand in the query.
    pub place: Place,
    pub function: RankFn,
    /// Where each of the scalars stands.
    pub scalars: Vec<Place>,
}

/// What is asked of the ranks of observations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RankFn {
    Quantile(NodeId),
    /// Several quantiles, each as the value of the label.
    Quantiles {
        label: Arc<str>,
        quantiles: Vec<NodeId>,
    },
    Fraction {
        lower: NodeId,
        upper: NodeId,
    },
}

impl RankFn {
    /// The scalars that it needs.
    pub(crate) fn scalars(&self) -> Vec<NodeId> {
        match self {
            Self::Quantile(q) => vec![*q],
            Self::Quantiles { quantiles, .. } => quantiles.clone(),
            Self::Fraction { lower, upper } => vec![*lower, *upper],
        }
    }
}

/// An aggregation that sees all rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gather {
    pub op: AggregateOp,
    pub input: NodeId,
    pub grouping: Grouping,
    pub param: Param,
    /// Where the parameter stands in the query.
    pub param_place: Place,
    /// What is aggregated.
    pub argument: Place,
}

/// The parameter of an aggregation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Param {
    /// One number per step.
    Scalar(NodeId),
    /// A label's name.
    Text(Arc<str>),
}

/// Rows from a source, through maps, into a sink.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// The node whose value it yields.
    pub node: NodeId,
    pub source: Source,
    pub maps: Vec<Map>,
    pub sink: Sink,
    pub grid: GridId,
    /// Where rows of equal labels, or the aggregation, stand in the query.
    pub span: Span,
}

impl Pipeline {
    /// Whether series that become one are an error even where they have no step in common: those of functions
    /// of windows, as in Prometheus, unless their labels are changed afterwards.
    pub(crate) fn takes_no_twins(&self) -> bool {
        let of_windows = |kernel: &Kernel| !kernel.function.is_instant() && !kernel.function.keeps_name();
        self.source.kernel().is_some_and(of_windows)
            && !self.maps.iter().any(|map| matches!(map, Map::Replace(_) | Map::Join(_)))
    }
}

/// Where the rows of a pipeline come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// Windows over the samples of storage.
    Scan { scan: ScanId, windows: Windows, kernel: Kernel },
    /// Windows over the values that another node has on a finer grid.
    Subquery { node: NodeId, windows: Windows, kernel: Kernel },
    /// The rows of another node.
    Node(NodeId),
}

impl Source {
    /// What is made of its windows, if it has any.
    pub(crate) fn kernel(&self) -> Option<&Kernel> {
        match self {
            Self::Scan { kernel, .. } | Self::Subquery { kernel, .. } => Some(kernel),
            Self::Node(_) => None,
        }
    }
}

/// The windows of all steps: that of step `k` ends at `first_end + k × step`, which belongs to it, and
/// is `range` long; its beginning does not belong to it. In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub first_end: i64,
    pub step: i64,
    pub steps: usize,
    pub range: i64,
    /// What the windows have at their ends.
    pub edges: Edges,
    /// How far beyond their ends samples count for these.
    pub reach: i64,
}

impl Windows {
    /// What of time the windows cover together.
    pub(crate) fn span(&self) -> TimeRange {
        let last = self.first_end + (self.steps - 1) as i64 * self.step;
        let min = self.first_end.saturating_sub(self.range).saturating_sub(self.reach).saturating_add(1);
        let after = if self.edges == Edges::Smoothed { self.reach } else { 0 };
        TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(last.saturating_add(after)) }
    }
}

/// What is made of a window.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub function: WindowFn,
    /// What the function needs beside samples, one number per step each.
    pub params: [Option<NodeId>; 2],
    /// How much of a histogram is asked for.
    pub detail: Detail,
    /// Where the first parameter, else the windowed expression, stands in the query.
    pub span: Span,
}

/// Equal wherever they stand.
impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function && self.params == other.params && self.detail == other.detail
    }
}

/// How much of the histograms that are read is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Detail {
    /// All.
    #[default]
    Whole,
    /// No more than counts and sums. Then each histogram says whether there was a reset before it.
    CountAndSum,
}

/// Where something stands in the query. Two that do the same are equal wherever they stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(pub Span);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What is made of the samples of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WindowFn {
    /// The newest sample unless it is a staleness marker: what an instant selector yields.
    Newest,
    /// The time of that sample.
    NewestTime,
    /// Since when that sample was counted; zero when that is not known.
    NewestStart,
    /// The same of a series that is still the metric that was read.
    InfoTime,
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Changes,
    Resets,
    Avg,
    Count,
    First,
    Last,
    Mad,
    Max,
    Min,
    Present,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    TimeOfFirst,
    TimeOfLast,
    TimeOfMax,
    TimeOfMin,
    /// The slope of the line through all samples.
    Deriv,
    /// Where that line is so many seconds (the first parameter) behind the step's time (the second).
    PredictLinear,
    /// The parameters are the factors of smoothing and of the trend.
    DoubleExponentialSmoothing,
}

impl WindowFn {
    /// Whether it looks at one sample of each window.
    pub(crate) const fn is_instant(self) -> bool {
        matches!(self, Self::Newest | Self::NewestTime | Self::NewestStart | Self::InfoTime)
    }

    /// Whether the result is still the metric that was read.
    pub(crate) const fn keeps_name(self) -> bool {
        matches!(self, Self::Newest | Self::InfoTime | Self::First | Self::Last)
    }
}

/// What is done to each row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Map {
    Math(MathFn),
    Negate,
    /// An operator whose other side is a scalar.
    Scalar(ScalarMap),
    /// `clamp` and its halves; an absent bound does not bound.
    Clamp {
        min: Option<NodeId>,
        max: Option<NodeId>,
    },
    /// `round`; to whole numbers when unset.
    Round(Option<NodeId>),
    /// `timestamp` of something that is no selector.
    StepTime,
    /// Nothing: since when a value was counted is known of samples alone.
    NoStart,
    /// A number of each histogram.
    Histogram(HistogramFn),
    Replace(Arc<LabelReplace>),
    Join(Arc<LabelJoin>),
}

impl Map {
    /// Whether the result is another metric.
    pub(crate) fn drops_name(&self) -> bool {
        match self {
            Self::Scalar(m) => !(m.op.is_comparison() || m.op.is_trim()) || m.return_bool,
            Self::Replace(_) | Self::Join(_) => false,
            _ => true,
        }
    }

    /// Whether it cuts histograms.
    pub(crate) fn is_trim(&self) -> bool {
        matches!(self, Self::Scalar(m) if m.op.is_trim())
    }

    /// Whether labels are changed otherwise.
    pub(crate) fn relabels(&self) -> bool {
        matches!(self, Self::Replace(_) | Self::Join(_))
    }

    /// The scalars that it needs.
    pub(crate) fn scalars(&self) -> impl Iterator<Item = NodeId> {
        let pair = match self {
            Self::Scalar(m) => [Some(m.scalar), None],
            Self::Clamp { min, max } => [*min, *max],
            Self::Round(to) => [*to, None],
            _ => [None, None],
        };
        pair.into_iter().flatten()
    }
}

/// An operator between each value and a scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ScalarMap {
    pub op: BinaryOp,
    pub scalar: NodeId,
    pub scalar_side: Side,
    pub return_bool: bool,
    pub place: Place,
}

/// A side of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Functions of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MathFn {
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Cos,
    Cosh,
    /// A part of the calendar date of so many seconds since 1970.
    Date(DatePart),
    Deg,
    Exp,
    Floor,
    Ln,
    Log10,
    Log2,
    Rad,
    Sgn,
    Sin,
    Sinh,
    Sqrt,
    Tan,
    Tanh,
}

/// Parts of a calendar date and time of day, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DatePart {
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    DaysInMonth,
    Hour,
    Minute,
    Month,
    Year,
}

/// Functions that make a number of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HistogramFn {
    Avg,
    Count,
    Stddev,
    Stdvar,
    Sum,
}

/// `label_replace`
#[derive(Clone, Debug)]
pub(crate) struct LabelReplace {
    pub destination: Arc<str>,
    pub replacement: Arc<str>,
    pub source: Arc<str>,
    /// Anchored at both ends.
    pub regex: skopos_model::re2::WholeText,
}

impl PartialEq for LabelReplace {
    fn eq(&self, other: &Self) -> bool {
        let key = |r: &Self| (r.destination.clone(), r.replacement.clone(), r.source.clone());
        key(self) == key(other) && self.regex == other.regex
    }
}

/// `label_join`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LabelJoin {
    pub destination: Arc<str>,
    pub separator: Arc<str>,
    pub sources: Vec<Arc<str>>,
}

/// Where the rows of a pipeline end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sink {
    /// They are kept.
    Collect {
        /// Labels may be equal: rows are put together, which fails when both have a value at one step.
        merge: bool,
    },
    /// They are put into groups by one of the operators that need no look back.
    Aggregate {
        op: AggregateOp,
        grouping: Grouping,
        /// What is aggregated.
        input: Place,
    },
}

/// One read of storage, for all pipelines that need it.
#[derive(Debug)]
pub(crate) struct Scan {
    pub matchers: Vec<Matcher>,
    pub range: TimeRange,
    pub pipelines: Vec<PipelineId>,
    /// A pipeline needs the result of another scan first, so no other may join.
    pub exclusive: bool,
}
