//! `Held`: what an operator has charged to the account of its query, given back when it is dropped. Owns no
//! limit.

use skopos_storage::{QueryBudget, QueryError};
use std::sync::Arc;

/// How many samples are charged at once, so that short rows do not cost a look at the clock each.
const SAMPLES_AT_ONCE: u64 = 1024;
/// How many bytes are charged at once.
const BYTES_AT_ONCE: u64 = 16 << 10;

/// Samples and bytes held by an operator.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<QueryBudget>,
    samples: Charged,
    bytes: Charged,
}

/// What was charged, and how much of it is used.
#[derive(Debug, Default)]
struct Charged {
    charged: u64,
    used: u64,
}

impl Charged {
    /// Uses `n` more, of which what is not charged yet is charged, `at_once` at least.
    fn grow(
        &mut self,
        n: usize,
        at_once: u64,
        charge: impl FnOnce(u64) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        self.used = self.used.saturating_add(n as u64);
        if self.used > self.charged {
            let more = (self.used - self.charged).max(at_once);
            charge(more)?;
            self.charged += more;
        }
        Ok(())
    }
}

impl Held {
    pub(crate) fn new(budget: &Arc<QueryBudget>) -> Self {
        Self { budget: Arc::clone(budget), samples: Charged::default(), bytes: Charged::default() }
    }

    /// Accounts for `n` more samples; also checks time and cancellation now and then.
    pub(crate) fn grow(&mut self, n: usize) -> Result<(), QueryError> {
        self.samples.grow(n, SAMPLES_AT_ONCE, |more| self.budget.charge_samples(more))
    }

    /// Accounts for `n` more bytes.
    pub(crate) fn grow_bytes(&mut self, n: usize) -> Result<(), QueryError> {
        self.bytes.grow(n, BYTES_AT_ONCE, |more| self.budget.charge_memory(more))
    }

    /// Accounts for `n` more entries of a hash table or list that doubles as it grows.
    pub(crate) fn grow_entries<T>(&mut self, n: usize) -> Result<(), QueryError> {
        self.grow_bytes(n.saturating_mul(2 * size_of::<T>() + 2))
    }

    /// Accounts for a buffer of `n` bytes that is used again and again: for what it is larger than before.
    pub(crate) fn at_least_bytes(&mut self, n: usize) -> Result<(), QueryError> {
        self.grow_bytes((n as u64).saturating_sub(self.bytes.used) as usize)
    }

    /// Gives all back.
    pub(crate) fn clear(&mut self) {
        if self.samples.charged > 0 {
            self.budget.release_samples(self.samples.charged);
        }
        if self.bytes.charged > 0 {
            self.budget.release_memory(self.bytes.charged);
        }
        (self.samples, self.bytes) = (Charged::default(), Charged::default());
    }

    pub(crate) fn budget(&self) -> &Arc<QueryBudget> {
        &self.budget
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.clear();
    }
}
