//! What one request may use: samples, series, memory, time, and whether anybody still waits for it; and
//! what all requests of a process may hold together.

use crate::{
    QueryError,
    turns::{Turn, Turns},
};
use skopos_base::{clock::Clock, spawn::Spawner, sync::Mutex};
use skopos_model::DurationMs;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// The named limits of one query. None is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Samples that may be read or held at once (`--query.max-samples`).
    pub max_samples: u64,
    /// Series that may be selected (`--query.max-series`).
    pub max_series: u64,
    /// Bytes that it may hold at once (`--query.max-memory`).
    pub max_memory: u64,
    /// How long it may take (`--query.timeout`).
    pub timeout: DurationMs,
}

impl Default for QueryLimits {
    fn default() -> Self {
        let timeout = DurationMs::from_secs(120);
        Self { max_samples: 50_000_000, max_series: 1_000_000, max_memory: 1 << 30, timeout }
    }
}

/// What the account takes a sample for, in bytes: a time and a value; or a value of a step, in a column that
/// has as much room again to grow.
pub const SAMPLE_BYTES: u64 = 16;
/// What the account takes a selected series for, in bytes: its labels, where it is found, its chunks.
pub const SERIES_BYTES: u64 = 256;

/// So many things that an answer lacks are named.
const MAX_WARNINGS: usize = 20;

/// The memory that all queries of a process hold together (`--query.total-memory`), and which of them have
/// just begun.
#[derive(Debug)]
pub struct QueryMemory {
    max: u64,
    used: AtomicU64,
    peak: AtomicU64,
    turns: Turns,
}

impl QueryMemory {
    /// An account of at most `max` bytes.
    pub fn new(max: u64) -> Arc<Self> {
        let (used, peak) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { max, used, peak, turns: Turns::default() })
    }

    /// So many processors run its queries, on threads of `spawner`: where more run, those that have run for a
    /// while let those go first that have just begun.
    pub fn run_on(&self, processors: usize, spawner: Arc<dyn Spawner>) {
        self.turns.run_on(processors, spawner);
    }

    /// How many bytes it lends at most.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// How many bytes are lent.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that were lent at a time.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), QueryError> {
        let held = take(&self.used, bytes, self.max, "query.total-memory")?;
        self.peak.fetch_max(held, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Samples of a query, as it counts them: what it holds does not come into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// Those that were looked at, each as often as it is in a window.
    pub looked_at: u64,
    /// Those that were read for it.
    pub read: u64,
}

/// The account of one query, shared by all its threads.
#[derive(Debug)]
pub struct QueryBudget {
    shared: Arc<Shared>,
    series: AtomicU64,
}

/// What a query and its sources have in common.
#[derive(Debug)]
struct Shared {
    limits: QueryLimits,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    samples: AtomicU64,
    /// All that were charged, given back or not.
    read: AtomicU64,
    /// What was counted of them.
    counts: [AtomicU64; 2],
    /// The most that were held.
    peak: AtomicU64,
    /// Bytes that are held, those of samples and series among them.
    memory: AtomicU64,
    memory_peak: AtomicU64,
    /// The account of the process.
    all: Option<Arc<QueryMemory>>,
    cancelled: AtomicBool,
    /// What the answer lacks, for whoever reads it.
    warnings: Mutex<BTreeSet<String>>,
    turn: Turn,
}

/// A query that runs: from its slot on until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Running(Arc<QueryBudget>);

impl Drop for Running {
    fn drop(&mut self) {
        let shared = &self.0.shared;
        if let Some(all) = &shared.all {
            shared.turn.end(&all.turns);
        }
    }
}

/// What was not given back one by one goes back when the last who had a part in the query has gone.
impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(all) = &self.all {
            all.give_back(*self.memory.get_mut());
        }
    }
}

impl QueryBudget {
    /// An account whose time begins now.
    pub fn new(limits: QueryLimits, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::opened(limits, clock, None)
    }

    /// The same, whose memory is charged to `all` too.
    pub fn within(limits: QueryLimits, clock: Arc<dyn Clock>, all: &Arc<QueryMemory>) -> Arc<Self> {
        Self::opened(limits, clock, Some(Arc::clone(all)))
    }

    fn opened(limits: QueryLimits, clock: Arc<dyn Clock>, all: Option<Arc<QueryMemory>>) -> Arc<Self> {
        let deadline = clock.monotonic().saturating_add(limits.timeout.as_std());
        let [samples, read, peak, memory, memory_peak] = [const { AtomicU64::new(0) }; 5];
        let (counts, cancelled) = (Default::default(), AtomicBool::new(false));
        let shared = Shared {
            limits,
            clock,
            deadline,
            samples,
            read,
            counts,
            peak,
            memory,
            memory_peak,
            all,
            cancelled,
            warnings: Mutex::default(),
            turn: Turn::default(),
        };
        Arc::new(Self { shared: Arc::new(shared), series: AtomicU64::new(0) })
    }

    /// What the query may use.
    pub fn limits(&self) -> &QueryLimits {
        &self.shared.limits
    }

    /// How much of its time is left.
    pub fn time_left(&self) -> Duration {
        self.shared.deadline.saturating_sub(self.shared.clock.monotonic())
    }

    /// Notes what the answer lacks; each thing once, and so many things at most.
    pub fn warn(&self, what: String) {
        let mut warnings = self.shared.warnings.lock();
        if warnings.len() < MAX_WARNINGS {
            warnings.insert(what);
        }
    }

    /// What the answer lacks.
    pub fn warnings(&self) -> Vec<String> {
        self.shared.warnings.lock().iter().cloned().collect()
    }

    /// The same account for one of several sources that may have the same series. The series that it charges
    /// count against the limit, but not against what other sources charge: whoever merges the sources
    /// charges each series once. Samples, time and cancellation are those of the query.
    pub fn for_source(&self) -> Arc<Self> {
        let series = AtomicU64::new(self.series.load(Ordering::Relaxed));
        Arc::new(Self { shared: Arc::clone(&self.shared), series })
    }

    /// Charges samples about to be read, and checks time and cancellation with it.
    pub fn charge_samples(&self, n: u64) -> Result<(), QueryError> {
        let held = take(&self.shared.samples, n, self.shared.limits.max_samples, "query.max-samples")?;
        self.charge_memory(n.saturating_mul(SAMPLE_BYTES)).inspect_err(|_| {
            self.shared.samples.fetch_sub(n, Ordering::Relaxed);
        })?;
        self.shared.read.fetch_add(n, Ordering::Relaxed);
        self.shared.peak.fetch_max(held, Ordering::Relaxed);
        self.check()
    }

    /// Gives back samples that were charged and are no longer held.
    pub fn release_samples(&self, n: u64) {
        // More can be given back than was charged when a storage charges less than it hands out; an
        // account below zero would refuse everything.
        let given_back = take_back(&self.shared.samples, n);
        self.release_memory(given_back * SAMPLE_BYTES);
    }

    /// Charges memory about to be taken. What is refused is not charged.
    pub fn charge_memory(&self, bytes: u64) -> Result<(), QueryError> {
        let shared = &*self.shared;
        let held = take(&shared.memory, bytes, shared.limits.max_memory, "query.max-memory")?;
        if let Some(all) = &shared.all {
            all.take(bytes).inspect_err(|_| {
                shared.memory.fetch_sub(bytes, Ordering::Relaxed);
            })?;
        }
        shared.memory_peak.fetch_max(held, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back memory that was charged.
    pub fn release_memory(&self, bytes: u64) {
        let given_back = take_back(&self.shared.memory, bytes);
        if let Some(all) = &self.shared.all {
            all.give_back(given_back);
        }
    }

    /// Charges series about to be selected, and checks time and cancellation with it.
    pub fn charge_series(&self, n: u64) -> Result<(), QueryError> {
        take(&self.series, n, self.shared.limits.max_series, "query.max-series")?;
        self.charge_memory(n.saturating_mul(SERIES_BYTES))?;
        self.check()
    }

    /// It runs from now on, no longer than what this gives: others that run are told.
    pub fn run(self: &Arc<Self>) -> Running {
        let shared = &self.shared;
        if let Some(all) = &shared.all {
            shared.turn.begin(&all.turns, &*shared.clock);
        }
        Running(Arc::clone(self))
    }

    /// Between two pieces of work, while nothing is held that others need: lets queries go first that have
    /// just begun, where this one has run for a while, and then checks whether it may go on.
    pub fn go_on(&self) -> Result<(), QueryError> {
        if let Some(all) = &self.shared.all {
            self.shared.turn.let_young_ones_go(&all.turns, &*self.shared.clock);
        }
        self.check()
    }

    /// Whether the query may go on. Cheap enough for every series and every thousand samples.
    pub fn check(&self) -> Result<(), QueryError> {
        let shared = &*self.shared;
        if shared.cancelled.load(Ordering::Relaxed) {
            return Err(QueryError::Cancelled);
        }
        if shared.clock.monotonic() > shared.deadline {
            return Err(QueryError::Timeout(shared.limits.timeout));
        }
        Ok(())
    }

    /// Ends the query at its next check.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    /// All samples that were charged, also those given back.
    pub fn samples_read(&self) -> u64 {
        self.shared.read.load(Ordering::Relaxed)
    }

    /// Says that so many more samples were looked at and read.
    pub fn count_samples(&self, more: SampleCounts) {
        for (count, more) in self.shared.counts.iter().zip([more.looked_at, more.read]) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// What was said so far.
    pub fn sample_counts(&self) -> SampleCounts {
        let [looked_at, read] = self.shared.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        SampleCounts { looked_at, read }
    }

    /// The most samples that were held at a time.
    pub fn samples_peak(&self) -> u64 {
        self.shared.peak.load(Ordering::Relaxed)
    }

    /// Samples charged and not given back.
    pub fn samples(&self) -> u64 {
        self.shared.samples.load(Ordering::Relaxed)
    }

    /// Series that were charged to this source.
    pub fn series(&self) -> u64 {
        self.series.load(Ordering::Relaxed)
    }

    /// Bytes charged and not given back.
    pub fn memory(&self) -> u64 {
        self.shared.memory.load(Ordering::Relaxed)
    }

    /// The most bytes that were held at a time.
    pub fn memory_peak(&self) -> u64 {
        self.shared.memory_peak.load(Ordering::Relaxed)
    }
}

/// Takes `n` more; what the account holds then. What is refused is not taken.
fn take(account: &AtomicU64, n: u64, max: u64, limit: &'static str) -> Result<u64, QueryError> {
    let more = |held: u64| held.checked_add(n).filter(|after| *after <= max);
    let before = account.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    before.map(|held| held + n).map_err(|_| QueryError::Limit { limit, max })
}

/// Gives back `n`, of what there is; how much that was.
fn take_back(account: &AtomicU64, n: u64) -> u64 {
    let less = |held: u64| Some(held.saturating_sub(n));
    let before = account.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    before.unwrap_or_else(|held| held).min(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::sim::SimClock;

    fn limits(max_memory: u64) -> QueryLimits {
        QueryLimits { max_memory, ..QueryLimits::default() }
    }

    fn refused_by(result: Result<(), QueryError>) -> &'static str {
        match result {
            Err(QueryError::Limit { limit, .. }) => limit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_refused_is_not_charged_anywhere() {
        let (clock, all) = (Arc::new(SimClock::new(0)), QueryMemory::new(10_000));
        let one = QueryBudget::within(limits(8_000), clock.clone(), &all);
        let two = QueryBudget::within(limits(8_000), clock, &all);
        one.charge_memory(5_000).unwrap();
        assert_eq!(refused_by(one.charge_memory(5_000)), "query.max-memory");
        assert_eq!(refused_by(two.charge_memory(6_000)), "query.total-memory");
        assert_eq!(refused_by(two.charge_samples(400)), "query.total-memory");
        assert_eq!((one.memory(), two.memory(), two.samples(), all.used()), (5_000, 0, 0, 5_000));
        two.charge_memory(5_000).unwrap();
        assert_eq!((all.used(), all.peak()), (10_000, 10_000));
    }

    #[test]
    fn samples_and_series_are_memory() {
        let (clock, all) = (Arc::new(SimClock::new(0)), QueryMemory::new(u64::MAX));
        let query = QueryBudget::within(limits(100_000), clock, &all);
        query.charge_samples(1_000).unwrap();
        query.for_source().charge_series(10).unwrap();
        assert_eq!(all.used(), 1_000 * SAMPLE_BYTES + 10 * SERIES_BYTES);
        assert_eq!(refused_by(query.charge_samples(10_000)), "query.max-memory");
        // More than was charged cannot be given back.
        query.release_samples(5_000);
        assert_eq!((query.samples(), query.memory()), (0, 10 * SERIES_BYTES));
    }

    #[test]
    fn a_query_that_is_gone_holds_nothing() {
        let (clock, all) = (Arc::new(SimClock::new(0)), QueryMemory::new(1 << 20));
        let query = QueryBudget::within(limits(1 << 20), clock, &all);
        let source = query.for_source();
        query.charge_samples(100).unwrap();
        source.charge_series(3).unwrap();
        source.charge_memory(77).unwrap();
        drop(query);
        assert!(all.used() > 0, "a source is still there");
        drop(source);
        assert_eq!(all.used(), 0);
    }
}
