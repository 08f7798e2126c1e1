//! `ethtool`: what the drivers of network devices count and say of themselves, and the modes of their links.

use super::{
    link_modes::{self, LinkModes},
    names::sanitized,
};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    host::DriverInfo,
    netlink::{Request, family_number},
    options::EthtoolOptions,
    scan,
    source::{File, Root, names_in, target_of},
};
use regex::Regex;
use skopos_model::MetricType::{Gauge, Unknown};
use std::{collections::BTreeMap, io};

/// Counters of drivers whose families have names of their own.
const NAMED: [(&str, &str); 7] = [
    ("rx_bytes", "received_bytes_total"),
    ("rx_dropped", "received_dropped_total"),
    ("rx_errors", "received_errors_total"),
    ("rx_packets", "received_packets_total"),
    ("tx_bytes", "transmitted_bytes_total"),
    ("tx_errors", "transmitted_errors_total"),
    ("tx_packets", "transmitted_packets_total"),
];

const AUTONEGOTIATE: u32 = 1 << 6;
const PAUSE: u32 = 1 << 13;
const ASYMMETRIC_PAUSE: u32 = 1 << 14;

/// Kinds of ports and their bits.
const PORTS: [(u32, &str); 6] =
    [(8, "AUI"), (11, "BNC"), (16, "Backplane"), (10, "FIBRE"), (9, "MII"), (7, "TP")];

/// Speeds by bit: in millions of bits a second, whether both directions at once, the kind of medium.
const SPEEDS: [(u32, u32, bool, &str); 22] = [
    (0, 10, false, "T"),
    (1, 10, true, "T"),
    (2, 100, false, "T"),
    (3, 100, true, "T"),
    (4, 1000, false, "T"),
    (5, 1000, true, "T"),
    (12, 10_000, true, "T"),
    (17, 1000, true, "KX"),
    (18, 10_000, true, "KX4"),
    (19, 10_000, true, "KR"),
    (20, 10_000, true, "R_FEC"),
    (21, 20_000, true, "MLD2"),
    (22, 20_000, true, "KR2"),
    (23, 40_000, true, "KR4"),
    (24, 40_000, true, "CR4"),
    (25, 40_000, true, "SR4"),
    (26, 40_000, true, "LR4"),
    (27, 56_000, true, "KR4"),
    (28, 56_000, true, "CR4"),
    (29, 56_000, true, "SR4"),
    (30, 56_000, true, "LR4"),
    (31, 25_000, true, "CR"),
];
/// Speeds are shown in bytes a second.
const BYTES_PER_MEGABIT: f64 = 1e6 / 8.0;

/// The collector.
#[derive(Debug)]
pub(crate) struct Ethtool {
    options: EthtoolOptions,
    received: Regex,
    transmitted: Regex,
    answer: Vec<u8>,
    file: File,
}

/// By family: devices and values.
type Counters = BTreeMap<String, Vec<(String, u64)>>;

impl Ethtool {
    pub(crate) fn new(options: &EthtoolOptions) -> Self {
        let word = |word| Regex::new(word).expect("invariant: the expression is right");
        Self {
            options: options.clone(),
            received: word("(^|_)rx(_|$)"),
            transmitted: word("(^|_)tx(_|$)"),
            answer: Vec::new(),
            file: File::default(),
        }
    }

    /// The modes of all links. Kernels before 5.6 do not tell them this way.
    fn link_modes(&mut self, context: &Context<'_>) -> io::Result<Vec<LinkModes>> {
        context.host.netlink(Request::Family(link_modes::FAMILY), &mut self.answer)?;
        let Some(family) = family_number(&self.answer) else { return Ok(Vec::new()) };
        context.host.netlink(Request::Generic(link_modes::request(family)), &mut self.answer)?;
        let mut modes: Vec<_> = link_modes::link_modes(&self.answer).collect();
        modes.retain(|modes| self.options.devices.admits(modes.device.as_bytes()));
        modes.sort_by(|a, b| a.device.cmp(&b.device));
        modes.dedup_by(|a, b| a.device == b.device);
        Ok(modes)
    }

    /// What sysfs has of the device's driver. Devices that are programs, such as bridges, have none.
    fn driver_in_sysfs(&mut self, device: &str, context: &Context<'_>) -> Option<DriverInfo> {
        let folder = format!("class/net/{device}/device");
        let driver = target_of(context.paths, Root::Sys, &format!("{folder}/driver"))?;
        let place = target_of(context.paths, Root::Sys, &folder)?;
        let mut places = place.rsplit('/');
        // A device of virtio is on the bus that its other half is on.
        let bus_info = places.find(|name| !name.starts_with("virtio")).unwrap_or_default().to_owned();
        let version =
            self.file.value(context.paths, Root::Sys, format_args!("{folder}/driver/module/version"));
        let version = version.map(|version| scan::text(version).into_owned());
        Some(DriverInfo {
            name: driver.rsplit('/').next().unwrap_or_default().to_owned(),
            version: version.unwrap_or_else(|| context.host.uname().release),
            bus_info,
            ..DriverInfo::default()
        })
    }

    /// The family of a driver's counter.
    fn family_of(&self, counter: &str) -> String {
        if let Some((_, name)) = NAMED.iter().find(|(known, _)| *known == counter) {
            return format!("node_ethtool_{name}");
        }
        let name = sanitized(counter).to_lowercase();
        let name = self.received.replace_all(name.trim_start_matches('_'), "${1}received${2}");
        format!("node_ethtool_{}", self.transmitted.replace_all(&name, "${1}transmitted${2}"))
    }
}

impl Collector for Ethtool {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let mut names = names_in(context.paths, Root::Sys, "class/net")?;
        names.retain(|name| self.options.devices.admits(name.as_bytes()));
        let modes = told("", self.link_modes(context)).unwrap_or_default();
        let (mut drivers, mut counters) = (Vec::new(), Counters::new());
        // A driver need not know any of these; one that fails otherwise costs only its own values.
        for name in names {
            let driver = told(&name, context.host.driver_info(&name));
            let driver = driver.or_else(|| self.driver_in_sysfs(&name, context));
            drivers.extend(driver.map(|driver| (name.clone(), driver)));
            for (counter, value) in told(&name, context.host.driver_counters(&name)).unwrap_or_default() {
                if !self.options.metrics.is_match(counter.as_bytes()) {
                    continue;
                }
                let values = counters.entry(self.family_of(&counter)).or_default();
                // Two counters can come to one name; the first one stands for both.
                if values.last().is_none_or(|(last, _)| *last != name) {
                    values.push((name.clone(), value));
                }
            }
        }
        if drivers.is_empty() && modes.is_empty() && counters.is_empty() {
            return Err(CollectError::NoData("no driver of a network device tells anything".into()));
        }
        write_drivers(&drivers, context);
        for (name, values) in &counters {
            let mut family =
                context.out.family(name, Unknown, "A counter of the driver, by the driver's name.");
            for (device, value) in values {
                family.sample(&[("device", device)], *value as f64);
            }
        }
        write_modes(&modes, context);
        Ok(())
    }
}

fn told<T>(device: &str, answer: io::Result<T>) -> Option<T> {
    answer.inspect_err(|error| tracing::debug!(device, %error, "the driver does not tell")).ok()
}

fn write_drivers(drivers: &[(String, DriverInfo)], context: &mut Context<'_>) {
    let help = "The driver of each device; always 1.";
    let mut family = context.out.family("node_ethtool_info", Gauge, help);
    for (device, driver) in drivers {
        family.sample(
            &[
                ("bus_info", &driver.bus_info),
                ("device", device),
                ("driver", &driver.name),
                ("expansion_rom_version", &driver.expansion_rom_version),
                ("firmware_version", &driver.firmware_version),
                ("version", &driver.version),
            ],
            1.0,
        );
    }
}

/// A family of one sample for each device.
type Family = (&'static str, &'static str, fn(&LinkModes) -> bool);

const FLAGS: [Family; 7] = [
    ("node_network_asymmetricpause_advertised", "Whether the device offers pauses of one side.", |modes| {
        modes.advertised & ASYMMETRIC_PAUSE != 0
    }),
    ("node_network_asymmetricpause_supported", "Whether the device can make pauses of one side.", |modes| {
        modes.supported & ASYMMETRIC_PAUSE != 0
    }),
    ("node_network_autonegotiate", "Whether both sides of the link agree by themselves.", |modes| {
        modes.autonegotiates
    }),
    ("node_network_autonegotiate_advertised", "Whether the device offers to agree by itself.", |modes| {
        modes.advertised & AUTONEGOTIATE != 0
    }),
    ("node_network_autonegotiate_supported", "Whether the device can agree by itself.", |modes| {
        modes.supported & AUTONEGOTIATE != 0
    }),
    ("node_network_pause_advertised", "Whether the device offers pauses.", |modes| {
        modes.advertised & PAUSE != 0
    }),
    ("node_network_pause_supported", "Whether the device can make pauses.", |modes| {
        modes.supported & PAUSE != 0
    }),
];

fn write_modes(linked: &[LinkModes], context: &mut Context<'_>) {
    for (name, help, value) in FLAGS {
        let mut family = context.out.family(name, Gauge, help);
        for modes in linked {
            family.sample(&[("device", modes.device.as_str())], f64::from(u8::from(value(modes))));
        }
    }
    let help = "The kinds of ports that the device can have; always 1.";
    let mut family = context.out.family("node_network_supported_port_info", Gauge, help);
    for modes in linked {
        for (bit, kind) in PORTS {
            if modes.supported & 1 << bit != 0 {
                family.sample(&[("device", modes.device.as_str()), ("type", kind)], 1.0);
            }
        }
    }
    for (name, help, is_offered) in [
        ("node_network_advertised_speed_bytes", "Speeds that the device offers.", true),
        ("node_network_supported_speed_bytes", "Speeds that the device can do.", false),
    ] {
        let mut family = context.out.family(name, Gauge, help);
        for modes in linked {
            let bits = if is_offered { modes.advertised } else { modes.supported };
            for (bit, megabits, is_full, medium) in SPEEDS {
                if bits & 1 << bit != 0 {
                    let duplex = if is_full { "full" } else { "half" };
                    let mode = format!("{megabits}base{medium}");
                    let labels = [("device", modes.device.as_str()), ("duplex", duplex), ("mode", &mode)];
                    family.sample(&labels, f64::from(megabits) * BYTES_PER_MEGABIT);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_drivers_get_the_names_of_the_reference() {
        let options = EthtoolOptions {
            devices: crate::filter::Filter::default(),
            metrics: regex::bytes::Regex::new(".*").unwrap(),
        };
        let ethtool = Ethtool::new(&options);
        for (counter, family) in [
            ("rx_bytes", "received_bytes_total"),
            ("rx_queue_0_xdp_tx", "received_queue_0_xdp_transmitted"),
            ("tx_tx_timeouts", "transmitted_tx_timeouts"),
            ("rx0_drops", "rx0_drops"),
            ("port.rx-bytes", "port_received_bytes"),
            ("[0]: tx_ucast", "0_transmitted_ucast"),
            ("", ""),
        ] {
            assert_eq!(ethtool.family_of(counter), format!("node_ethtool_{family}"), "{counter}");
        }
    }
}
