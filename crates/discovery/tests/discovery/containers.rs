//! Containers of an engine, and what runs in a swarm.

use crate::{
    beside::{Ours, same_as_prometheus},
    made_up::{Reply, Request, Server},
};
use serde_json::{Value, json};

/// The API of an engine that manages a swarm.
fn engine(request: &Request) -> Reply {
    // The version of the API that a client chose.
    let path = match request.path.strip_prefix("/v1.") {
        Some(rest) => &rest[rest.find('/').unwrap()..],
        None => &request.path,
    };
    let body = match path {
        "/_ping" => return Reply::text("text/plain", "OK").with("Api-Version", "1.41"),
        "/containers/json" => containers(&request.query),
        "/networks" => networks(),
        "/nodes" => nodes(),
        "/services" => services(),
        "/tasks" => tasks(),
        _ => return Reply::status(404),
    };
    Reply::json(body)
}

fn containers(query: &str) -> Value {
    let network = |id: &str, ip: &str| json!({"NetworkID": id, "IPAddress": ip});
    let port = |private: u16, public: u16, kind: &str| {
        let (ip, mut port) = ("0.0.0.0", json!({"PrivatePort": private, "Type": kind}));
        if public > 0 {
            port["PublicPort"] = json!(public);
            port["IP"] = json!(ip);
        }
        port
    };
    let container = |id: &str, mode: &str, ports: Value, networks: Value| {
        json!({
            "Id": id, "Names": [format!("/{id}"), "/other"], "Ports": ports,
            "Labels": {"com.example/a-b": "v", "empty": ""},
            "HostConfig": {"NetworkMode": mode}, "NetworkSettings": {"Networks": networks},
        })
    };
    let two = json!({"z": network("n2", "10.2.0.2"), "b": network("n1", "10.1.0.2")});
    let all = vec![
        container("two", "b", json!([port(80, 8080, "tcp"), port(81, 0, "tcp"), port(53, 53, "udp")]), two),
        container("shares", "container:two", json!([port(7, 0, "tcp")]), json!({})),
        container("lost", "container:gone", json!([port(7, 0, "tcp")]), json!({})),
        container("host", "host", json!([]), json!({"host": network("n3", "")})),
        container("plain", "b", json!([port(53, 0, "udp")]), json!({"b": network("n1", "10.1.0.3")})),
        container("v6", "b", json!([port(1, 0, "tcp")]), json!({"b": network("n9", "fd00::3"), "a": null})),
        json!({"Id": "nameless", "Names": [], "HostConfig": {}, "NetworkSettings": {}}),
    ];
    let wanted = query.contains("only-plain");
    Value::Array(all.into_iter().filter(|one| !wanted || one["Id"] == "plain").collect())
}

fn networks() -> Value {
    json!([
        {"Id": "n1", "Name": "bridge", "Scope": "local", "Internal": false, "Ingress": false,
         "Labels": {"x.y": "1"}},
        {"Id": "n2", "Name": "over", "Scope": "swarm", "Internal": true, "Ingress": true},
        {"Id": "n3", "Name": "host", "Scope": "local", "Internal": false, "Ingress": false, "Labels": null},
    ])
}

fn nodes() -> Value {
    let node = |id: &str, address: &str, manager: Value| {
        json!({
            "ID": id, "ManagerStatus": manager,
            "Spec": {"Role": "worker", "Availability": "active", "Labels": {"zo.ne": "a"}},
            "Description": {
                "Hostname": format!("host-{id}"), "Platform": {"Architecture": "x86_64", "OS": "linux"},
                "Engine": {"EngineVersion": "24.0"},
            },
            "Status": {"State": "ready", "Addr": address},
        })
    };
    let manager = json!({"Leader": true, "Reachability": "reachable", "Addr": "10.0.0.1:2377"});
    json!([node("w1", "10.0.0.1", manager), node("w2", "fd00::9", Value::Null)])
}

fn services() -> Value {
    let port = |name: &str, protocol: &str, published: u16| {
        json!({"Name": name, "Protocol": protocol, "TargetPort": 1, "PublishedPort": published,
               "PublishMode": "ingress"})
    };
    let service = |id: &str, mode: Value, ports: Value| {
        json!({
            "ID": id,
            "Spec": {
                "Name": format!("name-{id}"), "Labels": {"a.b": "c"}, "Mode": mode,
                "TaskTemplate": {"ContainerSpec": {"Image": "image:1", "Hostname": "hn"}},
            },
            "Endpoint": {"Ports": ports, "VirtualIPs": [
                {"NetworkID": "n2", "Addr": "10.9.0.5/24"}, {"NetworkID": "n8", "Addr": "fd00::5/64"},
            ]},
        })
    };
    let mut updated = service("s2", json!({"Global": {}}), json!([port("dns", "udp", 53)]));
    updated["UpdateStatus"] = json!({"State": "completed"});
    let both = json!([port("web", "tcp", 8000), port("", "tcp", 8001), port("u", "udp", 9)]);
    json!([service("s1", json!({"Replicated": {"Replicas": 2}}), both), updated])
}

fn tasks() -> Value {
    let task = |id: &str, service: &str, node: &str, status: Value| {
        json!({
            "ID": id, "ServiceID": service, "NodeID": node, "Slot": 3, "DesiredState": "running",
            "Spec": {"ContainerSpec": {"Labels": {"c.d": "e"}}}, "Status": status,
            "NetworksAttachments": [
                {"Network": {"ID": "n2"}, "Addresses": ["10.9.0.7/24", "fd00::7/64"]},
            ],
        })
    };
    let shown = json!({
        "State": "running", "ContainerStatus": {"ContainerID": "c1"},
        "PortStatus": {"Ports": [
            {"Protocol": "tcp", "PublishedPort": 30001, "PublishMode": "host"},
            {"Protocol": "udp", "PublishedPort": 30002, "PublishMode": "host"},
        ]},
    });
    json!([
        task("t1", "s1", "w1", shown),
        task("t2", "s2", "w2", json!({"State": "pending", "PortStatus": {}})),
        task("t3", "gone", "gone", json!({"State": "failed", "PortStatus": {}})),
    ])
}

#[test]
fn containers_are_the_targets_that_prometheus_finds() {
    let server = Server::new(engine);
    let config = |more: &str| format!("docker_sd_configs:\n- host: '{}'\n{more}", server.url());
    let (first, all) = (config(""), config("  match_first_network: false\n  port: 9\n"));
    let host = config("  host_networking_host: h.example\n");
    let filtered = config("  filters: [{name: label, values: [only-plain]}]");
    same_as_prometheus(&[("first", &first, 6), ("all", &all, 9), ("host", &host, 6), ("f", &filtered, 1)]);
}

#[test]
fn a_swarm_has_the_targets_that_prometheus_finds() {
    let server = Server::new(engine);
    let config = |role: &str| {
        format!("dockerswarm_sd_configs:\n- host: '{}'\n  role: {role}\n  port: 9", server.url())
    };
    let (nodes, services, tasks) = (config("nodes"), config("services"), config("tasks"));
    same_as_prometheus(&[("nodes", &nodes, 2), ("services", &services, 6), ("tasks", &tasks, 9)]);
}

#[test]
fn an_engine_is_asked_at_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let _server = Server::at(&socket, engine);
    let unix = format!("docker_sd_configs:\n- host: 'unix://{}'\n", socket.display());
    let server = Server::new(engine);
    let tcp = format!("docker_sd_configs:\n- host: 'tcp://{}'\n", server.address);
    assert_eq!(Ours::start(&unix).wait_for_count(6), Ours::start(&tcp).wait_for_count(6));
}

#[test]
fn an_address_of_a_swarm_that_is_none_is_a_failure() {
    let server = Server::new(|request: &Request| {
        let mut reply = engine(request);
        reply.body = reply.body.replace("10.9.0.7/24", "10.9.0.7");
        reply
    });
    let ours = Ours::start(&format!("dockerswarm_sd_configs:\n- {{host: '{}', role: tasks}}", server.url()));
    let labels = [("mechanism", "dockerswarm")];
    let failures = || ours.stats.value("prometheus_sd_refresh_failures_total", &labels);
    skopos_testkit::wait_until("a failure", std::time::Duration::from_secs(60), failures);
    assert!(ours.targets().is_empty());
}
