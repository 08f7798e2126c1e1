//! `status/active_queries` and `status/top_queries`: the queries that are being answered, and those of the
//! last time by how often they came and how long they took, in VictoriaMetrics' JSON. Keeps nothing:
//! `Queries` does.

use crate::{
    blocking,
    params::Params,
    parts::Ready,
    reply::{self, ApiError},
    writing::Writing,
};
use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};
use skopos_model::DurationMs;
use skopos_promql::queries::{Queries, REMEMBERED, REMEMBERED_FROM};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The most of each ranking that a client gets.
const COUNT_MAX: usize = 1000;
/// What the account takes the sums of all that are remembered for.
const SUMS_BYTES: u64 = (REMEMBERED * 256) as u64;
/// What is asked for where the client does not say.
const DEFAULT_COUNT: usize = 20;
const DEFAULT_LIFETIME: DurationMs = DurationMs::from_secs(600);

/// Of the queries of one text and range.
#[derive(Clone, Copy, Default)]
struct Sum {
    count: u64,
    took: Duration,
}

impl Sum {
    fn average(&self) -> Duration {
        self.took.div_f64(self.count.max(1) as f64)
    }
}

/// All that are being answered, in the order in which they came.
fn active(queries: &Queries) -> Vec<Value> {
    let (active, now) = queries.active();
    let shown = |(id, active): (u64, skopos_promql::queries::ActiveQuery)| {
        json!({
            "duration": format!("{:.3}s", now.saturating_sub(active.asked).as_secs_f64()),
            "id": format!("{id:016X}"),
            "remote_addr": active.from.map_or_else(String::new, |from| from.to_string()),
            "query": &*active.query,
            "start": active.steps.start.as_ms(),
            "end": active.steps.end.as_ms(),
            "step": active.steps.step.as_ms(),
        })
    };
    active.into_iter().map(shown).collect()
}

/// Sums by text and range.
type Sums = Vec<((Arc<str>, i64), Sum)>;

/// Counts and times of those that ended within `lifetime`.
fn sums(queries: &Queries, lifetime: Duration) -> Sums {
    // Queries cannot end while these are looked at: what takes time comes behind.
    let mut ended = Vec::new();
    queries.each_ended(lifetime, |e| ended.push((Arc::clone(&e.query), e.range.as_ms() / 1000, e.took)));
    let mut sums: BTreeMap<(Arc<str>, i64), Sum> = BTreeMap::new();
    for (query, range, took) in ended {
        let sum = sums.entry((query, range)).or_default();
        sum.count += 1;
        sum.took += took;
    }
    sums.into_iter().collect()
}

/// What a ranking is called, by what it ranks, and what it says of each.
type Ranking = (&'static str, fn(&Sum) -> f64, fn(&Sum) -> Value);

const RANKINGS: [Ranking; 3] = [
    (
        "topByAvgDuration",
        |sum| sum.average().as_secs_f64(),
        |sum| json!({"avgDurationSeconds": seconds(sum.average()), "count": sum.count}),
    ),
    ("topByCount", |sum| sum.count as f64, |sum| json!({"count": sum.count})),
    (
        "topBySumDuration",
        |sum| sum.took.as_secs_f64(),
        |sum| json!({"sumDurationSeconds": seconds(sum.took), "count": sum.count}),
    ),
];

fn seconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1000.0).round() / 1000.0
}

/// How many are wanted of each ranking, and of which time.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    count: usize,
    lifetime: DurationMs,
}

/// The first `count` of a ranking.
fn ranked(sums: &Sums, (_, by, say): Ranking, count: usize) -> impl Iterator<Item = Value> {
    let mut sorted: Vec<_> = sums.iter().collect();
    sorted.sort_by(|a, b| by(&b.1).total_cmp(&by(&a.1)));
    sorted.into_iter().take(count).map(move |((text, range), sum)| {
        let mut entry = say(sum);
        entry["query"] = json!(**text);
        entry["timeRangeSeconds"] = json!(range);
        entry
    })
}

fn write_top(writing: &mut Writing<'_>, queries: &Queries, wanted: Wanted) -> Result<(), ApiError> {
    let sums = sums(queries, wanted.lifetime.as_std());
    for ranking in RANKINGS {
        writing.out.extend_from_slice(format!("\"{}\":", ranking.0).as_bytes());
        writing.list(ranked(&sums, ranking, wanted.count), |out, entry| {
            out.extend_from_slice(entry.to_string().as_bytes());
        })?;
        writing.out.push(b',');
    }
    let rest = json!({
        "topN": wanted.count.to_string(),
        "maxLifetime": format!("{:.3}s", wanted.lifetime.as_secs_f64()),
        "search.queryStats.lastQueriesCount": REMEMBERED,
        "search.queryStats.minQueryDuration": format!("{REMEMBERED_FROM:?}"),
    });
    // The members of one object.
    writing.out.extend_from_slice(&rest.to_string().as_bytes()[1..]);
    Ok(())
}

/// The queries that are being answered. Whoever asks wants to know why no slot is free, and waits for none.
pub(crate) async fn active_queries(Ready(parts): Ready) -> Response {
    let all = json!({"status": "ok", "data": active(&parts.queries)});
    reply::json(StatusCode::OK, all.to_string())
}

/// The queries that came most often, and those that took longest.
pub(crate) async fn top_queries(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let count = match params.count("topN")? {
        0 => DEFAULT_COUNT,
        count => count.min(COUNT_MAX),
    };
    let lifetime = params.duration("maxLifetime")?.filter(|d| d.as_ms() > 0).unwrap_or(DEFAULT_LIFETIME);
    let body = blocking::answer(parts, params, move |parts, _, budget, sink| {
        budget.charge_memory(SUMS_BYTES)?;
        let mut writing = Writing::begin(parts, budget, sink, b"{");
        write_top(&mut writing, &parts.queries, Wanted { count, lifetime })?;
        writing.end()
    });
    Ok(reply::json(StatusCode::OK, body.await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::sim::SimClock;
    use skopos_model::TimestampMs;
    use skopos_promql::{Steps, queries::Asked};

    fn steps(seconds: i64) -> Steps {
        let ms = |s: i64| TimestampMs::new(s * 1000);
        Steps { start: ms(0), end: ms(seconds), step: DurationMs::from_secs(1) }
    }

    #[test]
    fn queries_are_shown_while_they_run_and_ranked_when_they_ended() {
        let clock = Arc::new(SimClock::new(0));
        let log = Queries::new(Arc::clone(&clock) as _, 20, None);
        let asked = |query: &str, range| {
            log.asked(Asked { query, steps: steps(range), from: "127.0.0.1:7".parse().ok() })
        };
        let run = |text: &str, range, ms| {
            let running = asked(text, range);
            clock.advance(Duration::from_millis(ms));
            drop(running);
        };
        run("often", 0, 2);
        run("often", 0, 4);
        run("long", 0, 90);
        run("often", 60, 1);
        run("too short", 0, 0);
        let asked_last = asked(&"ü".repeat(1024), 5);
        clock.advance(Duration::from_millis(1500));
        let shown = active(&log);
        assert_eq!((shown.len(), &shown[0]["duration"]), (1, &json!("1.500s")));
        assert_eq!(shown[0]["query"].as_str().map(str::len), Some(1024));
        assert_eq!((&shown[0]["end"], &shown[0]["step"]), (&json!(5000), &json!(1000)));
        assert_eq!(shown[0]["remote_addr"], "127.0.0.1:7");
        let top = |name: &str, lifetime: DurationMs| -> Vec<Value> {
            let ranking = RANKINGS.into_iter().find(|r| r.0 == name).unwrap();
            ranked(&sums(&log, lifetime.as_std()), ranking, 2).collect()
        };
        let entry = |text: &str, range: i64, rest: Value| {
            let mut entry = rest;
            entry["query"] = json!(text);
            entry["timeRangeSeconds"] = json!(range);
            entry
        };
        assert_eq!(top("topByCount", DEFAULT_LIFETIME)[0], entry("often", 0, json!({"count": 2})));
        let long = json!({"avgDurationSeconds": 0.09, "count": 1});
        assert_eq!(top("topByAvgDuration", DEFAULT_LIFETIME)[0], entry("long", 0, long));
        let often = json!({"sumDurationSeconds": 0.006, "count": 2});
        assert_eq!(top("topBySumDuration", DEFAULT_LIFETIME)[1], entry("often", 0, often));
        assert_eq!(top("topBySumDuration", DEFAULT_LIFETIME).len(), 2);
        drop(asked_last);
        assert!(active(&log).is_empty());
        clock.advance(DEFAULT_LIFETIME.as_std());
        assert!(top("topByCount", DurationMs::from_secs(1)).is_empty());
    }
}
