//! `Places`: connections that may be open at the same time. Once all are taken, one that waits for its client
//! gives its place to the next that comes, so that slow clients lock nobody out: whoever is late with a
//! request that has begun goes first, then the one that has waited longest for a request, at last whoever is
//! behind at all. Never ends a connection whose request is being answered, or comes fast enough.

use foldhash::{HashMap, HashMapExt as _};
use parking_lot::Mutex;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// The log says at most so often that all places are taken.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// Who owes the rest of a request for so long is late.
pub(crate) const LATE: Duration = Duration::from_secs(1);
/// So far behind each may be, so that newcomers do not push out one another.
const GRACE: Duration = Duration::from_millis(100);

/// All connections of a server.
pub(crate) struct Places {
    most: usize,
    state: Mutex<State>,
    /// A connection ended, or waits for a request from now on.
    changed: Notify,
}

struct State {
    next: u64,
    open: HashMap<u64, Open>,
    said: Option<Instant>,
    /// Connections ended for others since the log last said so.
    given_up: u64,
}

struct Open {
    peer: SocketAddr,
    waits: Waits,
    end: Arc<Notify>,
}

/// What a connection waits for, and since when.
#[derive(Clone, Copy)]
enum Waits {
    /// Its next request, of which nothing has come.
    Request(Instant),
    /// The rest of a request's head; of the first one from the start.
    Head(Instant),
    /// More of a request's body, which is behind by the time since then.
    Body(Instant),
    /// Nothing of its client: an answer is made.
    Nothing,
}

/// One connection's place, which its drop frees.
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    end: Arc<Notify>,
    /// How often it changed between waiting for a request (even) and answering some (odd).
    turns: AtomicU64,
}

/// What the log has to be told.
enum Full {
    GaveUp { peer: SocketAddr, waited: Duration, given_up: u64 },
    AllBusy,
}

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let state = State { next: 0, open: HashMap::new(), said: None, given_up: 0 };
        Arc::new(Self { most, state: Mutex::new(state), changed: Notify::new() })
    }

    /// A place for the connection of `peer`; waits while all connections are at work.
    pub(crate) async fn take(self: &Arc<Self>, peer: SocketAddr) -> Place {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(place) = self.try_take(peer) {
                return place;
            }
            // Nobody tells that a client is behind by now.
            let _behind_or_changed = timeout(GRACE / 4, changed).await;
        }
    }

    fn try_take(self: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let mut full = None;
        if state.open.len() >= self.most {
            full = Some(state.give_up_one(now));
        }
        let may_say = state.said.is_none_or(|said| now - said >= SAID_EVERY);
        let say = full.filter(|_| may_say);
        if say.is_some() {
            state.said = Some(now);
            state.given_up = 0;
        }
        let place = (state.open.len() < self.most).then(|| {
            state.next += 1;
            let (id, end) = (state.next, Arc::new(Notify::new()));
            state.open.insert(id, Open { peer, waits: Waits::Head(now), end: Arc::clone(&end) });
            Place { places: Arc::clone(self), id, end, turns: AtomicU64::new(0) }
        });
        drop(state);
        if let Some(say) = say {
            self.say(&say);
        }
        place
    }

    fn say(&self, full: &Full) {
        let limit = self.most;
        match full {
            Full::GaveUp { peer, waited, given_up } => tracing::warn!(
                limit,
                %peer,
                ?waited,
                given_up,
                "--web.max-connections is reached: the connection that waited longest for a request, or for \
                 the rest of one, gave its place to a new one",
            ),
            Full::AllBusy => tracing::warn!(
                limit,
                "--web.max-connections is reached, and all of them are being answered: new ones wait",
            ),
        }
    }
}

impl State {
    /// Ends the connection that has to go first, whose place is free at once.
    fn give_up_one(&mut self, now: Instant) -> Full {
        let waiting = self.open.iter().filter_map(|(id, open)| Some((open.waits.rank(now)?, *id)));
        let Some(((_, since), open)) =
            waiting.min().and_then(|(rank, id)| Some((rank, self.open.remove(&id)?)))
        else {
            return Full::AllBusy;
        };
        open.end.notify_one();
        self.given_up += 1;
        Full::GaveUp { peer: open.peer, waited: now - since, given_up: self.given_up }
    }
}

/// The turn in which a connection goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Late,
    Idle,
    Behind,
}

impl Waits {
    /// When a connection goes, the least first; none stays.
    fn rank(self, now: Instant) -> Option<(Turn, Instant)> {
        match self {
            Self::Request(since) => Some((Turn::Idle, since)),
            Self::Head(since) | Self::Body(since) => {
                let behind = now.saturating_duration_since(since);
                let turn = if behind >= LATE { Turn::Late } else { Turn::Behind };
                (behind >= GRACE).then_some((turn, since))
            }
            Self::Nothing => None,
        }
    }
}

impl Place {
    /// A request's head is there.
    pub(crate) fn is_answering(&self) {
        self.turns.fetch_add(1, Relaxed);
        self.waits(Waits::Nothing);
    }

    /// What was asked is answered: the next request is waited for.
    pub(crate) fn is_waiting(&self) {
        self.turns.fetch_add(1, Relaxed);
        self.waits(Waits::Request(Instant::now()));
        self.places.changed.notify_waiters();
    }

    /// A request's head has begun.
    pub(crate) fn begins(&self) {
        self.waits(Waits::Head(Instant::now()));
    }

    /// Bodies are waited for, one of which is behind by the time since then; with none, an answer is made.
    pub(crate) fn owes(&self, since: Option<Instant>) {
        self.waits(since.map_or(Waits::Nothing, Waits::Body));
    }

    /// The client took something of an answer: though it may all be handed on, it waits for no request yet.
    pub(crate) fn took(&self) {
        if self.wait().is_some() {
            self.waits(Waits::Request(Instant::now()));
        }
    }

    /// The number of the wait for a request that goes on, from 0.
    pub(crate) fn wait(&self) -> Option<u64> {
        let turns = self.turns.load(Relaxed);
        turns.is_multiple_of(2).then_some(turns / 2)
    }

    fn waits(&self, waits: Waits) {
        if let Some(open) = self.places.state.lock().open.get_mut(&self.id) {
            open.waits = waits;
        }
    }

    /// Ready when the place belongs to another connection.
    pub(crate) async fn given_up(&self) {
        self.end.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.state.lock().open.remove(&self.id);
        self.places.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    fn is_given_up(place: &Place) -> bool {
        !place.places.state.lock().open.contains_key(&place.id)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_longest_gives_up_its_place_and_who_is_answered_keeps_it() {
        let places = Places::new(3);
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(places.take(PEER).await);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        open[0].is_answering();
        // The second one's answer is still being taken.
        open[1].took();
        let fourth = places.take(PEER).await;
        fourth.is_answering();
        assert_eq!(open.iter().map(is_given_up).collect::<Vec<_>>(), [false, false, true]);
        open[2].given_up().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        open[0].is_waiting();
        let _fifth = places.take(PEER).await;
        assert_eq!(open.iter().map(is_given_up).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(places.state.lock().given_up, 1, "counted since the log said it");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_late_with_a_request_goes_before_who_rests_between_two() {
        let places = Places::new(4);
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(places.take(PEER).await);
        }
        for place in &open[..3] {
            place.is_answering();
        }
        open[0].is_waiting();
        tokio::time::advance(Duration::from_secs(60)).await;
        // The body of the second came, that of the third does not; the fourth has not said anything yet.
        open[1].owes(Some(Instant::now()));
        open[2].owes(Some(Instant::now() - LATE));
        let mut new = Vec::new();
        for want in [[false, false, false, true], [false, false, true, true], [true, false, true, true]] {
            let place = places.take(PEER).await;
            place.is_answering();
            new.push(place);
            assert_eq!(open.iter().map(is_given_up).collect::<Vec<_>>(), want);
        }
        // A head that has begun is late before an idle connection has to go, however long that one rests.
        open[1].owes(None);
        new[0].is_waiting();
        new[1].is_waiting();
        tokio::time::advance(Duration::from_secs(60)).await;
        new[1].begins();
        tokio::time::advance(LATE).await;
        let _next = places.take(PEER).await;
        assert_eq!(new.iter().map(is_given_up).collect::<Vec<_>>(), [false, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_just_began_gives_way_to_nobody() {
        let places = Places::new(1);
        let slow = places.take(PEER).await;
        slow.is_answering();
        slow.owes(Some(Instant::now()));
        let began = Instant::now();
        let _next = places.take(PEER).await;
        assert!((GRACE..LATE).contains(&began.elapsed()), "{:?}", began.elapsed());
        slow.given_up().await;
    }

    #[tokio::test(start_paused = true)]
    async fn while_all_are_answered_the_next_one_waits_for_the_first_that_is_done() {
        let places = Places::new(1);
        let first = places.take(PEER).await;
        first.is_answering();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(PEER).await }
        });
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert!(!waiting.is_finished() && !is_given_up(&first));
        first.is_waiting();
        let second = waiting.await.unwrap();
        assert!(is_given_up(&first));
        second.is_answering();
        drop(first);
        assert!(places.try_take(PEER).is_none(), "the drop of one given up frees nothing");
        drop(second);
        assert!(places.try_take(PEER).is_some());
    }
}
