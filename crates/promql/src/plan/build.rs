//! Makes a plan of a syntax tree: decides on which grid each part is evaluated, what is computed once
//! because it does not change from step to step, and where rows flow on without being kept.

use super::{
    Constant, CounterSign, Detail, Gather, Grid, GridId, Join, Kernel, Map, NameRemoval, Node, NodeId, Op,
    Param, Pipeline, Place, Plan, ScalarMap, Scan, Side, Source, StartTimestamps, Twin, WindowFn, Windows,
    draft::{Body, Collected, Grouped, Part},
    regexes::Regexes,
    since::Since,
};
use crate::ast::{
    Aggregate, AggregateOp, At, Binary, Edges, Expr, ExprKind, Length, QueryTimes, RangeSelector, Selector,
    Shift, Span, Subquery,
};
use crate::error::EvalError;
use crate::exec::arith;
use skopos_model::{DurationMs, TimestampMs};
use skopos_storage::{QueryBudget, QueryError};

/// What the plan depends on beside the expression.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanOptions<'b> {
    /// How old a sample may be to count as a series' value.
    pub lookback: DurationMs,
    /// The step of subqueries that have none.
    pub subquery_step: DurationMs,
    /// When names go.
    pub name_removal: NameRemoval,
    /// Whether anything is made of since when samples were counted.
    pub starts: StartTimestamps,
    /// By what a counter is known.
    pub counter_sign: CounterSign,
    /// Samples are counted step by step.
    pub counts_steps: bool,
    /// More steps than that are refused before anything is held.
    pub max_samples: u64,
    /// No sample is older, where that is known.
    pub oldest: Option<TimestampMs>,
    /// Planning ends with it.
    pub budget: Option<&'b QueryBudget>,
}

/// The grids that a part of the expression is evaluated on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// All steps.
    pub grid: GridId,
    /// The first alone, for what is the same at all of them.
    pub once: GridId,
    /// What is wanted of histograms that are read.
    pub wanted: Wanted,
}

/// What those who use a part want of its histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nobody has said.
    Any,
    CountAndSum,
    /// Whatever those below say.
    Whole,
}

impl Frame {
    /// The same with less wanted of histograms, unless somebody wants more.
    pub(crate) fn wanting(self, wanted: Wanted) -> Self {
        if self.wanted == Wanted::Whole { self } else { Self { wanted, ..self } }
    }

    pub(crate) fn detail(&self) -> Detail {
        if self.wanted == Wanted::CountAndSum { Detail::CountAndSum } else { Detail::Whole }
    }

    pub(crate) fn grid_of(&self, invariant: bool) -> GridId {
        if invariant { self.once } else { self.grid }
    }
}

/// A plan being made.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    pub options: &'a PlanOptions<'a>,
    pub nodes: Vec<Node>,
    pub pipelines: Vec<Pipeline>,
    pub scans: Vec<Scan>,
    pub grids: Vec<Grid>,
    pub twins: Vec<Twin>,
    pub bounds: Bounds,
    pub(crate) regexes: Regexes,
}

/// What windows slide over.
pub(crate) enum Windowed<'e> {
    Selector(&'e RangeSelector),
    Subquery(&'e Subquery),
}

/// Times and spans beyond this cannot be added to one another without care.
const TIME_LIMIT_MS: i64 = i64::MAX / 8;

/// What `start()`, `end()`, `step()` and `range()` stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub start: TimestampMs,
    /// Need not be one of the steps.
    pub end: TimestampMs,
    /// Zero of a query at one time.
    pub step: DurationMs,
}

impl Bounds {
    /// Of a query at one time.
    pub(crate) fn instant(at: TimestampMs) -> Self {
        Self { start: at, end: at, step: DurationMs::ZERO }
    }

    pub(crate) fn times(&self) -> QueryTimes {
        QueryTimes { step: self.step, range: self.end.since(self.start) }
    }
}

/// The plan of `expr` on `grid`, which is all or part of a query of `bounds`.
pub(crate) fn plan(
    expr: &Expr,
    grid: Grid,
    bounds: Bounds,
    options: &PlanOptions<'_>,
) -> Result<Plan, EvalError> {
    let mut builder = Builder::new(bounds, options);
    let frame = builder.frame(grid, expr.span)?;
    let part = builder.expr(expr, frame)?;
    let root = match part.as_scalar() {
        Some(node) => node,
        None => builder.rows_at_all_steps(part, frame).node,
    };
    builder.nodes[root.0].uses += 1;
    let Builder { nodes, pipelines, scans, grids, twins, .. } = builder;
    // What a subquery reads for times between windows does not count, so it has to be known of each.
    let gapped = |w: &Windows| w.steps > 1 && w.range < w.step;
    let has_gaps = |p: &Pipeline| matches!(&p.source, Source::Subquery { windows, .. } if gapped(windows));
    let counts_steps = options.counts_steps || pipelines.iter().any(has_gaps);
    Ok(Plan {
        nodes,
        pipelines,
        scans,
        grids,
        root,
        name_removal: options.name_removal,
        starts: options.starts,
        counter_sign: options.counter_sign,
        twins,
        counts_steps,
    })
}

/// The plan of a subquery that is the whole query: its expression on its own grid.
pub(crate) fn plan_subquery(
    subquery: &Subquery,
    span: Span,
    at: TimestampMs,
    options: &PlanOptions<'_>,
) -> Result<Option<Plan>, EvalError> {
    let grid = Grid { start: at, step: DurationMs::from_ms(1), steps: 1 };
    let mut builder = Builder::new(Bounds::instant(at), options);
    let frame = builder.frame(grid, span)?;
    let range = builder.positive(&subquery.range, span)?;
    let windows = builder.windows(&subquery.shift, range, frame, span)?.0;
    let Some(inner) = builder.subquery_grid(subquery, windows, span)? else {
        return Ok(None);
    };
    plan(&subquery.expr, inner, Bounds::instant(at), options).map(Some)
}

/// The steps of a subquery that lie in any of `windows`; none when there are none. Of those before `since`
/// the last one alone at most, for what is told at every step.
fn steps_within(step: DurationMs, windows: Windows, since: Option<TimestampMs>) -> Option<Grid> {
    let step = step.as_ms().max(1);
    let covered = windows.span();
    let first_from = |t: i64| {
        let first = t.div_euclid(step) * step;
        if first < t { first + step } else { first }
    };
    let steps_from = |first: i64| (covered.max.as_ms() - first).div_euclid(step) + 1;
    let mut first = first_from(covered.min.as_ms());
    if steps_from(first) > 0
        && let Some(since) = since
    {
        let last = first + (steps_from(first) - 1) * step;
        first = first.max(first_from(since.as_ms().min(last)));
    }
    let steps = usize::try_from(steps_from(first)).ok().filter(|n| *n > 0)?;
    Some(Grid { start: TimestampMs::new(first), step: DurationMs::from_ms(step), steps })
}

impl<'a> Builder<'a> {
    fn new(bounds: Bounds, options: &'a PlanOptions<'a>) -> Self {
        let (nodes, pipelines, scans, grids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (regexes, twins) = (Regexes::default(), Vec::new());
        Self { options, nodes, pipelines, scans, grids, twins, bounds, regexes }
    }

    /// Makes the grids of a frame.
    pub(crate) fn frame(&mut self, grid: Grid, span: Span) -> Result<Frame, EvalError> {
        if grid.steps as u64 > self.options.max_samples {
            let max = self.options.max_samples;
            return Err(QueryError::Limit { limit: "query.max-samples", max }.into());
        }
        check_time(grid.start.as_ms(), span)?;
        check_time(grid.end().as_ms(), span)?;
        let id = self.grid(grid);
        let once = if grid.steps == 1 { id } else { self.grid(Grid { steps: 1, ..grid }) };
        Ok(Frame { grid: id, once, wanted: Wanted::Any })
    }

    fn grid(&mut self, grid: Grid) -> GridId {
        let at = self.grids.iter().position(|g| *g == grid).unwrap_or_else(|| {
            self.grids.push(grid);
            self.grids.len() - 1
        });
        GridId(at)
    }

    /// Plans an expression of any type but text and range vector.
    pub(crate) fn expr(&mut self, e: &Expr, frame: Frame) -> Result<Part, EvalError> {
        match &e.kind {
            ExprKind::Number(v) | ExprKind::Duration(v) => {
                Ok(Part::scalar(self.node(Op::Number(Constant(*v)), frame.once, e.span), true))
            }
            ExprKind::Selector(s) => self.selector(s, WindowFn::Newest, frame, e.span),
            ExprKind::Call(call) => self.call(call, frame, e.span),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, frame, e.span),
            ExprKind::Binary(_) => self.chain(e, frame),
            ExprKind::Negate(inner) => {
                let part = self.expr(inner, frame)?;
                Ok(match part.as_scalar() {
                    Some(node) => {
                        let grid = frame.grid_of(part.invariant);
                        let op = match self.number(node) {
                            Some(v) => Op::Number(Constant(-v)),
                            None => Op::ScalarNegate(node),
                        };
                        Part::scalar(self.node(op, grid, e.span), part.invariant)
                    }
                    None => self.mapped(part, Map::Negate, frame, e.span),
                })
            }
            ExprKind::Plus(inner) | ExprKind::Paren(inner) => self.expr(inner, frame),
            ExprKind::String(_) | ExprKind::Bytes(_) => Err(invalid("a text cannot stand here", e.span)),
            ExprKind::Range(_) | ExprKind::Subquery(_) => {
                Err(invalid("a range vector cannot stand here: wrap it in a function such as rate", e.span))
            }
        }
    }

    /// An instant selector; `function` is what is taken of the sample.
    pub(crate) fn selector(
        &mut self,
        selector: &Selector,
        function: WindowFn,
        frame: Frame,
        span: Span,
    ) -> Result<Part, EvalError> {
        let smoothed = selector.edges == Edges::Smoothed && function == WindowFn::Newest;
        let (windows, invariant) = self.windows(&selector.shift, self.options.lookback, frame, span)?;
        let windows = if smoothed {
            // What lies before the step is the window itself.
            self.extended(Windows { range: 0, ..windows }, Edges::Smoothed)
        } else {
            windows
        };
        let kernel = Kernel { function, params: [None, None], detail: frame.detail(), span };
        let part = Part::select(&selector.matchers, windows, kernel, invariant);
        Ok(if function.keeps_name() { part } else { self.without_names(part) })
    }

    /// A length that must be positive.
    fn positive(&self, length: &Length, span: Span) -> Result<DurationMs, EvalError> {
        length.resolve_positive(self.bounds.times()).map_err(|e| invalid(&e.to_string(), span))
    }

    /// The inner step of a subquery.
    fn subquery_step(&self, subquery: &Subquery, span: Span) -> Result<DurationMs, EvalError> {
        let step = subquery.step.as_ref().map(|step| self.positive(step, span)).transpose()?;
        Ok(step.unwrap_or(self.options.subquery_step))
    }

    /// The steps of a subquery in `windows` at which there may be anything; none when there are none.
    fn subquery_grid(
        &self,
        subquery: &Subquery,
        windows: Windows,
        span: Span,
    ) -> Result<Option<Grid>, EvalError> {
        let step = self.subquery_step(subquery, span)?;
        let since = self.options.oldest.map(|oldest| Since { oldest, times: self.bounds.times() });
        Ok(steps_within(step, windows, since.and_then(|since| since.of(&subquery.expr))))
    }

    /// The windows of `shift` and `range`, and whether they are the same at every step.
    pub(crate) fn windows(
        &self,
        shift: &Shift,
        range: DurationMs,
        frame: Frame,
        span: Span,
    ) -> Result<(Windows, bool), EvalError> {
        let at = shift.at.map(|at| match at {
            // Wherever beyond all samples it is, there are none, nor before it, where subqueries begin.
            At::Time(t) => TimestampMs::new(t.as_ms().clamp(-TIME_LIMIT_MS / 2, TIME_LIMIT_MS / 2)),
            At::Start => self.bounds.start,
            At::End => self.bounds.end,
        });
        let offset =
            shift.offset.resolve(self.bounds.times()).map_err(|e| invalid(&e.to_string(), span))?.as_ms();
        let invariant = at.is_some();
        let grid = self.grids[frame.grid_of(invariant).0];
        let base = at.unwrap_or(grid.start).as_ms();
        for ms in [base, offset, range.as_ms()] {
            check_time(ms, span)?;
        }
        let first_end = base - offset;
        // A pinned window stays where it is, however many steps there are.
        let step = if invariant { 0 } else { grid.step.as_ms() };
        let (steps, range, edges) = (grid.steps, range.as_ms(), Edges::Sampled);
        Ok((Windows { first_end, step, steps, range, edges, reach: 0 }, invariant))
    }

    /// The windows with samples at their ends.
    fn extended(&self, windows: Windows, edges: Edges) -> Windows {
        let reach = if edges == Edges::Sampled { 0 } else { self.options.lookback.as_ms() };
        Windows { edges, reach, ..windows }
    }

    /// A function over windows.
    pub(crate) fn windowed(
        &mut self,
        over: &Windowed<'_>,
        kernel: Kernel,
        frame: Frame,
    ) -> Result<Part, EvalError> {
        let (keeps_name, span) = (kernel.function.keeps_name(), kernel.span);
        let part = match over {
            Windowed::Selector(range) => {
                let length = self.positive(&range.range, span)?;
                let (windows, invariant) = self.windows(&range.selector.shift, length, frame, span)?;
                let windows = self.extended(windows, range.selector.edges);
                Part::select(&range.selector.matchers, windows, kernel, invariant)
            }
            Windowed::Subquery(subquery) => {
                let length = self.positive(&subquery.range, span)?;
                let (windows, invariant) = self.windows(&subquery.shift, length, frame, span)?;
                let Some(inner) = self.subquery_grid(subquery, windows, span)? else {
                    return Ok(self.nothing(kernel, windows, invariant));
                };
                // Resets are looked for among the values of the subquery, with all their buckets.
                let inner_frame = self.frame(inner, span)?.wanting(Wanted::Whole);
                let part = self.expr(&subquery.expr, inner_frame)?;
                let rows = self.rows_at_all_steps(part, inner_frame);
                Part::subquery(rows, windows, kernel, invariant)
            }
        };
        Ok(if keeps_name { part } else { self.without_names(part) })
    }

    /// Rows of which there are none: no series has an empty name.
    fn nothing(&mut self, kernel: Kernel, windows: Windows, invariant: bool) -> Part {
        let none = skopos_model::Matcher::equal(skopos_model::name::METRIC_NAME, "");
        let part = Part::select(&[none.clone(), negated(&none)], windows, kernel, invariant);
        Part { pinned: true, ..part }
    }

    fn aggregate(&mut self, a: &Aggregate, frame: Frame, span: Span) -> Result<Part, EvalError> {
        use AggregateOp as A;
        let part = self.expr(&a.expr, frame)?;
        let key = Grouped { op: a.op, grouping: a.grouping.clone(), input: Place(a.expr.span) };
        match a.op {
            A::Sum | A::Avg | A::Count | A::Min | A::Max | A::Group | A::Stddev | A::Stdvar => {
                return Ok(self.aggregated(part, key, frame, span));
            }
            A::Topk | A::Bottomk | A::Quantile | A::CountValues | A::Limitk | A::LimitRatio => {}
        }
        let param = a.param.as_ref().ok_or_else(|| invalid("the aggregation lacks its parameter", span))?;
        let param_span = param.span;
        let (param, param_invariant) = match strip(param) {
            Expr { kind: ExprKind::String(text), .. } => (Param::Text(text.clone()), true),
            Expr { kind: ExprKind::Bytes(bytes), span } => {
                let mut message = "invalid label name ".to_owned();
                crate::printer::quoted_bytes(&mut message, bytes)
                    .expect("invariant: writing to a String cannot fail");
                return Err(invalid(&message, *span));
            }
            other => {
                let part = self.expr(other, frame)?;
                let node = part.as_scalar().ok_or_else(|| invalid("a scalar must stand here", other.span))?;
                (Param::Scalar(node), part.invariant)
            }
        };
        let param_place = Place(param_span);
        let invariant = part.invariant && param_invariant;
        let Collected { node: input, pinned: input_pinned } =
            if invariant { self.rows_of(part, frame) } else { self.rows_at_all_steps(part, frame) };
        let by_name = matches!(&a.grouping, crate::ast::Grouping::By(names)
            if names.iter().any(|n| n == skopos_model::name::METRIC_NAME));
        let picks = matches!(a.op, A::Topk | A::Bottomk | A::Limitk | A::LimitRatio);
        let pinned = if picks { input_pinned } else { !by_name };
        let argument = Place(a.expr.span);
        let gather = Gather { op: a.op, input, grouping: key.grouping, param, param_place, argument };
        let node = self.node(Op::Gather(gather), frame.grid_of(invariant), span);
        Ok(Part { body: Body::Rows(node), invariant, pinned })
    }

    /// Plans an operator and those on its left side, however many they are, without recursion: `a + b + c …`
    /// is as deep as it is long.
    fn chain(&mut self, e: &Expr, frame: Frame) -> Result<Part, EvalError> {
        let frame = Frame { wanted: Wanted::Any, ..frame };
        let (mut operators, mut first) = (Vec::new(), strip(e));
        while let ExprKind::Binary(binary) = &first.kind {
            operators.push((&**binary, first.span));
            first = strip(&binary.lhs);
        }
        let mut part = self.expr(first, frame)?;
        for (binary, span) in operators.into_iter().rev() {
            let rhs = self.expr(&binary.rhs, frame)?;
            part = self.binary(binary, (part, rhs), frame, span)?;
        }
        Ok(part)
    }

    fn binary(
        &mut self,
        b: &Binary,
        (lhs, rhs): (Part, Part),
        frame: Frame,
        span: Span,
    ) -> Result<Part, EvalError> {
        let invariant = lhs.invariant && rhs.invariant;
        let grid = frame.grid_of(invariant);
        let (op, return_bool) = (b.op, b.return_bool);
        match (lhs.as_scalar(), rhs.as_scalar()) {
            (Some(_), Some(_)) if op.is_trim() => {
                Err(invalid(&format!("operator {:?} not allowed for Scalar operations", op.as_str()), span))
            }
            (Some(lhs), Some(rhs)) => {
                let op = match (self.number(lhs), self.number(rhs)) {
                    (Some(a), Some(b)) => Op::Number(Constant(arith::number(op, a, b))),
                    _ => Op::ScalarBinary { op, lhs, rhs },
                };
                Ok(Part::scalar(self.node(op, grid, span), invariant))
            }
            (Some(scalar), None) => {
                let map = ScalarMap { op, scalar, scalar_side: Side::Left, return_bool, place: Place(span) };
                Ok(self.with_scalars(rhs, Map::Scalar(map), lhs.invariant, frame, span))
            }
            (None, Some(scalar)) => {
                let map = ScalarMap { op, scalar, scalar_side: Side::Right, return_bool, place: Place(span) };
                Ok(self.with_scalars(lhs, Map::Scalar(map), rhs.invariant, frame, span))
            }
            (None, None) => {
                let matching =
                    b.matching.clone().ok_or_else(|| invalid("the operator lacks its matching", span))?;
                let (lhs, rhs) = if invariant {
                    (self.rows_of(lhs, frame), self.rows_of(rhs, frame))
                } else {
                    (self.rows_at_all_steps(lhs, frame), self.rows_at_all_steps(rhs, frame))
                };
                let (lhs, rhs) = (lhs.node, rhs.node);
                let op = if op.is_set() {
                    Op::Set { op, lhs, rhs, matching }
                } else {
                    Op::Join(Join { op, lhs, rhs, return_bool, matching })
                };
                Ok(Part { body: Body::Rows(self.node(op, grid, span)), invariant, pinned: false })
            }
        }
    }

    /// The number that `node` is, if it is known without reading anything and never changes.
    pub(crate) fn number(&self, node: NodeId) -> Option<f64> {
        if let Op::Number(Constant(v)) = self.nodes[node.0].op { Some(v) } else { None }
    }

    /// `part` with a map that takes scalars, which may change while `part` does not.
    pub(crate) fn with_scalars(
        &mut self,
        part: Part,
        map: Map,
        scalars_invariant: bool,
        frame: Frame,
        span: Span,
    ) -> Part {
        if part.invariant && !scalars_invariant {
            let Collected { node, pinned } = self.rows_at_all_steps(part, frame);
            return self.mapped(Part { body: Body::Rows(node), invariant: false, pinned }, map, frame, span);
        }
        self.mapped(part, map, frame, span)
    }
}

/// The matcher that holds where `m`, an equality, does not.
fn negated(m: &skopos_model::Matcher) -> skopos_model::Matcher {
    skopos_model::Matcher::new(m.name(), skopos_model::MatchOp::NotEqual, m.value())
        .expect("invariant: a comparison with a literal compiles nothing")
}

/// The expression inside of any parentheses.
pub(crate) fn strip(mut e: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &e.kind {
        e = inner;
    }
    e
}

pub(crate) fn invalid(message: &str, span: Span) -> EvalError {
    EvalError::Invalid { message: message.to_owned(), span }
}

fn check_time(ms: i64, span: Span) -> Result<(), EvalError> {
    if ms.unsigned_abs() > TIME_LIMIT_MS.unsigned_abs() {
        return Err(invalid("a time or duration is out of range", span));
    }
    Ok(())
}
