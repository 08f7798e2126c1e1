//! `/api/v1/write`: Prometheus' remote write, 1.0 and 2.0. Which message a body is, its content type says;
//! the codes are those that senders expect: 400 and 415 for what can never be taken, 5xx for later.

use super::{PushError, read_body, store};
use crate::parts::{Parts, Ready};
use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use skopos_intake::{Version, Written};
use std::sync::Arc;

/// The media type of both messages.
const MEDIA_TYPE: &str = "application/x-protobuf";
/// How content types name the messages.
const MESSAGES: [(&str, Version); 2] =
    [("prometheus.WriteRequest", Version::One), ("io.prometheus.write.v2.Request", Version::Two)];
const ENABLE: &str = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";

/// Takes a request.
pub(crate) async fn write(Ready(parts): Ready, request: Request) -> Response {
    if !parts.push.takes_remote_write() {
        return PushError::new(StatusCode::NOT_FOUND, ENABLE).into_response();
    }
    let version = match negotiated(request.headers(), &parts.push.options.remote_write) {
        Ok(version) => version,
        Err(why) => return PushError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why).into_response(),
    };
    let (mut response, written) = match take(parts, version, request).await {
        Ok(written) => (answer(&written), written),
        Err(e) => (e.into_response(), Written::default()),
    };
    let is_read = response.status() == StatusCode::NO_CONTENT
        || response.status().is_server_error()
        || written.refused.is_some();
    // As in Prometheus: where the message could be read.
    if version == Version::Two && is_read {
        let headers = response.headers_mut();
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", written.samples),
            ("x-prometheus-remote-write-histograms-written", written.histograms),
            ("x-prometheus-remote-write-exemplars-written", written.exemplars),
        ] {
            headers.insert(name, HeaderValue::from(count));
        }
    }
    response
}

async fn take(parts: Arc<Parts>, version: Version, request: Request) -> Result<Written, PushError> {
    let body = read_body(&parts.push, request.into_body()).await?;
    store(parts, body, move |intake, body| intake.remote_write(version, body)).await
}

fn answer(written: &Written) -> Response {
    match &written.refused {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(refused) => (StatusCode::BAD_REQUEST, refused.clone()).into_response(),
    }
}

/// The message that the headers name, if it is one of those that are taken. Old senders name none.
fn negotiated(headers: &HeaderMap, accepted: &[Version]) -> Result<Version, String> {
    let text = |name| headers.get(name).map_or(Ok(""), HeaderValue::to_str).unwrap_or("?").trim();
    let version = version_of(text(CONTENT_TYPE))?;
    if !accepted.contains(&version) {
        let name = MESSAGES.iter().find(|(_, v)| *v == version).map_or("", |(name, _)| name);
        return Err(format!(
            "{name} protobuf message is not accepted by this server \
             (--web.remote-write-receiver.accepted-protobuf-messages)"
        ));
    }
    match text(CONTENT_ENCODING) {
        "" | "snappy" => Ok(version),
        other => Err(format!(
            "{other} encoding (compression) is not accepted by this server; only snappy is acceptable"
        )),
    }
}

fn version_of(content_type: &str) -> Result<Version, String> {
    if content_type.is_empty() {
        return Ok(Version::One);
    }
    let mut parts = content_type.split(';').map(str::trim);
    if parts.next() != Some(MEDIA_TYPE) {
        return Err(format!(
            "expected {MEDIA_TYPE} as the first (media) part, got {content_type} content-type"
        ));
    }
    for parameter in parts {
        let Some((name, value)) = parameter.split_once('=').filter(|(_, v)| !v.contains('=')) else {
            return Err(format!("expected parameters to be key-values, got {parameter} in {content_type}"));
        };
        if name == "proto" {
            let known = MESSAGES.iter().find(|(name, _)| *name == value);
            return known
                .map(|(_, v)| *v)
                .ok_or_else(|| format!("unknown remote write protobuf message {value}"));
        }
    }
    Ok(Version::One)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_name_the_message() {
        for (content_type, version) in [
            ("", Some(Version::One)),
            ("application/x-protobuf", Some(Version::One)),
            ("application/x-protobuf;proto=prometheus.WriteRequest", Some(Version::One)),
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", Some(Version::Two)),
            ("application/x-protobuf; proto=io.prometheus.write.v2.Request", Some(Version::Two)),
            ("application/x-protobuf;charset=x", Some(Version::One)),
            ("application/x-protobuf;proto=another", None),
            ("application/x-protobuf;proto", None),
            ("application/json", None),
            ("text/plain;proto=prometheus.WriteRequest", None),
        ] {
            assert_eq!(version_of(content_type).ok(), version, "{content_type}");
        }
    }
}
