//! `SeriesLimit`: how many series one source of samples may have in a storage. Owns the count; whoever keeps
//! the series keeps a `SeriesCharge` for each, and so gives it back when the series goes.

use crate::AppendError;
use skopos_base::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

/// The series that one source has made and the storage still has.
#[derive(Debug)]
pub struct SeriesLimit {
    name: &'static str,
    max: u32,
    used: AtomicU32,
}

impl SeriesLimit {
    /// A limit that is called `name` where an operator sets it.
    pub fn new(name: &'static str, max: u32) -> Arc<Self> {
        Arc::new(Self { name, max, used: AtomicU32::new(0) })
    }

    /// Takes one series into the account.
    ///
    /// # Errors
    /// `AppendError::Limit` when there are as many as may be.
    pub fn charge(self: &Arc<Self>) -> Result<SeriesCharge, AppendError> {
        let one_more = |used: u32| (used < self.max).then_some(used + 1);
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_) => Ok(SeriesCharge(Arc::clone(self))),
            Err(_) => Err(AppendError::Limit { limit: self.name, max: u64::from(self.max) }),
        }
    }

    /// How many series are in the account.
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Acquire)
    }
}

/// One series in the account of its source, until it is dropped.
#[derive(Debug)]
pub struct SeriesCharge(Arc<SeriesLimit>);

impl Drop for SeriesCharge {
    fn drop(&mut self) {
        let before = self.0.used.fetch_sub(1, Ordering::AcqRel);
        assert!(before > 0, "invariant: every charge was counted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let limit = SeriesLimit::new("a-limit", 2);
        let (first, _second) = (limit.charge().unwrap(), limit.charge().unwrap());
        let refused = limit.charge().unwrap_err();
        assert_eq!(refused, AppendError::Limit { limit: "a-limit", max: 2 });
        drop(first);
        assert_eq!(limit.used(), 1);
        assert!(limit.charge().is_ok());
    }
}
