//! `anchored` and `smoothed` windows over series that have native histograms: what stands at their very ends,
//! and the differences between the ends. The float twin of it is `edges`.

use super::{
    MixedInput,
    edges::{Kind, Window, each},
    mixed::{Parted, count_transitions},
};
use crate::ast::{Edges, Span};
use crate::error::EvalError;
use crate::exec::{Annotations, bits, histograms::HistogramSteps, matrix::RowBuffer, work::Work};
use crate::plan::{WindowFn, Windows};
use skopos_model::{CounterResetHint, FloatHistogram, HistogramView, histogram::IncompatibleBuckets};
use std::ops::RangeInclusive;

/// Writes the difference between the ends of each window that has histograms.
pub(super) fn differences(
    input: &MixedInput<'_>,
    parted: &Parted<'_>,
    work: &mut Work,
    out: &mut RowBuffer,
    annotations: &mut Annotations,
) -> Result<(), EvalError> {
    let rate = input.kernel.function == WindowFn::Rate;
    let per_second = if rate { input.windows.range as f64 / 1000.0 } else { 1.0 };
    let (metric, span) = (input.metric, input.kernel.span);
    let mut found = HistogramSteps::new(input.windows.steps);
    each(parted.all(), input.windows, work, |work, w| {
        if parted.is_mixed_within(reach_of(input.windows, w)) {
            bits::clear(&mut out.present, w.step);
            annotations.mixed_floats_histograms(metric, span);
            return Ok(());
        }
        let Some(used) = used(parted, input.windows.edges, w) else { return Ok(()) };
        let histograms = parted.histograms_of(*used.start(), used.end() + 1);
        if histograms.is_empty() {
            return Ok(());
        }
        let buckets = parted.histograms[histograms.start].bucket_count();
        work.spend(histograms.len().saturating_mul(1 + buckets))?;
        bits::clear(&mut out.present, w.step);
        let all = &parted.histograms[histograms];
        let is_gauge = |h: &HistogramView<'_>| h.counter_reset_hint == CounterResetHint::Gauge;
        let counter = input.kernel.function != WindowFn::Delta;
        if counter && all.iter().any(is_gauge) {
            annotations.histogram_not_counter(metric, span);
        }
        if !counter && [&all[0], &all[all.len() - 1]].into_iter().any(|h| !is_gauge(h)) {
            annotations.histogram_not_gauge(metric, span);
        }
        let context = Context::of(input, parted);
        match context.difference((w, used), annotations) {
            Ok(mut h) => {
                h.divide(per_second);
                h.layout.counter_reset_hint = CounterResetHint::Gauge;
                h.compact();
                found.push(w.step, work.made(h)?);
            }
            Err(IncompatibleBuckets) => annotations.mixed_buckets(metric, span),
        }
        Ok(())
    })?;
    out.set_histograms(found);
    Ok(())
}

/// The times from which samples count for the window: all of them are of one kind, or nothing is made of it.
fn reach_of(windows: &Windows, w: &Window) -> RangeInclusive<i64> {
    let after = if windows.edges == Edges::Smoothed { windows.reach } else { 0 };
    w.start - windows.reach + 1..=w.end + after
}

/// The samples that have a part in the difference: those at or around the ends, and those between.
fn used(parted: &Parted<'_>, edges: Edges, w: &Window) -> Option<RangeInclusive<usize>> {
    let first = w.before.unwrap_or(w.first);
    if edges == Edges::Anchored {
        return (w.end_index > w.first).then(|| first..=w.end_index - 1);
    }
    let time = |i: usize| parted.timestamps[i].as_ms();
    let last = w.after.or_else(|| w.end_index.checked_sub(1)).filter(|i| time(*i) > w.start)?;
    (time(first) <= w.end && first <= last).then_some(first..=last)
}

/// What a series is and what is made of it.
struct Context<'a> {
    parted: &'a Parted<'a>,
    edges: Edges,
    kind: Kind,
    span: Span,
}

impl<'a> Context<'a> {
    fn of(input: &MixedInput<'_>, parted: &'a Parted<'a>) -> Self {
        let kind = Kind::of(input.kernel.function);
        Self { parted, edges: input.windows.edges, kind, span: input.kernel.span }
    }

    /// The right end less the left one, and what a counter lost by resets between them.
    fn difference(
        &self,
        (w, used): (&Window, RangeInclusive<usize>),
        annotations: &mut Annotations,
    ) -> Result<FloatHistogram, IncompatibleBuckets> {
        let Self { parted, edges, kind, span } = *self;
        let (first, last) = (*used.start(), *used.end());
        let at = |i: usize| parted.at(i).ok_or(IncompatibleBuckets);
        let time = |i: usize| parted.timestamps[i].as_ms();
        let custom = at(first)?.layout.has_custom_bounds();
        for i in used {
            if at(i)?.layout.has_custom_bounds() != custom {
                return Err(IncompatibleBuckets);
            }
        }
        let smoothed = edges == Edges::Smoothed;
        let left_between = smoothed && w.before.is_some() && time(first) < w.start;
        let right_between = smoothed && last > first && time(last) > w.end;
        let left = if left_between {
            self.between((at(first)?, at(first + 1)?), (first, w.start), annotations)?
        } else {
            at(first)?.to_histogram()
        };
        let mut right = if right_between {
            self.between((at(last - 1)?, at(last)?), (last - 1, w.end), annotations)?
        } else {
            at(last)?.to_histogram()
        };
        if right.subtract(&left.view())?.bounds_reconciled {
            annotations.bounds_reconciled("subtraction", span);
        }
        if kind == Kind::Counter {
            // What lies between two samples is on the line to the second of them already.
            for i in first + 1 + usize::from(left_between)..=last {
                if at(i)?.is_reset_since(at(i - 1)?) && right.add(at(i - 1)?)?.bounds_reconciled {
                    annotations.bounds_reconciled("addition", span);
                }
            }
        }
        Ok(right)
    }

    /// The histogram at `time` on the line from sample `i` to the next. A counter that was reset between them
    /// is taken to have begun at zero with the first of them.
    fn between(
        &self,
        (a, b): (&HistogramView<'_>, &HistogramView<'_>),
        (i, time): (usize, i64),
        annotations: &mut Annotations,
    ) -> Result<FloatHistogram, IncompatibleBuckets> {
        let Self { parted, kind, span, .. } = *self;
        let (t1, t2) = (parted.timestamps[i].as_ms(), parted.timestamps[i + 1].as_ms());
        let share = (time - t1) as f64 / (t2 - t1) as f64;
        let mut end = b.to_histogram();
        let reset = kind == Kind::Counter && b.is_reset_since(a);
        if a.layout.has_custom_bounds() != b.layout.has_custom_bounds() {
            return Err(IncompatibleBuckets);
        }
        end.multiply(share);
        if !reset {
            let mut start = a.to_histogram();
            start.multiply(1.0 - share);
            if end.add(&start.view())?.bounds_reconciled {
                // Their difference is taken first, and added to the first of them then.
                annotations.bounds_reconciled("subtraction", span);
                annotations.bounds_reconciled("addition", span);
            }
        }
        Ok(end)
    }
}

/// Writes the value at each step on the line between the samples around it; behind the last sample its value.
pub(super) fn instants(
    input: &MixedInput<'_>,
    parted: &Parted<'_>,
    work: &mut Work,
    out: &mut RowBuffer,
    annotations: &mut Annotations,
) -> Result<(), EvalError> {
    let (metric, span) = (input.metric, input.kernel.span);
    let mut found = HistogramSteps::new(input.windows.steps);
    each(parted.all(), &Windows { range: 0, ..*input.windows }, work, |work, w| {
        let Some(before) = w.before else { return Ok(()) };
        let exact = parted.timestamps[before].as_ms() == w.end;
        let after = w.after.filter(|_| !exact).unwrap_or(before);
        match (parted.at(before), parted.at(after)) {
            (None, None) => {
                let (a, b) = (parted.float(before), parted.float(after));
                let (t1, t2) = (parted.timestamps[before].as_ms(), parted.timestamps[after].as_ms());
                let share = if t2 > t1 { (w.end - t1) as f64 / (t2 - t1) as f64 } else { 0.0 };
                out.row_mut().set(w.step, if after == before { a } else { a + (b - a) * share });
            }
            (Some(a), Some(_)) if after == before => found.push(w.step, work.made(a.to_histogram())?),
            (Some(a), Some(b)) => {
                let is_gauge = a.counter_reset_hint == CounterResetHint::Gauge;
                let kind = if is_gauge { Kind::Gauge } else { Kind::Counter };
                let context = Context { kind, ..Context::of(input, parted) };
                match context.between((a, b), (before, w.end), annotations) {
                    Ok(h) => found.push(w.step, work.made(h)?),
                    Err(IncompatibleBuckets) => annotations.mixed_buckets(metric, span),
                }
            }
            _ => annotations.mixed_floats_histograms(metric, span),
        }
        Ok(())
    })?;
    out.set_histograms(found);
    Ok(())
}

/// Writes how often the value changed, or a counter was reset, from the start of each window to its end.
pub(super) fn transitions(
    function: WindowFn,
    parted: &Parted<'_>,
    windows: &Windows,
    work: &mut Work,
    out: &mut RowBuffer,
) -> Result<(), EvalError> {
    let counts = count_transitions(function, parted);
    let mut row = out.row_mut();
    each(parted.all(), windows, work, |_, w| {
        if w.end_index > w.first {
            let from = w.before.unwrap_or(w.first);
            row.set(w.step, f64::from(counts[w.end_index - 1] - counts[from]));
        }
        Ok(())
    })?;
    Ok(())
}
