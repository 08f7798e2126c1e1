//! `World`: samples written as short texts, queries on them, and results written as text. For tests of
//! what a query yields.

use super::memory::{MemoryStorage, StillClock, budget};
use skopos_model::{DurationMs, Labels, TimestampMs, stale_nan};
use skopos_promql::{Engine, EngineOptions, QueryResult, Steps, Value, parse, parse_selector};
use std::{fmt::Write, sync::Arc};

/// A storage with an engine in front of it.
pub(crate) struct World {
    pub(crate) storage: MemoryStorage,
    pub(crate) engine: Engine,
}

/// Labels written as a selector.
pub(crate) fn labels(text: &str) -> Labels {
    let matchers = parse_selector(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    Labels::from_pairs(matchers.iter().map(|m| (m.name(), m.value())))
}

impl World {
    /// Lines of `series: v v v`, one value every `interval_s` from zero on. `_` is no sample, `stale` the
    /// marker.
    pub(crate) fn load(interval_s: i64, text: &str) -> Self {
        Self::with_options(interval_s, text, EngineOptions::default())
    }

    pub(crate) fn with_options(interval_s: i64, text: &str, options: EngineOptions) -> Self {
        let mut storage = MemoryStorage::default();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let (series, points) = line.rsplit_once(": ").expect("a line is `series: values`");
            let series = labels(series);
            for (i, point) in points.split_whitespace().enumerate().filter(|(_, p)| *p != "_") {
                let value = if point == "stale" { stale_nan() } else { point.parse().expect("a number") };
                storage.push_all(&series, [(i as i64 * interval_s * 1000, value)]);
            }
        }
        Self { storage, engine: Engine::new(options, Arc::new(StillClock)) }
    }

    /// The result of an instant query, or the error.
    pub(crate) fn instant(&self, expr: &str, at_s: f64) -> Result<QueryResult, String> {
        let parsed = parse(expr).map_err(|e| e.to_string())?;
        let at = TimestampMs::new((at_s * 1000.0) as i64);
        self.engine.instant(&self.storage, &parsed, at, &budget()).map_err(|e| e.to_string())
    }

    /// The result of a range query in whole seconds, or the error.
    pub(crate) fn range(
        &self,
        expr: &str,
        start_s: i64,
        end_s: i64,
        step_s: i64,
    ) -> Result<QueryResult, String> {
        let parsed = parse(expr).map_err(|e| e.to_string())?;
        let steps = Steps {
            start: TimestampMs::new(start_s * 1000),
            end: TimestampMs::new(end_s * 1000),
            step: DurationMs::from_secs(step_s),
        };
        self.engine.range(&self.storage, &parsed, steps, &budget()).map_err(|e| e.to_string())
    }
}

/// The result as text: a vector as `labels value`, a matrix as `labels value@seconds …`, entries parted
/// by `; `.
pub(crate) fn text(result: &QueryResult) -> String {
    match &result.value {
        Value::Scalar { value, .. } => format!("{value}"),
        Value::String { text, .. } => format!("{text:?}"),
        Value::Vector(v) => {
            let all: Vec<_> = v.labels.iter().zip(&v.values).map(|(l, v)| format!("{l} {v}")).collect();
            all.join("; ")
        }
        Value::Matrix(m) => {
            let mut all = Vec::new();
            for i in 0..m.len() {
                let mut line = m.labels(i).to_string();
                for (t, v) in m.points(i) {
                    write!(line, " {v}@{}", t.as_secs_f64()).expect("a string takes all");
                }
                all.push(line);
            }
            all.join("; ")
        }
    }
}

/// `text`, or `error: …`.
pub(crate) fn shown(result: &Result<QueryResult, String>) -> String {
    result.as_ref().map_or_else(|e| format!("error: {e}"), text)
}
