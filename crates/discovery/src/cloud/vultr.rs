//! `vultr_sd_configs`: machines of Vultr.

use super::{Cloud, one_group, pages, url};
use crate::{
    defaults::{a_minute, eighty},
    error::SourceError,
    group::TargetGroup,
    http::Http,
    json::Json,
    meta::{Meta, enclosed, host_port},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_model::{DurationMs, Labels};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VultrConfig {
    /// How often the list is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
    /// Where machines are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
}

impl Cloud for VultrConfig {
    const NAME: &'static str = "vultr";
    const KEY: &'static str = "vultr_sd_configs";

    fn interval(&self) -> DurationMs {
        self.refresh_interval
    }

    async fn find(&self, http: &Http) -> Result<Vec<TargetGroup>, SourceError> {
        let query = |cursor: &str| [("per_page", "100".to_owned()), ("cursor", cursor.to_owned())];
        let next = |page: &Value, _| {
            let cursor = Json::new(page).at(&["meta", "links", "next"]).as_text();
            (!cursor.is_empty()).then(|| query(cursor))
        };
        let list = pages(http, &url("https://api.vultr.com/v2/instances")?, query(""), next).await?;
        Ok(one_group("Vultr", targets(&list, self.port)))
    }
}

/// The machines of the pages of a list.
pub(crate) fn targets(pages: &[Value], port: u16) -> Vec<Labels> {
    let target = |machine: Json<'_>| {
        let mut meta = Meta::new("__meta_vultr_instance_");
        for (label, key) in [
            ("id", "id"),
            ("label", "label"),
            ("os", "os"),
            ("os_id", "os_id"),
            ("region", "region"),
            ("plan", "plan"),
            ("main_ip", "main_ip"),
            ("internal_ip", "internal_ip"),
            ("main_ipv6", "v6_main_ip"),
            ("hostname", "hostname"),
            ("server_status", "server_status"),
            ("vcpu_count", "vcpu_count"),
            ("ram_mb", "ram"),
            ("allowed_bandwidth_gb", "allowed_bandwidth"),
            ("disk_gb", "disk"),
        ] {
            meta.set(label, machine.written(key));
        }
        meta.set("features", enclosed(machine.texts("features"), ","))
            .set("tags", enclosed(machine.texts("tags"), ","))
            .address(host_port(machine.text("main_ip"), port))
            .build()
    };
    pages.iter().flat_map(|page| Json::new(page).list("instances")).map(target).collect()
}
