//! `double_exponential_smoothing`: values and their trend, the older the less. Source: "Double exponential
//! smoothing (Holt linear)", with the first difference as the first trend.

use super::{Params, Samples, slide};
use crate::exec::{matrix::RowMut, work::Work};
use crate::plan::Windows;
use skopos_storage::QueryError;

/// Writes the smoothed value at the end of each window. What it is depends on where the window begins, so
/// each is folded by itself.
pub(super) fn smoothed(
    s: Samples<'_>,
    windows: &Windows,
    params: Params<'_>,
    work: &mut Work,
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    slide(s.timestamps, windows, work, |work, k, lo, hi| {
        let smoothing = factor("smoothing", params.0[0].at(k))?;
        let trend = factor("trend", params.0[1].at(k))?;
        let v = &s.values[lo..hi];
        if v.len() < 2 {
            return Ok(());
        }
        work.spend(v.len())?;
        let (mut before, mut level, mut slope) = (0.0, v[0], v[1] - v[0]);
        for (i, x) in v[1..].iter().enumerate() {
            if i > 0 {
                slope = trend * (level - before) + (1.0 - trend) * slope;
            }
            (before, level) = (level, smoothing * x + (1.0 - smoothing) * (level + slope));
        }
        out.set(k, level);
        Ok(())
    })
}

/// A factor, which must lie between nothing and all.
fn factor(what: &str, v: f64) -> Result<f64, QueryError> {
    if v <= 0.0 || v >= 1.0 {
        let short = if what == "trend" { "tf" } else { "sf" };
        return Err(QueryError::Invalid(format!(
            "invalid {what} factor. Expected: 0 < {short} < 1, got: {v:.6}"
        )));
    }
    Ok(v)
}
