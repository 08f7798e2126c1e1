//! `/api/v1/query_exemplars`: observations picked out of the series that a query reads.

use crate::{
    blocking, json,
    params::Params,
    parts::Ready,
    reply::{self, ApiError, ErrorType},
    writing::Writing,
};
use axum::{
    body::HttpBody as _,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use skopos_model::{DurationMs, Matcher, TimestampMs};
use skopos_promql::{
    Steps,
    ast::{Expr, ExprKind},
    queries::Slice,
};
use skopos_storage::{SeriesExemplars, TimeRange};
/// The exemplars of all series that the query's selectors pick. A query without a selector has none, and an
/// empty answer, as in Prometheus.
pub(crate) async fn query_exemplars(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let min = params.time("start")?.unwrap_or(TimestampMs::MIN);
    let max = params.time("end")?.unwrap_or(TimestampMs::MAX);
    let refused = |reason: String| ApiError::new(ErrorType::BadData, reason);
    if max < min {
        return Err(refused("end timestamp must not be before start timestamp".to_owned()));
    }
    let steps = Steps { start: min, end: max, step: DurationMs::ZERO };
    let tracked = parts.queries.asked(params.asked(params.get("query").unwrap_or(""), steps));
    let body =
        blocking::answer_tracked(parts, params, tracked, move |parts, params, tracked, budget, sink| {
            let (text, language) = (params.get("query").unwrap_or(""), parts.engine.options().language);
            let expr = skopos_promql::parse_within(text, language, budget).map_err(|e| {
                let wrong = || refused(e.to_string()).by_limit(e.limit());
                budget.check().map_or_else(ApiError::from, |()| wrong())
            })?;
            let mut sets = Vec::new();
            selectors(&expr, &mut sets);
            if sets.is_empty() {
                return Ok(());
            }
            tracked.enters(Slice::Evaluate);
            let found = parts.exemplars.exemplars(TimeRange { min, max }, &sets, budget);
            tracked.enters(Slice::Answer);
            let found = found?;
            let mut writing = Writing::begin(parts, budget, sink, reply::BEGIN);
            writing.list(&found, series_json)?;
            reply::end(&mut writing.out, &[], &[]);
            writing.end()
        });
    let body = body.await?;
    if body.is_end_stream() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(reply::json(StatusCode::OK, body))
}

/// The matchers of all selectors of a tree.
fn selectors(expr: &Expr, out: &mut Vec<Vec<Matcher>>) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
        ExprKind::Selector(s) => out.push(s.matchers.clone()),
        ExprKind::Range(r) => out.push(r.selector.matchers.clone()),
        ExprKind::Subquery(s) => selectors(&s.expr, out),
        ExprKind::Call(c) => c.args.iter().for_each(|arg| selectors(arg, out)),
        ExprKind::Aggregate(a) => a.param.iter().chain([&a.expr]).for_each(|e| selectors(e, out)),
        ExprKind::Binary(b) => [&b.lhs, &b.rhs].into_iter().for_each(|e| selectors(e, out)),
        ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => selectors(inner, out),
    }
}

fn series_json(out: &mut Vec<u8>, (labels, exemplars): &SeriesExemplars) {
    out.extend_from_slice(b"{\"seriesLabels\":");
    json::labels(out, labels);
    out.extend_from_slice(b",\"exemplars\":[");
    for (k, exemplar) in exemplars.iter().enumerate() {
        out.extend_from_slice(if k == 0 { b"{\"labels\":" } else { b",{\"labels\":" });
        json::labels(out, &exemplar.labels);
        out.extend_from_slice(b",\"value\":");
        json::value(out, exemplar.value);
        out.extend_from_slice(b",\"timestamp\":");
        json::timestamp(out, exemplar.timestamp.unwrap_or(TimestampMs::new(0)));
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}
