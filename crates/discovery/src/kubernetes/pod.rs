//! The role `pod`: a target for each port of each container; and what other roles tell of pods.

use super::{
    objects::{Object, PREFIX, set_about},
    world::Known,
};
use crate::{
    json::Json,
    meta::{Meta, host_port},
};
use skopos_model::Labels;

/// The labels of a pod's group, and its targets; none before it has an address.
pub(super) fn group(pod: &Object, known: &Known) -> (Labels, Vec<Labels>) {
    let ip = ip(pod);
    if ip.is_empty() {
        return (Labels::empty(), Vec::new());
    }
    let mut meta = labels(pod);
    meta.set("namespace", pod.namespace());
    known.set_namespace(&mut meta, pod.namespace());
    known.set_node(&mut meta, pod.json().at(&["spec", "nodeName"]).as_text());
    let mut targets = Vec::new();
    for container in containers(pod) {
        let mut base = container.labels();
        base.set("pod_container_id", container.id(pod));
        let before = targets.len();
        targets.extend(container.json.list("ports").map(|port| port_target(&base, ip, port)));
        if targets.len() == before {
            targets.push(base.address(ip).build());
        }
    }
    (meta.build(), targets)
}

/// The target of a port of a container whose labels are `base`.
pub(super) fn port_target(base: &Meta, ip: &str, port: Json<'_>) -> Labels {
    let mut meta = base.clone();
    set_port(&mut meta, port);
    meta.address(host_port(ip, port.number("containerPort"))).build()
}

pub(super) fn set_port(meta: &mut Meta, port: Json<'_>) {
    // The API fills the protocol in; where it has not, it is this one.
    meta.set("pod_container_port_name", port.text("name"))
        .set("pod_container_port_number", port.number("containerPort").to_string())
        .set("pod_container_port_protocol", port.text("protocol"));
}

pub(super) fn ip(pod: &Object) -> &str {
    pod.json().at(&["status", "podIP"]).as_text()
}

/// A container of a pod.
#[derive(Clone, Copy)]
pub(super) struct Container<'a> {
    pub(super) json: Json<'a>,
    /// Whether it runs before the others.
    is_init: bool,
}

pub(super) fn containers(pod: &Object) -> impl Iterator<Item = Container<'_>> {
    let spec = pod.json().get("spec");
    let of = |key, is_init| spec.list(key).map(move |json| Container { json, is_init });
    of("containers", false).chain(of("initContainers", true))
}

impl Container<'_> {
    /// What the engine that runs it calls it.
    fn id(self, pod: &Object) -> String {
        let list = if self.is_init { "initContainerStatuses" } else { "containerStatuses" };
        let name = self.json.text("name");
        let status = pod.json().get("status").list(list).find(|status| status.text("name") == name);
        status.map_or("", |status| status.text("containerID")).to_owned()
    }

    /// What its targets are told of it.
    pub(super) fn labels(self) -> Meta {
        let mut meta = Meta::new(PREFIX);
        meta.set("pod_container_name", self.json.text("name"))
            .set("pod_container_image", self.json.text("image"))
            .set("pod_container_init", self.is_init.to_string());
        meta
    }
}

/// What all that belongs to a pod is told of it.
pub(super) fn labels(pod: &Object) -> Meta {
    let (mut meta, json) = (Meta::new(PREFIX), pod.json());
    let status = json.get("status");
    let mut conditions = status.list("conditions");
    let ready = conditions.find(|condition| condition.text("type") == "Ready");
    meta.set("pod_ip", ip(pod))
        .set("pod_ready", ready.map_or("unknown", |ready| ready.text("status")).to_ascii_lowercase())
        .set("pod_phase", status.text("phase"))
        .set("pod_node_name", json.at(&["spec", "nodeName"]).as_text())
        .set("pod_host_ip", status.text("hostIP"))
        .set("pod_uid", pod.about().text("uid"));
    set_about(&mut meta, "pod", pod.about());
    if let Some(controller) = pod.about().list("ownerReferences").find(|owner| owner.is("controller")) {
        meta.set("pod_controller_kind", controller.text("kind"))
            .set("pod_controller_name", controller.text("name"));
    }
    meta
}
