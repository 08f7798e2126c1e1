//! Fetching a target's metrics, over HTTP or from a source in this process. Bounded in bytes per
//! target, in bytes of all targets together, and in time.

use crate::target::{Source, Target};
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use skopos_exposition::Format;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most bytes of one decoded body.
pub const BODY_SIZE_LIMIT_BYTES: usize = 64 << 20;
/// Bodies up to this length share the room of the small ones; longer ones wait for a place of their own, so
/// that a few targets that send too much cannot hold up all the others.
const SMALL_BODY_BYTES: usize = 4 << 20;
/// The most bytes of all small bodies that are held at once; a body that needs more waits.
const SMALL_BODIES_BYTES: usize = 128 << 20;
/// The most long bodies that are held at once, each of at most `BODY_SIZE_LIMIT_BYTES`.
const LONG_BODIES: usize = 3;
/// In steps of so many bytes room is asked for.
const ROOM_STEP_BYTES: usize = 64 << 10;
/// Memory of bodies that is kept to be used again: so many, each of at most so many bytes.
const SPARES: usize = 16;
const SPARE_BYTES: usize = 1 << 20;
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
    memory: Arc<Memory>,
}

/// A body with the room that it takes. Dropping it gives both back.
pub struct Body {
    /// What the target sent, decoded.
    pub bytes: Vec<u8>,
    /// How it is to be read.
    pub format: Format,
    room: Room,
}

impl Body {
    /// A body that is there already and takes no room.
    pub fn of(format: Format, bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), format, room: Room::of(&Arc::default()) }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.room.memory.keep(std::mem::take(&mut self.bytes));
    }
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
    /// The body is not what its head says of its compression.
    #[error("body cannot be decompressed: {0}")]
    Compression(String),
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
        "content type {0:?} is not understood: expose text/plain;version=0.0.4 or \
         application/openmetrics-text"
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
        Ok(Self { client, in_process: Arc::new(in_process), memory: Arc::default() })
    }

    /// Fetches the target's metrics within its timeout.
    pub async fn fetch(&self, target: &Target) -> Result<Body, FetchError> {
        let room = Room::of(&self.memory);
        let body = Body { bytes: self.memory.take(), format: Format::Text, room };
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
        while let Some(chunk) = response.chunk().await.map_err(|e| of_body(&e))? {
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

/// The memory of all bodies: what may be held at once, and what is kept for the next.
struct Memory {
    small: Arc<Semaphore>,
    long: Arc<Semaphore>,
    spares: Mutex<Vec<Vec<u8>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            small: Arc::new(Semaphore::new(SMALL_BODIES_BYTES / ROOM_STEP_BYTES)),
            long: Arc::new(Semaphore::new(LONG_BODIES)),
            spares: Mutex::default(),
        }
    }
}

impl Memory {
    /// An empty buffer.
    fn take(&self) -> Vec<u8> {
        self.spares.lock().pop().unwrap_or_default()
    }

    /// Keeps a buffer for a later body, unless there are enough or it is too large to lie about.
    fn keep(&self, mut buffer: Vec<u8>) {
        let mut spares = self.spares.lock();
        if buffer.capacity() > 0 && buffer.capacity() <= SPARE_BYTES && spares.len() < SPARES {
            buffer.clear();
            spares.push(buffer);
        }
    }
}

/// The share of the memory that one body holds. Given back when dropped.
struct Room {
    memory: Arc<Memory>,
    small: Option<OwnedSemaphorePermit>,
    long: Option<OwnedSemaphorePermit>,
}

impl Room {
    fn of(memory: &Arc<Memory>) -> Self {
        Self { memory: Arc::clone(memory), small: None, long: None }
    }

    /// Waits until there is room for `bytes` in all.
    async fn hold(&mut self, bytes: usize) {
        const OPEN: &str = "invariant: the semaphores are never closed";
        if self.long.is_some() {
            return;
        }
        if bytes > SMALL_BODY_BYTES {
            self.long = Some(Arc::clone(&self.memory.long).acquire_owned().await.expect(OPEN));
            self.small = None;
            return;
        }
        let held = self.small.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let steps = bytes.div_ceil(ROOM_STEP_BYTES).saturating_sub(held);
        if steps > 0 {
            let steps = u32::try_from(steps).expect("invariant: a small body has few steps");
            let more = Arc::clone(&self.memory.small).acquire_many_owned(steps).await.expect(OPEN);
            match &mut self.small {
                Some(small) => small.merge(more),
                None => self.small = Some(more),
            }
        }
    }
}

/// Why the rest of a body did not come.
fn of_body(error: &reqwest::Error) -> FetchError {
    let text = error_chain(error);
    if error.is_decode() { FetchError::Compression(text) } else { FetchError::Connection(text) }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether there is room for so many bytes at once.
    async fn has_room(memory: &Arc<Memory>, bytes: usize) -> Option<Room> {
        let mut room = Room::of(memory);
        // Polled once: a wait is a "no".
        tokio::time::timeout(Duration::ZERO, room.hold(bytes)).await.ok().map(|()| room)
    }

    #[tokio::test]
    async fn long_bodies_hold_up_long_bodies_only() {
        let memory = Arc::default();
        let mut held = Vec::new();
        while let Some(room) = has_room(&memory, BODY_SIZE_LIMIT_BYTES).await {
            held.push(room);
        }
        assert_eq!(held.len(), LONG_BODIES);
        assert!(has_room(&memory, SMALL_BODY_BYTES).await.is_some());
        held.pop();
        assert!(has_room(&memory, BODY_SIZE_LIMIT_BYTES).await.is_some(), "room is given back");
    }

    #[tokio::test]
    async fn small_bodies_hold_what_they_need_as_they_grow() {
        let memory: Arc<Memory> = Arc::default();
        let mut room = Room::of(&memory);
        for (bytes, steps) in [(1, 1), (ROOM_STEP_BYTES, 1), (ROOM_STEP_BYTES + 1, 2), (SMALL_BODY_BYTES, 64)]
        {
            room.hold(bytes).await;
            assert_eq!(SMALL_BODIES_BYTES / ROOM_STEP_BYTES - memory.small.available_permits(), steps);
        }
        room.hold(SMALL_BODY_BYTES + 1).await;
        assert_eq!(memory.small.available_permits(), SMALL_BODIES_BYTES / ROOM_STEP_BYTES);
        assert_eq!(memory.long.available_permits(), LONG_BODIES - 1);
    }

    #[test]
    fn only_some_memory_is_kept() {
        let memory: Arc<Memory> = Arc::default();
        memory.keep(vec![1; SPARE_BYTES + 1]);
        memory.keep(Vec::new());
        assert!(memory.spares.lock().is_empty());
        (0..2 * SPARES).for_each(|_| memory.keep(vec![1; 10]));
        assert_eq!(memory.spares.lock().len(), SPARES);
        assert_eq!(memory.take(), []);
    }
}
