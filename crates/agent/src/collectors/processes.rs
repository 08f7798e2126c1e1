//! `processes`: how many processes and threads there are, and in which states, from `/proc/PID`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, NumberedFolder, Paths, Root},
};
use skopos_model::MetricType;

/// How many there are in each state, which is a letter.
type States = [u32; 128];

/// The collector.
#[derive(Debug)]
pub(crate) struct Processes {
    file: File,
    folder: NumberedFolder,
    pids: Vec<u32>,
    tids: Vec<u32>,
    processes: States,
    threads: States,
}

impl Default for Processes {
    fn default() -> Self {
        Self {
            file: File::default(),
            folder: NumberedFolder::default(),
            pids: Vec::new(),
            tids: Vec::new(),
            processes: [0; 128],
            threads: [0; 128],
        }
    }
}

/// What `stat` says of a process or thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    threads: u64,
}

impl Processes {
    /// Counts processes and threads; returns how many threads the processes say they have.
    fn count(&mut self, paths: &Paths) -> Result<u64, CollectError> {
        self.processes.fill(0);
        self.threads.fill(0);
        let mut all_threads = 0;
        self.folder.read(paths, Root::Proc, format_args!(""), &mut self.pids)?;
        for pid in &self.pids {
            let Some(stat) = read(&mut self.file, paths, format_args!("{pid}/stat"))? else { continue };
            self.processes[usize::from(stat.state)] += 1;
            self.threads[usize::from(stat.state)] += 1;
            all_threads = u64::saturating_add(all_threads, stat.threads);
            if stat.threads < 2 {
                continue;
            }
            self.folder.read(paths, Root::Proc, format_args!("{pid}/task"), &mut self.tids)?;
            for tid in self.tids.iter().filter(|tid| *tid != pid) {
                if let Some(stat) = read(&mut self.file, paths, format_args!("{pid}/task/{tid}/stat"))? {
                    self.threads[usize::from(stat.state)] += 1;
                }
            }
        }
        Ok(all_threads)
    }

    fn limit(&mut self, paths: &Paths, name: &str) -> Result<f64, CollectError> {
        self.file.read(paths, Root::Proc, format_args!("sys/kernel/{name}"))?;
        let number = self.file.lines()?.next().and_then(scan::number);
        number.map(|number| number as f64).ok_or_else(|| self.file.malformed("a number is expected"))
    }
}

impl Collector for Processes {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let threads = self.count(context.paths)?;
        let max_threads = self.limit(context.paths, "threads-max")?;
        let max_pids = self.limit(context.paths, "pid_max")?;
        let out = &mut context.out;
        out.gauge("node_processes_threads", "All threads.", threads as f64);
        out.gauge("node_processes_max_threads", "How many threads there may be.", max_threads);
        let mut write = |name, help, label, states: &States| {
            let mut family = out.family(name, MetricType::Gauge, help);
            for (state, count) in (0_u8..).zip(states).filter(|(_, count)| **count > 0) {
                let letter = [state];
                let letter = std::str::from_utf8(&letter).expect("invariant: states are ASCII letters");
                family.sample(&[(label, letter)], f64::from(*count));
            }
        };
        write("node_processes_state", "Processes by state.", "state", &self.processes);
        write("node_processes_threads_state", "Threads by state.", "thread_state", &self.threads);
        let pids: u32 = self.processes.iter().sum();
        out.gauge("node_processes_pids", "All processes.", f64::from(pids));
        out.gauge("node_processes_max_processes", "The largest number of a process, plus one.", max_pids);
        Ok(())
    }
}

/// What the file says, or nothing if the process or thread has gone.
fn read(file: &mut File, paths: &Paths, name: std::fmt::Arguments<'_>) -> Result<Option<Stat>, CollectError> {
    let Some(stat) = file.value(paths, Root::Proc, name) else { return Ok(None) };
    let stat = parse(stat);
    stat.map(Some).ok_or_else(|| file.malformed("a process's state and number of threads are expected"))
}

/// A line such as `7 (name) S 1 7 7 0 -1 4194560 …`. The name holds any character, brackets too.
fn parse(line: &[u8]) -> Option<Stat> {
    /// The number of threads stands this many fields behind the state.
    const THREADS_BEHIND_STATE: usize = 16;
    let name_end = memchr::memrchr(b')', line)?;
    let mut fields = scan::fields(&line[name_end + 1..]);
    let [state @ (b'A'..=b'Z' | b'a'..=b'z')] = fields.next()? else { return None };
    let threads = scan::number(fields.nth(THREADS_BEHIND_STATE)?)?;
    // More fields follow; without them the number may be half a number.
    fields.next()?;
    Some(Stat { state: *state, threads })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REST: &str = "1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 99";

    #[test]
    fn names_do_not_disturb() {
        for name in ["sh", "a b", "x) R 1 (", "((", "\n"] {
            let line = format!("7 ({name}) S {REST}");
            assert_eq!(parse(line.as_bytes()), Some(Stat { state: b'S', threads: 3 }), "{name:?}");
        }
        for line in ["", "7 (a)", "7 (a) S 1 2", "7 (a) 1 1", "7 a S 1 2 3", "7 (a) SS 1"] {
            assert_eq!(parse(line.as_bytes()), None, "{line:?}");
        }
        let cut = format!("7 (a) S {}", REST.strip_suffix(" 0 99").unwrap());
        assert_eq!(parse(cut.as_bytes()), None, "3 may be the begin of 37");
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&line);
        }
    }
}
