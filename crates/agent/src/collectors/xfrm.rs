//! `xfrm`: packets that IPsec could not transform, from `/proc/net/xfrm_stat`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};

/// A counter of the kernel, its metric and help.
type Counter = (&'static [u8], &'static str, &'static str);

/// The counters that the reference shows; later kernels have more.
const COUNTERS: &[Counter] = &[
    (b"XfrmInError", "node_xfrm_in_error_packets_total", "Packets in: errors of no other kind."),
    (b"XfrmInBufferError", "node_xfrm_in_buffer_error_packets_total", "Packets in: no buffer was left."),
    (b"XfrmInHdrError", "node_xfrm_in_hdr_error_packets_total", "Packets in: wrong headers."),
    (
        b"XfrmInNoStates",
        "node_xfrm_in_no_states_packets_total",
        "Packets in: no state was found, for the index, address or protocol was wrong.",
    ),
    (
        b"XfrmInStateProtoError",
        "node_xfrm_in_state_proto_error_packets_total",
        "Packets in: errors of the protocol, such as a wrong key.",
    ),
    (
        b"XfrmInStateModeError",
        "node_xfrm_in_state_mode_error_packets_total",
        "Packets in: errors of the mode.",
    ),
    (
        b"XfrmInStateSeqError",
        "node_xfrm_in_state_seq_error_packets_total",
        "Packets in: sequence numbers outside of the window.",
    ),
    (b"XfrmInStateExpired", "node_xfrm_in_state_expired_packets_total", "Packets in: the state had expired."),
    (
        b"XfrmInStateMismatch",
        "node_xfrm_in_state_mismatch_packets_total",
        "Packets in: an option did not fit the state, such as the kind of UDP encapsulation.",
    ),
    (
        b"XfrmInStateInvalid",
        "node_xfrm_in_state_invalid_packets_total",
        "Packets in: the state was not valid.",
    ),
    (
        b"XfrmInTmplMismatch",
        "node_xfrm_in_tmpl_mismatch_packets_total",
        "Packets in: no template fitted the states, such as by a wrong policy.",
    ),
    (
        b"XfrmInNoPols",
        "node_xfrm_in_no_pols_packets_total",
        "Packets in: the states were right but had no policy.",
    ),
    (b"XfrmInPolBlock", "node_xfrm_in_pol_block_packets_total", "Packets in: the policy discards them."),
    (b"XfrmInPolError", "node_xfrm_in_pol_error_packets_total", "Packets in: errors of the policy."),
    (b"XfrmOutError", "node_xfrm_out_error_packets_total", "Packets out: errors of no other kind."),
    (
        b"XfrmOutBundleGenError",
        "node_xfrm_out_bundle_gen_error_packets_total",
        "Packets out: a bundle could not be made.",
    ),
    (
        b"XfrmOutBundleCheckError",
        "node_xfrm_out_bundle_check_error_packets_total",
        "Packets out: a bundle was wrong.",
    ),
    (b"XfrmOutNoStates", "node_xfrm_out_no_states_packets_total", "Packets out: no state was found."),
    (
        b"XfrmOutStateProtoError",
        "node_xfrm_out_state_proto_error_packets_total",
        "Packets out: errors of the protocol.",
    ),
    (
        b"XfrmOutStateModeError",
        "node_xfrm_out_state_mode_error_packets_total",
        "Packets out: errors of the mode.",
    ),
    (
        b"XfrmOutStateSeqError",
        "node_xfrm_out_state_seq_error_packets_total",
        "Packets out: the sequence number overflowed.",
    ),
    (
        b"XfrmOutStateExpired",
        "node_xfrm_out_state_expired_packets_total",
        "Packets out: the state had expired.",
    ),
    (b"XfrmOutPolBlock", "node_xfrm_out_pol_block_packets_total", "Packets out: the policy discards them."),
    (b"XfrmOutPolDead", "node_xfrm_out_pol_dead_packets_total", "Packets out: the policy was dead."),
    (b"XfrmOutPolError", "node_xfrm_out_pol_error_packets_total", "Packets out: errors of the policy."),
    (b"XfrmFwdHdrError", "node_xfrm_fwd_hdr_error_packets_total", "Packets that may not be forwarded."),
    (
        b"XfrmOutStateInvalid",
        "node_xfrm_out_state_invalid_packets_total",
        "Packets out: the state was not valid.",
    ),
    (
        b"XfrmAcquireError",
        "node_xfrm_acquire_error_packets_total",
        "Packets whose state was used before it was acquired.",
    ),
];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Xfrm {
    file: File,
}

impl Collector for Xfrm {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !self.file.read_if_exists(context.paths, Root::Proc, format_args!("net/xfrm_stat"))? {
            return Err(CollectError::NoData("the kernel counts no transformations of packets".into()));
        }
        let mut values = [None; COUNTERS.len()];
        for line in self.file.lines()? {
            let (key, value) =
                parse(line).ok_or_else(|| self.file.bad_line(line, "a name and a number are expected"))?;
            if let Some(at) = COUNTERS.iter().position(|(known, ..)| *known == key) {
                values[at] = Some(value);
            }
        }
        if values.iter().all(Option::is_none) {
            return Err(self.file.malformed("none of the counters stands in it"));
        }
        for ((_, name, help), value) in COUNTERS.iter().zip(values) {
            if let Some(value) = value {
                context.out.counter(name, help, value as f64);
            }
        }
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<(&[u8], u64)> {
    let mut fields = scan::fields(line);
    Some((fields.next()?, fields.number()?))
}
