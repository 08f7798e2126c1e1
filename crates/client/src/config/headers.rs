//! Headers that are sent with each request.

use super::HttpConfigError;
use crate::secret_text::SecretText;
use reqwest::header::HeaderName;
use serde::{Deserialize, Serialize};
use skopos_base::secret::Secret;
use skopos_model::null_is_default;
use std::path::PathBuf;

/// The values of a header: those that may be shown, those that may not, those that stand in files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderConfig {
    /// Those that may be shown.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Those that may not.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret<String>>,
    /// The files of others.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
}

/// Headers that say how the request is made: they are not the file's to say.
const RESERVED: [&str; 16] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "user-agent",
    "www-authenticate",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
];

impl HeaderConfig {
    /// A secret value alone.
    pub fn secret(value: Secret<String>) -> Self {
        Self { secrets: vec![value], ..Self::default() }
    }

    pub(super) fn check(&self, name: &str) -> Result<(), HttpConfigError> {
        let wrong = |reason| HttpConfigError::Header { name: name.to_owned(), reason };
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("is no name of a header"))?;
        if RESERVED.contains(&parsed.as_str()) {
            return Err(wrong("says how a request is made and cannot be set here"));
        }
        Ok(())
    }

    /// Whether some of its values may not be shown.
    pub(crate) fn is_secret(&self) -> bool {
        !self.secrets.is_empty() || !self.files.is_empty()
    }

    /// The values in the order in which they are sent.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Value<'_>> {
        let shown = self.values.iter().map(|text| Value::Shown(text));
        let secrets = self.secrets.iter().map(|secret| Value::Secret(SecretText::Here(secret)));
        let files = self.files.iter().map(|file| Value::Secret(SecretText::File(file)));
        shown.chain(secrets).chain(files)
    }
}

/// A value of a header.
pub(crate) enum Value<'a> {
    /// One that may be shown.
    Shown(&'a str),
    /// One that may not.
    Secret(SecretText<'a>),
}
