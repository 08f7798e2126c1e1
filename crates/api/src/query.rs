//! `/api/v1/query` and `/api/v1/query_range`.

use crate::{
    answer::Answer,
    blocking,
    params::Params,
    parts::{Parts, Ready},
    query_log::Ended,
    query_stats::{OperatorsWanted, Stats},
    reply::{self, ApiError, ErrorType},
};
use axum::{http::StatusCode, response::Response};
use skopos_model::{DurationMs, TimestampMs};
use skopos_promql::{
    Engine, EvalError, Steps,
    ast::{Expr, ValueType},
    parse::MAX_QUERY_BYTES,
    queries::Slice,
};
use skopos_storage::{QueryBudget, QueryError};
use std::sync::Arc;

/// The most points of a series that one query may ask for: enough for a minute's resolution over a
/// week, more than any screen has pixels.
const POINTS_MAX: i64 = 11_000;

/// One evaluation at one time.
pub(crate) async fn instant(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let at = params.time("time")?.unwrap_or_else(|| TimestampMs::new(parts.clock.wall_ms()));
    let limit = params.count("limit")?;
    let budget = budget(&parts, &params)?;
    let asked = parts.clock.monotonic();
    let steps = Steps { start: at, end: at, step: DurationMs::ZERO };
    let tracked = parts.queries.asked(params.asked(text(&parts, &params)?, steps));
    let body = blocking::answer_within(parts, budget, tracked, move |parts, tracked, budget, sink| {
        let mut stats = Stats::runs(parts, &params, (asked, steps));
        let expr = parse(parts, params.query(), budget)?;
        let engine = engine(parts, &params)?;
        stats.evaluates(parts);
        tracked.enters(Slice::Evaluate);
        let result = engine.instant(parts.storage.as_ref(), &expr, at, budget);
        stats.evaluated(parts, budget, result.as_ref().ok());
        tracked.evaluated(stats.samples());
        let query = params.query();
        let (request, path) = (params.requested(), "/api/v1/query");
        let ended = Ended { request, path, query, start: at, end: at, step: DurationMs::ZERO };
        parts.query_log.ended(parts, ended, &stats, result.as_ref().err());
        Answer::new(parts, budget, sink).write(&result?, &params, limit, &stats)
    })
    .await?;
    Ok(reply::json(StatusCode::OK, body))
}

/// Evaluations at even steps over a range.
pub(crate) async fn range(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let missing = |name| ApiError::parameter(name, "it is missing");
    let start = params.time("start")?.ok_or_else(|| missing("start"))?;
    let end = params.time("end")?.ok_or_else(|| missing("end"))?;
    if end < start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step = params.duration("step")?.ok_or_else(|| missing("step"))?;
    if step.as_ms() <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", reason));
    }
    if end.since(start).as_ms() / step.as_ms() > POINTS_MAX {
        let reason = format!(
            "exceeded maximum resolution of {},{:03} points per timeseries. Try decreasing the query \
             resolution (?step=XX)",
            POINTS_MAX / 1000,
            POINTS_MAX % 1000
        );
        return Err(ApiError::new(ErrorType::BadData, reason));
    }
    let limit = params.count("limit")?;
    let budget = budget(&parts, &params)?;
    let asked = parts.clock.monotonic();
    let steps = Steps { start, end, step };
    let tracked = parts.queries.asked(params.asked(text(&parts, &params)?, steps));
    let body = blocking::answer_within(parts, budget, tracked, move |parts, tracked, budget, sink| {
        let mut stats = Stats::runs(parts, &params, (asked, steps));
        let expr = parse(parts, params.query(), budget)?;
        if !matches!(expr.value_type(), ValueType::Scalar | ValueType::InstantVector) {
            let reason = format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                expr.value_type()
            );
            return Err(ApiError::parameter("query", reason));
        }
        let engine = engine(parts, &params)?;
        stats.evaluates(parts);
        tracked.enters(Slice::Evaluate);
        let result = engine.range(parts.storage.as_ref(), &expr, steps, budget);
        stats.evaluated(parts, budget, result.as_ref().ok());
        tracked.evaluated(stats.samples());
        let query = params.query();
        let (request, path) = (params.requested(), "/api/v1/query_range");
        let ended = Ended { request, path, query, start, end, step };
        parts.query_log.ended(parts, ended, &stats, result.as_ref().err());
        Answer::new(parts, budget, sink).write(&result?, &params, limit, &stats)
    })
    .await?;
    Ok(reply::json(StatusCode::OK, body))
}

/// The engine as configured, with the lookback that the client asks for; zero and less ask for none.
fn engine(parts: &Parts, params: &Params) -> Result<Engine, ApiError> {
    let engine = OperatorsWanted::of(params).engine(parts.engine_now());
    let lookback = params.duration("lookback_delta")?.filter(|d| d.as_ms() > 0);
    Ok(lookback.map_or(engine.clone(), |lookback| engine.with_lookback(lookback)))
}

/// What the query may use: as configured, within the time that the client gives it. What the client sent is
/// charged.
fn budget(parts: &Parts, params: &Params) -> Result<Arc<QueryBudget>, ApiError> {
    let mut limits = parts.engine.options().limits;
    if let Some(timeout) = params.duration("timeout")? {
        limits.timeout = limits.timeout.min(timeout.max(DurationMs::ZERO));
    }
    let budget = parts.engine.budget_within(limits);
    params.charge(&budget).inspect_err(|e| count_refused(parts, e))?;
    Ok(budget)
}

/// Counts a query that was refused before it was one.
fn count_refused(parts: &Parts, refused: &ApiError) {
    refused.cut_off_by().into_iter().for_each(|by| parts.queries.count_cut_off(by));
}

/// The query, unless it is longer than any may be: such a text waits for no slot.
fn text<'p>(parts: &Parts, params: &'p Params) -> Result<&'p str, ApiError> {
    let text = params.query();
    if text.len() <= MAX_QUERY_BYTES {
        return Ok(text);
    }
    let refused = match skopos_promql::parse(text) {
        Ok(_) => ApiError::parameter("query", "it is too long"),
        Err(e) => ApiError::parameter("query", &e).by_limit(e.limit()),
    };
    count_refused(parts, &refused);
    Err(refused)
}

/// Reads a query in its time.
pub(crate) fn parse(parts: &Parts, text: &str, budget: &QueryBudget) -> Result<Expr, ApiError> {
    skopos_promql::parse_within(text, parts.engine.options().language, budget).map_err(|e| {
        // A query that ended meanwhile is not at fault for its text.
        let wrong = || ApiError::parameter("query", &e).by_limit(e.limit());
        budget.check().map_or_else(ApiError::from, |()| wrong())
    })
}

impl From<EvalError> for ApiError {
    fn from(e: EvalError) -> Self {
        match e {
            // What the evaluation finds wrong is no mistake in the parameters of the request.
            EvalError::Storage(QueryError::Invalid(message)) => Self::new(ErrorType::Execution, message),
            EvalError::Storage(e) => e.into(),
            e @ EvalError::Panicked(_) => Self::internal(e.to_string()),
            other => Self::new(ErrorType::Execution, other.to_string()),
        }
    }
}
