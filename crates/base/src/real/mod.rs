//! The real world: the system's clocks, files, random numbers and threads behind the traits of this crate.
//! Owns every call of the program's lower layers to the operating system; never decides anything.

mod clock;
mod file_limit;
mod fs;
mod rng;
mod spawn;

pub use clock::RealClock;
pub use file_limit::raise_file_limit;
pub use fs::RealFs;
pub use spawn::RealSpawner;

use crate::{env::Env, rng::Rng};
use std::sync::Arc;

impl Env {
    /// The real world: this machine's clocks, files and threads, and numbers nobody can foresee.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(RealClock::new()),
            fs: Arc::new(RealFs),
            rng: Arc::new(Rng::from_os()),
            spawner: Arc::new(RealSpawner),
        }
    }
}
