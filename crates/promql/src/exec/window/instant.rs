//! What an instant selector takes: the newest sample of the lookback, if it is no staleness marker.

use super::{Edge, Samples};
use crate::exec::matrix::RowMut;
use crate::plan::Windows;
use skopos_model::is_stale_nan;

/// Writes the newest sample of each window, or its time in seconds.
pub(super) fn newest(s: Samples<'_>, windows: &Windows, time: bool, out: &mut RowMut<'_>) {
    let mut edge = Edge::default();
    for k in 0..windows.steps {
        let end = windows.first_end + k as i64 * windows.step;
        edge.advance(s.timestamps, end);
        let Some(last) = edge.at.checked_sub(1) else { continue };
        let (t, v) = (s.timestamps[last], s.values[last]);
        if t.as_ms() > end - windows.range && !is_stale_nan(v) {
            out.set(k, if time { t.as_secs_f64() } else { v });
        }
    }
}
