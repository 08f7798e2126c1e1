//! What was sent to a server, refused by it and tried again, and how it is shown: under the names that
//! Prometheus' dashboards and rules know where there are such. Never waits.

use skopos_exposition::Families;
use skopos_model::MetricType;
use skopos_spool::Stats;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// The counters of one server.
#[derive(Debug, Default)]
pub(crate) struct SenderStats {
    /// Samples that the server took, and the bytes of their requests.
    pub(crate) sent: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    /// Samples that it refused for good.
    pub(crate) refused: AtomicU64,
    /// Samples that were sent once more.
    pub(crate) retried: AtomicU64,
    /// Families that the server was told of, that it refused to be told of, and that it is told of again.
    pub(crate) families_sent: AtomicU64,
    pub(crate) families_refused: AtomicU64,
    pub(crate) families_retried: AtomicU64,
    /// The newest time of what it took, in milliseconds; 0 before the first.
    pub(crate) newest_ms: AtomicI64,
}

/// One server as its metrics call it.
#[derive(Debug)]
pub(crate) struct Labelled<'a> {
    pub(crate) name: &'a str,
    pub(crate) url: &'a str,
    pub(crate) stats: &'a SenderStats,
}

/// A family with a sample for each server.
struct PerServer {
    name: &'static str,
    metric_type: MetricType,
    help: &'static str,
    value: fn(&SenderStats, &skopos_spool::ReaderStats) -> f64,
}

const PER_SERVER: [PerServer; 10] = [
    PerServer {
        name: "prometheus_remote_storage_samples_total",
        metric_type: MetricType::Counter,
        help: "Samples that the server took.",
        value: |s, _| s.sent.load(Relaxed) as f64,
    },
    PerServer {
        name: "prometheus_remote_storage_bytes_total",
        metric_type: MetricType::Counter,
        help: "Bytes of the requests that the server took, compressed.",
        value: |s, _| s.sent_bytes.load(Relaxed) as f64,
    },
    PerServer {
        name: "prometheus_remote_storage_samples_failed_total",
        metric_type: MetricType::Counter,
        help: "Samples that the server refused for good; they are gone.",
        value: |s, _| s.refused.load(Relaxed) as f64,
    },
    PerServer {
        name: "prometheus_remote_storage_samples_retried_total",
        metric_type: MetricType::Counter,
        help: "Samples that were sent once more, as the server was away, busy or failed.",
        value: |s, _| s.retried.load(Relaxed) as f64,
    },
    PerServer {
        name: "prometheus_remote_storage_metadata_total",
        metric_type: MetricType::Counter,
        help: "Families whose type and help the server took.",
        value: |s, _| s.families_sent.load(Relaxed) as f64,
    },
    PerServer {
        name: "prometheus_remote_storage_metadata_failed_total",
        metric_type: MetricType::Counter,
        help: "Families whose type and help the server refused.",
        value: |s, _| s.families_refused.load(Relaxed) as f64,
    },
    PerServer {
        name: "prometheus_remote_storage_metadata_retried_total",
        metric_type: MetricType::Counter,
        help: "Families whose type and help the server could not take, and is told again.",
        value: |s, _| s.families_retried.load(Relaxed) as f64,
    },
    PerServer {
        name: "prometheus_remote_storage_samples_pending",
        metric_type: MetricType::Gauge,
        help: "Samples that the server has still to get.",
        value: |_, r| r.pending as f64,
    },
    PerServer {
        name: "skopos_remote_write_pending_bytes",
        metric_type: MetricType::Gauge,
        help: "Bytes that the server has still to get, compressed.",
        value: |_, r| r.pending_bytes as f64,
    },
    PerServer {
        name: "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
        metric_type: MetricType::Gauge,
        help: "The newest time of the samples that the server took, since the Unix epoch; else 0.",
        value: |s, _| s.newest_ms.load(Relaxed) as f64 / 1e3,
    },
];

/// Writes the families of the queue and of all servers. `newest_ms` is the time of the newest samples that
/// came.
pub(crate) fn write(out: &mut Families<'_>, spool: &Stats, servers: &[Labelled<'_>], newest_ms: i64) {
    for family in &PER_SERVER {
        out.family(family.name, family.metric_type, family.help);
        for (server, reader) in servers.iter().zip(&spool.readers) {
            let labels = [("remote_name", server.name), ("url", server.url)];
            out.sample("", &labels, (family.value)(server.stats, reader));
        }
    }
    let help = "Samples that a bound took before the server got them, by bound.";
    out.family("prometheus_remote_storage_samples_dropped_total", MetricType::Counter, help);
    for (server, reader) in servers.iter().zip(&spool.readers) {
        let lost = &reader.lost;
        let reasons = [
            ("age", lost.by_age),
            ("damage", lost.by_damage),
            ("memory", lost.by_memory),
            ("size", lost.by_size),
        ];
        for (reason, samples) in reasons {
            let labels = [("reason", reason), ("remote_name", server.name), ("url", server.url)];
            out.sample("", &labels, samples as f64);
        }
    }
    let help = "The newest time of the samples that came, since the Unix epoch; else 0.";
    out.gauge("prometheus_remote_storage_highest_timestamp_in_seconds", help, newest_ms as f64 / 1e3);
    out.gauge("skopos_remote_write_wal_bytes", "Bytes of the queue on disk.", spool.bytes as f64);
    out.gauge("skopos_remote_write_wal_segments", "Files of the queue on disk.", spool.segments as f64);
    let help = "Bytes of the queue that wait in memory, as the disk does not take them.";
    out.gauge("skopos_remote_write_unwritten_bytes", help, spool.unwritten_bytes as f64);
    let help = "How often the disk refused a part of the queue.";
    out.counter("skopos_remote_write_disk_refusals_total", help, spool.refusals as f64);
}
