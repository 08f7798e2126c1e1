//! `WalRef`: the number by which the WAL names a series. A number that a file has is a bare one: it is made a
//! `WalRef` by reserving it, after which no new series gets it. Never gives a number twice.

use skopos_base::sync::atomic::{AtomicU64, Ordering};

/// So high a number leaves none for new series; only damage can have made it.
const MAX: u64 = u64::MAX / 2;

/// The number of a series in the WAL. Nothing but `WalRefs` makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WalRef(u64);

impl WalRef {
    /// Before all numbers, and behind them.
    pub(super) const BOUNDS: (Self, Self) = (Self(0), Self(MAX));

    /// As records have it.
    #[inline]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

/// Which numbers have been given or found.
#[derive(Debug)]
pub(crate) struct WalRefs {
    next: AtomicU64,
}

impl Default for WalRefs {
    fn default() -> Self {
        Self { next: AtomicU64::new(1) }
    }
}

impl WalRefs {
    /// A number for a new series.
    pub(super) fn give(&self) -> WalRef {
        WalRef(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Keeps a number that was found from being given to a new series; none for one that can only come from
    /// damage. The WAL may have several for one series.
    pub(super) fn reserve(&self, found: u64) -> Option<WalRef> {
        let wal_ref = (found <= MAX).then_some(WalRef(found))?;
        self.next.fetch_max(found + 1, Ordering::Relaxed);
        Some(wal_ref)
    }

    /// What the next new series gets.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }
}

/// The number of one series, which may change.
#[derive(Debug)]
pub(super) struct NewestWalRef(AtomicU64);

impl NewestWalRef {
    pub(super) fn new(wal_ref: WalRef) -> Self {
        Self(AtomicU64::new(wal_ref.0))
    }

    #[inline]
    pub(super) fn get(&self) -> WalRef {
        WalRef(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, wal_ref: WalRef) {
        self.0.store(wal_ref.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_found_is_given_to_no_new_series() {
        let refs = WalRefs::default();
        assert_eq!(refs.give().get(), 1);
        assert_eq!(refs.reserve(41).map(WalRef::get), Some(41));
        assert_eq!(refs.reserve(7).map(WalRef::get), Some(7), "it is behind");
        assert_eq!((refs.give().get(), refs.next()), (42, 43));
        for damaged in [MAX + 1, u64::MAX] {
            assert_eq!((refs.reserve(damaged), refs.next()), (None, 43), "none would be left");
        }
        assert_eq!(refs.reserve(MAX).map(WalRef::get), Some(MAX));
    }
}
