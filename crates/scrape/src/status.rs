//! What is known of each target's scrapes: for the API, and for this server's own metrics.

use crate::{metadata::TargetMetadata, pools::PoolStats, target::Target};
use parking_lot::Mutex;
use skopos_model::{DurationMs, TimestampMs};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How the last scrape of a target ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Health {
    /// There was none yet.
    #[default]
    Unknown,
    /// It succeeded.
    Up,
    /// It failed.
    Down,
}

impl Health {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// The last scrape of a target.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LastScrape {
    /// How it ended.
    pub health: Health,
    /// What went wrong; empty when nothing did. May be set though the target is up: then a part of
    /// its samples was refused.
    pub error: String,
    /// When it began.
    pub at: Option<TimestampMs>,
    /// How long it took.
    pub took: DurationMs,
    /// The same with the fraction that milliseconds lose.
    pub took_secs: f64,
}

/// A target and its last scrape.
#[derive(Debug)]
pub struct TargetStatus {
    /// The target.
    pub target: Target,
    /// What it says of its metrics.
    pub metadata: Arc<TargetMetadata>,
    last: Mutex<LastScrape>,
}

impl TargetStatus {
    /// A target that was not scraped yet.
    pub fn new(target: Target) -> Arc<Self> {
        Arc::new(Self { target, metadata: Arc::default(), last: Mutex::new(LastScrape::default()) })
    }

    /// The last scrape.
    pub fn last(&self) -> LastScrape {
        self.last.lock().clone()
    }

    pub(crate) fn set(&self, last: LastScrape) {
        *self.last.lock() = last;
    }
}

/// Counts over all targets since the start.
#[derive(Debug, Default)]
pub struct ScrapeCounters {
    /// Scrapes that ended, well or badly.
    pub scrapes: AtomicU64,
    /// Of those, the ones that failed.
    pub failed: AtomicU64,
    /// Scrapes that were skipped since the one before took too long.
    pub skipped: AtomicU64,
    /// Samples committed.
    pub samples: AtomicU64,
    /// Samples refused because their series already had one at that time.
    pub duplicates: AtomicU64,
    /// Samples refused because their series already had a later one.
    pub out_of_order: AtomicU64,
    /// Samples refused because of their timestamp.
    pub out_of_bounds: AtomicU64,
    /// Samples refused because their target has as many series as it may.
    pub beyond_max_series: AtomicU64,
    /// Samples refused for any other reason.
    pub refused: AtomicU64,
    /// Batches that storage did not take.
    pub commit_failures: AtomicU64,
    /// Scrapes that failed as their body was longer than it may be.
    pub beyond_body_size: AtomicU64,
    /// Scrapes that failed as they had more samples than they may.
    pub beyond_samples: AtomicU64,
    /// Scrapes that failed as a native histogram had more buckets than it may.
    pub beyond_buckets: AtomicU64,
    /// Scrapes that failed as a series had more or longer labels than it may.
    pub beyond_labels: AtomicU64,
    /// What is counted of jobs.
    pub pools: PoolStats,
}

impl ScrapeCounters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}
