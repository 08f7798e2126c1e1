//! `arp`: how many IPv4 neighbours each device knows, from netlink or `/proc/net/arp`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    netlink,
    options::ArpOptions,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;
use std::collections::BTreeMap;

/// The collector.
#[derive(Debug)]
pub(crate) struct Arp {
    options: ArpOptions,
    file: File,
    answer: Vec<u8>,
    /// How many entries each device has.
    counts: BTreeMap<String, u64>,
}

impl Arp {
    pub(crate) fn new(options: &ArpOptions) -> Self {
        let (file, answer) = (File::default(), Vec::new());
        Self { options: options.clone(), file, answer, counts: BTreeMap::new() }
    }

    fn ask(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        let error = |error| CollectError::System { call: "netlink", error };
        context.host.netlink(netlink::Request::Neighbours, &mut self.answer).map_err(error)?;
        let mut links: BTreeMap<u32, u64> = BTreeMap::new();
        for link in netlink::arp_neighbours(&self.answer) {
            *links.entry(link).or_default() += 1;
        }
        if links.is_empty() {
            return Ok(());
        }
        let indexes: Vec<u32> = links.keys().copied().collect();
        let names = context.host.link_names(&indexes).map_err(error)?;
        // A link that has gone meanwhile has no name.
        let named = names.into_iter().zip(links.into_values());
        self.counts.extend(named.filter_map(|(name, count)| Some((name?, count))));
        Ok(())
    }

    fn read(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("net/arp"))?;
        for line in self.file.lines()?.skip(1) {
            let device = scan::fields(line)
                .nth(5)
                .ok_or_else(|| self.file.bad_line(line, "six columns are expected"))?;
            *self.counts.entry(scan::text(device).into_owned()).or_default() += 1;
        }
        Ok(())
    }
}

impl Collector for Arp {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.counts.clear();
        if self.options.netlink {
            self.ask(context)?;
        } else {
            self.read(context)?;
        }
        let help = "IPv4 neighbours that each device knows.";
        let mut family = context.out.family("node_arp_entries", MetricType::Gauge, help);
        for (device, count) in &self.counts {
            if self.options.devices.admits(device.as_bytes()) {
                family.sample(&[("device", device)], *count as f64);
            }
        }
        Ok(())
    }
}
