//! `Registry`: all series of the head, found by labels, by reference and by matchers. Series are
//! numbered in the order in which they are made; a number is never given twice.
//!
//! A series that the WAL does not name is there for the batches that hold it: whoever finds it holds it
//! (`find`, `get_or_create`), under the lock under which it was found. The last batch to let it go takes
//! it out again (`release`), under both locks under which one is found, so that nobody finds it meanwhile.

use super::{
    postings::Postings,
    series::{MemSeries, SeriesIndex},
    series_labels::Pair,
    series_table::SeriesTable,
};
use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};
use skopos_model::{Labels, SeriesRef};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A place in the table, and one in a shard, which is two thirds full.
const BYTES_TO_FIND: usize = 8 + 9 * 3 / 2;
/// Many, so that appenders seldom meet.
const SHARDS: usize = 256;
/// Series taken out together: each long list of postings is walked once for all of them.
const REMOVE_AT_ONCE: usize = 64 << 10;
/// Series looked at before a lock is let go.
const STRIDE: usize = 256;
/// Entries of postings looked at before their lock is let go.
const POSTINGS_AT_ONCE: usize = 32 << 10;
/// Finding a list costs about as much as so many entries.
const ENTRIES_A_LIST: usize = 32;

/// All series.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Box<[RwLock<Shard>]>,
    table: RwLock<SeriesTable>,
    postings: RwLock<Postings>,
    next_wal_ref: AtomicU64,
    max_series: u32,
}

/// By the hash of the labels, which the series knows: an entry is a pointer alone.
#[derive(Debug, Default)]
struct Shard(HashTable<Arc<MemSeries>>);

impl Shard {
    fn find(&self, hash: u64, labels: &Labels) -> Option<&Arc<MemSeries>> {
        self.0.find(hash, |s| s.labels.hash64() == hash && s.labels.is(labels))
    }

    fn insert(&mut self, series: &Arc<MemSeries>) {
        self.0.insert_unique(series.labels.hash64(), Arc::clone(series), |s| s.labels.hash64());
    }

    fn remove(&mut self, series: &Arc<MemSeries>) {
        if let Ok(entry) = self.0.find_entry(series.labels.hash64(), |s| Arc::ptr_eq(s, series)) {
            entry.remove();
        }
        if self.0.capacity() > 4 * self.0.len() + 64 {
            self.0.shrink_to(2 * self.0.len(), |s| s.labels.hash64());
        }
    }
}

/// A series as a batch finds it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) series: Arc<MemSeries>,
    /// Whether it was made.
    pub(crate) created: bool,
    /// Whether it is held, and has to be released.
    pub(crate) held: bool,
}

impl Found {
    /// Holds a series under a lock under which it was found.
    fn hold(series: &Arc<MemSeries>, created: bool) -> Self {
        Self { held: series.hold_unlogged(), series: Arc::clone(series), created }
    }
}

/// There are as many series as may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManySeries;

/// How a series comes to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// An appender; the WAL does not name it yet.
    Appender,
    /// A replay; the WAL names it by this number.
    Wal(u64),
}

impl Registry {
    pub(crate) fn new(max_series: u32) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            table: RwLock::default(),
            postings: RwLock::default(),
            next_wal_ref: AtomicU64::new(1),
            max_series,
        }
    }

    /// The series of these labels, made when there is none. It is held when the WAL does not name it.
    pub(crate) fn get_or_create(&self, labels: &Labels, origin: Origin) -> Result<Found, TooManySeries> {
        self.get_or_create_hashed(labels.hash64(), labels, origin)
    }

    fn get_or_create_hashed(
        &self,
        hash: u64,
        labels: &Labels,
        origin: Origin,
    ) -> Result<Found, TooManySeries> {
        if let Some(series) = self.shard(hash).read().find(hash, labels) {
            return Ok(Found::hold(series, false));
        }
        let mut shard = self.shard(hash).write();
        if let Some(series) = shard.find(hash, labels) {
            return Ok(Found::hold(series, false));
        }
        // Held while the number is given: postings grow by growing numbers only.
        let mut postings = self.postings.write();
        let mut table = self.table.write();
        if table.len() >= self.max_series as usize {
            return Err(TooManySeries);
        }
        let index = table.next_index().ok_or(TooManySeries)?;
        let (wal_ref, logged) = match origin {
            Origin::Appender => (self.next_wal_ref.fetch_add(1, Ordering::Relaxed), false),
            Origin::Wal(wal_ref) => {
                self.reserve_wal_ref(wal_ref);
                (wal_ref, true)
            }
        };
        let labels = postings.add(index, labels, hash);
        let series = Arc::new(MemSeries::new(labels, index, wal_ref, logged));
        let found = Found::hold(&series, true);
        table.push(Arc::clone(&series));
        drop(table);
        drop(postings);
        shard.insert(&series);
        Ok(found)
    }

    /// Whether there is a series of these labels.
    pub(crate) fn contains(&self, labels: &Labels) -> bool {
        let hash = labels.hash64();
        self.shard(hash).read().find(hash, labels).is_some()
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        &self.shards[shard_of(hash)]
    }

    /// The series of a reference. It is held when the WAL does not name it.
    pub(crate) fn find(&self, series: SeriesRef) -> Option<Found> {
        self.table().by_ref(series).map(|series| Found::hold(series, false))
    }

    /// Lets go what a batch held. Takes out what no other batch holds and the WAL does not name, hence what
    /// has no sample; returns how many series that were.
    pub(crate) fn release(&self, held: impl Iterator<Item = Arc<MemSeries>>) -> usize {
        let unused: Vec<SeriesIndex> = held.filter(|s| s.let_go()).map(|s| s.index).collect();
        // Another batch may have found one since, and even have let it go and taken it out.
        self.remove_if(&unused, MemSeries::is_unused)
    }

    /// Takes those of `candidates` out that `may_go`; returns how many went. It is asked, once more and for
    /// good, while nobody can find the series, and must say no to what a batch holds. Ingestion goes on
    /// meanwhile: no lock is held for more than a stride of series or of postings.
    ///
    /// A number may stand in postings for a while when its series has gone from the table: who reads
    /// postings asks the table.
    pub(crate) fn remove_if(&self, candidates: &[SeriesIndex], may_go: impl Fn(&MemSeries) -> bool) -> usize {
        let mut removed = 0;
        for candidates in candidates.chunks(REMOVE_AT_ONCE) {
            let mut gone: Vec<Arc<MemSeries>> = Vec::new();
            for part in candidates.chunks(STRIDE) {
                let first = gone.len();
                let table = self.table();
                gone.extend(part.iter().filter_map(|i| table.get(*i).cloned()));
                drop(table);
                // Series that stay are not to be asked under the locks below.
                let mut at = 0;
                gone.retain(|s| {
                    at += 1;
                    at <= first || may_go(s)
                });
            }
            gone.sort_unstable_by_key(|s| shard_of(s.labels.hash64()));
            self.take_from_table(&mut gone, &may_go);
            gone.sort_unstable_by_key(|s| s.index);
            self.take_from_postings(&gone);
            removed += gone.len();
        }
        removed
    }

    /// Takes series, which come by shard, out of their shards and the table; leaves in `gone` those it took.
    fn take_from_table(&self, gone: &mut Vec<Arc<MemSeries>>, may_go: &impl Fn(&MemSeries) -> bool) {
        let mut kept = Vec::with_capacity(gone.len());
        for same in gone.chunk_by(|a, b| shard_of(a.labels.hash64()) == shard_of(b.labels.hash64())) {
            for part in same.chunks(STRIDE) {
                let mut shard = self.shard(part[0].labels.hash64()).write();
                let mut table = self.table.write();
                for series in part {
                    if may_go(series) && table.take(series) {
                        shard.remove(series);
                        kept.push(Arc::clone(series));
                    }
                }
            }
        }
        *gone = kept;
    }

    /// Takes series, which come by number, out of postings.
    fn take_from_postings(&self, gone: &[Arc<MemSeries>]) {
        let ids: Vec<u32> = gone.iter().map(|s| s.index.0).collect();
        // A pair is one allocation for all of its series, so that its address tells it.
        let mut pairs: Vec<&Arc<Pair>> = gone.iter().flat_map(|s| s.labels.pairs()).collect();
        pairs.sort_unstable_by_key(|p| Arc::as_ptr(p));
        pairs.dedup_by_key(|p| Arc::as_ptr(p));
        let mut rest = pairs.into_iter().peekable();
        while rest.peek().is_some() {
            let mut postings = self.postings.write();
            let mut looked_at = 0;
            while looked_at < POSTINGS_AT_ONCE
                && let Some(pair) = rest.next()
            {
                looked_at += ENTRIES_A_LIST + postings.remove_from(pair.name(), pair.value(), &ids);
            }
        }
        if !ids.is_empty() {
            self.postings.write().remove_from_all(&ids);
        }
    }

    /// Keeps a number of the WAL from being given to a new series. The WAL may have several for one.
    pub(crate) fn reserve_wal_ref(&self, wal_ref: u64) {
        self.next_wal_ref.fetch_max(wal_ref.saturating_add(1), Ordering::Relaxed);
    }

    /// Access to series by number. To be held shortly: new series wait for it.
    pub(crate) fn table(&self) -> Table<'_> {
        Table(self.table.read())
    }

    pub(crate) fn postings(&self) -> RwLockReadGuard<'_, Postings> {
        self.postings.read()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.read().len()
    }

    /// About how many bytes all of it takes: series, their labels and chunks, and what finds them.
    pub(crate) fn heap_bytes(&self) -> usize {
        let found_by = self.postings().heap_bytes() + self.len() * BYTES_TO_FIND;
        found_by + self.table().iter().map(|s| s.heap_bytes()).sum::<usize>()
    }
}

/// The table inside a shard goes by the uppermost bits and the lowest ones.
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

/// The series by number.
pub(crate) struct Table<'a>(RwLockReadGuard<'a, SeriesTable>);

impl Table<'_> {
    #[inline]
    pub(crate) fn get(&self, index: SeriesIndex) -> Option<&Arc<MemSeries>> {
        self.0.get(index)
    }

    #[inline]
    pub(crate) fn by_ref(&self, series: SeriesRef) -> Option<&Arc<MemSeries>> {
        self.get(index_of(series)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<MemSeries>> {
        self.0.iter()
    }
}

/// The reference by which appenders know a series.
pub(crate) fn ref_of(index: SeriesIndex) -> SeriesRef {
    SeriesRef::new(u64::from(index.0) + 1).expect("invariant: one more than a number is not zero")
}

fn index_of(series: SeriesRef) -> Option<SeriesIndex> {
    u32::try_from(series.get() - 1).ok().map(SeriesIndex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(value: &str) -> Labels {
        Labels::from_pairs([("a", value)])
    }

    #[test]
    fn series_of_equal_hash_are_told_apart() {
        let registry = Registry::new(10);
        let made: Vec<_> = ["x", "y", "z"]
            .iter()
            .map(|v| registry.get_or_create_hashed(7, &labels(v), Origin::Appender).unwrap())
            .collect();
        for (i, Found { series, created, .. }) in made.iter().enumerate() {
            assert!(created);
            assert_eq!(series.index, SeriesIndex(i as u32));
            let labels = series.labels.to_labels();
            let again = registry.get_or_create_hashed(7, &labels, Origin::Appender).unwrap();
            assert!(!again.created && Arc::ptr_eq(&again.series, series));
        }
    }

    #[test]
    fn a_series_that_goes_leaves_those_of_its_hash() {
        for gone in 0..3 {
            let registry = Registry::new(10);
            let all = ["x", "y", "z"].map(labels);
            let make = |l| registry.get_or_create_hashed(7, l, Origin::Appender).unwrap();
            let made: Vec<_> = all.iter().map(|l| make(l).series).collect();
            assert!(registry.release([Arc::clone(&made[gone])].into_iter()) == 1);
            let again = registry.remove_if(&[made[gone].index], |_| true);
            assert_eq!(again, 0, "it goes once");
            for (i, labels) in all.iter().enumerate() {
                let postings = registry.postings().values("a").unwrap().get(labels.value("a")).to_vec();
                assert_eq!(postings.is_empty(), i == gone);
                assert_eq!(registry.find(ref_of(made[i].index)).is_none(), i == gone);
                let again = make(labels);
                assert_eq!((again.created, Arc::ptr_eq(&again.series, &made[i])), (i == gone, i != gone));
                assert_eq!(again.series.index == made[i].index, i != gone, "a number is not given twice");
            }
        }
    }

    #[test]
    fn a_series_stays_while_a_batch_holds_it_or_the_wal_names_it() {
        let registry = Registry::new(1);
        let make = || registry.get_or_create(&labels("x"), Origin::Appender).unwrap().series;
        let (first, second) = (make(), make());
        let third = registry.find(ref_of(first.index)).unwrap().series;
        let release = |s: &Arc<MemSeries>| registry.release([Arc::clone(s)].into_iter());
        assert_eq!([&first, &second].map(release), [0, 0]);
        assert_eq!(release(&third), 1);
        assert_eq!((registry.len(), registry.postings().names().count()), (0, 0));
        let again = make();
        again.set_logged();
        assert_eq!(release(&again), 0);
        assert_eq!(registry.len(), 1);
    }

    /// Against a registry that never had what went.
    #[test]
    fn many_series_go_at_once_and_leave_the_rest() {
        let labels = |i: u32| {
            let (one, some) = (i.to_string(), (i / 10 % 7).to_string());
            Labels::from_pairs([("all", "x"), ("one", one.as_str()), ("some", some.as_str())])
        };
        for (every, offset) in [(2, 0), (3, 1), (1, 0), (1000, 999), (100, 7)] {
            let registry = Registry::new(10_000);
            let all: Vec<_> = (0..3000)
                .map(|i| registry.get_or_create(&labels(i), Origin::Wal(u64::from(i) + 1)).unwrap().series)
                .collect();
            let goes = |i: u32| i % every == offset;
            let candidates: Vec<SeriesIndex> = all.iter().rev().map(|s| s.index).collect();
            let twice = [&candidates[..], &candidates[..]].concat();
            let expected = (0..3000).filter(|i| goes(*i)).count();
            assert_eq!(registry.remove_if(&twice, |s| goes(s.index.0)), expected);
            assert_eq!(registry.remove_if(&candidates, |s| goes(s.index.0)), 0);
            let mut left = Postings::default();
            for series in all.iter().filter(|s| !goes(s.index.0)) {
                left.add(series.index, &series.labels.to_labels(), 0);
            }
            assert_eq!(*registry.postings(), left, "every {every}");
            assert_eq!(registry.len(), 3000 - expected);
            for (i, series) in (0..3000).zip(&all) {
                assert_eq!(registry.find(ref_of(series.index)).is_none(), goes(i));
                let again = registry.get_or_create(&labels(i), Origin::Appender).unwrap();
                assert_eq!(again.created, goes(i));
            }
        }
    }

    #[test]
    fn references_of_the_wal_are_never_given_again() {
        let registry = Registry::new(10);
        registry.get_or_create(&labels("x"), Origin::Wal(41)).unwrap();
        let series = registry.get_or_create(&labels("y"), Origin::Appender).unwrap().series;
        assert_eq!((series.wal_ref, series.is_logged()), (42, false));
    }

    #[test]
    fn no_more_series_than_allowed() {
        let registry = Registry::new(1);
        registry.get_or_create(&labels("x"), Origin::Appender).unwrap();
        assert_eq!(registry.get_or_create(&labels("y"), Origin::Appender).unwrap_err(), TooManySeries);
        assert!(registry.get_or_create(&labels("x"), Origin::Appender).is_ok());
    }
}
