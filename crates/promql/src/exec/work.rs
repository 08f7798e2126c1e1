//! `Work`: counts what a query touches and asks its budget now and then, so that a query can be ended in
//! the middle of a single series or window too; and charges what is made for the row that is at work. Owns
//! no limit.

use super::{bits, held::Held};
use skopos_model::FloatHistogram;
use skopos_storage::{QueryBudget, QueryError, SampleCounts};
use std::sync::Arc;

/// After so many samples touched the budget is asked: each costs some nanoseconds at most, so a query
/// that nobody waits for ends within a few milliseconds.
pub(crate) const WORK_PER_CHECK: usize = 1 << 16;

/// What it costs to make a key of a row's labels and to look for it, in samples touched.
pub(crate) const WORK_OF_LABELS: usize = 256;

/// A number of samples.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub total: u64,
    /// Those of each step; empty where nobody wants to know.
    pub per_step: Vec<u64>,
}

impl Tally {
    /// `n` more at step `k`.
    #[inline]
    pub(crate) fn add(&mut self, k: usize, n: u64) {
        self.total = self.total.saturating_add(n);
        if let Some(of_step) = self.per_step.get_mut(k) {
            *of_step = of_step.saturating_add(n);
        }
    }

    /// What another has at the same steps.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        self.per_step.iter_mut().zip(&other.per_step).for_each(|(a, b)| *a = a.saturating_add(*b));
    }
}

/// Samples that a query looks at.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Each as often as a window has it: Prometheus' `totalQueryableSamples`.
    pub looked_at: Tally,
    /// Of each window those that the one before had not: Prometheus' `samplesRead`.
    pub read: Tally,
    /// What the numbers of steps take.
    held: Option<Held>,
}

impl Counted {
    /// None yet, of which those of each step are to be known.
    pub(crate) fn of_steps(steps: usize, budget: &Arc<QueryBudget>) -> Result<Self, QueryError> {
        let mut held = Held::new(budget);
        held.grow_bytes(steps.saturating_mul(2 * size_of::<u64>()))?;
        let tally = || Tally { total: 0, per_step: vec![0; steps] };
        Ok(Self { looked_at: tally(), read: tally(), held: Some(held) })
    }

    /// So many of the only step.
    pub(crate) fn of_one(samples: u64) -> Self {
        let tally = || Tally { total: samples, per_step: vec![samples] };
        Self { looked_at: tally(), read: tally(), held: None }
    }

    /// Adds what another has counted at the same steps.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.looked_at.absorb(&other.looked_at);
        self.read.absorb(&other.read);
    }

    /// Nobody wants to know any more what each step had.
    pub(crate) fn forget_steps(&mut self) {
        (self.looked_at.per_step, self.read.per_step, self.held) = (Vec::new(), Vec::new(), None);
    }

    /// Tells the query's account, for the case that it has no result.
    pub(crate) fn tell(&self, budget: &QueryBudget) {
        budget.count_samples(SampleCounts { looked_at: self.looked_at.total, read: self.read.total });
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

    /// Counts `samples` of the window of step `k`, of which the window before had all but `new`.
    #[inline]
    pub(crate) fn count(&mut self, k: usize, samples: usize, new: usize) {
        self.counted.looked_at.add(k, samples as u64);
        self.counted.read.add(k, new as u64);
    }

    /// Counts a sample of each step in `present`.
    pub(crate) fn count_present(&mut self, present: &[u64]) {
        if self.counted.looked_at.per_step.is_empty() {
            let all = bits::count(present);
            self.count(0, all, all);
        } else {
            bits::iter(present).for_each(|k| self.count(k, 1, 1));
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
        self.budget.go_on()
    }
}

/// What is still here when it goes belongs to what failed.
impl Drop for Work {
    fn drop(&mut self) {
        self.counted.tell(&self.budget);
    }
}
