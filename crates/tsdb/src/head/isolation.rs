//! Which commits a reader sees: all up to one number, its mark. Owns the marks of living readers; each
//! series keeps the boundaries that tell them apart (`Boundaries`).
//!
//! Commits happen one after the other and get growing numbers, and the samples of a series stand in
//! the order of their commits. So what a reader sees of a series is a beginning of it, and a series
//! needs to remember where a commit's samples begin only while a living reader stands before it.

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The number of a commit; what a replay brings back has number 0.
pub(crate) type CommitId = u64;

/// The living readers, and what a new one would see.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    visible: AtomicU64,
    marks: Mutex<BTreeMap<CommitId, usize>>,
}

/// A reader's view; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct ReadMark {
    mark: CommitId,
    readers: Arc<Readers>,
}

impl Readers {
    /// A view of every commit published so far.
    pub(crate) fn enter(self: &Arc<Self>) -> ReadMark {
        let mut marks = self.marks.lock();
        // Loaded under the lock: a commit that misses this mark in `copy_marks` begins later than this,
        // and what it may forget is a boundary before `visible`, which this reader does not need.
        let mark = self.visible.load(Ordering::Acquire);
        *marks.entry(mark).or_default() += 1;
        ReadMark { mark, readers: Arc::clone(self) }
    }

    /// Copies the marks of living readers to `out`, growing.
    pub(crate) fn copy_marks(&self, out: &mut Vec<CommitId>) {
        out.clear();
        out.extend(self.marks.lock().keys());
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
}

impl Drop for ReadMark {
    fn drop(&mut self) {
        let mut marks = self.readers.marks.lock();
        if let Some(count) = marks.get_mut(&self.mark) {
            *count -= 1;
            if *count == 0 {
                marks.remove(&self.mark);
            }
        }
    }
}

/// Where the samples of a commit begin in a series, counted from the series' first sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Boundary {
    commit: CommitId,
    start: u32,
}

/// The boundaries of one series that living readers need, and always the last one.
#[derive(Debug, Default)]
pub(crate) struct Boundaries {
    last: Boundary,
    /// Growing. Only there while a reader lives that needs it.
    #[expect(clippy::box_collection, reason = "almost always absent, and there is one of these a series")]
    older: Option<Box<Vec<Boundary>>>,
}

impl Boundaries {
    /// Notes that `commit` adds samples behind the `len` that there are. `marks` are those of the
    /// living readers, growing.
    #[inline]
    pub(crate) fn begin(&mut self, commit: CommitId, len: u32, marks: &[CommitId]) {
        if self.last.commit == commit {
            return;
        }
        if self.older.is_some() || marks.first().is_some_and(|m| *m < self.last.commit) {
            self.keep_needed(marks);
        }
        self.last = Boundary { commit, start: len };
    }

    /// How many of `len` samples a reader of `mark` sees.
    pub(crate) fn visible(&self, mark: CommitId, len: u32) -> u32 {
        if self.last.commit <= mark {
            return len;
        }
        let older = self.older.as_deref().map_or(&[][..], Vec::as_slice);
        let first_unseen = older.iter().find(|b| b.commit > mark).unwrap_or(&self.last);
        first_unseen.start
    }

    /// A boundary is needed by readers that see its predecessor and not it.
    #[cold]
    fn keep_needed(&mut self, marks: &[CommitId]) {
        let mut older = self.older.take().unwrap_or_default();
        older.push(self.last);
        let mut from = 0;
        older.retain(|b| {
            let first = marks.partition_point(|m| *m < from);
            let needed = marks.get(first).is_some_and(|m| *m < b.commit);
            if needed {
                from = b.commit;
            }
            needed
        });
        self.older = (!older.is_empty()).then_some(older);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::rng::Rng;

    #[test]
    fn a_reader_sees_what_was_published_before_it() {
        let readers = Arc::new(Readers::default());
        let zero = readers.enter();
        readers.publish(1);
        let one = readers.enter();
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

    /// Against an oracle that remembers the commit of every sample.
    #[test]
    fn every_reader_keeps_its_view_however_long_it_lives() {
        for seed in 0..200 {
            let rng = Rng::from_seed(seed);
            let mut boundaries = Boundaries::default();
            let mut commits: Vec<CommitId> = Vec::new();
            let mut marks: Vec<CommitId> = Vec::new();
            for commit in 1..100 {
                // Not every commit brings samples of this series.
                for _ in 0..rng.below(3) {
                    boundaries.begin(commit, commits.len() as u32, &marks);
                    commits.push(commit);
                    let kept = boundaries.older.as_ref().map_or(0, |o| o.len());
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
                    let got = boundaries.visible(*mark, commits.len() as u32);
                    assert_eq!(got, expected, "seed {seed}, commit {commit}, mark {mark}");
                }
            }
        }
    }
}
