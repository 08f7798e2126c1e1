//! `Registry`: all series of the head, found by labels, by reference and by matchers. Series are
//! numbered in the order in which they are made; a number is never given twice.

use super::{
    postings::Postings,
    series::{MemSeries, SeriesIndex},
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
    /// By number. A place is emptied when its series is dropped.
    table: RwLock<Vec<Option<Arc<MemSeries>>>>,
    postings: RwLock<Postings>,
    next_wal_ref: AtomicU64,
    max_series: u32,
}

#[derive(Debug, Default)]
struct Shard {
    by_hash: HashMap<u64, Arc<MemSeries>, BuildHasherDefault<KeepHash>>,
    /// Series whose hash another one has in `by_hash`.
    colliding: Vec<Arc<MemSeries>>,
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
        self.colliding.iter().find(|s| s.labels == *labels)
    }

    fn insert(&mut self, hash: u64, series: &Arc<MemSeries>) {
        match self.by_hash.entry(hash) {
            Entry::Occupied(_) => self.colliding.push(Arc::clone(series)),
            Entry::Vacant(place) => {
                place.insert(Arc::clone(series));
            }
        }
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

    /// The series of these labels, made when there is none.
    pub(crate) fn get_or_create(
        &self,
        labels: &Labels,
        origin: Origin,
    ) -> Result<(Arc<MemSeries>, bool), TooManySeries> {
        self.get_or_create_hashed(labels.hash64(), labels, origin)
    }

    fn get_or_create_hashed(
        &self,
        hash: u64,
        labels: &Labels,
        origin: Origin,
    ) -> Result<(Arc<MemSeries>, bool), TooManySeries> {
        let shard = &self.shards[(hash >> 32) as usize % SHARDS];
        if let Some(series) = shard.read().find(hash, labels) {
            return Ok((Arc::clone(series), false));
        }
        let mut shard = shard.write();
        if let Some(series) = shard.find(hash, labels) {
            return Ok((Arc::clone(series), false));
        }
        // Held while the number is given: postings grow by growing numbers only.
        let mut postings = self.postings.write();
        let mut table = self.table.write();
        if table.len() >= self.max_series as usize {
            return Err(TooManySeries);
        }
        let index = SeriesIndex(table.len() as u32);
        let (wal_ref, logged) = match origin {
            Origin::Appender => (self.next_wal_ref.fetch_add(1, Ordering::Relaxed), false),
            Origin::Wal(wal_ref) => {
                self.reserve_wal_ref(wal_ref);
                (wal_ref, true)
            }
        };
        let series = Arc::new(MemSeries::new(labels.clone(), index, wal_ref, logged));
        table.push(Some(Arc::clone(&series)));
        drop(table);
        postings.add(index, labels);
        drop(postings);
        shard.insert(hash, &series);
        Ok((series, true))
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
pub(crate) struct Table<'a>(RwLockReadGuard<'a, Vec<Option<Arc<MemSeries>>>>);

impl Table<'_> {
    #[inline]
    pub(crate) fn get(&self, index: SeriesIndex) -> Option<&Arc<MemSeries>> {
        self.0.get(index.0 as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn by_ref(&self, series: SeriesRef) -> Option<&Arc<MemSeries>> {
        self.get(index_of(series)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<MemSeries>> {
        self.0.iter().flatten()
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
        for (i, (series, created)) in made.iter().enumerate() {
            assert!(created);
            assert_eq!(series.index, SeriesIndex(i as u32));
            let (again, created) =
                registry.get_or_create_hashed(7, &series.labels, Origin::Appender).unwrap();
            assert!(!created && Arc::ptr_eq(&again, series));
        }
    }

    #[test]
    fn references_of_the_wal_are_never_given_again() {
        let registry = Registry::new(10);
        registry.get_or_create(&labels("x"), Origin::Wal(41)).unwrap();
        let (series, _) = registry.get_or_create(&labels("y"), Origin::Appender).unwrap();
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
