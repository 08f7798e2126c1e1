//! What OpenStack's lists become: pages in, labels out. Asks nobody.

use crate::{
    json::Json,
    meta::{Meta, host_port},
};
use serde_json::Value;
use skopos_model::Labels;
use std::collections::{HashMap, HashSet};

const PREFIX: &str = "__meta_openstack_";

fn all<'a>(pages: &'a [Value], key: &'static str) -> impl Iterator<Item = Json<'a>> {
    pages.iter().flat_map(move |page| Json::new(page).list(key))
}

/// A project, by either name of the key.
fn project(of: Json<'_>) -> &str {
    let own = of.text("tenant_id");
    if own.is_empty() { of.text("project_id") } else { own }
}

/// What machines run on.
pub(crate) fn hypervisors(pages: &[Value], port: u16) -> Vec<Labels> {
    let target = |one: Json<'_>| {
        let mut meta = Meta::new(PREFIX);
        meta.set("hypervisor_id", one.written("id"))
            .set("hypervisor_hostname", one.text("hypervisor_hostname"))
            .set("hypervisor_host_ip", one.text("host_ip"))
            .set("hypervisor_status", one.text("status"))
            .set("hypervisor_state", one.text("state"))
            .set("hypervisor_type", one.text("hypervisor_type"));
        meta.address(host_port(one.text("host_ip"), port)).build()
    };
    all(pages, "hypervisors").map(target).collect()
}

/// A target for each address of each machine, but for those that float: they are labels of others.
pub(crate) fn instances(machines: &[Value], ports: &[Value], floating: &[Value], port: u16) -> Vec<Labels> {
    let devices: HashMap<_, _> =
        all(ports, "ports").map(|port| (port.text("id"), port.text("device_id"))).collect();
    let (mut public, mut known) = (HashMap::new(), HashSet::new());
    for ip in all(floating, "floatingips") {
        let (fixed, text) = (ip.text("fixed_ip_address"), ip.text("floating_ip_address"));
        if let (Some(device), false) = (devices.get(ip.text("port_id")), fixed.is_empty()) {
            public.insert((project(ip), *device, fixed), text);
            known.insert(text);
        }
    }
    let mut targets = Vec::new();
    for machine in all(machines, "servers") {
        let Some(meta) = of_machine(machine) else { continue };
        for (pool, addresses) in machine.get("addresses").entries() {
            let texts = addresses.items().map(|address| address.text("addr"));
            for ip in texts.filter(|ip| !ip.is_empty() && !known.contains(ip)) {
                let mut own = meta.clone();
                let public = public.get(&(project(machine), machine.text("id"), ip));
                own.set("address_pool", pool)
                    .set("private_ip", ip)
                    .set("public_ip", public.copied().unwrap_or_default());
                targets.push(own.address(host_port(ip, port)).build());
            }
        }
    }
    targets
}

/// None of one without a flavour.
fn of_machine(machine: Json<'_>) -> Option<Meta> {
    let flavor = machine.get("flavor");
    let flavor = ["original_name", "id"].into_iter().map(|key| flavor.get(key)).find(|one| one.is_there())?;
    let mut meta = Meta::new(PREFIX);
    meta.set("instance_flavor", flavor.as_text())
        .set("instance_id", machine.text("id"))
        .set("instance_image", machine.at(&["image", "id"]).as_text())
        .set("instance_name", machine.text("name"))
        .set("instance_status", machine.text("status"))
        .set("project_id", project(machine))
        .set("user_id", machine.text("user_id"))
        .set_all("tag_", machine.pairs("metadata"));
    Some(meta)
}

/// Balancers that have a listener for metrics.
pub(crate) fn balancers(balancers: &[Value], listeners: &[Value], floating: &[Value]) -> Vec<Labels> {
    let mut ports = HashMap::new();
    for listener in all(listeners, "listeners").filter(|one| one.text("protocol") == "PROMETHEUS") {
        for balancer in listener.list("loadbalancers") {
            ports.entry(balancer.text("id")).or_insert(listener.number("protocol_port"));
        }
    }
    let floating = all(floating, "floatingips").filter(|ip| !ip.text("port_id").is_empty());
    let floating: HashMap<_, _> =
        floating.map(|ip| (ip.text("port_id"), ip.text("floating_ip_address"))).collect();
    let target = |one: Json<'_>| {
        let (ip, port) = (one.text("vip_address"), ports.get(one.text("id"))?);
        let mut meta = Meta::new(PREFIX);
        for key in ["id", "name", "operating_status", "provisioning_status", "availability_zone", "provider"]
        {
            meta.set(&format!("loadbalancer_{key}"), one.text(key));
        }
        meta.set(
            "loadbalancer_floating_ip",
            floating.get(one.text("vip_port_id")).copied().unwrap_or_default(),
        )
        .set("loadbalancer_vip", ip)
        .set("loadbalancer_tags", one.texts("tags").collect::<Vec<_>>().join(","))
        .set("project_id", one.text("project_id"));
        Some(meta.address(host_port(ip, port)).build())
    };
    all(balancers, "loadbalancers").filter_map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Labels that came after the Prometheus that the others are compared with.
    #[test]
    fn machines_have_their_image_and_the_name_of_their_flavour() {
        let pages = [json!({"servers": [{
            "id": "s", "image": {"id": "img"}, "flavor": {"original_name": "m1", "id": "7"},
            "addresses": {"net": [{"addr": "10.0.0.1"}]},
        }]})];
        let target = instances(&pages, &[], &[], 80).pop().unwrap().to_string();
        for label in [r#"instance_image="img""#, r#"instance_flavor="m1""#] {
            assert!(target.contains(label), "{target}");
        }
    }
}
