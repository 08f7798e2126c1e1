//! `HttpClient`: makes requests as a configuration says: who we are, with which headers, over which
//! connection. Sends nothing itself but for tokens, and never tries again.

use crate::{
    config::{BasicAuth, HeaderConfig, HttpConfig, ProxyConfig, headers::Value},
    connector::{Connector, header_value},
    denied::{Denied, DeniedAddresses},
    names::Renamed,
    token::Tokens,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{
    Method, RequestBuilder, Url,
    header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue},
};
use skopos_base::{
    fs::{Fs, SharedFs},
    secret::Secret,
};
use std::{fmt, sync::Arc, time::Duration};

/// What is not a file's to say.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long a request may take, until its answer is read; no bound but the caller's when unset.
    pub timeout: Option<Duration>,
    /// How long a connection may stay open unused.
    pub idle: Duration,
    /// How many such connections there are for a server.
    pub idle_per_host: usize,
    /// Which redirects are followed.
    pub redirects: Redirects,
    /// Whether HTTP/2 may be spoken.
    pub may_speak_http2: bool,
    /// Whether each connection goes to the next of a server's addresses, and not to the first that takes it.
    pub round_robin_dns: bool,
    /// Where no connection may lead, neither at once nor by a redirect. Through a proxy this is known of
    /// addresses alone: it finds those of names.
    pub denied: DeniedAddresses,
}

/// Which answers that send us elsewhere are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// None: they are the answer.
    NotFollowed,
    /// So many, one after the other. Credentials are told to no other host.
    Followed {
        /// How many.
        max: usize,
    },
    /// Those to the same host: what is sent is secret, and the others are the answer.
    FollowedWithinHost {
        /// How many.
        max: usize,
    },
}

impl Redirects {
    /// Those that a configuration with `headers` may follow.
    fn with(self, config: &HttpConfig) -> Self {
        match self {
            _ if !config.follow_redirects => Self::NotFollowed,
            Self::Followed { max } if config.http_headers.values().any(HeaderConfig::is_secret) => {
                Self::FollowedWithinHost { max }
            }
            other => other,
        }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(300)),
            idle: Duration::from_secs(300),
            idle_per_host: 2,
            redirects: Redirects::Followed { max: 10 },
            may_speak_http2: true,
            round_robin_dns: false,
            denied: DeniedAddresses::default(),
        }
    }
}

/// Why a request cannot be made. Shows nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A certificate, a key, a proxy or a header is none.
    #[error("{0}")]
    Config(String),
    /// A file with a secret cannot be read, now.
    #[error("{0}")]
    Secret(String),
    /// It may not be asked.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// The server that gives tokens gives none, now.
    #[error("oauth2: {0}")]
    Token(String),
}

/// Makes requests. Cloning shares connections and tokens.
#[derive(Clone)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: HttpConfig,
    fs: SharedFs,
    connector: Connector,
    tokens: Option<Tokens>,
    denied: DeniedAddresses,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client of this configuration, which was checked.
    ///
    /// # Errors
    /// When a certificate, a key or a header is none, or a file of them cannot be read.
    pub fn new(config: &HttpConfig, options: &ClientOptions, fs: &SharedFs) -> Result<Self, ClientError> {
        let options = ClientOptions {
            redirects: options.redirects.with(config),
            may_speak_http2: options.may_speak_http2 && config.enable_http2,
            ..options.clone()
        };
        let connector = Connector::new(&config.tls_config, &config.proxy, &options, fs);
        let connector = connector.map_err(ClientError::Config)?;
        let denied = options.denied.clone();
        // Who gives tokens was not found by anybody: it is written.
        let of_tokens = ClientOptions { denied: DeniedAddresses::default(), ..options };
        let tokens = config.oauth2.as_ref().map(|oauth2| Tokens::new(oauth2, &of_tokens, fs)).transpose()?;
        let inner = Inner { config: config.clone(), fs: SharedFs::clone(fs), connector, tokens, denied };
        inner.headers_of_now()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The headers of every request, where they never change and it goes straight to its server: whoever has
    /// a faster way to a server of plain HTTP may take it with these.
    pub fn fixed_headers(&self) -> Option<HeaderMap> {
        let config = &self.inner.config;
        let is_direct = config.proxy == ProxyConfig::default();
        (is_direct && config.oauth2.is_none() && !config.has_secret_files())
            .then(|| self.inner.headers_of_now().ok())
            .flatten()
    }

    /// A request of `url` with the headers and the credentials of now.
    ///
    /// # Errors
    /// When a file cannot be read, or there is no token.
    pub async fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, ClientError> {
        let Inner { config, connector, tokens, denied, .. } = &*self.inner;
        denied.check_host(url.host_str().unwrap_or_default())?;
        let mut headers = self.inner.headers_of_now()?;
        if let Some(tokens) = tokens {
            headers.insert(AUTHORIZATION, tokens.header().await?);
        }
        let name = &config.tls_config.server_name;
        let renamed = Renamed::of(url, name).map_err(ClientError::Config)?;
        let asked = match &renamed {
            None => url.clone(),
            Some(_) => {
                let (asked, host) = Renamed::rename(url, name).map_err(ClientError::Config)?;
                headers.insert(HOST, host);
                asked
            }
        };
        let client = connector.client(renamed).map_err(ClientError::Config)?;
        Ok(client.request(method, asked).headers(headers))
    }
}

impl Inner {
    /// The headers that are sent, with what files say now; those of tokens come with the token.
    fn headers_of_now(&self) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.config.http_headers {
            let parsed = HeaderName::from_bytes(name.as_bytes());
            let parsed = parsed
                .map_err(|_| ClientError::Config(format!("http_headers: {name:?} is no name of a header")))?;
            let wrong = || {
                let why = "has characters that none may have";
                ClientError::Config(format!("http_headers: a value of {name:?} {why}"))
            };
            for value in values.texts() {
                headers.append(
                    &parsed,
                    match value {
                        Value::Shown(text) => HeaderValue::from_str(text).map_err(|_| wrong())?,
                        Value::Secret(secret) => {
                            let secret = secret.read(&*self.fs).map_err(ClientError::Secret)?;
                            header_value(&secret).ok_or_else(wrong)?
                        }
                    },
                );
            }
        }
        if let Some(value) = self.authorization()? {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// The value of `Authorization`, with what its files say now.
    fn authorization(&self) -> Result<Option<HeaderValue>, ClientError> {
        let text = if let Some(basic) = &self.config.basic_auth {
            basic_text(basic, &*self.fs)?
        } else if let Some(authorization) = &self.config.authorization {
            let secret = authorization.credentials().read(&*self.fs).map_err(ClientError::Secret)?;
            if secret.expose().is_empty() {
                return Ok(None);
            }
            Secret::new(format!("{} {}", authorization.kind.trim(), secret.expose()))
        } else {
            return Ok(None);
        };
        let value = header_value(&text);
        let wrong =
            || ClientError::Config("credentials: they have characters that no header may have".into());
        value.ok_or_else(wrong).map(Some)
    }
}

fn basic_text(basic: &BasicAuth, fs: &dyn Fs) -> Result<Secret<String>, ClientError> {
    let username = match &basic.username_file {
        Some(file) => crate::secret_text::read_text(fs, file).map_err(ClientError::Secret)?.trim().to_owned(),
        None => basic.username.clone(),
    };
    let password = basic.password().read(fs).map_err(ClientError::Secret)?;
    Ok(basic_credentials(&username, password.expose()))
}

/// The value of `Authorization` for a name and a password.
pub(crate) fn basic_credentials(username: &str, password: &str) -> Secret<String> {
    Secret::new(format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}"))))
}
