//! Samples of the WAL to their series, on several threads. A round is some samples, parted by series: while
//! threads apply one round, the next one is decoded. A series is in one part of each round and rounds follow
//! one another, so that the result is that of one thread.
//!
//! Parts are small enough that what one touches stays in a core's cache, and a round is long enough that it
//! touches the same series several times. The samples of a part are brought behind one another by series:
//! so each series is found, locked and waited for once a round. With one thread this is faster too than the
//! order of the records, by which each sample waits for memory. Memory is that of `ROUNDS` rounds, and
//! bounded by `ROUNDS_BYTES` however the samples come: a round whose parts have too much room is applied
//! before it is full, and gives its room back.

use super::by_series::BySeries;
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
pub(super) const PARTS: usize = 256;
/// Series with consecutive numbers that are in one part: they mostly come one after the other.
pub(super) const NEIGHBOURS_LOG: u32 = 3;
/// A round has so many samples for each series …
const SAMPLES_PER_SERIES: usize = 8;
/// … but at least and at most so many, of 16 bytes each.
const ROUND_SAMPLES: RangeInclusive<usize> = 256 << 10..=2 << 20;
/// Rounds that there are at once: one being filled, one being applied, and one whose threads are late or
/// whose buffers are used next.
const ROUNDS: usize = 3;
/// The parts of a round have room for at most so many times its samples: they are seldom equally full.
const ROUND_ROOM: usize = 2;
/// What a part grows by: its room divided by this …
const GROWTH: usize = 4;
/// … but at least so many samples.
const LEAST_GROWTH: usize = 64;
/// The most that all rounds take.
const ROUNDS_BYTES: usize = rounds_bytes(*ROUND_SAMPLES.end());
/// A round of fewer is not worth a thread.
const SHARED_SAMPLES: usize = 4096;
/// Samples sorted and applied before the table of series is let go for a moment; mostly a whole part.
const STRIDE: usize = 16 << 10;

/// The most that all rounds take while each has so many samples.
const fn rounds_bytes(round_samples: usize) -> usize {
    ROUNDS * ROUND_ROOM * round_samples * size_of::<RoundSample>()
}

/// Room beyond which a round is full whatever its samples are: one part more may grow behind it.
const fn most_room(round_samples: usize) -> usize {
    ROUND_ROOM * round_samples / (GROWTH + 1) * GROWTH
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RoundSample {
    pub(super) series: SeriesIndex,
    /// Behind the first of the round.
    pub(super) after_ms: i32,
    pub(super) value_bits: u64,
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
    /// For how many samples the parts have room.
    room: usize,
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
            room: 0,
            first_ms: 0,
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            applied: Mutex::default(),
        }
    }

    /// Makes room in a part that has none.
    #[cold]
    fn grow(&mut self, part: usize) {
        let samples = &mut self.parts[part];
        let before = samples.capacity();
        samples.reserve_exact((before / GROWTH).max(LEAST_GROWTH));
        self.room += samples.capacity() - before;
    }

    /// Applies parts until all are taken.
    fn help(&self, head: &Head) {
        let (mut applied, mut by_series) = (Applied::default(), BySeries::default());
        let mut done = 0;
        while let Some(part) = self.parts.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            for samples in part.chunks(STRIDE) {
                apply(head, by_series.sort(samples), self.first_ms, &mut applied);
            }
            done += 1;
        }
        self.applied.lock().add(applied);
        self.done.fetch_add(done, Ordering::AcqRel);
    }

    /// Makes the parts empty. Of rounds that were unlike one another each part would keep the most that it
    /// ever had: beyond `most_room` all is given back.
    fn clear(&mut self, most_room: usize) {
        if self.room > most_room {
            self.parts.iter_mut().for_each(|part| *part = Vec::new());
            self.room = 0;
        } else {
            self.parts.iter_mut().for_each(Vec::clear);
        }
        self.len = 0;
        *self.next.get_mut() = 0;
        *self.done.get_mut() = 0;
        *self.applied.get_mut() = Applied::default();
    }
}

/// Applies samples that stand by series.
fn apply(head: &Head, samples: &[RoundSample], first_ms: i64, applied: &mut Applied) {
    let view = head.replay_view();
    let table = head.registry.table();
    for of_series in samples.chunk_by(|a, b| a.series == b.series) {
        let Some(series) = table.get(of_series[0].series) else { continue };
        let time_ms = |sample: &RoundSample| first_ms.wrapping_add(i64::from(sample.after_ms));
        let floats = of_series.iter().map(|s| (time_ms(s), f64::from_bits(s.value_bits)));
        series.append_all(floats, &view, |stored, timestamp_ms| {
            applied.count(stored, timestamp_ms, view.min_valid_ms);
        });
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
    /// How many samples a round is to have.
    round_samples: usize,
    /// With how many this one is applied: as many, or none more once it has too much room.
    full_at: usize,
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
            full_at: *ROUND_SAMPLES.start(),
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
        if self.filling.parts[part].len() == self.filling.parts[part].capacity() {
            self.filling.grow(part);
            if self.filling.room > most_room(self.round_samples) {
                self.full_at = 0;
            }
        }
        self.filling.parts[part].push(RoundSample { series, after_ms, value_bits });
        self.filling.len += 1;
        if self.filling.len >= self.full_at {
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
        self.full_at = self.round_samples;
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
        debug_assert!(self.bytes() <= ROUNDS_BYTES, "{} bytes wait in rounds", self.bytes());
        if self.helpers == 0 {
            self.end();
        }
    }

    /// What the rounds take.
    fn bytes(&self) -> usize {
        let others = self.under_way.iter().chain(&self.late).map(|other| other.round.room);
        let room = self.filling.room + others.sum::<usize>() + self.spare.as_ref().map_or(0, |r| r.room);
        room * size_of::<RoundSample>()
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
            round.clear(most_room(self.round_samples));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{head_chunks::HeadChunks, options::Options, stats::Stats};
    use skopos_base::{Env, sim::SimWorld};
    use std::path::Path;

    fn head(env: &Env, replay_threads: usize) -> Arc<Head> {
        let chunks = HeadChunks::open(&env.fs, Path::new("/chunks_head"), 1 << 20).unwrap();
        let options = Options { replay_threads, ..Options::default() };
        Arc::new(Head::new(options, Arc::clone(&env.clock), Arc::new(Stats::default()), chunks))
    }

    /// The room of all rounds.
    fn bytes(rounds: &Rounds<'_>) -> usize {
        let of = |round: &Round| round.parts.iter().map(Vec::capacity).sum::<usize>();
        let others = rounds.under_way.iter().chain(&rounds.late).map(|other| of(&other.round));
        let all = of(&rounds.filling) + others.sum::<usize>() + rounds.spare.as_ref().map_or(0, of);
        assert_eq!(all * size_of::<RoundSample>(), rounds.bytes(), "the room is known");
        rounds.bytes()
    }

    /// The number of a series that is in this part.
    fn of_part(part: usize) -> SeriesIndex {
        SeriesIndex((part << NEIGHBOURS_LOG) as u32)
    }

    /// The most bytes that rounds took while `of_sample` said to which part each sample goes.
    fn most_bytes(threads: usize, samples: usize, of_sample: impl Fn(usize) -> usize) -> usize {
        SimWorld::new(1).run(|env| {
            let head = head(env, threads);
            let mut rounds = Rounds::new(&head, &*env.spawner);
            let mut most = 0;
            for n in 0..samples {
                rounds.push(of_part(of_sample(n)), n as i64, 0);
                if n % 1024 == 0 {
                    most = most.max(bytes(&rounds));
                }
            }
            most = most.max(bytes(&rounds));
            rounds.finish();
            most
        })
    }

    /// No series is there, so that rounds stay at the least of their lengths: the bound goes with the length.
    #[test]
    fn samples_that_wait_in_rounds_stay_within_their_bound() {
        let round = *ROUND_SAMPLES.start();
        let bound = rounds_bytes(round);
        assert_eq!(ROUNDS_BYTES, bound * (ROUND_SAMPLES.end() / round), "of the longest rounds");
        for threads in [1, 2] {
            let even = most_bytes(threads, 5 * round, |n| n);
            assert!(even <= bound && even > round * size_of::<RoundSample>(), "{even} of {bound} bytes");
            // Each round has one part alone, and each another one.
            let each_another = most_bytes(threads, 14 * round, |n| n / round);
            assert!(each_another <= bound, "{each_another} of {bound} bytes");
            let half_even = most_bytes(threads, 12 * round, |n| if n % 2 == 0 { n / round } else { n / 2 });
            assert!(half_even <= bound, "{half_even} of {bound} bytes");
        }
    }
}
