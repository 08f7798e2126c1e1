//! `wifi`: wireless links and their stations, from generic netlink.

use crate::{
    collector::{Collector, Context},
    collectors::nl80211::{self, Link, Network, Station},
    error::CollectError,
    netlink::{self, Request},
};
use rustix::io::Errno;
use skopos_model::MetricType::{self, Counter, Gauge};
use std::io;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Wifi {
    answer: Vec<u8>,
}

/// A link and what is known of its other side.
#[derive(Debug)]
struct Radio {
    link: Link,
    network: Option<Network>,
    stations: Vec<Station>,
}

/// A metric of a station, its type and help, and its value.
type Column = (&'static str, MetricType, &'static str, fn(&Station) -> f64);

const COLUMNS: [Column; 10] = [
    (
        "node_wifi_station_connected_seconds_total",
        Counter,
        "How long each station has been connected.",
        |station| f64::from(station.connected_s),
    ),
    ("node_wifi_station_inactive_seconds", Gauge, "How long each station has been silent.", |station| {
        f64::from(station.inactive_ms) / 1000.0
    }),
    (
        "node_wifi_station_receive_bits_per_second",
        Gauge,
        "The rate at which each station is heard, in bits a second.",
        |station| station.receive_bits_per_s as f64,
    ),
    (
        "node_wifi_station_transmit_bits_per_second",
        Gauge,
        "The rate at which each station is spoken to, in bits a second.",
        |station| station.transmit_bits_per_s as f64,
    ),
    ("node_wifi_station_receive_bytes_total", Counter, "Bytes received from each station.", |station| {
        station.received_bytes as f64
    }),
    ("node_wifi_station_transmit_bytes_total", Counter, "Bytes sent to each station.", |station| {
        station.sent_bytes as f64
    }),
    ("node_wifi_station_signal_dbm", Gauge, "The strength of each station's signal, in dBm.", |station| {
        f64::from(station.signal_dbm)
    }),
    ("node_wifi_station_transmit_retries_total", Counter, "Packets sent to each station again.", |station| {
        f64::from(station.retries)
    }),
    (
        "node_wifi_station_transmit_failed_total",
        Counter,
        "Packets that could not be sent to each station.",
        |station| f64::from(station.failed),
    ),
    (
        "node_wifi_station_beacon_loss_total",
        Counter,
        "How often each station's beacon was lost.",
        |station| f64::from(station.beacon_losses),
    ),
];

impl Wifi {
    fn radios(&mut self, context: &Context<'_>) -> Result<Vec<Radio>, CollectError> {
        let family = match context.host.netlink(Request::Family(nl80211::FAMILY), &mut self.answer) {
            Ok(()) => netlink::family_number(&self.answer),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let none = || CollectError::NoData("the kernel knows no wireless links".into());
        let family = family.ok_or_else(none)?;
        let request = Request::Generic(nl80211::links_request(family));
        context.host.netlink(request, &mut self.answer).map_err(failed)?;
        let mut links: Vec<Link> = nl80211::links(&self.answer).collect();
        links.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        links.dedup_by(|a, b| a.name == b.name);
        let mut radios = Vec::new();
        for link in links {
            let scan = nl80211::scan_request(family, link.index);
            let network = if self.ask(context, scan)? { nl80211::network(&self.answer) } else { None };
            let of_link = nl80211::stations_request(family, link.index);
            let mut stations = Vec::new();
            if self.ask(context, of_link)? {
                stations.extend(nl80211::stations(&self.answer));
            }
            stations.sort_unstable_by(|a, b| a.mac.cmp(&b.mac));
            stations.dedup_by(|a, b| a.mac == b.mac);
            radios.push(Radio { link, network, stations });
        }
        Ok(radios)
    }

    /// Returns whether the link has an answer: a link that is down, or of another kind, has none.
    fn ask(&mut self, context: &Context<'_>, request: netlink::Generic) -> Result<bool, CollectError> {
        match context.host.netlink(Request::Generic(request), &mut self.answer) {
            Ok(()) => Ok(true),
            Err(error) if has_none(&error) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
}

fn failed(error: io::Error) -> CollectError {
    CollectError::System { call: "netlink: wireless links", error }
}

fn has_none(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::NOENT, Errno::NODEV, Errno::NETDOWN, Errno::OPNOTSUPP]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

impl Collector for Wifi {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let radios = self.radios(context)?;
        let out = &mut context.out;
        let help = "The frequency of each wireless link, in hertz.";
        let mut family = out.family("node_wifi_interface_frequency_hertz", Gauge, help);
        for Radio { link, .. } in &radios {
            family.sample(&[("device", &link.name)], f64::from(link.frequency_mhz) * 1e6);
        }
        let help = "The network that each wireless link belongs to; always 1.";
        let mut family = out.family("node_wifi_station_info", Gauge, help);
        for radio in &radios {
            if let Some(Network { bssid, ssid, mode }) = &radio.network {
                let device = &radio.link.name;
                family.sample(&[("bssid", bssid), ("device", device), ("mode", mode), ("ssid", ssid)], 1.0);
            }
        }
        for (name, kind, help, value) in COLUMNS {
            let mut family = out.family(name, kind, help);
            for Radio { link, stations, .. } in &radios {
                for station in stations {
                    let labels = [("device", &*link.name), ("mac_address", &*station.mac)];
                    family.sample(&labels, value(station));
                }
            }
        }
        Ok(())
    }
}
