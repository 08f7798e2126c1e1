//! All targets of a configuration: starts, keeps and stops their scrapers.

use crate::{
    config::{GlobalConfig, ScrapeConfig},
    failure_log::FailureLogs,
    ingest::{Ingest, StartTimes},
    pool::{DeniedTargets, Dropped, Pool, Refused},
    scraper::{Ending, Scraper, Shared},
    status::{ScrapeCounters, TargetStatus},
    target::Target,
};
use parking_lot::Mutex;
use skopos_base::real::RealFs;
use skopos_client::{ClientError, HttpConfig};
use skopos_discovery::{self as discovery, Discovery};
use skopos_model::Labels;
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// So many targets of a job that cannot be scraped are named in the log.
const SAID_OF_A_JOB: usize = 10;
/// How long further changes of what sources find wait for each other.
const PAUSE_BETWEEN_CHANGES: Duration = Duration::from_secs(1);

/// Runs the scrapers of the current configuration.
pub struct Manager {
    shared: Shared,
    failure_logs: Arc<FailureLogs>,
    tasks: Mutex<Tasks>,
    discovery: discovery::Env,
    wanted: Mutex<Wanted>,
    denied: DeniedTargets,
}

/// What is to be scraped: the configuration that holds, and the sources of targets of its jobs.
#[derive(Default)]
struct Wanted {
    global: GlobalConfig,
    jobs: Vec<ScrapeConfig>,
    more: Vec<Target>,
    /// By the name of their job.
    sources: HashMap<String, Discovery>,
    /// Whether all of that is over.
    ended: bool,
}

#[derive(Default)]
struct Tasks {
    /// In the order of the configuration.
    running: Vec<Running>,
    /// Those that mark the series of removed targets as ended.
    leaving: Vec<Task>,
    /// What each job's rules drop, in the order of the configuration.
    dropped: Vec<(Arc<str>, Dropped)>,
}

/// Gives what it leaves to the one that replaces it.
type Task = JoinHandle<Option<Ingest>>;

struct Running {
    status: Arc<TargetStatus>,
    ending: watch::Sender<Ending>,
    task: Task,
}

/// What a change of the configuration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Targets that were scraped before and still are, with their rhythm and their caches.
    pub kept: usize,
    /// Targets that are new, those that replace another one with the same labels among them.
    pub started: usize,
    /// Targets that are gone.
    pub stopped: usize,
}

/// A job whose targets cannot be spoken to as it says.
#[derive(Clone, Debug, thiserror::Error)]
#[error("job {job:?}: {error}")]
pub struct ApplyError {
    /// The job.
    pub job: String,
    /// What is wrong.
    pub error: ClientError,
}

impl Manager {
    /// A manager without targets.
    pub fn new(shared: Shared) -> Self {
        Self::finding(shared, discovery::Env::new(Arc::new(RealFs)))
    }

    /// The same, whose sources of targets have what `discovery` says.
    pub fn finding(shared: Shared, discovery: discovery::Env) -> Self {
        let failure_logs = Arc::new(FailureLogs::new(&discovery.fs));
        let denied = DeniedTargets::default();
        Self { shared, failure_logs, tasks: Mutex::default(), discovery, wanted: Mutex::default(), denied }
    }

    /// The same, where some addresses are denied to targets.
    #[must_use]
    pub fn denying(mut self, denied: DeniedTargets) -> Self {
        self.denied = denied;
        self
    }

    /// Scrapes what sources find as they find it, for as long as it is polled.
    pub async fn follow(&self) {
        loop {
            self.discovery.changed.notified().await;
            {
                let wanted = self.wanted.lock();
                if wanted.ended {
                    return;
                }
                self.retarget(&wanted);
            }
            tokio::time::sleep(PAUSE_BETWEEN_CHANGES).await;
        }
    }

    /// Makes the targets of `jobs` and `more` (targets that no file names) the ones that are scraped.
    /// Must be called inside of a tokio runtime with several threads.
    ///
    /// # Errors
    /// When the targets of a job cannot be spoken to as it says. Then nothing has changed.
    pub fn apply(
        &self,
        global: &GlobalConfig,
        jobs: &[ScrapeConfig],
        more: &[Target],
    ) -> Result<Applied, ApplyError> {
        let clients: Vec<&HttpConfig> = jobs.iter().map(|job| &job.http).collect();
        self.shared.fetcher.prepare(&clients).map_err(|(nth, error)| {
            let job = jobs[nth].job_name.clone();
            self.shared.counters.pools.failed(&job);
            ApplyError { job, error }
        })?;
        let mut wanted = self.wanted.lock();
        let mut sources = HashMap::new();
        for job in jobs.iter().filter(|job| !job.discovery.is_empty()) {
            let name = &job.job_name;
            let before = wanted.jobs.iter().find(|before| before.job_name == *name);
            let is_same = before.is_some_and(|before| before.discovery == job.discovery);
            let kept = wanted.sources.remove(name).filter(|_| is_same);
            let start = || Discovery::start(name, &job.discovery, &self.discovery);
            sources.insert(name.clone(), kept.unwrap_or_else(start));
        }
        let limit = |job: &ScrapeConfig| job.filled(global).target_limit;
        let names = jobs.iter().map(|job| (job.job_name.as_str(), limit(job)));
        self.shared.counters.pools.jobs_are(names);
        *wanted = Wanted {
            global: global.clone(),
            jobs: jobs.to_vec(),
            more: more.to_vec(),
            sources,
            ended: false,
        };
        let applied = self.retarget(&wanted);
        self.failure_logs.reopen();
        self.shared.fetcher.keep(&clients);
        Ok(applied)
    }

    /// Starts, keeps and stops scrapers by what is wanted now.
    #[expect(clippy::mutable_key_type, reason = "rules are told apart by what a file says of them")]
    fn retarget(&self, by: &Wanted) -> Applied {
        let Wanted { global, jobs, more, sources, .. } = by;
        let (mut wanted, mut dropped) = (Vec::new(), Vec::new());
        let pools = jobs.iter().map(|job| {
            let begun = self.shared.clock.monotonic();
            let found = sources.get(&job.job_name).map(Discovery::groups).unwrap_or_default();
            let pool = Pool::denying(job, global, &found, &self.denied);
            let took = self.shared.clock.monotonic().saturating_sub(begun);
            self.shared.counters.pools.synced(&pool, took);
            pool
        });
        for Pool { job, targets, dropped: of_job, refused } in pools {
            wanted.extend(targets);
            say_refused(&job, &refused);
            dropped.push((job, of_job));
        }
        wanted.extend(more.iter().cloned());
        let mut tasks = self.tasks.lock();
        tasks.dropped = dropped;
        tasks.leaving.retain(|task| !task.is_finished());
        let mut before: HashMap<Target, Running> =
            tasks.running.drain(..).map(|r| (r.status.target.clone(), r)).collect();
        let kept: Vec<Option<Running>> = wanted.iter().map(|target| before.remove(target)).collect();
        let stopped = before.len();
        let going_on: HashSet<&Labels> = wanted.iter().map(|target| &target.labels).collect();
        let mut replaced: HashMap<Labels, Task> = HashMap::new();
        for (target, gone) in before {
            if !going_on.contains(&target.labels) {
                gone.ending.send_replace(Ending::Removed);
                tasks.leaving.push(gone.task);
                continue;
            }
            gone.ending.send_replace(Ending::Replaced);
            match replaced.entry(target.labels) {
                Entry::Vacant(free) => drop(free.insert(gone.task)),
                // Two targets wrote the same series; one of them is enough to go on from.
                Entry::Occupied(_) => tasks.leaving.push(gone.task),
            }
        }
        let mut applied = Applied { kept: 0, started: 0, stopped };
        for (target, kept) in wanted.into_iter().zip(kept) {
            let running = if let Some(kept) = kept {
                applied.kept += 1;
                kept
            } else {
                applied.started += 1;
                let before = replaced.remove(&target.labels);
                self.start(target, before)
            };
            let TargetStatus { target, metadata, .. } = &*running.status;
            self.shared.counters.pools.has(target, metadata);
            tasks.running.push(running);
        }
        applied
    }

    fn start(&self, target: Target, before: Option<Task>) -> Running {
        let status = TargetStatus::new(target);
        let (ending, receiver) = watch::channel(Ending::Running);
        let scraper = Scraper::new(self.shared.clone(), Arc::clone(&self.failure_logs), Arc::clone(&status));
        let task = tokio::spawn(scraper.run(before, receiver));
        Running { status, ending, task }
    }

    /// The targets with their last scrapes, in the order of the configuration.
    pub fn targets(&self) -> Vec<Arc<TargetStatus>> {
        self.tasks.lock().running.iter().map(|r| Arc::clone(&r.status)).collect()
    }

    /// What each job's rules drop, in the order of the configuration.
    pub fn dropped(&self) -> Vec<(Arc<str>, Dropped)> {
        self.tasks.lock().dropped.clone()
    }

    /// What becomes of the time since when something has been counted.
    pub fn start_times(&self) -> StartTimes {
        self.shared.start_times
    }

    /// Counts over all targets.
    pub fn counters(&self) -> &ScrapeCounters {
        &self.shared.counters
    }

    /// Stops all scrapers and waits until what has come of the scrapes under way is stored, and the ends of
    /// the targets that were removed before.
    pub async fn shutdown(&self) {
        // What sources find from now on concerns nobody.
        *self.wanted.lock() = Wanted { ended: true, ..Wanted::default() };
        let Tasks { running, leaving, .. } = std::mem::take(&mut *self.tasks.lock());
        for r in &running {
            r.ending.send_replace(Ending::Shutdown);
        }
        for task in leaving.into_iter().chain(running.into_iter().map(|r| r.task)) {
            // A scraper that panicked has already said so; the others are waited for all the same.
            let _ended = task.await;
        }
    }
}

fn say_refused(job: &str, refused: &[Refused]) {
    for Refused { discovered, reason } in refused.iter().take(SAID_OF_A_JOB) {
        tracing::error!(job, target = %discovered, %reason, "a target cannot be scraped");
    }
    if let Some(more) = refused.len().checked_sub(SAID_OF_A_JOB).filter(|n| *n > 0) {
        tracing::error!(job, more, "other targets of the job cannot be scraped either");
    }
}
