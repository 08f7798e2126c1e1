//! `zfs`: the caches of ZFS, its pools and its data sets, from `/proc/spl/kstat/zfs`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, exists, names_in},
};
use skopos_model::MetricType;
use std::collections::{BTreeMap, HashSet};

const FOLDER: &str = "spl/kstat/zfs";

/// The files of the module as a whole, and how their families begin.
const FILES: [(&str, &str); 11] = [
    ("abdstats", "node_zfs_abd_"),
    ("arcstats", "node_zfs_arc_"),
    ("dbufstats", "node_zfs_dbuf_"),
    ("dmu_tx", "node_zfs_dmu_tx_"),
    ("dnodestats", "node_zfs_dnode_"),
    ("fm", "node_zfs_fm_"),
    ("vdev_cache_stats", "node_zfs_vdev_cache_"),
    ("vdev_mirror_stats", "node_zfs_vdev_mirror_"),
    ("xuio_stats", "node_zfs_xuio_"),
    ("zfetchstats", "node_zfs_zfetch_"),
    ("zil", "node_zfs_zil_"),
];

const STATES: [&str; 7] = ["degraded", "faulted", "offline", "online", "removed", "suspended", "unavail"];

/// Types of values in the kernel's tables: whole numbers, with and without a sign.
const INT64: &[u8] = b"3";
const UINT64: &[u8] = b"4";

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Zfs {
    file: File,
    name: String,
    /// The pools and data sets of this scrape.
    seen: HashSet<(String, String)>,
}

/// Samples of pools and data sets by family: a pool, a data set or nothing, a value.
type Families = BTreeMap<String, Vec<(String, String, f64)>>;

impl Collector for Zfs {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Proc, FOLDER) {
            return Err(CollectError::NoData("the kernel has no ZFS".into()));
        }
        for (file, start) in FILES {
            // Each version of ZFS has others of them.
            if self.file.read_if_exists(context.paths, Root::Proc, format_args!("{FOLDER}/{file}"))? {
                self.write_table(start, context)?;
            }
        }
        self.write_pools(context)
    }
}

impl Zfs {
    fn write_table(&mut self, start: &str, context: &mut Context<'_>) -> Result<(), CollectError> {
        for line in table(&self.file)? {
            let Some((name, kind, text)) = entry(line) else { continue };
            if kind != UINT64 && kind != INT64 {
                continue;
            }
            let value = value(kind, text).ok_or_else(|| self.file.bad_line(line, "a number is expected"))?;
            name_of(&mut self.name, start, name)
                .ok_or_else(|| self.file.bad_line(line, "a name of letters and digits is expected"))?;
            let help = "A counter or a state of ZFS, as the kernel names it.";
            context.out.family(&self.name, MetricType::Unknown, help).sample(&[], value);
        }
        Ok(())
    }

    fn write_pools(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.seen.clear();
        let (mut of_pools, mut of_sets, mut states) = (Families::new(), Families::new(), Vec::new());
        for pool in names_in(context.paths, Root::Proc, FOLDER)? {
            let names = match names_in(context.paths, Root::Proc, &format!("{FOLDER}/{pool}")) {
                Ok(names) => names,
                // It is one of the files of the module.
                Err(_) => continue,
            };
            for name in names {
                let path = format_args!("{FOLDER}/{pool}/{name}");
                let is_set = name.starts_with("objset-");
                if !is_set && name != "io" && name != "state" {
                    continue;
                }
                // A pool can go while it is read.
                if !self.file.read_if_exists(context.paths, Root::Proc, path)? {
                    continue;
                }
                match name.as_str() {
                    "io" => self.read_io(&pool, &mut of_pools)?,
                    "state" => {
                        let state = self.file.lines()?.next().map(scan::text).unwrap_or_default();
                        states.push((pool.clone(), state.trim().to_lowercase()));
                    }
                    _ => self.read_set(&pool, &mut of_sets)?,
                }
            }
        }
        write_families(&of_pools, "A counter of the pool, as the kernel names it.", context);
        let help = "The state of the pool: 1 for the one that it is in.";
        let mut family = context.out.family("node_zfs_zpool_state", MetricType::Gauge, help);
        for (pool, state) in &states {
            for known in STATES {
                let is_it = f64::from(u8::from(state == known));
                family.sample(&[("state", known), ("zpool", pool)], is_it);
            }
        }
        write_families(&of_sets, "A counter of the data set, as the kernel names it.", context);
        Ok(())
    }

    /// A line about the table, a line of titles, a line of numbers.
    fn read_io(&mut self, pool: &str, families: &mut Families) -> Result<(), CollectError> {
        let mut lines = self.file.lines()?.skip_while(|line| !line.starts_with(b"nread "));
        let (titles, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let mut numbers = scan::fields(numbers);
        for title in scan::fields(titles) {
            let bad = || self.file.malformed("a number for each title is expected");
            let number = numbers.number().ok_or_else(bad)?;
            name_of(&mut self.name, "node_zfs_zpool_", title).ok_or_else(bad)?;
            add(families, &self.name, (pool.to_owned(), String::new(), number as f64));
        }
        Ok(())
    }

    /// The name of the data set stands before its numbers.
    fn read_set(&mut self, pool: &str, families: &mut Families) -> Result<(), CollectError> {
        let mut set = None;
        for line in table(&self.file)? {
            let Some((name, kind, text)) = entry(line) else { continue };
            if name == b"dataset_name" {
                let name = scan::text(text).into_owned();
                if !self.seen.insert((pool.to_owned(), name.clone())) {
                    return Ok(());
                }
                set = Some(name);
            } else if kind == UINT64 {
                let bad = |what| self.file.bad_line(line, what);
                let set = set.as_ref().ok_or_else(|| bad("the name of the data set is expected before"))?;
                let value = value(kind, text).ok_or_else(|| bad("a number is expected"))?;
                name_of(&mut self.name, "node_zfs_zpool_dataset_", name)
                    .ok_or_else(|| bad("a name of letters and digits is expected"))?;
                add(families, &self.name, (pool.to_owned(), set.clone(), value));
            }
        }
        Ok(())
    }
}

fn write_families(families: &Families, help: &str, context: &mut Context<'_>) {
    for (name, samples) in families {
        let mut family = context.out.family(name, MetricType::Unknown, help);
        for (pool, set, value) in samples {
            if set.is_empty() {
                family.sample(&[("zpool", pool)], *value);
            } else {
                family.sample(&[("dataset", set), ("zpool", pool)], *value);
            }
        }
    }
}

/// Adds a sample unless the file that is being read gave one before.
fn add(families: &mut Families, name: &str, sample: (String, String, f64)) {
    let samples = match families.get_mut(name) {
        Some(samples) => samples,
        None => families.entry(name.to_owned()).or_default(),
    };
    if samples.last().is_none_or(|(pool, set, _)| (pool, set) != (&sample.0, &sample.1)) {
        samples.push(sample);
    }
}

/// The lines of a table of the kernel behind its titles `name type data`.
fn table(file: &File) -> Result<impl Iterator<Item = &[u8]>, CollectError> {
    let mut lines = file.lines()?;
    let is_title = |line: &[u8]| scan::fields(line).eq([&b"name"[..], b"type", b"data"]);
    match lines.find(|line| is_title(line)) {
        Some(_) => Ok(lines),
        None => Err(file.malformed("the line with the titles name, type and data is missing")),
    }
}

/// The name, the type and the text of a line's value.
fn entry(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut fields = scan::fields(line);
    Some((fields.next()?, fields.next()?, fields.next()?))
}

fn value(kind: &[u8], text: &[u8]) -> Option<f64> {
    if kind == UINT64 {
        scan::number(text).map(|value| value as f64)
    } else {
        scan::signed(text).map(|value| value as f64)
    }
}

/// The family's name; `None` when the kernel's name cannot be a part of one.
fn name_of(out: &mut String, start: &str, name: &[u8]) -> Option<()> {
    out.clear();
    out.push_str(start);
    for byte in name {
        match byte {
            b'-' => out.push('_'),
            byte if byte.is_ascii_alphanumeric() || *byte == b'_' => out.push(char::from(*byte)),
            _ => return None,
        }
    }
    Some(())
}
