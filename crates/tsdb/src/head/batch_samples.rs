//! `BatchSamples`: the samples of a batch in their turns, and where each series that has several has
//! its newest. Finds a series' place in the batch without looking at the others. Never decides whether a
//! sample is taken.

use super::{
    histograms::{is_stale, owned, same},
    series::{HistogramRef, MemSeries, Place, SeriesIndex},
    turn::Turn,
};
use skopos_model::{Sample, TimestampMs, is_stale_nan};
use skopos_storage::AppendError;
use std::collections::HashMap;

/// How the limit is named to an operator; there is no flag.
const TURNS_LIMIT: &str = "max-batch-turns (tsdb)";
/// The most turns of a batch. A series needs another one whenever it has a histogram behind a sample of
/// another kind; all series share them.
const MAX_TURNS: usize = 1024;

/// See above.
#[derive(Default)]
pub(super) struct BatchSamples {
    pub(super) first: Turn,
    /// The turns behind the first; mostly none.
    pub(super) later: Vec<Turn>,
    /// How many floats those have.
    later_floats: usize,
    /// About how many bytes all histograms take.
    histogram_bytes: usize,
    /// What the batch has of every series; only there once that cannot be told without.
    of_series: Option<HashMap<SeriesIndex, OfSeries>>,
}

/// What a batch has of a series.
#[derive(Clone, Copy, Default)]
struct OfSeries {
    /// The number of the last turn that has anything of it, …
    turn: usize,
    /// … and what the last of it there is.
    last: Last,
    /// The newest of its samples in order.
    newest: Option<Newest>,
}

/// The last sample that a turn has of a series.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Nothing,
    /// One that stands in a record of this kind.
    Histogram(u8),
    Float,
}

impl Last {
    /// Whether a histogram of this kind may stand behind it in the same turn: there the order of the records
    /// counts, which is not that in which samples of several kinds were accepted.
    fn goes_before(self, kind: u8) -> bool {
        matches!(self, Self::Nothing) || self == Self::Histogram(kind)
    }
}

#[derive(Clone, Copy)]
struct Newest {
    timestamp: TimestampMs,
    value: NewestValue,
}

#[derive(Clone, Copy)]
enum NewestValue {
    Float(f64),
    /// Which one it is of a turn.
    Histogram {
        turn: usize,
        at: usize,
    },
}

/// How a sample stands to the others of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The batch has no other one, as far as one knows.
    First,
    /// Behind all others.
    Newest,
    /// Before some.
    Late,
}

impl BatchSamples {
    pub(super) fn clear(&mut self) {
        self.first.clear();
        self.later.clear();
        (self.later_floats, self.histogram_bytes) = (0, 0);
        self.of_series = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns().all(Turn::is_empty)
    }

    /// All turns in order.
    pub(super) fn turns(&self) -> impl Iterator<Item = &Turn> {
        [&self.first].into_iter().chain(&self.later)
    }

    /// How many floats there are.
    #[inline]
    pub(super) fn floats(&self) -> usize {
        self.first.len() + self.later_floats
    }

    /// About how many bytes all histograms take.
    pub(super) fn histogram_bytes(&self) -> usize {
        self.histogram_bytes
    }

    /// Where a float would stand among what the batch has of its series.
    #[cold]
    pub(super) fn place(&mut self, series: SeriesIndex, sample: Sample) -> Place {
        // Samples of one series mostly follow one another.
        let following = if self.of_series.is_none() { self.first.last_float(series) } else { None };
        let newest = match following {
            Some(Sample { timestamp, value }) => Some(Newest { timestamp, value: NewestValue::Float(value) }),
            None => self.of_series().get(&series).and_then(|of| of.newest),
        };
        self.place_behind(newest, sample.timestamp, |this, newest| match newest {
            NewestValue::Float(value) => value.to_bits() == sample.value.to_bits(),
            NewestValue::Histogram { turn, at } => {
                is_stale_nan(sample.value) && this.histogram(turn, at).is_some_and(is_stale)
            }
        })
    }

    /// The same for a histogram.
    #[cold]
    pub(super) fn place_of_histogram(
        &mut self,
        series: SeriesIndex,
        timestamp: TimestampMs,
        value: HistogramRef<'_>,
    ) -> Place {
        let newest = self.of_series().get(&series).and_then(|of| of.newest);
        self.place_behind(newest, timestamp, |this, newest| match newest {
            NewestValue::Float(float) => is_stale_nan(float) && is_stale(value),
            NewestValue::Histogram { turn, at } => this.histogram(turn, at).is_some_and(|h| same(h, value)),
        })
    }

    fn place_behind(
        &self,
        newest: Option<Newest>,
        timestamp: TimestampMs,
        is_same: impl FnOnce(&Self, NewestValue) -> bool,
    ) -> Place {
        match newest {
            Some(newest) if timestamp < newest.timestamp => Place::Before(newest.timestamp),
            Some(newest) if timestamp == newest.timestamp => {
                if is_same(self, newest.value) {
                    Place::Same
                } else {
                    Place::Conflict
                }
            }
            _ => Place::Behind,
        }
    }

    fn histogram(&self, turn: usize, at: usize) -> Option<HistogramRef<'_>> {
        self.turn(turn)?.histograms.value(at)
    }

    fn turn(&self, turn: usize) -> Option<&Turn> {
        turn.checked_sub(1).map_or(Some(&self.first), |later| self.later.get(later))
    }

    fn turn_mut(&mut self, turn: usize) -> &mut Turn {
        match turn.checked_sub(1) {
            None => &mut self.first,
            Some(later) => &mut self.later[later],
        }
    }

    /// What the batch has of each series. Before there is the map there is one turn, all in order, and no
    /// series of it has samples of two kinds: a sample of a series that the batch may have asks for the map,
    /// but for a float behind the last one.
    fn of_series(&mut self) -> &mut HashMap<SeriesIndex, OfSeries> {
        let first = &self.first;
        self.of_series.get_or_insert_with(|| {
            let floats = first.each_float().map(|(series, Sample { timestamp, value })| {
                let newest = Some(Newest { timestamp, value: NewestValue::Float(value) });
                (series, OfSeries { turn: 0, last: Last::Float, newest })
            });
            let histograms = first.histograms.each().enumerate().map(|(at, (series, timestamp, kind))| {
                let newest = Some(Newest { timestamp, value: NewestValue::Histogram { turn: 0, at } });
                (series, OfSeries { turn: 0, last: Last::Histogram(kind), newest })
            });
            floats.chain(histograms).collect()
        })
    }

    /// Adds a float that is behind all of its series, as `place` has found.
    #[inline]
    pub(super) fn push(&mut self, series: &MemSeries, timestamp_ms: i64, value: f64) {
        if self.of_series.is_none() {
            self.first.push(series, timestamp_ms, value);
        } else {
            self.push_known(
                series,
                Sample { timestamp: TimestampMs::new(timestamp_ms), value },
                Order::Newest,
            );
        }
    }

    /// Adds a float where `of_series` has to know of it.
    #[cold]
    pub(super) fn push_known(&mut self, series: &MemSeries, sample: Sample, order: Order) {
        let Sample { timestamp, value } = sample;
        let of = self.of_series().entry(series.index).or_default();
        // Floats come behind the histograms of their turn.
        of.last = Last::Float;
        if order != Order::Late {
            of.newest = Some(Newest { timestamp, value: NewestValue::Float(value) });
        }
        let turn = of.turn;
        self.later_floats += usize::from(turn > 0);
        self.turn_mut(turn).push(series, timestamp.as_ms(), value);
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// When its series changes too often between kinds of samples.
    pub(super) fn push_histogram(
        &mut self,
        series: &MemSeries,
        timestamp: TimestampMs,
        value: HistogramRef<'_>,
        order: Order,
    ) -> Result<(), AppendError> {
        let value = owned(value);
        if self.of_series.is_none() && order == Order::First {
            let before = self.first.histograms.bytes();
            self.first.histograms.push(series, timestamp, value);
            self.histogram_bytes += self.first.histograms.bytes() - before;
            return Ok(());
        }
        let of = self.of_series().entry(series.index).or_default();
        let kind = value.record_kind();
        let turn = of.turn + usize::from(!of.last.goes_before(kind));
        if turn >= MAX_TURNS {
            return Err(AppendError::Limit { limit: TURNS_LIMIT, max: MAX_TURNS as u64 });
        }
        (of.turn, of.last) = (turn, Last::Histogram(kind));
        if turn > self.later.len() {
            self.later.push(Turn::default());
        }
        let histograms = &mut self.turn_mut(turn).histograms;
        let (at, before) = (histograms.len(), histograms.bytes());
        histograms.push(series, timestamp, value);
        let bytes = histograms.bytes() - before;
        self.histogram_bytes += bytes;
        if order != Order::Late
            && let Some(of) = self.of_series().get_mut(&series.index)
        {
            of.newest = Some(Newest { timestamp, value: NewestValue::Histogram { turn, at } });
        }
        Ok(())
    }
}
