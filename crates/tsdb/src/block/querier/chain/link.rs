//! `Link`: a block of a chain, or several whose times overlap. Knows no other link.

use super::super::{BlockSeriesSet, Ready};
use skopos_model::{Columns, Labels};
use skopos_storage::{EvenWindows, Parting, QueryBudget, QueryError, SeriesBatch, SeriesSet};
use std::{collections::VecDeque, sync::Arc};

/// The selected series of one part of the time.
#[expect(clippy::large_enum_variant, reason = "mostly all links are blocks, and each sample passes them")]
pub(super) enum Link {
    /// Of one block: its samples are charged by whoever takes them.
    Block(BlockSeriesSet),
    /// Of several: their samples are charged when they are merged.
    Merged(MergedLink),
}

impl Link {
    /// The series that are taken next, as far as they are known.
    pub(super) fn ready(&self) -> Option<&VecDeque<Ready>> {
        match self {
            Self::Block(block) => Some(&block.0.ready),
            Self::Merged(_) => None,
        }
    }

    /// The labels of the series that is taken next, which are quickly made where they are among `like`.
    pub(super) fn head(&mut self, like: Option<&VecDeque<Ready>>) -> Result<Option<&Labels>, QueryError> {
        match self {
            Self::Block(block) => {
                block.0.prepare_like(like.unwrap_or(&VecDeque::new()))?;
                Ok(block.0.ready.front().map(|ready| &ready.labels))
            }
            Self::Merged(merged) => merged.head(),
        }
    }

    /// Appends the samples of the series that `head` named; `paid` grows by those that are charged already.
    pub(super) fn take(&mut self, columns: &mut Columns, paid: &mut u64) -> Result<(), QueryError> {
        match self {
            Self::Block(block) => {
                let ready = block.0.ready.pop_front().expect("invariant: a head was seen");
                block.0.read(&ready, columns)
            }
            Self::Merged(merged) => {
                *paid += merged.take(columns);
                Ok(())
            }
        }
    }

    /// See `SeriesSet::only_within`.
    pub(super) fn only_within(&mut self, windows: EvenWindows) {
        match self {
            Self::Block(block) => block.only_within(windows),
            Self::Merged(merged) => merged.set.only_within(windows),
        }
    }

    /// Whether the link can be parted; learns what `remaining`, `samples_expected` and `read_up_to` say.
    pub(super) fn look_ahead(&mut self) -> bool {
        match self {
            Self::Block(_) => true,
            Self::Merged(merged) => merged.look_ahead(),
        }
    }

    /// How many series stand behind those that were read, when one looked ahead.
    pub(super) fn remaining(&self) -> usize {
        match self {
            Self::Block(block) => block.remaining(),
            Self::Merged(merged) => merged.remaining,
        }
    }

    /// About how many samples those have.
    pub(super) fn samples_expected(&self) -> u64 {
        match self {
            Self::Block(block) => block.samples_expected(),
            Self::Merged(merged) => merged.samples,
        }
    }

    pub(super) fn labels_at(&mut self, n: usize) -> Result<Labels, QueryError> {
        match self {
            Self::Block(block) => block.labels_at(n),
            Self::Merged(merged) => merged.parting().labels_at(n),
        }
    }

    pub(super) fn read_up_to(&self) -> Option<Labels> {
        match self {
            Self::Block(block) => block.read_up_to(),
            Self::Merged(merged) => merged.read_up_to.clone(),
        }
    }

    /// Takes away the series from `labels` on, of which perhaps `guess` of the remaining ones stand before.
    pub(super) fn split_off(&mut self, labels: &Labels, guess: usize) -> Result<Self, QueryError> {
        match self {
            Self::Block(block) => Ok(Self::Block(block.split_behind(labels, guess)?)),
            Self::Merged(merged) => {
                let set = merged.parting().split_off(labels)?;
                Ok(Self::Merged(MergedLink::new(set, Arc::clone(&merged.budget))))
            }
        }
    }
}

/// Blocks whose times overlap, merged.
pub(super) struct MergedLink {
    set: Box<dyn SeriesSet>,
    batch: SeriesBatch,
    /// The series of `batch` that comes next.
    next: usize,
    budget: Arc<QueryBudget>,
    /// Of the set, when one looked ahead.
    remaining: usize,
    samples: u64,
    read_up_to: Option<Labels>,
}

impl MergedLink {
    /// The samples of `set` are charged to `budget` when it hands them out.
    pub(super) fn new(set: Box<dyn SeriesSet>, budget: Arc<QueryBudget>) -> Self {
        let (batch, next, remaining, samples) = (SeriesBatch::default(), 0, 0, 0);
        Self { set, batch, next, budget, remaining, samples, read_up_to: None }
    }

    fn head(&mut self) -> Result<Option<&Labels>, QueryError> {
        if self.next == self.batch.len() {
            self.next = 0;
            if !self.set.next_batch(&mut self.batch)? {
                return Ok(None);
            }
        }
        Ok(Some(self.batch.series(self.next).labels))
    }

    /// Hands out the samples of the next series; how many those are.
    fn take(&mut self, columns: &mut Columns) -> u64 {
        let before = columns.len();
        self.batch.copy_series(self.next, columns);
        self.next += 1;
        (columns.len() - before) as u64
    }

    fn look_ahead(&mut self) -> bool {
        let in_batch = self.batch.len().checked_sub(1).map(|last| self.batch.series(last).labels.clone());
        let Some(parting) = self.set.parting() else { return false };
        self.remaining = parting.remaining();
        self.samples = parting.samples_expected();
        self.read_up_to = parting.read_up_to().max(in_batch);
        true
    }

    fn parting(&mut self) -> &mut dyn Parting {
        self.set.parting().expect("invariant: only what can be parted is asked to")
    }
}

/// What was charged and never handed out is given back.
impl Drop for MergedLink {
    fn drop(&mut self) {
        if self.next < self.batch.len() {
            self.budget.release_samples(self.batch.samples_from(self.next) as u64);
        }
    }
}
