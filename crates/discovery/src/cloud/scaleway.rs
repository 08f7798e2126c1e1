//! `scaleway_sd_configs`: machines of Scaleway, virtual or bare.

use super::{Cloud, one_group, url};
use crate::{
    defaults::{a_minute, eighty},
    error::SourceError,
    group::TargetGroup,
    http::{Http, asking, below, parse_url, shown},
    json::Json,
    limits::PAGES_MAX,
    meta::{Meta, enclosed, host_port},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_base::secret::Secret;
use skopos_client::{HttpConfig, config::HeaderConfig};
use skopos_model::{DurationMs, Labels, null_is_default};
use std::{collections::HashMap, path::PathBuf};

/// How many machines a page has.
const PAGE_MACHINES: usize = 50;

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ScalewayConfig {
    /// The project.
    #[serde(default)]
    pub project_id: String,
    /// Where the API is.
    #[serde(default = "api")]
    pub api_url: String,
    /// The zone.
    #[serde(default = "paris")]
    pub zone: String,
    /// Who we are.
    #[serde(default)]
    pub access_key: String,
    /// What proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret<String>>,
    /// The file of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_file: Option<PathBuf>,
    /// Which machines, by their names.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name_filter: String,
    /// The same by their tags.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub tags_filter: Vec<String>,
    /// How often the list is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
    /// Where machines are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
    /// Which machines.
    pub role: ScalewayRole,
}

/// Which machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScalewayRole {
    /// Virtual ones.
    Instance,
    /// Bare ones.
    Baremetal,
}

fn api() -> String {
    "https://api.scaleway.com".to_owned()
}

fn paris() -> String {
    "fr-par-1".to_owned()
}

impl Cloud for ScalewayConfig {
    const NAME: &'static str = "scaleway";
    const KEY: &'static str = "scaleway_sd_configs";

    fn interval(&self) -> DurationMs {
        self.refresh_interval
    }

    fn check(&mut self, client: &mut HttpConfig) -> Result<(), String> {
        let needed = [("project_id", &self.project_id), ("access_key", &self.access_key)];
        if let Some((key, _)) = needed.iter().find(|(_, value)| value.is_empty()) {
            return Err(format!("`{key}` is missing"));
        }
        let header = match (&self.secret_key, &self.secret_key_file) {
            (Some(secret), None) => HeaderConfig::secret(secret.clone()),
            (None, Some(file)) => HeaderConfig { files: vec![file.clone()], ..HeaderConfig::default() },
            _ => return Err("write one of `secret_key` and `secret_key_file`".to_owned()),
        };
        client.http_headers.insert("X-Auth-Token".to_owned(), header);
        parse_url(&self.api_url).map(drop)
    }

    async fn find(&self, http: &Http) -> Result<Vec<TargetGroup>, SourceError> {
        let targets = match self.role {
            ScalewayRole::Instance => {
                let list = self.list(http, "instance", "servers", "project").await?;
                list.iter().flat_map(|page| instance_targets(Json::new(page), self.port)).collect()
            }
            ScalewayRole::Baremetal => {
                let list = self.list(http, "baremetal", "servers", "project_id").await?;
                let offers = self.list(http, "baremetal", "offers", "").await?;
                let systems = self.list(http, "baremetal", "os", "").await?;
                bare_targets(&list, &offers, &systems, self.port)
            }
        };
        Ok(one_group("scaleway", targets))
    }
}

impl ScalewayConfig {
    async fn list(
        &self,
        http: &Http,
        product: &str,
        what: &str,
        project: &str,
    ) -> Result<Vec<Value>, SourceError> {
        let base = below(&url(&self.api_url)?, &format!("{product}/v1/zones/{}/{what}", self.zone));
        let (mut pages, tags, size) = (Vec::new(), self.tags_filter.join(","), PAGE_MACHINES.to_string());
        while pages.len() < PAGES_MAX {
            let number = (pages.len() + 1).to_string();
            let per_page = if product == "instance" { "per_page" } else { "page_size" };
            let mut query = vec![("page", number.as_str()), (per_page, size.as_str())];
            if !project.is_empty() {
                let own = [(project, self.project_id.as_str()), ("name", &self.name_filter), ("tags", &tags)];
                query.extend(own.into_iter().filter(|(_, value)| !value.is_empty()));
            }
            let page = http.json(&asking(&base, query)).await?;
            let is_last = Json::new(&page).list(what).len() < PAGE_MACHINES;
            pages.push(page);
            if is_last {
                return Ok(pages);
            }
        }
        Err(SourceError::content(shown(&base), &format!("the list has more than {PAGES_MAX} pages")))
    }
}

/// The virtual machines of a page.
pub(crate) fn instance_targets(page: Json<'_>, port: u16) -> Vec<Labels> {
    page.list("servers").filter_map(|server| instance(server, port)).collect()
}

fn instance(server: Json<'_>, port: u16) -> Option<Labels> {
    let mut meta = Meta::new("__meta_scaleway_instance_");
    for (label, path) in [
        ("boot_type", &["boot_type"][..]),
        ("hostname", &["hostname"]),
        ("id", &["id"]),
        ("name", &["name"]),
        ("organization_id", &["organization"]),
        ("project_id", &["project"]),
        ("status", &["state"]),
        ("type", &["commercial_type"]),
        ("zone", &["zone"]),
        ("image_arch", &["image", "arch"]),
        ("image_id", &["image", "id"]),
        ("image_name", &["image", "name"]),
        ("location_cluster_id", &["location", "cluster_id"]),
        ("location_hypervisor_id", &["location", "hypervisor_id"]),
        ("location_node_id", &["location", "node_id"]),
        ("security_group_id", &["security_group", "id"]),
        ("security_group_name", &["security_group", "name"]),
        ("public_ipv4", &["public_ip", "address"]),
        ("public_ipv6", &["ipv6", "address"]),
        ("private_ipv4", &["private_ip"]),
    ] {
        meta.set(label, server.at(path).as_text());
    }
    // A zone is its region and a number.
    meta.set("region", server.text("zone").rsplit_once('-').map_or("", |(region, _)| region));
    meta.set("tags", enclosed(server.texts("tags"), ","));
    let public = |family: &str| -> Vec<&str> {
        let all = server.list("public_ips").filter(|ip| ip.text("family") == family);
        all.map(|ip| ip.text("address")).collect()
    };
    let (v4, v6) = (public("inet"), public("inet6"));
    meta.set("public_ipv4_addresses", enclosed(v4.iter().copied(), ","));
    meta.set("public_ipv6_addresses", enclosed(v6.iter().copied(), ","));
    let best_first = [
        server.text("private_ip"),
        server.at(&["public_ip", "address"]).as_text(),
        server.at(&["ipv6", "address"]).as_text(),
        v4.first().copied().unwrap_or_default(),
        v6.first().copied().unwrap_or_default(),
    ];
    let host = best_first.into_iter().find(|host| !host.is_empty())?;
    Some(meta.address(host_port(host, port)).build())
}

/// The bare machines of the pages of a list, given those of kinds of machines and of operating systems.
pub(crate) fn bare_targets(pages: &[Value], offers: &[Value], systems: &[Value], port: u16) -> Vec<Labels> {
    let by_id = |pages: &'_ [Value], key: &str| -> HashMap<String, (String, String)> {
        let all = pages.iter().flat_map(|page| Json::new(page).list(key));
        let text = |one: Json<'_>, key: &str| one.text(key).to_owned();
        all.map(|one| (text(one, "id"), (text(one, "name"), text(one, "version")))).collect()
    };
    let (offers, systems) = (by_id(offers, "offers"), by_id(systems, "os"));
    let target = |server: Json<'_>| {
        let mut meta = Meta::new("__meta_scaleway_baremetal_");
        let first = |version: &str| server.list("ips").find(|ip| ip.text("version") == version);
        let [v4, v6] = ["IPv4", "IPv6"].map(|version| first(version).map_or("", |ip| ip.text("address")));
        let host = if v4.is_empty() { v6 } else { v4 };
        if host.is_empty() {
            return None;
        }
        let none = (String::new(), String::new());
        let (os_name, os_version) = systems.get(server.at(&["install", "os_id"]).as_text()).unwrap_or(&none);
        let (offer, _) = offers.get(server.text("offer_id")).unwrap_or(&none);
        meta.set("id", server.text("id"))
            .set("name", server.text("name"))
            .set("zone", server.text("zone"))
            .set("project_id", server.text("project_id"))
            .set("status", server.text("status"))
            .set("type", offer)
            .set("os_name", os_name)
            .set("os_version", os_version)
            .set("public_ipv4", v4)
            .set("public_ipv6", v6)
            .set("tags", enclosed(server.texts("tags"), ","));
        Some(meta.address(host_port(host, port)).build())
    };
    pages.iter().flat_map(|page| Json::new(page).list("servers")).filter_map(target).collect()
}
