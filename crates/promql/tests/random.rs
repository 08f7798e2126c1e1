//! Random expressions over random data: the engine yields what the reference evaluator yields, or both
//! refuse. Prints its seed; `SKOPOS_TEST_SEED` replays it, `SKOPOS_TEST_CASES` sets how many.

mod reference;
mod support;

use reference::Reference;
use skopos_base::rng::Rng;
use skopos_model::{DurationMs, Labels, TimestampMs, stale_nan};
use skopos_promql::{Engine, EngineOptions, Steps, Value, parse};
use std::{collections::BTreeMap, sync::Arc};
use support::memory::{MemoryStorage, StillClock, budget};

const START_MS: i64 = 1_000_000;
const END_MS: i64 = 2_000_000;

fn pick<'a>(rng: &Rng, all: &[&'a str]) -> &'a str {
    all[rng.below(all.len() as u64) as usize]
}

fn chance(rng: &Rng, percent: u64) -> bool {
    rng.below(100) < percent
}

/// Gauges of whole numbers with gaps, markers and special values; counters with resets; and `u`, of
/// which no two values are equal.
fn random_storage(rng: &Rng) -> MemoryStorage {
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
        storage.push(labels, t, if marker { stale_nan() } else { value });
        t += spacing + if odd { rng.below(1000) as i64 } else { 0 };
        if chance(rng, 2) {
            t += rng.below(600_000) as i64;
        }
    }
}

/// Writes expressions. What is `exact` has no rounding, so that comparisons of it do not depend on the
/// order of additions.
struct Writer<'a>(&'a Rng);

impl Writer<'_> {
    fn shift(&self) -> String {
        let at = match self.0.below(20) {
            0 => " @ 1500",
            1 => " @ start()",
            2 => " @ end()",
            _ => "",
        };
        let offset =
            if chance(self.0, 15) { pick(self.0, &[" offset 1m", " offset -30s", " offset 7m"]) } else { "" };
        format!("{at}{offset}")
    }

    fn selector(&self) -> String {
        let metrics = ["a", "b", "a", "b", "c_total", "u", "{__name__=~\"a|b\"}", "none"];
        let metric = pick(self.0, &metrics);
        let matchers =
            ["", "", "{i=\"1\"}", "{j=\"x\"}", "{i!=\"2\"}", "{j=~\"x|z\"}", "{i=~\".+\", j!~\"y\"}"];
        let matchers = pick(self.0, &matchers);
        match metric.strip_suffix('}') {
            Some(open) if !matchers.is_empty() => format!("{open}, {}", &matchers[1..]),
            _ => format!("{metric}{matchers}"),
        }
    }

    fn window(&self, depth: u32) -> String {
        let shift = self.shift();
        if depth > 0 && chance(self.0, 15) {
            let inner = self.vector(depth - 1, false);
            return format!("({inner})[{}]{shift}", pick(self.0, &["5m:1m", "3m:30s", "2m:", "10s:1m"]));
        }
        let range = pick(self.0, &["30s", "1m", "5m", "17m", "1s"]);
        format!("{}[{range}]{shift}", self.selector())
    }

    fn scalar(&self) -> String {
        match self.0.below(8) {
            0 => "time()".to_owned(),
            1 => "scalar(a{i=\"1\", j=\"x\"})".to_owned(),
            2 => "(2 - -1)".to_owned(),
            3 => "0".to_owned(),
            _ => self.0.below(10).to_string(),
        }
    }

    fn matching(&self, set: bool) -> String {
        let on = pick(self.0, &["on(i)", "on(i, j)", "ignoring(j)", "on()", "ignoring()", ""]);
        if set || on.is_empty() {
            return on.to_owned();
        }
        let group = ["", "", "group_left()", "group_left(j)", "group_right(j)", "group_right()"];
        let group = pick(self.0, &group);
        // A label may not be matched by and taken over at once.
        let group = if on == "on(i, j)" { group.replace("(j)", "()") } else { group.to_owned() };
        format!("{on} {group}")
    }

    fn vector(&self, depth: u32, exact: bool) -> String {
        if depth == 0 || chance(self.0, 10) {
            let selector = self.selector();
            let selector = if exact { selector.replace('u', "a").replace("nonae", "none") } else { selector };
            return format!("{selector}{}", self.shift());
        }
        let below = depth - 1;
        match self.0.below(if exact { 6 } else { 13 }) {
            0 => {
                let op = pick(self.0, &["min", "max", "count", "group"]);
                format!("{op} {} ({})", self.grouping(), self.vector(below, exact))
            }
            1 => {
                let f = [
                    "min_over_time",
                    "max_over_time",
                    "count_over_time",
                    "last_over_time",
                    "changes",
                    "resets",
                    "first_over_time",
                    "present_over_time",
                    "ts_of_last_over_time",
                    "ts_of_max_over_time",
                ];
                format!(
                    "{}({})",
                    pick(self.0, &f),
                    self.window(if exact { 0 } else { below }).replace("u[", "a[").replace("u{", "a{")
                )
            }
            2 => {
                let op = pick(self.0, &["==", "!=", ">", "<", ">=", "<="]);
                let modifier = if chance(self.0, 30) { "bool " } else { "" };
                let other = if chance(self.0, 50) {
                    self.0.below(6).to_string()
                } else {
                    format!("{} ({})", self.matching(false), self.vector(below, true))
                };
                format!("({}) {op} {modifier}{other}", self.vector(below, true))
            }
            3 => {
                let op = pick(self.0, &["and", "or", "unless"]);
                format!(
                    "({}) {op} {} ({})",
                    self.vector(below, exact),
                    self.matching(true),
                    self.vector(below, exact)
                )
            }
            4 => {
                let f = pick(self.0, &["abs", "ceil", "floor", "sgn", "-", "round", "sort", "timestamp"]);
                format!("{f}({})", self.vector(below, true))
            }
            5 => format!(
                "({}) {} {}",
                self.vector(below, exact),
                pick(self.0, &["+", "-", "*"]),
                self.0.below(5)
            ),
            6 => {
                let op = pick(self.0, &["sum", "avg", "stddev", "stdvar", "sum", "avg"]);
                format!("{op} {} ({})", self.grouping(), self.vector(below, false))
            }
            7 | 8 => {
                let f = [
                    "rate",
                    "increase",
                    "delta",
                    "irate",
                    "idelta",
                    "sum_over_time",
                    "avg_over_time",
                    "stddev_over_time",
                    "stdvar_over_time",
                    "mad_over_time",
                    "rate",
                    "absent_over_time",
                ];
                format!("{}({})", pick(self.0, &f), self.window(below))
            }
            9 => format!(
                "({}) {} {} ({})",
                self.vector(below, false),
                pick(self.0, &["+", "-", "*", "/"]),
                self.matching(false),
                self.vector(below, false)
            ),
            10 => match self.0.below(6) {
                0 => format!(
                    "quantile {} ({}, {})",
                    self.grouping(),
                    pick(self.0, &["0", "0.3", "1", "2", "0.95"]),
                    self.vector(below, false)
                ),
                1 => format!("count_values {} (\"v\", {})", self.grouping(), self.vector(0, true)),
                2 => format!(
                    "{} {} ({}, u{})",
                    pick(self.0, &["topk", "bottomk"]),
                    self.grouping(),
                    self.0.below(4),
                    self.shift()
                ),
                3 => format!(
                    "quantile_over_time({}, {})",
                    pick(self.0, &["0", "0.5", "0.9", "-1"]),
                    self.window(0)
                ),
                4 => format!("absent({})", self.vector(below, false)),
                _ => format!("vector({})", self.scalar()),
            },
            11 => match self.0.below(4) {
                0 => format!("clamp({}, {}, {})", self.vector(below, false), self.scalar(), self.scalar()),
                1 => format!("clamp_min({}, {})", self.vector(below, false), self.scalar()),
                2 => format!("round({}, 2)", self.vector(below, true)),
                _ => format!(
                    "label_replace({}, \"{}\", \"$1\", \"j\", \"(x|y)\")",
                    self.vector(below, false),
                    pick(self.0, &["k", "i", "__name__"])
                ),
            },
            _ => {
                let op = pick(self.0, &["+", "-", "*", "/", "^", "%", "atan2"]);
                let exact = matches!(op, "%" | "^");
                let (scalar, vector) = (self.scalar(), self.vector(below, exact));
                if chance(self.0, 50) {
                    format!("{scalar} {op} ({vector})")
                } else {
                    format!("({vector}) {op} {scalar}")
                }
            }
        }
    }

    fn grouping(&self) -> &'static str {
        pick(self.0, &["", "by (i)", "by (i, j)", "without (j)", "by ()", "by (__name__)", "without ()"])
    }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

type Series = BTreeMap<Labels, Vec<(i64, f64)>>;

/// What differs, if anything does.
fn difference(got: &Series, want: &Series) -> Option<String> {
    for labels in got.keys().chain(want.keys()) {
        let (got, want) = (got.get(labels), want.get(labels));
        let (Some(got), Some(want)) = (got, want) else {
            return Some(format!("{labels}: got {got:?}, want {want:?}"));
        };
        let same =
            got.len() == want.len() && got.iter().zip(want).all(|(g, w)| g.0 == w.0 && close(g.1, w.1));
        if !same {
            let first = got.iter().zip(want).find(|(g, w)| g.0 != w.0 || !close(g.1, w.1));
            return Some(format!("{labels}: first difference {first:?}; got {got:?}, want {want:?}"));
        }
    }
    None
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
    let Value::Matrix(matrix) = result.value else { panic!("{text} yields no matrix") };
    let points = |i: usize| matrix.points(i).map(|(t, v)| (t.as_ms(), v)).collect();
    let series = (0..matrix.len()).map(|i| (matrix.labels(i).clone(), points(i))).collect();
    drop(matrix);
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
        let text = Writer(&rng).vector(1 + rng.below(3) as u32, false);
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
            (got, want) => {
                panic!("case {case} of seed {seed}, step {step}: {text}\ngot {got:?}\nwant {want:?}")
            }
        }
    }
    println!("{agreed} agreed ({empty} of them empty), {refused} refused by both");
    assert!(agreed > refused && empty < agreed / 2, "the expressions say too little");
}
