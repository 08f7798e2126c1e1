//! Takes rounds of requests from the queue and sends them to one server: those of one lane in their order and
//! one at a time, those of several lanes side by side, each until it is taken or refused for good. Its only
//! copies of requests are those of the round under way: what waits, waits in the queue.

use crate::{
    backoff::{Backoff, Waits},
    endpoint::{Endpoint, Reply},
    message::Message,
    metadata::Metadata,
    round::{self, Part},
    stats::SenderStats,
};
use bytes::Bytes;
use skopos_base::{clock::Clock, rng::Rng};
use skopos_spool::{ReaderId, Record, Spool};
use std::{
    collections::{BTreeMap, HashSet},
    mem,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};

/// What a sender is to do when it has nothing to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Wait for more.
    Running,
    /// End.
    Finishing,
}

/// See above.
pub(crate) struct Sender<E> {
    pub(crate) spool: Arc<Spool>,
    pub(crate) reader: ReaderId,
    pub(crate) lane: Arc<Lane<E>>,
    /// Says that there is something to send.
    pub(crate) wake: Arc<Notify>,
    pub(crate) metadata: MetadataPlan,
}

/// What the lanes of a server share.
pub(crate) struct Lane<E> {
    pub(crate) endpoint: E,
    /// How logs call the server.
    pub(crate) url: String,
    pub(crate) stats: Arc<SenderStats>,
    pub(crate) rng: Arc<Rng>,
    pub(crate) waits: Waits,
    pub(crate) clock: Arc<dyn Clock>,
    /// What is older is not sent.
    pub(crate) max_age: Option<Duration>,
    pub(crate) told: Mutex<Told>,
}

/// What a server is told of families, and how often.
#[derive(Debug)]
pub(crate) struct MetadataPlan {
    pub(crate) known: Arc<Metadata>,
    /// It is told again after so long; never, if there is none.
    pub(crate) interval: Option<Duration>,
    /// Which requests it got last, and when.
    pub(crate) told: Option<(u64, Instant)>,
}

impl MetadataPlan {
    /// How long a server that gets nothing else may wait for them.
    async fn due(&self) {
        match self.interval {
            Some(interval) => tokio::time::sleep(interval).await,
            None => std::future::pending().await,
        }
    }
}

/// So many reasons are told before a server takes samples again; others are mostly numbers in them.
const MAX_REASONS: usize = 16;

/// What the log has of a server, so that it is told once.
#[derive(Debug, Default)]
pub(crate) struct Told {
    said: Said,
    /// Why it took nothing, since it last took something.
    reasons: HashSet<String>,
}

impl Told {
    /// Whether the server's state, or its reason, is news.
    fn is_news(&mut self, said: Said, reason: &str) -> bool {
        let is_other = mem::replace(&mut self.said, said) != said;
        if said == Said::Well {
            self.reasons.clear();
            return is_other;
        }
        let is_new = self.reasons.len() < MAX_REASONS && self.reasons.insert(reason.to_owned());
        is_other || is_new
    }
}

/// How it goes with a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Said {
    #[default]
    Well,
    Later,
    Refused,
}

impl<E: Endpoint> Sender<E> {
    /// Sends until everything is sent and the phase is `Finishing`.
    pub(crate) async fn run(mut self, mut phase: watch::Receiver<Phase>) {
        let mut backoff = self.lane.backoff();
        loop {
            let (spool, reader) = (Arc::clone(&self.spool), self.reader);
            match tokio::task::spawn_blocking(move || spool.peek(reader)).await {
                Ok(Ok(Some(record))) => {
                    backoff.reset();
                    if self.send(record).await.is_break() {
                        return;
                    }
                }
                Ok(Ok(None)) => {
                    if *phase.borrow_and_update() == Phase::Finishing {
                        return;
                    }
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = self.metadata.due() => {
                            if self.lane.is_well() {
                                self.tell_families().await;
                            }
                        }
                        changed = phase.changed() => if changed.is_err() { return },
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(url = self.lane.url, %error, "the queue cannot be read");
                    tokio::time::sleep(backoff.wait(None)).await;
                }
                // The process ends.
                Err(_gone) => return,
            }
        }
    }

    /// Sends a round, each of its requests until it is taken or refused.
    async fn send(&mut self, record: Record) -> ControlFlow<()> {
        let Record { number, time_ms, weight, body } = record;
        match round::decode(body, weight, time_ms) {
            Ok(round) => {
                let mut lanes = BTreeMap::<u32, Vec<Part>>::new();
                for part in round.parts {
                    lanes.entry(part.lane).or_default().push(part);
                }
                if self.send_all(lanes.into_values()).await {
                    self.tell_families().await;
                }
            }
            Err(error) => {
                let url = &self.lane.url;
                tracing::error!(url, %error, samples = weight, "a part of the queue is passed over");
                self.lane.stats.failed.samples.fetch_add(u64::from(weight), Relaxed);
            }
        }
        let (spool, reader) = (Arc::clone(&self.spool), self.reader);
        match tokio::task::spawn_blocking(move || spool.advance(reader, number)).await {
            // A place that is not saved is counted, and costs nothing before a restart.
            Ok(_saved) => ControlFlow::Continue(()),
            Err(_gone) => ControlFlow::Break(()),
        }
    }

    /// Sends all lanes; whether the server took something.
    async fn send_all(&self, mut lanes: impl ExactSizeIterator<Item = Vec<Part>>) -> bool {
        if lanes.len() == 1
            && let Some(parts) = lanes.next()
        {
            return self.lane.send_all(parts).await;
        }
        let mut tasks = JoinSet::new();
        for parts in lanes {
            let lane = Arc::clone(&self.lane);
            tasks.spawn(async move { lane.send_all(parts).await });
        }
        let mut any = false;
        while let Some(taken) = tasks.join_next().await {
            any |= taken.unwrap_or(false);
        }
        any
    }

    /// Tells the server of the families, if it is time: it takes samples, so it may take these. Nothing waits
    /// for it.
    async fn tell_families(&mut self) {
        let Some(interval) = self.metadata.interval else { return };
        let latest = self.metadata.known.latest();
        let knows = |(number, at): (u64, Instant)| number == latest.number && at.elapsed() < interval;
        if latest.number == 0 || self.metadata.told.is_some_and(knows) {
            return;
        }
        let (url, stats) = (&self.lane.url, &self.lane.stats);
        for told in &latest.batches {
            let families = told.families;
            match self.lane.endpoint.send(Message::One, Bytes::copy_from_slice(&told.body)).await {
                Reply::Taken => {
                    stats.families_sent.fetch_add(families, Relaxed);
                    stats.families_bytes.fetch_add(told.body.len() as u64, Relaxed);
                }
                Reply::Refused { reason, .. } => {
                    tracing::debug!(url, reason, families, "the server refuses what families are");
                    stats.families_refused.fetch_add(families, Relaxed);
                }
                Reply::Later { reason, .. } => {
                    tracing::debug!(url, reason, families, "what families are cannot be told now");
                    stats.families_retried.fetch_add(families, Relaxed);
                    return;
                }
            }
        }
        self.metadata.told = Some((latest.number, Instant::now()));
    }
}

impl<E: Endpoint> Lane<E> {
    fn backoff(&self) -> Backoff {
        Backoff::new(Arc::clone(&self.rng), self.waits)
    }

    /// Sends requests one after the other; whether the server took one.
    async fn send_all(&self, parts: Vec<Part>) -> bool {
        let (mut backoff, mut any) = (self.backoff(), false);
        for part in parts {
            let mut tries = 0_u64;
            loop {
                match self.send_once(&part).await {
                    Sent::Done { taken } => {
                        any |= taken;
                        break;
                    }
                    Sent::Later { wait, reason } => {
                        let wait = backoff.wait(wait);
                        tries += 1;
                        tracing::debug!(url = self.url, reason, tries, ?wait, "waiting to send again");
                        tokio::time::sleep(wait).await;
                    }
                }
            }
            backoff.reset();
        }
        any
    }

    async fn send_once(&self, part: &Part) -> Sent {
        let (url, stats, counts) = (&self.url, &self.stats, part.counts);
        if self.is_too_old(part) {
            stats.too_old.add(counts);
            return Sent::Done { taken: false };
        }
        let began = self.clock.monotonic();
        let reply = self.endpoint.send(part.message, part.body.clone()).await;
        let took = self.clock.monotonic().saturating_sub(began);
        stats.took(took, (reply == Reply::Taken).then_some(counts.total()));
        match reply {
            Reply::Taken => {
                stats.sent.add(counts);
                stats.sent_bytes.fetch_add(part.body.len() as u64, Relaxed);
                stats.newest_ms.fetch_max(part.newest_ms, Relaxed);
                if self.say(Said::Well, "") {
                    tracing::info!(url, "the server takes samples again");
                }
                Sent::Done { taken: true }
            }
            Reply::Refused { reason, written } => {
                stats.sent.add(written);
                let lost = counts.without(written);
                stats.failed.add(lost);
                // Each reason once, not for each request of an outage of hours: the counter says how many.
                if self.say(Said::Refused, &reason) {
                    let samples = lost.total();
                    tracing::error!(url, reason, samples, "the server refuses samples: they are dropped");
                }
                Sent::Done { taken: false }
            }
            Reply::Later { wait, reason } => {
                stats.retried.add(counts);
                if self.say(Said::Later, &reason) {
                    tracing::warn!(url, reason, "samples cannot be sent now: they wait");
                }
                Sent::Later { wait, reason }
            }
        }
    }

    fn is_too_old(&self, part: &Part) -> bool {
        let max_ms = self.max_age.map(|max| i64::try_from(max.as_millis()).unwrap_or(i64::MAX));
        max_ms.is_some_and(|max_ms| self.clock.wall_ms().saturating_sub(part.newest_ms) > max_ms)
    }

    fn is_well(&self) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).said == Said::Well
    }

    /// Whether this is news.
    fn say(&self, now: Said, reason: &str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).is_news(now, reason)
    }
}

/// What became of a try.
enum Sent {
    /// There is no other one.
    Done { taken: bool },
    /// There is, after a while.
    Later { wait: Option<Duration>, reason: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Counts, Request};
    use crate::metadata::PageFamilies;
    use skopos_base::sim::SimWorld;
    use skopos_exposition::Entry;
    use skopos_spool::Options;
    use std::{collections::VecDeque, path::Path};

    /// A server that follows a script, and takes everything behind its end.
    #[derive(Clone, Default)]
    struct Scripted {
        script: Arc<Mutex<VecDeque<Reply>>>,
        /// What came, and when.
        asked: Arc<Mutex<Vec<(u8, Instant)>>>,
    }

    impl Endpoint for Scripted {
        async fn send(&self, _message: Message, body: Bytes) -> Reply {
            self.asked.lock().unwrap().push((body[0], Instant::now()));
            self.script.lock().unwrap().pop_front().unwrap_or(Reply::Taken)
        }
    }

    fn later(seconds: Option<u64>) -> Reply {
        Reply::Later { wait: seconds.map(Duration::from_secs), reason: "busy".into() }
    }

    fn refused() -> Reply {
        Reply::Refused { reason: "no".into(), written: Counts::default() }
    }

    struct Fixture {
        spool: Arc<Spool>,
        server: Scripted,
        stats: Arc<SenderStats>,
        wake: Arc<Notify>,
        metadata: Arc<Metadata>,
        max_age: Option<Duration>,
    }

    impl Fixture {
        fn new(script: impl IntoIterator<Item = Reply>) -> Self {
            let env = SimWorld::new(1).env();
            let spool =
                Spool::open(&env, Path::new("/s"), Options::of_bytes(1 << 20), &["a".into()]).unwrap();
            let server = Scripted::default();
            server.script.lock().unwrap().extend(script);
            Self {
                spool: Arc::new(spool),
                server,
                stats: Arc::default(),
                wake: Arc::default(),
                metadata: Arc::default(),
                max_age: None,
            }
        }

        fn push(&self, n: u8) {
            self.spool.push(i64::from(n) * 1000, 10, vec![n]);
            self.wake.notify_one();
        }

        fn start(&self) -> (watch::Sender<Phase>, tokio::task::JoinHandle<()>) {
            let (phase, receiver) = watch::channel(Phase::Running);
            let env = SimWorld::new(1).env();
            let lane = Lane {
                endpoint: self.server.clone(),
                url: "http://host/".into(),
                stats: Arc::clone(&self.stats),
                rng: Arc::new(Rng::from_seed(1)),
                waits: Waits::default(),
                clock: env.clock,
                max_age: self.max_age,
                told: Mutex::default(),
            };
            let sender = Sender {
                spool: Arc::clone(&self.spool),
                reader: ReaderId(0),
                lane: Arc::new(lane),
                wake: Arc::clone(&self.wake),
                metadata: MetadataPlan {
                    known: Arc::clone(&self.metadata),
                    interval: Some(Duration::from_secs(60)),
                    told: None,
                },
            };
            (phase, tokio::spawn(sender.run(receiver)))
        }

        fn asked(&self) -> Vec<u8> {
            self.server.asked.lock().unwrap().iter().map(|(n, _)| *n).collect()
        }

        /// Lets it send all there is, and end.
        async fn finish(&self) {
            let (phase, task) = self.start();
            phase.send_replace(Phase::Finishing);
            task.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_go_in_order_and_each_until_it_is_taken() {
        let fixture = Fixture::new([later(None), later(None), Reply::Taken, Reply::Taken, later(None)]);
        (1..=3).for_each(|n| fixture.push(n));
        fixture.finish().await;
        assert_eq!(fixture.asked(), [1, 1, 1, 2, 3, 3]);
        let stats = &fixture.stats;
        assert_eq!((stats.sent.get().samples, stats.sent_bytes.load(Relaxed)), (30, 3));
        assert_eq!((stats.retried.get().samples, stats.failed.get().samples), (30, 0));
        assert_eq!(stats.newest_ms.load(Relaxed), 3000);
        assert_eq!(fixture.spool.stats().readers[0].pending, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_dropped_and_counted() {
        let fixture = Fixture::new([Reply::Taken, refused(), refused()]);
        (1..=4).for_each(|n| fixture.push(n));
        fixture.finish().await;
        assert_eq!(fixture.asked(), [1, 2, 3, 4]);
        assert_eq!((fixture.stats.sent.get().samples, fixture.stats.failed.get().samples), (20, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_and_follow_what_the_server_asks_for() {
        let fixture = Fixture::new([later(None), later(None), later(Some(60)), later(None)]);
        fixture.push(1);
        fixture.finish().await;
        let asked = fixture.server.asked.lock().unwrap().clone();
        let waits: Vec<_> = asked.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
        assert!(waits[0] <= Duration::from_millis(210), "{waits:?}");
        assert!(waits[2] >= Duration::from_secs(60) && waits[3] < Duration::from_secs(11), "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_hours_costs_nothing() {
        let fixture = Fixture::new([]);
        let (phase, task) = fixture.start();
        fixture.push(1);
        while fixture.asked().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        fixture.server.script.lock().unwrap().extend((0..3000).map(|_| later(None)));
        for n in 2..=200 {
            fixture.push(n);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        fixture.server.script.lock().unwrap().clear();
        phase.send_replace(Phase::Finishing);
        task.await.unwrap();
        let mut asked = fixture.asked();
        asked.dedup();
        assert_eq!(asked, (1..=200).collect::<Vec<_>>());
        assert_eq!(fixture.stats.sent.get().samples, 2000);
    }

    #[tokio::test(start_paused = true)]
    async fn families_are_told_to_who_takes_samples_when_they_change_and_once_in_a_while() {
        let fixture = Fixture::new([Reply::Taken, later(None), Reply::Taken, Reply::Taken]);
        let page = |name: &str| {
            let mut families = PageFamilies::default();
            families.note(&Entry::Help { name: name.to_owned().into(), text: "".into() });
            fixture.metadata.set(families, 10);
        };
        let (_phase, _task) = fixture.start();
        let push = async |n: u8| {
            fixture.push(n);
            tokio::time::sleep(Duration::from_secs(15)).await;
            let mut asked = fixture.server.asked.lock().unwrap();
            std::mem::take(&mut *asked).into_iter().map(|(n, _)| n).collect::<Vec<_>>()
        };
        page("a");
        // A request about families begins with its length, which is none of the numbers here.
        let families = fixture.metadata.latest().batches[0].body[0];
        assert_eq!(push(101).await, [101, families], "the server does not take it now");
        assert_eq!(push(102).await, [102, families], "the samples go on, and it is told again");
        assert_eq!(push(103).await, [103]);
        page("longer");
        let changed = fixture.metadata.latest().batches[0].body[0];
        assert_eq!(push(104).await, [104, changed]);
        assert_eq!(push(105).await, [105]);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(push(106).await, [changed, 106], "a minute has passed, in which nothing came");
        let stats = &fixture.stats;
        assert_eq!((stats.families_sent.load(Relaxed), stats.families_retried.load(Relaxed)), (3, 1));
        assert_eq!(stats.sent.get().samples, 60);
    }

    #[test]
    fn each_reason_is_told_once_until_the_server_takes_something() {
        let mut told = Told::default();
        let mut news = |said, reason: &str| told.is_news(said, reason);
        assert!(!news(Said::Well, ""));
        assert_eq!(
            ["a", "a", "b", "a", "b"].map(|why| news(Said::Later, why)),
            [true, false, true, false, false]
        );
        assert!(news(Said::Refused, "c") && !news(Said::Refused, "c"));
        assert!(news(Said::Well, "") && !news(Said::Well, ""));
        assert!(news(Said::Later, "a"), "another outage");
        let more = (0..1000).filter(|n| news(Said::Later, &n.to_string())).count();
        assert_eq!(more, MAX_REASONS - 1);
    }

    fn request(n: u8, newest_ms: i64) -> Request {
        let counts = Counts { samples: 10, ..Counts::default() };
        Request { message: Message::Two, counts, newest_ms, body: vec![n] }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_waits_holds_no_other_and_the_next_round_waits_for_all() {
        // The first that is asked has to come again after a minute.
        let fixture = Fixture::new([later(Some(60))]);
        let round = |requests: &[(u32, u8)]| {
            let requests: Vec<_> = requests.iter().map(|(lane, n)| (*lane, request(*n, 1000))).collect();
            round::encode(None, &requests)
        };
        fixture.spool.push(1000, 40, round(&[(0, 1), (1, 11), (0, 2), (1, 12)]));
        fixture.spool.push(1000, 10, round(&[(0, 3)]));
        fixture.finish().await;
        let asked = fixture.asked();
        let of = |lane: &[u8]| asked.iter().copied().filter(|n| lane.contains(n)).collect::<Vec<_>>();
        assert_eq!((of(&[1, 2]), of(&[11, 12])), (vec![1, 1, 2], vec![11, 12]));
        assert_eq!(asked.last(), Some(&3), "{asked:?}");
        let times = fixture.server.asked.lock().unwrap().clone();
        let at = |n: u8| times.iter().rev().find(|(asked, _)| *asked == n).unwrap().1;
        assert!(
            at(12) - times[0].1 < Duration::from_secs(1) && at(2) - times[0].1 >= Duration::from_secs(60)
        );
        assert_eq!(fixture.stats.sent.get().samples, 50);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_by_then_and_what_is_no_request_is_passed_over_and_counted() {
        let mut fixture = Fixture::new([]);
        fixture.max_age = Some(Duration::from_secs(60));
        let now_ms = SimWorld::new(1).env().clock.wall_ms();
        let requests = [(0, request(1, now_ms - 60_001)), (0, request(2, now_ms - 60_000))];
        fixture.spool.push(0, 20, round::encode(None, &requests));
        fixture.spool.push(0, 7, vec![0, 99]);
        fixture.finish().await;
        assert_eq!(fixture.asked(), [2]);
        let stats = &fixture.stats;
        assert_eq!((stats.too_old.get().samples, stats.failed.get().samples), (10, 7));
    }
}
