//! `rate`, `increase`, `delta`, `irate`, `idelta`: differences over windows, resets of counters made
//! good. Source: Prometheus' definition of extrapolation (version 3).

use super::{Samples, slide};
use crate::exec::{kahan::Sum, matrix::RowMut, work::Work};
use crate::plan::{WindowFn, Windows};
use skopos_storage::QueryError;

/// Where the counter was reset, and what was lost by then.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Indices of the samples before which it was reset.
    at: Vec<usize>,
    /// All values lost before each of them, and behind the last.
    lost: Vec<Sum>,
}

/// Up to so many resets in a window are added up one by one, in the order that they happened.
const FEW_RESETS: usize = 8;

/// Writes the extrapolated difference between the ends of each window.
pub(super) fn extrapolated(
    function: WindowFn,
    s: Samples<'_>,
    windows: &Windows,
    (scratch, work): (&mut Scratch, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    let is_counter = function != WindowFn::Delta;
    let per_second = if function == WindowFn::Rate { windows.range as f64 / 1000.0 } else { 1.0 };
    let starts_tell = is_counter && !s.starts.is_empty();
    let mut resets = (is_counter && has_reset(s)).then(|| Resets::find(s, scratch));
    let all_finite = resets.as_ref().is_some_and(Resets::all_finite);
    slide(s.timestamps, windows, work, |work, k, lo, hi| {
        let end = windows.first_end + k as i64 * windows.step;
        let start_ms = end - windows.range;
        let zero_ms = if starts_tell { s.starts.zero_before(lo, s.timestamps, start_ms) } else { None };
        if hi - lo < 2 && zero_ms.is_none() {
            return Ok(());
        }
        let (first, last) = (s.values[lo], s.values[hi - 1]);
        let mut difference = if zero_ms.is_none() { last - first } else { last };
        if let Some(resets) = &mut resets {
            difference = resets.make_good(difference, s.values, (lo, hi), all_finite);
            if !all_finite {
                work.spend(resets.to - resets.from)?;
            }
        }
        let ends = Ends {
            zero_ms,
            first_ms: s.timestamps[lo].as_ms(),
            last_ms: s.timestamps[hi - 1].as_ms(),
            start_ms,
            end_ms: end,
        };
        let floor = (is_counter && difference > 0.0 && first >= 0.0).then_some(first);
        out.set(k, difference * (extrapolation(&ends, hi - lo, difference, floor) / per_second));
        Ok(())
    })
}

/// The times of a window and of its outermost samples.
pub(super) struct Ends {
    /// When a counter is known to have been zero, before the first sample.
    pub zero_ms: Option<i64>,
    pub first_ms: i64,
    pub last_ms: i64,
    pub start_ms: i64,
    pub end_ms: i64,
}

/// By what the difference is to be multiplied so that it covers the whole window. `floor` is the first
/// value of a counter, which cannot have been below zero before.
#[inline]
pub(super) fn extrapolation(ends: &Ends, count: usize, difference: f64, floor: Option<f64>) -> f64 {
    let between = (ends.last_ms - ends.first_ms) as f64 / 1000.0;
    // Before a single sample the counter was zero.
    let spacing = if count < 2 { 0.0 } else { between / (count - 1) as f64 };
    // A gap of more than this at an end means that the series begins or ends inside of the window.
    let threshold = spacing * 1.1;
    let (sampled, to_start) = match ends.zero_ms {
        // It is known where it began: nothing is to be guessed.
        Some(zero) => ((ends.last_ms - zero) as f64 / 1000.0, 0.0),
        None => (between, to_start(ends, between, spacing, floor.map(|first| first / difference))),
    };
    let mut to_end = (ends.end_ms - ends.last_ms) as f64 / 1000.0;
    if to_end >= threshold {
        to_end = spacing / 2.0;
    }
    (sampled + to_start + to_end) / sampled
}

/// How many seconds before the first sample the series may be taken to have gone on as it does. `floor` is
/// how much of the difference a counter has above zero at the first sample.
#[inline]
fn to_start(ends: &Ends, sampled: f64, spacing: f64, floor: Option<f64>) -> f64 {
    let mut to_start = (ends.first_ms - ends.start_ms) as f64 / 1000.0;
    if to_start >= spacing * 1.1 {
        to_start = spacing / 2.0;
    }
    match floor.map(|floor| sampled * floor) {
        Some(to_zero) if to_zero < to_start => to_zero,
        _ => to_start,
    }
}

fn has_reset(s: Samples<'_>) -> bool {
    let values = s.values;
    if !s.starts.is_empty() {
        return (1..values.len()).any(|i| s.is_reset(i));
    }
    let later = values.get(1..).unwrap_or_default();
    values.iter().zip(later).map(|(a, b)| u64::from(b < a)).sum::<u64>() != 0
}

/// The resets of one series, and those of the current window among them.
pub(super) struct Resets<'a> {
    scratch: &'a Scratch,
    from: usize,
    to: usize,
}

impl<'a> Resets<'a> {
    pub(super) fn find(s: Samples<'_>, scratch: &'a mut Scratch) -> Self {
        scratch.at.clear();
        scratch.lost.clear();
        let mut lost = Sum::ZERO;
        for i in 1..s.values.len() {
            if s.is_reset(i) {
                scratch.at.push(i);
                scratch.lost.push(lost);
                lost = lost.add(s.values[i - 1]);
            }
        }
        scratch.lost.push(lost);
        Self { scratch, from: 0, to: 0 }
    }

    pub(super) fn all_finite(&self) -> bool {
        self.scratch.lost.last().is_none_or(|sum| sum.high.is_finite())
    }

    /// `difference` and all that was lost between the samples of the window.
    pub(super) fn make_good(
        &mut self,
        difference: f64,
        values: &[f64],
        (lo, hi): (usize, usize),
        all_finite: bool,
    ) -> f64 {
        let Scratch { at, lost } = self.scratch;
        while self.from < at.len() && at[self.from] <= lo {
            self.from += 1;
        }
        while self.to < at.len() && at[self.to] < hi {
            self.to += 1;
        }
        if self.to <= self.from {
            return difference;
        }
        if self.to - self.from <= FEW_RESETS || !all_finite {
            return at[self.from..self.to].iter().fold(difference, |sum, i| sum + values[i - 1]);
        }
        let (before, behind) = (lost[self.from], lost[self.to]);
        difference + ((behind.high - before.high) + (behind.low - before.low))
    }
}

/// Writes the difference between the last two samples of each window, a second for `irate`.
pub(super) fn instant(
    function: WindowFn,
    s: Samples<'_>,
    windows: &Windows,
    work: &mut Work,
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    let rate = function == WindowFn::Irate;
    slide(s.timestamps, windows, work, |_, k, lo, hi| {
        if hi - lo < 2 {
            return Ok(());
        }
        let (before, last) = (s.values[hi - 2], s.values[hi - 1]);
        if !rate {
            out.set(k, last - before);
            return Ok(());
        }
        let difference = if s.is_reset(hi - 1) { last } else { last - before };
        let seconds = (s.timestamps[hi - 1].as_ms() - s.timestamps[hi - 2].as_ms()) as f64 / 1000.0;
        out.set(k, difference / seconds);
        Ok(())
    })
}
