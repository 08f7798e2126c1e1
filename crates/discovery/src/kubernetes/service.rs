//! The role `service`: a target for each port.

use super::{
    objects::{Object, PREFIX, set_about},
    world::Known,
};
use crate::meta::{Meta, host_port};
use skopos_model::Labels;

/// The labels of a service's group, and its targets.
pub(super) fn group(service: &Object, known: &Known) -> (Labels, Vec<Labels>) {
    let mut meta = labels(service);
    known.set_namespace(&mut meta, service.namespace());
    let spec = service.json().get("spec");
    let kind = spec.text("type");
    let target = |port: crate::json::Json<'_>| {
        let mut target = Meta::new(PREFIX);
        let host = format!("{}.{}.svc", service.name(), service.namespace());
        let number = port.number("port");
        target
            .address(host_port(&host, number))
            .set("service_port_name", port.text("name"))
            .set("service_port_number", number.to_string())
            .set("service_port_protocol", port.text("protocol"))
            .set("service_type", kind);
        match kind {
            "ExternalName" => target.set("service_external_name", spec.text("externalName")),
            _ => target.set("service_cluster_ip", spec.text("clusterIP")),
        };
        if kind == "LoadBalancer" {
            target.set("service_loadbalancer_ip", spec.text("loadBalancerIP"));
        }
        target.build()
    };
    (meta.build(), spec.list("ports").map(target).collect())
}

/// What all that belongs to a service is told of it.
pub(super) fn labels(service: &Object) -> Meta {
    let mut meta = Meta::new(PREFIX);
    meta.set("namespace", service.namespace());
    set_about(&mut meta, "service", service.about());
    meta
}
