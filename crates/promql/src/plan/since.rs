//! From when on an expression may have a value, given the time of the oldest sample that there is: the steps
//! of a subquery begin there and not earlier, so that `up[1y:1s]` over a day of samples costs a day. Errs on
//! the side of none known: then all steps are evaluated.

use crate::ast::{
    BinaryOp, Edges, Expr, ExprKind, Fill, QueryTimes, RangeSelector, Selector, Shift, ValueType,
};
use crate::functions::FunctionId;
use skopos_model::TimestampMs;

/// What it depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    /// No sample is older.
    pub oldest: TimestampMs,
    /// What computed lengths of time depend on.
    pub times: QueryTimes,
}

impl Since {
    /// The earliest time at which `e` may have a value, a warning or an error; none where it may at any.
    pub(super) fn of(self, e: &Expr) -> Option<TimestampMs> {
        match &e.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => None,
            ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => self.of(inner),
            ExprKind::Selector(selector) => self.selector(selector),
            ExprKind::Range(RangeSelector { selector, .. }) => self.selector(selector),
            ExprKind::Subquery(subquery) => self.shifted(self.of(&subquery.expr)?, &subquery.shift),
            ExprKind::Aggregate(a) => match &a.param {
                Some(param) if !is_constant(param) => None,
                _ => self.of(&a.expr),
            },
            ExprKind::Call(call) => match call.function.id {
                // They have a value just where their arguments have none.
                FunctionId::Absent | FunctionId::AbsentOverTime => None,
                // Numbers are there at every step.
                _ if call.function.returns == ValueType::Scalar => None,
                _ => self.call(&call.args),
            },
            ExprKind::Binary(b) => {
                let (lhs, rhs) = (self.of(&b.lhs), self.of(&b.rhs));
                let fills = b.matching.as_ref().is_some_and(|m| m.fill != Fill::default());
                match b.op {
                    _ if fills => Some(lhs?.min(rhs?)),
                    BinaryOp::Or => Some(lhs?.min(rhs?)),
                    BinaryOp::Unless => lhs,
                    // Where one side has nothing, nothing is joined.
                    _ => lhs.max(rhs),
                }
            }
        }
    }

    /// A function of vectors has no value where none of them has. What is wrong with its numbers is told at
    /// every step.
    fn call(self, args: &[Expr]) -> Option<TimestampMs> {
        let mut earliest: Option<TimestampMs> = None;
        for arg in args {
            match arg.value_type() {
                ValueType::String => {}
                ValueType::Scalar if is_constant(arg) => {}
                ValueType::Scalar => return None,
                ValueType::InstantVector | ValueType::RangeVector => {
                    let one = self.of(arg)?;
                    earliest = Some(earliest.map_or(one, |other| other.min(one)));
                }
            }
        }
        earliest
    }

    fn selector(self, selector: &Selector) -> Option<TimestampMs> {
        // Windows with samples at their ends look beyond them.
        if selector.edges != Edges::Sampled {
            return None;
        }
        self.shifted(self.oldest, &selector.shift)
    }

    fn shifted(self, at: TimestampMs, shift: &Shift) -> Option<TimestampMs> {
        if shift.at.is_some() {
            return None;
        }
        let offset = shift.offset.resolve(self.times).ok()?;
        at.as_ms().checked_add(offset.as_ms()).map(TimestampMs::new)
    }
}

/// Whether it is the same number or text at every step, by itself.
fn is_constant(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => true,
        ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => is_constant(inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_model::DurationMs;

    #[test]
    fn what_has_no_value_before_the_oldest_sample_says_so() {
        let times = QueryTimes { step: DurationMs::from_secs(10), range: DurationMs::from_secs(100) };
        let since = Since { oldest: TimestampMs::new(1_000_000), times };
        for (text, seconds) in [
            ("up", Some(1000)),
            ("-(up offset 5m)", Some(1300)),
            ("up offset -5m", Some(700)),
            ("up offset step()", Some(1010)),
            ("rate(up[5m] offset 1m)", Some(1060)),
            ("max_over_time(up[5m:1m] offset 1m)", Some(1060)),
            ("max_over_time(rate(up[5m] offset 1m)[5m:1m] offset 1m)", Some(1120)),
            ("topk(3, up)", Some(1000)),
            ("histogram_quantile(0.9, up)", Some(1000)),
            ("label_replace(up, \"a\", \"b\", \"c\", \"d\")", Some(1000)),
            ("up + 1 > bool time()", Some(1000)),
            ("up * (a offset 1m)", Some(1060)),
            ("up and vector(1)", Some(1000)),
            ("up or (a offset -1m)", Some(940)),
            ("up unless a offset 1m", Some(1000)),
            ("up + fill(0) (a offset 1m)", Some(1000)),
            ("up or vector(1)", None),
            ("vector(1) unless up", None),
            ("up + fill(0) vector(1)", None),
            ("up @ 1", None),
            ("up @ end()", None),
            ("max_over_time(up[5m:1m] @ start())", None),
            ("absent(up)", None),
            ("absent_over_time(up[5m])", None),
            ("count_over_time(absent(up)[5m:1m])", None),
            ("scalar(up)", None),
            ("time()", None),
            ("vector(scalar(up))", None),
            ("hour()", None),
            ("hour(up)", Some(1000)),
            ("1 + 1", None),
            ("topk(scalar(up), up)", None),
            ("clamp_max(up, time())", None),
            ("rate(up[5m] smoothed)", None),
        ] {
            let e = crate::parse(text).unwrap();
            assert_eq!(since.of(&e).map(|t| t.as_ms() / 1000), seconds, "{text}");
        }
    }
}
