//! Bodies of text: Influx (`/write`, `/api/v2/write`), and import of JSON lines, CSV and the text format
//! (`/api/v1/import…`), as VictoriaMetrics has them. Only with `--push.enable`.

use super::{PushError, Way, take_lines};
use crate::{
    params::Params,
    parts::{Parts, Ready},
};
use axum::{
    extract::Request,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use skopos_intake::{Compression, CsvFormat, ExtraLabels, Precision, TextFormat};
use skopos_model::TimestampMs;
use std::sync::Arc;

/// The version that clients of Influx ask for.
const INFLUX_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-influxdb-version"), HeaderValue::from_static("1.8.0"));
const JSON: (HeaderName, HeaderValue) = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
const DATABASES: &str = concat!(
    r#"{"results":[{"statement_id":0,"series":[{"name":"databases","columns":["name"],"#,
    r#""values":[["_internal"]]}]}]}"#
);
const HEALTH: &str = r#"{"name":"influxdb","message":"ready for writes","status":"pass","checks":[]}"#;
/// The label of the database that lines are for.
const DB: &str = "db";

/// Lines of Influx.
pub(crate) async fn influx(Ready(parts): Ready, request: Request) -> Response {
    take(parts, Way::Influx, request, |params| {
        let precision = params.get("precision").unwrap_or_default();
        let precision = Precision::named(precision)
            .ok_or_else(|| bad(format!("precision {precision:?}: write ns, us, ms, s, m or h")))?;
        Ok(TextFormat::Influx(precision))
    })
    .await
}

/// Whether the server is there, as clients of Influx ask it.
pub(crate) async fn ping(Ready(parts): Ready) -> Response {
    if !parts.push.takes(Way::Influx) {
        return Way::Influx.not_enabled().into_response();
    }
    (StatusCode::NO_CONTENT, [INFLUX_VERSION]).into_response()
}

/// What clients of Influx ask before they write, such as whether there is a database: there is one, of no
/// consequence, as in VictoriaMetrics.
pub(crate) async fn query(Ready(parts): Ready) -> Response {
    if !parts.push.takes(Way::Influx) {
        return Way::Influx.not_enabled().into_response();
    }
    ([INFLUX_VERSION, JSON], DATABASES).into_response()
}

/// Whether the server is there, as clients of Influx 2 ask it.
pub(crate) async fn health(Ready(parts): Ready) -> Response {
    if !parts.push.takes(Way::Influx) {
        return Way::Influx.not_enabled().into_response();
    }
    ([INFLUX_VERSION, JSON], HEALTH).into_response()
}

/// Lines of JSON.
pub(crate) async fn json_lines(Ready(parts): Ready, request: Request) -> Response {
    take(parts, Way::Import, request, |_| Ok(TextFormat::JsonLines)).await
}

/// Lines of values between commas.
pub(crate) async fn csv(Ready(parts): Ready, request: Request) -> Response {
    take(parts, Way::Import, request, |params| {
        let format = params.get("format").ok_or_else(|| bad("missing `format`".to_owned()))?;
        Ok(TextFormat::Csv(CsvFormat::parse(format).map_err(|e| bad(e.to_string()))?))
    })
    .await
}

/// The text format of Prometheus.
pub(crate) async fn prometheus(Ready(parts): Ready, request: Request) -> Response {
    take(parts, Way::Import, request, |params| {
        let at = params.get("timestamp").map(|text| {
            text.parse()
                .map(TimestampMs::new)
                .map_err(|_| bad(format!("timestamp {text:?}: write milliseconds")))
        });
        Ok(TextFormat::Prometheus(at.transpose()?))
    })
    .await
}

fn bad(reason: String) -> PushError {
    PushError::new(StatusCode::BAD_REQUEST, reason)
}

async fn take(
    parts: Arc<Parts>,
    way: Way,
    request: Request,
    format: impl FnOnce(&Params) -> Result<TextFormat, PushError>,
) -> Response {
    if !parts.push.takes(way) {
        return way.not_enabled().into_response();
    }
    match taken(parts, request, format).await {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(refused)) => bad(refused).into_response(),
        Err(e) => e.into_response(),
    }
}

async fn taken(
    parts: Arc<Parts>,
    request: Request,
    format: impl FnOnce(&Params) -> Result<TextFormat, PushError>,
) -> Result<Option<String>, PushError> {
    let params = Params::parse(&[], request.uri().query().unwrap_or_default().as_bytes());
    let format = format(&params)?;
    let extra = extra_labels(&params)?;
    let compression = compression(&request)?;
    Ok(take_lines(parts, request.into_body(), (format, compression), extra).await?.refused)
}

/// How a body is compressed.
pub(super) fn compression(request: &Request) -> Result<Compression, PushError> {
    let named = encoding(request);
    Compression::named(named).ok_or_else(|| unknown_encoding(named, "gzip, deflate, zstd or none"))
}

/// What a request says of how its body is compressed.
pub(super) fn encoding(request: &Request) -> &str {
    request.headers().get(CONTENT_ENCODING).map_or(Ok(""), HeaderValue::to_str).unwrap_or("?")
}

/// A body may be compressed by `known`, and is not.
pub(super) fn unknown_encoding(named: &str, known: &str) -> PushError {
    let reason = format!("{named} encoding is not accepted: send {known}");
    PushError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason)
}

/// `extra_label=name=value` goes before what a series says, `db` behind it.
fn extra_labels(params: &Params) -> Result<ExtraLabels, PushError> {
    let mut extra = ExtraLabels::default();
    for text in params.all("extra_label") {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| bad(format!("extra_label {text:?}: write NAME=VALUE")))?;
        extra.instead.push((name.to_owned(), value.to_owned()));
    }
    let db = params.get(DB).map(|db| (DB.to_owned(), db.to_owned()));
    extra.missing.extend(db);
    Ok(extra)
}
