//! Metrics of OpenTelemetry over gRPC: `MetricsService/Export`, one request and one answer, on a listener of
//! its own (`--otlp.grpc-listen-address`). What is in a message is read, stored and answered as over HTTP.

use super::{PushError, otlp::Answer, read_body, store};
use crate::parts::{App, Parts};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, HeaderName},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use skopos_intake::{Compression, OtlpForm, Written};
use std::{fmt::Write as _, sync::Arc};

/// The one method.
const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const GRPC: &str = "application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,deflate,gzip,zstd");
/// Whether a message is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// What a call comes to, by its number in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Ok = 0,
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

/// A call that failed.
#[derive(Debug, PartialEq, Eq)]
struct Failed {
    code: Code,
    message: String,
}

impl Failed {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<PushError> for Failed {
    /// Senders come again after `Unavailable` alone.
    fn from(e: PushError) -> Self {
        let code = match e.status {
            StatusCode::PAYLOAD_TOO_LARGE => Code::ResourceExhausted,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            status if status.is_client_error() => Code::InvalidArgument,
            _ => Code::Internal,
        };
        Self::new(code, e.message)
    }
}

/// The routes of the listener of gRPC.
pub(crate) fn routes(app: App) -> Router {
    Router::new().route(EXPORT, post(export)).fallback(unknown).with_state(app)
}

async fn unknown() -> Response {
    answer(Err(Failed::new(Code::Unimplemented, format!("{EXPORT} alone is here"))))
}

async fn export(State(app): State<App>, request: Request) -> Response {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind != GRPC && !kind.starts_with("application/grpc+proto") {
        let reason = format!("unsupported content type {kind:?}: send {GRPC}\n");
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, reason).into_response();
    }
    let Some(parts) = app.parts() else {
        return answer(Err(Failed::new(Code::Unavailable, "the server is starting")));
    };
    answer(take(parts, request).await)
}

async fn take(parts: Arc<Parts>, request: Request) -> Result<Answer, Failed> {
    let named = request.headers().get(ENCODING).map_or(Ok(""), HeaderValue::to_str).unwrap_or("?");
    let unknown = || Failed::new(Code::Unimplemented, format!("{named} is no encoding that is read here"));
    let encoding = Compression::named(named).ok_or_else(unknown)?;
    let body = read_body(&parts.push, request.into_body()).await?;
    let is_compressed = message(&body.bytes)?.0;
    let compression = if is_compressed { encoding } else { Compression::None };
    let config = parts.config.get().otlp.clone();
    let written = store(parts, body, move |intake, body| {
        intake.otlp((OtlpForm::Protobuf, &config), (&body[PREFIX_BYTES..], compression))
    });
    let Written { refused, samples, histograms, refused_count, .. } = written.await?;
    match refused {
        Some(reason) if samples + histograms == 0 => Err(Failed::new(Code::InvalidArgument, reason)),
        reason => Ok(Answer::of(reason, refused_count)),
    }
}

/// Whether the one message of a body is compressed, and the message. What it says of its length has to be so.
fn message(body: &[u8]) -> Result<(bool, &[u8]), Failed> {
    let wrong = |reason: &str| Failed::new(Code::InvalidArgument, reason);
    let (prefix, message) =
        body.split_first_chunk::<PREFIX_BYTES>().ok_or_else(|| wrong("the body has no message"))?;
    let [is_compressed, length @ ..] = *prefix;
    if usize::try_from(u32::from_be_bytes(length)).ok() != Some(message.len()) {
        return Err(wrong("the body is not one message of the length that it says"));
    }
    match is_compressed {
        0 => Ok((false, message)),
        1 => Ok((true, message)),
        _ => Err(wrong("the message is compressed in an unknown way")),
    }
}

/// A call's answer: the message with the status behind it, or the status alone.
fn answer(result: Result<Answer, Failed>) -> Response {
    let mut status = HeaderMap::new();
    let body = match result {
        Ok(answer) => {
            status.insert(STATUS, HeaderValue::from(Code::Ok as u16));
            let message = answer.encode_to_vec();
            let mut framed = vec![0];
            framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
            framed.extend_from_slice(&message);
            let trailers = std::mem::take(&mut status);
            Body::new(Full::new(Bytes::from(framed)).with_trailers(async move { Some(Ok(trailers)) }))
        }
        Err(Failed { code, message }) => {
            if code == Code::Internal {
                tracing::warn!(reason = message, "a push was not taken");
            }
            status.insert(STATUS, HeaderValue::from(code as u16));
            if let Ok(message) = HeaderValue::from_str(&escaped(&message)) {
                status.insert(MESSAGE, message);
            }
            Body::empty()
        }
    };
    status.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    status.insert(ACCEPTED, ENCODINGS);
    (status, body).into_response()
}

/// A text as the protocol has it in a header: what is not printable is written by its bytes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("invariant: a String takes all text"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_message_of_the_length_that_it_says() {
        assert_eq!(message(&[0, 0, 0, 0, 0]), Ok((false, &[][..])));
        assert_eq!(message(&[1, 0, 0, 0, 2, 7, 8]), Ok((true, &[7, 8][..])));
        for bad in [&[][..], &[0, 0, 0, 0], &[0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 1], &[2, 0, 0, 0, 0]] {
            assert_eq!(message(bad).unwrap_err().code, Code::InvalidArgument, "{bad:?}");
        }
        assert!(message(&[0, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
    }

    #[test]
    fn texts_are_escaped_for_a_header() {
        assert_eq!(escaped("100 % ü\n"), "100 %25 %C3%BC%0A");
    }
}
