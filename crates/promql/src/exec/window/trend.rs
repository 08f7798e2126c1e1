//! `deriv` and `predict_linear`: the line through the samples of a window that lies nearest to them (least
//! squares). The sums that make it slide over the samples as `fold` says: nothing is subtracted, and all
//! distances are from a sample of the window, so that little is lost.

use super::{
    Params, Samples,
    fold::{Fold, fold},
};
use crate::exec::{kahan::Sum, matrix::RowMut, work::Work};
use crate::plan::Windows;
use skopos_model::TimestampMs;
use skopos_storage::QueryError;
use std::ops::Range;

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
        // Between seconds since 1970 there are 200 ns of error; between milliseconds there is none.
        let now_ms = (time.at(k) * 1000.0).round() as i64;
        let x = now_ms.saturating_sub(pivot.at.as_ms()) as f64 / 1000.0;
        let now = line.mean_y + line.slope * (x - line.mean_x);
        out.set(k, line.slope * ahead.at(k) + now + pivot.value);
    })
}

/// Calls `emit` with the step, the line and its pivot, for each window of at least two samples.
fn lines(
    s: Samples<'_>,
    windows: &Windows,
    (Scratch(older), work): (&mut Scratch, &mut Work),
    mut emit: impl FnMut(usize, Line, Point),
) -> Result<(), QueryError> {
    let points = |range: Range<usize>| {
        let points = s.timestamps[range.clone()].iter().zip(&s.values[range]);
        points.map(|(at, value)| Point { at: *at, value: *value })
    };
    fold::<Sums, _>(s, points, windows, (older, work), |f| {
        if f.hi - f.lo >= 2 {
            emit(f.step, f.fold.line(), f.pivot);
        }
        0
    })
}

/// A sample.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: TimestampMs,
    value: f64,
}

impl Fold for Sums {
    type Item = Point;
    const EMPTY: Self = Self { count: 0.0, x: Sum::ZERO, y: Sum::ZERO, xy: Sum::ZERO, xx: Sum::ZERO };

    #[inline]
    fn push(self, point: Point, pivot: Point) -> Self {
        let x = (point.at.as_ms() - pivot.at.as_ms()) as f64 / 1000.0;
        let y = point.value - pivot.value;
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
}

impl Sums {
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
