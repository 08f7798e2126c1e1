//! Random expressions over random data: the engine yields what the reference evaluator yields, or both
//! refuse. Prints its seed; `SKOPOS_TEST_SEED` replays it, `SKOPOS_TEST_CASES` sets how many.

use crate::reference::Reference;
use crate::support::{
    compare::{Series, difference, series},
    memory::{MemoryStorage, StillClock, budget},
    writer::{Writer, chance},
};
use skopos_base::rng::Rng;
use skopos_model::{DurationMs, Labels, TimestampMs, stale_nan};
use skopos_promql::{Engine, EngineOptions, Steps, parse};
use std::sync::Arc;

const START_MS: i64 = 1_000_000;
const END_MS: i64 = 2_000_000;

/// Gauges of whole numbers with gaps, markers and special values; counters with resets; and `u`, of
/// which no two values are equal.
pub(crate) fn random_storage(rng: &Rng) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for metric in ["a", "b", "c_total", "u"] {
        for i in 1..=3 {
            for j in ["x", "y"].into_iter().filter(|_| chance(rng, 85)) {
                let labels = Labels::from_pairs([("__name__", metric), ("i", &i.to_string()), ("j", j)]);
                fill(rng, &mut storage, &labels, metric);
            }
        }
    }
    storage
}

fn fill(rng: &Rng, storage: &mut MemoryStorage, labels: &Labels, metric: &str) {
    let spacing = [5_000, 15_000, 60_000][rng.below(3) as usize];
    let (mut t, mut value) = (START_MS - 700_000 + rng.below(20_000) as i64, 0.0);
    let odd = chance(rng, 30);
    while t < END_MS + 200_000 {
        value = match metric {
            "c_total" if chance(rng, 4) => 0.0,
            "c_total" => value + rng.below(100) as f64,
            "u" => rng.next_u64() as f64 / 1e17,
            _ if odd && chance(rng, 2) => f64::NAN,
            _ if odd && chance(rng, 1) => f64::INFINITY,
            _ if chance(rng, 50) && !f64::is_nan(value) && !f64::is_infinite(value) => value,
            _ => rng.below(20) as f64 - 5.0,
        };
        let marker = metric != "u" && chance(rng, 2);
        storage.push_all(labels, [(t, if marker { stale_nan() } else { value })]);
        t += spacing + if odd { rng.below(1000) as i64 } else { 0 };
        if chance(rng, 2) {
            t += rng.below(600_000) as i64;
        }
    }
}

fn by_engine(storage: &MemoryStorage, text: &str, step: i64) -> Result<Series, String> {
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let steps = Steps {
        start: TimestampMs::new(START_MS),
        end: TimestampMs::new(END_MS),
        step: DurationMs::from_ms(step),
    };
    let budget = budget();
    let result = engine
        .range(storage, &parse(text).map_err(|e| e.to_string())?, steps, &budget)
        .map_err(|e| e.to_string())?;
    let series = series(&result);
    drop(result);
    assert_eq!(budget.samples(), 0, "{text}: samples were charged that nobody holds");
    Ok(series)
}

#[test]
fn the_engine_yields_what_the_definitions_say() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seed = variable("SKOPOS_TEST_SEED").unwrap_or(20_261_122);
    let cases = variable("SKOPOS_TEST_CASES").unwrap_or(1500);
    println!("SKOPOS_TEST_SEED={seed}");
    let rng = Rng::from_seed(seed);
    let (mut agreed, mut refused, mut empty) = (0, 0, 0);
    let mut storage = random_storage(&rng);
    for case in 0..cases {
        if case % 25 == 0 {
            storage = random_storage(&rng);
        }
        let writer = Writer { rng: &rng, fixed_time: "1500", only_old: false };
        let text = writer.vector(1 + rng.below(3) as u32, false);
        let step = [7_000, 15_000, 60_000, 250_000][rng.below(4) as usize];
        let expr = parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let reference = Reference {
            storage: &storage,
            lookback: 300_000,
            subquery_step: 60_000,
            bounds: (START_MS, END_MS),
        };
        match (by_engine(&storage, &text, step), reference.range(&expr, step)) {
            (Ok(got), Ok(want)) => {
                if let Some(difference) = difference(&got, &want) {
                    panic!("case {case} of seed {seed}, step {step}: {text}\n{difference}");
                }
                agreed += 1;
                empty += u32::from(got.is_empty());
            }
            (Err(_), Err(_)) => refused += 1,
            // The engine, as Prometheus, evaluates a subquery at steps between its windows too.
            (Err(_), Ok(_)) if text.contains(':') => refused += 1,
            (got, want) => {
                panic!("case {case} of seed {seed}, step {step}: {text}\ngot {got:?}\nwant {want:?}")
            }
        }
    }
    println!("{agreed} agreed ({empty} of them empty), {refused} refused by both");
    assert!(agreed > refused && empty < agreed / 2, "the expressions say too little");
}
