//! `Schedule`: the times at which a group is due. Reads no clock.

use skopos_model::{DurationMs, TimestampMs};
use xxhash_rust::xxh64::xxh64;

/// What stands behind each part of what is hashed.
const SEPARATOR: u8 = 0xff;
const NANOS_OF_MS: i128 = 1_000_000;

/// The times at which a group is due: one every interval, at a place in it that is the group's own, so that
/// groups do not all begin at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    interval: DurationMs,
    offset_ms: i64,
}

impl Schedule {
    /// The times of the group `name` of the file `file` (as it is named to the program), every `interval`,
    /// which is longer than zero. They are those of Prometheus 2 and its builds with labels as slices.
    pub fn new(file: &str, name: &str, interval: DurationMs) -> Self {
        assert!(interval > DurationMs::ZERO, "invariant: a group is due after some time");
        let mut bytes = Vec::new();
        for part in ["file", file, "name", name] {
            bytes.extend_from_slice(part.as_bytes());
            bytes.push(SEPARATOR);
        }
        let offset_nanos = i128::from(xxh64(&bytes, 0)) % (i128::from(interval.as_ms()) * NANOS_OF_MS);
        // Rounded, as a server does with the time of a query.
        let offset_ms = (offset_nanos + NANOS_OF_MS / 2) / NANOS_OF_MS;
        let offset_ms = i64::try_from(offset_ms).expect("invariant: not beyond the interval");
        Self { interval, offset_ms }
    }

    /// From one time to the next.
    pub fn interval(&self) -> DurationMs {
        self.interval
    }

    /// The first time that is not before `at`.
    pub fn first_from(&self, at: TimestampMs) -> TimestampMs {
        let behind = at.as_ms().saturating_sub(self.offset_ms).rem_euclid(self.interval.as_ms());
        if behind == 0 { at } else { at.plus(DurationMs::from_ms(self.interval.as_ms() - behind)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_due_when_prometheus_finds_them_due() {
        // As promtool 2.42 filled groups of these names in from 1700000000 on.
        for (name, interval_s, first_ms) in
            [("first", 30, 1_700_000_017_110), ("second", 60, 1_700_000_031_264)]
        {
            let schedule = Schedule::new("rules.yml", name, DurationMs::from_secs(interval_s));
            let first = schedule.first_from(TimestampMs::new(1_700_000_000_000));
            assert_eq!(first.as_ms(), first_ms, "{name}");
            assert_eq!(schedule.first_from(first), first);
            let next = schedule.first_from(TimestampMs::new(first_ms + 1));
            assert_eq!(next.since(first), schedule.interval());
        }
    }

    #[test]
    fn times_before_the_epoch_are_as_good() {
        let schedule = Schedule::new("f", "g", DurationMs::from_secs(60));
        for at in [-7_200_000, -1, 0, 1] {
            let first = schedule.first_from(TimestampMs::new(at)).as_ms();
            assert!((at..at + 60_000).contains(&first));
            assert_eq!((first - schedule.offset_ms).rem_euclid(60_000), 0);
        }
    }
}
