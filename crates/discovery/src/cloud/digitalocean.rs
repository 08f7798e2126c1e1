//! `digitalocean_sd_configs`: droplets of DigitalOcean.

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
pub struct DigitalOceanConfig {
    /// How often the list is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
    /// Where droplets are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
}

impl Cloud for DigitalOceanConfig {
    const NAME: &'static str = "digitalocean";
    const KEY: &'static str = "digitalocean_sd_configs";

    fn interval(&self) -> DurationMs {
        self.refresh_interval
    }

    async fn find(&self, http: &Http) -> Result<Vec<TargetGroup>, SourceError> {
        let query = |page: usize| [("page", page.to_string()), ("per_page", "100".to_owned())];
        let next = |page: &Value, read: usize| {
            let further = Json::new(page).at(&["links", "pages", "next"]).is_there();
            further.then(|| query(read + 1))
        };
        let list = pages(http, &url("https://api.digitalocean.com/v2/droplets")?, query(1), next).await?;
        Ok(one_group("DigitalOcean", targets(&list, self.port)))
    }
}

/// The droplets of the pages of a list.
pub(crate) fn targets(pages: &[Value], port: u16) -> Vec<Labels> {
    let target = |droplet: Json<'_>| {
        let networks = droplet.get("networks");
        let address = |version: &str, kind: &str| {
            let found = networks.list(version).find(|network| network.text("type") == kind);
            found.map_or("", |network| network.text("ip_address"))
        };
        if networks.list("v4").len() == 0 {
            return None;
        }
        let mut meta = Meta::new("__meta_digitalocean_");
        let public = address("v4", "public");
        meta.set("droplet_id", droplet.written("id"))
            .set("droplet_name", droplet.text("name"))
            .set("image", droplet.at(&["image", "slug"]).as_text())
            .set("image_name", droplet.at(&["image", "name"]).as_text())
            .set("private_ipv4", address("v4", "private"))
            .set("public_ipv4", public)
            .set("public_ipv6", address("v6", "public"))
            .set("region", droplet.at(&["region", "slug"]).as_text())
            .set("size", droplet.text("size_slug"))
            .set("status", droplet.text("status"))
            .set("vpc", droplet.text("vpc_uuid"))
            .set("features", enclosed(droplet.texts("features"), ","))
            .set("tags", enclosed(droplet.texts("tags"), ","));
        Some(meta.address(host_port(public, port)).build())
    };
    pages.iter().flat_map(|page| Json::new(page).list("droplets")).filter_map(target).collect()
}
