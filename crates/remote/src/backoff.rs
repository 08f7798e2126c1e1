//! How long to wait before something is tried again: longer each time, never the same for all who wait.

use skopos_base::rng::Rng;
use std::{sync::Arc, time::Duration};

/// The waits of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The first one.
    pub first: Duration,
    /// None is longer.
    pub longest: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { first: Duration::from_millis(200), longest: Duration::from_secs(10) }
    }
}

/// No wait that a server asks for is longer.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// Waits between tries.
#[derive(Debug)]
pub(crate) struct Backoff {
    rng: Arc<Rng>,
    waits: Waits,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(rng: Arc<Rng>, waits: Waits) -> Self {
        Self { rng, waits, next: waits.first }
    }

    /// Something went well.
    pub(crate) fn reset(&mut self) {
        self.next = self.waits.first;
    }

    /// The next wait: between half and all of what has doubled each time, and not less than the server asks
    /// for.
    pub(crate) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let half = self.next / 2;
        let part = self.rng.below(half.as_micros() as u64 + 1);
        self.next = (self.next * 2).min(self.waits.longest);
        let own = half + Duration::from_micros(part);
        asked.map_or(own, |asked| own.max(asked.min(LONGEST_ASKED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::new(Arc::new(Rng::from_seed(1)), Waits::default());
        let Waits { first, longest: bound } = Waits::default();
        let mut longest = first;
        for _ in 0..20 {
            let wait = backoff.wait(None);
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?} of {longest:?}");
            longest = (longest * 2).min(bound);
        }
        backoff.reset();
        assert!(backoff.wait(None) <= first);
    }

    #[test]
    fn a_server_may_ask_for_more_within_a_bound() {
        let mut backoff = Backoff::new(Arc::new(Rng::from_seed(1)), Waits::default());
        assert_eq!(backoff.wait(Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(backoff.wait(Some(Duration::from_secs(1 << 40))), LONGEST_ASKED);
        assert!(backoff.wait(Some(Duration::ZERO)) > Duration::ZERO);
    }
}
