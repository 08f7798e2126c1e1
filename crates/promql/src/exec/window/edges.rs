//! Windows with samples at their very ends (`anchored` and `smoothed`): the differences that `rate` and its
//! like make of them, and instant values between samples. Source: Prometheus' proposal 52, "Extended range
//! selectors semantics". Extrapolates nothing.

use super::{Edge, Samples, counter::Resets, counter::Scratch};
use crate::ast::Edges;
use crate::exec::{matrix::RowMut, work::Work};
use crate::plan::{WindowFn, Windows};
use skopos_storage::QueryError;

/// A window and the samples that count for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub step: usize,
    pub start: i64,
    pub end: i64,
    /// The last sample not behind the start, if it is within reach.
    pub before: Option<usize>,
    /// The first sample behind the start.
    pub first: usize,
    /// One more than the last sample before the end; one at the end belongs to those when anchored.
    pub end_index: usize,
    /// The first sample that is not before the end, if it is within reach.
    pub after: Option<usize>,
}

/// What a series counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only ever grows, but begins anew from time to time.
    Counter,
    Gauge,
}

impl Kind {
    /// What `function` takes it for.
    pub(super) fn of(function: WindowFn) -> Self {
        if function == WindowFn::Delta { Self::Gauge } else { Self::Counter }
    }
}

/// Calls `f` with each window; `closed` windows have a sample at their very end as one of theirs.
pub(super) fn each(
    s: Samples<'_>,
    windows: &Windows,
    work: &mut Work,
    mut f: impl FnMut(&mut Work, &Window) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let (mut lo, mut hi) = (Edge::default(), Edge::default());
    let closed = i64::from(windows.edges != Edges::Anchored);
    for step in 0..windows.steps {
        let end = windows.first_end + step as i64 * windows.step;
        let start = end - windows.range;
        let seen = hi.at;
        hi.advance(s.timestamps, end - closed);
        lo.advance(s.timestamps, start);
        work.spend(1)?;
        work.count(step, hi.at.saturating_sub(lo.at), hi.at.saturating_sub(lo.at.max(seen)));
        let time = |i: usize| s.timestamps.get(i).map(|t| t.as_ms());
        let before = lo.at.checked_sub(1).filter(|i| time(*i).is_some_and(|t| t > start - windows.reach));
        let after = Some(hi.at).filter(|i| time(*i).is_some_and(|t| t <= end + windows.reach));
        f(work, &Window { step, start, end, before, first: lo.at, end_index: hi.at, after })?;
    }
    Ok(())
}

/// Writes the difference between the ends of each window, a second for `rate`.
pub(super) fn differences(
    function: WindowFn,
    s: Samples<'_>,
    windows: &Windows,
    (scratch, work): (&mut Scratch, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    let kind = Kind::of(function);
    let per_second = if function == WindowFn::Rate { windows.range as f64 / 1000.0 } else { 1.0 };
    let mut resets = Resets::find(s, scratch);
    let all_finite = resets.all_finite();
    each(s, windows, work, |work, w| {
        if !all_finite {
            // What was lost is added up sample by sample.
            work.spend(w.end_index.saturating_sub(w.first))?;
        }
        let ends = match windows.edges {
            Edges::Smoothed => smoothed_ends(s, w, kind),
            _ => anchored_ends(s, w),
        };
        let Some((left, right)) = ends else { return Ok(()) };
        let mut difference = right - left;
        if kind == Kind::Counter {
            difference += lost(s, w, (left, right), &mut resets);
        }
        out.set(w.step, difference / per_second);
        Ok(())
    })
}

/// The values at the ends: of the last samples before them.
fn anchored_ends(s: Samples<'_>, w: &Window) -> Option<(f64, f64)> {
    if w.end_index <= w.first {
        return None;
    }
    Some((s.values[w.before.unwrap_or(w.first)], s.values[w.end_index - 1]))
}

/// The values at the ends: between the samples around them, as far as there are any.
fn smoothed_ends(s: Samples<'_>, w: &Window, kind: Kind) -> Option<(f64, f64)> {
    let time = |i: usize| s.timestamps[i].as_ms();
    let last = w.after.or_else(|| w.end_index.checked_sub(1)).filter(|i| time(*i) > w.start)?;
    let first = w.before.unwrap_or(w.first);
    if time(first) > w.end {
        return None;
    }
    let left = match w.before {
        Some(i) if time(i) < w.start => between(s, i, w.start, kind),
        _ => s.values[first],
    };
    let right =
        if last > first && time(last) > w.end { between(s, last - 1, w.end, kind) } else { s.values[last] };
    Some((left, right))
}

/// The value at `time` on the line from sample `i` to the next. A counter that was reset between them is
/// taken to have begun at zero with the first of them.
fn between(s: Samples<'_>, i: usize, time: i64, kind: Kind) -> f64 {
    let (t1, t2) = (s.timestamps[i].as_ms(), s.timestamps[i + 1].as_ms());
    let (v1, v2) = (s.values[i], s.values[i + 1]);
    let v1 = if kind == Kind::Counter && v2 < v1 { 0.0 } else { v1 };
    v1 + (v2 - v1) * (time - t1) as f64 / (t2 - t1) as f64
}

/// What a counter lost by resets between the two ends.
fn lost(s: Samples<'_>, w: &Window, (left, right): (f64, f64), resets: &mut Resets<'_>) -> f64 {
    if w.end_index <= w.first {
        return if right < left { left } else { 0.0 };
    }
    let (first, last) = (s.values[w.first], s.values[w.end_index - 1]);
    let inside = resets.make_good(0.0, s.values, (w.first, w.end_index), resets.all_finite());
    let at_start = if first < left { left } else { 0.0 };
    let at_end = if right < last { last } else { 0.0 };
    at_start + inside + at_end
}

/// Writes how often the value changed, or fell, from the start of each window to its end.
pub(super) fn transitions(
    function: WindowFn,
    s: Samples<'_>,
    windows: &Windows,
    (counts, work): (&mut Vec<u32>, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    super::fold::count_transitions(function, s, counts);
    work.spend(counts.len())?;
    each(s, windows, work, |_, w| {
        if w.end_index > w.first {
            let from = w.before.unwrap_or(w.first);
            out.set(w.step, f64::from(counts[w.end_index - 1] - counts[from]));
        }
        Ok(())
    })
}

/// Writes the value at each step on the line between the samples around it; behind the last sample its
/// value.
pub(super) fn instants(
    s: Samples<'_>,
    windows: &Windows,
    work: &mut Work,
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    each(s, &Windows { range: 0, ..*windows }, work, |_, w| {
        let Some(before) = w.before else { return Ok(()) };
        let exact = s.timestamps[before].as_ms() == w.end;
        out.set(
            w.step,
            match w.after {
                Some(_) if !exact => between(s, before, w.end, Kind::Gauge),
                _ => s.values[before],
            },
        );
        Ok(())
    })
}
