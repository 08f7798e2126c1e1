//! `Places`: connections that may be open at the same time. Once all are taken, the one that has waited
//! longest for a request gives its place to the next that comes, so that slow clients lock nobody out. Never
//! ends a connection whose request is being answered.

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
use tokio::{sync::Notify, time::Instant};

/// The log says at most so often that all places are taken.
const SAID_EVERY: Duration = Duration::from_secs(60);

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
    /// Since when it waits for a request, or for the rest of one's head; none while one is answered.
    waits_since: Option<Instant>,
    end: Arc<Notify>,
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
            changed.await;
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
            state.open.insert(id, Open { peer, waits_since: Some(now), end: Arc::clone(&end) });
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
                "--web.max-connections is reached: the connection that waited longest for a request gave its \
                 place to a new one",
            ),
            Full::AllBusy => tracing::warn!(
                limit,
                "--web.max-connections is reached, and all of them are being answered: new ones wait",
            ),
        }
    }
}

impl State {
    /// Ends the connection that has waited longest, whose place is free at once.
    fn give_up_one(&mut self, now: Instant) -> Full {
        let waiting = self.open.iter().filter_map(|(id, open)| Some((open.waits_since?, *id)));
        let Some((since, open)) = waiting.min().and_then(|(since, id)| Some((since, self.open.remove(&id)?)))
        else {
            return Full::AllBusy;
        };
        open.end.notify_one();
        self.given_up += 1;
        Full::GaveUp { peer: open.peer, waited: now - since, given_up: self.given_up }
    }
}

impl Place {
    /// A request's head is there.
    pub(crate) fn is_answering(&self) {
        self.turns.fetch_add(1, Relaxed);
        self.waits_since(None);
    }

    /// What was asked is answered: the next request is waited for.
    pub(crate) fn is_waiting(&self) {
        self.turns.fetch_add(1, Relaxed);
        self.waits_since(Some(Instant::now()));
        self.places.changed.notify_waiters();
    }

    /// The client took something of an answer: though it may all be handed on, it waits for no request yet.
    pub(crate) fn took(&self) {
        if self.wait().is_some() {
            self.waits_since(Some(Instant::now()));
        }
    }

    /// The number of the wait for a request that goes on, from 0.
    pub(crate) fn wait(&self) -> Option<u64> {
        let turns = self.turns.load(Relaxed);
        turns.is_multiple_of(2).then_some(turns / 2)
    }

    fn waits_since(&self, since: Option<Instant>) {
        if let Some(open) = self.places.state.lock().open.get_mut(&self.id) {
            open.waits_since = since;
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
        let _fourth = places.take(PEER).await;
        assert_eq!(open.iter().map(is_given_up).collect::<Vec<_>>(), [false, false, true]);
        open[2].given_up().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        open[0].is_waiting();
        let _fifth = places.take(PEER).await;
        assert_eq!(open.iter().map(is_given_up).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(places.state.lock().given_up, 1, "counted since the log said it");
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
