//! The threads of the machine's cores, and its caches, as cAdvisor shows them. Read as rarely as the rest of
//! the machine.

use crate::{
    collector::Context,
    scan,
    source::{self, File, Paths, Root},
};
use skopos_exposition::PreparedLabels;
use skopos_model::MetricType::Gauge;
use std::collections::{BTreeMap, BTreeSet};

/// All cores and caches.
#[derive(Debug, Default)]
pub(super) struct Topology {
    threads: Vec<Thread>,
    caches: BTreeSet<Cache>,
}

/// A thread of a core.
#[derive(Debug, PartialEq, Eq)]
struct Thread {
    node: String,
    core: u64,
    cpu: usize,
    /// How many threads its core has.
    siblings: usize,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cache {
    node: String,
    /// The core that has it for itself; empty if several have it.
    core: String,
    level: String,
    kind: String,
    bytes: u64,
    /// The CPUs that have it, which tells it from others.
    cpus: Vec<usize>,
}

impl Topology {
    /// Reads the topology of these CPUs.
    pub(super) fn read(paths: &Paths, file: &mut File, cpus: &[usize]) -> Self {
        let mut topology = Self::default();
        let nodes = nodes(paths, file);
        let mut cores: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
        let mut placed = Vec::new();
        for cpu in cpus {
            let mut number = |name| {
                let path = format_args!("devices/system/cpu/cpu{cpu}/topology/{name}");
                file.number(paths, Root::Sys, path)
            };
            if let (Some(socket), Some(core)) = (number("physical_package_id"), number("core_id")) {
                cores.entry((socket, core)).or_default().push(*cpu);
                placed.push((*cpu, socket, core));
            }
        }
        for (cpu, socket, core) in placed {
            let siblings = cores[&(socket, core)].len();
            let node = nodes.get(&cpu).cloned().unwrap_or_else(|| socket.to_string());
            for at in 0.. {
                let Some(mut cache) = cache(paths, file, cpu, at) else { break };
                let is_own = cache.cpus.len() <= siblings;
                cache.core = if is_own { core.to_string() } else { String::new() };
                cache.node.clone_from(&node);
                topology.caches.insert(cache);
            }
            topology.threads.push(Thread { node, core, cpu, siblings });
        }
        topology
    }

    pub(super) fn write(&self, machine: &PreparedLabels, context: &mut Context<'_>) {
        let help = "The size of each cache of the machine's CPUs; without a core if several have it.";
        let mut family = context.out.family("machine_cpu_cache_capacity_bytes", Gauge, help);
        let mut shown = BTreeSet::new();
        for Cache { node, core, level, kind, bytes, .. } in &self.caches {
            // A node with several caches of a kind shows one of them: no label tells them apart.
            if shown.insert((node, core, level, kind)) {
                let labels =
                    [("core_id", core.as_str()), ("level", level), ("node_id", node), ("type", kind)];
                family.sample_prepared(machine, &labels, *bytes as f64);
            }
        }
        let help = "How many threads the core has that a logical CPU is a thread of.";
        let mut family = context.out.family("machine_thread_siblings_count", Gauge, help);
        for Thread { node, core, cpu, siblings } in &self.threads {
            let (core, cpu) = (core.to_string(), cpu.to_string());
            let labels = [("core_id", core.as_str()), ("node_id", node), ("thread_id", &cpu)];
            family.sample_prepared(machine, &labels, *siblings as f64);
        }
    }
}

/// The node that each CPU belongs to.
fn nodes(paths: &Paths, file: &mut File) -> BTreeMap<usize, String> {
    let mut nodes = BTreeMap::new();
    for name in source::names_in(paths, Root::Sys, "devices/system/node").unwrap_or_default() {
        let Some(id) = name.strip_prefix("node").filter(|id| scan::number(id.as_bytes()).is_some()) else {
            continue;
        };
        let list = file.value(paths, Root::Sys, format_args!("devices/system/node/{name}/cpulist"));
        for cpu in list.and_then(scan::cpu_list).unwrap_or_default() {
            nodes.insert(cpu, id.to_owned());
        }
    }
    nodes
}

/// The cache of this number that a CPU has; its core and node are for the caller to say.
fn cache(paths: &Paths, file: &mut File, cpu: usize, at: usize) -> Option<Cache> {
    let mut value = |name| {
        let path = format_args!("devices/system/cpu/cpu{cpu}/cache/index{at}/{name}");
        file.value(paths, Root::Sys, path).map(|text| scan::text(text).into_owned())
    };
    let (level, kind, size) = (value("level")?, value("type")?, value("size")?);
    let cpus = scan::cpu_list(value("shared_cpu_list")?.as_bytes())?;
    let (node, core) = Default::default();
    Some(Cache { node, core, level, kind, bytes: bytes(&size)?, cpus })
}

/// The bytes in `48K`.
fn bytes(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(['K', 'M', 'G']);
    let unit = match &size[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    scan::number(digits.as_bytes())?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (size, found) in [
            ("48K", Some(49_152)),
            ("2M", Some(2 << 20)),
            ("7", Some(7)),
            ("KK", None),
            ("1KM", None),
            ("", None),
        ] {
            assert_eq!(bytes(size), found, "{size}");
        }
    }
}
