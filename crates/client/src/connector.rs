//! A configuration becomes a client of the HTTP library. What stands in files is read anew for each request,
//! and where it changed the client is made anew.

use crate::{
    answer::chain,
    client::{ClientOptions, Redirects},
    config::{ProxyConfig, TlsConfig, TlsVersion},
    denied::DeniedAddresses,
    names::{Allowed, Always, InTurn, Renamed},
    secret_text::{SecretText, read_text},
};
use parking_lot::Mutex;
use reqwest::{
    Certificate, Client, ClientBuilder, Identity, NoProxy, Proxy, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
    tls::Version,
};
use skopos_base::{
    fs::{Fs, SharedFs},
    secret::Secret,
};
use std::{collections::HashMap, sync::Arc};

/// So many servers of other names have a client of their own; beyond them all are made anew.
const RENAMED_MAX: usize = 10_000;

/// What makes connections.
pub(crate) struct Connector {
    tls: TlsConfig,
    proxy: ProxyConfig,
    options: ClientOptions,
    fs: SharedFs,
    made: Mutex<Made>,
}

/// The clients that were made, and of what.
struct Made {
    contents: Contents,
    /// Whether the files could be used last time: that they cannot is said once.
    are_files_sound: bool,
    client: Client,
    renamed: HashMap<Renamed, Client>,
}

/// What stands in the files of certificates, or in the configuration in their place.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    ca: String,
    cert: String,
    key: Secret<String>,
}

impl Contents {
    fn read(tls: &TlsConfig, fs: &dyn Fs) -> Result<Self, String> {
        let text = |here: &str, file: &Option<std::path::PathBuf>| match file {
            Some(path) => read_text(fs, path),
            None => Ok(here.to_owned()),
        };
        Ok(Self {
            ca: text(&tls.ca, &tls.ca_file)?,
            cert: text(&tls.cert, &tls.cert_file)?,
            key: SecretText::of(&tls.key, tls.key_file.as_deref()).read(fs)?,
        })
    }
}

impl Connector {
    pub(crate) fn new(
        tls: &TlsConfig,
        proxy: &ProxyConfig,
        options: &ClientOptions,
        fs: &SharedFs,
    ) -> Result<Self, String> {
        // The provider is one for the whole process; whoever comes second finds it there.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let contents = Contents::read(tls, &**fs)?;
        let client = build(builder(tls, proxy, options, &contents)?)?;
        let made = Made { contents, are_files_sound: true, client, renamed: HashMap::new() };
        let (tls, proxy, options) = (tls.clone(), proxy.clone(), options.clone());
        Ok(Self { tls, proxy, options, fs: SharedFs::clone(fs), made: Mutex::new(made) })
    }

    /// The client by which this server is asked, with the certificates of now.
    pub(crate) fn client(&self, server: Option<Renamed>) -> Result<Client, String> {
        let mut made = self.made.lock();
        if self.tls.has_files() {
            self.renew(&mut made);
        }
        let Some(server) = server else { return Ok(made.client.clone()) };
        if let Some(client) = made.renamed.get(&server) {
            return Ok(client.clone());
        }
        let resolver = Always(Arc::new(server.clone()), self.options.denied.clone());
        let builder = builder(&self.tls, &self.proxy, &self.options, &made.contents)?;
        let client = build(builder.dns_resolver(resolver))?;
        if made.renamed.len() >= RENAMED_MAX {
            made.renamed.clear();
        }
        made.renamed.insert(server, client.clone());
        Ok(client)
    }

    /// Takes what the files say now. Ones that cannot be used, as somebody writes them, leave what there is.
    fn renew(&self, made: &mut Made) {
        let renewed = Contents::read(&self.tls, &*self.fs).and_then(|contents| {
            if contents == made.contents {
                return Ok(None);
            }
            let client = build(builder(&self.tls, &self.proxy, &self.options, &contents)?)?;
            Ok(Some((contents, client)))
        });
        match renewed {
            Ok(None) => made.are_files_sound = true,
            Ok(Some((contents, client))) => {
                *made = Made { contents, are_files_sound: true, client, renamed: HashMap::new() };
                let files: Vec<_> = self.tls.shown_files().map(|path| path.display().to_string()).collect();
                tracing::info!(files = files.join(", "), "connections have new certificates");
            }
            Err(reason) => {
                if std::mem::take(&mut made.are_files_sound) {
                    tracing::warn!(reason, "new certificates cannot be used: the old ones are");
                }
            }
        }
    }
}

fn build(builder: ClientBuilder) -> Result<Client, String> {
    builder.build().map_err(|e| chain(&e))
}

fn builder(
    tls: &TlsConfig,
    proxy: &ProxyConfig,
    options: &ClientOptions,
    contents: &Contents,
) -> Result<ClientBuilder, String> {
    let mut builder = Client::builder()
        .user_agent(concat!("Skopos/", env!("CARGO_PKG_VERSION")))
        .redirect(allowed(policy(options.redirects), &options.denied))
        .pool_idle_timeout(options.idle)
        .pool_max_idle_per_host(options.idle_per_host)
        .tls_danger_accept_invalid_certs(tls.insecure_skip_verify);
    if let Some(timeout) = options.timeout {
        builder = builder.timeout(timeout);
    }
    if options.round_robin_dns {
        builder = builder.dns_resolver(InTurn::default());
    }
    if !options.may_speak_http2 {
        builder = builder.http1_only();
    }
    builder = through(builder, proxy)?;
    let is_direct = proxy.proxy_url.is_none() && !proxy.proxy_from_environment;
    if is_direct && !options.denied.is_empty() {
        builder = builder.dns_resolver(Arc::new(Allowed(options.denied.clone())));
    }
    if !contents.ca.trim().is_empty() || tls.ca_file.is_some() {
        let all = Certificate::from_pem_bundle(contents.ca.as_bytes());
        let all = all.map_err(|e| format!("tls_config: ca: {}", chain(&e)))?;
        if all.is_empty() {
            return Err("tls_config: ca: there is no certificate in it".to_owned());
        }
        builder = builder.tls_certs_only(all);
    }
    if !contents.cert.is_empty() {
        let pem = Secret::new(format!("{}\n{}\n", contents.cert, contents.key.expose()));
        let identity = Identity::from_pem(pem.expose().as_bytes());
        builder = builder.identity(identity.map_err(|e| format!("tls_config: cert: {}", chain(&e)))?);
    }
    if let Some(version) = tls.min_version {
        builder = builder.tls_version_min(spoken(version));
    }
    if let Some(version) = tls.max_version {
        builder = builder.tls_version_max(spoken(version));
    }
    Ok(builder)
}

fn policy(redirects: Redirects) -> Policy {
    match redirects {
        Redirects::NotFollowed => Policy::none(),
        Redirects::Followed { max } => Policy::limited(max),
        Redirects::FollowedWithinHost { max } => Policy::custom(move |attempt| {
            let first = attempt.previous().first().map(authority);
            match attempt.previous().len() {
                _ if first != Some(authority(attempt.url())) => attempt.stop(),
                followed if followed > max => attempt.error("too many redirects"),
                _ => attempt.follow(),
            }
        }),
    }
}

/// The same, but nowhere that is denied.
fn allowed(policy: Policy, denied: &DeniedAddresses) -> Policy {
    if denied.is_empty() {
        return policy;
    }
    let denied = denied.clone();
    Policy::custom(move |attempt| match denied.check_host(attempt.url().host_str().unwrap_or_default()) {
        Ok(()) => policy.redirect(attempt),
        Err(error) => attempt.error(error),
    })
}

/// Who is asked, and how.
fn authority(url: &Url) -> (String, Option<String>, Option<u16>) {
    (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
}

const fn spoken(version: TlsVersion) -> Version {
    match version {
        TlsVersion::Tls10 | TlsVersion::Tls11 | TlsVersion::Tls12 => Version::TLS_1_2,
        TlsVersion::Tls13 => Version::TLS_1_3,
    }
}

/// Through the proxy that is configured; the environment's alone where that is asked for.
fn through(builder: ClientBuilder, config: &ProxyConfig) -> Result<ClientBuilder, String> {
    let Some(url) = &config.proxy_url else {
        return Ok(if config.proxy_from_environment { builder } else { builder.no_proxy() });
    };
    let url = url.parsed().ok_or("proxy_url: it is no address of a proxy")?;
    let mut headers = HeaderMap::new();
    for (name, values) in &config.proxy_connect_header {
        let parsed = HeaderName::from_bytes(name.as_bytes());
        let parsed = parsed.map_err(|_| format!("proxy_connect_header: {name:?} is no name of a header"))?;
        for value in values {
            headers.append(
                &parsed,
                header_value(value).ok_or_else(|| {
                    format!("proxy_connect_header: the value of {name:?} has characters that none may have")
                })?,
            );
        }
    }
    let proxy = Proxy::all(url).map_err(|e| format!("proxy_url: {}", chain(&e.without_url())))?;
    let proxy = proxy.no_proxy(NoProxy::from_string(&config.no_proxy));
    Ok(builder.proxy(if headers.is_empty() { proxy } else { proxy.headers(headers) }))
}

/// A value, marked so that nothing that shows headers shows it. The error of the conversion could show what
/// was converted, so there is none.
pub(crate) fn header_value(secret: &Secret<String>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
