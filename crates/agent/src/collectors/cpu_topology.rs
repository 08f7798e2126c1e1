//! Part of `cpu`: how often cores and packages were throttled. Which CPU belongs to which core is
//! read again only when a CPU came or went.

use crate::{
    collector::Context,
    error::CollectError,
    source::{File, Root, exists, names_in},
};
use skopos_model::MetricType;
use std::fmt::Write as _;

const FOLDER: &str = "devices/system/cpu";

/// The machine's cores and their throttling.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    file: File,
    /// The list of online CPUs at which `cpus` was read; `None` where the kernel gives no list.
    online: Option<Vec<u8>>,
    /// The CPUs that count their throttling, sorted by package and core.
    cpus: Vec<CpuPlace>,
    cores: Vec<(CpuPlace, u64)>,
    packages: Vec<(u64, u64)>,
    labels: [String; 2],
}

/// Where a CPU sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CpuPlace {
    package: u64,
    core: u64,
    cpu: u64,
}

impl Topology {
    /// Writes the throttling counters, of machines that have them.
    pub(crate) fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let path = format_args!("{FOLDER}/online");
        let online = self.file.value(context.paths, Root::Sys, path).filter(|list| !list.is_empty());
        if online.is_none() || online != self.online.as_deref() {
            self.online = online.map(<[u8]>::to_vec);
            self.read_places(context)?;
        }
        self.read_counters(context);
        self.write(context);
        Ok(())
    }

    fn read_places(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        self.cpus.clear();
        for name in names_in(context.paths, Root::Sys, FOLDER)? {
            let Some(cpu) = name.strip_prefix("cpu").and_then(|cpu| crate::scan::number(cpu.as_bytes()))
            else {
                continue;
            };
            if !exists(context.paths, Root::Sys, &format!("{FOLDER}/{name}/thermal_throttle")) {
                continue;
            }
            let mut id = |what: &str| {
                self.file.number(context.paths, Root::Sys, format_args!("{FOLDER}/{name}/topology/{what}"))
            };
            // A CPU that is offline has no place.
            if let (Some(package), Some(core)) = (id("physical_package_id"), id("core_id")) {
                self.cpus.push(CpuPlace { package, core, cpu });
            }
        }
        self.cpus.sort_unstable();
        Ok(())
    }

    /// The threads of a core count together, as do the cores of a package: one that answers is enough.
    fn read_counters(&mut self, context: &Context<'_>) {
        self.cores.clear();
        self.packages.clear();
        for place in &self.cpus {
            let mut count = |what: &str| {
                let cpu = place.cpu;
                self.file.number(
                    context.paths,
                    Root::Sys,
                    format_args!("{FOLDER}/cpu{cpu}/thermal_throttle/{what}_throttle_count"),
                )
            };
            let same_core =
                |(last, _): &(CpuPlace, u64)| (last.package, last.core) == (place.package, place.core);
            if !self.cores.last().is_some_and(same_core) {
                self.cores.extend(count("core").map(|count| (*place, count)));
            }
            if self.packages.last().is_none_or(|(package, _)| *package != place.package) {
                self.packages.extend(count("package").map(|count| (place.package, count)));
            }
        }
    }

    fn write(&mut self, context: &mut Context<'_>) {
        let [package_label, core_label] = &mut self.labels;
        let help = "How often each core was throttled.";
        let mut family = context.out.family("node_cpu_core_throttles_total", MetricType::Counter, help);
        for (place, count) in &self.cores {
            write_label(package_label, place.package);
            write_label(core_label, place.core);
            family.sample(&[("core", core_label), ("package", package_label)], *count as f64);
        }
        let help = "How often each package was throttled.";
        let mut family = context.out.family("node_cpu_package_throttles_total", MetricType::Counter, help);
        for (package, count) in &self.packages {
            write_label(package_label, *package);
            family.sample(&[("package", package_label)], *count as f64);
        }
    }
}

fn write_label(label: &mut String, number: u64) {
    label.clear();
    write!(label, "{number}").expect("invariant: writing to a String cannot fail");
}
