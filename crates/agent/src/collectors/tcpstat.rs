//! `tcpstat`: TCP connections by state, from netlink. The table is read piece by piece and counted, since
//! a busy machine has millions.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    netlink::{IpVersion, Request, messages, word},
    source::{Root, exists},
};
use skopos_model::MetricType;
use std::collections::BTreeMap;

const SOCKET: u16 = 20;

/// The states, from number 1 on.
const STATES: [&str; 11] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

/// Ports whose connections are counted on their own.
#[derive(Clone, Debug, Default)]
pub struct TcpStatOptions {
    /// Ports of this side.
    pub source_ports: Vec<u16>,
    /// Ports of the other side.
    pub dest_ports: Vec<u16>,
}

/// The collector.
#[derive(Debug)]
pub(crate) struct TcpStat {
    options: TcpStatOptions,
    piece: Vec<u8>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    states: [u64; STATES.len() + 1],
    received_bytes: u64,
    sent_bytes: u64,
    /// By direction, port and state.
    ports: BTreeMap<(&'static str, u16, &'static str), u64>,
}

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    state: u8,
    source: u16,
    dest: u16,
    received_bytes: u32,
    sent_bytes: u32,
}

impl TcpStat {
    pub(crate) fn new(options: &TcpStatOptions) -> Self {
        Self { options: options.clone(), piece: Vec::new(), counts: Counts::default() }
    }
}

impl Counts {
    fn add(&mut self, socket: Socket, options: &TcpStatOptions) {
        let state = usize::from(socket.state);
        let known = (1..=STATES.len()).contains(&state);
        self.states[if known { state } else { 0 }] += 1;
        self.received_bytes += u64::from(socket.received_bytes);
        self.sent_bytes += u64::from(socket.sent_bytes);
        for (direction, port, asked) in
            [("source", socket.source, &options.source_ports), ("dest", socket.dest, &options.dest_ports)]
        {
            if asked.contains(&port) {
                *self.ports.entry((direction, port, state_name(state))).or_default() += 1;
            }
        }
    }
}

fn state_name(state: usize) -> &'static str {
    state.checked_sub(1).and_then(|at| STATES.get(at)).unwrap_or(&"unknown")
}

impl Collector for TcpStat {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.counts = Counts::default();
        let Self { options, piece, counts } = self;
        for version in [IpVersion::V4, IpVersion::V6] {
            if version == IpVersion::V6 && !exists(context.paths, Root::Proc, "net/tcp6") {
                continue;
            }
            context
                .host
                .netlink_in_pieces(Request::TcpSockets(version), piece, &mut |piece| {
                    sockets(piece).for_each(|socket| counts.add(socket, options));
                    Ok(())
                })
                .map_err(|error| CollectError::System { call: "netlink: list of TCP sockets", error })?;
        }
        let help = "TCP connections by state; bytes that wait in their queues.";
        let mut family = context.out.family("node_tcp_connection_states", MetricType::Gauge, help);
        let mut total = |state: &str, value: u64| {
            family.sample(&[("direction", "total"), ("port", "0"), ("state", state)], value as f64);
        };
        for (state, count) in counts.states.iter().enumerate().filter(|(_, count)| **count > 0) {
            total(state_name(state), *count);
        }
        if counts.states.iter().any(|count| *count > 0) {
            total("rx_queued_bytes", counts.received_bytes);
            total("tx_queued_bytes", counts.sent_bytes);
        }
        for ((direction, port, state), count) in &counts.ports {
            let labels = [("direction", *direction), ("port", &*port.to_string()), ("state", *state)];
            family.sample(&labels, *count as f64);
        }
        Ok(())
    }
}

/// The sockets in a piece of an answer.
fn sockets(piece: &[u8]) -> impl Iterator<Item = Socket> {
    messages(piece).filter(|message| message.kind == SOCKET).filter_map(|message| {
        let body = message.body;
        // Ports are in the network's order.
        let port = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
        Some(Socket {
            state: *body.get(1)?,
            source: port(4)?,
            dest: port(6)?,
            received_bytes: word(body, 56)?,
            sent_bytes: word(body, 60)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut answer = Vec::new();
        for body in bodies {
            answer.extend_from_slice(&(16 + body.len() as u32).to_ne_bytes());
            answer.extend_from_slice(&SOCKET.to_ne_bytes());
            answer.extend_from_slice(&[0; 10]);
            answer.extend_from_slice(body);
            answer.resize(answer.len().next_multiple_of(4), 0);
        }
        answer
    }

    #[test]
    fn sockets_are_counted_by_state_and_port() {
        let socket = |state: u8, source: u16, dest: u16| {
            let mut body = vec![0; 72];
            body[1] = state;
            body[4..6].copy_from_slice(&source.to_be_bytes());
            body[6..8].copy_from_slice(&dest.to_be_bytes());
            body[56] = 11;
            body[60] = 21;
            body
        };
        let answer = answer(&[socket(1, 22, 4000), socket(10, 22, 0), socket(99, 80, 22), vec![0; 63]]);
        let options = TcpStatOptions { source_ports: vec![22], dest_ports: vec![22] };
        let mut counts = Counts::default();
        sockets(&answer).for_each(|socket| counts.add(socket, &options));
        assert_eq!((counts.states[0], counts.states[1], counts.states[10]), (1, 1, 1));
        assert_eq!((counts.received_bytes, counts.sent_bytes), (33, 63));
        let ports: Vec<_> = counts.ports.into_iter().collect();
        let expected =
            [(("dest", 22, "unknown"), 1), (("source", 22, "established"), 1), (("source", 22, "listen"), 1)];
        assert_eq!(ports, expected);
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            sockets(&body).for_each(drop);
            sockets(&answer(&[body])).for_each(drop);
        }
    }
}
