//! `Object`: as much of an object of the API as labels are made of, and those that all kinds have.

use super::ObjectKind;
use crate::{json::Json, meta::Meta};
use serde_json::{Map, Value};

pub(super) const PREFIX: &str = "__meta_kubernetes_";
/// Kept of what every object says of itself.
const ABOUT: [&str; 6] = ["name", "namespace", "uid", "labels", "annotations", "ownerReferences"];
/// Kept of what a container is to be.
const OF_CONTAINERS: [&str; 3] = ["name", "image", "ports"];

/// See above.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(super) kind: ObjectKind,
    value: Value,
}

impl Object {
    pub(crate) fn new(kind: ObjectKind, from: Json<'_>) -> Self {
        let mut value = Map::new();
        value.insert("metadata".to_owned(), from.get("metadata").picked(&ABOUT));
        let spec = from.get("spec");
        match kind {
            ObjectKind::Namespace => {}
            ObjectKind::Pod => {
                let mut slim = spec.picked(&["nodeName"]);
                for key in ["containers", "initContainers"] {
                    let containers = spec.list(key).map(|one| one.picked(&OF_CONTAINERS));
                    slim[key] = Value::Array(containers.collect());
                }
                value.insert("spec".to_owned(), slim);
                let of_status =
                    ["podIP", "hostIP", "phase", "conditions", "containerStatuses", "initContainerStatuses"];
                value.insert("status".to_owned(), pod_status(from.get("status").picked(&of_status)));
            }
            ObjectKind::Node => {
                value.insert("spec".to_owned(), spec.picked(&["providerID"]));
                let status = from.get("status").picked(&["addresses", "daemonEndpoints"]);
                value.insert("status".to_owned(), status);
            }
            ObjectKind::Service | ObjectKind::Ingress => {
                let of_spec = [
                    "type",
                    "clusterIP",
                    "externalName",
                    "loadBalancerIP",
                    "ports",
                    "rules",
                    "tls",
                    "ingressClassName",
                ];
                value.insert("spec".to_owned(), spec.picked(&of_spec));
            }
            ObjectKind::Endpoints | ObjectKind::EndpointSlice => {
                let own = from.picked(&["subsets", "addressType", "ports", "endpoints"]);
                if let Value::Object(own) = own {
                    value.extend(own);
                }
            }
        }
        Self { kind, value: Value::Object(value) }
    }

    pub(super) fn json(&self) -> Json<'_> {
        Json::new(&self.value)
    }

    pub(super) fn about(&self) -> Json<'_> {
        self.json().get("metadata")
    }

    pub(super) fn name(&self) -> &str {
        self.about().text("name")
    }

    pub(super) fn namespace(&self) -> &str {
        self.about().text("namespace")
    }

    /// What tells it from others of its kind.
    pub(super) fn key(&self) -> String {
        key(self.namespace(), self.name())
    }
}

/// Of conditions and containers, what changes rarely.
fn pod_status(mut status: Value) -> Value {
    for (list, kept) in [
        ("conditions", &["type", "status"][..]),
        ("containerStatuses", &["name", "containerID"]),
        ("initContainerStatuses", &["name", "containerID"]),
    ] {
        let slim = Json::new(&status).list(list).map(|one| one.picked(kept)).collect();
        status[list] = Value::Array(slim);
    }
    status
}

/// What tells an object from others of its kind.
pub(super) fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// The labels and annotations of an object, below the name of its kind.
pub(super) fn set_described(meta: &mut Meta, of: &str, about: Json<'_>) {
    for (kind, key) in [("label", "labels"), ("annotation", "annotations")] {
        meta.set_all(&format!("{of}_{kind}_"), about.pairs(key));
        let present = about.pairs(key).map(|(name, _)| (name, "true"));
        meta.set_all(&format!("{of}_{kind}present_"), present);
    }
}

/// Those that a kind has beside its name.
pub(super) fn set_about(meta: &mut Meta, of: &str, about: Json<'_>) {
    meta.set(&format!("{of}_name"), about.text("name"));
    set_described(meta, of, about);
}
