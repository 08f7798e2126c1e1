//! Service discovery: targets found in files, over HTTP, in DNS, in catalogues, at container engines and at
//! cloud providers, with the labels that Prometheus gives them.
//!
//! Modules, in the way of a target:
//! - `config`: the keys of all kinds; `client`: those of HTTP clients, which stand among a kind's own.
//!   `defaults`: what holds for several kinds.
//! - `discovery`: the sources of a job at work; `source`: where each puts what it finds, and how it is asked
//!   again and again.
//! - `file`, `http_sd`: a kind each; `target_file`: the lists that both read; `yaml`: reads YAML.
//! - `dns`, `consul`: a kind each; `moby`: engines of containers, alone and in swarms;
//!   `kubernetes`: clusters; `cloud`: whoever is asked for a list alone, or for little more.
//! - `aws`, `azure` with `azure_login`, `gce` with `google`, `openstack`: clouds that want to know who asks,
//!   by `token` and `jwt`, as `variables` and `files` say; `zookeeper`: members that it keeps.
//! - `http`: asks servers, within `limits`; `json` and `xml`: read their answers as far as they go.
//! - `meta`: labels of a target as it is found; `group`: targets that were found together.
//! - `stats`: what is counted, under Prometheus' names; `error`: why a source told nothing.
//!
//! What always holds:
//! - A source that fails keeps the targets that it found last, says why once, and is asked again.
//! - What one source does concerns no other: each is a task of its own, its answers and targets are bounded.
//! - An entry of a configuration is checked where it is read, so that an error has its place.
//! - Labels of targets are Prometheus': tests hold them against those of a real one.
//!
//! When you add a kind: its file, a row of `kinds!` in `config`, its keys and labels in
//! docs/configuration.md, a made-up server in `tests/`, and a line in `fuzzing` with what reads its answers.

mod aws;
mod azure;
mod azure_login;
mod client;
mod cloud;
pub mod config;
mod consul;
mod defaults;
pub mod discovery;
mod dns;
mod error;
mod file;
mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gce;
mod google;
pub mod group;
mod http;
mod http_sd;
mod json;
mod jwt;
mod kubernetes;
pub mod limits;
mod meta;
mod moby;
mod openstack;
mod source;
pub mod stats;
mod target_file;
mod token;
mod variables;
mod xml;
mod yaml;
mod zookeeper;

pub use aws::{AwsConfig, AwsRole, Ec2Config, Ec2Filter, LightsailConfig};
pub use azure::{AzureConfig, AzureMethod};
pub use client::WithClient;
pub use cloud::{
    DigitalOceanConfig, EurekaConfig, HetznerConfig, HetznerRole, IonosConfig, KumaConfig, LinodeConfig,
    MarathonConfig, NomadConfig, OvhCloudConfig, OvhService, PuppetDbConfig, ScalewayConfig, ScalewayRole,
    StackitConfig, StackitRole, TritonConfig, TritonRole, UyuniConfig, VultrConfig,
};
pub use config::DiscoveryConfigs;
pub use consul::ConsulConfig;
pub use discovery::Discovery;
pub use dns::{DnsConfig, RecordType};
pub use error::SourceError;
pub use file::FileConfig;
pub use gce::GceConfig;
pub use group::TargetGroup;
pub use http_sd::HttpSdConfig;
pub use kubernetes::{AttachMetadata, KubernetesConfig, Namespaces, Role, Selector};
pub use moby::{DockerConfig, DockerSwarmConfig, Filter, SwarmRole};
pub use openstack::{Availability, OpenStackConfig, OpenStackRole};
pub use source::Env;
pub use stats::Stats;
pub use variables::Variables;
pub use zookeeper::{NerveConfig, ServersetConfig};
