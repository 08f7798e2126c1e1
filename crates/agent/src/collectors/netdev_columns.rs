//! Part of `netdev`: which counters of a link become which metrics.

use crate::netlink::LINK_COUNTERS;

/// A link's counters, in the order of the kernel's `rtnl_link_stats64`.
pub(crate) type Counters = [u64; LINK_COUNTERS];

/// A metric of links.
#[derive(Debug)]
pub(crate) struct Column {
    /// The metric's name.
    pub(crate) name: &'static str,
    /// Its help text.
    pub(crate) help: &'static str,
    /// The counters that it is the sum of.
    counters: &'static [usize],
}

impl Column {
    /// The metric's value.
    pub(crate) fn value(&self, counters: &Counters) -> f64 {
        self.counters.iter().fold(0_u64, |sum, at| sum.wrapping_add(counters[*at])) as f64
    }
}

pub(crate) const RX_PACKETS: usize = 0;
pub(crate) const TX_PACKETS: usize = 1;
pub(crate) const RX_BYTES: usize = 2;
pub(crate) const TX_BYTES: usize = 3;
pub(crate) const RX_ERRORS: usize = 4;
pub(crate) const TX_ERRORS: usize = 5;
pub(crate) const RX_DROPPED: usize = 6;
pub(crate) const TX_DROPPED: usize = 7;
pub(crate) const MULTICAST: usize = 8;
pub(crate) const COLLISIONS: usize = 9;
const RX_LENGTH_ERRORS: usize = 10;
const RX_OVER_ERRORS: usize = 11;
const RX_CRC_ERRORS: usize = 12;
pub(crate) const RX_FRAME_ERRORS: usize = 13;
pub(crate) const RX_FIFO_ERRORS: usize = 14;
const RX_MISSED_ERRORS: usize = 15;
const TX_ABORTED_ERRORS: usize = 16;
pub(crate) const TX_CARRIER_ERRORS: usize = 17;
pub(crate) const TX_FIFO_ERRORS: usize = 18;
const TX_HEARTBEAT_ERRORS: usize = 19;
const TX_WINDOW_ERRORS: usize = 20;
pub(crate) const RX_COMPRESSED: usize = 21;
pub(crate) const TX_COMPRESSED: usize = 22;
const RX_NOHANDLER: usize = 23;

macro_rules! columns {
    ($($name:literal $help:literal [$($at:expr),+];)+) => {
        &[$(Column { name: concat!("node_network_", $name, "_total"), help: $help, counters: &[$($at),+] }),+]
    };
}

/// The names that dashboards know; they are those of `/proc/net/dev`.
pub(crate) const CLASSIC: &[Column] = columns! {
    "receive_bytes" "Bytes received." [RX_BYTES];
    "receive_compressed" "Compressed packets received." [RX_COMPRESSED];
    "receive_drop" "Packets received but dropped." [RX_DROPPED, RX_MISSED_ERRORS];
    "receive_errs" "Packets received with errors." [RX_ERRORS];
    "receive_fifo" "Packets lost as a receive buffer was full." [RX_FIFO_ERRORS];
    "receive_frame" "Packets received with framing errors."
        [RX_FRAME_ERRORS, RX_LENGTH_ERRORS, RX_OVER_ERRORS, RX_CRC_ERRORS];
    "receive_multicast" "Multicast packets received." [MULTICAST];
    "receive_packets" "Packets received." [RX_PACKETS];
    "transmit_bytes" "Bytes sent." [TX_BYTES];
    "transmit_carrier" "Packets not sent as the carrier was lost."
        [TX_CARRIER_ERRORS, TX_ABORTED_ERRORS, TX_HEARTBEAT_ERRORS, TX_WINDOW_ERRORS];
    "transmit_colls" "Collisions while sending." [COLLISIONS];
    "transmit_compressed" "Compressed packets sent." [TX_COMPRESSED];
    "transmit_drop" "Packets dropped before they were sent." [TX_DROPPED];
    "transmit_errs" "Packets not sent because of errors." [TX_ERRORS];
    "transmit_fifo" "Packets not sent as a buffer ran empty." [TX_FIFO_ERRORS];
    "transmit_packets" "Packets sent." [TX_PACKETS];
};

/// What only netlink tells.
pub(crate) const NO_HANDLER: &[Column] = columns! {
    "receive_nohandler" "Packets received that nobody wanted." [RX_NOHANDLER];
};

/// The names of `--collector.netdev.enable-detailed-metrics` with netlink.
pub(crate) const DETAILED: &[Column] = columns! {
    "collisions" "Collisions while sending." [COLLISIONS];
    "multicast" "Multicast packets received." [MULTICAST];
    "receive_bytes" "Bytes received." [RX_BYTES];
    "receive_compressed" "Compressed packets received." [RX_COMPRESSED];
    "receive_crc_errors" "Packets received with a wrong checksum." [RX_CRC_ERRORS];
    "receive_dropped" "Packets received but dropped." [RX_DROPPED];
    "receive_errors" "Packets received with errors." [RX_ERRORS];
    "receive_fifo_errors" "Packets lost as a receive buffer was full." [RX_FIFO_ERRORS];
    "receive_frame_errors" "Packets received with a wrong frame." [RX_FRAME_ERRORS];
    "receive_length_errors" "Packets received with a wrong length." [RX_LENGTH_ERRORS];
    "receive_missed_errors" "Packets that the host was too slow for." [RX_MISSED_ERRORS];
    "receive_nohandler" "Packets received that nobody wanted." [RX_NOHANDLER];
    "receive_over_errors" "Packets received that were too large for the buffer." [RX_OVER_ERRORS];
    "receive_packets" "Packets received." [RX_PACKETS];
    "transmit_aborted_errors" "Packets whose sending was aborted." [TX_ABORTED_ERRORS];
    "transmit_bytes" "Bytes sent." [TX_BYTES];
    "transmit_carrier_errors" "Packets not sent as the carrier was lost." [TX_CARRIER_ERRORS];
    "transmit_compressed" "Compressed packets sent." [TX_COMPRESSED];
    "transmit_dropped" "Packets dropped before they were sent." [TX_DROPPED];
    "transmit_errors" "Packets not sent because of errors." [TX_ERRORS];
    "transmit_fifo_errors" "Packets not sent as a buffer ran empty." [TX_FIFO_ERRORS];
    "transmit_heartbeat_errors" "Packets not sent as the heartbeat was lost." [TX_HEARTBEAT_ERRORS];
    "transmit_packets" "Packets sent." [TX_PACKETS];
    "transmit_window_errors" "Packets not sent because of late collisions." [TX_WINDOW_ERRORS];
};

/// The names of `--collector.netdev.enable-detailed-metrics` with `/proc/net/dev`.
pub(crate) const DETAILED_PROC: &[Column] = columns! {
    "receive_bytes" "Bytes received." [RX_BYTES];
    "receive_compressed" "Compressed packets received." [RX_COMPRESSED];
    "receive_dropped" "Packets received but dropped." [RX_DROPPED];
    "receive_errors" "Packets received with errors." [RX_ERRORS];
    "receive_fifo" "Packets lost as a receive buffer was full." [RX_FIFO_ERRORS];
    "receive_frame" "Packets received with framing errors." [RX_FRAME_ERRORS];
    "receive_multicast" "Multicast packets received." [MULTICAST];
    "receive_packets" "Packets received." [RX_PACKETS];
    "transmit_bytes" "Bytes sent." [TX_BYTES];
    "transmit_carrier" "Packets not sent as the carrier was lost." [TX_CARRIER_ERRORS];
    "transmit_colls" "Collisions while sending." [COLLISIONS];
    "transmit_compressed" "Compressed packets sent." [TX_COMPRESSED];
    "transmit_dropped" "Packets dropped before they were sent." [TX_DROPPED];
    "transmit_errors" "Packets not sent because of errors." [TX_ERRORS];
    "transmit_fifo" "Packets not sent as a buffer ran empty." [TX_FIFO_ERRORS];
    "transmit_packets" "Packets sent." [TX_PACKETS];
};

/// The columns of `/proc/net/dev` in their order.
pub(crate) const PROC_ORDER: [usize; 16] = [
    RX_BYTES,
    RX_PACKETS,
    RX_ERRORS,
    RX_DROPPED,
    RX_FIFO_ERRORS,
    RX_FRAME_ERRORS,
    RX_COMPRESSED,
    MULTICAST,
    TX_BYTES,
    TX_PACKETS,
    TX_ERRORS,
    TX_DROPPED,
    TX_FIFO_ERRORS,
    COLLISIONS,
    TX_CARRIER_ERRORS,
    TX_COMPRESSED,
];
