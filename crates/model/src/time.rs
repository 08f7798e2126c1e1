//! `TimestampMs`: a point in time, in milliseconds since the Unix epoch. Owns no clock.

use crate::DurationMs;
use std::fmt;

/// Milliseconds since the Unix epoch; negative before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct TimestampMs(i64);

impl TimestampMs {
    /// The earliest representable time; stands for "no lower bound".
    pub const MIN: Self = Self(i64::MIN);
    /// The latest representable time; stands for "no upper bound".
    pub const MAX: Self = Self(i64::MAX);

    /// A timestamp of `ms` milliseconds since the Unix epoch.
    pub const fn new(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch, with milliseconds as the fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Later by `d`, held at the representable range.
    #[must_use]
    pub const fn plus(self, d: DurationMs) -> Self {
        Self(self.0.saturating_add(d.as_ms()))
    }

    /// Earlier by `d`, held at the representable range.
    #[must_use]
    pub const fn minus(self, d: DurationMs) -> Self {
        Self(self.0.saturating_sub(d.as_ms()))
    }

    /// The time from `earlier` to `self`, held at the representable range.
    pub const fn since(self, earlier: Self) -> DurationMs {
        DurationMs::from_ms(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
