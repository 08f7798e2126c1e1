//! `Registry`: all series of the head, found by labels, by reference and by matchers. Series are
//! numbered in the order in which they are made; a number is never given twice.
//!
//! A series that the WAL does not name is there for the batches that hold it: whoever finds it holds it
//! (`find`, `get_or_create`), under the lock under which it was found. The last batch to let it go takes
//! it out again (`release`), under all these locks, so that nobody finds it meanwhile.

use super::{
    postings::Postings,
    series::{MemSeries, SeriesIndex},
    series_table::SeriesTable,
};
use parking_lot::{RwLock, RwLockReadGuard};
use skopos_model::{Labels, SeriesRef};
use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Many, so that appenders seldom meet.
const SHARDS: usize = 256;

/// All series.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Box<[RwLock<Shard>]>,
    table: RwLock<SeriesTable>,
    postings: RwLock<Postings>,
    next_wal_ref: AtomicU64,
    max_series: u32,
}

#[derive(Debug, Default)]
struct Shard {
    by_hash: HashMap<u64, Arc<MemSeries>, BuildHasherDefault<KeepHash>>,
    /// Series whose hash another one has in `by_hash`.
    colliding: Vec<(u64, Arc<MemSeries>)>,
}

/// The keys are hashes already.
#[derive(Debug, Default)]
struct KeepHash(u64);

impl Hasher for KeepHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*b);
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

impl Shard {
    fn find(&self, hash: u64, labels: &Labels) -> Option<&Arc<MemSeries>> {
        let first = self.by_hash.get(&hash)?;
        if first.labels == *labels {
            return Some(first);
        }
        self.colliding.iter().map(|(_, s)| s).find(|s| s.labels == *labels)
    }

    fn insert(&mut self, hash: u64, series: &Arc<MemSeries>) {
        match self.by_hash.entry(hash) {
            Entry::Occupied(_) => self.colliding.push((hash, Arc::clone(series))),
            Entry::Vacant(place) => {
                place.insert(Arc::clone(series));
            }
        }
    }

    fn remove(&mut self, hash: u64, series: &Arc<MemSeries>) {
        self.colliding.retain(|(_, s)| !Arc::ptr_eq(s, series));
        if self.by_hash.get(&hash).is_some_and(|s| Arc::ptr_eq(s, series)) {
            self.by_hash.remove(&hash);
            if let Some(next) = self.colliding.iter().position(|(h, _)| *h == hash) {
                self.by_hash.insert(hash, self.colliding.remove(next).1);
            }
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
        let series = Arc::new(MemSeries::new(labels.clone(), index, wal_ref, logged));
        let found = Found::hold(&series, true);
        table.push(Arc::clone(&series));
        drop(table);
        postings.add(index, labels);
        drop(postings);
        shard.insert(hash, &series);
        Ok(found)
    }

    /// Whether there is a series of these labels.
    pub(crate) fn contains(&self, labels: &Labels) -> bool {
        let hash = labels.hash64();
        self.shard(hash).read().find(hash, labels).is_some()
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    /// The series of a reference. It is held when the WAL does not name it.
    pub(crate) fn find(&self, series: SeriesRef) -> Option<Found> {
        self.table().by_ref(series).map(|series| Found::hold(series, false))
    }

    /// Lets go a series that a batch held. Takes it out when no other batch holds it and the WAL does not
    /// name it, hence when it has no sample; returns whether it did.
    pub(crate) fn release(&self, series: &Arc<MemSeries>) -> bool {
        series.let_go() && self.remove_unused(series.labels.hash64(), series)
    }

    fn remove_unused(&self, hash: u64, series: &Arc<MemSeries>) -> bool {
        let mut shard = self.shard(hash).write();
        let mut postings = self.postings.write();
        let mut table = self.table.write();
        // Another batch may have found it since, and even have let it go and taken it out.
        if !series.is_unused() || !table.take(series) {
            return false;
        }
        drop(table);
        postings.remove(series.index, &series.labels);
        drop(postings);
        shard.remove(hash, series);
        true
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
            let again = registry.get_or_create_hashed(7, &series.labels, Origin::Appender).unwrap();
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
            assert!(made[gone].let_go() && registry.remove_unused(7, &made[gone]));
            assert!(!registry.remove_unused(7, &made[gone]), "it goes once");
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
        assert!(!registry.release(&first) && !registry.release(&second));
        assert!(registry.release(&third));
        assert_eq!((registry.len(), registry.postings().names().count()), (0, 0));
        let again = make();
        again.set_logged();
        assert!(!registry.release(&again));
        assert_eq!(registry.len(), 1);
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
