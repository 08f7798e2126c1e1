//! Windows over the samples of one series: where each begins and ends, and which function is applied.
//! All of it are loops over slices; what they need beside them stands in `Scratch` and is kept.

mod counter;
mod edges;
mod extended;
mod fold;
mod instant;
pub(crate) mod mixed;
mod order;
mod rate;
mod sliding;
mod smooth;
mod starts;
mod trend;

pub(crate) use mixed::MixedInput;
pub(crate) use starts::Starts;

use super::{
    matrix::RowMut,
    work::{WORK_PER_CHECK, Work},
};
use crate::ast::Edges;
use crate::error::EvalError;
use crate::plan::{Kernel, WindowFn, Windows};
use skopos_model::{TimestampMs, is_stale_nan, sample::STALE_NAN_BITS};
use skopos_storage::QueryError;
use std::ops::Range;

/// The samples of one series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Samples<'a> {
    pub timestamps: &'a [TimestampMs],
    pub values: &'a [f64],
    pub starts: Starts<'a>,
}

impl Samples<'_> {
    /// Those that lie in any of `windows`.
    fn within(self, windows: &Windows) -> Self {
        let span = windows.span();
        let from = self.timestamps.partition_point(|t| *t < span.min);
        let to = from + self.timestamps[from..].partition_point(|t| *t <= span.max);
        let starts = self.starts.slice(from..to);
        Self { timestamps: &self.timestamps[from..to], values: &self.values[from..to], starts }
    }

    /// Whether a counter was reset between sample `i - 1` and sample `i`.
    #[inline]
    fn is_reset(self, i: usize) -> bool {
        self.values[i] < self.values[i - 1] || self.starts.is_reset(i, self.timestamps)
    }
}

/// A number per step, or one for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a>(pub &'a [f64]);

impl Column<'_> {
    #[inline]
    pub(crate) fn at(self, k: usize) -> f64 {
        if let [all] = self.0 { *all } else { self.0[k] }
    }

    /// The numbers of some of the steps.
    pub(crate) fn part(self, steps: &Range<usize>) -> Self {
        if self.0.len() == 1 { self } else { Self(&self.0[steps.clone()]) }
    }
}

/// What a window function needs beside samples. Empty where it needs none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params<'a>(pub [Column<'a>; 2]);

/// Memory that window functions use again for every series.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    clean: Clean,
    counter: counter::Scratch,
    fold: fold::Scratch,
    trend: trend::Scratch,
    counts: Vec<u32>,
    sorted: Vec<f64>,
}

/// Samples without their staleness markers.
#[derive(Debug, Default)]
struct Clean {
    timestamps: Vec<TimestampMs>,
    values: Vec<f64>,
    starts: Vec<TimestampMs>,
}

/// Writes what `kernel` makes of every window over `samples`. `out` has no value yet.
pub(crate) fn apply(
    kernel: &Kernel,
    params: Params<'_>,
    samples: Samples<'_>,
    windows: &Windows,
    (scratch, work): (&mut Scratch, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), EvalError> {
    let samples = samples.within(windows);
    let function = kernel.function;
    // Every function looks at all samples once, whatever its windows are.
    work.spend(samples.values.len())?;
    let clean_starts = if samples.starts.is_empty() { 0 } else { 2 * size_of::<TimestampMs>() };
    work.buffers(samples.values.len().saturating_mul(buffer_bytes(function) + clean_starts))?;
    if let Some(what) = instant::What::of(function)
        && windows.edges == Edges::Sampled
    {
        parts(windows.steps, work, |steps| {
            let first_end = windows.first_end + steps.start as i64 * windows.step;
            let windows = Windows { first_end, steps: steps.len(), ..*windows };
            instant::newest(samples.within(&windows), &windows, what, &mut out.part(&steps));
        })?;
        return Ok(());
    }
    // A staleness marker is no sample of a window.
    let mut clean = std::mem::take(&mut scratch.clean);
    let samples = if has_stale(samples.values) { without_stale(samples, &mut clean) } else { samples };
    let done = compute(kernel, params, samples, windows, (scratch, work), out);
    scratch.clean = clean;
    done
}

/// Calls `f` with some steps at a time, which are paid for.
pub(crate) fn parts(
    steps: usize,
    work: &mut Work,
    mut f: impl FnMut(Range<usize>),
) -> Result<(), QueryError> {
    for first in (0..steps).step_by(WORK_PER_CHECK) {
        let part = first..steps.min(first + WORK_PER_CHECK);
        work.spend(part.len())?;
        f(part);
    }
    Ok(())
}

/// What a function keeps beside each sample in buffers, in bytes, these as large again as they are full.
fn buffer_bytes(function: WindowFn) -> usize {
    use WindowFn as W;
    match function {
        W::Newest | W::NewestTime | W::NewestStart | W::InfoTime => 0,
        W::Count | W::Present | W::First | W::Last | W::TimeOfFirst | W::TimeOfLast => 32,
        W::Deriv | W::PredictLinear => 32 + 2 * 72,
        W::Stddev | W::Stdvar => 32 + 2 * 48,
        _ => 32 + 2 * 24,
    }
}

fn compute(
    kernel: &Kernel,
    params: Params<'_>,
    s: Samples<'_>,
    windows: &Windows,
    (scratch, work): (&mut Scratch, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), EvalError> {
    use WindowFn as W;
    let function = kernel.function;
    let (t, v) = (s.timestamps, s.values);
    let seconds = |i: usize| t[i].as_secs_f64();
    let extended = windows.edges != Edges::Sampled;
    let done = match function {
        W::Rate | W::Increase | W::Delta if extended => {
            edges::differences(function, s, windows, (&mut scratch.counter, work), out)
        }
        W::Changes | W::Resets if extended => {
            edges::transitions(function, s, windows, (&mut scratch.counts, work), out)
        }
        W::Newest => edges::instants(s, windows, work, out),
        W::Rate | W::Increase | W::Delta => {
            counter::extrapolated(function, s, windows, (&mut scratch.counter, work), out)
        }
        W::Irate | W::Idelta => counter::instant(function, s, windows, work, out),
        W::Changes | W::Resets => fold::transitions(function, s, windows, (&mut scratch.counts, work), out),
        W::Sum | W::Avg | W::Min | W::Max | W::Stddev | W::Stdvar => {
            fold::over_time(function, s, windows, (&mut scratch.fold, work), out)
        }
        W::Count => ends(s, windows, work, out, |lo, hi| (hi - lo) as f64),
        W::Present => ends(s, windows, work, out, |_, _| 1.0),
        W::First => ends(s, windows, work, out, |lo, _| v[lo]),
        W::Last => ends(s, windows, work, out, |_, hi| v[hi - 1]),
        W::TimeOfFirst => ends(s, windows, work, out, |lo, _| seconds(lo)),
        W::TimeOfLast => ends(s, windows, work, out, |_, hi| seconds(hi - 1)),
        W::TimeOfMax | W::TimeOfMin => {
            fold::times_of_extremes(function, s, windows, (&mut scratch.fold, work), out)
        }
        W::Mad => order::mad(s, windows, (&mut scratch.sorted, work), out),
        W::Quantile => order::quantiles(s, windows, params.0[0], (&mut scratch.sorted, work), out),
        W::Deriv => trend::deriv(s, windows, (&mut scratch.trend, work), out),
        W::PredictLinear => trend::predict(s, windows, params, (&mut scratch.trend, work), out),
        W::DoubleExponentialSmoothing => {
            return smooth::smoothed(s, windows, (params, kernel.span), work, out);
        }
        W::NewestTime | W::NewestStart | W::InfoTime => unreachable!("instant selectors were handled before"),
    };
    Ok(done?)
}

/// Whether a window holds two samples of which the later one says to have been counted since before the
/// earlier one, but not as that one was.
pub(crate) fn has_overlap(
    samples: Samples<'_>,
    windows: &Windows,
    (scratch, work): (&mut Scratch, &mut Work),
) -> Result<bool, QueryError> {
    let samples = samples.within(windows);
    let s = without_stale(samples, &mut scratch.clean);
    let at = s.starts.overlapping(s.timestamps);
    let mut found = false;
    if !at.is_empty() {
        // These windows were counted before.
        let counted = std::mem::take(&mut work.counted);
        slide(s.timestamps, windows, work, |_, _, lo, hi| {
            found |= at.get(at.partition_point(|i| *i <= lo)).is_some_and(|i| *i < hi);
            Ok(())
        })?;
        work.counted = counted;
    }
    Ok(found)
}

/// Writes what `f` makes of the bounds of each window alone.
fn ends(
    s: Samples<'_>,
    windows: &Windows,
    work: &mut Work,
    out: &mut RowMut<'_>,
    f: impl Fn(usize, usize) -> f64,
) -> Result<(), QueryError> {
    slide(s.timestamps, windows, work, |_, k, lo, hi| {
        out.set(k, f(lo, hi));
        Ok(())
    })
}

fn has_stale(values: &[f64]) -> bool {
    // Counting all is quicker than leaving early: the loop has no branch.
    values.iter().map(|v| u64::from(v.to_bits() == STALE_NAN_BITS)).sum::<u64>() != 0
}

fn without_stale<'a>(s: Samples<'_>, into: &'a mut Clean) -> Samples<'a> {
    into.timestamps.clear();
    into.values.clear();
    into.starts.clear();
    for (i, (t, v)) in s.timestamps.iter().zip(s.values).enumerate().filter(|(_, (_, v))| !is_stale_nan(**v))
    {
        into.timestamps.push(*t);
        into.values.push(*v);
        if !s.starts.is_empty() {
            into.starts.push(s.starts.get(i));
        }
    }
    Samples { timestamps: &into.timestamps, values: &into.values, starts: Starts::of_all(&into.starts) }
}

/// Calls `f` with the step and the bounds `lo..hi` of its window, for each window that has a sample. `f`
/// spends what it touches; the edges of the windows are paid for, and their samples counted, here.
#[inline]
fn slide(
    timestamps: &[TimestampMs],
    windows: &Windows,
    work: &mut Work,
    mut f: impl FnMut(&mut Work, usize, usize, usize) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let (mut lo, mut hi) = (Edge::default(), Edge::default());
    for k in 0..windows.steps {
        let end = windows.first_end + k as i64 * windows.step;
        let seen = hi.at;
        hi.advance(timestamps, end);
        lo.advance(timestamps, end - windows.range);
        work.spend(1)?;
        if lo.at < hi.at {
            work.count(k, hi.at - lo.at, hi.at - lo.at.max(seen));
            f(work, k, lo.at, hi.at)?;
        } else if lo.at == timestamps.len() && windows.step > 0 {
            break;
        }
    }
    Ok(())
}

/// The edge of a window: how many samples are not behind it.
#[derive(Default)]
struct Edge {
    at: usize,
    stride: usize,
}

impl Edge {
    /// Moves on to the first sample behind `time`. Samples come at steady intervals most of the time,
    /// so the last stride is tried before any search.
    #[inline]
    fn advance(&mut self, timestamps: &[TimestampMs], time: i64) {
        let behind = |i: usize| timestamps.get(i).is_none_or(|t| t.as_ms() > time);
        let guess = self.at + self.stride;
        if guess <= timestamps.len()
            && behind(guess)
            && (guess == self.at || timestamps[guess - 1].as_ms() <= time)
        {
            self.at = guess;
            return;
        }
        let before = self.at;
        while !behind(self.at) {
            self.at += 1;
        }
        self.stride = self.at - before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::real::RealClock;
    use skopos_storage::{QueryBudget, QueryLimits};
    use std::sync::Arc;

    fn windows_of(
        timestamps: &[i64],
        first_end: i64,
        step: i64,
        steps: usize,
        range: i64,
    ) -> Vec<(usize, Vec<i64>)> {
        let t: Vec<_> = timestamps.iter().map(|t| TimestampMs::new(*t)).collect();
        let mut got = Vec::new();
        let budget = QueryBudget::new(QueryLimits::default(), Arc::new(RealClock::new()));
        slide(
            &t,
            &Windows { first_end, step, steps, range, edges: Edges::Sampled, reach: 0 },
            &mut Work::new(&budget),
            |_, k, lo, hi| {
                got.push((k, timestamps[lo..hi].to_vec()));
                Ok(())
            },
        )
        .expect("a budget that suffices");
        got
    }

    #[test]
    fn a_window_has_its_end_and_not_its_beginning() {
        assert_eq!(windows_of(&[0, 10, 20, 30], 20, 10, 2, 20), [(0, vec![10, 20]), (1, vec![20, 30])]);
    }

    #[test]
    fn windows_without_samples_are_left_out() {
        let got = windows_of(&[5, 6, 7, 100], 0, 10, 12, 5);
        assert_eq!(got, [(1, vec![6, 7]), (10, vec![100])]);
        assert!(windows_of(&[], 0, 10, 12, 5).is_empty());
    }

    #[test]
    fn a_pinned_window_is_the_same_at_every_step() {
        assert_eq!(windows_of(&[1, 2], 2, 0, 2, 2), [(0, vec![1, 2]), (1, vec![1, 2])]);
        assert!(windows_of(&[1, 2], 0, 0, 2, 2).is_empty());
    }
}
