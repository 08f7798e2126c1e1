//! `Line`: the kept connection to a target that is reached by plain HTTP/1.1 and answers with a body, as
//! nearly all do: one task writes the request and reads the answer, with buffers that all targets share.
//! Follows no redirect and knows neither TLS nor HTTP/2: `fetch` has another client for what this says is not
//! for it.

use crate::{chunked::Chunked, fetch::FetchError, gunzip::Part, target_url::request_target};
use httparse::{EMPTY_HEADER, Response, Status};
use skopos_client::DeniedAddresses;
use std::io::ErrorKind;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// The most bytes that are read at once, and the longest head of an answer.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;
/// The most fields of a head.
const FIELDS_MAX: usize = 128;

/// See above.
#[derive(Debug)]
pub(crate) struct Line {
    host: Box<str>,
    port: u16,
    request: Box<[u8]>,
    /// Open, with no answer under way.
    stream: Option<TcpStream>,
    /// Whether it may stay open until the next request.
    keep: bool,
    /// Where it may not lead.
    denied: DeniedAddresses,
}

/// What a head says, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: &'a [u8],
    /// How the body is compressed.
    pub(crate) encoding: &'a [u8],
}

/// Takes an answer.
pub(crate) trait Taker {
    /// The head; an error ends the answer, and so does `false` without one.
    fn head(&mut self, head: &Head<'_>) -> Result<bool, FetchError>;
    /// The next part of the body.
    fn part(&mut self, part: Part<'_>) -> Result<(), FetchError>;
}

/// How long a body is.
#[derive(Debug)]
enum Length {
    /// So many bytes are still to come.
    Known(u64),
    Chunked(Chunked),
    /// All until the target closes the connection.
    UntilClosed,
}

/// What of a head is needed to read what follows.
struct Begun {
    length: Length,
    keep: bool,
    taken: bool,
}

impl Line {
    /// A line to where `url` points; none when that is not for a line. `fields` are further lines of the
    /// request's head.
    pub(crate) fn to(url: &str, fields: &[(&str, &str)], keep: bool) -> Option<Self> {
        let target = request_target(url)?;
        let url = reqwest::Url::parse(url).ok()?;
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: {authority}\r\n");
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let host = Box::from(host.trim_start_matches('[').trim_end_matches(']'));
        Some(Self {
            host,
            port,
            request: request.into_bytes().into(),
            stream: None,
            keep,
            denied: DeniedAddresses::default(),
        })
    }

    /// The same, but nowhere that is denied.
    pub(crate) fn denying(mut self, denied: &DeniedAddresses) -> Self {
        self.denied = denied.clone();
        self
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        if self.denied.is_empty() {
            return TcpStream::connect((&*self.host, self.port)).await;
        }
        // What is connected to is what was looked at: a name cannot lead elsewhere in between.
        let allowed = self.denied.look_up(&self.host, self.port).await?;
        TcpStream::connect(&*allowed).await
    }

    /// Asks, and hands the answer to `taker`; whether it took the body. `buffer` makes room to read into,
    /// once there is something to read.
    pub(crate) async fn get<B: AsMut<[u8]>>(
        &mut self,
        buffer: impl Fn() -> B,
        taker: &mut impl Taker,
    ) -> Result<bool, FetchError> {
        if let Some(stream) = self.stream.take() {
            match self.ask(stream, &buffer, taker).await {
                // It was closed while nobody looked, as a target may: it is asked anew.
                Err(Failed::BeforeAnswer(_)) => {}
                Err(Failed::Later(e)) => return Err(e),
                Ok(taken) => return Ok(taken),
            }
        }
        let stream = self.connect().await.map_err(|e| {
            let host =
                if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
            FetchError::Connection(format!("cannot connect to {host}:{}: {e}", self.port))
        })?;
        stream.set_nodelay(true).map_err(|e| connection(&e))?;
        match self.ask(stream, &buffer, taker).await {
            Err(Failed::BeforeAnswer(e) | Failed::Later(e)) => Err(e),
            Ok(taken) => Ok(taken),
        }
    }

    async fn ask<B: AsMut<[u8]>>(
        &mut self,
        mut stream: TcpStream,
        buffer: &impl Fn() -> B,
        taker: &mut impl Taker,
    ) -> Result<bool, Failed> {
        let before = |e: std::io::Error| Failed::BeforeAnswer(connection(&e));
        stream.write_all(&self.request).await.map_err(before)?;
        stream.readable().await.map_err(before)?;
        let mut buffer = buffer();
        let buffer = buffer.as_mut();
        let mut have = 0;
        let (begun, mut from) = loop {
            let n = read(&stream, &mut buffer[have..]).await;
            match n {
                Ok(0) if have == 0 => return Err(Failed::BeforeAnswer(ended())),
                Err(e) if have == 0 => return Err(Failed::BeforeAnswer(connection(&e))),
                Ok(0) => return Err(ended().into()),
                Err(e) => return Err(connection(&e).into()),
                Ok(n) => have += n,
            }
            if let Some(found) = begin(&buffer[..have], taker)? {
                break found;
            }
            if have == buffer.len() {
                let error = format!("the head of the answer is longer than {} bytes", buffer.len());
                return Err(FetchError::Connection(error).into());
            }
        };
        let Begun { mut length, keep, taken } = begun;
        if !taken {
            return Ok(false);
        }
        let mut is_first = true;
        loop {
            let behind = take(&mut length, &buffer[from..have], is_first, taker)?;
            if let Some(behind) = behind {
                // Bytes that nobody asked for would be taken for the next answer.
                self.stream = Some(stream).filter(|_| keep && self.keep && behind == 0);
                return Ok(true);
            }
            (is_first, from) = (false, 0);
            // A target that always has more would keep the thread, and its own time from being over.
            tokio::task::coop::consume_budget().await;
            have = read(&stream, buffer).await.map_err(|e| connection(&e))?;
            if have == 0 {
                return if matches!(length, Length::UntilClosed) { Ok(true) } else { Err(ended().into()) };
            }
        }
    }
}

/// Where it failed.
enum Failed {
    /// Nothing of an answer had come.
    BeforeAnswer(FetchError),
    Later(FetchError),
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        Self::Later(error)
    }
}

fn connection(error: &std::io::Error) -> FetchError {
    FetchError::Connection(error.to_string())
}

fn ended() -> FetchError {
    FetchError::Connection("the connection was closed before the answer was complete".to_owned())
}

/// Reads what is there, waiting for something.
async fn read(stream: &TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stream.try_read(buffer) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => stream.readable().await?,
            done => return done,
        }
    }
}

/// Hands out the head, and says where the body begins; none while the head is not complete.
fn begin(mut bytes: &[u8], taker: &mut impl Taker) -> Result<Option<(Begun, usize)>, FetchError> {
    let all = bytes.len();
    loop {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = Response::new(&mut fields);
        let none = |e: httparse::Error| FetchError::Connection(format!("the answer is no HTTP: {e}"));
        let Status::Complete(head_len) = response.parse(bytes).map_err(none)? else { return Ok(None) };
        bytes = &bytes[head_len..];
        let status = response.code.unwrap_or_default();
        // Word that the answer is still to come.
        if !(100..200).contains(&status) {
            return begun(&response, status, taker).map(|begun| Some((begun, all - bytes.len())));
        }
    }
}

fn begun(response: &Response<'_, '_>, status: u16, taker: &mut impl Taker) -> Result<Begun, FetchError> {
    let field = |name: &'static str| {
        let named = response.headers.iter().filter(move |f| f.name.eq_ignore_ascii_case(name));
        named.map(|f| f.value.trim_ascii())
    };
    let has = |name, word: &[u8]| {
        field(name).any(|v| v.split(|b| *b == b',').any(|w| w.trim_ascii().eq_ignore_ascii_case(word)))
    };
    let (mut lengths, mut codings) = (field("content-length"), field("transfer-encoding"));
    let length = match (codings.next(), lengths.next()) {
        (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() => {
            Length::Chunked(Chunked::new())
        }
        (Some(_), _) => return Err(FetchError::Connection("the transfer coding is unknown".to_owned())),
        (None, None) => Length::UntilClosed,
        (None, Some(length)) => {
            let number = std::str::from_utf8(length).ok().filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
            let number = number.and_then(|n| n.parse().ok()).filter(|_| lengths.all(|l| l == length));
            let none = || FetchError::Connection("the length of the answer is no number".to_owned());
            Length::Known(number.ok_or_else(none)?)
        }
    };
    let persists = response.version == Some(1) || has("connection", b"keep-alive");
    let keep = persists && !has("connection", b"close") && !matches!(length, Length::UntilClosed);
    let content_type = field("content-type").next().unwrap_or_default();
    let encoding = field("content-encoding").next().unwrap_or_default();
    let taken = taker.head(&Head { status, content_type, encoding })?;
    Ok(Begun { length, keep, taken })
}

/// Hands out what `part` has of the body. When that ends there, how many bytes stand behind it.
fn take(
    length: &mut Length,
    part: &[u8],
    is_first: bool,
    taker: &mut impl Taker,
) -> Result<Option<usize>, FetchError> {
    match length {
        Length::UntilClosed => taker.part(Part::of_more(part)).map(|()| None),
        Length::Known(left) => {
            let here = usize::try_from(*left).unwrap_or(usize::MAX).min(part.len());
            *left -= here as u64;
            let is_end = *left == 0;
            taker.part(Part { bytes: &part[..here], is_all: is_first && is_end })?;
            Ok(is_end.then(|| part.len() - here))
        }
        Length::Chunked(chunked) => {
            let mut rest = part;
            loop {
                let data = chunked.next(&mut rest).map_err(|e| FetchError::Connection(e.to_string()))?;
                if data.is_empty() {
                    return Ok(chunked.is_complete().then_some(rest.len()));
                }
                taker.part(Part::of_more(data))?;
            }
        }
    }
}

#[cfg(test)]
mod tests;
