//! What one request may use: samples, series, time, and whether anybody still waits for it.

use crate::QueryError;
use skopos_base::clock::Clock;
use skopos_model::DurationMs;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// The named limits of one query. None is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Samples that may be read or held at once (`--query.max-samples`).
    pub max_samples: u64,
    /// Series that may be selected (`--query.max-series`).
    pub max_series: u64,
    /// How long it may take (`--query.timeout`).
    pub timeout: DurationMs,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { max_samples: 50_000_000, max_series: 1_000_000, timeout: DurationMs::from_secs(120) }
    }
}

/// The account of one query, shared by all its threads.
#[derive(Debug)]
pub struct QueryBudget {
    shared: Arc<Shared>,
    series: AtomicU64,
}

/// What a query and its sources have in common.
#[derive(Debug)]
struct Shared {
    limits: QueryLimits,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    samples: AtomicU64,
    /// All that were charged, given back or not.
    read: AtomicU64,
    /// The most that were held.
    peak: AtomicU64,
    cancelled: AtomicBool,
}

impl QueryBudget {
    /// An account whose time begins now.
    pub fn new(limits: QueryLimits, clock: Arc<dyn Clock>) -> Arc<Self> {
        let deadline = clock.monotonic().saturating_add(limits.timeout.as_std());
        let [samples, read, peak] = [const { AtomicU64::new(0) }; 3];
        let cancelled = AtomicBool::new(false);
        let shared = Arc::new(Shared { limits, clock, deadline, samples, read, peak, cancelled });
        Arc::new(Self { shared, series: AtomicU64::new(0) })
    }

    /// The same account for one of several sources that may have the same series. The series that it charges
    /// count against the limit, but not against what other sources charge: whoever merges the sources
    /// charges each series once. Samples, time and cancellation are those of the query.
    pub fn for_source(&self) -> Arc<Self> {
        let series = AtomicU64::new(self.series.load(Ordering::Relaxed));
        Arc::new(Self { shared: Arc::clone(&self.shared), series })
    }

    /// Charges samples about to be read, and checks time and cancellation with it.
    pub fn charge_samples(&self, n: u64) -> Result<(), QueryError> {
        let held = charge(&self.shared.samples, n, self.shared.limits.max_samples, "query.max-samples")?;
        self.shared.read.fetch_add(n, Ordering::Relaxed);
        self.shared.peak.fetch_max(held, Ordering::Relaxed);
        self.check()
    }

    /// Gives back samples that were charged and are no longer held.
    pub fn release_samples(&self, n: u64) {
        // More can be given back than was charged when a storage charges less than it hands out; an
        // account below zero would refuse everything.
        let less = |held: u64| Some(held.saturating_sub(n));
        let _ = self.shared.samples.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Charges series about to be selected, and checks time and cancellation with it.
    pub fn charge_series(&self, n: u64) -> Result<(), QueryError> {
        charge(&self.series, n, self.shared.limits.max_series, "query.max-series")?;
        self.check()
    }

    /// Whether the query may go on. Cheap enough for every series and every thousand samples.
    pub fn check(&self) -> Result<(), QueryError> {
        let shared = &*self.shared;
        if shared.cancelled.load(Ordering::Relaxed) {
            return Err(QueryError::Cancelled);
        }
        if shared.clock.monotonic() > shared.deadline {
            return Err(QueryError::Timeout(shared.limits.timeout));
        }
        Ok(())
    }

    /// Ends the query at its next check.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    /// All samples that were charged, also those given back.
    pub fn samples_read(&self) -> u64 {
        self.shared.read.load(Ordering::Relaxed)
    }

    /// The most samples that were held at a time.
    pub fn samples_peak(&self) -> u64 {
        self.shared.peak.load(Ordering::Relaxed)
    }

    /// Samples charged and not given back.
    pub fn samples(&self) -> u64 {
        self.shared.samples.load(Ordering::Relaxed)
    }
}

/// What the account holds then.
fn charge(account: &AtomicU64, n: u64, max: u64, limit: &'static str) -> Result<u64, QueryError> {
    let after = account.fetch_add(n, Ordering::Relaxed).saturating_add(n);
    if after > max { Err(QueryError::Limit { limit, max }) } else { Ok(after) }
}
