//! `SimClock`: time that stands still until a test moves it. Owns no thread; the clock of a world with
//! threads is in `world`.

use crate::clock::Clock;
use parking_lot::Mutex;
use std::time::Duration;

/// 2026-01-01T00:00:00Z, at which simulated wall clocks start, in milliseconds since the Unix epoch.
pub const WALL_START_MS: i64 = 1_767_225_600_000;

/// A clock that a test advances by hand. A `sleep` advances it too, as there is nobody else to do so.
#[derive(Debug)]
pub struct SimClock(Mutex<Times>);

/// What a simulated clock shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) monotonic: Duration,
    /// The wall clock at monotonic time zero.
    pub(super) wall_start_ms: i64,
}

impl Times {
    pub(super) fn wall_ms(self) -> i64 {
        let passed = i64::try_from(self.monotonic.as_millis()).unwrap_or(i64::MAX);
        self.wall_start_ms.saturating_add(passed)
    }
}

impl SimClock {
    /// A clock whose wall time starts at `wall_ms` milliseconds since the Unix epoch.
    pub fn new(wall_ms: i64) -> Self {
        Self(Mutex::new(Times { monotonic: Duration::ZERO, wall_start_ms: wall_ms }))
    }

    /// Lets `d` pass on both clocks.
    pub fn advance(&self, d: Duration) {
        let mut times = self.0.lock();
        times.monotonic = times.monotonic.saturating_add(d);
    }

    /// Sets the wall clock forward or back by `ms` while no time passes, as an administrator does.
    pub fn jump_wall(&self, ms: i64) {
        let mut times = self.0.lock();
        times.wall_start_ms = times.wall_start_ms.saturating_add(ms);
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new(WALL_START_MS)
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> i64 {
        self.0.lock().wall_ms()
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().monotonic
    }

    fn sleep(&self, d: Duration) {
        self.advance(d);
    }
}
