//! `Target`: one thing to scrape, and the labels that it gives to its series.

use crate::{
    body::Exposition,
    config::{NameValidation, ScrapeProtocols},
    room::BODY_SIZE_LIMIT_BYTES,
};
use foldhash::quality::FixedState;
use skopos_client::{DeniedAddresses, HttpConfig};
use skopos_exposition::Escaping;
use skopos_model::{DurationMs, Labels, histogram::EXPONENTIAL_SCHEMAS};
use skopos_relabel::Rules;
use std::{hash::BuildHasher, path::Path, sync::Arc};

/// One thing to scrape. Two targets that are equal give the same series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The job's name.
    pub job: Arc<str>,
    /// Where its metrics are fetched.
    pub source: Source,
    /// Added to every series: `job`, `instance` and the configured ones.
    pub labels: Labels,
    /// As discovered, with the `__…__` labels that describe how the target is reached.
    pub discovered: Labels,
    /// How often it is scraped.
    pub interval: DurationMs,
    /// How long a scrape may take.
    pub timeout: DurationMs,
    /// How many series it may have, where its job says so; zero is no bound.
    pub max_series: Option<u32>,
    /// Why it is not scraped; every scrape fails with this.
    pub forced_error: Option<Arc<str>>,
    /// How it is spoken to.
    pub access: Arc<Access>,
    /// How its lines are read.
    pub reading: Reading,
    /// Whether its scrapes leave more series of themselves.
    pub extra_metrics: bool,
    /// Where its scrapes that fail are logged.
    pub failure_log: Option<Arc<Path>>,
}

/// How a target over HTTP is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Who we are, and how the connection is secured.
    pub http: HttpConfig,
    /// Whether it may compress its answer.
    pub compression: bool,
    /// The most bytes of its answer, decompressed.
    pub body_bytes_max: usize,
    /// The value of `Accept`.
    pub accept: String,
    /// What its answer is where its head does not say.
    pub fallback: Option<Exposition>,
    /// Where it may not be.
    pub denied: DeniedAddresses,
}

impl Access {
    /// The value of `Accept-Encoding`.
    pub(crate) fn encoding(&self) -> &'static str {
        if self.compression { "gzip" } else { "identity" }
    }
}

impl Default for Access {
    fn default() -> Self {
        let accept = ScrapeProtocols::default().accept(Escaping::AllowUtf8);
        let (http, body_bytes_max) = (HttpConfig::default(), BODY_SIZE_LIMIT_BYTES);
        let denied = DeniedAddresses::default();
        Self { http, compression: true, body_bytes_max, accept, fallback: None, denied }
    }
}

/// Where a target's metrics are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// At a URL.
    Http(String),
    /// In this process, under this name.
    InProcess(&'static str),
}

/// How a target's lines become samples.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// The target's own labels win over those of its job.
    pub honor_labels: bool,
    /// The target's own timestamps are kept.
    pub honor_timestamps: bool,
    /// Series end where they vanish even if their samples come with timestamps of their own.
    pub track_staleness: bool,
    /// Which names are taken.
    pub names: NameValidation,
    /// Which histograms are taken, and how.
    pub histograms: HistogramReading,
    /// What becomes of the labels of each series.
    pub rules: Rules,
    /// What a scrape may have.
    pub limits: ScrapeLimits,
}

impl Reading {
    /// Whether a line is of the same series, or of none, as by `other`.
    pub(crate) fn makes_the_same_series_as(&self, other: &Self) -> bool {
        let limits = ScrapeLimits { samples: other.limits.samples, ..self.limits };
        (self.honor_labels, self.names, limits) == (other.honor_labels, other.names, other.limits)
            && self.rules == other.rules
    }
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            honor_labels: false,
            honor_timestamps: true,
            track_staleness: false,
            names: NameValidation::default(),
            histograms: HistogramReading::default(),
            rules: Rules::default(),
            limits: ScrapeLimits::default(),
        }
    }
}

/// Which histograms are taken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HistogramReading {
    /// Native ones are.
    pub native: bool,
    /// What has native buckets is taken as a classic histogram too.
    pub classic_too: bool,
    /// Classic ones become native ones with custom buckets.
    pub to_custom: bool,
    /// The most buckets of a native one; zero is no limit.
    pub buckets_max: u64,
    /// The finest resolution of a native one.
    pub finest_schema: i32,
}

impl Default for HistogramReading {
    fn default() -> Self {
        let (native, classic_too, to_custom) = (false, false, false);
        Self { native, classic_too, to_custom, buckets_max: 0, finest_schema: *EXPONENTIAL_SCHEMAS.end() }
    }
}

/// What a scrape may have, once it is relabelled; it fails as a whole beyond. Zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct ScrapeLimits {
    /// Samples.
    pub samples: u64,
    /// Labels of a series.
    pub labels: u64,
    /// Bytes of a label's name.
    pub label_name_bytes: u64,
    /// Bytes of a label's value.
    pub label_value_bytes: u64,
}

impl Target {
    /// A number that is the same for the same target in every process; its place within the interval.
    pub fn hash64(&self) -> u64 {
        self.labels.hash64() ^ FixedState::default().hash_one(self.url())
    }

    /// How the target is shown and, over HTTP, fetched.
    pub fn url(&self) -> String {
        match &self.source {
            Source::Http(url) => url.clone(),
            Source::InProcess(name) => format!("in-process://{name}"),
        }
    }
}
