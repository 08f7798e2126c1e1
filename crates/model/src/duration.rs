//! `DurationMs`: a span of time and its written form in configuration and PromQL (`1h30m`, `250ms`).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, time::Duration};

/// A span of time in milliseconds. May be negative (a PromQL offset can be).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct DurationMs(i64);

/// Units from the largest to the smallest, in which order they must be written.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There is nothing to read.
    #[error("empty duration: write a number with a unit, such as 30s, 5m or 1h30m")]
    Empty,
    /// The text has another form.
    #[error(
        "{0:?} is not a duration: write numbers with units from large to small (y, w, d, h, m, s, ms), \
         such as 30s, 5m or 1h30m"
    )]
    Syntax(String),
    /// The duration does not fit.
    #[error("duration {0:?} is out of range: the largest is about 292 million years")]
    OutOfRange(String),
    /// No time at all, where there has to be some.
    #[error("{0:?} is no time at all: write a duration longer than that, such as 10s")]
    Zero(String),
}

impl DurationMs {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest representable span.
    pub const MAX: Self = Self(i64::MAX);

    /// A span of `ms` milliseconds.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// A span of `s` seconds.
    pub const fn from_secs(s: i64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// The span in milliseconds.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// The span in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The span as the standard library's type; a negative span becomes zero.
    pub fn as_std(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }

    /// Reads the written form of a duration that has to be longer than none.
    pub fn parse_positive(text: &str) -> Result<Self, DurationError> {
        let duration = Self::parse(text)?;
        if duration <= Self::ZERO { Err(DurationError::Zero(text.to_owned())) } else { Ok(duration) }
    }

    /// Reads the written form. `0` needs no unit.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        match text {
            "" => return Err(DurationError::Empty),
            "0" => return Ok(Self::ZERO),
            _ => {}
        }
        let syntax = || DurationError::Syntax(text.to_owned());
        let range = || DurationError::OutOfRange(text.to_owned());
        let mut rest = text;
        let mut total: i64 = 0;
        let mut next_unit = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
            let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
            if digits == 0 {
                return Err(syntax());
            }
            let at = UNITS[next_unit..].iter().position(|(name, _)| *name == unit).ok_or_else(syntax)?;
            let (_, unit_ms) = UNITS[next_unit + at];
            let amount: i64 = number.parse().map_err(|_| range())?;
            total = amount.checked_mul(unit_ms).and_then(|ms| total.checked_add(ms)).ok_or_else(range)?;
            next_unit += at + 1;
            rest = &rest[digits + letters..];
        }
        Ok(Self(total))
    }
}

impl FromStr for DurationMs {
    type Err = DurationError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::parse(s)
    }
}

impl From<Duration> for DurationMs {
    fn from(d: Duration) -> Self {
        Self(i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Writes the form that `parse` reads, as Prometheus does: years and weeks only when the span is a
/// whole number of them.
impl fmt::Display for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (i, (name, unit_ms)) in UNITS.iter().enumerate() {
            let unit_ms = unit_ms.unsigned_abs();
            let only_exact = i < 2;
            if rest >= unit_ms && (!only_exact || rest.is_multiple_of(unit_ms)) {
                write!(f, "{}{name}", rest / unit_ms)?;
                rest %= unit_ms;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for DurationMs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl Serialize for DurationMs {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_prometheus_parses() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("324ms", 324),
            ("3s", 3_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("4d", 345_600_000),
            ("4d1h", 349_200_000),
            ("14d", 1_209_600_000),
            ("3w", 1_814_400_000),
            ("3w2d1h", 1_990_800_000),
            ("10y", 315_360_000_000),
            ("1m30s500ms", 90_500),
        ] {
            assert_eq!(DurationMs::parse(text), Ok(DurationMs::from_ms(ms)), "{text}");
        }
    }

    #[test]
    fn refuses_what_prometheus_refuses() {
        for text in ["1", "1y1m1d", "-1w", "1.5d", "d", " 1s", "1s ", "1h1h", "1ms1s"] {
            assert!(DurationMs::parse(text).is_err(), "{text}");
        }
        assert_eq!(DurationMs::parse(""), Err(DurationError::Empty));
        assert!(matches!(DurationMs::parse("99999999999999999999y"), Err(DurationError::OutOfRange(_))));
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["0s", "1y", "15d", "2w", "1h30m", "1m30s500ms", "25h", "90m"] {
            let d = DurationMs::parse(text).unwrap();
            assert_eq!(DurationMs::parse(&d.to_string()), Ok(d), "{text}");
        }
        assert_eq!(DurationMs::parse("90m").unwrap().to_string(), "1h30m");
        assert_eq!(DurationMs::parse("14d").unwrap().to_string(), "2w");
        assert_eq!(DurationMs::parse("373d1h").unwrap().to_string(), "373d1h");
        assert_eq!(DurationMs::from_ms(-1500).to_string(), "-1s500ms");
    }
}
