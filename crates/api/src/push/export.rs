//! `/api/v1/export` and `/api/v1/export/csv`: samples as they are stored, series by series, as
//! VictoriaMetrics writes them and `import` reads them. Histograms have no room there and are left out,
//! staleness markers too.

use crate::{
    blocking,
    params::Params,
    parts::{Parts, Ready},
    reply::{ApiError, ErrorType},
    writing::Writing,
};
use axum::{
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use skopos_model::{TimestampMs, is_stale_nan, name::METRIC_NAME};
use skopos_storage::{QueryBudget, SelectRequest, SeriesBatch, SeriesColumns, Shard, TimeRange};
use std::{io::Write as _, sync::Arc};

/// Lines of JSON.
pub(crate) async fn json_lines(ready: Ready, params: Params) -> Result<Response, ApiError> {
    export(ready, params, "application/stream+json", |_| {
        Ok(|series: &SeriesColumns<'_>, out: &mut Vec<u8>| {
            let kept = kept(series);
            if kept.is_empty() {
                return;
            }
            let metric: serde_json::Map<String, serde_json::Value> =
                series.labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            out.extend_from_slice(b"{\"metric\":");
            crate::json::to_writer(&mut *out, &metric).expect("invariant: texts serialise");
            out.extend_from_slice(b",\"values\":[");
            for (i, (_, value)) in kept.iter().enumerate() {
                comma(i, out);
                float(*value, out);
            }
            out.extend_from_slice(b"],\"timestamps\":[");
            for (i, (at, _)) in kept.iter().enumerate() {
                comma(i, out);
                let _infallible = write!(out, "{at}");
            }
            out.extend_from_slice(b"]}\n");
        })
    })
    .await
}

/// What a column of CSV has.
enum Column {
    Name,
    Value,
    Timestamp(Unit),
    Label(String),
}

#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
    Nanoseconds,
    Rfc3339,
}

/// Lines of values between commas, as `format` says.
pub(crate) async fn csv(ready: Ready, params: Params) -> Result<Response, ApiError> {
    export(ready, params, "text/csv", |params| {
        let format = params.required("format")?;
        let columns: Vec<Column> = format.split(',').map(column).collect::<Result<_, _>>()?;
        Ok(move |series: &SeriesColumns<'_>, out: &mut Vec<u8>| {
            for (at, value) in kept(series) {
                for (i, column) in columns.iter().enumerate() {
                    comma(i, out);
                    match column {
                        Column::Name => cell(series.labels.value(METRIC_NAME), out),
                        Column::Label(name) => cell(series.labels.value(name), out),
                        Column::Value => {
                            let _infallible = write!(out, "{value}");
                        }
                        Column::Timestamp(unit) => time(*unit, at, out),
                    }
                }
                out.push(b'\n');
            }
        })
    })
    .await
}

fn column(text: &str) -> Result<Column, ApiError> {
    let unit = match text {
        "__name__" => return Ok(Column::Name),
        "__value__" => return Ok(Column::Value),
        "__timestamp__" | "__timestamp__:unix_s" => Unit::Seconds,
        "__timestamp__:unix_ms" => Unit::Milliseconds,
        "__timestamp__:unix_ns" => Unit::Nanoseconds,
        "__timestamp__:rfc3339" => Unit::Rfc3339,
        _ if text.starts_with("__timestamp__:") || text.is_empty() => {
            let reason =
                "write __name__, __value__, __timestamp__:unix_s (unix_ms, unix_ns, rfc3339) or a label";
            return Err(ApiError::parameter("format", format!("{text:?}: {reason}")));
        }
        label => return Ok(Column::Label(label.to_owned())),
    };
    Ok(Column::Timestamp(unit))
}

fn time(unit: Unit, at: i64, out: &mut Vec<u8>) {
    let _infallible = match unit {
        Unit::Seconds => write!(out, "{}", at.div_euclid(1000)),
        Unit::Milliseconds => write!(out, "{at}"),
        Unit::Nanoseconds => write!(out, "{at}000000"),
        Unit::Rfc3339 => match jiff::Timestamp::from_millisecond(at) {
            Ok(at) => write!(out, "{at}"),
            Err(_) => Ok(()),
        },
    };
}

/// A text as a cell: in quotes where it has to be.
fn cell(text: &str, out: &mut Vec<u8>) {
    if !text.contains([',', '"', '\n', '\r']) {
        return out.extend_from_slice(text.as_bytes());
    }
    let _infallible = write!(out, "\"{}\"", text.replace('"', "\"\""));
}

fn comma(i: usize, out: &mut Vec<u8>) {
    if i > 0 {
        out.push(b',');
    }
}

/// A float as JSON can have it.
fn float(value: f64, out: &mut Vec<u8>) {
    let _infallible = match value {
        f64::INFINITY => write!(out, "\"Infinity\""),
        f64::NEG_INFINITY => write!(out, "\"-Infinity\""),
        value if value.is_nan() => write!(out, "null"),
        value => write!(out, "{value}"),
    };
}

/// Times and floats of a series that are exported.
fn kept(series: &SeriesColumns<'_>) -> Vec<(i64, f64)> {
    let mut histograms = series.histograms.iter().map(|h| h.sample).peekable();
    let samples = series.timestamps.iter().zip(series.values).enumerate();
    let kept = samples.filter(|(i, (_, value))| {
        let is_histogram = histograms.next_if_eq(i).is_some();
        !is_histogram && !is_stale_nan(**value)
    });
    kept.map(|(_, (at, value))| (at.as_ms(), *value)).collect()
}

async fn export<W>(
    Ready(parts): Ready,
    params: Params,
    content_type: &'static str,
    write: impl FnOnce(&Params) -> Result<W, ApiError>,
) -> Result<Response, ApiError>
where
    W: Fn(&SeriesColumns<'_>, &mut Vec<u8>) + Send + 'static,
{
    if params.all("match[]").next().is_none() {
        return Err(ApiError::new(ErrorType::BadData, "no match[] parameter provided"));
    }
    let range = TimeRange {
        min: params.time("start")?.unwrap_or(TimestampMs::MIN),
        max: params.time("end")?.unwrap_or(TimestampMs::MAX),
    };
    let write = write(&params)?;
    let body = blocking::answer(parts, params, move |parts, params, budget, sink| {
        let sets = params.selectors(budget)?;
        let mut writing = Writing::begin(parts, budget, sink, &[]);
        for matchers in &sets {
            each(
                parts,
                &SelectRequest { matchers, range, shard: Shard::WHOLE, budget: Arc::clone(budget) },
                |series| {
                    write(series, &mut writing.out);
                    writing.more()
                },
            )?;
        }
        writing.end()
    })
    .await?;
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// Calls `write` with every series of a selection.
fn each(
    parts: &Parts,
    request: &SelectRequest<'_>,
    mut write: impl FnMut(&SeriesColumns<'_>) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let budget: Arc<QueryBudget> = Arc::clone(&request.budget);
    let querier = parts.storage.querier(request.range)?;
    let mut set = querier.select(request)?;
    let mut batch = SeriesBatch::default();
    while set.next_batch(&mut batch)? {
        batch.iter().try_for_each(|series| write(&series))?;
        budget.release_samples(batch.sample_count() as u64);
    }
    Ok(())
}
