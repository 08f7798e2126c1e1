//! Lists of targets: in files, over HTTP, in a catalogue of Consul.

use crate::{
    beside::{Ours, same_as_prometheus},
    made_up::{Reply, Request, Server},
};
use serde_json::json;
use skopos_testkit::wait_until;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const GROUPS: &str = r#"[
    {"targets": ["10.0.0.1:9100", "[fd00::1]:9100", "h"], "labels": {"env": "prod", "a b": "x", "e": ""}},
    {"targets": [], "labels": {"none": "1"}},
    {"targets": ["10.0.0.1:9100"], "labels": {"__metrics_path": "/m", "env": "ü\n\"\\"}}
]"#;

fn target(address: &str, more: &str) -> String {
    format!(r#"{{__address__="{address}"{more}}}"#)
}

#[test]
fn files_and_servers_list_the_targets_that_prometheus_finds_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("a.json"), GROUPS).unwrap();
    fs::write(path("b.yml"), "- targets: [x:1, y:2]\n  labels: {a: b}\n- targets: ['z']\n").unwrap();
    let server = Server::new(|request: &Request| {
        assert_eq!(request.header("accept"), "application/json");
        assert_eq!(request.header("x-prometheus-refresh-interval-seconds"), "7");
        Reply::json(GROUPS)
    });
    let files = format!("file_sd_configs:\n- files: ['{}', '{}']", path("*.json"), path("b.yml"));
    let http = format!("http_sd_configs:\n- url: '{}/some/path?q=1'\n  refresh_interval: 7s", server.url());
    same_as_prometheus(&[("file", &files, 7), ("http", &http, 4)]);
}

#[test]
fn a_file_is_read_when_it_changes_and_a_broken_one_keeps_its_targets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yml");
    let ours = Ours::start(&format!("file_sd_configs:\n- files: ['{}']", path.display()));
    let expected = |address: &str| target(address, &format!(r#", __meta_filepath="{}""#, path.display()));
    let renamed = |text: &str| {
        fs::write(folder.path().join("new"), text).unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
    };
    renamed("- targets: [a:1]");
    ours.wait_for(&[expected("a:1")]);
    renamed("- targets: [b:1, c:1]");
    ours.wait_for(&[expected("b:1"), expected("c:1")]);
    renamed("- targets: [");
    let errors = || ours.stats.value("prometheus_sd_file_read_errors_total", &[]);
    wait_until("the broken file to be read", Duration::from_secs(60), || errors().filter(|n| *n > 0.0));
    assert_eq!(ours.targets().len(), 2);
    fs::remove_file(&path).unwrap();
    ours.wait_for(&[]);
}

#[test]
fn a_server_that_fails_keeps_its_targets() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let server = Server::new(move |_: &Request| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::json(r#"[{"targets": ["a:1"]}]"#),
        1 => Reply::status(500),
        2 => Reply::text("text/html", "[]"),
        3 => Reply::json(r#"[{"target": ["a:1"]}]"#),
        4 => Reply::json(r#"[null]"#),
        5 => Reply::json("[{"),
        _ => Reply::json(r#"[{"targets": ["b:1"]}]"#),
    });
    let url = server.url();
    let ours = Ours::start(&format!("http_sd_configs:\n- url: '{url}'\n  refresh_interval: 300ms"));
    let url_label = format!(r#", __meta_url="{url}""#);
    ours.wait_for(&[target("a:1", &url_label)]);
    ours.wait_for(&[target("b:1", &url_label)]);
    let failures = |name| ours.stats.value(name, &[]);
    assert_eq!(failures("prometheus_sd_http_failures_total"), Some(5.0));
    let labels = [("mechanism", "http")];
    assert_eq!(ours.stats.value("prometheus_sd_refresh_failures_total", &labels), Some(5.0));
}

/// The services of a made-up catalogue.
fn consul(request: &Request) -> Reply {
    // Nothing changes: a request that knows the index waits.
    if request.query.contains("index=") {
        return Reply::json("").open();
    }
    let service = |id: &str, address: &str, tags: &[&str]| {
        json!({
            "Node": {
                "ID": "n", "Node": "node1", "Address": "10.1.0.1", "Datacenter": "dc1",
                "TaggedAddresses": {"lan": "10.1.0.1", "wan-v4": "1.2.3.4"},
                "Meta": {"rack.unit": "7", "empty": ""},
            },
            "Service": {
                "ID": id, "Service": "web", "Address": address, "Port": 8080, "Tags": tags,
                "Meta": {"ver-sion": "2"}, "Namespace": "default", "Partition": "part",
            },
            "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "x", "Status": "warning"}],
        })
    };
    let body = match request.path.as_str() {
        "/v1/agent/self" => json!({"Config": {"Datacenter": "dc1"}}),
        "/v1/catalog/services" => json!({"web": ["a", "b"], "db": ["b"], "none": []}),
        "/v1/health/service/web" => {
            json!([service("web1", "", &["a", "b"]), service("web2", "fd00::2", &["a"])])
        }
        "/v1/health/service/db" => json!([service("db1", "db.example", &[])]),
        "/v1/health/service/none" => json!([]),
        _ => return Reply::status(404),
    };
    Reply::json(body).with("X-Consul-Index", 12)
}

/// The label of a target in the catalogue, but for those that begin with `__meta_consul_`.
fn of_consul(address: &str, labels: &[(&str, &str)]) -> String {
    let labels = labels.iter().map(|(name, value)| format!(r#", __meta_consul_{name}="{value}""#));
    target(address, &labels.collect::<String>())
}

#[test]
fn services_of_consul_are_targets_with_what_it_knows_of_them() {
    let server = Server::new(consul);
    let config =
        |more: &str| Ours::start(&format!("consul_sd_configs:\n- server: '{}'\n{more}", server.address));
    let web = |id: &str, address: &str, own: &str, dc: &str, tags: &str| {
        let mut labels = vec![("address", "10.1.0.1"), ("dc", dc), ("health", "warning")];
        labels.extend([("metadata_rack_unit", "7"), ("namespace", "default"), ("node", "node1")]);
        labels.extend([("partition", "part"), ("service", "web"), ("service_address", own)]);
        labels.extend([("service_id", id), ("service_metadata_ver_sion", "2"), ("service_port", "8080")]);
        labels.extend([("tagged_address_lan", "10.1.0.1"), ("tagged_address_wan_v4", "1.2.3.4")]);
        labels.push(("tags", tags));
        labels.retain(|(_, value)| !value.is_empty());
        of_consul(address, &labels)
    };
    let all = config("");
    let found = all.wait_for_count(3);
    assert!(found.contains(&web("web1", "10.1.0.1:8080", "", "dc1", ",a,b,")), "{found:?}");
    assert!(found.contains(&web("web2", "[fd00::2]:8080", "fd00::2", "dc1", ",a,")), "{found:?}");
    assert!(found.iter().any(|labels| labels.contains(r#"__meta_consul_service_address="db.example""#)));
    config("  services: [web]\n  tag_separator: ';'\n  datacenter: other").wait_for(&[
        web("web1", "10.1.0.1:8080", "", "other", ";a;b;"),
        web("web2", "[fd00::2]:8080", "fd00::2", "other", ";a;"),
    ]);
    config("  tags: [b, a]").wait_for_count(2);
}

#[test]
fn requests_to_consul_say_what_the_configuration_says_and_wait_for_changes() {
    let (version, seen) = (Arc::new(AtomicU64::new(1)), Arc::new(std::sync::Mutex::new(Vec::new())));
    let (now, log) = (Arc::clone(&version), Arc::clone(&seen));
    let server = Server::new(move |request: &Request| {
        let query = request.query.clone();
        log.lock().unwrap().push((request.path.clone(), query, request.header("x-consul-token").to_owned()));
        let version = now.load(Ordering::SeqCst);
        let mut services = json!({"a/b": ["x"]});
        if version > 1 {
            services = json!({"c": ["x"]});
        }
        let body = match request.path.as_str() {
            "/prefix/v1/catalog/services" => services,
            "/prefix/v1/health/service/a%2Fb" => json!([{"Node": {"Address": "n"}, "Service": {"Port": 1}}]),
            "/prefix/v1/health/service/c" => json!([{"Node": {"Address": "m"}, "Service": {"Port": 2}}]),
            _ => return Reply::status(404),
        };
        Reply::json(body).with("X-Consul-Index", version)
    });
    let text = format!(
        "consul_sd_configs:\n- server: '{}'\n  path_prefix: /prefix\n  token: hush\n  datacenter: d\n  \
         namespace: n\n  partition: p\n  node_meta: {{k: v}}\n  tags: [x]\n  filter: 'a == b'\n  \
         refresh_interval: 100ms",
        server.address
    );
    let ours = Ours::start(&text);
    ours.wait_for_count(1);
    let known = seen.lock().unwrap().clone();
    let (path, query, token) = &known[0];
    assert_eq!((path.as_str(), token.as_str()), ("/prefix/v1/catalog/services", "hush"));
    let expected = "dc=d&ns=n&partition=p&stale=&wait=120000ms&node-meta=k%3Av&filter=a+%3D%3D+b";
    assert_eq!(query, expected);
    version.store(2, Ordering::SeqCst);
    let labels = [
        ("address", "m"),
        ("dc", "d"),
        ("health", "passing"),
        ("service", "c"),
        ("service_port", "2"),
        ("tags", ",,"),
    ];
    ours.wait_for(&[of_consul("m:2", &labels)]);
}
