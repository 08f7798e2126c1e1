//! `HeadQuerier`: a view of the head, from matchers to columns. Never holds a lock while decoding.

use super::{
    Head,
    isolation::ReadMark,
    select::select,
    series::{Collected, MemSeries, SeriesIndex},
};
use skopos_model::{Labels, Matcher};
use skopos_storage::{
    LabelRequest, Querier, QueryBudget, QueryError, SelectRequest, SeriesBatch, SeriesSet, TimeRange,
};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

/// A batch is handed out when it has so many series …
const BATCH_SERIES: usize = 64;
/// … or so many samples.
const BATCH_SAMPLES: usize = 64 << 10;
/// Series looked at before time and cancellation are checked.
const CHECK_EVERY: usize = 1024;

/// A view of one time range.
#[derive(Debug)]
pub(crate) struct HeadQuerier {
    head: Arc<Head>,
    mark: Arc<ReadMark>,
    range: TimeRange,
}

impl HeadQuerier {
    pub(crate) fn new(head: &Arc<Head>, range: TimeRange) -> Self {
        Self { head: Arc::clone(head), mark: Arc::new(head.readers.enter()), range }
    }

    /// The series that fulfil the matchers and may have samples in `range`, in no order.
    fn matching(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &QueryBudget,
    ) -> Result<Vec<Arc<MemSeries>>, QueryError> {
        let found: Vec<Arc<MemSeries>> = {
            let postings = self.head.registry.postings();
            let table = self.head.registry.table();
            let ids = select(&postings, &table, matchers);
            ids.into_iter().filter_map(|id| table.get(SeriesIndex(id)).cloned()).collect()
        };
        let mut kept = Vec::with_capacity(found.len());
        for (i, series) in found.into_iter().enumerate() {
            if i % CHECK_EVERY == 0 {
                budget.check()?;
            }
            if series.may_have(self.mark.get(), range) {
                kept.push(series);
            }
        }
        Ok(kept)
    }

    fn intersection(&self, range: TimeRange) -> TimeRange {
        TimeRange { min: self.range.min.max(range.min), max: self.range.max.min(range.max) }
    }
}

impl Querier for HeadQuerier {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        let range = self.intersection(request.range);
        let mut series = self.matching(request.matchers, range, &request.budget)?;
        series.retain(|s| request.shard.contains(&s.labels));
        request.budget.charge_series(series.len() as u64)?;
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Ok(Box::new(HeadSeriesSet {
            series,
            next: 0,
            range,
            mark: Arc::clone(&self.mark),
            budget: Arc::clone(&request.budget),
            collected: Collected::default(),
        }))
    }

    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError> {
        let series = self.matching(request.matchers, self.range, &request.budget)?;
        let mut labels: Vec<Labels> = series.iter().map(|s| s.labels.clone()).collect();
        labels.sort_unstable();
        limited(labels, request)
    }

    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        if request.matchers.is_empty() {
            return self.all_names(request);
        }
        let mut names: BTreeSet<String> = BTreeSet::new();
        for series in self.matching(request.matchers, self.range, &request.budget)? {
            for (name, _) in &series.labels {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        }
        limited(names.into_iter().collect(), request)
    }

    fn label_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        if request.matchers.is_empty() {
            return self.all_values(name, request);
        }
        let mut values: BTreeSet<String> = BTreeSet::new();
        for series in self.matching(request.matchers, self.range, &request.budget)? {
            if let Some(value) = series.labels.get(name)
                && !values.contains(value)
            {
                values.insert(value.to_owned());
            }
        }
        limited(values.into_iter().collect(), request)
    }
}

impl HeadQuerier {
    /// The names of the labels of all series: a name counts once one of its series has samples.
    fn all_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        let postings = self.head.registry.postings();
        let table = self.head.registry.table();
        let mut out = Vec::new();
        for (name, values) in postings.names() {
            request.budget.check()?;
            let mut series =
                values.with_prefix("").flat_map(|(_, ids)| ids).filter_map(|id| table.get(SeriesIndex(*id)));
            if series.any(|s| s.may_have(self.mark.get(), self.range)) {
                out.push(name.to_owned());
            }
        }
        limited(out, request)
    }

    /// The values of a label of all series: a value counts once one of its series has samples.
    fn all_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        let postings = self.head.registry.postings();
        let table = self.head.registry.table();
        let mut out = Vec::new();
        let Some(values) = postings.values(name) else { return Ok(out) };
        for (i, (value, ids)) in values.with_prefix("").enumerate() {
            if i % CHECK_EVERY == 0 {
                request.budget.check()?;
            }
            if request.limit > 0 && out.len() >= request.limit {
                break;
            }
            let mut series = ids.iter().filter_map(|id| table.get(SeriesIndex(*id)));
            if series.any(|s| s.may_have(self.mark.get(), self.range)) {
                out.push(value.to_owned());
            }
        }
        limited(out, request)
    }
}

/// Cuts a result to its limit, or charges it where there is none.
fn limited<T>(mut found: Vec<T>, request: &LabelRequest<'_>) -> Result<Vec<T>, QueryError> {
    if request.limit > 0 {
        found.truncate(request.limit);
    }
    request.budget.charge_series(found.len() as u64)?;
    Ok(found)
}

/// The selected series, decoded when they are asked for.
struct HeadSeriesSet {
    /// Sorted by labels.
    series: Vec<Arc<MemSeries>>,
    next: usize,
    range: TimeRange,
    mark: Arc<ReadMark>,
    budget: Arc<QueryBudget>,
    collected: Collected,
}

impl SeriesSet for HeadSeriesSet {
    fn next_batch(&mut self, batch: &mut SeriesBatch) -> Result<bool, QueryError> {
        batch.clear();
        self.budget.check()?;
        while self.next < self.series.len()
            && batch.len() < BATCH_SERIES
            && batch.sample_count() < BATCH_SAMPLES
        {
            let series = &self.series[self.next];
            series.collect(self.mark.get(), self.range, &mut self.collected);
            let before = batch.sample_count();
            let collected = &self.collected;
            let pushed = batch
                .push_series(series.labels.clone(), |timestamps, values| {
                    collected.decode(self.range, timestamps, values)
                })
                .map_err(|e| QueryError::Corrupt {
                    path: PathBuf::from("head"),
                    offset: 0,
                    reason: format!("a chunk of series {}: {e}", series.labels),
                });
            // A batch that cannot be paid for is not handed out.
            let paid =
                pushed.and_then(|()| self.budget.charge_samples((batch.sample_count() - before) as u64));
            if let Err(e) = paid {
                batch.clear();
                return Err(e);
            }
            self.next += 1;
        }
        Ok(!batch.is_empty())
    }
}
