//! Functions over windows that depend on the order of their values.

use super::{Column, Samples, slide};
use crate::exec::{
    matrix::RowMut,
    quantile::{nan_first, quantile, quantile_of_sorted},
};
use crate::plan::Windows;

/// Writes the φ-quantile of each window.
pub(super) fn quantiles(
    s: Samples<'_>,
    windows: &Windows,
    phi: Column<'_>,
    sorted: &mut Vec<f64>,
    out: &mut RowMut<'_>,
) {
    if windows.range <= windows.step.saturating_mul(FEW_STEPS) {
        slide(s.timestamps, windows, |k, lo, hi| {
            sorted.clear();
            sorted.extend_from_slice(&s.values[lo..hi]);
            out.set(k, quantile(phi.at(k), sorted));
        });
        return;
    }
    // Windows share most of their samples: those of the last one stay sorted, the few that come and go
    // are searched for.
    sorted.clear();
    let (mut from, mut to) = (0, 0);
    slide(s.timestamps, windows, |k, lo, hi| {
        if lo >= to {
            sorted.clear();
            sorted.extend_from_slice(&s.values[lo..hi]);
            sorted.sort_unstable_by(nan_first);
        } else {
            s.values[from..lo].iter().for_each(|v| {
                sorted.remove(position(sorted, *v));
            });
            s.values[to..hi].iter().for_each(|v| sorted.insert(position(sorted, *v), *v));
        }
        (from, to) = (lo, hi);
        out.set(k, quantile_of_sorted(phi.at(k), sorted));
    });
}

/// Windows that share no more than this many steps are sorted one by one.
const FEW_STEPS: i64 = 3;

/// Where `v` stands in `sorted`, or would.
fn position(sorted: &[f64], v: f64) -> usize {
    sorted.partition_point(|x| nan_first(x, &v).is_lt())
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
