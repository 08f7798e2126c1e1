//! Plans function calls: which kernel, map or operator each function is. How they compute stands in
//! `exec`.

use super::{
    Constant, Detail, Direction, Extreme, HistogramFn, Kernel, LabelJoin, LabelReplace, Map, NodeId, Op,
    Place, RankFn, Ranks, SortOrder, StartTimestamps, WindowFn,
    build::{Builder, Frame, Wanted, Windowed, invalid, strip},
    draft::{Body, Collected, Grouped, Part},
    kinds::Kind,
};
use crate::ast::{AggregateOp, Call, Edges, Expr, ExprKind, Grouping, Span, ValueType};
use crate::error::EvalError;
use crate::exec::arith;
use crate::functions::{self, FunctionId as F};
use skopos_model::{Labels, LabelsBuilder, MatchOp, Matcher, name::METRIC_NAME};
use skopos_storage::QueryBudget;
use std::sync::Arc;

impl Builder<'_> {
    pub(crate) fn call(&mut self, call: &Call, frame: Frame, span: Span) -> Result<Part, EvalError> {
        let id = call.function.id;
        match Kind::of(id) {
            Kind::Window(function) => self.window_call(function, call, frame, span),
            Kind::Math(function) => {
                let part = match call.args.first() {
                    Some(arg) => self.expr(arg, frame)?,
                    // Functions of dates take the time of the step when they are given nothing.
                    None => {
                        let time = self.node(Op::Time, frame.grid, span);
                        Part {
                            body: Body::Rows(self.node(Op::VectorOf(time), frame.grid, span)),
                            invariant: false,
                            pinned: true,
                        }
                    }
                };
                Ok(self.mapped(part, Map::Math(function), frame, span))
            }
            Kind::Histogram(function) => {
                let wanted = match function {
                    HistogramFn::Count | HistogramFn::Sum | HistogramFn::Avg => {
                        frame.wanting(Wanted::CountAndSum)
                    }
                    HistogramFn::Stddev | HistogramFn::Stdvar => frame,
                };
                let part = self.expr(arg(call, 0, span)?, wanted)?;
                Ok(self.mapped(part, Map::Histogram(function), frame, span))
            }
            Kind::Ranks => self.ranks(call, frame, span),
            Kind::Time => Ok(Part::scalar(self.node(Op::Time, frame.grid, span), false)),
            Kind::Constant => Ok(self.constant(id, frame, span)),
            Kind::Vector => {
                let (scalar, invariant) = self.scalar_arg(call, 0, frame, span)?;
                let node = self.node(Op::VectorOf(scalar), frame.grid_of(invariant), span);
                Ok(Part { body: Body::Rows(node), invariant, pinned: true })
            }
            Kind::Scalar => {
                let part = self.expr(arg(call, 0, span)?, frame)?;
                let invariant = part.invariant;
                let rows = self.rows_of(part, frame).node;
                Ok(Part::scalar(self.node(Op::ScalarOf(rows), frame.grid_of(invariant), span), invariant))
            }
            Kind::Info => self.info(call, frame, span),
            Kind::Extreme => self.extreme(call, frame, span),
            Kind::Sort => self.sort(call, frame, span),
            Kind::Absent => self.absent_now(call, frame, span),
            Kind::AbsentOverTime => self.absent_over_time(call, frame, span),
            Kind::Timestamp => self.time_of(call, (WindowFn::NewestTime, Map::StepTime), frame, span),
            Kind::StartTimestamp => self.time_of(call, (WindowFn::NewestStart, Map::NoStart), frame, span),
            Kind::Bounded => self.bounded(call, frame, span),
            Kind::LabelReplace => self.label_replace(call, frame, span),
            Kind::LabelJoin => self.label_join(call, frame, span),
        }
    }

    /// A number that is known before anything is read.
    fn constant(&mut self, id: F, frame: Frame, span: Span) -> Part {
        let times = self.bounds.times();
        let v = match id {
            F::Start => self.bounds.start.as_secs_f64(),
            F::End => self.bounds.end.as_secs_f64(),
            F::Step => times.step.as_secs_f64(),
            F::Range => times.range.as_secs_f64(),
            _ => std::f64::consts::PI,
        };
        Part::scalar(self.node(Op::Number(Constant(v)), frame.once, span), true)
    }

    fn window_call(
        &mut self,
        function: WindowFn,
        call: &Call,
        frame: Frame,
        span: Span,
    ) -> Result<Part, EvalError> {
        let is_window = |e: &&Expr| e.value_type() == ValueType::RangeVector;
        let over =
            call.args.iter().find(is_window).ok_or_else(|| invalid("a range vector is missing", span))?;
        let (mut params, mut param_invariant) = ([None, None], true);
        let scalars = (0..call.args.len()).filter(|i| !is_window(&&call.args[*i]));
        for (slot, i) in params.iter_mut().zip(scalars) {
            let (node, invariant) = self.scalar_arg(call, i, frame, span)?;
            *slot = Some(node);
            param_invariant &= invariant;
        }
        if function == WindowFn::PredictLinear {
            params[1] = Some(self.node(Op::Time, frame.grid, span));
            param_invariant = false;
        }
        let at = if function == WindowFn::Quantile { call.args[0].span } else { over.span };
        check_edges(call, over)?;
        let kernel = Kernel { function, params, detail: frame.detail(), span: at };
        // A parameter that changes asks for all steps, even over a window that stays where it is.
        let frame = if param_invariant { frame } else { Frame { once: frame.grid, ..frame } };
        let part = self.windowed(&windowed_arg(over)?, kernel, frame)?;
        Ok(Part { invariant: part.invariant && param_invariant, ..part })
    }

    /// The scalar argument at `index`, and whether it is the same at every step.
    fn scalar_arg(
        &mut self,
        call: &Call,
        index: usize,
        frame: Frame,
        span: Span,
    ) -> Result<(NodeId, bool), EvalError> {
        let e = arg(call, index, span)?;
        let part = self.expr(e, frame)?;
        let node = part.as_scalar().ok_or_else(|| invalid("a scalar must stand here", e.span))?;
        Ok((node, part.invariant))
    }

    fn extreme(&mut self, call: &Call, frame: Frame, span: Span) -> Result<Part, EvalError> {
        let (a, a_invariant) = self.scalar_arg(call, 0, frame, span)?;
        let (b, b_invariant) = self.scalar_arg(call, 1, frame, span)?;
        let invariant = a_invariant && b_invariant;
        let extreme = if call.function.id == F::MaxOf { Extreme::Max } else { Extreme::Min };
        let op = match (self.number(a), self.number(b)) {
            (Some(a), Some(b)) => Op::Number(Constant(arith::extreme(extreme, a, b))),
            _ => Op::ScalarExtreme { extreme, a, b },
        };
        Ok(Part::scalar(self.node(op, frame.grid_of(invariant), span), invariant))
    }

    fn sort(&mut self, call: &Call, frame: Frame, span: Span) -> Result<Part, EvalError> {
        let part = self.expr(arg(call, 0, span)?, frame)?;
        let invariant = part.invariant;
        let Collected { node: input, pinned } = self.rows_of(part, frame);
        let direction = match call.function.id {
            F::Sort | F::SortByLabel => Direction::Ascending,
            _ => Direction::Descending,
        };
        let order = match call.function.id {
            F::Sort | F::SortDesc => SortOrder::ByValue(direction),
            _ => {
                let labels =
                    (1..call.args.len()).map(|i| text_arg(call, i, span)).collect::<Result<_, _>>()?;
                SortOrder::ByLabels(direction, labels)
            }
        };
        let op = Op::Sort { input, order };
        Ok(Part { body: Body::Rows(self.node(op, frame.grid_of(invariant), span)), invariant, pinned })
    }

    fn absent(&mut self, part: Part, labels: Labels, frame: Frame, span: Span) -> Part {
        let all_in_one =
            Grouped { op: AggregateOp::Group, grouping: Grouping::By(Vec::new()), input: Place(span) };
        let part = self.aggregated(part, all_in_one, frame, span);
        let invariant = part.invariant;
        let input = self.rows_of(part, frame).node;
        let node = self.node(Op::Absent { input, labels }, frame.grid_of(invariant), span);
        Part { body: Body::Rows(node), invariant, pinned: true }
    }

    fn absent_now(&mut self, call: &Call, frame: Frame, span: Span) -> Result<Part, EvalError> {
        let inner = strip(arg(call, 0, span)?);
        let labels = match &inner.kind {
            ExprKind::Selector(s) => absent_labels(&s.matchers),
            _ => Labels::empty(),
        };
        let part = self.expr(inner, frame)?;
        Ok(self.absent(part, labels, frame, span))
    }

    fn absent_over_time(&mut self, call: &Call, frame: Frame, span: Span) -> Result<Part, EvalError> {
        let over = arg(call, 0, span)?;
        check_edges(call, over)?;
        let windowed = windowed_arg(over)?;
        let labels = match &windowed {
            Windowed::Selector(range) => absent_labels(&range.selector.matchers),
            Windowed::Subquery(_) => Labels::empty(),
        };
        // The name is of no matter to one group, so it is kept and no two rows can become equal.
        let kernel =
            Kernel { function: WindowFn::Last, params: [None, None], detail: Detail::Whole, span: over.span };
        let part = self.windowed(&windowed, kernel, frame)?;
        Ok(self.absent(part, labels, frame, span))
    }

    fn ranks(&mut self, call: &Call, frame: Frame, span: Span) -> Result<Part, EvalError> {
        let (at, scalars) = match call.function.id {
            F::HistogramQuantile => (1, 0..1),
            F::HistogramFraction => (2, 0..2),
            _ => (0, 2..call.args.len()),
        };
        let over = arg(call, at, span)?;
        let part = self.expr(over, frame.wanting(Wanted::Whole))?;
        let mut invariant = part.invariant;
        let (mut nodes, mut places) = (Vec::new(), Vec::new());
        for i in scalars {
            let (node, same) = self.scalar_arg(call, i, frame, span)?;
            invariant &= same;
            nodes.push(node);
            places.push(Place(strip(arg(call, i, span)?).span));
        }
        let function = match (call.function.id, nodes.as_slice()) {
            (F::HistogramQuantile, [q]) => RankFn::Quantile(*q),
            (F::HistogramFraction, [lower, upper]) => RankFn::Fraction { lower: *lower, upper: *upper },
            _ => {
                let label = text_arg(call, 1, span)?;
                check_label(&label, call.function.name, span)?;
                RankFn::Quantiles { label, quantiles: nodes }
            }
        };
        let rows = if invariant { self.rows_of(part, frame) } else { self.rows_at_all_steps(part, frame) };
        let input = rows.node;
        let op = Op::Ranks(Ranks { input, place: Place(strip(over).span), function, scalars: places });
        let pinned = !self.options.name_removal.is_late();
        Ok(Part { body: Body::Rows(self.node(op, frame.grid_of(invariant), span)), invariant, pinned })
    }

    /// A time of samples; of what is no selector that which `of_rows` makes.
    fn time_of(
        &mut self,
        call: &Call,
        (of_samples, of_rows): (WindowFn, Map),
        frame: Frame,
        span: Span,
    ) -> Result<Part, EvalError> {
        let inner = strip(arg(call, 0, span)?);
        let known = of_samples != WindowFn::NewestStart || self.options.starts == StartTimestamps::Used;
        if let ExprKind::Selector(selector) = &inner.kind
            && known
        {
            return self.selector(selector, of_samples, frame, inner.span);
        }
        let part = self.expr(inner, frame)?;
        let Collected { node, pinned } = self.rows_at_all_steps(part, frame);
        Ok(self.mapped(Part { body: Body::Rows(node), invariant: false, pinned }, of_rows, frame, span))
    }

    fn bounded(&mut self, call: &Call, frame: Frame, span: Span) -> Result<Part, EvalError> {
        let part = self.expr(arg(call, 0, span)?, frame)?;
        let mut invariant = true;
        let mut scalars = [None, None];
        for (i, slot) in scalars.iter_mut().enumerate().take(call.args.len() - 1) {
            let (node, same) = self.scalar_arg(call, i + 1, frame, span)?;
            *slot = Some(node);
            invariant &= same;
        }
        let [first, second] = scalars;
        let map = match call.function.id {
            F::Clamp => Map::Clamp { min: first, max: second },
            F::ClampMin => Map::Clamp { min: first, max: None },
            F::ClampMax => Map::Clamp { min: None, max: first },
            _ => Map::Round(first),
        };
        Ok(self.with_scalars(part, map, invariant, frame, span))
    }

    fn label_replace(&mut self, call: &Call, frame: Frame, span: Span) -> Result<Part, EvalError> {
        let part = self.expr(arg(call, 0, span)?, frame)?;
        let destination = text_arg(call, 1, span)?;
        check_label(&destination, "label_replace", span)?;
        let pattern = text_arg(call, 4, span)?;
        self.options.budget.map_or(Ok(()), QueryBudget::check)?;
        let regex = self.regexes.compiled(&pattern, span)?;
        let (replacement, source) = (text_arg(call, 2, span)?, text_arg(call, 3, span)?);
        let map = Map::Replace(Arc::new(LabelReplace { destination, replacement, source, regex }));
        Ok(self.mapped(part, map, frame, span))
    }

    fn label_join(&mut self, call: &Call, frame: Frame, span: Span) -> Result<Part, EvalError> {
        let part = self.expr(arg(call, 0, span)?, frame)?;
        let destination = text_arg(call, 1, span)?;
        check_label(&destination, "label_join", span)?;
        let separator = text_arg(call, 2, span)?;
        let sources =
            (3..call.args.len()).map(|i| text_arg(call, i, span)).collect::<Result<Vec<Arc<str>>, _>>()?;
        if let Some(i) = sources.iter().position(|source| source.is_empty()) {
            let at = arg(call, i + 3, span)?.span;
            return Err(invalid("invalid source label name in label_join(): ", at));
        }
        let map = Map::Join(Arc::new(LabelJoin { destination, separator, sources }));
        Ok(self.mapped(part, map, frame, span))
    }
}

fn arg(call: &Call, index: usize, span: Span) -> Result<&Expr, EvalError> {
    call.args.get(index).ok_or_else(|| {
        let message = format!("argument {} of {} is missing", index + 1, call.function.name);
        EvalError::Invalid { message, span }
    })
}

fn text_arg(call: &Call, index: usize, span: Span) -> Result<Arc<str>, EvalError> {
    let e = strip(arg(call, index, span)?);
    match &e.kind {
        ExprKind::String(text) => Ok(text.clone()),
        ExprKind::Bytes(bytes) => Err(bad_text(call, index, bytes, e.span)),
        _ => Err(invalid("a text must stand here", e.span)),
    }
}

/// Bytes that are no text name no label and make no label's value.
fn bad_text(call: &Call, index: usize, bytes: &[u8], span: Span) -> EvalError {
    let mut quoted = String::new();
    crate::printer::quoted_bytes(&mut quoted, bytes).expect("invariant: writing to a String cannot fail");
    let message = match (call.function.id, index) {
        (F::LabelReplace | F::LabelJoin, 1) => {
            format!("invalid destination label name in {}(): {quoted}", call.function.name)
        }
        _ => format!("{quoted} is not valid UTF-8, which label names and values must be"),
    };
    EvalError::Invalid { message, span }
}

/// Only differences between the ends of a window make anything of what stands there.
fn check_edges(call: &Call, over: &Expr) -> Result<(), EvalError> {
    let ExprKind::Range(range) = &strip(over).kind else { return Ok(()) };
    let (word, allowed): (_, &[F]) = match range.selector.edges {
        Edges::Sampled => return Ok(()),
        Edges::Anchored => ("anchored", &[F::Changes, F::Delta, F::Increase, F::Rate, F::Resets]),
        Edges::Smoothed => ("smoothed", &[F::Delta, F::Increase, F::Rate]),
    };
    if allowed.contains(&call.function.id) {
        return Ok(());
    }
    let names: Vec<_> = allowed.iter().map(|id| functions::by_id(*id).name).collect();
    let message = format!(
        "{word} modifier can only be used with: {} - not with {}",
        names.join(", "),
        call.function.name
    );
    Err(EvalError::Invalid { message, span: over.span })
}

fn windowed_arg(e: &Expr) -> Result<Windowed<'_>, EvalError> {
    let e = strip(e);
    match &e.kind {
        ExprKind::Range(range) => Ok(Windowed::Selector(range)),
        ExprKind::Subquery(subquery) => Ok(Windowed::Subquery(subquery)),
        _ => Err(invalid("a range vector must stand here", e.span)),
    }
}

fn check_label(name: &str, function: &str, span: Span) -> Result<(), EvalError> {
    if name.is_empty() {
        let message = format!("invalid destination label name in {function}(): {name}");
        return Err(EvalError::Invalid { message, span });
    }
    Ok(())
}

/// The labels that a series absent by `matchers` would have: those that are pinned to one value.
fn absent_labels(matchers: &[Matcher]) -> Labels {
    let mut builder = LabelsBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    for m in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        if m.op() == MatchOp::Equal && !seen.contains(&m.name()) {
            builder.set(m.name(), m.value());
            seen.push(m.name());
        } else {
            builder.remove(m.name());
        }
    }
    builder.build()
}
