//! `Work`: counts what a query touches and asks its budget now and then, so that a query can be ended in
//! the middle of a single series or window too; and charges what is made for the row that is at work. Owns
//! no limit.

use super::{bits, held::Held};
use skopos_model::FloatHistogram;
use skopos_storage::{QueryBudget, QueryError};
use std::sync::Arc;

/// After so many samples touched the budget is asked: each costs some nanoseconds at most, so a query
/// that nobody waits for ends within a few milliseconds.
pub(crate) const WORK_PER_CHECK: usize = 1 << 16;

/// What it costs to make a key of a row's labels and to look for it, in samples touched.
pub(crate) const WORK_OF_LABELS: usize = 256;

/// Samples that a query looks at, each as often as a window has it: Prometheus' `totalQueryableSamples`.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub total: u64,
    /// Those of each step; empty where nobody wants to know.
    pub per_step: Vec<u64>,
}

impl Counted {
    /// Adds what another thread has counted.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        self.per_step.iter_mut().zip(&other.per_step).for_each(|(a, b)| *a = a.saturating_add(*b));
    }
}

/// What may still be touched before the budget is asked again.
#[derive(Debug)]
pub(crate) struct Work {
    budget: Arc<QueryBudget>,
    left: usize,
    /// What was made for the row that is at work.
    made: Held,
    /// Buffers that are used again for every row.
    buffers: Held,
    pub counted: Counted,
}

impl Work {
    pub(crate) fn new(budget: &Arc<QueryBudget>) -> Self {
        let (made, buffers) = (Held::new(budget), Held::new(budget));
        Self { budget: Arc::clone(budget), left: WORK_PER_CHECK, made, buffers, counted: Counted::default() }
    }

    /// Says that `touched` samples are or were dealt with. Fails when the query is to end.
    #[inline]
    pub(crate) fn spend(&mut self, touched: usize) -> Result<(), QueryError> {
        match self.left.checked_sub(touched) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.ask(),
        }
    }

    /// Counts `samples` of the window of step `k`.
    #[inline]
    pub(crate) fn count(&mut self, k: usize, samples: usize) {
        self.counted.total += samples as u64;
        if let Some(of_step) = self.counted.per_step.get_mut(k) {
            *of_step += samples as u64;
        }
    }

    /// Counts a sample of each step in `present`.
    pub(crate) fn count_present(&mut self, present: &[u64]) {
        if self.counted.per_step.is_empty() {
            self.counted.total += bits::count(present) as u64;
        } else {
            bits::iter(present).for_each(|k| self.count(k, 1));
        }
    }

    /// The histogram, charged until the row is done.
    pub(crate) fn made(&mut self, histogram: FloatHistogram) -> Result<Arc<FloatHistogram>, QueryError> {
        self.made.grow_bytes(histogram.size())?;
        Ok(Arc::new(histogram))
    }

    /// Charges `bytes` until the row is done.
    pub(crate) fn make(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.made.grow_bytes(bytes)
    }

    /// The row is done: what was made for it is charged by whoever keeps it.
    pub(crate) fn row_done(&mut self) {
        self.made.clear();
    }

    /// Charges buffers of `bytes` that serve all rows.
    pub(crate) fn buffers(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.buffers.at_least_bytes(bytes)
    }

    #[cold]
    fn ask(&mut self) -> Result<(), QueryError> {
        self.left = WORK_PER_CHECK;
        self.budget.check()
    }
}
