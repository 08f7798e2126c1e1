//! `Turns`: where more queries run than there are processors, those that have run for a while step back: the
//! system lets others go first, those that have just begun and all else that the program does, and now and
//! then they wait a little for who has just begun. So a light query takes hardly longer beside heavy ones.
//! Bounds nothing and changes no result.

use skopos_base::{clock::Clock, spawn::Spawner};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// For so long a query goes before those that have run longer.
const YOUNG: Duration = Duration::from_millis(50);
/// How long one waits at a time, before it looks again.
const PAUSE: Duration = Duration::from_micros(500);
/// How often it looks before it goes on all the same.
const PAUSES_MAX: usize = 20;

/// Those that run.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Queries that may run without one being in another's way.
    processors: AtomicUsize,
    /// Whose threads run them.
    spawner: OnceLock<Arc<dyn Spawner>>,
    running: AtomicUsize,
    /// Of those, how many have just begun.
    young: AtomicUsize,
    /// Until when the newest of them is young, in nanoseconds of the clock: nobody waits for one that has
    /// ended its work and does not say so.
    until: AtomicU64,
}

/// The part that one query has in them.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    is_young: AtomicBool,
    /// When it began, in nanoseconds of the clock; zero while it does not run.
    began: AtomicU64,
    /// How long its threads have waited.
    waited: AtomicU64,
}

impl Turns {
    /// So many processors run queries, on threads of `spawner`.
    pub(crate) fn run_on(&self, processors: usize, spawner: Arc<dyn Spawner>) {
        self.processors.store(processors, Ordering::Relaxed);
        self.spawner.get_or_init(|| spawner);
    }

    /// Whether somebody has just begun, and there is no processor for each who runs.
    fn is_awaited(&self) -> bool {
        self.young.load(Ordering::Relaxed) > 0
            && self.running.load(Ordering::Relaxed) > self.processors.load(Ordering::Relaxed)
    }
}

impl Turn {
    /// It runs from now on.
    pub(crate) fn begin(&self, turns: &Turns, clock: &dyn Clock) {
        let now = nanos(clock.monotonic()).max(1);
        if self.began.swap(now, Ordering::Relaxed) == 0 {
            turns.running.fetch_add(1, Ordering::Relaxed);
        }
        if !self.is_young.swap(true, Ordering::Relaxed) {
            turns.young.fetch_add(1, Ordering::Relaxed);
        }
        turns.until.fetch_max(now.saturating_add(nanos(YOUNG)), Ordering::Relaxed);
    }

    /// It runs no longer.
    pub(crate) fn end(&self, turns: &Turns) {
        if self.began.swap(0, Ordering::Relaxed) != 0 {
            turns.running.fetch_sub(1, Ordering::Relaxed);
        }
        self.grow_old(turns);
    }

    fn grow_old(&self, turns: &Turns) {
        if self.is_young.swap(false, Ordering::Relaxed) {
            turns.young.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Steps back and waits for young ones, if it is none itself; in all no longer than it has run.
    pub(crate) fn let_young_ones_go(&self, turns: &Turns, clock: &dyn Clock) {
        let began = self.began.load(Ordering::Relaxed);
        if began == 0 {
            return;
        }
        if self.is_young.load(Ordering::Relaxed) {
            if nanos(clock.monotonic()).saturating_sub(began) >= nanos(YOUNG) {
                self.grow_old(turns);
            }
            return;
        }
        if let Some(spawner) = turns.spawner.get() {
            spawner.step_back();
        }
        for _ in 0..PAUSES_MAX {
            if !turns.is_awaited() {
                return;
            }
            let now = nanos(clock.monotonic());
            let waited = self.waited.load(Ordering::Relaxed);
            let ran = now.saturating_sub(began).saturating_sub(waited);
            if now >= turns.until.load(Ordering::Relaxed) || waited >= ran {
                return;
            }
            clock.sleep(PAUSE);
            let slept = nanos(clock.monotonic()).saturating_sub(now);
            self.waited.fetch_add(slept, Ordering::Relaxed);
        }
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::{
        sim::SimClock,
        spawn::{Joined, Stop},
    };
    use std::io;

    /// Threads that count how often one stepped back.
    #[derive(Debug, Default)]
    struct Ranks(AtomicUsize);

    impl Spawner for Ranks {
        fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Joined>> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn stop_signal(&self) -> Arc<dyn Stop> {
            unreachable!("nobody waits")
        }

        fn step_back(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How long one waits at the next look.
    fn waits(turn: &Turn, turns: &Turns, clock: &SimClock) -> Duration {
        let before = clock.monotonic();
        turn.let_young_ones_go(turns, clock);
        clock.monotonic() - before
    }

    #[test]
    fn old_ones_wait_for_young_ones_and_young_ones_for_nobody() {
        let (turns, clock, ranks) = (Turns::default(), SimClock::new(0), Arc::new(Ranks::default()));
        let [heavy, light, other] = <[Turn; 3]>::default();
        heavy.begin(&turns, &clock);
        clock.advance(Duration::from_secs(1));
        assert_eq!(waits(&heavy, &turns, &clock), Duration::ZERO, "it is the only one");
        light.begin(&turns, &clock);
        assert_eq!(waits(&light, &turns, &clock), Duration::ZERO);
        turns.run_on(2, Arc::clone(&ranks) as _);
        assert_eq!(waits(&light, &turns, &clock), Duration::ZERO);
        assert_eq!(ranks.0.load(Ordering::Relaxed), 0, "who has just begun steps back for nobody");
        assert_eq!(waits(&heavy, &turns, &clock), Duration::ZERO, "there is a processor for each");
        assert_eq!(ranks.0.load(Ordering::Relaxed), 1, "the system may want it for others");
        turns.run_on(1, Arc::clone(&ranks) as _);
        assert_eq!(waits(&heavy, &turns, &clock), PAUSE * 20);
        light.end(&turns);
        assert_eq!(waits(&heavy, &turns, &clock), Duration::ZERO);
        assert_eq!(waits(&other, &turns, &clock), Duration::ZERO, "it does not run");
    }

    #[test]
    fn nobody_waits_longer_than_it_ran_nor_for_one_that_is_no_longer_young() {
        let (turns, clock) = (Turns::default(), SimClock::new(0));
        let [heavy, light] = <[Turn; 2]>::default();
        heavy.begin(&turns, &clock);
        clock.advance(YOUNG * 2);
        assert_eq!(waits(&heavy, &turns, &clock), Duration::ZERO);
        let mut all = Duration::ZERO;
        for _ in 0..100 {
            light.begin(&turns, &clock);
            all += waits(&heavy, &turns, &clock);
        }
        assert_eq!(all, YOUNG * 2, "as long as it ran");
        clock.advance(YOUNG);
        assert_eq!(waits(&heavy, &turns, &clock), Duration::ZERO, "the light one is old, and says nothing");
        heavy.end(&turns);
        light.end(&turns);
        let [young, running] = [&turns.young, &turns.running].map(|n| n.load(Ordering::Relaxed));
        assert_eq!((young, running), (0, 0));
    }
}
