//! Clients written for Prometheus, as their users have them: PyPI's prometheus-api-client, npm's
//! codemirror-promql, promtool over TLS; and a validator of OpenAPI on our description of the API.

use crate::support::{BINARY, PATIENCE, server, server_scraping, wait_for_value};
use serde_json::{Value, json};
use skopos_testkit::{
    free_port,
    misbehaving::{Misbehaviour, Server},
    peers,
    service::Service,
    wait_until,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const BODY: &str = "a{x=\"1\"} 1.5\na{x=\"ü\"} 2\n# HELP h How long.\n# TYPE h histogram\n\
    h_bucket{le=\"+Inf\"} 4\nh_sum 1\nh_count 4\nlast 3\n";

/// A file below the folder of what the set-up installed.
#[track_caller]
fn installed(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let file = root.join(".peers").join(path);
    assert!(file.exists(), "there is no {}; run `cargo xtask setup`", file.display());
    file
}

#[test]
fn clients_of_other_servers_push() {
    let statsd = free_port();
    let server = server()
        .config("global: {scrape_interval: 200ms}\n")
        .flag("--push.enable=influx,pushgateway")
        .flag(&format!("--statsd.listen-address=127.0.0.1:{statsd}"))
        .flag("--statsd.flush-interval=200ms")
        .start();
    let address = server.address();
    let (_, port) = address.rsplit_once(':').unwrap();
    let output = Command::new(installed("venv/bin/python"))
        .arg(script("push_clients.py"))
        .args([&server.url(""), port, &statsd.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (query, expected) in [
        ("old_load{host=\"a b\",db=\"mine\"}", 1.5),
        ("old_on", 1.0),
        ("new_load{host=\"ü\"}", 2.0),
        ("pushed_last{job=\"py\",path=\"/a/b\",what=\"it\"}", 7.0),
        ("pushed_seconds_bucket{job=\"py\",le=\"0.5\"}", 1.0),
        // What was deleted may have been scraped before.
        ("count(pushed_seconds_bucket{le=\"0.5\"})", 1.0),
        ("count(push_time_seconds)", 1.0),
        ("py_count", 3.0),
        ("py_level", 3.0),
        ("py_took_sum", 0.32),
        ("py_users >= 0", 0.0),
    ] {
        wait_for_value(&server, query, expected);
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

fn scraping() -> (Server, Service) {
    let target = Server::start([Misbehaviour::text(BODY)]);
    let server = server_scraping(&target, "1s").start();
    // The clients round their times to seconds, downwards too: two samples may lie behind the end that they
    // ask for.
    wait_for_value(&server, "min(count_over_time(last[5m])) > bool 4", 1.0);
    (target, server)
}

#[track_caller]
fn answers(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn the_python_client_gets_all_that_it_asks_for() {
    let (_target, server) = scraping();
    let output = Command::new(installed("venv/bin/python"))
        .arg(script("python_client.py"))
        .arg(server.url(""))
        .output()
        .unwrap();
    let mut got = answers(&output);
    for grows in ["ranged", "fetched"] {
        assert!(got[grows].take().as_u64().is_some_and(|n| n > 2), "{grows}");
    }
    let metrics = got["metrics"].take();
    assert!(metrics.as_array().unwrap().iter().any(|m| m == "h_bucket"), "{metrics}");
    let expected = json!({
        "connected": true, "metrics": null, "names": ["__name__", "instance", "job", "le", "x"],
        "jobs": ["j"], "current": ["3"], "labelled": 1, "query": "4", "ranged": null, "fetched": null,
        "series": 2, "targets": 1, "pools": ["j"],
        "metadata": "histogram",
    });
    assert_eq!(got, expected);
}

#[test]
fn the_client_of_the_editor_gets_all_that_it_asks_for() {
    let (_target, server) = scraping();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.peers/node/node");
    let node = if own.exists() { own } else { PathBuf::from("node") };
    let output = Command::new(node)
        .arg(script("codemirror_promql.cjs"))
        .arg(server.url(""))
        .env("NODE_PATH", installed("clients/node_modules"))
        .output()
        .unwrap();
    let got = answers(&output);
    let each = &got["POST"];
    assert_eq!(got["failed"], json!([]));
    assert_eq!(each, &got["GET"]);
    assert_eq!(
        (&each["names"], &each["jobs"], &each["values"]),
        (&json!(["__name__", "instance", "job", "le", "x"]), &json!(["j"]), &json!(["1", "ü"]))
    );
    assert!(each["metrics"].as_array().unwrap().contains(&json!("last")), "{each}");
    assert_eq!(
        (&each["series"], &each["type"], &each["flags"]),
        (&json!(2), &json!("histogram"), &json!("2m"))
    );
}

#[test]
fn the_description_of_the_api_is_valid() {
    let server = server().start();
    let file = server.folder().join("openapi.yaml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        Command::new(installed("venv/bin/openapi-spec-validator")).arg(&file).output().unwrap()
    };
    for (parameter, version) in [("", "3.1.0"), ("?openapi_version=3.2", "3.2.0")] {
        let document = server.get(&format!("/api/v1/openapi.yaml{parameter}"));
        assert_eq!(document.header("content-type"), Some("application/yaml; charset=utf-8"));
        assert!(document.text().contains(&format!("\nopenapi: {version}\n")), "{parameter}");
        let good = check(&document.text());
        assert!(good.status.success(), "{good:?}");
        let bad = check(&document.text().replacen("responses:", "answers:", 1));
        assert!(!bad.status.success(), "the validator takes anything");
    }
}

/// A server with TLS and a user, and the file by which promtool speaks to it.
fn secured() -> (tempfile::TempDir, std::process::Child, String) {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let hash = bcrypt::hash("secret", 4).unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("cert.pem", key.cert.pem());
    write("key.pem", key.signing_key.serialize_pem());
    write(
        "web.yml",
        format!(
            "tls_server_config: {{cert_file: cert.pem, key_file: key.pem}}\n\
             basic_auth_users: {{me: '{hash}'}}\n"
        ),
    );
    let ca = folder.path().join("cert.pem");
    write(
        "http.yml",
        format!(
            "basic_auth: {{username: me, password: secret}}\ntls_config: {{ca_file: '{}'}}\n",
            ca.display()
        ),
    );
    let address = format!("localhost:{}", free_port());
    let child = Command::new(BINARY)
        .args(["server", "--web.listen-address", &address])
        .arg(format!("--web.config.file={}", folder.path().join("web.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    (folder, child, format!("https://{address}"))
}

#[test]
fn promtool_asks_over_tls_with_a_user() {
    // That of Debian takes the file, too; it lacks `analyze` alone.
    let promtool_3 = peers::prometheus_3().map(|program| program.with_file_name("promtool"));
    let promtool = promtool_3.clone().unwrap_or_else(|| "promtool".into());
    let (folder, mut child, url) = secured();
    let http = format!("--http.config.file={}", folder.path().join("http.yml").display());
    let ask = |arguments: &[&str]| Command::new(&promtool).arg("query").args(arguments).output().unwrap();
    wait_until("an answer", PATIENCE, || ask(&["instant", &http, &url, "1"]).status.success().then_some(()));
    wait_until("a sample", PATIENCE, || {
        (!ask(&["instant", &http, &url, "up"]).stdout.trim_ascii().is_empty()).then_some(())
    });
    for arguments in [
        vec!["instant", &http, &url, "up"],
        vec!["range", &http, &url, "1"],
        vec!["series", &http, "--match=up", &url],
        vec!["labels", &http, &url, "job"],
    ] {
        let output = ask(&arguments);
        assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}: {output:?}");
    }
    if promtool_3.is_some() {
        let server = format!("--server={url}");
        let analysed = ask(&["analyze", &http, &server, "--type=histogram", "--match=up"]);
        assert!(analysed.status.success(), "{analysed:?}");
    }
    let ours =
        |arguments: &[&str]| Command::new(BINARY).args(["tool", "query"]).args(arguments).output().unwrap();
    let same = ours(&["instant", &http, &url, "count(up)"]);
    assert!(same.status.success() && !same.stdout.is_empty(), "{same:?}");
    assert!(!ours(&["instant", &url, "1"]).status.success(), "our own tool believes a stranger");
    let stranger = ask(&["instant", &url, "1"]);
    assert!(!stranger.status.success(), "without credentials and certificate it must not work");
    child.kill().unwrap();
    child.wait().unwrap();
}
