//! `PoolStats`: what is counted of the jobs and their targets, for this server's own metrics. Decides
//! nothing.

use crate::{metadata::TargetMetadata, pool::Pool, target::Target};
use parking_lot::Mutex;
use skopos_model::DurationMs;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Of so many last values the quantiles are.
const REMEMBERED: usize = 500;

/// Values that were observed: how many, their sum, and the last ones.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// How many there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    last: Vec<f64>,
}

impl Recent {
    fn observe(&mut self, value: f64) {
        let place = (self.count % REMEMBERED as u64) as usize;
        match self.last.get_mut(place) {
            Some(old) => *old = value,
            None => self.last.push(value),
        }
        self.count += 1;
        self.sum += value;
    }

    /// The quantiles of the last values; NaN where there is none.
    pub fn quantiles<const N: usize>(&self, of: [f64; N]) -> [f64; N] {
        let mut sorted = self.last.clone();
        sorted.sort_by(f64::total_cmp);
        of.map(|q| {
            let rank = (q * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
        })
    }
}

/// A job and its targets.
#[derive(Clone, Debug, Default)]
pub struct JobStats {
    /// How often its targets were put together.
    pub syncs: u64,
    /// How many targets could not be scraped then, all times together.
    pub failed: u64,
    /// How long it took, in seconds.
    pub length_secs: Recent,
    /// How many targets were found, those that rules drop and those that cannot be scraped among them.
    pub discovered: usize,
    /// How many targets it has.
    pub targets: usize,
    /// How many it may have; 0 is no limit.
    pub target_limit: usize,
    /// What its targets say of their metrics.
    pub metadata: Vec<Arc<TargetMetadata>>,
}

/// All that is counted of jobs.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// By their names, those that there are.
    pub jobs: BTreeMap<Arc<str>, JobStats>,
    /// How many jobs there have been, each as often as it was new.
    pub made: u64,
    /// How often a job was there before and after the configuration changed.
    pub reloads: u64,
    /// How often a job could not be begun, since its targets cannot be spoken to.
    pub failed: u64,
    /// The same of jobs that were there before.
    pub reloads_failed: u64,
    /// How often a job had more targets than it may.
    pub exceeded_target_limit: u64,
    /// How far apart scrapes were, in seconds, by how far apart they are to be.
    pub interval_secs: BTreeMap<DurationMs, Recent>,
}

/// See above.
#[derive(Debug, Default)]
pub struct PoolStats(Mutex<Counted>);

impl PoolStats {
    /// All that has been counted.
    pub fn counted(&self) -> Counted {
        self.0.lock().clone()
    }

    /// A new configuration has these jobs.
    pub(crate) fn jobs_are<'a>(&self, jobs: impl Iterator<Item = (&'a str, usize)>) {
        let counted = &mut *self.0.lock();
        let mut before = std::mem::take(&mut counted.jobs);
        for (job, target_limit) in jobs {
            let known = before.remove(job);
            *(if known.is_some() { &mut counted.reloads } else { &mut counted.made }) += 1;
            let known = known.unwrap_or_default();
            counted.jobs.insert(job.into(), JobStats { target_limit, ..known });
        }
    }

    /// The targets of a job cannot be spoken to as a configuration says.
    pub(crate) fn failed(&self, job: &str) {
        let counted = &mut *self.0.lock();
        let was_there = counted.jobs.contains_key(job);
        *(if was_there { &mut counted.reloads_failed } else { &mut counted.failed }) += 1;
    }

    /// The targets of a job were put together.
    pub(crate) fn synced(&self, pool: &Pool, took: Duration) {
        let counted = &mut *self.0.lock();
        let is_beyond = pool.targets.iter().any(|target| target.forced_error.is_some());
        counted.exceeded_target_limit += u64::from(is_beyond);
        let Some(job) = counted.jobs.get_mut(&pool.job) else { return };
        job.syncs += 1;
        job.failed += pool.refused.len() as u64;
        job.length_secs.observe(took.as_secs_f64());
        job.discovered = pool.targets.len() + pool.dropped.count + pool.refused.len();
        job.targets = pool.targets.len();
        job.metadata.clear();
    }

    /// A job has this target.
    pub(crate) fn has(&self, target: &Target, metadata: &Arc<TargetMetadata>) {
        if let Some(job) = self.0.lock().jobs.get_mut(&target.job) {
            job.metadata.push(Arc::clone(metadata));
        }
    }

    /// A target was scraped so long after the time before.
    pub(crate) fn scraped_after(&self, interval: DurationMs, since: Duration) {
        self.0.lock().interval_secs.entry(interval).or_default().observe(since.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_last_values() {
        let mut recent = Recent::default();
        assert!(recent.quantiles([0.5])[0].is_nan());
        recent.observe(7.0);
        assert_eq!(recent.quantiles([0.01, 0.99]), [7.0, 7.0]);
        for value in 0..REMEMBERED {
            recent.observe(value as f64);
        }
        assert_eq!((recent.count, recent.sum), (501, 7.0 + 124_750.0));
        assert_eq!(recent.quantiles([0.01, 0.5, 0.99, 1.0]), [4.0, 249.0, 494.0, 499.0]);
    }
}
