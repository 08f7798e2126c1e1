//! The sections `remote_write` and `remote_read` of the configuration file, as Prometheus spells them. Reads
//! no file: the shapes and their checks only.

use crate::message::Message;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skopos_base::secret::Secret;
use skopos_client::{HttpConfig, HttpConfigError, address::shown};
use skopos_model::{DurationMs, null_is_default};
use skopos_relabel::Rules;
use std::{collections::BTreeMap, fmt, path::Path};

/// The address of a server. Its password is not shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl(Secret<String>);

impl ServerUrl {
    /// The address with all that is in it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The address without what may change of one server: who we are, and a query.
    pub(crate) fn place(&self) -> String {
        let url = reqwest::Url::parse(self.expose());
        url.map_or_else(|_| self.expose().to_owned(), |url| shown(&url))
    }

    fn shown(&self) -> String {
        let text = self.expose();
        let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
            Some((user, password)) => {
                let behind = &rest[user.len() + 1 + password.len()..];
                format!("{scheme}://{user}:<secret>{behind}")
            }
            None => text.to_owned(),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(|url| Self(Secret::new(url)))
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.shown())
    }
}

/// What is wrong with such a section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteConfigError {
    /// Keys of how the server is spoken to.
    #[error("{0}")]
    Http(#[from] HttpConfigError),
    /// The address is none.
    #[error("url: an address is expected, such as http://host:9090/api/v1/write")]
    Url,
    /// Another one has the name.
    #[error("the name {0:?} stands twice: give each a name of its own")]
    Twice(String),
    /// A header that we set ourselves.
    #[error("headers: {0:?} belongs to the protocol: leave it out")]
    Header(String),
    /// A number that cannot be.
    #[error("{key}: {reason}")]
    Number {
        /// The key.
        key: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// A kind of credentials that this version does not have.
    #[error(
        "{0}: requests are not signed this way: use `basic_auth`, `authorization` or `oauth2`, or a proxy \
         that signs them"
    )]
    Signature(&'static str),
}

/// Headers that are ours to set.
const OWN_HEADERS: [&str; 11] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
];

/// An entry of `remote_write`: a server that gets what is stored. Its keys stand in the order in which
/// Prometheus writes them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct RemoteWriteConfig {
    /// Its address.
    pub url: ServerUrl,
    /// How long an answer may take.
    #[serde(default = "thirty_seconds")]
    pub remote_timeout: DurationMs,
    /// Headers that are sent too.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What becomes of the labels of what is sent, and what is not sent at all.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub write_relabel_configs: Rules,
    /// What the server is called in metrics and on disk.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether exemplars are sent.
    #[serde(default, skip_serializing_if = "is_no")]
    pub send_exemplars: bool,
    /// Whether native histograms are sent.
    #[serde(default, skip_serializing_if = "is_no")]
    pub send_native_histograms: bool,
    /// Whether each connection goes to another of the server's addresses.
    #[serde(default, skip_serializing_if = "is_no")]
    pub round_robin_dns: bool,
    /// Which message is sent.
    #[serde(default)]
    pub protobuf_message: Message,
    /// How the server is spoken to.
    #[serde(flatten, skip_deserializing)]
    pub http: HttpConfig,
    /// How what is sent is gathered, and how much goes at a time.
    #[serde(default, deserialize_with = "null_is_default")]
    pub queue_config: QueueConfig,
    /// What is said of metrics.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata_config: MetadataConfig,
    #[serde(default, rename = "sigv4", skip_serializing_if = "Option::is_none")]
    sigv4: Option<Signature>,
    #[serde(default, rename = "azuread", skip_serializing_if = "Option::is_none")]
    azuread: Option<Signature>,
    #[serde(default, rename = "google_iam", skip_serializing_if = "Option::is_none")]
    google_iam: Option<Signature>,
}

skopos_model::has_inlined!(RemoteWriteConfig, http: HttpConfig);

/// A section of which nothing is read: it is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Signature;

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(d).map(|_| Self)
    }
}

/// The section `queue_config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Samples that are gathered for each request under way before they are queued.
    pub capacity: u32,
    /// The most requests under way side by side.
    pub max_shards: u32,
    /// The fewest.
    pub min_shards: u32,
    /// Samples that a request has at most.
    pub max_samples_per_send: u32,
    /// How long a sample is gathered at most.
    pub batch_send_deadline: DurationMs,
    /// The first wait before something is sent again.
    pub min_backoff: DurationMs,
    /// The longest.
    pub max_backoff: DurationMs,
    /// Whether what the server has no room for now is sent again.
    #[serde(skip_serializing_if = "is_no")]
    pub retry_on_http_429: bool,
    /// What is older is not sent; zero: everything is.
    #[serde(skip_serializing_if = "is_zero")]
    pub sample_age_limit: DurationMs,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2000,
            batch_send_deadline: DurationMs::from_secs(5),
            min_backoff: DurationMs::from_ms(30),
            max_backoff: DurationMs::from_secs(5),
            retry_on_http_429: false,
            sample_age_limit: DurationMs::ZERO,
        }
    }
}

/// The section `metadata_config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataConfig {
    /// Whether types and help are sent; with remote write 2.0 they stand beside samples.
    pub send: bool,
    /// How often.
    pub send_interval: DurationMs,
    /// Of how many metrics a request tells at most.
    pub max_samples_per_send: u32,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self { send: true, send_interval: DurationMs::from_secs(60), max_samples_per_send: 2000 }
    }
}

/// An entry of `remote_read`: a server that is asked when this one is. Its keys stand in the order in which
/// Prometheus writes them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct RemoteReadConfig {
    /// Its address.
    pub url: ServerUrl,
    /// How long an answer may take.
    #[serde(default = "one_minute")]
    pub remote_timeout: DurationMs,
    /// How many bytes a frame of an answer may have.
    #[serde(default = "fifty_millions")]
    pub chunked_read_limit: u64,
    /// Headers that are sent too.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether it is asked for times of which this server has all samples.
    #[serde(default, skip_serializing_if = "is_no")]
    pub read_recent: bool,
    /// What the server is called in metrics.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How the server is spoken to.
    #[serde(flatten, skip_deserializing)]
    pub http: HttpConfig,
    /// Without all of these conditions it is not asked.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub required_matchers: BTreeMap<String, String>,
    /// Whether the labels of this whole server are conditions, too.
    #[serde(default = "yes")]
    pub filter_external_labels: bool,
}

skopos_model::has_inlined!(RemoteReadConfig, http: HttpConfig);

impl RemoteReadConfig {
    /// Checks what the shape alone does not say.
    ///
    /// # Errors
    /// When a key cannot be, or keys do not fit each other.
    pub fn check(&self) -> Result<(), RemoteConfigError> {
        check_server(&self.url, &self.headers, &self.http, self.remote_timeout)?;
        match self.chunked_read_limit {
            0 => Err(RemoteConfigError::Number { key: "chunked_read_limit", reason: "must be more than 0" }),
            _ => Ok(()),
        }
    }

    /// The same with the paths of files beside `folder`, unless they begin at the root.
    #[must_use]
    pub fn beside(mut self, folder: &Path) -> Self {
        self.http = self.http.beside(folder);
        self
    }

    /// How the server is spoken to, with its further headers.
    pub(crate) fn client(&self) -> HttpConfig {
        with_headers(&self.http, &self.headers)
    }
}

const fn one_minute() -> DurationMs {
    DurationMs::from_secs(60)
}

const fn fifty_millions() -> u64 {
    50_000_000
}

const fn yes() -> bool {
    true
}

/// No request has more samples, and no more are under way side by side.
const MOST_SAMPLES: u32 = 1_000_000;
const MOST_SHARDS: u32 = 10_000;

impl RemoteWriteConfig {
    /// Checks what the shape alone does not say.
    ///
    /// # Errors
    /// When a key cannot be, or keys do not fit each other.
    pub fn check(&self) -> Result<(), RemoteConfigError> {
        for (key, section) in
            [("sigv4", self.sigv4), ("azuread", self.azuread), ("google_iam", self.google_iam)]
        {
            section.map_or(Ok(()), |_| Err(RemoteConfigError::Signature(key)))?;
        }
        check_server(&self.url, &self.headers, &self.http, self.remote_timeout)?;
        let queue = &self.queue_config;
        let number = |key, is_right, reason| match is_right {
            true => Ok(()),
            false => Err(RemoteConfigError::Number { key, reason }),
        };
        let (samples, shards) = (1..=MOST_SAMPLES, 1..=MOST_SHARDS);
        number("queue_config.capacity", samples.contains(&queue.capacity), "1 to 1000000 is possible")?;
        number("queue_config.max_shards", shards.contains(&queue.max_shards), "1 to 10000 is possible")?;
        let least = (1..=queue.max_shards).contains(&queue.min_shards);
        number("queue_config.min_shards", least, "1 to `max_shards` is possible")?;
        let sent = samples.contains(&queue.max_samples_per_send);
        number("queue_config.max_samples_per_send", sent, "1 to 1000000 is possible")?;
        let more = "must be more than 0";
        number("queue_config.batch_send_deadline", !is_zero(&queue.batch_send_deadline), more)?;
        number("queue_config.min_backoff", !is_zero(&queue.min_backoff), more)?;
        let longest = queue.max_backoff >= queue.min_backoff;
        number("queue_config.max_backoff", longest, "must not be less than `min_backoff`")?;
        number("metadata_config.send_interval", !is_zero(&self.metadata_config.send_interval), more)?;
        let told = samples.contains(&self.metadata_config.max_samples_per_send);
        number("metadata_config.max_samples_per_send", told, "1 to 1000000 is possible")
    }

    /// The same with the paths of files beside `folder`, unless they begin at the root.
    #[must_use]
    pub fn beside(mut self, folder: &Path) -> Self {
        self.http = self.http.beside(folder);
        self
    }

    /// How the server is spoken to, with its further headers.
    pub(crate) fn client(&self) -> HttpConfig {
        with_headers(&self.http, &self.headers)
    }
}

/// Checks that no two servers have one name.
///
/// # Errors
/// When two have.
pub fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), RemoteConfigError> {
    let mut known = std::collections::BTreeSet::new();
    for name in names.filter(|name| !name.is_empty()) {
        if !known.insert(name) {
            return Err(RemoteConfigError::Twice(name.to_owned()));
        }
    }
    Ok(())
}

fn check_server(
    url: &ServerUrl,
    headers: &BTreeMap<String, String>,
    http: &HttpConfig,
    timeout: DurationMs,
) -> Result<(), RemoteConfigError> {
    let is_address = |url: reqwest::Url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    if !reqwest::Url::parse(url.expose()).is_ok_and(is_address) {
        return Err(RemoteConfigError::Url);
    }
    if let Some(own) = headers.keys().find(|name| OWN_HEADERS.contains(&&*name.to_ascii_lowercase())) {
        return Err(RemoteConfigError::Header(own.clone()));
    }
    if is_zero(&timeout) {
        return Err(RemoteConfigError::Number { key: "remote_timeout", reason: "must be more than 0" });
    }
    Ok(with_headers(http, headers).check()?)
}

fn with_headers(http: &HttpConfig, headers: &BTreeMap<String, String>) -> HttpConfig {
    let mut http = http.clone();
    for (name, value) in headers {
        let header = http.http_headers.entry(name.clone()).or_default();
        // What stands there may be secret, as in Prometheus a token often is.
        header.secrets.push(Secret::new(value.clone()));
    }
    http
}

const fn thirty_seconds() -> DurationMs {
    DurationMs::from_secs(30)
}

fn is_no(flag: &bool) -> bool {
    !flag
}

fn is_zero(duration: &DurationMs) -> bool {
    *duration == DurationMs::ZERO
}
