//! The role `endpoints`: a target for each address and port behind a service, and for each further port of
//! the pods among them.

use super::{
    ObjectKind,
    objects::{Object, PREFIX, set_about},
    pod, service,
    world::Known,
};
use crate::{
    json::Json,
    meta::{Meta, host_port},
};
use skopos_model::Labels;

/// The labels of the group, and its targets.
pub(super) fn group(object: &Object, known: &Known) -> (Labels, Vec<Labels>) {
    let mut meta = Meta::new(PREFIX);
    meta.set("namespace", object.namespace());
    set_about(&mut meta, "endpoints", object.about());
    if let Some(of) = known.get(ObjectKind::Service, &object.key()) {
        meta.extend(&service::labels(of).build());
    }
    known.set_namespace(&mut meta, object.namespace());
    let (mut targets, mut seen) = (Vec::new(), SeenPods::default());
    for subset in object.json().list("subsets") {
        for port in subset.list("ports") {
            for (list, ready) in [("addresses", "true"), ("notReadyAddresses", "false")] {
                let all = subset.list(list);
                targets.extend(all.map(|address| target(address, port, ready, known, &mut seen)));
            }
        }
    }
    targets.extend(seen.further_ports());
    (meta.build(), targets)
}

fn target<'a>(
    address: Json<'a>,
    port: Json<'a>,
    ready: &str,
    known: &'a Known,
    seen: &mut SeenPods<'a>,
) -> Labels {
    let (mut meta, of) = (Meta::new(PREFIX), address.get("targetRef"));
    let number = port.number("port");
    meta.address(host_port(address.text("ip"), number))
        .set("endpoint_port_name", port.text("name"))
        .set("endpoint_port_protocol", port.text("protocol"))
        .set("endpoint_ready", ready)
        .set("endpoint_address_target_kind", of.text("kind"))
        .set("endpoint_address_target_name", of.text("name"))
        .set("endpoint_node_name", address.text("nodeName"))
        .set("endpoint_hostname", address.text("hostname"));
    known.set_node(&mut meta, super::node::of(address));
    if let Some(pod) = known.pod_of(of) {
        seen.set_pod(&mut meta, pod, Some(number));
    }
    meta.build()
}

/// The pods that addresses are of, with the ports that are told already.
#[derive(Default)]
pub(super) struct SeenPods<'a>(Vec<(&'a Object, Vec<i64>)>);

impl<'a> SeenPods<'a> {
    /// What is known of a pod, and of the container that has the port.
    pub(super) fn set_pod(&mut self, meta: &mut Meta, pod: &'a Object, port: Option<i64>) {
        meta.extend(&pod::labels(pod).build());
        let told = match self.0.iter().position(|(known, _)| known.key() == pod.key()) {
            Some(at) => &mut self.0[at].1,
            None => {
                self.0.push((pod, Vec::new()));
                &mut self.0.last_mut().expect("invariant: it was just added").1
            }
        };
        told.extend(port);
        for container in pod::containers(pod) {
            let mut ports = container.json.list("ports");
            let of = ports.find(|own| Some(own.number("containerPort")) == port);
            if let Some(of) = of {
                meta.extend(&container.labels().build());
                pod::set_port(meta, of);
            }
        }
    }

    /// Targets for the ports of the pods' containers that were not told.
    pub(super) fn further_ports(self) -> impl Iterator<Item = Labels> {
        self.0.into_iter().filter(|(pod, _)| !pod::ip(pod).is_empty()).flat_map(|(pod, told)| {
            let mut further = Vec::new();
            for container in pod::containers(pod) {
                let mut base = container.labels();
                base.extend(&pod::labels(pod).build());
                let ports = container.json.list("ports");
                let ports = ports.filter(|port| !told.contains(&port.number("containerPort")));
                further.extend(ports.map(|port| pod::port_target(&base, pod::ip(pod), port)));
            }
            further
        })
    }
}
