//! The contract of a collector.

use crate::{error::CollectError, host::Host, output::Output, source::Paths};
use skopos_base::clock::Clock;
use std::fmt;

/// What a collector may use in one scrape.
#[derive(Debug)]
pub struct Context<'a> {
    /// Where the machine's file systems are.
    pub paths: &'a Paths,
    /// The system beside its files.
    pub host: &'a dyn Host,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Where the families go.
    pub out: Output<'a>,
}

/// Reads one part of the machine. A collector keeps its buffers from scrape to scrape, so it runs
/// for one scrape at a time; the registry holds it behind a lock.
pub trait Collector: Send + fmt::Debug {
    /// Writes all families. When it fails, what it wrote before is taken back by the registry:
    /// readers see a collector's families whole or not at all.
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError>;
}
