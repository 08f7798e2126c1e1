//! `Work`: counts what a query touches and asks its budget now and then, so that a query can be ended in
//! the middle of a single series or window too. Owns no limit.

use skopos_storage::{QueryBudget, QueryError};
use std::sync::Arc;

/// After so many samples touched the budget is asked: each costs some nanoseconds at most, so a query
/// that nobody waits for ends within a few milliseconds.
pub(crate) const WORK_PER_CHECK: usize = 1 << 16;

/// What may still be touched before the budget is asked again.
#[derive(Debug)]
pub(crate) struct Work {
    budget: Arc<QueryBudget>,
    left: usize,
}

impl Work {
    pub(crate) fn new(budget: &Arc<QueryBudget>) -> Self {
        Self { budget: Arc::clone(budget), left: WORK_PER_CHECK }
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

    #[cold]
    fn ask(&mut self) -> Result<(), QueryError> {
        self.left = WORK_PER_CHECK;
        self.budget.check()
    }
}
