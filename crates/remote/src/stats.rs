//! What was sent to a server, refused by it and tried again, and how it is shown: under the names that
//! Prometheus' dashboards and rules know where there are such. Never waits.

use crate::message::Counts;
use skopos_exposition::Families;
use skopos_model::MetricType;
use skopos_spool::{ReaderStats, Stats};
use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counters of samples by their kind.
#[derive(Debug, Default)]
pub(crate) struct KindCounters {
    pub(crate) samples: AtomicU64,
    pub(crate) histograms: AtomicU64,
    pub(crate) exemplars: AtomicU64,
}

impl KindCounters {
    pub(crate) fn add(&self, counts: Counts) {
        self.samples.fetch_add(counts.samples, Relaxed);
        self.histograms.fetch_add(counts.histograms, Relaxed);
        self.exemplars.fetch_add(counts.exemplars, Relaxed);
    }

    pub(crate) fn get(&self) -> Counts {
        Counts {
            samples: self.samples.load(Relaxed),
            histograms: self.histograms.load(Relaxed),
            exemplars: self.exemplars.load(Relaxed),
        }
    }
}

/// Upper bounds of how long requests take, in seconds.
const BOUNDS: [f64; 9] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
/// How much of the time per sample the newest request says.
const NEWEST: f64 = 0.2;

/// The counters of one server.
#[derive(Debug, Default)]
pub(crate) struct SenderStats {
    /// What came to be sent.
    pub(crate) came: KindCounters,
    /// What the server took, and the bytes of the requests.
    pub(crate) sent: KindCounters,
    pub(crate) sent_bytes: AtomicU64,
    /// What it refused for good.
    pub(crate) failed: KindCounters,
    /// What was sent once more.
    pub(crate) retried: KindCounters,
    /// What was too old when its time came.
    pub(crate) too_old: KindCounters,
    /// What is not sent: rules drop it, nobody wants its kind, or nobody knows its series.
    pub(crate) by_rules: KindCounters,
    pub(crate) unwanted: KindCounters,
    pub(crate) unnamed: KindCounters,
    /// Families that the server was told of, that it refused to be told of, and that it is told of again.
    pub(crate) families_sent: AtomicU64,
    pub(crate) families_bytes: AtomicU64,
    pub(crate) families_refused: AtomicU64,
    pub(crate) families_retried: AtomicU64,
    /// The newest time of what it took, in milliseconds; 0 before the first. The same of what came for it.
    pub(crate) newest_ms: AtomicI64,
    pub(crate) came_newest_ms: AtomicI64,
    /// Lanes now, those that there should be in thousandths, and the bounds of both.
    pub(crate) lanes: AtomicU64,
    pub(crate) lanes_wanted_milli: AtomicU64,
    pub(crate) lanes_bounds: [AtomicU64; 2],
    pub(crate) capacity: AtomicU64,
    pub(crate) max_samples: AtomicU64,
    /// The segment of the log that is read, how often something of the log was missing, and how often the
    /// disk did not take what was read.
    #[cfg(feature = "server")]
    pub(crate) segment: AtomicU64,
    pub(crate) missing: AtomicU64,
    pub(crate) refused_by_disk: AtomicU64,
    requests: [AtomicU64; BOUNDS.len() + 1],
    requests_nanos: AtomicU64,
    sample_seconds: AtomicU64,
}

impl SenderStats {
    /// A request took so long; of so many samples, where it was taken.
    pub(crate) fn took(&self, time: Duration, samples: Option<u64>) {
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.requests[bucket].fetch_add(1, Relaxed);
        self.requests_nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        let Some(samples) = samples else { return };
        let newest = seconds / samples.max(1) as f64;
        let before = self.seconds_per_sample();
        let mixed = if before == 0.0 { newest } else { before + (newest - before) * NEWEST };
        self.sample_seconds.store(mixed.to_bits(), Relaxed);
    }

    /// How long a sample takes one lane, lately; 0 before the first request.
    pub(crate) fn seconds_per_sample(&self) -> f64 {
        f64::from_bits(self.sample_seconds.load(Relaxed))
    }
}

/// One server as its metrics call it.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) name: &'a str,
    pub(crate) url: &'a str,
    pub(crate) stats: &'a SenderStats,
    pub(crate) reader: ReaderStats,
}

impl Shown<'_> {
    fn labels(&self) -> [(&str, &str); 2] {
        [("remote_name", self.name), ("url", self.url)]
    }
}

/// A family with a sample for each server.
struct PerServer {
    name: &'static str,
    metric_type: MetricType,
    help: &'static str,
    value: fn(&SenderStats, &ReaderStats) -> f64,
}

const fn counter(
    name: &'static str,
    help: &'static str,
    value: fn(&SenderStats, &ReaderStats) -> f64,
) -> PerServer {
    PerServer { name, metric_type: MetricType::Counter, help, value }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    value: fn(&SenderStats, &ReaderStats) -> f64,
) -> PerServer {
    PerServer { name, metric_type: MetricType::Gauge, help, value }
}

const PER_SERVER: [PerServer; 29] = [
    counter("prometheus_remote_storage_samples_total", "Samples that the server took.", |s, _| {
        s.sent.get().samples as f64
    }),
    counter(
        "prometheus_remote_storage_histograms_total",
        "Native histograms that the server took.",
        |s, _| s.sent.get().histograms as f64,
    ),
    counter("prometheus_remote_storage_exemplars_total", "Exemplars that the server took.", |s, _| {
        s.sent.get().exemplars as f64
    }),
    counter(
        "prometheus_remote_storage_bytes_total",
        "Bytes of the requests that the server took, compressed.",
        |s, _| s.sent_bytes.load(Relaxed) as f64,
    ),
    counter(
        "prometheus_remote_storage_samples_failed_total",
        "Samples that the server refused for good; they are gone.",
        |s, _| s.failed.get().samples as f64,
    ),
    counter(
        "prometheus_remote_storage_histograms_failed_total",
        "Native histograms that the server refused for good; they are gone.",
        |s, _| s.failed.get().histograms as f64,
    ),
    counter(
        "prometheus_remote_storage_exemplars_failed_total",
        "Exemplars that the server refused for good; they are gone.",
        |s, _| s.failed.get().exemplars as f64,
    ),
    counter(
        "prometheus_remote_storage_samples_retried_total",
        "Samples that were sent once more, as the server was away, busy or failed.",
        |s, _| s.retried.get().samples as f64,
    ),
    counter(
        "prometheus_remote_storage_histograms_retried_total",
        "Native histograms that were sent once more, as the server was away, busy or failed.",
        |s, _| s.retried.get().histograms as f64,
    ),
    counter(
        "prometheus_remote_storage_exemplars_retried_total",
        "Exemplars that were sent once more, as the server was away, busy or failed.",
        |s, _| s.retried.get().exemplars as f64,
    ),
    counter(
        "prometheus_remote_storage_metadata_total",
        "Families whose type and help the server took.",
        |s, _| s.families_sent.load(Relaxed) as f64,
    ),
    counter(
        "prometheus_remote_storage_metadata_bytes_total",
        "Bytes of the requests about families that the server took, compressed.",
        |s, _| s.families_bytes.load(Relaxed) as f64,
    ),
    counter(
        "prometheus_remote_storage_metadata_failed_total",
        "Families whose type and help the server refused.",
        |s, _| s.families_refused.load(Relaxed) as f64,
    ),
    counter(
        "prometheus_remote_storage_metadata_retried_total",
        "Families whose type and help the server could not take, and is told again.",
        |s, _| s.families_retried.load(Relaxed) as f64,
    ),
    counter(
        "prometheus_remote_storage_enqueue_retries_total",
        "How often the disk did not take what was to be sent, which was tried again.",
        |s, _| s.refused_by_disk.load(Relaxed) as f64,
    ),
    gauge(
        "prometheus_remote_storage_samples_pending",
        "Samples that the server has still to get.",
        |_, r| r.pending as f64,
    ),
    gauge(
        "skopos_remote_write_pending_bytes",
        "Bytes that the server has still to get, compressed.",
        |_, r| r.pending_bytes as f64,
    ),
    gauge(
        "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
        "The newest time of the samples that the server took, since the Unix epoch; else 0.",
        |s, _| s.newest_ms.load(Relaxed) as f64 / 1e3,
    ),
    gauge(
        "prometheus_remote_storage_queue_highest_timestamp_seconds",
        "The newest time of the samples that came for the server, since the Unix epoch; else 0.",
        |s, _| s.came_newest_ms.load(Relaxed) as f64 / 1e3,
    ),
    gauge("prometheus_remote_storage_shards", "Requests that may be under way side by side.", |s, _| {
        s.lanes.load(Relaxed) as f64
    }),
    gauge(
        "prometheus_remote_storage_shards_desired",
        "How many of them it would take to send as much as comes, whatever the bounds are.",
        |s, _| s.lanes_wanted_milli.load(Relaxed) as f64 / 1e3,
    ),
    gauge("prometheus_remote_storage_shards_min", "The fewest of them.", |s, _| {
        s.lanes_bounds[0].load(Relaxed) as f64
    }),
    gauge("prometheus_remote_storage_shards_max", "The most of them.", |s, _| {
        s.lanes_bounds[1].load(Relaxed) as f64
    }),
    gauge(
        "prometheus_remote_storage_shard_capacity",
        "Samples that are gathered for each of them before they are queued.",
        |s, _| s.capacity.load(Relaxed) as f64,
    ),
    gauge("prometheus_remote_storage_max_samples_per_send", "Samples that a request has at most.", |s, _| {
        s.max_samples.load(Relaxed) as f64
    }),
    counter(
        "skopos_remote_write_wal_missing_total",
        "How often a part of the write-ahead log was damaged or gone before it was queued.",
        |s, _| s.missing.load(Relaxed) as f64,
    ),
    counter(
        "prometheus_remote_storage_samples_in_total",
        "Samples that came to be sent, before rules drop any.",
        |s, _| s.came.get().samples as f64,
    ),
    counter(
        "prometheus_remote_storage_histograms_in_total",
        "Native histograms that came to be sent, before rules drop any.",
        |s, _| s.came.get().histograms as f64,
    ),
    counter(
        "prometheus_remote_storage_exemplars_in_total",
        "Exemplars that came to be sent, before rules drop any.",
        |s, _| s.came.get().exemplars as f64,
    ),
];

/// Writes the families of all servers.
pub(crate) fn write_servers(out: &mut Families<'_>, servers: &[Shown<'_>]) {
    for family in &PER_SERVER {
        out.family(family.name, family.metric_type, family.help);
        for server in servers {
            out.sample("", &server.labels(), (family.value)(server.stats, &server.reader));
        }
    }
    write_dropped(out, servers);
    let help = "How long requests took, whatever became of them.";
    let name = "prometheus_remote_storage_sent_batch_duration_seconds";
    out.family(name, MetricType::Histogram, help);
    for server in servers {
        let [remote, url] = server.labels();
        let mut count = 0;
        for (i, requests) in server.stats.requests.iter().enumerate() {
            count += requests.load(Relaxed);
            let bound = BOUNDS.get(i).map_or_else(|| "+Inf".to_owned(), ToString::to_string);
            out.sample("_bucket", &[("le", &bound), remote, url], count as f64);
        }
        out.sample("_sum", &[remote, url], server.stats.requests_nanos.load(Relaxed) as f64 / 1e9);
        out.sample("_count", &[remote, url], count as f64);
    }
}

/// What is not sent, by why.
fn write_dropped(out: &mut Families<'_>, servers: &[Shown<'_>]) {
    let help = "Samples that were not sent, by why: rules, their age or kind, or a bound of the queue.";
    out.family("prometheus_remote_storage_samples_dropped_total", MetricType::Counter, help);
    for server in servers {
        let ([remote, url], lost, stats) = (server.labels(), &server.reader.lost, server.stats);
        let reasons = [
            ("age", lost.by_age),
            ("damage", lost.by_damage),
            ("dropped_series", stats.by_rules.get().samples),
            ("memory", lost.by_memory),
            ("size", lost.by_size),
            ("too_old", stats.too_old.get().samples),
            ("unintentionally_dropped_series", stats.unnamed.get().samples),
        ];
        for (reason, samples) in reasons {
            out.sample("", &[("reason", reason), remote, url], samples as f64);
        }
    }
    type Of = fn(Counts) -> u64;
    let kinds: [(&str, &str, Of); 2] = [
        ("prometheus_remote_storage_histograms_dropped_total", "Native histograms", |c| c.histograms),
        ("prometheus_remote_storage_exemplars_dropped_total", "Exemplars", |c| c.exemplars),
    ];
    for (name, what, of) in kinds {
        out.family(name, MetricType::Counter, &format!("{what} that were not sent, by why."));
        for server in servers {
            let ([remote, url], stats) = (server.labels(), server.stats);
            let reasons = [
                ("dropped_series", &stats.by_rules),
                ("too_old", &stats.too_old),
                ("unintentionally_dropped_series", &stats.unnamed),
                ("unwanted", &stats.unwanted),
            ];
            for (reason, counters) in reasons {
                out.sample("", &[("reason", reason), remote, url], of(counters.get()) as f64);
            }
        }
    }
}

/// Writes the families of all queues. `newest_ms` is the time of the newest samples that came.
pub(crate) fn write_queues(out: &mut Families<'_>, queues: &[Stats], newest_ms: i64) {
    let sum = |of: fn(&Stats) -> u64| queues.iter().map(of).sum::<u64>() as f64;
    let help = "The newest time of the samples that came, since the Unix epoch; else 0.";
    out.gauge("prometheus_remote_storage_highest_timestamp_in_seconds", help, newest_ms as f64 / 1e3);
    out.gauge("skopos_remote_write_wal_bytes", "Bytes of queues on disk.", sum(|q| q.bytes));
    out.gauge("skopos_remote_write_wal_segments", "Files of queues on disk.", sum(|q| q.segments as u64));
    let help = "Bytes of queues that wait in memory, as the disk does not take them.";
    out.gauge("skopos_remote_write_unwritten_bytes", help, sum(|q| q.unwritten_bytes));
    let help = "How often the disk refused a part of a queue.";
    out.counter("skopos_remote_write_disk_refusals_total", help, sum(|q| q.refusals));
}
