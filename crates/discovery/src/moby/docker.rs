//! `docker_sd_configs`: the containers of an engine, a target for each network and port.

use super::{Engine, Filter, check_host, network_labels};
use crate::{
    client::ClientKind,
    config::Task,
    defaults::a_minute,
    error::SourceError,
    group::TargetGroup,
    http_sd::check_interval,
    json::Json,
    meta::{Meta, host_port},
    source::{Refresh, Sink, run},
};
use serde::{Deserialize, Serialize};
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels, null_is_default};
use std::{collections::HashMap, time::Duration};

const PREFIX: &str = "__meta_docker_";

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DockerConfig {
    /// Where the engine listens.
    pub host: String,
    /// The port of containers that show none.
    pub port: u16,
    /// Which containers.
    #[serde(deserialize_with = "null_is_default")]
    pub filters: Vec<Filter>,
    /// The address of containers in the network of their host.
    pub host_networking_host: String,
    /// How often the engine is asked.
    pub refresh_interval: DurationMs,
    /// Whether a container in several networks is looked for in the first of them alone.
    pub match_first_network: bool,
}

impl Default for DockerConfig {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 80,
            filters: Vec::new(),
            host_networking_host: "localhost".to_owned(),
            refresh_interval: a_minute(),
            match_first_network: true,
        }
    }
}

impl ClientKind for DockerConfig {
    const NAME: &'static str = "docker";

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        check_host("docker_sd_configs", &self.host)?;
        check_interval("docker_sd_configs", self.refresh_interval)
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let source = Docker { engine: Engine::new(&self.host, client, sink.fs())?, config: self.clone() };
        Ok(Box::pin(run(source, sink)))
    }
}

struct Docker {
    engine: Engine,
    config: DockerConfig,
}

impl Refresh for Docker {
    fn mechanism(&self) -> &'static str {
        "docker"
    }

    fn interval(&self) -> Duration {
        self.config.refresh_interval.as_std()
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let containers = self.engine.list("containers/json", &self.config.filters).await?;
        let networks = self.engine.list("networks", &[]).await?;
        let targets = container_targets(Json::new(&containers), Json::new(&networks), &self.config);
        let source = "Docker".to_owned();
        Ok(vec![TargetGroup { source, targets, labels: Labels::empty() }])
    }
}

/// The targets of containers, given the engine's networks.
pub(crate) fn container_targets(
    containers: Json<'_>,
    networks: Json<'_>,
    config: &DockerConfig,
) -> Vec<Labels> {
    let networks = network_labels(networks, PREFIX);
    let by_id: HashMap<&str, Json<'_>> = containers.items().map(|one| (one.text("Id"), one)).collect();
    let mut targets = Vec::new();
    for container in containers.items() {
        let Some(name) = container.texts("Names").next() else { continue };
        let mode = container.at(&["HostConfig", "NetworkMode"]).as_text();
        let mut common = Meta::new(PREFIX);
        common
            .set("container_id", container.text("Id"))
            .set("container_name", name)
            .set("container_network_mode", mode);
        let labels = container.pairs("Labels");
        common.set_all("container_label_", labels);
        for endpoint in endpoints(container, &by_id, config.match_first_network) {
            let ip = endpoint.text("IPAddress");
            let mut base = common.clone();
            base.set("network_ip", ip);
            if let Some(labels) = networks.get(endpoint.text("NetworkID")) {
                base.extend(labels);
            }
            let ports = container.list("Ports").filter(|port| port.text("Type") == "tcp");
            let before = targets.len();
            targets.extend(ports.map(|port| {
                let (private, public) = (port.number("PrivatePort"), port.number("PublicPort"));
                let mut meta = base.clone();
                meta.set("port_private", private.to_string()).address(host_port(ip, private));
                if public > 0 {
                    meta.set("port_public", public.to_string()).set("port_public_ip", port.text("IP"));
                }
                meta.build()
            }));
            if targets.len() == before {
                let host = &config.host_networking_host;
                let address = if mode == "host" { host.clone() } else { host_port(ip, config.port) };
                targets.push(base.address(address).build());
            }
        }
    }
    targets
}

/// Where a container is in networks: its own, or those of the container whose networks it shares.
fn endpoints<'a>(container: Json<'a>, by_id: &HashMap<&str, Json<'a>>, first_alone: bool) -> Vec<Json<'a>> {
    let own = |of: Json<'a>| of.at(&["NetworkSettings", "Networks"]).entries().collect::<Vec<_>>();
    let (mut at, mut networks) = (container, own(container));
    // Containers that share each other's networks in a circle have none.
    for _ in 0..by_id.len() {
        let mode = at.at(&["HostConfig", "NetworkMode"]).as_text();
        let other = mode.strip_prefix("container:").and_then(|id| by_id.get(id));
        let Some(other) = other.filter(|_| networks.is_empty()) else { break };
        (at, networks) = (*other, own(*other));
    }
    networks.retain(|(_, endpoint)| endpoint.is_there());
    networks.sort_unstable_by_key(|(name, _)| *name);
    if first_alone {
        networks.truncate(1);
    }
    networks.into_iter().map(|(_, endpoint)| endpoint).collect()
}
