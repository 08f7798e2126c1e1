//! `azure_sd_configs`: machines of Azure, alone and in sets.

use crate::{
    azure_login::{Cloud, Login},
    client::ClientKind,
    config::Task,
    defaults::eighty,
    error::SourceError,
    group::TargetGroup,
    http::{Http, asking, below, encoded, parse_url, send, shown},
    http_sd::check_interval,
    json::Json,
    limits::PAGES_MAX,
    meta::{Meta, host_port},
    source::{Refresh, Sink, run},
    stats::Family,
};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_base::secret::Secret;
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels};
use std::time::Duration;

const COMPUTE: (&str, &str) = ("api-version", "2024-03-01");
const NETWORK: (&str, &str) = ("api-version", "2023-06-01");

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AzureConfig {
    /// Which of Azure's clouds.
    #[serde(default = "public")]
    pub environment: String,
    /// Where machines are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
    /// The subscription.
    #[serde(default)]
    pub subscription_id: String,
    /// The tenant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant_id: String,
    /// Who asks.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_id: String,
    /// What proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret<String>>,
    /// How often the list is fetched.
    #[serde(default = "five_minutes")]
    pub refresh_interval: DurationMs,
    /// How it is proved who asks.
    #[serde(default)]
    pub authentication_method: AzureMethod,
    /// The group of resources; all when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_group: String,
}

/// How it is proved who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
pub enum AzureMethod {
    /// By a secret.
    #[default]
    OAuth,
    /// By what the machine is.
    ManagedIdentity,
    /// By what the environment says, or else the machine.
    #[serde(rename = "SDK")]
    Sdk,
    /// By a token of the cluster that this runs in.
    WorkloadIdentity,
}

fn public() -> String {
    "AzurePublicCloud".to_owned()
}

fn five_minutes() -> DurationMs {
    DurationMs::from_secs(300)
}

impl ClientKind for AzureConfig {
    const NAME: &'static str = "azure";

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        let secret = self.client_secret.as_ref().map_or("", |secret| secret.expose());
        let needed = [
            ("subscription_id", self.subscription_id.as_str()),
            ("tenant_id", &self.tenant_id),
            ("client_id", &self.client_id),
            ("client_secret", secret),
        ];
        let count = if self.authentication_method == AzureMethod::OAuth { needed.len() } else { 1 };
        if let Some((key, _)) = needed[..count].iter().find(|(_, value)| value.is_empty()) {
            return Err(format!("azure_sd_configs: `{key}` is missing"));
        }
        Cloud::named(&self.environment).map_err(|e| format!("azure_sd_configs: {e}"))?;
        check_interval("azure_sd_configs", self.refresh_interval)
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let cloud = Cloud::named(&self.environment).map_err(SourceError::Setup)?;
        let base = parse_url(cloud.resources).map_err(SourceError::Setup)?;
        let login = Login::new(self, cloud, sink.variables(), sink.fs())?;
        let source = Source { config: self.clone(), http: Http::new(client, sink.fs())?, base, login };
        Ok(Box::pin(run(source, sink)))
    }
}

struct Source {
    config: AzureConfig,
    http: Http,
    base: Url,
    login: Login,
}

impl Refresh for Source {
    fn mechanism(&self) -> &'static str {
        "azure"
    }

    fn interval(&self) -> Duration {
        self.config.refresh_interval.as_std()
    }

    fn failures() -> Option<Family> {
        Some(Family::AzureFailures)
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let machines = self.list(&self.of_compute("virtualMachines")).await?;
        let mut all: Vec<_> = machines.into_iter().map(|machine| (machine, String::new())).collect();
        for set in self.list(&self.of_compute("virtualMachineScaleSets")).await? {
            let (set, mut path) = (Json::new(&set), String::new());
            path += set.text("id");
            let members = self.list(&format!("{path}/virtualMachines")).await?;
            all.extend(members.into_iter().map(|machine| (machine, set.text("name").to_owned())));
        }
        let mut targets = Vec::new();
        for (machine, set) in &all {
            let machine = Machine { of: Json::new(machine), set };
            targets.extend(self.target(machine).await?);
        }
        Ok(vec![TargetGroup { source: "azure".to_owned(), targets, ..TargetGroup::default() }])
    }
}

impl Source {
    /// Where a list of the subscription is, or of its group.
    fn of_compute(&self, list: &str) -> String {
        let group = match self.config.resource_group.as_str() {
            "" => String::new(),
            name => format!("/resourceGroups/{}", encoded(name)),
        };
        let subscription = encoded(&self.config.subscription_id);
        format!("/subscriptions/{subscription}{group}/providers/Microsoft.Compute/{list}")
    }

    async fn get(&mut self, url: &Url) -> Result<Value, SourceError> {
        let token = self.login.token(&self.http).await?;
        send(self.http.get(url).await?.header("Authorization", token)).await?.json()
    }

    async fn list(&mut self, path: &str) -> Result<Vec<Value>, SourceError> {
        let (mut all, mut url) = (Vec::new(), asking(&below(&self.base, path), [COMPUTE]));
        for _ in 0..PAGES_MAX {
            let mut page = self.get(&url).await?;
            let next = Json::new(&page).text("nextLink").to_owned();
            if let Some(Value::Array(items)) = page.get_mut("value").map(Value::take) {
                all.extend(items);
            }
            if next.is_empty() {
                return Ok(all);
            }
            // What is shown with the token goes nowhere else.
            let next = parse_url(&next).map_err(|e| SourceError::content(shown(&url), &e))?;
            url.set_path(next.path());
            url.set_query(next.query());
        }
        Err(SourceError::content(shown(&url), &format!("the list has more than {PAGES_MAX} pages")))
    }

    /// None of a machine whose first interface is not there, or not in use.
    async fn target(&mut self, machine: Machine<'_>) -> Result<Option<Labels>, SourceError> {
        let interfaces = machine.of.at(&["properties", "networkProfile"]).list("networkInterfaces");
        for id in interfaces.map(|one| one.text("id")) {
            let url =
                asking(&below(&self.base, id), [NETWORK, ("$expand", "ipConfigurations/publicIPAddress")]);
            let interface = match self.get(&url).await {
                Err(SourceError::Status { status: 404, .. }) => return Ok(None),
                other => other?,
            };
            let properties = Json::new(&interface);
            match properties.get("properties").truth("primary") {
                None if properties.get("properties").is_there() => return Ok(None),
                Some(true) => return target(&self.config, machine, properties).map(Some),
                _ => {}
            }
        }
        Ok(None)
    }
}

/// A machine, and the name of the set that it is in.
#[derive(Clone, Copy)]
pub(crate) struct Machine<'a> {
    pub(crate) of: Json<'a>,
    pub(crate) set: &'a str,
}

/// A machine with its first interface.
pub(crate) fn target(
    config: &AzureConfig,
    machine: Machine<'_>,
    interface: Json<'_>,
) -> Result<Labels, SourceError> {
    let Machine { of, set } = machine;
    let (id, own) = (of.text("id"), of.get("properties"));
    let mut parts = id.split('/').skip_while(|part| !part.eq_ignore_ascii_case("resourceGroups")).skip(1);
    let mut meta = Meta::new("__meta_azure_");
    meta.set("subscription_id", &config.subscription_id)
        .set("tenant_id", &config.tenant_id)
        .set("machine_id", id)
        .set("machine_name", of.text("name"))
        .set("machine_computer_name", own.at(&["osProfile", "computerName"]).as_text())
        .set("machine_os_type", own.at(&["storageProfile", "osDisk", "osType"]).as_text())
        .set("machine_location", of.text("location"))
        .set("machine_resource_group", parts.next().unwrap_or_default())
        .set("machine_size", own.at(&["hardwareProfile", "vmSize"]).as_text())
        .set("machine_scale_set", set)
        .set_all("machine_tag_", of.pairs("tags"));
    let missing = || SourceError::content(id, &"its first interface has no private address");
    let first = interface.get("properties").list("ipConfigurations").next().ok_or_else(missing)?;
    let first = first.get("properties");
    let (ip, public) =
        (first.text("privateIPAddress"), first.at(&["publicIPAddress", "properties", "ipAddress"]).as_text());
    if ip.is_empty() {
        return Err(missing());
    }
    meta.set("machine_private_ip", ip).set("machine_public_ip", public);
    Ok(meta.address(host_port(ip, config.port)).build())
}
