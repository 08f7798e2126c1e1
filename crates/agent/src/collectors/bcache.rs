//! `bcache`: block devices that are caches of others, from `/sys/fs/bcache`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, names_in},
    table::{self, Column, Table},
};

const FOLDER: &str = "fs/bcache";
const NANOSECONDS: f64 = 1e9;

const SETS: &[Column] = &[
    table::gauge("node_bcache_active_journal_entries", "Entries of the journal that are not in the tree."),
    table::gauge("node_bcache_average_key_size_sectors", "Sectors of data for each key of the tree."),
    table::gauge("node_bcache_btree_cache_size_bytes", "Memory that the tree takes."),
    table::gauge("node_bcache_btree_nodes", "Nodes of the tree."),
    table::gauge("node_bcache_btree_read_average_duration_seconds", "How long reading a node takes."),
    table::gauge("node_bcache_cache_available_percent", "How much of the cache could be written over."),
    table::counter("node_bcache_cache_read_races_total", "Reads that were overtaken by a write."),
    table::gauge("node_bcache_congested", "Whether the cache is too slow to be of use."),
    table::gauge("node_bcache_root_usage_percent", "How full the tree's root is."),
    table::gauge("node_bcache_tree_depth", "How deep the tree is."),
];
const SET_FILES: [&str; 10] = [
    "internal/active_journal_entries",
    "average_key_size",
    "btree_cache_size",
    "internal/btree_nodes",
    "internal/btree_read_average_duration_us",
    "cache_available_percent",
    "internal/cache_read_races",
    "congested",
    "root_usage_percent",
    "tree_depth",
];
const DURATION: usize = 4;

const BACKING: &[Column] = &[
    table::counter("node_bcache_bypassed_bytes_total", "Bytes that went past the cache."),
    table::counter(
        "node_bcache_cache_bypass_hits_total",
        "Requests to go past the cache that it could answer.",
    ),
    table::counter("node_bcache_cache_bypass_misses_total", "Requests to go past the cache that did."),
    table::counter("node_bcache_cache_hits_total", "Requests that the cache answered."),
    table::counter(
        "node_bcache_cache_miss_collisions_total",
        "Times that data came into the cache meanwhile.",
    ),
    table::counter("node_bcache_cache_misses_total", "Requests that the cache could not answer."),
    table::counter("node_bcache_cache_readaheads_total", "Times that the cache read ahead."),
    table::gauge("node_bcache_dirty_data_bytes", "Bytes that are in the cache only."),
    table::gauge("node_bcache_dirty_target_bytes", "Bytes that shall be in the cache only."),
    table::gauge("node_bcache_writeback_change", "The last change of the rate of writing back."),
    table::gauge("node_bcache_writeback_rate", "Bytes written back a second."),
    table::gauge("node_bcache_writeback_rate_integral_term", "The integral part of that rate."),
    table::gauge("node_bcache_writeback_rate_proportional_term", "The proportional part of that rate."),
];
const BACKING_FILES: [&str; 8] = [
    "stats_total/bypassed",
    "stats_total/cache_bypass_hits",
    "stats_total/cache_bypass_misses",
    "stats_total/cache_hits",
    "stats_total/cache_miss_collisions",
    "stats_total/cache_misses",
    "stats_total/cache_readaheads",
    "dirty_data",
];
const READAHEADS: usize = 6;
/// The lines of `writeback_rate_debug`, whose columns stand behind those of the files.
const RATE_LINES: [&str; 5] = ["target", "change", "rate", "integral", "proportional"];

const CACHES: &[Column] = &[
    table::gauge("node_bcache_io_errors", "Errors of the cache, of which old ones are forgotten."),
    table::counter("node_bcache_metadata_written_bytes_total", "Bytes written that are no data."),
    table::counter("node_bcache_written_bytes_total", "Bytes written to the cache."),
    table::gauge("node_bcache_priority_stats_metadata_percent", "How much of the cache is no data."),
    table::gauge("node_bcache_priority_stats_unused_percent", "How much of the cache is empty."),
];
const CACHE_FILES: [&str; 3] = ["io_errors", "metadata_written", "written"];
const PRIORITY_LINES: [&str; 2] = ["Metadata:", "Unused:"];

/// The collector.
#[derive(Debug)]
pub(crate) struct Bcache {
    priority_stats: PriorityStats,
    file: File,
    sets: Table,
    backing: Table,
    caches: Table,
}

/// Whether what is expensive to find out is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PriorityStats(pub(crate) bool);

impl Bcache {
    pub(crate) fn new(priority_stats: PriorityStats) -> Self {
        Self {
            priority_stats,
            file: File::default(),
            sets: Table::new(&["uuid"], SETS),
            backing: Table::new(&["backing_device", "uuid"], BACKING),
            caches: Table::new(&["cache_device", "uuid"], CACHES),
        }
    }

    fn value(&mut self, context: &Context<'_>, name: &str) -> Option<f64> {
        self.file.value(context.paths, Root::Sys, format_args!("{FOLDER}/{name}")).and_then(amount)
    }

    fn set(&mut self, set: &str, context: &Context<'_>) -> Result<(), CollectError> {
        let mut values = SET_FILES.map(|file| self.value(context, &format!("{set}/{file}")));
        values[DURATION] = values[DURATION].map(|duration| duration / NANOSECONDS);
        self.sets.row(&[set]).copy_from_slice(&values);
        for entry in names_in(context.paths, Root::Sys, &format!("{FOLDER}/{set}"))? {
            let is_numbered = |start: &str| {
                entry.strip_prefix(start).is_some_and(|number| scan::number(number.as_bytes()).is_some())
            };
            if is_numbered("bdev") {
                self.backing_device(set, &entry, context);
            } else if is_numbered("cache") {
                self.cache(set, &entry, context);
            }
        }
        Ok(())
    }

    fn backing_device(&mut self, set: &str, device: &str, context: &Context<'_>) {
        let mut values = [None; BACKING.len()];
        let (files, lines) = values.split_at_mut(BACKING_FILES.len());
        for (value, file) in files.iter_mut().zip(BACKING_FILES) {
            *value = self.value(context, &format!("{set}/{device}/{file}"));
        }
        // Newer kernels count no reading ahead any more.
        files[READAHEADS] = files[READAHEADS].filter(|count| *count != 0.0);
        let name = format_args!("{FOLDER}/{set}/{device}/writeback_rate_debug");
        let text = self.file.value(context.paths, Root::Sys, name).unwrap_or_default();
        for (value, key) in lines.iter_mut().zip(RATE_LINES) {
            let mut pairs = scan::lines(text).filter_map(|line| scan::split_at(line, b':'));
            let found = pairs.find(|(name, _)| *name == key.as_bytes()).map(|(_, amount)| amount);
            *value = found.and_then(|text| amount(text.strip_suffix(b"/sec").unwrap_or(text)));
        }
        self.backing.row(&[device, set]).copy_from_slice(&values);
    }

    fn cache(&mut self, set: &str, device: &str, context: &Context<'_>) {
        let mut values = [None; CACHES.len()];
        let (files, lines) = values.split_at_mut(CACHE_FILES.len());
        for (value, file) in files.iter_mut().zip(CACHE_FILES) {
            *value = self.value(context, &format!("{set}/{device}/{file}"));
        }
        if self.priority_stats == PriorityStats(true) {
            let name = format_args!("{FOLDER}/{set}/{device}/priority_stats");
            let text = self.file.value(context.paths, Root::Sys, name).unwrap_or_default();
            for (value, key) in lines.iter_mut().zip(PRIORITY_LINES) {
                let mut lines = scan::lines(text).map(scan::fields);
                let found = lines.find_map(|mut line| {
                    (line.next()? == key.as_bytes()).then(|| line.next())??.strip_suffix(b"%")
                });
                *value = found.and_then(scan::number).map(|percent| percent as f64);
            }
        }
        self.caches.row(&[device, set]).copy_from_slice(&values);
    }
}

/// A number as the kernel's bcache writes it for people: `-1.1k` are 1 and 1/10.24 times 1024, below zero.
/// What stands behind the point is a part of 1024, divided by 100, so it does not sort as digits do.
fn amount(text: &[u8]) -> Option<f64> {
    const PART: f64 = 10.24;
    if let Some(text) = text.strip_prefix(b"-") {
        return amount(text).map(|value| -value);
    }
    let power = match text.last()? {
        b'k' => 1,
        b'M' => 2,
        b'G' => 3,
        b'T' => 4,
        b'P' => 5,
        b'E' => 6,
        b'Z' => 7,
        b'Y' => 8,
        _ => return scan::decimal(text),
    };
    let digits = &text[..text.len() - 1];
    let value = match scan::split_at(digits, b'.') {
        Some((whole, part)) => scan::number(whole)? as f64 + scan::number(part)? as f64 / PART,
        None => scan::number(digits)? as f64,
    };
    Some((value * 1024_f64.powi(power)).trunc())
}

impl Collector for Bcache {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        [&mut self.sets, &mut self.backing, &mut self.caches].into_iter().for_each(Table::clear);
        for set in names_in(context.paths, Root::Sys, FOLDER)? {
            // Beside the sets, which are called as their UUIDs, stands how to add one.
            if set.contains('-') {
                self.set(&set, context)?;
            }
        }
        for table in [&mut self.sets, &mut self.backing, &mut self.caches] {
            table.write(&mut context.out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_as_the_kernel_writes_them() {
        for (text, value) in [
            ("542k", Some(555_008.0)),
            ("322M", Some(337_641_472.0)),
            ("1.1k", Some(1124.0)),
            ("1.9k", Some(1924.0)),
            ("1.10k", Some(2024.0)),
            ("-1.1k", Some(-1124.0)),
            ("512", Some(512.0)),
            ("0.5", Some(0.5)),
            ("k", None),
            ("", None),
            ("-", None),
            ("12x", None),
        ] {
            assert_eq!(amount(text.as_bytes()), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_amount_or_not(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            amount(&text);
        }
    }
}
