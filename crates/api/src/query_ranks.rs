//! `QueryRanks`: the queries that are being answered, and those of the last time by how often they came and
//! how long they took; `status/active_queries` and `status/top_queries`, in VictoriaMetrics' JSON. Lives in
//! memory alone.

use crate::{
    params::Params,
    parts::Ready,
    reply::{self, ApiError},
};
use axum::{http::StatusCode, response::Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use skopos_base::clock::Clock;
use skopos_model::{DurationMs, TimestampMs};
use skopos_promql::Steps;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// So many queries are remembered.
const REMEMBERED: usize = 20_000;
/// Shorter queries are not.
const REMEMBERED_FROM: Duration = Duration::from_millis(1);
/// So much of a query's text is kept.
const TEXT_MAX_BYTES: usize = 1024;
/// What is asked for where the client does not say.
const DEFAULT_COUNT: usize = 20;
const DEFAULT_LIFETIME: DurationMs = DurationMs::from_secs(600);

/// What is being answered and what was. Cloning shares it.
#[derive(Clone)]
pub struct QueryRanks {
    clock: Arc<dyn Clock>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    active: BTreeMap<u64, Active>,
    /// By the time of their ends.
    ended: VecDeque<Ended>,
}

struct Active {
    text: String,
    steps: Steps,
    began: Duration,
}

struct Ended {
    text: String,
    range_s: i64,
    took: Duration,
    at: Duration,
}

/// A query while it is answered.
pub(crate) struct Running {
    log: QueryRanks,
    id: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        let now = self.log.clock.monotonic();
        let inner = &mut *self.log.inner.lock();
        let Some(Active { text, steps, began }) = inner.active.remove(&self.id) else { return };
        let took = now.saturating_sub(began);
        if took < REMEMBERED_FROM {
            return;
        }
        if inner.ended.len() == REMEMBERED {
            inner.ended.pop_front();
        }
        let range_s = steps.end.since(steps.start).as_ms() / 1000;
        inner.ended.push_back(Ended { text, range_s, took, at: now });
    }
}

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

impl QueryRanks {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, inner: Arc::default() }
    }

    /// A query begins; it ends when what is returned is dropped.
    pub(crate) fn begin(&self, query: &str, steps: Steps) -> Running {
        let mut end = query.len().min(TEXT_MAX_BYTES);
        while !query.is_char_boundary(end) {
            end -= 1;
        }
        let active = Active { text: query[..end].to_owned(), steps, began: self.clock.monotonic() };
        let inner = &mut *self.inner.lock();
        inner.next += 1;
        inner.active.insert(inner.next, active);
        Running { log: self.clone(), id: inner.next }
    }

    /// All that are being answered, the longest first.
    fn active(&self) -> Vec<Value> {
        let now = self.clock.monotonic();
        let inner = self.inner.lock();
        let ms = |t: TimestampMs| t.as_ms();
        let shown = |(id, active): (&u64, &Active)| {
            json!({
                "duration": format!("{:.3}s", now.saturating_sub(active.began).as_secs_f64()),
                "id": format!("{id:016X}"),
                "remote_addr": "",
                "query": active.text,
                "start": ms(active.steps.start),
                "end": ms(active.steps.end),
                "step": active.steps.step.as_ms(),
            })
        };
        inner.active.iter().map(shown).collect()
    }

    /// Counts and times of those that ended within `lifetime`, by text and range.
    fn sums(&self, lifetime: Duration) -> Vec<((String, i64), Sum)> {
        let since = self.clock.monotonic().saturating_sub(lifetime);
        let inner = self.inner.lock();
        let mut sums: BTreeMap<(&str, i64), Sum> = BTreeMap::new();
        for ended in inner.ended.iter().rev().take_while(|ended| ended.at >= since) {
            let sum = sums.entry((&ended.text, ended.range_s)).or_default();
            sum.count += 1;
            sum.took += ended.took;
        }
        sums.into_iter().map(|((text, range), sum)| ((text.to_owned(), range), sum)).collect()
    }

    fn top(&self, count: usize, lifetime: DurationMs) -> Value {
        let sums = self.sums(lifetime.as_std());
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
            "search.queryStats.minQueryDuration": "1ms",
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
}

/// The queries that are being answered.
pub(crate) async fn active_queries(Ready(parts): Ready) -> Response {
    answer(&json!({"status": "ok", "data": parts.query_ranks.active()}))
}

/// The queries that came most often, and those that took longest.
pub(crate) async fn top_queries(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let count = match params.count("topN")? {
        0 => DEFAULT_COUNT,
        count => count.min(REMEMBERED),
    };
    let lifetime = params.duration("maxLifetime")?.filter(|d| d.as_ms() > 0).unwrap_or(DEFAULT_LIFETIME);
    Ok(answer(&parts.query_ranks.top(count, lifetime)))
}

fn answer(value: &Value) -> Response {
    reply::json(StatusCode::OK, value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::sim::SimClock;

    fn steps(seconds: i64) -> Steps {
        let ms = |s: i64| TimestampMs::new(s * 1000);
        Steps { start: ms(0), end: ms(seconds), step: DurationMs::from_secs(1) }
    }

    #[test]
    fn queries_are_shown_while_they_run_and_ranked_when_they_ended() {
        let clock = Arc::new(SimClock::new(0));
        let log = QueryRanks::new(Arc::clone(&clock) as _);
        let run = |text: &str, range, ms| {
            let running = log.begin(text, steps(range));
            clock.advance(Duration::from_millis(ms));
            drop(running);
        };
        run("often", 0, 2);
        run("often", 0, 4);
        run("long", 0, 90);
        run("often", 60, 1);
        run("too short", 0, 0);
        let active = log.begin(&"ü".repeat(TEXT_MAX_BYTES), steps(5));
        clock.advance(Duration::from_millis(1500));
        let shown = log.active();
        assert_eq!((shown.len(), &shown[0]["duration"]), (1, &json!("1.500s")));
        assert_eq!(shown[0]["query"].as_str().map(str::len), Some(TEXT_MAX_BYTES));
        assert_eq!((&shown[0]["end"], &shown[0]["step"]), (&json!(5000), &json!(1000)));
        let top = log.top(2, DEFAULT_LIFETIME);
        let entry = |text: &str, range: i64, rest: Value| {
            let mut entry = rest;
            entry["query"] = json!(text);
            entry["timeRangeSeconds"] = json!(range);
            entry
        };
        assert_eq!(top["topByCount"][0], entry("often", 0, json!({"count": 2})));
        let long = json!({"avgDurationSeconds": 0.09, "count": 1});
        assert_eq!(top["topByAvgDuration"][0], entry("long", 0, long));
        let often = json!({"sumDurationSeconds": 0.006, "count": 2});
        assert_eq!(top["topBySumDuration"][1], entry("often", 0, often));
        assert_eq!(top["topBySumDuration"].as_array().map(Vec::len), Some(2));
        drop(active);
        assert!(log.active().is_empty());
        clock.advance(DEFAULT_LIFETIME.as_std());
        assert_eq!(log.top(5, DurationMs::from_secs(1))["topByCount"], json!([]));
    }
}
