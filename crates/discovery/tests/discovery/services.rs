//! Catalogues and providers that want little to be told.

use crate::{
    beside::{Ours, same_as_prometheus},
    made_up::{Reply, Request, Server},
};
use serde_json::{Value, json};
use std::fs;

pub(crate) fn marathon(request: &Request) -> Reply {
    assert_eq!((request.path.as_str(), request.query.as_str()), ("/v2/apps/", "embed=apps.tasks"));
    assert_eq!(request.header("authorization"), "token=hush");
    let task = |id: &str, ports: Value| {
        json!({
            "id": id, "host": "mesos-1", "ports": ports,
            "ipAddresses": [{"ipAddress": "10.1.0.1", "protocol": "IPv4"}],
        })
    };
    let mapping = |container: u32, host: u32, labels: Value| {
        json!({"containerPort": container,
        "hostPort": host, "servicePort": 10_000, "labels": labels})
    };
    Reply::json(json!({"apps": [
        {
            "id": "/mapped", "labels": {"pro-m": "yes"}, "container": {
                "docker": {"image": "img:1"},
                "portMappings": [mapping(80, 0, json!({"a.b": "1"})), mapping(81, 31_001, Value::Null)],
            },
            "networks": [{"mode": "container/bridge"}], "tasks": [task("t1", json!([31_000, 31_001]))],
        },
        {
            "id": "/inside", "container": {"portMappings": [mapping(8080, 0, json!({}))]},
            "networks": [{"mode": "container", "name": "n"}], "tasks": [task("t2", json!([31_002]))],
        },
        {
            "id": "/old", "container": {"docker": {"image": "i", "portMappings": [mapping(1, 0,
                json!({"x": "y"}))]}},
            "tasks": [task("t3", json!([31_003]))],
        },
        {
            "id": "/defined", "portDefinitions": [{"port": 7, "labels": {"l": "v"}}, {"port": 8}],
            "requirePorts": true, "tasks": [task("t4", json!([1, 2]))],
        },
        {
            "id": "/given", "portDefinitions": [{"port": 7, "labels": {"l": "v"}}],
            "tasks": [task("t5", json!([31_005])), task("t6", json!([31_006]))],
        },
        {"id": "/bare", "tasks": [task("t7", json!([31_007, 31_008])), task("t8", json!([31_009, 31_010]))]},
        {"id": "/idle", "tasks": []},
    ]}))
}

#[test]
fn tasks_of_marathon_are_the_targets_that_prometheus_finds() {
    let server = Server::new(marathon);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "hush\n").unwrap();
    let config = |key: &str| format!("marathon_sd_configs:\n- servers: ['{}']\n  {key}", server.url());
    same_as_prometheus(&[
        ("marathon", &config("auth_token: hush"), 12),
        ("of_file", &config(&format!("auth_token_file: '{}'", file.display())), 12),
    ]);
}

pub(crate) fn ovh(request: &Request) -> Reply {
    if request.path == "/auth/time" {
        return Reply::json(1_700_000_000);
    }
    assert_eq!(request.header("x-ovh-application"), "key");
    assert_eq!(request.header("x-ovh-consumer"), "consumer");
    let proof = request.header("x-ovh-signature");
    assert!(proof.starts_with("$1$") && proof.len() == 43, "{proof}");
    Reply::json(match request.path.as_str() {
        "/vps" => json!(["abc", "broken"]),
        "/vps/abc" => json!({
            "offerType": "ssd", "monitoringIpBlocks": [], "displayName": "abc", "zone": "zone",
                "cluster": "cl",
            "slaMonitoring": false, "name": "abc", "vcore": 1, "state": "running", "keymap": null,
            "netbootMode": "local", "memoryLimit": 2048, "model": {
                "name": "vps-value-1-2-40", "availableOptions": [], "maximumAdditionnalIp": 16,
                "offer": "VPS abc", "disk": 40, "version": "2019v1", "vcore": 1, "memory": 2048,
                "datacenter": ["a", "b"],
            },
        }),
        "/vps/abc/ips" => json!(["192.0.2.1/32", "2001:db8:1::1"]),
        "/dedicated/server" => json!(["srv 1"]),
        "/dedicated/server/srv%201" | "/dedicated/server/srv+1" => json!({
            "ip": "1.2.3.4", "newUpgradeSystem": true, "commercialRange": "Advance-1 Gen 2",
                "rack": "TESTRACK",
            "rescueMail": null, "supportLevel": "pro", "bootId": 1, "linkSpeed": 123,
                "professionalUse": false,
            "monitoring": true, "noIntervention": false, "name": "srv 1", "rootDevice": null, "state": "test",
            "datacenter": "gra3", "os": "debian11_64", "reverse": "abcde-rev", "serverId": 1234,
        }),
        "/dedicated/server/srv%201/ips" | "/dedicated/server/srv+1/ips" => {
            json!(["1.2.3.4/32", "1.2.3.5", "2001:0db8::1/64"])
        }
        _ => return Reply::status(404),
    })
}

#[test]
fn machines_of_ovhcloud_are_the_targets_that_prometheus_finds() {
    let server = Server::new(ovh);
    let config = |service: &str| {
        format!(
            "ovhcloud_sd_configs:\n- endpoint: '{}'\n  application_key: key\n  application_secret: secret\n  \
             consumer_key: consumer\n  service: {service}",
            server.url()
        )
    };
    same_as_prometheus(&[("vps", &config("vps"), 1), ("bare", &config("dedicated_server"), 1)]);
}

pub(crate) fn uyuni(request: &Request) -> Reply {
    assert_eq!(request.path, "/rpc/api");
    let body = &request.body;
    let member =
        |name: &str, value: &str| format!("<member><name>{name}</name><value>{value}</value></member>");
    let list = |items: &[String]| {
        let items: String = items.iter().map(|item| format!("<value>{item}</value>")).collect();
        format!("<array><data>{items}</data></array>")
    };
    let fields = |all: &[String]| format!("<struct>{}</struct>", all.concat());
    let text = |value: &str| format!("<string>{value}</string>");
    let value = if body.contains("auth.login") {
        assert!(body.contains("<string>a &amp; b</string>") || body.contains("<string>a &#38; b"), "{body}");
        "token".to_owned()
    } else if body.contains("listSystemGroupsForSystemsWithEntitlement") {
        assert!(body.contains("token") && body.contains("monitoring_entitled"), "{body}");
        let group = |id: u32, name: &str| {
            fields(&[member("id", &format!("<i4>{id}</i4>")), member("name", &text(name))])
        };
        let groups = member("system_groups", &list(&[group(1, "first"), group(2, "second")]));
        list(&[fields(&[member("id", "<i4>1000010000</i4>"), groups])])
    } else if body.contains("getNetworkForSystems") {
        list(&[fields(&[
            member("system_id", "<int>1000010000</int>"),
            member("hostname", &text("min-1.example")),
            member("primary_fqdn", &text("main.example")),
            member("ip", &text("10.0.0.1")),
        ])])
    } else if body.contains("listEndpoints") {
        let endpoint = |name: &str, port: u32, tls: u8| {
            fields(&[
                member("system_id", "<i4>1000010000</i4>"),
                member("endpoint_name", &text(name)),
                member("port", &format!("<i4>{port}</i4>")),
                member("path", "/metrics"),
                member("module", &text("")),
                member("exporter_name", &text("node_exporter")),
                member("tls_enabled", &format!("<boolean>{tls}</boolean>")),
            ])
        };
        list(&[endpoint("node", 9100, 0), endpoint("secure", 9101, 1)])
    } else {
        return Reply::status(500);
    };
    Reply::text(
        "text/xml",
        format!(
            "<?xml version=\"1.0\"?><methodResponse><params><param><value>{value}</value></param></params>\
             </methodResponse>"
        ),
    )
}

#[test]
fn exporters_of_uyuni_are_the_targets_that_prometheus_finds() {
    let server = Server::new(uyuni);
    let config = format!(
        "uyuni_sd_configs:\n- server: '{}'\n  username: 'a & b'\n  password: hush\n  separator: ';'",
        server.url()
    );
    same_as_prometheus(&[("uyuni", &config, 2)]);
}

#[test]
fn a_fault_of_uyuni_keeps_the_targets_and_opens_a_new_session() {
    let (count, sessions) =
        (std::sync::atomic::AtomicU32::new(0), std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0)));
    let seen = std::sync::Arc::clone(&sessions);
    let server = Server::new(move |request: &Request| {
        if request.body.contains("auth.login") {
            seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        if request.body.contains("listEndpoints")
            && count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1
        {
            let fault =
                "<struct><member><name>faultCode</name><value><int>-1</int></value></member></struct>";
            return Reply::text(
                "text/xml",
                format!("<methodResponse><fault><value>{fault}</value></fault></methodResponse>"),
            );
        }
        uyuni(request)
    });
    let config = format!(
        "uyuni_sd_configs:\n- server: '{}'\n  username: 'a & b'\n  password: hush\n  refresh_interval: 50ms",
        server.url()
    );
    let ours = Ours::start(&config);
    ours.wait_for_count(2);
    let logged_in = || (sessions.load(std::sync::atomic::Ordering::SeqCst) == 2).then_some(());
    skopos_testkit::wait_until("a new session", std::time::Duration::from_secs(30), logged_in);
    assert_eq!(ours.targets().len(), 2);
    assert_eq!(
        ours.stats.value("prometheus_sd_refresh_failures_total", &[("mechanism", "uyuni")]),
        Some(1.0)
    );
}
