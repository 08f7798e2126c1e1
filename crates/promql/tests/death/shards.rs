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
    cell::Cell,
    fmt::Write,
    io,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
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
    /// The most processor time that a thread has spent between two looks, in nanoseconds.
    longest: AtomicU64,
}

thread_local! {
    /// When the query began that this thread works for, and its processor time at its last look.
    static LAST_LOOK: Cell<(Duration, Duration)> = const { Cell::new((Duration::MAX, Duration::ZERO)) };
}

/// The processor time that this thread has had: what it waits for the processor is not in it.
#[expect(clippy::disallowed_methods, reason = "what the system says of the thread is in a file")]
fn processor_time() -> Duration {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the system counts it");
    let nanos = said.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.expect("a number of nanoseconds"))
}

impl ClientClock {
    fn new(waits: Duration) -> Arc<Self> {
        let inner = RealClock::new();
        let began = inner.monotonic();
        let clock = Self { began, inner, waits, query: OnceLock::new(), longest: AtomicU64::new(0) };
        LAST_LOOK.set((began, processor_time()));
        Arc::new(clock)
    }

    /// Looks once more, and gives the most processor time that a thread has spent between two looks.
    fn longest_gap(&self) -> Duration {
        self.monotonic();
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
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
        let (began, before) = LAST_LOOK.get();
        let spent = processor_time();
        LAST_LOOK.set((self.began, spent));
        if began == self.began {
            self.longest.fetch_max(spent.saturating_sub(before).as_nanos() as u64, Ordering::Relaxed);
        }
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

/// How a query ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    outcome: &'static str,
    taken: Duration,
    /// The most processor time that a thread has spent between two looks, and behind the last one.
    longest_gap: Duration,
}

/// How the query ended by two threads of `shards`.
fn run(storage: &MemoryStorage, case: &Case, shards: &Arc<Shards>, waits: Duration) -> Ended {
    run_within(LIMITS, storage, case, shards, waits)
}

fn run_within(
    limits: QueryLimits,
    storage: &MemoryStorage,
    case: &Case,
    shards: &Arc<Shards>,
    waits: Duration,
) -> Ended {
    let Ok(expr) = parse_with(&case.query, ParseOptions::ALL) else {
        return Ended { outcome: "parse", taken: Duration::ZERO, longest_gap: Duration::ZERO };
    };
    let clock = ClientClock::new(waits);
    let asked = Asked { case, expr: &expr, limits };
    let outcome = ended(storage, asked, Arc::clone(&clock) as _, |engine, budget| {
        clock.query.set(Arc::downgrade(budget)).expect("one query for each clock");
        engine.with_shards(Arc::clone(shards))
    });
    assert_eq!(shards.helping(), 0, "a thread is left: {}", case.shown());
    Ended { outcome, taken: clock.taken(), longest_gap: clock.longest_gap() }
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
        let Ended { outcome, taken, longest_gap } =
            within_memory(|| run(&storage, &case, shards, Duration::MAX));
        let was_helped = || spawner.0.load(Ordering::Relaxed) > before;
        if outcome == "time" && !was_helped() {
            // On a busy machine its time is over before it has shown how large it is.
            let limits = QueryLimits { timeout: DurationMs::from_ms(20 * LIMITS.timeout.as_ms()), ..LIMITS };
            within_memory(|| run_within(limits, &storage, &case, shards, Duration::MAX));
        }
        helped[usize::from(is_large)] += usize::from(was_helped());
        // Which of its limits a query comes to first depends on who was faster.
        let limit = |outcome: &str| ["samples", "memory"].contains(&outcome);
        let other_limit = limit(outcome) && case.outcomes.iter().any(|o| limit(o));
        if !case.may_end_with(outcome) && !other_limit {
            writeln!(wrong, "ended with {outcome}: {}", case.shown()).expect("a String takes all");
        }
        if longest_gap > LONGEST_GAP {
            writeln!(wrong, "{longest_gap:?} without a look: {}", case.shown()).expect("a String takes all");
        }
        // Another process may take the processor for a while, but not at every attempt.
        let late = |waits: Duration| {
            let late = || run(&storage, &case, shards, waits).taken.saturating_sub(waits);
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
    // One gap until a look finds that the time has passed, and one for what is given back behind it. Each is
    // bounded by itself too, in processor time: all of the machine may be busy with other processes.
    let late = Duration::from_millis(DEFAULTS.timeout.as_ms() as u64) + 2 * LONGEST_GAP;
    let mut wrong = String::new();
    let cases = corpus::read().into_iter().filter(|case| case.outcomes != ["parse"]);
    for case in cases.step_by(5) {
        eprintln!("{}", case.shown());
        let run =
            || within_memory_of(DEFAULTS, || run_within(DEFAULTS, &storage, &case, &shards, Duration::MAX));
        let Ended { outcome, taken, longest_gap } = run();
        if longest_gap > LONGEST_GAP {
            writeln!(wrong, "{longest_gap:?} without a look: {}", case.shown()).expect("a String takes all");
        }
        // With more room a query comes further: another limit or none ends it, or it makes no sense.
        if outcome == "parse" || outcome == "cancelled" {
            writeln!(wrong, "ended with {outcome}: {}", case.shown()).expect("a String takes all");
        }
        if taken > late && (0..4).all(|_| run().taken > late) {
            writeln!(wrong, "ends {taken:?} after it began: {}", case.shown()).expect("a String takes all");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
