//! `Batches`: which batches are being gathered. A series that one of them has a sample for stays, though it
//! may have no sample yet.

use skopos_base::sync::Mutex;
use std::collections::BTreeSet;

/// The number of a batch; grows from batch to batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchNumber(u64);

impl BatchNumber {
    /// What a series notes that the batch has a sample for; never zero.
    #[inline]
    pub(crate) fn pending(self) -> u64 {
        2 * self.0
    }

    /// What a series notes that the batch has found and may have a sample for; never zero.
    #[inline]
    pub(crate) fn kept(self) -> u64 {
        2 * self.0 - 1
    }
}

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Batches(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    living: BTreeSet<u64>,
}

impl Batches {
    /// The number of a batch that begins.
    pub(crate) fn begin(&self) -> BatchNumber {
        let mut inner = self.0.lock();
        inner.last += 1;
        let number = inner.last;
        inner.living.insert(number);
        BatchNumber(number)
    }

    /// Ends a batch.
    pub(crate) fn end(&self, number: BatchNumber) {
        self.0.lock().living.remove(&number.0);
    }

    /// The oldest batch that is being gathered, or the next one.
    pub(crate) fn oldest(&self) -> BatchNumber {
        let inner = self.0.lock();
        BatchNumber(inner.living.first().copied().unwrap_or(inner.last + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_the_oldest_that_has_not_ended() {
        let batches = Batches::default();
        assert_eq!(batches.oldest(), BatchNumber(1));
        let (one, two) = (batches.begin(), batches.begin());
        assert_eq!((batches.oldest(), one < two), (one, true));
        batches.end(one);
        assert_eq!(batches.oldest(), two);
        batches.end(two);
        assert_eq!(batches.oldest(), BatchNumber(3));
        assert!(one.kept() > 0 && one.pending() < two.kept() && two.kept() < two.pending());
    }
}
