//! `nfs`: what this machine asked of NFS servers, from `/proc/net/rpc/nfs`.

use super::rpc;
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    source::{File, Root},
    table::{self, Column, Table},
};
use skopos_model::MetricType;

const REQUESTS: &[Column] = &[table::counter("node_nfs_requests_total", "Procedures that were called.")];
/// The lines of the protocol's versions.
const VERSIONS: [rpc::Version; 3] =
    [("proc2", "2", rpc::V2), ("proc3", "3", rpc::V3), ("proc4", "4", rpc::V4_CLIENT)];

/// The collector.
#[derive(Debug)]
pub(crate) struct Nfs {
    file: File,
    requests: Table,
}

impl Nfs {
    pub(crate) fn new() -> Self {
        Self { file: File::default(), requests: Table::new(&["method", "proto"], REQUESTS) }
    }

    /// The first numbers of the line `key`.
    fn line<const N: usize>(&self, key: &str) -> Result<Option<[u64; N]>, CollectError> {
        let Some(numbers) = rpc::numbers(&self.file, key)? else { return Ok(None) };
        let first = numbers.first_chunk().copied();
        first.map(Some).ok_or_else(|| self.file.malformed(format_args!("the line {key} is too short")))
    }
}

impl Collector for Nfs {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !self.file.read_if_exists(context.paths, Root::Proc, format_args!("net/rpc/nfs"))? {
            return Err(CollectError::NoData("this machine asks no NFS servers".into()));
        }
        let out = &mut context.out;
        if let Some([_, udp, tcp, connections]) = self.line("net")? {
            let help = "Packets sent and received.";
            let mut family = out.family("node_nfs_packets_total", MetricType::Counter, help);
            family.sample(&[("protocol", "tcp")], tcp as f64);
            family.sample(&[("protocol", "udp")], udp as f64);
            out.counter("node_nfs_connections_total", "Connections made.", connections as f64);
        }
        if let Some([calls, again, refreshes]) = self.line("rpc")? {
            out.counter("node_nfs_rpcs_total", "Calls made.", calls as f64);
            out.counter("node_nfs_rpc_retransmissions_total", "Calls made once more.", again as f64);
            let help = "Credentials that were made anew.";
            out.counter("node_nfs_rpc_authentication_refreshes_total", help, refreshes as f64);
        }
        rpc::read_requests(&self.file, &VERSIONS, &mut self.requests, |_| true)?;
        self.requests.write(&mut context.out);
        Ok(())
    }
}
