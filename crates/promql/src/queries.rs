//! `Queries`: which queries wait and run, which have ended of late, what they came to, and the log of those
//! that run. Evaluates nothing and limits nothing; whoever asks the engine for others says here when a query
//! begins and ends.

use crate::active_log::{ActiveLog, LogId};
use crate::engine::Steps;
use crate::parse::TextLimit;
use skopos_base::clock::Clock;
use skopos_base::sync::Mutex;
use skopos_model::DurationMs;
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The named limits that a query can reach, those of its text last, and the other ways in which it is cut
/// off.
pub const CUT_OFF_BY: [&str; 14] = [
    "query.max-concurrency",
    "query.max-samples",
    "query.max-series",
    "query.max-memory",
    "query.total-memory",
    "query.max-response-bytes",
    "query.timeout",
    "client",
    TextLimit::Length.as_str(),
    TextLimit::Nesting.as_str(),
    TextLimit::Depth.as_str(),
    TextLimit::Matchers.as_str(),
    TextLimit::List.as_str(),
    TextLimit::Regexes.as_str(),
];

/// Upper bounds of the buckets of durations, in milliseconds.
pub const DURATION_BOUNDS_MS: [u64; 8] = [10, 100, 500, 1_000, 5_000, 10_000, 30_000, 120_000];

/// A part of a query's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// Waiting for a place among those that run.
    Queue,
    /// Reading its text.
    Prepare,
    /// Computing.
    Evaluate,
    /// Writing its answer.
    Answer,
}

impl Slice {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queue, Self::Prepare, Self::Evaluate, Self::Answer];
}

/// How long a slice took in all queries.
#[derive(Debug, Default)]
pub struct Durations {
    count: AtomicU64,
    nanos: AtomicU64,
    buckets: [AtomicU64; DURATION_BOUNDS_MS.len()],
}

impl Durations {
    fn observe(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let within = |bound: &u64| took <= Duration::from_millis(*bound);
        if let Some(bucket) = DURATION_BOUNDS_MS.iter().position(within) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often, and how long in all.
    pub fn total(&self) -> (u64, Duration) {
        let nanos = self.nanos.load(Ordering::Relaxed);
        (self.count.load(Ordering::Relaxed), Duration::from_nanos(nanos))
    }

    /// How many took no longer than each bound.
    pub fn within_bounds(&self) -> [u64; DURATION_BOUNDS_MS.len()] {
        let mut below = 0;
        self.buckets.each_ref().map(|bucket| {
            below += bucket.load(Ordering::Relaxed);
            below
        })
    }
}

/// So many queries that have ended are remembered.
pub const REMEMBERED: usize = 20_000;
/// Shorter queries are not.
pub const REMEMBERED_FROM: Duration = Duration::from_millis(1);
/// So much of a query's text is kept.
const TEXT_MAX_BYTES: usize = 1024;

/// What is asked, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The text.
    pub query: &'a str,
    /// The times that it is about.
    pub steps: Steps,
    /// The address of the client, where it is known.
    pub from: Option<SocketAddr>,
}

/// A query that waits or runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveQuery {
    /// Its text, cut to 1,024 bytes.
    pub query: Arc<str>,
    /// The times that it is about.
    pub steps: Steps,
    /// The address of the client, where it is known.
    pub from: Option<SocketAddr>,
    /// When it was asked, by the monotonic clock.
    pub asked: Duration,
    /// Whether it has its place; else it waits.
    pub runs: bool,
}

/// A query that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedQuery {
    /// Its text, cut to 1,024 bytes.
    pub query: Arc<str>,
    /// From its first time to its last.
    pub range: DurationMs,
    /// How long it took, waiting included.
    pub took: Duration,
    /// When it ended, by the monotonic clock.
    pub at: Duration,
}

/// Samples of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Those that were looked at, each as often as it is in a window.
    pub queried: u64,
    /// Those that were read: of each window those that the one before had not.
    pub read: u64,
}

/// How many queries there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Those that have their place.
    pub running: usize,
    /// Those that wait for one.
    pub waiting: usize,
}

/// All queries of a process.
pub struct Queries {
    clock: Arc<dyn Clock>,
    max_concurrent: usize,
    log: Option<ActiveLog>,
    active: Mutex<BTreeMap<u64, ActiveQuery>>,
    /// By the time of their ends.
    ended: Mutex<VecDeque<EndedQuery>>,
    next: AtomicU64,
    durations: [Durations; Slice::ALL.len()],
    cut_off: [AtomicU64; CUT_OFF_BY.len()],
    samples_queried: AtomicU64,
    samples_read: AtomicU64,
}

impl fmt::Debug for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queries").field("max_concurrent", &self.max_concurrent).finish_non_exhaustive()
    }
}

impl Queries {
    /// None yet. Of `max_concurrent` that run at a time each is in `log` meanwhile.
    pub fn new(clock: Arc<dyn Clock>, max_concurrent: usize, log: Option<ActiveLog>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            max_concurrent,
            log,
            active: Mutex::new(BTreeMap::new()),
            ended: Mutex::default(),
            next: AtomicU64::new(0),
            durations: Default::default(),
            cut_off: Default::default(),
            samples_queried: AtomicU64::new(0),
            samples_read: AtomicU64::new(0),
        })
    }

    /// A query was asked, and waits.
    pub fn asked(self: &Arc<Self>, Asked { query, steps, from }: Asked<'_>) -> Tracked {
        let (id, asked) = (self.next.fetch_add(1, Ordering::Relaxed), self.clock.monotonic());
        let query = query[..query.floor_char_boundary(TEXT_MAX_BYTES)].into();
        self.active.lock().insert(id, ActiveQuery { query, steps, from, asked, runs: false });
        let (slice, has_ended) = (Slice::Queue, false);
        Tracked { queries: Arc::clone(self), id, slice, since: asked, log_id: None, has_ended }
    }

    /// Those that wait or run with their numbers, the oldest first, and the time by the monotonic clock.
    pub fn active(&self) -> (Vec<(u64, ActiveQuery)>, Duration) {
        let active = self.active.lock().iter().map(|(id, query)| (*id, query.clone())).collect();
        (active, self.clock.monotonic())
    }

    /// Calls `f` with those that have ended no longer than `ago` before now, the newest first. No query can
    /// end meanwhile, so `f` only copies.
    pub fn each_ended(&self, ago: Duration, f: impl FnMut(&EndedQuery)) {
        let since = self.clock.monotonic().saturating_sub(ago);
        self.ended.lock().iter().rev().take_while(|ended| ended.at >= since).for_each(f);
    }

    fn has_ended(&self, id: u64) {
        let Some(ActiveQuery { query, steps, asked, .. }) = self.active.lock().remove(&id) else { return };
        let at = self.clock.monotonic();
        let took = at.saturating_sub(asked);
        if took < REMEMBERED_FROM {
            return;
        }
        let ended = &mut *self.ended.lock();
        if ended.len() == REMEMBERED {
            ended.pop_front();
        }
        ended.push_back(EndedQuery { query, range: steps.end.since(steps.start), took, at });
    }

    /// How many run, and how many wait.
    pub fn counts(&self) -> Counts {
        let active = self.active.lock();
        let running = active.values().filter(|query| query.runs).count();
        Counts { running, waiting: active.len() - running }
    }

    /// How many may run at a time.
    pub fn max_concurrent(&self) -> usize {
        self.max_concurrent
    }

    /// How long `slice` took.
    pub fn durations(&self, slice: Slice) -> &Durations {
        &self.durations[slice as usize]
    }

    /// How many were cut off, in the order of `CUT_OFF_BY`.
    pub fn cut_off(&self) -> [u64; CUT_OFF_BY.len()] {
        self.cut_off.each_ref().map(|n| n.load(Ordering::Relaxed))
    }

    /// The samples of all that were evaluated.
    pub fn samples(&self) -> Samples {
        let [queried, read] = [&self.samples_queried, &self.samples_read].map(|n| n.load(Ordering::Relaxed));
        Samples { queried, read }
    }

    /// How often the log of active queries could not be written.
    pub fn log_failures(&self) -> u64 {
        self.log.as_ref().map_or(0, ActiveLog::failures)
    }

    /// A query was cut off by one of `CUT_OFF_BY` before it was one of these.
    pub fn count_cut_off(&self, by: &str) {
        if let Some(at) = CUT_OFF_BY.iter().position(|name| *name == by) {
            self.cut_off[at].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A query from when it was asked until it is dropped.
#[derive(Debug)]
pub struct Tracked {
    queries: Arc<Queries>,
    id: u64,
    slice: Slice,
    since: Duration,
    log_id: Option<LogId>,
    /// It was said how it ended.
    has_ended: bool,
}

impl Tracked {
    /// It has its place among those that run.
    pub fn runs(&mut self) {
        self.enters(Slice::Prepare);
        let queries = Arc::clone(&self.queries);
        let text = {
            let mut active = queries.active.lock();
            let query = active.get_mut(&self.id);
            query.map(|query| {
                query.runs = true;
                query.query.clone()
            })
        };
        if let (Some(log), Some(text)) = (&queries.log, text) {
            self.log_id = Some(log.begin(&text, queries.clock.wall_ms()));
        }
    }

    /// The slice before has ended and `slice` begins.
    pub fn enters(&mut self, slice: Slice) {
        let now = self.queries.clock.monotonic();
        self.queries.durations(self.slice).observe(now.saturating_sub(self.since));
        (self.slice, self.since) = (slice, now);
    }

    /// It was evaluated, well or badly, over so many samples.
    pub fn evaluated(&mut self, samples: Samples) {
        self.queries.samples_queried.fetch_add(samples.queried, Ordering::Relaxed);
        self.queries.samples_read.fetch_add(samples.read, Ordering::Relaxed);
        self.enters(Slice::Answer);
    }

    /// It ends, and was cut off by one of `CUT_OFF_BY` if it did not end by itself.
    pub fn ends(&mut self, cut_off_by: Option<&str>) {
        self.has_ended = true;
        if let Some(by) = cut_off_by {
            self.queries.count_cut_off(by);
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if !self.has_ended && self.slice == Slice::Queue {
            // Nobody waits for it any more.
            self.ends(Some("client"));
        }
        self.enters(self.slice);
        self.queries.has_ended(self.id);
        if let (Some(log), Some(id)) = (&self.queries.log, self.log_id.take()) {
            log.end(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::sim::SimClock;
    use skopos_model::TimestampMs;

    #[test]
    fn a_query_is_counted_while_it_waits_and_runs_and_gone_when_it_ends() {
        let clock = Arc::new(SimClock::new(0));
        let queries = Queries::new(clock.clone(), 3, None);
        let steps = Steps { start: TimestampMs::new(0), end: TimestampMs::new(7000), step: DurationMs::ZERO };
        let mut first = queries.asked(Asked { query: "up", steps, from: None });
        let second = queries.asked(Asked { query: "down", steps, from: None });
        clock.advance(Duration::from_millis(50));
        first.runs();
        let seen: Vec<_> = queries.active().0.into_iter().map(|(_, q)| (q.query, q.runs)).collect();
        assert_eq!(seen, [("up".into(), true), ("down".into(), false)]);
        assert_eq!(queries.counts(), Counts { running: 1, waiting: 1 });
        clock.advance(Duration::from_millis(2));
        first.enters(Slice::Evaluate);
        clock.advance(Duration::from_secs(2));
        let samples = Samples { queried: 9, read: 7 };
        first.evaluated(samples);
        first.ends(Some("query.timeout"));
        drop((first, second));
        assert!(queries.active().0.is_empty());
        let mut ended = Vec::new();
        queries
            .each_ended(Duration::from_secs(1), |e| ended.push((e.query.clone(), e.range.as_ms(), e.took)));
        let took = Duration::from_millis(2052);
        assert_eq!(ended, [("down".into(), 7000, took), ("up".into(), 7000, took)]);
        assert_eq!(queries.samples(), samples);
        // The first by the limit, the second by its client, who did not wait for it.
        assert_eq!(queries.cut_off()[..8], [0, 0, 0, 0, 0, 0, 1, 1]);
        let took = |slice| queries.durations(slice).total();
        assert_eq!(took(Slice::Evaluate), (1, Duration::from_secs(2)));
        assert_eq!(took(Slice::Prepare), (1, Duration::from_millis(2)));
        // The one that ran waited 50 ms, the one that did not until its end.
        assert_eq!(took(Slice::Queue), (2, Duration::from_millis(50 + 2052)));
        assert_eq!(queries.durations(Slice::Queue).within_bounds(), [0, 1, 1, 1, 2, 2, 2, 2]);
    }
}
