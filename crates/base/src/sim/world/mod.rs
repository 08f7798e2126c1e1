//! `SimWorld`: clock, files, random numbers and threads in one world where everything follows from a seed.
//! Owns the way in and out of it; never runs two threads at once (`sched` sees to that).
//!
//! Threads switch only where they sleep, wait for a `Stop`, join or yield. Code that holds a lock of its own
//! across such a call can block the world for good, just as it blocks the real program for that long.

mod sched;
mod threads;

use super::{clock::WALL_START_MS, fs::SimFs};
use crate::{env::Env, rng::Rng};
use sched::Shared;
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};
pub(in crate::sim) use threads::message;
use threads::{WorldClock, WorldSpawner};

/// A simulated world. Two worlds of one seed in which the same is done do the same.
///
/// ```
/// use skopos_base::sim::SimWorld;
/// use std::time::Duration;
///
/// let world = SimWorld::new(7);
/// let slept = world.run(|env| {
///     let clock = env.clock.clone();
///     let sleeper = env.spawner.spawn("sleeper", Box::new(move || clock.sleep(Duration::from_secs(3600))));
///     sleeper.expect("spawned").join().expect("slept");
///     env.clock.monotonic()
/// });
/// assert_eq!(slept, Duration::from_secs(3600));
/// ```
pub struct SimWorld {
    shared: Arc<Shared>,
    fs: SimFs,
    env: Env,
}

impl SimWorld {
    /// A world with an empty file system.
    pub fn new(seed: u64) -> Self {
        Self::with_fs(seed, SimFs::new(seed ^ 0xF5))
    }

    /// A world around a file system that is there already.
    pub fn with_fs(seed: u64, fs: SimFs) -> Self {
        let shared = Arc::new(Shared::new(seed, WALL_START_MS));
        let env = Env {
            clock: Arc::new(WorldClock(shared.clone())),
            fs: Arc::new(fs.clone()),
            rng: Arc::new(Rng::from_seed(seed)),
            spawner: Arc::new(WorldSpawner(shared.clone())),
        };
        Self { shared, fs, env }
    }

    /// The world's clock, files, random numbers and threads. Threads start inside of `run` only; outside
    /// of it a sleep lets the time pass at once.
    pub fn env(&self) -> Env {
        self.env.clone()
    }

    /// The world's files, with what a test may do to them.
    pub fn fs(&self) -> &SimFs {
        &self.fs
    }

    /// The seed that all follows from.
    pub fn seed(&self) -> u64 {
        self.shared.seed()
    }

    /// Sets the wall clock forward or back by `ms` while no time passes.
    pub fn jump_wall(&self, ms: i64) {
        self.shared.jump_wall(ms);
    }

    /// Takes it as a failure when more than `d` of simulated time passes from now on.
    pub fn set_time_limit(&self, d: Duration) {
        self.shared.set_time_limit(d);
    }

    /// Lets another thread that is ready run, or not, as the seed has it.
    pub fn yield_now(&self) {
        self.shared.yield_now();
    }

    /// Runs `main` as the world's first thread, then ends those that are still there: they unwind from their
    /// next wait, as threads are gone when `main` of a program returns.
    ///
    /// # Panics
    /// When `main` or a thread that nobody joined panics, when all threads wait for one another, or when the
    /// time limit passes. The message has the seed.
    pub fn run<T>(&self, main: impl FnOnce(&Env) -> T) -> T {
        let entered = self.shared.enter();
        let result = catch_unwind(AssertUnwindSafe(|| main(&self.env)));
        let lost = self.shared.leave(entered);
        let seed = self.seed();
        match result {
            Err(payload) => {
                panic!("world of seed {seed}: main panicked: {}{lost}", message(payload.as_ref()))
            }
            Ok(_) if !lost.is_empty() => panic!("world of seed {seed}{lost}"),
            Ok(value) => value,
        }
    }
}

impl fmt::Debug for SimWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimWorld").field("seed", &self.seed()).field("fs", &self.fs).finish_non_exhaustive()
    }
}
