//! Functions that fold all samples of a window: sums, means, extremes, variances, and counts of
//! transitions; each in a number of steps that does not depend on how long the windows are.
//!
//! A sliding fold keeps two halves (the queue of two stacks): for each sample of the older half the
//! fold from it to the middle, and one fold from the middle on. A window is the one joined with the
//! other; when it has left the older half behind, the younger becomes the older. Nothing is ever
//! subtracted, so a window's result does not depend on samples outside of it.

use super::{Samples, slide};
use crate::exec::{
    kahan::{self, Sum},
    matrix::RowMut,
    work::{WORK_PER_CHECK, Work},
};
use crate::plan::{WindowFn, Windows};
use skopos_model::TimestampMs;
use skopos_storage::QueryError;
use std::ops::Range;

/// Memory of the folds.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    sums: Vec<Sum>,
    lowest: Vec<Min>,
    highest: Vec<Max>,
    when_lowest: Vec<Latest<false>>,
    when_highest: Vec<Latest<true>>,
    spreads: Vec<Spread>,
}

/// Windows that share no more than this many steps are folded one by one.
pub(super) const FEW_STEPS: i64 = 3;

/// Writes the fold of each window.
pub(super) fn over_time(
    function: WindowFn,
    s: Samples<'_>,
    windows: &Windows,
    (scratch, work): (&mut Scratch, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    let v = s.values;
    let values = |range: Range<usize>| v[range].iter().copied();
    match function {
        WindowFn::Sum => fold::<Sum, _>(s, values, windows, (&mut scratch.sums, work), |f| {
            out.set(f.step, f.fold.value());
            0
        }),
        WindowFn::Avg => fold::<Sum, _>(s, values, windows, (&mut scratch.sums, work), |f| {
            let (sum, samples) = (f.fold, f.lo..f.hi);
            let count = samples.len() as f64;
            let (mean, touched) = if sum.high.is_finite() {
                (sum.high / count + sum.low / count, 0)
            } else {
                (kahan::mean(v[samples.clone()].iter().copied()), samples.len())
            };
            out.set(f.step, mean);
            touched
        }),
        WindowFn::Min => fold::<Min, _>(s, values, windows, (&mut scratch.lowest, work), |f| {
            out.set(f.step, f.fold.0);
            0
        }),
        WindowFn::Max => fold::<Max, _>(s, values, windows, (&mut scratch.highest, work), |f| {
            out.set(f.step, f.fold.0);
            0
        }),
        WindowFn::Stdvar | WindowFn::Stddev => {
            let root = function == WindowFn::Stddev;
            fold::<Spread, _>(s, values, windows, (&mut scratch.spreads, work), |f| {
                let variance = f.fold.variance();
                out.set(f.step, if root { variance.sqrt() } else { variance });
                0
            })
        }
        _ => unreachable!("{function:?} is no fold"),
    }
}

/// Writes the time of the last sample of each window than which no other is lower, or higher.
pub(super) fn times_of_extremes(
    function: WindowFn,
    s: Samples<'_>,
    windows: &Windows,
    (scratch, work): (&mut Scratch, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    if function == WindowFn::TimeOfMin {
        latest(s, windows, (&mut scratch.when_lowest, work), out)
    } else {
        latest(s, windows, (&mut scratch.when_highest, work), out)
    }
}

fn latest<const HIGHEST: bool>(
    s: Samples<'_>,
    windows: &Windows,
    (older, work): (&mut Vec<Latest<HIGHEST>>, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    let items = |range: Range<usize>| {
        s.values[range.clone()].iter().copied().zip(s.timestamps[range].iter().copied())
    };
    fold::<Latest<HIGHEST>, _>(s, items, windows, (older, work), |f| {
        out.set(f.step, f.fold.at.as_secs_f64());
        0
    })
}

/// What the samples of a window are folded into.
pub(super) trait Fold: Copy {
    /// What is taken of a sample.
    type Item: Copy;
    /// Of no sample.
    const EMPTY: Self;
    /// With one more sample. `pivot` is that of some sample of the window, the same for all folds that are
    /// ever merged.
    fn push(self, x: Self::Item, pivot: Self::Item) -> Self;
    /// Of the samples of both.
    fn merge(self, other: Self) -> Self;
}

/// The fold of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folded<F: Fold> {
    pub step: usize,
    pub fold: F,
    /// The samples of the window are those from here …
    pub lo: usize,
    /// … to before here.
    pub hi: usize,
    pub pivot: F::Item,
}

/// Calls `emit` with the fold of each window; it says what it touched itself. `items` takes what is folded of
/// some of the samples.
pub(super) fn fold<F: Fold, I: DoubleEndedIterator<Item = F::Item>>(
    s: Samples<'_>,
    items: impl Fn(Range<usize>) -> I,
    windows: &Windows,
    (older, work): (&mut Vec<F>, &mut Work),
    mut emit: impl FnMut(Folded<F>) -> usize,
) -> Result<(), QueryError> {
    let item = |i: usize| items(i..i + 1).next().expect("invariant: the sample is one of those");
    if windows.range <= windows.step.saturating_mul(FEW_STEPS) {
        return slide(s.timestamps, windows, work, |work, step, lo, hi| {
            let (mut fold, pivot) = (F::EMPTY, item(lo));
            for start in (lo..hi).step_by(WORK_PER_CHECK) {
                let part = start..hi.min(start + WORK_PER_CHECK);
                work.spend(part.len())?;
                fold = items(part).fold(fold, |f, x| f.push(x, pivot));
            }
            work.spend(emit(Folded { step, fold, lo, hi, pivot }))
        });
    }
    // `older[i]` folds the samples from `middle - 1 - i` to the middle.
    let (mut middle, mut pivot) = (0, None);
    let (mut younger, mut younger_end) = (F::EMPTY, 0);
    slide(s.timestamps, windows, work, |work, step, lo, hi| {
        let pivot = match pivot {
            Some(pivot) if lo < middle => pivot,
            _ => {
                let new = item(hi - 1);
                (middle, pivot) = (hi, Some(new));
                (younger, younger_end) = (F::EMPTY, hi);
                older.clear();
                let mut all = F::EMPTY;
                for end in (lo..hi).rev().step_by(WORK_PER_CHECK) {
                    let part = lo.max((end + 1).saturating_sub(WORK_PER_CHECK))..end + 1;
                    work.spend(part.len())?;
                    older.extend(items(part).rev().map(|x| {
                        all = all.push(x, new);
                        all
                    }));
                }
                new
            }
        };
        younger = items(younger_end..hi).fold(younger, |f, x| f.push(x, pivot));
        younger_end = hi;
        let fold = older[middle - 1 - lo].merge(younger);
        work.spend(emit(Folded { step, fold, lo, hi, pivot }))
    })
}

impl Fold for Sum {
    type Item = f64;
    const EMPTY: Self = Self::ZERO;
    #[inline]
    fn push(self, v: f64, _: f64) -> Self {
        self.add(v)
    }
    #[inline]
    fn merge(self, other: Self) -> Self {
        Sum::merge(self, other)
    }
}

/// The lowest; not a number only when nothing else was seen.
#[derive(Clone, Copy, Debug)]
struct Min(f64);

impl Fold for Min {
    type Item = f64;
    const EMPTY: Self = Self(f64::NAN);
    #[inline]
    fn push(self, v: f64, _: f64) -> Self {
        if v < self.0 || self.0.is_nan() { Self(v) } else { self }
    }
    #[inline]
    fn merge(self, other: Self) -> Self {
        self.push(other.0, 0.0)
    }
}

/// The highest; not a number only when nothing else was seen.
#[derive(Clone, Copy, Debug)]
struct Max(f64);

impl Fold for Max {
    type Item = f64;
    const EMPTY: Self = Self(f64::NAN);
    #[inline]
    fn push(self, v: f64, _: f64) -> Self {
        if v > self.0 || self.0.is_nan() { Self(v) } else { self }
    }
    #[inline]
    fn merge(self, other: Self) -> Self {
        self.push(other.0, 0.0)
    }
}

/// When the highest was seen last, or the lowest. Of samples that are no numbers the last one counts, but
/// any number before them. It does not matter in which order samples come.
#[derive(Clone, Copy, Debug)]
struct Latest<const HIGHEST: bool> {
    value: f64,
    at: TimestampMs,
}

impl<const HIGHEST: bool> Fold for Latest<HIGHEST> {
    type Item = (f64, TimestampMs);
    const EMPTY: Self = Self { value: f64::NAN, at: TimestampMs::MIN };
    #[inline]
    fn push(self, (value, at): Self::Item, _: Self::Item) -> Self {
        let is_beyond = if HIGHEST { value > self.value } else { value < self.value };
        let replaces = if self.value.is_nan() {
            !value.is_nan() || at > self.at
        } else {
            is_beyond || (value == self.value && at > self.at)
        };
        if replaces { Self { value, at } } else { self }
    }
    #[inline]
    fn merge(self, other: Self) -> Self {
        let item = (other.value, other.at);
        self.push(item, item)
    }
}

/// The sums of distances from the pivot and of their squares. The pivot is one of the values, so the
/// distances are not much larger than the spread and little is lost in the difference of the two.
#[derive(Clone, Copy, Debug)]
struct Spread {
    count: f64,
    distances: Sum,
    squares: Sum,
}

impl Fold for Spread {
    type Item = f64;
    const EMPTY: Self = Self { count: 0.0, distances: Sum::ZERO, squares: Sum::ZERO };
    #[inline]
    fn push(self, v: f64, pivot: f64) -> Self {
        let d = v - pivot;
        Self { count: self.count + 1.0, distances: self.distances.add(d), squares: self.squares.add(d * d) }
    }
    #[inline]
    fn merge(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            distances: self.distances.merge(other.distances),
            squares: self.squares.merge(other.squares),
        }
    }
}

impl Spread {
    fn variance(self) -> f64 {
        let sum = self.distances.value();
        let variance = (self.squares.value() - sum * sum / self.count) / self.count;
        // Rounding alone can bring it below zero; what is no number stays none.
        if variance < 0.0 { 0.0 } else { variance }
    }
}

/// Writes how often the value changed, or fell, within each window.
pub(super) fn transitions(
    function: WindowFn,
    s: Samples<'_>,
    windows: &Windows,
    (counts, work): (&mut Vec<u32>, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    count_transitions(function, s, counts);
    work.spend(counts.len())?;
    slide(s.timestamps, windows, work, |_, k, lo, hi| {
        out.set(k, f64::from(counts[hi - 1] - counts[lo]));
        Ok(())
    })
}

/// Makes `counts[i]` the number of transitions up to sample `i`, so that a window's is a difference.
pub(super) fn count_transitions(function: WindowFn, s: Samples<'_>, counts: &mut Vec<u32>) {
    let mut total = 0;
    counts.clear();
    counts.extend(s.values.iter().enumerate().map(|(i, v)| {
        let before = if i == 0 { *v } else { s.values[i - 1] };
        let hit = match function {
            WindowFn::Changes => *v != before && !(v.is_nan() && before.is_nan()),
            _ => *v < before || i > 0 && s.starts.is_reset(i, s.timestamps),
        };
        total += u32::from(hit);
        total
    }));
}
