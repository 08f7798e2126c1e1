//! `Http`: asks servers over HTTP, within limits. What is asked for, and what the answer means, is the
//! matter of each kind.

use crate::{
    client::ClientConfig,
    error::SourceError,
    limits::{ANSWER_BYTES_MAX, CONNECT_TIMEOUT, REQUEST_TIMEOUT, SHOWN_BYTES},
};
use bytes::Bytes;
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, Url, header::HeaderMap};
use serde_json::Value;
use std::{path::Path, time::Duration};

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
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
        let body = &self.body[..self.body.len().min(SHOWN_BYTES)];
        let body = String::from_utf8_lossy(body).into_owned();
        Err(SourceError::Status { url: self.from, status: self.status, body })
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
    /// A client as the configuration says.
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, SourceError> {
        let mut builder = builder();
        if !config.follow_redirects {
            builder = builder.redirect(reqwest::redirect::Policy::none());
        }
        built(builder)
    }

    /// A client of the server that listens at a socket of this machine.
    pub(crate) fn unix(socket: &Path) -> Result<Self, SourceError> {
        built(builder().unix_socket(socket))
    }

    /// A request that is yet to be sent; the time that its answer may take can be set.
    pub(crate) fn get(&self, url: &Url) -> RequestBuilder {
        self.client.request(Method::GET, url.clone()).timeout(REQUEST_TIMEOUT)
    }

    /// The JSON at an address.
    pub(crate) async fn json(&self, url: &Url) -> Result<Value, SourceError> {
        send(self.get(url)).await?.json()
    }
}

fn builder() -> ClientBuilder {
    // The provider is one for the whole process; whoever comes second finds it there.
    let _already = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("Skopos/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(90))
        .pool_max_idle_per_host(2)
}

fn built(builder: ClientBuilder) -> Result<Http, SourceError> {
    let client = builder.build().map_err(|e| SourceError::Setup(reason(&e)))?;
    Ok(Http { client })
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

async fn begin(request: RequestBuilder) -> Result<(Response, String), SourceError> {
    let failed = |e: &reqwest::Error| SourceError::Request {
        url: e.url().map_or_else(String::new, shown),
        reason: reason(e),
    };
    let response = request.send().await.map_err(|e| failed(&e))?;
    let from = shown(response.url());
    Ok((response, from))
}

async fn next_chunk(response: &mut Response, from: &str) -> Result<Option<Bytes>, SourceError> {
    let next = response.chunk().await;
    next.map_err(|e| SourceError::Request { url: from.to_owned(), reason: reason(&e) })
}

/// An address without what may be secret in it.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These cannot fail for an address that has a host; one without has no password either.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

/// What went wrong, down to its cause, without the address, which the error has beside it.
fn reason(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        causes.push(e.to_string());
        cause = e.source();
    }
    if error.is_timeout() {
        return "no answer came in time".to_owned();
    }
    if causes.is_empty() { error.to_string() } else { causes.join(": ") }
}

/// The address that a configuration gives.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("{text:?} is no address: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{text:?}: the scheme must be http or https"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("{text:?}: there is no host in it"));
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

/// `base` with pairs in its query; without any it gets none.
pub(crate) fn asking<'a>(base: &Url, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Url {
    let (mut url, mut pairs) = (base.clone(), pairs.into_iter().peekable());
    if pairs.peek().is_some() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_put_together_and_shown_without_secrets() {
        let base = parse_url("http://u:p@h:1/a/?k=v").unwrap();
        assert_eq!(shown(&base), "http://h:1/a/");
        assert_eq!(shown(&below(&base, "/b c")), "http://h:1/a/b%20c");
        let base = parse_url("https://h").unwrap();
        assert_eq!(asking(&base, []).as_str(), "https://h/");
        assert_eq!(asking(&base, [("a", "x y"), ("b", "&")]).as_str(), "https://h/?a=x+y&b=%26");
        for text in ["h:1", "ftp://h", "http://", "/path"] {
            assert!(parse_url(text).is_err(), "{text}");
        }
    }
}
