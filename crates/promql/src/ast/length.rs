//! Lengths of time in a query: fixed ones, and those computed from the query's step and range. Owns their
//! arithmetic; how they are read and written stands in `parse` and `printer`.

use skopos_model::DurationMs;
use std::sync::Arc;

/// A length of time as it stands in a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Length {
    /// `5m`, `300`
    Fixed(DurationMs),
    /// `2 * step()`
    Computed(Arc<DurationExpr>),
}

impl Default for Length {
    fn default() -> Self {
        Self::ZERO
    }
}

impl From<DurationMs> for Length {
    fn from(d: DurationMs) -> Self {
        Self::Fixed(d)
    }
}

/// Arithmetic on lengths of time, all in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// `300`: so many seconds, or a factor.
    Number(f64),
    /// `5m`
    Duration(DurationMs),
    /// `step()`: the step of the query; zero where it has none.
    Step,
    /// `range()`: from the start of the query to its end.
    Range,
    /// `-a`
    Negate(Box<Self>),
    /// `(a)`, kept so that the text can be written back.
    Paren(Box<Self>),
    /// `a + b`
    Binary(DurationOp, Box<Self>, Box<Self>),
    /// `min_of(a, b)`
    MinOf(Box<Self>, Box<Self>),
    /// `max_of(a, b)`
    MaxOf(Box<Self>, Box<Self>),
}

/// The operators between lengths of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are PromQL's own")]
pub enum DurationOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
}

impl DurationOp {
    /// The operator as PromQL writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
        }
    }
}

/// What lengths of time may be computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryTimes {
    /// From one step of the query to the next; zero for a query at one time.
    pub step: DurationMs,
    /// From its start to its end.
    pub range: DurationMs,
}

/// Why a computed length of time is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// Something is divided by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// The remainder of a division by zero is asked for.
    #[error("modulo by zero")]
    ModuloByZero,
    /// The result is no number, or too large.
    #[error("duration is out of range")]
    OutOfRange,
    /// It must be positive and is not.
    #[error("duration must be greater than 0")]
    NotPositive,
}

impl Length {
    /// No time at all.
    pub const ZERO: Self = Self::Fixed(DurationMs::ZERO);

    /// The length in a query of these times, rounded to milliseconds.
    pub fn resolve(&self, times: QueryTimes) -> Result<DurationMs, LengthError> {
        match self {
            Self::Fixed(d) => Ok(*d),
            Self::Computed(e) => of_seconds(e.seconds(times)?).ok_or(LengthError::OutOfRange),
        }
    }

    /// The same, which must be positive.
    pub fn resolve_positive(&self, times: QueryTimes) -> Result<DurationMs, LengthError> {
        let d = self.resolve(times)?;
        if d > DurationMs::ZERO { Ok(d) } else { Err(LengthError::NotPositive) }
    }
}

impl DurationExpr {
    /// The value in seconds.
    pub fn seconds(&self, times: QueryTimes) -> Result<f64, LengthError> {
        Ok(match self {
            Self::Number(v) => *v,
            Self::Duration(d) => d.as_secs_f64(),
            Self::Step => times.step.as_secs_f64(),
            Self::Range => times.range.as_secs_f64(),
            Self::Negate(inner) => -inner.seconds(times)?,
            Self::Paren(inner) => inner.seconds(times)?,
            Self::MinOf(a, b) => a.seconds(times)?.min(b.seconds(times)?),
            Self::MaxOf(a, b) => a.seconds(times)?.max(b.seconds(times)?),
            Self::Binary(op, a, b) => {
                let (a, b) = (a.seconds(times)?, b.seconds(times)?);
                match op {
                    DurationOp::Add => a + b,
                    DurationOp::Sub => a - b,
                    DurationOp::Mul => a * b,
                    DurationOp::Div if b == 0.0 => return Err(LengthError::DivisionByZero),
                    DurationOp::Div => a / b,
                    DurationOp::Mod if b == 0.0 => return Err(LengthError::ModuloByZero),
                    DurationOp::Mod => a % b,
                    DurationOp::Pow => a.powf(b),
                }
            }
        })
    }

    /// The value of a literal, with any signs and parentheses around it.
    pub fn literal(&self) -> Option<f64> {
        match self {
            Self::Number(v) => Some(*v),
            Self::Duration(d) => Some(d.as_secs_f64()),
            Self::Paren(inner) => inner.literal(),
            Self::Negate(inner) => inner.literal().map(|v| -v),
            _ => None,
        }
    }
}

/// A duration of so many seconds, rounded to milliseconds. None when it does not fit into 64 bits of
/// nanoseconds, which is what a duration is in Prometheus.
pub(crate) fn of_seconds(v: f64) -> Option<DurationMs> {
    const MAX_MS: f64 = (i64::MAX / 1_000_000) as f64;
    let ms = (v * 1000.0).round();
    (-MAX_MS..=MAX_MS).contains(&ms).then_some(DurationMs::from_ms(ms as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fit_into_nanoseconds() {
        assert_eq!(of_seconds(300.0), Some(DurationMs::from_secs(300)));
        assert_eq!(of_seconds(-0.5), Some(DurationMs::from_ms(-500)));
        assert!(of_seconds(292.0 * 365.0 * 86_400.0).is_some());
        assert_eq!(of_seconds(293.0 * 365.0 * 86_400.0), None);
        assert_eq!(of_seconds(f64::NAN), None);
    }

    #[test]
    fn lengths_are_computed_from_the_query() {
        let times = QueryTimes { step: DurationMs::from_secs(15), range: DurationMs::from_secs(3600) };
        let resolve = |text: &str| {
            let parsed = crate::parse(&format!("a[{text}]")).unwrap();
            let crate::ast::ExprKind::Range(range) = parsed.kind else { panic!("{text}") };
            range.range.resolve_positive(times).map(DurationMs::as_ms)
        };
        for (text, want) in [
            ("step()", Ok(15_000)),
            ("range() / 2", Ok(1_800_000)),
            ("max_of(step() * 4, 1m1ms)", Ok(60_001)),
            ("min_of(step() * 4, 1m1ms)", Ok(60_000)),
            ("2 ^ 3 ^ 2", Ok(512_000)),
            ("-step() + 20s % 16s", Err(LengthError::NotPositive)),
            ("1 / (step() - 15)", Err(LengthError::DivisionByZero)),
            ("1 % (step() - 15)", Err(LengthError::ModuloByZero)),
            ("step() ^ step()", Err(LengthError::OutOfRange)),
            ("0.0001 * 1", Err(LengthError::NotPositive)),
        ] {
            assert_eq!(resolve(text), want, "{text}");
        }
    }
}
