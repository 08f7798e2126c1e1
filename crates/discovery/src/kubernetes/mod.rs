//! `kubernetes_sd_configs`: objects that a cluster's API tells, and every change of them.
//!
//! - this file: the configuration, and which kinds of objects a role needs.
//! - `access`: which API is asked, and as whom; `kubeconfig`: a file that says so; `exec`: a program that it
//!   names.
//! - `watch`: lists the objects of a kind, then follows their changes; `world`: all objects that are known,
//!   and the groups of targets that follow from them.
//! - `objects`: labels that all kinds have; `node`, `service`, `pod`, `endpoints`, `slice`, `ingress`: the
//!   groups of a role each.
//!
//! What always holds: nothing is told before all kinds that a role needs are listed; an object that is known
//! stays until the API says that it is gone.

mod access;
mod endpoints;
mod exec;
mod ingress;
mod kubeconfig;
mod node;
mod objects;
mod pod;
mod service;
mod slice;
mod watch;
pub(crate) mod world;

use crate::{client::ClientKind, config::Task, error::SourceError, source::Sink};
use access::Access;
#[cfg(feature = "fuzzing")]
pub(crate) use kubeconfig::parse as parse_kubeconfig;
use serde::{Deserialize, Serialize};
use skopos_client::HttpConfig;
use skopos_model::null_is_default;
use std::{collections::HashSet, path::Path, sync::Arc};
use tokio::{sync::mpsc, task::JoinSet};
use watch::Watch;
use world::World;

/// So many changes wait to be worked off; then the API waits.
const CHANGES_MAX: usize = 256;

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesConfig {
    /// The address of the API; that of the cluster that we run in when unset.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_server: String,
    /// What becomes targets.
    pub role: Role,
    /// A file that says where the API is and who we are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kubeconfig_file: String,
    /// Where objects are looked for.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_default")]
    pub namespaces: Namespaces,
    /// Which objects.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<Selector>,
    /// Labels of other objects that targets are given.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_default")]
    pub attach_metadata: AttachMetadata,
}

/// Where objects are looked for: everywhere unless something is said.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Namespaces {
    /// In the one that we run in.
    pub own_namespace: bool,
    /// In these.
    #[serde(deserialize_with = "null_is_default")]
    pub names: Vec<String>,
}

/// Which objects of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The kind.
    pub role: Role,
    /// Conditions on labels, as the API spells them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The same on fields.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// Labels of other objects that targets are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttachMetadata {
    /// Those of the node that a target runs on.
    pub node: bool,
    /// Those of the namespace that it is in.
    #[serde(skip_serializing_if = "is_default")]
    pub namespace: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A kind of objects that become targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Machines, at the port of their kubelet.
    Node,
    /// Ports of containers.
    Pod,
    /// Ports of services.
    Service,
    /// The addresses behind a service.
    Endpoints,
    /// The same, in smaller pieces.
    EndpointSlice,
    /// Paths of hosts.
    Ingress,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Node, Self::Pod, Self::Service, Self::Endpoints, Self::EndpointSlice, Self::Ingress];

    /// As files spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Ingress => "ingress",
        }
    }

    /// The kinds that may be selected beside each other.
    const fn selectable(self) -> &'static [Self] {
        match self {
            Self::Node => &[Self::Node],
            Self::Pod => &[Self::Pod],
            Self::Service => &[Self::Service],
            Self::Endpoints => &[Self::Pod, Self::Service, Self::Endpoints],
            Self::EndpointSlice => &[Self::Pod, Self::Service, Self::EndpointSlice],
            Self::Ingress => &[Self::Ingress],
        }
    }
}

/// A kind of objects that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ObjectKind {
    Node,
    Namespace,
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
}

impl ObjectKind {
    pub(crate) const fn of(role: Role) -> Self {
        match role {
            Role::Node => Self::Node,
            Role::Pod => Self::Pod,
            Role::Service => Self::Service,
            Role::Endpoints => Self::Endpoints,
            Role::EndpointSlice => Self::EndpointSlice,
            Role::Ingress => Self::Ingress,
        }
    }

    /// The role of the same name.
    pub(crate) fn role(self) -> Option<Role> {
        Role::ALL.into_iter().find(|role| Self::of(*role) == self)
    }
}

impl KubernetesConfig {
    /// The kinds of objects that the role needs, its own first.
    fn kinds(&self) -> Vec<ObjectKind> {
        let mut kinds = vec![ObjectKind::of(self.role)];
        if matches!(self.role, Role::Endpoints | Role::EndpointSlice) {
            kinds.extend([ObjectKind::Service, ObjectKind::Pod]);
        }
        let has_nodes = matches!(self.role, Role::Pod | Role::Endpoints | Role::EndpointSlice);
        if self.attach_metadata.node && has_nodes {
            kinds.push(ObjectKind::Node);
        }
        if self.attach_metadata.namespace && self.role != Role::Node {
            kinds.push(ObjectKind::Namespace);
        }
        kinds
    }

    fn check_selectors(&self) -> Result<(), String> {
        let (allowed, mut seen) = (self.role.selectable(), HashSet::new());
        for selector in &self.selectors {
            let role = selector.role.as_str();
            if !seen.insert(selector.role) {
                return Err(format!("selectors: {role:?} stands twice"));
            }
            if !allowed.contains(&selector.role) {
                let allowed: Vec<_> = allowed.iter().map(|role| role.as_str()).collect();
                let (own, allowed) = (self.role.as_str(), allowed.join(", "));
                return Err(format!("selectors: beside the role {own} only {allowed} can be selected"));
            }
        }
        Ok(())
    }
}

impl ClientKind for KubernetesConfig {
    const NAME: &'static str = "kubernetes";

    fn check(&mut self, client: &mut HttpConfig) -> Result<(), String> {
        let (with_file, with_api) = (!self.kubeconfig_file.is_empty(), !self.api_server.is_empty());
        let is_plain = *client == HttpConfig::default();
        let wrong = match (with_file, with_api) {
            (true, true) => Some("write one of `api_server` and `kubeconfig_file`, not both"),
            (true, _) if !is_plain => Some("beside `kubeconfig_file` the keys of clients have no use"),
            (false, false) if !is_plain => Some("the keys of clients need `api_server` beside them"),
            (false, false) => None,
            _ if self.namespaces.own_namespace => {
                Some("`own_namespace` is for those who run in the cluster: name the namespace instead")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Err(format!("kubernetes_sd_configs: {wrong}"));
        }
        if with_api {
            crate::http::parse_url(&self.api_server)
                .map_err(|e| format!("kubernetes_sd_configs: api_server: {e}"))?;
        }
        self.check_selectors().map_err(|e| format!("kubernetes_sd_configs: {e}"))
    }

    fn set_folder(&mut self, folder: &Path) {
        if !self.kubeconfig_file.is_empty() {
            self.kubeconfig_file = folder.join(&self.kubeconfig_file).to_string_lossy().into_owned();
        }
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let access = Access::new(self, client, sink.fs())?;
        let mut namespaces = self.namespaces.names.clone();
        if self.namespaces.own_namespace {
            namespaces.extend(access.namespace().map(str::to_owned));
        }
        Ok(Box::pin(run(self.clone(), Arc::new(access), namespaces, sink)))
    }
}

async fn run(config: KubernetesConfig, access: Arc<Access>, namespaces: Vec<String>, sink: Sink) {
    let (sender, receiver) = mpsc::channel(CHANGES_MAX);
    let mut watches = JoinSet::new();
    let mut lists = 0;
    for kind in config.kinds() {
        let is_namespaced = !matches!(kind, ObjectKind::Node | ObjectKind::Namespace);
        let everywhere = [String::new()];
        let places = if is_namespaced && !namespaces.is_empty() { &namespaces[..] } else { &everywhere[..] };
        for namespace in places {
            let selector = config.selectors.iter().find(|selector| Some(selector.role) == kind.role());
            let watch = Watch::new(kind, namespace, selector, &access, sender.clone(), lists, &sink);
            watches.spawn(watch.run());
            lists += 1;
        }
    }
    drop(sender);
    World::new(&config, lists, sink).run(receiver).await;
}
