//! A server that takes samples by remote write: its address, its headers, its secrets, and what its
//! answers mean. Keeps nothing and never tries again.

use crate::message::{Counts, Message};
use bytes::Bytes;
use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use skopos_base::{fs::SharedFs, secret::Secret};
use skopos_client::{
    ClientOptions, HttpClient, HttpConfig, address::shown, answer::chain, config::BasicAuth,
};
use std::{fmt, time::Duration};

/// Which version of the protocol we speak.
const VERSION: &str = "x-prometheus-remote-write-version";
/// What a server of version 2 says that it has stored.
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];
/// So many connections stay open unused: no more requests are under way by default.
const MAX_IDLE: usize = 50;
/// So much of an answer's text is shown.
const SHOWN_BYTES: usize = 256;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The server has it.
    Taken,
    /// It may be taken later: the server is away, busy or failed.
    Later {
        /// The wait that the server asks for.
        wait: Option<Duration>,
        /// What it said.
        reason: String,
    },
    /// It never will be, but for what it has stored nevertheless.
    Refused {
        /// What it said.
        reason: String,
        /// What it has stored.
        written: Counts,
    },
}

/// A server, as senders see it.
pub trait Endpoint: Send + Sync + 'static {
    /// Sends a request, and says what became of it.
    fn send(&self, message: Message, body: Bytes) -> impl Future<Output = Reply> + Send;
}

/// How a server is spoken to.
#[derive(Clone, Debug, Default)]
pub struct EndpointOptions {
    /// How long an answer may take.
    pub timeout: Duration,
    /// Who we are, and how the connection is secured.
    pub http: HttpConfig,
    /// Whether what it has no room for now (429) is sent again.
    pub retries_too_many: bool,
    /// Whether each connection goes to another of the server's addresses.
    pub round_robin_dns: bool,
}

/// Why a server cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address is none.
    #[error("{0}")]
    Url(String),
    /// A header, a certificate or a key is none.
    #[error("{url}: {reason}")]
    Client {
        /// The server.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// A server that is reached over HTTP.
pub struct HttpEndpoint {
    client: HttpClient,
    /// Which may hold secrets, but no credentials.
    url: Url,
    shown: String,
    retries_too_many: bool,
}

impl fmt::Debug for HttpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEndpoint").field("url", &self.shown).finish_non_exhaustive()
    }
}

impl HttpEndpoint {
    /// The server at `url`.
    ///
    /// # Errors
    /// When the address, a header or a certificate is none.
    pub fn new(fs: &SharedFs, url: &str, options: &EndpointOptions) -> Result<Self, EndpointError> {
        // A redirect of a request with a body becomes one without in most clients: it is told and tried
        // again.
        let http = HttpConfig { follow_redirects: false, ..options.http.clone() };
        let timed = ClientOptions {
            timeout: Some(options.timeout),
            round_robin_dns: options.round_robin_dns,
            idle_per_host: MAX_IDLE,
            ..ClientOptions::default()
        };
        let (client, url, shown) = connect(fs, url, http, &timed)?;
        Ok(Self { client, url, shown, retries_too_many: options.retries_too_many })
    }

    /// The address without what is secret in it.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

impl Endpoint for HttpEndpoint {
    async fn send(&self, message: Message, body: Bytes) -> Reply {
        let request = match self.client.request(Method::POST, &self.url).await {
            Ok(request) => request,
            // A file may be in the middle of being written, and the server of tokens be away.
            Err(e) => return Reply::Later { wait: None, reason: e.to_string() },
        };
        let request = request
            .header(CONTENT_TYPE, message.content_type())
            .header(CONTENT_ENCODING, "snappy")
            .header(VERSION, message.version())
            .body(body);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(e) => return Reply::Later { wait: None, reason: chain(&e.without_url()) },
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let mut said = Vec::new();
        while said.len() < SHOWN_BYTES
            && let Ok(Some(part)) = response.chunk().await
        {
            said.extend_from_slice(&part);
        }
        said.truncate(SHOWN_BYTES);
        match reply(status, &headers, &said) {
            Reply::Taken if message == Message::Two && written(&headers).is_none() => {
                let reason = "it does not say what it has stored: it speaks no remote write 2.0".to_owned();
                Reply::Refused { reason, written: Counts::default() }
            }
            Reply::Later { wait: _, reason }
                if status == StatusCode::TOO_MANY_REQUESTS && !self.retries_too_many =>
            {
                Reply::Refused { reason, written: Counts::default() }
            }
            other => other,
        }
    }
}

/// What makes requests to an address, which may have credentials; the address without them; and how it is
/// shown.
///
/// # Errors
/// When the address, a header or a certificate is none.
pub(crate) fn connect(
    fs: &SharedFs,
    url: &str,
    mut http: HttpConfig,
    options: &ClientOptions,
) -> Result<(HttpClient, Url, String), EndpointError> {
    let wrong = || EndpointError::Url("an address is expected, such as http://host:9090/api/v1/write".into());
    let mut url = Url::parse(url).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong());
    }
    let of_address = take_credentials(&mut url);
    if http.authorization.is_none() && http.oauth2.is_none() && http.basic_auth.is_none() {
        http.basic_auth = of_address;
    }
    let shown = shown(&url);
    let failed = |reason: String| EndpointError::Client { url: shown.clone(), reason };
    http.check().map_err(|e| failed(e.to_string()))?;
    let client = HttpClient::new(&http, options, fs).map_err(|e| failed(e.to_string()))?;
    Ok((client, url, shown))
}

/// What a server says that it has stored, if it says so.
fn written(headers: &HeaderMap) -> Option<Counts> {
    let [samples, histograms, exemplars] =
        WRITTEN.map(|name| headers.get(name).and_then(|value| value.to_str().ok()?.parse::<u64>().ok()));
    let is_told = samples.is_some() || histograms.is_some() || exemplars.is_some();
    let or_none = Option::unwrap_or_default;
    is_told.then(|| Counts {
        samples: or_none(samples),
        histograms: or_none(histograms),
        exemplars: or_none(exemplars),
    })
}

/// What an answer means.
fn reply(status: StatusCode, headers: &HeaderMap, said: &[u8]) -> Reply {
    if status.is_success() {
        return Reply::Taken;
    }
    let said = String::from_utf8_lossy(said);
    let reason = match said.trim() {
        "" => format!("status {}", status.as_u16()),
        said => format!("status {}: {}", status.as_u16(), said.lines().next().unwrap_or_default()),
    };
    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
        return Reply::Refused { reason, written: written(headers).unwrap_or_default() };
    }
    let wait = headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
    Reply::Later { wait, reason }
}

/// A number of seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(jiff::Timestamp::now())).unwrap_or_default())
}

/// The name and the password of an address, which then has them no more.
fn take_credentials(url: &mut Url) -> Option<BasicAuth> {
    let (username, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    if username.is_empty() && password.is_empty() {
        return None;
    }
    let removed = url.set_username("").and_then(|()| url.set_password(None));
    removed.expect("invariant: an address of HTTP with a host can have a user and none");
    Some(BasicAuth { username, password: Secret::new(password), ..BasicAuth::default() })
}

/// A part of an address without its escapes.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |at: usize| char::from(*after.get(at)?).to_digit(16);
        if *first == b'%'
            && let (Some(high), Some(low)) = (hex(0), hex(1))
        {
            bytes.push((high * 16 + low) as u8);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;
    use skopos_base::sim::SimWorld;
    use skopos_client::config::HeaderConfig;
    use std::collections::BTreeMap;

    fn options(http: HttpConfig) -> EndpointOptions {
        EndpointOptions { timeout: Duration::from_secs(1), http, ..EndpointOptions::default() }
    }

    #[test]
    fn what_answers_mean() {
        let later = |seconds: Option<u64>, reason: &str| Reply::Later {
            wait: seconds.map(Duration::from_secs),
            reason: reason.to_owned(),
        };
        let refused = |reason: &str| Reply::Refused { reason: reason.to_owned(), written: Counts::default() };
        for (status, retry, said, expected) in [
            (200, None, "", Reply::Taken),
            (204, None, "ignored", Reply::Taken),
            (400, None, "out of order sample\nmore\n", refused("status 400: out of order sample")),
            (401, None, "", refused("status 401")),
            (404, Some("9"), " \n", refused("status 404")),
            (429, Some("7"), "slow down", later(Some(7), "status 429: slow down")),
            (429, None, "", later(None, "status 429")),
            (500, None, "oh", later(None, "status 500: oh")),
            (503, Some("120"), "", later(Some(120), "status 503")),
            (503, Some("soon"), "", later(None, "status 503")),
            (503, Some("Wed, 21 Oct 2015 07:28:00 GMT"), "", later(Some(0), "status 503")),
            // A redirect is a slip of whoever configured it: nothing is lost meanwhile.
            (302, None, "", later(None, "status 302")),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(retry) = retry {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(retry));
            }
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(reply(status, &headers, said.as_bytes()), expected);
        }
    }

    #[test]
    fn what_was_stored_of_a_request_that_is_refused_is_known() {
        let mut headers = HeaderMap::new();
        assert_eq!(written(&headers), None);
        headers.insert(WRITTEN[0], HeaderValue::from_static("5"));
        headers.insert(WRITTEN[2], HeaderValue::from_static("x"));
        let written = Counts { samples: 5, ..Counts::default() };
        let reason = "status 400".to_owned();
        assert_eq!(reply(StatusCode::BAD_REQUEST, &headers, b""), Reply::Refused { reason, written });
    }

    #[test]
    fn nothing_that_is_shown_is_secret() {
        let env = SimWorld::new(1).env();
        let url = "https://me:hu%24h@host/api/v1/write?token=hush#hush";
        let http_headers =
            BTreeMap::from([("X-Key".to_owned(), HeaderConfig::secret(Secret::new("hush".to_owned())))]);
        let options = options(HttpConfig { http_headers, ..HttpConfig::default() });
        let endpoint = HttpEndpoint::new(&env.fs, url, &options).unwrap();
        assert_eq!(endpoint.shown(), "https://host/api/v1/write");
        let text = format!("{endpoint:?} {options:?} {:?}", endpoint.client);
        assert!(text.contains("me"), "the user of the address is used: {text}");
        assert!(!text.contains("hush") && !text.contains("hu$h") && !text.contains("hu%24h"), "{text}");
        assert_eq!(endpoint.url.query(), Some("token=hush"), "it is asked with what it was given");
    }

    #[test]
    fn what_is_no_address_or_header_is_refused_without_showing_it() {
        let env = SimWorld::new(1).env();
        for url in ["", "host:9090", "ftp://host/", "http://", "hush"] {
            let options = options(HttpConfig::default());
            let error = HttpEndpoint::new(&env.fs, url, &options).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
        for (name, value) in [("a b", "v"), ("x", "hush\n"), ("Content-Type", "hush")] {
            let value = HeaderConfig::secret(Secret::new(value.to_owned()));
            let http_headers = BTreeMap::from([(name.to_owned(), value)]);
            let options = options(HttpConfig { http_headers, ..HttpConfig::default() });
            let error = HttpEndpoint::new(&env.fs, "http://host/", &options).unwrap_err().to_string();
            assert!(error.contains("header") && !error.contains("hush"), "{error}");
        }
    }
}
