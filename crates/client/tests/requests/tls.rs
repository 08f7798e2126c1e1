//! Secured connections: how a server is known, and how it knows us.

use crate::{
    client, config, get,
    server::{Server, text},
    write,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde_json::json;
use skopos_base::sim::SimWorld;
use skopos_client::{ClientOptions, HttpClient};
use std::sync::{Arc, Mutex};

/// Somebody who signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate of this name, and its key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A server of this name, which asks clients for certificates if `of` is there.
    fn server(&self, name: &str, of: Option<&Self>) -> Arc<ServerConfig> {
        let _already = rustls::crypto::ring::default_provider().install_default();
        let (certificate, key) = self.sign(name);
        let builder = ServerConfig::builder();
        let builder = match of {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(&authority.pem));
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap(),
                )
            }
        };
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(certificates(&certificate), key).unwrap())
    }
}

fn certificates(pem: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_server_is_known_by_its_name_and_by_who_vouches_for_it() {
    let env = SimWorld::new(1).env();
    let (good, other) = (Authority::new(), Authority::new());
    let served = good.server("mon.example", None);
    let server = Server::start_tls(move || Arc::clone(&served), |asked| text(&asked.header("host")));
    let url = format!("https://127.0.0.1:{}/", server.port);
    let host = format!("127.0.0.1:{}", server.port);
    let ask = async |tls: serde_json::Value| get(&client(&env, json!({"tls_config": tls})), &url).await;
    let (pem, wrong) = (&good.pem, &other.pem);
    let named = ask(json!({"ca": pem, "server_name": "mon.example"})).await;
    assert_eq!(named.unwrap().1, host, "the name is of the handshake alone");
    for tls in [
        json!({}),
        json!({"ca": pem}),
        json!({"ca": pem, "server_name": "other.example"}),
        json!({"ca": wrong, "server_name": "mon.example"}),
    ] {
        let error = ask(tls.clone()).await.unwrap_err();
        assert!(error.contains("certificate"), "{tls}: {error}");
    }
    assert_eq!(ask(json!({"insecure_skip_verify": true})).await.unwrap().1, host);
    let versions =
        json!({"ca": pem, "server_name": "mon.example", "min_version": "TLS10", "max_version": "TLS12"});
    assert_eq!(ask(versions).await.unwrap().1, host);
    let error = ask(json!({"ca": pem, "server_name": "10.0.0.1"})).await.unwrap_err();
    assert!(error.contains("server_name"), "{error}");
    for (tls, said) in [
        (json!({"ca": "no certificate"}), "tls_config: ca: there is no certificate"),
        (json!({"ca_file": "/gone"}), "/gone"),
        (json!({"cert": "x", "key": "hush"}), "tls_config: cert"),
    ] {
        let http = config(json!({"tls_config": tls}));
        let error = HttpClient::new(&http, &ClientOptions::default(), &env.fs).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn our_certificate_is_shown_and_taken_anew_from_its_files() {
    let env = SimWorld::new(1).env();
    let ours = [Authority::new(), Authority::new()];
    let certificates = [ours[0].sign("me"), ours[1].sign("me")];
    let theirs = Authority::new();
    let served = Arc::new(Mutex::new(theirs.server("localhost", Some(&ours[0]))));
    let server = {
        let served = Arc::clone(&served);
        Server::start_tls(move || Arc::clone(&served.lock().unwrap()), |_| text("welcome"))
    };
    let url = format!("https://localhost:{}/", server.port);
    let install = |(certificate, key): &(String, String)| {
        write(&env, "/cert", certificate);
        write(&env, "/key", key);
    };
    let alone = json!({"tls_config": {"ca": theirs.pem}});
    get(&client(&env, alone), &url).await.unwrap_err();
    install(&certificates[0]);
    let tls = json!({"ca": theirs.pem, "cert_file": "/cert", "key_file": "/key"});
    let client = client(&env, json!({"tls_config": tls}));
    assert_eq!(get(&client, &url).await.unwrap().1, "welcome");
    // What cannot be used, as somebody writes it, changes nothing.
    write(&env, "/cert", "-----BEGIN CERT");
    assert_eq!(get(&client, &url).await.unwrap().1, "welcome");
    *served.lock().unwrap() = theirs.server("localhost", Some(&ours[1]));
    get(&client, &url).await.unwrap_err();
    install(&certificates[1]);
    assert_eq!(get(&client, &url).await.unwrap().1, "welcome");
}
