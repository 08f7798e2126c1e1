//! Part of `wifi`: what the kernel says of wireless links, access points and stations, by generic netlink.
//! It reads any bytes without panicking.

use crate::netlink::{Generic, attributes, half, long, messages, word};

/// The name of the family.
pub(crate) const FAMILY: &str = "nl80211";

const GET_INTERFACE: u8 = 5;
const GET_STATION: u8 = 17;
const GET_SCAN: u8 = 32;

const LINK: u16 = 3;
const LINK_NAME: u16 = 4;
const MAC: u16 = 6;
const STATION: u16 = 21;
const FREQUENCY: u16 = 38;
const BSS: u16 = 47;

const BSS_BSSID: u16 = 1;
const BSS_ELEMENTS: u16 = 6;
const BSS_STATUS: u16 = 9;
/// The information element that holds the network's name.
const ELEMENT_SSID: u8 = 0;

/// Behind the header of generic netlink stand attributes.
const GENERIC_HEADER_BYTES: usize = 4;

/// Asks for all wireless links.
pub(crate) const fn links_request(family: u16) -> Generic {
    Generic { family, command: GET_INTERFACE, about: None }
}

/// Asks for the access points that the link saw.
pub(crate) const fn scan_request(family: u16, link: u32) -> Generic {
    Generic { family, command: GET_SCAN, about: Some((LINK, link)) }
}

/// Asks for the stations at the link's other side.
pub(crate) const fn stations_request(family: u16, link: u32) -> Generic {
    Generic { family, command: GET_STATION, about: Some((LINK, link)) }
}

/// A wireless link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) frequency_mhz: u32,
}

/// The links in an answer. Some virtual ones have no name; those are left out.
pub(crate) fn links(answer: &[u8]) -> impl Iterator<Item = Link> {
    bodies(answer).filter_map(|body| {
        let (mut index, mut name, mut frequency_mhz) = (None, None, 0);
        for (kind, content) in attributes(body) {
            match kind {
                LINK => index = word(content, 0),
                LINK_NAME => name = Some(content.strip_suffix(&[0]).unwrap_or(content)),
                FREQUENCY => frequency_mhz = word(content, 0)?,
                _ => {}
            }
        }
        let name = name.filter(|name| !name.is_empty())?;
        Some(Link { index: index?, name: String::from_utf8_lossy(name).into_owned(), frequency_mhz })
    })
}

/// The network that a link belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) bssid: String,
    pub(crate) ssid: String,
    pub(crate) mode: &'static str,
}

/// The first network in an answer that the link belongs to; the others it only heard.
pub(crate) fn network(answer: &[u8]) -> Option<Network> {
    let all = bodies(answer).flat_map(attributes).filter(|(kind, _)| *kind == BSS);
    all.map(|(_, content)| content).find_map(|bss| {
        let (mut bssid, mut ssid, mut status) = (String::new(), String::new(), None);
        for (kind, content) in attributes(bss) {
            match kind {
                BSS_BSSID => bssid = mac(content),
                BSS_ELEMENTS => ssid = ssid_in(content).unwrap_or_default(),
                BSS_STATUS => status = word(content, 0),
                _ => {}
            }
        }
        let mode = match status? {
            0 | 1 => "client",
            2 => "ad-hoc",
            _ => "unknown",
        };
        Some(Network { bssid, ssid, mode })
    })
}

/// The name in a list of information elements: a type, a length, a content, and so on.
fn ssid_in(mut elements: &[u8]) -> Option<String> {
    loop {
        let [kind, len, rest @ ..] = elements else { return None };
        let content = rest.get(..usize::from(*len))?;
        if *kind == ELEMENT_SSID {
            return Some(String::from_utf8_lossy(content).into_owned());
        }
        elements = &rest[content.len()..];
    }
}

/// A station.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Station {
    pub(crate) mac: String,
    pub(crate) connected_s: u32,
    pub(crate) inactive_ms: u32,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) signal_dbm: i8,
    pub(crate) retries: u32,
    pub(crate) failed: u32,
    pub(crate) beacon_losses: u32,
    pub(crate) receive_bits_per_s: u64,
    pub(crate) transmit_bits_per_s: u64,
}

/// The stations in an answer.
pub(crate) fn stations(answer: &[u8]) -> impl Iterator<Item = Station> {
    bodies(answer).filter_map(|body| {
        let (mut address, mut station) = (String::new(), None);
        for (kind, content) in attributes(body) {
            match kind {
                MAC => address = mac(content),
                STATION => station = Some(station_in(content)),
                _ => {}
            }
        }
        Some(Station { mac: address, ..station? })
    })
}

fn station_in(content: &[u8]) -> Station {
    let mut station = Station::default();
    let (mut received_64, mut sent_64) = (None, None);
    for (kind, content) in attributes(content) {
        let number = word(content, 0).unwrap_or(0);
        match kind {
            1 => station.inactive_ms = number,
            2 => station.received_bytes = u64::from(number),
            3 => station.sent_bytes = u64::from(number),
            7 => station.signal_dbm = content.first().map_or(0, |byte| byte.cast_signed()),
            8 => station.transmit_bits_per_s = rate(content),
            11 => station.retries = number,
            12 => station.failed = number,
            14 => station.receive_bits_per_s = rate(content),
            16 => station.connected_s = number,
            18 => station.beacon_losses = number,
            23 => received_64 = long(content, 0),
            24 => sent_64 = long(content, 0),
            _ => {}
        }
    }
    station.received_bytes = received_64.unwrap_or(station.received_bytes);
    station.sent_bytes = sent_64.unwrap_or(station.sent_bytes);
    station
}

/// A rate, which the kernel tells in units of 100 kbit/s, in 16 bits or 32.
fn rate(content: &[u8]) -> u64 {
    const UNIT: u64 = 100_000;
    let (mut short, mut wide) = (None, None);
    for (kind, content) in attributes(content) {
        match kind {
            1 => short = half(content, 0).map(u64::from),
            5 => wide = word(content, 0).map(u64::from),
            _ => {}
        }
    }
    wide.or(short).unwrap_or(0) * UNIT
}

fn mac(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

/// The attributes of each message that is none of the protocol itself.
fn bodies(answer: &[u8]) -> impl Iterator<Item = &[u8]> {
    const FIRST_FAMILY: u16 = 17;
    messages(answer)
        .filter(|message| message.kind >= FIRST_FAMILY)
        .filter_map(|message| message.body.get(GENERIC_HEADER_BYTES..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_name_of_a_network() {
        for (elements, name) in [
            (&b"\x01\x02ab\x00\x03net"[..], Some("net")),
            (b"\x00\x00", Some("")),
            (b"\x00\x05net", None),
            (b"\x01", None),
            (b"", None),
        ] {
            assert_eq!(ssid_in(elements).as_deref(), name, "{elements:?}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
            bytes.extend_from_slice(&30_u16.to_ne_bytes());
            bytes.resize(16, 0);
            bytes.extend_from_slice(&body);
            for answer in [&bytes, &body] {
                links(answer).for_each(drop);
                network(answer);
                stations(answer).for_each(drop);
            }
            station_in(&body);
            ssid_in(&body);
        }
    }
}
