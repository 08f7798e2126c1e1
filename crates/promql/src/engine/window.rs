//! A range selector that is the whole query: all samples of its window, and those at its very ends where it
//! is `anchored` or `smoothed`. Evaluates no function.

use super::{Engine, VECTOR_BYTES};
use crate::ast::{Edges, Expr, ExprKind, RangeSelector, Selector};
use crate::error::EvalError;
use crate::exec::{
    window::mixed::samples_in,
    work::{Counted, Work},
};
use crate::plan::{
    Grid, Plan, ScanId,
    build::{self, Bounds, PlanOptions},
};
use crate::profile::{self, NodeStats, QueriedSamples};
use crate::value::{Matrix, Place, QueryResult, Value};
use skopos_model::{Columns, DurationMs, Labels, TimestampMs, is_stale_nan};
use skopos_storage::{
    QueryBudget, Queryable, SAMPLE_BYTES, SampleCounts, SelectRequest, SeriesBatch, SeriesColumns, Shard,
    TimeRange,
};
use std::sync::Arc;

/// Which samples are read, and between which times the window is.
struct Window {
    plan: Plan,
    edges: Edges,
    start: TimestampMs,
    end: TimestampMs,
}

/// Series, and their samples, those of each batch in columns of their own: one for all that doubles as it
/// grows would take twice as much, and while it is moved three times.
#[derive(Default)]
struct Kept {
    labels: Vec<Labels>,
    places: Vec<Place>,
    parts: Vec<Columns>,
}

/// Empty columns that the samples of `batch` fit into, with one more at either end of each series.
fn room_for(batch: &SeriesBatch) -> Columns {
    let samples = batch.sample_count() + 2 * batch.len();
    let (timestamps, values) = (Vec::with_capacity(samples), Vec::with_capacity(samples));
    Columns { timestamps, values, ..Columns::default() }
}

impl Engine {
    /// The value of a range selector that is the whole query.
    pub(super) fn samples(
        &self,
        storage: &dyn Queryable,
        range: &RangeSelector,
        expr: &Expr,
        at: TimestampMs,
        budget: &Arc<QueryBudget>,
    ) -> Result<QueryResult, EvalError> {
        let window = self.window(range, (expr, at), budget)?;
        let scan = &window.plan.scans[ScanId(0).0];
        let querier = storage.querier(scan.range)?;
        let request = SelectRequest {
            matchers: &scan.matchers,
            range: scan.range,
            shard: Shard::WHOLE,
            budget: Arc::clone(budget),
        };
        let began = (budget.time_left(), budget.series());
        let mut set = querier.select(&request)?;
        let series_expected = set.parting().map_or(0, |p| p.remaining() as u64);
        let (mut batch, mut total, mut fetched) = (SeriesBatch::default(), 0, 0);
        let mut kept = Kept::default();
        let mut work = Work::new(budget);
        while set.next_batch(&mut batch)? {
            // Those of the batch, and those that are kept.
            budget.charge_memory((batch.histogram_bytes() as u64).saturating_mul(2))?;
            // Samples are on the account once, which is for those that are kept.
            work.buffers(batch.sample_count().saturating_mul(SAMPLE_BYTES as usize))?;
            let before = total;
            fetched += batch.sample_count() as u64;
            let mut part = room_for(&batch);
            for series in batch.iter() {
                work.spend(series.values.len())?;
                let from = part.len();
                if window.edges == Edges::Sampled {
                    total += within(&series, scan.range, &mut part);
                } else {
                    extended(&series, scan.range, &window, &mut part)
                        .map_err(|message| EvalError::Invalid { message, span: expr.span })?;
                    total += (part.len() - from) as u64;
                }
                if from < part.len() {
                    let bytes = series.labels.byte_len() + VECTOR_BYTES;
                    budget.charge_memory(bytes as u64)?;
                    kept.labels.push(series.labels.clone());
                    kept.places.push(Place { part: kept.parts.len(), samples: from..part.len() });
                }
            }
            kept.parts.push(part);
            budget.count_samples(SampleCounts { looked_at: total - before, read: total - before });
        }
        let steps = if self.options.profile { vec![total] } else { Vec::new() };
        let mut operators = Vec::new();
        if self.options.profile {
            let stats = NodeStats {
                counted: Counted::of_one(total),
                series_expected,
                series_read: budget.series() - began.1,
                samples_fetched: fetched,
                rows: kept.labels.len(),
                took: began.0.saturating_sub(budget.time_left()),
            };
            operators = profile::of_root(&window.plan, stats);
        }
        let samples_of = QueriedSamples { total, per_step: steps.clone(), read: total, read_per_step: steps };
        let value = Value::Matrix(Matrix::of_samples(kept.labels, kept.places, kept.parts));
        Ok(QueryResult { samples: samples_of, operators, ..QueryResult::of(value) })
    }

    /// A plan whose only scan reads the window of `range`, and what is in reach of its ends.
    fn window(
        &self,
        range: &RangeSelector,
        (expr, at): (&Expr, TimestampMs),
        budget: &QueryBudget,
    ) -> Result<Window, EvalError> {
        let times = Bounds::instant(at).times();
        let invalid =
            |e: crate::ast::LengthError| EvalError::Invalid { message: e.to_string(), span: expr.span };
        let length = range.range.resolve_positive(times).map_err(invalid)?;
        let edges = range.selector.edges;
        let lookback = self.options.lookback_delta;
        let (before, after) = match edges {
            Edges::Sampled => (DurationMs::ZERO, DurationMs::ZERO),
            Edges::Anchored => (lookback, DurationMs::ZERO),
            Edges::Smoothed => (lookback, lookback),
        };
        let mut selector = Selector { edges: Edges::Sampled, ..range.selector.clone() };
        if after > DurationMs::ZERO {
            let offset = selector.shift.offset.resolve(times).map_err(invalid)?;
            selector.shift.offset = DurationMs::from_ms(offset.as_ms().saturating_sub(after.as_ms())).into();
        }
        let selector = Expr { kind: ExprKind::Selector(selector), span: expr.span };
        let grid = Grid { start: at, step: DurationMs::from_ms(1), steps: 1 };
        // An instant selector reads its lookback, which here is the window.
        let whole = [before, length, after].iter().fold(0_i64, |sum, d| sum.saturating_add(d.as_ms()));
        let whole = DurationMs::from_ms(whole);
        let options = PlanOptions { lookback: whole, ..self.plan_options(Some(budget)) };
        let plan = build::plan(&selector, grid, Bounds::instant(at), &options)?;
        let end = plan.scans[ScanId(0).0].range.max.minus(after);
        Ok(Window { plan, edges, start: end.minus(length), end })
    }
}

/// Adds the samples that lie in `range`; how many they count for.
fn within(series: &SeriesColumns<'_>, range: TimeRange, out: &mut Columns) -> u64 {
    let mut total = 0;
    let mut histograms = series.histograms.iter().peekable();
    for (i, (t, v)) in series.timestamps.iter().zip(series.values).enumerate() {
        let histogram = histograms.next_if(|h| h.sample == i);
        if !(range.min..=range.max).contains(t) || is_stale_nan(*v) {
            continue;
        }
        total += histogram.as_ref().map_or(1, samples_in) as u64;
        match histogram {
            Some(h) => out.push_histogram(*t, &h.to_histogram()),
            None => out.push_float(*t, *v),
        }
    }
    total
}

/// A sample at either end of the window, and those between the ends. Nothing where no sample in reach is
/// behind the left end.
fn extended(
    series: &SeriesColumns<'_>,
    reach: TimeRange,
    window: &Window,
    out: &mut Columns,
) -> Result<(), String> {
    let counts = |at: usize| {
        (reach.min..=reach.max).contains(&series.timestamps[at]) && !is_stale_nan(series.values[at])
    };
    if series.histograms.iter().any(|h| counts(h.sample)) {
        let word = if window.edges == Edges::Anchored { "anchored" } else { "smoothed" };
        return Err(format!("{word} modifier is not supported with histograms"));
    }
    let at = (0..series.values.len()).filter(|at| counts(*at));
    let all: Vec<(i64, f64)> = at.map(|at| (series.timestamps[at].as_ms(), series.values[at])).collect();
    let (start, end) = (window.start.as_ms(), window.end.as_ms());
    let smoothed = window.edges == Edges::Smoothed;
    let Some(newest) = all.len().checked_sub(1) else { return Ok(()) };
    let first = all.partition_point(|(t, _)| *t <= start).saturating_sub(1);
    let last = if smoothed { all.partition_point(|(t, _)| *t < end).min(newest) } else { newest };
    if all[last].0 <= start {
        return Ok(());
    }
    let between = |i: usize, time: i64| {
        let ((t1, v1), (t2, v2)) = (all[i], all[i + 1]);
        v1 + (v2 - v1) * (time - t1) as f64 / (t2 - t1) as f64
    };
    let left = if smoothed && all[first].0 < start { between(first, start) } else { all[first].1 };
    let right =
        if smoothed && last > first && all[last].0 > end { between(last - 1, end) } else { all[last].1 };
    out.push_float(window.start, left);
    for (t, v) in all.iter().filter(|(t, _)| *t > start && *t < end) {
        out.push_float(TimestampMs::new(*t), *v);
    }
    out.push_float(window.end, right);
    Ok(())
}
