//! `Registry`: all series of the head, found by labels, by reference and by matchers. Series are
//! numbered in the order in which they are made; a number is never given twice.
//!
//! A series that the WAL does not name is there for the batches that hold it: whoever finds it holds it
//! (`find`, `get_or_create`), under the lock under which it was found. The last batch to let it go takes
//! it out again (`release`), under both locks under which one is found, so that nobody finds it meanwhile.

use super::{
    batches::BatchNumber,
    limits::{LimitReached, Limits},
    postings::Postings,
    series::{MemSeries, SeriesIndex},
    series_labels::Pair,
    series_table::SeriesTable,
    wal_ref::{WalRef, WalRefs},
};
use hashbrown::HashTable;
use skopos_base::sync::{RwLock, RwLockReadGuard};
use skopos_model::{Labels, SeriesRef, name::METRIC_NAME};
use skopos_storage::{KeptSeries, SeriesCharge, SeriesLimit};
use std::sync::Arc;

/// A place in the table with that in an account, and one in a shard, which is two thirds full.
const BYTES_TO_FIND: usize = 16 + 9 * 3 / 2;
/// What the open chunk of a new series will grow to.
const OPEN_CHUNK_BYTES: usize = 128;
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
    /// The numbers by which the WAL names series.
    pub(super) wal_refs: WalRefs,
    pub(super) limits: Limits,
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
pub(crate) struct HeldSeries {
    pub(crate) series: Arc<MemSeries>,
    /// Whether it was made.
    pub(crate) created: bool,
    /// Whether it is held, and has to be released.
    pub(crate) held: bool,
}

impl HeldSeries {
    /// Holds a series under a lock under which it was found, and keeps it for a batch that may have no sample
    /// of it.
    fn hold(series: &Arc<MemSeries>, batch: Option<BatchNumber>) -> Self {
        if let Some(batch) = batch {
            series.keep_for(batch);
        }
        Self { held: series.hold_unlogged(), series: Arc::clone(series), created: false }
    }
}

/// How a series comes to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// An appender; the WAL does not name it yet.
    Appender,
    /// The same, of a source that may have so many.
    Limited(&'a Arc<SeriesLimit>),
    /// A replay; the WAL names it by this number.
    Wal(WalRef),
}

impl Registry {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            table: RwLock::default(),
            postings: RwLock::default(),
            wal_refs: WalRefs::default(),
            limits,
        }
    }

    /// The series of these labels, made when there is none. It is held when the WAL does not name it.
    pub(crate) fn get_or_create(
        &self,
        labels: &Labels,
        origin: Origin<'_>,
    ) -> Result<HeldSeries, LimitReached> {
        self.get_or_create_hashed(labels.hash64(), labels, origin, None)
    }

    /// The same for a batch, until whose end the series stays, whether the WAL names it or not.
    pub(crate) fn get_or_create_for(
        &self,
        batch: BatchNumber,
        labels: &Labels,
        origin: Origin<'_>,
    ) -> Result<HeldSeries, LimitReached> {
        self.get_or_create_hashed(labels.hash64(), labels, origin, Some(batch))
    }

    /// Shows the series of these labels to `with`, if there is one, under a lock under which it was found.
    /// Nothing is counted, unlike in `get_or_create_for`: that is most of what finding it costs.
    #[inline]
    pub(crate) fn with_found<R>(
        &self,
        labels: &Labels,
        with: impl FnOnce(&Arc<MemSeries>) -> R,
    ) -> Option<R> {
        let hash = labels.hash64();
        self.shard(hash).read().find(hash, labels).map(with)
    }

    fn get_or_create_hashed(
        &self,
        hash: u64,
        labels: &Labels,
        origin: Origin<'_>,
        batch: Option<BatchNumber>,
    ) -> Result<HeldSeries, LimitReached> {
        let known = self.shard(hash).read().find(hash, labels).map(|s| HeldSeries::hold(s, batch));
        if let Some(found) = known {
            if let Origin::Limited(limit) = origin {
                self.charge_found(found.series.index, limit);
            }
            return Ok(found);
        }
        let mut shard = self.shard(hash).write();
        if let Some(series) = shard.find(hash, labels) {
            return Ok(HeldSeries::hold(series, batch));
        }
        // Held while the number is given: postings grow by growing numbers only.
        let mut postings = self.postings.write();
        let mut table = self.table.write();
        let charge = self.check_limits(&postings, &table, labels, origin)?;
        let index = table.next_index().ok_or(LimitReached::Numbers(u32::MAX))?;
        let wal_ref = match origin {
            Origin::Appender | Origin::Limited(_) => self.wal_refs.give(),
            Origin::Wal(wal_ref) => wal_ref,
        };
        let series = MemSeries::new(postings.add(index, labels, hash), index, wal_ref);
        if let Origin::Wal(_) = origin {
            series.set_logged();
        }
        self.limits.memory.grow(estimated_bytes(&series));
        let series = Arc::new(series);
        let found = HeldSeries { created: true, ..HeldSeries::hold(&series, batch) };
        table.push(Arc::clone(&series), charge);
        drop(table);
        drop(postings);
        shard.insert(&series);
        Ok(found)
    }

    /// Charges a source with a series that it sends and that a replay has made. Nobody is refused what is
    /// there.
    pub(crate) fn charge_found(&self, index: SeriesIndex, limit: &Arc<SeriesLimit>) {
        if !self.table.read().is_charged(index) {
            self.table.write().charge(index, || limit.charge_kept());
        }
    }

    /// Charges a source with all of its series that a replay has made, those that it sends no more among
    /// them.
    pub(crate) fn charge_kept(&self, limit: &Arc<SeriesLimit>, kept: KeptSeries<'_>) {
        let postings = self.postings.read();
        let lists = kept
            .labels
            .iter()
            .map(|(name, value)| postings.values(name).map_or(&[][..], |all| all.get(value)));
        let shortest = lists.min_by_key(|list| list.len()).unwrap_or_default().to_vec();
        drop(postings);
        let is_kept = |series: &MemSeries| {
            let labels = &series.labels;
            kept.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
                && labels.metric_name().is_none_or(|name| !kept.except_metrics.contains(&name))
        };
        for part in shortest.chunks(STRIDE) {
            let indices = part.iter().map(|id| SeriesIndex(*id));
            let table = self.table();
            let wanted: Vec<_> = indices.filter(|i| table.get(*i).is_some_and(|s| is_kept(s))).collect();
            drop(table);
            let mut table = self.table.write();
            wanted.iter().for_each(|index| table.charge(*index, || limit.charge_kept()));
        }
    }

    /// The series with exactly these labels, if there is one.
    pub(crate) fn index_of(&self, labels: &Labels) -> Option<SeriesIndex> {
        let hash = labels.hash64();
        self.shard(hash).read().find(hash, labels).map(|series| series.index)
    }

    /// Whether one more series may be made. What the WAL names was let in before.
    fn check_limits(
        &self,
        postings: &Postings,
        table: &SeriesTable,
        labels: &Labels,
        origin: Origin<'_>,
    ) -> Result<Option<SeriesCharge>, LimitReached> {
        if matches!(origin, Origin::Wal(_)) {
            return Ok(None);
        }
        let metric = labels.metric_name();
        let named = |name| postings.values(METRIC_NAME).map_or(0, |metrics| metrics.get(name).len());
        self.limits.check(table.len(), metric.map_or(0, named))?;
        let Origin::Limited(limit) = origin else { return Ok(None) };
        limit.charge().map(Some).map_err(LimitReached::PerSource)
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        &self.shards[shard_of(hash)]
    }

    /// The series of a reference. It is held when the WAL does not name it, and kept for a batch.
    pub(crate) fn find(&self, series: SeriesRef, batch: Option<BatchNumber>) -> Option<HeldSeries> {
        self.table().by_ref(series).map(|series| HeldSeries::hold(series, batch))
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
            self.limits.memory.shrink(gone.iter().map(|s| estimated_bytes(s)).sum());
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

    /// About how many bytes it takes to find series: postings, shards and table.
    pub(crate) fn index_bytes(&self) -> usize {
        self.postings().heap_bytes() + self.len() * BYTES_TO_FIND
    }

    /// The same with the series themselves, their labels and chunks.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.index_bytes() + self.table().iter().map(|s| s.heap_bytes()).sum::<usize>()
    }

    /// The number beyond those of all series.
    pub(crate) fn next_index(&self) -> u32 {
        self.table.read().next_index().map_or(u32::MAX, |index| index.0)
    }
}

/// What a series takes, with an open chunk as it will be.
fn estimated_bytes(series: &MemSeries) -> u64 {
    (series.heap_bytes() + BYTES_TO_FIND + OPEN_CHUNK_BYTES) as u64
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
    use crate::options::Options;
    use skopos_storage::AppendError;

    fn registry(max_series: u32) -> Registry {
        Registry::new(Limits::new(&Options { max_series, ..Options::default() }))
    }

    fn labels(value: &str) -> Labels {
        Labels::from_pairs([("a", value)])
    }

    #[test]
    fn series_of_equal_hash_are_told_apart() {
        let registry = registry(10);
        let made: Vec<_> = ["x", "y", "z"]
            .iter()
            .map(|v| registry.get_or_create_hashed(7, &labels(v), Origin::Appender, None).unwrap())
            .collect();
        for (i, HeldSeries { series, created, .. }) in made.iter().enumerate() {
            assert!(created);
            assert_eq!(series.index, SeriesIndex(i as u32));
            let labels = series.labels.to_labels();
            let again = registry.get_or_create_hashed(7, &labels, Origin::Appender, None).unwrap();
            assert!(!again.created && Arc::ptr_eq(&again.series, series));
        }
    }

    #[test]
    fn a_series_that_goes_leaves_those_of_its_hash() {
        for gone in 0..3 {
            let registry = registry(10);
            let all = ["x", "y", "z"].map(labels);
            let make = |l| registry.get_or_create_hashed(7, l, Origin::Appender, None).unwrap();
            let made: Vec<_> = all.iter().map(|l| make(l).series).collect();
            assert!(registry.release([Arc::clone(&made[gone])].into_iter()) == 1);
            let again = registry.remove_if(&[made[gone].index], |_| true);
            assert_eq!(again, 0, "it goes once");
            for (i, labels) in all.iter().enumerate() {
                let postings = registry.postings().values("a").unwrap().get(labels.value("a")).to_vec();
                assert_eq!(postings.is_empty(), i == gone);
                assert_eq!(registry.find(ref_of(made[i].index), None).is_none(), i == gone);
                let again = make(labels);
                assert_eq!((again.created, Arc::ptr_eq(&again.series, &made[i])), (i == gone, i != gone));
                assert_eq!(again.series.index == made[i].index, i != gone, "a number is not given twice");
            }
        }
    }

    #[test]
    fn a_series_stays_while_a_batch_holds_it_or_the_wal_names_it() {
        let registry = registry(1);
        let make = || registry.get_or_create(&labels("x"), Origin::Appender).unwrap().series;
        let (first, second) = (make(), make());
        let third = registry.find(ref_of(first.index), None).unwrap().series;
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
            let registry = registry(10_000);
            let all: Vec<_> = (0..3000)
                .map(|i| {
                    let found = registry.wal_refs.reserve(u64::from(i) + 1).unwrap();
                    registry.get_or_create(&labels(i), Origin::Wal(found)).unwrap().series
                })
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
                assert_eq!(registry.find(ref_of(series.index), None).is_none(), goes(i));
                let again = registry.get_or_create(&labels(i), Origin::Appender).unwrap();
                assert_eq!(again.created, goes(i));
            }
        }
    }

    #[test]
    fn references_of_the_wal_are_never_given_again() {
        let registry = registry(10);
        let found = registry.wal_refs.reserve(41).unwrap();
        registry.get_or_create(&labels("x"), Origin::Wal(found)).unwrap();
        let series = registry.get_or_create(&labels("y"), Origin::Appender).unwrap().series;
        assert_eq!((series.wal_ref().get(), series.is_logged()), (42, false));
    }

    #[test]
    fn no_more_series_than_allowed() {
        let registry = registry(1);
        registry.get_or_create(&labels("x"), Origin::Appender).unwrap();
        let refused = registry.get_or_create(&labels("y"), Origin::Appender).unwrap_err();
        assert_eq!(refused, LimitReached::Series(1));
        assert!(registry.get_or_create(&labels("x"), Origin::Appender).is_ok());
    }

    #[test]
    fn when_all_numbers_are_given_no_flag_is_named() {
        let registry = registry(u32::MAX);
        registry.get_or_create(&labels("x"), Origin::Appender).unwrap();
        registry.table.write().spend_numbers();
        let found = registry.wal_refs.reserve(7).unwrap();
        for origin in [Origin::Appender, Origin::Wal(found)] {
            let refused = registry.get_or_create(&labels("y"), origin).unwrap_err();
            assert_eq!(refused, LimitReached::Numbers(u32::MAX));
        }
        assert!(registry.get_or_create(&labels("x"), Origin::Appender).is_ok());
    }

    #[test]
    fn a_source_and_a_metric_have_limits_of_their_own() {
        let options = Options { max_series_per_metric: 3, ..Options::default() };
        let registry = Registry::new(Limits::new(&options));
        let limit = SeriesLimit::new("of-a-source", 2);
        let make = |metric: &str, value: &str, origin| {
            let labels = Labels::from_pairs([(METRIC_NAME, metric), ("a", value)]);
            registry.get_or_create(&labels, origin)
        };
        let made = ["1", "2"].map(|v| make("m", v, Origin::Limited(&limit)).unwrap().series);
        let refused = AppendError::Limit { limit: "of-a-source", max: 2 };
        let got = make("m", "3", Origin::Limited(&limit)).unwrap_err();
        assert_eq!(got, LimitReached::PerSource(refused));
        assert!(make("m", "2", Origin::Limited(&limit)).is_ok(), "what is there is not counted again");
        assert!(make("m", "3", Origin::Appender).is_ok());
        assert_eq!(make("m", "4", Origin::Appender).unwrap_err(), LimitReached::PerMetric(3));
        assert!(make("other", "4", Origin::Appender).is_ok());
        made.iter().for_each(|s| s.set_logged());
        assert_eq!(registry.remove_if(&made.each_ref().map(|s| s.index), |_| true), 2);
        assert_eq!(limit.used(), 0, "it counts as long as it can be found, whoever still reads it");
        assert!(make("m", "4", Origin::Limited(&limit)).is_ok());
    }
}
