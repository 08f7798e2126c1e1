//! `Engine`: answers queries. Plans, carries out, and brings the value into the form that is handed
//! out. Parses nothing and keeps nothing from one query to the next.
//!
//! - `window`: a range selector that is the whole query.

mod window;

use crate::ast::{Expr, ExprKind, Subquery, ValueType};
use crate::error::EvalError;
use crate::exec::{
    Annotations, Executor, NodeValue, bits,
    matrix::StepMatrix,
    order::sort_rows,
    window::{Column, parts},
    work::Work,
};
use crate::parse::ParseOptions;
use crate::plan::{
    CounterSign, Grid, NameRemoval, Plan, StartTimestamps,
    build::{self, Bounds, PlanOptions},
};
use crate::profile;
use crate::shards::Shards;
use crate::value::{Matrix, QueryResult, Value, Vector};
use skopos_base::clock::Clock;
use skopos_model::{DurationMs, FloatHistogram, Labels, TimestampMs};
use skopos_storage::{QueryBudget, QueryLimits, QueryMemory, Queryable, SampleCounts, TimeRange};
use std::sync::Arc;

/// How queries are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// How old a sample may be to count as a series' value (`--query.lookback-delta`).
    pub lookback_delta: DurationMs,
    /// The step of subqueries that have none: the global evaluation interval.
    pub subquery_step: DurationMs,
    /// Metric names go at the end of the whole query and not operator by operator
    /// (`promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Since when samples were counted tells of resets, and functions use it (`use-start-timestamps`).
    pub start_timestamps: bool,
    /// Metrics say of what type they are by the label `__type__` (`type-and-unit-labels`).
    pub type_labels: bool,
    /// What of the language queries may use. The engine evaluates every tree; who parses asks.
    pub language: ParseOptions,
    /// What one query may use.
    pub limits: QueryLimits,
    /// Results say what each operator did.
    pub profile: bool,
}

impl EngineOptions {
    /// Enables the feature `name` of Prometheus'. False when it is none of the engine or its language.
    pub fn enable(&mut self, name: &str) -> bool {
        let option = match name {
            "promql-delayed-name-removal" => &mut self.delayed_name_removal,
            "use-start-timestamps" => &mut self.start_timestamps,
            "type-and-unit-labels" => &mut self.type_labels,
            _ => return self.language.enable(name),
        };
        *option = true;
        true
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_delta: DurationMs::from_secs(300),
            subquery_step: DurationMs::from_secs(60),
            delayed_name_removal: false,
            start_timestamps: false,
            type_labels: false,
            language: ParseOptions::STABLE,
            limits: QueryLimits::default(),
            profile: false,
        }
    }
}

/// The times of a range query: from `start` on every `step` up to and with `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// The first.
    pub start: TimestampMs,
    /// None is later.
    pub end: TimestampMs,
    /// From one to the next; positive.
    pub step: DurationMs,
}

/// Answers queries over any storage.
#[derive(Clone, Debug)]
pub struct Engine {
    options: EngineOptions,
    clock: Arc<dyn Clock>,
    memory: Arc<QueryMemory>,
    shards: Arc<Shards>,
}

impl Engine {
    /// An engine that measures time with `clock`. Its queries hold what each of them may, however many there
    /// are.
    pub fn new(options: EngineOptions, clock: Arc<dyn Clock>) -> Self {
        Self { options, clock, memory: QueryMemory::new(u64::MAX), shards: Shards::none() }
    }

    /// The same engine whose queries share `memory`, with others if they do.
    #[must_use]
    pub fn with_memory(self, memory: Arc<QueryMemory>) -> Self {
        Self { memory, ..self }
    }

    /// The same engine whose queries are helped by `shards`, with others if they are.
    #[must_use]
    pub fn with_shards(self, shards: Arc<Shards>) -> Self {
        Self { shards, ..self }
    }

    /// What helps its queries.
    pub fn shards(&self) -> &Arc<Shards> {
        &self.shards
    }

    /// What its queries hold together.
    pub fn memory(&self) -> &Arc<QueryMemory> {
        &self.memory
    }

    /// The same engine with another step for subqueries that have none.
    #[must_use]
    pub fn with_subquery_step(&self, step: DurationMs) -> Self {
        Self { options: EngineOptions { subquery_step: step, ..self.options }, ..self.clone() }
    }

    /// The same engine with another age at which a sample no longer counts.
    #[must_use]
    pub fn with_lookback(&self, lookback_delta: DurationMs) -> Self {
        Self { options: EngineOptions { lookback_delta, ..self.options }, ..self.clone() }
    }

    /// The same engine whose results say what each operator did.
    #[must_use]
    pub fn profiling(&self) -> Self {
        Self { options: EngineOptions { profile: true, ..self.options }, ..self.clone() }
    }

    /// The options it was made with.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// A budget of the engine's limits, whose time begins now.
    pub fn budget(&self) -> Arc<QueryBudget> {
        self.budget_within(self.options.limits)
    }

    /// A budget of `limits`, whose time begins now.
    pub fn budget_within(&self, limits: QueryLimits) -> Arc<QueryBudget> {
        QueryBudget::within(limits, Arc::clone(&self.clock), &self.memory)
    }

    /// The value of `expr` at one time.
    pub fn instant(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        at: TimestampMs,
        budget: &Arc<QueryBudget>,
    ) -> Result<QueryResult, EvalError> {
        let inner = build::strip(expr);
        match &inner.kind {
            ExprKind::String(text) => {
                let value = Value::String { timestamp: at, text: text.to_string() };
                return Ok(self.of_no_samples(value));
            }
            ExprKind::Bytes(bytes) => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                return Ok(self.of_no_samples(Value::String { timestamp: at, text }));
            }
            ExprKind::Range(range) => return self.samples(storage, range, inner, at, budget),
            ExprKind::Subquery(subquery) => return self.subquery(storage, subquery, inner, at, budget),
            _ => {}
        }
        let grid = Grid { start: at, step: DurationMs::from_ms(1), steps: 1 };
        let plan =
            Arc::new(build::plan(expr, grid, Bounds::instant(at), &self.options_over(storage, budget))?);
        let (value, mut remarks) = self.run(&plan, storage, budget)?;
        if self.options.profile && remarks.samples.per_step.is_empty() {
            remarks.samples.per_step = vec![0];
        }
        let value = match value {
            NodeValue::Scalar(column) => Value::Scalar { timestamp: at, value: column[0] },
            NodeValue::Rows(rows) => Value::Vector(vector(&finished(rows, expr)?, at)?),
        };
        Ok(QueryResult { value, ..remarks })
    }

    /// The values of `expr` at all steps.
    pub fn range(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        steps: Steps,
        budget: &Arc<QueryBudget>,
    ) -> Result<QueryResult, EvalError> {
        let plan =
            build::plan(expr, self.grid(expr, steps)?, bounds(steps), &self.options_over(storage, budget))?;
        let plan = Arc::new(plan);
        let (value, mut remarks) = self.run(&plan, storage, budget)?;
        if self.options.profile && remarks.samples.per_step == [0] {
            // What was folded into a number looks at nothing, at every step.
            remarks.samples.per_step.resize(self.grid(expr, steps)?.steps, 0);
        }
        let grid = plan.grids[plan.nodes[plan.root.0].grid.0];
        let grid = Grid { start: steps.start, step: steps.step, ..grid };
        let rows = match value {
            NodeValue::Rows(rows) => finished(rows, expr)?,
            NodeValue::Scalar(column) => scalar_rows(&column, self.grid(expr, steps)?.steps, budget)?,
        };
        Ok(QueryResult { value: Value::Matrix(matrix(rows, grid)?), ..remarks })
    }

    /// The plan of a range query in words, one operator a line.
    pub fn explain(&self, expr: &Expr, steps: Steps) -> Result<String, EvalError> {
        Ok(build::plan(expr, self.grid(expr, steps)?, bounds(steps), &self.plan_options(None))?.to_string())
    }

    /// Carries out `plan` over one view of the storage: its value, and what there is to say beside it.
    fn run(
        &self,
        plan: &Arc<Plan>,
        storage: &dyn Queryable,
        budget: &Arc<QueryBudget>,
    ) -> Result<(NodeValue, QueryResult), EvalError> {
        let range = plan
            .scans
            .iter()
            .map(|s| s.range)
            .reduce(|a, b| TimeRange { min: a.min.min(b.min), max: a.max.max(b.max) });
        let range = range.unwrap_or(TimeRange { min: TimestampMs::new(0), max: TimestampMs::new(0) });
        let querier = storage.querier(range)?;
        let mut executor = Executor::new(plan, (&*querier, &self.shards), budget);
        let value =
            executor.value().inspect_err(|_| executor.stats.iter().for_each(|s| s.counted.tell(budget)))?;
        let annotations = std::mem::take::<Annotations>(&mut executor.annotations).finish(&plan.twins);
        let stats = std::mem::take(&mut executor.stats);
        let mut samples = profile::queried(plan, &stats, budget)?;
        budget.count_samples(SampleCounts { looked_at: samples.total, read: samples.read });
        let mut operators = Vec::new();
        if self.options.profile {
            // The numbers of steps are part of the result: they stay on the account until it is done with.
            let own = stats.iter().map(|s| s.counted.looked_at.per_step.len()).sum::<usize>();
            let kept = samples.per_step.len() + samples.read_per_step.len() + own;
            budget.charge_memory((kept as u64).saturating_mul(size_of::<u64>() as u64))?;
            operators = profile::operators(plan, stats);
        } else {
            (samples.per_step, samples.read_per_step) = (Vec::new(), Vec::new());
        }
        // The value takes its place at once.
        let nothing = Value::Vector(Vector::default());
        Ok((value, QueryResult { value: nothing, annotations, samples, operators }))
    }

    /// For a query of `storage`: what is older than all of it is not evaluated.
    fn options_over<'b>(&self, storage: &dyn Queryable, budget: &'b QueryBudget) -> PlanOptions<'b> {
        PlanOptions { oldest: storage.min_time(), ..self.plan_options(Some(budget)) }
    }

    fn plan_options<'b>(&self, budget: Option<&'b QueryBudget>) -> PlanOptions<'b> {
        PlanOptions {
            lookback: self.options.lookback_delta,
            subquery_step: self.options.subquery_step,
            name_removal: if self.options.delayed_name_removal {
                NameRemoval::Late
            } else {
                NameRemoval::AtOnce
            },
            starts: if self.options.start_timestamps {
                StartTimestamps::Used
            } else {
                StartTimestamps::Ignored
            },
            counter_sign: if self.options.type_labels { CounterSign::Type } else { CounterSign::Name },
            max_samples: self.options.limits.max_samples,
            oldest: None,
            budget,
            counts_steps: self.options.profile,
        }
    }

    fn grid(&self, expr: &Expr, steps: Steps) -> Result<Grid, EvalError> {
        let invalid = |message: String| EvalError::Invalid { message, span: expr.span };
        match build::strip(expr).kind {
            ExprKind::String(_) | ExprKind::Bytes(_) => return Err(invalid(type_error(ValueType::String))),
            ExprKind::Range(_) | ExprKind::Subquery(_) => {
                return Err(invalid(type_error(ValueType::RangeVector)));
            }
            _ => {}
        }
        let (start, end, step) = (steps.start.as_ms(), steps.end.as_ms(), steps.step.as_ms());
        if step <= 0 {
            return Err(invalid("zero or negative step width: try a positive one".to_owned()));
        }
        if end < start {
            return Err(invalid("end timestamp must not be before start time".to_owned()));
        }
        let count = end.saturating_sub(start) / step + 1;
        Ok(Grid { start: steps.start, step: steps.step, steps: usize::try_from(count).unwrap_or(usize::MAX) })
    }

    /// What a query at one time found without looking at samples.
    fn of_no_samples(&self, value: Value) -> QueryResult {
        let mut result = QueryResult::of(value);
        if self.options.profile {
            result.samples.per_step = vec![0];
        }
        result
    }

    /// All values of a subquery that is the whole query.
    fn subquery(
        &self,
        storage: &dyn Queryable,
        subquery: &Subquery,
        expr: &Expr,
        at: TimestampMs,
        budget: &Arc<QueryBudget>,
    ) -> Result<QueryResult, EvalError> {
        let Some(plan) = build::plan_subquery(subquery, expr.span, at, &self.options_over(storage, budget))?
        else {
            let value = Value::Matrix(Matrix::of_samples(vec![], vec![], vec![]));
            return Ok(self.of_no_samples(value));
        };
        let (grid, plan) = (plan.grids[0], Arc::new(plan));
        let (value, mut remarks) = self.run(&plan, storage, budget)?;
        if self.options.profile {
            // The query itself has one time.
            remarks.samples.per_step = vec![remarks.samples.total];
            remarks.samples.read_per_step = vec![remarks.samples.read];
        }
        let rows = match value {
            NodeValue::Rows(rows) => finished(rows, expr)?,
            NodeValue::Scalar(column) => scalar_rows(&column, grid.steps, budget)?,
        };
        Ok(QueryResult { value: Value::Matrix(matrix(rows, grid)?), ..remarks })
    }
}

/// What a series of a vector takes beside its labels and histograms, in lists that double as they grow.
const VECTOR_BYTES: usize =
    2 * (size_of::<Labels>() + size_of::<f64>() + size_of::<(usize, Arc<FloatHistogram>)>());

fn bounds(steps: Steps) -> Bounds {
    Bounds { start: steps.start, end: steps.end, step: steps.step }
}

fn type_error(got: ValueType) -> String {
    let got = if got == ValueType::String { "string" } else { "range vector" };
    format!("invalid expression type \"{got}\" for range query, must be Scalar or instant Vector")
}

/// Rows whose names are gone where they were to go, no two of equal labels.
fn finished(rows: Arc<StepMatrix>, expr: &Expr) -> Result<StepMatrix, EvalError> {
    let mut rows = match Arc::try_unwrap(rows) {
        Ok(rows) => rows,
        Err(shared) => shared.reordered(&(0..shared.len()).collect::<Vec<_>>())?,
    };
    let mut dropped = false;
    let mut work = Work::new(rows.budget());
    for i in 0..rows.len() {
        work.spend(16)?;
        let labels = rows.labels_mut(i);
        if labels.drop_name {
            dropped = true;
            *labels = crate::exec::matrix::RowLabels::kept(labels.clone().resolved());
        }
    }
    if dropped { rows.merged(expr.span) } else { Ok(rows) }
}

fn scalar_rows(column: &[f64], steps: usize, budget: &Arc<QueryBudget>) -> Result<StepMatrix, EvalError> {
    let mut out = StepMatrix::new(steps, budget);
    let labels = crate::exec::matrix::RowLabels::kept(Labels::empty());
    let mut row = out.push_empty(labels)?;
    let mut work = Work::new(budget);
    parts(steps, &mut work, |steps| steps.for_each(|k| row.set(k, Column(column).at(k))))?;
    Ok(out)
}

/// The values of the only step. They stay on the account until the query is done with.
fn vector(rows: &StepMatrix, timestamp: TimestampMs) -> Result<Vector, EvalError> {
    let mut out = Vector { timestamp, ..Vector::default() };
    rows.budget().charge_memory((rows.len() * VECTOR_BYTES) as u64)?;
    for (labels, row) in rows.iter().filter(|(_, row)| bits::any(row.present)) {
        rows.budget().charge_memory(labels.cost() as u64)?;
        if let Some(histogram) = row.histogram(0) {
            rows.budget().charge_memory(histogram.size() as u64)?;
        }
        out.labels.push(labels.labels.clone());
        let histogram = row.histogram(0);
        out.values.push(histogram.map_or(row.values[0], |h| h.sum));
        out.histograms.extend(histogram.map(|h| (out.values.len() - 1, Arc::clone(h))));
    }
    Ok(out)
}

/// The rows that have values, in the order of their labels.
fn matrix(rows: StepMatrix, grid: Grid) -> Result<Matrix, EvalError> {
    let mut order: Vec<usize> = (0..rows.len()).filter(|i| bits::any(rows.row(*i).present)).collect();
    sort_rows(&mut order, rows.budget(), |a, b| rows.labels(a).labels.cmp(&rows.labels(b).labels))?;
    let labels = order.iter().map(|i| rows.labels(*i).labels.clone()).collect();
    Ok(Matrix::of_steps((grid.start, grid.step), labels, order, rows))
}
