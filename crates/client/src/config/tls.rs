//! How a connection is secured: how the server is known, and how it knows us.

use super::{HttpConfigError, is_empty};
use serde::{Deserialize, Serialize};
use skopos_base::secret::Secret;
use skopos_model::null_is_default;
use std::path::PathBuf;

/// How a connection is secured. Certificates and the key (PEM) stand here or in files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificates that vouch for the server. Without them, those of the system do.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub ca: String,
    /// Our certificate.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub cert: String,
    /// Its key.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_empty")]
    pub key: Secret<String>,
    /// The file of the certificates that vouch for the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The file of our certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The file of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The name that the server is asked for and that its certificate must have, where it is not that of the
    /// address.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    /// Believe anybody's certificate.
    #[serde(deserialize_with = "null_is_default")]
    pub insecure_skip_verify: bool,
    /// The oldest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
    /// The newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
pub enum TlsVersion {
    /// 1.0, which is not spoken: as the oldest version it stands for 1.2.
    #[serde(rename = "TLS10")]
    Tls10,
    /// 1.1, the same.
    #[serde(rename = "TLS11")]
    Tls11,
    /// 1.2
    #[serde(rename = "TLS12")]
    Tls12,
    /// 1.3
    #[serde(rename = "TLS13")]
    Tls13,
}

impl TlsConfig {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self) -> Result<(), HttpConfigError> {
        for (here, file, keys) in [
            (!self.ca.is_empty(), &self.ca_file, "tls_config's `ca` and `ca_file`"),
            (!self.cert.is_empty(), &self.cert_file, "tls_config's `cert` and `cert_file`"),
            (!is_empty(&self.key), &self.key_file, "tls_config's `key` and `key_file`"),
        ] {
            if here && file.is_some() {
                return Err(HttpConfigError::AtMostOne(keys));
            }
        }
        let has_certificate = !self.cert.is_empty() || self.cert_file.is_some();
        let has_key = !is_empty(&self.key) || self.key_file.is_some();
        if has_certificate != has_key {
            return Err(HttpConfigError::HalfAnIdentity);
        }
        match (self.min_version, self.max_version) {
            (Some(min), Some(max)) if max < min => {
                Err(HttpConfigError::TlsVersions("max_version is older than min_version"))
            }
            (_, Some(max)) if max < TlsVersion::Tls12 => {
                Err(HttpConfigError::TlsVersions("max_version: TLS before 1.2 is not spoken"))
            }
            _ => Ok(()),
        }
    }

    /// Whether something of it stands in files.
    pub(crate) fn has_files(&self) -> bool {
        self.shown_files().next().is_some()
    }

    /// The files, as whoever looks for a fault wants to know them.
    pub(crate) fn shown_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.ca_file.iter().chain(&self.cert_file).chain(&self.key_file)
    }

    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.ca_file.iter_mut().chain(&mut self.cert_file).chain(&mut self.key_file)
    }
}
