//! `SeriesCache`: which series of storage a sender means by the bytes of its labels, so that labels are taken
//! apart once and not with every sample. Never decides which series there are: one that has gone is made anew
//! by its labels.

use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use skopos_model::{DurationMs, SeriesRef, TimestampMs};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Many, so that requests seldom meet.
const SHARDS: usize = 64;
/// With more entries a shard forgets the older half: the whole has some four million.
const SHARD_MAX: usize = 64 << 10;
/// What was not asked for twice as long is forgotten.
const GENERATION: DurationMs = DurationMs::from_secs(600);

/// What the bytes of a series' labels come to. Two series have the same with a chance of 2^-128; who makes
/// that happen on purpose writes to a series of their own choice, which whoever may push may do anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64, u64);

impl Key {
    pub(crate) fn bytes(self) -> [u8; 16] {
        ((u128::from(self.1) << 64) | u128::from(self.0)).to_le_bytes()
    }
}

/// A series that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) series: SeriesRef,
    /// What was said last of its metric; zero is nothing.
    pub(crate) metadata: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    known: Known,
}

#[derive(Debug, Default)]
struct Shard {
    young: HashTable<Entry>,
    old: HashTable<Entry>,
}

impl Shard {
    fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }
}

/// See above.
#[derive(Debug)]
pub(crate) struct SeriesCache {
    shards: Box<[RwLock<Shard>]>,
    seed: u64,
    turned: Mutex<TimestampMs>,
}

impl SeriesCache {
    /// Nobody outside should know the seed.
    pub(crate) fn new(seed: u64) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, seed, turned: Mutex::new(TimestampMs::MIN) }
    }

    /// The key of labels that are written in this way: bytes of different `kind` have nothing in common.
    #[inline]
    pub(crate) fn key(&self, kind: u8, bytes: &[u8]) -> Key {
        let hash = xxh3_128_with_seed(bytes, self.seed ^ u64::from(kind));
        Key(hash as u64, (hash >> 64) as u64)
    }

    fn shard(&self, key: Key) -> &RwLock<Shard> {
        &self.shards[key.1 as usize % SHARDS]
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<Known> {
        let shard = self.shard(key).read();
        if let Some(entry) = shard.young.find(key.0, |e| e.key == key) {
            return Some(entry.known);
        }
        let known = shard.old.find(key.0, |e| e.key == key)?.known;
        drop(shard);
        self.put(key, known);
        Some(known)
    }

    pub(crate) fn put(&self, key: Key, known: Known) {
        let mut shard = self.shard(key).write();
        if shard.young.len() >= SHARD_MAX {
            shard.turn();
        }
        if let Some(entry) = shard.young.find_mut(key.0, |e| e.key == key) {
            entry.known = known;
            return;
        }
        if let Ok(older) = shard.old.find_entry(key.0, |e| e.key == key) {
            older.remove();
        }
        shard.young.insert_unique(key.0, Entry { key, known }, |e| e.key.0);
    }

    /// Forgets what nobody asked for lately, if it is time.
    pub(crate) fn tidy(&self, now: TimestampMs) {
        let mut turned = self.turned.lock();
        let due = now.since(*turned) >= GENERATION || now < *turned;
        if due {
            *turned = now;
            drop(turned);
            self.shards.iter().for_each(|shard| shard.write().turn());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|s| {
                let s = s.read();
                s.young.len() + s.old.len()
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(n: u64) -> Known {
        Known { series: SeriesRef::new(n).unwrap(), metadata: 0 }
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let cache = SeriesCache::new(7);
        let (a, b) = (cache.key(1, b"a"), cache.key(1, b"b"));
        assert_ne!(a, cache.key(2, b"a"), "kinds have nothing in common");
        cache.tidy(TimestampMs::new(0));
        cache.put(a, known(1));
        cache.put(b, known(2));
        let minutes = |n: i64| TimestampMs::new(n * 60_000);
        for turn in 1..4 {
            cache.tidy(minutes(turn * 10));
            assert_eq!(cache.get(a), Some(known(1)), "turn {turn}");
        }
        assert_eq!((cache.get(b), cache.len()), (None, 1));
        cache.put(a, known(3));
        assert_eq!(cache.get(a), Some(known(3)));
    }

    #[test]
    fn ever_new_series_do_not_make_it_grow_for_ever() {
        let cache = SeriesCache::new(7);
        for i in 0..5_u32 << 20 {
            cache.put(cache.key(1, &i.to_le_bytes()), known(1));
        }
        assert!(cache.len() <= 2 * SHARDS * SHARD_MAX, "{}", cache.len());
    }
}
