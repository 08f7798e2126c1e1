//! The role `node`: a machine, at the port of its kubelet.

use super::objects::{Object, PREFIX, set_about};
use crate::{
    json::Json,
    meta::{Meta, host_port},
};
use skopos_model::{Labels, LabelsBuilder};

/// The kinds of addresses, the best ones first.
const BEST_FIRST: [&str; 6] =
    ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

/// The labels of a node's group, and its target; none if nobody knows where it is.
pub(super) fn group(node: &Object) -> (Labels, Vec<Labels>) {
    let mut meta = Meta::new(PREFIX);
    meta.set("node_provider_id", node.json().at(&["spec", "providerID"]).as_text());
    set_about(&mut meta, "node", node.about());
    let status = node.json().get("status");
    let first = |kind: &str| status.list("addresses").find(|address| address.text("type") == kind);
    let Some(best) = BEST_FIRST.iter().find_map(|kind| first(kind)) else {
        return (meta.build(), Vec::new());
    };
    let port = status.at(&["daemonEndpoints", "kubeletEndpoint"]).number("Port");
    let mut target = Meta::new(PREFIX);
    let kinds = status.list("addresses").map(|address| address.text("type"));
    for kind in kinds {
        target.set_named("node_address_", kind, first(kind).map_or("", |address| address.text("address")));
    }
    let target = target.address(host_port(best.text("address"), port)).build();
    let mut target = LabelsBuilder::from_labels(&target);
    target.set("instance", node.name());
    (meta.build(), vec![target.build()])
}

/// What a node is called by those that stand on it.
pub(super) fn of(target: Json<'_>) -> &str {
    let object = target.get("targetRef");
    if object.text("kind") == "Node" { object.text("name") } else { target.text("nodeName") }
}
