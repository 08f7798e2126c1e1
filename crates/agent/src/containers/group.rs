//! One control group, from the scrape that saw it first to the one that does not see it any more: its
//! labels, and the buffers that its values are read into.

use super::{
    connections::Connections,
    hierarchy::Mask,
    identity::{Identity, Runtime, identify},
    layers::Layer,
    meta::Meta,
    numa::OnNode,
    schedule::Schedule,
    stats::{DeviceIo, Interfaces, Stats, Value},
    tcp_counters,
};
use crate::filter::Filter;
use skopos_exposition::PreparedLabels;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How far the search for a container's name has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// Nobody has looked yet, or there is nothing to look for.
    New,
    /// Nobody knew it then.
    Unknown(Duration),
    /// It is known.
    Known,
}

/// A control group.
#[derive(Debug)]
pub(super) struct Group {
    /// Its path; empty for the root.
    pub(super) path: String,
    pub(super) mask: Mask,
    pub(super) inode: u64,
    pub(super) identity: Option<Identity>,
    pub(super) naming: Naming,
    pub(super) meta: Option<Arc<Meta>>,
    pub(super) labels: PreparedLabels,
    pub(super) stats: Stats,
    pub(super) devices: Vec<DeviceIo>,
    pub(super) interfaces: Interfaces,
    pub(super) per_cpu: Vec<f64>,
    /// The first process, and the network namespace it was in.
    pub(super) first: Option<(u32, Option<u64>)>,
    /// When limits were read.
    pub(super) limits_at: Option<Duration>,
    /// The load, and when it was last counted.
    pub(super) load: Option<(f64, Duration)>,
    /// Where the container keeps what it writes, and how much that is.
    pub(super) layer: Option<Layer>,
    pub(super) layer_bytes: Option<u64>,
    /// The connections of the network namespace that it shows.
    pub(super) connections: Connections,
    /// What the kernel counts of TCP in it.
    pub(super) tcp_counters: Vec<tcp_counters::Counter>,
    pub(super) numa: Vec<OnNode>,
    pub(super) schedule: Schedule,
}

impl Group {
    pub(super) fn new(path: &str, mask: Mask, inode: u64, labels: &Filter) -> Self {
        let mut group = Self {
            path: path.to_owned(),
            mask,
            inode,
            identity: identify(path),
            naming: Naming::New,
            meta: None,
            labels: PreparedLabels::default(),
            stats: Stats::default(),
            devices: Vec::new(),
            interfaces: Interfaces::default(),
            per_cpu: Vec::new(),
            first: None,
            limits_at: None,
            load: None,
            layer: None,
            layer_bytes: None,
            connections: Connections::default(),
            tcp_counters: Vec::new(),
            numa: Vec::new(),
            schedule: Schedule::default(),
        };
        group.label(labels);
        group
    }

    /// What is known of the container has changed.
    pub(super) fn know(&mut self, meta: Arc<Meta>, labels: &Filter) {
        self.naming = Naming::Known;
        if self.meta.as_ref().is_none_or(|known| **known != *meta) {
            if let Some(created) = meta.created_s {
                self.stats.set(Value::CreationTime, created);
            }
            self.meta = Some(meta);
            self.label(labels);
        }
    }

    /// The labels of all samples. A container that nobody knows is called by its ID.
    fn label(&mut self, filter: &Filter) {
        let id = if self.path.is_empty() { "/" } else { &self.path };
        let unknown = Meta::default();
        let meta = self.meta.as_deref().unwrap_or(&unknown);
        let own_id = match &self.identity {
            Some(identity) if identity.runtime != Runtime::Pod => identity.id.as_str(),
            _ => "",
        };
        let name = if meta.name.is_empty() { own_id } else { &meta.name };
        let mut seen = BTreeSet::new();
        let user = meta.labels.iter().filter(|(name, _)| filter.admits(name.as_bytes()));
        let user: Vec<(String, &str)> = user
            .map(|(name, value)| (label_name(name), value.as_str()))
            .filter(|(name, _)| seen.insert(name.clone()))
            .collect();
        let all = [
            ("container", meta.container.as_str()),
            ("id", id),
            ("image", &meta.image),
            ("name", name),
            ("namespace", &meta.namespace),
            ("pod", &meta.pod),
        ];
        let own = all.into_iter().filter(|(_, value)| !value.is_empty());
        self.labels =
            PreparedLabels::new(own.chain(user.iter().map(|(name, value)| (name.as_str(), *value))));
    }
}

/// The name that a container's label gets: `com.example/tier` becomes `container_label_com_example_tier`.
fn label_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    std::iter::once("container_label_").flat_map(str::chars).chain(name.chars().map(plain)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(path: &str, meta: Option<Meta>) -> PreparedLabels {
        let filter = Filter::default();
        let mut group = Group::new(path, 1, 1, &filter);
        if let Some(meta) = meta {
            group.know(Arc::new(meta), &filter);
        }
        group.labels
    }

    #[test]
    fn what_a_group_is_called() {
        assert_eq!(labels("", None), PreparedLabels::new([("id", "/")]));
        let service = "/system.slice/ssh.service";
        assert_eq!(labels(service, None), PreparedLabels::new([("id", service)]));
        let id = "0123456789abcdef".repeat(4);
        let path = format!("/docker/{id}");
        assert_eq!(labels(&path, None), PreparedLabels::new([("id", path.as_str()), ("name", &id)]));
        let user = [("com.example/tier", "1"), ("com.example-tier", "2")];
        let user = user.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let meta =
            Meta { name: "db".into(), image: "postgres".into(), labels: user.into(), ..Meta::default() };
        let expected = [
            ("id", path.as_str()),
            ("image", "postgres"),
            ("name", "db"),
            ("container_label_com_example_tier", "2"),
        ];
        assert_eq!(labels(&path, Some(meta)), PreparedLabels::new(expected));
    }
}
