//! `Http`: asks servers over HTTP, within limits. What is asked for, and what the answer means, is the
//! matter of each kind.

use crate::{
    error::SourceError,
    limits::{ANSWER_BYTES_MAX, CONNECT_TIMEOUT, REQUEST_TIMEOUT},
};
use bytes::Bytes;
use reqwest::{
    Client, Method, RequestBuilder, Response, Url,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::Value;
use skopos_base::fs::SharedFs;
use skopos_client::{ClientOptions, HttpClient, HttpConfig, address::masked, answer::chain};
use std::{path::Path, time::Duration};

pub(crate) use skopos_client::address::shown;

/// How long a connection may stay open unused.
const IDLE: Duration = Duration::from_secs(90);

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) enum Http {
    /// Over the network.
    Network(HttpClient),
    /// At a socket of this machine, which no file says more of.
    Socket(Client),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Who gave it, without a query.
    pub(crate) from: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The same if it is a good one.
    pub(crate) fn ok(self) -> Result<Self, SourceError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        // What it says may repeat what it was told.
        Err(SourceError::Status { url: self.from, status: self.status })
    }

    /// The header of this name, as far as it is text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body of a good answer as JSON.
    pub(crate) fn json(self) -> Result<Value, SourceError> {
        let Self { from, body, .. } = self.ok()?;
        serde_json::from_slice(&body).map_err(|e| SourceError::content(from, &format!("no JSON: {e}")))
    }
}

impl Http {
    /// A client as the configuration says, which was checked.
    pub(crate) fn new(config: &HttpConfig, fs: &SharedFs) -> Result<Self, SourceError> {
        let options = ClientOptions { timeout: None, idle: IDLE, ..ClientOptions::default() };
        let client = HttpClient::new(config, &options, fs);
        client.map(Self::Network).map_err(|e| SourceError::Setup(e.to_string()))
    }

    /// A client of the server that listens at a socket of this machine.
    pub(crate) fn unix(socket: &Path) -> Result<Self, SourceError> {
        // The provider is one for the whole process; whoever comes second finds it there.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).pool_idle_timeout(IDLE);
        let client = builder.unix_socket(socket).build();
        client.map(Self::Socket).map_err(|e| SourceError::Setup(chain(&e)))
    }

    /// A request that is yet to be sent; the time that its answer may take can be set.
    pub(crate) async fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, SourceError> {
        let request = match self {
            Self::Socket(client) => Ok(client.request(method, url.clone())),
            Self::Network(client) => client.request(method, url).await,
        };
        let failed = |reason: String| SourceError::Request { url: shown(url), reason };
        Ok(request.map_err(|e| failed(e.to_string()))?.timeout(REQUEST_TIMEOUT))
    }

    /// The same of what stands at an address.
    pub(crate) async fn get(&self, url: &Url) -> Result<RequestBuilder, SourceError> {
        self.request(Method::GET, url).await
    }

    /// The same, with something to tell.
    pub(crate) async fn post(
        &self,
        url: &Url,
        content_type: &str,
        body: String,
    ) -> Result<RequestBuilder, SourceError> {
        let request = self.request(Method::POST, url).await?;
        Ok(request.header(CONTENT_TYPE, content_type).body(body))
    }

    /// The JSON at an address.
    pub(crate) async fn json(&self, url: &Url) -> Result<Value, SourceError> {
        send(self.get(url).await?).await?.json()
    }
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, SourceError> {
    let (mut response, from) = begin(request).await?;
    let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
    let mut body = Vec::new();
    while let Some(chunk) = next_chunk(&mut response, &from).await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(SourceError::TooLong { what: from, limit: ANSWER_BYTES_MAX });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { from, status, headers, body })
}

/// An answer that comes line by line, for as long as the request may take.
pub(crate) struct Lines {
    response: Response,
    from: String,
    buffer: Vec<u8>,
    /// Up to here the buffer has no end of a line.
    searched: usize,
}

/// Sends a request and gives the lines of a good answer.
pub(crate) async fn stream(request: RequestBuilder) -> Result<Lines, SourceError> {
    let (response, from) = begin(request).await?;
    let status = response.status();
    if status.is_success() {
        return Ok(Lines { response, from, buffer: Vec::new(), searched: 0 });
    }
    Err(SourceError::Status { url: from, status: status.as_u16() })
}

impl Lines {
    /// The next line that is not empty.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
        loop {
            let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
            let Some(end) = end.map(|at| self.searched + at) else {
                self.searched = self.buffer.len();
                match next_chunk(&mut self.response, &self.from).await? {
                    Some(chunk) if self.buffer.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                        self.buffer.extend_from_slice(&chunk);
                        continue;
                    }
                    Some(_) => {
                        let what = format!("a line of {}", self.from);
                        return Err(SourceError::TooLong { what, limit: ANSWER_BYTES_MAX });
                    }
                    None if self.buffer.is_empty() => return Ok(None),
                    None => {
                        self.searched = 0;
                        return Ok(Some(std::mem::take(&mut self.buffer)));
                    }
                }
            };
            let rest = self.buffer.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.buffer, rest);
            line.truncate(end);
            self.searched = 0;
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
    }
}

async fn begin(request: RequestBuilder) -> Result<(Response, String), SourceError> {
    let failed = |e: reqwest::Error| {
        let url = e.url().map_or_else(String::new, shown);
        SourceError::Request { url, reason: reason(e) }
    };
    let response = request.send().await.map_err(failed)?;
    let from = shown(response.url());
    Ok((response, from))
}

async fn next_chunk(response: &mut Response, from: &str) -> Result<Option<Bytes>, SourceError> {
    let next = response.chunk().await;
    next.map_err(|e| SourceError::Request { url: from.to_owned(), reason: reason(e) })
}

/// Where a list in JSON is not what it should be. What stands there is left out: it may repeat what the
/// server was told.
pub(crate) fn place(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "this is none of the things expected here" } else { "it is no JSON" };
    format!("line {}, column {}: {what}", error.line(), error.column())
}

/// What went wrong, down to its cause.
fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer came in time".to_owned();
    }
    // The address, whose query may hold a secret, stands beside it.
    chain(&error.without_url())
}

/// The address that a configuration gives.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("{:?} is no address: {e}", masked(text)))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{:?}: the scheme must be http or https", masked(text)));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("{:?}: there is no host in it", masked(text)));
    }
    Ok(url)
}

/// `base` with a path behind its own; pieces that are data are yet to be encoded by the caller.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let whole = format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/'));
    url.set_path(&whole);
    url
}

/// A name as a part of a path.
pub(crate) fn encoded(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F").replace('?', "%3F").replace('#', "%23")
}

/// `base` with pairs in its query; without any it gets none.
pub(crate) fn asking<'a>(base: &Url, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Url {
    let (mut url, mut pairs) = (base.clone(), pairs.into_iter().peekable());
    if pairs.peek().is_some() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url
}

/// Pairs as forms send them.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("x:").expect("invariant: it is an address");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_put_together_and_wrong_ones_are_said_without_secrets() {
        let base = parse_url("http://u:p@h:1/a/?k=v").unwrap();
        assert_eq!(below(&base, "/b c").as_str(), "http://u:p@h:1/a/b%20c?k=v");
        let base = parse_url("https://h").unwrap();
        assert_eq!(asking(&base, []).as_str(), "https://h/");
        assert_eq!(asking(&base, [("a", "x y"), ("b", "&")]).as_str(), "https://h/?a=x+y&b=%26");
        for text in ["h:1", "ftp://h", "http://", "/path"] {
            assert!(parse_url(text).is_err(), "{text}");
        }
        for text in ["ftp://u:SECRET@h/", "http://u:SECRET@h:x/", "u:SECRET@h", "http:///?SECRET"] {
            let error = parse_url(text).unwrap_err();
            assert!(!error.contains("SECRET"), "{error}");
        }
    }
}
