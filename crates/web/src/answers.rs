//! `Answers`: the bytes of answers that wait for clients, of all connections together. Once they would be
//! more than the limit, a client loses its connection: the one that has taken nothing for longest, or else
//! the one that takes slowest, so that whoever reads as it should is served. Never counts what is still
//! being made.

use crate::pace::Pace;
use axum::body::Bytes;
use foldhash::HashMap;
use parking_lot::Mutex;
use skopos_exposition::Families;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Bytes that may wait where nobody says otherwise (`--web.max-waiting-bytes`).
pub const DEFAULT_MAX_WAITING_BYTES: u64 = 64 << 20;
/// The log says at most so often that clients lost their connections.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// As if each client had taken so much already: one that just got its answer is not slow.
const TAKEN_BEFORE_BYTES: u64 = 64 << 10;
/// Who has taken nothing for so long goes before those who take little.
const STALLED: Duration = Duration::from_secs(2);

/// What waits for all clients of a process, whatever it listens on.
pub struct Answers {
    most: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: u64,
    next: u64,
    clients: HashMap<u64, Waiting>,
    given_up: u64,
    said: Option<Instant>,
}

/// What waits for one client.
struct Waiting {
    bytes: u64,
    /// Since when something does, and what the client had taken by then.
    since: (Instant, u64),
    shared: Arc<Shared>,
}

struct Shared {
    peer: SocketAddr,
    taken: AtomicU64,
    opened: Instant,
    /// When it took something last, in milliseconds since it was opened.
    took_ms: AtomicU64,
    /// Bytes that wait for it, whether they are on the account or not.
    held: AtomicU64,
    /// It lost its connection: what it still is given ends with that, and is not counted.
    has_ended: AtomicBool,
    end: Notify,
}

/// One connection, as long as it is open.
pub(crate) struct Client {
    answers: Arc<Answers>,
    id: u64,
    shared: Arc<Shared>,
}

/// Bytes that are counted until this is dropped.
pub(crate) struct Held {
    client: Arc<Client>,
    bytes: u64,
}

/// A part of an answer, and its place on the account.
struct HeldBytes {
    bytes: Bytes,
    _held: Held,
}

impl Answers {
    /// At most so many bytes wait; one answer that is larger waits alone.
    pub fn new(max_waiting_bytes: u64) -> Arc<Self> {
        Arc::new(Self { most: max_waiting_bytes, state: Mutex::default() })
    }

    /// Bytes that wait now.
    pub fn waiting_bytes(&self) -> u64 {
        self.state.lock().waiting
    }

    /// Clients that lost their connections to others so far.
    pub fn given_up(&self) -> u64 {
        self.state.lock().given_up
    }

    /// Writes the account.
    pub fn write(&self, out: &mut Families<'_>) {
        let help = "Bytes of answers that wait for clients to take them.";
        out.gauge("skopos_web_waiting_bytes", help, self.waiting_bytes() as f64);
        let help = "How many bytes of answers may wait for clients (web.max-waiting-bytes).";
        out.gauge("skopos_web_max_waiting_bytes", help, self.most as f64);
        let help = "Clients that took their answers so slowly that they lost their connections to others.";
        out.counter("skopos_web_slow_clients_given_up_total", help, self.given_up() as f64);
    }

    pub(crate) fn client(self: &Arc<Self>, peer: SocketAddr) -> Arc<Client> {
        let mut state = self.state.lock();
        state.next += 1;
        let shared = Arc::new(Shared {
            peer,
            taken: AtomicU64::new(0),
            opened: Instant::now(),
            took_ms: AtomicU64::new(0),
            held: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            end: Notify::new(),
        });
        Arc::new(Client { answers: Arc::clone(self), id: state.next, shared })
    }

    fn say(&self, slow: &Waiting, given_up: u64) {
        let (limit, peer, waiting, waited) =
            (self.most, slow.shared.peer, slow.bytes, slow.since.0.elapsed());
        tracing::warn!(
            limit,
            %peer,
            waiting,
            ?waited,
            given_up,
            "--web.max-waiting-bytes is reached: the client that takes its answer slowest lost its \
             connection",
        );
    }
}

impl Waiting {
    /// For how long it has taken nothing, where that is long, and then how slowly it takes: seconds a byte.
    fn slowness(&self, now: Instant) -> (Duration, f64) {
        let (since, before) = self.since;
        let stalled = now.saturating_duration_since(since.max(self.shared.took_at()));
        let taken = self.shared.taken.load(Relaxed).saturating_sub(before);
        let slow = (now - since).as_secs_f64() / (taken + TAKEN_BEFORE_BYTES) as f64;
        (if stalled < STALLED { Duration::ZERO } else { stalled }, slow)
    }
}

impl Shared {
    fn took_at(&self) -> Instant {
        self.opened + Duration::from_millis(self.took_ms.load(Relaxed))
    }
}

impl State {
    /// Takes the slowest client off the account, and ends its connection; none if nobody waits.
    fn give_up_slowest(&mut self, now: Instant) -> Option<Waiting> {
        let all = self.clients.iter().map(|(id, waiting)| (waiting.slowness(now), *id));
        let (_, slowest) = all.max_by(|(a, first), (b, second)| {
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(second.cmp(first))
        })?;
        let waiting = self.clients.remove(&slowest)?;
        self.waiting -= waiting.bytes;
        self.given_up += 1;
        waiting.shared.has_ended.store(true, Relaxed);
        waiting.shared.end.notify_one();
        Some(waiting)
    }
}

impl Client {
    /// The connection took so much.
    pub(crate) fn took(&self, bytes: usize) {
        self.shared.taken.fetch_add(bytes as u64, Relaxed);
        self.shared.took_ms.store(self.shared.opened.elapsed().as_millis() as u64, Relaxed);
    }

    /// What it took so far, whatever that was.
    pub(crate) fn taken_bytes(&self) -> u64 {
        self.shared.taken.load(Relaxed)
    }

    /// Whether something waits for it.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.shared.held.load(Relaxed) > 0
    }

    /// How it takes what is there since then, when it had taken so much.
    pub(crate) fn pace(&self, since: Instant, before: u64) -> Pace {
        let mut pace = Pace::begins(since);
        pace.moves(self.taken_bytes().saturating_sub(before), since.max(self.shared.took_at()));
        pace
    }

    /// Counts bytes that begin to wait; for them, others may have to go.
    pub(crate) fn hold(self: &Arc<Self>, bytes: u64) -> Held {
        let answers = &self.answers;
        let now = Instant::now();
        let mut state = answers.state.lock();
        let mut slowest = None;
        // Who was given up, be it just now, takes nobody's place.
        let counts = || bytes > 0 && !self.shared.has_ended.load(Relaxed);
        while counts() && state.waiting + bytes > answers.most {
            let Some(gone) = state.give_up_slowest(now) else { break };
            slowest.get_or_insert(gone);
        }
        let may_say = state.said.is_none_or(|said| now - said >= SAID_EVERY);
        let slowest = slowest.filter(|_| may_say);
        if slowest.is_some() {
            state.said = Some(now);
        }
        if counts() {
            state.waiting += bytes;
            let begun = || Waiting {
                bytes: 0,
                since: (now, self.shared.taken.load(Relaxed)),
                shared: Arc::clone(&self.shared),
            };
            state.clients.entry(self.id).or_insert_with(begun).bytes += bytes;
        }
        let given_up = state.given_up;
        drop(state);
        self.shared.held.fetch_add(bytes, Relaxed);
        if let Some(slowest) = slowest {
            answers.say(&slowest, given_up);
        }
        Held { client: Arc::clone(self), bytes }
    }

    /// Ready when the connection has to end for others.
    pub(crate) async fn given_up(&self) {
        self.shared.end.notified().await;
    }
}

impl Held {
    /// The first part of what is counted. A part that is larger than all is counted from here on.
    pub(crate) fn part(&mut self, bytes: Bytes) -> Bytes {
        let length = bytes.len() as u64;
        let counted = length.min(self.bytes);
        self.bytes -= counted;
        let mut held = self.client.hold(length - counted);
        held.bytes = length;
        Bytes::from_owner(HeldBytes { bytes, _held: held })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        self.client.shared.held.fetch_sub(self.bytes, Relaxed);
        let mut state = self.client.answers.state.lock();
        // Who was given up is no longer on the account.
        let Some(waiting) = state.clients.get_mut(&self.client.id) else { return };
        let bytes = self.bytes.min(waiting.bytes);
        waiting.bytes -= bytes;
        let is_last = waiting.bytes == 0;
        state.waiting -= bytes;
        if is_last {
            state.clients.remove(&self.client.id);
        }
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    fn clients<const N: usize>(answers: &Arc<Answers>) -> [Arc<Client>; N] {
        std::array::from_fn(|_| answers.client(PEER))
    }

    fn is_given_up(client: &Client) -> bool {
        !client.answers.state.lock().clients.contains_key(&client.id)
    }

    async fn after_a_second() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_client_that_takes_slowest_goes() {
        let answers = Answers::new(100);
        let [stalled, dripped, read, new] = clients(&answers);
        let _first = read.hold(30);
        let _second = dripped.hold(30);
        let _third = stalled.hold(30);
        after_a_second().await;
        read.took(10 << 20);
        dripped.took(1 << 10);
        let _fourth = new.hold(40);
        assert_eq!([&stalled, &dripped, &read].map(|c| is_given_up(c)), [true, false, false]);
        stalled.given_up().await;
        after_a_second().await;
        let _fifth = new.hold(30);
        assert_eq!([&dripped, &read, &new].map(|c| is_given_up(c)), [true, false, false]);
        assert_eq!((answers.waiting_bytes(), answers.given_up()), (100, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_goes_before_who_takes_little_for_long() {
        let answers = Answers::new(100);
        let [steady, stalled, new] = clients(&answers);
        let _steady = steady.hold(40);
        for _ in 0..600 {
            after_a_second().await;
            steady.took(1 << 10);
        }
        let _stalled = stalled.hold(40);
        for _ in 0..3 {
            after_a_second().await;
            steady.took(1 << 10);
        }
        let _new = new.hold(40);
        assert_eq!([&steady, &stalled].map(|c| is_given_up(c)), [false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_counts_no_longer_and_what_was_given_up_not_twice() {
        let answers = Answers::new(100);
        let [one, other] = clients(&answers);
        let mut body = one.hold(60);
        let first = body.part(Bytes::from_static(&[1; 20]));
        let second = body.part(Bytes::from_static(&[2; 60]));
        assert_eq!((first.as_ref(), second.len()), (&[1; 20][..], 60));
        assert_eq!(answers.waiting_bytes(), 80, "the body is longer than it said");
        drop(first);
        assert_eq!(answers.waiting_bytes(), 60);
        after_a_second().await;
        let alone = other.hold(1000);
        assert!(is_given_up(&one));
        assert_eq!(answers.waiting_bytes(), 1000, "an answer larger than all waits alone");
        drop((body, second));
        assert_eq!(answers.waiting_bytes(), 1000);
        drop(alone);
        assert_eq!(answers.waiting_bytes(), 0);
        assert!(answers.state.lock().clients.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_given_up_for_itself_pushes_out_nobody_else() {
        let answers = Answers::new(100);
        let [stalled, read] = clients(&answers);
        let _first = stalled.hold(10);
        let _second = read.hold(80);
        after_a_second().await;
        read.took(1 << 20);
        let _more = stalled.hold(50);
        assert_eq!([&stalled, &read].map(|c| is_given_up(c)), [true, false]);
        assert_eq!((answers.waiting_bytes(), answers.given_up()), (80, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_connection_with_many_answers_goes_as_well() {
        let answers = Answers::new(100);
        let [stalled, read] = clients(&answers);
        let _read = read.hold(10);
        let _many: Vec<_> = (0..9).map(|_| stalled.hold(10)).collect();
        after_a_second().await;
        read.took(1 << 20);
        let _one_more = stalled.hold(10);
        stalled.given_up().await;
        assert!(is_given_up(&stalled) && !is_given_up(&read));
        assert_eq!(answers.waiting_bytes(), 10);
    }
}
