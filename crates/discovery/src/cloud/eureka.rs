//! `eureka_sd_configs`: instances of applications that a Eureka server knows.

use super::{Cloud, url};
use crate::{
    defaults::half_a_minute,
    error::SourceError,
    group::TargetGroup,
    http::{Http, below, parse_url, send},
    json::Json,
    meta::{Meta, host_port},
};
use serde::{Deserialize, Serialize};
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EurekaConfig {
    /// The address of the server's API.
    #[serde(default)]
    pub server: String,
    /// How often it is asked.
    #[serde(default = "half_a_minute")]
    pub refresh_interval: DurationMs,
}

impl Cloud for EurekaConfig {
    const NAME: &'static str = "eureka";
    const KEY: &'static str = "eureka_sd_configs";

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
        let request = http.get(&below(&url(&self.server)?, "apps")).await?;
        let answer = send(request.header("Accept", "application/json")).await?.json()?;
        Ok(groups(Json::new(&answer)))
    }
}

/// The instances of all applications.
pub(crate) fn groups(answer: Json<'_>) -> Vec<TargetGroup> {
    let group = |application: Json<'_>| {
        let name = application.text("name");
        let targets = one_or_more(application.get("instance")).map(|one| target(name, one)).collect();
        TargetGroup { source: name.to_owned(), targets, labels: Labels::empty() }
    };
    one_or_more(answer.at(&["applications", "application"])).map(group).collect()
}

/// Such servers write a list of one as that one.
fn one_or_more(of: Json<'_>) -> impl Iterator<Item = Json<'_>> {
    let one = of.entries().next().is_some().then_some(of);
    of.items().chain(one)
}

fn target(application: &str, instance: Json<'_>) -> Labels {
    let mut meta = Meta::new("__meta_eureka_app_");
    let center = instance.get("dataCenterInfo");
    meta.set("name", application);
    for (label, key) in [
        ("hostname", "hostName"),
        ("homepage_url", "homePageUrl"),
        ("statuspage_url", "statusPageUrl"),
        ("healthcheck_url", "healthCheckUrl"),
        ("ip_addr", "ipAddr"),
        ("vip_address", "vipAddress"),
        ("secure_vip_address", "secureVipAddress"),
        ("status", "status"),
        ("country_id", "countryId"),
        ("id", "instanceId"),
    ] {
        meta.set(&format!("instance_{label}"), instance.written(key));
    }
    for (label, key) in [("port", "port"), ("secure_port", "securePort")] {
        let port = instance.get(key);
        if port.is_there() {
            meta.set(&format!("instance_{label}"), port.written("$"));
            meta.set(&format!("instance_{label}_enabled"), port.written("@enabled"));
        }
    }
    meta.set("instance_datacenterinfo_name", center.text("name"));
    for (label, values) in [
        ("instance_datacenterinfo_metadata_", center.get("metadata")),
        ("instance_metadata_", instance.get("metadata")),
    ] {
        for (key, value) in values.entries().filter(|(key, _)| !key.starts_with('@')) {
            meta.set_named(label, key, value.as_written());
        }
    }
    meta.instance(instance.text("instanceId"));
    let port = instance.get("port").written("$");
    let port = if port.is_empty() { "80" } else { port.as_ref() };
    meta.address(host_port(instance.text("hostName"), port)).build()
}
