//! Fetching a target's metrics, over HTTP or from a source in this process. Bounded in bytes per
//! target, in bytes of all targets together, and in time.

use crate::target::{Source, Target};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use skopos_exposition::Format;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most bytes of one decoded body.
pub const BODY_SIZE_LIMIT_BYTES: usize = 64 << 20;
/// The most bytes of all bodies that are held at once; a body that needs more waits.
pub const BODIES_IN_FLIGHT_BYTES: usize = 256 << 20;
/// In steps of so many bytes room is asked for.
const ROOM_STEP_BYTES: usize = 1 << 20;
/// How many redirects are followed.
const REDIRECTS_MAX: usize = 10;
/// How long a connection may stay open unused.
const IDLE_CONNECTION: Duration = Duration::from_secs(300);

/// A source of metrics in this process: writes the text format.
pub type InProcessSource = Arc<dyn Fn(&mut Vec<u8>) + Send + Sync>;

/// Fetches bodies. Cloning shares connections and limits.
#[derive(Clone)]
pub struct Fetcher {
    client: reqwest::Client,
    in_process: Arc<HashMap<&'static str, InProcessSource>>,
    room: Arc<Semaphore>,
}

/// A body with the room that it takes.
pub struct Body {
    /// What the target sent, decoded.
    pub bytes: Vec<u8>,
    /// How it is to be read.
    pub format: Format,
    room: Room,
}

/// Why there is no body. The text is what the target's page shows.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It took too long.
    #[error("no complete answer within {0} (scrape_timeout)")]
    Timeout(skopos_model::DurationMs),
    /// The connection failed, or what came is no HTTP.
    #[error("{0}")]
    Connection(String),
    /// It answered with a status other than 200.
    #[error("server returned HTTP status {0}")]
    Status(reqwest::StatusCode),
    /// The body is too long.
    #[error("body is longer than {max} bytes (body size limit), the rest was not read")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// The body's kind is not understood.
    #[error(
        "content type {0:?} is not understood: expose text/plain;version=0.0.4 or application/openmetrics-text"
    )]
    ContentType(String),
    /// Nobody in this process gives such metrics.
    #[error("there is no source {0:?} in this process")]
    NoSource(&'static str),
    /// The HTTP client could not be made.
    #[error("HTTP client: {0}")]
    Client(String),
}

impl Fetcher {
    /// A fetcher that knows these sources in this process.
    pub fn new(in_process: HashMap<&'static str, InProcessSource>) -> Result<Self, FetchError> {
        // The provider is one for the whole process; whoever comes second finds it there.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("Skopos/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(2)
            .build()
            .map_err(|e| FetchError::Client(error_chain(&e)))?;
        let room = Arc::new(Semaphore::new(BODIES_IN_FLIGHT_BYTES / ROOM_STEP_BYTES));
        Ok(Self { client, in_process: Arc::new(in_process), room })
    }

    /// Fetches the target's metrics within its timeout. `buffer` is emptied and used for the body.
    pub async fn fetch(&self, target: &Target, buffer: Vec<u8>) -> Result<Body, FetchError> {
        let mut body = Body { bytes: buffer, format: Format::Text, room: Room::none(&self.room) };
        body.bytes.clear();
        let fetched = async {
            match &target.source {
                Source::Http(url) => self.over_http(url, target, body).await,
                Source::InProcess(name) => self.in_process(name, body).await,
            }
        };
        tokio::time::timeout(target.timeout.as_std(), fetched)
            .await
            .unwrap_or(Err(FetchError::Timeout(target.timeout)))
    }

    async fn over_http(&self, url: &str, target: &Target, mut body: Body) -> Result<Body, FetchError> {
        let mut response = self
            .client
            .get(url)
            .header(ACCEPT, Format::ACCEPT)
            .header("X-Prometheus-Scrape-Timeout-Seconds", target.timeout.as_secs_f64().to_string())
            .send()
            .await
            .map_err(|e| FetchError::Connection(error_chain(&e)))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let content_type =
            response.headers().get(CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()));
        let content_type = content_type.as_deref().unwrap_or("");
        body.format = format_of(content_type)?;
        while let Some(chunk) = response.chunk().await.map_err(|e| FetchError::Connection(error_chain(&e)))? {
            if body.bytes.len() + chunk.len() > BODY_SIZE_LIMIT_BYTES {
                return Err(FetchError::TooLong { max: BODY_SIZE_LIMIT_BYTES });
            }
            body.room.hold(body.bytes.len() + chunk.len()).await;
            body.bytes.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn in_process(&self, name: &'static str, mut body: Body) -> Result<Body, FetchError> {
        let source = Arc::clone(self.in_process.get(name).ok_or(FetchError::NoSource(name))?);
        let gathered = tokio::task::spawn_blocking(move || {
            source(&mut body.bytes);
            body
        });
        gathered.await.map_err(|e| FetchError::Connection(format!("the source {name:?} failed: {e}")))
    }
}

/// The format that a target declares; one that declares nothing speaks the classic one.
fn format_of(content_type: &str) -> Result<Format, FetchError> {
    if content_type.is_empty() {
        return Ok(Format::Text);
    }
    Format::from_content_type(content_type).ok_or_else(|| FetchError::ContentType(content_type.to_owned()))
}

/// The share of `BODIES_IN_FLIGHT_BYTES` that one body holds. Given back when dropped.
struct Room {
    all: Arc<Semaphore>,
    held: Vec<OwnedSemaphorePermit>,
}

impl Room {
    fn none(all: &Arc<Semaphore>) -> Self {
        Self { all: Arc::clone(all), held: Vec::new() }
    }

    /// Waits until there is room for `bytes` in all.
    async fn hold(&mut self, bytes: usize) {
        while self.held.len() * ROOM_STEP_BYTES < bytes {
            let permit = Arc::clone(&self.all).acquire_owned().await;
            self.held.push(permit.expect("invariant: the semaphore is never closed"));
        }
    }
}

/// An error with all its causes in one line; the outermost alone rarely says what happened.
fn error_chain(error: &reqwest::Error) -> String {
    let mut out = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    if cause.is_none() {
        out = error.to_string();
    }
    while let Some(e) = cause {
        let text = e.to_string();
        if !out.contains(&text) {
            if !out.is_empty() {
                out.push_str(": ");
            }
            out.push_str(&text);
        }
        cause = e.source();
    }
    out
}
