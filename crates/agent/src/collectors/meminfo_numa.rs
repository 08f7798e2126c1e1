//! `meminfo_numa`: the memory of each NUMA node, from `/sys/devices/system/node`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, names_in},
};
use skopos_model::MetricType;
use std::collections::BTreeMap;

const FOLDER: &str = "devices/system/node";
const KILOBYTE: f64 = 1024.0;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct MemInfoNuma {
    file: File,
}

/// By family: its type, and the values by node.
type Families = BTreeMap<String, (MetricType, Vec<(u64, f64)>)>;

impl Collector for MemInfoNuma {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let number = |name: String| scan::number(name.strip_prefix("node")?.as_bytes());
        let folders = names_in(context.paths, Root::Sys, FOLDER)?;
        let mut nodes: Vec<u64> = folders.into_iter().filter_map(number).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let mut families = Families::new();
        for node in nodes {
            self.file.read(context.paths, Root::Sys, format_args!("{FOLDER}/node{node}/meminfo"))?;
            self.add(&mut families, node, MetricType::Gauge, parse_memory)?;
            self.file.read(context.paths, Root::Sys, format_args!("{FOLDER}/node{node}/numastat"))?;
            self.add(&mut families, node, MetricType::Counter, parse_counter)?;
        }
        for (name, (kind, values)) in &families {
            let help = "A field of the memory of each NUMA node.";
            let mut family = context.out.family(name, *kind, help);
            for (node, value) in values {
                family.sample(&[("node", &node.to_string())], *value);
            }
        }
        Ok(())
    }
}

impl MemInfoNuma {
    fn add(
        &self,
        families: &mut Families,
        node: u64,
        kind: MetricType,
        parse: fn(&[u8]) -> Option<(String, f64)>,
    ) -> Result<(), CollectError> {
        for line in self.file.lines()?.filter(|line| !line.trim_ascii().is_empty()) {
            let bad = || self.file.bad_line(line, "a field of its own and a number are expected");
            let (name, value) = parse(line).ok_or_else(bad)?;
            let (known, values) = families.entry(name).or_insert((kind, Vec::new()));
            if *known != kind || values.last().is_some_and(|(last, _)| *last == node) {
                return Err(bad());
            }
            values.push((node, value));
        }
        Ok(())
    }
}

/// A line such as `Node 0 Active(anon):   1596 kB`.
fn parse_memory(line: &[u8]) -> Option<(String, f64)> {
    let (key, rest) = scan::split_at(line, b':')?;
    let mut key = scan::fields(key.strip_prefix(b"Node")?);
    key.number()?;
    let key = scan::text(key.next()?).replace(')', "").replace('(', "_");
    let mut fields = scan::fields(rest);
    let value = fields.number()? as f64;
    let value = match (fields.next(), fields.next()) {
        (None, _) => value,
        (Some(b"kB"), None) => value * KILOBYTE,
        _ => return None,
    };
    scan::is_name(key.as_bytes()).then(|| (format!("node_memory_numa_{key}"), value))
}

/// A line such as `numa_hit 193460335812`.
fn parse_counter(line: &[u8]) -> Option<(String, f64)> {
    let mut fields = scan::fields(line);
    let key = fields.next().filter(|key| scan::is_name(key))?;
    Some((format!("node_memory_numa_{}_total", scan::text(key)), fields.number()? as f64))
}
