//! The binary operators on numbers, and the functions of one number. Loops over slices; which values
//! there are is their callers' matter, but for comparisons that filter.

use super::date;
use super::matrix::RowMut;
use crate::ast::BinaryOp;
use crate::plan::{Extreme, MathFn};
use std::f64::consts::PI;

/// `op` of two numbers; comparisons yield 1 or 0.
pub(crate) fn number(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => power(a, b),
        BinaryOp::Atan2 => a.atan2(b),
        // Nothing can be cut of a number.
        BinaryOp::TrimUpper | BinaryOp::TrimLower => f64::NAN,
        _ => f64::from(u8::from(holds(op, a, b))),
    }
}

/// As C and Go define it: 1 to any power, and anything to the power of zero, is 1.
fn power(a: f64, b: f64) -> f64 {
    // -1 to an infinite power is 1 too, which the platform's function agrees with.
    a.powf(b)
}

/// Whether the comparison `op` holds.
pub(crate) fn holds(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Gt => a > b,
        BinaryOp::Lt => a < b,
        BinaryOp::Ge => a >= b,
        BinaryOp::Le => a <= b,
        _ => unreachable!("{op:?} compares nothing"),
    }
}

/// `f` of each value. Whoever calls chooses the operator outside of the loop, so that each has a loop
/// of its own.
#[inline]
pub(crate) fn each(values: &mut [f64], f: impl Fn(f64) -> f64) {
    values.iter_mut().for_each(|v| *v = f(*v));
}

/// Calls `$do` with the function of the arithmetic operator `$op`.
macro_rules! with_arithmetic {
    ($op:expr, $f:ident => $do:expr) => {
        match $op {
            BinaryOp::Add => {
                let $f = |a: f64, b: f64| a + b;
                $do
            }
            BinaryOp::Sub => {
                let $f = |a: f64, b: f64| a - b;
                $do
            }
            BinaryOp::Mul => {
                let $f = |a: f64, b: f64| a * b;
                $do
            }
            BinaryOp::Div => {
                let $f = |a: f64, b: f64| a / b;
                $do
            }
            op => {
                let $f = |a: f64, b: f64| $crate::exec::arith::number(op, a, b);
                $do
            }
        }
    };
}

/// Calls `$do` with the function of the comparison `$op`.
macro_rules! with_comparison {
    ($op:expr, $f:ident => $do:expr) => {
        match $op {
            BinaryOp::Eq => {
                let $f = |a: f64, b: f64| a == b;
                $do
            }
            BinaryOp::Ne => {
                let $f = |a: f64, b: f64| a != b;
                $do
            }
            BinaryOp::Gt => {
                let $f = |a: f64, b: f64| a > b;
                $do
            }
            BinaryOp::Lt => {
                let $f = |a: f64, b: f64| a < b;
                $do
            }
            BinaryOp::Ge => {
                let $f = |a: f64, b: f64| a >= b;
                $do
            }
            _ => {
                let $f = |a: f64, b: f64| a <= b;
                $do
            }
        }
    };
}
pub(crate) use with_arithmetic;

/// `a[k] = op(a[k], b[k])`; comparisons yield 1 or 0.
pub(crate) fn zip(op: BinaryOp, a: &mut [f64], b: &[f64]) {
    with_arithmetic!(op, f => a.iter_mut().zip(b).for_each(|(a, b)| *a = f(*a, *b)));
}

/// Clears the bits of the steps at which the comparison `op` of `left` and `right` does not hold.
pub(crate) fn filter(
    op: BinaryOp,
    left: impl Fn(usize) -> f64,
    right: impl Fn(usize) -> f64,
    present: &mut [u64],
    steps: usize,
) {
    with_comparison!(op, f => {
        for (i, word) in present.iter_mut().enumerate() {
            let first = i * 64;
            let mut kept = 0u64;
            for k in first..steps.min(first + 64) {
                kept |= u64::from(f(left(k), right(k))) << (k - first);
            }
            *word &= kept;
        }
    });
}

/// The function `f` of each value of the row.
pub(crate) fn math(f: MathFn, row: &mut RowMut<'_>) {
    let v = &mut *row.values;
    match f {
        MathFn::Abs => each(v, f64::abs),
        MathFn::Acos => each(v, f64::acos),
        MathFn::Acosh => each(v, f64::acosh),
        MathFn::Asin => each(v, f64::asin),
        MathFn::Asinh => each(v, f64::asinh),
        MathFn::Atan => each(v, f64::atan),
        MathFn::Atanh => each(v, f64::atanh),
        MathFn::Ceil => each(v, f64::ceil),
        MathFn::Cos => each(v, f64::cos),
        MathFn::Cosh => each(v, f64::cosh),
        MathFn::Date(part) => each(v, |seconds| date::part(part, seconds)),
        MathFn::Deg => each(v, |x| x * 180.0 / PI),
        MathFn::Exp => each(v, f64::exp),
        MathFn::Floor => each(v, f64::floor),
        MathFn::Ln => each(v, f64::ln),
        MathFn::Log10 => each(v, f64::log10),
        MathFn::Log2 => each(v, f64::log2),
        MathFn::Rad => each(v, |x| x * PI / 180.0),
        MathFn::Sgn => each(v, |x| {
            if x < 0.0 {
                -1.0
            } else if x > 0.0 {
                1.0
            } else {
                x
            }
        }),
        MathFn::Sin => each(v, f64::sin),
        MathFn::Sinh => each(v, f64::sinh),
        MathFn::Sqrt => each(v, f64::sqrt),
        MathFn::Tan => each(v, f64::tan),
        MathFn::Tanh => each(v, f64::tanh),
    }
}

/// The greater or the lesser one.
pub(crate) fn extreme(which: Extreme, a: f64, b: f64) -> f64 {
    match which {
        Extreme::Max => max(a, b),
        Extreme::Min => min(a, b),
    }
}

/// The greater one, as Go has it: nothing is greater than infinity, not a number is stronger than all else,
/// and 0 is greater than -0.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == b {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// The lesser one; the mirror of `max`.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainder_and_power_are_those_of_the_field() {
        for (op, a, b, want) in [
            (BinaryOp::Mod, 5.0, 3.0, 2.0),
            (BinaryOp::Mod, -5.0, 3.0, -2.0),
            (BinaryOp::Mod, 5.0, f64::INFINITY, 5.0),
            (BinaryOp::Pow, 1.0, f64::NAN, 1.0),
            (BinaryOp::Pow, f64::NAN, 0.0, 1.0),
            (BinaryOp::Pow, -1.0, f64::INFINITY, 1.0),
            (BinaryOp::Pow, -8.0, 3.0, -512.0),
            (BinaryOp::Atan2, 0.0, -1.0, std::f64::consts::PI),
            (BinaryOp::Ge, 1.0, f64::NAN, 0.0),
            (BinaryOp::Ne, f64::NAN, f64::NAN, 1.0),
        ] {
            assert_eq!(number(op, a, b), want, "{a} {op:?} {b}");
        }
        assert!(number(BinaryOp::Mod, 5.0, 0.0).is_nan());
        assert!(max(1.0, f64::NAN).is_nan() && min(f64::NAN, 1.0).is_nan());
        assert!(max(f64::NEG_INFINITY, f64::NAN).is_nan() && min(f64::NAN, f64::INFINITY).is_nan());
        assert_eq!((max(f64::NAN, f64::INFINITY), min(f64::NEG_INFINITY, f64::NAN)), (1.0 / 0.0, -1.0 / 0.0));
        assert_eq!(
            [max(0.0, -0.0), max(-0.0, 0.0), min(0.0, -0.0), min(-0.0, 0.0)].map(f64::is_sign_negative),
            [false, false, true, true]
        );
    }
}
