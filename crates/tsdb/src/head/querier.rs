//! `HeadQuerier`: a view of the head, from matchers to columns. Never holds a lock while decoding.

use super::{
    Head,
    chunk_set::Which,
    isolation::ReadMark,
    select::{STRIDE, select},
    series::{Collected, MemSeries, SeriesIndex, View},
};
use skopos_model::{Labels, Matcher};
use skopos_storage::{
    LabelRequest, Parting, Querier, QueryBudget, QueryError, SelectRequest, SeriesBatch, SeriesSet, TimeRange,
};
use std::{collections::BTreeSet, sync::Arc};

/// A batch is handed out when it has so many series …
const BATCH_SERIES: usize = 64;
/// … or so many samples.
const BATCH_SAMPLES: usize = 64 << 10;
/// So many values of a label are looked at first, then twice as many each time, up to `STRIDE`.
const FIRST_STRIDE: usize = 4;

/// A view of one time range.
#[derive(Debug)]
pub(crate) struct HeadQuerier {
    head: Arc<Head>,
    mark: Arc<ReadMark>,
    range: TimeRange,
    which: Which,
}

impl HeadQuerier {
    pub(crate) fn new(head: &Arc<Head>, range: TimeRange) -> Self {
        let mark = head.readers.enter(range);
        Self { head: Arc::clone(head), range, mark: Arc::new(mark), which: Which::All }
    }

    /// The same view, of which only some samples are handed out as chunks.
    pub(crate) fn only(self, which: Which) -> Self {
        Self { which, ..self }
    }

    pub(super) fn which(&self) -> Which {
        self.which
    }

    /// What it sees of a part of its range.
    pub(super) fn view(&self, range: TimeRange) -> View {
        let floor = self.mark.range().min;
        View { mark: self.mark.get(), range, floor, late: self.head.late.may_have(range) }
    }

    /// The series that fulfil the matchers and may have samples in `range`, in no order.
    fn matching(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &QueryBudget,
    ) -> Result<Vec<Arc<MemSeries>>, QueryError> {
        if self.misses(range) {
            return Ok(Vec::new());
        }
        let registry = &self.head.registry;
        let view = self.view(range);
        let ids = select(registry, matchers, budget)?;
        let mut kept: Vec<Arc<MemSeries>> = Vec::with_capacity(ids.len());
        let mut part = Vec::with_capacity(STRIDE);
        for ids in ids.chunks(STRIDE) {
            budget.check()?;
            let table = registry.table();
            part.extend(ids.iter().filter_map(|id| table.get(SeriesIndex(*id)).cloned()));
            drop(table);
            kept.extend(part.drain(..).filter(|s| s.may_have(view)));
        }
        Ok(kept)
    }

    /// The series of a request in the order of their labels, and the range in which it sees samples.
    pub(super) fn sorted(
        &self,
        request: &SelectRequest<'_>,
    ) -> Result<(Vec<Arc<MemSeries>>, TimeRange), QueryError> {
        let range = self.intersection(request.range);
        let mut series = self.matching(request.matchers, range, &request.budget)?;
        series.retain(|s| request.shard.contains_hash(s.labels.hash64()));
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Ok((series, range))
    }

    pub(super) fn head(&self) -> &Arc<Head> {
        &self.head
    }

    pub(super) fn mark(&self) -> &Arc<ReadMark> {
        &self.mark
    }

    /// Which time it sees.
    pub(crate) fn range(&self) -> TimeRange {
        self.range
    }

    /// Whether the head may have samples of the view's range: what blocks have is none of it.
    pub(crate) fn may_have_samples(&self) -> bool {
        self.range.min <= self.range.max && !self.misses(self.range)
    }

    /// Whether no sample of the head is in `range`. Samples widen the head's range before they are visible.
    fn misses(&self, range: TimeRange) -> bool {
        self.head.time_range().is_none_or(|has| range.max < has.min || range.min > has.max)
            && !self.head.late.may_have(range)
    }

    fn intersection(&self, range: TimeRange) -> TimeRange {
        TimeRange { min: self.range.min.max(range.min), max: self.range.max.min(range.max) }
    }

    /// The names of the labels of all series: a name counts once one of its series has samples.
    fn all_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        let mut out = Vec::new();
        if self.misses(self.range) {
            return Ok(out);
        }
        let names: Vec<String> =
            self.head.registry.postings().names().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let mut found = false;
            self.values_with_samples(&name, &request.budget, |_| {
                found = true;
                false
            })?;
            if found {
                out.push(name);
            }
        }
        limited(out, request)
    }

    /// The values of a label of all series: a value counts once one of its series has samples.
    fn all_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        let mut out = Vec::new();
        if self.misses(self.range) {
            return Ok(out);
        }
        self.values_with_samples(name, &request.budget, |value| {
            out.push(value);
            request.limit == 0 || out.len() < request.limit
        })?;
        limited(out, request)
    }

    /// Hands out the values of a label that have samples, sorted, until `visit` says no. No lock is held for
    /// more than a stride of values or series, as new series wait for it.
    fn values_with_samples(
        &self,
        name: &str,
        budget: &QueryBudget,
        mut visit: impl FnMut(String) -> bool,
    ) -> Result<(), QueryError> {
        let mut stride = FIRST_STRIDE;
        let mut values: Vec<(String, u32)> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            budget.check()?;
            {
                let postings = self.head.registry.postings();
                let Some(all) = postings.values(name) else { return Ok(()) };
                let next = all.with_prefix("", after.as_deref()).take(stride);
                values.extend(next.filter_map(|(value, ids)| Some((value.to_owned(), *ids.first()?))));
            }
            let Some((last, _)) = values.last() else { return Ok(()) };
            after = Some(last.clone());
            for (value, first) in values.drain(..) {
                let has =
                    self.any_has_samples(&[first]) || self.rest_has_samples(name, &value, first, budget)?;
                if has && !visit(value) {
                    return Ok(());
                }
            }
            stride = (stride * 2).min(STRIDE);
        }
    }

    /// Whether one of a value's series behind `after` has samples.
    fn rest_has_samples(
        &self,
        name: &str,
        value: &str,
        mut after: u32,
        budget: &QueryBudget,
    ) -> Result<bool, QueryError> {
        let mut part: Vec<u32> = Vec::new();
        loop {
            part.clear();
            {
                let postings = self.head.registry.postings();
                let ids = postings.values(name).map_or(&[][..], |values| values.get(value));
                let from = ids.partition_point(|id| *id <= after);
                part.extend(ids[from..].iter().take(STRIDE));
            }
            let Some(last) = part.last() else { return Ok(false) };
            after = *last;
            budget.check()?;
            if self.any_has_samples(&part) {
                return Ok(true);
            }
        }
    }

    fn any_has_samples(&self, ids: &[u32]) -> bool {
        let view = self.view(self.range);
        let table = self.head.registry.table();
        let mut series = ids.iter().filter_map(|id| table.get(SeriesIndex(*id)));
        series.any(|s| s.may_have(view))
    }
}

impl Querier for HeadQuerier {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        let (series, range) = self.sorted(request)?;
        request.budget.charge_series(series.len() as u64)?;
        Ok(Box::new(HeadSeriesSet {
            head: Arc::clone(&self.head),
            series,
            next: 0,
            view: self.view(range),
            mark: Arc::clone(&self.mark),
            budget: Arc::clone(&request.budget),
            collected: Collected::default(),
        }))
    }

    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError> {
        let mut series = self.matching(request.matchers, self.range, &request.budget)?;
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let labels: Vec<Labels> = series.iter().map(|s| s.labels.to_labels()).collect();
        limited(labels, request)
    }

    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        if request.matchers.is_empty() {
            return self.all_names(request);
        }
        let mut names: BTreeSet<String> = BTreeSet::new();
        for series in self.matching(request.matchers, self.range, &request.budget)? {
            for (name, _) in series.labels.iter() {
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
    head: Arc<Head>,
    /// Sorted by labels.
    series: Vec<Arc<MemSeries>>,
    next: usize,
    view: View,
    /// Keeps what it sees.
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
            series.collect(self.view, &mut self.collected);
            let before = batch.sample_count();
            let (collected, chunks, range) = (&mut self.collected, &self.head.chunks, self.view.range);
            let pushed = batch.push_series(series.labels.to_labels(), |columns| {
                match self.head.tombstones.get(series.index) {
                    None => collected.decode(chunks, range, columns),
                    Some(deleted) => {
                        let mut parts = deleted.kept_in(range).into_iter();
                        parts.try_for_each(|part| collected.decode(chunks, part, columns))
                    }
                }
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

    fn parting(&mut self) -> Option<&mut dyn Parting> {
        Some(self)
    }
}

impl Parting for HeadSeriesSet {
    fn remaining(&self) -> usize {
        self.series.len() - self.next
    }

    fn labels_at(&mut self, n: usize) -> Result<Labels, QueryError> {
        Ok(self.series[self.next + n].labels.to_labels())
    }

    fn read_up_to(&self) -> Option<Labels> {
        // What was read was handed out.
        None
    }

    fn split_off(&mut self, labels: &Labels) -> Result<Box<dyn SeriesSet>, QueryError> {
        let at = self.series[self.next..].partition_point(|s| s.labels.to_labels() < *labels);
        Ok(Box::new(Self {
            head: Arc::clone(&self.head),
            series: self.series.split_off(self.next + at),
            next: 0,
            view: self.view,
            mark: Arc::clone(&self.mark),
            budget: Arc::clone(&self.budget),
            collected: Collected::default(),
        }))
    }
}
