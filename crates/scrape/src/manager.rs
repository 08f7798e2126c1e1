//! All targets of a configuration: starts, keeps and stops their scrapers.

use crate::{
    config::{GlobalConfig, ScrapeConfig},
    scraper::{Ending, Scraper, Shared},
    status::{ScrapeCounters, TargetStatus},
    target::{Target, targets_of},
};
use parking_lot::Mutex;
use skopos_model::Labels;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio::{sync::watch, task::JoinHandle};

/// Runs the scrapers of the current configuration.
pub struct Manager {
    shared: Shared,
    /// In the order of the configuration.
    running: Mutex<Vec<Running>>,
}

struct Running {
    status: Arc<TargetStatus>,
    ending: watch::Sender<Ending>,
    task: JoinHandle<()>,
}

/// What a change of the configuration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Targets that were scraped before and still are, with their rhythm and their caches.
    pub kept: usize,
    /// Targets that are new.
    pub started: usize,
    /// Targets that are gone.
    pub stopped: usize,
}

impl Manager {
    /// A manager without targets.
    pub fn new(shared: Shared) -> Self {
        Self { shared, running: Mutex::new(Vec::new()) }
    }

    /// Makes the targets of `jobs` and `more` (targets that no file names) the ones that are scraped.
    /// Must be called inside of a tokio runtime with several threads.
    pub fn apply(&self, global: &GlobalConfig, jobs: &[ScrapeConfig], more: &[Target]) -> Applied {
        let wanted = jobs.iter().flat_map(|job| targets_of(job, global)).chain(more.iter().cloned());
        let mut running = self.running.lock();
        let mut before: HashMap<Target, Running> =
            running.drain(..).map(|r| (r.status.target.clone(), r)).collect();
        let mut applied = Applied { kept: 0, started: 0, stopped: 0 };
        let mut seen = HashSet::new();
        for target in wanted {
            // The same target twice in one job would store every sample twice.
            if !seen.insert(target.clone()) {
                continue;
            }
            if let Some(kept) = before.remove(&target) {
                applied.kept += 1;
                running.push(kept);
            } else {
                applied.started += 1;
                running.push(self.start(target));
            }
        }
        applied.stopped = before.len();
        let going_on: HashSet<&Labels> = running.iter().map(|r| &r.status.target.labels).collect();
        for (target, gone) in before {
            let replaced = going_on.contains(&target.labels);
            gone.ending.send_replace(if replaced { Ending::Replaced } else { Ending::Removed });
        }
        applied
    }

    fn start(&self, target: Target) -> Running {
        let status = TargetStatus::new(target);
        let (ending, receiver) = watch::channel(Ending::Running);
        let task = tokio::spawn(Scraper::new(self.shared.clone(), Arc::clone(&status)).run(receiver));
        Running { status, ending, task }
    }

    /// The targets with their last scrapes, in the order of the configuration.
    pub fn targets(&self) -> Vec<Arc<TargetStatus>> {
        self.running.lock().iter().map(|r| Arc::clone(&r.status)).collect()
    }

    /// Counts over all targets.
    pub fn counters(&self) -> &ScrapeCounters {
        &self.shared.counters
    }

    /// Stops all scrapers and waits until what has come of the scrapes under way is stored.
    pub async fn shutdown(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        for r in &running {
            r.ending.send_replace(Ending::Shutdown);
        }
        for r in running {
            // A scraper that panicked has already said so; the others are waited for all the same.
            let _ended = r.task.await;
        }
    }
}
