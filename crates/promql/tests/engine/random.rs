//! Random expressions over random data: the engine yields what the reference evaluator yields, or both
//! refuse. Prints its seed; `SKOPOS_TEST_SEED` replays it, `SKOPOS_TEST_CASES` sets how many.

use crate::reference::Reference;
use crate::support::{
    compare::{Series, difference, series},
    memory::{MemoryStorage, StillClock, budget},
};
use skopos_base::rng::Rng;
use skopos_model::{DurationMs, FloatHistogram, Labels, Layout, Span, TimestampMs, stale_nan};
use skopos_promql::{Engine, EngineOptions, Steps, parse};
use skopos_testkit::expressions::{Dialect, Writer, chance};
use std::sync::Arc;

pub(crate) const START_MS: i64 = 1_000_000;
pub(crate) const END_MS: i64 = 2_000_000;

/// Gauges of whole numbers with gaps, markers and special values; counters with resets; and `u`, of
/// which no two values are equal.
pub(crate) fn random_storage(rng: &Rng) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for i in ["1", "2", "3"] {
        for j in ["x", "y"] {
            for metric in ["a", "b", "c_total", "u"].into_iter().filter(|_| chance(rng, 85)) {
                let labels = Labels::from_pairs([("__name__", metric), ("i", i), ("j", j)]);
                fill(rng, &mut storage, &labels, metric);
            }
            latencies(rng, &mut storage, [("i", i), ("j", j)]);
            histograms(rng, &mut storage, [("i", i), ("j", j)]);
        }
    }
    storage
}

/// A classic histogram, whose buckets grow together.
fn latencies(rng: &Rng, storage: &mut MemoryStorage, [i, j]: [(&str, &str); 2]) {
    let mut counts = [0.0; 5];
    let mut t = START_MS - 700_000 + rng.below(20_000) as i64;
    while t < END_MS + 200_000 {
        for from in 0..5 {
            let more = rng.below(9) as f64;
            counts[from..].iter_mut().for_each(|count| *count += more);
        }
        for (bound, count) in ["0.1", "0.5", "1", "2.5", "+Inf"].iter().zip(counts) {
            let labels = Labels::from_pairs([("__name__", "lat_bucket"), i, j, ("le", *bound)]);
            storage.push_all(&labels, [(t, count)]);
        }
        t += 15_000;
    }
}

/// A native histogram that counts up, with resets; resolutions differ from series to series.
fn histograms(rng: &Rng, storage: &mut MemoryStorage, [i, j]: [(&str, &str); 2]) {
    let labels = Labels::from_pairs([("__name__", "h"), i, j]);
    let layout = Layout {
        schema: i32::from(i.1 == "2"),
        zero_threshold: 0.001,
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 1, length: 2 }],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        ..Layout::default()
    };
    let zero = FloatHistogram {
        layout,
        positive_buckets: vec![0.0; 4],
        negative_buckets: vec![0.0],
        ..FloatHistogram::default()
    };
    let mut now = zero.clone();
    let mut t = START_MS - 700_000 + rng.below(20_000) as i64;
    while t < END_MS + 200_000 {
        if chance(rng, 3) {
            now = zero.clone();
        }
        // Every bucket has something, so that none is left out as empty.
        let grown = now.positive_buckets.iter_mut().chain(&mut now.negative_buckets);
        grown.for_each(|count| *count += 1.0 + rng.below(5) as f64);
        now.zero_count += 1.0;
        now.sum += rng.below(40) as f64 / 4.0;
        let buckets = now.positive_buckets.iter().chain(&now.negative_buckets);
        now.count = now.zero_count + buckets.sum::<f64>();
        storage.push_all(&labels, [(t, now.clone())]);
        t += 15_000;
    }
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

/// The reference over the same samples.
pub(crate) fn reference(storage: &MemoryStorage) -> Reference<'_> {
    Reference { storage, lookback: 300_000, subquery_step: 60_000, bounds: (START_MS, END_MS) }
}

/// What the engine yields, or why nothing.
pub(crate) fn by_engine(storage: &MemoryStorage, text: &str, step: i64) -> Result<Series, String> {
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
        let writer = Writer { rng: &rng, fixed_time: "1500", dialect: Dialect::Newest };
        let text = writer.vector(1 + rng.below(3) as u32, false);
        // What lies where in a histogram of fewer than no observations is nobody's.
        if text.contains("histogram_") && text.contains('-') {
            continue;
        }
        let step = [7_000, 15_000, 60_000, 250_000][rng.below(4) as usize];
        let expr = parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        match (by_engine(&storage, &text, step), reference(&storage).range(&expr, step)) {
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
