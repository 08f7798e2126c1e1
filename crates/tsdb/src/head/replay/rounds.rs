//! Samples of the WAL to their series, on several threads. A round is some samples, parted by series: while
//! threads apply one round, the next one is decoded. A series is in one part of each round and rounds follow
//! one another, so that the result is that of one thread.
//!
//! Parts are small enough that what one touches stays in a core's cache, and a round is long enough that it
//! touches the same series several times: with one thread this is faster too than the order of the records,
//! by which each sample waits for memory. Memory is that of three rounds.

use crate::head::{
    Head,
    series::{HistogramRef, SeriesIndex, Stored},
};
use skopos_base::spawn::{Joined, Spawner};
use skopos_base::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use skopos_model::TimestampMs;
use std::{ops::RangeInclusive, sync::Arc};

/// How many parts a round has.
const PARTS: usize = 256;
/// Series with consecutive numbers that are in one part: they mostly come one after the other.
const NEIGHBOURS_LOG: u32 = 3;
/// A round has so many samples for each series …
const SAMPLES_PER_SERIES: usize = 8;
/// … but at least and at most so many, of 16 bytes each.
const ROUND_SAMPLES: RangeInclusive<usize> = 256 << 10..=2 << 20;
/// A round of fewer is not worth a thread.
const SHARED_SAMPLES: usize = 4096;
/// Samples applied before the table of series is let go for a moment.
const STRIDE: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct RoundSample {
    series: SeriesIndex,
    /// Behind the first of the round.
    after_ms: i32,
    value_bits: u64,
}

/// What became of samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applied {
    pub(super) stored: u64,
    /// Not stored, since a block has them.
    pub(super) covered: u64,
    pub(super) chunks: u64,
    pub(super) range_ms: (i64, i64),
}

impl Default for Applied {
    fn default() -> Self {
        Self { stored: 0, covered: 0, chunks: 0, range_ms: (i64::MAX, i64::MIN) }
    }
}

impl Applied {
    #[inline]
    fn count(&mut self, stored: Stored, timestamp_ms: i64, min_valid_ms: i64) {
        match stored {
            Stored::New => {}
            Stored::NewChunk { .. } => self.chunks += 1,
            Stored::Overtaken => {
                self.covered += u64::from(timestamp_ms < min_valid_ms);
                return;
            }
            Stored::Same | Stored::Late { .. } => return,
        }
        self.stored += 1;
        self.range_ms = (self.range_ms.0.min(timestamp_ms), self.range_ms.1.max(timestamp_ms));
    }

    fn add(&mut self, other: Self) {
        self.stored += other.stored;
        self.covered += other.covered;
        self.chunks += other.chunks;
        self.range_ms = (self.range_ms.0.min(other.range_ms.0), self.range_ms.1.max(other.range_ms.1));
    }
}

#[derive(Debug)]
struct Round {
    parts: Vec<Vec<RoundSample>>,
    len: usize,
    /// The time of the first sample.
    first_ms: i64,
    /// The next part that nobody has taken.
    next: AtomicUsize,
    /// Parts that are applied.
    done: AtomicUsize,
    applied: Mutex<Applied>,
}

impl Round {
    fn new() -> Self {
        Self {
            parts: vec![Vec::new(); PARTS],
            len: 0,
            first_ms: 0,
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            applied: Mutex::default(),
        }
    }

    /// Applies parts until all are taken.
    fn help(&self, head: &Head) {
        let mut applied = Applied::default();
        let mut done = 0;
        while let Some(part) = self.parts.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            for samples in part.chunks(STRIDE) {
                apply(head, samples, self.first_ms, &mut applied);
            }
            done += 1;
        }
        self.applied.lock().add(applied);
        self.done.fetch_add(done, Ordering::AcqRel);
    }

    fn clear(&mut self) {
        self.parts.iter_mut().for_each(Vec::clear);
        self.len = 0;
        *self.next.get_mut() = 0;
        *self.done.get_mut() = 0;
        *self.applied.get_mut() = Applied::default();
    }
}

fn apply(head: &Head, samples: &[RoundSample], first_ms: i64, applied: &mut Applied) {
    let view = head.replay_view();
    let table = head.registry.table();
    for sample in samples {
        let Some(series) = table.get(sample.series) else { continue };
        let timestamp_ms = first_ms.wrapping_add(i64::from(sample.after_ms));
        let stored = series.append(timestamp_ms, f64::from_bits(sample.value_bits), &view);
        applied.count(stored, timestamp_ms, view.min_valid_ms);
    }
}

/// A round that threads are at.
struct UnderWay {
    round: Arc<Round>,
    threads: Vec<Box<dyn Joined>>,
}

fn join(threads: &mut Vec<Box<dyn Joined>>) {
    for thread in threads.drain(..) {
        thread.join().expect("invariant: applying samples never panics");
    }
}

/// The round being filled and the one being applied.
pub(super) struct Rounds<'a> {
    head: &'a Arc<Head>,
    spawner: &'a dyn Spawner,
    /// Threads beside this one.
    helpers: usize,
    filling: Round,
    /// How many samples it is to have.
    round_samples: usize,
    under_way: Option<UnderWay>,
    /// A round that is applied, with threads that may have come too late for it. On a busy machine that is
    /// usual, and they are not waited for before the next round is applied too.
    late: Option<UnderWay>,
    /// A round whose buffers are used again.
    spare: Option<Round>,
    applied: Applied,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(head: &'a Arc<Head>, spawner: &'a dyn Spawner) -> Self {
        Self {
            head,
            spawner,
            helpers: head.options.replay_threads.saturating_sub(1),
            filling: Round::new(),
            round_samples: *ROUND_SAMPLES.start(),
            under_way: None,
            late: None,
            spare: None,
            applied: Applied::default(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, series: SeriesIndex, timestamp_ms: i64, value_bits: u64) {
        if self.filling.len == 0 {
            self.filling.first_ms = timestamp_ms;
        }
        let after_ms = match i32::try_from(timestamp_ms.wrapping_sub(self.filling.first_ms)) {
            Ok(after_ms) => after_ms,
            Err(_) => self.begin_at(timestamp_ms),
        };
        let part = (series.0 >> NEIGHBOURS_LOG) as usize % PARTS;
        self.filling.parts[part].push(RoundSample { series, after_ms, value_bits });
        self.filling.len += 1;
        if self.filling.len >= self.round_samples {
            self.begin();
        }
    }

    /// Applies a histogram, behind all that was pushed: there are few of them.
    pub(super) fn apply_histogram(
        &mut self,
        series: SeriesIndex,
        timestamp: TimestampMs,
        histogram: HistogramRef<'_>,
    ) {
        self.flush();
        let table = self.head.registry.table();
        let Some(series) = table.get(series) else { return };
        let view = self.head.replay_view();
        let stored = series.append_histogram(timestamp, histogram, view);
        self.applied.count(stored, timestamp.as_ms(), view.min_valid_ms);
    }

    /// Begins a round whose first sample is of this time, which is how long behind its own beginning.
    #[cold]
    fn begin_at(&mut self, timestamp_ms: i64) -> i32 {
        self.begin();
        self.filling.first_ms = timestamp_ms;
        0
    }

    /// Has the round that was filled applied, when the one before is.
    fn begin(&mut self) {
        self.reclaim();
        self.end();
        let next = self.spare.take().unwrap_or_else(Round::new);
        let round = Arc::new(std::mem::replace(&mut self.filling, next));
        let (least, most) = ROUND_SAMPLES.into_inner();
        self.round_samples = (self.head.registry.len() * SAMPLES_PER_SERIES).clamp(least, most);
        let mut threads = Vec::new();
        let helpers = if round.len < SHARED_SAMPLES { 0 } else { self.helpers };
        for _ in 0..helpers {
            let (head, round) = (Arc::clone(self.head), Arc::clone(&round));
            match self.spawner.spawn("wal-replay", Box::new(move || round.help(&head))) {
                Ok(thread) => threads.push(thread),
                // This thread does it then.
                Err(_) => break,
            }
        }
        self.under_way = Some(UnderWay { round, threads });
        if self.helpers == 0 {
            self.end();
        }
    }

    /// Applies what is left of the round under way, and waits for its threads.
    fn end(&mut self) {
        let Some(UnderWay { round, mut threads }) = self.under_way.take() else { return };
        round.help(self.head);
        if round.done.load(Ordering::Acquire) < PARTS {
            join(&mut threads);
        }
        self.applied.add(*round.applied.lock());
        self.reclaim();
        self.late = Some(UnderWay { round, threads });
    }

    /// Waits for the threads of the late round and takes its buffers back.
    fn reclaim(&mut self) {
        let Some(UnderWay { round, mut threads }) = self.late.take() else { return };
        join(&mut threads);
        if let Some(mut round) = Arc::into_inner(round) {
            round.clear();
            self.spare = Some(round);
        }
    }

    /// Applies all that was pushed.
    pub(super) fn flush(&mut self) {
        if self.filling.len > 0 {
            self.begin();
        }
        self.end();
    }

    /// Applies all that is left.
    pub(super) fn finish(mut self) -> Applied {
        self.flush();
        self.applied
    }
}

/// A replay that fails does not leave threads behind.
impl Drop for Rounds<'_> {
    fn drop(&mut self) {
        self.end();
        self.reclaim();
    }
}
