//! `containers`: control groups as cAdvisor and the kubelet show them, `container_*` and `machine_*`.
//!
//! # Modules
//! - `hierarchy`: where control groups are, and which there are now
//! - `identity`, `names`, `meta`, `socket`: whose a group is, by its path; what its runtime calls it
//! - `group`, `stats`, `read`, `processes`: a group, its values, the files that they are read from
//! - `layers`: what containers keep on disk; `connections`, `tcp_counters`, `schedule`, `numa`: what is
//!   read if it is asked for
//! - `disks`, `machine`, `topology`: what belongs to the machine, not to a group
//! - `columns`: which value has which name
//!
//! # Way of a scrape
//! `Walk::run` → `Containers::follow` keeps groups that stay and makes those that are new → `Names::ask` and
//! `find` for those without a name → `Reader` fills each group's `Stats` → `columns::write`.
//!
//! # What always holds
//! - A group that goes while it is read, and a file that is odd, leave values missing; the scrape succeeds.
//! - A group that stays costs no allocation beyond what a page needs to grow.
//! - No runtime is waited for longer than `names::FIRST_WAIT`, and only for a container that is new.

use self::{
    connections::Connections,
    disks::Disks,
    group::{Group, Naming},
    hierarchy::{Layout, Walk},
    identity::{Identity, Runtime},
    layers::Layers,
    machine::Machine,
    meta::Meta,
    names::Names,
    read::{NANOS, Reader},
    stats::{Stats, Value},
};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    options::{ContainerOptions, NodeOptions},
    registry::AgentEnv,
    source::{File, Paths, ProcKind, Root},
};
use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

mod columns;
mod connections;
mod disks;
mod group;
mod hierarchy;
mod identity;
mod layers;
mod machine;
mod meta;
mod names;
mod numa;
pub(crate) mod processes;
mod read;
mod schedule;
mod socket;
mod stats;
mod tcp_counters;
mod topology;

/// How old limits and network namespaces may be.
const LIMITS_AGE: Duration = Duration::from_secs(30);
/// How long a container without a name is left alone.
const NAME_AGAIN: Duration = Duration::from_secs(10);
/// Over how long the load is smoothed.
const LOAD_SECONDS: f64 = 10.0;

/// The collector.
#[derive(Debug)]
pub(crate) struct Containers {
    options: ContainerOptions,
    layout: Option<Layout>,
    proc: ProcKind,
    walk: Walk,
    groups: Vec<Group>,
    names: Names,
    disks: Disks,
    machine: Machine,
    layers: Layers,
    file: File,
    pids: Vec<u32>,
    tasks: Vec<u32>,
    shown_namespaces: HashSet<u64>,
    cpu_labels: Vec<String>,
    warned_of_cut: bool,
}

impl Containers {
    pub(crate) fn new(options: &NodeOptions, env: &AgentEnv) -> Self {
        Self {
            options: options.containers.clone(),
            layout: None,
            proc: ProcKind::of(&options.paths),
            walk: Walk::default(),
            groups: Vec::new(),
            names: Names::new(&options.containers, &options.paths, env),
            disks: Disks::new(&options.filesystem, env),
            machine: Machine::new(options.containers.topology),
            layers: Layers::new(env),
            file: File::default(),
            pids: Vec::new(),
            tasks: Vec::new(),
            shown_namespaces: HashSet::new(),
            cpu_labels: Vec::new(),
            warned_of_cut: false,
        }
    }

    /// Takes over what the walk found: groups that stay are kept with all that is known of them.
    fn follow(&mut self, paths: &Paths, layout: &Layout) {
        let Self { options, walk, groups, file, .. } = self;
        let shown = || walk.groups().filter(|(path, _)| is_shown(options, path));
        let is_same = |group: &Group, path: &str, found: hierarchy::Found| {
            group.path == path && group.inode == found.inode && group.mask == found.mask
        };
        let mut known = groups.iter();
        if shown().all(|(path, found)| known.next().is_some_and(|group| is_same(group, path, found)))
            && known.next().is_none()
        {
            return;
        }
        let mut left = std::mem::take(groups).into_iter().peekable();
        for (path, found) in walk.groups().filter(|(path, _)| is_shown(options, path)) {
            while left.next_if(|group| group.path.as_str() < path).is_some() {}
            let kept = left.next_if(|group| is_same(group, path, found));
            groups.push(kept.unwrap_or_else(|| {
                let mut group = Group::new(path, found.mask, found.inode, &options.labels);
                if let Some(created) = creation_time(paths, layout, file, &group) {
                    group.stats.set(Value::CreationTime, created);
                }
                group
            }));
        }
    }

    /// Finds the names of containers that have none.
    fn name(&mut self, paths: &Paths, now: Duration) {
        let is_due = |group: &&Group| match group.naming {
            Naming::New => true,
            Naming::Unknown(since) => now.saturating_sub(since) >= NAME_AGAIN,
            Naming::Known => false,
        };
        let of = |groups: &[Group], is_wanted: &dyn Fn(&&Group) -> bool| -> Vec<Identity> {
            groups.iter().filter(is_wanted).filter_map(|group| group.identity.clone()).collect()
        };
        let unknown = of(&self.groups, &|group| group.naming != Naming::Known);
        let news = of(&self.groups, &|group| group.naming == Naming::New);
        self.names.ask(&unknown, &news);
        let Self { groups, names, options, .. } = self;
        names.listen();
        let mut changed = false;
        for group in groups.iter_mut() {
            let Some(identity) = &group.identity else {
                group.naming = Naming::Known;
                continue;
            };
            if is_due(&&*group) || names.told_again(identity) {
                match names.find(paths, identity) {
                    Some(meta) => {
                        group.know(meta, &options.labels);
                        changed = true;
                    }
                    None if group.naming != Naming::Known => group.naming = Naming::Unknown(now),
                    None => {}
                }
            }
        }
        if changed {
            self.name_pods();
        }
    }

    /// A pod is called what its containers say.
    fn name_pods(&mut self) {
        for at in 0..self.groups.len() {
            let is_pod = |identity: &Identity| identity.runtime == Runtime::Pod;
            if !self.groups[at].identity.as_ref().is_some_and(is_pod) {
                continue;
            }
            let below = format!("{}/", self.groups[at].path);
            let children = self.groups[at + 1..].iter().filter(|group| group.path.starts_with(&below));
            let known = children.filter_map(|group| group.meta.as_ref()).find(|meta| !meta.pod.is_empty());
            if let Some(meta) = known {
                let (namespace, pod) = (meta.namespace.clone(), meta.pod.clone());
                let meta = Arc::new(Meta { namespace, pod, ..Meta::default() });
                self.groups[at].know(meta, &self.options.labels);
            }
        }
    }

    fn read(&mut self, context: &Context<'_>, layout: &Layout, now: Duration) {
        let (paths, page_bytes) = (context.paths, context.host.page_bytes());
        let Self { options, groups, file, pids, tasks, proc, .. } = self;
        for group in groups.iter_mut() {
            let Group { stats, devices, per_cpu, numa, .. } = group;
            stats.forget();
            let mut reader = Reader { paths, layout, file, group: &group.path, mask: group.mask };
            reader.stats(stats, devices);
            if options.per_cpu {
                reader.per_cpu(per_cpu);
            }
            numa.clear();
            if options.numa {
                reader.numa(page_bytes, numa);
            }
            let is_old = group.limits_at.is_none_or(|at| now.saturating_sub(at) >= LIMITS_AGE);
            if is_old {
                reader.limits(stats);
                group.limits_at = Some(now);
            }
            if reader.processes(group.mask, pids).is_some() {
                stats.set(Value::Processes, pids.len() as f64);
                if pids.is_empty() {
                    stats.set(Value::FileDescriptors, 0.0);
                }
                for pid in pids.iter() {
                    if let Some(count) = processes::open_descriptors(paths, *proc, file, *pid) {
                        stats.add(Value::FileDescriptors, count as f64);
                    }
                }
                if options.sockets {
                    stats.set(Value::Sockets, 0.0);
                    for pid in pids.iter() {
                        stats.add(Value::Sockets, processes::sockets(paths, file, tasks, *pid));
                    }
                }
            }
            let first = pids.first().copied();
            if is_old || group.first.map(|(pid, _)| pid) != first {
                let identity = group.identity.as_ref().filter(|_| options.layers);
                group.layer =
                    identity.zip(first).and_then(|(identity, pid)| layers::find(paths, file, identity, pid));
                group.first = first.map(|pid| (pid, processes::network_namespace(paths, *proc, file, pid)));
                let limit = first.and_then(|pid| processes::open_files_limit(paths, file, pid));
                stats.set(Value::OpenFilesLimit, limit.unwrap_or(f64::NAN));
            }
            if options.schedule {
                let [running, waiting, periods] = group.schedule.read(paths, file, pids);
                stats.set(Value::ScheduledSeconds, running as f64 / NANOS);
                stats.set(Value::ScheduleWaitSeconds, waiting as f64 / NANOS);
                stats.set(Value::ScheduledPeriods, periods as f64);
            }
            if options.load {
                count_load(paths, file, pids, tasks, stats, &mut group.load, now);
            }
        }
    }

    /// The root can have all that the machine has.
    fn limit_root(&mut self) {
        let Some(root) = self.groups.first_mut().filter(|group| group.path.is_empty()) else { return };
        for (value, bytes) in [
            (Value::MemoryLimit, self.machine.memory_bytes()),
            (Value::MemorySwapLimit, self.machine.swap_bytes()),
        ] {
            root.stats.set(value, bytes.map_or(f64::NAN, |bytes| bytes as f64));
        }
    }

    /// Each network namespace is shown once: the machine's own by the root, a pod's by its sandbox, any other
    /// by the first group that has a process in it. Where the machine's first process cannot be seen, the
    /// agent's own namespace is the machine's.
    fn read_networks(&mut self, paths: &Paths) {
        let Self { options, groups, file, proc, shown_namespaces: shown, .. } = self;
        let connections = |file: &mut File, pid: &dyn fmt::Display| match options.connections {
            true => Connections::read(paths, file, pid),
            false => Connections::default(),
        };
        let counters = |file: &mut File, pid: &dyn fmt::Display, found: &mut Vec<tcp_counters::Counter>| {
            if options.tcp_counters {
                tcp_counters::read(paths, file, pid, found);
            }
        };
        shown.clear();
        let mut namespace =
            |pid| processes::network_namespace(paths, *proc, file, pid).map(|found| (pid, found));
        let machine = namespace("1").or_else(|| namespace("self"));
        shown.extend(machine.map(|(_, found)| found));
        for group in groups.iter_mut() {
            group.interfaces.clear();
            group.connections = Connections::default();
            group.tcp_counters.clear();
            if group.path.is_empty() {
                let pid = machine.map_or("1", |(pid, _)| pid);
                processes::interfaces(paths, file, pid, &mut group.interfaces);
                group.connections = connections(file, &pid);
                counters(file, &pid, &mut group.tcp_counters);
            }
        }
        for sandboxes in [true, false] {
            for group in groups.iter_mut() {
                let is_sandbox = group.meta.as_ref().is_some_and(|meta| meta.is_sandbox);
                if let Some((pid, Some(namespace))) = group.first.filter(|_| is_sandbox == sandboxes)
                    && shown.insert(namespace)
                {
                    processes::interfaces(paths, file, pid, &mut group.interfaces);
                    group.connections = connections(file, &pid);
                    counters(file, &pid, &mut group.tcp_counters);
                }
            }
        }
    }
}

impl Collector for Containers {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let paths = context.paths;
        let now = context.clock.monotonic();
        let Some(layout) = self.layout.take().or_else(|| Layout::of(paths, &mut self.file)) else {
            let what = format!("there are no control groups in {}/fs/cgroup", paths.sysfs);
            return Err(CollectError::NoData(what));
        };
        self.walk.run(paths, &layout);
        if self.walk.was_cut && !std::mem::replace(&mut self.warned_of_cut, true) {
            tracing::warn!(shown = hierarchy::MAX_GROUPS, "there are more control groups than are shown");
        }
        self.follow(paths, &layout);
        self.name(paths, now);
        self.read(context, &layout, now);
        self.read_networks(paths);
        self.disks.refresh(paths, &mut self.file);
        if self.groups.first().is_some_and(|group| group.path.is_empty()) {
            self.disks.ask_file_systems(paths, &mut self.file);
        }
        self.layers.ask(&mut self.groups);
        self.machine.refresh(paths, &mut self.file, now);
        self.limit_root();
        let cpus = self.groups.iter().map(|group| group.per_cpu.len()).max().unwrap_or(0);
        while self.cpu_labels.len() < cpus {
            self.cpu_labels.push(format!("cpu{:02}", self.cpu_labels.len()));
        }
        self.layout = Some(layout);
        columns::write(&self.groups, &self.disks, &self.cpu_labels, context);
        let help = "Whether some control groups could not be shown: 1 if so.";
        context.out.gauge("container_scrape_error", help, f64::from(u8::from(self.walk.was_cut)));
        self.machine.write(context);
        Ok(())
    }
}

/// Takes an answer of a runtime apart; whether it is one.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_answer(answer: &[u8]) -> bool {
    let Ok(body) = socket::body(answer) else { return false };
    assert!(body.len() <= answer.len(), "a body is a part of its answer");
    let list = meta::of_list(&body);
    let (one, bundle) = (meta::of_crio(&body), meta::of_bundle("id", &body));
    list.is_ok() || one.is_some() || bundle.is_some()
}

fn is_shown(options: &ContainerOptions, path: &str) -> bool {
    let is_root = path.is_empty();
    options.ids.admits(if is_root { b"/" } else { path.as_bytes() })
        && (is_root || !options.only_runtimes || identity::identify(path).is_some())
}

/// When a group was made: the older of the times of its folder, which changes with groups below it, and of a
/// file in it that is hardly ever written.
fn creation_time(paths: &Paths, layout: &Layout, file: &mut File, group: &Group) -> Option<f64> {
    let quiet = if *layout == Layout::V2 { "/cgroup.events" } else { "/cgroup.clone_children" };
    let trees = layout.trees().filter(|(_, bit)| group.mask & bit != 0);
    let mut times = trees.flat_map(|(tree, _)| ["", quiet].map(|name| (tree, name)));
    let mut oldest: Option<i64> = None;
    for (tree, name) in times.by_ref() {
        let status = file.status(paths, Root::Sys, format_args!("{tree}{}{name}", group.path));
        if let Some(status) = status {
            oldest = Some(oldest.map_or(status.modified_s, |time| time.min(status.modified_s)));
        }
    }
    oldest.map(|seconds| seconds as f64)
}

/// Counts threads by state, and smooths the number of those that run or want to.
fn count_load(
    paths: &Paths,
    file: &mut File,
    pids: &[u32],
    tasks: &mut Vec<u32>,
    stats: &mut Stats,
    load: &mut Option<(f64, Duration)>,
    now: Duration,
) {
    const STATES: [Value; 5] = [
        Value::TasksSleeping,
        Value::TasksRunning,
        Value::TasksStopped,
        Value::TasksUninterruptible,
        Value::TasksIoWaiting,
    ];
    for state in STATES {
        stats.set(state, 0.0);
    }
    for pid in pids {
        processes::task_states(paths, file, tasks, *pid, stats);
    }
    let running = [Value::TasksRunning, Value::TasksUninterruptible];
    let running: f64 = running.iter().filter_map(|state| stats.get(*state)).sum();
    let smoothed = load.map_or(running, |(before, at)| {
        let part = (-now.saturating_sub(at).as_secs_f64() / LOAD_SECONDS).exp();
        before * part + running * (1.0 - part)
    });
    *load = Some((smoothed, now));
    stats.set(Value::LoadAverage, (smoothed * 1000.0).trunc());
}
