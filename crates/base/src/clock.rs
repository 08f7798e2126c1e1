//! `Clock`: what time it is, and waiting for a later time.

use std::time::Duration;

/// A source of time. Wall time may jump; monotonic time never goes back.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since the Unix epoch.
    fn wall_ms(&self) -> i64;

    /// Time since some fixed point in the past of this process.
    fn monotonic(&self) -> Duration;

    /// Blocks the calling thread for `d`.
    fn sleep(&self, d: Duration);
}
