//! The seed that the operating system gives. Never generates the numbers themselves: `Rng` does.

use crate::rng::Rng;
use std::hash::{BuildHasher, RandomState};

impl Rng {
    /// A generator whose seed the operating system chose. Good for jitter and identifiers, not for secrets.
    pub fn from_os() -> Self {
        // The standard library takes the keys of `RandomState` from the system's random source.
        Self::from_seed(RandomState::new().hash_one(std::process::id()))
    }
}
