//! How `skopos tool` gets through to a server of TLS, and that nothing secret is printed on the way.

use crate::support::{BINARY, PATIENCE};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use skopos_testkit::{port::free_port, process::Process, wait_until};
use std::{fs, path::Path, process::Command};

const NAME: &str = "mon.example";
const PASSWORD: &str = "open-sesame";

/// Writes the certificate of an authority and, signed by it, one for `NAME`.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec![NAME.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("cert.pem"), signed.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

/// A server of TLS 1.2 that one user may ask, and its address.
fn serve(folder: &Path) -> (Process, String) {
    certificates(folder);
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    let config = format!(
        "tls_server_config: {{cert_file: cert.pem, key_file: key.pem, max_version: TLS12}}\n\
         basic_auth_users: {{me: '{hash}'}}\n"
    );
    fs::write(folder.join("web.yml"), config).unwrap();
    fs::write(folder.join("skopos.yml"), "global: {}\n").unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(BINARY);
    command.current_dir(folder).args([
        "server",
        "--config.file=skopos.yml",
        "--web.config.file=web.yml",
        "--log.level=debug",
        &format!("--web.listen-address={address}"),
    ]);
    let server = Process::start("skopos server", command, &folder.join("log")).unwrap();
    wait_until("the server to be ready", PATIENCE, || {
        server.log().contains("ready: open https").then_some(())
    });
    (server, format!("https://{address}"))
}

#[test]
fn servers_of_tls_are_known_by_their_names_and_no_password_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let (server, url) = serve(folder.path());
    let right = format!("basic_auth: {{username: me, password: {PASSWORD}}}");
    let wrong = "basic_auth: {username: me, password: hush-hush}";
    let named = format!("ca_file: ca.pem, server_name: {NAME}");
    for (tls, credentials, words) in [
        (named.as_str(), right.as_str(), Ok("1")),
        ("insecure_skip_verify: true", &right, Ok("1")),
        (&format!("{named}, min_version: TLS12, max_version: TLS13"), &right, Ok("1")),
        // The certificate is not one for an address.
        ("ca_file: ca.pem", &right, Err("certificate")),
        ("ca_file: ca.pem, server_name: other.example", &right, Err("certificate")),
        // Nobody who is known signed it.
        (&format!("server_name: {NAME}"), &right, Err("certificate")),
        (&format!("{named}, min_version: TLS13"), &right, Err("")),
        (&named, wrong, Err("401")),
        (&named, "bearer_token: hush-hush", Err("401")),
    ] {
        fs::write(folder.path().join("http.yml"), format!("tls_config: {{{tls}}}\n{credentials}\n")).unwrap();
        let ask = |arguments: &[&str]| {
            let mut command = Command::new(BINARY);
            command.current_dir(folder.path()).env("RUST_BACKTRACE", "0").arg("tool");
            let output = command.args(arguments).output().unwrap();
            let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (out, error) = (shown(&output.stdout), shown(&output.stderr));
            assert!(![PASSWORD, "hush-hush"].iter().any(|s| out.contains(s) || error.contains(s)), "{error}");
            if output.status.success() { Ok(out) } else { Err(error) }
        };
        let file = "--http.config.file=http.yml";
        match (ask(&["query", file, "--header=X-Token=hush-hush", "instant", &url, "1"]), words) {
            (Ok(out), Ok(words)) => assert!(out.contains(words), "{tls} {credentials}: {out}"),
            (Err(error), Err(words)) => assert!(error.contains(words), "{tls} {credentials}: {error}"),
            (got, _) => panic!("{tls} {credentials}: {got:?}"),
        }
    }
    let log = server.log();
    for secret in [PASSWORD, "hush-hush", "$2", "PRIVATE KEY"] {
        assert!(!log.contains(secret), "{log}");
    }
}
