//! A real server that speaks TLS alone, with a certificate of its own.

use skopos_testkit::process::Process;
use std::{fs, path::Path, process::Command};

/// A certificate of `localhost` with its key below `folder`, and the authority that vouches for it alone.
pub(crate) fn certificate(folder: &Path, authority: &Path) {
    let issuer_key = rcgen::KeyPair::generate().unwrap();
    let mut issuer = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer_certificate = issuer.self_signed(&issuer_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut subject = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    // With the issuer's name it would be one that vouches for itself.
    subject.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    let signed = subject.signed_by(&key, &rcgen::Issuer::new(issuer, &issuer_key)).unwrap();
    fs::write(folder.join("cert.pem"), signed.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    fs::write(authority, issuer_certificate.pem()).unwrap();
}

/// A Prometheus that speaks TLS alone, with the certificate in `folder`.
pub(crate) fn secured(folder: &Path, address: &str) -> Process {
    fs::write(folder.join("prometheus.yml"), "").unwrap();
    fs::write(folder.join("web.yml"), "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
        .unwrap();
    let mut command = Command::new("prometheus");
    let listen = format!("--web.listen-address={address}");
    command.current_dir(folder).args([
        "--web.enable-remote-write-receiver",
        "--config.file=prometheus.yml",
        "--web.config.file=web.yml",
    ]);
    command.args(["--storage.tsdb.path=data", &listen]);
    Process::start("Prometheus", command, &folder.join("log")).unwrap()
}
