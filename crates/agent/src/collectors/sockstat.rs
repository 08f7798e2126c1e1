//! `sockstat`: sockets by protocol, from `/proc/net/sockstat` and `/proc/net/sockstat6`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};
use skopos_model::MetricType;

/// The keys of a protocol's line, and what they count.
const KEYS: [(&[u8], &str); 6] = [
    (b"inuse", "Sockets of the protocol that are in use."),
    (b"orphan", "Sockets of the protocol that no program holds any more."),
    (b"tw", "Connections of the protocol that ended a short while ago."),
    (b"alloc", "Sockets of the protocol that are allocated."),
    (b"mem", "Memory of the protocol's sockets, in pages."),
    (b"memory", "Memory of the protocol's fragments, in bytes."),
];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct SockStat {
    file: KeptFile,
    name: String,
}

impl Collector for SockStat {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        // Either can be missing where the kernel lacks IPv4 or IPv6.
        let mut found = false;
        for file in ["net/sockstat", "net/sockstat6"] {
            if self.file.read_if_exists(context.paths, Root::Proc, format_args!("{file}"))? {
                found = true;
                self.write(context)?;
            }
        }
        if found { Ok(()) } else { Err(CollectError::NoData("the kernel has no network".into())) }
    }
}

impl SockStat {
    fn write(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        for line in self.file.lines()? {
            let bad = || self.file.bad_line(line, "a protocol and pairs of a key and a number are expected");
            let (protocol, rest) = scan::split_at(line, b':').ok_or_else(bad)?;
            if !scan::is_name(protocol) {
                return Err(bad());
            }
            let mut fields = scan::fields(rest);
            while let Some(key) = fields.next() {
                let value = fields.next().and_then(scan::signed).ok_or_else(bad)?;
                if (protocol, key) == (b"sockets", b"used") {
                    context.out.gauge("node_sockstat_sockets_used", "Sockets that are in use.", value as f64);
                }
                let Some((key, help)) = KEYS.iter().find(|(known, _)| *known == key) else { continue };
                name_of(&mut self.name, protocol, key, "");
                context.out.family(&self.name, MetricType::Gauge, help).sample(&[], value as f64);
                if *key == b"mem" {
                    name_of(&mut self.name, protocol, key, "_bytes");
                    let bytes = value as f64 * context.host.page_bytes() as f64;
                    context.out.gauge(&self.name, "Memory of the protocol's sockets, in bytes.", bytes);
                }
            }
        }
        Ok(())
    }
}

fn name_of(name: &mut String, protocol: &[u8], key: &[u8], suffix: &str) {
    name.clear();
    name.push_str("node_sockstat_");
    name.push_str(&scan::text(protocol));
    name.push('_');
    name.push_str(&scan::text(key));
    name.push_str(suffix);
}
