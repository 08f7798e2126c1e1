//! What the handlers work with. Until storage has been opened there is nothing, and every request
//! but those for health and pages is told so.

use crate::{
    about::{About, Replay},
    admin::SharedAdmin,
    blocking::Slots,
    control::{Asked, Control},
    metadata::KeptMetadata,
    notifications::Notifications,
    own_metrics::{HttpStats, OwnMetrics},
    push::Push,
    query_log::QueryLog,
    query_threads::QueryThreads,
    remote_read::RemoteRead,
    reply::{ApiError, ErrorType},
    tsdb_status::TsdbStatusSource,
};
use axum::{extract::FromRequestParts, http::request};
use skopos_agent::Top;
use skopos_base::clock::Clock;
use skopos_config::Live;
use skopos_exposition::Format;
use skopos_promql::{Engine, queries::Queries};
use skopos_scrape::manager::Manager;
use skopos_storage::{ExemplarQueryable, Queryable};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Semaphore, mpsc};

/// So many at a time are told the process's own metrics.
const DESCRIBING_MAX: usize = 2;

/// Everything that a handler may ask.
pub struct Parts {
    /// The samples.
    pub storage: Arc<dyn Queryable>,
    /// The exemplars.
    pub exemplars: Arc<dyn ExemplarQueryable>,
    /// Samples and chunks for other servers.
    pub remote_read: RemoteRead,
    /// What is pushed.
    pub push: Push,
    /// How the program runs.
    pub about: About,
    /// Evaluates queries.
    pub engine: Engine,
    /// What the head consists of.
    pub tsdb_status: TsdbStatusSource,
    /// What storage knows of metrics, those of targets that are gone among them.
    pub kept_metadata: KeptMetadata,
    /// What an operator may ask of the database.
    pub tsdb_admin: SharedAdmin,
    /// The processes of this machine.
    pub processes: Top,
    /// The targets.
    pub targets: Arc<Manager>,
    /// The configuration in force.
    pub config: Arc<Live>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The most bytes of a query's answer, before it is compressed (`--query.max-response-bytes`).
    pub response_max_bytes: u64,
    /// How many queries may run at the same time.
    pub query_slots: Slots,
    /// How many at the same time may look up labels, series, metadata and the like: as many again.
    pub lookup_slots: Slots,
    /// The threads that they run on.
    pub query_threads: QueryThreads,
    /// Those that wait and run.
    pub queries: Arc<Queries>,
    /// Where they are logged.
    pub query_log: QueryLog,
    /// What this process says of itself.
    pub metrics: Arc<OwnMetrics>,
}

impl Parts {
    /// The engine as the configuration in force wants it.
    pub(crate) fn engine_now(&self) -> Engine {
        self.engine.with_subquery_step(self.config.get().global.evaluation_interval)
    }
}

/// Says how far stored data has been read.
type HowFar = Box<dyn Fn() -> Replay + Send + Sync>;

/// The parts once they are there. Cloning shares them.
#[derive(Clone)]
pub struct App {
    parts: Arc<OnceLock<Arc<Parts>>>,
    http: Arc<HttpStats>,
    /// How many may be written of the process's own metrics at a time: storage is asked for them.
    describing: Arc<Semaphore>,
    control: Arc<Control>,
    notifications: Arc<Notifications>,
    replay: Arc<OnceLock<HowFar>>,
}

impl Default for App {
    fn default() -> Self {
        Self {
            parts: Arc::default(),
            http: Arc::default(),
            describing: Arc::new(Semaphore::new(DESCRIBING_MAX)),
            control: Arc::default(),
            notifications: Arc::default(),
            replay: Arc::default(),
        }
    }
}

impl App {
    /// Makes the API ready.
    ///
    /// # Panics
    /// When it already is.
    pub fn ready(&self, parts: Parts) {
        assert!(self.parts.set(Arc::new(parts)).is_ok(), "the API is made ready once");
    }

    /// Where requests to reload and to quit arrive.
    ///
    /// # Panics
    /// When it was called before.
    pub fn asked(&self) -> mpsc::Receiver<Asked> {
        self.control.receiver()
    }

    /// What an operator should know at once.
    pub fn notifications(&self) -> &Notifications {
        &self.notifications
    }

    /// Who knows how far stored data has been read.
    ///
    /// # Panics
    /// When it was called before.
    pub fn replay_is(&self, how_far: impl Fn() -> Replay + Send + Sync + 'static) {
        assert!(self.replay.set(Box::new(how_far)).is_ok(), "it is said once who knows");
    }

    pub(crate) fn replay(&self) -> Replay {
        self.replay.get().map_or_else(Replay::default, |how_far| how_far())
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// What the web server counts.
    pub(crate) fn http(&self) -> &Arc<HttpStats> {
        &self.http
    }

    /// The process's own metrics: as long as storage is not open, those that there are without it.
    pub(crate) async fn own_metrics(&self, format: Format) -> Result<Vec<u8>, ApiError> {
        self.describing(move |write| write(format)).await
    }

    /// What `work` makes, on a thread, of the process's own metrics as it has them written.
    pub(crate) async fn describing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Fn(Format) -> Vec<u8>) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let Ok(turn) = Arc::clone(&self.describing).acquire_owned().await else {
            return Err(ApiError::internal("invariant: the semaphore is never closed"));
        };
        let (parts, http) = (self.parts.get().map(Arc::clone), Arc::clone(&self.http));
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&|format| {
                let mut out = Vec::new();
                match &parts {
                    Some(parts) => parts.metrics.write(format, &mut out),
                    None => OwnMetrics::of_http(Arc::clone(&http), Vec::new()).write(format, &mut out),
                }
                out
            })
        });
        written.await.map_err(|e| ApiError::internal(format!("the thread failed: {e}")))
    }

    /// All turns of writing these, which nobody else has meanwhile.
    #[cfg(test)]
    pub(crate) async fn all_turns(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = Arc::clone(&self.describing).acquire_many_owned(DESCRIBING_MAX as u32);
        all.await.expect("invariant: the semaphore is never closed")
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.parts.get().is_some()
    }
}

impl App {
    /// The parts, once they are there.
    pub(crate) fn parts(&self) -> Option<Arc<Parts>> {
        self.parts.get().cloned()
    }
}

/// The parts as a handler's argument.
pub(crate) struct Ready(pub(crate) Arc<Parts>);

impl FromRequestParts<App> for Ready {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut request::Parts, app: &App) -> Result<Self, ApiError> {
        let starting =
            || ApiError::new(ErrorType::Unavailable, "the server is starting: stored data is being read");
        app.parts.get().map(|parts| Self(Arc::clone(parts))).ok_or_else(starting)
    }
}
