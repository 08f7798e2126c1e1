//! `zoneinfo`: the kernel's zones of memory, from `/proc/zoneinfo`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType::{self, Counter, Gauge};
use std::fmt::Write as _;

/// A number of a zone: its key in the file, its metric, type and help.
type Column = (&'static [u8], &'static str, MetricType, &'static str);

const COLUMNS: [Column; 34] = [
    (b"nr_free_pages", "node_zoneinfo_nr_free_pages", Gauge, "Free pages of the zone."),
    (b"min", "node_zoneinfo_min_pages", Gauge, "Below this many free pages only the kernel gets more."),
    (b"low", "node_zoneinfo_low_pages", Gauge, "Below this many free pages reclaim begins."),
    (b"high", "node_zoneinfo_high_pages", Gauge, "At this many free pages reclaim ends."),
    (b"scanned", "node_zoneinfo_scanned_pages", Gauge, "Pages looked at since the last reclaim."),
    (b"spanned", "node_zoneinfo_spanned_pages", Gauge, "Pages that the zone spans, with its holes."),
    (b"present", "node_zoneinfo_present_pages", Gauge, "Pages that exist in the zone."),
    (b"managed", "node_zoneinfo_managed_pages", Gauge, "Pages that the buddy system manages."),
    (b"nr_active_anon", "node_zoneinfo_nr_active_anon_pages", Gauge, "Anonymous pages used lately."),
    (b"nr_inactive_anon", "node_zoneinfo_nr_inactive_anon_pages", Gauge, "Anonymous pages not used lately."),
    (
        b"nr_isolated_anon",
        "node_zoneinfo_nr_isolated_anon_pages",
        Gauge,
        "Anonymous pages taken out of their list for a moment.",
    ),
    (b"nr_anon_pages", "node_zoneinfo_nr_anon_pages", Gauge, "Anonymous pages that are mapped."),
    (
        b"nr_anon_transparent_hugepages",
        "node_zoneinfo_nr_anon_transparent_hugepages",
        Gauge,
        "Transparent huge pages of anonymous memory.",
    ),
    (b"nr_active_file", "node_zoneinfo_nr_active_file_pages", Gauge, "Pages of files used lately."),
    (b"nr_inactive_file", "node_zoneinfo_nr_inactive_file_pages", Gauge, "Pages of files not used lately."),
    (
        b"nr_isolated_file",
        "node_zoneinfo_nr_isolated_file_pages",
        Gauge,
        "Pages of files taken out of their list for a moment.",
    ),
    (b"nr_file_pages", "node_zoneinfo_nr_file_pages", Gauge, "Pages of files."),
    (
        b"nr_slab_reclaimable",
        "node_zoneinfo_nr_slab_reclaimable_pages",
        Gauge,
        "Pages of slabs that can be reclaimed.",
    ),
    (
        b"nr_slab_unreclaimable",
        "node_zoneinfo_nr_slab_unreclaimable_pages",
        Gauge,
        "Pages of slabs that cannot be reclaimed.",
    ),
    (b"nr_mlock_stack", "node_zoneinfo_nr_mlock_stack_pages", Gauge, "Locked pages that left their list."),
    (b"nr_kernel_stack", "node_zoneinfo_nr_kernel_stacks", Gauge, "The kernel's stacks, in KiB."),
    (b"nr_mapped", "node_zoneinfo_nr_mapped_pages", Gauge, "Pages of files that are mapped."),
    (b"nr_dirty", "node_zoneinfo_nr_dirty_pages", Gauge, "Pages that wait to be written."),
    (b"nr_writeback", "node_zoneinfo_nr_writeback_pages", Gauge, "Pages that are being written."),
    (b"nr_unevictable", "node_zoneinfo_nr_unevictable_pages", Gauge, "Pages that cannot be reclaimed."),
    (b"nr_shmem", "node_zoneinfo_nr_shmem_pages", Gauge, "Pages of shared memory and tmpfs."),
    (b"nr_dirtied", "node_zoneinfo_nr_dirtied_total", Counter, "Pages that became dirty."),
    (b"nr_written", "node_zoneinfo_nr_written_total", Counter, "Pages that were written."),
    (b"numa_hit", "node_zoneinfo_numa_hit_total", Counter, "Pages had from the node that was meant."),
    (
        b"numa_miss",
        "node_zoneinfo_numa_miss_total",
        Counter,
        "Pages had here that were meant for another node.",
    ),
    (
        b"numa_foreign",
        "node_zoneinfo_numa_foreign_total",
        Counter,
        "Pages meant for here that another node gave.",
    ),
    (b"numa_interleave", "node_zoneinfo_numa_interleave_total", Counter, "Pages had here by interleaving."),
    (b"numa_local", "node_zoneinfo_numa_local_total", Counter, "Pages had by processes of this node."),
    (b"numa_other", "node_zoneinfo_numa_other_total", Counter, "Pages had by processes of another node."),
];

/// A list of protections has one number for each of the kernel's few kinds of zones.
const MAX_PROTECTIONS: usize = 16;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct ZoneInfo {
    file: File,
    zones: Vec<Zone>,
    name: String,
}

#[derive(Debug)]
struct Zone {
    node: String,
    name: String,
    values: [Option<u64>; COLUMNS.len()],
    protection: Vec<u64>,
}

impl ZoneInfo {
    fn read(&mut self) -> Result<(), CollectError> {
        self.zones.clear();
        for line in self.file.lines()? {
            if line.starts_with(b"Node ") {
                let (node, name) = parse_head(line)
                    .ok_or_else(|| self.file.bad_line(line, "a node and a zone are expected"))?;
                if self.zones.iter().any(|zone| (&zone.node, &zone.name) == (&node, &name)) {
                    return Err(self.file.bad_line(line, "a zone stands twice: again"));
                }
                self.zones.push(Zone::new(node, name));
                continue;
            }
            let Some(zone) = self.zones.last_mut() else {
                return Err(self.file.bad_line(line, "a node and a zone are expected"));
            };
            zone.read_line(line).ok_or_else(|| self.file.bad_line(line, "a number is expected"))?;
        }
        Ok(())
    }
}

impl Zone {
    const fn new(node: String, name: String) -> Self {
        Self { node, name, values: [None; COLUMNS.len()], protection: Vec::new() }
    }

    /// Takes what is known of a line; `None` when a known key has no number.
    fn read_line(&mut self, line: &[u8]) -> Option<()> {
        let mut fields = scan::fields(line);
        let key = fields.next().unwrap_or_default();
        if key == b"protection:" {
            self.protection.clear();
            for field in fields.take(MAX_PROTECTIONS) {
                let digits = field.strip_prefix(b"(").unwrap_or(field);
                let digits =
                    digits.strip_suffix(b")").or_else(|| digits.strip_suffix(b",")).unwrap_or(digits);
                self.protection.push(scan::number(digits)?);
            }
        } else if let Some(at) = COLUMNS.iter().position(|(known, ..)| *known == key) {
            self.values[at] = Some(fields.number()?);
        }
        Some(())
    }

    fn labels(&self) -> [(&str, &str); 2] {
        [("node", &self.node), ("zone", &self.name)]
    }
}

impl Collector for ZoneInfo {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("zoneinfo"))?;
        self.read()?;
        for (at, (_, name, kind, help)) in COLUMNS.iter().enumerate() {
            let mut family = context.out.family(name, *kind, help);
            for zone in &self.zones {
                if let Some(value) = zone.values[at] {
                    family.sample(&zone.labels(), value as f64);
                }
            }
        }
        for at in 0..self.zones.iter().map(|zone| zone.protection.len()).max().unwrap_or(0) {
            self.name.clear();
            write!(self.name, "node_zoneinfo_protection_{at}")
                .expect("invariant: writing to a String cannot fail");
            let help = "Pages kept back from those who could do with a zone of this number.";
            let mut family = context.out.family(&self.name, Gauge, help);
            for zone in &self.zones {
                if let Some(value) = zone.protection.get(at) {
                    family.sample(&zone.labels(), *value as f64);
                }
            }
        }
        Ok(())
    }
}

/// A line such as `Node 0, zone   Normal`.
fn parse_head(line: &[u8]) -> Option<(String, String)> {
    let (node, zone) = scan::split_at(line.strip_prefix(b"Node ")?, b',')?;
    let zone = zone.strip_prefix(b"zone")?.trim_ascii();
    scan::number(node)?;
    scan::is_name(zone).then(|| (scan::text(node).into_owned(), scan::text(zone).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn heads_of_zones() {
        assert_eq!(parse_head(b"Node 1, zone   Normal"), Some(("1".into(), "Normal".into())));
        for line in ["Node 1", "Node , zone x", "Node 1, zone", "Node a, zone b", "Node 1, band x"] {
            assert_eq!(parse_head(line.as_bytes()), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            parse_head(&line);
            let mut zone = Zone::new(String::new(), String::new());
            let _ = zone.read_line(&line);
            let _ = zone.read_line(&[b"protection: ", &line[..]].concat());
        }
    }
}
