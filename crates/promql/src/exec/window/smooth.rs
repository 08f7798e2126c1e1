//! `double_exponential_smoothing`: values and their trend, the older the less. Source: "Double exponential
//! smoothing (Holt linear)", with the first difference as the first trend.

use super::{Params, Samples, slide};
use crate::ast::Span;
use crate::error::EvalError;
use crate::exec::{matrix::RowMut, work::Work};
use crate::plan::Windows;

/// Writes the smoothed value at the end of each window. What it is depends on where the window begins, so
/// each is folded by itself.
pub(super) fn smoothed(
    s: Samples<'_>,
    windows: &Windows,
    (params, span): (Params<'_>, Span),
    work: &mut Work,
    out: &mut RowMut<'_>,
) -> Result<(), EvalError> {
    let mut refused = None;
    slide(s.timestamps, windows, work, |work, k, lo, hi| {
        let (smoothing, trend) = (params.0[0].at(k), params.0[1].at(k));
        if refused.is_none() {
            refused = refusal(("smoothing", "sf"), smoothing).or_else(|| refusal(("trend", "tf"), trend));
        }
        let v = &s.values[lo..hi];
        if v.len() < 2 || refused.is_some() {
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
    })?;
    refused.map_or(Ok(()), |message| Err(EvalError::Invalid { message, span }))
}

/// Why a factor is none: it must lie between nothing and all.
fn refusal((what, short): (&str, &str), v: f64) -> Option<String> {
    let refused = v <= 0.0 || v >= 1.0;
    refused.then(|| format!("invalid {what} factor. Expected: 0 < {short} < 1, got: {v:.6}"))
}
