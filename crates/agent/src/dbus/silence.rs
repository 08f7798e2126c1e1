//! `Silence`: a service that took a call and did not answer is left alone for a while, so that it costs its
//! timeout now and then, not in every scrape. It makes no connection itself.

use crate::error::CollectError;
use jiff::Timestamp;
use skopos_base::clock::Clock;
use std::{io, time::Duration};

/// So long a silent service is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// Whether the service is silent.
#[derive(Debug, Default)]
pub(crate) struct Silence(Option<Silent>);

#[derive(Debug)]
struct Silent {
    /// When it was asked first without an answer, to the second.
    since: Timestamp,
    /// When it is asked again, as the monotonic clock counts.
    ask_again_at: Duration,
}

impl Silence {
    /// Does what `ask` does, unless the service behind `socket` was silent a short while ago.
    pub(crate) fn mind(
        &mut self,
        socket: &str,
        clock: &dyn Clock,
        ask: impl FnOnce() -> Result<(), CollectError>,
    ) -> Result<(), CollectError> {
        if let Some(silent) = &self.0
            && clock.monotonic() < silent.ask_again_at
        {
            return Err(silent.error(socket));
        }
        let now = Timestamp::from_second(clock.wall_ms() / 1000).unwrap_or_default();
        let asked = ask();
        match asked {
            Err(error) if is_silence(&error) => {
                let since = self.0.as_ref().map_or(now, |silent| silent.since);
                let silent = Silent { since, ask_again_at: clock.monotonic() + LEFT_ALONE };
                let error = silent.error(socket);
                self.0 = Some(silent);
                Err(error)
            }
            other => {
                self.0 = None;
                other
            }
        }
    }
}

impl Silent {
    fn error(&self, socket: &str) -> CollectError {
        CollectError::Silent { socket: socket.to_owned(), since: self.since, every: LEFT_ALONE }
    }
}

/// A time that ran out shows as the one or the other, by the step that it was waited in.
fn is_silence(error: &CollectError) -> bool {
    let CollectError::System { error, .. } = error else { return false };
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::sim::SimClock;

    #[test]
    fn a_silent_service_is_asked_once_a_minute_until_it_answers() {
        let clock = SimClock::new(1_790_000_000_123);
        let mut silence = Silence::default();
        let mut asked = 0;
        let mut mind = |kind: Option<io::ErrorKind>| {
            let answer = silence.mind("/run/bus", &clock, || {
                asked += 1;
                kind.map_or(Ok(()), |kind| Err(CollectError::System { call: "asking", error: kind.into() }))
            });
            (asked, answer.err().map(|error| error.to_string()))
        };
        let silent = "/run/bus takes connections and has not answered in time since 2026-09-21T14:13:20Z; \
                      it is asked again every 60s";
        assert_eq!(mind(Some(io::ErrorKind::WouldBlock)), (1, Some(silent.into())));
        assert_eq!(mind(None), (1, Some(silent.into())), "left alone");
        clock.advance(Duration::from_secs(60));
        assert_eq!(mind(Some(io::ErrorKind::TimedOut)), (2, Some(silent.into())), "since the first time");
        assert_eq!(mind(None).0, 2);
        clock.advance(Duration::from_secs(60));
        assert_eq!(mind(None), (3, None));
        assert_eq!(mind(Some(io::ErrorKind::ConnectionRefused)).0, 4);
        assert_eq!(mind(None), (5, None), "an error that costs no time is tried again at once");
    }
}
