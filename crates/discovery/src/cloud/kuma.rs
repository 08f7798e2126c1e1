//! `kuma_sd_configs`: what a control plane of Kuma assigns to be monitored.

use super::{Cloud, url};
use crate::{
    defaults::half_a_minute,
    error::SourceError,
    group::TargetGroup,
    http::{Http, below, parse_url, send},
    json::Json,
    meta::Meta,
    stats::Family,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, LabelsBuilder};

const TYPE: &str = "type.googleapis.com/kuma.observability.v1.MonitoringAssignment";

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KumaConfig {
    /// The address of the control plane.
    pub server: String,
    /// What it calls us.
    pub client_id: String,
    /// How often it is asked.
    pub refresh_interval: DurationMs,
    /// How long it may take.
    pub fetch_timeout: DurationMs,
}

impl Default for KumaConfig {
    fn default() -> Self {
        Self {
            server: String::new(),
            client_id: "prometheus".to_owned(),
            refresh_interval: half_a_minute(),
            fetch_timeout: DurationMs::from_secs(120),
        }
    }
}

impl Cloud for KumaConfig {
    const NAME: &'static str = "kuma";
    const KEY: &'static str = "kuma_sd_configs";
    const FAILURES: Option<Family> = Some(Family::KumaFailures);

    fn interval(&self) -> DurationMs {
        self.refresh_interval
    }

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        if self.server.is_empty() {
            return Err("`server` is missing".to_owned());
        }
        parse_url(&self.server).map(drop)
    }

    async fn find(&self, http: &Http) -> Result<Vec<TargetGroup>, SourceError> {
        let url = below(&url(&self.server)?, "v3/discovery:monitoringassignments");
        let body = json!({"node": {"id": self.client_id}, "type_url": TYPE}).to_string();
        let request = http.post(&url, "application/json", body).await?;
        let request = request.header("Accept", "application/json").timeout(self.fetch_timeout.as_std());
        let answer = send(request).await?.json()?;
        Ok(groups(Json::new(&answer)))
    }
}

/// What an answer assigns.
pub(crate) fn groups(answer: Json<'_>) -> Vec<TargetGroup> {
    let group = |assignment: Json<'_>| {
        let (mesh, service) = (assignment.text("mesh"), assignment.text("service"));
        let mut shared = Meta::new("__meta_kuma_");
        shared.set_all("label_", assignment.pairs("labels")).set("mesh", mesh).set("service", service);
        let target = |own: Json<'_>| {
            let mut meta = Meta::new("__meta_kuma_");
            meta.set_all("label_", own.pairs("labels")).set("dataplane", own.text("name"));
            let mut labels = LabelsBuilder::from_labels(&meta.address(own.text("address")).build());
            labels.set("instance", own.text("name"));
            labels.set("__scheme__", own.text("scheme"));
            labels.set("__metrics_path__", own.text("metrics_path"));
            labels.build()
        };
        TargetGroup {
            source: format!("{mesh}/{service}"),
            targets: assignment.list("targets").map(target).collect(),
            labels: shared.build(),
        }
    };
    answer.list("resources").map(group).collect()
}
