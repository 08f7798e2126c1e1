//! What processes used that have ended, as the kernel told it: each is counted for its own group, also one
//! that no scrape saw. Reads no process: they are gone.

use super::{
    proc,
    rules::Attributes,
    tracker::{Counts, Process, Tracker},
};
use crate::{
    scan,
    source::{File, Paths},
    task_exits::{Exit, Used},
};
use std::collections::{HashMap, HashSet};

/// So many programs' groups are remembered.
const MAX_NAMES: usize = 10_000;
/// Two sources agree on when a process began but for so many seconds.
const START_TOLERANCE_S: f64 = 2.0;
/// The number of the process that all threads of the kernel have as their parent.
const KERNEL_THREADS: u32 = 2;
/// The state of a process that has ended and that nobody has waited for.
const ZOMBIE: u8 = b'Z';
/// A chain of processes that ended is no longer than this.
const MAX_CHAIN: usize = 128;

/// Which group processes of a name were put into by the rules. What ended has a name, and no arguments or
/// control group any more, that rules could look at.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, Learnt>);

#[derive(Debug, PartialEq, Eq)]
enum Learnt {
    Group(Option<String>),
    /// Processes of one name are in several groups.
    Several,
}

impl Names {
    /// A living process of this name was put into this group, or into none.
    pub(super) fn learn(&mut self, name: &str, group: Option<&str>) {
        let has_room = self.0.len() < MAX_NAMES;
        match self.0.get_mut(name) {
            Some(Learnt::Group(known)) if known.as_deref() == group => {}
            Some(learnt) => *learnt = Learnt::Several,
            None if has_room => {
                self.0.insert(name.to_owned(), Learnt::Group(group.map(str::to_owned)));
            }
            None => {}
        }
    }
}

impl From<Used> for Counts {
    fn from(used: Used) -> Self {
        Self {
            user_us: used.user_us,
            system_us: used.system_us,
            minor_faults: used.minor_faults,
            major_faults: used.major_faults,
            voluntary_switches: used.voluntary_switches,
            involuntary_switches: used.involuntary_switches,
            ..Self::default()
        }
    }
}

impl Process {
    /// Takes note of its end. Returns what it used and was not counted.
    fn end(&mut self, used: Counts) -> Counts {
        self.has_ended = true;
        let is_counted = self.children.is_some() || self.first_round != 1;
        let new = if is_counted { used.since(self.counted) } else { Counts::default() };
        let Counts { read_bytes, write_bytes, .. } = self.counted;
        self.counted = Counts { read_bytes, write_bytes, ..used };
        new
    }
}

impl Tracker {
    /// Counts what these processes used and a scrape has not counted yet.
    pub(super) fn count_ended(&mut self, paths: &Paths, file: &mut File, exits: &[Exit]) {
        let by_pid: HashMap<u32, &Exit> = exits.iter().map(|exit| (exit.pid, exit)).collect();
        for exit in exits {
            let used = Counts::from(exit.used);
            // One that nobody has waited for yet may be seen when it has ended, without arguments.
            let round = self.round;
            let is_new = |p: &mut Process| p.stat.state == ZOMBIE && p.first_round == round;
            let own = match self.ended_one(exit).is_none_or(is_new) {
                true => self.group_of_ended(paths, file, exit, &by_pid),
                false => None,
            };
            let (group, new) = match self.ended_one(exit) {
                Some(process) => {
                    process.group = own.or_else(|| process.group.take());
                    (process.group.clone(), process.end(used))
                }
                None => (own, used),
            };
            if let Some(group) = group.and_then(|name| self.groups.get_mut(&name)) {
                group.counts.add(new);
                group.ended += 1;
            }
        }
    }

    /// The process that ended, if a scrape has seen it.
    fn ended_one(&mut self, exit: &Exit) -> Option<&mut Process> {
        let boot_s = self.boot_s?;
        let process = self.processes.get_mut(&exit.pid)?;
        let start_s = boot_s + process.stat.start_ticks as f64 / proc::TICKS;
        ((start_s - exit.start_s as f64).abs() <= START_TOLERANCE_S && !process.has_ended).then_some(process)
    }

    /// The group of a process that no scrape saw: that of living ones of its name; else the one that the
    /// rules name by what is known of it; else its parent's.
    fn group_of_ended(
        &mut self,
        paths: &Paths,
        file: &mut File,
        exit: &Exit,
        exits: &HashMap<u32, &Exit>,
    ) -> Option<String> {
        let (mut exit, mut seen) = (*exit, HashSet::new());
        loop {
            if let Some(group) = self.group_by_name(paths, file, &exit) {
                return self.makes_group(&group).then_some(group);
            }
            if !self.follows_children || seen.len() >= MAX_CHAIN || !seen.insert(exit.pid) {
                return None;
            }
            if let Some(parent) = self.processes.get(&exit.parent) {
                return parent.group.clone();
            }
            exit = **exits.get(&exit.parent)?;
        }
    }

    fn group_by_name(&mut self, paths: &Paths, file: &mut File, exit: &Exit) -> Option<String> {
        let name = scan::text(exit.name()).into_owned();
        if let Some(Learnt::Group(group)) = self.names.0.get(&name) {
            return group.clone();
        }
        let is_of_kernel = [exit.pid, exit.parent].contains(&KERNEL_THREADS);
        let username = self.users.name(paths, file, exit.uid).to_owned();
        self.rules.group(&Attributes {
            arguments: if is_of_kernel { Vec::new() } else { vec![name.clone()] },
            comm: name,
            username,
            cgroups: Vec::new(),
            cwd: String::new(),
            pid: exit.pid,
            start_s: exit.start_s as f64,
        })
    }
}
