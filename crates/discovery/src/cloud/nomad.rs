//! `nomad_sd_configs`: services that Nomad knows.

use super::{Cloud, comma, one_group, url};
use crate::{
    defaults::a_minute,
    error::SourceError,
    group::TargetGroup,
    http::{Http, asking, below, parse_url},
    json::Json,
    meta::{Meta, host_port},
    stats::Family,
};
use serde::{Deserialize, Serialize};
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NomadConfig {
    /// Whether any server may answer, also one that knows the newest not yet.
    pub allow_stale: bool,
    /// In which namespace.
    pub namespace: String,
    /// How often it is asked.
    pub refresh_interval: DurationMs,
    /// In which region.
    pub region: String,
    /// The address of the API.
    pub server: String,
    /// What stands between tags, and around them.
    pub tag_separator: String,
}

impl Default for NomadConfig {
    fn default() -> Self {
        Self {
            allow_stale: true,
            namespace: "default".to_owned(),
            refresh_interval: a_minute(),
            region: "global".to_owned(),
            server: "http://localhost:4646".to_owned(),
            tag_separator: comma(),
        }
    }
}

impl Cloud for NomadConfig {
    const NAME: &'static str = "nomad";
    const KEY: &'static str = "nomad_sd_configs";
    const FAILURES: Option<Family> = Some(Family::NomadFailures);

    fn interval(&self) -> DurationMs {
        self.refresh_interval
    }

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        if self.server.trim().is_empty() {
            return Err("`server` is empty".to_owned());
        }
        parse_url(&self.server).map(drop)
    }

    async fn find(&self, http: &Http) -> Result<Vec<TargetGroup>, SourceError> {
        let base = url(&self.server)?;
        let mut query = vec![("namespace", self.namespace.as_str()), ("region", self.region.as_str())];
        if self.allow_stale {
            query.push(("stale", ""));
        }
        let all = http.json(&asking(&below(&base, "v1/services"), query.clone())).await?;
        let mut targets = Vec::new();
        for service in Json::new(&all).items().flat_map(|namespace| namespace.list("Services")) {
            let path = format!("v1/service/{}", crate::http::encoded(service.text("ServiceName")));
            let instances = http.json(&asking(&below(&base, &path), query.clone())).await?;
            targets.extend(Json::new(&instances).items().map(|one| target(one, &self.tag_separator)));
        }
        Ok(one_group("Nomad", targets))
    }
}

pub(crate) fn target(service: Json<'_>, separator: &str) -> Labels {
    let mut meta = Meta::new("__meta_nomad_");
    let (host, port) = (service.text("Address"), service.number("Port"));
    let tags: Vec<_> = service.texts("Tags").collect();
    meta.set("address", host)
        .set("dc", service.text("Datacenter"))
        .set("namespace", service.text("Namespace"))
        .set("node_id", service.text("NodeID"))
        .set("service", service.text("ServiceName"))
        .set("service_address", host)
        .set("service_id", service.text("ID"))
        .set("service_port", port.to_string())
        .set("tags", format!("{separator}{}{separator}", tags.join(separator)));
    meta.address(host_port(host, port)).build()
}
