//! The syntax tree of PromQL. Every node knows where it stands in the text. Owns no evaluation.
//!
//! - `length`: lengths of time, which may be computed from the query's step and range.
//! - `same`: whether two trees are the same wherever their nodes stand.

mod length;
mod same;

pub(crate) use length::of_seconds;
pub use length::{DurationExpr, DurationOp, Length, LengthError, QueryTimes};

use crate::functions::Function;
use skopos_model::{Matcher, TimestampMs};
use std::sync::Arc;

/// A part of the query's text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte behind the last one.
    pub end: u32,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `1.5`
    Number(f64),
    /// `5m`: a number of seconds that is written as a duration, to whole milliseconds.
    Duration(f64),
    /// `"text"`
    String(Arc<str>),
    /// `"\xff"`: a text whose escapes make bytes that are no characters.
    Bytes(Arc<[u8]>),
    /// `name{label="value"} offset 5m @ 100`
    Selector(Selector),
    /// `selector[5m]`
    Range(RangeSelector),
    /// `expr[30m:1m]`
    Subquery(Box<Subquery>),
    /// `rate(…)`
    Call(Call),
    /// `sum by (job) (…)`
    Aggregate(Box<Aggregate>),
    /// `a + b`
    Binary(Box<Binary>),
    /// `-a`
    Negate(Box<Expr>),
    /// `+a`, kept so that the text can be written back.
    Plus(Box<Expr>),
    /// `(a)`, kept so that the text can be written back.
    Paren(Box<Expr>),
}

/// What an expression yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// One number per step.
    Scalar,
    /// A constant text.
    String,
    /// One number per series and step.
    InstantVector,
    /// A window of samples per series and step.
    RangeVector,
}

impl ValueType {
    /// The type as messages call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::InstantVector => "instant vector",
            Self::RangeVector => "range vector",
        }
    }
}

impl std::fmt::Display for ValueType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Expr {
    /// What it yields.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) => ValueType::Scalar,
            ExprKind::String(_) | ExprKind::Bytes(_) => ValueType::String,
            ExprKind::Selector(_) | ExprKind::Aggregate(_) => ValueType::InstantVector,
            ExprKind::Range(_) | ExprKind::Subquery(_) => ValueType::RangeVector,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => inner.value_type(),
            ExprKind::Binary(b) => match (b.lhs.value_type(), b.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::InstantVector,
            },
        }
    }
}

/// Picks series, and the newest sample of each within the lookback.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// All conditions in the order of the printer, the metric name's among them; first if it is written
    /// before the braces.
    pub matchers: Vec<Matcher>,
    /// In which order they stand in the text.
    pub order: TextOrder,
    /// Where the name is written.
    pub name: NamePlace,
    /// When the sample is looked for.
    pub shift: Shift,
    /// What a window has at its ends.
    pub edges: Edges,
}

/// The order in which a selector's conditions stand in the text: places among its matchers, none where it is
/// their own order. As with spans, whoever writes the tree again is free to change it, and it means nothing.
#[derive(Clone, Debug, Default)]
pub struct TextOrder(Box<[u16]>);

/// All orders mean the same.
impl PartialEq for TextOrder {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl TextOrder {
    /// `places[k]` is where among the matchers the `k`th of the text is.
    pub(crate) fn new(places: Vec<u16>) -> Self {
        if places.iter().enumerate().all(|(k, place)| k == usize::from(*place)) {
            return Self::default();
        }
        Self(places.into())
    }
}

impl Selector {
    /// The conditions as the text has them; one whose name stands before the braces is the first. In the
    /// order of the printer where conditions have been added or taken away since.
    pub fn matchers_in_text_order(&self) -> Vec<&Matcher> {
        let places = self.order.0.iter().map(|place| self.matchers.get(usize::from(*place)));
        match places.collect::<Option<Vec<_>>>() {
            Some(all) if all.len() == self.matchers.len() => all,
            _ => self.matchers.iter().collect(),
        }
    }
}

/// Where a selector's metric name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePlace {
    /// `up` or `up{…}`
    Before,
    /// `{__name__="up"}` or `{"up"}`; there may be several or none.
    Within,
}

/// What a window has at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Edges {
    /// The samples that lie in it and no others.
    #[default]
    Sampled,
    /// `anchored`: samples at its very ends, with the values of the last ones before.
    Anchored,
    /// `smoothed`: samples at its very ends, with values on the line between those around.
    Smoothed,
}

/// `offset` and `@`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Shift {
    /// How much earlier than the step; negative for later.
    pub offset: Length,
    /// A fixed time in the place of the step's own.
    pub at: Option<At>,
}

/// The time that `@` pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// `@ 1609746000.123`
    Time(TimestampMs),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// Picks series, and all samples of each in the window that ends at the step (its left end excluded).
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSelector {
    /// Which series, and when.
    pub selector: Selector,
    /// How long the window is; positive.
    pub range: Length,
}

/// Evaluates an expression over a window at a step of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// An instant vector.
    pub expr: Expr,
    /// How long the window is; positive.
    pub range: Length,
    /// The inner step; unset means the engine's default.
    pub step: Option<Length>,
    /// When the window ends.
    pub shift: Shift,
}

/// A function call whose arguments were checked against the function's signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub function: &'static Function,
    /// As many as the signature allows, of its types.
    pub args: Vec<Expr>,
}

/// An aggregation over series.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// How values are put together.
    pub op: AggregateOp,
    /// Which series are put together.
    pub grouping: Grouping,
    /// The `k`, quantile or label name of the operators that have one.
    pub param: Option<Expr>,
    /// An instant vector.
    pub expr: Expr,
}

/// The aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are PromQL's own")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::CountValues,
        Self::Quantile,
        Self::Limitk,
        Self::LimitRatio,
    ];

    /// The operator as PromQL writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// Whether it must be enabled (`promql-experimental-functions`).
    pub const fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }

    /// The type of the parameter before the vector; none where there is no parameter.
    pub const fn param_type(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => {
                Some(ValueType::Scalar)
            }
            Self::CountValues => Some(ValueType::String),
            _ => None,
        }
    }
}

/// Which labels make a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// `by (…)`: these and no others. Without any clause: by no label, all in one group.
    By(Vec<String>),
    /// `without (…)`: all but these and the metric's name.
    Without(Vec<String>),
}

/// An operator between two expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which.
    pub op: BinaryOp,
    /// The left side.
    pub lhs: Expr,
    /// The right side.
    pub rhs: Expr,
    /// `bool`: comparisons yield 0 or 1 and do not filter.
    pub return_bool: bool,
    /// How series of both sides find one another; only between two vectors.
    pub matching: Option<Matching>,
}

/// The binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are PromQL's own")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    TrimUpper,
    TrimLower,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Pow,
        Self::Atan2,
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Lt,
        Self::Ge,
        Self::Le,
        Self::TrimUpper,
        Self::TrimLower,
        Self::And,
        Self::Or,
        Self::Unless,
    ];

    /// The operator as PromQL writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Gt => ">",
            Self::Lt => "<",
            Self::Ge => ">=",
            Self::Le => "<=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// Whether it compares.
    pub const fn is_comparison(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Gt | Self::Lt | Self::Ge | Self::Le)
    }

    /// Whether it cuts histograms at a value.
    pub const fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }

    /// Whether it works on sets of series and not on their values.
    pub const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// How series of both sides find one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// How many of each side may meet.
    pub cardinality: Cardinality,
    /// Which labels must be equal.
    pub on: MatchOn,
    /// `group_left(…)`, `group_right(…)`: labels taken over from the one side.
    pub include: Vec<String>,
    /// `fill(…)` and its halves.
    pub fill: Fill,
}

/// What stands in for a series of one side that the other side finds no match in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fill {
    /// On the left side.
    pub left: Option<f64>,
    /// On the right side.
    pub right: Option<f64>,
}

/// Bit by bit, for not a number may be filled in too.
impl PartialEq for Fill {
    fn eq(&self, other: &Self) -> bool {
        let bits = |v: Option<f64>| v.map(f64::to_bits);
        bits(self.left) == bits(other.left) && bits(self.right) == bits(other.right)
    }
}

impl Fill {
    /// Whether nothing is filled in.
    pub const fn is_none(&self) -> bool {
        self.left.is_none() && self.right.is_none()
    }
}

/// How many of each side may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One of each.
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// The set operators.
    ManyToMany,
}

/// Which labels must be equal. The metric's name never counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchOn {
    /// `on (…)`: these.
    On(Vec<String>),
    /// `ignoring (…)`: all but these. Without any clause: all.
    Ignoring(Vec<String>),
}
