//! `dns_sd_configs`: targets that DNS lists under names. A name that cannot be looked up keeps its targets.

use crate::{
    config::{Kind, Task},
    defaults::half_a_minute,
    error::SourceError,
    group::TargetGroup,
    http_sd::check_interval,
    meta::{Meta, host_port},
    source::{Refresh, Sink, run},
    stats::{Family, Stats},
};
use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{RData, RecordType as Type},
    system_conf::read_system_conf,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use skopos_model::DurationMs;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DnsConfig {
    /// What is looked up.
    #[serde(default)]
    pub names: Vec<String>,
    /// How often.
    #[serde(default = "half_a_minute")]
    pub refresh_interval: DurationMs,
    /// Which records.
    #[serde(rename = "type", default)]
    pub record_type: RecordType,
    /// The port of targets whose records name none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub port: u16,
}

/// Which records are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// Hosts with ports.
    #[default]
    Srv,
    /// Addresses of IPv4.
    A,
    /// Addresses of IPv6.
    Aaaa,
    /// Servers of mail.
    Mx,
    /// Servers of names.
    Ns,
}

/// In any case, as Prometheus reads it.
impl<'de> Deserialize<'de> for RecordType {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Ok(match text.to_ascii_uppercase().as_str() {
            "SRV" => Self::Srv,
            "A" => Self::A,
            "AAAA" => Self::Aaaa,
            "MX" => Self::Mx,
            "NS" => Self::Ns,
            _ => {
                let message = format!("{text:?} cannot be looked up: write SRV, A, AAAA, MX or NS");
                return Err(D::Error::custom(message));
            }
        })
    }
}

impl RecordType {
    const fn in_dns(self) -> Type {
        match self {
            Self::Srv => Type::SRV,
            Self::A => Type::A,
            Self::Aaaa => Type::AAAA,
            Self::Mx => Type::MX,
            Self::Ns => Type::NS,
        }
    }
}

fn is_zero(port: &u16) -> bool {
    *port == 0
}

impl Kind for DnsConfig {
    const NAME: &'static str = "dns";

    fn check(&mut self) -> Result<(), String> {
        if self.names.is_empty() {
            return Err("dns_sd_configs: `names` is missing: write at least one name".to_owned());
        }
        if self.record_type != RecordType::Srv && self.port == 0 {
            return Err("dns_sd_configs: `port` is missing: only records of the type SRV name one".to_owned());
        }
        check_interval("dns_sd_configs", self.refresh_interval)
    }

    fn start(&self, sink: Sink) -> Result<Task, SourceError> {
        let stats = sink.shared_stats();
        let source =
            DnsSource { config: self.clone(), servers: None, known: BTreeMap::new(), trouble: None, stats };
        Ok(Box::pin(run(source, sink)))
    }
}

struct DnsSource {
    config: DnsConfig,
    /// Who is asked; those of the system when unset.
    servers: Option<ResolverConfig>,
    /// The group of each name as it was found last.
    known: BTreeMap<String, TargetGroup>,
    trouble: Option<SourceError>,
    stats: Arc<Stats>,
}

impl DnsSource {
    /// As the system is set up now: that may change while the program runs.
    fn resolver(&self) -> Result<TokioResolver, SourceError> {
        let wrong = |e: &dyn std::error::Error| SourceError::Setup(format!("/etc/resolv.conf: {e}"));
        let (servers, mut options) = match &self.servers {
            Some(servers) => (servers.clone(), ResolverOpts::default()),
            None => read_system_conf().map_err(|e| wrong(&e))?,
        };
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let mut builder = Resolver::builder_with_config(servers, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        builder.build().map_err(|e| wrong(&e))
    }
}

impl Refresh for DnsSource {
    fn mechanism(&self) -> &'static str {
        "dns"
    }

    fn interval(&self) -> Duration {
        self.config.refresh_interval.as_std()
    }

    fn trouble(&mut self) -> Option<SourceError> {
        self.trouble.take()
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let resolver = self.resolver()?;
        let mut lookups = JoinSet::new();
        for name in self.config.names.iter().cloned() {
            let (resolver, config) = (resolver.clone(), self.config.clone());
            lookups.spawn(async move {
                let found = look_up(&resolver, &name, &config).await;
                (name, found)
            });
        }
        while let Some(Ok((name, found))) = lookups.join_next().await {
            self.stats.count(Family::DnsLookups, &[]);
            match found {
                Ok(group) => drop(self.known.insert(name, group)),
                Err(error) => {
                    self.stats.count(Family::DnsFailures, &[]);
                    self.trouble = Some(error);
                }
            }
        }
        Ok(self.known.values().cloned().collect())
    }
}

/// The targets of a name; none where nobody knows it.
async fn look_up(
    resolver: &TokioResolver,
    name: &str,
    config: &DnsConfig,
) -> Result<TargetGroup, SourceError> {
    let mut group = TargetGroup { source: name.to_owned(), ..TargetGroup::default() };
    let found = match resolver.lookup(name, config.record_type.in_dns()).await {
        Ok(found) => found,
        Err(e) if e.is_no_records_found() => return Ok(group),
        Err(e) => return Err(SourceError::content(format!("DNS: {name}"), &e)),
    };
    for record in found.answers() {
        let mut meta = Meta::new("__meta_dns_");
        meta.set("name", name);
        match &record.data {
            RData::SRV(srv) => {
                let (target, port) = (srv.target.to_ascii(), srv.port);
                meta.address(host_port(target.trim_end_matches('.'), port));
                meta.set("srv_record_target", target).set("srv_record_port", port.to_string());
            }
            RData::MX(mx) => {
                let target = mx.exchange.to_ascii();
                meta.address(host_port(target.trim_end_matches('.'), config.port));
                meta.set("mx_record_target", target);
            }
            RData::NS(ns) => {
                let target = ns.0.to_ascii();
                meta.address(host_port(target.trim_end_matches('.'), config.port));
                meta.set("ns_record_target", target);
            }
            RData::A(address) => drop(meta.address(host_port(&address.0.to_string(), config.port))),
            RData::AAAA(address) => drop(meta.address(host_port(&address.0.to_string(), config.port))),
            // Other names on the way to an address.
            _ => continue,
        }
        group.targets.push(meta.build());
    }
    Ok(group)
}

#[cfg(test)]
mod tests;
