//! `Env`: one of each source of the outside world, as handed to every part of the program.

use crate::{clock::Clock, fs::Fs, rng::Rng, spawn::Spawner};
use std::sync::Arc;

/// The world that a part of the program lives in. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Files.
    pub fs: Arc<dyn Fs>,
    /// Random numbers.
    pub rng: Arc<Rng>,
    /// Threads.
    pub spawner: Arc<dyn Spawner>,
}
