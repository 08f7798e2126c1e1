//! `rate`, `increase`, `delta`, `irate`, `idelta`: differences over windows, resets of counters made
//! good. Source: Prometheus' definition of extrapolation (version 3).

use super::{Samples, slide};
use crate::exec::{kahan::Sum, matrix::RowMut, work::Work};
use crate::plan::{WindowFn, Windows};
use skopos_storage::QueryError;

/// Where the counter was reset, and what was lost by then.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Indices of the samples that are below the one before.
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
    let mut resets = (is_counter && has_reset(s.values)).then(|| Resets::find(s.values, scratch));
    let all_finite = resets.as_ref().is_some_and(Resets::all_finite);
    slide(s.timestamps, windows, work, |work, k, lo, hi| {
        if hi - lo < 2 {
            return Ok(());
        }
        let (first, last) = (s.values[lo], s.values[hi - 1]);
        let mut difference = last - first;
        if let Some(resets) = &mut resets {
            difference = resets.make_good(difference, s.values, (lo, hi), all_finite);
            if !all_finite {
                work.spend(resets.to - resets.from)?;
            }
        }
        let end = windows.first_end + k as i64 * windows.step;
        let ends = Ends {
            first_ms: s.timestamps[lo].as_ms(),
            last_ms: s.timestamps[hi - 1].as_ms(),
            start_ms: end - windows.range,
            end_ms: end,
        };
        let floor = (is_counter && difference > 0.0 && first >= 0.0).then_some(first);
        out.set(k, difference * (extrapolation(&ends, hi - lo, difference, floor) / per_second));
        Ok(())
    })
}

/// The times of a window and of its outermost samples.
pub(super) struct Ends {
    pub first_ms: i64,
    pub last_ms: i64,
    pub start_ms: i64,
    pub end_ms: i64,
}

/// By what the difference is to be multiplied so that it covers the whole window. `floor` is the first
/// value of a counter, which cannot have been below zero before.
#[inline]
pub(super) fn extrapolation(ends: &Ends, count: usize, difference: f64, floor: Option<f64>) -> f64 {
    let sampled = (ends.last_ms - ends.first_ms) as f64 / 1000.0;
    let spacing = sampled / (count - 1) as f64;
    // A gap of more than this at an end means that the series begins or ends inside of the window.
    let threshold = spacing * 1.1;
    let mut to_start = (ends.first_ms - ends.start_ms) as f64 / 1000.0;
    if to_start >= threshold {
        to_start = spacing / 2.0;
    }
    if let Some(first) = floor {
        let to_zero = sampled * (first / difference);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    let mut to_end = (ends.end_ms - ends.last_ms) as f64 / 1000.0;
    if to_end >= threshold {
        to_end = spacing / 2.0;
    }
    (sampled + to_start + to_end) / sampled
}

fn has_reset(values: &[f64]) -> bool {
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
    pub(super) fn find(values: &[f64], scratch: &'a mut Scratch) -> Self {
        scratch.at.clear();
        scratch.lost.clear();
        let mut lost = Sum::ZERO;
        for (i, pair) in values.windows(2).enumerate() {
            if pair[1] < pair[0] {
                scratch.at.push(i + 1);
                scratch.lost.push(lost);
                lost = lost.add(pair[0]);
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

/// Writes the difference between the last two samples of each window, a second when `rate`.
pub(super) fn instant(
    rate: bool,
    s: Samples<'_>,
    windows: &Windows,
    work: &mut Work,
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    slide(s.timestamps, windows, work, |_, k, lo, hi| {
        if hi - lo < 2 {
            return Ok(());
        }
        let (before, last) = (s.values[hi - 2], s.values[hi - 1]);
        if !rate {
            out.set(k, last - before);
            return Ok(());
        }
        let difference = if last < before { last } else { last - before };
        let seconds = (s.timestamps[hi - 1].as_ms() - s.timestamps[hi - 2].as_ms()) as f64 / 1000.0;
        out.set(k, difference / seconds);
        Ok(())
    })
}
