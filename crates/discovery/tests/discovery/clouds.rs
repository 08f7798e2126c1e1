//! Providers of machines, and catalogues that are asked for a list alone.

use crate::{
    beside::{Ours, same_as_prometheus},
    made_up::{Reply, Request, Server},
};
use serde_json::{Value, json};

/// The APIs that stand at addresses of their own.
pub(crate) fn everybody(request: &Request) -> Reply {
    let page_two = request.query.contains("page=2") || request.query.contains("cursor=two");
    let body = match (request.header("host"), request.path.as_str()) {
        ("api.hetzner.cloud", "/v1/servers") => hetzner_servers(page_two),
        ("api.hetzner.cloud", "/v1/networks") => json!({
            "networks": [{"id": 7, "name": "my-net"}], "meta": {"pagination": {"page": 1, "next_page": null}},
        }),
        ("robot-ws.your-server.de", "/server") => hetzner_robot(),
        ("api.digitalocean.com", "/v2/droplets") => droplets(page_two),
        ("api.linode.com", "/v4/linode/instances") => linodes(),
        ("api.linode.com", "/v4/networking/ips") => linode_addresses(),
        ("api.linode.com", "/v4/networking/ipv6/ranges") => {
            let range = |target: &str| json!({"range": "2600:5::", "prefix": 64, "route_target": target});
            json!({"page": 1, "pages": 1, "results": 2, "data": [range("2600::1"), range("2600::2")]})
        }
        ("api.linode.com", "/v4/account/events") => json!({"data": [], "page": 1, "pages": 1, "results": 0}),
        ("api.vultr.com", "/v2/instances") => vultr(page_two),
        ("api.ionos.com", "/cloudapi/v6/datacenters/dc/servers") => ionos(),
        _ => return Reply::status(404),
    };
    Reply::json(body)
}

fn hetzner_servers(page_two: bool) -> Value {
    let server = |id: u32, image: Value| {
        json!({
            "id": id, "name": format!("server{id}"), "status": "running",
            "public_net": {
                "ipv4": {"ip": "1.2.3.4", "blocked": false},
                "ipv6": {"ip": "2001:db8::/64", "blocked": false},
            },
            "private_net": [{"network": 7, "ip": "10.0.0.2"}, {"network": 8, "ip": "10.0.1.2"}],
            "server_type": {
                "id": 1, "name": "cx11", "cores": 2, "memory": 3.75, "disk": 25, "cpu_type": "shared",
            },
            "datacenter": {
                "id": 1, "name": "fsn1-dc8",
                "location": {"id": 1, "name": "fsn1", "network_zone": "eu-central"},
            },
            "image": image, "labels": {"my.key": "v", "empty": ""},
        })
    };
    let image = json!({"id": 1, "name": "ubuntu", "description": "Ubuntu 20", "os_flavor": "ubuntu",
        "os_version": "20.04"});
    let (servers, next) = if page_two {
        (vec![server(2, Value::Null)], Value::Null)
    } else {
        (vec![server(1, image)], json!(2))
    };
    json!({"servers": servers, "meta": {"pagination": {"page": 1, "next_page": next, "last_page": 2}}})
}

fn hetzner_robot() -> Value {
    let server = |number: u32, subnet: Value| {
        json!({"server": {
            "server_ip": "1.1.1.1", "server_number": number, "server_name": "s", "product": "DS 3000",
            "dc": "NBG1-DC1", "status": "ready", "cancelled": number == 2, "subnet": subnet,
        }})
    };
    let subnets = json!([{"ip": "1.0.0.0", "mask": "24"}, {"ip": "2a01::", "mask": "64"}]);
    json!([server(1, subnets), server(2, Value::Null)])
}

fn droplets(page_two: bool) -> Value {
    let address = |ip: &str, kind: &str| json!({"ip_address": ip, "type": kind});
    let droplet = |id: u32, networks: Value| {
        json!({
            "id": id, "name": "d", "size_slug": "s-1", "status": "active", "vpc_uuid": "vpc",
            "image": {"slug": "ubuntu", "name": "Ubuntu"}, "region": {"slug": "nyc3"},
            "features": ["backups", "ipv6"], "tags": if id == 1 { json!(["web"]) } else { json!([]) },
            "networks": networks,
        })
    };
    let all = json!({
        "v4": [address("10.0.0.2", "private"), address("5.6.7.8", "public")],
        "v6": [address("2604::1", "public")],
    });
    let v4 = json!({"v4": [address("10.0.0.3", "private")], "v6": []});
    if page_two {
        let first = "https://api.digitalocean.com/v2/droplets?page=1";
        return json!({"droplets": [droplet(2, v4)], "links": {"pages": {"prev": first, "first": first}}});
    }
    let next = "https://api.digitalocean.com/v2/droplets?page=2&per_page=100";
    let none = json!({"v4": [], "v6": []});
    json!({"droplets": [droplet(1, all), droplet(3, none)], "links": {"pages": {"next": next, "last": next}}})
}

fn linodes() -> Value {
    let linode = |id: u32, ipv4: Value, tags: Value| {
        json!({
            "id": id, "label": "l", "image": "linode/arch", "region": "us-east", "type": "g6",
            "status": "running",
            "group": "g", "hypervisor": "kvm", "ipv4": ipv4, "ipv6": "2600::1/64", "tags": tags,
            "specs": {"disk": 1000, "memory": 2000, "vcpus": 1, "gpus": 0, "transfer": 3000},
            "backups": {"enabled": id == 1}, "created": "2020-01-01T00:00:00",
        })
    };
    json!({"page": 1, "pages": 1, "results": 3, "data": [
        linode(1, json!(["45.0.0.1", "192.168.1.1", "45.0.0.2"]), json!(["a", "b"])),
        linode(2, json!(["45.0.0.9"]), json!([])),
        linode(3, json!([]), json!([])),
    ]})
}

fn linode_addresses() -> Value {
    let ip = |address: &str, public: bool, rdns: Value| {
        let mut ip = json!({"address": address, "public": public, "linode_id": 1, "type": "ipv4"});
        ip["rdns"] = rdns;
        ip
    };
    json!({"page": 1, "pages": 1, "results": 5, "data": [
        ip("45.0.0.1", true, json!("a.example")), ip("45.0.0.2", true, json!("b.example")),
        ip("192.168.1.1", false, Value::Null), ip("2600::1", true, json!("null")),
        ip("45.0.0.9", true, json!("null")),
    ]})
}

fn vultr(page_two: bool) -> Value {
    let machine = |id: &str| {
        json!({
            "id": id, "os": "CentOS", "os_id": 127, "region": "atl", "plan": "vc2", "main_ip": "1.2.3.5",
            "internal_ip": "", "v6_main_ip": "2001::5", "hostname": "h", "label": "l", "server_status": "ok",
            "vcpu_count": 1, "ram": 1024, "disk": 25, "allowed_bandwidth": 1000,
            "features": ["ddos", "ipv6"], "tags": ["t1", "t2"],
        })
    };
    let (id, next) = if page_two { ("v2", "") } else { ("v1", "two") };
    json!({"instances": [machine(id)], "meta": {"total": 2, "links": {"next": next, "prev": ""}}})
}

fn ionos() -> Value {
    let nic =
        |name: &str, ips: Value| json!({"id": "n", "type": "nic", "properties": {"name": name, "ips": ips}});
    let server = |id: &str, nics: Value, boot: Value| {
        json!({
            "id": id, "type": "server", "href": "h", "metadata": {"state": "AVAILABLE"},
            "properties": {
                "name": "web", "cores": 4, "ram": 4096, "availabilityZone": "AUTO", "vmState": "RUNNING",
                "bootVolume": boot, "cpuFamily": "INTEL", "type": "ENTERPRISE",
            },
            "entities": {
                "nics": {"id": "x", "items": nics},
                "volumes": {"id": "y", "items": [
                    {"id": "vol1", "type": "volume", "properties": {"name": "v", "image": "img1"}},
                ]},
            },
        })
    };
    let nics = json!([nic("nic one", json!(["81.0.0.1"])), nic("", json!(["10.7.0.1", "10.7.0.2"]))]);
    json!({"id": "dc/servers", "type": "collection", "items": [
        server("s1", nics, json!({"id": "vol1", "type": "volume"})), server("s2", json!([]), Value::Null),
    ]})
}

#[test]
fn machines_of_providers_are_the_targets_that_prometheus_finds() {
    let proxy = Server::everybody(everybody);
    let config = |key: &str, own: &str| {
        format!(
            "{key}_sd_configs:\n- proxy_url: '{}'\n  tls_config: {{insecure_skip_verify: true}}\n  \
             authorization: {{credentials: token}}\n  port: 9{own}",
            proxy.url()
        )
    };
    same_as_prometheus(&[
        ("hcloud", &config("hetzner", "\n  role: hcloud"), 2),
        ("robot", &config("hetzner", "\n  role: robot"), 2),
        ("digitalocean", &config("digitalocean", ""), 2),
        ("linode", &config("linode", "\n  tag_separator: ';'"), 2),
        ("vultr", &config("vultr", ""), 2),
        ("ionos", &config("ionos", "\n  datacenter_id: dc"), 1),
    ]);
}

pub(crate) fn scaleway(request: &Request) -> Reply {
    assert_eq!(request.header("x-auth-token"), "6d6d6d6d-1111-4111-8111-111111111111");
    let body = match request.path.as_str() {
        "/instance/v1/zones/fr-par-1/servers" => json!({"servers": [
            {
                "id": "i1", "name": "n1", "hostname": "h1", "organization": "org", "project": "proj",
                "state": "running", "boot_type": "local", "commercial_type": "DEV1-S", "zone": "fr-par-1",
                "image": {"id": "im", "name": "Ubuntu", "arch": "x86_64"}, "tags": ["a", "b"],
                "location": {"cluster_id": "c", "hypervisor_id": "hv", "node_id": "nd"},
                "security_group": {"id": "sg", "name": "default"},
                "private_ip": "10.70.0.1", "public_ip": {"id": "p", "address": "51.0.0.1", "dynamic": false},
                "ipv6": {"address": "2001:bc8::1", "gateway": "2001:bc8::", "netmask": "64"},
                "public_ips": [
                    {"id": "p", "address": "51.0.0.1", "family": "inet"},
                    {"id": "q", "address": "2001:bc8::2", "family": "inet6"},
                ],
            },
            {"id": "i2", "name": "n2", "zone": "fr-par-1", "state": "stopped", "public_ips": [
                {"id": "q", "address": "2001:bc8::3", "family": "inet6"},
            ]},
            {"id": "i3", "name": "n3", "zone": "fr-par-1", "state": "stopped"},
        ], "total_count": 3}),
        "/baremetal/v1/zones/fr-par-1/servers" => json!({"total_count": 1, "servers": [{
            "id": "b1", "name": "bare", "zone": "fr-par-1", "project_id": "proj", "status": "ready",
            "offer_id": "of1", "tags": ["x"],
            "install": {"os_id": "os1", "hostname": "h", "status": "completed"},
            "ips": [{"id": "1", "address": "51.0.0.9", "version": "IPv4"},
                    {"id": "2", "address": "2001:bc8::9", "version": "IPv6"}],
        }]}),
        "/baremetal/v1/zones/fr-par-1/offers" => json!({"total_count": 1, "offers": [
            {"id": "of1", "name": "GP-BM1-S"},
        ]}),
        "/baremetal/v1/zones/fr-par-1/os" => json!({"total_count": 1, "os": [
            {"id": "os1", "name": "Ubuntu", "version": "20.04 LTS"},
        ]}),
        _ => return Reply::status(404),
    };
    let mut body = body;
    if request.query.contains("name=first") {
        body["servers"].as_array_mut().unwrap().truncate(1);
        return Reply::json(body).with("X-Total-Count", 1);
    }
    Reply::json(body).with("X-Total-Count", 3)
}

pub(crate) fn puppetdb(request: &Request) -> Reply {
    assert_eq!(
        (request.path.as_str(), request.body.as_str()),
        ("/pdb/query/v4", r#"{"query":"resources {}"}"#)
    );
    Reply::json(json!([
        {
            "certname": "edinburgh.example.com", "resource": "49af", "type": "Apache::Vhost", "title": "x",
            "exported": true, "tags": ["roles::here", "class"], "file": "/etc/p.pp", "line": 384,
            "environment": "prod",
            "parameters": {
                "access_log": true, "port": 22, "labels": {"alias": "e", "n": 2.5}, "list": ["a", "b"],
                "od-d": "v", "nothing": null,
            },
        },
    ]))
}

pub(crate) fn eureka(request: &Request) -> Reply {
    assert_eq!(request.path, "/eureka/apps");
    if request.header("accept") == "application/json" {
        return Reply::json(json!({"applications": {"application": [{"name": "META", "instance": [
            {
                "instanceId": "meta:8080", "hostName": "meta.example", "app": "META", "ipAddr": "192.168.2.1",
                "status": "UP", "port": {"$": 8080, "@enabled": "true"},
                "securePort": {"$": 443, "@enabled": "false"},
                "countryId": 1, "homePageUrl": "http://m/", "statusPageUrl": "http://m/s",
                "healthCheckUrl": "http://m/h", "vipAddress": "meta", "secureVipAddress": "smeta",
                "dataCenterInfo": {"@class": "x", "name": "MyOwn", "metadata": {"zo-ne": "z"}},
                "metadata": {"@class": "java", "management.port": "8090"},
            },
            {"instanceId": "i2", "hostName": "plain.example", "status": "DOWN", "countryId": 1},
        ]}]}}));
    }
    let full = "<instance><instanceId>meta:8080</instanceId><hostName>meta.example</hostName><app>META</app>\
        <ipAddr>192.168.2.1</ipAddr><status>UP</status><port enabled=\"true\">8080</port>\
        <securePort enabled=\"false\">443</securePort><countryId>1</countryId>\
        <homePageUrl>http://m/</homePageUrl>\
        <statusPageUrl>http://m/s</statusPageUrl><healthCheckUrl>http://m/h</healthCheckUrl>\
        <vipAddress>meta</vipAddress><secureVipAddress>smeta</secureVipAddress>\
        <dataCenterInfo class=\"x\"><name>MyOwn</name><metadata><zo-ne>z</zo-ne></metadata></dataCenterInfo>\
        <metadata><management.port>8090</management.port></metadata></instance>";
    let plain = "<instance><instanceId>i2</instanceId><hostName>plain.example</hostName><status>DOWN</status>\
        <countryId>1</countryId></instance>";
    Reply::text(
        "application/xml",
        format!("<applications><application><name>META</name>{full}{plain}</application></applications>"),
    )
}

fn triton(request: &Request) -> Reply {
    let body = match (request.path.as_str(), request.query.as_str()) {
        ("/v1/discover", "" | "groups=g1,g2" | "groups=g1%2Cg2") => json!({"containers": [
            {"groups": ["g1", "g2"], "server_uuid": "su", "vm_alias": "al", "vm_brand": "lx",
             "vm_image_uuid": "im", "vm_uuid": "vu"},
            {"server_uuid": "su", "vm_alias": "a2", "vm_brand": "lx", "vm_image_uuid": "im", "vm_uuid": "v2"},
        ]}),
        ("/v1/gz/discover", "") => json!({"cns": [{"server_hostname": "sh", "server_uuid": "su"}]}),
        _ => return Reply::status(404),
    };
    Reply::json(body)
}

#[test]
fn catalogues_at_addresses_of_their_own_have_the_targets_that_prometheus_finds() {
    let (machines, resources, apps) = (Server::new(scaleway), Server::new(puppetdb), Server::new(eureka));
    let monitor = Server::secure(triton);
    let scaleway = |role: &str| {
        format!(
            "scaleway_sd_configs:\n- api_url: '{}'\n  role: {role}\n  access_key: SCWXXXXXXXXXXXXXXXXX\n  \
             project_id: 8feda53f-15f0-447f-badf-ccb2dad2f8d0\n  \
             secret_key: 6d6d6d6d-1111-4111-8111-111111111111",
            machines.url()
        )
    };
    let puppetdb = |more: &str| {
        format!("puppetdb_sd_configs:\n- url: '{}'\n  query: 'resources {{}}'\n{more}", resources.url())
    };
    let triton = |more: &str| {
        format!(
            "triton_sd_configs:\n- endpoint: 127.0.0.1\n  port: {}\n  account: a\n  dns_suffix: x.example\n  \
             tls_config: {{insecure_skip_verify: true}}\n{more}",
            monitor.port()
        )
    };
    let eureka = format!("eureka_sd_configs:\n- server: '{}/eureka'", apps.url());
    // One that has an address in the newer list alone is found by newer ones than the Prometheus here.
    let found = Ours::start(&scaleway("instance")).wait_for_count(2);
    assert!(found[1].contains(r#"__address__="[2001:bc8::3]:80""#), "{found:?}");
    same_as_prometheus(&[
        ("instance", &scaleway("instance").replace("role", "name_filter: first\n  role"), 1),
        ("baremetal", &scaleway("baremetal"), 1),
        ("puppetdb", &puppetdb(""), 1),
        ("parameters", &puppetdb("  include_parameters: true\n  port: 9"), 1),
        ("eureka", &eureka, 2),
        ("triton", &triton(""), 2),
        ("triton-groups", &triton("  groups: [g1, g2]"), 2),
        ("triton-cn", &triton("  role: cn"), 1),
    ]);
}

#[test]
fn nomad_tells_its_services() {
    let server = Server::new(|request: &Request| {
        assert_eq!(request.query, "namespace=default&region=global&stale=");
        match request.path.as_str() {
            "/v1/services" => Reply::json(json!([
                {"Namespace": "default", "Services": [{"ServiceName": "web", "Tags": ["a"]}]},
            ])),
            "/v1/service/web" => Reply::json(json!([{
                "ID": "_nomad-1", "ServiceName": "web", "Namespace": "default", "NodeID": "node1",
                "Datacenter": "dc1", "Tags": ["a", "b"], "Address": "10.0.0.1", "Port": 8080,
            }])),
            _ => Reply::status(404),
        }
    });
    let labels = [
        ("address", "10.0.0.1"),
        ("dc", "dc1"),
        ("namespace", "default"),
        ("node_id", "node1"),
        ("service", "web"),
        ("service_address", "10.0.0.1"),
        ("service_id", "_nomad-1"),
        ("service_port", "8080"),
        ("tags", ",a,b,"),
    ];
    let labels = labels.map(|(name, value)| format!(r#", __meta_nomad_{name}="{value}""#)).concat();
    let ours = Ours::start(&format!("nomad_sd_configs:\n- server: '{}'", server.url()));
    ours.wait_for(&[format!(r#"{{__address__="10.0.0.1:8080"{labels}}}"#)]);
}

#[test]
fn kuma_assigns_what_is_monitored() {
    let server = Server::new(|request: &Request| {
        assert_eq!(request.path, "/v3/discovery:monitoringassignments");
        assert!(request.body.contains(r#""id":"me""#), "{}", request.body);
        Reply::json(json!({"version_info": "1", "resources": [{
            "mesh": "m", "service": "s", "labels": {"a.b": "1"},
            "targets": [{"name": "dp1", "scheme": "https", "address": "10.1.1.1:5670", "metrics_path": "/m",
                "labels": {"kuma.io/x": "y"}}],
        }]}))
    });
    let ours = Ours::start(&format!("kuma_sd_configs:\n- {{server: '{}', client_id: me}}", server.url()));
    let meta = r#"__meta_kuma_dataplane="dp1", __meta_kuma_label_a_b="1", __meta_kuma_label_kuma_io_x="y""#;
    let meta = format!(r#"{meta}, __meta_kuma_mesh="m", __meta_kuma_service="s""#);
    let own = r#"__address__="10.1.1.1:5670""#;
    let end = r#"__metrics_path__="/m", __scheme__="https", instance="dp1""#;
    ours.wait_for(&[format!("{{{own}, {meta}, {end}}}")]);
}
