//! `Numbers`: the numbers of the series that a checkpoint keeps. What the log has under a number that it
//! gives to several series gets another number of the series to which it was given last before. Reads no
//! record.

use skopos_model::Labels;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    mem,
};

/// See above.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    kept: HashSet<u64>,
    /// Those of several series, of which none is kept.
    given_twice: BTreeSet<u64>,
    /// Such numbers of the series that is being told.
    told: Vec<u64>,
    /// Which number each series of such a number has in its place.
    own: HashMap<(u64, Labels), u64>,
    /// The same for the series that has it here in the log; none where nobody knows that.
    here: HashMap<u64, Option<u64>>,
    /// Those that another series had before.
    given_again: BTreeSet<u64>,
}

impl Numbers {
    /// None yet, and never one of these.
    pub(super) fn without(given_twice: &BTreeSet<u64>) -> Self {
        Self { given_twice: given_twice.clone(), ..Self::default() }
    }

    /// Keeps a series by a number; false for one that several have. A series' numbers come one after the
    /// other, the last one of which is its own.
    pub(super) fn keep(&mut self, wal_ref: u64, labels: &Labels) -> bool {
        if self.given_twice.contains(&wal_ref) {
            self.told.push(wal_ref);
            return false;
        }
        for shared in mem::take(&mut self.told) {
            self.own.insert((shared, labels.clone()), wal_ref);
        }
        self.kept.insert(wal_ref);
        true
    }

    /// The log gives a number to a series from here on; whether that is kept.
    pub(super) fn named(&mut self, wal_ref: u64, labels: &Labels) -> bool {
        if self.given_twice.contains(&wal_ref) {
            let own = self.own.get(&(wal_ref, labels.clone())).copied();
            if self.here.insert(wal_ref, own).is_some_and(|before| before != own) {
                self.given_again.insert(wal_ref);
            }
        }
        self.get(wal_ref).is_some()
    }

    /// What was given to several series up to here is nobody's.
    pub(super) fn forget_given_again(&mut self) {
        for wal_ref in mem::take(&mut self.given_again) {
            self.here.insert(wal_ref, None);
        }
    }

    /// The number under which something is kept that the log has under `wal_ref` here.
    #[inline]
    pub(super) fn get(&self, wal_ref: u64) -> Option<u64> {
        if self.kept.contains(&wal_ref) {
            return Some(wal_ref);
        }
        *self.here.get(&wal_ref)?
    }

    /// Puts that number in the place of the one that the log has; whether there is one.
    pub(super) fn renumber(&self, wal_ref: &mut u64) -> bool {
        let own = self.get(*wal_ref);
        *wal_ref = own.unwrap_or(*wal_ref);
        own.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)])
    }

    #[test]
    fn what_stands_under_a_number_of_two_series_gets_the_number_of_the_one_named_last() {
        let mut numbers = Numbers::without(&BTreeSet::from([1]));
        for (wal_ref, name, is_kept) in [
            (5, "c", true),
            (1, "a", false),
            (10, "a", true),
            (1, "b", false),
            (4, "b", true),
            (11, "b", true),
        ] {
            assert_eq!(numbers.keep(wal_ref, &labels(name)), is_kept, "{wal_ref}");
        }
        assert_eq!((numbers.get(1), numbers.get(5), numbers.get(11)), (None, Some(5), Some(11)));
        for (name, own) in [("a", Some(10)), ("b", Some(4)), ("gone", None), ("a", Some(10))] {
            assert_eq!(numbers.named(1, &labels(name)), own.is_some(), "{name}");
            assert_eq!(numbers.get(1), own, "{name}");
        }
        let mut wal_ref = 1;
        assert!(numbers.renumber(&mut wal_ref) && wal_ref == 10);
        numbers.forget_given_again();
        assert_eq!(numbers.get(1), None, "all were named at once");
        assert!(!numbers.renumber(&mut 1));
        assert!(numbers.named(1, &labels("b")));
        assert_eq!(numbers.get(1), Some(4));
    }
}
