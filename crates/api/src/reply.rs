//! The API's envelope: `{"status":"success","data":…}` or `{"status":"error",…}` with the status code
//! that clients of Prometheus expect.

use crate::json;
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use skopos_storage::QueryError;

/// How a successful answer begins; its data follow.
pub(crate) const BEGIN: &[u8] = br#"{"status":"success","data":"#;

/// A successful answer, already written as JSON but for its end. One that can be long goes through `writing`.
#[derive(Debug)]
pub(crate) struct Success(Vec<u8>);

impl Success {
    /// Any value that serialises.
    pub(crate) fn of<T: Serialize>(value: &T) -> Result<Self, ApiError> {
        let mut body = BEGIN.to_vec();
        json::to_writer(&mut body, value).map_err(|e| ApiError::internal(e.to_string()))?;
        Ok(Self(body))
    }
}

impl From<Vec<u8>> for Success {
    /// What follows `BEGIN`, which it begins with.
    fn from(body: Vec<u8>) -> Self {
        Self(body)
    }
}

impl IntoResponse for Success {
    fn into_response(self) -> Response {
        let mut body = self.0;
        end(&mut body, &[], &[]);
        json(StatusCode::OK, body)
    }
}

/// Writes what stands behind the data of a successful answer.
pub(crate) fn end(body: &mut Vec<u8>, warnings: &[String], infos: &[String]) {
    for (key, texts) in [("warnings", warnings), ("infos", infos)] {
        if !texts.is_empty() {
            body.extend_from_slice(format!(",\"{key}\":").as_bytes());
            json::to_writer(body, texts).expect("invariant: texts serialise");
        }
    }
    body.push(b'}');
}

/// What kind of failure it was; clients decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorType {
    BadData,
    Execution,
    Timeout,
    Canceled,
    Internal,
    Unavailable,
    NotFound,
    MethodNotAllowed,
}

impl ErrorType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            // Not a registered code; nginx introduced it for a client that has gone.
            Self::Canceled => StatusCode::from_u16(499).expect("invariant: 499 is a status code"),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

/// A failure as the client sees it.
#[derive(Debug)]
pub(crate) struct ApiError {
    error_type: ErrorType,
    message: String,
    /// What cut the request off, as `skopos_promql::queries` calls it.
    cut_off_by: Option<&'static str>,
}

impl ApiError {
    pub(crate) fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { error_type, message: message.into(), cut_off_by: None }
    }

    /// The same of a request that was cut off by the limit or whatever else is called `by`.
    pub(crate) fn by(self, by: &'static str) -> Self {
        Self { cut_off_by: Some(by), ..self }
    }

    /// The same of a request that reached the limit of that name, if it is one.
    pub(crate) fn by_limit(self, limit: Option<&'static str>) -> Self {
        Self { cut_off_by: limit, ..self }
    }

    /// What cut the request off, if that is what happened to it.
    pub(crate) fn cut_off_by(&self) -> Option<&'static str> {
        self.cut_off_by
    }

    /// A parameter that is missing or wrong.
    pub(crate) fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(ErrorType::BadData, format!("invalid parameter {name:?}: {reason}"))
    }

    /// The same as text, for what is no part of the JSON API.
    pub(crate) fn into_text(self) -> Response {
        (self.error_type.status(), format!("{}\n", self.message)).into_response()
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorType::Internal, message)
    }
}

impl From<QueryError> for ApiError {
    fn from(e: QueryError) -> Self {
        let (error_type, cut_off_by) = match e {
            QueryError::Invalid(_) => (ErrorType::BadData, None),
            QueryError::Limit { limit, .. } => (ErrorType::Execution, Some(limit)),
            QueryError::Timeout(_) => (ErrorType::Timeout, Some("query.timeout")),
            QueryError::Cancelled => (ErrorType::Canceled, Some("client")),
            QueryError::Corrupt { .. } | QueryError::Io { .. } => (ErrorType::Internal, None),
        };
        Self { error_type, message: e.to_string(), cut_off_by }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Envelope<'a> {
            status: &'a str,
            #[serde(rename = "errorType")]
            error_type: &'a str,
            error: &'a str,
        }
        let envelope =
            Envelope { status: "error", error_type: self.error_type.as_str(), error: &self.message };
        json(self.error_type.status(), json::to_vec(&envelope))
    }
}

/// JSON as an answer.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
