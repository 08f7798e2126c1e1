//! Who we are by OAuth 2: the server that gives tokens, and what it knows us by.

use super::{HttpConfigError, ProxyConfig, TlsConfig, is_empty};
use crate::secret_text::SecretText;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use skopos_base::secret::Secret;
use skopos_model::null_is_default;
use std::{collections::BTreeMap, path::PathBuf};

/// A server that gives tokens for the credentials of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct OAuth2Config {
    /// Who we are.
    #[serde(deserialize_with = "null_is_default")]
    pub client_id: String,
    /// What proves it.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_empty")]
    pub client_secret: Secret<String>,
    /// The file of what proves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// What the token is to allow.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The server.
    #[serde(deserialize_with = "null_is_default")]
    pub token_url: String,
    /// What it is told too.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoint_params: BTreeMap<String, String>,
    /// How the connection to it is secured.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "TlsConfig::is_default")]
    pub tls_config: TlsConfig,
    /// Through whom it is reached.
    #[serde(flatten, skip_deserializing)]
    pub proxy: ProxyConfig,
}

skopos_model::has_inlined!(OAuth2Config, proxy: ProxyConfig);

impl OAuth2Config {
    pub(super) fn check(&self) -> Result<(), HttpConfigError> {
        if self.client_id.is_empty() {
            return Err(HttpConfigError::Missing("oauth2: `client_id` is missing"));
        }
        if self.token_url.is_empty() {
            return Err(HttpConfigError::Missing("oauth2: `token_url` is missing"));
        }
        if self.url().is_none() {
            return Err(HttpConfigError::Url { key: "oauth2's token_url" });
        }
        if !is_empty(&self.client_secret) && self.client_secret_file.is_some() {
            return Err(HttpConfigError::AtMostOne("oauth2's `client_secret` and `client_secret_file`"));
        }
        self.tls_config.check()?;
        self.proxy.check()
    }

    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.client_secret_file.iter_mut().chain(self.tls_config.files())
    }

    pub(crate) fn url(&self) -> Option<Url> {
        Url::parse(&self.token_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    }

    pub(crate) fn secret(&self) -> SecretText<'_> {
        SecretText::of(&self.client_secret, self.client_secret_file.as_deref())
    }
}
