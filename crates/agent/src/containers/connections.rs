//! The connections of a network namespace by their states: `/proc/PID/net/tcp`, `udp` and those of version 6,
//! which the kernel writes line by line. Keeps nothing of a connection but its state.

use crate::{
    scan,
    source::{File, Paths, Root},
};
use std::fmt;

/// The states of TCP, as the kernel numbers them from 1 on.
pub(super) const TCP_STATES: [&str; 11] = [
    "established",
    "synsent",
    "synrecv",
    "finwait1",
    "finwait2",
    "timewait",
    "close",
    "closewait",
    "lastack",
    "listen",
    "closing",
];
/// What is told of sockets of UDP: how many there are, what waits in them, and what they lost.
pub(super) const UDP_STATES: [&str; 4] = ["listen", "dropped", "rxqueued", "txqueued"];

/// What one network namespace has; nothing of a protocol whose table cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Connections {
    /// Of versions 4 and 6.
    pub(super) tcp: [Option<[u64; TCP_STATES.len()]>; 2],
    pub(super) udp: [Option<[u64; UDP_STATES.len()]>; 2],
}

impl Connections {
    /// Those of the namespace of a process.
    pub(super) fn read(paths: &Paths, file: &mut File, pid: impl fmt::Display) -> Self {
        let mut table = |name: &str| {
            let content = file.content(paths, Root::Proc, format_args!("{pid}/net/{name}"))?;
            // A last line without its end may be cut.
            let end = memchr::memrchr(b'\n', content)?;
            Some(content[..end].to_vec())
        };
        let (tcp, tcp6, udp, udp6) = (table("tcp"), table("tcp6"), table("udp"), table("udp6"));
        Self {
            tcp: [tcp, tcp6].map(|content| content.map(|content| tcp_states(&content))),
            udp: [udp, udp6].map(|content| content.map(|content| udp_states(&content))),
        }
    }
}

/// Lines such as `0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 …`, behind one of titles.
fn tcp_states(content: &[u8]) -> [u64; TCP_STATES.len()] {
    let mut counts = [0; TCP_STATES.len()];
    for line in scan::lines(content).skip(1) {
        let state =
            scan::fields(line).nth(3).and_then(hexadecimal).and_then(|state| usize::try_from(state).ok());
        if let Some(count) = state.and_then(|state| counts.get_mut(state.checked_sub(1)?)) {
            *count += 1;
        }
    }
    counts
}

/// The same lines, with what waits to be sent and to be read in the fifth field, and what was lost last.
fn udp_states(content: &[u8]) -> [u64; UDP_STATES.len()] {
    let [mut count, mut dropped, mut received, mut sent] = [0_u64; UDP_STATES.len()];
    for line in scan::lines(content).skip(1) {
        count += 1;
        let mut fields = scan::fields(line);
        let queues = fields.nth(4).and_then(|queues| scan::split_at(queues, b':'));
        if let Some((of_sent, of_received)) = queues {
            sent = sent.saturating_add(hexadecimal(of_sent).unwrap_or(0));
            received = received.saturating_add(hexadecimal(of_received).unwrap_or(0));
        }
        dropped = dropped.saturating_add(fields.last().and_then(scan::number).unwrap_or(0));
    }
    [count, dropped, received, sent]
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn connections_are_counted_by_their_states() {
        let tcp = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
                    0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n\
                    1: 0100007F:1F90 0100007F:0001 01 00000000:00000000 00:00000000 00000000\n\
                    2: 0100007F:1F90 0100007F:0002 01 00000000:00000000 00:00000000 00000000\n\
                    3: 0100007F:1F90 0100007F:0003 0C x\n4: 0100007F";
        assert_eq!(tcp_states(tcp), [2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        let udp =
            b"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  drops\n\
                    0: 0100007F:1F90 00000000:0000 07 00000010:00000003 00:00000000 00000000 0 0 7 2 0 5\n\
                    1: 0100007F:1F91 00000000:0000 07 00000000:0000000A 00:00000000 00000000 0 0 8 2 0 1";
        assert_eq!(udp_states(udp), [2, 6, 13, 16]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            tcp_states(&bytes);
            udp_states(&bytes);
        }
    }
}
