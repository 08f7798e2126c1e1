//! Fetching a target's metrics, over HTTP or from a source in this process. Bounded in bytes per
//! target, in bytes of all targets together, and in time.

use crate::{
    gunzip::{Gunzip, Part, make_room},
    line::{BUFFER_BYTES, Head, Line, Taker},
    target::{Source, Target},
};
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use skopos_exposition::Format;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// The most bytes of one decoded body.
pub const BODY_SIZE_LIMIT_BYTES: usize = 64 << 20;
/// So much of every body costs no room: nearly all targets send less, and nothing that others do may keep
/// them from it.
const FREE_BYTES: usize = 64 << 10;
/// Longer bodies share the room of those of their size, so that some that send too much, or too slowly,
/// cannot take the room of all the others. Nobody waits for room: whoever waits holds what he has.
const TIERS: [Tier; 3] = [
    Tier { body_bytes: 512 << 10, all_bytes: 64 << 20 },
    Tier { body_bytes: 4 << 20, all_bytes: 64 << 20 },
    Tier { body_bytes: BODY_SIZE_LIMIT_BYTES, all_bytes: 3 * BODY_SIZE_LIMIT_BYTES },
];
/// In steps of so many bytes room is asked for.
const ROOM_STEP_BYTES: usize = 64 << 10;
/// Memory of bodies that is kept to be used again: so many, each of at most so many bytes.
const SPARES: usize = 16;
const SPARE_BYTES: usize = 1 << 20;
/// How many redirects are followed.
const REDIRECTS_MAX: usize = 10;
/// How long a connection may stay open unused.
const IDLE_CONNECTION: Duration = Duration::from_secs(300);

/// Bodies of about the same size.
struct Tier {
    /// The longest.
    body_bytes: usize,
    /// The most bytes of all of them that are held at once.
    all_bytes: usize,
}

/// How we call ourselves.
const USER_AGENT: &str = concat!("Skopos/", env!("CARGO_PKG_VERSION"));
/// How long a target has to answer.
const TIMEOUT_FIELD: &str = "X-Prometheus-Scrape-Timeout-Seconds";

/// How a target is reached, from one fetch to the next.
pub struct Route {
    /// None where the client for all else is needed.
    line: Option<Line>,
}

impl Route {
    /// To this target.
    pub fn to(target: &Target) -> Self {
        let Source::Http(url) = &target.source else { return Self { line: None } };
        let timeout = target.timeout.as_secs_f64().to_string();
        let fields = [
            ("User-Agent", USER_AGENT),
            ("Accept", Format::ACCEPT),
            ("Accept-Encoding", "gzip"),
            (TIMEOUT_FIELD, &timeout),
        ];
        Self { line: Line::to(url, &fields, target.interval.as_std() <= IDLE_CONNECTION) }
    }
}

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
    /// Other targets' bodies take all the room.
    #[error(
        "no room for more than {held} bytes of this body: the bodies of up to {tier} bytes that are being \
         fetched have {all} bytes together, and other targets take them"
    )]
    NoRoom {
        /// What this body held.
        held: usize,
        /// The longest body that shares the same room.
        tier: usize,
        /// The limit.
        all: usize,
    },
    /// The body's kind is not understood.
    #[error(
        "content type {0:?} is not understood: expose text/plain;version=0.0.4 or \
         application/openmetrics-text"
    )]
    ContentType(String),
    /// The target is not to be scraped.
    #[error("{0}")]
    Forced(Arc<str>),
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
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(2)
            // Targets are in reach by themselves; a proxy in the environment is meant for other programs.
            .no_proxy()
            .build()
            .map_err(|e| FetchError::Client(error_chain(&e)))?;
        Ok(Self { client, in_process: Arc::new(in_process), memory: Arc::default() })
    }

    /// Fetches the target's metrics within its timeout.
    pub async fn fetch(&self, target: &Target, route: &mut Route) -> Result<Body, FetchError> {
        let room = Room::of(&self.memory);
        let body = Body { bytes: self.memory.take(), format: Format::Text, room };
        let fetched = async {
            match &target.source {
                Source::Http(url) => self.over_http(url, target, route, body).await,
                Source::InProcess(name) => self.in_process(name, body).await,
            }
        };
        tokio::time::timeout(target.timeout.as_std(), fetched)
            .await
            .unwrap_or(Err(FetchError::Timeout(target.timeout)))
    }

    async fn over_http(
        &self,
        url: &str,
        target: &Target,
        route: &mut Route,
        body: Body,
    ) -> Result<Body, FetchError> {
        let mut intake = Intake { body, gunzip: None };
        if let Some(line) = &mut route.line {
            if line.get(|| Scratch::of(&self.memory), &mut intake).await? {
                return intake.finish();
            }
            // It is sent elsewhere, which may need TLS.
            route.line = None;
        }
        let mut response = self
            .client
            .get(url)
            .header(ACCEPT, Format::ACCEPT)
            .header(ACCEPT_ENCODING, "gzip")
            .header(TIMEOUT_FIELD, target.timeout.as_secs_f64().to_string())
            .send()
            .await
            .map_err(|e| FetchError::Connection(error_chain(&e)))?;
        let field = |name: HeaderName| value_of(response.headers(), &name);
        let (content_type, encoding) = (field(CONTENT_TYPE), field(CONTENT_ENCODING));
        intake.begin(&Head { status: response.status().as_u16(), content_type, encoding })?;
        while let Some(chunk) = response.chunk().await.map_err(|e| FetchError::Connection(error_chain(&e)))? {
            intake.part(Part::of_more(&chunk))?;
        }
        intake.finish()
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

fn value_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a [u8] {
    headers.get(name).map_or(&[], reqwest::header::HeaderValue::as_bytes)
}

/// A body that comes.
struct Intake {
    body: Body,
    gunzip: Option<Gunzip>,
}

impl Intake {
    fn begin(&mut self, head: &Head<'_>) -> Result<(), FetchError> {
        if head.status != reqwest::StatusCode::OK {
            let none = |_| FetchError::Connection(format!("{} is no status of HTTP", head.status));
            return Err(FetchError::Status(reqwest::StatusCode::from_u16(head.status).map_err(none)?));
        }
        self.body.format = format_of(&String::from_utf8_lossy(head.content_type))?;
        self.gunzip = is_gzip(head.encoding)?.then(Gunzip::new);
        Ok(())
    }

    fn finish(self) -> Result<Body, FetchError> {
        self.gunzip.map_or(Ok(()), Gunzip::finish)?;
        Ok(self.body)
    }
}

impl Taker for Intake {
    fn head(&mut self, head: &Head<'_>) -> Result<bool, FetchError> {
        if matches!(head.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(false);
        }
        self.begin(head).map(|()| true)
    }

    fn part(&mut self, part: Part<'_>) -> Result<(), FetchError> {
        let Body { bytes, room, .. } = &mut self.body;
        let mut allow = |len: usize| {
            if len > BODY_SIZE_LIMIT_BYTES {
                return Err(FetchError::TooLong { max: BODY_SIZE_LIMIT_BYTES });
            }
            room.hold(len)
        };
        if let Some(gunzip) = &mut self.gunzip {
            return gunzip.push(part, bytes, &mut allow);
        }
        allow(bytes.len() + part.bytes.len())?;
        make_room(bytes, part.bytes.len());
        bytes.extend_from_slice(part.bytes);
        Ok(())
    }
}

/// Memory that an answer is read into.
struct Scratch {
    memory: Arc<Memory>,
    bytes: Box<[u8]>,
}

impl Scratch {
    fn of(memory: &Arc<Memory>) -> Self {
        let spare = memory.scratches.lock().pop();
        let bytes = spare.unwrap_or_else(|| vec![0; BUFFER_BYTES].into());
        Self { memory: Arc::clone(memory), bytes }
    }
}

impl AsMut<[u8]> for Scratch {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut scratches = self.memory.scratches.lock();
        if scratches.len() < SPARES {
            scratches.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Whether the body is compressed, by the only method that is asked for.
fn is_gzip(encoding: &[u8]) -> Result<bool, FetchError> {
    match &encoding.trim_ascii().to_ascii_lowercase()[..] {
        b"gzip" | b"x-gzip" => Ok(true),
        b"" | b"identity" => Ok(false),
        _ => {
            let encoding = String::from_utf8_lossy(encoding);
            Err(FetchError::Compression(format!("{encoding:?} is not gzip")))
        }
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
    tiers: [Arc<Semaphore>; TIERS.len()],
    spares: Mutex<Vec<Vec<u8>>>,
    /// Memory that answers are read into; its contents mean nothing.
    scratches: Mutex<Vec<Box<[u8]>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            tiers: TIERS.map(|tier| Arc::new(Semaphore::new(tier.all_bytes / ROOM_STEP_BYTES))),
            spares: Mutex::default(),
            scratches: Mutex::default(),
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
    /// Of which tier, and as many steps as the body has.
    held: Option<(usize, OwnedSemaphorePermit)>,
}

impl Room {
    fn of(memory: &Arc<Memory>) -> Self {
        Self { memory: Arc::clone(memory), held: None }
    }

    /// Makes room for `bytes` in all, at once or not at all.
    fn hold(&mut self, bytes: usize) -> Result<(), FetchError> {
        if bytes <= FREE_BYTES {
            return Ok(());
        }
        let tier = TIERS.iter().position(|tier| bytes <= tier.body_bytes).unwrap_or(TIERS.len() - 1);
        let before = self.held.as_ref().filter(|(of, _)| *of == tier);
        let held_steps = before.map_or(0, |(_, permit)| permit.num_permits());
        let steps = bytes.div_ceil(ROOM_STEP_BYTES).saturating_sub(held_steps);
        if steps == 0 {
            return Ok(());
        }
        let steps = u32::try_from(steps).expect("invariant: a body within its limit has few steps");
        match Arc::clone(&self.memory.tiers[tier]).try_acquire_many_owned(steps) {
            Ok(more) => {
                match &mut self.held {
                    Some((of, permit)) if *of == tier => permit.merge(more),
                    // A body that outgrows its tier gives back what it held there.
                    held => *held = Some((tier, more)),
                }
                Ok(())
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                let held = self.held.as_ref().map_or(FREE_BYTES, |(_, p)| p.num_permits() * ROOM_STEP_BYTES);
                Err(FetchError::NoRoom { held, tier: TIERS[tier].body_bytes, all: TIERS[tier].all_bytes })
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies of so many bytes until there is no room for another one.
    fn fill(memory: &Arc<Memory>, bytes: usize) -> (Vec<Room>, FetchError) {
        let mut held = Vec::new();
        loop {
            let mut room = Room::of(memory);
            match room.hold(bytes) {
                Ok(()) => held.push(room),
                Err(error) => return (held, error),
            }
        }
    }

    #[test]
    fn bodies_that_stall_keep_no_room_from_those_of_other_sizes() {
        for (stalled, tier) in [(FREE_BYTES + 1, 0), (3_500_000, 1), (BODY_SIZE_LIMIT_BYTES, 2)] {
            let memory: Arc<Memory> = Arc::default();
            let (mut held, error) = fill(&memory, stalled);
            assert_eq!(held.len(), TIERS[tier].all_bytes / stalled.next_multiple_of(ROOM_STEP_BYTES));
            let limit = format!("have {} bytes together", TIERS[tier].all_bytes);
            assert!(error.to_string().contains(&limit), "{error}");
            let free: Vec<bool> =
                TIERS.iter().map(|t| Room::of(&memory).hold(t.body_bytes).is_ok()).collect();
            let others: Vec<bool> = (0..TIERS.len()).map(|t| t != tier).collect();
            assert_eq!(free, others, "bodies of {stalled} bytes hold up those of their size only");
            for bytes in [0, 7, FREE_BYTES] {
                assert!(Room::of(&memory).hold(bytes).is_ok(), "small bodies need no room");
            }
            held.pop();
            assert!(Room::of(&memory).hold(stalled).is_ok(), "room is given back");
        }
    }

    #[test]
    fn bodies_hold_what_they_need_as_they_grow() {
        let memory: Arc<Memory> = Arc::default();
        let mut room = Room::of(&memory);
        let held =
            |tier: usize| TIERS[tier].all_bytes / ROOM_STEP_BYTES - memory.tiers[tier].available_permits();
        for (bytes, steps) in [
            (FREE_BYTES, [0, 0, 0]),
            (FREE_BYTES + 1, [2, 0, 0]),
            (512 << 10, [8, 0, 0]),
            ((512 << 10) + 1, [0, 9, 0]),
            (4 << 20, [0, 64, 0]),
            ((4 << 20) + 1, [0, 0, 65]),
            (BODY_SIZE_LIMIT_BYTES, [0, 0, 1024]),
        ] {
            room.hold(bytes).unwrap();
            assert_eq!([held(0), held(1), held(2)], steps, "{bytes} bytes");
        }
        drop(room);
        assert_eq!([held(0), held(1), held(2)], [0, 0, 0]);
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
