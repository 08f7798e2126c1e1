//! `dockerswarm_sd_configs`: the nodes, services or tasks of a swarm.

use super::{Engine, Filter, check_host, network_labels};
use crate::{
    client::ClientKind,
    config::Task,
    defaults::{a_minute, eighty},
    error::SourceError,
    group::TargetGroup,
    http_sd::check_interval,
    json::Json,
    meta::{Meta, host_port},
    source::{Refresh, Sink, run},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels, null_is_default};
use std::{collections::HashMap, time::Duration};

const PREFIX: &str = "__meta_dockerswarm_";
/// What swarms call the one protocol that can be scraped.
const TCP: &str = "tcp";

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DockerSwarmConfig {
    /// Where a manager of the swarm listens.
    #[serde(default)]
    pub host: String,
    /// What becomes targets.
    pub role: SwarmRole,
    /// The port of what shows none.
    #[serde(default = "eighty")]
    pub port: u16,
    /// Which of them.
    #[serde(default, deserialize_with = "null_is_default")]
    pub filters: Vec<Filter>,
    /// How often the manager is asked.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
}

/// What becomes targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SwarmRole {
    /// Virtual addresses of services.
    Services,
    /// What runs for them.
    Tasks,
    /// The machines.
    Nodes,
}

impl ClientKind for DockerSwarmConfig {
    const NAME: &'static str = "dockerswarm";

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        check_host("dockerswarm_sd_configs", &self.host)?;
        check_interval("dockerswarm_sd_configs", self.refresh_interval)
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let source = Swarm { engine: Engine::new(&self.host, client, sink.fs())?, config: self.clone() };
        Ok(Box::pin(run(source, sink)))
    }
}

struct Swarm {
    engine: Engine,
    config: DockerSwarmConfig,
}

impl Swarm {
    async fn ask(&self) -> Result<Parts, SourceError> {
        let (engine, role) = (&self.engine, self.config.role);
        let filters = |of: SwarmRole| if of == role { self.config.filters.as_slice() } else { &[] };
        let mut parts = Parts::default();
        if role == SwarmRole::Tasks {
            parts.tasks = engine.list("tasks", filters(SwarmRole::Tasks)).await?;
        }
        if role != SwarmRole::Nodes {
            parts.services = engine.list("services", filters(SwarmRole::Services)).await?;
            parts.networks = engine.list("networks", &[]).await?;
        }
        if role != SwarmRole::Services {
            parts.nodes = engine.list("nodes", filters(SwarmRole::Nodes)).await?;
        }
        Ok(parts)
    }
}

impl Refresh for Swarm {
    fn mechanism(&self) -> &'static str {
        "dockerswarm"
    }

    fn interval(&self) -> Duration {
        self.config.refresh_interval.as_std()
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let targets = self.ask().await?.targets(self.config.role, self.config.port)?;
        let source = "DockerSwarm".to_owned();
        Ok(vec![TargetGroup { source, targets, labels: Labels::empty() }])
    }
}

/// What a manager answers.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) nodes: Value,
    pub(crate) services: Value,
    pub(crate) tasks: Value,
    pub(crate) networks: Value,
}

impl Parts {
    pub(crate) fn targets(&self, role: SwarmRole, port: u16) -> Result<Vec<Labels>, SourceError> {
        match role {
            SwarmRole::Nodes => Ok(node_targets(Json::new(&self.nodes), port)),
            SwarmRole::Services => self.service_targets(port),
            SwarmRole::Tasks => self.task_targets(port),
        }
    }

    fn service_targets(&self, port: u16) -> Result<Vec<Labels>, SourceError> {
        let networks = network_labels(Json::new(&self.networks), PREFIX);
        let mut targets = Vec::new();
        for service in Json::new(&self.services).items() {
            let mut common = service_labels(service);
            let container = service.at(&["Spec", "TaskTemplate", "ContainerSpec"]);
            common
                .set("service_task_container_hostname", container.text("Hostname"))
                .set("service_task_container_image", container.text("Image"))
                .set("service_updating_status", service.at(&["UpdateStatus", "State"]).as_text());
            let endpoint = service.get("Endpoint");
            for virtual_ip in endpoint.list("VirtualIPs") {
                let (mut base, ip) = (common.clone(), ip_of(virtual_ip.text("Addr"))?);
                let ports: Vec<_> = endpoint.list("Ports").filter(is_tcp).collect();
                if let Some(labels) = networks.get(virtual_ip.text("NetworkID")) {
                    base.extend(labels);
                }
                if ports.is_empty() {
                    targets.push(base.address(host_port(ip, port)).build());
                }
                targets.extend(ports.iter().map(|shown| {
                    let mut meta = base.clone();
                    meta.set("service_endpoint_port_name", shown.text("Name"))
                        .set("service_endpoint_port_publish_mode", shown.text("PublishMode"))
                        .address(host_port(ip, shown.number("PublishedPort")))
                        .build()
                }));
            }
        }
        Ok(targets)
    }

    fn task_targets(&self, port: u16) -> Result<Vec<Labels>, SourceError> {
        let networks = network_labels(Json::new(&self.networks), PREFIX);
        let (services, nodes) = (by_id(&self.services), by_id(&self.nodes));
        let mut targets = Vec::new();
        for task in Json::new(&self.tasks).items() {
            let (service, node) = (services.get(task.text("ServiceID")), nodes.get(task.text("NodeID")));
            let mut common = task_labels(task);
            if let Some(service) = service {
                common.extend(&service_labels(*service).build());
            }
            if let Some(node) = node {
                common.extend(&node_labels(*node).build());
            }
            let host = node.map_or("", |node| node.at(&["Status", "Addr"]).as_text());
            for shown in task.at(&["Status", "PortStatus"]).list("Ports").filter(is_tcp) {
                let mut meta = common.clone();
                meta.set("task_port_publish_mode", shown.text("PublishMode"));
                targets.push(meta.address(host_port(host, shown.number("PublishedPort"))).build());
            }
            let ports: Vec<_> = service
                .into_iter()
                .flat_map(|service| service.get("Endpoint").list("Ports"))
                .filter(is_tcp)
                .collect();
            for attachment in task.list("NetworksAttachments") {
                let mut base = common.clone();
                if let Some(labels) = networks.get(attachment.at(&["Network", "ID"]).as_text()) {
                    base.extend(labels);
                }
                for address in attachment.texts("Addresses") {
                    let ip = ip_of(address)?;
                    if ports.is_empty() {
                        targets.push(base.clone().address(host_port(ip, port)).build());
                    }
                    targets.extend(ports.iter().map(|shown| {
                        let mut meta = base.clone();
                        meta.set("task_port_publish_mode", shown.text("PublishMode"))
                            .address(host_port(ip, shown.number("PublishedPort")))
                            .build()
                    }));
                }
            }
        }
        Ok(targets)
    }
}

fn by_id(all: &Value) -> HashMap<&str, Json<'_>> {
    Json::new(all).items().map(|one| (one.text("ID"), one)).collect()
}

fn is_tcp(port: &Json<'_>) -> bool {
    port.text("Protocol") == TCP
}

/// The address of one that stands with the length of its network.
fn ip_of(address: &str) -> Result<&str, SourceError> {
    let parsed = address.split_once('/').filter(|(ip, bits)| {
        ip.parse::<std::net::IpAddr>()
            .is_ok_and(|ip| bits.parse::<u8>().is_ok_and(|bits| bits <= if ip.is_ipv4() { 32 } else { 128 }))
    });
    let reason = format!("{address:?} is no address with the length of its network");
    parsed.map(|(ip, _)| ip).ok_or_else(|| SourceError::content("dockerswarm", &reason))
}

fn service_labels(service: Json<'_>) -> Meta {
    let (spec, mut meta) = (service.get("Spec"), Meta::new(PREFIX));
    let mode = ["Global", "Replicated"].iter().find(|mode| spec.at(&["Mode", mode]).is_there());
    meta.set("service_id", service.text("ID"))
        .set("service_name", spec.text("Name"))
        .set("service_mode", mode.map_or(String::new(), |mode| mode.to_ascii_lowercase()));
    meta.set_all("service_label_", spec.pairs("Labels"));
    meta
}

fn task_labels(task: Json<'_>) -> Meta {
    let (status, container, mut meta) =
        (task.get("Status"), task.at(&["Spec", "ContainerSpec"]), Meta::new(PREFIX));
    meta.set("task_id", task.text("ID"))
        .set("task_desired_state", task.text("DesiredState"))
        .set("task_state", status.text("State"))
        .set("task_slot", task.number("Slot").to_string())
        .set("task_container_id", status.at(&["ContainerStatus", "ContainerID"]).as_text());
    meta.set_all("container_label_", container.pairs("Labels"));
    meta
}

/// What tasks are told of their node.
fn node_labels(node: Json<'_>) -> Meta {
    let (spec, status, description) = (node.get("Spec"), node.get("Status"), node.get("Description"));
    let (platform, mut meta) = (description.get("Platform"), Meta::new(PREFIX));
    meta.set("node_id", node.text("ID"))
        .set("node_role", spec.text("Role"))
        .set("node_availability", spec.text("Availability"))
        .set("node_hostname", description.text("Hostname"))
        .set("node_platform_architecture", platform.text("Architecture"))
        .set("node_platform_os", platform.text("OS"))
        .set("node_status", status.text("State"))
        .set("node_address", status.text("Addr"));
    meta.set_all("node_label_", spec.pairs("Labels"));
    meta
}

fn node_targets(nodes: Json<'_>, port: u16) -> Vec<Labels> {
    let target = |node: Json<'_>| {
        let (mut meta, manager) = (node_labels(node), node.get("ManagerStatus"));
        let engine = node.at(&["Description", "Engine"]);
        meta.set("node_engine_version", engine.text("EngineVersion"));
        if manager.is_there() {
            meta.set("node_manager_leader", manager.is("Leader").to_string())
                .set("node_manager_reachability", manager.text("Reachability"))
                .set("node_manager_address", manager.text("Addr"));
        }
        meta.address(host_port(node.at(&["Status", "Addr"]).as_text(), port)).build()
    };
    nodes.items().map(target).collect()
}
