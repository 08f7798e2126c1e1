//! `Intervals`: spans of time that are deleted from one series, in the head or in a block. Sorted, none
//! touching another; both ends of an interval belong to it. Knows no series and no file.

use skopos_model::TimestampMs;
use skopos_storage::TimeRange;

/// One span of time; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The first deleted time.
    pub min_ms: i64,
    /// The last deleted time, not before `min_ms`.
    pub max_ms: i64,
}

impl Interval {
    /// The span from `min_ms` to `max_ms`; none when it is empty.
    pub fn new(min_ms: i64, max_ms: i64) -> Option<Self> {
        (min_ms <= max_ms).then_some(Self { min_ms, max_ms })
    }

    /// Whether `timestamp_ms` lies inside.
    #[inline]
    pub fn contains(self, timestamp_ms: i64) -> bool {
        self.min_ms <= timestamp_ms && timestamp_ms <= self.max_ms
    }
}

/// Deleted spans of one series: sorted, and with at least one time between two of them that is not deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Interval>);

impl Intervals {
    /// Adds a span; those that it overlaps or touches become one with it.
    pub fn add(&mut self, added: Interval) {
        // Touching counts too: nothing lies between 5 and 6. At the ends of all time nothing is beyond.
        let from = self.0.partition_point(|i| i.max_ms.saturating_add(1) < added.min_ms);
        let to = self.0.partition_point(|i| i.min_ms <= added.max_ms.saturating_add(1));
        let mut whole = added;
        if let Some([first, .., last] | [first @ last]) = self.0.get(from..to) {
            whole.min_ms = whole.min_ms.min(first.min_ms);
            whole.max_ms = whole.max_ms.max(last.max_ms);
        }
        self.0.splice(from..to.max(from), [whole]);
    }

    /// Adds every span of `others`.
    pub fn extend(&mut self, others: &Self) {
        others.0.iter().for_each(|i| self.add(*i));
    }

    /// The spans, sorted.
    pub fn as_slice(&self) -> &[Interval] {
        &self.0
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `timestamp_ms` is deleted.
    pub fn contains(&self, timestamp_ms: i64) -> bool {
        let next = self.0.partition_point(|i| i.max_ms < timestamp_ms);
        self.0.get(next).is_some_and(|i| i.contains(timestamp_ms))
    }

    /// Whether every time from `min_ms` to `max_ms` is deleted.
    pub fn covers(&self, min_ms: i64, max_ms: i64) -> bool {
        let next = self.0.partition_point(|i| i.max_ms < min_ms);
        self.0.get(next).is_some_and(|i| i.min_ms <= min_ms && max_ms <= i.max_ms)
    }

    /// Whether some time from `min_ms` to `max_ms` is deleted.
    pub fn overlaps(&self, min_ms: i64, max_ms: i64) -> bool {
        let next = self.0.partition_point(|i| i.max_ms < min_ms);
        self.0.get(next).is_some_and(|i| i.min_ms <= max_ms)
    }

    /// Forgets what is deleted before `min_ms`.
    pub fn forget_before(&mut self, min_ms: i64) {
        let gone = self.0.partition_point(|i| i.max_ms < min_ms);
        self.0.drain(..gone);
        if let Some(first) = self.0.first_mut() {
            first.min_ms = first.min_ms.max(min_ms);
        }
    }

    /// The parts of `range` that are not deleted, in order.
    pub fn kept_in(&self, range: TimeRange) -> Vec<TimeRange> {
        let (from, to) = (range.min.as_ms(), range.max.as_ms());
        let mut parts = Vec::new();
        let mut next = Some(from);
        let first = self.0.partition_point(|gone| gone.max_ms < from);
        for gone in self.0[first..].iter().take_while(|gone| gone.min_ms <= to) {
            if let Some(min) = next.filter(|min| *min < gone.min_ms) {
                parts.push((min, gone.min_ms - 1));
            }
            next = gone.max_ms.checked_add(1);
        }
        parts.extend(next.filter(|min| *min <= to).map(|min| (min, to)));
        let range = |(min, max)| TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) };
        parts.into_iter().map(range).collect()
    }
}

impl FromIterator<Interval> for Intervals {
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        let mut all = Self::default();
        intervals.into_iter().for_each(|i| all.add(i));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(spans: &[(i64, i64)]) -> Intervals {
        spans.iter().map(|(min, max)| Interval::new(*min, *max).unwrap()).collect()
    }

    fn spans(intervals: &Intervals) -> Vec<(i64, i64)> {
        intervals.as_slice().iter().map(|i| (i.min_ms, i.max_ms)).collect()
    }

    #[test]
    fn spans_that_overlap_or_touch_become_one() {
        for (added, expected) in [
            (vec![(1, 2), (5, 6)], vec![(1, 2), (5, 6)]),
            (vec![(5, 6), (1, 2)], vec![(1, 2), (5, 6)]),
            (vec![(1, 4), (5, 6)], vec![(1, 6)]),
            (vec![(5, 6), (1, 4)], vec![(1, 6)]),
            (vec![(1, 2), (4, 5), (7, 8), (2, 7)], vec![(1, 8)]),
            (vec![(1, 9), (3, 4)], vec![(1, 9)]),
            (vec![(1, 2), (9, 9), (4, 6)], vec![(1, 2), (4, 6), (9, 9)]),
            (vec![(i64::MIN, 0), (5, i64::MAX), (1, 3)], vec![(i64::MIN, 3), (5, i64::MAX)]),
            (vec![(i64::MIN, i64::MAX), (i64::MAX, i64::MAX)], vec![(i64::MIN, i64::MAX)]),
        ] {
            assert_eq!(spans(&of(&added)), expected, "{added:?}");
        }
        assert_eq!(Interval::new(2, 1), None);
    }

    #[test]
    fn what_is_before_the_oldest_sample_is_forgotten() {
        let mut all = of(&[(1, 3), (5, 8), (20, 30)]);
        all.forget_before(8);
        assert_eq!(spans(&all), [(8, 8), (20, 30)]);
        all.forget_before(31);
        assert!(all.is_empty());
    }

    proptest! {
        /// Against the plain set of deleted times.
        #[test]
        fn agrees_with_a_set_of_times(
            added in prop::collection::vec((0i64..60, 0i64..12), 0..12),
            (from, len) in (0i64..70, 0i64..12),
        ) {
            let added: Vec<_> = added.iter().map(|(min, len)| (*min, min + len)).collect();
            let all = of(&added);
            let deleted = |t: i64| added.iter().any(|(min, max)| (*min..=*max).contains(&t));
            prop_assert!(all.as_slice().windows(2).all(|w| w[0].max_ms + 1 < w[1].min_ms));
            for t in -2..80 {
                prop_assert_eq!(all.contains(t), deleted(t));
            }
            prop_assert_eq!(all.covers(from, from + len), (from..=from + len).all(deleted));
            prop_assert_eq!(all.overlaps(from, from + len), (from..=from + len).any(deleted));
            let range = TimeRange { min: TimestampMs::new(from), max: TimestampMs::new(from + len) };
            let kept = all.kept_in(range);
            prop_assert!(kept.windows(2).all(|w| w[0].max.as_ms() + 1 < w[1].min.as_ms()));
            let kept = kept.iter().flat_map(|r| r.min.as_ms()..=r.max.as_ms());
            let expected: Vec<i64> = (from..=from + len).filter(|t| !deleted(*t)).collect();
            prop_assert_eq!(kept.collect::<Vec<_>>(), expected);
        }
    }
}
