//! `MemoryStorage`: series in plain columns behind the storage's seam, and `StillClock`. For tests and
//! benches; never writes a file, never starts a thread.

use skopos_base::clock::Clock;
use skopos_model::{Columns, FloatHistogram, Labels, TimestampMs};
use skopos_storage::{
    EvenWindows, LabelRequest, Parting, Querier, QueryBudget, QueryError, QueryLimits, Queryable,
    SelectRequest, SeriesBatch, SeriesSet, TimeRange,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// A clock whose time never moves.
#[derive(Debug)]
pub(crate) struct StillClock;

impl Clock for StillClock {
    fn wall_ms(&self) -> i64 {
        0
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, _: Duration) {}
}

/// A budget of the default limits.
pub(crate) fn budget() -> Arc<QueryBudget> {
    QueryBudget::new(QueryLimits::default(), Arc::new(StillClock))
}

/// What a series may have at one time.
pub(crate) trait Sample {
    /// Puts itself behind the others.
    fn push_to(&self, columns: &mut Columns, timestamp: TimestampMs);
}

impl Sample for f64 {
    fn push_to(&self, columns: &mut Columns, timestamp: TimestampMs) {
        columns.push_float(timestamp, *self);
    }
}

impl Sample for FloatHistogram {
    fn push_to(&self, columns: &mut Columns, timestamp: TimestampMs) {
        columns.push_histogram(timestamp, self);
    }
}

/// Samples of one series that are not all of one kind.
impl Sample for Box<dyn Sample> {
    fn push_to(&self, columns: &mut Columns, timestamp: TimestampMs) {
        (**self).push_to(columns, timestamp);
    }
}

/// Series in memory. Cloning shares nothing; a querier sees what was there when it was made.
#[derive(Debug, Default, Clone)]
pub(crate) struct MemoryStorage {
    series: Arc<BTreeMap<Labels, Columns>>,
}

impl MemoryStorage {
    /// Adds samples of one series.
    ///
    /// # Panics
    /// When one is not later than the one before.
    pub(crate) fn push_all<S: Sample>(
        &mut self,
        labels: &Labels,
        samples: impl IntoIterator<Item = (i64, S)>,
    ) {
        let columns = Arc::make_mut(&mut self.series).entry(labels.clone()).or_default();
        for (timestamp_ms, sample) in samples {
            let timestamp = TimestampMs::new(timestamp_ms);
            assert!(columns.timestamps.last().is_none_or(|last| *last < timestamp), "{labels} out of order");
            sample.push_to(columns, timestamp);
        }
    }

    /// All series with their samples, in the order of labels.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Labels, &Columns)> {
        self.series.iter()
    }
}

impl Queryable for MemoryStorage {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, QueryError> {
        Ok(Box::new(MemoryQuerier { series: Arc::clone(&self.series), range }))
    }

    fn min_time(&self) -> Option<TimestampMs> {
        self.series.values().filter_map(|columns| columns.timestamps.first().copied()).min()
    }
}

struct MemoryQuerier {
    series: Arc<BTreeMap<Labels, Columns>>,
    range: TimeRange,
}

impl MemoryQuerier {
    fn matching(&self, request: &LabelRequest<'_>) -> impl Iterator<Item = &Labels> {
        self.series
            .keys()
            .filter(|l| request.matchers.iter().all(|m| m.matches(l.value(m.name()))))
            .take(if request.limit == 0 { usize::MAX } else { request.limit })
    }
}

impl Querier for MemoryQuerier {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        let mut chosen: Vec<Labels> = Vec::new();
        for (i, labels) in self.series.keys().enumerate() {
            if i % 16 == 15 {
                request.budget.check()?;
            }
            let all = request.matchers.iter().all(|m| m.matches(labels.value(m.name())));
            if all && request.shard.contains(labels) {
                chosen.push(labels.clone());
            }
        }
        request.budget.charge_series(chosen.len() as u64)?;
        let range = TimeRange {
            min: self.range.min.max(request.range.min),
            max: self.range.max.min(request.range.max),
        };
        let budget = Arc::clone(&request.budget);
        Ok(Box::new(MemorySet {
            series: Arc::clone(&self.series),
            chosen: chosen.into_iter(),
            range,
            windows: None,
            budget,
        }))
    }

    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError> {
        Ok(self.matching(request).cloned().collect())
    }

    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        let names: BTreeSet<&str> = self.matching(request).flat_map(|l| l.iter().map(|(n, _)| n)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        let values: BTreeSet<&str> = self.matching(request).filter_map(|l| l.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
}

/// Batches are small so that tests see many of them.
const BATCH_SERIES: usize = 16;

struct MemorySet {
    series: Arc<BTreeMap<Labels, Columns>>,
    chosen: std::vec::IntoIter<Labels>,
    range: TimeRange,
    windows: Option<EvenWindows>,
    budget: Arc<QueryBudget>,
}

impl MemorySet {
    /// Which of the samples are handed out, as runs: all that may be left out are.
    fn wanted(&self, columns: &Columns) -> Vec<std::ops::Range<usize>> {
        let from = columns.timestamps.partition_point(|t| *t < self.range.min);
        let to = columns.timestamps.partition_point(|t| *t <= self.range.max).max(from);
        let Some(windows) = self.windows else { return std::iter::once(from..to).collect() };
        let is_wanted = |at: &usize| windows.within(TimeRange::at(columns.timestamps[*at])).is_some();
        (from..to).filter(is_wanted).map(|at| at..at + 1).collect()
    }
}

impl SeriesSet for MemorySet {
    fn next_batch(&mut self, batch: &mut SeriesBatch) -> Result<bool, QueryError> {
        batch.clear();
        for _ in 0..BATCH_SERIES {
            let Some(labels) = self.chosen.next() else { break };
            let columns = &self.series[&labels];
            let wanted = self.wanted(columns);
            self.budget.charge_samples(wanted.iter().map(|run| run.len() as u64).sum())?;
            batch.push_series(labels, |out| {
                wanted.into_iter().for_each(|run| out.extend_from(columns, run));
                Ok::<(), QueryError>(())
            })?;
        }
        Ok(!batch.is_empty())
    }

    fn only_within(&mut self, windows: EvenWindows) {
        self.windows = Some(windows);
    }

    fn parting(&mut self) -> Option<&mut dyn Parting> {
        Some(self)
    }
}

impl Parting for MemorySet {
    fn remaining(&self) -> usize {
        self.chosen.len()
    }

    fn labels_at(&mut self, n: usize) -> Result<Labels, QueryError> {
        Ok(self.chosen.as_slice()[n].clone())
    }

    fn read_up_to(&self) -> Option<Labels> {
        None
    }

    fn split_off(&mut self, labels: &Labels) -> Result<Box<dyn SeriesSet>, QueryError> {
        let all = std::mem::take(&mut self.chosen);
        let (here, there): (Vec<_>, Vec<_>) = all.partition(|l| l < labels);
        self.chosen = here.into_iter();
        let (series, budget) = (Arc::clone(&self.series), Arc::clone(&self.budget));
        let (range, windows) = (self.range, self.windows);
        Ok(Box::new(Self { series, chosen: there.into_iter(), range, windows, budget }))
    }
}
