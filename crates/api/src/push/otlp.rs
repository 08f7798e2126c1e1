//! `/api/v1/otlp/v1/metrics`: metrics of OpenTelemetry over HTTP. Only with `--web.enable-otlp-receiver`.
//! What of a request is refused is told as the protocol has it, as a partial success.

use super::{PushError, read_body, store, text::compression};
use crate::parts::{Parts, Ready};
use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use prost::Message;
use skopos_intake::{OtlpForm, Written};
use std::sync::Arc;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const ENABLE: &str = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";

/// The answer.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Answer {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

impl Answer {
    /// Where so many points were refused for a reason.
    pub(super) fn of(reason: Option<String>, refused: u64) -> Self {
        let rejected = i64::try_from(refused).unwrap_or(i64::MAX);
        Self { partial_success: reason.map(|reason| PartialSuccess { rejected, reason }) }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    reason: String,
}

/// Takes a request.
pub(crate) async fn metrics(Ready(parts): Ready, request: Request) -> Response {
    if !parts.push.options.otlp {
        return PushError::new(StatusCode::NOT_FOUND, ENABLE).into_response();
    }
    let named = request.headers().get(CONTENT_TYPE).map_or(Ok(""), HeaderValue::to_str).unwrap_or("?");
    let form = match named.split(';').next().unwrap_or_default().trim() {
        PROTOBUF => OtlpForm::Protobuf,
        JSON => OtlpForm::Json,
        other => {
            let reason = format!("unsupported content type {other:?}: send {PROTOBUF} or {JSON}");
            return PushError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason).into_response();
        }
    };
    match take(parts, form, request).await {
        Ok(written) => answer(form, written),
        Err(e) => e.into_response(),
    }
}

async fn take(parts: Arc<Parts>, form: OtlpForm, request: Request) -> Result<Written, PushError> {
    let compression = compression(&request)?;
    let body = read_body(&parts.push, request.into_body()).await?;
    let config = parts.config.get().otlp.clone();
    store(parts, body, move |intake, body| intake.otlp((form, &config), (body, compression))).await
}

fn answer(form: OtlpForm, written: Written) -> Response {
    let answer = match written.refused {
        Some(refused) if written.samples + written.histograms == 0 => {
            return PushError::new(StatusCode::BAD_REQUEST, refused).into_response();
        }
        reason => Answer::of(reason, written.refused_count),
    };
    match form {
        OtlpForm::Protobuf => {
            let body = answer.encode_to_vec();
            ([(CONTENT_TYPE, PROTOBUF)], body).into_response()
        }
        OtlpForm::Json => {
            let body = answer.partial_success.map_or_else(
                || serde_json::json!({}),
                |p| {
                    let rejected = p.rejected.to_string();
                    let partial =
                        serde_json::json!({"rejectedDataPoints": rejected, "errorMessage": p.reason});
                    serde_json::json!({"partialSuccess": partial})
                },
            );
            ([(CONTENT_TYPE, JSON)], body.to_string()).into_response()
        }
    }
}
