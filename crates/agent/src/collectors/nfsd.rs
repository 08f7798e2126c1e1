//! `nfsd`: what others asked of this machine's NFS server, from `/proc/net/rpc/nfsd`. A line that a kernel
//! does not have leaves out its families.

use super::rpc;
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    output::Output,
    scan,
    source::{File, Root},
    table::{self, Column, Table},
};
use skopos_model::MetricType;

const REQUESTS: &[Column] = &[table::counter("node_nfsd_requests_total", "Procedures that were called.")];
/// The lines of the protocol's versions. Calls that do nothing are not shown.
const VERSIONS: [rpc::Version; 3] =
    [("proc2", "2", rpc::V2), ("proc3", "3", rpc::V3), ("proc4ops", "4", rpc::V4_SERVER)];

/// Families of single numbers: the line, which number of it, the family.
const NUMBERS: &[(&str, usize, MetricType, &str, &str)] = &[
    ("rc", 0, MetricType::Counter, "node_nfsd_reply_cache_hits_total", "Replies that were sent again."),
    ("rc", 1, MetricType::Counter, "node_nfsd_reply_cache_misses_total", "Replies that were kept."),
    ("rc", 2, MetricType::Counter, "node_nfsd_reply_cache_nocache_total", "Replies that need not be kept."),
    ("fh", 0, MetricType::Counter, "node_nfsd_file_handles_stale_total", "Handles of files that are gone."),
    ("io", 0, MetricType::Counter, "node_nfsd_disk_bytes_read_total", "Bytes read."),
    ("io", 1, MetricType::Counter, "node_nfsd_disk_bytes_written_total", "Bytes written."),
    ("th", 0, MetricType::Gauge, "node_nfsd_server_threads", "Threads of the server."),
    ("ra", 0, MetricType::Gauge, "node_nfsd_read_ahead_cache_size_blocks", "Blocks kept for reading ahead."),
    (
        "ra",
        11,
        MetricType::Counter,
        "node_nfsd_read_ahead_cache_not_found_total",
        "Blocks that were not read ahead.",
    ),
    ("net", 3, MetricType::Counter, "node_nfsd_connections_total", "Connections accepted."),
    ("rpc", 0, MetricType::Counter, "node_nfsd_server_rpcs_total", "Calls received."),
];
/// A family whose samples are numbers of one line.
struct Labelled {
    line: &'static str,
    name: &'static str,
    help: &'static str,
    label: &'static str,
    /// The label's values, and which number of the line each is.
    values: &'static [(&'static str, usize)],
}

const LABELLED: &[Labelled] = &[
    Labelled {
        line: "net",
        name: "node_nfsd_packets_total",
        help: "Packets sent and received.",
        label: "proto",
        values: &[("tcp", 2), ("udp", 1)],
    },
    Labelled {
        line: "rpc",
        name: "node_nfsd_rpc_errors_total",
        help: "Calls that were refused.",
        label: "error",
        values: &[("auth", 3), ("cInt", 4), ("fmt", 2)],
    },
];

/// The collector.
#[derive(Debug)]
pub(crate) struct Nfsd {
    file: File,
    requests: Table,
}

impl Nfsd {
    pub(crate) fn new() -> Self {
        Self { file: File::default(), requests: Table::new(&["method", "proto"], REQUESTS) }
    }

    /// The number `at` of the line `key`.
    fn number(&self, key: &str, at: usize) -> Result<Option<u64>, CollectError> {
        for line in self.file.lines()? {
            let mut fields = scan::fields(line);
            if fields.next() == Some(key.as_bytes()) {
                let number = fields.nth(at).and_then(scan::number);
                let bad = || self.file.bad_line(line, "more numbers are expected");
                return number.map(Some).ok_or_else(bad);
            }
        }
        Ok(None)
    }

    fn write_numbers(&self, out: &mut Output<'_>) -> Result<(), CollectError> {
        for (key, at, kind, name, help) in NUMBERS {
            if let Some(number) = self.number(key, *at)? {
                out.family(name, *kind, help).sample(&[], number as f64);
            }
        }
        for Labelled { line, name, help, label, values } in LABELLED {
            let mut family = out.family(name, MetricType::Counter, help);
            for (value, at) in *values {
                if let Some(number) = self.number(line, *at)? {
                    family.sample(&[(label, value)], number as f64);
                }
            }
        }
        Ok(())
    }
}

impl Collector for Nfsd {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !self.file.read_if_exists(context.paths, Root::Proc, format_args!("net/rpc/nfsd"))? {
            return Err(CollectError::NoData("this machine is no NFS server".into()));
        }
        self.write_numbers(&mut context.out)?;
        let is_shown = |name: &str| !matches!(name, "" | "Null");
        rpc::read_requests(&self.file, &VERSIONS, &mut self.requests, is_shown)?;
        if let Some(count) = self.number("wdeleg_getattr", 0)? {
            self.requests.row(&["WdelegGetattr", "4"])[0] = Some(count as f64);
        }
        self.requests.write(&mut context.out);
        Ok(())
    }
}
