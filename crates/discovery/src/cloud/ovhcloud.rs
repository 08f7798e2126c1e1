//! `ovhcloud_sd_configs`: machines of OVHcloud, virtual or bare.

use crate::{
    config::{Kind, Task},
    defaults::a_minute,
    error::SourceError,
    group::TargetGroup,
    http::{Http, below, encoded, parse_url, send, shown},
    http_sd::check_interval,
    json::Json,
    meta::Meta,
    source::{Refresh, Sink, run},
};
use jiff::Timestamp;
use reqwest::Url;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_base::secret::Secret;
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels};
use std::{net::IpAddr, time::Duration};

/// Where the APIs are, by their names.
const ENDPOINTS: [(&str, &str); 7] = [
    ("ovh-eu", "https://eu.api.ovh.com/1.0"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0"),
    ("kimsufi-eu", "https://eu.api.kimsufi.com/1.0"),
    ("kimsufi-ca", "https://ca.api.kimsufi.com/1.0"),
    ("soyoustart-eu", "https://eu.api.soyoustart.com/1.0"),
    ("soyoustart-ca", "https://ca.api.soyoustart.com/1.0"),
];

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OvhCloudConfig {
    /// The API, by its name or address.
    #[serde(default = "europe")]
    pub endpoint: String,
    /// Which program asks.
    #[serde(default)]
    pub application_key: String,
    /// What proves it.
    #[serde(default)]
    pub application_secret: Secret<String>,
    /// For whom it asks.
    #[serde(default)]
    pub consumer_key: Secret<String>,
    /// How often the list is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
    /// Which machines.
    pub service: OvhService,
}

/// Which machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OvhService {
    /// Virtual ones.
    Vps,
    /// Bare ones.
    DedicatedServer,
}

fn europe() -> String {
    ENDPOINTS[0].0.to_owned()
}

impl OvhCloudConfig {
    fn base(&self) -> Result<Url, String> {
        let named = ENDPOINTS.iter().find(|(name, _)| *name == self.endpoint);
        if named.is_none() && !self.endpoint.contains('/') {
            let names: Vec<_> = ENDPOINTS.iter().map(|(name, _)| *name).collect();
            return Err(format!("`endpoint`: write an address or one of {}", names.join(", ")));
        }
        parse_url(named.map_or(&self.endpoint, |(_, url)| url))
    }
}

impl Kind for OvhCloudConfig {
    const NAME: &'static str = "ovhcloud";

    fn check(&mut self) -> Result<(), String> {
        let wrong = |e: &str| Err(format!("ovhcloud_sd_configs: {e}"));
        for (key, value) in [
            ("application_key", &self.application_key),
            ("application_secret", self.application_secret.expose()),
            ("consumer_key", self.consumer_key.expose()),
        ] {
            if value.is_empty() {
                return wrong(&format!("`{key}` is missing"));
            }
        }
        match self.base() {
            Err(e) => wrong(&e),
            Ok(_) => check_interval("ovhcloud_sd_configs", self.refresh_interval),
        }
    }

    fn start(&self, sink: Sink) -> Result<Task, SourceError> {
        let http = Http::new(&HttpConfig::default(), sink.fs())?;
        let base = self.base().map_err(SourceError::Setup)?;
        let source = Source { config: self.clone(), http, base, ahead_s: None, trouble: None };
        Ok(Box::pin(run(source, sink)))
    }
}

struct Source {
    config: OvhCloudConfig,
    http: Http,
    base: Url,
    /// How far the API's clock is ahead of ours.
    ahead_s: Option<i64>,
    trouble: Option<SourceError>,
}

impl Refresh for Source {
    fn mechanism(&self) -> &'static str {
        "ovhcloud"
    }

    fn interval(&self) -> Duration {
        self.config.refresh_interval.as_std()
    }

    fn trouble(&mut self) -> Option<SourceError> {
        self.trouble.take()
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let (list, name) = match self.config.service {
            OvhService::Vps => ("vps", "vps"),
            OvhService::DedicatedServer => ("dedicated/server", "dedicated_server"),
        };
        let (all, mut targets) = (self.get(list).await?, Vec::new());
        for machine in Json::new(&all).items().map(Json::as_text) {
            match self.machine(&format!("{list}/{}", encoded(machine))).await {
                Ok((details, ips)) => targets.push(target(self.config.service, Json::new(&details), &ips)),
                Err(error) => self.trouble = Some(error),
            }
        }
        let source = format!("ovhcloud_{name}");
        Ok(vec![TargetGroup { source, targets, ..TargetGroup::default() }])
    }
}

impl Source {
    async fn machine(&mut self, path: &str) -> Result<(Value, Vec<IpAddr>), SourceError> {
        let (details, ips) = (self.get(path).await?, self.get(&format!("{path}/ips")).await?);
        let ips = addresses(Json::new(&ips))
            .map_err(|e| SourceError::content(shown(&below(&self.base, path)), &format!("ips: {e}")))?;
        Ok((details, ips))
    }

    async fn get(&mut self, path: &str) -> Result<Value, SourceError> {
        let now = Timestamp::now().as_second();
        let ahead = match self.ahead_s {
            Some(ahead) => ahead,
            None => {
                let theirs = self.http.json(&below(&self.base, "auth/time")).await?;
                *self.ahead_s.insert(theirs.as_i64().unwrap_or(now) - now)
            }
        };
        let (url, time) = (below(&self.base, path), now + ahead);
        let (secret, key) = (self.config.application_secret.expose(), self.config.consumer_key.expose());
        let text = format!("{secret}+{key}+GET+{url}++{time}");
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let proof: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let request = self.http.get(&url).await?.header("X-Ovh-Application", &self.config.application_key);
        let request = request.header("X-Ovh-Timestamp", time.to_string()).header("X-Ovh-Consumer", key);
        send(request.header("X-Ovh-Signature", format!("$1${proof}"))).await?.json()
    }
}

/// Addresses that stand alone, or as networks of one.
fn addresses(list: Json<'_>) -> Result<Vec<IpAddr>, String> {
    let mut all = Vec::new();
    for text in list.items().map(Json::as_text) {
        let (ip, bits) = text.split_once('/').unwrap_or((text, "32"));
        let ip: IpAddr = ip.parse().map_err(|_| format!("{text:?} is no address"))?;
        if bits == "32" && !ip.is_unspecified() {
            all.push(ip);
        }
    }
    if all.is_empty() { Err("there is no address".to_owned()) } else { Ok(all) }
}

/// Labels, each with its key in an answer.
type Keys = &'static [(&'static str, &'static str)];

pub(crate) fn target(service: OvhService, machine: Json<'_>, ips: &[IpAddr]) -> Labels {
    let last =
        |is: fn(&IpAddr) -> bool| ips.iter().rfind(|ip| is(ip)).map_or_else(String::new, IpAddr::to_string);
    let (ipv4, ipv6) = (last(IpAddr::is_ipv4), last(IpAddr::is_ipv6));
    let (prefix, texts, numbers): (_, Keys, Keys) = match service {
        OvhService::Vps => (
            "__meta_ovhcloud_vps_",
            &[
                ("zone", "zone"),
                ("display_name", "displayName"),
                ("cluster", "cluster"),
                ("state", "state"),
                ("name", "name"),
                ("netboot_mode", "netbootMode"),
                ("offer_type", "offerType"),
            ],
            &[("memory_limit", "memoryLimit"), ("vcore", "vcore")],
        ),
        OvhService::DedicatedServer => (
            "__meta_ovhcloud_dedicated_server_",
            &[
                ("state", "state"),
                ("commercial_range", "commercialRange"),
                ("rack", "rack"),
                ("os", "os"),
                ("support_level", "supportLevel"),
                ("reverse", "reverse"),
                ("datacenter", "datacenter"),
                ("name", "name"),
            ],
            &[("link_speed", "linkSpeed"), ("server_id", "serverId")],
        ),
    };
    let mut meta = Meta::new(prefix);
    for (label, key) in texts {
        meta.set(label, machine.text(key));
    }
    for (label, key) in numbers {
        meta.set(label, machine.number(key).to_string());
    }
    if service == OvhService::Vps {
        set_model(&mut meta, machine.get("model"));
    } else {
        meta.set("no_intervention", machine.is("noIntervention").to_string());
    }
    meta.set("ipv4", &ipv4).set("ipv6", &ipv6).instance(machine.text("name"));
    meta.address(if ipv4.is_empty() { ipv6 } else { ipv4 }).build()
}

fn set_model(meta: &mut Meta, model: Json<'_>) {
    let centers = model.texts("datacenter").collect::<Vec<_>>().join(" ");
    meta.set("datacenter", format!("[{centers}]"));
    for (label, key) in [("offer", "offer"), ("version", "version"), ("model_name", "name")] {
        meta.set(label, model.text(key));
    }
    for (label, key) in [
        ("model_vcore", "vcore"),
        ("maximum_additional_ip", "maximumAdditionnalIp"),
        ("disk", "disk"),
        ("memory", "memory"),
    ] {
        meta.set(label, model.number(key).to_string());
    }
}

/// What reads answers, for checks with arbitrary bytes.
#[cfg(feature = "fuzzing")]
pub(crate) fn of_answer(answer: Json<'_>) -> Vec<Labels> {
    let ips = addresses(answer.get("ips")).unwrap_or_default();
    [OvhService::Vps, OvhService::DedicatedServer].map(|service| target(service, answer, &ips)).into()
}
