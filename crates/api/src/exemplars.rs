//! `/api/v1/query_exemplars`: observations picked out of the series that a query reads.

use crate::{
    blocking, json,
    params::Params,
    parts::Ready,
    reply::{ApiError, ErrorType, Success},
};
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use skopos_model::{Matcher, TimestampMs};
use skopos_promql::ast::{Expr, ExprKind};
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
    let budget = parts.engine.budget();
    blocking::run(parts, budget, move |parts, budget| {
        let expr =
            skopos_promql::parse_with(params.get("query").unwrap_or(""), parts.engine.options().language)
                .map_err(|e| refused(e.to_string()))?;
        let mut sets = Vec::new();
        selectors(&expr, &mut sets);
        if sets.is_empty() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let found = parts.exemplars.exemplars(TimeRange { min, max }, &sets, budget)?;
        Ok(Success::raw(exemplars_json(&found)).into_response())
    })
    .await
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
        ExprKind::Negate(inner) | ExprKind::Paren(inner) => selectors(inner, out),
    }
}

fn exemplars_json(found: &[SeriesExemplars]) -> Vec<u8> {
    let mut out = Success::begin();
    out.push(b'[');
    for (i, (labels, exemplars)) in found.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"{\"seriesLabels\":" } else { b",{\"seriesLabels\":" });
        json::labels(&mut out, labels);
        out.extend_from_slice(b",\"exemplars\":[");
        for (k, exemplar) in exemplars.iter().enumerate() {
            out.extend_from_slice(if k == 0 { b"{\"labels\":" } else { b",{\"labels\":" });
            json::labels(&mut out, &exemplar.labels);
            out.extend_from_slice(b",\"value\":");
            json::value(&mut out, exemplar.value);
            out.extend_from_slice(b",\"timestamp\":");
            json::timestamp(&mut out, exemplar.timestamp.unwrap_or(TimestampMs::new(0)));
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    out
}
