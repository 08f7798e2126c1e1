//! `SeriesLimit`: how many series one source of samples may have in a storage. Owns the count; whoever keeps
//! the series keeps a `SeriesCharge` for each, and so gives it back when the series goes.

use crate::AppendError;
use skopos_base::sync::Mutex;
use std::sync::Arc;

/// The series that one source has made and the storage still has.
#[derive(Debug)]
pub struct SeriesLimit(Mutex<Account>);

#[derive(Debug)]
struct Account {
    bound: SeriesBound,
    used: u32,
}

/// How many series a source may have, and what that is called where an operator sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesBound {
    /// The name of the flag or of the key.
    pub name: &'static str,
    /// So many are taken; `u32::MAX` is no bound.
    pub max: u32,
}

impl SeriesLimit {
    /// An account without series.
    pub fn new(name: &'static str, max: u32) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Account { bound: SeriesBound { name, max }, used: 0 })))
    }

    /// How many may be in the account.
    pub fn bound(&self) -> SeriesBound {
        self.0.lock().bound
    }

    /// From now on there is another bound. Series that are in the account stay, however many there are.
    pub fn set_bound(&self, bound: SeriesBound) {
        self.0.lock().bound = bound;
    }

    /// Takes one series into the account.
    ///
    /// # Errors
    /// `AppendError::Limit` when there are as many as may be.
    pub fn charge(self: &Arc<Self>) -> Result<SeriesCharge, AppendError> {
        let mut account = self.0.lock();
        let SeriesBound { name, max } = account.bound;
        if account.used >= max {
            return Err(AppendError::Limit { limit: name, max: u64::from(max) });
        }
        account.used += 1;
        Ok(SeriesCharge(Arc::clone(self)))
    }

    /// Takes a series into the account that the storage has already: it is not refused, also when there are
    /// more than may be.
    pub fn charge_kept(self: &Arc<Self>) -> SeriesCharge {
        let mut account = self.0.lock();
        account.used = account.used.checked_add(1).expect("invariant: a storage has fewer than 2^32 series");
        SeriesCharge(Arc::clone(self))
    }

    /// How many series are in the account.
    pub fn used(&self) -> u32 {
        self.0.lock().used
    }
}

/// One series in the account of its source, until it is dropped.
#[derive(Debug)]
pub struct SeriesCharge(Arc<SeriesLimit>);

impl Drop for SeriesCharge {
    fn drop(&mut self) {
        let mut account = self.0.0.lock();
        account.used = account.used.checked_sub(1).expect("invariant: every charge was counted");
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

    #[test]
    fn what_is_kept_is_counted_beyond_the_bound_and_a_new_bound_holds_at_once() {
        let limit = SeriesLimit::new("a-limit", 1);
        let kept = [limit.charge_kept(), limit.charge_kept()];
        assert_eq!(limit.used(), 2);
        assert!(limit.charge().is_err());
        limit.set_bound(SeriesBound { name: "another", max: 3 });
        let third = limit.charge().unwrap();
        assert_eq!(limit.charge().unwrap_err(), AppendError::Limit { limit: "another", max: 3 });
        drop((kept, third));
        assert_eq!(limit.used(), 0);
    }
}
