//! Which clients' certificates are good: signed by one of ours or by anybody, and with one of the names that
//! are allowed.

use crate::config::TlsConfig;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::{net::IpAddr, sync::Arc};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// The verifier that `config`, which asks for certificates, describes.
pub(crate) fn verifier(
    config: &TlsConfig,
    roots: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let auth = config.client_auth_type;
    let signed_by: Arc<dyn ClientCertVerifier> = if auth.verifies() {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(|e| format!("client_ca: {e}"))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        let builder = if auth.requires() { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|e| format!("client_ca: {e}"))?
    } else {
        Arc::new(Anybody {
            required: auth.requires(),
            algorithms: provider.signature_verification_algorithms,
        })
    };
    if config.client_allowed_sans.is_empty() {
        return Ok(signed_by);
    }
    Ok(Arc::new(Named { signed_by, allowed: config.client_allowed_sans.clone() }))
}

/// Any certificate, whose key the client must have.
#[derive(Debug)]
struct Anybody {
    required: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Certificates with one of the allowed names, on top of what `signed_by` demands.
#[derive(Debug)]
struct Named {
    signed_by: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl ClientCertVerifier for Named {
    fn client_auth_mandatory(&self) -> bool {
        self.signed_by.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed_by.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.signed_by.verify_client_cert(certificate, intermediates, now)?;
        if has_name(certificate, &self.allowed) {
            return Ok(verified);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed_by.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed_by.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed_by.supported_verify_schemes()
    }
}

/// Whether one of the certificate's alternative names is among `allowed`.
fn has_name(certificate: &CertificateDer<'_>, allowed: &[String]) -> bool {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else { return false };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return false };
    let is_allowed = |name: &str| allowed.iter().any(|a| a == name);
    names.value.general_names.iter().any(|name| match name {
        GeneralName::DNSName(n) | GeneralName::RFC822Name(n) | GeneralName::URI(n) => is_allowed(n),
        GeneralName::IPAddress(bytes) => ip(bytes).is_some_and(|ip| is_allowed(&ip.to_string())),
        _ => false,
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    #[test]
    fn names_addresses_and_uris_are_compared_as_they_are() {
        let mut params = CertificateParams::new(vec!["scraper.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress("127.0.0.7".parse().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://example/a".try_into().unwrap()));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let allows = |name: &str| has_name(certificate.der(), &[name.to_owned()]);
        for name in ["scraper.example", "127.0.0.7", "spiffe://example/a"] {
            assert!(allows(name), "{name}");
        }
        for name in ["", "example", "SCRAPER.example", "127.0.0.1"] {
            assert!(!allows(name), "{name}");
        }
        assert!(!has_name(&CertificateDer::from(vec![1, 2, 3]), &["a".to_owned()]));
    }
}
