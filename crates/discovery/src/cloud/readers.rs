//! What reads the answers of each kind, in one place for checks with arbitrary bytes.

use super::{
    LinodeConfig, PuppetDbConfig, TritonConfig, TritonRole, comma, digitalocean, eureka, hetzner, ionos,
    kuma, linode, marathon, nomad, ovhcloud, puppetdb, scaleway, stackit, triton, vultr,
};
use crate::{
    aws::{ecs, lightsail, msk},
    defaults::a_minute,
    gce::{self, GceConfig},
    json::Json,
    openstack::targets as openstack,
};
use serde_json::Value;
use skopos_model::Labels;

/// An answer, read as one of every kind.
pub(crate) fn all(value: &Value) -> Vec<Labels> {
    let (pages, json) = (std::slice::from_ref(value), Json::new(value));
    let linode = LinodeConfig {
        refresh_interval: a_minute(),
        port: 80,
        tag_separator: comma(),
        region: String::new(),
    };
    let puppetdb = PuppetDbConfig {
        url: String::new(),
        query: String::new(),
        include_parameters: true,
        port: 80,
        refresh_interval: a_minute(),
    };
    let triton = |role| TritonConfig { role, ..TritonConfig::default() };
    let gce = GceConfig {
        project: "p".to_owned(),
        zone: String::new(),
        filter: String::new(),
        refresh_interval: a_minute(),
        port: 80,
        tag_separator: comma(),
    };
    let mut found = digitalocean::targets(pages, 80);
    found.extend(gce::targets_of(json, &gce));
    found.extend(lightsail::targets_of(json, "r", 80));
    found.extend(msk::targets_of(json, json, 80));
    let [cluster, services, tasks] = [value.clone(), value["services"].clone(), value["tasks"].clone()];
    let list = |of: Value| of.as_array().cloned().unwrap_or_default();
    let (services, tasks) = (list(services), list(tasks));
    found.extend(ecs::Parts { cluster, services, tasks, ..ecs::Parts::default() }.targets("r", 80));
    found.extend(openstack::hypervisors(pages, 80));
    found.extend(openstack::instances(pages, pages, pages, 80));
    found.extend(openstack::balancers(pages, pages, pages));
    found.extend(ovhcloud::of_answer(json));
    found.extend(stackit::servers(json, "p", 80));
    found.extend(stackit::databases(json, "p", "r"));
    found.extend(hetzner::cloud_targets(pages, pages, 80));
    found.extend(hetzner::robot_targets(json, 80));
    found.extend(ionos::targets(json, 80));
    found.extend(linode::targets(pages, pages, pages, &linode));
    found.extend(json.items().map(|one| nomad::target(one, ",")));
    found.extend(json.items().map(|one| puppetdb::target(one, &puppetdb)));
    found.extend(scaleway::instance_targets(json, 80));
    found.extend(scaleway::bare_targets(pages, pages, pages, 80));
    found.extend(triton::targets(json, &triton(TritonRole::Container)));
    found.extend(triton::targets(json, &triton(TritonRole::Cn)));
    found.extend(vultr::targets(pages, 80));
    for group in [eureka::groups(json), kuma::groups(json), marathon::groups(json)].concat() {
        found.extend(group.all_labels());
    }
    found
}
