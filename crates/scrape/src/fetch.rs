//! Fetching a target's metrics, over HTTP or from a source in this process. Bounded in bytes per
//! target, in bytes of all targets together, and in time.

use crate::{
    body::{Body, ContentTypeError, Exposition},
    clients::Clients,
    gunzip::{Gunzip, Part, make_room},
    ingest::{Ingest, StreamError},
    line::{Head, Line, Taker},
    room::{HELD_BODY_MAX_BYTES, Memory, Room, STREAM_FROM_BYTES, Scratch},
    target::{Access, Source, Target},
};
use reqwest::{
    Method, Url,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName},
};
use skopos_base::fs::SharedFs;
use skopos_client::{HttpClient, HttpConfig, answer::causes};
use skopos_exposition::Format;
use skopos_model::TimestampMs;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long a connection may stay open unused.
pub(crate) const IDLE_CONNECTION: Duration = Duration::from_secs(300);

/// A body that is not held is read whenever so much more of it has come.
const WINDOW_BYTES: usize = 64 << 10;

/// How we call ourselves.
const USER_AGENT: &str = concat!("Skopos/", env!("CARGO_PKG_VERSION"));
/// How long a target has to answer.
const TIMEOUT_FIELD: &str = "X-Prometheus-Scrape-Timeout-Seconds";

/// How a target is reached, from one fetch to the next.
pub struct Route {
    /// None where the client for all else is needed.
    line: Option<Line>,
    /// The client for all else.
    client: Result<HttpClient, FetchError>,
}

impl Route {
    fn new(target: &Target, client: Result<HttpClient, FetchError>) -> Self {
        let line = client.as_ref().ok().and_then(|client| Self::line(target, client));
        Self { line, client }
    }

    /// A line, where nothing of a request changes from one to the next.
    fn line(target: &Target, client: &HttpClient) -> Option<Line> {
        let Source::Http(url) = &target.source else { return None };
        let (own, timeout) = (client.fixed_headers()?, target.timeout.as_secs_f64().to_string());
        let fields = [
            ("User-Agent", USER_AGENT),
            ("Accept", &target.access.accept),
            ("Accept-Encoding", target.access.encoding()),
            (TIMEOUT_FIELD, &timeout),
        ];
        let own = own.iter().map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let fields = fields.into_iter().map(Some).chain(own).collect::<Option<Vec<_>>>()?;
        let keep = target.interval.as_std() <= IDLE_CONNECTION;
        Line::to(url, &fields, keep).map(|line| line.denying(&target.access.denied))
    }
}

/// A source of metrics in this process: writes the text format.
pub type InProcessSource = Arc<dyn Fn(&mut Vec<u8>) + Send + Sync>;

/// Fetches bodies. Cloning shares connections and limits.
#[derive(Clone)]
pub struct Fetcher {
    clients: Arc<Clients>,
    in_process: Arc<HashMap<&'static str, InProcessSource>>,
    memory: Arc<Memory>,
}

/// Why there is no body. The text is what the target's page shows.
#[derive(Clone, Debug, thiserror::Error)]
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
    #[error("body is longer than {max} bytes (body_size_limit), the rest was not read")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// The body has an error, and what was to come behind it was not read.
    #[error(transparent)]
    Body(#[from] StreamError),
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
    #[error("{0}")]
    ContentType(#[from] ContentTypeError),
    /// The target is not to be scraped.
    #[error("{0}")]
    Forced(Arc<str>),
    /// The scrape ended in a defect of this program.
    #[error("internal error, see the log and report it: {0}")]
    Panicked(String),
    /// Nobody in this process gives such metrics.
    #[error("there is no source {0:?} in this process")]
    NoSource(&'static str),
    /// A request could not be made: a file of a secret cannot be read now, or there is no token.
    #[error("{0}")]
    Client(#[from] skopos_client::ClientError),
}

impl Fetcher {
    /// A fetcher that knows these sources in this process. Files of certificates and secrets are in `fs`.
    pub fn new(in_process: HashMap<&'static str, InProcessSource>, fs: &SharedFs) -> Self {
        let clients = Arc::new(Clients::new(fs));
        Self { clients, in_process: Arc::new(in_process), memory: Arc::default() }
    }

    /// Makes the clients of these configurations, unless there are some already.
    ///
    /// # Errors
    /// For the first of which a certificate, a key or a header is none, or a file cannot be read: its place,
    /// and why.
    pub fn prepare(&self, wanted: &[&HttpConfig]) -> Result<(), (usize, skopos_client::ClientError)> {
        self.clients.prepare(wanted)
    }

    /// Forgets the clients of all configurations but these.
    pub fn keep(&self, wanted: &[&HttpConfig]) {
        self.clients.keep(wanted);
    }

    /// How the target is reached.
    pub fn route(&self, target: &Target) -> Route {
        let access = &target.access;
        Route::new(target, self.clients.get(&access.http, &access.denied).map_err(FetchError::Client))
    }

    /// Fetches the target's metrics within its timeout. A body that is too long to be held is read by
    /// `ingest` while it comes, in the scrape at `at`; what is given is then the rest of it.
    pub async fn fetch(
        &self,
        target: &Target,
        route: &mut Route,
        (ingest, at): (&mut Ingest, TimestampMs),
    ) -> Result<Body, FetchError> {
        let room = Room::of(&self.memory);
        let exposition = Exposition::Lines(Format::Text);
        let body = Body { bytes: self.memory.take(), exposition, room };
        let fetched = async {
            match &target.source {
                Source::Http(url) => self.over_http(url, target, route, Reader::of(body, ingest, at)).await,
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
        reader: Reader<'_>,
    ) -> Result<Body, FetchError> {
        let Access { body_bytes_max: max, fallback, .. } = *target.access;
        let mut intake = Intake { reader, unknown: None, gunzip: None, max, fallback };
        if let Some(line) = &mut route.line {
            if line.get(|| Scratch::of(&self.memory), &mut intake).await? {
                return intake.finish();
            }
            // It is sent elsewhere, which may need TLS.
            route.line = None;
        }
        let client = route.client.as_ref().map_err(Clone::clone)?;
        let url = Url::parse(url).map_err(|e| FetchError::Connection(format!("{url:?}: {e}")))?;
        let origin = || url.origin().ascii_serialization();
        let mut response = client
            .request(Method::GET, &url)
            .await?
            .header(ACCEPT, &target.access.accept)
            .header(ACCEPT_ENCODING, target.access.encoding())
            .header(TIMEOUT_FIELD, target.timeout.as_secs_f64().to_string())
            .send()
            .await
            .map_err(|e| FetchError::Connection(format!("{} cannot be asked: {}", origin(), causes(&e))))?;
        let field = |name: HeaderName| value_of(response.headers(), &name);
        let (content_type, encoding) = (field(CONTENT_TYPE), field(CONTENT_ENCODING));
        intake.begin(&Head { status: response.status().as_u16(), content_type, encoding })?;
        while let Some(chunk) = response.chunk().await.map_err(|e| FetchError::Connection(causes(&e)))? {
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

/// What becomes of a body while it comes.
struct Reader<'i> {
    /// What has come and was not read.
    body: Body,
    ingest: &'i mut Ingest,
    at: TimestampMs,
    /// How much was read.
    read: usize,
    /// So much has to have come before there is something to read.
    window_bytes: usize,
}

impl<'i> Reader<'i> {
    fn of(body: Body, ingest: &'i mut Ingest, at: TimestampMs) -> Self {
        Self { body, ingest, at, read: 0, window_bytes: STREAM_FROM_BYTES }
    }

    /// Whether so many bytes, decoded, may have come, of which those in `bytes` were not read: if they are
    /// too many to be held they are read now.
    fn take(&mut self, bytes: &mut Vec<u8>, max: usize) -> Result<(), FetchError> {
        let Body { exposition, room, .. } = &mut self.body;
        let len = self.read + bytes.len();
        let streams = self.ingest.can_stream(*exposition);
        let max = if streams { max } else { max.min(HELD_BODY_MAX_BYTES) };
        if len > max {
            return Err(FetchError::TooLong { max });
        }
        if !streams || bytes.len() < self.window_bytes {
            return if self.ingest.is_streaming() { Ok(()) } else { room.hold(len) };
        }
        if let (Exposition::Lines(format), false) = (*exposition, self.ingest.is_streaming()) {
            self.ingest.begin_stream(self.at, format);
        }
        // Many lines may stand there at once, if they were compressed.
        let ingest = &mut *self.ingest;
        let read = tokio::task::block_in_place(|| ingest.window(bytes))?;
        bytes.drain(..read);
        self.read += read;
        self.window_bytes = bytes.len() + WINDOW_BYTES;
        room.hold_of_stream(bytes.len() + ingest.waiting_bytes())
    }
}

/// A body that comes.
struct Intake<'i> {
    reader: Reader<'i>,
    /// Why nobody knows what it is; where it is empty that does not matter.
    unknown: Option<ContentTypeError>,
    gunzip: Option<Gunzip>,
    /// The most bytes, decoded.
    max: usize,
    fallback: Option<Exposition>,
}

impl Intake<'_> {
    fn begin(&mut self, head: &Head<'_>) -> Result<(), FetchError> {
        if head.status != reqwest::StatusCode::OK {
            let none = |_| FetchError::Connection(format!("{} is no status of HTTP", head.status));
            return Err(FetchError::Status(reqwest::StatusCode::from_u16(head.status).map_err(none)?));
        }
        match Exposition::of_content_type(&String::from_utf8_lossy(head.content_type), self.fallback) {
            Ok(exposition) => self.reader.body.exposition = exposition,
            Err(error) => self.unknown = Some(error),
        }
        self.gunzip = is_gzip(head.encoding)?.then(Gunzip::new);
        Ok(())
    }

    fn finish(self) -> Result<Body, FetchError> {
        self.gunzip.map_or(Ok(()), Gunzip::finish)?;
        Ok(self.reader.body)
    }
}

impl Taker for Intake<'_> {
    fn head(&mut self, head: &Head<'_>) -> Result<bool, FetchError> {
        if matches!(head.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(false);
        }
        self.begin(head).map(|()| true)
    }

    fn part(&mut self, part: Part<'_>) -> Result<(), FetchError> {
        if !part.bytes.is_empty() {
            self.unknown.take().map_or(Ok(()), Err)?;
        }
        let (reader, max) = (&mut self.reader, self.max);
        let mut bytes = std::mem::take(&mut reader.body.bytes);
        let taken = match &mut self.gunzip {
            Some(gunzip) => gunzip.push(part, &mut bytes, |bytes| reader.take(bytes, max)),
            None => {
                make_room(&mut bytes, part.bytes.len());
                bytes.extend_from_slice(part.bytes);
                reader.take(&mut bytes, max)
            }
        };
        reader.body.bytes = bytes;
        taken
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
