//! `hetzner_sd_configs`: servers of Hetzner's cloud, or bare ones that its robot tells.

use super::{Cloud, one_group, pages, url};
use crate::{
    defaults::{a_minute, eighty},
    error::SourceError,
    group::TargetGroup,
    http::{Http, below},
    json::Json,
    meta::{Meta, host_port},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_model::{DurationMs, Labels};
use std::collections::HashMap;

const PREFIX: &str = "__meta_hetzner_";
const CLOUD: &str = "https://api.hetzner.cloud/v1";
const ROBOT: &str = "https://robot-ws.your-server.de";

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HetznerConfig {
    /// Which servers.
    pub role: HetznerRole,
    /// Where they are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
    /// How often the list is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
    /// Which of the cloud's servers, by their labels.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label_selector: String,
}

/// Which servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HetznerRole {
    /// Those of the cloud.
    Hcloud,
    /// Bare ones.
    Robot,
}

impl Cloud for HetznerConfig {
    const NAME: &'static str = "hetzner";
    const KEY: &'static str = "hetzner_sd_configs";

    fn interval(&self) -> DurationMs {
        self.refresh_interval
    }

    async fn find(&self, http: &Http) -> Result<Vec<TargetGroup>, SourceError> {
        let targets = match self.role {
            HetznerRole::Robot => {
                let servers = http.json(&below(&url(ROBOT)?, "server")).await?;
                robot_targets(Json::new(&servers), self.port)
            }
            HetznerRole::Hcloud => {
                let servers = self.list(http, "servers", &self.label_selector).await?;
                let networks = self.list(http, "networks", "").await?;
                cloud_targets(&servers, &networks, self.port)
            }
        };
        Ok(one_group("hetzner", targets))
    }
}

impl HetznerConfig {
    async fn list(&self, http: &Http, what: &str, selector: &str) -> Result<Vec<Value>, SourceError> {
        let query = |page: String| {
            [("page", page), ("per_page", "50".to_owned()), ("label_selector", selector.to_owned())]
        };
        let next = |page: &Value, _| {
            let next = Json::new(page).at(&["meta", "pagination"]).number("next_page");
            (next > 0).then(|| query(next.to_string()))
        };
        pages(http, &below(&url(CLOUD)?, what), query("1".to_owned()), next).await
    }
}

/// Servers of the cloud, from the pages of their list and that of networks.
pub(crate) fn cloud_targets(servers: &[Value], networks: &[Value], port: u16) -> Vec<Labels> {
    let networks = networks.iter().flat_map(|page| Json::new(page).list("networks"));
    let names: HashMap<i64, &str> = networks.map(|one| (one.number("id"), one.text("name"))).collect();
    let target = |server: Json<'_>| {
        let (center, kind, net) =
            (server.get("datacenter"), server.get("server_type"), server.get("public_net"));
        let (ip, image) = (net.at(&["ipv4", "ip"]).as_text(), server.get("image"));
        let mut meta = Meta::new(PREFIX);
        meta.set("role", "hcloud")
            .set("server_id", server.written("id"))
            .set("server_name", server.text("name"))
            .set("datacenter", center.text("name"))
            .set("public_ipv4", ip)
            .set("public_ipv6_network", net.at(&["ipv6", "ip"]).as_text())
            .set("server_status", server.text("status"))
            .set("hcloud_datacenter_location", center.at(&["location", "name"]).as_text())
            .set(
                "hcloud_datacenter_location_network_zone",
                center.at(&["location", "network_zone"]).as_text(),
            )
            .set("hcloud_server_type", kind.text("name"))
            .set("hcloud_cpu_cores", kind.written("cores"))
            .set("hcloud_cpu_type", kind.text("cpu_type"))
            .set("hcloud_memory_size_gb", kind.written("memory").split('.').next().unwrap_or_default())
            .set("hcloud_disk_size_gb", kind.written("disk"))
            .set("hcloud_image_name", image.text("name"))
            .set("hcloud_image_description", image.text("description"))
            .set("hcloud_image_os_version", image.text("os_version"))
            .set("hcloud_image_os_flavor", image.text("os_flavor"))
            .set_all("hcloud_label_", server.pairs("labels"))
            .set_all("hcloud_labelpresent_", server.pairs("labels").map(|(key, _)| (key, "true")));
        for private in server.list("private_net") {
            if let Some(name) = names.get(&private.number("network")) {
                meta.set_named("hcloud_private_ipv4_", name, private.text("ip"));
            }
        }
        meta.address(host_port(ip, port)).build()
    };
    servers.iter().flat_map(|page| Json::new(page).list("servers")).map(target).collect()
}

/// Bare servers.
pub(crate) fn robot_targets(servers: Json<'_>, port: u16) -> Vec<Labels> {
    let target = |server: Json<'_>| {
        let (server, mut meta) = (server.get("server"), Meta::new(PREFIX));
        let ip = server.text("server_ip");
        let mut subnets = server.list("subnet");
        let subnet = subnets.find(|subnet| subnet.text("ip").parse::<std::net::Ipv4Addr>().is_err());
        let network = subnet.map(|subnet| format!("{}/{}", subnet.text("ip"), subnet.text("mask")));
        meta.set("role", "robot")
            .set("server_id", server.written("server_number"))
            .set("server_name", server.text("server_name"))
            .set("datacenter", server.text("dc").to_lowercase())
            .set("public_ipv4", ip)
            .set("public_ipv6_network", network.unwrap_or_default())
            .set("server_status", server.text("status"))
            .set("robot_product", server.text("product"))
            .set("robot_cancelled", server.is("cancelled").to_string());
        meta.address(host_port(ip, port)).build()
    };
    servers.items().map(target).collect()
}
