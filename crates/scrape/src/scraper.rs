//! The life of one target: wait for its time, fetch, ingest, report; until it is told to stop.

use crate::{
    body::Body,
    failure_log::FailureLogs,
    fetch::{FetchError, Fetcher, Route},
    ingest::{Ingest, MetadataLabels, Report, StartTimes},
    pace::Pace,
    status::{Health, LastScrape, ScrapeCounters, TargetStatus},
    target::Source,
};
use skopos_base::{clock::Clock, spawn::or_said};
use skopos_model::{DurationMs, TimestampMs};
use skopos_storage::Appendable;
use std::{sync::Arc, task::Poll, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// A longer body is not ingested on a thread of the reactor: one of this length takes about a millisecond at
/// most.
const USUAL_BODY_BYTES: usize = 256 << 10;

/// Whether to ingest a body takes less time than to change threads would be worth.
fn is_usual(body: &Body, ingest: &Ingest) -> bool {
    body.bytes.len() <= USUAL_BODY_BYTES && ingest.remembered_series() > 0 && !ingest.is_streaming()
}

/// What every scraper shares.
#[derive(Clone)]
pub struct Shared {
    /// Where samples go.
    pub storage: Arc<dyn Appendable>,
    /// Where bodies come from.
    pub fetcher: Fetcher,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counts over all targets.
    pub counters: Arc<ScrapeCounters>,
    /// Series that a target may have where its job says nothing else; zero is no bound.
    pub max_series_per_target: u32,
    /// What of the metadata is in the labels of series.
    pub metadata_labels: MetadataLabels,
    /// What becomes of the time since when something has been counted.
    pub start_times: StartTimes,
}

impl Shared {
    /// What is remembered of a target that was not scraped yet.
    fn new_ingest(&self, status: &TargetStatus) -> Ingest {
        Ingest::new(&status.target, Arc::clone(&self.counters))
            .with_metadata(Arc::clone(&status.metadata))
            .with_metadata_labels(self.metadata_labels)
            .with_start_times(self.start_times)
            .with_max_series(&status.target, self.max_series_per_target)
    }
}

/// How a scraper ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It goes on.
    Running,
    /// The server stops: the series simply end, and go on after the restart.
    Shutdown,
    /// The target is gone from the configuration: its series are marked stale.
    Removed,
    /// Another scraper goes on with the same series (the target's rhythm or path changed, for instance).
    Replaced,
}

/// One target's scrapes.
pub struct Scraper {
    shared: Shared,
    failure_logs: Arc<FailureLogs>,
    status: Arc<TargetStatus>,
    ingest: Ingest,
    pace: Pace,
    route: Route,
    /// When the scrape before began, by the clock that never goes back.
    scraped_at: Option<Duration>,
}

/// What `work` comes to, or what its panic said.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| match or_said(|| work.as_mut().poll(context)) {
        Ok(polled) => polled.map(Ok),
        Err(said) => Poll::Ready(Err(said)),
    })
    .await
}

impl Scraper {
    /// A scraper that has not begun.
    pub(crate) fn new(shared: Shared, failure_logs: Arc<FailureLogs>, status: Arc<TargetStatus>) -> Self {
        let pace = Pace::new(status.target.interval, status.target.hash64());
        let ingest = shared.new_ingest(&status);
        let route = shared.fetcher.route(&status.target);
        Self { shared, failure_logs, status, ingest, pace, route, scraped_at: None }
    }

    /// Scrapes until `ending` says otherwise, with what the scraper `before`, which was told that it is
    /// replaced, leaves. Gives what it leaves itself if it is replaced. A target that does not answer does
    /// not hold up the end: what has not come by then is left.
    pub async fn run(
        mut self,
        before: Option<JoinHandle<Option<Ingest>>>,
        mut ending: watch::Receiver<Ending>,
    ) -> Option<Ingest> {
        if let Some(before) = before
            // One that panicked has already said so, and leaves nothing.
            && let Ok(Some(ingest)) = before.await
        {
            self.ingest = Ingest::replacing(&self.status.target, ingest)
                .with_metadata(Arc::clone(&self.status.metadata))
                .with_max_series(&self.status.target, self.shared.max_series_per_target);
        }
        tokio::select! {
            // A scrape is given up only where it waits for its target; what has come is stored.
            () = self.scrape_for_ever() => {}
            _ = ending.changed() => {}
        }
        let ending = *ending.borrow();
        match ending {
            Ending::Removed => self.mark_stale(),
            Ending::Replaced => return Some(self.ingest),
            Ending::Running | Ending::Shutdown => {}
        }
        None
    }

    async fn scrape_for_ever(&mut self) {
        let mut planned = self.now();
        match self.status.target.source {
            // A source in this process costs no connection: it is read at once, so that a page opened
            // right after the start has something to show. All others keep to their grid.
            Source::InProcess(_) => self.pace = Pace::through(planned, self.status.target.interval),
            Source::Http(_) => planned = self.pace.next_after(planned),
        }
        loop {
            tokio::time::sleep(self.until(planned)).await;
            let begun = self.now();
            self.scrape_or_tell(self.pace.aligned(planned, begun), begun).await;
            planned = self.next_time(planned);
        }
    }

    /// The time after `planned`; times that have passed meanwhile are skipped.
    fn next_time(&self, planned: TimestampMs) -> TimestampMs {
        let next = self.pace.following(planned, self.now());
        ScrapeCounters::add(&self.shared.counters.skipped, next.missed);
        if next.clock_set_back {
            let (job, target) = (&self.status.target.job, self.status.target.url());
            tracing::info!(%job, %target, "the clock was set back, scrapes go on by its new time");
        }
        next.at
    }

    fn now(&self) -> TimestampMs {
        TimestampMs::new(self.shared.clock.wall_ms())
    }

    fn until(&self, planned: TimestampMs) -> Duration {
        planned.since(self.now()).as_std()
    }

    async fn scrape(&mut self, at: TimestampMs, begun: TimestampMs) {
        let started = self.shared.clock.monotonic();
        if let Some(before) = self.scraped_at.replace(started) {
            let since = started.saturating_sub(before);
            self.shared.counters.pools.scraped_after(self.status.target.interval, since);
        }
        let fetched = match &self.status.target.forced_error {
            Some(error) => Err(FetchError::Forced(Arc::clone(error))),
            None => {
                let (target, reader) = (&self.status.target, (&mut self.ingest, at));
                self.shared.fetcher.fetch(target, &mut self.route, reader).await
            }
        };
        let took = self.shared.clock.monotonic().saturating_sub(started);
        if let Err(error) = &fetched
            && !matches!(error, FetchError::Body(_))
            && self.status.target.failure_log.is_some()
            && self.status.target.forced_error.is_none()
        {
            self.log_failure(begun, error.to_string()).await;
        }
        let report = self.ingest(at, took, fetched);
        self.report(report, begun, took);
    }

    /// Scrapes. Where that panics, a scrape fails, and what is remembered of the target is lost with it:
    /// series that it no longer has are not marked as ended. It is scraped on.
    async fn scrape_or_tell(&mut self, at: TimestampMs, begun: TimestampMs) {
        let Err(panic) = caught(self.scrape(at, begun)).await else { return };
        let (job, target) = (&self.status.target.job, self.status.target.url());
        tracing::error!(%job, %target, %panic, "a scrape panicked; the target is scraped on");
        self.ingest = self.shared.new_ingest(&self.status);
        self.route = self.shared.fetcher.route(&self.status.target);
        let report = self.ingest(at, Duration::ZERO, Err(FetchError::Panicked(panic)));
        self.report(report, begun, Duration::ZERO);
    }

    /// Shows what a scrape came to.
    fn report(&self, report: Report, begun: TimestampMs, took: Duration) {
        ScrapeCounters::add(&self.shared.counters.scrapes, 1);
        if report.health == Health::Down {
            ScrapeCounters::add(&self.shared.counters.failed, 1);
            let (url, error) = (self.status.target.url(), &report.error);
            tracing::debug!(job = %self.status.target.job, target = %url, %error, "scrape failed");
        }
        self.status.set(LastScrape {
            health: report.health,
            error: report.error,
            at: Some(begun),
            took: DurationMs::from(took),
            took_secs: took.as_secs_f64(),
        });
    }

    /// Parsing and storing a long body, or new series, is work for a thread of its own, not for one of the
    /// reactor's; all else takes less time than to change threads would be worth.
    fn ingest(&mut self, at: TimestampMs, took: Duration, fetched: Result<Body, FetchError>) -> Report {
        let storage = Arc::clone(&self.shared.storage);
        let ingest = &mut self.ingest;
        match fetched {
            Ok(body) if is_usual(&body, ingest) => ingest.body(storage.as_ref(), at, took, &body),
            Ok(body) => tokio::task::block_in_place(move || ingest.body(storage.as_ref(), at, took, &body)),
            Err(error) => ingest.failure(storage.as_ref(), at, took, &error),
        }
    }

    async fn log_failure(&self, at: TimestampMs, error: String) {
        let (logs, status) = (Arc::clone(&self.failure_logs), Arc::clone(&self.status));
        let written = tokio::task::spawn_blocking(move || logs.write(&status.target, at, &error)).await;
        // One that panicked has already said so.
        drop(written);
    }

    fn mark_stale(&mut self) {
        let at = self.now();
        let storage = Arc::clone(&self.shared.storage);
        let ingest = &mut self.ingest;
        tokio::task::block_in_place(move || ingest.target_gone(storage.as_ref(), at));
    }
}
