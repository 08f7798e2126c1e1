//! TLS settings: a checked configuration and its PEM texts become what rustls serves with.

use crate::{
    client_certificate,
    config::{ClientAuth, TlsConfig, TlsVersion},
};
use rustls::{
    NamedGroup, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, SupportedKxGroup, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use skopos_base::secret::Secret;
use std::sync::Arc;

/// The texts that the configuration holds or names.
pub(crate) struct Pem {
    pub cert: Vec<u8>,
    pub key: Secret<Vec<u8>>,
    pub client_ca: Vec<u8>,
}

/// Which versions of HTTP a client may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    Http1,
    /// HTTP/2 too, which is preferred.
    Both,
}

/// What rustls serves with. The error names the key of the section.
pub(crate) fn server_config(
    config: &TlsConfig,
    offered: Offered,
    pem: &Pem,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(provider(config)?);
    let chain = certificates(&pem.cert).map_err(|e| format!("cert: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(pem.key.expose())
        .map_err(|e| format!("key: no usable private key: {e}"))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(config))
        .map_err(|e| format!("min_version and cipher_suites: {e}"))?;
    let builder = match config.client_auth_type {
        ClientAuth::NoClientCert => builder.with_no_client_auth(),
        _ => {
            let roots = certificates_or_none(&pem.client_ca).map_err(|e| format!("client_ca: {e}"))?;
            builder.with_client_cert_verifier(client_certificate::verifier(config, roots, &provider)?)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|e| format!("cert and key: {e}"))?;
    server.ignore_client_order = config.prefer_server_cipher_suites;
    let protocols: &[&[u8]] = match offered {
        Offered::Both => &[b"h2", b"http/1.1"],
        Offered::Http1 => &[b"http/1.1"],
    };
    server.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(server))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = certificates_or_none(pem)?;
    if found.is_empty() { Err("there is no certificate (PEM)".to_owned()) } else { Ok(found) }
}

fn certificates_or_none(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| e.to_string())
}

fn versions(config: &TlsConfig) -> Vec<&'static SupportedProtocolVersion> {
    let offered = [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
    let wanted = |v: &TlsVersion| (config.min_version..=config.max_version).contains(v);
    offered.into_iter().filter(|(v, _)| wanted(v)).map(|(_, v)| v).collect()
}

fn provider(config: &TlsConfig) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    if !config.cipher_suites.is_empty() {
        // The list is about TLS 1.2; all suites of 1.3 are good.
        let (newer, older): (Vec<_>, Vec<_>) =
            provider.cipher_suites.iter().copied().partition(|s| s.tls13().is_some());
        let named = config.cipher_suites.iter().map(|name| suite(name, &newer, &older));
        let named = named.collect::<Result<Vec<_>, _>>()?;
        provider.cipher_suites = newer;
        provider.cipher_suites.extend(named.into_iter().filter(|s| s.tls13().is_none()));
    }
    if !config.curve_preferences.is_empty() {
        let groups = config.curve_preferences.iter().map(|name| curve(name, &provider.kx_groups));
        provider.kx_groups = groups.collect::<Result<_, _>>()?;
    }
    Ok(provider)
}

/// The name in the registry of TLS, which Go uses too.
fn registered_name(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    name.strip_prefix("TLS13_").map_or(name.clone(), |rest| format!("TLS_{rest}"))
}

fn suite(
    name: &str,
    newer: &[SupportedCipherSuite],
    older: &[SupportedCipherSuite],
) -> Result<SupportedCipherSuite, String> {
    // Go has two names for one suite.
    let plain = name.strip_suffix("_SHA256").filter(|n| n.ends_with("POLY1305")).unwrap_or(name);
    let same = |s: &&SupportedCipherSuite| {
        let registered = registered_name(s);
        registered == name || registered.strip_suffix("_SHA256") == Some(plain)
    };
    newer.iter().chain(older).find(same).copied().ok_or_else(|| {
        let offered: Vec<_> = older.iter().map(registered_name).collect();
        format!("cipher_suites: {name:?} is unknown or weak; offered are {}", offered.join(", "))
    })
}

fn curve(
    name: &str,
    groups: &[&'static dyn SupportedKxGroup],
) -> Result<&'static dyn SupportedKxGroup, String> {
    let wanted = match name {
        "CurveP256" => NamedGroup::secp256r1,
        "CurveP384" => NamedGroup::secp384r1,
        "X25519" => NamedGroup::X25519,
        _ => NamedGroup::Unknown(0),
    };
    groups.iter().find(|g| g.name() == wanted).copied().ok_or_else(|| {
        format!("curve_preferences: {name:?} is not offered; CurveP256, CurveP384 and X25519 are")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_curves_go_by_gos_names() {
        let with = |suites: &[&str], curves: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
            let config = TlsConfig {
                cipher_suites: own(suites),
                curve_preferences: own(curves),
                ..Default::default()
            };
            provider(&config)
        };
        let both = ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"];
        let provider = with(&both, &["CurveP384", "X25519"]).unwrap();
        let older: Vec<_> = provider.cipher_suites.iter().filter(|s| s.tls13().is_none()).collect();
        let names: Vec<_> = older.iter().map(|s| registered_name(s)).collect();
        assert_eq!(names, ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", both[1]]);
        let groups: Vec<_> = provider.kx_groups.iter().map(|g| g.name()).collect();
        assert_eq!(groups, [NamedGroup::secp384r1, NamedGroup::X25519]);
        assert!(with(&["TLS_RSA_WITH_RC4_128_SHA"], &[]).is_err());
        assert!(with(&[], &["CurveP521"]).unwrap_err().contains("CurveP521"));
    }

    #[test]
    fn old_versions_are_not_offered() {
        let of = |min, max| {
            versions(&TlsConfig { min_version: min, max_version: max, ..TlsConfig::default() }).len()
        };
        assert_eq!(of(TlsVersion::Tls10, TlsVersion::Tls13), 2);
        assert_eq!(of(TlsVersion::Tls13, TlsVersion::Tls13), 1);
        assert_eq!(of(TlsVersion::Tls12, TlsVersion::Tls12), 1);
    }
}
