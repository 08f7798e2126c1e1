//! All processes from scrape to scrape, and the groups that they belong to. A group's counters only grow:
//! they are sums of what its processes used since they were first seen, and stay when the last of them ends.
//!
//! What short processes used is known from the kernel, which tells an administrator of each process that ends
//! (`ended` has what becomes of it). For others it is known from their parents, to which the kernel adds the
//! use of each child that ended: what a parent's children used beyond what was seen of them counts for the
//! parent's group.

use super::{
    ended::Names,
    proc::{self, Children, Io, Shares, Stat, Status, Users},
    rules::{Attributes, ProcessRules},
    threads::Threads,
};
use crate::{
    containers::processes::{open_descriptors, open_files_limit},
    options::ProcessGroupOptions,
    scan,
    source::{File, Paths, ProcKind, Root},
    task_exits::Exit,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
};

/// No more groups than this are made; a rule that names a group by the process's number needs a bound.
pub(super) const MAX_GROUPS: usize = 10_000;
/// A process's limits are read again after so many scrapes.
const LIMIT_ROUNDS: u64 = 20;
/// A chain of parents is no longer than this.
const MAX_ANCESTORS: usize = 128;

/// What a process or a group used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) user_us: u64,
    pub(super) system_us: u64,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) read_bytes: u64,
    pub(super) write_bytes: u64,
    pub(super) voluntary_switches: u64,
    pub(super) involuntary_switches: u64,
}

/// Applies `f` to each counter of two.
fn each(a: Counts, b: Counts, f: impl Fn(u64, u64) -> u64) -> Counts {
    Counts {
        user_us: f(a.user_us, b.user_us),
        system_us: f(a.system_us, b.system_us),
        minor_faults: f(a.minor_faults, b.minor_faults),
        major_faults: f(a.major_faults, b.major_faults),
        read_bytes: f(a.read_bytes, b.read_bytes),
        write_bytes: f(a.write_bytes, b.write_bytes),
        voluntary_switches: f(a.voluntary_switches, b.voluntary_switches),
        involuntary_switches: f(a.involuntary_switches, b.involuntary_switches),
    }
}

impl Counts {
    pub(super) fn add(&mut self, more: Self) {
        *self = each(*self, more, u64::saturating_add);
    }

    /// What was used since `before`. A counter that fell gives nothing.
    pub(super) fn since(self, before: Self) -> Self {
        each(self, before, u64::saturating_sub)
    }

    /// What `/proc/PID/stat` has of it.
    fn of_stat(stat: &Stat) -> Self {
        Self {
            user_us: micros(stat.user_ticks),
            system_us: micros(stat.system_ticks),
            minor_faults: stat.minor_faults,
            major_faults: stat.major_faults,
            ..Self::default()
        }
    }

    /// What the kernel says of a process or a thread.
    pub(super) fn of(stat: &Stat, status: &Status, Io { read_bytes, write_bytes }: Io) -> Self {
        Self {
            read_bytes,
            write_bytes,
            voluntary_switches: status.voluntary_switches,
            involuntary_switches: status.involuntary_switches,
            ..Self::of_stat(stat)
        }
    }

    fn of_children(children: &Children) -> Self {
        Self {
            user_us: micros(children.user_ticks),
            system_us: micros(children.system_ticks),
            minor_faults: children.minor_faults,
            major_faults: children.major_faults,
            ..Self::default()
        }
    }
}

/// The states that groups count, in the words of the reference.
pub(super) const STATES: [&str; 5] = ["Running", "Sleeping", "Waiting", "Zombie", "Other"];

/// What the processes of a group are like now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Gauges {
    pub(super) processes: u64,
    pub(super) threads: u64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) swap_bytes: u64,
    /// Of the processes of which it could be read.
    pub(super) shares: Option<Shares>,
    /// Of the processes of which it could be read.
    pub(super) descriptors: Option<u64>,
    pub(super) worst_descriptor_ratio: f64,
    pub(super) oldest_start_s: Option<f64>,
    pub(super) states: [u64; STATES.len()],
}

/// A group.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) counts: Counts,
    /// Processes that ended.
    pub(super) ended: u64,
    /// Whether what one of its processes read and wrote could ever be read.
    pub(super) has_io: bool,
    pub(super) gauges: Gauges,
}

impl Group {
    /// Whether the descriptors of one of its processes could be counted; of no process there are none.
    pub(super) fn has_descriptors(&self) -> bool {
        self.gauges.descriptors.is_some() || self.gauges.processes == 0
    }

    /// The same of shares of memory.
    pub(super) fn has_shares(&self) -> bool {
        self.gauges.shares.is_some() || self.gauges.processes == 0
    }
}

/// What is known of the children of a process that have ended since it was last seen.
#[derive(Clone, Copy, Debug)]
struct OfChildren {
    /// What was seen of them.
    ended: Counts,
    /// Whether all that they used was told, and counted.
    are_told: bool,
}

/// A process, as it was last seen.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) stat: Stat,
    comm: Vec<u8>,
    pub(super) group: Option<String>,
    /// Whether somebody has looked for its group.
    is_placed: bool,
    /// What was counted of it so far.
    pub(super) counted: Counts,
    /// What was counted of its ended children; `None` until they were seen once.
    pub(super) children: Option<Counts>,
    limit: Option<f64>,
    /// Whether the kernel told of its end.
    pub(super) has_ended: bool,
    round: u64,
    pub(super) first_round: u64,
}

/// What could not be read, since the agent began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    /// Processes of which nothing could be read.
    pub(super) processes: u64,
    /// Processes of which something could not be read.
    pub(super) parts: u64,
    /// Processes that found no room for a group of their own.
    pub(super) groups: u64,
}

/// All processes and groups.
#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) rules: ProcessRules,
    pub(super) follows_children: bool,
    reads_shares: bool,
    proc: ProcKind,
    pub(super) processes: HashMap<u32, Process>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) failures: Failures,
    pub(super) users: Users,
    pub(super) boot_s: Option<f64>,
    pub(super) round: u64,
    pub(super) names: Names,
    /// `None` unless somebody wants to see threads.
    pub(super) threads: Option<Threads>,
}

impl Tracker {
    pub(super) fn new(options: &ProcessGroupOptions, paths: &Paths) -> Self {
        Self {
            rules: options.rules.clone(),
            follows_children: options.children,
            reads_shares: options.smaps,
            proc: ProcKind::of(paths),
            processes: HashMap::new(),
            groups: BTreeMap::new(),
            failures: Failures::default(),
            users: Users::default(),
            boot_s: None,
            round: 0,
            names: Names::default(),
            threads: options.threads.then(Threads::default),
        }
    }

    /// Reads the processes of these numbers, and counts.
    /// `exits` says which processes ended since it was asked before, or nothing if it does not know all.
    pub(super) fn update(
        &mut self,
        paths: &Paths,
        file: &mut File,
        pids: &[u32],
        exits: &mut dyn FnMut() -> Option<Vec<Exit>>,
    ) {
        self.round += 1;
        if self.boot_s.is_none() {
            self.boot_s = proc::boot_time(paths, file);
        }
        for group in self.groups.values_mut() {
            group.gauges = Gauges::default();
        }
        let mut replaced = Vec::new();
        for pid in pids {
            replaced.extend(self.see(paths, file, *pid));
        }
        self.place_children(pids);
        let exits = exits();
        if let Some(exits) = exits.as_deref().filter(|_| self.round > 1) {
            self.count_ended(paths, file, exits);
        }
        let round = self.round;
        let gone: Vec<Process> = {
            let ended = self.processes.extract_if(|_, process| process.round != round);
            ended.map(|(_, process)| process).chain(replaced).collect()
        };
        let mut ended: HashMap<u32, Counts> = HashMap::new();
        if let Some(threads) = &mut self.threads {
            threads.begin();
        }
        for process in &gone {
            self.note_end(process);
            let of_parent = ended.entry(process.stat.parent).or_default();
            of_parent.add(process.counted_or_used());
            of_parent.add(Counts::of_children(&process.stat.children));
        }
        for pid in pids {
            let ended = ended.get(pid).copied().unwrap_or_default();
            self.count(paths, file, *pid, OfChildren { ended, are_told: exits.is_some() });
        }
        if let Some(threads) = &mut self.threads {
            threads.end(round);
        }
    }

    /// Counts a process that is gone, unless the kernel told of its end.
    fn note_end(&mut self, process: &Process) {
        let group = process.group.as_ref().filter(|_| !process.has_ended);
        if let Some(group) = group.and_then(|name| self.groups.get_mut(name)) {
            group.ended += 1;
        }
    }

    /// Takes note of a process. Returns the one that had its number before.
    fn see(&mut self, paths: &Paths, file: &mut File, pid: u32) -> Option<Process> {
        let content = file.content(paths, Root::Proc, format_args!("{pid}/stat"))?;
        let Some((stat, comm)) = proc::stat(content) else {
            self.failures.processes += 1;
            return None;
        };
        let round = self.round;
        if let Some(known) = self.processes.get_mut(&pid).filter(|p| p.stat.start_ticks == stat.start_ticks) {
            let before = std::mem::replace(&mut known.stat, stat);
            known.round = round;
            // A program that runs another has another name.
            if known.comm == comm {
                return None;
            }
            known.comm.clear();
            known.comm.extend_from_slice(comm);
            if known.group.is_some() {
                return None;
            }
            known.is_placed = false;
            // What it did before was of no group.
            let content = file.content(paths, Root::Proc, format_args!("{pid}/io"));
            let Io { read_bytes, write_bytes } = content.and_then(proc::io).unwrap_or_default();
            known.counted = Counts { read_bytes, write_bytes, ..Counts::of_stat(&before) };
            known.children = Some(Counts::of_children(&before.children));
        } else {
            let process = Process {
                stat,
                comm: comm.to_vec(),
                group: None,
                is_placed: false,
                counted: Counts::default(),
                children: None,
                limit: None,
                has_ended: false,
                round,
                first_round: round,
            };
            let before = self.processes.insert(pid, process);
            self.place(paths, file, pid);
            return before;
        }
        self.place(paths, file, pid);
        None
    }

    /// Looks for the group of a process by the rules.
    fn place(&mut self, paths: &Paths, file: &mut File, pid: u32) {
        let Some(process) = self.processes.get(&pid) else { return };
        let comm = scan::text(&process.comm).into_owned();
        let start_ticks = process.stat.start_ticks;
        let content = file.content(paths, Root::Proc, format_args!("{pid}/cmdline")).unwrap_or_default();
        let arguments = proc::arguments(content);
        let content = file.content(paths, Root::Proc, format_args!("{pid}/cgroup")).unwrap_or_default();
        let cgroups = proc::cgroups(content);
        let content = file.content(paths, Root::Proc, format_args!("{pid}/status")).unwrap_or_default();
        let uid = proc::status(content).effective_uid;
        let username = self.users.name(paths, file, uid).to_owned();
        let start_s = self.boot_s.unwrap_or(0.0) + start_ticks as f64 / proc::TICKS;
        let mut cwd = String::new();
        if self.rules.needs_cwd
            && let Some(folder) = file.link(paths, Root::Proc, format_args!("{pid}/cwd"))
        {
            cwd = scan::text(folder).into_owned();
        }
        let attributes = Attributes { comm, arguments, username, cgroups, cwd, pid, start_s };
        let group = self.rules.group(&attributes);
        // One that has ended and that nobody has waited for yet has no arguments any more.
        if !attributes.arguments.is_empty() {
            self.names.learn(&attributes.comm, group.as_deref());
        }
        self.join(pid, group);
    }

    fn join(&mut self, pid: u32, group: Option<String>) {
        let group = group.filter(|name| self.makes_group(name));
        if let Some(process) = self.processes.get_mut(&pid) {
            process.group = group;
        }
    }

    /// Makes the group, unless it is there, or there are too many.
    pub(super) fn makes_group(&mut self, name: &str) -> bool {
        if self.groups.contains_key(name) {
            return true;
        }
        if self.groups.len() >= MAX_GROUPS {
            self.failures.groups += 1;
            return false;
        }
        self.groups.insert(name.to_owned(), Group::default());
        true
    }

    /// A process that no rule wants belongs to the group of its nearest ancestor that has one.
    fn place_children(&mut self, pids: &[u32]) {
        for pid in pids {
            let Some(process) = self.processes.get(pid) else { continue };
            if process.is_placed {
                continue;
            }
            let mut found = process.group.clone();
            let mut parent = process.stat.parent;
            let mut seen = HashSet::from([*pid]);
            while found.is_none()
                && self.follows_children
                && seen.len() < MAX_ANCESTORS
                && seen.insert(parent)
            {
                let Some(ancestor) = self.processes.get(&parent) else { break };
                found = ancestor.group.clone();
                parent = ancestor.stat.parent;
            }
            self.join(*pid, found);
            if let Some(process) = self.processes.get_mut(pid) {
                process.is_placed = true;
            }
        }
    }

    /// Adds what a process used since it was last seen to its group.
    fn count(&mut self, paths: &Paths, file: &mut File, pid: u32, children: OfChildren) {
        let OfChildren { ended, are_told } = children;
        let (proc, round, boot_s) = (self.proc, self.round, self.boot_s);
        let Some(process) = self.processes.get_mut(&pid).filter(|process| process.round == round) else {
            return;
        };
        let Some(group) = process.group.as_ref().and_then(|name| self.groups.get_mut(name)) else { return };
        let content = file.content(paths, Root::Proc, format_args!("{pid}/status"));
        let Some(status) = content.map(proc::status) else { return };
        let io = read_io(paths, file, pid);
        let descriptors = open_descriptors(paths, proc, file, pid);
        if process.limit.is_none() || (round - process.first_round).is_multiple_of(LIMIT_ROUNDS) {
            process.limit = open_files_limit(paths, file, pid).filter(|limit| *limit > 0.0);
        }
        if io.is_none() || descriptors.is_none() {
            self.failures.parts += 1;
        }
        let of_threads = match (&mut self.threads, &process.group) {
            (Some(threads), Some(group)) => threads.see(paths, file, (pid, process), group, round),
            _ => None,
        };
        let before = process.counted;
        group.has_io |= io.is_some();
        let io = io.unwrap_or(Io { read_bytes: before.read_bytes, write_bytes: before.write_bytes });
        let now = Counts::of(&process.stat, &status, io);
        let children = Counts::of_children(&process.stat.children);
        // What ran before the agent did is not the agent's to count.
        let is_old = process.children.is_none() && process.first_round == 1;
        if !is_old {
            // The kernel adds what children read and wrote to the parent's own, and what else they used
            // apart.
            let of_io =
                Counts { read_bytes: ended.read_bytes, write_bytes: ended.write_bytes, ..Counts::default() };
            group.counts.add(now.since(before).since(of_io));
            if !are_told {
                let children_before = process.children.unwrap_or_default();
                group.counts.add(children.since(children_before).since(ended));
            }
        }
        process.counted = now;
        process.children = Some(children);
        let gauges = &mut group.gauges;
        gauges.processes += 1;
        gauges.threads = gauges.threads.saturating_add(process.stat.threads);
        gauges.resident_bytes = gauges.resident_bytes.saturating_add(status.resident_bytes);
        gauges.virtual_bytes = gauges.virtual_bytes.saturating_add(process.stat.virtual_bytes);
        gauges.swap_bytes = gauges.swap_bytes.saturating_add(status.swap_bytes);
        if let Some(open) = descriptors {
            gauges.descriptors = Some(gauges.descriptors.unwrap_or(0) + open);
        }
        if let (Some(open), Some(limit)) = (descriptors, process.limit) {
            gauges.worst_descriptor_ratio = gauges.worst_descriptor_ratio.max(open as f64 / limit);
        }
        let start_s = boot_s.unwrap_or(0.0) + process.stat.start_ticks as f64 / proc::TICKS;
        gauges.oldest_start_s = Some(gauges.oldest_start_s.map_or(start_s, |oldest| oldest.min(start_s)));
        match of_threads {
            Some(added) => {
                gauges.states.iter_mut().zip(added.states).for_each(|(sum, more)| *sum += more);
                group.counts.add(added.switches);
            }
            None => gauges.states[state(process.stat.state)] += 1,
        }
        if self.reads_shares
            && let Some(more) = shares(paths, file, pid)
        {
            let sum = gauges.shares.get_or_insert_default();
            sum.resident_bytes = sum.resident_bytes.saturating_add(more.resident_bytes);
            sum.swap_bytes = sum.swap_bytes.saturating_add(more.swap_bytes);
        }
    }
}

/// What a process read and wrote.
fn read_io(paths: &Paths, file: &mut File, pid: u32) -> Option<Io> {
    proc::io(file.content(paths, Root::Proc, format_args!("{pid}/io"))?)
}

/// The memory of a process by its share. Threads of the kernel, and processes that have ended, have none.
fn shares(paths: &Paths, file: &mut File, pid: u32) -> Option<Shares> {
    // The sum over all mappings costs the kernel less than each of them; kernels before 4.14 have no sum.
    for name in ["smaps_rollup", "smaps"] {
        match file.try_content(paths, Root::Proc, format_args!("{pid}/{name}")) {
            Ok(content) => return Some(proc::proportional(content)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
            Err(_) => {}
        }
    }
    Some(Shares::default())
}

impl Process {
    /// What was counted of it; of a process without a group, what it had used when it was last seen.
    fn counted_or_used(&self) -> Counts {
        if self.group.is_some() { self.counted } else { Counts::of_stat(&self.stat) }
    }
}

/// Ticks of the kernel in microseconds.
const fn micros(ticks: u64) -> u64 {
    ticks.saturating_mul((1e6 / proc::TICKS) as u64)
}

/// Where a state's letter stands in `STATES`.
pub(super) const fn state(letter: u8) -> usize {
    match letter {
        b'R' => 0,
        b'S' => 1,
        b'D' => 2,
        b'Z' => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests;
