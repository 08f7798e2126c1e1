//! Queries by one thread and by several yield the same, to the last bit, and use the same.

use crate::random::random_storage;
use crate::support::{
    memory::{MemoryStorage, StillClock, budget},
    world::labels,
};
use skopos_base::{real::RealSpawner, rng::Rng, sim::SimWorld, spawn::Spawner};
use skopos_model::{DurationMs, TimestampMs};
use skopos_promql::{
    Engine, EngineOptions, EvalError, QueryResult, Steps, Value, parse,
    shards::{ShardOptions, Shards},
};
use skopos_storage::{QueryBudget, QueryError, QueryLimits, QueryMemory};
use skopos_testkit::expressions::{Dialect, Writer};
use std::{fmt::Write as _, sync::Arc};

/// All there is to be known of a result, floats by their bits.
fn whole(result: &QueryResult) -> String {
    let mut out = format!("{:?}\n", result.annotations);
    match &result.value {
        Value::Matrix(m) => {
            for i in 0..m.len() {
                write!(out, "{}", m.labels(i)).expect("a string takes all");
                for (t, v) in m.points(i) {
                    write!(out, " {}:{:x}", t.as_ms(), v.to_bits()).expect("a string takes all");
                }
                for (t, h) in m.histograms(i) {
                    write!(out, " {}:{h:?}", t.as_ms()).expect("a string takes all");
                }
                out.push('\n');
            }
        }
        other => write!(out, "{other:?}").expect("a string takes all"),
    }
    out
}

fn engine(spawner: &Arc<dyn Spawner>, max: usize) -> Engine {
    let shards = Shards::new(Arc::clone(spawner), ShardOptions { max, alone_up_to: 0 });
    Engine::new(EngineOptions::default(), Arc::new(StillClock)).with_shards(shards)
}

fn steps() -> Steps {
    let (start, end) = (TimestampMs::new(1_000_000), TimestampMs::new(2_000_000));
    Steps { start, end, step: DurationMs::from_secs(15) }
}

/// What a query yields or why not; how many samples it read.
fn asked(engine: &Engine, storage: &MemoryStorage, text: &str) -> (Result<String, String>, u64) {
    let budget = budget();
    let result = engine.range(storage, &parse(text).expect("well formed"), steps(), &budget);
    let seen = result.as_ref().map(whole).map_err(|e: &EvalError| e.to_string());
    drop(result);
    assert_eq!(budget.samples(), 0, "{text}: samples were charged that nobody holds");
    (seen, budget.series())
}

#[test]
fn any_number_of_shards_yields_the_same_bits() {
    let seed = 20_261_123;
    println!("seed {seed}");
    let rng = Rng::from_seed(seed);
    let spawner: Arc<dyn Spawner> = Arc::new(RealSpawner);
    let alone = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let several = [1, 2, 7].map(|max| engine(&spawner, max));
    let mut storage = random_storage(&rng);
    let mut with_values = 0;
    for case in 0..400 {
        if case % 25 == 0 {
            storage = random_storage(&rng);
        }
        let writer = Writer { rng: &rng, fixed_time: "1500", dialect: Dialect::Newest };
        let text = writer.vector(1 + rng.below(3) as u32, false);
        let want = asked(&alone, &storage, &text);
        with_values += u32::from(want.0.as_ref().is_ok_and(|w| w.len() > 100));
        for engine in &several {
            let max = engine.shards().options().max;
            assert_eq!(asked(engine, &storage, &text), want, "case {case}, {max} shards: {text}");
        }
    }
    assert!(with_values > 100, "the expressions say too little: {with_values}");
}

/// Many series whose sums depend on the order in which they are added.
fn many() -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for i in 0..300 {
        let series = labels(&format!("m{{i=\"{i}\",g=\"{}\"}}", i % 3));
        let value = |k: i64| ((i * 7919 + k * 104_729) % 1_000_003) as f64 * 10f64.powi((i % 37) as i32 - 18);
        storage.push_all(&series, (0..60).map(|k| (1_000_000 + k * 15_000, value(k))));
    }
    storage
}

#[test]
fn sums_do_not_depend_on_who_adds_them_up() {
    let storage = many();
    let spawner: Arc<dyn Spawner> = Arc::new(RealSpawner);
    let alone = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    for text in [
        "sum(m)",
        "avg by (g) (m * 1e300)",
        "stddev by (g) (rate(m[1m]))",
        "sum(sum_over_time(m[2m:10s]))",
        "m offset 1m",
        "topk(3, m)",
        "count(m > 1) / count(m)",
        "sum(rate(m[1m])) / avg(m)",
    ] {
        let want = asked(&alone, &storage, text);
        for max in [2, 3, 7] {
            for _ in 0..3 {
                assert_eq!(asked(&engine(&spawner, max), &storage, text), want, "{max} shards: {text}");
            }
        }
    }
}

#[test]
fn simulated_threads_yield_the_same() {
    let storage = many();
    let alone = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let want = asked(&alone, &storage, "sum by (g) (m)");
    for seed in 0..5 {
        SimWorld::new(seed).run(|env| {
            let got = asked(&engine(&env.spawner, 3), &storage, "sum by (g) (m)");
            assert_eq!(got, want, "seed {seed}");
        });
    }
}

#[test]
fn the_numbers_of_steps_are_charged_once_however_many_shards_there_are() {
    let storage = many();
    let spawner: Arc<dyn Spawner> = Arc::new(RealSpawner);
    for text in ["sum(m)", "m * 2", "sum(sum_over_time(m[2m:10s]))"] {
        let held = [1, 4].map(|max| {
            let budget = budget();
            let engine = engine(&spawner, max).profiling();
            drop(engine.range(&storage, &parse(text).unwrap(), steps(), &budget).unwrap());
            budget.memory()
        });
        assert_eq!(held[0], held[1], "{text}");
    }
}

#[test]
fn limits_hold_over_all_shards() {
    let storage = many();
    let spawner: Arc<dyn Spawner> = Arc::new(RealSpawner);
    let text = parse("m * 2").unwrap();
    for (limits, by) in [
        (QueryLimits { max_samples: 5_000, ..QueryLimits::default() }, "query.max-samples"),
        (QueryLimits { max_series: 299, ..QueryLimits::default() }, "query.max-series"),
        (QueryLimits { max_memory: 100_000, ..QueryLimits::default() }, "query.max-memory"),
    ] {
        for max in [1, 2, 7] {
            let all = QueryMemory::new(u64::MAX);
            let budget = QueryBudget::within(limits, Arc::new(StillClock), &all);
            let ended = engine(&spawner, max).range(&storage, &text, steps(), &budget).map(|_| "a result");
            let reached = matches!(
                &ended,
                Err(EvalError::Storage(QueryError::Limit { limit, .. })) if *limit == by
            );
            assert!(reached, "{max} shards, {by}: {ended:?}");
            drop(budget);
            assert_eq!(all.used(), 0, "{max} shards, {by}: a thread is left");
        }
    }
}
