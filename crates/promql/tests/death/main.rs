//! Queries of death: each of a corpus is refused, cut off or answered as the corpus says; none takes more
//! memory than its account lends, overflows the stack or goes on for long without asking whether it may, be
//! it carried out by one thread or by two. And a light query beside them is hardly slower. Owns no rule of
//! the language.

mod corpus;
#[path = "../support/memory.rs"]
mod memory;
mod shards;

use cap::Cap;
use corpus::{Case, Grid};
use memory::{MemoryStorage, StillClock};
use skopos_base::{
    clock::Clock,
    real::{RealClock, RealSpawner},
    spawn::Spawner,
    sync::Mutex,
};
use skopos_model::{DurationMs, FloatHistogram, Labels, TimestampMs};
use skopos_promql::{
    Engine, EngineOptions, EvalError, ParseOptions, QueryResult, Value, ast::Expr, parse_selector, parse_with,
};
use skopos_storage::{QueryBudget, QueryError, QueryLimits};
use std::{
    alloc::System,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Ends the process when more is taken than it lets.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// What a query of the corpus may use.
const LIMITS: QueryLimits = QueryLimits {
    max_samples: 4_000_000,
    max_series: 4_500,
    max_memory: 64 << 20,
    timeout: DurationMs::from_ms(200),
};

/// What a query may take beside its account: its text, tree and plan, the storage's tables, and buffers
/// that double as they grow.
const BESIDE_ACCOUNT: usize = 48 << 20;

/// How long a query may go on without a look at its budget. Code that is not optimised is given more.
const LONGEST_GAP: Duration = Duration::from_millis(if cfg!(debug_assertions) { 400 } else { 100 });

/// Labels written as a selector.
fn labels(text: &str) -> Labels {
    let matchers = parse_selector(text).expect("a selector");
    Labels::from_pairs(matchers.iter().map(|m| (m.name(), m.value())))
}

/// One sample each 15 s of an hour, of several kinds of series.
fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    let every = |count: i64, interval_ms: i64| (0..count).map(move |k| k * interval_ms);
    for i in 0..100 {
        for (metric, scale) in [("m", 1.0), ("m_total", 3.0)] {
            let values = every(240, 15_000).map(|t| (t, (t as f64).mul_add(scale, f64::from(i))));
            storage.push_all(&labels(&format!("{metric}{{i=\"{i}\"}}")), values);
        }
        let text = format!("build_info{{instance=\"{}\",job=\"{i}\",version=\"{i}\"}}", i % 10);
        storage.push_all(&labels(&text), every(240, 15_000).map(|t| (t, 1.0)));
    }
    for i in 0..4_000 {
        let text = format!("big{{i=\"{i}\",instance=\"{}\",j=\"{}\",job=\"{0}\"}}", i % 10, i % 100);
        storage.push_all(&labels(&text), every(2, 3_600_000).map(|t| (t, f64::from(i))));
    }
    for i in 0..40 {
        for le in ["0.1", "0.5", "1", "5", "10", "+Inf"] {
            let values = every(240, 15_000).map(|t| (t, t as f64));
            storage.push_all(&labels(&format!("h_bucket{{i=\"{i}\",le=\"{le}\"}}")), values);
        }
    }
    for i in 0..10 {
        let values = every(240, 15_000).map(|t| (t, Counts(histogram(t as f64))));
        storage.push_all(&labels(&format!("h{{i=\"{i}\"}}")), values);
    }
    let long = |f: fn(i64) -> f64| every(360_000, 10).map(move |t| (t, f(t)));
    storage.push_all(&labels("long"), long(|t| ((t * 7919) % 10_007) as f64));
    storage.push_all(&labels("huge"), long(|_| f64::MAX));
    storage.push_all(&labels("endless"), long(|t| if t % 20 == 0 { f64::INFINITY } else { 0.0 }));
    storage
}

/// A histogram as a sample.
struct Counts(FloatHistogram);

impl memory::Sample for Counts {
    fn push_to(&self, columns: &mut skopos_model::Columns, timestamp: TimestampMs) {
        columns.push_histogram(timestamp, &self.0);
    }
}

fn histogram(count: f64) -> FloatHistogram {
    use skopos_model::histogram::{Layout, Span};
    let layout = Layout { positive_spans: vec![Span { offset: 0, length: 64 }], ..Layout::default() };
    FloatHistogram {
        layout,
        count: count * 64.0,
        sum: count,
        zero_count: 0.0,
        positive_buckets: vec![count; 64],
        negative_buckets: Vec::new(),
    }
}

/// A real clock that knows the longest time between two looks at it.
#[derive(Debug)]
struct WatchedClock {
    inner: RealClock,
    /// The last look, and the longest time without one.
    looks: Mutex<(Duration, Duration)>,
}

impl WatchedClock {
    fn new() -> Arc<Self> {
        let inner = RealClock::new();
        let now = inner.monotonic();
        Arc::new(Self { inner, looks: Mutex::new((now, Duration::ZERO)) })
    }

    /// Looks once more, and says the longest gap.
    fn longest_gap(&self) -> Duration {
        self.monotonic();
        self.looks.lock().1
    }
}

impl Clock for WatchedClock {
    fn wall_ms(&self) -> i64 {
        self.inner.wall_ms()
    }
    fn monotonic(&self) -> Duration {
        let now = self.inner.monotonic();
        let mut looks = self.looks.lock();
        *looks = (now, looks.1.max(now.saturating_sub(looks.0)));
        now
    }
    fn sleep(&self, _: Duration) {}
}

/// How it ended, in the words of the corpus.
fn outcome(result: &Result<QueryResult, EvalError>) -> &'static str {
    match result {
        Ok(_) => "answer",
        Err(EvalError::Storage(QueryError::Limit { limit: "query.max-samples", .. })) => "samples",
        Err(EvalError::Storage(QueryError::Limit { limit: "query.max-series", .. })) => "series",
        Err(EvalError::Storage(QueryError::Limit { limit: "query.max-memory", .. })) => "memory",
        Err(EvalError::Storage(QueryError::Timeout(_))) => "time",
        Err(EvalError::Storage(QueryError::Cancelled)) => "cancelled",
        Err(EvalError::Storage(e)) => panic!("{e}"),
        Err(_) => "invalid",
    }
}

/// A query and what it may use.
#[derive(Clone, Copy)]
struct Asked<'a> {
    case: &'a Case,
    expr: &'a Expr,
    limits: QueryLimits,
}

/// How the query ended. `with` completes the engine that carries it out, and gets its budget.
fn ended(
    storage: &MemoryStorage,
    Asked { case, expr, limits }: Asked<'_>,
    clock: Arc<dyn Clock>,
    with: impl FnOnce(Engine, &Arc<QueryBudget>) -> Engine,
) -> &'static str {
    let options = EngineOptions { limits, language: ParseOptions::ALL, ..EngineOptions::default() };
    let engine = Engine::new(options, clock);
    let budget = engine.budget();
    let engine = with(engine, &budget);
    let result = match case.grid.steps() {
        None => engine.instant(storage, expr, TimestampMs::new(3_600_000), &budget),
        Some(steps) => engine.range(storage, expr, steps, &budget),
    };
    let outcome = outcome(&result);
    drop(result);
    assert!(budget.memory_peak() <= limits.max_memory, "{}", case.shown());
    outcome
}

/// How the query ended, and how long it went on without a look.
fn run(storage: &MemoryStorage, case: &Case) -> (&'static str, Duration) {
    let Ok(expr) = parse_with(&case.query, ParseOptions::ALL) else { return ("parse", Duration::ZERO) };
    let clock = WatchedClock::new();
    let asked = Asked { case, expr: &expr, limits: LIMITS };
    let outcome = ended(storage, asked, Arc::clone(&clock) as _, |engine, _| engine);
    (outcome, clock.longest_gap())
}

/// What `f` gives within the memory that a query may take.
fn within_memory<T>(f: impl FnOnce() -> T) -> T {
    within_memory_of(LIMITS, f)
}

/// The same of a query that has these limits.
fn within_memory_of<T>(limits: QueryLimits, f: impl FnOnce() -> T) -> T {
    let limit = MEMORY.allocated() + limits.max_memory as usize + BESIDE_ACCOUNT;
    MEMORY.set_limit(limit).expect("a limit above what is taken");
    let given = f();
    MEMORY.set_limit(usize::MAX).expect("no limit");
    given
}

#[test]
fn queries_of_death_end_within_their_account_first_third() {
    every_third_ends_well(0);
}

#[test]
fn queries_of_death_end_within_their_account_second_third() {
    every_third_ends_well(1);
}

#[test]
fn queries_of_death_end_within_their_account_last_third() {
    every_third_ends_well(2);
}

#[expect(clippy::print_stderr, reason = "a process that is ended can say nothing else")]
/// Every third query from `first` on ends as the corpus says, within its memory and its time.
fn every_third_ends_well(first: usize) {
    let cases = corpus::read();
    assert!(cases.len() >= 200, "{} queries", cases.len());
    let storage = storage();
    let mut wrong = String::new();
    for case in cases.iter().skip(first).step_by(3) {
        // The last one that is shown is the one that ended the process.
        eprintln!("{}", case.shown());
        // Another process may take the processor for a while, but not at every attempt.
        let mut attempts = (0..5).map(|_| within_memory(|| run(&storage, case)));
        let ended = attempts.next().expect("five attempts");
        let gap = if ended.1 <= LONGEST_GAP {
            ended.1
        } else {
            attempts.map(|(_, gap)| gap).min().expect("four more attempts")
        };
        if gap > LONGEST_GAP {
            writeln!(wrong, "{gap:?} without a look: {}", case.shown()).expect("a String takes all");
        }
        if !case.may_end_with(ended.0) {
            writeln!(wrong, "ended with {}: {}", ended.0, case.shown()).expect("a String takes all");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The samples of a window that is the whole query are most of what such a query takes.
#[test]
fn a_window_takes_hardly_more_than_what_it_is_charged_for() {
    let mut storage = MemoryStorage::default();
    for i in 0..400 {
        storage.push_all(&labels(&format!("wide{{i=\"{i}\"}}")), (0..9_000).map(|t| (t, t as f64)));
    }
    let limits = QueryLimits { max_memory: 60 << 20, ..LIMITS };
    let case = Case::instant("wide[2h]");
    let expr = parse_with(&case.query, ParseOptions::ALL).expect("a query");
    let asked = Asked { case: &case, expr: &expr, limits };
    // The process ends where it takes more.
    let limit = MEMORY.allocated() + limits.max_memory as usize + (4 << 20);
    MEMORY.set_limit(limit).expect("a limit above what is taken");
    assert_eq!(ended(&storage, asked, Arc::new(StillClock), |engine, _| engine), "answer");
    MEMORY.set_limit(usize::MAX).expect("no limit");
}

#[test]
fn a_light_query_beside_a_heavy_one_takes_less_than_twice_its_time() {
    let storage = storage();
    let light = Case::instant("sum by (i) (rate(m_total[5m]))");
    let clock = RealClock::new();
    let best_of = |count: usize| {
        let times = (0..count).map(|_| {
            let began = clock.monotonic();
            assert_ne!(run(&storage, &light).0, "parse");
            clock.monotonic().saturating_sub(began)
        });
        times.min().expect("some runs")
    };
    let alone = best_of(50);
    let stop = Arc::new(AtomicBool::new(false));
    let (heavy_storage, heavy_stop) = (storage.clone(), Arc::clone(&stop));
    let beside_it = move || {
        let heavy = Case::instant("sum_over_time(vector(time() ^ 0.5)[10d:1s])");
        while !heavy_stop.load(Ordering::Relaxed) {
            run(&heavy_storage, &heavy);
        }
    };
    let thread = RealSpawner.spawn("heavy", Box::new(beside_it)).expect("a thread");
    let beside = best_of(200);
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("the heavy queries end");
    assert!(beside <= alone * 2, "{beside:?} beside a heavy query, {alone:?} alone");
}

#[test]
fn the_corpus_asks_of_many_series() {
    let storage = storage();
    assert!(storage.iter().filter(|(_, columns)| columns.len() > 100_000).count() >= 3);
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let count = parse_with("count(big)", ParseOptions::ALL).expect("a query");
    let result = engine.instant(&storage, &count, TimestampMs::new(3_600_000), &memory::budget());
    let Ok(QueryResult { value: Value::Vector(vector), .. }) = result else { panic!("{result:?}") };
    assert_eq!(vector.values, [4000.0]);
}

#[test]
fn the_grids_of_the_corpus_are_as_long_as_they_say() {
    let steps = Grid::Millions.steps().expect("a range");
    assert_eq!((steps.end.as_ms() - steps.start.as_ms()) / steps.step.as_ms(), 3_600_000);
}
