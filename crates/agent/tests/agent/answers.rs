//! What the system of the tests answers beside files: queueing disciplines, sockets, wireless links,
//! counters.

use crate::common::{push_attribute, push_message};
use skopos_agent::{
    netlink::{Generic, IpVersion, Request},
    perf_events::{Count, Counted, Event},
};
use std::{io, time::Duration};

/// Answers of netlink's other parts than links and addresses.
pub(crate) fn netlink(request: Request, answer: &mut Vec<u8>) -> io::Result<()> {
    match request {
        Request::Qdiscs => {
            push_qdisc(answer, 1, u32::MAX, "noqueue", 0);
            push_qdisc(answer, 2, u32::MAX, "mq", 1 << 33);
            push_qdisc(answer, 2, 0x8001_0001, "fq_codel", 7);
            push_qdisc(answer, 7, 0, "fq", 900);
            push_qdisc(answer, 99, u32::MAX, "gone", 1);
        }
        Request::TcpSockets(IpVersion::V4) => {
            for (state, source, dest) in [(1, 22, 50000), (1, 40000, 443), (10, 22, 0), (6, 80, 1234)] {
                push_socket(answer, state, source, dest);
            }
        }
        Request::TcpSockets(IpVersion::V6) => push_socket(answer, 10, 443, 0),
        Request::Family("nl80211") => {
            let mut body = vec![1, 2, 0, 0];
            push_attribute(&mut body, 1, &27_u16.to_ne_bytes());
            push_message(answer, 16, &body);
        }
        Request::Family("ethtool") => {
            let mut body = vec![1, 2, 0, 0];
            push_attribute(&mut body, 1, &28_u16.to_ne_bytes());
            push_message(answer, 16, &body);
        }
        Request::Generic(Generic { family: 28, command: 4, about: None }) => {
            push_modes(
                answer,
                "eno1",
                &[(0, false), (1, true), (3, false), (5, true), (7, true), (14, false), (47, true)],
            );
            push_modes(answer, "bond0", &[]);
        }
        Request::Generic(request) => return wireless(request, answer),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    }
    Ok(())
}

/// Counters of the processor run half of the time; the CPU 3 has none for its caches.
pub(crate) fn count_events(event: &Event, cpu: usize) -> io::Result<Box<dyn Count>> {
    if event.kind == 3 && cpu == 3 {
        return Err(io::Error::from_raw_os_error(2));
    }
    let halves = if event.kind == 1 { 2 } else { 1 };
    Ok(Box::new(StillCount(Counted {
        seen: event.config + 1000 * u64::from(event.kind) + 10 * cpu as u64,
        enabled: Duration::from_secs(2),
        running: Duration::from_secs(halves),
    })))
}

#[derive(Debug)]
struct StillCount(Counted);

impl Count for StillCount {
    fn read(&mut self) -> io::Result<Counted> {
        Ok(self.0)
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A queueing discipline that sent so many bytes.
fn push_qdisc(answer: &mut Vec<u8>, link: u32, parent: u32, kind: &str, bytes: u64) {
    let mut body = words(&[0, link, 0, parent, 0]);
    push_attribute(&mut body, 1, format!("{kind}\0").as_bytes());
    push_attribute(&mut body, 3, &[bytes.to_ne_bytes().to_vec(), words(&[1, 2, 3, 0, 0, 4, 5])].concat());
    if kind != "noqueue" {
        let mut new = Vec::new();
        push_attribute(&mut new, 1, &[bytes.to_ne_bytes().to_vec(), words(&[11, 0])].concat());
        push_attribute(&mut new, 3, &words(&[14, 15, 12, 16, 13]));
        push_attribute(&mut body, 7, &new);
    }
    push_message(answer, 36, &body);
}

fn push_socket(answer: &mut Vec<u8>, state: u8, source: u16, dest: u16) {
    let mut body = vec![2, state, 0, 0];
    body.extend_from_slice(&source.to_be_bytes());
    body.extend_from_slice(&dest.to_be_bytes());
    body.resize(56, 0);
    body.extend_from_slice(&words(&[3, 5, 0, 0]));
    push_message(answer, 20, &body);
}

/// A device's modes: the bits of those that it can do, and whether it offers them.
fn push_modes(answer: &mut Vec<u8>, device: &str, modes: &[(u32, bool)]) {
    const NESTED: u16 = 0x8000;
    let mut header = Vec::new();
    push_attribute(&mut header, 1, &words(&[2]));
    push_attribute(&mut header, 2, format!("{device}\0").as_bytes());
    let mut bits = Vec::new();
    for (bit, is_offered) in modes {
        let mut one = Vec::new();
        push_attribute(&mut one, 1, &words(&[*bit]));
        push_attribute(&mut one, 2, b"name\0");
        if *is_offered {
            push_attribute(&mut one, 3, &[]);
        }
        push_attribute(&mut bits, 1 | NESTED, &one);
    }
    let mut ours = Vec::new();
    push_attribute(&mut ours, 2, &words(&[92]));
    push_attribute(&mut ours, 3 | NESTED, &bits);
    let mut body = vec![4, 1, 0, 0];
    push_attribute(&mut body, 1 | NESTED, &header);
    push_attribute(&mut body, 2, &[1]);
    push_attribute(&mut body, 3 | NESTED, &ours);
    push_message(answer, 28, &body);
}

/// `wlan0` belongs to a network, `mon0` only listens.
fn wireless(request: Generic, answer: &mut Vec<u8>) -> io::Result<()> {
    assert_eq!(request.family, 27);
    match (request.command, request.about) {
        (5, None) => {
            for (index, name, frequency) in [(3, "wlan0", 5180), (4, "mon0", 2412), (5, "", 1)] {
                let mut body = vec![7, 1, 0, 0];
                push_attribute(&mut body, 3, &words(&[index]));
                if !name.is_empty() {
                    push_attribute(&mut body, 4, format!("{name}\0").as_bytes());
                }
                push_attribute(&mut body, 38, &words(&[frequency]));
                push_message(answer, 27, &body);
            }
        }
        (32, Some((3, 3))) => {
            for (bssid, ssid, status) in [(1, "Other", None), (2, "Home \"5G\"", Some(1))] {
                let mut bss = Vec::new();
                push_attribute(&mut bss, 1, &[2, 0, 0, 0, 0, bssid]);
                let elements = [&[0, ssid.len() as u8], ssid.as_bytes()].concat();
                push_attribute(&mut bss, 6, &elements);
                if let Some(status) = status {
                    push_attribute(&mut bss, 9, &words(&[status]));
                }
                let mut body = vec![34, 1, 0, 0];
                push_attribute(&mut body, 47, &bss);
                push_message(answer, 27, &body);
            }
        }
        (17, Some((3, 3))) => {
            let mut rate = Vec::new();
            push_attribute(&mut rate, 1, &1300_u16.to_ne_bytes());
            push_attribute(&mut rate, 5, &words(&[8667]));
            let mut station = Vec::new();
            for (kind, number) in [(1, 250), (2, 7), (3, 8), (11, 21), (12, 22), (16, 3600), (18, 23)] {
                push_attribute(&mut station, kind, &words(&[number]));
            }
            push_attribute(&mut station, 7, &[(-52_i8).cast_unsigned()]);
            push_attribute(&mut station, 8, &rate);
            push_attribute(&mut station, 23, &(1_u64 << 34).to_ne_bytes());
            let mut body = vec![19, 1, 0, 0];
            push_attribute(&mut body, 6, &[2, 0, 0, 0, 0, 0x0a]);
            push_attribute(&mut body, 21, &station);
            push_message(answer, 27, &body);
        }
        // A link that only listens belongs to no network and has no stations.
        (32, _) => return Err(io::Error::from_raw_os_error(2)),
        _ => return Err(io::Error::from_raw_os_error(95)),
    }
    Ok(())
}
