//! `ionos_sd_configs`: servers in a data centre of IONOS.

use super::{Cloud, one_group, url};
use crate::{
    defaults::{a_minute, eighty},
    error::SourceError,
    group::TargetGroup,
    http::{Http, asking, below},
    json::Json,
    meta::{Meta, enclosed, host_port},
};
use serde::{Deserialize, Serialize};
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels};
use std::collections::BTreeMap;

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IonosConfig {
    /// The data centre.
    #[serde(default)]
    pub datacenter_id: String,
    /// How often the list is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
    /// Where servers are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
}

impl Cloud for IonosConfig {
    const NAME: &'static str = "ionos";
    const KEY: &'static str = "ionos_sd_configs";

    fn interval(&self) -> DurationMs {
        self.refresh_interval
    }

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        if self.datacenter_id.is_empty() { Err("`datacenter_id` is missing".to_owned()) } else { Ok(()) }
    }

    async fn find(&self, http: &Http) -> Result<Vec<TargetGroup>, SourceError> {
        let path = format!("datacenters/{}/servers", self.datacenter_id);
        let url = asking(&below(&url("https://api.ionos.com/cloudapi/v6")?, &path), [("depth", "3")]);
        let servers = http.json(&url).await?;
        Ok(one_group(&format!("ionos_{}", self.datacenter_id), targets(Json::new(&servers), self.port)))
    }
}

/// The servers of a list.
pub(crate) fn targets(servers: Json<'_>, port: u16) -> Vec<Labels> {
    let list = servers.text("id");
    servers.list("items").filter_map(|server| target(server, list, port)).collect()
}

fn target(server: Json<'_>, list: &str, port: u16) -> Option<Labels> {
    let (about, own, parts) = (server.get("metadata"), server.get("properties"), server.get("entities"));
    let mut meta = Meta::new("__meta_ionos_server_");
    let (mut ips, mut of_nics) = (Vec::new(), BTreeMap::<&str, Vec<&str>>::new());
    // The last interface comes first, as in Prometheus: its address is that of the target.
    for nic in parts.get("nics").list("items") {
        let properties = nic.get("properties");
        let name = properties.get("name");
        let own = of_nics.entry(if name.is_there() { name.as_text() } else { "unnamed" }).or_default();
        own.splice(0..0, properties.texts("ips"));
        ips.splice(0..0, properties.texts("ips"));
    }
    for (name, own) in of_nics {
        meta.set_named("nic_ip_", name, enclosed(own, ","));
    }
    let first = ips.first()?;
    let boot = own.get("bootVolume");
    let volumes = parts.get("volumes");
    let of_boot = volumes.list("items").find(|volume| volume.text("id") == boot.text("id"));
    let image = of_boot.map_or("", |volume| volume.at(&["properties", "image"]).as_text());
    meta.set("availability_zone", own.text("availabilityZone"))
        .set("boot_cdrom_id", own.at(&["bootCdrom", "id"]).as_text())
        .set("boot_image_id", image)
        .set("boot_volume_id", boot.text("id"))
        .set("cpu_family", own.text("cpuFamily"))
        .set("id", server.text("id"))
        .set("ip", enclosed(ips.iter().copied(), ","))
        .set("lifecycle", about.text("state"))
        .set("name", own.text("name"))
        .set("servers_id", list)
        .set("state", own.text("vmState"))
        .set("type", own.text("type"));
    Some(meta.address(host_port(first, port)).build())
}
