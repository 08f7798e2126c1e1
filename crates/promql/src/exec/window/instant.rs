//! What an instant selector takes: the newest sample of the lookback, if it is no staleness marker.

use super::{Edge, Samples};
use crate::exec::matrix::RowMut;
use crate::plan::{WindowFn, Windows};
use skopos_model::is_stale_nan;

/// What is taken of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Value,
    /// Its time in seconds.
    Time,
    /// Since when it was counted, in seconds.
    Start,
}

impl What {
    /// None of functions that look at more than one sample.
    pub(super) const fn of(function: WindowFn) -> Option<Self> {
        match function {
            WindowFn::Newest => Some(Self::Value),
            WindowFn::NewestTime | WindowFn::InfoTime => Some(Self::Time),
            WindowFn::NewestStart => Some(Self::Start),
            _ => None,
        }
    }

    /// That of sample `i`.
    #[inline]
    pub(super) fn take(self, s: Samples<'_>, i: usize) -> f64 {
        match self {
            Self::Value => s.values[i],
            Self::Time => s.timestamps[i].as_secs_f64(),
            Self::Start => s.starts.get(i).as_secs_f64(),
        }
    }
}

/// Writes what is taken of the newest sample of each window.
pub(super) fn newest(s: Samples<'_>, windows: &Windows, what: What, out: &mut RowMut<'_>) {
    let mut edge = Edge::default();
    for k in 0..windows.steps {
        let end = windows.first_end + k as i64 * windows.step;
        edge.advance(s.timestamps, end);
        let Some(last) = edge.at.checked_sub(1) else { continue };
        if s.timestamps[last].as_ms() > end - windows.range && !is_stale_nan(s.values[last]) {
            out.set(k, what.take(s, last));
        }
    }
}
