//! Plans `info`: which info series are read, and as of when.

use super::{
    Detail, InfoLabels, Kernel, Op, WindowFn,
    build::{Builder, Frame},
    draft::{Body, Part},
};
use crate::ast::{Call, Expr, ExprKind, Length, Shift, Span};
use crate::error::EvalError;
use skopos_model::{DurationMs, MatchOp, Matcher, name::METRIC_NAME};
use std::sync::Arc;

/// How info metrics are named.
const ANY_NAME: &str = ".+_info";
/// The info metric that is meant where none is named.
const DEFAULT_NAME: &str = "target_info";

impl InfoLabels {
    fn new(matchers: &[Matcher]) -> Self {
        let (mut names, data): (Vec<_>, _) = matchers.iter().cloned().partition(|m| m.name() == METRIC_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, DEFAULT_NAME));
        } else if names.iter().all(|m| m.op().is_negative()) {
            // What is only said not to be meant leaves all that are named like info metrics.
            let any = Matcher::new(METRIC_NAME, MatchOp::Regex, ANY_NAME);
            names.push(any.expect("invariant: the expression is a constant that compiles"));
        }
        Self { names, data }
    }

    /// Whether a metric of that name is itself one that others are enriched with.
    pub(crate) fn is_info(&self, name: &str) -> bool {
        self.names.iter().all(|m| m.matches(name))
    }

    /// Whether the label is one to be taken over.
    pub(crate) fn takes(&self, label: &str) -> bool {
        label != METRIC_NAME && (self.data.is_empty() || self.data.iter().any(|m| m.name() == label))
    }

    /// Whether rows without any info series stay.
    pub(crate) fn may_be_missing(&self) -> bool {
        self.data.iter().all(Matcher::matches_empty)
    }
}

impl Builder<'_> {
    pub(crate) fn info(&mut self, call: &Call, frame: Frame, span: Span) -> Result<Part, EvalError> {
        let [base, rest @ ..] = &call.args[..] else {
            return Err(super::build::invalid("info lacks its vector", span));
        };
        let select = match rest.first().map(|e| &e.kind) {
            Some(ExprKind::Selector(s)) => InfoLabels::new(&s.matchers),
            _ => InfoLabels::new(&[]),
        };
        // The info series are looked up as of the time of the samples that they enrich.
        let shift = self.reference(base, &Shift::default()).unwrap_or_default();
        let matchers: Vec<_> = select.names.iter().chain(&select.data).cloned().collect();
        let (windows, pinned_time) = self.windows(&shift, self.options.lookback, frame, span)?;
        let kernel =
            Kernel { function: WindowFn::InfoTime, params: [None, None], detail: Detail::Whole, span };
        let info = Part::select(&matchers, windows, kernel, pinned_time);
        let base = self.expr(base, frame)?;
        let invariant = base.invariant && pinned_time;
        let (base, info) = if invariant {
            (self.rows_of(base, frame), self.rows_of(info, frame))
        } else {
            (self.rows_at_all_steps(base, frame), self.rows_at_all_steps(info, frame))
        };
        let op = Op::Info { base: base.node, info: info.node, select: Arc::new(select) };
        Ok(Part { body: Body::Rows(self.node(op, frame.grid_of(invariant), span)), invariant, pinned: false })
    }

    /// The time that the first selector in `e` reads at, seen from `outer`.
    fn reference(&self, e: &Expr, outer: &Shift) -> Option<Shift> {
        match &e.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => None,
            ExprKind::Selector(s) => self.within(outer, &s.shift),
            ExprKind::Range(r) => self.within(outer, &r.selector.shift),
            ExprKind::Subquery(s) => self.reference(&s.expr, &self.within(outer, &s.shift)?),
            ExprKind::Call(c) => c.args.iter().find_map(|arg| self.reference(arg, outer)),
            ExprKind::Aggregate(a) => self.reference(&a.expr, outer),
            ExprKind::Binary(b) => self.reference(&b.lhs, outer).or_else(|| self.reference(&b.rhs, outer)),
            ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => {
                self.reference(inner, outer)
            }
        }
    }

    /// `inner` as it is seen from where `outer` is evaluated.
    fn within(&self, outer: &Shift, inner: &Shift) -> Option<Shift> {
        let ms = |length: &Length| length.resolve(self.bounds.times()).ok().map(DurationMs::as_ms);
        let before = if inner.at.is_some() { 0 } else { ms(&outer.offset)? };
        let offset = DurationMs::from_ms(before.checked_add(ms(&inner.offset)?)?);
        Some(Shift { offset: offset.into(), at: inner.at.or(outer.at) })
    }
}
