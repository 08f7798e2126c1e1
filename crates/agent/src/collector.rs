//! The contract of a collector.

use crate::{error::CollectError, host::Host, output::Output, source::Paths};
use skopos_base::clock::Clock;
use std::{fmt, time::Duration};

/// The part of its time that a collector may wait for others; the rest is for what it does with the answers.
const WAITING: f64 = 0.9;

/// What a collector may use in one scrape.
#[derive(Debug)]
pub struct Context<'a> {
    /// Where the machine's file systems are.
    pub paths: &'a Paths,
    /// The system beside its files.
    pub host: &'a dyn Host,
    /// Time.
    pub clock: &'a dyn Clock,
    /// When nobody waits for the collector any more, as the monotonic clock counts.
    pub ends_at: Duration,
    /// Where the families go.
    pub out: Output<'a>,
}

impl Context<'_> {
    /// How long the collector may wait for others, so that it itself is not given up.
    pub(crate) fn patience(&self) -> Duration {
        self.ends_at.saturating_sub(self.clock.monotonic()).mul_f64(WAITING)
    }
}

/// Reads one part of the machine. A collector keeps its buffers from scrape to scrape, so it runs
/// for one scrape at a time; the registry holds it behind a lock.
pub trait Collector: Send + fmt::Debug {
    /// Writes all families. When it fails, what it wrote before is taken back by the registry:
    /// readers see a collector's families whole or not at all.
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError>;
}
