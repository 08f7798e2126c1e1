//! `Queries`: which queries wait and which run, what they came to, and the log of those that run. Evaluates
//! nothing and limits nothing; whoever asks the engine for others says here when a query begins and ends.

use crate::active_log::{ActiveLog, LogId};
use crate::error::EvalError;
use skopos_base::clock::Clock;
use skopos_base::sync::Mutex;
use skopos_storage::{QueryBudget, QueryError};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The named limits that a query can reach, and the other ways in which it is cut off.
pub const CUT_OFF_BY: [&str; 6] = [
    "query.max-samples",
    "query.max-series",
    "query.max-memory",
    "query.total-memory",
    "query.timeout",
    "client",
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

/// A query that waits or runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveQuery {
    /// Its text.
    pub query: String,
    /// When it was asked, by the monotonic clock.
    pub asked: Duration,
    /// Whether it has its place; else it waits.
    pub runs: bool,
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
    next: AtomicU64,
    durations: [Durations; Slice::ALL.len()],
    cut_off: [AtomicU64; CUT_OFF_BY.len()],
    samples: AtomicU64,
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
            next: AtomicU64::new(0),
            durations: Default::default(),
            cut_off: Default::default(),
            samples: AtomicU64::new(0),
        })
    }

    /// A query was asked, and waits.
    pub fn asked(self: &Arc<Self>, query: &str) -> Tracked {
        let (id, asked) = (self.next.fetch_add(1, Ordering::Relaxed), self.clock.monotonic());
        let active = ActiveQuery { query: query.to_owned(), asked, runs: false };
        self.active.lock().insert(id, active);
        Tracked { queries: Arc::clone(self), id, slice: Slice::Queue, since: asked, log_id: None }
    }

    /// Those that wait or run, the oldest first.
    pub fn active(&self) -> Vec<ActiveQuery> {
        self.active.lock().values().cloned().collect()
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

    /// Samples that queries have read.
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// How often the log of active queries could not be written.
    pub fn log_failures(&self) -> u64 {
        self.log.as_ref().map_or(0, ActiveLog::failures)
    }

    fn count_cut_off(&self, by: &str) {
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

    /// It was evaluated, well or badly.
    pub fn evaluated(&mut self, budget: &QueryBudget, error: Option<&EvalError>) {
        self.queries.samples.fetch_add(budget.samples_read(), Ordering::Relaxed);
        self.enters(Slice::Answer);
        if let Some(EvalError::Storage(error)) = error {
            self.cut_off(error);
        }
    }

    /// Counts what cut it off, if that is what `error` says.
    pub fn cut_off(&self, error: &QueryError) {
        match error {
            QueryError::Limit { limit, .. } => self.queries.count_cut_off(limit),
            QueryError::Timeout(_) => self.queries.count_cut_off("query.timeout"),
            QueryError::Cancelled => self.queries.count_cut_off("client"),
            _ => {}
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.enters(self.slice);
        self.queries.active.lock().remove(&self.id);
        if let (Some(log), Some(id)) = (&self.queries.log, self.log_id.take()) {
            log.end(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::sim::SimClock;
    use skopos_model::DurationMs;

    #[test]
    fn a_query_is_counted_while_it_waits_and_runs_and_gone_when_it_ends() {
        let clock = Arc::new(SimClock::new(0));
        let queries = Queries::new(clock.clone(), 3, None);
        let mut first = queries.asked("up");
        let second = queries.asked("down");
        clock.advance(Duration::from_millis(50));
        first.runs();
        let seen: Vec<_> = queries.active().into_iter().map(|q| (q.query, q.runs)).collect();
        assert_eq!(seen, [("up".to_owned(), true), ("down".to_owned(), false)]);
        assert_eq!(queries.counts(), Counts { running: 1, waiting: 1 });
        clock.advance(Duration::from_millis(2));
        first.enters(Slice::Evaluate);
        clock.advance(Duration::from_secs(2));
        let budget = QueryBudget::new(skopos_storage::QueryLimits::default(), clock.clone());
        budget.charge_samples(7).unwrap();
        let error = EvalError::Storage(QueryError::Timeout(DurationMs::from_secs(2)));
        first.evaluated(&budget, Some(&error));
        drop((first, second));
        assert!(queries.active().is_empty());
        assert_eq!(queries.samples(), 7);
        assert_eq!(queries.cut_off(), [0, 0, 0, 0, 1, 0]);
        let took = |slice| queries.durations(slice).total();
        assert_eq!(took(Slice::Evaluate), (1, Duration::from_secs(2)));
        assert_eq!(took(Slice::Prepare), (1, Duration::from_millis(2)));
        // The one that ran waited 50 ms, the one that did not until its end.
        assert_eq!(took(Slice::Queue), (2, Duration::from_millis(50 + 2052)));
        assert_eq!(queries.durations(Slice::Queue).within_bounds(), [0, 1, 1, 1, 2, 2, 2, 2]);
    }
}
