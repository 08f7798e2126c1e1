//! `triton_sd_configs`: containers or machines of Triton, as its monitor tells them.

use super::{Cloud, comma, one_group, url};
use crate::{
    defaults::a_minute,
    error::SourceError,
    group::TargetGroup,
    http::{Http, asking},
    json::Json,
    meta::{Meta, enclosed},
};
use serde::{Deserialize, Serialize};
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels, null_is_default};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TritonConfig {
    /// The account.
    pub account: String,
    /// What becomes targets.
    pub role: TritonRole,
    /// What the names of targets end in.
    pub dns_suffix: String,
    /// The host of the monitor.
    pub endpoint: String,
    /// Which groups.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The port of the monitor.
    pub port: u16,
    /// How often it is asked.
    pub refresh_interval: DurationMs,
    /// Which version of its API.
    pub version: u32,
}

/// What becomes targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TritonRole {
    /// What is run.
    #[default]
    Container,
    /// On what.
    Cn,
}

impl Default for TritonConfig {
    fn default() -> Self {
        Self {
            account: String::new(),
            role: TritonRole::default(),
            dns_suffix: String::new(),
            endpoint: String::new(),
            groups: Vec::new(),
            port: 9163,
            refresh_interval: a_minute(),
            version: 1,
        }
    }
}

impl Cloud for TritonConfig {
    const NAME: &'static str = "triton";
    const KEY: &'static str = "triton_sd_configs";

    fn interval(&self) -> DurationMs {
        self.refresh_interval
    }

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        let needed =
            [("account", &self.account), ("dns_suffix", &self.dns_suffix), ("endpoint", &self.endpoint)];
        match needed.iter().find(|(_, value)| value.is_empty()) {
            Some((key, _)) => Err(format!("`{key}` is missing")),
            None => Ok(()),
        }
    }

    async fn find(&self, http: &Http) -> Result<Vec<TargetGroup>, SourceError> {
        let gz = if self.role == TritonRole::Cn { "/gz" } else { "" };
        let base = format!("https://{}:{}/v{}{gz}/discover", self.endpoint, self.port, self.version);
        let groups = self.groups.join(&comma());
        let query = (!groups.is_empty()).then_some(("groups", groups.as_str()));
        let answer = http.json(&asking(&url(&base)?, query)).await?;
        Ok(one_group(&base, targets(Json::new(&answer), self)))
    }
}

/// What an answer lists.
pub(crate) fn targets(answer: Json<'_>, config: &TritonConfig) -> Vec<Labels> {
    let suffix = &config.dns_suffix;
    let container = |one: Json<'_>| {
        let mut meta = Meta::new("__meta_triton_");
        meta.set("groups", enclosed(one.texts("groups"), ","))
            .set("machine_alias", one.text("vm_alias"))
            .set("machine_brand", one.text("vm_brand"))
            .set("machine_id", one.text("vm_uuid"))
            .set("machine_image", one.text("vm_image_uuid"))
            .set("server_id", one.text("server_uuid"));
        meta.address(format!("{}.{suffix}:{}", one.text("vm_uuid"), config.port)).build()
    };
    let machine = |one: Json<'_>| {
        let mut meta = Meta::new("__meta_triton_");
        meta.set("machine_alias", one.text("server_hostname")).set("machine_id", one.text("server_uuid"));
        meta.address(format!("{}.{suffix}:{}", one.text("server_uuid"), config.port)).build()
    };
    match config.role {
        TritonRole::Container => answer.list("containers").map(container).collect(),
        TritonRole::Cn => answer.list("cns").map(machine).collect(),
    }
}
