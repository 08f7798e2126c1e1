//! `Stats`: what was pushed, counted by the way on which it came.

use std::sync::atomic::{AtomicU64, Ordering};

/// The ways on which something is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Remote write 1.0.
    RemoteWrite1,
    /// Remote write 2.0.
    RemoteWrite2,
    /// Lines of Influx.
    Influx,
    /// Lines of Graphite.
    Graphite,
    /// StatsD.
    Statsd,
    /// Lines of JSON.
    Json,
    /// Lines of values between commas.
    Csv,
    /// The text format of Prometheus.
    Text,
    /// OTLP.
    Otlp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RemoteWrite1,
        Self::RemoteWrite2,
        Self::Influx,
        Self::Graphite,
        Self::Statsd,
        Self::Json,
        Self::Csv,
        Self::Text,
        Self::Otlp,
    ];

    /// As the label `protocol` of the metrics says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RemoteWrite1 => "remote_write_1",
            Self::RemoteWrite2 => "remote_write_2",
            Self::Influx => "influx",
            Self::Graphite => "graphite",
            Self::Statsd => "statsd",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Text => "text",
            Self::Otlp => "otlp",
        }
    }
}

/// What came on one way.
#[derive(Debug, Default)]
pub struct OfProtocol {
    /// Requests of which something was taken.
    pub requests: AtomicU64,
    /// Requests of which nothing was taken.
    pub failed: AtomicU64,
    /// Samples that were stored, histograms among them.
    pub samples: AtomicU64,
    /// Exemplars that were stored.
    pub exemplars: AtomicU64,
    /// Samples and exemplars that were refused.
    pub refused: AtomicU64,
    /// Samples of series whose labels cannot be, of those.
    pub invalid_labels: AtomicU64,
}

/// What came on all ways.
#[derive(Debug, Default)]
pub struct Stats([OfProtocol; Protocol::ALL.len()]);

impl Stats {
    /// What came on one way.
    pub fn of(&self, protocol: Protocol) -> &OfProtocol {
        &self.0[protocol as usize]
    }
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
