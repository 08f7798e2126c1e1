//! `aws_sd_configs`, `ec2_sd_configs`, `lightsail_sd_configs`: what runs at AWS.
//!
//! - `api`: asks a service; `sign`: proves who asks; `sts`: keys of a role.
//! - `credentials`: who asks, with `profile` and `metadata`, where that is found.
//! - `ec2`, `ecs`, `lightsail`, `msk`: a role each: what it asks for, and the labels of what it finds.

mod api;
mod credentials;
pub(crate) mod ec2;
pub(crate) mod ecs;
pub(crate) mod lightsail;
mod metadata;
pub(crate) mod msk;
pub(crate) mod profile;
mod sign;
mod sts;

pub use ec2::Ec2Filter;

use crate::{
    client::ClientKind,
    config::Task,
    defaults::{a_minute, eighty},
    error::SourceError,
    group::TargetGroup,
    http::{Http, parse_url},
    http_sd::check_interval,
    source::{Refresh, Sink, run},
};
use api::Api;
use credentials::Access;
use serde::{Deserialize, Serialize};
use skopos_base::secret::Secret;
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, null_is_default};
use std::time::Duration;

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AwsRole {
    /// Machines.
    Ec2,
    /// Tasks of containers.
    Ecs,
    /// Machines of Lightsail.
    Lightsail,
    /// Brokers and controllers of Kafka.
    Msk,
}

macro_rules! aws_config {
    ($(#[$about:meta])* $id:ident { $($(#[$attribute:meta])* $key:ident: $kind:ty = $default:expr,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $id {
            $($(#[$attribute])* pub $key: $kind,)*
            /// Where the service is; by its name and region when empty.
            pub endpoint: String,
            /// The region; as the environment or the machine says when empty.
            pub region: String,
            /// Who asks; found as AWS' own programs do when empty.
            #[serde(skip_serializing_if = "String::is_empty")]
            pub access_key: String,
            /// What proves it.
            #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_empty")]
            pub secret_key: Secret<String>,
            /// The profile that has the keys.
            #[serde(skip_serializing_if = "String::is_empty")]
            pub profile: String,
            /// The role that is taken with them.
            #[serde(skip_serializing_if = "String::is_empty")]
            pub role_arn: String,
            /// How often the list is fetched.
            pub refresh_interval: DurationMs,
            /// Where targets are scraped.
            pub port: u16,
        }

        impl Default for $id {
            fn default() -> Self {
                Self {
                    $($key: $default,)*
                    endpoint: String::new(),
                    region: String::new(),
                    access_key: String::new(),
                    secret_key: Secret::default(),
                    profile: String::new(),
                    role_arn: String::new(),
                    refresh_interval: a_minute(),
                    port: eighty(),
                }
            }
        }

        impl $id {
            fn source(
                &self,
                client: &HttpConfig,
                sink: &Sink,
                wanted: Wanted,
            ) -> Result<Source, SourceError> {
                let access = Access {
                    region: self.region.clone(),
                    access_key: self.access_key.clone(),
                    secret_key: self.secret_key.clone(),
                    profile: self.profile.clone(),
                    role_arn: self.role_arn.clone(),
                };
                let http = Http::new(client, sink.fs())?;
                let api = Api::new(access, &self.endpoint, http, sink.variables(), sink.fs())?;
                Ok(Source { api, wanted, port: self.port, interval: self.refresh_interval })
            }

            fn check_shared(&self, key: &str) -> Result<(), String> {
                if self.endpoint.contains("://") {
                    parse_url(&self.endpoint).map_err(|e| format!("{key}: endpoint: {e}"))?;
                }
                check_interval(key, self.refresh_interval)
            }
        }
    };
}

aws_config! {
    /// The keys of `ec2_sd_configs`.
    Ec2Config {
        /// Which machines.
        #[serde(deserialize_with = "null_is_default")]
        filters: Vec<Ec2Filter> = Vec::new(),
    }
}

aws_config! {
    /// The keys of `lightsail_sd_configs`.
    LightsailConfig {}
}

aws_config! {
    /// The keys of `aws_sd_configs`.
    AwsConfig {
        /// What is found.
        role: Option<AwsRole> = None,
        /// Which machines, of the role `ec2`.
        #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
        filters: Vec<Ec2Filter> = Vec::new(),
        /// Which clusters, of the roles `ecs` and `msk`; all when empty.
        #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
        clusters: Vec<String> = Vec::new(),
    }
}

fn is_empty(secret: &Secret<String>) -> bool {
    secret.expose().is_empty()
}

impl ClientKind for Ec2Config {
    const NAME: &'static str = "ec2";

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        ec2::check(&self.filters).map_err(|e| format!("ec2_sd_configs: {e}"))?;
        self.check_shared("ec2_sd_configs")
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let source = self.source(client, &sink, Wanted::Ec2(self.filters.clone()))?;
        Ok(Box::pin(run(source, sink)))
    }
}

impl ClientKind for LightsailConfig {
    const NAME: &'static str = "lightsail";

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        self.check_shared("lightsail_sd_configs")
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let source = self.source(client, &sink, Wanted::Lightsail)?;
        Ok(Box::pin(run(source, sink)))
    }
}

impl ClientKind for AwsConfig {
    const NAME: &'static str = "aws";

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        let wrong = |e: &str| Err(format!("aws_sd_configs: {e}"));
        let Some(role) = self.role else {
            return wrong("`role` is missing: write ec2, ecs, lightsail or msk");
        };
        if !self.filters.is_empty() && role != AwsRole::Ec2 {
            return wrong("`filters` are for the role ec2 alone");
        }
        if !self.clusters.is_empty() && !matches!(role, AwsRole::Ecs | AwsRole::Msk) {
            return wrong("`clusters` are for the roles ecs and msk alone");
        }
        ec2::check(&self.filters).map_err(|e| format!("aws_sd_configs: {e}"))?;
        self.check_shared("aws_sd_configs")
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let wanted = match self.role {
            Some(AwsRole::Ec2) => Wanted::Ec2(self.filters.clone()),
            Some(AwsRole::Ecs) => Wanted::Ecs(self.clusters.clone()),
            Some(AwsRole::Lightsail) => Wanted::Lightsail,
            Some(AwsRole::Msk) => Wanted::Msk(self.clusters.clone()),
            None => return Err(SourceError::Setup("aws_sd_configs: `role` is missing".to_owned())),
        };
        let source = self.source(client, &sink, wanted)?;
        Ok(Box::pin(run(source, sink)))
    }
}

/// What a source asks for.
enum Wanted {
    Ec2(Vec<Ec2Filter>),
    Ecs(Vec<String>),
    Lightsail,
    Msk(Vec<String>),
}

struct Source {
    api: Api,
    wanted: Wanted,
    port: u16,
    interval: DurationMs,
}

impl Refresh for Source {
    fn mechanism(&self) -> &'static str {
        match self.wanted {
            Wanted::Ec2(_) => "ec2",
            Wanted::Ecs(_) => "ecs",
            Wanted::Lightsail => "lightsail",
            Wanted::Msk(_) => "msk",
        }
    }

    fn interval(&self) -> Duration {
        self.interval.as_std()
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let (api, port) = (&mut self.api, self.port);
        let region = api.region().await?;
        let targets = match &self.wanted {
            Wanted::Ec2(filters) => ec2::find(api, filters, &region, port).await?,
            Wanted::Ecs(clusters) => ecs::find(api, clusters, &region, port).await?,
            Wanted::Lightsail => lightsail::find(api, &region, port).await?,
            Wanted::Msk(clusters) => msk::find(api, clusters, port).await?,
        };
        Ok(vec![TargetGroup { source: region, targets, ..TargetGroup::default() }])
    }
}
