//! `WebConfig`: the file of `--web.config.file`, in the form that Prometheus and its exporters read, with
//! tokens beside it. Reads no file itself.

use serde::Deserialize;
use skopos_base::secret::Secret;
use skopos_model::DurationMs;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Certificates and what TLS is offered; without a certificate there is no TLS.
    pub tls_server_config: TlsConfig,
    /// HTTP/2 and headers.
    pub http_server_config: HttpConfig,
    /// Names and bcrypt hashes of those who may do everything.
    pub basic_auth_users: BTreeMap<String, Secret<String>>,
    /// How often requests may come.
    pub rate_limit: RateLimitConfig,
    /// Bearer tokens, each for some kinds of request only.
    pub tokens: Vec<TokenConfig>,
}

/// The section `tls_server_config`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate's chain, PEM.
    pub cert: String,
    /// Its key, PEM.
    pub key: Secret<String>,
    /// Who signs clients' certificates, PEM.
    pub client_ca: String,
    /// The file in the place of `cert`.
    pub cert_file: PathBuf,
    /// The file in the place of `key`.
    pub key_file: PathBuf,
    /// The file in the place of `client_ca`.
    pub client_ca_file: PathBuf,
    /// Whether clients need a certificate.
    pub client_auth_type: ClientAuth,
    /// Names of which a client's certificate must have one; empty for any.
    pub client_allowed_sans: Vec<String>,
    /// The oldest version.
    pub min_version: TlsVersion,
    /// The newest version.
    pub max_version: TlsVersion,
    /// The suites of TLS 1.2 by their registered names; empty for all.
    pub cipher_suites: Vec<String>,
    /// Whether our order counts, not the client's.
    pub prefer_server_cipher_suites: bool,
    /// The curves by Go's names; empty for all.
    pub curve_preferences: Vec<String>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            cert: String::new(),
            key: Secret::default(),
            client_ca: String::new(),
            cert_file: PathBuf::new(),
            key_file: PathBuf::new(),
            client_ca_file: PathBuf::new(),
            client_auth_type: ClientAuth::NoClientCert,
            client_allowed_sans: Vec::new(),
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            cipher_suites: Vec::new(),
            prefer_server_cipher_suites: true,
            curve_preferences: Vec::new(),
        }
    }
}

/// Whether clients need a certificate, by Go's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ClientAuth {
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    RequestClientCert,
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// Whether a certificate must be signed by one of ours.
    pub(crate) const fn verifies(self) -> bool {
        matches!(self, Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert)
    }

    /// Whether a connection without a certificate ends.
    pub(crate) const fn requires(self) -> bool {
        matches!(self, Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert)
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TlsVersion {
    #[serde(rename = "TLS10")]
    Tls10,
    #[serde(rename = "TLS11")]
    Tls11,
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

/// The section `http_server_config`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Whether HTTP/2 is offered over TLS.
    pub http2: bool,
    /// Headers of every answer.
    pub headers: BTreeMap<String, String>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { http2: true, headers: BTreeMap::new() }
    }
}

/// The section `rate_limit`: a bucket of `burst` requests that gains one every `interval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitConfig {
    /// The time between two requests; zero for no limit.
    pub interval: DurationMs,
    /// How many may come at once.
    pub burst: u32,
}

/// What a request needs and a token gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Queries, pages, own metrics.
    Read,
    /// Samples coming in.
    Write,
    /// Deletion, snapshots, reload, quit; a token with it may do everything.
    Admin,
}

impl Scope {
    /// As the file writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// One of the `tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// What the log calls it.
    pub name: String,
    /// What it is for.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the token, hexadecimal.
    #[serde(default)]
    pub sha256: String,
    /// A file with the token itself, in the place of `sha256`.
    #[serde(default)]
    pub token_file: PathBuf,
}

/// The headers that may be set, and their values where only some make sense.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

impl TlsConfig {
    /// Whether TLS is asked for at all.
    pub(crate) fn is_on(&self) -> bool {
        !self.cert.is_empty()
            || !self.cert_file.as_os_str().is_empty()
            || !self.key.expose().is_empty()
            || !self.key_file.as_os_str().is_empty()
            || self.has_client_ca()
            || self.client_auth_type != ClientAuth::NoClientCert
    }

    fn has_client_ca(&self) -> bool {
        !self.client_ca.is_empty() || !self.client_ca_file.as_os_str().is_empty()
    }

    fn check(&self) -> Result<(), String> {
        if !self.is_on() {
            return Ok(());
        }
        let pairs = [
            ("cert", self.cert.is_empty(), &self.cert_file, true),
            ("key", self.key.expose().is_empty(), &self.key_file, true),
            ("client_ca", self.client_ca.is_empty(), &self.client_ca_file, false),
        ];
        for (name, inline_missing, file, required) in pairs {
            match (inline_missing, file.as_os_str().is_empty()) {
                (false, false) => return Err(in_tls(&format!("{name} and {name}_file: set one of them"))),
                (true, true) if required => return Err(in_tls(&format!("{name} or {name}_file is missing"))),
                _ => {}
            }
        }
        let auth = self.client_auth_type;
        if self.has_client_ca() && auth == ClientAuth::NoClientCert {
            return Err(in_tls("client_ca is set, and client_auth_type lets every client in: set it too"));
        }
        if auth.verifies() && !self.has_client_ca() {
            return Err(in_tls(
                "client_auth_type verifies certificates: client_ca or client_ca_file is missing",
            ));
        }
        if !self.client_allowed_sans.is_empty() && !auth.requires() {
            return Err(in_tls(
                "client_allowed_sans needs a client_auth_type that requires certificates: \
                 RequireAnyClientCert or RequireAndVerifyClientCert",
            ));
        }
        if self.max_version < self.min_version {
            return Err(in_tls("max_version is older than min_version"));
        }
        if self.max_version < TlsVersion::Tls12 {
            return Err(in_tls(
                "max_version: TLS before 1.2 is broken and not offered: write TLS12 or TLS13",
            ));
        }
        Ok(())
    }
}

fn in_tls(what: &str) -> String {
    format!("tls_server_config: {what}")
}

/// What a bcrypt hash may cost. Each step doubles the time: one of 16 takes seconds, and for every name that
/// is asked for as much is computed as the costliest hash takes.
const COSTS: std::ops::RangeInclusive<u32> = 4..=16;

impl WebConfig {
    /// Checks what the shape does not say. The reason names the key.
    pub fn check(&self) -> Result<(), String> {
        self.tls_server_config.check()?;
        for (name, value) in &self.http_server_config.headers {
            check_header(name, value)?;
        }
        for (user, hash) in &self.basic_auth_users {
            let Ok(parts) = hash.expose().parse::<bcrypt::HashParts>() else {
                return Err(format!(
                    "basic_auth_users: the password of {user:?} is not a bcrypt hash; \
                     `htpasswd -nBC 10 \"\"` makes one"
                ));
            };
            if !COSTS.contains(&parts.get_cost()) {
                let (cost, least, most) = (parts.get_cost(), COSTS.start(), COSTS.end());
                return Err(format!(
                    "basic_auth_users: the hash of {user:?} has the cost {cost}, which must be {least} to \
                     {most}: `htpasswd -nBC 10 \"\"` makes one of 10"
                ));
            }
        }
        if self.rate_limit.interval.as_ms() > 0 && self.rate_limit.burst == 0 {
            return Err("rate_limit: a burst of 0 lets no request in: set it to 1 or more".to_owned());
        }
        self.tokens.iter().try_for_each(TokenConfig::check)
    }

    /// The same with relative paths taken from `folder`, where the file lies.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        let tls = &mut self.tls_server_config;
        let files = [&mut tls.cert_file, &mut tls.key_file, &mut tls.client_ca_file];
        let tokens = self.tokens.iter_mut().map(|t| &mut t.token_file);
        for file in files.into_iter().chain(tokens) {
            if !file.as_os_str().is_empty() && file.is_relative() {
                *file = folder.join(&*file);
            }
        }
        self
    }

    /// The files that it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let tls = &self.tls_server_config;
        let files = [&tls.cert_file, &tls.key_file, &tls.client_ca_file];
        let tokens = self.tokens.iter().map(|t| &t.token_file);
        files.into_iter().chain(tokens).map(PathBuf::as_path).filter(|f| !f.as_os_str().is_empty())
    }
}

impl TokenConfig {
    fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("tokens: {:?}: {what}", self.name));
        if self.scopes.is_empty() {
            return wrong("scopes is empty: write read, write or admin");
        }
        match (self.sha256.is_empty(), self.token_file.as_os_str().is_empty()) {
            (true, true) => wrong("sha256 or token_file is missing"),
            (false, false) => wrong("sha256 and token_file: set one of them"),
            (false, true) if crate::token::digest_of_hex(&self.sha256).is_none() => {
                wrong("sha256 is not 64 hexadecimal digits; `printf %s TOKEN | sha256sum` makes them")
            }
            _ => Ok(()),
        }
    }
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let place = "http_server_config.headers";
    let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<_> = HEADERS.iter().map(|(n, _)| *n).collect();
        return Err(format!("{place}: {name:?} cannot be set; these can: {}", known.join(", ")));
    };
    let fits =
        value.is_empty() || allowed.is_empty() || allowed.iter().any(|a| a.eq_ignore_ascii_case(value));
    if !fits {
        return Err(format!("{place}: {name}: {value:?} is not one of {}", allowed.join(", ")));
    }
    if axum::http::HeaderValue::from_str(value).is_err() {
        return Err(format!("{place}: {name}: the value has characters that no header may have"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut WebConfig)) -> Result<(), String> {
        let mut config = WebConfig::default();
        change(&mut config);
        config.check()
    }

    fn tls(change: impl FnOnce(&mut TlsConfig)) -> Result<(), String> {
        check(|c| {
            (c.tls_server_config.cert_file, c.tls_server_config.key_file) = ("c".into(), "k".into());
            change(&mut c.tls_server_config);
        })
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        let says = |result: Result<(), String>, part: &str| {
            let error = result.expect_err(part);
            assert!(error.contains(part), "{error}");
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert_eq!(tls(|_| {}), Ok(()));
        says(tls(|t| t.key_file = PathBuf::new()), "key or key_file is missing");
        says(tls(|t| t.cert = "x".into()), "cert and cert_file");
        says(tls(|t| t.client_ca_file = "a".into()), "client_auth_type");
        says(
            tls(|t| t.client_auth_type = ClientAuth::RequireAndVerifyClientCert),
            "client_ca_file is missing",
        );
        says(tls(|t| t.client_allowed_sans = vec!["a".into()]), "client_allowed_sans");
        says(tls(|t| t.max_version = TlsVersion::Tls11), "max_version");
        says(check(|c| c.rate_limit.interval = DurationMs::from_secs(1)), "burst of 0");
        says(
            check(|c| drop(c.basic_auth_users.insert("a".into(), Secret::new("plain".into())))),
            "not a bcrypt hash",
        );
        for (cost, is_taken) in [(2, false), (3, false), (4, true), (16, true), (17, false), (99, false)] {
            let hash = format!("$2b${cost:02}$CwTycUXWue0Thq9StjUM0uJ4W5yTzWcUyM4R1F4fFqkH3nZC0q0yO");
            let checked = check(|c| drop(c.basic_auth_users.insert("alice".into(), Secret::new(hash))));
            if is_taken {
                assert_eq!(checked, Ok(()), "{cost}");
            } else {
                says(checked, &format!("the hash of \"alice\" has the cost {cost}"));
            }
        }
        for (name, value, part) in
            [("Server", "x", "cannot be set"), ("X-Frame-Options", "maybe", "is not one of deny, sameorigin")]
        {
            let set =
                |c: &mut WebConfig| drop(c.http_server_config.headers.insert(name.into(), value.into()));
            says(check(set), part);
        }
    }

    #[test]
    fn a_token_has_a_scope_and_one_source() {
        let token = |scopes: &[Scope], sha256: &str, file: &str| TokenConfig {
            name: "t".into(),
            scopes: scopes.to_vec(),
            sha256: sha256.into(),
            token_file: file.into(),
        };
        let hex = "0".repeat(64);
        for (config, good) in [
            (token(&[Scope::Read], &hex, ""), true),
            (token(&[Scope::Read], "", "f"), true),
            (token(&[], &hex, ""), false),
            (token(&[Scope::Read], "", ""), false),
            (token(&[Scope::Read], &hex, "f"), false),
            (token(&[Scope::Read], "00", ""), false),
        ] {
            assert_eq!(config.check().is_ok(), good, "{config:?}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let mut config = WebConfig::default();
        config.basic_auth_users.insert("alice".into(), Secret::new("$2y$hash".into()));
        config.tls_server_config.key = Secret::new("PRIVATE".into());
        let shown = format!("{config:?}");
        assert!(shown.contains("alice") && !shown.contains("hash") && !shown.contains("PRIVATE"), "{shown}");
    }
}
