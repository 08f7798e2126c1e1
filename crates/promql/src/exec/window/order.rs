//! Functions over windows that depend on the order of their values.

use super::{Column, Samples, slide};
use crate::exec::{matrix::RowMut, quantile::quantile};
use crate::plan::Windows;

/// Writes the φ-quantile of each window.
pub(super) fn quantiles(
    s: Samples<'_>,
    windows: &Windows,
    phi: Column<'_>,
    sorted: &mut Vec<f64>,
    out: &mut RowMut<'_>,
) {
    slide(s.timestamps, windows, |k, lo, hi| {
        sorted.clear();
        sorted.extend_from_slice(&s.values[lo..hi]);
        out.set(k, quantile(phi.at(k), sorted));
    });
}

/// Writes the median distance from the median of each window; not a number where any sample is none.
pub(super) fn mad(s: Samples<'_>, windows: &Windows, sorted: &mut Vec<f64>, out: &mut RowMut<'_>) {
    slide(s.timestamps, windows, |k, lo, hi| {
        sorted.clear();
        sorted.extend_from_slice(&s.values[lo..hi]);
        let median = if sorted.iter().any(|v| v.is_nan()) { f64::NAN } else { quantile(0.5, sorted) };
        sorted.iter_mut().for_each(|v| *v = (*v - median).abs());
        out.set(k, quantile(0.5, sorted));
    });
}

/// Writes the time of the last sample of each window that no other is beyond.
pub(super) fn time_of_extreme(
    s: Samples<'_>,
    windows: &Windows,
    at_least: impl Fn(f64, f64) -> bool,
    out: &mut RowMut<'_>,
) {
    slide(s.timestamps, windows, |k, lo, hi| {
        let mut best = lo;
        for i in lo + 1..hi {
            if at_least(s.values[i], s.values[best]) || s.values[best].is_nan() {
                best = i;
            }
        }
        out.set(k, s.timestamps[best].as_secs_f64());
    });
}
