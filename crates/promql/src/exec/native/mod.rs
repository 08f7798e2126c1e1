//! What operators and functions make of native histograms, one value at a time. Windows and aggregations,
//! which see many, stand with those of floats.

mod classic;
mod rank;
pub(crate) mod ranks;
mod trim;

use super::Annotations;
use crate::ast::{BinaryOp, Span};
use crate::plan::HistogramFn;
use skopos_model::{
    FloatHistogram,
    float::to_shortest_string,
    histogram::{Bounds, Bucket},
};
use std::fmt::Write;

/// A side of an operator.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operand<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

impl Operand<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Float(_) => "float",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What comes out of an operator.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A comparison does not hold.
    Nothing,
    /// The operator takes no two of these kinds or buckets, which was remarked on: as if they had not met.
    Unlike,
    /// A comparison holds: the left side stays.
    Kept,
    Float(f64),
    Histogram(Box<FloatHistogram>),
}

/// An operator and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator {
    pub op: BinaryOp,
    pub return_bool: bool,
    pub span: Span,
}

/// The operator on two operands that are not both floats, or that cuts.
pub(crate) fn binary(
    operator: Operator,
    (lhs, rhs): (Operand<'_>, Operand<'_>),
    annotations: &mut Annotations,
) -> Outcome {
    use BinaryOp as B;
    let op = operator.op;
    let made = |h: FloatHistogram| Outcome::Histogram(Box::new(h));
    match (lhs, op, rhs) {
        (Operand::Histogram(a), B::Add | B::Sub, Operand::Histogram(b)) => {
            sum(operator, (a, b), annotations).map_or(Outcome::Unlike, made)
        }
        (Operand::Histogram(a), B::Eq | B::Ne, Operand::Histogram(b)) => {
            let holds = a.view().same_observations(&b.view()) == (op == B::Eq);
            match (operator.return_bool, holds) {
                (true, _) => Outcome::Float(f64::from(u8::from(holds))),
                (false, true) => Outcome::Kept,
                (false, false) => Outcome::Nothing,
            }
        }
        (Operand::Histogram(h), B::Mul, Operand::Float(f))
        | (Operand::Float(f), B::Mul, Operand::Histogram(h)) => {
            let mut h = h.clone();
            h.multiply(f);
            h.compact();
            made(h)
        }
        (Operand::Histogram(h), B::Div, Operand::Float(f)) => {
            let mut h = h.clone();
            h.divide(f);
            h.compact();
            made(h)
        }
        (Operand::Histogram(h), B::TrimUpper | B::TrimLower, Operand::Float(f)) => {
            let side = if op == B::TrimUpper { trim::Keep::Below } else { trim::Keep::Above };
            made(trim::trimmed(h, side, f))
        }
        _ => {
            annotations.incompatible_types(op.as_str(), (lhs.kind(), rhs.kind()), operator.span);
            Outcome::Unlike
        }
    }
}

fn sum(
    Operator { op, span, .. }: Operator,
    (a, b): (&FloatHistogram, &FloatHistogram),
    annotations: &mut Annotations,
) -> Option<FloatHistogram> {
    let mut out = a.clone();
    let (remarks, name) = if op == BinaryOp::Add {
        (out.add(&b.view()), "addition")
    } else {
        (out.subtract(&b.view()), "subtraction")
    };
    let Ok(remarks) = remarks else {
        annotations.incompatible_buckets(op.as_str(), span);
        return None;
    };
    if remarks.conflicting_resets {
        annotations.conflicting_resets(name, span);
    }
    if remarks.bounds_reconciled {
        annotations.bounds_reconciled(name, span);
    }
    out.compact();
    Some(out)
}

/// The number that `f` makes of a histogram.
pub(crate) fn number(f: HistogramFn, h: &FloatHistogram, buckets: &mut Vec<Bucket>) -> f64 {
    match f {
        HistogramFn::Count => h.count,
        HistogramFn::Sum => h.sum,
        HistogramFn::Avg => h.sum / h.count,
        HistogramFn::Stdvar => variance(h, buckets),
        HistogramFn::Stddev => variance(h, buckets).sqrt(),
    }
}

/// The estimated variance: all observations of a bucket are taken to be in its middle.
fn variance(h: &FloatHistogram, buckets: &mut Vec<Bucket>) -> f64 {
    let mean = h.sum / h.count;
    let custom = h.layout.has_custom_bounds();
    h.view().buckets_into(buckets);
    let squares = buckets.iter().filter(|b| b.count != 0.0).fold(super::kahan::Sum::ZERO, |sum, b| {
        let middle = if custom {
            // Without a bound there is none: the variance has none either.
            (b.lower + b.upper) / 2.0
        } else if b.bounds == Bounds::Both {
            0.0
        } else {
            geometric_middle(b.lower, b.upper)
        };
        let distance = middle - mean;
        sum.add(b.count * distance * distance)
    });
    squares.value() / h.count
}

/// The middle of an exponential bucket.
fn geometric_middle(lower: f64, upper: f64) -> f64 {
    let middle = lower.abs().sqrt() * upper.abs().sqrt();
    if upper < 0.0 || lower < 0.0 { -middle } else { middle }
}

/// The histogram as a label's value, as Prometheus writes it.
pub(crate) fn text(h: &FloatHistogram) -> String {
    let mut out = format!("{{count:{}, sum:{}", to_shortest_string(h.count), to_shortest_string(h.sum));
    let mut buckets = Vec::new();
    h.view().buckets_into(&mut buckets);
    for b in buckets.iter().filter(|b| b.count != 0.0) {
        let (open, close) = match b.bounds {
            Bounds::Upper => ('(', ']'),
            Bounds::Lower => ('[', ')'),
            Bounds::Both => ('[', ']'),
        };
        let [lower, upper, count] = [b.lower, b.upper, b.count].map(to_shortest_string);
        write!(out, ", {open}{lower},{upper}{close}:{count}").expect("invariant: a String takes all");
    }
    out.push('}');
    out
}
