//! `linode_sd_configs`: machines of Linode.

use super::{Cloud, comma, one_group, pages, url};
use crate::{
    defaults::{a_minute, eighty},
    error::SourceError,
    group::TargetGroup,
    http::{Http, below},
    json::Json,
    meta::{Meta, enclosed, host_port},
    stats::Family,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_model::{DurationMs, Labels};
use std::collections::HashMap;

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LinodeConfig {
    /// How often the list is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
    /// Where machines are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
    /// What stands between tags, and around them.
    #[serde(default = "comma")]
    pub tag_separator: String,
    /// The region; all when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
}

impl Cloud for LinodeConfig {
    const NAME: &'static str = "linode";
    const KEY: &'static str = "linode_sd_configs";
    const FAILURES: Option<Family> = Some(Family::LinodeFailures);

    fn interval(&self) -> DurationMs {
        self.refresh_interval
    }

    async fn find(&self, http: &Http) -> Result<Vec<TargetGroup>, SourceError> {
        let base = url("https://api.linode.com/v4")?;
        let query = |page: usize| [("page", page.to_string()), ("page_size", "500".to_owned())];
        let next = |page: &Value, read: usize| {
            (Json::new(page).number("pages") > read as i64).then(|| query(read + 1))
        };
        let machines = pages(http, &below(&base, "linode/instances"), query(1), next).await?;
        let addresses = pages(http, &below(&base, "networking/ips"), query(1), next).await?;
        let ranges = pages(http, &below(&base, "networking/ipv6/ranges"), query(1), next).await?;
        Ok(one_group("Linode", targets(&machines, &addresses, &ranges, self)))
    }
}

/// The machines of the pages of a list, given those of all addresses and of all ranges of them.
pub(crate) fn targets(
    machines: &[Value],
    addresses: &[Value],
    ranges: &[Value],
    config: &LinodeConfig,
) -> Vec<Labels> {
    let addresses = addresses.iter().flat_map(|page| Json::new(page).list("data"));
    let known: HashMap<&str, Json<'_>> = addresses.map(|one| (one.text("address"), one)).collect();
    let machines = machines.iter().flat_map(|page| Json::new(page).list("data"));
    let in_region = |one: &Json<'_>| config.region.is_empty() || one.text("region") == config.region;
    let ranges: Vec<_> = ranges.iter().flat_map(|page| Json::new(page).list("data")).collect();
    machines.filter(in_region).filter_map(|machine| target(machine, &known, &ranges, config)).collect()
}

fn target(
    machine: Json<'_>,
    known: &HashMap<&str, Json<'_>>,
    ranges: &[Json<'_>],
    config: &LinodeConfig,
) -> Option<Labels> {
    let all: Vec<Json<'_>> = machine.texts("ipv4").filter_map(|ip| known.get(ip).copied()).collect();
    if machine.list("ipv4").len() == 0 {
        return None;
    }
    let first = |is_public: bool| all.iter().position(|ip| ip.is("public") == is_public);
    let (public, private) = (first(true), first(false));
    let extra = all.iter().enumerate().filter(|(at, _)| Some(*at) != public && Some(*at) != private);
    let extra: Vec<_> = extra.map(|(_, ip)| ip.text("address")).collect();
    let of = |at: Option<usize>| at.map(|at| all[at]);
    let own_ipv6 = machine.text("ipv6").split('/').next().unwrap_or_default();
    let ipv6 = known.get(own_ipv6).copied();
    let routed = ranges.iter().filter(|range| !own_ipv6.is_empty() && range.text("route_target") == own_ipv6);
    let routed = routed.map(|range| format!("{}/{}", range.text("range"), range.number("prefix")));
    let routed: Vec<_> = routed.collect();
    let (specs, separator, mut meta) =
        (machine.get("specs"), &config.tag_separator, Meta::new("__meta_linode_"));
    for (name, ip) in [("private_ipv4", of(private)), ("public_ipv4", of(public)), ("public_ipv6", ipv6)] {
        let Some(ip) = ip else { continue };
        let reverse = ip.text("rdns");
        meta.set(name, ip.text("address"));
        meta.set(&format!("{name}_rdns"), if reverse == "null" { "" } else { reverse });
    }
    let bytes = |key: &str| specs.number(key).saturating_mul(1 << 20).to_string();
    meta.set("instance_id", machine.written("id"))
        .set("instance_label", machine.text("label"))
        .set("image", machine.text("image"))
        .set("region", machine.text("region"))
        .set("type", machine.text("type"))
        .set("status", machine.text("status"))
        .set("group", machine.text("group"))
        .set("gpus", specs.number("gpus").to_string())
        .set("hypervisor", machine.text("hypervisor"))
        .set("backups", if machine.get("backups").is("enabled") { "enabled" } else { "disabled" })
        .set("specs_disk_bytes", bytes("disk"))
        .set("specs_memory_bytes", bytes("memory"))
        .set("specs_vcpus", specs.number("vcpus").to_string())
        .set("specs_transfer_bytes", bytes("transfer"))
        .set("tags", enclosed(machine.texts("tags"), separator))
        .set("extra_ips", enclosed(extra, separator))
        .set("ipv6_ranges", enclosed(routed.iter().map(String::as_str), separator));
    let host = of(public).map_or("", |ip| ip.text("address"));
    Some(meta.address(host_port(host, config.port)).build())
}
