//! `qdisc`: what the queueing disciplines at the root of network devices did, from netlink.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    filter::Filter,
    netlink::{self, QDISC_BODY_BYTES, Request, attributes, long, messages, word},
    scan,
};
use skopos_model::MetricType::{self, Counter, Gauge};

const NEW_QDISC: u16 = 36;
const KIND: u16 = 1;
const STATS: u16 = 3;
const STATS_2: u16 = 7;
const STATS_2_BASIC: u16 = 1;
const STATS_2_QUEUE: u16 = 3;
/// `TC_H_ROOT`; 0 says the same.
const ROOT: u32 = u32::MAX;

/// What a queueing discipline counts, in the order of `COLUMNS`.
type Counts = [u64; COLUMNS.len()];

const BYTES: usize = 0;
const PACKETS: usize = 1;
const DROPS: usize = 2;
const REQUEUES: usize = 3;
const OVERLIMITS: usize = 4;
const LENGTH: usize = 5;
const BACKLOG: usize = 6;

const COLUMNS: [(&str, MetricType, &str); 7] = [
    ("node_qdisc_bytes_total", Counter, "Bytes sent."),
    ("node_qdisc_packets_total", Counter, "Packets sent."),
    ("node_qdisc_drops_total", Counter, "Packets dropped."),
    ("node_qdisc_requeues_total", Counter, "Packets taken out, not sent, and put back."),
    ("node_qdisc_overlimits_total", Counter, "How often a limit held a packet back."),
    ("node_qdisc_current_queue_length", Gauge, "Packets that wait to be sent."),
    ("node_qdisc_backlog", Gauge, "Bytes that wait to be sent."),
];

/// The collector.
#[derive(Debug)]
pub(crate) struct Qdisc {
    devices: Filter,
    answer: Vec<u8>,
    rows: Vec<Row>,
}

/// A queueing discipline that is shown.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    device: String,
    kind: String,
    counts: Counts,
}

impl Qdisc {
    pub(crate) fn new(devices: &Filter) -> Self {
        Self { devices: devices.clone(), answer: Vec::new(), rows: Vec::new() }
    }

    fn read(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        let system = |call| move |error| CollectError::System { call, error };
        context.host.netlink(Request::Links, &mut self.answer).map_err(system("netlink: list of links"))?;
        let names: Vec<(u32, String)> = netlink::links(&self.answer)
            .filter(|link| self.devices.admits(link.name))
            .map(|link| (link.index, scan::text(link.name).into_owned()))
            .collect();
        context
            .host
            .netlink(Request::Qdiscs, &mut self.answer)
            .map_err(system("netlink: list of queueing disciplines"))?;
        self.rows.clear();
        for (link, kind, counts) in roots(&self.answer) {
            if let Some((_, device)) = names.iter().find(|(index, _)| *index == link) {
                self.rows.push(Row { device: device.clone(), kind: scan::text(kind).into_owned(), counts });
            }
        }
        self.rows.sort_unstable();
        self.rows.dedup_by(|a, b| (&a.device, &a.kind) == (&b.device, &b.kind));
        Ok(())
    }
}

impl Collector for Qdisc {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.read(context)?;
        for (at, (name, kind, help)) in COLUMNS.iter().enumerate() {
            let mut family = context.out.family(name, *kind, help);
            for row in &self.rows {
                family.sample(&[("device", &row.device), ("kind", &row.kind)], row.counts[at] as f64);
            }
        }
        Ok(())
    }
}

/// The queueing disciplines at the root of a link: the link's number, the kind, the counts.
fn roots(answer: &[u8]) -> impl Iterator<Item = (u32, &[u8], Counts)> {
    messages(answer).filter(|message| message.kind == NEW_QDISC).filter_map(|message| {
        let (link, parent) = (word(message.body, 4)?, word(message.body, 12)?);
        if parent != ROOT && parent != 0 {
            return None;
        }
        let (mut kind, mut old, mut new) = (None, None, None);
        for (attribute, content) in attributes(message.body.get(QDISC_BODY_BYTES..)?) {
            match attribute {
                KIND => kind = Some(content.strip_suffix(&[0]).unwrap_or(content)),
                STATS => old = old_counts(content),
                STATS_2 => new = new_counts(content),
                _ => {}
            }
        }
        Some((link, kind?, new.or(old)?))
    })
}

/// `struct tc_stats`.
fn old_counts(content: &[u8]) -> Option<Counts> {
    let mut counts = [0; COLUMNS.len()];
    counts[BYTES] = long(content, 0)?;
    for (column, at) in [(PACKETS, 8), (DROPS, 12), (OVERLIMITS, 16), (LENGTH, 28), (BACKLOG, 32)] {
        counts[column] = u64::from(word(content, at)?);
    }
    Some(counts)
}

/// The attributes that came after it. A kernel that writes them writes both.
fn new_counts(content: &[u8]) -> Option<Counts> {
    let mut counts = [0; COLUMNS.len()];
    let mut found = 0;
    for (attribute, content) in attributes(content) {
        match attribute {
            STATS_2_BASIC => {
                counts[BYTES] = long(content, 0)?;
                counts[PACKETS] = u64::from(word(content, 8)?);
            }
            STATS_2_QUEUE => {
                for (column, at) in [(LENGTH, 0), (BACKLOG, 4), (DROPS, 8), (REQUEUES, 12), (OVERLIMITS, 16)]
                {
                    counts[column] = u64::from(word(content, at)?);
                }
            }
            _ => continue,
        }
        found += 1;
    }
    (found == 2).then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{half, push_attribute};
    use proptest::prelude::*;

    #[test]
    fn both_kinds_of_counts() {
        let numbers = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_ne_bytes()).collect::<Vec<u8>>();
        let old = [1_u64 << 40].iter().flat_map(|n| n.to_ne_bytes()).chain(numbers(&[2, 3, 5, 0, 0, 6, 7]));
        assert_eq!(old_counts(&old.collect::<Vec<u8>>()), Some([1 << 40, 2, 3, 0, 5, 6, 7]));
        let mut new = Vec::new();
        push_attribute(
            &mut new,
            STATS_2_BASIC,
            &[(1_u64 << 40).to_ne_bytes().to_vec(), numbers(&[2, 0])].concat(),
        );
        assert_eq!(new_counts(&new), None, "half of it");
        push_attribute(&mut new, STATS_2_QUEUE, &numbers(&[6, 7, 3, 4, 5]));
        assert_eq!(new_counts(&new), Some([1 << 40, 2, 3, 4, 5, 6, 7]));
        assert_eq!(half(&new, 0), Some(20));
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            old_counts(&body);
            new_counts(&body);
            roots(&body).for_each(drop);
            let mut bytes = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
            bytes.extend_from_slice(&NEW_QDISC.to_ne_bytes());
            bytes.resize(16, 0);
            bytes.extend_from_slice(&body);
            roots(&bytes).for_each(drop);
        }
    }
}
