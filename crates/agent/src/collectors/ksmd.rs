//! `ksmd`: how the kernel merges equal pages of memory, from `/sys/kernel/mm/ksm`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, exists},
};
use skopos_model::MetricType::{self, Counter, Gauge};

const FOLDER: &str = "kernel/mm/ksm";

/// A file, its family, its type, what its number is divided by, its help text.
type Column = (&'static str, &'static str, MetricType, f64, &'static str);

const COLUMNS: [Column; 9] = [
    ("full_scans", "node_ksmd_full_scans_total", Counter, 1.0, "How often all memory was scanned."),
    (
        "merge_across_nodes",
        "node_ksmd_merge_across_nodes",
        Gauge,
        1.0,
        "Whether pages of different NUMA nodes are merged.",
    ),
    ("pages_shared", "node_ksmd_pages_shared", Gauge, 1.0, "Pages that others are merged into."),
    ("pages_sharing", "node_ksmd_pages_sharing", Gauge, 1.0, "Pages that are saved by merging."),
    ("pages_to_scan", "node_ksmd_pages_to_scan", Gauge, 1.0, "Pages scanned before each pause."),
    ("pages_unshared", "node_ksmd_pages_unshared", Gauge, 1.0, "Pages that no other page is equal to."),
    ("pages_volatile", "node_ksmd_pages_volatile", Gauge, 1.0, "Pages that change too fast to be merged."),
    ("run", "node_ksmd_run", Gauge, 1.0, "What is done: 0 nothing, 1 merging, 2 undoing it."),
    ("sleep_millisecs", "node_ksmd_sleep_seconds", Gauge, 1000.0, "How long each pause is."),
];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Ksmd {
    file: File,
}

impl Collector for Ksmd {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, FOLDER) {
            return Err(CollectError::NoData("the kernel merges no pages".into()));
        }
        for (file, name, kind, divisor, help) in COLUMNS {
            self.file.read(context.paths, Root::Sys, format_args!("{FOLDER}/{file}"))?;
            let number = scan::number(self.file.data().trim_ascii());
            let number = number.ok_or_else(|| self.file.malformed("a number is expected"))?;
            context.out.family(name, kind, help).sample(&[], number as f64 / divisor);
        }
        Ok(())
    }
}
