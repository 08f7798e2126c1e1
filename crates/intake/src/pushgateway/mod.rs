//! The Pushgateway: groups of metrics that short jobs leave, each replaced by the next push of its group,
//! shown on one page that is scraped. A group may have a time to live, and it survives restarts. Stores no
//! sample itself: the page is a target of the server.
//!
//! - `path`: the grouping key of a request. `family`: what a push says. `page`: what is shown of all groups.
//! - `kept`: the groups in a file.

mod family;
mod kept;
mod page;
mod path;

use crate::IntakeError;
use family::Families;
use parking_lot::Mutex;
use skopos_base::{Env, clock::Clock};
use skopos_model::{DurationMs, Labels, MetricType};
use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

pub use family::Form;
pub use path::{GroupingKey, PathError};

/// How limits are called.
const GROUPS: &str = "pushgateway.max-groups";
const BYTES: &str = "pushgateway.max-bytes";
/// What the gateway says of each group itself.
pub(crate) const PUSH_TIME: &str = "push_time_seconds";
pub(crate) const FAILURE_TIME: &str = "push_failure_time_seconds";

/// What the gateway may hold, and how it takes pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayOptions {
    /// Where groups are kept.
    pub file: PathBuf,
    /// How long a group stays without another push, where the push does not say it; none or nothing is for
    /// ever.
    pub ttl: Option<DurationMs>,
    /// The most groups.
    pub max_groups: usize,
    /// The most bytes of all of them, about.
    pub max_bytes: usize,
}

/// Whether a push takes the place of the whole group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// It does.
    Group,
    /// It takes the place of the metrics of the same names.
    Names,
}

/// The metrics of one grouping key.
#[derive(Clone, Debug, Default)]
struct Group {
    families: Families,
    pushed_ms: i64,
    failed_ms: i64,
    /// When it goes, unless it is pushed again.
    expires_ms: Option<i64>,
}

impl Group {
    fn bytes(&self) -> usize {
        self.families.iter().map(|(name, family)| name.len() + family.bytes()).sum()
    }
}

type Groups = BTreeMap<Labels, Group>;

/// See above.
pub struct Pushgateway {
    options: GatewayOptions,
    env: Env,
    clock: Arc<dyn Clock>,
    groups: Mutex<Groups>,
    /// Held while the file is written; what it has.
    written: Mutex<u64>,
    changes: Mutex<u64>,
}

impl Pushgateway {
    /// A gateway with the groups of its file.
    ///
    /// # Errors
    /// When the file is there and cannot be read: what it has would be lost.
    pub fn open(options: GatewayOptions, env: &Env) -> io::Result<Self> {
        let groups = kept::read(&*env.fs, &options.file)?;
        let clock = Arc::clone(&env.clock);
        let (written, changes) = Default::default();
        Ok(Self { options, env: env.clone(), clock, groups: Mutex::new(groups), written, changes })
    }

    /// Takes a push; it is durable then. A `ttl` of nothing is for ever, none is that of the options.
    ///
    /// # Errors
    /// When it cannot be read, is not consistent with itself or with what others pushed, or the disk refuses
    /// it.
    pub fn push(
        &self,
        key: &GroupingKey,
        (form, body): (Form, &[u8]),
        replace: Replace,
        ttl: Option<DurationMs>,
    ) -> Result<(), IntakeError> {
        let now = self.clock.wall_ms();
        // What is no exposition says nothing of its group either.
        let families = family::read(form, body, key.labels())?;
        let mut groups = self.groups.lock();
        drop_expired(&mut groups, now);
        let checked =
            family::check(&families).and_then(|()| self.check_others(&groups, key, &families, replace));
        if let Err(reason) = checked {
            groups.entry(key.labels().clone()).or_default().failed_ms = now;
            self.changed();
            drop(groups);
            self.keep()?;
            return Err(IntakeError::Invalid(format!(
                "pushed metrics are invalid or inconsistent with existing metrics: {reason}"
            )));
        }
        self.check_room(&groups, key, &families)?;
        let group = groups.entry(key.labels().clone()).or_default();
        match replace {
            Replace::Group => group.families = families,
            Replace::Names => group.families.extend(families),
        }
        group.pushed_ms = now;
        let ttl = ttl.or(self.options.ttl).filter(|ttl| *ttl > DurationMs::ZERO);
        group.expires_ms = ttl.map(|ttl| now.saturating_add(ttl.as_ms()));
        self.changed();
        drop(groups);
        self.keep()
    }

    /// Removes a group; one that is not there is as good as removed.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn delete(&self, key: &GroupingKey) -> Result<(), IntakeError> {
        self.groups.lock().remove(key.labels());
        self.changed();
        self.keep()
    }

    /// Removes all groups.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn wipe(&self) -> Result<(), IntakeError> {
        self.groups.lock().clear();
        self.changed();
        self.keep()
    }

    /// Appends the page of all groups.
    pub fn page(&self, out: &mut Vec<u8>) {
        let mut groups = self.groups.lock();
        drop_expired(&mut groups, self.clock.wall_ms());
        page::write(&groups, out);
    }

    /// All groups, as `/api/v1/metrics` tells them.
    pub fn status(&self) -> serde_json::Value {
        let mut groups = self.groups.lock();
        drop_expired(&mut groups, self.clock.wall_ms());
        page::status(&groups)
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.groups.lock().len()
    }

    /// Metrics of one name have one type, whoever pushes them.
    fn check_others(
        &self,
        groups: &Groups,
        key: &GroupingKey,
        families: &Families,
        replace: Replace,
    ) -> Result<(), String> {
        for (labels, group) in groups {
            if labels == key.labels() && replace == Replace::Group {
                continue;
            }
            for (name, family) in families {
                let other = group.families.get(name).filter(|_| labels != key.labels());
                if let Some(other) = other.filter(|other| other.metric_type != family.metric_type) {
                    let (ours, theirs) = (family.metric_type, other.metric_type);
                    return Err(format!("metric {name:?} is a {ours}, and a {theirs} of group {labels}"));
                }
            }
        }
        Ok(())
    }

    fn check_room(&self, groups: &Groups, key: &GroupingKey, families: &Families) -> Result<(), IntakeError> {
        if !groups.contains_key(key.labels()) && groups.len() >= self.options.max_groups {
            let max = self.options.max_groups;
            return Err(IntakeError::Busy { limit: GROUPS, max });
        }
        let new: usize = families.iter().map(|(name, family)| name.len() + family.bytes()).sum();
        let all: usize = groups.values().map(Group::bytes).sum();
        if all + new > self.options.max_bytes {
            return Err(IntakeError::Busy { limit: BYTES, max: self.options.max_bytes });
        }
        Ok(())
    }

    fn changed(&self) {
        *self.changes.lock() += 1;
    }

    /// Writes the file, unless somebody wrote it meanwhile with this change in it.
    fn keep(&self) -> Result<(), IntakeError> {
        let wanted = *self.changes.lock();
        let mut written = self.written.lock();
        if *written >= wanted {
            return Ok(());
        }
        let (groups, has) = {
            let groups = self.groups.lock();
            (groups.clone(), *self.changes.lock())
        };
        kept::write(&*self.env.fs, &self.options.file, &groups).map_err(|source| {
            skopos_storage::CommitError::Retry { path: self.options.file.clone(), source }
        })?;
        *written = has;
        Ok(())
    }
}

fn drop_expired(groups: &mut Groups, now: i64) {
    groups.retain(|_, group| group.expires_ms.is_none_or(|at| now < at));
}

/// The type of what the gateway says itself.
pub(crate) const OWN_TYPE: MetricType = MetricType::Gauge;

impl std::fmt::Debug for Pushgateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pushgateway").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
