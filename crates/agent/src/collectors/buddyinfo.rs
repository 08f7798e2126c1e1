//! `buddyinfo`: free blocks of memory by size, from `/proc/buddyinfo`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct BuddyInfo {
    file: File,
}

impl Collector for BuddyInfo {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("buddyinfo"))?;
        let help = "Free blocks of each size, a power of two of pages.";
        let mut family = context.out.family("node_buddyinfo_blocks", MetricType::Gauge, help);
        let mut seen = Vec::new();
        for line in self.file.lines()? {
            let bad = || self.file.bad_line(line, "a zone and numbers are expected");
            let (node, zone, counts) = parse(line).ok_or_else(bad)?;
            let (node, zone) = (node.to_string(), scan::text(zone));
            for (order, count) in counts.enumerate() {
                let count = scan::number(count).ok_or_else(bad)?;
                let labels = [("node", node.as_str()), ("size", &order.to_string()), ("zone", &*zone)];
                family.sample(&labels, count as f64);
            }
            if seen.contains(&(node.clone(), zone.clone())) {
                return Err(self.file.bad_line(line, "the zone stands there twice"));
            }
            seen.push((node, zone));
        }
        Ok(())
    }
}

/// A line such as `Node 0, zone      DMA      1      0      1`.
fn parse(line: &[u8]) -> Option<(u64, &[u8], scan::Fields<'_>)> {
    let mut fields = scan::fields(line.strip_prefix(b"Node")?);
    let node = scan::number(fields.next()?.strip_suffix(b",")?)?;
    (fields.next()? == b"zone").then_some(())?;
    Some((node, fields.next()?, fields))
}
