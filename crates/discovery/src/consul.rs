//! `consul_sd_configs`: the services of a catalogue of Consul and their nodes. The catalogue and each service
//! are watched by requests that Consul answers when something has changed.

use crate::{
    client::ClientKind,
    config::Task,
    defaults::half_a_minute,
    error::SourceError,
    group::TargetGroup,
    http::{Answer, Http, asking, below, encoded, parse_url, send, shown},
    http_sd::check_interval,
    json::Json,
    limits::REQUEST_TIMEOUT,
    meta::{Meta, host_port},
    source::Sink,
    stats::Family,
};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_base::secret::Secret;
use skopos_client::{HttpConfig, config::BasicAuth};
use skopos_model::{DurationMs, null_is_default};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::Instant,
};

/// How long Consul may wait for a change.
const WATCH_TIMEOUT: Duration = Duration::from_secs(120);
/// How much longer its answer may take.
const WATCH_SLACK: Duration = Duration::from_secs(15);
/// When a request that failed is made again.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsulConfig {
    /// Host and port.
    pub server: String,
    /// What stands in front of the paths of the API.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_prefix: String,
    /// Who we are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret<String>>,
    /// Whose services; those of the agent's own when unset.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub datacenter: String,
    /// In which namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// In which partition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partition: String,
    /// What stands between tags, and around them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag_separator: String,
    /// `http` or `https`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    /// An older spelling of `basic_auth`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret<String>>,
    /// Whether any server may answer, also one that knows the newest not yet.
    pub allow_stale: bool,
    /// How often a watch begins anew at most.
    pub refresh_interval: DurationMs,
    /// Which services; all when empty.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// The tags that a service, and its nodes, must have.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What nodes must be described by.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub node_meta: BTreeMap<String, String>,
    /// An expression of Consul for the services of the catalogue.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// The same for the nodes of a service.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub health_filter: String,
}

impl Default for ConsulConfig {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            server: text("localhost:8500"),
            path_prefix: String::new(),
            token: None,
            datacenter: String::new(),
            namespace: String::new(),
            partition: String::new(),
            tag_separator: text(","),
            scheme: text("http"),
            username: String::new(),
            password: None,
            allow_stale: true,
            refresh_interval: half_a_minute(),
            services: Vec::new(),
            tags: Vec::new(),
            node_meta: BTreeMap::new(),
            filter: String::new(),
            health_filter: String::new(),
        }
    }
}

impl ConsulConfig {
    fn url(&self) -> Result<Url, String> {
        let base = parse_url(&format!("{}://{}", self.scheme, self.server.trim()))?;
        Ok(below(&base, &self.path_prefix))
    }
}

impl ClientKind for ConsulConfig {
    const NAME: &'static str = "consul";

    fn check(&mut self, client: &mut HttpConfig) -> Result<(), String> {
        if self.server.trim().is_empty() {
            return Err("consul_sd_configs: `server` is empty".to_owned());
        }
        if !self.username.is_empty() || self.password.is_some() {
            if client.basic_auth.is_some() {
                return Err(
                    "consul_sd_configs: write one of `username` and `basic_auth`, not both".to_owned()
                );
            }
            let (username, password) = (self.username.clone(), self.password.clone().unwrap_or_default());
            client.basic_auth = Some(BasicAuth { username, password, ..BasicAuth::default() });
        }
        if self.token.is_some() && (client.authorization.is_some() || client.oauth2.is_some()) {
            return Err(
                "consul_sd_configs: write at most one of `token`, `authorization`, `oauth2`".to_owned()
            );
        }
        self.url().map_err(|e| format!("consul_sd_configs: {e}"))?;
        check_interval("consul_sd_configs", self.refresh_interval)
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let url = self.url().map_err(SourceError::Setup)?;
        let consul = Consul { config: self.clone(), http: Http::new(client, sink.fs())?, url, sink };
        Ok(Box::pin(Arc::new(consul).run()))
    }
}

struct Consul {
    config: ConsulConfig,
    http: Http,
    url: Url,
    sink: Sink,
}

impl Consul {
    async fn run(self: Arc<Self>) {
        let datacenter = self.datacenter().await;
        let mut watches = JoinSet::new();
        let watch = |name: String, watches: &mut JoinSet<()>| {
            watches.spawn(Arc::clone(&self).watch_service(name, datacenter.clone()))
        };
        if !self.config.services.is_empty() && self.config.tags.is_empty() {
            self.config.services.iter().for_each(|name| drop(watch(name.clone(), &mut watches)));
            while watches.join_next().await.is_some() {}
            return;
        }
        let mut services: BTreeMap<String, AbortHandle> = BTreeMap::new();
        let (mut index, mut ticks) = (0, ticks(self.config.refresh_interval));
        loop {
            ticks.tick().await;
            let Some(found) = self.services(&mut index).await else { continue };
            for name in &found {
                if !services.contains_key(name) {
                    services.insert(name.clone(), watch(name.clone(), &mut watches));
                }
            }
            let gone = services.extract_if(.., |name, _| !found.contains(name));
            let mut removed = Vec::new();
            for (name, handle) in gone {
                handle.abort();
                removed.push(TargetGroup { source: name, ..TargetGroup::default() });
            }
            if !removed.is_empty() || services.is_empty() {
                self.sink.update(removed);
            }
            while watches.try_join_next().is_some() {}
        }
    }

    /// Whose services are watched; asked for until it is told.
    async fn datacenter(&self) -> String {
        if !self.config.datacenter.is_empty() {
            return self.config.datacenter.clone();
        }
        loop {
            let told = match self
                .send(&below(&self.url, "v1/agent/self"), REQUEST_TIMEOUT)
                .await
                .and_then(Answer::json)
            {
                Ok(own) => {
                    let name = Json::new(&own).at(&["Config", "Datacenter"]).as_text().to_owned();
                    let reason = "its Config has no Datacenter: set `datacenter`";
                    (!name.is_empty())
                        .then_some(name)
                        .ok_or_else(|| SourceError::content(shown(&self.url), &reason))
                }
                Err(error) => Err(error),
            };
            match told {
                Ok(name) => return name,
                Err(error) => failed(&self.sink, &error).await,
            }
        }
    }

    async fn send(&self, url: &Url, timeout: Duration) -> Result<Answer, SourceError> {
        let mut request = self.http.get(url).await?.timeout(timeout);
        if let Some(token) = &self.config.token {
            request = request.header("X-Consul-Token", token.expose());
        }
        send(request).await
    }

    /// Asks for what has changed since `index`; nothing if that is nothing.
    async fn changed(
        &self,
        path: &str,
        more: &[(&str, &str)],
        call: &'static str,
        index: &mut u64,
    ) -> Result<Option<Value>, SourceError> {
        let config = &self.config;
        let (wait, known) = (format!("{}ms", WATCH_TIMEOUT.as_millis()), index.to_string());
        let node_meta: Vec<_> =
            config.node_meta.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        let named = [("dc", &config.datacenter), ("ns", &config.namespace), ("partition", &config.partition)];
        let is_said = |(_, value): &(&str, &str)| !value.is_empty();
        let mut query: Vec<(&str, &str)> =
            named.iter().map(|(key, value)| (*key, value.as_str())).filter(is_said).collect();
        if config.allow_stale {
            query.push(("stale", ""));
        }
        if *index > 0 {
            query.push(("index", &known));
        }
        query.push(("wait", &wait));
        query.extend(node_meta.iter().map(|pair| ("node-meta", pair.as_str())));
        query.extend(more.iter().copied().filter(is_said));
        let url = asking(&below(&self.url, path), query);
        let begun = Instant::now();
        let answer = self.send(&url, WATCH_TIMEOUT + WATCH_SLACK).await;
        let labels = [("call", call), ("endpoint", "catalog")];
        self.sink.stats().observe(Family::ConsulDuration, &labels, begun.elapsed());
        let answer = answer?.ok()?;
        let now = answer.header("x-consul-index").parse().unwrap_or(0);
        if now == *index && now > 0 {
            return Ok(None);
        }
        // One that went back says that Consul began anew.
        *index = if now < *index { 0 } else { now };
        answer.json().map(Some)
    }

    /// The names of the services that are to be watched, if they may have changed.
    async fn services(&self, index: &mut u64) -> Option<HashSet<String>> {
        let filter = [("filter", self.config.filter.as_str())];
        match self.changed("v1/catalog/services", &filter, "services", index).await {
            Ok(found) => found.map(|found| self.chosen(Json::new(&found))),
            Err(error) => {
                failed(&self.sink, &error).await;
                None
            }
        }
    }

    fn chosen(&self, found: Json<'_>) -> HashSet<String> {
        let (services, tags) = (&self.config.services, &self.config.tags);
        let is_chosen = |name: &str, own: Json<'_>| {
            let own: HashSet<&str> = own.items().map(Json::as_text).collect();
            (services.is_empty() || services.iter().any(|wanted| wanted == name))
                && tags.iter().all(|tag| own.contains(tag.as_str()))
        };
        let chosen = found.entries().filter(|(name, own)| is_chosen(name, *own));
        chosen.map(|(name, _)| name.to_owned()).collect()
    }

    async fn watch_service(self: Arc<Self>, name: String, datacenter: String) {
        let path = format!("v1/health/service/{}", encoded(&name));
        let mut query: Vec<(&str, &str)> = self.config.tags.iter().map(|tag| ("tag", tag.as_str())).collect();
        query.push(("filter", &self.config.health_filter));
        let (mut index, mut ticks) = (0, ticks(self.config.refresh_interval));
        let sink = self.sink.part(&name);
        loop {
            ticks.tick().await;
            match self.changed(&path, &query, "service", &mut index).await {
                Ok(Some(found)) => {
                    let separator = &self.config.tag_separator;
                    sink.update(vec![service_group(Json::new(&found), &name, &datacenter, separator)]);
                }
                Ok(None) => sink.works(),
                Err(error) => failed(&sink, &error).await,
            }
        }
    }
}

async fn failed(sink: &Sink, error: &SourceError) {
    sink.stats().count(Family::ConsulFailures, &[]);
    sink.failed(error);
    tokio::time::sleep(RETRY_INTERVAL).await;
}

fn ticks(interval: DurationMs) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(interval.as_std());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// The nodes of a service.
pub(crate) fn service_group(nodes: Json<'_>, name: &str, datacenter: &str, separator: &str) -> TargetGroup {
    let mut shared = Meta::new("__meta_consul_");
    shared.set("service", name).set("dc", datacenter);
    let target = |entry: Json<'_>| {
        let (node, service) = (entry.get("Node"), entry.get("Service"));
        let (own, port) = (service.text("Address"), service.number("Port"));
        let tags: Vec<_> = service.texts("Tags").collect();
        let mut meta = Meta::new("__meta_consul_");
        meta.address(host_port(if own.is_empty() { node.text("Address") } else { own }, port))
            .set("address", node.text("Address"))
            .set("node", node.text("Node"))
            .set("namespace", service.text("Namespace"))
            .set("partition", service.text("Partition"))
            .set("tags", format!("{separator}{}{separator}", tags.join(separator)))
            .set("service_address", own)
            .set("service_port", port.to_string())
            .set("service_id", service.text("ID"))
            .set("health", health(entry.list("Checks")));
        for (label, pairs) in [
            ("metadata_", node.pairs("Meta")),
            ("service_metadata_", service.pairs("Meta")),
            ("tagged_address_", node.pairs("TaggedAddresses")),
        ] {
            meta.set_all(label, pairs);
        }
        meta.build()
    };
    TargetGroup {
        source: name.to_owned(),
        targets: nodes.items().map(target).collect(),
        labels: shared.build(),
    }
}

/// The worst that checks say; nothing if one says what is unknown.
fn health<'a>(checks: impl Iterator<Item = Json<'a>>) -> &'static str {
    const FROM_GOOD_TO_BAD: [&str; 4] = ["passing", "warning", "critical", "maintenance"];
    let mut worst = 0;
    for check in checks {
        let id = check.text("CheckID");
        let is_kept_back = id == "_node_maintenance" || id.starts_with("_service_maintenance:");
        let status = if is_kept_back { "maintenance" } else { check.text("Status") };
        match FROM_GOOD_TO_BAD.iter().position(|known| *known == status) {
            Some(at) => worst = worst.max(at),
            None => return "",
        }
    }
    FROM_GOOD_TO_BAD[worst]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_counts() {
        let check = |id: &str, status: &str| serde_json::json!({"CheckID": id, "Status": status});
        for (checks, expected) in [
            (vec![], "passing"),
            (vec![check("a", "passing"), check("b", "warning")], "warning"),
            (vec![check("a", "critical"), check("b", "warning")], "critical"),
            (vec![check("_node_maintenance", "critical"), check("b", "critical")], "maintenance"),
            (vec![check("_service_maintenance:x", "critical")], "maintenance"),
            (vec![check("a", "odd")], ""),
        ] {
            let checks = Value::Array(checks);
            assert_eq!(health(Json::new(&checks).items()), expected, "{checks}");
        }
    }
}
