//! What is pushed over HTTP: bodies are read here, bounded in bytes, in time and in what all of them hold,
//! and handed to `skopos_intake`. Errors are text, as in the programs whose senders come here.
//!
//! - `remote_write`: `/api/v1/write`. `text`: Influx and imports. `pushgateway`: `/metrics/job/…`.
//! - `otlp`: `/api/v1/otlp/v1/metrics`; `grpc`: the same over gRPC. `export`: what imports read.
//! - `metrics`: what pushes say of themselves.

pub(crate) mod export;
pub(crate) mod grpc;
mod metrics;
pub(crate) mod otlp;
pub(crate) mod pushgateway;
pub(crate) mod remote_write;
pub(crate) mod text;

use crate::{blocking::Slots, own_metrics::MetricsSource, parts::Parts};
use axum::{
    body::{Body, Bytes, HttpBody},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use skopos_intake::{
    Compression, ExtraLabels, Held, Intake, IntakeError, Pushgateway, Stream, TextFormat, Version, Written,
    limits,
};
use skopos_storage::CommitError;
use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How the flags are called.
const CONCURRENCY: &str = "push.max-concurrency";
const BODY_TIMEOUT: &str = "push.body-timeout";
/// So much of a body of lines is gathered before it is stored.
const PART_BYTES: usize = 1 << 20;

/// What is taken, and how.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// The messages of remote write that are taken; none where it is not enabled.
    pub remote_write: Vec<Version>,
    /// Whether OTLP is enabled.
    pub otlp: bool,
    /// Further ways that are enabled.
    pub ways: Vec<Way>,
    /// The groups of the Pushgateway, where it is enabled.
    pub gateway: Option<Arc<Pushgateway>>,
    /// How long a body may take to come, as a whole.
    pub body_timeout: Duration,
    /// Requests whose samples are stored at the same time; more wait.
    pub concurrency: usize,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            remote_write: Vec::new(),
            otlp: false,
            ways: Vec::new(),
            gateway: None,
            body_timeout: Duration::from_secs(30),
            concurrency: 32,
        }
    }
}

/// A way to push that is enabled by `--push.enable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Lines of Influx.
    Influx,
    /// JSON lines, CSV and the text format.
    Import,
    /// The Pushgateway.
    Pushgateway,
}

impl Way {
    /// As the flag has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Influx => "influx",
            Self::Import => "import",
            Self::Pushgateway => "pushgateway",
        }
    }

    fn not_enabled(self) -> PushError {
        let text = format!("this is not enabled: start with --push.enable={}", self.as_str());
        PushError::new(StatusCode::NOT_FOUND, text)
    }
}

/// What the handlers of pushes work with.
pub struct Push {
    intake: Arc<Intake>,
    options: PushOptions,
    slots: Slots,
}

impl Push {
    /// Hands what is pushed to `intake`.
    pub fn new(intake: Arc<Intake>, options: PushOptions) -> Self {
        let slots = Slots::new(options.concurrency, CONCURRENCY);
        Self { intake, options, slots }
    }

    /// Whether remote write is enabled.
    pub(crate) fn takes_remote_write(&self) -> bool {
        !self.options.remote_write.is_empty()
    }

    /// Whether OTLP is enabled.
    pub(crate) fn takes_otlp(&self) -> bool {
        self.options.otlp
    }

    fn takes(&self, way: Way) -> bool {
        self.options.ways.contains(&way)
    }

    /// Where what is pushed goes.
    pub fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    /// What pushes say of themselves.
    pub fn metrics(&self) -> MetricsSource {
        metrics::source(Arc::clone(&self.intake))
    }
}

/// Why a push was not taken.
#[derive(Debug)]
pub(crate) struct PushError {
    status: StatusCode,
    message: String,
}

impl PushError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

impl From<IntakeError> for PushError {
    fn from(e: IntakeError) -> Self {
        Self::new(status(&e), e.to_string())
    }
}

fn status(e: &IntakeError) -> StatusCode {
    match e {
        IntakeError::Invalid(_) => StatusCode::BAD_REQUEST,
        IntakeError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        IntakeError::Busy { .. } | IntakeError::Storage(CommitError::Retry { .. }) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        IntakeError::Storage(CommitError::Halt { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
        IntakeError::Partly { why, .. } => status(why),
    }
}

impl IntoResponse for PushError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(status = self.status.as_u16(), reason = self.message, "a push was not taken");
        }
        (self.status, format!("{}\n", self.message)).into_response()
    }
}

/// A body with what it holds of the memory of all.
pub(crate) struct Pushed {
    pub(crate) bytes: Vec<u8>,
    _held: Held,
}

/// Reads a body, charging what has come.
pub(crate) async fn read_body(push: &Push, body: Body) -> Result<Pushed, PushError> {
    let within = push.options.body_timeout;
    timeout(within, read_all(push, body)).await.unwrap_or_else(|_elapsed| {
        Err(PushError::unavailable(format!("the body did not come within {within:?} (--{BODY_TIMEOUT})")))
    })
}

async fn read_all(push: &Push, mut body: Body) -> Result<Pushed, PushError> {
    let max = push.intake.limits().request_bytes;
    let too_long = || IntakeError::TooLong { what: "body", limit: limits::REQUEST_BYTES, max };
    if body.size_hint().lower() > max as u64 {
        return Err(too_long().into());
    }
    let (mut held, mut bytes, mut charged) = (push.intake.memory().begin(), Vec::new(), 0);
    while let Some(part) = next_frame(&mut body).await? {
        if bytes.len() + part.len() > max {
            return Err(too_long().into());
        }
        bytes.extend_from_slice(&part);
        if bytes.capacity() > charged {
            held.take(bytes.capacity() - charged)?;
            charged = bytes.capacity();
        }
    }
    Ok(Pushed { bytes, _held: held })
}

/// Takes a body of lines of any length as it comes.
pub(crate) async fn take_lines(
    parts: Arc<Parts>,
    mut body: Body,
    (format, compression): (TextFormat, Compression),
    extra: ExtraLabels,
) -> Result<Written, PushError> {
    let push = &parts.push;
    let mut held = push.intake.memory().begin();
    held.take(PART_BYTES)?;
    let mut stream = Box::new(Stream::begin(&push.intake, (format, compression), extra)?);
    let within = push.options.body_timeout;
    loop {
        let late = |_elapsed| {
            let rate = format!("no more than {} KiB of the body came", PART_BYTES >> 10);
            PushError::unavailable(format!("{rate} within {within:?} (--{BODY_TIMEOUT})"))
        };
        let part = timeout(within, next_part(&mut body)).await.map_err(late)??;
        let taken = store_with(Arc::clone(&parts), move || {
            stream.push(&part.bytes)?;
            Ok(if part.is_last { Taken::All(stream.end()?) } else { Taken::Part(stream) })
        });
        match taken.await? {
            Taken::All(written) => return Ok(written),
            Taken::Part(more) => stream = more,
        }
    }
}

/// A part of a body.
struct Part {
    bytes: Vec<u8>,
    is_last: bool,
}

/// How far a body of lines was taken.
enum Taken {
    Part(Box<Stream>),
    All(Written),
}

async fn next_part(body: &mut Body) -> Result<Part, PushError> {
    let mut bytes = Vec::new();
    while bytes.len() < PART_BYTES {
        match next_frame(body).await? {
            Some(frame) => bytes.extend_from_slice(&frame),
            None => return Ok(Part { bytes, is_last: true }),
        }
    }
    Ok(Part { bytes, is_last: false })
}

/// What of a body came next; none at its end.
async fn next_frame(body: &mut Body) -> Result<Option<Bytes>, PushError> {
    loop {
        let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await else {
            return Ok(None);
        };
        let frame = frame.map_err(|e| {
            PushError::new(StatusCode::BAD_REQUEST, format!("the body did not come to its end: {e}"))
        })?;
        if let Ok(part) = frame.into_data() {
            return Ok(Some(part));
        }
    }
}

/// Has a body stored on a thread, once there is a slot for it.
pub(crate) async fn store(
    parts: Arc<Parts>,
    body: Pushed,
    work: impl FnOnce(&Intake, &[u8]) -> Result<Written, IntakeError> + Send + 'static,
) -> Result<Written, PushError> {
    let intake = Arc::clone(&parts.push.intake);
    store_with(parts, move || work(&intake, &body.bytes)).await
}

/// Does work on a thread, once there is a slot for it.
async fn store_with<T: Send + 'static>(
    parts: Arc<Parts>,
    work: impl FnOnce() -> Result<T, IntakeError> + Send + 'static,
) -> Result<T, PushError> {
    let push = &parts.push;
    let slot = push.slots.take_within(push.options.body_timeout).await;
    let slot = slot.map_err(|e| PushError::unavailable(e.message()))?;
    let done = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        work()
    });
    let failed = |e| PushError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("a thread failed: {e}"));
    Ok(done.await.map_err(failed)??)
}
