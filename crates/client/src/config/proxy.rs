//! Through whom a server is reached.

use super::HttpConfigError;
use reqwest::Url;
use serde::{Deserialize, Serialize, Serializer, de::MapAccess};
use skopos_base::secret::Secret;
use skopos_model::inlined::{self, Inlined};
use std::{collections::BTreeMap, fmt};

/// Through whom a server is reached: nobody, unless it is said here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct ProxyConfig {
    /// The proxy, of HTTP, HTTPS or SOCKS 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<ProxyUrl>,
    /// Hosts, domains and networks that are reached without it, with commas between them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_proxy: String,
    /// Whether the environment says it (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub proxy_from_environment: bool,
    /// Headers for the proxy, where it is asked to connect us.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret<String>>>,
}

impl Inlined for ProxyConfig {
    const KEYS: &'static [&'static str] =
        &["proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "proxy_url" => self.proxy_url = map.next_value()?,
            "no_proxy" => self.no_proxy = inlined::value(map)?,
            "proxy_from_environment" => self.proxy_from_environment = inlined::value(map)?,
            _ => {
                let headers = inlined::value::<BTreeMap<_, OneOrMore>, _>(map)?;
                let headers = headers.into_iter().map(|(name, OneOrMore(values))| (name, values));
                self.proxy_connect_header = headers.collect();
            }
        }
        Ok(())
    }
}

/// One value or several.
#[derive(Deserialize)]
#[serde(transparent)]
struct OneOrMore(#[serde(deserialize_with = "super::one_or_more")] Vec<Secret<String>>);

impl ProxyConfig {
    /// Through the proxy at this address, but for some hosts.
    pub fn through(url: &str, no_proxy: &str) -> Self {
        Self { proxy_url: Some(ProxyUrl(url.to_owned())), no_proxy: no_proxy.to_owned(), ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<(), HttpConfigError> {
        let has_url = self.proxy_url.is_some();
        if self.proxy_from_environment && has_url {
            return Err(HttpConfigError::AtMostOne("`proxy_url` and `proxy_from_environment`"));
        }
        if self.proxy_from_environment && !self.no_proxy.is_empty() {
            return Err(HttpConfigError::AtMostOne("`no_proxy` and `proxy_from_environment`"));
        }
        if !self.no_proxy.is_empty() && !has_url {
            return Err(HttpConfigError::Missing("no_proxy: it needs a `proxy_url`"));
        }
        if !self.proxy_connect_header.is_empty() && !has_url && !self.proxy_from_environment {
            return Err(HttpConfigError::Missing(
                "proxy_connect_header: it needs a `proxy_url` or `proxy_from_environment`",
            ));
        }
        let is_proxy = |url: &ProxyUrl| url.parsed().is_some();
        match &self.proxy_url {
            Some(url) if !is_proxy(url) => Err(HttpConfigError::Url { key: "proxy_url" }),
            _ => Ok(()),
        }
    }
}

/// The address of a proxy, shown without the password that it may hold.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct ProxyUrl(String);

impl ProxyUrl {
    /// The address, if it is one of a proxy.
    pub(crate) fn parsed(&self) -> Option<Url> {
        let schemes = ["http", "https", "socks5", "socks5h"];
        Url::parse(&self.0).ok().filter(|url| schemes.contains(&url.scheme()) && url.has_host())
    }

    fn shown(&self) -> String {
        let Some(mut url) = self.parsed() else { return skopos_base::secret::SHOWN.to_owned() };
        if url.password().is_some() && url.set_password(Some("xxxxx")).is_err() {
            return skopos_base::secret::SHOWN.to_owned();
        }
        url.to_string()
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for ProxyUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}
