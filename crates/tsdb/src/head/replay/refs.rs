//! `RefMap`: from the WAL's numbers to series. Numbers are mostly small and without gaps, but need not be;
//! however large one is, memory grows with how many there are.

use crate::head::series::SeriesIndex;
use std::collections::HashMap;

/// Stands in `dense` where there is no series; no series has this number.
const NONE: u32 = u32::MAX;

/// See above.
#[derive(Default)]
pub(super) struct RefMap {
    dense: Vec<u32>,
    sparse: HashMap<u64, SeriesIndex>,
    len: usize,
}

impl RefMap {
    /// Numbers below this are dense however few there are.
    const DENSE_MIN: usize = 1 << 16;

    pub(super) fn insert(&mut self, wal_ref: u64, series: SeriesIndex) {
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
    pub(super) fn get(&self, wal_ref: u64) -> Option<SeriesIndex> {
        match self.dense.get(wal_ref as usize) {
            Some(series) if *series != NONE => Some(SeriesIndex(*series)),
            _ => self.sparse.get(&wal_ref).copied(),
        }
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
