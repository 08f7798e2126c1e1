//! `Pace`: how fast a client sends what it owes, or takes what is there for it, and how much that is worth
//! when others want its place. Knows no connection, and ends none.

use std::time::Duration;
use tokio::time::Instant;

/// So long each may need for anything, so that newcomers do not push out one another.
pub(crate) const GRACE: Duration = Duration::from_millis(100);
/// Who does nothing for so long is late.
pub(crate) const LATE: Duration = Duration::from_secs(1);
/// What came before so long a silence counts no longer.
const SILENT: Duration = Duration::from_secs(5);
/// Who moves so much a second stays.
const FAST_BYTES: f64 = (16 << 10) as f64;
/// As if each had moved so much already: of those who have not moved anything, the oldest goes first.
const BEFORE_BYTES: f64 = (4 << 10) as f64;
/// Who has moved so much further within `SILENT` goes on.
const STEP_BYTES: u64 = 4 << 10;
/// So many times its speed one that goes on is worth.
const GOES_ON_TIMES: f64 = 8.0;

/// What moved so far. Times in which nothing was asked of the client are left out: they shift it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    since: Instant,
    /// When something moved last; at first when it began.
    last: Instant,
    bytes: u64,
    /// When a further `STEP_BYTES` were there, and what moved since then.
    stepped: Option<Instant>,
    further: u64,
}

impl Pace {
    pub(crate) fn begins(since: Instant) -> Self {
        Self { since, last: since, bytes: 0, stepped: None, further: 0 }
    }

    pub(crate) fn moves(&mut self, bytes: u64, at: Instant) {
        self.bytes += bytes;
        self.further += bytes;
        if bytes > 0 {
            self.last = at;
        }
        if self.further >= STEP_BYTES {
            (self.stepped, self.further) = (Some(at), 0);
        }
    }

    /// For so long nothing was asked of the client.
    pub(crate) fn rests(&mut self, gap: Duration) {
        self.since += gap;
        self.last += gap;
        self.stepped = self.stepped.map(|at| at + gap);
    }

    /// Since when it goes, without the time that was left out.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// What it is worth, the least of which goes first; nobody ends one without.
    pub(crate) fn worth(&self, now: Instant) -> Option<f64> {
        let waited = now.saturating_duration_since(self.since);
        let silent = now.saturating_duration_since(self.last);
        let bytes = if silent < SILENT { self.bytes as f64 } else { 0.0 };
        let is_fast = silent < LATE && bytes >= FAST_BYTES * waited.as_secs_f64();
        if waited < GRACE || is_fast {
            return None;
        }
        let goes_on = self.stepped.is_some_and(|at| now.saturating_duration_since(at) < SILENT);
        let times = if goes_on { GOES_ON_TIMES } else { 1.0 };
        Some((bytes + BEFORE_BYTES) / waited.as_secs_f64() * times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is worth how much after so many parts of these bytes, one each so often.
    fn worth(parts: u32, bytes: u64, every: Duration) -> Option<f64> {
        let began = Instant::now();
        let mut pace = Pace::begins(began);
        for nth in 0..parts {
            pace.moves(bytes, began + every * nth);
        }
        pace.worth(began + every * parts)
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_steadily_is_worth_more_than_who_drips_or_has_just_begun() {
        let tenth = Duration::from_millis(100);
        let honest = [
            worth(20, 1000, tenth),
            worth(200, 1000, tenth),
            worth(10, 2000, 3 * tenth),
            worth(5, 20_000, 20 * tenth),
        ];
        let poor = [
            // A byte now and then, for long and from just now on; nothing; much once, and then silence.
            worth(100, 1, tenth),
            worth(3, 1, tenth),
            worth(3, 0, tenth),
            worth(1, 100_000, 60 * tenth),
        ];
        let least = honest.map(|worth| worth.unwrap()).into_iter().fold(f64::INFINITY, f64::min);
        let most = poor.map(|worth| worth.unwrap()).into_iter().fold(0.0, f64::max);
        assert!(least > most, "{honest:?} {poor:?}");
        assert_eq!(worth(100, 2000, tenth), None, "it is fast enough");
        assert_eq!(worth(1, 1, tenth / 2), None, "it has just begun");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_is_asked_of_the_client_does_not_count() {
        let began = Instant::now();
        let mut pace = Pace::begins(began);
        pace.moves(5000, began + LATE);
        let before = pace.worth(began + LATE * 2);
        pace.rests(SILENT * 10);
        assert_eq!(pace.worth(began + LATE * 2 + SILENT * 10), before);
    }
}
