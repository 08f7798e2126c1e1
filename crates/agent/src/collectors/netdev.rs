//! `netdev`: what each network link counted, from netlink or `/proc/net/dev`, and its addresses when
//! asked for.

use super::netdev_columns::{CLASSIC, Column, Counters, DETAILED, DETAILED_PROC, NO_HANDLER, PROC_ORDER};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    netlink::{self, LINK_COUNTERS, Request},
    options::NetDevOptions,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;
use std::net::IpAddr;

/// The collector.
#[derive(Debug)]
pub(crate) struct NetDev {
    options: NetDevOptions,
    file: File,
    answer: Vec<u8>,
    devices: Vec<Device>,
}

#[derive(Debug)]
struct Device {
    name: String,
    alias: String,
    counters: Counters,
}

impl NetDev {
    pub(crate) fn new(options: &NetDevOptions) -> Self {
        Self { options: options.clone(), file: File::default(), answer: Vec::new(), devices: Vec::new() }
    }

    fn read_netlink(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        let asked = context.host.netlink(Request::Links, &mut self.answer);
        asked.map_err(|error| CollectError::System { call: "netlink: list of links", error })?;
        for link in netlink::links(&self.answer) {
            if let Some(counters) = link.counters.filter(|_| self.options.devices.admits(link.name)) {
                let name = scan::text(link.name).into_owned();
                self.devices.push(Device { name, alias: String::new(), counters });
            }
        }
        Ok(())
    }

    fn read_proc(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        const TITLES: usize = 2;
        self.file.read(context.paths, Root::Proc, format_args!("net/dev"))?;
        for line in self.file.lines()?.skip(TITLES) {
            let (name, counters) =
                parse(line).ok_or_else(|| self.file.bad_line(line, "a device is expected"))?;
            if self.options.devices.admits(name) {
                let name = scan::text(name).into_owned();
                self.devices.push(Device { name, alias: String::new(), counters });
            }
        }
        Ok(())
    }

    fn read_aliases(&mut self, context: &Context<'_>) {
        for device in &mut self.devices {
            let path = format_args!("class/net/{}/ifalias", device.name);
            if let Some(alias) = self.file.value(context.paths, Root::Sys, path) {
                device.alias = scan::text(alias).into_owned();
            }
        }
    }

    fn write(&self, columns: &[Column], context: &mut Context<'_>) {
        for column in columns {
            let mut family = context.out.family(column.name, MetricType::Counter, column.help);
            for device in &self.devices {
                let value = column.value(&device.counters);
                if self.options.label_ifalias {
                    family.sample(&[("device", &device.name), ("ifalias", &device.alias)], value);
                } else {
                    family.sample(&[("device", &device.name)], value);
                }
            }
        }
    }

    /// The addresses of the links that the filter admits.
    fn write_addresses(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let system = |error| CollectError::System { call: "netlink: list of addresses", error };
        context.host.netlink(Request::Links, &mut self.answer).map_err(system)?;
        let names: Vec<(u32, String)> = netlink::links(&self.answer)
            .filter(|link| self.options.devices.admits(link.name))
            .map(|link| (link.index, scan::text(link.name).into_owned()))
            .collect();
        context.host.netlink(Request::Addresses, &mut self.answer).map_err(system)?;
        let mut found: Vec<(&str, String, String, &str)> = netlink::addresses(&self.answer)
            .filter_map(|address| {
                let (_, name) = names.iter().find(|(index, _)| *index == address.link)?;
                let text = address.address.to_string();
                Some((name.as_str(), text, address.prefix_bits.to_string(), scope(address.address)))
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        let help = "The addresses of each device; always 1.";
        let mut family = context.out.family("node_network_address_info", MetricType::Gauge, help);
        for (device, address, netmask, scope) in found {
            family.sample(
                &[("address", &address), ("device", device), ("netmask", &netmask), ("scope", scope)],
                1.0,
            );
        }
        Ok(())
    }
}

impl Collector for NetDev {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.devices.clear();
        if self.options.netlink {
            self.read_netlink(context)?;
        } else {
            self.read_proc(context)?;
        }
        self.devices.sort_by(|a, b| a.name.cmp(&b.name));
        self.devices.dedup_by(|a, b| a.name == b.name);
        if self.options.label_ifalias {
            self.read_aliases(context);
        }
        match (self.options.detailed, self.options.netlink) {
            (false, netlink) => {
                self.write(CLASSIC, context);
                if netlink {
                    self.write(NO_HANDLER, context);
                }
            }
            (true, true) => self.write(DETAILED, context),
            (true, false) => self.write(DETAILED_PROC, context),
        }
        if self.options.address_info {
            self.write_addresses(context)?;
        }
        Ok(())
    }
}

/// A line such as `  eth0: 612452090   18809 …` with 16 numbers. A name can hold colons itself.
fn parse(line: &[u8]) -> Option<(&[u8], Counters)> {
    let colon = memchr::memrchr(b':', line)?;
    let name = line[..colon].trim_ascii();
    if name.is_empty() {
        return None;
    }
    let mut counters = [0; LINK_COUNTERS];
    let mut fields = scan::fields(&line[colon + 1..]);
    for at in PROC_ORDER {
        counters[at] = fields.number()?;
    }
    Some((name, counters))
}

/// How far an address reaches, in the reference's words.
fn scope(address: IpAddr) -> &'static str {
    let (link_local, interface_local, global) = match address {
        IpAddr::V4(v4) => {
            let octets = v4.octets();
            let link_local_multicast = octets[..3] == [224, 0, 0];
            let global = !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast();
            (v4.is_link_local() || link_local_multicast, false, global)
        }
        IpAddr::V6(v6) => {
            let multicast_scope = v6.is_multicast().then(|| v6.octets()[1] & 0x0f);
            let link_local = v6.is_unicast_link_local() || multicast_scope == Some(2);
            (link_local, multicast_scope == Some(1), !v6.is_unspecified() && !v6.is_multicast())
        }
    };
    match () {
        () if address.is_loopback() || link_local => "link-local",
        () if interface_local => "interface-local",
        () if global => "global",
        () => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::netdev_columns::{RX_BYTES, TX_COMPRESSED};
    use proptest::prelude::*;

    #[test]
    fn lines_of_devices() {
        let line = b"  eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        let (name, counters) = parse(line).unwrap();
        assert_eq!((name, counters[RX_BYTES], counters[TX_COMPRESSED]), (&b"eth0:1"[..], 1, 16));
        assert!(
            parse(b"wlan0:612452090 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15").is_some(),
            "no blank before a number"
        );
        for line in ["", "eth0", ": 1 2 3", "eth0: 1 2 3", "eth0: a 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"] {
            assert!(parse(line.as_bytes()).is_none(), "{line:?}");
        }
    }

    #[test]
    fn scopes() {
        for (address, name) in [
            ("127.0.0.1", "link-local"),
            ("169.254.1.1", "link-local"),
            ("10.0.0.1", "global"),
            ("0.0.0.0", ""),
            ("::1", "link-local"),
            ("fe80::1", "link-local"),
            ("ff01::1", "interface-local"),
            ("2001:db8::1", "global"),
        ] {
            assert_eq!(scope(address.parse().unwrap()), name, "{address}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            parse(&line);
        }
    }
}
