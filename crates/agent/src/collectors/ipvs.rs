//! `ipvs`: the kernel's balancer of connections and the servers behind it, from `/proc/net/ip_vs_stats` and
//! `/proc/net/ip_vs`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The labels that there are, in the order of pages.
pub(crate) const LABELS: [&str; 6] =
    ["local_address", "local_mark", "local_port", "proto", "remote_address", "remote_port"];

const TOTALS: [(&str, &str); 5] = [
    ("node_ipvs_connections_total", "Connections balanced."),
    ("node_ipvs_incoming_packets_total", "Packets that came in."),
    ("node_ipvs_outgoing_packets_total", "Packets that went out."),
    ("node_ipvs_incoming_bytes_total", "Bytes that came in."),
    ("node_ipvs_outgoing_bytes_total", "Bytes that went out."),
];
const VALUES: [(&str, &str); 3] = [
    ("node_ipvs_backend_weight", "The weight of each server."),
    ("node_ipvs_backend_connections_active", "Connections to each server that are open."),
    ("node_ipvs_backend_connections_inactive", "Connections to each server that are not open any more."),
];

/// The collector.
#[derive(Debug)]
pub(crate) struct Ipvs {
    file: File,
    labels: Vec<&'static str>,
}

/// What is in front of the servers: an address and a port, or a mark.
#[derive(Clone, Debug, Default)]
struct Service {
    protocol: String,
    address: String,
    port: String,
    mark: String,
}

impl Ipvs {
    pub(crate) fn new(labels: &[&'static str]) -> Self {
        Self { file: File::default(), labels: labels.to_vec() }
    }

    fn totals(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("net/ip_vs_stats"))?;
        let line = self.file.lines()?.nth(2).unwrap_or_default();
        let mut fields = scan::fields(line);
        for (name, help) in TOTALS {
            let value = fields.next().and_then(scan::hexadecimal);
            let value =
                value.ok_or_else(|| self.file.bad_line(line, "five hexadecimal numbers are expected"))?;
            context.out.counter(name, help, value as f64);
        }
        Ok(())
    }

    fn servers(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("net/ip_vs"))?;
        // Servers that differ in a label that is not shown are summed.
        let mut sums: BTreeMap<Vec<String>, [u64; VALUES.len()]> = BTreeMap::new();
        let mut service = Service::default();
        // The first lines are the version and the heads of two tables.
        for line in self.file.lines()?.skip(3) {
            let bad = || self.file.bad_line(line, "a service or a server is expected");
            match scan::fields(line).next() {
                None => {}
                Some(b"->") => {
                    let (remote, values) = server(line).ok_or_else(bad)?;
                    let sum = sums.entry(service.labels(&remote, &self.labels)).or_default();
                    for (sum, value) in sum.iter_mut().zip(values) {
                        *sum = sum.saturating_add(value);
                    }
                }
                Some(_) => service = Service::parse(line).ok_or_else(bad)?,
            }
        }
        for (at, (name, help)) in VALUES.iter().enumerate() {
            let mut family = context.out.family(name, MetricType::Gauge, help);
            for (texts, sum) in &sums {
                let labels = self.labels.iter().copied().zip(texts.iter().map(String::as_str));
                family.sample(&labels.collect::<Vec<_>>(), sum[at] as f64);
            }
        }
        Ok(())
    }
}

impl Service {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = scan::fields(line);
        let protocol = fields.next()?;
        let what = fields.next()?;
        let mut service = Self { protocol: scan::text(protocol).into_owned(), ..Self::default() };
        if protocol == b"FWM" {
            service.mark = scan::text(what).into_owned();
            service.port = "0".into();
        } else {
            [service.address, service.port] = address_and_port(what)?;
        }
        Some(service)
    }

    fn labels(&self, [address, port]: &[String; 2], shown: &[&str]) -> Vec<String> {
        let text = |label: &&str| match *label {
            "local_address" => &self.address,
            "local_mark" => &self.mark,
            "local_port" => &self.port,
            "proto" => &self.protocol,
            "remote_address" => address,
            _ => port,
        };
        shown.iter().map(|label| text(label).clone()).collect()
    }
}

/// A line such as `  -> C0A85215:0CEA      Tunnel  100    248        1`: the server's address and port, and
/// its values in the order of `VALUES`.
fn server(line: &[u8]) -> Option<([String; 2], [u64; VALUES.len()])> {
    let mut fields = scan::fields(line);
    fields.next()?;
    let remote = address_and_port(fields.next()?)?;
    fields.next()?;
    Some((remote, [fields.number()?, fields.number()?, fields.number()?]))
}

/// Address and port of `C0A85215:0CEA`, or of `[2620:0000:…:0001]:0CEA`.
fn address_and_port(text: &[u8]) -> Option<[String; 2]> {
    let at = text.iter().rposition(|b| *b == b':')?;
    let (address, port) = (&text[..at], scan::hexadecimal(&text[at + 1..])?);
    let address: IpAddr = match address.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        Some(address) => std::str::from_utf8(address).ok()?.parse::<Ipv6Addr>().ok()?.into(),
        None if address.len() == 8 => Ipv4Addr::from(u32::try_from(scan::hexadecimal(address)?).ok()?).into(),
        None => return None,
    };
    Some([address.to_string(), u16::try_from(port).ok()?.to_string()])
}

impl Collector for Ipvs {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.totals(context).map_err(|error| match error.is_missing() {
            true => CollectError::NoData("the kernel balances no connections".into()),
            false => error,
        })?;
        self.servers(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_and_ports() {
        for (text, parsed) in [
            ("C0A80016:0CEA", Some(["192.168.0.22", "3306"])),
            ("[2620:0000:0000:0000:0000:0000:0000:0001]:0050", Some(["2620::1", "80"])),
            ("C0A80016", None),
            ("C0A8001:0CEA", None),
            ("C0A80016:10CEA", None),
            (":", None),
            ("[]:1", None),
        ] {
            let parsed = parsed.map(|parsed| parsed.map(str::to_owned));
            assert_eq!(address_and_port(text.as_bytes()), parsed, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            server(&line);
            Service::parse(&line);
        }
    }
}
