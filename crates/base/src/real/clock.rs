//! `RealClock`: the system's clocks. Owns nothing but the point that monotonic time counts from; never
//! corrects what the system says.

use crate::clock::Clock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The system's wall clock and its monotonic clock, which counts from the making of this value.
#[derive(Clone, Copy, Debug)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "this is where the program asks the system for the time")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the program asks the system for the time")]
    fn wall_ms(&self) -> i64 {
        let signed = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        // A clock set to before 1970 gives a negative number, as it would have in any other program.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or_else(|e| -signed(e.duration()), signed)
    }

    #[expect(clippy::disallowed_methods, reason = "this is where the program asks the system for the time")]
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is where the program waits")]
    fn sleep(&self, d: Duration) {
        std::thread::sleep(d);
    }
}
