//! What reads the answers of each kind, in one place for checks with arbitrary bytes.

use super::{
    LinodeConfig, PuppetDbConfig, TritonConfig, TritonRole, comma, digitalocean, eureka, hetzner, ionos,
    kuma, linode, nomad, puppetdb, scaleway, triton, vultr,
};
use crate::{defaults::a_minute, json::Json};
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
    let mut found = digitalocean::targets(pages, 80);
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
    for group in eureka::groups(json).into_iter().chain(kuma::groups(json)) {
        found.extend(group.all_labels());
    }
    found
}
