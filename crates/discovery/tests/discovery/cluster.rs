//! A cluster of Kubernetes: every role, and changes of its objects.

use crate::{
    beside::{Ours, same_as_prometheus},
    made_up::{Reply, Request, Server},
};
use serde_json::{Value, json};
use skopos_testkit::wait_until;
use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

/// How long a watch lasts in which nothing happens.
const QUIET: Duration = Duration::from_secs(20);

/// The objects of a list, and what has happened to them.
#[derive(Default)]
struct Api {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By path.
    lists: Vec<(String, Vec<Value>)>,
    /// What was told of which path; the version is the place.
    events: Vec<(String, Value)>,
    /// Versions before this one are too old.
    oldest: usize,
    asked: Vec<String>,
}

fn parameter<'a>(request: &'a Request, name: &str) -> &'a str {
    request
        .query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(n, _)| *n == name)
        .map_or("", |p| p.1)
}

impl Api {
    fn with(lists: Vec<(&str, Vec<Value>)>) -> Arc<Self> {
        let lists = lists.into_iter().map(|(path, list)| (path.to_owned(), list)).collect();
        Arc::new(Self { state: Mutex::new(State { lists, ..State::default() }), changed: Condvar::new() })
    }

    fn serve(self: &Arc<Self>) -> Server {
        let api = Arc::clone(self);
        Server::new(move |request: &Request| api.answer(request))
    }

    fn answer(&self, request: &Request) -> Reply {
        let mut state = self.state.lock().unwrap();
        state.asked.push(format!("{}?{}", request.path, request.query));
        let version = state.events.len();
        if parameter(request, "watch").is_empty() {
            let Some((_, items)) = state.lists.iter().find(|(path, _)| *path == request.path) else {
                return Reply::json(json!({"kind": "Status", "code": 404})).with("x", "y");
            };
            let (kind, group) = kind(&request.path);
            let meta = json!({"resourceVersion": (version + 1).to_string()});
            let list =
                json!({"kind": format!("{kind}List"), "apiVersion": group, "metadata": meta, "items": items});
            return Reply::json(list);
        }
        if !parameter(request, "sendInitialEvents").is_empty() {
            // An API that lists by lists alone.
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid",
                "code": 422, "message": "sendInitialEvents is forbidden",
            });
            return Reply { status: 422, ..Reply::json(status) };
        }
        let from: usize = parameter(request, "resourceVersion").parse().unwrap_or(1) - 1;
        if from < state.oldest {
            return Reply { status: 410, ..Reply::json(json!({"code": 410, "message": "too old"})) };
        }
        let of_path = |state: &State| {
            let events = state.events.iter().enumerate().skip(from);
            let own = events.filter(|(_, (path, _))| *path == request.path);
            own.map(|(_, (_, event))| format!("{event}\n")).collect::<String>()
        };
        let quiet = |state: &mut State| of_path(state).is_empty() && state.oldest <= from;
        let (state, _) = self.changed.wait_timeout_while(state, QUIET, quiet).unwrap();
        if state.oldest > from {
            let object = json!({"kind": "Status", "code": 410, "message": "too old"});
            return Reply::json(format!("{}\n", json!({"type": "ERROR", "object": object})));
        }
        Reply::json(of_path(&state))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    /// Tells of an object, and keeps its list as it is now.
    fn tell(&self, path: &str, what: &str, mut object: Value) {
        self.change(|state| {
            let version = state.events.len() + 2;
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            let (_, list) = state.lists.iter_mut().find(|(own, _)| own == path).unwrap();
            list.retain(|own| own["metadata"]["name"] != object["metadata"]["name"]);
            if matches!(what, "ADDED" | "MODIFIED") {
                list.push(object.clone());
            }
            state.events.push((path.to_owned(), json!({"type": what, "object": object})));
        });
    }
}

fn kind(path: &str) -> (&'static str, &'static str) {
    match path.rsplit('/').next().unwrap() {
        "nodes" => ("Node", "v1"),
        "namespaces" => ("Namespace", "v1"),
        "pods" => ("Pod", "v1"),
        "services" => ("Service", "v1"),
        "endpoints" => ("Endpoints", "v1"),
        "endpointslices" => ("EndpointSlice", "discovery.k8s.io/v1"),
        _ => ("Ingress", "networking.k8s.io/v1"),
    }
}

fn about(namespace: &str, name: &str) -> Value {
    json!({
        "name": name, "namespace": namespace, "uid": format!("uid-{name}"), "resourceVersion": "1",
        "labels": {"app.kubernetes.io/name": "x", "empty": ""},
        "annotations": {"note/of-it": "y", "none": ""},
    })
}

fn nodes() -> Vec<Value> {
    let mut meta = about("", "n1");
    meta["namespace"] = Value::Null;
    let address = |kind: &str, address: &str| json!({"type": kind, "address": address});
    let mut bare = about("", "n2");
    bare["labels"] = json!({});
    vec![
        json!({
            "metadata": meta, "spec": {"providerID": "cloud://1"},
            "status": {
                "addresses": [
                    address("Hostname", "host1"), address("InternalIP", "10.0.0.1"),
                    address("InternalIP", "fd00::1"), address("ExternalIP", "1.2.3.4"),
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            },
        }),
        json!({"metadata": bare, "status": {"addresses": [address("Hostname", "host2")]}}),
        json!({"metadata": {"name": "n3"}, "status": {"addresses": []}}),
    ]
}

fn namespaces() -> Vec<Value> {
    vec![json!({"metadata": {"name": "default", "labels": {"team": "a"}, "annotations": {"x": "y"}}})]
}

fn pods() -> Vec<Value> {
    let container =
        |name: &str, ports: Value| json!({"name": name, "image": format!("{name}:1"), "ports": ports});
    let port = |name: &str, number: u16, protocol: &str| {
        let mut port = json!({"name": name, "containerPort": number});
        port["protocol"] = json!(protocol);
        port
    };
    let pod = |name: &str, ip: &str, containers: Value, init: Value| {
        let mut meta = about("default", name);
        meta["ownerReferences"] = json!([
            {"kind": "Other", "name": "o", "controller": false, "apiVersion": "v1", "uid": "1"},
            {"kind": "ReplicaSet", "name": "rs", "controller": true, "apiVersion": "v1", "uid": "2"},
        ]);
        json!({
            "metadata": meta,
            "spec": {"nodeName": "n1", "containers": containers, "initContainers": init},
            "status": {
                "podIP": ip, "hostIP": "10.0.0.1", "phase": "Running",
                "conditions": [
                    {"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"},
                ],
                "containerStatuses": [{"name": "web", "containerID": "docker://c1"}],
                "initContainerStatuses": [{"name": "init", "containerID": "docker://c2"}],
            },
        })
    };
    let web = container("web", json!([port("http", 8080, "TCP"), port("", 53, "UDP")]));
    let side = container("side", json!([]));
    let mut unknown = pod("p2", "fd00::5", json!([side]), Value::Null);
    unknown["status"]["conditions"] = json!([]);
    unknown["metadata"]["ownerReferences"] = Value::Null;
    vec![
        pod("p1", "10.1.0.1", json!([web, side]), json!([container("init", json!([port("i", 7, "TCP")]))])),
        unknown,
        pod("starting", "", json!([web]), Value::Null),
    ]
}

fn services() -> Vec<Value> {
    let service = |name: &str, spec: Value| json!({"metadata": about("default", name), "spec": spec});
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]);
    vec![
        service("web", json!({"type": "ClusterIP", "clusterIP": "10.9.0.1", "ports": ports})),
        service("out", json!({"type": "ExternalName", "externalName": "o.example", "ports": ports})),
        service(
            "lb",
            json!({
                "type": "LoadBalancer", "clusterIP": "10.9.0.2", "loadBalancerIP": "1.1.1.1", "ports": ports,
            }),
        ),
        service("none", json!({"type": "ClusterIP", "clusterIP": "None"})),
    ]
}

fn endpoints() -> Vec<Value> {
    let of = |kind: &str, name: &str| json!({"kind": kind, "namespace": "default", "name": name});
    let subset = json!({
        "addresses": [
            {"ip": "10.1.0.1", "nodeName": "n1", "hostname": "h", "targetRef": of("Pod", "p1")},
            {"ip": "10.1.0.9", "nodeName": "n2", "targetRef": of("Pod", "gone")},
            {"ip": "10.1.0.8", "targetRef": of("Node", "n1")},
        ],
        "notReadyAddresses": [{"ip": "10.1.0.7"}],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"port": 9, "protocol": "TCP"}],
    });
    vec![
        json!({"metadata": about("default", "web"), "subsets": [subset]}),
        json!({"metadata": about("default", "without"), "subsets": null}),
    ]
}

fn slices() -> Vec<Value> {
    let mut meta = about("default", "web-abc");
    meta["labels"]["kubernetes.io/service-name"] = json!("web");
    let of = |kind: &str, name: &str| json!({"kind": kind, "namespace": "default", "name": name});
    vec![json!({
        "metadata": meta, "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.1.0.1"], "nodeName": "n1", "hostname": "h", "zone": "z1",
             "conditions": {"ready": true, "serving": true, "terminating": false},
             "targetRef": of("Pod", "p1"), "deprecatedTopology": {"topo/logy": "t"}},
            {"addresses": ["10.1.0.2", "10.1.0.3"], "nodeName": "n2", "conditions": {"ready": false}},
            {"addresses": ["10.1.0.4"], "targetRef": of("Node", "n1"), "conditions": {}},
        ],
        "ports": [
            {"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http"},
            {"name": "", "protocol": "UDP"},
        ],
    })]
}

fn ingresses() -> Vec<Value> {
    let backend = json!({"service": {"name": "web"}});
    let path = |path: &str| json!({"path": path, "pathType": "Prefix", "backend": backend});
    vec![json!({
        "metadata": about("default", "in"),
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["*.example", "a.b"]}],
            "rules": [
                {"host": "x.example", "http": {"paths": [path("/a"), path("")]}},
                {"host": "plain.org", "http": {"paths": [path("/")]}},
                {"host": "a.b"},
            ],
        },
    })]
}

fn all() -> Arc<Api> {
    let plain = "/api/v1/";
    let mut lists = Vec::new();
    let by_plural = [
        ("nodes", nodes()),
        ("namespaces", namespaces()),
        ("pods", pods()),
        ("services", services()),
        ("endpoints", endpoints()),
        ("endpointslices", slices()),
        ("ingresses", ingresses()),
    ];
    for (plural, list) in by_plural {
        let base = match plural {
            "endpointslices" => "/apis/discovery.k8s.io/v1/",
            "ingresses" => "/apis/networking.k8s.io/v1/",
            _ => plain,
        };
        lists.push((format!("{base}{plural}"), list.clone()));
        lists.push((format!("{base}namespaces/default/{plural}"), list));
        lists.push((format!("{base}namespaces/other/{plural}"), Vec::new()));
    }
    let lists = lists.iter().map(|(path, list)| (path.as_str(), list.clone())).collect();
    Api::with(lists)
}

#[test]
fn every_role_has_the_targets_that_prometheus_finds() {
    let server = all().serve();
    let config = |role: &str, more: &str| {
        format!("kubernetes_sd_configs:\n- api_server: '{}'\n  role: {role}\n{more}", server.url())
    };
    let nodes = "  attach_metadata: {node: true}\n";
    let narrow =
        "  namespaces: {names: [default, other]}\n  selectors: [{role: pod, label: 'a=b', field: 'c=d'}]";
    same_as_prometheus(&[
        ("node", &config("node", ""), 2),
        ("pod", &config("pod", nodes), 5),
        ("narrow", &config("pod", narrow), 5),
        ("service", &config("service", ""), 6),
        ("endpoints", &config("endpoints", ""), 10),
        ("endpoints-nodes", &config("endpoints", nodes), 10),
        ("endpointslice", &config("endpointslice", nodes), 10),
        ("ingress", &config("ingress", ""), 4),
    ]);
}

#[test]
fn labels_of_a_namespace_are_attached() {
    let server = all().serve();
    let text = |role: &str| {
        format!(
            "kubernetes_sd_configs:\n- api_server: '{}'\n  role: {role}\n  \
             attach_metadata: {{namespace: true}}",
            server.url()
        )
    };
    for (role, count) in
        [("pod", 5), ("service", 6), ("endpoints", 10), ("endpointslice", 10), ("ingress", 4)]
    {
        let found = Ours::start(&text(role)).wait_for_count(count);
        let label = r#"__meta_kubernetes_namespace_label_team="a""#;
        let all_have = found.iter().all(|labels| labels.contains(label));
        assert!(all_have, "{role}: {}", found.join("\n"));
    }
}

#[test]
fn changes_are_followed_and_what_is_too_old_is_listed_anew() {
    let pods_path = "/api/v1/namespaces/default/pods";
    let service_path = "/api/v1/namespaces/default/services";
    let endpoints_path = "/api/v1/namespaces/default/endpoints";
    let api = Api::with(vec![(pods_path, vec![]), (service_path, vec![]), (endpoints_path, vec![])]);
    let server = api.serve();
    let text = format!(
        "kubernetes_sd_configs:\n- api_server: '{}'\n  role: endpoints\n  namespaces: {{names: [default]}}",
        server.url()
    );
    let ours = Ours::start(&text);
    api.tell(endpoints_path, "ADDED", endpoints().remove(0));
    let found = ours.wait_for_count(8);
    assert!(!found.join("").contains("service_name"));
    api.tell(service_path, "ADDED", services().remove(0));
    api.tell(pods_path, "ADDED", pods().remove(0));
    let is_of_service = |labels: &String| labels.contains(r#"service_name="web""#);
    wait_until("the labels of the service", QUIET, || {
        let found = ours.targets();
        (found.len() == 10 && found.iter().all(is_of_service)).then_some(())
    });
    api.tell(pods_path, "BOOKMARK", json!({"metadata": {"name": "none"}}));
    api.tell(pods_path, "DELETED", pods().remove(0));
    ours.wait_for_count(8);
    // Events that nobody told of: the list is too old to be followed.
    api.change(|state| {
        state.lists.iter_mut().find(|(path, _)| path == endpoints_path).unwrap().1.clear();
        state.events.push(("elsewhere".to_owned(), Value::Null));
        state.oldest = state.events.len();
    });
    ours.wait_for_count(0);
    let counted = |event: &'static str, role: &'static str| {
        let labels = [("event", event), ("role", role)];
        ours.stats.value("prometheus_sd_kubernetes_events_total", &labels)
    };
    assert_eq!((counted("add", "pod"), counted("delete", "pod")), (Some(1.0), Some(1.0)));
    assert_eq!(counted("delete", "endpoints"), Some(1.0));
    let asked = api.state.lock().unwrap().asked.clone();
    assert!(asked.contains(&format!("{pods_path}?limit=500")), "{asked:#?}");
    let (follow, end) = (format!("{pods_path}?watch=true&allowWatchBookmarks=true&"), "&timeoutSeconds=300");
    assert!(asked.iter().any(|url| url.starts_with(&follow) && url.ends_with(end)), "{asked:#?}");
}

#[test]
fn lists_come_in_pages_and_only_what_is_selected() {
    let server = Server::new(|request: &Request| {
        if request.query.contains("watch") {
            return Reply::json("").open();
        }
        assert!(request.query.starts_with("labelSelector=a%3Db&fieldSelector=c%21%3Dd&limit=500"));
        let all = pods();
        match parameter(request, "continue") {
            "" => Reply::json(json!({"metadata": {"continue": "next"}, "items": [all[0]]})),
            "next" => Reply::json(json!({"metadata": {"resourceVersion": "1"}, "items": [all[1]]})),
            _ => Reply::status(400),
        }
    });
    let text = format!(
        "kubernetes_sd_configs:\n- api_server: '{}'\n  role: pod\n  \
         selectors: [{{role: pod, label: 'a=b', field: \
         'c!=d'}}]",
        server.url()
    );
    Ours::start(&text).wait_for_count(5);
}

#[test]
fn a_program_that_the_file_of_kubectl_names_tells_who_we_are() {
    let api = all();
    // The real one shows what a program tells over TLS alone.
    let server = Server::secure(move |request: &Request| {
        // What it tells first has been withdrawn.
        if request.header("authorization") != "Bearer second" {
            return Reply::status(401);
        }
        api.answer(request)
    });
    let folder = tempfile::tempdir().unwrap();
    let ours = |name: &str| {
        let (marker, path) = (folder.path().join(name), folder.path().join(format!("{name}.config")));
        let script = format!(
            "t=first; test -e {0} && t=second; touch {0}; echo '{{\"apiVersion\": \
             \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": \
             {{\"token\": \"'$t'\"}}}}'",
            marker.display()
        );
        let user = json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
            "interactiveMode": "Never",
        }});
        let url = format!("https://{}", server.address);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "m",
            "contexts": [{"name": "m", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": url, "insecure-skip-tls-verify": true}}],
            "users": [{"name": "u", "user": user}],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        format!("kubernetes_sd_configs:\n- role: node\n  kubeconfig_file: '{}'", path.display())
    };
    // One of the nodes has no address.
    let count = 2;
    Ours::start(&ours("alone")).wait_for_count(count);
    std::fs::write(folder.path().join("beside"), "").unwrap();
    same_as_prometheus(&[("node", &ours("beside"), count)]);
}
