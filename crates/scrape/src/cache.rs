//! The series of one target by their text, so that a line seen before needs no label work.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use skopos_model::SeriesRef;
use std::hash::BuildHasher;

/// A series not seen for so many scrapes is forgotten once such series are the larger part.
const FORGET_AFTER_SCRAPES: u32 = 10;

/// Texts of more bytes are forgotten, once they are the larger part, when one successful scrape lacks them.
const LONG_TEXTS_BYTES: usize = 64 << 20;

/// So far back it is known which scrape a series was seen in, when scrapes are numbered anew.
const KEPT_SCRAPES: u32 = 1000;

/// In `Entry::seen`: the samples come with timestamps of their own.
const OWN_TIMESTAMPS: u32 = 1 << 31;
/// In `Entry::seen`: rules drop it.
const DROPPED: u32 = 1 << 30;
/// Scrapes have numbers up to this one.
const LAST_SCRAPE: u32 = DROPPED - 1;

/// A series as its target writes it, `name{labels}`, and what storage calls it. A million of them live at
/// once.
#[derive(Debug)]
pub(crate) struct Entry {
    /// None while storage has no sample of it.
    pub(crate) series: Option<SeriesRef>,
    /// Where its text begins among all; it ends where that of the next entry begins.
    text: u32,
    /// The last scrape that had it, and flags.
    seen: u32,
}

impl Entry {
    fn seen(&self) -> u32 {
        self.seen & LAST_SCRAPE
    }

    fn set_seen(&mut self, scrape: u32) {
        self.seen = self.seen & !LAST_SCRAPE | scrape;
    }

    /// Whether its samples come with timestamps of their own, so that their end is not ours to mark.
    pub(crate) fn own_timestamps(&self) -> bool {
        self.seen & OWN_TIMESTAMPS != 0
    }

    /// The series, if its end is ours to mark.
    pub(crate) fn ends(&self) -> Option<SeriesRef> {
        self.series.filter(|_| !self.own_timestamps())
    }

    pub(crate) fn set_times(&mut self, times: Times) {
        let own = if times == Times::Own { OWN_TIMESTAMPS } else { 0 };
        self.seen = self.seen & !OWN_TIMESTAMPS | own;
    }

    /// Whether the rules for its labels drop it: storage never has a sample of it.
    pub(crate) fn is_dropped(&self) -> bool {
        self.seen & DROPPED != 0
    }

    pub(crate) fn set_dropped(&mut self) {
        self.seen |= DROPPED;
    }
}

/// The text of the entry at `place`.
#[inline]
fn text_of<'a>(entries: &[Entry], texts: &'a [u8], place: u32) -> &'a [u8] {
    let place = place as usize;
    let end = entries.get(place + 1).map_or(texts.len(), |next| next.text as usize);
    &texts[entries[place].text as usize..end]
}

/// The index of an entry. Valid until the next `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryId(u32);

/// All series of a target. Targets keep the order of their lines from scrape to scrape, so the series
/// at the same place is tried first: mostly that is one comparison and no hashing.
#[derive(Debug, Default)]
pub(crate) struct SeriesCache {
    entries: Vec<Entry>,
    /// Those of the entries, one behind the other in their order.
    texts: Vec<u8>,
    by_text: HashTable<u32>,
    /// The series of the scrape before, line by line; empty between scrapes.
    before: Vec<EntryId>,
    /// The same of the scrape under way.
    now: Vec<EntryId>,
    /// The number of the scrape under way.
    scrape: u32,
    /// The last scrape that succeeded and had a body.
    succeeded: u32,
    /// How many entries there were when the scrape under way began.
    known: usize,
}

/// Whose timestamps the samples of a series have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// They come with timestamps of their own.
    Own,
    OfScrape,
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
        if self.scrape == LAST_SCRAPE {
            self.number_anew();
        }
        self.scrape += 1;
        self.known = self.entries.len();
        let room = Vec::with_capacity(self.now.len());
        self.before = std::mem::replace(&mut self.now, room);
    }

    /// Numbers the scrapes anew, so that the next ones have numbers.
    fn number_anew(&mut self) {
        let less = self.scrape - KEPT_SCRAPES;
        for entry in &mut self.entries {
            entry.set_seen(entry.seen().saturating_sub(less));
        }
        self.succeeded = self.succeeded.saturating_sub(less);
        self.scrape = KEPT_SCRAPES;
    }

    /// The text that the next line's series has if the target keeps its order; empty if unknown.
    pub(crate) fn expected(&self) -> &[u8] {
        self.before.get(self.now.len()).map_or(&[], |id| self.text(*id))
    }

    /// How many samples the scrape before had.
    pub(crate) fn expected_lines(&self) -> usize {
        self.before.len()
    }

    /// The entry of the next line's series.
    pub(crate) fn find(&self, text: &[u8]) -> Option<EntryId> {
        if let Some(id) = self.before.get(self.now.len())
            && self.text(*id) == text
        {
            return Some(*id);
        }
        self.by_text.find(hash(text), |i| self.text(EntryId(*i)) == text).map(|i| EntryId(*i))
    }

    /// Adds a series that `find` did not find.
    pub(crate) fn insert(&mut self, text: &[u8]) -> EntryId {
        let id = u32::try_from(self.entries.len()).expect("invariant: a body has fewer than 2^32 lines");
        let narrow =
            |n: usize| u32::try_from(n).expect("invariant: the texts of three bodies are short of 4 GiB");
        let start = narrow(self.texts.len());
        self.texts.extend_from_slice(text);
        self.entries.push(Entry { series: None, text: start, seen: 0 });
        let (entries, texts) = (&self.entries, &self.texts);
        self.by_text.insert_unique(hash(text), id, |i| hash(text_of(entries, texts, *i)));
        EntryId(id)
    }

    /// The entry `id`, to be changed.
    pub(crate) fn entry(&mut self, id: EntryId) -> &mut Entry {
        &mut self.entries[id.0 as usize]
    }

    /// About how many bytes more than before the scrape under way takes.
    pub(crate) fn grown_bytes(&self) -> usize {
        let texts = match self.entries.get(self.known) {
            Some(first) => self.texts.len() - first.text as usize,
            None => 0,
        };
        // The table has an index and a byte for each.
        let each = size_of::<Entry>() + size_of::<u32>() + 1;
        texts + (self.entries.len() - self.known) * each + self.now.len() * size_of::<EntryId>()
    }

    /// Says that the next line was of this series.
    pub(crate) fn see(&mut self, id: EntryId) -> Seen {
        let (scrape, succeeded) = (self.scrape, self.succeeded);
        let entry = self.entry(id);
        let before = entry.seen();
        entry.set_seen(scrape);
        // A line that stands again and again is not to take memory each time.
        if before != scrape {
            self.now.push(id);
        }
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
        entries.filter(|e| e.seen() != self.scrape).filter_map(Entry::ends)
    }

    /// Series that the scrape before had and whose end is ours to mark.
    pub(crate) fn before(&self) -> impl Iterator<Item = SeriesRef> {
        self.before.iter().filter_map(|id| self.entries[id.0 as usize].ends())
    }

    /// The texts of all series that storage has.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &[u8]> {
        let entries = (0..).zip(&self.entries).filter(|(_, entry)| entry.series.is_some());
        entries.map(|(place, _)| text_of(&self.entries, &self.texts, place))
    }

    /// Series that the latest scrape has and whose end is ours to mark.
    pub(crate) fn present(&self) -> impl Iterator<Item = SeriesRef> {
        let entries = self.now.iter().map(|id| &self.entries[id.0 as usize]);
        entries.filter_map(Entry::ends)
    }

    /// Undoes what the scrape under way saw: it failed, so all series of the one before vanished, and
    /// those that it had first are forgotten.
    pub(crate) fn see_nothing(&mut self) {
        for id in self.now.drain(..) {
            self.entries[id.0 as usize].set_seen(self.scrape - 1);
        }
        if self.entries.len() == self.known {
            return;
        }
        for i in (0..self.entries.len() as u32).skip(self.known) {
            let hash = hash(text_of(&self.entries, &self.texts, i));
            if let Ok(found) = self.by_text.find_entry(hash, |id| *id == i) {
                found.remove();
            }
        }
        self.texts.truncate(self.entries[self.known].text as usize);
        self.entries.truncate(self.known);
        // A broken body may have been a very large one.
        self.now.shrink_to(2 * self.known);
        self.shrink();
    }

    /// Gives back what has grown by doubling, or was for more series than there are.
    fn shrink(&mut self) {
        fn to_fit<T>(list: &mut Vec<T>) {
            let room = list.len() + list.len() / 8;
            if list.capacity() > room + list.len() / 8 {
                list.shrink_to(room);
            }
        }
        to_fit(&mut self.entries);
        to_fit(&mut self.texts);
        let (entries, texts) = (&self.entries, &self.texts);
        self.by_text.shrink_to(entries.len(), |i| hash(text_of(entries, texts, *i)));
    }

    /// What storage calls the series at `id`, if it has it.
    pub(crate) fn series(&self, id: EntryId) -> Option<SeriesRef> {
        self.entries[id.0 as usize].series
    }

    /// All lines of the scrape under way.
    pub(crate) fn lines(&self) -> &[EntryId] {
        &self.now
    }

    /// How many series are remembered.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Storage did not take the scrape under way: what vanished is to vanish with the next one.
    pub(crate) fn keep_vanished(&mut self) {
        let (entries, scrape) = (&self.entries, self.scrape);
        let vanished = self.before.iter().filter(|id| entries[id.0 as usize].seen() != scrape);
        self.now.extend(vanished);
    }

    /// The text of the series at `id`.
    pub(crate) fn text(&self, id: EntryId) -> &[u8] {
        text_of(&self.entries, &self.texts, id.0)
    }

    /// Ends a scrape. Series that have not been seen for long are forgotten when they, or their texts, are
    /// the larger part: so the texts are at most twice those of some bodies.
    pub(crate) fn end(&mut self) {
        self.before = Vec::new();
        // Very long texts wait for no further scrape.
        let oldest = if self.texts.len() > LONG_TEXTS_BYTES {
            self.succeeded
        } else {
            self.scrape.saturating_sub(FORGET_AFTER_SCRAPES)
        };
        let (mut old, mut old_bytes) = (0, 0);
        for (i, _) in (0..).zip(&self.entries).filter(|(_, e)| e.seen() < oldest) {
            old += 1;
            old_bytes += text_of(&self.entries, &self.texts, i).len();
        }
        if old * 2 > self.entries.len() || old_bytes * 2 > self.texts.len() {
            self.forget_before(oldest);
            self.shrink();
        } else if self.entries.len() != self.known {
            self.shrink();
        }
    }

    /// Forgets series that no scrape since `oldest` had.
    fn forget_before(&mut self, oldest: u32) {
        let mut moved = vec![u32::MAX; self.entries.len()];
        let (mut from, mut to) = (0, 0);
        let mut end = 0;
        let texts = &mut self.texts;
        let mut ends: Vec<u32> = self.entries.iter().skip(1).map(|e| e.text).collect();
        ends.push(texts.len() as u32);
        self.entries.retain_mut(|e| {
            let keep = e.seen() >= oldest;
            if keep {
                moved[from] = to;
                to += 1;
                texts.copy_within(e.text as usize..ends[from] as usize, end as usize);
                let len = ends[from] - e.text;
                e.text = end;
                end += len;
            }
            from += 1;
            keep
        });
        self.texts.truncate(end as usize);
        for id in &mut self.now {
            id.0 = moved[id.0 as usize];
        }
        self.by_text.clear();
        let (entries, texts) = (&self.entries, &self.texts);
        let hash_of = |i: &u32| hash(text_of(entries, texts, *i));
        for i in 0..entries.len() as u32 {
            self.by_text.insert_unique(hash_of(&i), i, hash_of);
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
        cache.end();
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

    #[test]
    fn a_long_text_that_does_not_come_back_is_forgotten_though_it_is_one() {
        let mut cache = SeriesCache::default();
        let long = "x".repeat(10_000);
        scrape(&mut cache, &["a", "b", "c", &long, "d"]);
        for _ in 0..FORGET_AFTER_SCRAPES {
            assert_eq!(cache.len(), 5);
            scrape(&mut cache, &["a", "b", "c", "d"]);
        }
        scrape(&mut cache, &["a", "b", "c", "d"]);
        assert_eq!((cache.len(), cache.texts.as_slice()), (4, b"abcd".as_slice()));
        assert!(cache.texts.capacity() < 100, "{}", cache.texts.capacity());
        assert_eq!(scrape(&mut cache, &["d", "a", "x", "b"]), (vec![99], 1));
    }

    #[test]
    fn scrapes_go_on_when_their_numbers_have_been_used_up() {
        let mut cache = SeriesCache { scrape: LAST_SCRAPE - 1, ..SeriesCache::default() };
        assert_eq!(scrape(&mut cache, &["a", "b"]), (vec![], 2));
        assert_eq!(scrape(&mut cache, &["a", "c"]), (vec![98], 1));
        assert_eq!(scrape(&mut cache, &["c", "b"]), (vec![97], 0));
        assert!(cache.scrape < u32::MAX / 2);
    }

    #[test]
    fn what_a_cache_takes_fits_what_it_remembers() {
        let mut cache = SeriesCache::default();
        let texts: Vec<String> = (0..1030).map(|i| format!("metric_{{device=\"{i}\"}}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        scrape(&mut cache, &texts);
        let len: usize = texts.iter().map(|t| t.len()).sum();
        assert!(cache.texts.capacity() <= len + len / 4, "{} for {len}", cache.texts.capacity());
        assert!(cache.entries.capacity() <= 1030 + 1030 / 4, "{}", cache.entries.capacity());
        assert_eq!((size_of::<Entry>(), cache.before.capacity()), (16, 0));
    }
}
