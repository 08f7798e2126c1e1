//! The same samples and the same queries in Debian's Prometheus 2.42 and here: equal results, or both
//! refuse. What version 3 changed is kept out by the choice of the samples' times and values.

mod world;

use self::world::{BEGIN_S, Peer};
use crate::support::{
    compare::{CLOSE, Series, difference_beyond, series},
    memory::{MemoryStorage, StillClock, budget},
    writer::Writer,
};
use regex::Regex;
use skopos_base::rng::Rng;
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_promql::{Engine, EngineOptions, EvalError, QueryResult, Steps, parse};
use std::sync::Arc;

const EXPRESSIONS: &str = include_str!("peer/expressions.txt");
const UNLIKE: &str = include_str!("peer/unlike.txt");

/// How many expressions are made up.
const RANDOM: usize = 5000;

/// Not a multiple of any subquery's step, for the edges of whose windows the versions differ too.
const START_S: i64 = BEGIN_S + 1807;
const END_S: i64 = START_S + 7200;
const STEP_S: i64 = 60;

/// The samples of Prometheus' answer, or its error.
fn peer_series((status, json): (u16, serde_json::Value)) -> Result<Series, String> {
    if status != 200 {
        return Err(json["error"].to_string());
    }
    let data = &json["data"];
    let point = |p: &serde_json::Value| {
        let t = (p[0].as_f64().expect("a time") * 1000.0).round() as i64;
        (t, p[1].as_str().expect("a value").parse::<f64>().expect("a number"))
    };
    if data["resultType"] == "scalar" {
        return Ok([(Labels::empty(), vec![point(&data["result"])])].into());
    }
    let all = data["result"].as_array().expect("a list of series").iter().map(|one| {
        let pairs = one["metric"].as_object().expect("labels").iter();
        let labels = Labels::from_pairs(pairs.map(|(n, v)| (n, v.as_str().expect("a label's value"))));
        let points = match one["values"].as_array() {
            Some(values) => values.iter().map(point).collect(),
            None => vec![point(&one["value"])],
        };
        (labels, points)
    });
    Ok(all.collect())
}

/// What is allowed of the expressions that a line of `unlike.txt` matches.
struct Unlike {
    what: &'static str,
    expressions: Regex,
}

fn unlike() -> Vec<Unlike> {
    let lines = UNLIKE.lines().filter(|l| !l.is_empty() && !l.starts_with("//"));
    lines
        .map(|line| {
            let (what, expressions) = line.split_once(' ').expect("`what expression`");
            assert!(["skip", "refused", "loosely"].contains(&what), "{line}");
            Unlike { what, expressions: Regex::new(expressions).expect("a regular expression") }
        })
        .collect()
}

/// Whether `what` is allowed of `text`.
fn may(rules: &[Unlike], what: &str, text: &str) -> bool {
    rules.iter().any(|rule| rule.what == what && rule.expressions.is_match(text))
}

fn check(
    rules: &[Unlike],
    text: &str,
    got: Result<QueryResult, EvalError>,
    want: Result<Series, String>,
) -> Result<(), String> {
    match (got, want) {
        (Ok(got), Ok(want)) => {
            let tolerance = if may(rules, "loosely", text) { 1e-6 } else { CLOSE };
            difference_beyond(tolerance, &series(&got), &want)
                .map_or(Ok(()), |d| Err(format!("{text}\n  {d}")))
        }
        (Err(_), Err(_)) => Ok(()),
        (Err(EvalError::ManyToOne { .. }), Ok(_)) if may(rules, "refused", text) => Ok(()),
        (Ok(_), Err(e)) => Err(format!("{text}\n  Prometheus refuses: {e}")),
        (Err(e), Ok(_)) => Err(format!("{text}\n  only we refuse: {e}")),
    }
}

/// Compares a range query and an instant one.
fn compare(peer: &Peer, storage: &MemoryStorage, rules: &[Unlike], text: &str) -> Result<(), String> {
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let expr = parse(text).map_err(|e| format!("{text}\n  {e}"))?;
    let steps = Steps {
        start: TimestampMs::new(START_S * 1000),
        end: TimestampMs::new(END_S * 1000),
        step: DurationMs::from_secs(STEP_S),
    };
    let [start, end, step] = [START_S, END_S, STEP_S].map(|s| s.to_string());
    let range = [("query", text), ("start", &start), ("end", &end), ("step", &step)];
    let want = peer_series(peer.ask("/api/v1/query_range", &range));
    check(rules, text, engine.range(storage, &expr, steps, &budget()), want)?;
    let at_s = START_S + 3600;
    let want = peer_series(peer.ask("/api/v1/query", &[("query", text), ("time", &at_s.to_string())]));
    check(rules, text, engine.instant(storage, &expr, TimestampMs::new(at_s * 1000), &budget()), want)
}

#[test]
fn prometheus_gives_the_same_numbers() {
    let seed = std::env::var("SKOPOS_TEST_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or(20_261_123);
    println!("SKOPOS_TEST_SEED={seed}");
    let rng = Rng::from_seed(seed);
    let storage = world::storage(&rng);
    let peer = Peer::start(&storage);
    let listed = EXPRESSIONS.lines().filter(|l| !l.is_empty() && !l.starts_with("//")).map(str::to_owned);
    let writer = Writer { rng: &rng, fixed_time: "1700003007", only_old: true };
    let rules = unlike();
    let random = std::iter::repeat_with(|| writer.vector(1 + rng.below(3) as u32, false));
    let random = random.filter(|text| !may(&rules, "skip", text)).take(RANDOM);
    let all: Vec<String> = listed.chain(random).collect();
    assert!(all.len() >= 5000, "only {} expressions", all.len());
    let different: Vec<String> =
        all.iter().filter_map(|text| compare(&peer, &storage, &rules, text).err()).collect();
    let shown: String =
        different.iter().take(20).map(|d| d.chars().take(600).collect::<String>() + "\n").collect();
    assert!(different.is_empty(), "{} of {} differ:\n{shown}", different.len(), all.len());
}
