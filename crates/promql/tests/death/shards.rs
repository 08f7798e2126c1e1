//! Queries of death by two threads: each ends as the corpus says and within its memory, and soon after the
//! client that asked has gone. Owns no query.

use super::{Asked, Case, LIMITS, LONGEST_GAP, corpus, ended, storage, within_memory, within_memory_of};
use crate::memory::MemoryStorage;
use skopos_base::{
    clock::Clock,
    real::{RealClock, RealSpawner},
    spawn::{Joined, Spawner, Stop},
};
use skopos_model::DurationMs;
use skopos_promql::{
    ParseOptions, parse_with,
    shards::{ShardOptions, Shards},
};
use skopos_storage::{QueryBudget, QueryLimits};
use std::{
    fmt::Write,
    io,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// When the client goes.
const LEAVES_AFTER: Duration = Duration::from_millis(20);
/// What a machine of two cores has by default.
const SHARDS: usize = 2;

/// A real clock. Whoever looks at it after the client went ends the query.
#[derive(Debug)]
struct ClientClock {
    inner: RealClock,
    began: Duration,
    /// How long the client waits; for ever if it does not go.
    waits: Duration,
    query: OnceLock<Weak<QueryBudget>>,
}

impl ClientClock {
    fn new(waits: Duration) -> Arc<Self> {
        let inner = RealClock::new();
        Arc::new(Self { began: inner.monotonic(), inner, waits, query: OnceLock::new() })
    }

    /// How long ago it was made.
    fn taken(&self) -> Duration {
        self.inner.monotonic().saturating_sub(self.began)
    }
}

impl Clock for ClientClock {
    fn wall_ms(&self) -> i64 {
        0
    }
    fn monotonic(&self) -> Duration {
        let now = self.inner.monotonic();
        if now.saturating_sub(self.began) >= self.waits
            && let Some(query) = self.query.get().and_then(Weak::upgrade)
        {
            query.cancel();
        }
        now
    }
    fn sleep(&self, _: Duration) {}
}

/// Starts real threads, and counts them.
#[derive(Debug, Default)]
struct CountingSpawner(AtomicUsize);

impl Spawner for CountingSpawner {
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Joined>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        RealSpawner.spawn(name, body)
    }
    fn stop_signal(&self) -> Arc<dyn Stop> {
        RealSpawner.stop_signal()
    }
}

/// How the query ended by two threads of `shards`, and how long it took.
fn run(
    storage: &MemoryStorage,
    case: &Case,
    shards: &Arc<Shards>,
    waits: Duration,
) -> (&'static str, Duration) {
    run_within(LIMITS, storage, case, shards, waits)
}

fn run_within(
    limits: QueryLimits,
    storage: &MemoryStorage,
    case: &Case,
    shards: &Arc<Shards>,
    waits: Duration,
) -> (&'static str, Duration) {
    let Ok(expr) = parse_with(&case.query, ParseOptions::ALL) else { return ("parse", Duration::ZERO) };
    let clock = ClientClock::new(waits);
    let asked = Asked { case, expr: &expr, limits };
    let ended = ended(storage, asked, Arc::clone(&clock) as _, |engine, budget| {
        clock.query.set(Arc::downgrade(budget)).expect("one query for each clock");
        engine.with_shards(Arc::clone(shards))
    });
    assert_eq!(shards.helping(), 0, "a thread is left: {}", case.shown());
    (ended, clock.taken())
}

#[test]
fn queries_of_death_end_by_two_threads_first_third() {
    every_third_ends_well(0);
}

#[test]
fn queries_of_death_end_by_two_threads_second_third() {
    every_third_ends_well(1);
}

#[test]
fn queries_of_death_end_by_two_threads_last_third() {
    every_third_ends_well(2);
}

#[expect(clippy::print_stderr, reason = "a process that is ended can say nothing else")]
/// Every third query from `first` on, of those that are evaluated. The many series of `big` are enough for
/// help by default; of the others any series is helped with.
fn every_third_ends_well(first: usize) {
    let storage = storage();
    let spawner = Arc::new(CountingSpawner::default());
    let shards = |options| Shards::new(Arc::clone(&spawner) as _, options);
    let (by_default, always) =
        (shards(ShardOptions::new(SHARDS)), shards(ShardOptions { max: SHARDS, alone_up_to: 0 }));
    let (mut wrong, mut helped) = (String::new(), [0, 0]);
    let cases = corpus::read().into_iter().skip(first).step_by(3);
    for case in cases.filter(|case| case.outcomes != ["parse"]) {
        eprintln!("{}", case.shown());
        let is_large = case.query.contains("big");
        let shards = if is_large { &by_default } else { &always };
        let before = spawner.0.load(Ordering::Relaxed);
        let (outcome, taken) = within_memory(|| run(&storage, &case, shards, Duration::MAX));
        helped[usize::from(is_large)] += usize::from(spawner.0.load(Ordering::Relaxed) > before);
        // Which of its limits a query comes to first depends on who was faster.
        let limit = |outcome: &str| ["samples", "memory"].contains(&outcome);
        let other_limit = limit(outcome) && case.outcomes.iter().any(|o| limit(o));
        if !case.may_end_with(outcome) && !other_limit {
            writeln!(wrong, "ended with {outcome}: {}", case.shown()).expect("a String takes all");
        }
        // Another process may take the processor for a while, but not at every attempt.
        let late = |waits: Duration| {
            let late = || run(&storage, &case, shards, waits).1.saturating_sub(waits);
            (0..5).all(|_| within_memory(late) > LONGEST_GAP)
        };
        let timeout = Duration::from_millis(LIMITS.timeout.as_ms() as u64);
        if taken > timeout + LONGEST_GAP && late(timeout) {
            writeln!(wrong, "ends long after its time: {}", case.shown()).expect("a String takes all");
        }
        if taken > LEAVES_AFTER && late(LEAVES_AFTER) {
            writeln!(wrong, "goes on without its client: {}", case.shown()).expect("a String takes all");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(helped.iter().all(|n| *n > 10), "{helped:?} queries were helped");
}

/// As large as the defaults of a server, but for the time.
const DEFAULTS: QueryLimits = QueryLimits {
    max_samples: 50_000_000,
    max_series: 1_000_000,
    max_memory: 1 << 30,
    timeout: DurationMs::from_ms(1000),
};

#[test]
fn queries_of_death_end_by_two_threads_within_the_limits_of_a_server_too() {
    let storage = storage();
    let shards =
        Shards::new(Arc::new(CountingSpawner::default()), ShardOptions { max: SHARDS, alone_up_to: 0 });
    // To give back so much memory takes its time too.
    let late = Duration::from_millis(DEFAULTS.timeout.as_ms() as u64) + 4 * LONGEST_GAP;
    let mut wrong = String::new();
    let cases = corpus::read().into_iter().filter(|case| case.outcomes != ["parse"]);
    for case in cases.step_by(5) {
        eprintln!("{}", case.shown());
        let run =
            || within_memory_of(DEFAULTS, || run_within(DEFAULTS, &storage, &case, &shards, Duration::MAX));
        let (outcome, taken) = run();
        // With more room a query comes further: another limit or none ends it, or it makes no sense.
        if outcome == "parse" || outcome == "cancelled" {
            writeln!(wrong, "ended with {outcome}: {}", case.shown()).expect("a String takes all");
        }
        if taken > late && (0..4).all(|_| run().1 > late) {
            writeln!(wrong, "ends {taken:?} after it began: {}", case.shown()).expect("a String takes all");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
