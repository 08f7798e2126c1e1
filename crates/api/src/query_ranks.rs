//! `status/active_queries` and `status/top_queries`: the queries that are being answered, and those of the
//! last time by how often they came and how long they took, in VictoriaMetrics' JSON. Keeps nothing:
//! `Queries` does.

use crate::{
    params::Params,
    parts::Ready,
    reply::{self, ApiError},
};
use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};
use skopos_model::DurationMs;
use skopos_promql::queries::{Queries, REMEMBERED, REMEMBERED_FROM};
use std::{collections::BTreeMap, time::Duration};

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

/// All that are being answered, the longest first.
fn active(queries: &Queries) -> Vec<Value> {
    let (active, now) = queries.active();
    let shown = |(id, active): (u64, skopos_promql::queries::ActiveQuery)| {
        json!({
            "duration": format!("{:.3}s", now.saturating_sub(active.asked).as_secs_f64()),
            "id": format!("{id:016X}"),
            "remote_addr": active.from.map_or_else(String::new, |from| from.to_string()),
            "query": active.query,
            "start": active.steps.start.as_ms(),
            "end": active.steps.end.as_ms(),
            "step": active.steps.step.as_ms(),
        })
    };
    active.into_iter().map(shown).collect()
}

/// Counts and times of those that ended within `lifetime`, by text and range.
fn sums(queries: &Queries, lifetime: Duration) -> Vec<((String, i64), Sum)> {
    let mut sums: BTreeMap<(String, i64), Sum> = BTreeMap::new();
    queries.each_ended(lifetime, |ended| {
        let sum = sums.entry((ended.query.clone(), ended.range.as_ms() / 1000)).or_default();
        sum.count += 1;
        sum.took += ended.took;
    });
    sums.into_iter().collect()
}

fn top(queries: &Queries, count: usize, lifetime: DurationMs) -> Value {
    let sums = sums(queries, lifetime.as_std());
    let seconds = |took: Duration| (took.as_secs_f64() * 1000.0).round() / 1000.0;
    let first = |by: fn(&Sum) -> f64, shown: &dyn Fn(&Sum) -> Value| -> Vec<Value> {
        let mut sorted: Vec<_> = sums.iter().collect();
        sorted.sort_by(|a, b| by(&b.1).total_cmp(&by(&a.1)));
        let shown = sorted.into_iter().take(count).map(|((text, range), sum)| {
            let mut entry = shown(sum);
            entry["query"] = json!(text);
            entry["timeRangeSeconds"] = json!(range);
            entry
        });
        shown.collect()
    };
    json!({
        "topN": count.to_string(),
        "maxLifetime": format!("{:.3}s", lifetime.as_secs_f64()),
        "search.queryStats.lastQueriesCount": REMEMBERED,
        "search.queryStats.minQueryDuration": format!("{REMEMBERED_FROM:?}"),
        "topByCount": first(|sum| sum.count as f64, &|sum| json!({"count": sum.count})),
        "topByAvgDuration": first(
            |sum| sum.average().as_secs_f64(),
            &|sum| json!({"avgDurationSeconds": seconds(sum.average()), "count": sum.count}),
        ),
        "topBySumDuration": first(
            |sum| sum.took.as_secs_f64(),
            &|sum| json!({"sumDurationSeconds": seconds(sum.took), "count": sum.count}),
        ),
    })
}

/// The queries that are being answered.
pub(crate) async fn active_queries(Ready(parts): Ready) -> Response {
    answer(&json!({"status": "ok", "data": active(&parts.queries)}))
}

/// The queries that came most often, and those that took longest.
pub(crate) async fn top_queries(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let count = match params.count("topN")? {
        0 => DEFAULT_COUNT,
        count => count.min(REMEMBERED),
    };
    let lifetime = params.duration("maxLifetime")?.filter(|d| d.as_ms() > 0).unwrap_or(DEFAULT_LIFETIME);
    Ok(answer(&top(&parts.queries, count, lifetime)))
}

fn answer(value: &Value) -> Response {
    reply::json(StatusCode::OK, value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::sim::SimClock;
    use skopos_model::TimestampMs;
    use skopos_promql::{Steps, queries::Asked};
    use std::sync::Arc;

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
        let tops = top(&log, 2, DEFAULT_LIFETIME);
        let entry = |text: &str, range: i64, rest: Value| {
            let mut entry = rest;
            entry["query"] = json!(text);
            entry["timeRangeSeconds"] = json!(range);
            entry
        };
        assert_eq!(tops["topByCount"][0], entry("often", 0, json!({"count": 2})));
        let long = json!({"avgDurationSeconds": 0.09, "count": 1});
        assert_eq!(tops["topByAvgDuration"][0], entry("long", 0, long));
        let often = json!({"sumDurationSeconds": 0.006, "count": 2});
        assert_eq!(tops["topBySumDuration"][1], entry("often", 0, often));
        assert_eq!(tops["topBySumDuration"].as_array().map(Vec::len), Some(2));
        drop(asked_last);
        assert!(active(&log).is_empty());
        clock.advance(DEFAULT_LIFETIME.as_std());
        assert_eq!(top(&log, 5, DurationMs::from_secs(1))["topByCount"], json!([]));
    }
}
