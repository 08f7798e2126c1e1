//! What the machine is: `machine_*`. Read every few minutes, since little of it ever changes.

use super::topology::Topology;
use crate::{
    collector::Context,
    scan,
    source::{self, File, Paths, Root},
};
use skopos_exposition::PreparedLabels;
use skopos_model::MetricType;
use std::{collections::BTreeSet, time::Duration};

/// How old what is shown may be.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The machine, as it was last read.
#[derive(Debug, Default)]
pub(super) struct Machine {
    read_at: Option<Duration>,
    labels: PreparedLabels,
    cores: usize,
    physical_cores: usize,
    sockets: usize,
    memory_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    nodes: Vec<Node>,
    /// `None` unless somebody wants to see it.
    topology: Option<Topology>,
}

/// A node of a machine of many memories.
#[derive(Debug)]
struct Node {
    id: String,
    memory_bytes: Option<u64>,
    /// The sizes of large pages in KiB, and how many there are.
    huge_pages: Vec<(String, u64)>,
}

impl Machine {
    pub(super) fn new(shows_topology: bool) -> Self {
        Self { topology: shows_topology.then(Topology::default), ..Self::default() }
    }

    pub(super) const fn memory_bytes(&self) -> Option<u64> {
        self.memory_bytes
    }

    pub(super) const fn swap_bytes(&self) -> Option<u64> {
        self.swap_bytes
    }

    /// Reads the machine, if what is known is too old.
    pub(super) fn refresh(&mut self, paths: &Paths, file: &mut File, now: Duration) {
        if self.read_at.is_some_and(|at| now.saturating_sub(at) < MAX_AGE) {
            return;
        }
        self.read_at = Some(now);
        let mut id = |root, name: &str| {
            let found = file.value(paths, root, format_args!("{name}"));
            found.map_or_else(String::new, |text| scan::text(text).into_owned())
        };
        let machine_id = id(Root::Rootfs, "etc/machine-id");
        let mut system_uuid = id(Root::Sys, "class/dmi/id/product_uuid");
        if system_uuid.is_empty() {
            system_uuid.clone_from(&machine_id);
        }
        let boot_id = id(Root::Proc, "sys/kernel/random/boot_id");
        self.labels = PreparedLabels::new([
            ("boot_id", boot_id.as_str()),
            ("machine_id", &machine_id),
            ("system_uuid", &system_uuid),
        ]);
        self.read_cpus(paths, file);
        let content = file.content(paths, Root::Proc, format_args!("meminfo")).unwrap_or_default();
        (self.memory_bytes, self.swap_bytes) = (kib(content, "MemTotal:"), kib(content, "SwapTotal:"));
        self.read_nodes(paths, file);
    }

    fn read_cpus(&mut self, paths: &Paths, file: &mut File) {
        let online = file.value(paths, Root::Sys, format_args!("devices/system/cpu/online"));
        let cpus = online.and_then(scan::cpu_list).unwrap_or_default();
        let (mut cores, mut sockets) = (BTreeSet::new(), BTreeSet::new());
        for cpu in &cpus {
            let mut topology = |name| {
                let path = format_args!("devices/system/cpu/cpu{cpu}/topology/{name}");
                file.number(paths, Root::Sys, path)
            };
            if let (Some(socket), Some(core)) = (topology("physical_package_id"), topology("core_id")) {
                cores.insert((socket, core));
                sockets.insert(socket);
            }
        }
        self.cores = cpus.len();
        if cpus.is_empty() {
            let info = file.content(paths, Root::Proc, format_args!("cpuinfo")).unwrap_or_default();
            self.cores = scan::lines(info).filter(|line| line.starts_with(b"processor")).count();
        }
        (self.physical_cores, self.sockets) = (cores.len(), sockets.len());
        if let Some(topology) = &mut self.topology {
            *topology = Topology::read(paths, file, &cpus);
        }
    }

    fn read_nodes(&mut self, paths: &Paths, file: &mut File) {
        self.nodes.clear();
        let names = source::names_in(paths, Root::Sys, "devices/system/node").unwrap_or_default();
        for name in names {
            let Some(id) = name.strip_prefix("node").filter(|id| scan::number(id.as_bytes()).is_some())
            else {
                continue;
            };
            let folder = format!("devices/system/node/{name}");
            let content =
                file.content(paths, Root::Sys, format_args!("{folder}/meminfo")).unwrap_or_default();
            let memory_bytes = kib(content, "MemTotal:");
            let sizes =
                source::names_in(paths, Root::Sys, &format!("{folder}/hugepages")).unwrap_or_default();
            let huge_pages = sizes.iter().filter_map(|size| {
                let kib = size.strip_prefix("hugepages-")?.strip_suffix("kB")?;
                let path = format_args!("{folder}/hugepages/{size}/nr_hugepages");
                Some((kib.to_owned(), file.number(paths, Root::Sys, path)?))
            });
            let huge_pages = huge_pages.collect();
            self.nodes.push(Node { id: id.to_owned(), memory_bytes, huge_pages });
        }
    }

    pub(super) fn write(&self, context: &mut Context<'_>) {
        let number = |count: usize| (count > 0).then_some(count as f64);
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        for (name, help, value) in [
            ("machine_cpu_cores", "How many logical CPUs the machine has.", number(self.cores)),
            ("machine_cpu_physical_cores", "How many cores the machine has.", number(self.physical_cores)),
            ("machine_cpu_sockets", "How many sockets of CPUs the machine has.", number(self.sockets)),
            ("machine_memory_bytes", "The memory of the machine.", bytes(self.memory_bytes)),
            ("machine_swap_bytes", "The swap space of the machine.", bytes(self.swap_bytes)),
        ] {
            if let Some(value) = value {
                let mut family = context.out.family(name, MetricType::Gauge, help);
                family.sample_prepared(&self.labels, &[], value);
            }
        }
        let help = "The memory of each node of the machine.";
        let mut family = context.out.family("machine_node_memory_capacity_bytes", MetricType::Gauge, help);
        for node in &self.nodes {
            if let Some(bytes) = node.memory_bytes {
                family.sample_prepared(&self.labels, &[("node_id", &node.id)], bytes as f64);
            }
        }
        let help = "The large pages of each node of the machine, by their size in KiB.";
        let mut family = context.out.family("machine_node_hugepages_count", MetricType::Gauge, help);
        for node in &self.nodes {
            for (size, count) in &node.huge_pages {
                let labels = [("node_id", node.id.as_str()), ("page_size", size)];
                family.sample_prepared(&self.labels, &labels, *count as f64);
            }
        }
        if let Some(topology) = &self.topology {
            topology.write(&self.labels, context);
        }
        let help = "Whether the machine could not be read: 1 if so.";
        let failed = f64::from(u8::from(self.cores == 0 || self.memory_bytes.is_none()));
        context.out.gauge("machine_scrape_error", help, failed);
    }
}

/// The bytes in a line such as `MemTotal:  16384 kB` or `Node 0 MemTotal:  16384 kB`.
fn kib(content: &[u8], key: &str) -> Option<u64> {
    scan::lines(content).find_map(|line| {
        let mut fields = scan::fields(line);
        fields.find(|field| *field == key.as_bytes())?;
        fields.number()?.checked_mul(1024)
    })
}
