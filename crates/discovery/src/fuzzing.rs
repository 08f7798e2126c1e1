//! What reads answers and files, under arbitrary bytes: nothing panics, and every target has names for its
//! labels. For the crate `fuzz` alone.

use crate::{
    aws::{ec2, profile},
    cloud::{readers as cloud, uyuni},
    consul::service_group,
    google,
    json::Json,
    kubernetes::{Role, parse_kubeconfig, world::Known},
    moby::{DockerConfig, SwarmRole, docker::container_targets, swarm::Parts},
    target_file::{named, parse_json, parse_yaml},
    xml::{Xml, document},
    zookeeper::{self, wire},
};
use serde_json::Value;
use skopos_model::Labels;
use std::{collections::BTreeMap, path::Path};

fn check(all: impl IntoIterator<Item = Labels>) -> bool {
    let mut found = false;
    for labels in all {
        found = true;
        assert!(labels.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()), "{labels}");
    }
    found
}

/// Lists of targets, in JSON and in YAML.
pub fn lists(bytes: &[u8]) -> bool {
    let mut found = false;
    for groups in [parse_json(bytes, "f", ToString::to_string), parse_yaml(bytes, "f")].into_iter().flatten()
    {
        for group in named(groups, "f", "__meta_x") {
            found |= check(group.all_labels());
        }
    }
    found
}

/// Answers in JSON, each read as one of every kind.
pub fn answers(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return false };
    let json = Json::new(&value);
    let mut found = check(service_group(json, "s", "d", ",").all_labels());
    found |= check(container_targets(json, json, &DockerConfig::default()));
    let [nodes, services, tasks, networks] = [(); 4].map(|()| value.clone());
    let parts = Parts { nodes, services, tasks, networks };
    for role in [SwarmRole::Nodes, SwarmRole::Services, SwarmRole::Tasks] {
        found |= check(parts.targets(role, 80).into_iter().flatten());
    }
    let known = Known::of_answer(json);
    for role in Role::ALL {
        for key in known.keys(role) {
            found |= check(known.group(role, &key).all_labels());
        }
    }
    found | check(cloud::all(&value))
}

/// Answers in XML, each read as one of every kind.
pub fn xml(bytes: &[u8]) -> bool {
    let mut found = uyuni::parse_answer(bytes).is_ok_and(|value| {
        let answer = Json::new(&value);
        check(uyuni::targets([answer; 3], ","))
    });
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(document) = document(text, "f")
    {
        let zones = BTreeMap::from([("z".to_owned(), "i".to_owned())]);
        found |= check(ec2::targets_of(Xml::root(&document), &zones, "r", 80));
    }
    found
}

/// What ZooKeeper sends, and what its members are.
pub fn members(bytes: &[u8]) -> bool {
    let mut found = wire::read_welcome(bytes).is_some();
    found |= wire::read_children(bytes).is_some_and(|names| names.iter().all(|name| !name.contains('/')));
    if let Some(wire::Sent::Answer { body: Some(body), .. }) = wire::read_sent(bytes) {
        found |= wire::read_data(&body).is_some();
    }
    found | check([zookeeper::nerve("/p", bytes), zookeeper::serverset("/p", bytes)].into_iter().flatten())
}

/// Descriptions of accounts of cloud providers.
pub fn accounts(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let profiles = profile::read(text);
    assert!(profiles.values().all(|profile| !profile.is_empty()), "{profiles:?}");
    google::parse(text).is_ok() || !profiles.is_empty()
}

/// Files of `kubectl`.
pub fn kubeconfig(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| parse_kubeconfig(text, Path::new("/x/config")).is_ok())
}
