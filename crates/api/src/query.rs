//! `/api/v1/query` and `/api/v1/query_range`.

use crate::{
    blocking, json,
    params::Params,
    parts::{Parts, Ready},
    query_stats::Stats,
    reply::{ApiError, ErrorType, Success},
};
use skopos_model::{DurationMs, TimestampMs};
use skopos_promql::{
    Annotation, Engine, EvalError, Matrix, QueryResult, Severity, Steps, Value, Vector,
    ast::{Expr, ValueType},
};
use skopos_storage::QueryBudget;
use std::sync::Arc;

/// The most points of a series that one query may ask for: enough for a minute's resolution over a
/// week, more than any screen has pixels.
const POINTS_MAX: i64 = 11_000;

/// The most bytes of an answer, before it is compressed. Beyond it no page and no program reads it
/// with profit, and a few of them at a time would fill the memory.
const ANSWER_MAX_BYTES: usize = 256 << 20;

/// One evaluation at one time.
pub(crate) async fn instant(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let at = params.time("time")?.unwrap_or_else(|| TimestampMs::new(parts.clock.wall_ms()));
    let limit = params.count("limit")?;
    let budget = budget(&parts, &params)?;
    let asked = parts.clock.monotonic();
    blocking::run(parts, budget, move |parts, budget| {
        let expr = parse(parts, &params)?;
        let engine = engine(parts, &params)?;
        let mut stats = Stats::begin(parts, &params, asked);
        let result = engine.instant(parts.storage.as_ref(), &expr, at, budget)?;
        stats.evaluated(parts, budget);
        success(&result, &params, limit, &stats)
    })
    .await
}

/// Evaluations at even steps over a range.
pub(crate) async fn range(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
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
            "exceeded maximum resolution of {POINTS_MAX} points per timeseries. Try decreasing the query \
             resolution (?step=XX)"
        );
        return Err(ApiError::new(ErrorType::BadData, reason));
    }
    let limit = params.count("limit")?;
    let budget = budget(&parts, &params)?;
    let asked = parts.clock.monotonic();
    blocking::run(parts, budget, move |parts, budget| {
        let expr = parse(parts, &params)?;
        if !matches!(expr.value_type(), ValueType::Scalar | ValueType::InstantVector) {
            let reason = format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                expr.value_type()
            );
            return Err(ApiError::parameter("query", reason));
        }
        let engine = engine(parts, &params)?;
        let mut stats = Stats::begin(parts, &params, asked);
        let result = engine.range(parts.storage.as_ref(), &expr, Steps { start, end, step }, budget)?;
        stats.evaluated(parts, budget);
        success(&result, &params, limit, &stats)
    })
    .await
}

/// The engine as configured, with the lookback that the client asks for; zero and less ask for none.
fn engine(parts: &Parts, params: &Params) -> Result<Engine, ApiError> {
    let engine = parts.engine_now();
    let lookback = params.duration("lookback_delta")?.filter(|d| d.as_ms() > 0);
    Ok(lookback.map_or(engine.clone(), |lookback| engine.with_lookback(lookback)))
}

/// What the query may use: as configured, within the time that the client gives it.
fn budget(parts: &Parts, params: &Params) -> Result<Arc<QueryBudget>, ApiError> {
    let mut limits = parts.engine.options().limits;
    if let Some(timeout) = params.duration("timeout")? {
        limits.timeout = limits.timeout.min(timeout.max(DurationMs::ZERO));
    }
    Ok(QueryBudget::new(limits, Arc::clone(&parts.clock)))
}

fn parse(parts: &Parts, params: &Params) -> Result<Expr, ApiError> {
    let language = parts.engine.options().language;
    skopos_promql::parse_with(params.required("query")?, language)
        .map_err(|e| ApiError::parameter("query", e))
}

impl From<EvalError> for ApiError {
    fn from(e: EvalError) -> Self {
        match e {
            EvalError::Storage(e) => e.into(),
            other => Self::new(ErrorType::Execution, other.to_string()),
        }
    }
}

/// The result as JSON, cut to `limit` series (zero: all of them).
fn success(result: &QueryResult, params: &Params, limit: usize, stats: &Stats) -> Result<Success, ApiError> {
    let query = params.required("query")?;
    let (mut out, mut cut) = (Success::begin(), false);
    let kept = |len: usize| if limit == 0 { len } else { limit.min(len) };
    match &result.value {
        Value::Scalar { timestamp, value } => {
            out.extend_from_slice(br#"{"resultType":"scalar","result":"#);
            json::point(&mut out, *timestamp, *value);
        }
        Value::String { timestamp, text } => {
            out.extend_from_slice(br#"{"resultType":"string","result":["#);
            json::timestamp(&mut out, *timestamp);
            out.push(b',');
            json::string(&mut out, text);
            out.push(b']');
        }
        Value::Vector(vector) => {
            cut = kept(vector.values.len()) < vector.values.len();
            write_vector(&mut out, vector, kept(vector.values.len()))?;
        }
        Value::Matrix(matrix) => {
            cut = kept(matrix.len()) < matrix.len();
            write_matrix(&mut out, matrix, kept(matrix.len()))?;
        }
    }
    stats.write(&mut out)?;
    out.push(b'}');
    let of = |severity| remarks(&result.annotations, severity, query);
    let mut warnings = of(Severity::Warning);
    if cut {
        warnings.push("results truncated due to limit".to_owned());
    }
    Ok(Success::raw(out).with_remarks(warnings, of(Severity::Info)))
}

/// Whether an answer that has grown so far may grow on. Asked for every series; one has at most
/// `POINTS_MAX` points, which are some hundred kilobytes.
fn check_size(out: &[u8]) -> Result<(), ApiError> {
    if out.len() <= ANSWER_MAX_BYTES {
        return Ok(());
    }
    let reason = format!(
        "the answer is longer than {ANSWER_MAX_BYTES} bytes: ask for fewer series, a shorter range or a \
         longer step"
    );
    Err(ApiError::new(ErrorType::Execution, reason))
}

fn remarks(annotations: &[Annotation], severity: Severity, query: &str) -> Vec<String> {
    annotations.iter().filter(|a| a.severity == severity).map(|a| a.text(query)).collect()
}

fn write_vector(out: &mut Vec<u8>, vector: &Vector, series: usize) -> Result<(), ApiError> {
    out.extend_from_slice(br#"{"resultType":"vector","result":["#);
    for i in 0..series {
        check_size(out)?;
        out.extend_from_slice(if i == 0 { b"{\"metric\":" } else { b",{\"metric\":" });
        json::labels(out, &vector.labels[i]);
        if let Some(histogram) = vector.histogram(i) {
            out.extend_from_slice(b",\"histogram\":");
            json::histogram(out, vector.timestamp, histogram);
        } else {
            out.extend_from_slice(b",\"value\":");
            json::point(out, vector.timestamp, vector.values[i]);
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

fn write_matrix(out: &mut Vec<u8>, matrix: &Matrix, series: usize) -> Result<(), ApiError> {
    out.extend_from_slice(br#"{"resultType":"matrix","result":["#);
    for i in 0..series {
        check_size(out)?;
        out.extend_from_slice(if i == 0 { b"{\"metric\":" } else { b",{\"metric\":" });
        json::labels(out, matrix.labels(i));
        let mut numbers = 0;
        for (t, v) in matrix.points(i) {
            out.extend_from_slice(if numbers == 0 { b",\"values\":[" } else { b"," });
            json::point(out, t, v);
            numbers += 1;
        }
        if numbers > 0 {
            out.push(b']');
        }
        let mut histograms = 0;
        for (t, h) in matrix.histograms(i) {
            out.extend_from_slice(if histograms == 0 { b",\"histograms\":[" } else { b"," });
            json::histogram(out, t, &h);
            histograms += 1;
        }
        if histograms > 0 {
            out.push(b']');
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}
