//! `Sink`: where a source puts the targets that it finds, and says that it cannot; `run`: asks a source again
//! and again. Keeps what was found last when a source fails. Knows no source.

use crate::{
    error::SourceError,
    group::TargetGroup,
    limits::SOURCE_TARGETS_MAX,
    stats::{Family, OF_SCRAPE, Stats},
    variables::Variables,
};
use parking_lot::Mutex;
use skopos_base::fs::SharedFs;
use std::{collections::BTreeMap, fmt, future::Future, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// What all sources share.
#[derive(Clone)]
pub struct Env {
    /// What they count.
    pub stats: Arc<Stats>,
    /// Where files of credentials and certificates are.
    pub fs: SharedFs,
    /// Told whenever the targets of any job change.
    pub changed: Arc<Notify>,
    /// What the environment says of credentials.
    pub variables: Variables,
}

impl Env {
    /// Nothing counted yet.
    pub fn new(fs: SharedFs) -> Self {
        Self { stats: Arc::default(), fs, changed: Arc::default(), variables: Variables::default() }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}

/// What all sources of a job have found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The job's name.
    name: String,
    env: Env,
    /// For each source, in the order of the configuration.
    of_sources: Mutex<Vec<OfSource>>,
}

#[derive(Debug, Default)]
struct OfSource {
    groups: BTreeMap<String, Arc<TargetGroup>>,
    /// What was said last of failures that last, by the part of the source that fails.
    failing: BTreeMap<Arc<str>, String>,
}

impl Found {
    pub(crate) fn new(name: &str, env: &Env) -> Arc<Self> {
        let (name, env) = (name.to_owned(), env.clone());
        Arc::new(Self { name, env, of_sources: Mutex::default() })
    }

    /// Where a further source puts what it finds.
    pub(crate) fn sink(self: &Arc<Self>, mechanism: &'static str) -> Sink {
        let mut all = self.of_sources.lock();
        all.push(OfSource::default());
        Sink { found: Arc::clone(self), at: all.len() - 1, mechanism, part: Arc::from("") }
    }

    /// All groups that have targets, source by source.
    pub(crate) fn groups(&self) -> Vec<Arc<TargetGroup>> {
        let all = self.of_sources.lock();
        let groups = all.iter().flat_map(|source| source.groups.values());
        groups.filter(|group| !group.targets.is_empty()).cloned().collect()
    }

    fn changed(&self) {
        self.env.stats.count(Family::Updates, &OF_SCRAPE);
        self.env.changed.notify_one();
    }
}

/// See above.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    found: Arc<Found>,
    at: usize,
    mechanism: &'static str,
    /// Empty for the whole.
    part: Arc<str>,
}

impl Sink {
    /// The same for a part of the source, which fails and works apart from the others.
    pub(crate) fn part(&self, name: &str) -> Self {
        Self { part: Arc::from(name), ..self.clone() }
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.found.env.stats
    }

    pub(crate) fn fs(&self) -> &SharedFs {
        &self.found.env.fs
    }

    pub(crate) fn variables(&self) -> &Variables {
        &self.found.env.variables
    }

    /// What is counted, for a thread of its own.
    pub(crate) fn shared_stats(&self) -> Arc<Stats> {
        Arc::clone(&self.found.env.stats)
    }

    /// These are all targets of the source. `trouble` is what kept it from telling more.
    pub(crate) fn replace(&self, groups: Vec<TargetGroup>, trouble: Option<&SourceError>) {
        let named = groups.into_iter().map(|group| (group.source.clone(), Arc::new(group))).collect();
        self.change(|known| *known = named, trouble);
    }

    /// These groups are new or others than before; those without targets are gone.
    pub(crate) fn update(&self, groups: Vec<TargetGroup>) {
        let change = |known: &mut BTreeMap<String, Arc<TargetGroup>>| {
            for group in groups {
                if group.targets.is_empty() {
                    known.remove(&group.source);
                } else {
                    known.insert(group.source.clone(), Arc::new(group));
                }
            }
        };
        self.change(change, None);
    }

    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Arc<TargetGroup>>),
        trouble: Option<&SourceError>,
    ) {
        self.stats().count(Family::ReceivedUpdates, &OF_SCRAPE);
        let mut all = self.found.of_sources.lock();
        let own = &mut all[self.at];
        let mut after = own.groups.clone();
        change(&mut after);
        let found: usize = after.values().map(|group| group.targets.len()).sum();
        if found > SOURCE_TARGETS_MAX {
            drop(all);
            return self.failed(&SourceError::TooManyTargets { found, limit: SOURCE_TARGETS_MAX });
        }
        if after != own.groups {
            own.groups = after;
            self.found.changed();
        }
        drop(all);
        match trouble {
            Some(error) => self.failed(error),
            None => self.works(),
        }
    }

    /// Nothing fails, or no longer.
    pub(crate) fn works(&self) {
        let ended = self.found.of_sources.lock()[self.at].failing.remove(&self.part);
        if ended.is_some() {
            let (job, mechanism, part) = (&self.found.name, self.mechanism, &*self.part);
            tracing::info!(job, mechanism, part, "targets are found again");
        }
    }

    /// The source did not tell its targets; those that it had stay. The same is said once.
    pub(crate) fn failed(&self, error: &SourceError) {
        let said = error.to_string();
        let mut all = self.found.of_sources.lock();
        let failing = &mut all[self.at].failing;
        if failing.get(&self.part) != Some(&said) {
            let (job, mechanism, part) = (&self.found.name, self.mechanism, &*self.part);
            tracing::warn!(job, mechanism, part, error = said, "targets cannot be found; those known stay");
            failing.insert(Arc::clone(&self.part), said);
        }
    }
}

/// A source that is asked from time to time for all of its targets.
pub(crate) trait Refresh: Send + 'static {
    /// What metrics call it.
    fn mechanism(&self) -> &'static str;

    /// The time from one time to the next.
    fn interval(&self) -> Duration;

    /// All of its targets.
    fn refresh(&mut self) -> impl Future<Output = Result<Vec<TargetGroup>, SourceError>> + Send;

    /// What kept the last refresh from telling more than it did.
    fn trouble(&mut self) -> Option<SourceError> {
        None
    }

    /// A counter of its own for failures, beside the one for all.
    fn failures() -> Option<Family> {
        None
    }
}

/// Asks `source` again and again, at once and then after each interval.
pub(crate) async fn run<R: Refresh>(mut source: R, sink: Sink) {
    let mut ticks = tokio::time::interval(source.interval());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let labels = [("mechanism", source.mechanism())];
    sink.stats().add(Family::RefreshFailures, &labels, 0.0);
    loop {
        ticks.tick().await;
        let begun = Instant::now();
        let result = source.refresh().await;
        sink.stats().observe(Family::RefreshDuration, &labels, begun.elapsed());
        match result {
            Ok(groups) => sink.replace(groups, source.trouble().as_ref()),
            Err(error) => {
                sink.stats().count(Family::RefreshFailures, &labels);
                if let Some(family) = R::failures() {
                    sink.stats().count(family, &[]);
                }
                sink.failed(&error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_model::Labels;

    fn group(source: &str, targets: usize) -> TargetGroup {
        let target = |n: usize| Labels::from_pairs([("__address__", format!("h:{n}"))]);
        TargetGroup {
            source: source.to_owned(),
            targets: (0..targets).map(target).collect(),
            labels: Labels::empty(),
        }
    }

    fn sources(found: &Found) -> Vec<(String, usize)> {
        found.groups().iter().map(|group| (group.source.clone(), group.targets.len())).collect()
    }

    #[test]
    fn a_source_that_fails_keeps_its_targets() {
        let env = Env::new(Arc::new(skopos_base::real::RealFs));
        let stats = Arc::clone(&env.stats);
        let found = Found::new("job", &env);
        let (one, two) = (found.sink("a"), found.sink("b"));
        let updates = || stats.value("prometheus_sd_updates_total", &OF_SCRAPE);
        one.replace(vec![group("x", 2), group("y", 1)], None);
        two.update(vec![group("x", 3)]);
        let error = SourceError::Setup("gone".to_owned());
        one.failed(&error);
        one.replace(vec![group("x", SOURCE_TARGETS_MAX + 1)], None);
        let all = [("x".to_owned(), 2), ("y".to_owned(), 1), ("x".to_owned(), 3)];
        assert_eq!(sources(&found), all);
        assert_eq!(updates(), Some(2.0));
        one.replace(vec![group("y", 1)], None);
        two.update(vec![group("z", 1), group("x", 0)]);
        two.update(vec![group("z", 1)]);
        assert_eq!(sources(&found), [("y".to_owned(), 1), ("z".to_owned(), 1)]);
        assert_eq!(updates(), Some(4.0));
    }
}
