//! Takes requests from the queue and sends them to one server, in order and one at a time, until they are
//! taken or refused for good. Its only copy of a request is the one under way: what waits, waits in the
//! queue.

use crate::{
    backoff::Backoff,
    endpoint::{Endpoint, Reply},
    stats::SenderStats,
};
use bytes::Bytes;
use skopos_spool::{ReaderId, Record, Spool};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::sync::{Notify, watch};

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
    use skopos_base::{rng::Rng, sim::SimWorld};
    use skopos_spool::Options;
    use std::{collections::VecDeque, path::Path, sync::Mutex, time::Duration};
    use tokio::time::Instant;

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
    }

    impl Fixture {
        fn new(script: impl IntoIterator<Item = Reply>) -> Self {
            let env = SimWorld::new(1).env();
            let spool =
                Spool::open(&env, Path::new("/s"), Options::of_bytes(1 << 20), &["a".into()]).unwrap();
            let server = Scripted::default();
            server.script.lock().unwrap().extend(script);
            Self { spool: Arc::new(spool), server, stats: Arc::default(), wake: Arc::default() }
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
}
