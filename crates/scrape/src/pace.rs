//! When a target is scraped: spread over the interval by the target's hash, on a fixed grid of wall
//! time, so that a restart keeps the rhythm and targets do not come all at once.

use skopos_model::{DurationMs, TimestampMs};

/// Scrapes that start this close to their planned time are stored at the planned time: evenly
/// spaced timestamps compress to a bit each. At most 1 % of the interval.
const ALIGN_TOLERANCE_MS: i64 = 2;

/// The grid of times at which one target is scraped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    interval_ms: i64,
    offset_ms: i64,
}

/// When the next scrape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Following {
    pub(crate) at: TimestampMs,
    /// Times of the grid that have passed and are left out.
    pub(crate) missed: u64,
    /// The planned time lies so far ahead that the clock must have been set back.
    pub(crate) clock_set_back: bool,
}

impl Pace {
    /// The grid of a target of this hash.
    ///
    /// # Panics
    /// When the interval is not longer than zero.
    pub(crate) fn new(interval: DurationMs, target_hash: u64) -> Self {
        let interval_ms = interval.as_ms();
        assert!(interval_ms > 0, "an interval is longer than zero");
        Self { interval_ms, offset_ms: (target_hash % interval_ms.unsigned_abs()).cast_signed() }
    }

    /// The first time of the grid after `now`.
    pub(crate) fn next_after(self, now: TimestampMs) -> TimestampMs {
        let now = now.as_ms();
        let since = (now - self.offset_ms).rem_euclid(self.interval_ms);
        TimestampMs::new(now - since + self.interval_ms)
    }

    /// The grid that has `time` on it.
    pub(crate) fn through(time: TimestampMs, interval: DurationMs) -> Self {
        Self::new(interval, time.as_ms().rem_euclid(interval.as_ms()).cast_unsigned())
    }

    /// The time of the scrape behind the one that was planned for `planned` and is over at `now`.
    pub(crate) fn following(self, planned: TimestampMs, now: TimestampMs) -> Following {
        let follows = self.next_after(planned);
        if follows.as_ms() > now.as_ms().saturating_add(self.interval_ms) {
            return Following { at: self.next_after(now), missed: 0, clock_set_back: true };
        }
        if follows > now {
            return Following { at: follows, missed: 0, clock_set_back: false };
        }
        let at = self.next_after(now);
        let missed = (at.since(follows).as_ms() / self.interval_ms).unsigned_abs();
        Following { at, missed, clock_set_back: false }
    }

    /// The time at which a scrape planned for `planned` and begun at `begun` is stored.
    pub(crate) fn aligned(self, planned: TimestampMs, begun: TimestampMs) -> TimestampMs {
        let tolerance = ALIGN_TOLERANCE_MS.min(self.interval_ms / 100);
        let late = begun.as_ms() - planned.as_ms();
        if late.abs() <= tolerance { planned } else { begun }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lie_on_the_grid_and_after_now() {
        let pace = Pace::new(DurationMs::from_secs(15), 123_456_789);
        let mut now = TimestampMs::new(1_700_000_000_000);
        for _ in 0..10 {
            let next = pace.next_after(now);
            assert!(next > now && next.since(now) <= DurationMs::from_secs(15));
            assert_eq!((next.as_ms() - 123_456_789 % 15_000) % 15_000, 0);
            now = next;
        }
    }

    #[test]
    fn many_targets_are_spread_evenly() {
        let now = TimestampMs::new(0);
        let mut per_second = [0; 10];
        for hash in 0..10_000u64 {
            let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let at = Pace::new(DurationMs::from_secs(10), mixed).next_after(now).as_ms();
            per_second[usize::try_from((at - 1) / 1000).unwrap()] += 1;
        }
        assert!(per_second.iter().all(|n| (900..1100).contains(n)), "{per_second:?}");
    }

    #[test]
    fn what_follows_is_never_further_away_than_an_interval() {
        const HOUR_MS: i64 = 3_600_000;
        let pace = Pace::new(DurationMs::from_secs(15), 5_000);
        // planned, now; the next, missed, set back
        for (planned, now, at, missed, clock_set_back) in [
            (5_000, 5_100, 20_000, 0, false),
            (5_000, 19_999, 20_000, 0, false),
            (5_000, 20_000, 35_000, 1, false),
            (5_000, 50_001, 65_000, 3, false),
            // A clock that was set back by less than the interval catches up with the plan.
            (HOUR_MS + 5_000, HOUR_MS + 5_000, HOUR_MS + 20_000, 0, false),
            (HOUR_MS + 5_000, HOUR_MS + 4_999, HOUR_MS + 5_000, 0, true),
            (HOUR_MS + 5_000, 6_000, 20_000, 0, true),
            (HOUR_MS + 5_000, -1, 5_000, 0, true),
        ] {
            let following = pace.following(TimestampMs::new(planned), TimestampMs::new(now));
            let expected = Following { at: TimestampMs::new(at), missed, clock_set_back };
            assert_eq!(following, expected, "planned for {planned}, over at {now}");
        }
    }

    #[test]
    fn a_grid_goes_through_the_time_it_is_made_of() {
        let time = TimestampMs::new(1_700_000_000_123);
        let interval = DurationMs::from_secs(15);
        assert_eq!(Pace::through(time, interval).next_after(time), time.plus(interval));
    }

    #[test]
    fn small_delays_are_aligned_away() {
        let pace = Pace::new(DurationMs::from_secs(15), 0);
        let t = TimestampMs::new;
        assert_eq!(pace.aligned(t(15_000), t(15_002)), t(15_000));
        assert_eq!(pace.aligned(t(15_000), t(15_003)), t(15_003));
        assert_eq!(Pace::new(DurationMs::from_ms(100), 0).aligned(t(200), t(202)), t(202));
    }
}
