//! How samples are asked for.

use crate::{QueryBudget, QueryError, SeriesSet};
use skopos_model::{DurationMs, Labels, Matcher, TimestampMs};
use std::sync::Arc;

/// Both ends belong to the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The earliest time.
    pub min: TimestampMs,
    /// The latest time.
    pub max: TimestampMs,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { min: TimestampMs::MIN, max: TimestampMs::MAX };

    /// One moment.
    pub const fn at(time: TimestampMs) -> Self {
        Self { min: time, max: time }
    }

    /// The shortest range that has both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// Even windows of time, in milliseconds: that of number `k` ends at `first_end + k × step`, which belongs to
/// it, and is `len` long; its beginning does not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvenWindows {
    /// The end of the first one.
    pub first_end: i64,
    /// From one end to the next; above 0.
    pub step: i64,
    /// How many there are.
    pub count: u64,
    /// How long each is; above 0.
    pub len: i64,
}

impl EvenWindows {
    /// Whether every range of this length has times in a window, or lies beside them all.
    pub fn reach_into_each(&self, length: DurationMs) -> bool {
        length.as_ms() >= self.step.saturating_sub(self.len)
    }

    /// The shortest part of `range` that has all times of it which lie in a window; none where none does.
    pub fn within(&self, range: TimeRange) -> Option<TimeRange> {
        // Times of this era leave room for any sum of four, and a division of wide numbers costs ten of
        // others.
        const SMALL: std::ops::Range<i64> = -(1 << 60)..1 << 60;
        let (min, max) = (range.min.as_ms(), range.max.as_ms());
        let (first_end, step, len) = (self.first_end, self.step, self.len);
        let last = self.count.saturating_sub(1);
        if min > max || self.count == 0 {
            return None;
        }
        let all_small = [min, max, first_end, step, len].iter().all(|n| SMALL.contains(n));
        let (begin, end) = if all_small {
            // The first window that does not end before the range, and the last that has begun at its end.
            let from = (min - first_end + step - 1).div_euclid(step).max(0);
            let to =
                (max + len - 1 - first_end).div_euclid(step).min(i64::try_from(last).unwrap_or(i64::MAX));
            if from > to {
                return None;
            }
            (min.max(first_end + from * step - len + 1), max.min(first_end + to * step))
        } else {
            let [wide_min, wide_max, first_end, step, len] = [min, max, first_end, step, len].map(i128::from);
            let from = (wide_min - first_end + step - 1).div_euclid(step).max(0);
            let to = (wide_max + len - 1 - first_end).div_euclid(step).min(i128::from(last));
            if from > to {
                return None;
            }
            let (begin, end) = (first_end + from * step - len + 1, first_end + to * step);
            let time = |t: i128| i64::try_from(t).ok();
            (time(wide_min.max(begin))?, time(wide_max.min(end))?)
        };
        Some(TimeRange { min: TimestampMs::new(begin), max: TimestampMs::new(end) })
    }
}

/// A storage that can be asked.
pub trait Queryable: Send + Sync {
    /// A view of `range`. It sees every batch committed before the call, and each either whole or
    /// not at all, however long it lives.
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, QueryError>;

    /// No sample is older that was committed before the call, nor is any missing; none where that is not
    /// known.
    fn min_time(&self) -> Option<TimestampMs> {
        None
    }
}

/// A view of one time range. It may be asked by several threads at once.
pub trait Querier: Send + Sync {
    /// The series that fulfil all matchers, with their samples of the view's range that lie in the
    /// request's range too. A series without a sample there may come with none or be left out.
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError>;

    /// The labels alone of the series that `select` would hand out and that may have samples.
    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError>;

    /// The names of all labels of the matching series, sorted.
    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError>;

    /// The values of the label `name` of the matching series, sorted.
    fn label_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError>;
}

/// Which samples are wanted.
#[derive(Clone, Debug)]
pub struct SelectRequest<'a> {
    /// Conditions, all of which must hold.
    pub matchers: &'a [Matcher],
    /// Of which time.
    pub range: TimeRange,
    /// Only a part of the series, for parallel work.
    pub shard: Shard,
    /// What the query may still use.
    pub budget: Arc<QueryBudget>,
}

/// Part `index` of `count` parts of all series, split by a hash of the labels: every series is in
/// exactly one part, the same in every storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Part `index` of `count`; none unless `index < count`.
    pub const fn new(index: u32, count: u32) -> Option<Self> {
        if index < count { Some(Self { index, count }) } else { None }
    }

    /// Whether a series of these labels is in this part.
    pub fn contains(self, labels: &Labels) -> bool {
        self.count == 1 || self.contains_hash(labels.hash64())
    }

    /// The same of the labels whose `hash64` is given.
    pub fn contains_hash(self, hash: u64) -> bool {
        hash % u64::from(self.count) == u64::from(self.index)
    }
}

/// Which labels are wanted.
#[derive(Clone, Debug)]
pub struct LabelRequest<'a> {
    /// Conditions, all of which must hold; none means all series.
    pub matchers: &'a [Matcher],
    /// The most results to hand out; the first in order are taken. Zero means the budget's own limit.
    pub limit: usize,
    /// What the request may still use.
    pub budget: Arc<QueryBudget>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_what_lies_in_windows() {
        let time = TimestampMs::new;
        for (first_end, step, count, len) in
            [(10, 7, 3, 2), (0, 5, 1, 4), (-20, 10, 6, 1), (3, 4, 9, 4), (5, 3, 4, 8)]
        {
            let windows = EvenWindows { first_end, step, count, len };
            let is_in = |t: i64| {
                (0..count as i64).map(|k| first_end + k * step).any(|e| (e - len..e).contains(&(t - 1)))
            };
            for min in -35..45 {
                for max in min - 1..47 {
                    let times: Vec<i64> = (min..=max).filter(|t| is_in(*t)).collect();
                    let expected = times.first().zip(times.last());
                    let expected = expected.map(|(a, b)| TimeRange { min: time(*a), max: time(*b) });
                    let got = windows.within(TimeRange { min: time(min), max: time(max) });
                    assert_eq!(got, expected, "{windows:?} of {min} to {max}");
                }
            }
        }
        let ends = |w: EvenWindows| w.within(TimeRange::ALL).map(|r| (r.min.as_ms(), r.max.as_ms()));
        let widest = EvenWindows { first_end: i64::MAX, step: i64::MAX, count: u64::MAX, len: i64::MAX };
        assert_eq!(ends(widest), Some((1, i64::MAX)));
        assert_eq!(
            ends(EvenWindows { first_end: i64::MIN, len: 1, ..widest }),
            Some((i64::MIN, i64::MAX - 1))
        );
    }
}
