//! `Places`: connections that may be open at the same time. Once all are taken, one that waits for its client
//! gives its place to the next that comes, so that slow clients lock nobody out: first the one that has
//! rested longest between two requests, then whoever sends its request, or takes its answer, slowest. Never
//! ends a connection whose request is being answered, or whose client is fast enough.

use crate::{
    answers::Client,
    pace::{GRACE, LATE, Pace},
};
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
    client: Option<Arc<Client>>,
    end: Arc<Notify>,
}

/// What a connection waits for, and since when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Waits {
    /// Its next request, of which nothing has come.
    Request(Instant),
    /// The rest of a request's head; of the first one from the start.
    Head(Instant),
    /// More of a request's body, which came at this pace.
    Body(Pace),
    /// Its client to take what is there since then, when it had taken so many bytes.
    Answer(Instant, u64),
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
            state.open.insert(id, Open::new(peer, now, &end));
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
                "--web.max-connections is reached: the connection that rested longest, or whose client was \
                 slowest, gave its place to a new one",
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
        let waiting = self.open.iter().filter_map(|(id, open)| Some((open.worth(now)?, *id)));
        let least = waiting.min_by(|(a, first), (b, second)| a.total_cmp(b).then(first.cmp(second)));
        let Some(open) = least.and_then(|(_, id)| self.open.remove(&id)) else {
            return Full::AllBusy;
        };
        open.end.notify_one();
        self.given_up += 1;
        Full::GaveUp {
            peer: open.peer,
            waited: now.saturating_duration_since(open.since(now)),
            given_up: self.given_up,
        }
    }
}

impl Open {
    fn new(peer: SocketAddr, now: Instant, end: &Arc<Notify>) -> Self {
        Self { peer, waits: Waits::Head(now), client: None, end: Arc::clone(end) }
    }

    /// Since when its client is waited for.
    fn since(&self, now: Instant) -> Instant {
        match self.waits {
            Waits::Request(since) | Waits::Head(since) | Waits::Answer(since, _) => since,
            Waits::Body(pace) => pace.since(),
            Waits::Nothing => now,
        }
    }

    /// What it is worth, the least of which goes first; who is worth less than nothing only rests. Without,
    /// it stays.
    fn worth(&self, now: Instant) -> Option<f64> {
        let waited = now.saturating_duration_since(self.since(now));
        match self.waits {
            // Of an answer that was handed on, some may still be there.
            Waits::Request(_) if waited >= LATE && !self.is_waited_for() => Some(-waited.as_secs_f64()),
            Waits::Request(since) | Waits::Head(since) => Pace::begins(since).worth(now),
            Waits::Body(pace) => pace.worth(now),
            Waits::Answer(..) if waited < LATE => None,
            Waits::Answer(since, before) => match &self.client {
                Some(client) => client.pace(since, before).worth(now),
                None => Pace::begins(since).worth(now),
            },
            Waits::Nothing => None,
        }
    }

    fn is_waited_for(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.is_waited_for())
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

    /// It is this client's.
    pub(crate) fn is_of(&self, client: &Arc<Client>) {
        if let Some(open) = self.places.state.lock().open.get_mut(&self.id) {
            open.client = Some(Arc::clone(client));
        }
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

    /// What it waits for from now on.
    pub(crate) fn waits(&self, waits: Waits) {
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

    /// What came of a body by now: so many bytes every second, for so long.
    fn body(seconds: u32, bytes: u64) -> Waits {
        let now = Instant::now();
        let mut pace = Pace::begins(now - Duration::from_secs(1) * seconds);
        (1..=seconds).for_each(|nth| pace.moves(bytes, now - Duration::from_secs(1) * (seconds - nth)));
        Waits::Body(pace)
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_rests_goes_first_then_who_sends_least_and_who_sends_steadily_last() {
        let places = Places::new(6);
        let mut open = Vec::new();
        for _ in 0..6 {
            open.push(places.take(PEER).await);
            open.last().unwrap().is_answering();
        }
        let [steady, fast, drips, begins, rests, silent] = &open[..] else { panic!("six places") };
        rests.is_waiting();
        tokio::time::advance(LATE).await;
        begins.waits(Waits::Head(Instant::now() - GRACE * 2));
        steady.waits(body(10, 5000));
        fast.waits(body(10, 1 << 20));
        drips.waits(body(10, 1));
        silent.waits(Waits::Body(Pace::begins(Instant::now() - LATE * 60)));
        for goes in [rests, silent, drips, begins, steady] {
            let before: Vec<_> = open.iter().filter(|place| !is_given_up(place)).map(|p| p.id).collect();
            std::mem::forget(places.try_take(PEER).expect("a place"));
            let places_left = before.iter().filter(|id| places.state.lock().open.contains_key(id)).count();
            assert!(is_given_up(goes) && places_left == before.len() - 1, "{}", goes.id);
        }
        assert!(places.try_take(PEER).is_none() && !is_given_up(fast));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_its_answer_goes_and_who_takes_it_fast_stays() {
        let places = Places::new(2);
        let answers = crate::answers::Answers::new(u64::MAX);
        let [stalled, reads] = [places.take(PEER).await, places.take(PEER).await];
        let clients = [&stalled, &reads].map(|place| {
            let client = answers.client(PEER);
            place.is_of(&client);
            place.is_answering();
            place.waits(Waits::Answer(Instant::now(), client.taken_bytes()));
            client
        });
        assert!(places.try_take(PEER).is_none(), "both have just got their answers");
        tokio::time::advance(LATE).await;
        // Pings are answered as well, which is next to nothing.
        clients[0].took(17);
        clients[1].took(1 << 20);
        let _next = places.take(PEER).await;
        assert_eq!([&stalled, &reads].map(is_given_up), [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_something_of_an_answer_before_it_does_not_rest() {
        let places = Places::new(2);
        let answers = crate::answers::Answers::new(u64::MAX);
        let [reads, rests] = [places.take(PEER).await, places.take(PEER).await];
        let client = answers.client(PEER);
        reads.is_of(&client);
        let _held = client.hold(100);
        for place in [&reads, &rests] {
            place.is_answering();
            place.is_waiting();
            tokio::time::advance(LATE).await;
        }
        let _next = places.take(PEER).await;
        assert_eq!([&reads, &rests].map(is_given_up), [false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_just_began_gives_way_to_nobody() {
        let places = Places::new(1);
        let slow = places.take(PEER).await;
        slow.is_answering();
        slow.waits(Waits::Body(Pace::begins(Instant::now())));
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
