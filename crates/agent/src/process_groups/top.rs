//! The processes that use most, on demand: what `/api/v1/processes` answers. Rates are of the time between
//! two reads of all processes: the last request's, if that is not long ago, else one made for this request.

use super::{
    proc::{self, Stat, Users},
    request::TopRequest,
};
use crate::{
    containers::processes::open_descriptors,
    scan,
    source::{File, NumberedFolder, Paths, ProcKind, Root},
};
use parking_lot::Mutex;
use serde::Serialize;
use skopos_base::clock::Clock;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Rates of a shorter time say little.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// So long one answer is good for all.
const FRESH: Duration = Duration::from_secs(1);
/// Rates of a longer time are of another time.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
/// Longer command lines are cut.
const MAX_COMMAND_BYTES: usize = 4096;

/// What to sort by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TopBy {
    /// CPU in use.
    #[default]
    Cpu,
    /// Memory in use.
    Memory,
    /// Bytes read and written a second.
    Io,
}

impl TopBy {
    /// What a request calls it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "io" => Self::Io,
            _ => return None,
        })
    }
}

/// The processes that use most, most first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// When it was made, in seconds since the Unix epoch.
    pub timestamp: f64,
    /// The time that rates are of.
    pub interval_seconds: f64,
    /// What it is sorted by.
    pub by: TopBy,
    /// How many processes the machine has.
    pub total: usize,
    /// The processes.
    pub processes: Vec<Process>,
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's number.
    pub ppid: u32,
    /// The name that the kernel has for it.
    pub name: String,
    /// Its arguments with blanks between them; empty for threads of the kernel.
    pub command: String,
    /// Its effective user.
    pub user: String,
    /// The letter of its state, as `ps` shows it.
    pub state: String,
    /// Its control group.
    pub cgroup: String,
    /// When it began, in seconds since the Unix epoch.
    pub start_time_seconds: f64,
    /// Its threads.
    pub threads: u64,
    /// Its open file descriptors, or nothing if the agent may not see them.
    pub open_files: Option<u64>,
    /// CPUs in use: 1 is one CPU all of the time.
    pub cpu: f64,
    /// Seconds of CPU so far.
    pub cpu_seconds: f64,
    /// Memory in use.
    pub resident_bytes: u64,
    /// Memory that was swapped out.
    pub swap_bytes: u64,
    /// Bytes read from devices a second, or nothing if the agent may not see them.
    pub read_bytes_per_second: Option<f64>,
    /// Bytes written to devices a second.
    pub write_bytes_per_second: Option<f64>,
}

/// A process as one read found it.
#[derive(Clone, Debug)]
struct Seen {
    stat: Stat,
    name: Vec<u8>,
    status: proc::Status,
    io: Option<proc::Io>,
}

#[derive(Debug, Default)]
struct State {
    folder: NumberedFolder,
    pids: Vec<u32>,
    describer: Describer,
    last: HashMap<u32, Seen>,
    read_at: Option<Duration>,
    /// What was found then.
    found: Option<Found>,
}

#[derive(Debug, Default)]
struct Describer {
    file: File,
    users: Users,
}

/// What all processes used at one time.
#[derive(Debug, Default)]
struct Found {
    at_s: f64,
    interval_s: f64,
    processes: Vec<FoundProcess>,
}

#[derive(Debug)]
struct FoundProcess {
    process: Process,
    user_id: u32,
    /// When it began: another one may have its number since.
    start_ticks: u64,
    is_described: bool,
}

/// All processes of the machine, and what they used when somebody asked last.
#[derive(Debug)]
pub struct Top {
    paths: Paths,
    proc: ProcKind,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Top {
    /// The processes in the process file system of `paths`.
    pub fn new(paths: Paths, clock: Arc<dyn Clock>) -> Self {
        Self { proc: ProcKind::of(&paths), paths, clock, state: Mutex::default() }
    }

    /// The processes that use most. It waits a moment when nobody asked lately. Whoever asks while it waits
    /// for somebody else, or right behind, gets what was read for that one.
    pub fn snapshot(&self, request: TopRequest) -> Snapshot {
        let TopRequest { by, limit } = request;
        let state = &mut *self.state.lock();
        let age = |state: &State, now: Duration| state.read_at.map(|at| now.saturating_sub(at));
        let is_fresh = age(state, self.clock.monotonic()).is_some_and(|age| age < FRESH);
        if !is_fresh || state.found.is_none() {
            state.found = Some(self.measure(state));
        }
        let State { found, describer, .. } = state;
        let found = found.get_or_insert_default();
        found.sort(by);
        for process in found.processes.iter_mut().take(limit) {
            if !process.is_described {
                process.is_described = true;
                describer.describe(&self.paths, self.proc, process);
            }
        }
        let Found { at_s, interval_s, processes } = found;
        let shown = processes.iter().take(limit).map(|found| found.process.clone()).collect();
        Snapshot {
            timestamp: *at_s,
            interval_seconds: *interval_s,
            by,
            total: processes.len(),
            processes: shown,
        }
    }

    /// Reads what all processes use.
    fn measure(&self, state: &mut State) -> Found {
        let now = self.clock.monotonic();
        let age = state.read_at.map(|at| now.saturating_sub(at));
        if !age.is_some_and(|age| (MIN_INTERVAL..=MAX_INTERVAL).contains(&age)) {
            state.read(&self.paths);
            state.read_at = Some(now);
            self.clock.sleep(MIN_INTERVAL);
        }
        let before = std::mem::take(&mut state.last);
        let begin = state.read_at.unwrap_or_default();
        state.read(&self.paths);
        let now = self.clock.monotonic();
        state.read_at = Some(now);
        let interval_s = now.saturating_sub(begin).as_secs_f64();
        let boot_s = proc::boot_time(&self.paths, &mut state.describer.file).unwrap_or(0.0);
        let processes = state.last.iter().map(|(pid, seen)| {
            let before = before.get(pid).filter(|b| b.stat.start_ticks == seen.stat.start_ticks);
            let process = rates(*pid, seen, before, interval_s, boot_s);
            FoundProcess {
                process,
                user_id: seen.status.effective_uid,
                start_ticks: seen.stat.start_ticks,
                is_described: false,
            }
        });
        Found { at_s: self.clock.wall_ms() as f64 / 1000.0, interval_s, processes: processes.collect() }
    }
}

impl Found {
    fn sort(&mut self, by: TopBy) {
        let io =
            |p: &Process| p.read_bytes_per_second.unwrap_or(0.0) + p.write_bytes_per_second.unwrap_or(0.0);
        self.processes.sort_by(|FoundProcess { process: a, .. }, FoundProcess { process: b, .. }| {
            let most = match by {
                TopBy::Cpu => b.cpu.total_cmp(&a.cpu).then(b.cpu_seconds.total_cmp(&a.cpu_seconds)),
                TopBy::Memory => b.resident_bytes.cmp(&a.resident_bytes),
                TopBy::Io => io(b).total_cmp(&io(a)),
            };
            most.then(a.pid.cmp(&b.pid))
        });
    }
}

impl State {
    /// Reads what all processes used so far.
    fn read(&mut self, paths: &Paths) {
        self.last.clear();
        if self.folder.read(paths, Root::Proc, format_args!(""), &mut self.pids).is_err() {
            self.pids.clear();
        }
        for pid in &self.pids {
            let file = &mut self.describer.file;
            let content = file.content(paths, Root::Proc, format_args!("{pid}/stat"));
            let Some((stat, name)) = content.and_then(proc::stat) else { continue };
            let name = name.to_vec();
            let content = file.content(paths, Root::Proc, format_args!("{pid}/status"));
            let status = content.map(proc::status).unwrap_or_default();
            let io = file.content(paths, Root::Proc, format_args!("{pid}/io")).and_then(proc::io);
            self.last.insert(*pid, Seen { stat, name, status, io });
        }
    }
}

impl Describer {
    /// Adds what is read only of the processes that are shown.
    fn describe(&mut self, paths: &Paths, kind: ProcKind, found: &mut FoundProcess) {
        let FoundProcess { process, user_id, start_ticks, .. } = found;
        let pid = process.pid;
        process.user = self.users.name(paths, &mut self.file, *user_id).to_owned();
        let alone = process.clone();
        let content = self.file.content(paths, Root::Proc, format_args!("{pid}/cmdline"));
        let content = content.unwrap_or_default();
        let shown = &content[..content.len().min(MAX_COMMAND_BYTES)];
        process.command = proc::arguments(shown).join(" ");
        let content = self.file.content(paths, Root::Proc, format_args!("{pid}/cgroup")).unwrap_or_default();
        // The last line is version 2's; the deepest path says most.
        let deepest =
            proc::cgroups(content).into_iter().max_by_key(|path| path.matches('/').count() + path.len());
        process.cgroup = deepest.unwrap_or_default();
        process.open_files = open_descriptors(paths, kind, &mut self.file, pid);
        let content = self.file.content(paths, Root::Proc, format_args!("{pid}/stat"));
        let now = content.and_then(proc::stat).map(|(stat, _)| stat.start_ticks);
        if now != Some(*start_ticks) {
            *process = alone;
        }
    }
}

fn rates(pid: u32, seen: &Seen, before: Option<&Seen>, interval_s: f64, boot_s: f64) -> Process {
    let ticks = |seen: &Seen| seen.stat.user_ticks.saturating_add(seen.stat.system_ticks);
    let rate = |amount: f64| if interval_s > 0.0 { amount / interval_s } else { 0.0 };
    // What began since has used nothing before.
    let used = ticks(seen).saturating_sub(before.map_or(0, ticks));
    let bytes = |of: fn(&proc::Io) -> u64| {
        let now = of(seen.io.as_ref()?);
        let then = before.and_then(|before| before.io.as_ref()).map_or(0, of);
        Some(rate(now.saturating_sub(then) as f64))
    };
    Process {
        pid,
        ppid: seen.stat.parent,
        name: scan::text(&seen.name).into_owned(),
        state: char::from(seen.stat.state).to_string(),
        start_time_seconds: boot_s + seen.stat.start_ticks as f64 / proc::TICKS,
        threads: seen.stat.threads,
        cpu: rate(used as f64 / proc::TICKS),
        cpu_seconds: ticks(seen) as f64 / proc::TICKS,
        resident_bytes: seen.status.resident_bytes,
        swap_bytes: seen.status.swap_bytes,
        read_bytes_per_second: bytes(|io| io.read_bytes),
        write_bytes_per_second: bytes(|io| io.write_bytes),
        ..Process::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A clock that goes one second on whenever somebody sleeps, and a tenth when somebody looks.
    #[derive(Debug, Default)]
    struct Steps(Mutex<Duration>);

    impl Clock for Steps {
        fn wall_ms(&self) -> i64 {
            1_700_000_000_500
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock()
        }

        fn sleep(&self, _: Duration) {
            *self.0.lock() += Duration::from_secs(1);
        }
    }

    fn write(folder: &std::path::Path, pid: u32, user: u64, kib: u64, read: u64) {
        let folder = folder.join(format!("proc/{pid}"));
        fs::create_dir_all(folder.join("fd")).unwrap();
        let stat = format!("{pid} (p{pid}) R 1 1 1 0 -1 0 0 0 0 0 {user} 0 0 0 20 0 3 0 500 4096 1 1 1\n");
        for (name, content) in [
            ("stat", stat),
            ("cmdline", format!("/bin/p{pid}\0-x\0")),
            ("cgroup", "0::/system.slice/a.service\n".to_owned()),
            ("status", format!("Uid:\t0\t5\t0\t0\nVmRSS:\t{kib} kB\nVmSwap:\t1 kB\n")),
            ("io", format!("read_bytes: {read}\nwrite_bytes: 0\n")),
        ] {
            fs::write(folder.join(name), content).unwrap();
        }
    }

    #[test]
    fn what_uses_most_is_first() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\nweb:x:5:5::/:/bin/sh\n").unwrap();
        write(folder.path(), 10, 100, 900, 0);
        write(folder.path(), 20, 100, 50, 0);
        write(folder.path(), 30, 100, 70, 0);
        fs::write(folder.path().join("proc/stat"), "btime 1000\n").unwrap();
        let clock = Arc::new(Steps::default());
        let top =
            Top::new(Paths::below(folder.path().to_str().unwrap()), Arc::clone(&clock) as Arc<dyn Clock>);
        // Nobody asked before: it reads, sleeps a second of this clock, and reads again.
        let first = top.snapshot(TopRequest::default());
        assert_eq!((first.total, first.interval_seconds, first.processes[0].cpu), (3, 1.0, 0.0));
        *clock.0.lock() += Duration::from_secs(4);
        write(folder.path(), 20, 500, 50, 4096);
        write(folder.path(), 40, 200, 60, 0);
        let pids = |snapshot: &Snapshot| snapshot.processes.iter().map(|p| p.pid).collect::<Vec<_>>();
        let second = top.snapshot(TopRequest { by: TopBy::Cpu, limit: 2 });
        assert_eq!((pids(&second), second.total, second.interval_seconds), (vec![20, 40], 4, 4.0));
        let busy = &second.processes[0];
        assert_eq!((busy.cpu, busy.read_bytes_per_second), (1.0, Some(1024.0)));
        assert_eq!((busy.user.as_str(), busy.command.as_str()), ("web", "/bin/p20 -x"));
        assert_eq!((busy.cgroup.as_str(), busy.start_time_seconds), ("/system.slice/a.service", 1005.0));
        // What was read a moment ago is shown again, whatever it is sorted by and however much of it.
        write(folder.path(), 30, 9000, 7000, 0);
        *clock.0.lock() += FRESH - Duration::from_millis(1);
        assert_eq!(pids(&top.snapshot(TopRequest { by: TopBy::Memory, limit: 2 })), [10, 30]);
        let all = top.snapshot(TopRequest { by: TopBy::Cpu, limit: 9 });
        assert!(all.processes.iter().all(|process| !process.command.is_empty()) && all.total == 4);
        *clock.0.lock() += Duration::from_millis(1);
        assert_eq!(pids(&top.snapshot(TopRequest { by: TopBy::Memory, limit: 1 })), [30]);
        let json = serde_json::to_value(&second).unwrap();
        assert_eq!(json["by"], "cpu");
        assert_eq!(json["processes"][0]["open_files"], 0);
    }

    #[test]
    fn another_process_of_the_same_number_is_not_described_as_the_one_that_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 10, 100, 900, 0);
        write(folder.path(), 20, 100, 50, 0);
        let paths = Paths::below(folder.path().to_str().unwrap());
        let top = Top::new(paths, Arc::new(Steps::default()));
        let by = TopBy::Memory;
        assert_eq!(top.snapshot(TopRequest { by, limit: 1 }).processes[0].command, "/bin/p10 -x");
        let stat = folder.path().join("proc/20/stat");
        let other = fs::read_to_string(&stat).unwrap().replace(" 500 ", " 501 ");
        fs::write(stat, other).unwrap();
        let both = top.snapshot(TopRequest { by, limit: 2 }).processes;
        assert_eq!((both[1].pid, both[1].command.as_str(), both[1].open_files), (20, "", None));
    }

    #[test]
    fn requests_name_what_they_sort_by() {
        for (text, by) in [("cpu", Some(TopBy::Cpu)), ("memory", Some(TopBy::Memory)), ("x", None)] {
            assert_eq!(TopBy::parse(text), by);
        }
        assert_eq!(TopBy::parse("io"), Some(TopBy::Io));
    }

    #[test]
    fn this_machine_has_this_process() {
        let clock = skopos_base::env::Env::real().clock;
        let snapshot =
            Top::new(Paths::default(), clock).snapshot(TopRequest { by: TopBy::Memory, limit: usize::MAX });
        let own = snapshot.processes.iter().find(|process| process.pid == std::process::id()).unwrap();
        assert!(own.resident_bytes > 0 && !own.command.is_empty() && own.open_files > Some(2));
    }
}
