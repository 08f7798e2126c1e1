//! `Spawner`: named threads, and `Stop`, the one way to tell them to end.

use std::{io, sync::Arc, time::Duration};

/// Starts threads.
pub trait Spawner: Send + Sync + std::fmt::Debug {
    /// Starts `body` on a thread named `name`.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Joined>>;
    /// A signal for threads of this spawner.
    fn stop_signal(&self) -> Arc<dyn Stop>;
}

/// A started thread.
pub trait Joined: Send {
    /// Waits for its end. `Err` when it panicked.
    fn join(self: Box<Self>) -> Result<(), ThreadPanicked>;
}

/// A thread ended by a panic.
#[derive(Debug, thiserror::Error)]
#[error("thread {0:?} panicked")]
pub struct ThreadPanicked(pub String);

/// A signal that can be raised once, and waited for.
pub trait Stop: Send + Sync + std::fmt::Debug {
    /// Raises the signal and wakes all who wait.
    fn stop(&self);
    /// Whether it was raised.
    fn is_stopped(&self) -> bool;
    /// Waits at most `d`; returns whether the signal was raised.
    fn wait(&self, d: Duration) -> bool;
}
