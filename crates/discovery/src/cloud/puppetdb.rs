//! `puppetdb_sd_configs`: resources that a query of PuppetDB finds, at the nodes that have them.

use super::{Cloud, one_group, url};
use crate::{
    defaults::{a_minute, eighty},
    error::SourceError,
    group::TargetGroup,
    http::{Http, below, parse_url, send},
    json::Json,
    meta::{Meta, enclosed, host_port},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PuppetDbConfig {
    /// Where the database is.
    #[serde(default)]
    pub url: String,
    /// What is asked, in PQL.
    #[serde(default)]
    pub query: String,
    /// Whether parameters of resources become labels; they may be secret.
    #[serde(default)]
    pub include_parameters: bool,
    /// Where nodes are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
    /// How often it is asked.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
}

impl Cloud for PuppetDbConfig {
    const NAME: &'static str = "puppetdb";
    const KEY: &'static str = "puppetdb_sd_configs";

    fn interval(&self) -> DurationMs {
        self.refresh_interval
    }

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("`url` is missing".to_owned());
        }
        if self.query.is_empty() {
            return Err("`query` is missing".to_owned());
        }
        parse_url(&self.url).map(drop)
    }

    async fn find(&self, http: &Http) -> Result<Vec<TargetGroup>, SourceError> {
        let url = below(&url(&self.url)?, "pdb/query/v4");
        let body = json!({"query": self.query}).to_string();
        let resources = send(http.post(&url, "application/json", body).await?).await?.json()?;
        let resources = Json::new(&resources);
        let targets = resources.items().map(|one| target(one, self)).collect();
        Ok(one_group(url.as_str(), targets))
    }
}

pub(crate) fn target(resource: Json<'_>, config: &PuppetDbConfig) -> Labels {
    let mut meta = Meta::new("__meta_puppetdb_");
    meta.set("query", &config.query)
        .set("exported", resource.is("exported").to_string())
        .set("tags", enclosed(resource.texts("tags"), ","));
    for key in ["certname", "resource", "type", "title", "file", "environment"] {
        meta.set(key, resource.text(key));
    }
    if config.include_parameters {
        set_parameters(&mut meta, "parameter_", resource.get("parameters"));
    }
    meta.address(host_port(resource.text("certname"), config.port)).build()
}

/// Texts, numbers and truths, lists of them, and mappings below their names.
fn set_parameters(meta: &mut Meta, name: &str, parameters: Json<'_>) {
    for (key, value) in parameters.entries() {
        if value.entries().next().is_some() {
            let below = format!("{name}{}_", crate::meta::sanitised(key));
            set_parameters(meta, &below, value);
            continue;
        }
        let items: Vec<_> = value.items().map(Json::as_written).filter(|text| !text.is_empty()).collect();
        if items.is_empty() {
            meta.set_named(name, key, value.as_written());
        } else {
            // Unlike tags without commas around them, as there.
            meta.set_named(name, key, items.join(","));
        }
    }
}
