//! `process-groups`: processes by groups, as process-exporter shows them (`namedprocess_namegroup_*`), and
//! the processes that use most, for `/api/v1/processes`.
//!
//! # Modules
//! - `rules_file`: process-exporter's file; `rules`: which process belongs to which group; `expression`,
//!   `template`: what rules match, and the names that they make
//! - `proc`: the files of a process, read into values
//! - `tracker`: all processes and groups from scrape to scrape; `ended`: those that ended, as the kernel told
//!   it; `threads`: threads by their names
//! - `top`, `request`: the processes that use most, on demand; what a request for them may ask

use self::tracker::{Gauges, Group, STATES, Tracker};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    options::NodeOptions,
    refusals,
    registry::AgentEnv,
    source::{File, NumberedFolder, Paths, Root},
    task_exits::{Exit, TaskExits},
};
use skopos_base::{clock::Clock, spawn::Spawner};
use skopos_exposition::PreparedLabels;
use skopos_model::MetricType::{Counter, Gauge};
use std::{collections::BTreeMap, io, sync::Arc};

mod ended;
mod expression;
pub(crate) mod proc;
mod request;
mod rules;
mod rules_file;
mod template;
mod threads;
mod top;
mod tracker;

pub use request::{TopRequest, TopRequestError};
pub use rules::ProcessRules;
pub use rules_file::RulesError;
pub use top::{Process, Snapshot, Top, TopBy};

/// The collector.
#[derive(Debug)]
pub(crate) struct ProcessGroups {
    tracker: Tracker,
    reads_shares: bool,
    folder: NumberedFolder,
    file: File,
    pids: Vec<u32>,
    labels: BTreeMap<String, PreparedLabels>,
    exits: Exits,
}

impl ProcessGroups {
    pub(crate) fn new(options: &NodeOptions, env: &AgentEnv) -> Self {
        Self {
            tracker: Tracker::new(&options.process_groups, &options.paths),
            reads_shares: options.process_groups.smaps,
            folder: NumberedFolder::default(),
            file: File::default(),
            pids: Vec::new(),
            labels: BTreeMap::new(),
            exits: Exits::new(options, env),
        }
    }

    fn groups(&self) -> impl Iterator<Item = (&Group, &PreparedLabels)> {
        self.tracker.groups.values().zip(self.labels.values())
    }

    /// A family of one sample for each group and label value.
    fn write(&self, family: &Family<Group>, context: &mut Context<'_>) {
        let mut out = context.out.family(family.name, family.kind, family.help);
        for (group, labels) in self.groups().filter(|(group, _)| (family.is_known)(group)) {
            for (value, of_group) in family.values {
                if family.label.is_empty() {
                    out.sample_prepared(labels, &[], of_group(group));
                } else {
                    out.sample_prepared(labels, &[(family.label, value)], of_group(group));
                }
            }
        }
    }

    fn write_memory(&self, context: &mut Context<'_>) {
        type Memory = (&'static str, fn(&Gauges) -> u64);
        const ALWAYS: [Memory; 3] = [
            ("resident", |gauges| gauges.resident_bytes),
            ("virtual", |gauges| gauges.virtual_bytes),
            ("swapped", |gauges| gauges.swap_bytes),
        ];
        const SHARES: [Memory; 2] = [
            ("proportionalResident", |gauges| gauges.shares.unwrap_or_default().resident_bytes),
            ("proportionalSwapped", |gauges| gauges.shares.unwrap_or_default().swap_bytes),
        ];
        let help = "Memory of the group's processes, by kind.";
        let mut out = context.out.family("namedprocess_namegroup_memory_bytes", Gauge, help);
        let shares = if self.reads_shares { &SHARES[..] } else { &[] };
        for (group, labels) in self.groups() {
            let shares = if group.has_shares() { shares } else { &[] };
            for (kind, bytes) in ALWAYS.iter().chain(shares) {
                out.sample_prepared(labels, &[("memtype", kind)], bytes(&group.gauges) as f64);
            }
        }
    }
}

/// Where it is known from which processes ended.
#[derive(Debug)]
struct Exits {
    env: (Arc<dyn Spawner>, Arc<dyn Clock>),
    is_wanted: bool,
    told: Option<Arc<TaskExits>>,
    /// Scrapes before which something was missed.
    missed: u64,
}

impl Exits {
    fn new(options: &NodeOptions, env: &AgentEnv) -> Self {
        Self {
            env: (Arc::clone(&env.spawner), Arc::clone(&env.clock)),
            is_wanted: options.process_groups.exits,
            told: None,
            missed: 0,
        }
    }

    /// Asks the kernel, the first time. It tells of processes by the numbers that they have for the machine
    /// as a whole: whoever sees others of them cannot use it.
    fn start(&mut self, paths: &Paths, file: &mut File) {
        if !std::mem::take(&mut self.is_wanted) || !proc::has_own_numbers(paths) {
            return;
        }
        let possible = file.content(paths, Root::Sys, format_args!("devices/system/cpu/possible"));
        let Some(cpus) = possible.and_then(|content| std::str::from_utf8(content).ok()) else { return };
        let (spawner, clock) = &self.env;
        match TaskExits::start(cpus.trim(), &**spawner, Arc::clone(clock)) {
            Ok(told) => self.told = Some(told),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                refusals::note("what processes used when they ended (taskstats)");
            }
            Err(error) => tracing::info!(%error, "the kernel does not tell what processes used that ended"),
        }
    }

    fn take(&mut self) -> Option<Vec<Exit>> {
        let taken = self.told.as_ref()?.take();
        self.missed += u64::from(taken.is_none());
        taken
    }

    const fn source(&self) -> &'static str {
        if self.told.is_some() { "exits" } else { "parents" }
    }
}

/// The value of a family's label, and what its sample is of a group.
type Value<T> = (&'static str, fn(&T) -> f64);

/// A family of groups, or of their threads, whose samples a label tells apart if it has a name.
struct Family<T: 'static> {
    name: &'static str,
    kind: skopos_model::MetricType,
    help: &'static str,
    label: &'static str,
    /// Whether it could be read of the group; else there is no sample, for 0 would be wrong.
    is_known: fn(&T) -> bool,
    values: &'static [Value<T>],
}

/// Whoever may see a process may know it.
const fn always<T>(_: &T) -> bool {
    true
}

const FAMILIES: &[Family<Group>] = &[
    Family {
        name: "namedprocess_namegroup_num_procs",
        kind: Gauge,
        help: "Processes in the group.",
        label: "",
        is_known: always,
        values: &[("", |group| group.gauges.processes as f64)],
    },
    Family {
        name: "namedprocess_namegroup_cpu_seconds_total",
        kind: Counter,
        help: "Seconds of CPU, by mode.",
        label: "mode",
        is_known: always,
        values: &[
            ("system", |group| group.counts.system_us as f64 / 1e6),
            ("user", |group| group.counts.user_us as f64 / 1e6),
        ],
    },
    Family {
        name: "namedprocess_namegroup_read_bytes_total",
        kind: Counter,
        help: "Bytes read from devices.",
        label: "",
        is_known: |group| group.has_io,
        values: &[("", |group| group.counts.read_bytes as f64)],
    },
    Family {
        name: "namedprocess_namegroup_write_bytes_total",
        kind: Counter,
        help: "Bytes written to devices.",
        label: "",
        is_known: |group| group.has_io,
        values: &[("", |group| group.counts.write_bytes as f64)],
    },
    Family {
        name: "namedprocess_namegroup_major_page_faults_total",
        kind: Counter,
        help: "Page faults that had to wait for a device.",
        label: "",
        is_known: always,
        values: &[("", |group| group.counts.major_faults as f64)],
    },
    Family {
        name: "namedprocess_namegroup_minor_page_faults_total",
        kind: Counter,
        help: "Page faults that did not have to wait for a device.",
        label: "",
        is_known: always,
        values: &[("", |group| group.counts.minor_faults as f64)],
    },
    Family {
        name: "namedprocess_namegroup_context_switches_total",
        kind: Counter,
        help: "How often the processes' first threads left the CPU: to wait, or as they had to.",
        label: "ctxswitchtype",
        is_known: always,
        values: &[
            ("nonvoluntary", |group| group.counts.involuntary_switches as f64),
            ("voluntary", |group| group.counts.voluntary_switches as f64),
        ],
    },
    Family {
        name: "namedprocess_namegroup_open_filedesc",
        kind: Gauge,
        help: "Open file descriptors.",
        label: "",
        is_known: Group::has_descriptors,
        values: &[("", |group| group.gauges.descriptors.unwrap_or(0) as f64)],
    },
    Family {
        name: "namedprocess_namegroup_worst_fd_ratio",
        kind: Gauge,
        help: "Open file descriptors as a part of the limit, of the process that is nearest to it.",
        label: "",
        is_known: Group::has_descriptors,
        values: &[("", |group| group.gauges.worst_descriptor_ratio)],
    },
    Family {
        name: "namedprocess_namegroup_oldest_start_time_seconds",
        kind: Gauge,
        help: "When the oldest process began; 0 when there is none.",
        label: "",
        is_known: always,
        values: &[("", |group| group.gauges.oldest_start_s.unwrap_or(0.0))],
    },
    Family {
        name: "namedprocess_namegroup_num_threads",
        kind: Gauge,
        help: "Threads of the group's processes.",
        label: "",
        is_known: always,
        values: &[("", |group| group.gauges.threads as f64)],
    },
    Family {
        name: "namedprocess_namegroup_states",
        kind: Gauge,
        help: "Processes by state.",
        label: "state",
        is_known: always,
        values: &[
            (STATES[4], |group| group.gauges.states[4] as f64),
            (STATES[0], |group| group.gauges.states[0] as f64),
            (STATES[1], |group| group.gauges.states[1] as f64),
            (STATES[2], |group| group.gauges.states[2] as f64),
            (STATES[3], |group| group.gauges.states[3] as f64),
        ],
    },
    Family {
        name: "skopos_process_groups_ended_total",
        kind: Counter,
        help: "Processes that ended; those that no scrape saw are missing unless the kernel tells of them.",
        label: "",
        is_known: always,
        values: &[("", |group| group.ended as f64)],
    },
];

impl Collector for ProcessGroups {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let Self { tracker, folder, file, pids, exits, .. } = self;
        exits.start(context.paths, file);
        let forks = file.content(context.paths, Root::Proc, format_args!("stat")).and_then(proc::forks);
        folder.read(context.paths, Root::Proc, format_args!(""), pids)?;
        pids.sort_unstable();
        tracker.update(context.paths, file, pids, &mut || exits.take());
        for name in self.tracker.groups.keys() {
            if !self.labels.contains_key(name) {
                let labels = PreparedLabels::new([("groupname", name.as_str())]);
                self.labels.insert(name.clone(), labels);
            }
        }
        for family in FAMILIES {
            self.write(family, context);
        }
        self.write_memory(context);
        if let Some(threads) = &self.tracker.threads {
            threads.write(context);
        }
        let failures = self.tracker.failures;
        let out = &mut context.out;
        let help = "Scrapes in which no process could be read; such a scrape fails here.";
        out.counter("namedprocess_scrape_errors", help, 0.0);
        let help = "Processes of which nothing could be read.";
        out.counter("namedprocess_scrape_procread_errors", help, failures.processes as f64);
        let help = "Processes of a group of which something could not be read.";
        out.counter("namedprocess_scrape_partial_errors", help, failures.parts as f64);
        let help = "Processes left out since there are too many groups.";
        out.counter("skopos_process_groups_left_out_total", help, failures.groups as f64);
        let help = "From what it is known what short processes used; always 1.";
        out.family("skopos_process_groups_accounting_info", Gauge, help)
            .sample(&[("source", self.exits.source())], 1.0);
        let help = "Scrapes before which more processes ended than could be told; then those that no scrape \
                    saw count for their parents' groups.";
        out.counter("skopos_process_groups_exits_missed_total", help, self.exits.missed as f64);
        if let Some(forks) = forks {
            let help = "Processes and threads that the machine began, seen by a scrape or not.";
            out.counter("skopos_process_groups_forks_total", help, forks as f64);
        }
        Ok(())
    }
}
