//! `Discovery`: all sources of a job at work, from when they are started until they are dropped.

use crate::{
    config::DiscoveryConfigs,
    group::TargetGroup,
    source::{Env, Found},
    stats::{Family, OF_SCRAPE, Stats},
};
use std::sync::Arc;
use tokio::task::JoinSet;

/// See above.
#[derive(Debug)]
pub struct Discovery {
    found: Arc<Found>,
    /// So many sources could not be started.
    failed: u32,
    stats: Arc<Stats>,
    /// They end when this is dropped.
    _tasks: JoinSet<()>,
}

impl Discovery {
    /// Starts the sources of the job `name`. Those that cannot be started say so and find nothing. Must be
    /// called inside of a tokio runtime.
    pub fn start(name: &str, configs: &DiscoveryConfigs, env: &Env) -> Self {
        let found = Found::new(name, env);
        let (mut tasks, mut failed) = (JoinSet::new(), 0);
        for started in configs.start(|mechanism| found.sink(mechanism)) {
            match started {
                Ok(task) => drop(tasks.spawn(task)),
                Err(_) => failed += 1,
            }
        }
        env.stats.add(Family::FailedConfigs, &OF_SCRAPE, f64::from(failed));
        Self { found, failed, stats: Arc::clone(&env.stats), _tasks: tasks }
    }

    /// The groups that have targets, in the order of the configuration.
    pub fn groups(&self) -> Vec<Arc<TargetGroup>> {
        self.found.groups()
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.stats.add(Family::FailedConfigs, &OF_SCRAPE, -f64::from(self.failed));
    }
}
