//! What no released Prometheus of the usual distributions knows yet, by the reference evaluator: windows with
//! something at their ends, missing series that are filled in, and custom buckets whose bounds differ. Prints
//! its seed; `SKOPOS_TEST_SEED` replays it.

use crate::random::{END_MS, START_MS, by_engine, random_storage, reference};
use crate::support::{
    compare::difference,
    memory::{MemoryStorage, StillClock, budget},
};
use skopos_base::rng::Rng;
use skopos_model::{DurationMs, FloatHistogram, Labels, Layout, Span, TimestampMs, histogram::CUSTOM_SCHEMA};
use skopos_promql::{Engine, EngineOptions, Matrix, QueryResult, Steps, Value, parse};
use skopos_testkit::expressions::{chance, pick};
use std::sync::Arc;

fn seed() -> u64 {
    std::env::var("SKOPOS_TEST_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or(20_261_125)
}

fn selector(rng: &Rng) -> String {
    let metric = pick(rng, &["a", "b", "c_total", "c_total", "u", "none"]);
    format!("{metric}{}", pick(rng, &["", "", "{i=\"1\"}", "{j!=\"x\"}"]))
}

fn shift(rng: &Rng) -> &str {
    let all = ["", "", "", " offset 1m", " offset -90s", " @ 1500", " @ end()", " @ start() offset -3m"];
    pick(rng, &all)
}

fn window(rng: &Rng) -> String {
    let edges = pick(rng, &["anchored", "smoothed"]);
    let all = ["rate", "increase", "delta", "changes", "resets"];
    let function = pick(rng, if edges == "anchored" { &all } else { &all[..3] });
    let range = pick(rng, &["1s", "10s", "37s", "1m", "5m", "17m"]);
    format!("{function}({}[{range}] {edges}{})", selector(rng), shift(rng))
}

fn vector(rng: &Rng) -> String {
    match rng.below(10) {
        0..4 => window(rng),
        4 | 5 => format!("{} smoothed{}", selector(rng), shift(rng)),
        6 => format!("sum by (i) ({})", window(rng)),
        7 => format!("max without (j) ({} smoothed{})", selector(rng), shift(rng)),
        _ => format!("{}{}", selector(rng), shift(rng)),
    }
}

fn filled(rng: &Rng) -> String {
    let all = ["+", "-", "*", "/", "==", "!=", ">", "<=", "> bool", "== bool", "atan2"];
    let on = pick(rng, &["on(i)", "on(i, j)", "on(j)", "ignoring(j)", "on()", "ignoring()", ""]);
    let group = match pick(rng, &["", "", "group_left()", "group_left(j)", "group_right(j)", "group_right()"])
    {
        _ if on.is_empty() => "",
        // A label may not be matched by and taken over at once.
        group if matches!(on, "on(i, j)" | "on(j)") && group.contains("(j)") => "",
        group => group,
    };
    let fill =
        ["fill(0)", "fill(NaN)", "fill_left(2)", "fill_right(-1)", "fill_left(0) fill_right(5)", "fill(3)"];
    let (op, fill) = (pick(rng, &all), pick(rng, &fill));
    let side = || match rng.below(3) {
        0 => format!("max by (i) ({})", vector(rng)),
        _ => vector(rng),
    };
    format!("({}) {op} {on} {group} {fill} ({})", side(), side())
}

/// So many expressions of `write`, over data that changes every now and then: the engine yields what the
/// reference does. How many had values, and how many were refused by both.
fn agree(rng: &Rng, cases: u32, write: impl Fn(&Rng) -> String) -> (u32, u32) {
    let (mut with_values, mut refused) = (0, 0);
    let mut storage = random_storage(rng);
    for case in 0..cases {
        if case % 25 == 0 {
            storage = random_storage(rng);
        }
        let text = write(rng);
        let step = [7_000, 15_000, 60_000, 250_000][rng.below(4) as usize];
        let expr = parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        match (by_engine(&storage, &text, step), reference(&storage).range(&expr, step)) {
            (Ok(got), Ok(want)) => {
                let difference = difference(&got, &want);
                assert_eq!(difference, None, "case {case}, step {step}: {text}");
                with_values += u32::from(!got.is_empty());
            }
            (Err(_), Err(_)) => refused += 1,
            (got, want) => panic!("case {case}, step {step}: {text}\ngot {got:?}\nwant {want:?}"),
        }
    }
    (with_values, refused)
}

#[test]
fn windows_have_at_their_ends_what_the_definitions_say() {
    println!("SKOPOS_TEST_SEED={}", seed());
    let rng = Rng::from_seed(seed());
    let (with_values, refused) = agree(&rng, 1500, vector);
    assert!(with_values > 1000 && refused == 0, "{with_values} had values, {refused} were refused");
}

#[test]
fn missing_series_are_filled_in_as_the_definitions_say() {
    println!("SKOPOS_TEST_SEED={}", seed());
    let rng = Rng::from_seed(seed());
    let (with_values, refused) = agree(&rng, 1500, filled);
    assert!(with_values > 500 && refused > 100, "{with_values} had values, {refused} were refused");
}

/// The bounds that all of `ALL_BOUNDS` have, which come last.
const ALL_BOUNDS: [&[f64]; 4] =
    [&[0.5, 1.0, 2.0, 5.0, 10.0], &[0.7, 1.0, 5.0], &[-1.0, 0.0, 1.0, 3.0, 5.0, 100.0], &[1.0, 5.0]];

/// A histogram of custom buckets.
fn custom(bounds: &[f64], buckets: Vec<f64>, sum: f64) -> FloatHistogram {
    let positive_spans = vec![Span { offset: 0, length: buckets.len() as u32 }];
    let layout =
        Layout { schema: CUSTOM_SCHEMA, positive_spans, custom_bounds: bounds.to_vec(), ..Layout::default() };
    let count = buckets.iter().sum();
    FloatHistogram { layout, count, sum, positive_buckets: buckets, ..FloatHistogram::default() }
}

/// The counts of the buckets of `bounds` as those of the bounds that all have.
fn shared(bounds: &[f64], buckets: &[f64]) -> Vec<f64> {
    let to = ALL_BOUNDS[ALL_BOUNDS.len() - 1];
    let mut out = vec![0.0; to.len() + 1];
    for (i, count) in buckets.iter().enumerate() {
        let upper = bounds.get(i).copied().unwrap_or(f64::INFINITY);
        out[to.iter().position(|b| *b >= upper).unwrap_or(to.len())] += count;
    }
    out
}

/// What a counter's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Samples {
    Histograms,
    /// Floats are among them.
    Mixed,
}

/// Counters: as `fine` with bounds that differ from series to series or
/// change in the midst of one, and as `plain` in the bounds that all have.
fn counters(rng: &Rng, samples: Samples) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for i in 0..8 {
        let labels = |metric: &str| {
            let (name, i, g) = (metric.to_owned(), i.to_string(), (i % 2).to_string());
            Labels::from_pairs([("__name__", name), ("g", g), ("i", i)])
        };
        let mut which = rng.below(4) as usize;
        let mut sum = 0.0;
        let mut base = vec![0.0; 3];
        for k in 0..80 {
            let t = START_MS - 600_000 + k * 15_000;
            if chance(rng, 4) {
                which = rng.below(4) as usize;
            }
            if chance(rng, 3) {
                // All of them begin anew, in whichever bounds that is seen.
                base.fill(0.0);
                sum = 0.0;
            }
            base.iter_mut().for_each(|count| *count += 1.0 + rng.below(9) as f64);
            sum += rng.below(50) as f64 / 4.0;
            if samples == Samples::Mixed && chance(rng, 10) {
                for metric in ["fine", "plain"] {
                    storage.push_all(&labels(metric), [(t, sum)]);
                }
                continue;
            }
            let bounds = ALL_BOUNDS[which];
            // What lies between two shared bounds is all in one of the buckets there.
            let mut buckets = vec![0.0; bounds.len() + 1];
            for (n, count) in base.iter().enumerate() {
                let of = |at: usize| {
                    shared(bounds, &(0..buckets.len()).map(|b| f64::from(b == at)).collect::<Vec<_>>())
                };
                let at = (0..buckets.len()).find(|at| of(*at)[n] == 1.0).expect("bounds are shared by all");
                buckets[at] += count;
            }
            assert_eq!(shared(bounds, &buckets), base);
            storage.push_all(&labels("fine"), [(t, custom(bounds, buckets, sum))]);
            storage.push_all(&labels("plain"), [(t, custom(ALL_BOUNDS[3], base.clone(), sum))]);
        }
    }
    storage
}

fn asked(storage: &MemoryStorage, text: &str) -> QueryResult {
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let (start, end) = (TimestampMs::new(START_MS - 300_000), TimestampMs::new(END_MS - 500_000));
    let steps = Steps { start, end, step: DurationMs::from_secs(25) };
    let expr = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    engine.range(storage, &expr, steps, &budget()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn matrix(result: &QueryResult) -> &Matrix {
    let Value::Matrix(matrix) = &result.value else { panic!("no matrix: {result:?}") };
    matrix
}

/// All numbers of a histogram in the bounds that all have.
fn numbers(h: &FloatHistogram) -> Vec<f64> {
    let mut buckets = vec![0.0; h.layout.custom_bounds.len() + 1];
    let indexes = skopos_model::histogram::bucket_indexes(&h.layout.positive_spans);
    indexes.zip(&h.positive_buckets).for_each(|(i, count)| buckets[i as usize] = *count);
    [h.count, h.sum].into_iter().chain(shared(&h.layout.custom_bounds, &buckets)).collect()
}

/// What is made of histograms whose bounds differ, but for the windows, of which some are of one kind of
/// bounds.
const OF_CUSTOM: [&str; 18] = [
    "sum(M)",
    "avg by (g) (M)",
    "M{i=\"1\"} + on() M{i=\"2\"}",
    "M{i=\"3\"} - on() M{i=\"4\"}",
    "rate(M[3m])",
    "increase(M[40s])",
    "delta(M[2m])",
    "irate(M[1m])",
    "sum_over_time(M[2m])",
    "avg_over_time(M[5m])",
    "rate(M[3m] anchored)",
    "increase(M[2m] smoothed)",
    "sum(rate(M[2m]))",
    "histogram_count(sum by (g) (rate(M[3m])))",
    "histogram_sum(avg(M))",
    "count_over_time(M[5m])",
    "changes(M[1m] offset 1m)",
    "avg(M * 2) / 3",
];

#[test]
fn histograms_of_different_custom_bounds_are_put_together_in_those_that_they_share() {
    println!("SKOPOS_TEST_SEED={}", seed());
    let rng = Rng::from_seed(seed());
    let mut compared = 0;
    let (plain, mixed) = (Samples::Histograms, Samples::Mixed);
    for samples in [plain, mixed, plain, mixed] {
        let storage = counters(&rng, samples);
        for text in OF_CUSTOM {
            let [fine, plain] = ["fine", "plain"].map(|metric| asked(&storage, &text.replace('M', metric)));
            let (fine, plain) = (matrix(&fine), matrix(&plain));
            assert_eq!(fine.len(), plain.len(), "{text}");
            for i in 0..fine.len() {
                let of = |m: &Matrix| {
                    let floats = m.points(i).map(|(t, v)| (t, vec![v]));
                    let all = floats.chain(m.histograms(i).map(|(t, h)| (t, numbers(&h))));
                    all.collect::<std::collections::BTreeMap<_, _>>()
                };
                let (got, want) = (of(fine), of(plain));
                assert_eq!(got.len(), want.len(), "{text}, {samples:?}, {}", fine.labels(i));
                for ((t, got), (at, want)) in got.iter().zip(&want) {
                    let close = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
                    let same = t == at && got.len() == want.len() && got.iter().zip(want).all(close);
                    assert!(
                        same,
                        "{text}, {samples:?}, at {t:?} of {}: {got:?}, not {want:?}",
                        fine.labels(i)
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 5000, "{compared} values were compared");
}
