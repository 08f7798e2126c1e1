//! `deriv` and `predict_linear`: the line through the samples of a window that lies nearest to them (least
//! squares). The sums that make it slide over the samples as `fold` says: nothing is subtracted, and all
//! distances are from a sample of the window, so that little is lost.

use super::{Params, Samples, slide};
use crate::exec::{
    kahan::Sum,
    matrix::RowMut,
    work::{WORK_PER_CHECK, Work},
};
use crate::plan::Windows;
use skopos_storage::QueryError;

/// The sums over some samples, as distances in seconds and value from a pivot.
#[derive(Clone, Copy, Debug)]
struct Sums {
    count: f64,
    x: Sum,
    y: Sum,
    xy: Sum,
    xx: Sum,
}

/// Memory of the older half of a window.
#[derive(Debug, Default)]
pub(super) struct Scratch(Vec<Sums>);

/// A line: its value at `x` seconds after the pivot is `mean_y + slope × (x - mean_x)`.
#[derive(Clone, Copy, Debug)]
struct Line {
    slope: f64,
    mean_x: f64,
    mean_y: f64,
}

/// Writes the slope of each window of at least two samples.
pub(super) fn deriv(
    s: Samples<'_>,
    windows: &Windows,
    scratch: (&mut Scratch, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    lines(s, windows, scratch, |k, line, _| out.set(k, line.slope))
}

/// Writes where the line of each window will be.
pub(super) fn predict(
    s: Samples<'_>,
    windows: &Windows,
    params: Params<'_>,
    scratch: (&mut Scratch, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    let [ahead, time] = params.0;
    lines(s, windows, scratch, |k, line, pivot| {
        let x = time.at(k) - s.timestamps[pivot].as_secs_f64();
        let now = line.mean_y + line.slope * (x - line.mean_x);
        out.set(k, line.slope * ahead.at(k) + now + s.values[pivot]);
    })
}

/// Calls `emit` with the step, the line and its pivot, for each window of at least two samples.
fn lines(
    s: Samples<'_>,
    windows: &Windows,
    (Scratch(older), work): (&mut Scratch, &mut Work),
    mut emit: impl FnMut(usize, Line, usize),
) -> Result<(), QueryError> {
    // `older[i]` sums the samples from `middle - 1 - i` to the middle, `younger` those from there on.
    let (mut middle, mut pivot, mut younger_end) = (0, 0, 0);
    let mut younger = Sums::EMPTY;
    slide(s.timestamps, windows, work, |work, k, lo, hi| {
        if lo >= middle {
            (middle, pivot, younger_end) = (hi, hi - 1, hi);
            younger = Sums::EMPTY;
            older.clear();
            let mut all = Sums::EMPTY;
            for end in (lo..hi).rev().step_by(WORK_PER_CHECK) {
                let start = lo.max((end + 1).saturating_sub(WORK_PER_CHECK));
                work.spend(end + 1 - start)?;
                older.extend((start..=end).rev().map(|i| {
                    all = all.push(s, i, pivot);
                    all
                }));
            }
        }
        younger = (younger_end..hi).fold(younger, |sums, i| sums.push(s, i, pivot));
        younger_end = hi;
        if hi - lo >= 2 {
            emit(k, older[middle - 1 - lo].merge(younger).line(), pivot);
        }
        Ok(())
    })
}

impl Sums {
    const EMPTY: Self = Self { count: 0.0, x: Sum::ZERO, y: Sum::ZERO, xy: Sum::ZERO, xx: Sum::ZERO };

    #[inline]
    fn push(self, s: Samples<'_>, i: usize, pivot: usize) -> Self {
        let x = (s.timestamps[i].as_ms() - s.timestamps[pivot].as_ms()) as f64 / 1000.0;
        let y = s.values[i] - s.values[pivot];
        Self {
            count: self.count + 1.0,
            x: self.x.add(x),
            y: self.y.add(y),
            xy: self.xy.add(x * y),
            xx: self.xx.add(x * x),
        }
    }

    #[inline]
    fn merge(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            x: self.x.merge(other.x),
            y: self.y.merge(other.y),
            xy: self.xy.merge(other.xy),
            xx: self.xx.merge(other.xx),
        }
    }

    /// The line, of at least two samples. Not a number where a value is none or has no bound.
    #[inline]
    fn line(self) -> Line {
        let (x, y) = (self.x.value(), self.y.value());
        let covariance = self.xy.value() - x * y / self.count;
        let variance = self.xx.value() - x * x / self.count;
        if !covariance.is_finite() {
            return Line { slope: f64::NAN, mean_x: x / self.count, mean_y: f64::NAN };
        }
        Line { slope: covariance / variance, mean_x: x / self.count, mean_y: y / self.count }
    }
}
