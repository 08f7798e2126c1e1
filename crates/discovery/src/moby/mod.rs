//! Docker's API, for containers of an engine (`docker`) and for what a swarm runs (`swarm`). Knows paths,
//! filters and networks; what becomes a target is theirs.

pub(crate) mod docker;
pub(crate) mod swarm;

pub use docker::DockerConfig;
pub use swarm::{DockerSwarmConfig, SwarmRole};

use crate::{
    error::SourceError,
    http::{Http, asking, below, parse_url},
    json::Json,
    meta::Meta,
};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_base::fs::SharedFs;
use skopos_client::HttpConfig;
use skopos_model::Labels;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// A condition that the engine checks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// What it is about.
    #[serde(default)]
    pub name: String,
    /// What that may be.
    #[serde(default)]
    pub values: Vec<String>,
}

/// An engine that is asked.
pub(crate) struct Engine {
    http: Http,
    url: Url,
    /// The socket as the configuration names it; the address of what it is asked has no meaning then.
    socket: Option<String>,
}

impl Engine {
    /// The engine that listens at `host`: a socket of this machine, or an address.
    pub(crate) fn new(host: &str, client: &HttpConfig, fs: &SharedFs) -> Result<Self, SourceError> {
        let local = |address: &str| parse_url(address).map_err(SourceError::Setup);
        if let Some(socket) = host.strip_prefix("unix://") {
            let (http, socket_name) = (Http::unix(Path::new(socket))?, Some(host.to_owned()));
            return Ok(Self { http, url: local("http://localhost")?, socket: socket_name });
        }
        if let Some(rest) = host.strip_prefix("tcp://") {
            // The client's keys are for the other addresses, as in Prometheus.
            let http = Http::new(&HttpConfig::default(), fs)?;
            return Ok(Self { http, url: local(&format!("http://{rest}"))?, socket: None });
        }
        Ok(Self { http: Http::new(client, fs)?, url: local(host)?, socket: None })
    }

    /// An error by the name of the socket, where it is one.
    fn named(&self, path: &str, error: SourceError) -> SourceError {
        let Some(socket) = &self.socket else { return error };
        let url = format!("{socket}, /{path}");
        match error {
            SourceError::Request { reason, .. } => SourceError::Request { url, reason },
            SourceError::Status { status, .. } => SourceError::Status { url, status },
            other => other,
        }
    }

    async fn list(&self, path: &str, filters: &[Filter]) -> Result<Value, SourceError> {
        let mut wanted: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
        for filter in filters {
            let values = filter.values.iter().map(|value| (value.as_str(), true));
            wanted.entry(&filter.name).or_default().extend(values);
        }
        let text = serde_json::to_string(&wanted).map_err(|e| SourceError::Setup(e.to_string()))?;
        let query = (!wanted.is_empty()).then_some(("filters", text.as_str()));
        let answer = self.http.json(&asking(&below(&self.url, path), query)).await;
        answer.map_err(|error| self.named(path, error))
    }
}

pub(crate) fn check_host(key: &str, host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err(format!("{key}: `host` is missing: write unix:///var/run/docker.sock or an address"));
    }
    if host.strip_prefix("unix://").is_some_and(|path| path.starts_with('/')) {
        return Ok(());
    }
    let address =
        host.strip_prefix("tcp://").map_or_else(|| host.to_owned(), |rest| format!("http://{rest}"));
    parse_url(&address).map(drop).map_err(|e| format!("{key}: host: {e}"))
}

/// The labels of each network, by its number.
pub(crate) fn network_labels(networks: Json<'_>, prefix: &'static str) -> HashMap<String, Labels> {
    let labels = |network: Json<'_>| {
        let mut meta = Meta::new(prefix);
        meta.set("network_id", network.text("Id"))
            .set("network_name", network.text("Name"))
            .set("network_scope", network.text("Scope"))
            .set("network_internal", network.is("Internal").to_string())
            .set("network_ingress", network.is("Ingress").to_string());
        meta.set_all("network_label_", network.pairs("Labels"));
        (network.text("Id").to_owned(), meta.build())
    };
    networks.items().map(labels).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn an_error_names_the_socket_that_was_asked() {
        let _set_by_another_test = rustls::crypto::ring::default_provider().install_default();
        let fs: SharedFs = Arc::new(skopos_base::real::RealFs);
        let engine = Engine::new("unix:///nowhere/docker.sock", &HttpConfig::default(), &fs).unwrap();
        let error = engine.list("containers/json", &[]).await.unwrap_err().to_string();
        assert!(error.starts_with("unix:///nowhere/docker.sock, /containers/json: "), "{error}");
    }
}
