//! What the server says of itself: health, readiness, build, configuration, metrics.

use crate::{
    json,
    parts::{App, Ready},
    reply::{self, ApiError, Success},
};
use axum::{
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use skopos_exposition::Format;

/// The process answers.
pub(crate) async fn healthy() -> &'static str {
    "Skopos is healthy.\n"
}

/// Stored data has been read; queries are answered.
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.is_ready() {
        (StatusCode::OK, "Skopos is ready.\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Skopos is starting: stored data is being read.\n")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildInfo {
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
    application: &'static str,
    application_version: &'static str,
}

/// The Prometheus whose API this is: clients decide by it what they may ask.
pub(crate) const API_VERSION: &str = "3.14.0";

/// Which program this is. Fields that only a Go program has are there, and empty.
const BUILD: BuildInfo = BuildInfo {
    version: API_VERSION,
    revision: match option_env!("SKOPOS_REVISION") {
        Some(revision) => revision,
        None => "",
    },
    branch: "",
    build_user: "",
    build_date: "",
    go_version: "",
    application: "Skopos",
    application_version: env!("CARGO_PKG_VERSION"),
};

/// Which program this is, in the API's form.
pub(crate) async fn build_info() -> Result<Success, ApiError> {
    Success::of(&BUILD)
}

/// The same without it, for who asks at `/version`.
pub(crate) async fn version() -> Response {
    reply::json(StatusCode::OK, json::to_vec(&BUILD))
}

#[derive(Serialize)]
struct Yaml {
    yaml: String,
}

/// The configuration in force, with every default written out.
pub(crate) async fn config(Ready(parts): Ready) -> Result<Success, ApiError> {
    Success::of(&Yaml { yaml: parts.config.get().to_yaml() })
}

/// This process's own metrics, in the format that the client prefers; some of them while storage is opened,
/// so that a start that takes long can be seen.
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let format = Format::negotiate(accept);
    match app.own_metrics(format).await {
        Ok(body) => ([(CONTENT_TYPE, format.content_type())], body).into_response(),
        Err(e) => e.into_text(),
    }
}
