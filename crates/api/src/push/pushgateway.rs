//! Pushgateway's API: `/metrics/job/…`, `/api/v1/metrics` and `/api/v1/admin/wipe`. Only with
//! `--push.enable=pushgateway`.

use super::{
    PushError, Way, read_body, store_with,
    text::{encoding, unknown_encoding},
};
use crate::{
    params::Params,
    parts::{Parts, Ready},
    reply::{ApiError, Success},
};
use axum::{
    extract::Request,
    http::{
        HeaderValue, Method, StatusCode,
        header::{CONTENT_TYPE, LOCATION},
    },
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use skopos_intake::{Compression, Form, GroupingKey, Packing, PathError, Pushgateway, Replace};
use skopos_model::DurationMs;
use std::{borrow::Cow, sync::Arc};

/// Where the grouping key begins.
const METRICS: &str = "/metrics/";

/// A push, or the end of a group.
pub(crate) async fn group(Ready(parts): Ready, request: Request) -> Response {
    let Some(gateway) = parts.push.options.gateway.clone() else {
        return Way::Pushgateway.not_enabled().into_response();
    };
    if let Some(path) = in_small_letters(request.uri().path()) {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        return (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, path + &query)]).into_response();
    }
    match changed(parts, gateway, request).await {
        Ok(status) => status.into_response(),
        Err(e) => e.into_response(),
    }
}

async fn changed(
    parts: Arc<Parts>,
    gateway: Arc<Pushgateway>,
    request: Request,
) -> Result<StatusCode, PushError> {
    let key = key_of(request.uri().path())?;
    let replace = match *request.method() {
        Method::PUT => Replace::Group,
        Method::POST => Replace::Names,
        _ => {
            store_with(parts, move || gateway.delete(&key)).await?;
            return Ok(StatusCode::ACCEPTED);
        }
    };
    let params = Params::parse(&[], request.uri().query().unwrap_or_default().as_bytes());
    let ttl = params.get("ttl").map(|text| {
        let wrong = |e| bad(format!("ttl {text:?}: {e}; write a time such as 10m"));
        DurationMs::parse(text).map_err(wrong)
    });
    let (ttl, form, packing) = (ttl.transpose()?, form_of(&request), packing(&request)?);
    let body = read_body(&parts.push, request.into_body()).await?;
    let intake = Arc::clone(&parts.push.intake);
    store_with(parts, move || {
        intake.unpacked((&body.bytes, packing), |plain| gateway.push(&key, (form, plain), replace, ttl))
    })
    .await?;
    Ok(StatusCode::OK)
}

fn bad(reason: String) -> PushError {
    PushError::new(StatusCode::BAD_REQUEST, reason)
}

fn not_there(reason: String) -> PushError {
    PushError::new(StatusCode::NOT_FOUND, reason)
}

/// The grouping key of a path, whatever stands before it. As in the Pushgateway escapes are decoded first:
/// one that stands for a slash is a slash.
fn key_of(path: &str) -> Result<GroupingKey, PushError> {
    let rest = path.find(METRICS).map_or("", |at| &path[at + METRICS.len()..]);
    let has_gap = rest.split('/').any(|part| matches!(part, "." | "..")) || rest.contains("//");
    if has_gap {
        return Err(not_there("a path has no empty parts and no dots".to_owned()));
    }
    let decoded =
        decoded(rest).ok_or_else(|| bad(format!("the path {rest:?} has an escape that is none")))?;
    GroupingKey::parse(&decoded).map_err(|e| match e {
        PathError::NotJob(_) => not_there(e.to_string()),
        e => bad(e.to_string()),
    })
}

/// A path without its escapes; none where one of them is none, or what comes out is not UTF-8.
fn decoded(path: &str) -> Option<Cow<'_, str>> {
    let is_hex = |text: &str| text.as_bytes().get(..2).is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
    let is_whole = path.split('%').skip(1).all(is_hex);
    is_whole.then(|| percent_decode_str(path).decode_utf8().ok()).flatten()
}

/// Where `job` is written as it is meant, when it stands there in other letters.
fn in_small_letters(path: &str) -> Option<String> {
    let at = path.find(METRICS)? + METRICS.len();
    let (word, rest) = path[at..].split_once('/')?;
    let small = word.to_ascii_lowercase();
    let is_meant = small != word && matches!(small.as_str(), "job" | "job@base64");
    is_meant.then(|| format!("{}{small}/{rest}", &path[..at]))
}

/// How the body is written: as in the Pushgateway, text where nothing else is said.
fn form_of(request: &Request) -> Form {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(Ok(""), HeaderValue::to_str).unwrap_or("");
    let mut parts = content_type.split(';').map(str::trim);
    let is_protobuf = parts.next() == Some("application/vnd.google.protobuf");
    if is_protobuf && parts.any(|part| part == "encoding=delimited") { Form::Delimited } else { Form::Text }
}

/// How a body is compressed: snappy too, as in later Pushgateways.
fn packing(request: &Request) -> Result<Packing, PushError> {
    let named = encoding(request);
    if named.trim().eq_ignore_ascii_case("snappy") {
        return Ok(Packing::Snappy);
    }
    let unknown = || unknown_encoding(named, "gzip, deflate, zstd, snappy or none");
    Compression::named(named).map(Packing::Of).ok_or_else(unknown)
}

/// All groups as JSON.
pub(crate) async fn metrics(Ready(parts): Ready) -> Result<Success, Response> {
    let gateway = parts.push.options.gateway.clone();
    let gateway = gateway.ok_or_else(|| Way::Pushgateway.not_enabled().into_response())?;
    let status = tokio::task::spawn_blocking(move || gateway.status()).await;
    let status = status.map_err(|e| ApiError::internal(e.to_string()).into_response())?;
    Success::of(&status).map_err(IntoResponse::into_response)
}

/// Removes all groups.
pub(crate) async fn wipe(Ready(parts): Ready) -> Response {
    let Some(gateway) = parts.push.options.gateway.clone() else {
        return Way::Pushgateway.not_enabled().into_response();
    };
    match store_with(parts, move || gateway.wipe()).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(e) => e.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_paths_part_by_part() {
        let key = |path: &str| key_of(path).map(|key| key.labels().to_string()).map_err(|e| e.message);
        assert_eq!(key("/metrics/job/a%20b/x%2Fc"), Ok(r#"{job="a b", x="c"}"#.to_owned()));
        assert_eq!(key("/prefix/metrics/job/a+b"), Ok(r#"{job="a+b"}"#.to_owned()));
        assert_eq!(key("/metrics/job@base64/YQ"), Ok(r#"{job="a"}"#.to_owned()));
        for path in ["/metrics/job/", "/metrics/job/a%2", "/metrics/job/%ff", "/metrics/nojob/a"] {
            assert!(key(path).is_err(), "{path}");
        }
        assert_eq!(in_small_letters("/p/metrics/JOB/A/b"), Some("/p/metrics/job/A/b".to_owned()));
        assert_eq!(in_small_letters("/metrics/job/JOB/b"), None);
    }
}
