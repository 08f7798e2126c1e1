//! `HttpConfig`: how a server is spoken to, by the keys that files of Prometheus have for it. They stand
//! among the keys of a job, of a source of targets, of a remote storage. Reads no file.

mod credentials;
pub(crate) mod headers;
mod oauth2;
mod proxy;
mod tls;

pub use credentials::{Authorization, BasicAuth};
pub use headers::HeaderConfig;
pub use oauth2::OAuth2Config;
pub use proxy::ProxyConfig;
pub use tls::{TlsConfig, TlsVersion};

use serde::{Deserialize, Deserializer, Serialize, de::MapAccess};
use skopos_base::secret::Secret;
use skopos_model::inlined::{self, Inlined};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// How a server is spoken to. Its keys stand in the order in which Prometheus writes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct HttpConfig {
    /// Who we are, by a name and a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Who we are, by another kind of credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// Who we are, by a token that another server gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2Config>,
    /// How the connection is secured.
    #[serde(skip_serializing_if = "TlsConfig::is_default")]
    pub tls_config: TlsConfig,
    /// Whether an answer that sends us elsewhere is followed.
    pub follow_redirects: bool,
    /// Whether HTTP/2 is spoken with a server of TLS that speaks it.
    pub enable_http2: bool,
    /// Through whom.
    #[serde(flatten)]
    pub proxy: ProxyConfig,
    /// Headers that are sent too.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub http_headers: BTreeMap<String, HeaderConfig>,
    /// Whether `authorization` was written more than once: `bearer_token` and `bearer_token_file` are other
    /// spellings of it.
    #[serde(skip)]
    pub is_authorized_twice: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            tls_config: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy: ProxyConfig::default(),
            http_headers: BTreeMap::new(),
            is_authorized_twice: false,
        }
    }
}

impl Inlined for HttpConfig {
    const KEYS: &'static [&'static str] = &[
        "basic_auth",
        "authorization",
        "oauth2",
        "bearer_token",
        "bearer_token_file",
        "tls_config",
        "follow_redirects",
        "enable_http2",
        "http_headers",
        ProxyConfig::KEYS[0],
        ProxyConfig::KEYS[1],
        ProxyConfig::KEYS[2],
        ProxyConfig::KEYS[3],
    ];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "basic_auth" => self.basic_auth = map.next_value()?,
            "authorization" => {
                let authorization = map.next_value()?;
                self.authorize(authorization);
            }
            "oauth2" => self.oauth2 = map.next_value()?,
            "bearer_token" => {
                let token = inlined::value::<Secret<String>, _>(map)?;
                self.authorize((!is_empty(&token)).then(|| Authorization::bearer(token, None)));
            }
            "bearer_token_file" => {
                let file: Option<PathBuf> = map.next_value()?;
                self.authorize(file.map(|file| Authorization::bearer(Secret::default(), Some(file))));
            }
            "tls_config" => self.tls_config = inlined::value(map)?,
            "follow_redirects" => self.follow_redirects = map.next_value::<Option<_>>()?.unwrap_or(true),
            "enable_http2" => self.enable_http2 = map.next_value::<Option<_>>()?.unwrap_or(true),
            "http_headers" => self.http_headers = inlined::value(map)?,
            _ => self.proxy.take(key, map)?,
        }
        Ok(())
    }
}

/// A file that has these keys alone, as tools read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct HttpConfigFile {
    /// The keys.
    #[serde(flatten, skip_deserializing)]
    pub http: HttpConfig,
}

skopos_model::has_inlined!(HttpConfigFile, http: HttpConfig);

/// What is wrong with such a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpConfigError {
    /// Keys of which one is too many.
    #[error("write at most one of {0}")]
    AtMostOne(&'static str),
    /// A key that is missing.
    #[error("{0}")]
    Missing(&'static str),
    /// A kind of authorization that has a section of its own.
    #[error("authorization: its type cannot be \"basic\": write `basic_auth`")]
    BasicAuthorization,
    /// A certificate without its key, or the other way round.
    #[error("tls_config: a certificate needs its key, and a key its certificate")]
    HalfAnIdentity,
    /// Versions the wrong way round, or none.
    #[error("tls_config: {0}")]
    TlsVersions(&'static str),
    /// A header that is none, or that belongs to the protocol.
    #[error("http_headers: {name:?} {reason}")]
    Header {
        /// The name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// An address that is none.
    #[error("{key}: it is no address of HTTP or SOCKS: write http://host:port")]
    Url {
        /// The key.
        key: &'static str,
    },
}

impl HttpConfig {
    fn authorize(&mut self, authorization: Option<Authorization>) {
        if authorization.is_some() {
            self.is_authorized_twice |= self.authorization.is_some();
            self.authorization = authorization;
        }
    }

    /// Checks what the shape alone does not say.
    ///
    /// # Errors
    /// When keys are missing, or there is one too many.
    pub fn check(&self) -> Result<(), HttpConfigError> {
        let sections = [self.basic_auth.is_some(), self.authorization.is_some(), self.oauth2.is_some()];
        let sections = sections.into_iter().chain([self.is_authorized_twice]);
        if sections.filter(|is_there| *is_there).count() > 1 {
            return Err(HttpConfigError::AtMostOne(
                "`basic_auth`, `authorization`, `oauth2`, `bearer_token` and `bearer_token_file`",
            ));
        }
        self.basic_auth.as_ref().map_or(Ok(()), BasicAuth::check)?;
        self.authorization.as_ref().map_or(Ok(()), Authorization::check)?;
        self.oauth2.as_ref().map_or(Ok(()), OAuth2Config::check)?;
        self.tls_config.check()?;
        self.proxy.check()?;
        self.http_headers.iter().try_for_each(|(name, header)| header.check(name))
    }

    /// Whether something that is sent with each request stands in files.
    pub(crate) fn has_secret_files(&self) -> bool {
        let basic = self.basic_auth.as_ref();
        basic.is_some_and(|basic| basic.username_file.is_some() || basic.password_file.is_some())
            || self.authorization.as_ref().is_some_and(|other| other.credentials_file.is_some())
            || self.http_headers.values().any(|header| !header.files.is_empty())
    }

    /// The same with the paths of files beside `folder`, unless they begin at the root.
    #[must_use]
    pub fn beside(mut self, folder: &Path) -> Self {
        let basic = self.basic_auth.iter_mut().flat_map(BasicAuth::files);
        let authorization = self.authorization.iter_mut().flat_map(Authorization::files);
        let oauth2 = self.oauth2.iter_mut().flat_map(OAuth2Config::files);
        let headers = self.http_headers.values_mut().flat_map(|header| header.files.iter_mut());
        let all = basic.chain(authorization).chain(oauth2).chain(self.tls_config.files());
        all.chain(headers).for_each(|path| *path = folder.join(&path));
        self
    }
}

/// One text or several.
fn one_or_more<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Secret<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(Secret<String>),
        More(Vec<Secret<String>>),
    }
    Ok(match Option::<Written>::deserialize(d)? {
        None => Vec::new(),
        Some(Written::One(one)) => vec![one],
        Some(Written::More(more)) => more,
    })
}

/// Whether a secret was not written.
fn is_empty(secret: &Secret<String>) -> bool {
    secret.expose().is_empty()
}
