//! Which commits a reader sees: all up to one number, its mark. Owns the marks of living readers; each
//! series keeps the boundaries that tell them apart (`LastBoundary`, `OlderBoundaries`).
//!
//! Commits happen one after the other and get growing numbers, and the samples of a series stand in
//! the order of their commits. So what a reader sees of a series is a beginning of it, and a series
//! needs to remember where a commit's samples begin only while a living reader stands before it.

use skopos_base::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};
use skopos_model::TimestampMs;
use skopos_storage::TimeRange;
use std::{collections::BTreeMap, sync::Arc};

/// The number of a commit; what a replay brings back has number 0.
pub(crate) type CommitId = u64;

/// The living readers, and what a new one would see.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    visible: AtomicU64,
    living: Mutex<Living>,
}

#[derive(Debug)]
struct Living {
    /// How many readers have a mark.
    marks: BTreeMap<CommitId, usize>,
    /// How many readers have a range.
    ranges: BTreeMap<(i64, i64), usize>,
    /// How many readers of an epoch asked for a range.
    asked: BTreeMap<(u64, i64, i64), usize>,
    /// Of the readers that begin now.
    epoch: u64,
    /// Later readers see nothing before this time.
    floor_ms: i64,
}

impl Default for Living {
    fn default() -> Self {
        Self {
            marks: BTreeMap::new(),
            ranges: BTreeMap::new(),
            asked: BTreeMap::new(),
            epoch: 0,
            floor_ms: i64::MIN,
        }
    }
}

/// What a truncation gives up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenUp {
    /// The time of the first sample there is.
    pub(crate) first: TimestampMs,
    /// The first time that stays.
    pub(crate) floor: TimestampMs,
}

/// A reader's view; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct ReadMark {
    mark: CommitId,
    range: TimeRange,
    asked: TimeRange,
    epoch: u64,
    readers: Arc<Readers>,
}

impl Readers {
    /// A view of every commit published so far, and of the part of `range` that is not given up.
    pub(crate) fn enter(self: &Arc<Self>, range: TimeRange) -> ReadMark {
        let mut living = self.living.lock();
        let (asked, epoch) = (range, living.epoch);
        *living.asked.entry(asked_key(epoch, asked)).or_default() += 1;
        let range = TimeRange { min: range.min.max(TimestampMs::new(living.floor_ms)), ..range };
        // Loaded under the lock: a commit that misses this mark in `copy_marks` begins later than this,
        // and what it may forget is a boundary before `visible`, which this reader does not need.
        let mark = self.visible.load(Ordering::Acquire);
        *living.marks.entry(mark).or_default() += 1;
        *living.ranges.entry(key_of(range)).or_default() += 1;
        ReadMark { mark, range, asked, epoch, readers: Arc::clone(self) }
    }

    /// Begins an epoch: readers that begin later know the blocks that are there now. Returns its number.
    pub(crate) fn begin_epoch(&self) -> u64 {
        let mut living = self.living.lock();
        living.epoch += 1;
        living.epoch
    }

    /// Whether a reader lives that began before `epoch` and may ask for samples of `range`.
    pub(crate) fn any_before(&self, epoch: u64, range: TimeRange) -> bool {
        let living = self.living.lock();
        let (min, max) = key_of(range);
        living
            .asked
            .keys()
            .any(|(e, asked_min, asked_max)| *e < epoch && *asked_min <= max && min <= *asked_max)
    }

    /// The last commit that every reader to come sees.
    pub(crate) fn visible(&self) -> CommitId {
        self.visible.load(Ordering::Acquire)
    }

    /// Gives up what is before a time: no later reader sees it. Whether a reader of before still may.
    pub(crate) fn give_up(&self, given_up: GivenUp) -> bool {
        let (first_ms, floor_ms) = (given_up.first.as_ms(), given_up.floor.as_ms());
        let mut living = self.living.lock();
        living.floor_ms = living.floor_ms.max(floor_ms);
        living.ranges.range(..(floor_ms, i64::MIN)).any(|((_, max), _)| *max >= first_ms)
    }

    /// Copies the marks of living readers to `out`, growing.
    pub(crate) fn copy_marks(&self, out: &mut Vec<CommitId>) {
        out.clear();
        out.extend(self.living.lock().marks.keys());
    }

    /// Makes everything up to `commit` visible to later readers.
    pub(crate) fn publish(&self, commit: CommitId) {
        self.visible.store(commit, Ordering::Release);
    }
}

impl ReadMark {
    pub(crate) fn get(&self) -> CommitId {
        self.mark
    }

    /// Which time the reader may ask for, of samples that came in order.
    pub(crate) fn range(&self) -> TimeRange {
        self.range
    }
}

impl Drop for ReadMark {
    fn drop(&mut self) {
        let mut living = self.readers.living.lock();
        leave(&mut living.marks, &self.mark);
        leave(&mut living.ranges, &key_of(self.range));
        leave(&mut living.asked, &asked_key(self.epoch, self.asked));
    }
}

fn key_of(range: TimeRange) -> (i64, i64) {
    (range.min.as_ms(), range.max.as_ms())
}

fn asked_key(epoch: u64, range: TimeRange) -> (u64, i64, i64) {
    let (min, max) = key_of(range);
    (epoch, min, max)
}

fn leave<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Where the samples of a commit begin in a series, counted from the series' first sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Boundary {
    commit: CommitId,
    start: u32,
}

/// The last boundary of one series. Older ones are kept beside it, since there are hardly ever any.
#[derive(Debug, Default)]
pub(crate) struct LastBoundary {
    commit: CommitId,
    start: u32,
    /// How many samples the series has.
    len: u32,
}

/// The boundaries of one series before the last that living readers need, growing.
#[derive(Debug, Default)]
pub(crate) struct OlderBoundaries(Vec<Boundary>);

impl LastBoundary {
    /// How many samples the series has.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Whether a living reader sees what was before the last commit, and not that. `marks` are those of the
    /// living readers, growing.
    #[inline]
    pub(crate) fn is_needed(&self, commit: CommitId, marks: &[CommitId]) -> bool {
        self.commit != commit && marks.first().is_some_and(|m| *m < self.commit)
    }

    /// Notes samples of `commit` behind those that there are.
    #[inline]
    pub(crate) fn grow(&mut self, commit: CommitId, samples: u32) {
        if self.commit != commit {
            (self.commit, self.start) = (commit, self.len);
        }
        self.len += samples;
    }

    /// How many samples a reader of `mark` sees.
    pub(crate) fn visible(&self, mark: CommitId, older: Option<&OlderBoundaries>) -> u32 {
        if self.commit <= mark {
            return self.len;
        }
        let older = older.map_or(&[][..], |older| older.0.as_slice());
        older.iter().find(|b| b.commit > mark).map_or(self.start, |b| b.start)
    }

    /// Forgets the first `count` samples, which are no more.
    pub(crate) fn drop_front(&mut self, count: u32, older: Option<&mut OlderBoundaries>) {
        self.len -= count;
        self.start = self.start.saturating_sub(count);
        for boundary in older.into_iter().flat_map(|older| older.0.iter_mut()) {
            boundary.start = boundary.start.saturating_sub(count);
        }
    }
}

impl OlderBoundaries {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the last boundary before another commit begins, and forgets what no reader needs: one is needed
    /// by readers that see its predecessor and not it.
    pub(crate) fn keep_needed(&mut self, last: &LastBoundary, commit: CommitId, marks: &[CommitId]) {
        if last.commit == commit {
            return;
        }
        self.0.push(Boundary { commit: last.commit, start: last.start });
        let mut from = 0;
        self.0.retain(|b| {
            let first = marks.partition_point(|m| *m < from);
            let needed = marks.get(first).is_some_and(|m| *m < b.commit);
            if needed {
                from = b.commit;
            }
            needed
        });
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::rng::Rng;

    #[test]
    fn a_reader_sees_what_was_published_before_it() {
        let readers = Arc::new(Readers::default());
        let zero = readers.enter(TimeRange::ALL);
        readers.publish(1);
        let one = readers.enter(TimeRange::ALL);
        let mut marks = Vec::new();
        readers.copy_marks(&mut marks);
        assert_eq!((zero.get(), one.get(), &marks[..]), (0, 1, &[0, 1][..]));
        drop(zero);
        readers.copy_marks(&mut marks);
        assert_eq!(marks, [1]);
        drop(one);
        readers.copy_marks(&mut marks);
        assert!(marks.is_empty());
    }

    #[test]
    fn what_is_given_up_is_needed_by_older_readers_of_it_alone() {
        let range = |min, max| TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) };
        let readers = Arc::new(Readers::default());
        let before_all = readers.enter(range(0, 99));
        let behind = readers.enter(range(200, 300));
        let given_up =
            |first, floor| GivenUp { first: TimestampMs::new(first), floor: TimestampMs::new(floor) };
        assert!(!readers.give_up(given_up(100, 200)), "one is before all samples, the other behind");
        let late = readers.enter(range(0, 1000));
        assert_eq!(late.range(), range(200, 1000));
        assert!(!readers.give_up(given_up(100, 200)));
        assert!(readers.give_up(given_up(200, 201)));
        drop(behind);
        assert!(readers.give_up(given_up(200, 300)));
        drop(late);
        assert!(!readers.give_up(given_up(200, 300)));
        drop(before_all);
        assert!(readers.living.lock().ranges.is_empty());
    }

    /// Against an oracle that remembers the commit of every sample.
    #[test]
    fn every_reader_keeps_its_view_however_long_it_lives() {
        for seed in 0..200 {
            let rng = Rng::from_seed(seed);
            let (mut last, mut older) = (LastBoundary::default(), OlderBoundaries::default());
            let mut commits: Vec<CommitId> = Vec::new();
            let mut marks: Vec<CommitId> = Vec::new();
            for commit in 1..100 {
                // Not every commit brings samples of this series.
                for _ in 0..rng.below(3) {
                    if last.is_needed(commit, &marks) || !older.is_empty() {
                        older.keep_needed(&last, commit, &marks);
                    }
                    last.grow(commit, 1);
                    commits.push(commit);
                    let kept = older.0.len();
                    assert!(kept <= marks.len(), "seed {seed}: {kept} boundaries, {} readers", marks.len());
                }
                if rng.below(4) == 0 {
                    marks.push(commit);
                }
                if rng.below(6) == 0 && !marks.is_empty() {
                    marks.remove(rng.below(marks.len() as u64) as usize);
                }
                for mark in &marks {
                    let expected = commits.iter().filter(|c| *c <= mark).count() as u32;
                    let got = last.visible(*mark, Some(&older));
                    assert_eq!(got, expected, "seed {seed}, commit {commit}, mark {mark}");
                }
            }
        }
    }
}
