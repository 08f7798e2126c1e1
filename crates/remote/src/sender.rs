//! Takes requests from the queue and sends them to one server, in order and one at a time, until they are
//! taken or refused for good. Its only copy of a request is the one under way: what waits, waits in the
//! queue.

use crate::{
    backoff::Backoff,
    endpoint::{Endpoint, Reply},
    metadata::Metadata,
    stats::SenderStats,
};
use bytes::Bytes;
use skopos_spool::{ReaderId, Record, Spool};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
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
    pub(crate) endpoint: E,
    /// How logs call the server.
    pub(crate) url: String,
    pub(crate) stats: Arc<SenderStats>,
    /// Says that there is something to send.
    pub(crate) wake: Arc<Notify>,
    pub(crate) backoff: Backoff,
    pub(crate) metadata: MetadataPlan,
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

/// What was said last of a server, so that it is said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Well,
    Later,
    Refused,
}

impl<E: Endpoint> Sender<E> {
    /// Sends until everything is sent and the phase is `Finishing`.
    pub(crate) async fn run(mut self, mut phase: watch::Receiver<Phase>) {
        let (mut said, mut tries) = (Said::Well, 0_u64);
        loop {
            let (spool, reader) = (Arc::clone(&self.spool), self.reader);
            match tokio::task::spawn_blocking(move || spool.peek(reader)).await {
                Ok(Ok(Some(record))) => {
                    if self.send(record, &mut said, &mut tries).await.is_break() {
                        return;
                    }
                }
                Ok(Ok(None)) => {
                    if *phase.borrow_and_update() == Phase::Finishing {
                        return;
                    }
                    tokio::select! {
                        () = self.wake.notified() => {}
                        changed = phase.changed() => if changed.is_err() { return },
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(url = self.url, %error, "the queue cannot be read");
                    tokio::time::sleep(self.backoff.wait(None)).await;
                }
                // The process ends.
                Err(_gone) => return,
            }
        }
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
        for batch in &latest.batches {
            let (url, families) = (&self.url, u64::from(batch.samples));
            match self.endpoint.send(Bytes::copy_from_slice(&batch.body)).await {
                Reply::Taken => self.stats.families_sent.fetch_add(families, Relaxed),
                Reply::Refused { reason } => {
                    tracing::debug!(url, reason, families, "the server refuses what families are");
                    self.stats.families_refused.fetch_add(families, Relaxed)
                }
                Reply::Later { reason, .. } => {
                    tracing::debug!(url, reason, families, "what families are cannot be told now");
                    self.stats.families_retried.fetch_add(families, Relaxed);
                    return;
                }
            };
        }
        self.metadata.told = Some((latest.number, Instant::now()));
    }

    /// Sends one request once. It is read from the queue again when it has to be sent again: a bound may have
    /// taken it meanwhile.
    async fn send(&mut self, record: Record, said: &mut Said, tries: &mut u64) -> std::ops::ControlFlow<()> {
        let (url, samples) = (&self.url, u64::from(record.weight));
        let bytes = record.body.len() as u64;
        match self.endpoint.send(Bytes::from(record.body)).await {
            Reply::Taken => {
                self.stats.sent.fetch_add(samples, Relaxed);
                self.stats.sent_bytes.fetch_add(bytes, Relaxed);
                self.stats.newest_ms.fetch_max(record.time_ms, Relaxed);
                if *said != Said::Well {
                    tracing::info!(url, "the server takes samples again");
                }
                *said = Said::Well;
                self.tell_families().await;
            }
            Reply::Refused { reason } => {
                self.stats.refused.fetch_add(samples, Relaxed);
                // Once, not for each request of an outage of hours: the counter says how many.
                if *said != Said::Refused {
                    tracing::error!(url, reason, samples, "the server refuses samples: they are dropped");
                }
                *said = Said::Refused;
            }
            Reply::Later { wait, reason } => {
                self.stats.retried.fetch_add(samples, Relaxed);
                let wait = self.backoff.wait(wait);
                if *said != Said::Later {
                    tracing::warn!(url, reason, "samples cannot be sent now: they wait");
                }
                *said = Said::Later;
                *tries += 1;
                tracing::debug!(url, reason, tries, ?wait, "waiting to send again");
                tokio::time::sleep(wait).await;
                return std::ops::ControlFlow::Continue(());
            }
        }
        *tries = 0;
        self.backoff.reset();
        let (spool, reader) = (Arc::clone(&self.spool), self.reader);
        match tokio::task::spawn_blocking(move || spool.advance(reader, record.number)).await {
            // A place that is not saved is counted, and costs nothing before a restart.
            Ok(_saved) => std::ops::ControlFlow::Continue(()),
            Err(_gone) => std::ops::ControlFlow::Break(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::PageFamilies;
    use skopos_base::{rng::Rng, sim::SimWorld};
    use skopos_exposition::Entry;
    use skopos_spool::Options;
    use std::{collections::VecDeque, path::Path, sync::Mutex};

    /// A server that follows a script, and takes everything behind its end.
    #[derive(Clone, Default)]
    struct Scripted {
        script: Arc<Mutex<VecDeque<Reply>>>,
        /// What came, and when.
        asked: Arc<Mutex<Vec<(u8, Instant)>>>,
    }

    impl Endpoint for Scripted {
        async fn send(&self, body: Bytes) -> Reply {
            self.asked.lock().unwrap().push((body[0], Instant::now()));
            self.script.lock().unwrap().pop_front().unwrap_or(Reply::Taken)
        }
    }

    fn later(seconds: Option<u64>) -> Reply {
        Reply::Later { wait: seconds.map(Duration::from_secs), reason: "busy".into() }
    }

    fn refused() -> Reply {
        Reply::Refused { reason: "no".into() }
    }

    struct Fixture {
        spool: Arc<Spool>,
        server: Scripted,
        stats: Arc<SenderStats>,
        wake: Arc<Notify>,
        metadata: Arc<Metadata>,
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
            }
        }

        fn push(&self, n: u8) {
            self.spool.push(i64::from(n) * 1000, 10, vec![n]);
            self.wake.notify_one();
        }

        fn start(&self) -> (watch::Sender<Phase>, tokio::task::JoinHandle<()>) {
            let (phase, receiver) = watch::channel(Phase::Running);
            let sender = Sender {
                spool: Arc::clone(&self.spool),
                reader: ReaderId(0),
                endpoint: self.server.clone(),
                url: "http://host/".into(),
                stats: Arc::clone(&self.stats),
                wake: Arc::clone(&self.wake),
                backoff: Backoff::new(Arc::new(Rng::from_seed(1))),
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
        assert_eq!((stats.sent.load(Relaxed), stats.sent_bytes.load(Relaxed)), (30, 3));
        assert_eq!((stats.retried.load(Relaxed), stats.refused.load(Relaxed)), (30, 0));
        assert_eq!(stats.newest_ms.load(Relaxed), 3000);
        assert_eq!(fixture.spool.stats().readers[0].pending, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_dropped_and_counted() {
        let fixture = Fixture::new([Reply::Taken, refused(), refused()]);
        (1..=4).for_each(|n| fixture.push(n));
        fixture.finish().await;
        assert_eq!(fixture.asked(), [1, 2, 3, 4]);
        assert_eq!((fixture.stats.sent.load(Relaxed), fixture.stats.refused.load(Relaxed)), (20, 20));
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
        assert_eq!(fixture.stats.sent.load(Relaxed), 2000);
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
        assert_eq!(push(106).await, [106, changed], "a minute has passed");
        let stats = &fixture.stats;
        assert_eq!((stats.families_sent.load(Relaxed), stats.families_retried.load(Relaxed)), (3, 1));
        assert_eq!(stats.sent.load(Relaxed), 60);
    }
}
