//! The role `endpointslice`: as `endpoints`, from the smaller pieces that the API has of them.

use super::{
    ObjectKind,
    endpoints::SeenPods,
    objects::{Object, PREFIX, key, set_about},
    service,
    world::Known,
};
use crate::{
    json::Json,
    meta::{Meta, host_port},
};
use skopos_model::Labels;

/// The label that says which service a slice is of.
const SERVICE: &str = "kubernetes.io/service-name";

/// The name of the service that a slice is of.
pub(super) fn service(slice: &Object) -> &str {
    slice.about().get("labels").text(SERVICE)
}

/// The labels of the group, and its targets.
pub(super) fn group(slice: &Object, known: &Known) -> (Labels, Vec<Labels>) {
    let mut meta = Meta::new(PREFIX);
    meta.set("namespace", slice.namespace());
    meta.set("endpointslice_address_type", slice.json().text("addressType"));
    set_about(&mut meta, "endpointslice", slice.about());
    if let Some(of) = known.get(ObjectKind::Service, &key(slice.namespace(), service(slice))) {
        meta.extend(&service::labels(of).build());
    }
    known.set_namespace(&mut meta, slice.namespace());
    let (mut targets, mut seen) = (Vec::new(), SeenPods::default());
    for endpoint in slice.json().list("endpoints") {
        for port in slice.json().list("ports") {
            let all = endpoint.texts("addresses");
            targets.extend(all.map(|address| target(address, endpoint, port, known, &mut seen)));
        }
    }
    targets.extend(seen.further_ports());
    (meta.build(), targets)
}

fn target<'a>(
    address: &str,
    endpoint: Json<'a>,
    port: Json<'a>,
    known: &'a Known,
    seen: &mut SeenPods<'a>,
) -> Labels {
    let (mut meta, of) = (Meta::new(PREFIX), endpoint.get("targetRef"));
    let number = port.get("port").is_there().then(|| port.number("port"));
    match number {
        Some(number) => {
            meta.address(host_port(address, number)).set("endpointslice_port", number.to_string())
        }
        None => meta.address(address),
    };
    meta.set("endpointslice_port_name", port.text("name"))
        .set("endpointslice_port_protocol", port.text("protocol"))
        .set("endpointslice_port_app_protocol", port.text("appProtocol"))
        .set("endpointslice_endpoint_hostname", endpoint.text("hostname"))
        .set("endpointslice_endpoint_node_name", endpoint.text("nodeName"))
        .set("endpointslice_endpoint_zone", endpoint.text("zone"))
        .set("endpointslice_address_target_kind", of.text("kind"))
        .set("endpointslice_address_target_name", of.text("name"));
    for condition in ["ready", "serving", "terminating"] {
        let told = endpoint.get("conditions").truth(condition);
        let name = format!("endpointslice_endpoint_conditions_{condition}");
        meta.set(&name, told.map_or(String::new(), |told| told.to_string()));
    }
    let topology = endpoint.pairs("deprecatedTopology");
    meta.set_all("endpointslice_endpoint_topology_", topology);
    let present = endpoint.pairs("deprecatedTopology").map(|(key, _)| (key, "true"));
    meta.set_all("endpointslice_endpoint_topology_present_", present);
    known.set_node(&mut meta, super::node::of(endpoint));
    if let Some(pod) = known.pod_of(of) {
        seen.set_pod(&mut meta, pod, number);
    }
    meta.build()
}
