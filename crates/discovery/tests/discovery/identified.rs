//! Clouds that want to know who asks.

use crate::{
    beside::{Ours, joined, same_as},
    made_up::{Reply, Request, Server},
};
use serde_json::{Value, json};
use skopos_testkit::peers;
use std::fs;

fn google(request: &Request) -> Reply {
    if request.path == "/token" {
        let is_signed = request.body.contains("assertion=") && request.body.matches('.').count() >= 2;
        let is_of_user = request.body.contains("grant_type=refresh_token");
        assert!(is_signed || is_of_user, "{}", request.body);
        return Reply::json(json!({"access_token": "tok", "token_type": "Bearer", "expires_in": 3600}));
    }
    assert_eq!(request.path, "/compute/v1/projects/proj/zones/europe-west1-b/instances");
    assert_eq!(request.header("authorization"), "Bearer tok");
    assert!(request.query.contains("filter=labels.a"), "{}", request.query);
    let base = "https://www.googleapis.com/compute/v1/projects/proj";
    let machine = |id: &str, interfaces: Value| {
        json!({
            "id": id, "name": format!("vm-{id}"), "status": "RUNNING",
            "zone": format!("{base}/zones/europe-west1-b"),
            "machineType": format!("{base}/zones/europe-west1-b/machineTypes/n1"),
            "networkInterfaces": interfaces,
            "tags": {"items": ["http-server", "x"], "fingerprint": "f"},
            "labels": {"a-b": "c", "d": "e"},
            "metadata": {"items": [{"key": "start-up", "value": "true"}, {"key": "nothing"}]},
        })
    };
    let inside = |name: &str, ip: &str, outside: Value| {
        json!({
            "name": name, "network": format!("{base}/global/networks/default"), "networkIP": ip,
            "subnetwork": format!("{base}/regions/europe-west1/subnetworks/default"),
                "accessConfigs": outside,
        })
    };
    let outside = json!([{"type": "ONE_TO_ONE_NAT", "natIP": "35.0.0.1"}]);
    if request.query.contains("pageToken=two") {
        return Reply::json(json!({"items": [
            machine("3", json!([inside("nic0", "10.132.0.3", Value::Null)])), machine("4", json!([])),
        ]}));
    }
    let first = json!([inside("nic0", "10.132.0.2", outside), inside("nic-1", "10.2.0.2", Value::Null)]);
    Reply::json(json!({"items": [machine("812", first)], "nextPageToken": "two"}))
}

#[test]
fn machines_of_google_are_the_targets_that_prometheus_finds() {
    let proxy = Server::everybody(google);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let certificate = write("ca.pem", &proxy.certificate);
    let key = include_str!("data/signing_key.pem");
    let service = json!({
        "type": "service_account", "project_id": "proj", "private_key_id": "k1", "private_key": key,
        "client_email": "a@b", "client_id": "1", "token_uri": "https://oauth2.googleapis.com/token",
    });
    let user = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
    });
    let config = "gce_sd_configs:\n- project: proj\n  zone: europe-west1-b\n  filter: labels.a\n  port: 9\n  \
                  tag_separator: ';'";
    for account in [write("service.json", &service.to_string()), write("user.json", &user.to_string())] {
        let url = proxy.url();
        let environment = [
            ("GOOGLE_APPLICATION_CREDENTIALS", account.as_str()),
            ("HTTPS_PROXY", &url),
            ("SSL_CERT_FILE", &certificate),
        ];
        same_as(peers::prometheus_3(), &environment, &[("gce", config, 2)]);
    }
}

/// Gives a token, with the places of services.
fn identity(request: &Request, own: &str) -> Reply {
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["auth"]["identity"]["password"]["user"]["name"], "me");
    assert_eq!(body["auth"]["scope"]["project"]["domain"]["name"], "Default");
    let service = |kind: &str, path: &str| {
        let endpoint = |interface: &str, region: &str| {
            let url = if interface == "public" { format!("{own}{path}") } else { "http://gone/".to_owned() };
            json!({"id": "e", "interface": interface, "region": region, "region_id": region, "url": url})
        };
        let endpoints =
            [endpoint("admin", "RegionOne"), endpoint("public", "Other"), endpoint("public", "RegionOne")];
        json!({"id": kind, "name": kind, "type": kind, "endpoints": endpoints})
    };
    let catalog = [
        service("compute", "/compute/v2.1"),
        service("network", "/network"),
        service("load-balancer", "/lb"),
    ];
    let token = json!({"token": {
        "expires_at": "2999-01-01T00:00:00.000000Z", "issued_at": "2024-01-01T00:00:00.000000Z",
        "methods": ["password"], "catalog": catalog,
    }});
    Reply { status: 201, ..Reply::json(token).with("X-Subject-Token", "tok") }
}

fn openstack(request: &Request, own: &str) -> Reply {
    if request.path == "/v3/auth/tokens" {
        return identity(request, own);
    }
    assert_eq!(request.header("x-auth-token"), "tok");
    Reply::json(match request.path.as_str() {
        "/compute/v2.1/os-hypervisors/detail" => json!({"hypervisors": [
            {
                "id": 1, "hypervisor_hostname": "h1", "host_ip": "172.16.0.1", "status": "enabled",
                    "state": "up",
                "hypervisor_type": "QEMU", "hypervisor_version": 2_002_002, "cpu_info": "",
                    "service": {"id": 1},
                "local_gb": 1, "memory_mb": 1, "vcpus": 1, "free_disk_gb": 1, "local_gb_used": 1,
            },
        ]}),
        // Where the older one looks for addresses that float.
        "/compute/v2.1/os-floating-ips" => json!({"floating_ips": [
            {"id": "f1", "fixed_ip": "10.0.0.1", "instance_id": "s1", "ip": "5.5.5.5", "pool": "public"},
        ]}),
        "/network/v2.0/ports" => json!({"ports": [
            {"id": "p1", "device_id": "s1", "tenant_id": "ten"}, {"id": "p2", "device_id": "s2",
                "tenant_id": "ten"},
        ]}),
        "/network/v2.0/floatingips" => json!({"floatingips": [
            {"id": "f1", "fixed_ip_address": "10.0.0.1", "floating_ip_address": "5.5.5.5", "port_id": "p1",
                "tenant_id": "ten"},
            {"id": "f2", "fixed_ip_address": null, "floating_ip_address": "5.5.5.6", "port_id": null,
                "tenant_id": "ten"},
            {"id": "f3", "fixed_ip_address": "10.9.0.1", "floating_ip_address": "5.5.5.7", "port_id": "vp",
                "tenant_id": "ten"},
        ]}),
        "/compute/v2.1/servers/detail" => machines(request, own),
        "/lb/v2.0/lbaas/loadbalancers" => json!({"loadbalancers": [
            {
                "id": "lb1", "name": "one", "operating_status": "ONLINE", "provisioning_status": "ACTIVE",
                "availability_zone": "az1", "provider": "amphora", "vip_address": "10.9.0.1",
                    "vip_port_id": "vp",
                "project_id": "ten", "tags": ["a", "b"],
            },
            {"id": "lb2", "vip_address": "10.9.0.2"},
        ]}),
        "/lb/v2.0/lbaas/listeners" => json!({"listeners": [
            {"id": "l0", "protocol": "HTTP", "protocol_port": 80, "loadbalancers": [{"id": "lb1"},
                {"id": "lb2"}]},
            {"id": "l1", "protocol": "PROMETHEUS", "protocol_port": 9090, "loadbalancers": [{"id": "lb1"}]},
        ]}),
        _ => return Reply::status(404),
    })
}

fn machines(request: &Request, own: &str) -> Value {
    assert!(request.query.contains("all_tenants=true"), "{}", request.query);
    let address = |ip: &str| json!({"addr": ip, "version": 4});
    let server = |id: &str, addresses: Value| {
        json!({
            "id": id, "name": format!("name-{id}"), "status": "ACTIVE", "tenant_id": "ten",
                "user_id": "u",
            "flavor": {"id": "m1"}, "image": "",
            "metadata": {"my-tag": "v"}, "addresses": addresses,
        })
    };
    if request.query.contains("marker=s1") {
        json!({"servers": [server("s2", json!({"private": [address("10.0.0.2")]})), server("s3",
                    json!({}))]})
    } else {
        let next = format!("{own}/compute/v2.1/servers/detail?all_tenants=true&marker=s1");
        let both = json!({"private": [address("10.0.0.1"), address("5.5.5.5")],
                    "other": [address("10.1.0.1")]});
        json!({"servers": [server("s1", both)], "servers_links": [{"rel": "next", "href": next}]})
    }
}

fn open_cloud() -> Server {
    Server::new(openstack_here)
}

pub(crate) fn openstack_here(request: &Request) -> Reply {
    openstack(request, &format!("http://{}", request.header("host")))
}

const LOGIN: &str = "username: me\n  password: hush\n  project_name: p\n  domain_name: Default\n  \
                     region: RegionOne\n  port: 9";

#[test]
fn machines_of_openstack_are_the_targets_that_prometheus_finds() {
    let server = open_cloud();
    let config = |more: &str| {
        format!("openstack_sd_configs:\n- identity_endpoint: '{}/v3'\n  {LOGIN}\n  {more}", server.url())
    };
    // The newer one was built without this source.
    same_as(
        Some(peers::prometheus_2()),
        &[],
        &[
            ("machines", &config("role: instance\n  all_tenants: true"), 3),
            ("hypervisors", &config("role: hypervisor"), 1),
        ],
    );
}

#[test]
fn balancers_of_openstack_are_found_where_they_tell_metrics() {
    let server = open_cloud();
    let ours = Ours::start(&format!(
        "openstack_sd_configs:\n- identity_endpoint: '{}'\n  {LOGIN}\n  role: loadbalancer",
        server.url()
    ));
    ours.wait_for(&[joined(
        r#"{__address__="10.9.0.1:9090",
        __meta_openstack_loadbalancer_availability_zone="az1",
        __meta_openstack_loadbalancer_floating_ip="5.5.5.7", __meta_openstack_loadbalancer_id="lb1",
        __meta_openstack_loadbalancer_name="one", __meta_openstack_loadbalancer_operating_status="ONLINE",
        __meta_openstack_loadbalancer_provider="amphora",
        __meta_openstack_loadbalancer_provisioning_status="ACTIVE",
        __meta_openstack_loadbalancer_tags="a,b", __meta_openstack_loadbalancer_vip="10.9.0.1",
        __meta_openstack_project_id="ten"}"#,
    )]);
}

fn machine(id: String, name: &str, nic: &str, own: Value) -> Value {
    let mut machine = json!({
        "id": id, "name": name, "type": "Microsoft.Compute/virtualMachines", "location": "westeurope",
        "tags": {"my-tag": "v"}, "properties": {
            "hardwareProfile": {"vmSize": "B1"}, "storageProfile": {"osDisk": {"osType": "Linux"}},
            "osProfile": {"computerName": format!("{name}-host")},
            "networkProfile": {"networkInterfaces": [{"id": nic}]},
        },
    });
    machine.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    machine
}

pub(crate) fn azure(request: &Request) -> Reply {
    let host = request.header("host");
    if host.starts_with("login.microsoftonline.com") {
        if request.path.contains("/oauth2/") && request.path.ends_with("/token") {
            assert!(request.body.contains("client_secret=hush"), "{}", request.body);
            return Reply::json(json!({
                "access_token": "tok", "token_type": "Bearer", "expires_in": "3600",
                    "expires_on": "9999999999",
                "not_before": "0", "resource": "https://management.azure.com/",
            }));
        }
        let authority = "https://login.microsoftonline.com/ten";
        return Reply::json(json!({
            "authorization_endpoint": format!("{authority}/oauth2/v2.0/authorize"), "issuer": authority,
            "token_endpoint": format!("{authority}/oauth2/v2.0/token"),
                "tenant_discovery_endpoint": authority,
        }));
    }
    assert_eq!(request.header("authorization"), "Bearer tok");
    let group = "/subscriptions/sub/resourceGroups/group";
    let compute = format!("{group}/providers/Microsoft.Compute");
    let network = format!("{group}/providers/Microsoft.Network/networkInterfaces");
    let address = |ip: &str, public: Value| {
        json!({"properties": {"primary": true, "ipConfigurations": [
            {"properties": {"privateIPAddress": ip, "publicIPAddress": public}},
        ]}})
    };
    let path = request.path.as_str();
    let of = |below: &str| format!("/subscriptions/sub/providers/Microsoft.Compute/{below}");
    let in_set = format!("{compute}/virtualMachineScaleSets/set/virtualMachines");
    let nic_in_set = format!("{in_set}/0/networkInterfaces/nic");
    Reply::json(if path.eq_ignore_ascii_case(&of("virtualMachines")) {
        let all = ["one", "off", "gone"].map(|name| {
            machine(
                format!("{compute}/virtualMachines/{name}"),
                name,
                &format!("{network}/{name}"),
                json!({}),
            )
        });
        json!({"value": all})
    } else if path.eq_ignore_ascii_case(&of("virtualMachineScaleSets")) {
        json!({"value": [{
            "id": format!("{compute}/virtualMachineScaleSets/set"), "name": "set", "location": "westeurope",
            "type": "Microsoft.Compute/virtualMachineScaleSets",
        }]})
    } else if path.eq_ignore_ascii_case(&in_set) {
        let id = format!("{in_set}/0");
        json!({"value": [machine(id, "set_0", &nic_in_set, json!({"instanceId": "0"}))]})
    } else if path.ends_with("networkInterfaces/one") {
        address("10.0.0.1", json!({"id": "x", "properties": {"ipAddress": "20.0.0.1"}}))
    } else if path.ends_with("networkInterfaces/off") {
        json!({"properties": {"ipConfigurations": []}})
    } else if path.to_ascii_lowercase().ends_with("/0/networkinterfaces/nic") {
        address("10.0.0.5", Value::Null)
    } else {
        return Reply::status(404);
    })
}

#[test]
fn machines_of_azure_are_found_alone_and_in_sets() {
    let proxy = Server::everybody(azure);
    let config = format!(
        "azure_sd_configs:\n- subscription_id: sub\n  tenant_id: ten\n  client_id: cli\n  \
         client_secret: hush\n  port: 9\n  proxy_url: '{}'\n  tls_config: {{insecure_skip_verify: true}}",
        proxy.url()
    );
    let url = proxy.url();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &proxy.certificate).unwrap();
    let certificate = file.path().display().to_string();
    let environment = [("HTTPS_PROXY", &*url), ("SSL_CERT_FILE", &*certificate)];
    same_as(Some(peers::prometheus_2()), &environment, &[("azure", &config, 2)]);
    let ours = Ours::start(&config);
    let target = |ip: &str, name: &str, kind: &str, more: [&str; 2]| {
        let [public, set] = more;
        joined(&format!(
            r#"{{__address__="{ip}:9", __meta_azure_machine_computer_name="{name}-host",
        __meta_azure_machine_id="/subscriptions/sub/resourceGroups/group/providers/Microsoft.Compute/{kind}",
        __meta_azure_machine_location="westeurope", __meta_azure_machine_name="{name}",
        __meta_azure_machine_os_type="Linux", __meta_azure_machine_private_ip="{ip}",
        {public}__meta_azure_machine_resource_group="group", {set}__meta_azure_machine_size="B1",
        __meta_azure_machine_tag_my_tag="v", __meta_azure_subscription_id="sub",
        __meta_azure_tenant_id="ten"}}"#
        ))
    };
    ours.wait_for(&[
        target(
            "10.0.0.1",
            "one",
            "virtualMachines/one",
            [r#"__meta_azure_machine_public_ip="20.0.0.1", "#, ""],
        ),
        target(
            "10.0.0.5",
            "set_0",
            "virtualMachineScaleSets/set/virtualMachines/0",
            ["", r#"__meta_azure_machine_scale_set="set", "#],
        ),
    ]);
}

#[test]
fn machines_and_databases_of_stackit_are_found() {
    let server = Server::new(|request: &Request| match request.path.as_str() {
        "/token" => Reply::json(json!({"access_token": "tok", "expires_in": 3600})),
        "/v1/projects/p/servers" => Reply::json(json!({"items": [
            {
                "id": "1", "name": "one", "availabilityZone": "eu01-m", "status": "ACTIVE",
                    "powerStatus": "RUNNING",
                "machineType": "g1.1", "labels": {"my-l": "v", "n": 5}, "nics": [
                    {"networkName": "net 1", "ipv4": "10.0.0.1"},
                    {"networkName": "net2", "ipv4": "10.1.0.1", "publicIp": "45.0.0.1"},
                ],
            },
            {"id": "2", "nics": []}, {"id": "3"},
        ]})),
        "/v2/projects/p/regions/eu01/instances" => {
            Reply::json(json!({"items": [{"id": "i", "name": "db", "status": "Ready"}]}))
        }
        _ => Reply::status(404),
    });
    let config = |role: &str| {
        format!("stackit_sd_configs:\n- project: p\n  endpoint: '{}'\n  role: {role}", server.url())
    };
    Ours::start(&config("server")).wait_for(&[joined(
        r#"{__address__="45.0.0.1:80",
        __meta_stackit_availability_zone="eu01-m", __meta_stackit_id="1", __meta_stackit_label_my_l="v",
        __meta_stackit_labelpresent_my_l="true", __meta_stackit_name="one",
        __meta_stackit_power_status="RUNNING", __meta_stackit_private_ipv4_net2="10.1.0.1",
        __meta_stackit_private_ipv4_net_1="10.0.0.1", __meta_stackit_project="p",
        __meta_stackit_public_ipv4="45.0.0.1", __meta_stackit_status="ACTIVE",
        __meta_stackit_type="g1.1"}"#,
    )]);
    Ours::start(&config("postgres")).wait_for(&[joined(
        r#"{__address__="postgres-flex-metrics.api.stackit.cloud:443", __meta_stackit_id="i",
        __meta_stackit_name="db", __meta_stackit_project="p", __meta_stackit_status="Ready",
        __meta_stackit_type="postgres",
        __metrics_path__="/v1alpha1/projects/p/regions/eu01/instances/i/advanced/metrics",
        __scheme__="https"}"#,
    )]);
}
