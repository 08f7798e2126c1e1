//! `Exemplars`: the newest exemplars of all series in a ring of fixed size: one more takes the place of the
//! oldest of all. Those of one series grow in time. Knows no WAL; never decides which series there are.

use super::{Head, series::SeriesIndex, series_labels::SeriesLabels};
use crate::wal::record::WalExemplar;
use skopos_base::sync::Mutex;
use skopos_model::{Exemplar, Labels, Matcher, TimestampMs};
use skopos_storage::{QueryBudget, QueryError, TimeRange};
use std::collections::{BTreeMap, HashMap};

/// Characters of names and values together, as OpenMetrics bounds them.
const MAX_LABEL_CHARS: usize = 128;
/// Series looked at before the table is let go.
const STRIDE: usize = 256;

/// An exemplar with a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timed {
    pub(crate) timestamp_ms: i64,
    pub(crate) value: f64,
    pub(crate) labels: Labels,
}

impl From<WalExemplar> for Timed {
    fn from(e: WalExemplar) -> Self {
        Self { timestamp_ms: e.timestamp_ms, value: e.value, labels: e.labels }
    }
}

/// What becomes of an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is newer than all of its series.
    New,
    /// It is the newest one of its series already.
    Same,
    /// Its series has a newer one.
    OutOfOrder,
    /// Its labels are longer than an exemplar's may be.
    TooLong,
}

/// See above.
#[derive(Debug)]
pub(crate) struct Exemplars(Mutex<Ring>);

#[derive(Debug)]
struct Ring {
    max: usize,
    /// The oldest is at `next` once the ring is full.
    slots: Vec<Slot>,
    next: usize,
    by_series: HashMap<SeriesIndex, Ends>,
}

#[derive(Debug)]
struct Slot {
    series: SeriesIndex,
    exemplar: Timed,
    /// The next newer one of the series.
    newer: Option<u32>,
}

/// The first and the last slot of a series.
#[derive(Clone, Copy, Debug)]
struct Ends {
    oldest: u32,
    newest: u32,
}

impl Exemplars {
    /// A ring for at most `max`; none are kept when that is zero.
    pub(crate) fn new(max: u32) -> Self {
        Self(Mutex::new(Ring { max: max as usize, slots: Vec::new(), next: 0, by_series: HashMap::new() }))
    }

    /// What would become of an exemplar.
    pub(crate) fn check(&self, series: SeriesIndex, exemplar: &Timed) -> Verdict {
        self.0.lock().check(series, exemplar)
    }

    /// Whether it is the newest one of its series, its time apart: a target repeats one that has no time of
    /// its own from scrape to scrape.
    pub(crate) fn is_newest(&self, series: SeriesIndex, exemplar: &Exemplar) -> bool {
        let ring = self.0.lock();
        let newest = ring.by_series.get(&series).map(|ends| &ring.slots[ends.newest as usize].exemplar);
        newest.is_some_and(|newest| {
            newest.value.to_bits() == exemplar.value.to_bits() && newest.labels == exemplar.labels
        })
    }

    /// Adds an exemplar where it is new.
    pub(crate) fn add(&self, series: SeriesIndex, exemplar: Timed) -> Verdict {
        let mut ring = self.0.lock();
        let verdict = ring.check(series, &exemplar);
        if verdict == Verdict::New {
            ring.push(series, exemplar);
        }
        verdict
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().slots.len()
    }

    /// All, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<(SeriesIndex, Timed)> {
        let ring = self.0.lock();
        let (newer, older) = ring.slots.split_at(ring.next.min(ring.slots.len()));
        older.iter().chain(newer).map(|slot| (slot.series, slot.exemplar.clone())).collect()
    }

    fn series(&self) -> Vec<SeriesIndex> {
        self.0.lock().by_series.keys().copied().collect()
    }

    fn of(&self, series: SeriesIndex, range: TimeRange) -> Vec<Timed> {
        let ring = self.0.lock();
        let mut out = Vec::new();
        let mut at = ring.by_series.get(&series).map(|ends| ends.oldest);
        while let Some(slot) = at.map(|at| &ring.slots[at as usize]) {
            if (range.min.as_ms()..=range.max.as_ms()).contains(&slot.exemplar.timestamp_ms) {
                out.push(slot.exemplar.clone());
            }
            at = slot.newer;
        }
        out
    }
}

impl Ring {
    fn check(&self, series: SeriesIndex, exemplar: &Timed) -> Verdict {
        let chars = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
        if exemplar.labels.iter().map(chars).sum::<usize>() > MAX_LABEL_CHARS {
            return Verdict::TooLong;
        }
        let Some(ends) = self.by_series.get(&series) else { return Verdict::New };
        let newest = &self.slots[ends.newest as usize].exemplar;
        let same_value = newest.value.to_bits() == exemplar.value.to_bits();
        if newest.timestamp_ms == exemplar.timestamp_ms && same_value && newest.labels == exemplar.labels {
            Verdict::Same
        } else if exemplar.timestamp_ms <= newest.timestamp_ms {
            Verdict::OutOfOrder
        } else {
            Verdict::New
        }
    }

    fn push(&mut self, series: SeriesIndex, exemplar: Timed) {
        if self.max == 0 {
            return;
        }
        let at = self.next;
        self.next = (at + 1) % self.max;
        if let Some(gone) = self.slots.get(at) {
            // The oldest of all is the oldest of its series.
            match (gone.newer, self.by_series.get_mut(&gone.series)) {
                (Some(newer), Some(ends)) => ends.oldest = newer,
                _ => {
                    self.by_series.remove(&gone.series);
                }
            }
        }
        let slot = Slot { series, exemplar, newer: None };
        match self.slots.get_mut(at) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
        let here = at as u32;
        let ends = self.by_series.entry(series).or_insert(Ends { oldest: here, newest: here });
        if ends.newest != here {
            self.slots[ends.newest as usize].newer = Some(here);
            ends.newest = here;
        }
    }
}

impl Head {
    /// The exemplars of `range` of the series that fulfil all matchers of any set, by series in the order of
    /// their labels, each series' in the order of time.
    pub(crate) fn select_exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
        budget: &QueryBudget,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>, QueryError> {
        let fulfils = |labels: &SeriesLabels| {
            sets.iter().any(|set| set.iter().all(|m| m.matches(labels.value(m.name()))))
        };
        let mut found: BTreeMap<Labels, SeriesIndex> = BTreeMap::new();
        for part in self.exemplars.series().chunks(STRIDE) {
            budget.check()?;
            let table = self.registry.table();
            let series = part.iter().filter_map(|index| table.get(*index)).filter(|s| fulfils(&s.labels));
            found.extend(series.map(|s| (s.labels.to_labels(), s.index)));
        }
        budget.charge_series(found.len() as u64)?;
        let mut out = Vec::new();
        for (labels, index) in found {
            let all = self.exemplars.of(index, range);
            budget.charge_samples(all.len() as u64)?;
            let exemplar = |e: Timed| Exemplar {
                labels: e.labels,
                value: e.value,
                timestamp: Some(TimestampMs::new(e.timestamp_ms)),
            };
            if !all.is_empty() {
                out.push((labels, all.into_iter().map(exemplar).collect()));
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn exemplar(timestamp_ms: i64, value: f64) -> Timed {
        Timed { timestamp_ms, value, labels: Labels::from_pairs([("trace_id", "x")]) }
    }

    fn long(chars: usize, timestamp_ms: i64) -> Timed {
        Timed { labels: Labels::from_pairs([("a", "ü".repeat(chars))]), ..exemplar(timestamp_ms, 1.0) }
    }

    #[test]
    fn repetitions_and_what_is_older_or_too_long_are_not_kept() {
        let exemplars = Exemplars::new(10);
        let series = SeriesIndex(1);
        assert_eq!(exemplars.add(series, exemplar(5, 1.0)), Verdict::New);
        for (other, verdict) in [
            (exemplar(5, 1.0), Verdict::Same),
            (exemplar(5, 2.0), Verdict::OutOfOrder),
            (exemplar(4, 1.0), Verdict::OutOfOrder),
            (long(127, 6), Verdict::New),
            (long(128, 7), Verdict::TooLong),
        ] {
            assert_eq!((exemplars.check(series, &other), exemplars.add(series, other)), (verdict, verdict));
        }
        assert_eq!(exemplars.len(), 2);
        let newest = long(127, 6);
        let untimed = |value| Exemplar { labels: newest.labels.clone(), value, timestamp: None };
        assert!(exemplars.is_newest(series, &untimed(1.0)) && !exemplars.is_newest(series, &untimed(2.0)));
        assert!(!exemplars.is_newest(SeriesIndex(2), &untimed(1.0)));
        let none = Exemplars::new(0);
        none.add(series, exemplar(1, 1.0));
        assert_eq!(none.len(), 0);
    }

    proptest! {
        /// Against a plain queue of all exemplars.
        #[test]
        fn the_ring_keeps_the_newest_of_all(max in 1u32..12, added in prop::collection::vec(0u32..4, 0..80)) {
            let ring = Exemplars::new(max);
            let mut expected: VecDeque<(u32, i64)> = VecDeque::new();
            for (t, series) in (0..).zip(added) {
                ring.add(SeriesIndex(series), exemplar(t, 0.0));
                expected.push_back((series, t));
                if expected.len() > max as usize {
                    expected.pop_front();
                }
                for series in 0..4 {
                    let got = ring.of(SeriesIndex(series), TimeRange::ALL);
                    let times: Vec<i64> = got.iter().map(|e| e.timestamp_ms).collect();
                    let of_series = expected.iter().filter(|(s, _)| *s == series).map(|(_, t)| *t);
                    prop_assert_eq!(times, of_series.collect::<Vec<_>>());
                }
                prop_assert_eq!(ring.len(), expected.len());
            }
        }
    }
}
