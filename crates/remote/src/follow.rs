//! `Follower`: fills a server's queue from the log. Each round stands in the queue with the place of the log
//! up to which it goes: whatever ends the process, the next one goes on there, so that nothing is left out
//! and nothing queued twice. Sends nothing.

use crate::{
    gather::Gatherer,
    message::{Message, Request},
    metadata::{Metadata, PageFamilies},
    round::{self, Place},
    stats::SenderStats,
};
use skopos_base::clock::Clock;
use skopos_model::Metadata as OfMetric;
use skopos_spool::{Pushed, Spool};
use skopos_tsdb::{
    snapshot::Position,
    tail::{Reached, WalTail},
};
use std::{
    collections::BTreeSet,
    io,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// So much of the log is read at a time.
const READ_BYTES: u64 = 256 << 10;
/// How often it is looked whether the log has more.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked which series the log has forgotten, what metrics are, and how many lanes it takes.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// A record of the queue has about so many bytes at most, and at least one request.
const RECORD_BYTES: usize = 8 << 20;
/// Of what is behind, so much is to be caught up with in a second.
const CATCH_UP: f64 = 1.0 / 600.0;
/// So much more than comes is to be sent, as nothing comes evenly.
const HEADROOM: f64 = 1.5;

/// Where the log is, and what is known of metrics.
#[derive(Clone)]
pub struct Source {
    /// The log from a place on; without one from its end.
    pub tail: Arc<dyn Fn(Option<Position>) -> io::Result<WalTail> + Send + Sync>,
    /// What is known of all metrics.
    pub metadata: Arc<dyn Fn() -> Vec<(String, OfMetric)> + Send + Sync>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

/// What a follower shares with whoever stands around it, and with the one that follows it after a reload.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) spool: Arc<Spool>,
    /// The place behind the newest round.
    pub(crate) place: Mutex<Option<Place>>,
}

/// See above.
pub(crate) struct Follower {
    pub(crate) source: Source,
    pub(crate) queue: Arc<Queue>,
    pub(crate) gatherer: Gatherer,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stats: Arc<SenderStats>,
    pub(crate) wake: Arc<Notify>,
    /// How servers that do not get it beside samples are told what metrics are.
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) sends_metadata: bool,
    pub(crate) max_families: usize,
    pub(crate) deadline: Duration,
    pub(crate) lanes: RangeInclusive<usize>,
    /// How logs call the server.
    pub(crate) url: String,
    pub(crate) state: State,
}

/// How far a follower is.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Opened as early as can be: a log that is made shorter keeps what a tail has open.
    tail: Option<WalTail>,
    is_named: bool,
    /// When the round under way got its first sample.
    began: Option<Duration>,
    tidied: Option<Duration>,
    /// What had come by then.
    came: u64,
    /// So many lanes the next round has, if that is to change.
    lanes: Option<usize>,
    is_said: bool,
}

impl State {
    /// Of one that goes on with this tail; without one it opens its own.
    pub(crate) fn with(tail: Option<WalTail>) -> Self {
        Self { tail, ..Self::default() }
    }
}

impl Queue {
    pub(crate) fn place(&self) -> Option<Place> {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(crate) const fn position(self) -> Position {
        Position { segment: self.segment, offset: self.offset }
    }
}

/// Whether there is more to do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

impl Follower {
    /// Follows the log until it is told to stop; then what was read is queued.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let is_last = *stop.borrow_and_update();
            let stepped = tokio::task::spawn_blocking(move || {
                let more = self.step(is_last);
                (self, more)
            });
            let Ok((me, more)) = stepped.await else {
                tracing::error!("the thread that reads the log for other servers failed");
                return;
            };
            self = me;
            match more {
                Ok(More::Yes) => self.state.is_said = false,
                Ok(More::No) if is_last => return,
                Ok(More::No) => {
                    self.state.is_said = false;
                    tokio::select! {
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                        changed = stop.changed() => if changed.is_err() { return },
                    }
                }
                Err(error) => {
                    self.stats.refused_by_disk.fetch_add(1, Relaxed);
                    if !std::mem::replace(&mut self.state.is_said, true) {
                        let url = &self.url;
                        tracing::error!(url, %error, "what is stored cannot be queued now: the log keeps it");
                    }
                    if is_last {
                        return;
                    }
                    tokio::time::sleep(LOOK_EVERY * 5).await;
                }
            }
        }
    }

    fn step(&mut self, is_last: bool) -> io::Result<More> {
        // What the disk did not take stands in memory; nothing more is read before it is there.
        if let Err(refused) = self.queue.spool.retry() {
            self.state.tail.as_mut().map_or(Ok(()), WalTail::hold)?;
            return Err(refused);
        }
        if !self.state.is_named {
            self.open()?;
        }
        let Some(tail) = &mut self.state.tail else { return Ok(More::No) };
        let (now_ms, gatherer) = (self.clock.wall_ms(), &mut self.gatherer);
        let segment = tail.place().segment;
        self.stats.segment.store(segment.into(), Relaxed);
        let reached = tail.read(READ_BYTES, &mut |logged| gatherer.take(logged, segment, now_ms))?;
        gatherer.settle(now_ms);
        let now = self.clock.monotonic();
        if !gatherer.is_empty() && self.state.began.is_none() {
            self.state.began = Some(now);
        }
        let is_due = self.state.began.is_some_and(|began| now.saturating_sub(began) >= self.deadline);
        let is_over = is_last && reached == Reached::End;
        if is_over || is_due || self.gatherer.is_full() {
            self.queue_round()?;
        }
        if self.state.tidied.is_none_or(|tidied| now.saturating_sub(tidied) >= TIDY_EVERY) {
            self.tidy(now)?;
        }
        Ok(if reached == Reached::More { More::Yes } else { More::No })
    }

    /// Goes on where the queue ends.
    fn open(&mut self) -> io::Result<()> {
        let place = self.queue.place();
        let mut tail = match self.state.tail.take() {
            Some(tail) => tail,
            None => (self.source.tail)(place.map(Place::position))?,
        };
        let gatherer = &mut self.gatherer;
        // What is named up to there is needed until a checkpoint behind it says otherwise.
        let segment = tail.place().segment;
        tail.names(&mut |number, labels| gatherer.name(number, &labels, segment))?;
        (self.state.tail, self.state.is_named) = (Some(tail), true);
        // Where it begins is to be known after a crash, too.
        if place.is_none() { self.queue_round() } else { Ok(()) }
    }

    /// Puts the round into the queue, with the place up to which it goes.
    fn queue_round(&mut self) -> io::Result<()> {
        let Some(tail) = &self.state.tail else { return Ok(()) };
        let Position { segment, offset } = tail.place();
        let place = Place { segment, offset };
        self.state.began = None;
        let mut known = self.queue.place.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = self.gatherer.finish();
        self.gatherer.set_lanes(self.state.lanes.unwrap_or(self.gatherer.lanes()));
        if requests.is_empty() && known.is_some_and(|known| known.segment == segment) {
            // What is read again then had nothing to send.
            return Ok(());
        }
        let mut result = Ok(());
        let mut rest = &requests[..];
        loop {
            let (now, behind) = rest.split_at(fitting(rest));
            // Only the last one says that all is there.
            let place = if behind.is_empty() { Some(place) } else { *known };
            let weight = now.iter().map(|(_, request)| request.counts.total()).sum::<u64>();
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            let body = round::encode(place, now);
            if let Pushed::Unwritten(error) = self.queue.spool.push(self.clock.wall_ms(), weight, body) {
                result = Err(error);
            }
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        *known = Some(place);
        self.wake.notify_one();
        result
    }

    fn tidy(&mut self, now: Duration) -> io::Result<()> {
        let since = self.state.tidied.replace(now);
        if let Some(tail) = &mut self.state.tail {
            let mut needed = BTreeSet::new();
            if let Some(up_to) = tail.checkpoint(&mut |number| needed.extend([number]))? {
                self.gatherer.forget(up_to, &needed);
            }
        }
        if self.sends_metadata {
            let all = (self.source.metadata)();
            match self.gatherer.message() {
                Message::One => self.metadata.set(PageFamilies::from_iter(all), self.max_families),
                Message::Two => self.gatherer.set_metadata(all.into_iter()),
            }
        }
        let came = self.stats.came.get().total();
        let new = came - std::mem::replace(&mut self.state.came, came);
        if let Some(since) = since {
            self.adapt(new as f64 / now.saturating_sub(since).as_secs_f64().max(1e-3));
        }
        Ok(())
    }

    /// Sees to it that the next round has as many lanes as it takes to send what comes.
    fn adapt(&mut self, came_per_second: f64) {
        let pending: u64 = self.queue.spool.stats().readers.iter().map(|reader| reader.pending).sum();
        let per_second = came_per_second * HEADROOM + pending as f64 * CATCH_UP;
        let wanted = per_second * self.stats.seconds_per_sample();
        self.stats.lanes_wanted_milli.store((wanted * 1e3) as u64, Relaxed);
        let lanes = (wanted.ceil() as usize).clamp(*self.lanes.start(), *self.lanes.end());
        // A little less is no reason: lanes that have nothing to do cost nothing.
        let now = self.gatherer.lanes();
        self.state.lanes = (lanes > now || lanes < now / 2).then_some(lanes);
    }
}

/// How many of the requests go into one record.
fn fitting(requests: &[(u32, Request)]) -> usize {
    let mut bytes = 0;
    let fits = requests.iter().take_while(|(_, request)| {
        bytes += request.body.len();
        bytes <= RECORD_BYTES
    });
    fits.count().max(requests.len().min(1))
}

#[cfg(test)]
mod tests;
