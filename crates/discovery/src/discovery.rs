//! `Discovery`: all sources of a job at work, from when they are started until they are dropped.

use crate::{
    config::DiscoveryConfigs,
    group::TargetGroup,
    source::{Env, Found},
    stats::Family,
};
use std::sync::Arc;
use tokio::task::JoinSet;

/// See above.
#[derive(Debug)]
pub struct Discovery {
    found: Arc<Found>,
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
        env.stats.set(Family::FailedConfigs, &[("config", name), ("name", "scrape")], f64::from(failed));
        Self { found, _tasks: tasks }
    }

    /// The groups that have targets, in the order of the configuration.
    pub fn groups(&self) -> Vec<Arc<TargetGroup>> {
        self.found.groups()
    }
}
