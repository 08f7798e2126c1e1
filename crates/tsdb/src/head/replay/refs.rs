//! `RefMap`: from the WAL's numbers to series. Numbers are mostly small and without gaps, but need not be;
//! however large one is, memory grows with how many there are.

use super::{twice::GivenTwice, unsure::Owners};
use crate::{head::series::SeriesIndex, head_chunks::ChunkMeta};
use std::collections::{BTreeSet, HashMap};

/// Stands in `dense` where there is no series; no series has this number.
const NONE: u32 = u32::MAX;

/// See above.
#[derive(Default)]
pub(in crate::head) struct RefMap {
    dense: Vec<u32>,
    sparse: HashMap<u64, SeriesIndex>,
    len: usize,
    /// Numbers that are known to be several series'.
    twice: GivenTwice,
    /// To which, as far as the log has been read.
    pub(super) owners: Owners,
    /// Those of them that were given to another series since.
    given_again: BTreeSet<u64>,
    /// The first number that turned out to be several series'.
    contradicted: Option<u64>,
    /// Series that got a number of their own.
    pub(super) renumbered: Vec<SeriesIndex>,
}

impl RefMap {
    /// Numbers below this are dense however few there are.
    const DENSE_MIN: usize = 1 << 16;

    pub(in crate::head) fn insert(&mut self, wal_ref: u64, series: SeriesIndex) {
        self.len += 1;
        let limit = Self::DENSE_MIN.max(self.len * 8);
        match usize::try_from(wal_ref).ok().filter(|at| *at < limit) {
            Some(at) => {
                if self.dense.len() <= at {
                    self.dense.resize(at + 1, NONE);
                }
                self.sparse.remove(&wal_ref);
                self.dense[at] = series.0;
            }
            None => {
                self.sparse.insert(wal_ref, series);
            }
        }
    }

    #[inline]
    pub(in crate::head) fn get(&self, wal_ref: u64) -> Option<SeriesIndex> {
        match self.dense.get(wal_ref as usize) {
            Some(series) if *series != NONE => Some(SeriesIndex(*series)),
            _ => self.sparse.get(&wal_ref).copied(),
        }
    }

    /// From now on these numbers are known to be several series'.
    pub(super) fn know(&mut self, twice: GivenTwice) {
        self.twice = twice;
    }

    #[inline]
    pub(super) fn is_given_twice(&self, wal_ref: u64) -> bool {
        self.twice.has(wal_ref)
    }

    /// What chunk files have under such numbers.
    pub(super) fn chunks_of_several(&self) -> &[(u64, ChunkMeta)] {
        self.twice.chunks()
    }

    /// Notes that a number is another series' too.
    pub(super) fn contradict(&mut self, wal_ref: u64) {
        self.contradicted.get_or_insert(wal_ref);
    }

    /// The first number that turned out to be several series'.
    #[inline]
    pub(super) fn contradicted(&self) -> Option<u64> {
        self.contradicted
    }

    /// Behind here in the log a number that is several series' is this one's.
    pub(super) fn insert_given_twice(&mut self, wal_ref: u64, series: SeriesIndex) {
        if self.get(wal_ref).is_some_and(|before| before != series) {
            self.given_again.insert(wal_ref);
        }
        self.owners.entry(wal_ref).or_default().insert(series);
        self.insert(wal_ref, series);
    }

    /// Behind a checkpoint, which gives all names at once: what was given to two series there is nobody's.
    pub(super) fn forget_given_again(&mut self) {
        std::mem::take(&mut self.given_again).into_iter().for_each(|wal_ref| self.remove(wal_ref));
    }

    /// Behind the log: what is several series' there is nobody's elsewhere.
    pub(super) fn forget_given_twice(&mut self) {
        self.twice.numbers().clone().into_iter().for_each(|wal_ref| self.remove(wal_ref));
    }

    fn remove(&mut self, wal_ref: u64) {
        if let Some(series) = usize::try_from(wal_ref).ok().and_then(|at| self.dense.get_mut(at)) {
            *series = NONE;
        }
        self.sparse.remove(&wal_ref);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_are_found() {
        let mut refs = RefMap::default();
        let numbers = [1, 2, 65_535, 65_536, 1 << 20, 1 << 40, u64::MAX / 2];
        for (i, wal_ref) in numbers.into_iter().enumerate() {
            assert_eq!(refs.get(wal_ref), None);
            refs.insert(wal_ref, SeriesIndex(i as u32));
        }
        // A number that was sparse becomes dense when there are more.
        (3..200_000).for_each(|wal_ref| refs.insert(wal_ref, SeriesIndex(7)));
        refs.insert(1 << 20, SeriesIndex(8));
        for (wal_ref, series) in [(1, 0), (2, 1), (65_536, 7), (1 << 20, 8), (1 << 40, 5), (u64::MAX / 2, 6)]
        {
            assert_eq!(refs.get(wal_ref), Some(SeriesIndex(series)), "{wal_ref}");
        }
        assert_eq!(refs.get(0), None);
        assert_eq!(refs.get(u64::MAX), None);
    }
}
