//! `openstack_sd_configs`: machines, hypervisors or balancers of loads of OpenStack.
//!
//! - `identity`: who asks, and where services are; `targets`: the labels of what is found.

mod identity;
pub(crate) mod targets;

use crate::{
    config::{Kind, Task},
    defaults::{a_minute, eighty},
    error::SourceError,
    group::TargetGroup,
    http::{Http, asking, below, parse_url, send},
    http_sd::check_interval,
    json::Json,
    limits::PAGES_MAX,
    source::{Refresh, Sink, run},
};
use identity::{Login, Session};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_base::secret::Secret;
use skopos_client::{HttpConfig, config::TlsConfig};
use skopos_model::DurationMs;
use std::{path::Path, time::Duration};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OpenStackConfig {
    /// Where one is identified; as the environment says, with all that belongs to it, when empty.
    #[serde(default)]
    pub identity_endpoint: String,
    /// Who asks, by name.
    #[serde(default)]
    pub username: String,
    /// The same by id.
    #[serde(default)]
    pub userid: String,
    /// What proves it.
    #[serde(default)]
    pub password: Secret<String>,
    /// In which project, by name.
    #[serde(default)]
    pub project_name: String,
    /// The same by id.
    #[serde(default)]
    pub project_id: String,
    /// In which domain, by name.
    #[serde(default)]
    pub domain_name: String,
    /// The same by id.
    #[serde(default)]
    pub domain_id: String,
    /// Which program asks, by name.
    #[serde(default)]
    pub application_credential_name: String,
    /// The same by id.
    #[serde(default)]
    pub application_credential_id: String,
    /// What proves it.
    #[serde(default)]
    pub application_credential_secret: Secret<String>,
    /// What is found.
    pub role: OpenStackRole,
    /// The region.
    #[serde(default)]
    pub region: String,
    /// How often the list is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
    /// Where targets are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
    /// Whether machines of all projects are found.
    #[serde(default)]
    pub all_tenants: bool,
    /// How connections are secured.
    #[serde(default, skip_serializing_if = "TlsConfig::is_default")]
    pub tls_config: TlsConfig,
    /// Which of a service's addresses is asked.
    #[serde(default)]
    pub availability: Availability,
}

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OpenStackRole {
    /// Machines.
    Instance,
    /// What they run on.
    Hypervisor,
    /// Balancers that tell metrics.
    LoadBalancer,
}

/// Which of a service's addresses is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// That for everybody.
    #[default]
    Public,
    /// That for those who look after it.
    Admin,
    /// That of the inside.
    Internal,
}

impl Availability {
    const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Admin => "admin",
            Self::Internal => "internal",
        }
    }
}

impl Kind for OpenStackConfig {
    const NAME: &'static str = "openstack";

    fn check(&mut self) -> Result<(), String> {
        let wrong = |e: &str| Err(format!("openstack_sd_configs: {e}"));
        if self.region.is_empty() {
            return wrong("`region` is missing");
        }
        if !self.identity_endpoint.is_empty()
            && let Err(e) = parse_url(&self.identity_endpoint)
        {
            return wrong(&format!("identity_endpoint: {e}"));
        }
        self.http().check().map_err(|e| format!("openstack_sd_configs: {e}"))?;
        check_interval("openstack_sd_configs", self.refresh_interval)
    }

    fn start(&self, sink: Sink) -> Result<Task, SourceError> {
        let http = Http::new(&self.http(), sink.fs())?;
        let login = Login::new(self, sink.variables())?;
        Ok(Box::pin(run(Source { config: self.clone(), http, login, session: None }, sink)))
    }

    fn set_folder(&mut self, folder: &Path) {
        self.tls_config = self.http().beside(folder).tls_config;
    }
}

impl OpenStackConfig {
    fn http(&self) -> HttpConfig {
        HttpConfig { tls_config: self.tls_config.clone(), ..HttpConfig::default() }
    }
}

struct Source {
    config: OpenStackConfig,
    http: Http,
    login: Login,
    session: Option<Session>,
}

impl Refresh for Source {
    fn mechanism(&self) -> &'static str {
        "openstack"
    }

    fn interval(&self) -> Duration {
        self.config.refresh_interval.as_std()
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let found = self.find().await;
        if found.is_err() {
            self.session = None;
        }
        found
    }
}

impl Source {
    async fn find(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let session = match self.session.take().filter(Session::is_good) {
            Some(session) => session,
            None => self.login.open(&self.http).await?,
        };
        let (config, http) = (&self.config, &self.http);
        let at = |kinds: &[&str]| session.endpoint(kinds, &config.region, config.availability.name());
        let list = async |base: &Url, path: &str, key: &str, pairs: &[(&str, &str)]| {
            let first = asking(&below(base, path), pairs.iter().copied());
            pages(http, &session, first, key).await
        };
        let targets = match config.role {
            OpenStackRole::Hypervisor => {
                let all = list(&at(&["compute"])?, "os-hypervisors/detail", "hypervisors", &[]).await?;
                targets::hypervisors(&all, config.port)
            }
            OpenStackRole::Instance => {
                let (compute, network) = (at(&["compute"])?, at(&["network"])?);
                let ports = list(&network, "v2.0/ports", "ports", &[]).await?;
                let floating = list(&network, "v2.0/floatingips", "floatingips", &[]).await?;
                let all: &[_] = if config.all_tenants { &[("all_tenants", "true")] } else { &[] };
                let machines = list(&compute, "servers/detail", "servers", all).await?;
                targets::instances(&machines, &ports, &floating, config.port)
            }
            OpenStackRole::LoadBalancer => {
                let (own, network) = (at(&["load-balancer"])?, at(&["network"])?);
                let balancers = list(&own, "v2.0/lbaas/loadbalancers", "loadbalancers", &[]).await?;
                let listeners = list(&own, "v2.0/lbaas/listeners", "listeners", &[]).await?;
                let floating = list(&network, "v2.0/floatingips", "floatingips", &[]).await?;
                targets::balancers(&balancers, &listeners, &floating)
            }
        };
        let source = format!("OS_{}", config.region);
        self.session = Some(session);
        Ok(vec![TargetGroup { source, targets, ..TargetGroup::default() }])
    }
}

/// The pages of a list, each of which links to the next one.
async fn pages(http: &Http, session: &Session, first: Url, key: &str) -> Result<Vec<Value>, SourceError> {
    let (mut pages, mut url) = (Vec::new(), first);
    for _ in 0..PAGES_MAX {
        let request = http.get(&url).await?.header("X-Auth-Token", session.token()?);
        let page = send(request).await?.json()?;
        let next = Json::new(&page).get(&format!("{key}_links")).items();
        let next = next.filter(|link| link.text("rel") == "next").map(|link| link.text("href").to_owned());
        let next = next.last().filter(|next| !next.is_empty());
        let is_last = Json::new(&page).get(key).items().len() == 0;
        pages.push(page);
        match next.filter(|_| !is_last) {
            // What is shown with the token goes nowhere else.
            Some(next) => {
                let next = url.join(&next).map_err(|e| SourceError::content(url.as_str(), &e))?;
                url.set_path(next.path());
                url.set_query(next.query());
            }
            None => return Ok(pages),
        }
    }
    Err(SourceError::content(crate::http::shown(&url), &format!("the list has more than {PAGES_MAX} pages")))
}
