//! Machines of EC2.

use super::api::{Api, Service};
use crate::{
    error::SourceError,
    limits::PAGES_MAX,
    meta::{Meta, enclosed, host_port},
    xml::{Xml, document},
};
use serde::{Deserialize, Serialize};
use skopos_model::{Labels, null_is_default};
use std::collections::BTreeMap;

/// The service.
pub(crate) const EC2: &str = "ec2";
const VERSION: (&str, &str) = ("Version", "2016-11-15");
/// Interfaces beyond this place keep no place in the list of first addresses.
const INTERFACES_MAX: usize = 1000;

/// Which machines: those for which one of the values holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ec2Filter {
    /// Of what.
    pub name: String,
    /// The values.
    #[serde(deserialize_with = "null_is_default")]
    pub values: Vec<String>,
}

pub(super) fn check(filters: &[Ec2Filter]) -> Result<(), String> {
    match filters.iter().find(|filter| filter.values.is_empty()) {
        Some(filter) => Err(format!("the filter {:?} has no values", filter.name)),
        None => Ok(()),
    }
}

/// All machines that the filters let through.
pub(super) async fn find(
    api: &mut Api,
    filters: &[Ec2Filter],
    region: &str,
    port: u16,
) -> Result<Vec<Labels>, SourceError> {
    // Whoever may not ask for zones finds machines without them.
    let zones = zones(api).await.unwrap_or_else(|error| {
        tracing::debug!(error = error.to_string(), "the zones of AWS are not known by their ids");
        BTreeMap::new()
    });
    let mut targets = Vec::new();
    for page in list(api, true, "DescribeInstances", &filter_pairs(filters)).await? {
        let document = document(&page, "EC2: DescribeInstances")?;
        targets.extend(targets_of(Xml::root(&document), &zones, region, port));
    }
    Ok(targets)
}

fn filter_pairs(filters: &[Ec2Filter]) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (nth, filter) in (1..).zip(filters) {
        pairs.push((format!("Filter.{nth}.Name"), filter.name.clone()));
        for (place, value) in (1..).zip(&filter.values) {
            pairs.push((format!("Filter.{nth}.Value.{place}"), value.clone()));
        }
    }
    pairs
}

/// The pages of a list. `is_of_role` says whether the configuration's `endpoint` is that of machines.
pub(super) async fn list(
    api: &mut Api,
    is_of_role: bool,
    action: &str,
    pairs: &[(String, String)],
) -> Result<Vec<String>, SourceError> {
    let (mut pages, mut next) = (Vec::new(), String::new());
    let service = Service { name: EC2, is_of_role };
    for _ in 0..PAGES_MAX {
        let mut asked = vec![("Action", action), VERSION];
        asked.extend(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        if !next.is_empty() {
            asked.push(("NextToken", &next));
        }
        let page = api.query(service, &asked).await?;
        let token = Xml::root(&document(&page, action)?).text("nextToken").to_owned();
        pages.push(page);
        if token.is_empty() {
            return Ok(pages);
        }
        next = token;
    }
    Err(api.endless(service, action).await)
}

/// The ids of zones by their names.
async fn zones(api: &mut Api) -> Result<BTreeMap<String, String>, SourceError> {
    let mut zones = BTreeMap::new();
    for page in list(api, true, "DescribeAvailabilityZones", &[]).await? {
        let document = document(&page, "EC2: DescribeAvailabilityZones")?;
        let items = Xml::root(&document).list("availabilityZoneInfo");
        zones.extend(items.map(|zone| (zone.text("zoneName").to_owned(), zone.text("zoneId").to_owned())));
    }
    Ok(zones)
}

/// The machines of a page; those without an address are none.
pub(crate) fn targets_of(
    page: Xml<'_>,
    zones: &BTreeMap<String, String>,
    region: &str,
    port: u16,
) -> Vec<Labels> {
    let mut targets = Vec::new();
    for reservation in page.list("reservationSet") {
        let machines = reservation.list("instancesSet");
        let machines = machines.filter(|machine| !machine.text("privateIpAddress").is_empty());
        targets.extend(
            machines.map(|machine| target(machine, reservation.text("ownerId"), zones, region, port)),
        );
    }
    targets
}

fn target(
    machine: Xml<'_>,
    owner: &str,
    zones: &BTreeMap<String, String>,
    region: &str,
    port: u16,
) -> Labels {
    let mut meta = Meta::new("__meta_ec2_");
    let (zone, ip) =
        (machine.at(&["placement", "availabilityZone"]).as_text(), machine.text("privateIpAddress"));
    for (label, element) in [
        ("ami", "imageId"),
        ("architecture", "architecture"),
        ("instance_id", "instanceId"),
        ("instance_lifecycle", "instanceLifecycle"),
        ("instance_type", "instanceType"),
        ("platform", "platform"),
        ("private_dns_name", "privateDnsName"),
        ("private_ip", "privateIpAddress"),
        ("vpc_id", "vpcId"),
    ] {
        meta.set(label, machine.text(element));
    }
    meta.set("availability_zone", zone)
        .set("availability_zone_id", zones.get(zone).map_or("", String::as_str))
        .set("instance_state", machine.at(&["instanceState", "name"]).as_text())
        .set("owner_id", owner)
        .set("region", region);
    if !machine.text("ipAddress").is_empty() {
        meta.set("public_ip", machine.text("ipAddress")).set("public_dns_name", machine.text("dnsName"));
    }
    if !machine.text("vpcId").is_empty() {
        meta.set("primary_subnet_id", machine.text("subnetId"));
        set_networks(&mut meta, machine);
    }
    let tags = machine.list("tagSet").map(|tag| (tag.text("key"), tag.text("value")));
    meta.set_all("tag_", tags).address(host_port(ip, port)).build()
}

/// Subnets, each once, and the addresses of IPv6 of all interfaces; of first ones, each at the place of its
/// interface.
fn set_networks(meta: &mut Meta, machine: Xml<'_>) {
    let (mut subnets, mut addresses, mut first) = (Vec::new(), Vec::new(), Vec::new());
    for interface in machine.list("networkInterfaceSet").filter(|one| !one.text("subnetId").is_empty()) {
        let subnet = interface.text("subnetId");
        if !subnets.contains(&subnet) {
            subnets.push(subnet);
        }
        let place = interface.at(&["attachment", "deviceIndex"]).as_text().parse::<usize>().unwrap_or(0);
        for address in interface.list("ipv6AddressesSet") {
            let text = address.text("ipv6Address");
            addresses.push(text);
            if address.text("isPrimaryIpv6") == "true" && place < INTERFACES_MAX {
                first.resize(first.len().max(place + 1), "");
                first[place] = text;
            }
        }
    }
    // Without any subnet two commas stand there, as in Prometheus.
    meta.set("subnet_id", format!(",{},", subnets.join(",")));
    meta.set("ipv6_addresses", enclosed(addresses, ","));
    if !first.is_empty() {
        meta.set("primary_ipv6_addresses", format!(",{},", first.join(",")));
    }
}
