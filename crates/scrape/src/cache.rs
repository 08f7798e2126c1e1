//! The series of one target by their text, so that a line seen before needs no label work.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use skopos_model::SeriesRef;
use std::hash::BuildHasher;

/// A series not seen for so many scrapes is forgotten once such series are the larger part.
const FORGET_AFTER_SCRAPES: u64 = 10;

/// A series as its target writes it, `name{labels}`, and what storage calls it.
#[derive(Debug)]
pub(crate) struct Entry {
    text: Box<[u8]>,
    /// None while storage has no sample of it.
    pub(crate) series: Option<SeriesRef>,
    /// The last scrape that had it.
    pub(crate) seen: u64,
    /// Its samples come with timestamps of their own, so their end is not ours to mark.
    pub(crate) own_timestamps: bool,
}

/// The index of an entry. Valid until the next `forget_old`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryId(u32);

/// All series of a target. Targets keep the order of their lines from scrape to scrape, so the series
/// at the same place is tried first: mostly that is one comparison and no hashing.
#[derive(Debug, Default)]
pub(crate) struct SeriesCache {
    entries: Vec<Entry>,
    by_text: HashTable<u32>,
    /// The series of the scrape before, line by line.
    before: Vec<EntryId>,
    /// The same of the scrape under way.
    now: Vec<EntryId>,
    /// The number of the scrape under way.
    scrape: u64,
    /// The last scrape that succeeded and had a body.
    succeeded: u64,
    /// How many entries there were when the scrape under way began.
    known: usize,
}

/// What a series is to the scrape that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The last scrape that succeeded had it too.
    Known,
    /// It is there again, after scrapes that succeeded without it.
    Back,
    /// The same scrape had it already.
    Twice,
}

impl SeriesCache {
    /// Begins a scrape: what was the present becomes the one before.
    pub(crate) fn begin(&mut self) {
        self.scrape += 1;
        self.known = self.entries.len();
        std::mem::swap(&mut self.before, &mut self.now);
        self.now.clear();
    }

    /// The text that the next line's series has if the target keeps its order; empty if unknown.
    pub(crate) fn expected(&self) -> &[u8] {
        self.before.get(self.now.len()).map_or(&[], |id| &self.entries[id.0 as usize].text)
    }

    /// The entry of the next line's series.
    pub(crate) fn find(&self, text: &[u8]) -> Option<EntryId> {
        if let Some(id) = self.before.get(self.now.len())
            && *self.entries[id.0 as usize].text == *text
        {
            return Some(*id);
        }
        let entries = &self.entries;
        self.by_text.find(hash(text), |i| *entries[*i as usize].text == *text).map(|i| EntryId(*i))
    }

    /// Adds a series that `find` did not find.
    pub(crate) fn insert(&mut self, text: &[u8]) -> EntryId {
        let id = u32::try_from(self.entries.len()).expect("invariant: a body has fewer than 2^32 lines");
        self.entries.push(Entry { text: text.into(), series: None, seen: 0, own_timestamps: false });
        let entries = &self.entries;
        self.by_text.insert_unique(hash(text), id, |i| hash(&entries[*i as usize].text));
        EntryId(id)
    }

    /// The entry `id`, to be changed.
    pub(crate) fn entry(&mut self, id: EntryId) -> &mut Entry {
        &mut self.entries[id.0 as usize]
    }

    /// Says that the next line was of this series.
    pub(crate) fn see(&mut self, id: EntryId) -> Seen {
        self.now.push(id);
        let (scrape, succeeded) = (self.scrape, self.succeeded);
        let before = std::mem::replace(&mut self.entry(id).seen, scrape);
        match before {
            _ if before == scrape => Seen::Twice,
            _ if before < succeeded => Seen::Back,
            _ => Seen::Known,
        }
    }

    /// Says that the scrape under way succeeded and had a body.
    pub(crate) fn succeed(&mut self) {
        self.succeeded = self.scrape;
    }

    /// Series of the scrape before that the present one does not have.
    pub(crate) fn vanished(&self) -> impl Iterator<Item = SeriesRef> {
        let entries = self.before.iter().map(|id| &self.entries[id.0 as usize]);
        entries.filter(|e| e.seen != self.scrape && !e.own_timestamps).filter_map(|e| e.series)
    }

    /// Series that the latest scrape has and whose end is ours to mark.
    pub(crate) fn present(&self) -> impl Iterator<Item = SeriesRef> {
        let entries = self.now.iter().map(|id| &self.entries[id.0 as usize]);
        entries.filter(|e| !e.own_timestamps).filter_map(|e| e.series)
    }

    /// Undoes what the scrape under way saw: it failed, so all series of the one before vanished, and
    /// those that it had first are forgotten.
    pub(crate) fn see_nothing(&mut self) {
        for id in self.now.drain(..) {
            self.entries[id.0 as usize].seen = self.scrape - 1;
        }
        if self.entries.len() == self.known {
            return;
        }
        for (i, entry) in self.entries.iter().enumerate().skip(self.known) {
            if let Ok(found) = self.by_text.find_entry(hash(&entry.text), |id| *id as usize == i) {
                found.remove();
            }
        }
        self.entries.truncate(self.known);
        // A broken body may have been a very large one.
        self.entries.shrink_to(2 * self.known);
        self.now.shrink_to(2 * self.known);
        let entries = &self.entries;
        self.by_text.shrink_to(2 * self.known, |i| hash(&entries[*i as usize].text));
    }

    /// How many series are remembered.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Storage did not take the scrape under way: what vanished is to vanish with the next one.
    pub(crate) fn keep_vanished(&mut self) {
        let (entries, scrape) = (&self.entries, self.scrape);
        let vanished = self.before.iter().filter(|id| entries[id.0 as usize].seen != scrape);
        self.now.extend(vanished);
    }

    /// The text of the series at `id`.
    pub(crate) fn text(&self, id: EntryId) -> &[u8] {
        &self.entries[id.0 as usize].text
    }

    /// Forgets series that have not been seen for long when they are the larger part.
    pub(crate) fn forget_old(&mut self) {
        let oldest = self.scrape.saturating_sub(FORGET_AFTER_SCRAPES);
        let old = self.entries.iter().filter(|e| e.seen < oldest).count();
        if old * 2 <= self.entries.len() {
            return;
        }
        let mut moved = vec![u32::MAX; self.entries.len()];
        let (mut from, mut to) = (0, 0);
        self.entries.retain(|e| {
            let keep = e.seen >= oldest;
            if keep {
                moved[from] = to;
                to += 1;
            }
            from += 1;
            keep
        });
        for id in &mut self.now {
            id.0 = moved[id.0 as usize];
        }
        self.before.clear();
        self.by_text.clear();
        let entries = &self.entries;
        for (i, entry) in (0..).zip(entries) {
            self.by_text.insert_unique(hash(&entry.text), i, |i| hash(&entries[*i as usize].text));
        }
    }
}

fn hash(text: &[u8]) -> u64 {
    // The table is one target's own and bounded by its body's size; a sender that makes its series
    // collide slows down nobody but its own scrape, which has a time limit.
    FixedState::default().hash_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scrapes these texts; returns those that vanished and how many were new.
    fn scrape(cache: &mut SeriesCache, texts: &[&str]) -> (Vec<u64>, usize) {
        cache.begin();
        let mut new = 0;
        for text in texts {
            let id = cache.find(text.as_bytes()).unwrap_or_else(|| {
                new += 1;
                let id = cache.insert(text.as_bytes());
                cache.entry(id).series = SeriesRef::new(text.bytes().next().unwrap().into());
                id
            });
            cache.see(id);
        }
        let gone = cache.vanished().map(SeriesRef::get).collect();
        cache.forget_old();
        (gone, new)
    }

    #[test]
    fn series_are_known_again_in_any_order() {
        let mut cache = SeriesCache::default();
        assert_eq!(scrape(&mut cache, &["a", "b", "c"]), (vec![], 3));
        assert_eq!(scrape(&mut cache, &["a", "b", "c"]), (vec![], 0));
        assert_eq!(scrape(&mut cache, &["c", "a", "b", "d"]), (vec![], 1));
        assert_eq!(scrape(&mut cache, &["c"]), (vec![97, 98, 100], 0));
        assert_eq!(scrape(&mut cache, &["c"]), (vec![], 0));
        assert_eq!(scrape(&mut cache, &["a", "c"]), (vec![], 0));
    }

    #[test]
    fn a_series_that_stands_twice_is_seen_once() {
        let mut cache = SeriesCache::default();
        cache.begin();
        let id = cache.insert(b"a");
        assert_eq!(cache.see(id), Seen::Known);
        assert_eq!(cache.see(id), Seen::Twice);
    }

    #[test]
    fn a_series_is_back_when_successful_scrapes_were_without_it() {
        let mut cache = SeriesCache::default();
        let mut scrape = |has_it: bool, succeeds: bool| {
            cache.begin();
            let seen = has_it.then(|| {
                let found = cache.find(b"a");
                let id = found.unwrap_or_else(|| cache.insert(b"a"));
                cache.see(id)
            });
            if succeeds {
                cache.succeed();
            } else {
                cache.see_nothing();
            }
            seen
        };
        assert_eq!(scrape(true, true), Some(Seen::Known));
        assert_eq!(scrape(false, false), None);
        assert_eq!(scrape(true, false), Some(Seen::Known));
        assert_eq!(scrape(true, true), Some(Seen::Known));
        assert_eq!(scrape(false, true), None);
        assert_eq!(scrape(true, true), Some(Seen::Back));
        assert_eq!(scrape(true, true), Some(Seen::Known));
    }

    #[test]
    fn a_failed_scrape_makes_all_vanish() {
        let mut cache = SeriesCache::default();
        scrape(&mut cache, &["a", "b"]);
        cache.begin();
        let id = cache.find(b"a").unwrap();
        cache.see(id);
        cache.see_nothing();
        assert_eq!(cache.vanished().count(), 2);
        assert_eq!(scrape(&mut cache, &["a", "b"]), (vec![], 0));
    }

    #[test]
    fn what_a_failed_scrape_had_first_is_forgotten() {
        let mut cache = SeriesCache::default();
        scrape(&mut cache, &["a", "b"]);
        for i in 0..1000 {
            cache.begin();
            for text in ["b".to_owned(), format!("x{i}"), format!("y{i}")] {
                let id = cache.find(text.as_bytes()).unwrap_or_else(|| cache.insert(text.as_bytes()));
                cache.see(id);
            }
            cache.see_nothing();
            assert_eq!((cache.entries.len(), cache.by_text.len()), (2, 2));
        }
        assert_eq!(scrape(&mut cache, &["x1", "a", "b"]), (vec![], 1));
        assert_eq!(scrape(&mut cache, &["x1", "a", "b"]), (vec![], 0));
    }

    #[test]
    fn series_that_never_come_back_are_forgotten() {
        let mut cache = SeriesCache::default();
        for i in 0..1000 {
            let text = format!("x{i}");
            assert_eq!(scrape(&mut cache, &["a", &text]).1, if i == 0 { 2 } else { 1 });
            assert!(cache.entries.len() < 60, "{}", cache.entries.len());
        }
        assert_eq!(scrape(&mut cache, &["a", "x999"]), (vec![], 0));
    }
}
