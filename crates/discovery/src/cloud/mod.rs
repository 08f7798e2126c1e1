//! Kinds whose servers are asked for a list in JSON and nothing else: providers of machines, and catalogues
//! without watches. What they have in common stands here; each has a file with its keys, where it asks, and
//! the labels of what it finds.

mod digitalocean;
mod eureka;
mod hetzner;
mod ionos;
mod kuma;
mod linode;
pub(crate) mod marathon;
mod nomad;
pub(crate) mod ovhcloud;
mod puppetdb;
#[cfg(feature = "fuzzing")]
pub(crate) mod readers;
mod scaleway;
pub(crate) mod stackit;
mod triton;
pub(crate) mod uyuni;
mod vultr;

pub use digitalocean::DigitalOceanConfig;
pub use eureka::EurekaConfig;
pub use hetzner::{HetznerConfig, HetznerRole};
pub use ionos::IonosConfig;
pub use kuma::KumaConfig;
pub use linode::LinodeConfig;
pub use marathon::MarathonConfig;
pub use nomad::NomadConfig;
pub use ovhcloud::{OvhCloudConfig, OvhService};
pub use puppetdb::PuppetDbConfig;
pub use scaleway::{ScalewayConfig, ScalewayRole};
pub use stackit::{StackitConfig, StackitRole};
pub use triton::{TritonConfig, TritonRole};
pub use uyuni::UyuniConfig;
pub use vultr::VultrConfig;

use crate::{
    client::ClientKind,
    config::Task,
    error::SourceError,
    group::TargetGroup,
    http::{Http, asking, parse_url},
    http_sd::check_interval,
    limits::PAGES_MAX,
    source::{Refresh, Sink, run},
    stats::Family,
};
use reqwest::Url;
use serde_json::Value;
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels};
use std::{future::Future, time::Duration};

/// What such a kind has of its own.
pub(crate) trait Cloud: Clone + Send + Sync + 'static {
    /// What its targets and metrics call it.
    const NAME: &'static str;
    /// Its key in files.
    const KEY: &'static str;
    /// A counter of its own for failures.
    const FAILURES: Option<Family> = None;

    /// How often its server is asked.
    fn interval(&self) -> DurationMs;

    /// What is wrong with it, but for what all kinds have: nothing can be, unless a kind says so.
    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        Ok(())
    }

    /// All of its targets.
    fn find(&self, http: &Http) -> impl Future<Output = Result<Vec<TargetGroup>, SourceError>> + Send;
}

impl<T: Cloud> ClientKind for T {
    const NAME: &'static str = T::NAME;

    fn check(&mut self, client: &mut HttpConfig) -> Result<(), String> {
        Cloud::check(self, client).map_err(|e| format!("{}: {e}", T::KEY))?;
        check_interval(T::KEY, self.interval())
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let source = CloudSource { config: self.clone(), http: Http::new(client, sink.fs())? };
        Ok(Box::pin(run(source, sink)))
    }
}

struct CloudSource<T> {
    config: T,
    http: Http,
}

impl<T: Cloud> Refresh for CloudSource<T> {
    fn mechanism(&self) -> &'static str {
        T::NAME
    }

    fn interval(&self) -> Duration {
        self.config.interval().as_std()
    }

    fn failures() -> Option<Family> {
        T::FAILURES
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        self.config.find(&self.http).await
    }
}

/// The one group of a kind that divides its targets no further.
fn one_group(source: &str, targets: Vec<Labels>) -> Vec<TargetGroup> {
    vec![TargetGroup { source: source.to_owned(), targets, labels: Labels::empty() }]
}

/// Asks for pages from the first on, until `next` finds no further one named in an answer: each is asked for
/// with these pairs in its query.
async fn pages<const N: usize>(
    http: &Http,
    url: &Url,
    first: [(&'static str, String); N],
    next: impl Fn(&Value, usize) -> Option<[(&'static str, String); N]>,
) -> Result<Vec<Value>, SourceError> {
    let (mut pages, mut query) = (Vec::new(), Some(first));
    while let Some(pairs) = query {
        let url = asking(url, pairs.iter().map(|(key, value)| (*key, value.as_str())));
        let page = http.json(&url).await?;
        query = next(&page, pages.len() + 1);
        pages.push(page);
        if pages.len() > PAGES_MAX {
            let reason = format!("the list has more than {PAGES_MAX} pages");
            return Err(SourceError::content(crate::http::shown(&url), &reason));
        }
    }
    Ok(pages)
}

/// An address that is known to be one, or that was checked before.
fn url(text: &str) -> Result<Url, SourceError> {
    parse_url(text).map_err(SourceError::Setup)
}

/// What stands between tags, and around them.
pub(crate) fn comma() -> String {
    ",".to_owned()
}
