//! `anchored` and `smoothed` by their definitions: what stands at the ends of each window, and what is made
//! of it. Source: Prometheus' proposal 52.

use super::{Outcome, Reference, Rows, Selector, Window, windows};
use skopos_model::is_stale_nan;
use skopos_promql::ast::{Edges, RangeSelector};

impl Reference<'_> {
    /// The samples of each series that may count for the times from `from` to `to`.
    fn reached(&self, s: &Selector, from: i64, to: i64) -> Vec<(skopos_model::Labels, Window)> {
        let behind = if s.edges == Edges::Smoothed { self.lookback } else { 0 };
        let mut all = self.select(s, from - self.lookback, to + behind);
        all.iter_mut().for_each(|(_, w)| w.retain(|s| !is_stale_nan(s.1)));
        all
    }

    /// What `name` makes of the windows of `r`.
    pub(super) fn extended(&self, name: &str, r: &RangeSelector, t: i64) -> Outcome<Rows> {
        let to = self.shifted(&r.selector.shift, t);
        let from = to - self.length(&r.range);
        let per = if name == "rate" { (to - from) as f64 / 1000.0 } else { 1.0 };
        let of = |w: &Window| {
            let values = match r.selector.edges {
                Edges::Smoothed => {
                    smoothed(w, from, to, if name == "delta" { Of::Gauge } else { Of::Counter })?
                }
                _ => anchored(w, from, to)?,
            };
            let difference = values[values.len() - 1] - values[0];
            Some(match name {
                "delta" => difference,
                "rate" | "increase" => (difference + lost(&values)) / per,
                "changes" => windows::changes(&values),
                "resets" => windows::resets(&values),
                _ => unreachable!("{name} has no such windows"),
            })
        };
        let all = self.reached(&r.selector, from, to).into_iter();
        super::nameless(all.filter_map(|(l, w)| Some((l, of(&w)?))).collect())
    }

    /// The value at `t` itself, of each series.
    pub(super) fn smooth(&self, s: &Selector, t: i64) -> Rows {
        let at = self.shifted(&s.shift, t);
        let all = self.reached(s, at, at).into_iter();
        all.filter_map(|(l, w)| {
            let before = w.iter().rposition(|s| s.0 <= at)?;
            Some((l, if before + 1 < w.len() { line(w[before], w[before + 1], at) } else { w[before].1 }))
        })
        .collect()
    }
}

/// What a counter of these values lost where it began anew.
fn lost(values: &[f64]) -> f64 {
    values.windows(2).filter(|p| p[1] < p[0]).map(|p| p[0]).sum()
}

/// The value at `at` on the line from `a` to `b`.
fn line(a: (i64, f64), b: (i64, f64), at: i64) -> f64 {
    if at == a.0 { a.1 } else { a.1 + (b.1 - a.1) * (at - a.0) as f64 / (b.0 - a.0) as f64 }
}

/// The last value that was there when the window began, if there was one, and those inside.
fn anchored(w: &Window, from: i64, to: i64) -> Option<Vec<f64>> {
    let before = w.iter().rfind(|s| s.0 <= from);
    let inside: Vec<_> = w.iter().filter(|s| s.0 > from && s.0 <= to).collect();
    let all = before.into_iter().chain(inside.iter().copied()).map(|s| s.1);
    (!inside.is_empty()).then(|| all.collect())
}

/// What the samples of a window are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Gauge,
    Counter,
}

/// The values at both ends on the lines between the samples around them, as far as there are any, and the
/// values between them. A counter that begins anew rises from zero to the next sample.
fn smoothed(w: &Window, from: i64, to: i64, of: Of) -> Option<Vec<f64>> {
    let between = |i: usize, at: i64| {
        let (a, b) = (w[i], w[i + 1]);
        line(if of == Of::Counter && b.1 < a.1 && at != a.0 { (a.0, 0.0) } else { a }, b, at)
    };
    let first = w.iter().rposition(|s| s.0 <= from);
    let last = w.iter().position(|s| s.0 >= to).or(w.len().checked_sub(1))?;
    if w[last].0 <= from || w[first.unwrap_or(0)].0 > to {
        return None;
    }
    let left = first.map_or(w[0].1, |first| between(first, from));
    let first = first.unwrap_or(0);
    let right = if w[last].0 > to && last > first { between(last - 1, to) } else { w[last].1 };
    let inner = w.get(first + 1..last).unwrap_or_default().iter().map(|s| s.1);
    Some([left].into_iter().chain(inner).chain([right]).collect())
}
