//! How often requests may come: a bucket of tokens, kept as the one time at which it would be full again.

use crate::config::RateLimitConfig;
use parking_lot::Mutex;
use std::time::Duration;

/// The bucket. Times count from any fixed beginning.
pub(crate) struct Rate {
    interval: Duration,
    /// How long an empty bucket takes to fill, but for one request.
    depth: Duration,
    full_at: Mutex<Duration>,
}

impl Rate {
    /// The limit of the file, if it has one.
    pub(crate) fn new(config: RateLimitConfig) -> Option<Self> {
        let interval = config.interval.as_std();
        let depth = interval.saturating_mul(config.burst.saturating_sub(1));
        (!interval.is_zero()).then(|| Self { interval, depth, full_at: Mutex::new(Duration::ZERO) })
    }

    /// Takes a request at `now`; the time to wait when there is none to take.
    pub(crate) fn take(&self, now: Duration) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock();
        let missing = full_at.saturating_sub(now);
        if missing > self.depth {
            return Err(missing - self.depth);
        }
        *full_at = now + missing + self.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_model::DurationMs;

    #[test]
    fn a_burst_passes_and_then_one_an_interval() {
        let rate = Rate::new(RateLimitConfig { interval: DurationMs::from_secs(1), burst: 3 }).unwrap();
        let at = |ms| rate.take(Duration::from_millis(ms));
        assert_eq!([at(0), at(0), at(0)], [Ok(()); 3]);
        assert_eq!(at(400), Err(Duration::from_millis(600)));
        assert_eq!((at(1000), at(1000)), (Ok(()), Err(Duration::from_secs(1))));
        assert_eq!([at(60_000), at(60_000), at(60_000)], [Ok(()); 3]);
        assert!(at(60_000).is_err());
        assert!(Rate::new(RateLimitConfig::default()).is_none());
    }
}
