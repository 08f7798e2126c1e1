//! `gce_sd_configs`: machines of Google's cloud. Who asks is found as Google's own programs do.

use crate::{
    config::{Kind, Task},
    defaults::{a_minute, eighty},
    error::SourceError,
    google::Account,
    group::TargetGroup,
    http::{Http, asking, below, encoded, parse_url, send},
    http_sd::check_interval,
    json::Json,
    limits::PAGES_MAX,
    meta::{Meta, enclosed, sanitised},
    source::{Refresh, Sink, run},
};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use skopos_model::{DurationMs, Labels};
use std::time::Duration;

const API: &str = "https://compute.googleapis.com/compute/v1";

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GceConfig {
    /// The project.
    #[serde(default)]
    pub project: String,
    /// The zone.
    #[serde(default)]
    pub zone: String,
    /// Which machines, as the API has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// How often the list is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
    /// Where machines are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
    /// What stands between tags, and around them.
    #[serde(default = "crate::cloud::comma")]
    pub tag_separator: String,
}

impl Kind for GceConfig {
    const NAME: &'static str = "gce";

    fn check(&mut self) -> Result<(), String> {
        let needed = [("project", &self.project), ("zone", &self.zone)];
        if let Some((key, _)) = needed.iter().find(|(_, value)| value.is_empty()) {
            return Err(format!("gce_sd_configs: `{key}` is missing"));
        }
        check_interval("gce_sd_configs", self.refresh_interval)
    }

    fn start(&self, sink: Sink) -> Result<Task, SourceError> {
        let account = Account::find(sink.variables(), sink.fs())?;
        let http = Http::new(&account.client(), sink.fs())?;
        let path = format!("projects/{}/zones/{}/instances", encoded(&self.project), encoded(&self.zone));
        let url = below(&parse_url(API).map_err(SourceError::Setup)?, &path);
        Ok(Box::pin(run(Source { config: self.clone(), http, account, url }, sink)))
    }
}

struct Source {
    config: GceConfig,
    http: Http,
    account: Account,
    url: Url,
}

impl Refresh for Source {
    fn mechanism(&self) -> &'static str {
        "gce"
    }

    fn interval(&self) -> Duration {
        self.config.refresh_interval.as_std()
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let (config, mut targets, mut next) = (&self.config, Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let pairs = [("filter", config.filter.as_str()), ("pageToken", &next)];
            let url = asking(&self.url, pairs.into_iter().filter(|(_, value)| !value.is_empty()));
            let token = self.account.token(&self.http).await?;
            let page = send(self.http.get(&url).await?.header("Authorization", token)).await?.json()?;
            let page = Json::new(&page);
            targets.extend(targets_of(page, config));
            if page.text("nextPageToken").is_empty() {
                let source = format!("GCE_{}_{}", config.project, config.zone);
                return Ok(vec![TargetGroup { source, targets, ..TargetGroup::default() }]);
            }
            next = page.text("nextPageToken").to_owned();
        }
        let reason = format!("the list has more than {PAGES_MAX} pages");
        Err(SourceError::content(self.url.as_str(), &reason))
    }
}

/// The machines of a page; those without a network are none.
pub(crate) fn targets_of(page: Json<'_>, config: &GceConfig) -> Vec<Labels> {
    page.list("items").filter_map(|machine| target(machine, config)).collect()
}

fn target(machine: Json<'_>, config: &GceConfig) -> Option<Labels> {
    let first = machine.list("networkInterfaces").next()?;
    let ip = first.text("networkIP");
    let mut meta = Meta::new("__meta_gce_");
    meta.set("project", &config.project)
        .set("zone", machine.text("zone"))
        .set("instance_id", machine.written("id"))
        .set("instance_name", machine.text("name"))
        .set("instance_status", machine.text("status"))
        .set("machine_type", machine.text("machineType"))
        .set("network", first.text("network"))
        .set("subnetwork", first.text("subnetwork"))
        .set("private_ip", ip)
        .set("tags", enclosed(machine.get("tags").texts("items"), &config.tag_separator))
        .set_all("label_", machine.pairs("labels"));
    for interface in machine.list("networkInterfaces") {
        let name = sanitised(interface.text("name")).into_owned();
        meta.set(&format!("interface_ipv4_{name}"), interface.text("networkIP"));
    }
    for item in machine.get("metadata").list("items").filter(|item| item.get("value").is_there()) {
        meta.set_named("metadata_", item.text("key"), item.text("value"));
    }
    let outside = first.list("accessConfigs").next();
    if let Some(outside) = outside.filter(|one| one.text("type") == "ONE_TO_ONE_NAT") {
        meta.set("public_ip", outside.text("natIP"));
    }
    Some(meta.address(format!("{ip}:{}", config.port)).build())
}
