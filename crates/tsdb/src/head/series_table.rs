//! `SeriesTable`: series by number. Numbers are given once, in order; a page of them goes when all of its
//! series have gone, so that series that come and go cost no memory.

use super::series::{MemSeries, SeriesIndex};
use skopos_storage::SeriesCharge;
use std::sync::Arc;

const PAGE: usize = 512;

#[derive(Debug)]
struct Page {
    /// How many places are taken.
    taken: usize,
    series: Box<[Option<Arc<MemSeries>>]>,
    /// The places of the series in the accounts of their sources. They stand here since nothing asks for
    /// them, and a series itself shall be small.
    charges: Box<[Option<SeriesCharge>]>,
}

impl Page {
    fn new() -> Self {
        Self { taken: 0, series: (0..PAGE).map(|_| None).collect(), charges: Box::default() }
    }

    fn charge(&mut self, place: usize, charge: SeriesCharge) {
        if self.charges.is_empty() {
            self.charges = (0..PAGE).map(|_| None).collect();
        }
        self.charges[place] = Some(charge);
    }
}

/// See above.
#[derive(Debug, Default)]
pub(crate) struct SeriesTable {
    pages: Vec<Option<Page>>,
    /// The next number.
    next: usize,
    len: usize,
}

impl SeriesTable {
    /// The number that the next series gets; none when all have been given.
    pub(crate) fn next_index(&self) -> Option<SeriesIndex> {
        u32::try_from(self.next).ok().filter(|i| *i < u32::MAX).map(SeriesIndex)
    }

    /// Adds a series, whose number is `next_index`. As long as it is here it keeps its place in the account
    /// of its source.
    pub(crate) fn push(&mut self, series: Arc<MemSeries>, charge: Option<SeriesCharge>) {
        assert_eq!(series.index.0 as usize, self.next, "invariant: numbers are given in order");
        let (page, place) = (self.next / PAGE, self.next % PAGE);
        if place == 0 {
            self.pages.push(None);
        }
        let page = self.pages[page].get_or_insert_with(Page::new);
        page.series[place] = Some(series);
        if let Some(charge) = charge {
            page.charge(place, charge);
        }
        page.taken += 1;
        self.next += 1;
        self.len += 1;
    }

    #[inline]
    pub(crate) fn get(&self, index: SeriesIndex) -> Option<&Arc<MemSeries>> {
        let index = index.0 as usize;
        self.pages.get(index / PAGE)?.as_ref()?.series[index % PAGE].as_ref()
    }

    /// Whether a source is charged with a series.
    pub(crate) fn is_charged(&self, index: SeriesIndex) -> bool {
        let index = index.0 as usize;
        let page = self.pages.get(index / PAGE).and_then(Option::as_ref);
        page.is_some_and(|page| page.charges.get(index % PAGE).is_some_and(Option::is_some))
    }

    /// Charges a source with a series that is here and that nobody is charged with.
    pub(crate) fn charge(&mut self, index: SeriesIndex, charge: impl FnOnce() -> SeriesCharge) {
        if self.get(index).is_none() || self.is_charged(index) {
            return;
        }
        let index = index.0 as usize;
        if let Some(page) = &mut self.pages[index / PAGE] {
            page.charge(index % PAGE, charge());
        }
    }

    /// Takes this series out; whether it was there.
    pub(crate) fn take(&mut self, series: &Arc<MemSeries>) -> bool {
        if !self.get(series.index).is_some_and(|s| Arc::ptr_eq(s, series)) {
            return false;
        }
        let index = series.index.0 as usize;
        let place = &mut self.pages[index / PAGE];
        if let Some(page) = place {
            page.series[index % PAGE] = None;
            if let Some(charge) = page.charges.get_mut(index % PAGE) {
                *charge = None;
            }
            page.taken -= 1;
            if page.taken == 0 {
                *place = None;
            }
        }
        self.len -= 1;
        true
    }

    /// As if all numbers had been given.
    #[cfg(test)]
    pub(crate) fn spend_numbers(&mut self) {
        self.next = u32::MAX as usize;
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<MemSeries>> {
        self.pages.iter().flatten().flat_map(|page| page.series.iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::wal_ref::WalRefs;
    use skopos_model::Labels;

    #[test]
    fn numbers_grow_and_empty_pages_go() {
        let mut table = SeriesTable::default();
        let wal_ref = WalRefs::default().give();
        let make = |table: &mut SeriesTable| {
            let index = table.next_index().unwrap();
            let series = Arc::new(MemSeries::new((&Labels::empty()).into(), index, wal_ref));
            table.push(Arc::clone(&series), None);
            series
        };
        for round in 0..20 {
            let made: Vec<_> = (0..PAGE + 7).map(|_| make(&mut table)).collect();
            assert_eq!(made[0].index.0 as usize, round * (PAGE + 7));
            assert!(made.iter().all(|s| table.get(s.index).is_some_and(|f| Arc::ptr_eq(f, s))));
            assert_eq!((table.len(), table.iter().count()), (made.len(), made.len()));
            assert!(made.iter().all(|s| table.take(s) && !table.take(s) && table.get(s.index).is_none()));
            assert_eq!((table.len(), table.pages.iter().flatten().count()), (0, 0));
        }
        assert!(table.get(SeriesIndex(u32::MAX)).is_none());
    }
}
