//! Part of `infiniband`: the files of a port and their families, in one order.

use crate::table::{Column, counter, gauge};

/// A file with a counter, and by what it is multiplied.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) file: &'static str,
    pub(super) factor: f64,
}

const fn plain(file: &'static str) -> Counter {
    Counter { file, factor: 1.0 }
}

/// Data is counted in words of four bytes.
const fn words(file: &'static str) -> Counter {
    Counter { file, factor: 4.0 }
}

const fn milliseconds(file: &'static str) -> Counter {
    Counter { file, factor: 1e-3 }
}

/// The files; behind them stand the columns that are read otherwise.
pub(super) const COUNTERS: &[Counter] = &[
    plain("hw_counters/duplicate_request"),
    plain("counters/excessive_buffer_overrun_errors"),
    plain("hw_counters/implied_nak_seq_err"),
    words("counters_ext/port_rcv_data_64"),
    words("counters_ext/port_xmit_data_64"),
    plain("counters_ext/port_multicast_rcv_packets"),
    plain("counters_ext/port_multicast_xmit_packets"),
    plain("counters_ext/port_rcv_packets_64"),
    plain("counters_ext/port_xmit_packets_64"),
    plain("counters_ext/port_unicast_rcv_packets"),
    plain("counters_ext/port_unicast_xmit_packets"),
    plain("counters/link_downed"),
    plain("counters/link_error_recovery"),
    plain("hw_counters/local_ack_timeout_err"),
    plain("counters/local_link_integrity_errors"),
    plain("counters/multicast_rcv_packets"),
    plain("counters/multicast_xmit_packets"),
    plain("hw_counters/np_cnp_sent"),
    plain("hw_counters/np_ecn_marked_roce_packets"),
    plain("hw_counters/out_of_buffer"),
    plain("hw_counters/out_of_sequence"),
    plain("hw_counters/packet_seq_err"),
    plain("counters/port_rcv_constraint_errors"),
    plain("counters/port_xmit_constraint_errors"),
    words("counters/port_rcv_data"),
    words("counters/port_xmit_data"),
    plain("counters/port_rcv_discards"),
    plain("counters/port_xmit_discards"),
    plain("counters/port_rcv_errors"),
    plain("counters/port_rcv_packets"),
    plain("counters/port_xmit_packets"),
    plain("counters/port_rcv_remote_physical_errors"),
    plain("counters/port_rcv_switch_relay_errors"),
    plain("counters/port_xmit_wait"),
    plain("hw_counters/req_cqe_error"),
    plain("hw_counters/req_cqe_flush_error"),
    plain("hw_counters/req_remote_access_errors"),
    plain("hw_counters/req_remote_invalid_request"),
    plain("hw_counters/resp_cqe_error"),
    plain("hw_counters/resp_cqe_flush_error"),
    plain("hw_counters/resp_local_length_error"),
    plain("hw_counters/resp_remote_access_errors"),
    plain("hw_counters/rnr_nak_retry_err"),
    plain("hw_counters/roce_adp_retrans_to"),
    plain("hw_counters/roce_adp_retrans"),
    plain("hw_counters/roce_slow_restart_cnps"),
    plain("hw_counters/roce_slow_restart_trans"),
    plain("hw_counters/roce_slow_restart"),
    plain("hw_counters/rp_cnp_ignored"),
    plain("hw_counters/rp_cnp_handled"),
    plain("hw_counters/rx_atomic_requests"),
    plain("hw_counters/rx_dct_connect"),
    plain("hw_counters/rx_icrc_encapsulated"),
    plain("hw_counters/rx_read_requests"),
    plain("hw_counters/rx_write_requests"),
    plain("counters/symbol_error"),
    plain("counters/unicast_rcv_packets"),
    plain("counters/unicast_xmit_packets"),
    plain("counters/VL15_dropped"),
    milliseconds("hw_counters/lifespan"),
];
/// The column of the port's state.
pub(super) const STATE: usize = COUNTERS.len();
/// The column of the state of the port's link.
pub(super) const PHYSICAL_STATE: usize = STATE + 1;
/// The column of the port's speed.
pub(super) const RATE: usize = STATE + 2;

/// The families.
pub(super) const COLUMNS: &[Column] = &[
    counter("node_infiniband_duplicate_requests_packets_total", "Requests that had been done before."),
    counter(
        "node_infiniband_excessive_buffer_overrun_errors_total",
        "Times that buffers overran again and again.",
    ),
    counter(
        "node_infiniband_implied_nak_seq_errors_total",
        "Answers that were further on than was asked for.",
    ),
    counter("node_infiniband_legacy_data_received_bytes_total", "Bytes received, as older kernels count."),
    counter("node_infiniband_legacy_data_transmitted_bytes_total", "Bytes sent, as older kernels count."),
    counter(
        "node_infiniband_legacy_multicast_packets_received_total",
        "Multicast packets received, as older kernels count.",
    ),
    counter(
        "node_infiniband_legacy_multicast_packets_transmitted_total",
        "Multicast packets sent, as older kernels count.",
    ),
    counter("node_infiniband_legacy_packets_received_total", "Packets received, as older kernels count."),
    counter("node_infiniband_legacy_packets_transmitted_total", "Packets sent, as older kernels count."),
    counter(
        "node_infiniband_legacy_unicast_packets_received_total",
        "Unicast packets received, as older kernels count.",
    ),
    counter(
        "node_infiniband_legacy_unicast_packets_transmitted_total",
        "Unicast packets sent, as older kernels count.",
    ),
    counter("node_infiniband_link_downed_total", "Times that the link went down for good."),
    counter("node_infiniband_link_error_recovery_total", "Times that the link recovered from an error."),
    counter("node_infiniband_local_ack_timeout_errors_total", "Times that no acknowledgement came in time."),
    counter(
        "node_infiniband_local_link_integrity_errors_total",
        "Times that there were too many errors on this side.",
    ),
    counter(
        "node_infiniband_multicast_packets_received_total",
        "Multicast packets received, those with errors too.",
    ),
    counter(
        "node_infiniband_multicast_packets_transmitted_total",
        "Multicast packets sent, those with errors too.",
    ),
    counter("node_infiniband_np_cnp_packets_sent_total", "Notices of congestion sent."),
    counter(
        "node_infiniband_np_ecn_marked_roce_packets_received_total",
        "Packets received that were marked for congestion.",
    ),
    counter("node_infiniband_out_of_buffer_drops_total", "Packets dropped for want of buffers."),
    counter("node_infiniband_out_of_sequence_packets_received_total", "Packets received out of their order."),
    counter(
        "node_infiniband_packet_sequence_errors_total",
        "Refusals received for packets out of their order.",
    ),
    counter(
        "node_infiniband_port_constraint_errors_received_total",
        "Packets that a switch's port received and threw away.",
    ),
    counter(
        "node_infiniband_port_constraint_errors_transmitted_total",
        "Packets that a switch's port did not send.",
    ),
    counter("node_infiniband_port_data_received_bytes_total", "Bytes received."),
    counter("node_infiniband_port_data_transmitted_bytes_total", "Bytes sent."),
    counter(
        "node_infiniband_port_discards_received_total",
        "Packets received and thrown away as the port was down or full.",
    ),
    counter(
        "node_infiniband_port_discards_transmitted_total",
        "Packets not sent as the port was down or full.",
    ),
    counter("node_infiniband_port_errors_received_total", "Packets received with an error."),
    counter("node_infiniband_port_packets_received_total", "Packets received, those with errors too."),
    counter("node_infiniband_port_packets_transmitted_total", "Packets sent, those with errors too."),
    counter(
        "node_infiniband_port_receive_remote_physical_errors_total",
        "Packets that the sender marked as bad.",
    ),
    counter(
        "node_infiniband_port_receive_switch_relay_errors_total",
        "Packets that a switch could not pass on.",
    ),
    counter(
        "node_infiniband_port_transmit_wait_total",
        "Ticks in which there was something to send and nothing was sent.",
    ),
    counter("node_infiniband_req_cqes_errors_total", "Requests that ended with an error."),
    counter("node_infiniband_req_cqes_flush_errors_total", "Requests that were flushed."),
    counter("node_infiniband_req_remote_access_errors_total", "Requests that the other side did not allow."),
    counter(
        "node_infiniband_req_remote_invalid_request_errors_total",
        "Requests that the other side found wrong.",
    ),
    counter("node_infiniband_resp_cqes_errors_total", "Responses that ended with an error."),
    counter("node_infiniband_resp_cqes_flush_errors_total", "Responses that were flushed."),
    counter("node_infiniband_resp_local_length_errors_total", "Requests received whose length was wrong."),
    counter("node_infiniband_resp_remote_access_errors_total", "Requests received that were not allowed."),
    counter(
        "node_infiniband_rnr_nak_retry_packets_received_total",
        "Refusals received as the other side was not ready.",
    ),
    counter(
        "node_infiniband_roce_adp_retransmits_timeout_total",
        "Times that sending again adaptively took too long.",
    ),
    counter("node_infiniband_roce_adp_retransmits_total", "Packets that were sent again adaptively."),
    counter(
        "node_infiniband_roce_slow_restart_cnps_total",
        "Notices of congestion that a slow restart sent.",
    ),
    counter("node_infiniband_roce_slow_restart_total", "Times that a slow restart began."),
    counter("node_infiniband_roce_slow_restart_used_total", "Times that a slow restart was used."),
    counter(
        "node_infiniband_rp_cnp_ignored_packets_received_total",
        "Notices of congestion that were not followed.",
    ),
    counter("node_infiniband_rp_cnp_packets_handled_total", "Notices of congestion that were followed."),
    counter("node_infiniband_rx_atomic_requests_total", "Atomic requests received."),
    counter("node_infiniband_rx_dct_connect_requests_total", "Requests to connect received."),
    counter("node_infiniband_rx_icrc_encapsulated_errors_total", "Packets whose checksum was wrong."),
    counter("node_infiniband_rx_read_requests_total", "Requests to read received."),
    counter("node_infiniband_rx_write_requests_total", "Requests to write received."),
    counter("node_infiniband_symbol_error_total", "Small errors on the wires."),
    counter(
        "node_infiniband_unicast_packets_received_total",
        "Unicast packets received, those with errors too.",
    ),
    counter(
        "node_infiniband_unicast_packets_transmitted_total",
        "Unicast packets sent, those with errors too.",
    ),
    counter("node_infiniband_vl15_dropped_total", "Packets of management dropped for want of room."),
    gauge("node_infiniband_lifespan_seconds", "How long the adapter's counters may stay as they are."),
    gauge("node_infiniband_state_id", "The state of each port; 4 is active."),
    gauge("node_infiniband_physical_state_id", "The state of each port's link; 5 is up."),
    gauge("node_infiniband_rate_bytes_per_second", "The speed of each port."),
];
