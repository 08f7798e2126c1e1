//! `HttpClient`: how we speak to another server over HTTP: who we say to be, and how the connection is
//! secured. What is secret in it is never shown. Sends nothing itself.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{
    Certificate, Client, ClientBuilder, Identity, Url,
    header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue},
    tls::Version,
};
use serde::Deserialize;
use skopos_base::secret::Secret;
use std::{
    net::{IpAddr, ToSocketAddrs as _},
    time::Duration,
};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(300);

/// How we say who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// With a name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret<String>,
    },
    /// With the value of the header `Authorization`: a type and what it needs.
    Authorization {
        /// `Bearer`, in most places.
        kind: String,
        /// The secret.
        secret: Secret<String>,
    },
}

impl Credentials {
    /// The value of the header `Authorization`, marked so that nothing that shows headers shows it.
    pub(crate) fn header(&self) -> Result<Option<HeaderValue>, String> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Basic { username, password } => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{}", password.expose())))
            }
            Self::Authorization { kind, secret } => format!("{kind} {}", secret.expose()),
        };
        // The error of the conversion could show what was converted.
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "credentials: they have characters that no header may have".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
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

impl TlsVersion {
    const fn version(self) -> Version {
        match self {
            Self::Tls10 | Self::Tls11 | Self::Tls12 => Version::TLS_1_2,
            Self::Tls13 => Version::TLS_1_3,
        }
    }
}

/// Whose certificate is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// That of the server that is asked, signed by somebody who is believed.
    #[default]
    Full,
    /// Anybody's (`insecure_skip_verify`).
    None,
}

/// How a server of TLS is known, and how it knows us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsClient {
    /// The certificates (PEM) that vouch for the server. Without them, those of the system do.
    pub authorities: Option<Vec<u8>>,
    /// Our certificate and its key (PEM).
    pub identity: Option<Secret<Vec<u8>>>,
    /// Whose certificate is believed.
    pub verification: Verification,
    /// The name that the server is asked for and that its certificate must have, where it is not that of the
    /// address.
    pub server_name: Option<String>,
    /// The oldest version.
    pub min_version: Option<TlsVersion>,
    /// The newest version.
    pub max_version: Option<TlsVersion>,
}

/// How we speak to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpClient {
    /// How we say who we are.
    pub credentials: Credentials,
    /// How the connection is secured.
    pub tls: TlsClient,
}

impl HttpClient {
    /// A client of the server at `url` that is yet to be built, and the address to ask it by.
    ///
    /// # Errors
    /// When a certificate, the key or the credentials are none, or the server of another name has no address.
    pub fn builder_for(&self, mut url: Url) -> Result<(ClientBuilder, Url), String> {
        // The provider is one for the whole process; whoever comes second finds it there.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let tls = &self.tls;
        let mut builder = Client::builder()
            .user_agent(concat!("Skopos/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .tls_danger_accept_invalid_certs(tls.verification == Verification::None);
        if let Some(pem) = &tls.authorities {
            let all = Certificate::from_pem_bundle(pem).map_err(|e| format!("tls_config: ca: {e}"))?;
            if all.is_empty() {
                return Err("tls_config: ca: there is no certificate in it".to_owned());
            }
            builder = builder.tls_certs_only(all);
        }
        if let Some(pem) = &tls.identity {
            let identity = Identity::from_pem(pem.expose()).map_err(|e| format!("tls_config: cert: {e}"))?;
            builder = builder.identity(identity);
        }
        if let Some(version) = tls.min_version {
            builder = builder.tls_version_min(version.version());
        }
        if let Some(version) = tls.max_version {
            if version < TlsVersion::Tls12 {
                return Err("tls_config: max_version: TLS before 1.2 is not spoken".to_owned());
            }
            builder = builder.tls_version_max(version.version());
        }
        let mut headers = HeaderMap::new();
        if let Some(value) = self.credentials.header()? {
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(name) = tls.server_name.as_deref().filter(|_| url.scheme() == "https") {
            headers.insert(HOST, authority(&url)?);
            builder = under_name(builder, &mut url, name)?;
        }
        Ok((builder.default_headers(headers), url))
    }
}

/// The host and, where it is not the usual one, the port.
fn authority(url: &Url) -> Result<HeaderValue, String> {
    let host = url.host_str().unwrap_or_default();
    let text = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::from_str(&text).map_err(|_| format!("{host:?} is no host"))
}

/// Asks for `name` where `url` leads to: the name is what the handshake is about, and the address is that of
/// the host that stood there.
fn under_name(builder: ClientBuilder, url: &mut Url, name: &str) -> Result<ClientBuilder, String> {
    let wrong = |what: &str| format!("tls_config: server_name: {what}");
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if host.eq_ignore_ascii_case(name) {
        return Ok(builder);
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err(wrong("an address cannot be asked for in the place of another: write a name"));
    }
    let port = url.port_or_known_default().unwrap_or(443);
    let found = (host.as_str(), port).to_socket_addrs().map_err(|e| wrong(&format!("{host}: {e}")))?;
    let addresses: Vec<_> = found.collect();
    url.set_host(Some(name)).map_err(|e| wrong(&format!("{name:?} is no name: {e}")))?;
    Ok(builder.resolve_to_addrs(name, &addresses))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        Url::parse("https://127.0.0.1:9/p").unwrap()
    }

    #[test]
    fn nothing_that_is_printed_shows_a_secret() {
        let hush = || Secret::new("hush".to_owned());
        let basic = Credentials::Basic { username: "me".to_owned(), password: hush() };
        let token = Credentials::Authorization { kind: "Bearer".to_owned(), secret: hush() };
        for (credentials, visible) in [(basic, "me"), (token, "Bearer")] {
            let identity = Some(Secret::new(b"hush".to_vec()));
            let header = credentials.header().unwrap().unwrap();
            assert!(header.is_sensitive());
            let tls = TlsClient { identity, ..TlsClient::default() };
            let client = HttpClient { credentials, tls };
            let shown = format!("{client:?} {client:#?} {header:?}");
            assert!(shown.contains("<secret>") && shown.contains(visible), "{shown}");
            // As text, as bytes, and as it is encoded.
            for secret in ["hush", "104, 117", "bWU6aHVzaA"] {
                assert!(!shown.contains(secret), "{shown}");
            }
            let client = HttpClient { tls: TlsClient::default(), ..client };
            let (builder, _) = client.builder_for(url()).unwrap();
            let shown = format!("{builder:?}");
            let shown = format!("{shown} {:?}", builder.build().unwrap());
            assert!(!shown.contains("hush") && !shown.contains("bWU6aHVzaA"), "{shown}");
        }
        let wrong =
            Credentials::Authorization { kind: "a".to_owned(), secret: Secret::new("hush\n".to_owned()) };
        assert!(!wrong.header().unwrap_err().contains("hush"));
    }

    #[test]
    fn a_server_of_another_name_is_asked_for_by_it() {
        let tls = TlsClient { server_name: Some("mon.example".to_owned()), ..TlsClient::default() };
        let client = HttpClient { tls, ..HttpClient::default() };
        let asked =
            |text: &str| client.builder_for(Url::parse(text).unwrap()).map(|(_, url)| url.to_string());
        assert_eq!(asked("https://127.0.0.1:9/p").unwrap(), "https://mon.example:9/p");
        assert_eq!(asked("https://mon.example/p").unwrap(), "https://mon.example/p");
        assert_eq!(asked("http://127.0.0.1:9/p").unwrap(), "http://127.0.0.1:9/p");
        let tls = TlsClient { server_name: Some("10.0.0.1".to_owned()), ..TlsClient::default() };
        let refused = HttpClient { tls, ..HttpClient::default() }.builder_for(url());
        assert!(refused.unwrap_err().contains("server_name"));
    }

    #[test]
    fn versions_that_are_not_spoken_are_refused() {
        use TlsVersion::{Tls10, Tls11, Tls12, Tls13};
        let with = |min_version: Option<TlsVersion>, max_version: Option<TlsVersion>| {
            let tls = TlsClient { min_version, max_version, ..TlsClient::default() };
            HttpClient { tls, ..HttpClient::default() }.builder_for(url()).map(|(builder, _)| builder.build())
        };
        for (min, max) in [
            (None, None),
            (Some(Tls10), None),
            (Some(Tls12), Some(Tls12)),
            (Some(Tls13), Some(Tls13)),
            (Some(Tls11), Some(Tls13)),
        ] {
            assert!(with(min, max).unwrap().is_ok(), "{min:?} {max:?}");
        }
        assert!(with(Some(Tls10), Some(Tls11)).is_err());
    }
}
