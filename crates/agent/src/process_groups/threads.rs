//! Threads, for those who ask for them: how many there are of a name in each group and what they used, what
//! they wait for in the kernel, and their states. Never what a process used: `tracker` counts that.

use super::{
    Family, always, proc,
    tracker::{Counts, Process, STATES, state},
};
use crate::{
    collector::Context,
    containers::processes,
    scan,
    source::{File, Paths, Root},
};
use skopos_model::MetricType::{Counter, Gauge};
use std::collections::{BTreeMap, HashMap};

/// So many threads are read in a scrape; of the others nothing is shown.
const MAX_THREADS: usize = 65_536;
/// So many names of threads, and places where they wait, are shown, of all groups together.
const MAX_NAMES: usize = 10_000;
/// The kernel's names of places are shorter.
const MAX_PLACE_BYTES: usize = 128;

/// All threads from scrape to scrape.
#[derive(Debug, Default)]
pub(super) struct Threads {
    processes: HashMap<u32, OfProcess>,
    groups: BTreeMap<String, OfGroup>,
    /// How many threads were read in this scrape.
    read: usize,
    /// How many names and places there are.
    names: usize,
    /// Threads that were left out, since the agent began.
    left_out: u64,
    tasks: Vec<u32>,
}

/// The threads of a process that has several.
#[derive(Debug, Default)]
struct OfProcess {
    start_ticks: u64,
    round: u64,
    threads: HashMap<u32, Seen>,
}

/// A thread as it was last seen.
#[derive(Debug)]
struct Seen {
    start_ticks: u64,
    round: u64,
    counts: Counts,
}

#[derive(Debug, Default)]
struct OfGroup {
    named: BTreeMap<String, Named>,
    /// How many threads wait, by the place.
    waiting: BTreeMap<String, u64>,
}

/// The threads of one name.
#[derive(Debug, Default)]
struct Named {
    threads: u64,
    counts: Counts,
    /// Whether the I/O of one of them could be read.
    has_io: bool,
}

/// What the threads of a process add to its group.
#[derive(Debug, Default)]
pub(super) struct Added {
    pub(super) states: [u64; STATES.len()],
    /// Switches of all threads but the first, whose switches are those of the process.
    pub(super) switches: Counts,
}

impl Threads {
    /// Before the processes of a scrape are seen.
    pub(super) fn begin(&mut self) {
        self.read = 0;
        self.names = 0;
        for group in self.groups.values_mut() {
            group.waiting.clear();
            group.named.values_mut().for_each(|named| named.threads = 0);
            self.names += group.named.len();
        }
    }

    /// After they were seen: a name that no thread has any more goes.
    pub(super) fn end(&mut self, round: u64) {
        self.processes.retain(|_, process| process.round == round);
        self.groups.retain(|_, group| {
            group.named.retain(|_, named| named.threads > 0);
            !group.named.is_empty() || !group.waiting.is_empty()
        });
    }

    /// Reads the threads of a process of the group `name`. Gives nothing of a process that has only one.
    pub(super) fn see(
        &mut self,
        paths: &Paths,
        file: &mut File,
        (pid, process): (u32, &Process),
        name: &str,
        round: u64,
    ) -> Option<Added> {
        if !self.groups.contains_key(name) {
            self.groups.insert(name.to_owned(), OfGroup::default());
        }
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.clear();
        if process.stat.threads > 1 {
            processes::threads(paths, file, pid, &mut tasks);
        }
        let added = if tasks.len() > 1 {
            Some(self.see_all(paths, file, (pid, process), &tasks, name, round))
        } else {
            let content = file.content(paths, Root::Proc, format_args!("{pid}/wchan"));
            self.note_place(name, content.and_then(place));
            None
        };
        self.tasks = tasks;
        added
    }

    fn see_all(
        &mut self,
        paths: &Paths,
        file: &mut File,
        (pid, process): (u32, &Process),
        tasks: &[u32],
        name: &str,
        round: u64,
    ) -> Added {
        let mut added = Added::default();
        let known = self.processes.remove(&pid).filter(|p| p.start_ticks == process.stat.start_ticks);
        // A thread that began since the process was last seen counts whole, and so does each of a process
        // that began since.
        let is_whole = known.is_some() || (process.first_round == round && round > 1);
        let mut of_process = known.unwrap_or_default();
        of_process.start_ticks = process.stat.start_ticks;
        of_process.round = round;
        for task in tasks {
            if self.read >= MAX_THREADS {
                self.left_out += 1;
                continue;
            }
            self.read += 1;
            let content = file.content(paths, Root::Proc, format_args!("{pid}/task/{task}/stat"));
            let Some((stat, comm)) = content.and_then(proc::stat) else { continue };
            let thread_name = scan::text(comm).into_owned();
            let content = file.content(paths, Root::Proc, format_args!("{pid}/task/{task}/status"));
            let Some(status) = content.map(proc::status) else { continue };
            let content = file.content(paths, Root::Proc, format_args!("{pid}/task/{task}/io"));
            let io = content.and_then(proc::io);
            let has_io = io.is_some();
            let counts = Counts::of(&stat, &status, io.unwrap_or_default());
            let seen = of_process.threads.get(task).filter(|seen| seen.start_ticks == stat.start_ticks);
            let before = match seen {
                Some(seen) => seen.counts,
                None if is_whole => Counts::default(),
                None => counts,
            };
            let used = counts.since(before);
            of_process.threads.insert(*task, Seen { start_ticks: stat.start_ticks, round, counts });
            added.states[state(stat.state)] += 1;
            if *task != pid {
                let Counts { voluntary_switches, involuntary_switches, .. } = used;
                added.switches.add(Counts { voluntary_switches, involuntary_switches, ..Counts::default() });
            }
            self.note_use(name, thread_name, used, has_io);
            let content = file.content(paths, Root::Proc, format_args!("{pid}/task/{task}/wchan"));
            self.note_place(name, content.and_then(place));
        }
        of_process.threads.retain(|_, seen| seen.round == round);
        self.processes.insert(pid, of_process);
        added
    }

    fn note_use(&mut self, group: &str, thread_name: String, used: Counts, has_io: bool) {
        let Some(group) = self.groups.get_mut(group) else { return };
        if !group.named.contains_key(&thread_name) {
            if self.names >= MAX_NAMES {
                self.left_out += 1;
                return;
            }
            self.names += 1;
        }
        let named = group.named.entry(thread_name).or_default();
        named.threads += 1;
        named.has_io |= has_io;
        named.counts.add(used);
    }

    fn note_place(&mut self, group: &str, place: Option<&str>) {
        let (Some(group), Some(place)) = (self.groups.get_mut(group), place) else { return };
        if let Some(threads) = group.waiting.get_mut(place) {
            *threads += 1;
        } else if self.names < MAX_NAMES {
            self.names += 1;
            group.waiting.insert(place.to_owned(), 1);
        }
    }

    /// The families of threads.
    pub(super) fn write(&self, context: &mut Context<'_>) {
        for family in FAMILIES {
            let mut out = context.out.family(family.name, family.kind, family.help);
            for (group, of_group) in &self.groups {
                for (thread, named) in of_group.named.iter().filter(|(_, named)| (family.is_known)(named)) {
                    let labels = [("groupname", group.as_str()), ("threadname", thread.as_str())];
                    for (value, of_named) in family.values {
                        let [group, thread] = labels;
                        if family.label.is_empty() {
                            out.sample(&labels, of_named(named));
                        } else {
                            out.sample(&[group, thread, (family.label, value)], of_named(named));
                        }
                    }
                }
            }
        }
        let help = "Threads of the group that wait in the kernel, by the place.";
        let mut out = context.out.family("namedprocess_namegroup_threads_wchan", Gauge, help);
        for (group, of_group) in &self.groups {
            for (place, threads) in &of_group.waiting {
                out.sample(&[("groupname", group), ("wchan", place)], *threads as f64);
            }
        }
        let help = "Threads left out since there are too many of them, or too many names.";
        context.out.counter("skopos_process_groups_threads_left_out_total", help, self.left_out as f64);
    }
}

/// The families of threads by their names.
const FAMILIES: &[Family<Named>] = &[
    Family {
        name: "namedprocess_namegroup_thread_count",
        kind: Gauge,
        help: "Threads of the name, of processes that have several.",
        label: "",
        is_known: always,
        values: &[("", |named| named.threads as f64)],
    },
    Family {
        name: "namedprocess_namegroup_thread_cpu_seconds_total",
        kind: Counter,
        help: "Seconds of CPU of the threads of the name, by mode.",
        label: "mode",
        is_known: always,
        values: &[
            ("system", |named| named.counts.system_us as f64 / 1e6),
            ("user", |named| named.counts.user_us as f64 / 1e6),
        ],
    },
    Family {
        name: "namedprocess_namegroup_thread_io_bytes_total",
        kind: Counter,
        help: "Bytes that the threads of the name read from devices, and wrote to them.",
        label: "iomode",
        is_known: |named| named.has_io,
        values: &[
            ("read", |named| named.counts.read_bytes as f64),
            ("write", |named| named.counts.write_bytes as f64),
        ],
    },
    Family {
        name: "namedprocess_namegroup_thread_major_page_faults_total",
        kind: Counter,
        help: "Page faults of the threads of the name that had to wait for a device.",
        label: "",
        is_known: always,
        values: &[("", |named| named.counts.major_faults as f64)],
    },
    Family {
        name: "namedprocess_namegroup_thread_minor_page_faults_total",
        kind: Counter,
        help: "Page faults of the threads of the name that did not have to wait for a device.",
        label: "",
        is_known: always,
        values: &[("", |named| named.counts.minor_faults as f64)],
    },
    Family {
        name: "namedprocess_namegroup_thread_context_switches_total",
        kind: Counter,
        help: "How often the threads of the name left the CPU: to wait, or as they had to.",
        label: "ctxswitchtype",
        is_known: always,
        values: &[
            ("nonvoluntary", |named| named.counts.involuntary_switches as f64),
            ("voluntary", |named| named.counts.voluntary_switches as f64),
        ],
    },
];

/// The place in the kernel where a thread waits; 0 stands for none.
fn place(content: &[u8]) -> Option<&str> {
    let place = std::str::from_utf8(content.trim_ascii()).ok()?;
    (!place.is_empty() && place != "0" && place.len() <= MAX_PLACE_BYTES).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_names() {
        assert_eq!(place(b"futex_do_wait"), Some("futex_do_wait"));
        for nothing in [&b""[..], b"0", b"\xff\xfe", &[b'a'; 129]] {
            assert_eq!(place(nothing), None);
        }
    }
}
