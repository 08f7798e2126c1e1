//! `MergedSeriesSet`: sorted sets of series as one. Holds one batch of each source and no more.

use super::samples::{Part, merge_samples};
use crate::{EvenWindows, Parting, QueryBudget, QueryError, SeriesBatch, SeriesSet};
use skopos_model::Labels;
use std::{cmp::Reverse, collections::BinaryHeap, mem, sync::Arc};

/// A batch is handed out when it has so many series …
const BATCH_SERIES: usize = 64;
/// … or so many samples.
const BATCH_SAMPLES: usize = 64 << 10;
/// A batch of at least so many series that only one source has is not copied, even if the batch before it
/// stays short for that.
const WORTH_SWAPPING: usize = BATCH_SERIES / 2;

/// Sorted sets of series as one. Of samples of a series at the same time the one of the earlier set is kept.
pub struct MergedSeriesSet {
    sources: Vec<Source>,
    /// The next series of each source that has one; the least labels on top, then the earliest source.
    heads: BinaryHeap<Reverse<(Labels, usize)>>,
    parts: Vec<Part>,
    budget: Arc<QueryBudget>,
    started: bool,
    /// Of the sources, when it was last asked to be parted.
    remaining: usize,
    samples: u64,
    read_up_to: Option<Labels>,
}

struct Source {
    set: Box<dyn SeriesSet>,
    batch: SeriesBatch,
    /// The series of `batch` that comes next.
    next: usize,
}

impl Source {
    /// The labels of the next series, of the next batch where this one is used up.
    fn head(&mut self) -> Result<Option<Labels>, QueryError> {
        while self.next >= self.batch.len() {
            self.next = 0;
            match self.set.next_batch(&mut self.batch) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(e) => {
                    self.batch.clear();
                    return Err(e);
                }
            }
        }
        Ok(Some(self.batch.series(self.next).labels.clone()))
    }
}

impl MergedSeriesSet {
    /// All of `sets` as one. Their samples are charged by themselves, the series to `budget`.
    pub fn new(sets: Vec<Box<dyn SeriesSet>>, budget: Arc<QueryBudget>) -> Self {
        let source = |set| Source { set, batch: SeriesBatch::default(), next: 0 };
        let sources: Vec<_> = sets.into_iter().map(source).collect();
        let heads = BinaryHeap::with_capacity(sources.len());
        let (parts, remaining, samples) = (Vec::new(), 0, 0);
        Self { sources, heads, parts, budget, started: false, remaining, samples, read_up_to: None }
    }

    fn push_head(&mut self, source: usize) -> Result<(), QueryError> {
        if let Some(labels) = self.sources[source].head()? {
            self.heads.push(Reverse((labels, source)));
        }
        Ok(())
    }

    fn fill(&mut self, batch: &mut SeriesBatch) -> Result<(), QueryError> {
        if !self.started {
            (0..self.sources.len()).try_for_each(|i| self.push_head(i))?;
            self.started = true;
        }
        while batch.len() < BATCH_SERIES && batch.sample_count() < BATCH_SAMPLES {
            let Some(Reverse((labels, source))) = self.heads.pop() else { break };
            if self.has_batch_alone(source) {
                return self.hand_over(labels, source, batch);
            }
            self.add_part(source);
            while let Some(Reverse((next, _))) = self.heads.peek()
                && *next == labels
                && let Some(Reverse((_, source))) = self.heads.pop()
            {
                self.add_part(source);
            }
            self.budget.charge_series(1)?;
            self.merge(labels, batch)?;
        }
        Ok(())
    }

    fn add_part(&mut self, source: usize) {
        let Source { batch, next, .. } = &self.sources[source];
        self.parts.push(Part { source, samples: batch.samples_of(*next) });
    }

    /// Writes the series of which `parts` are, and lets their sources go on.
    fn merge(&mut self, labels: Labels, batch: &mut SeriesBatch) -> Result<(), QueryError> {
        let Self { sources, parts, .. } = self;
        let used: Vec<usize> = parts.iter().map(|p| p.source).collect();
        let mut dropped = 0;
        batch.push_series(labels, |out| {
            dropped = merge_samples(out, parts, |i| sources[i].batch.columns());
            Ok::<(), QueryError>(())
        })?;
        self.budget.release_samples(dropped as u64);
        used.iter().for_each(|source| self.sources[*source].next += 1);
        used.into_iter().try_for_each(|source| self.push_head(source))
    }

    /// Whether the source's batch is untouched, worth it, and before all other sources' series.
    fn has_batch_alone(&self, source: usize) -> bool {
        let Source { batch, next, .. } = &self.sources[source];
        let large = batch.len() >= WORTH_SWAPPING || batch.sample_count() >= BATCH_SAMPLES / 2;
        let last = batch.series(batch.len() - 1).labels;
        *next == 0 && large && self.heads.peek().is_none_or(|Reverse((other, _))| last < other)
    }

    /// Hands out the source's batch as it is, once what was gathered before is handed out.
    fn hand_over(
        &mut self,
        labels: Labels,
        source: usize,
        batch: &mut SeriesBatch,
    ) -> Result<(), QueryError> {
        if !batch.is_empty() {
            self.heads.push(Reverse((labels, source)));
            return Ok(());
        }
        mem::swap(batch, &mut self.sources[source].batch);
        self.budget.charge_series(batch.len() as u64)?;
        self.push_head(source)
    }
}

impl SeriesSet for MergedSeriesSet {
    fn next_batch(&mut self, batch: &mut SeriesBatch) -> Result<bool, QueryError> {
        batch.clear();
        self.budget.check()?;
        if let Err(e) = self.fill(batch) {
            self.budget.release_samples(batch.sample_count() as u64);
            batch.clear();
            return Err(e);
        }
        Ok(!batch.is_empty())
    }

    fn only_within(&mut self, windows: EvenWindows) {
        self.sources.iter_mut().for_each(|source| source.set.only_within(windows));
    }

    fn parting(&mut self) -> Option<&mut dyn Parting> {
        let (mut remaining, mut samples, mut read_up_to) = (0, 0u64, None);
        for source in &mut self.sources {
            let in_batch = source.batch.len().checked_sub(1).map(|i| source.batch.series(i).labels.clone());
            let parting = source.set.parting()?;
            remaining = remaining.max(parting.remaining());
            samples = samples.saturating_add(parting.samples_expected());
            read_up_to = read_up_to.max(in_batch).max(parting.read_up_to());
        }
        (self.remaining, self.samples, self.read_up_to) = (remaining, samples, read_up_to);
        Some(self)
    }
}

impl MergedSeriesSet {
    /// The source with the most series left.
    fn largest(&mut self) -> Option<&mut dyn Parting> {
        self.sources.iter_mut().filter_map(|s| s.set.parting()).max_by_key(|p| p.remaining())
    }
}

impl Parting for MergedSeriesSet {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn samples_expected(&self) -> u64 {
        self.samples
    }

    fn labels_at(&mut self, n: usize) -> Result<Labels, QueryError> {
        let source = self.largest().expect("invariant: a set with remaining series has a source with some");
        source.labels_at(n)
    }

    fn read_up_to(&self) -> Option<Labels> {
        self.read_up_to.clone()
    }

    fn split_off(&mut self, labels: &Labels) -> Result<Box<dyn SeriesSet>, QueryError> {
        let mut sets = Vec::with_capacity(self.sources.len());
        for source in &mut self.sources {
            let parting = source.set.parting().expect("invariant: only what can be parted is asked to");
            sets.push(parting.split_off(labels)?);
        }
        Ok(Box::new(Self::new(sets, Arc::clone(&self.budget))))
    }
}

/// What was charged and never handed out is given back.
impl Drop for MergedSeriesSet {
    fn drop(&mut self) {
        let left = |s: &Source| if s.next < s.batch.len() { s.batch.samples_from(s.next) } else { 0 };
        let left: usize = self.sources.iter().map(left).sum();
        self.budget.release_samples(left as u64);
    }
}
