//! Machines of Lightsail.

use super::api::{Api, Service};
use crate::{
    error::SourceError,
    json::Json,
    limits::PAGES_MAX,
    meta::{Meta, enclosed, host_port},
};
use serde_json::json;
use skopos_model::Labels;

const LIGHTSAIL: Service = Service { name: "lightsail", is_of_role: true };

/// All machines.
pub(super) async fn find(api: &mut Api, region: &str, port: u16) -> Result<Vec<Labels>, SourceError> {
    let (mut targets, mut asked) = (Vec::new(), json!({}));
    for _ in 0..PAGES_MAX {
        let page = api.json(LIGHTSAIL, "Lightsail_20161128.GetInstances", &asked).await?;
        let page = Json::new(&page);
        targets.extend(targets_of(page, region, port));
        match page.text("nextPageToken") {
            "" => return Ok(targets),
            token => asked = json!({"pageToken": token}),
        }
    }
    Err(api.endless(LIGHTSAIL, "GetInstances").await)
}

/// The machines of a page; those without an address are none.
pub(crate) fn targets_of(page: Json<'_>, region: &str, port: u16) -> Vec<Labels> {
    let machines = page.list("instances").filter(|machine| !machine.text("privateIpAddress").is_empty());
    machines.map(|machine| target(machine, region, port)).collect()
}

fn target(machine: Json<'_>, region: &str, port: u16) -> Labels {
    let mut meta = Meta::new("__meta_lightsail_");
    let ip = machine.text("privateIpAddress");
    meta.set("availability_zone", machine.at(&["location", "availabilityZone"]).as_text())
        .set("blueprint_id", machine.text("blueprintId"))
        .set("bundle_id", machine.text("bundleId"))
        .set("instance_name", machine.text("name"))
        .set("instance_state", machine.at(&["state", "name"]).as_text())
        .set("instance_support_code", machine.text("supportCode"))
        .set("ipv6_addresses", enclosed(machine.texts("ipv6Addresses"), ","))
        .set("private_ip", ip)
        .set("public_ip", machine.text("publicIpAddress"))
        .set("region", region)
        .set_all("tag_", machine.list("tags").map(|tag| (tag.text("key"), tag.text("value"))));
    meta.address(host_port(ip, port)).build()
}
