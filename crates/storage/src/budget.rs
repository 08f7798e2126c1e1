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
    limits: QueryLimits,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    samples: AtomicU64,
    series: AtomicU64,
    cancelled: AtomicBool,
}

impl QueryBudget {
    /// An account whose time begins now.
    pub fn new(limits: QueryLimits, clock: Arc<dyn Clock>) -> Arc<Self> {
        let deadline = clock.monotonic().saturating_add(limits.timeout.as_std());
        Arc::new(Self {
            limits,
            clock,
            deadline,
            samples: AtomicU64::new(0),
            series: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
        })
    }

    /// Charges samples about to be read, and checks time and cancellation with it.
    pub fn charge_samples(&self, n: u64) -> Result<(), QueryError> {
        charge(&self.samples, n, self.limits.max_samples, "query.max-samples")?;
        self.check()
    }

    /// Gives back samples that were charged and are no longer held.
    pub fn release_samples(&self, n: u64) {
        // More can be given back than was charged when a storage charges less than it hands out; an
        // account below zero would refuse everything.
        let less = |held: u64| Some(held.saturating_sub(n));
        let _ = self.samples.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Charges series about to be selected, and checks time and cancellation with it.
    pub fn charge_series(&self, n: u64) -> Result<(), QueryError> {
        charge(&self.series, n, self.limits.max_series, "query.max-series")?;
        self.check()
    }

    /// Whether the query may go on. Cheap enough for every series and every thousand samples.
    pub fn check(&self) -> Result<(), QueryError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(QueryError::Cancelled);
        }
        if self.clock.monotonic() > self.deadline {
            return Err(QueryError::Timeout(self.limits.timeout));
        }
        Ok(())
    }

    /// Ends the query at its next check.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Samples charged and not given back.
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }
}

fn charge(account: &AtomicU64, n: u64, max: u64, limit: &'static str) -> Result<(), QueryError> {
    let before = account.fetch_add(n, Ordering::Relaxed);
    if before.saturating_add(n) > max { Err(QueryError::Limit { limit, max }) } else { Ok(()) }
}
