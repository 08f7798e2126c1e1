//! The processes of a control group: their network namespace, descriptors, limits and states. All of it is
//! of `/proc`, and any of them may be gone by now.

use super::stats::{Interfaces, NET_COUNTERS, Stats, Value};
use crate::{
    scan,
    source::{File, Paths, ProcKind, Root},
};
use std::fmt;

/// What tells a process's network namespace from others: the number of its file of interfaces, of which the
/// kernel makes one for each namespace. The namespace's own number is not for everybody to read, and counts
/// where a folder stands in for the kernel's file system.
pub(super) fn network_namespace(
    paths: &Paths,
    proc: ProcKind,
    file: &mut File,
    pid: impl fmt::Display,
) -> Option<u64> {
    if proc == ProcKind::Kernel {
        return file.status(paths, Root::Proc, format_args!("{pid}/net/dev")).map(|status| status.inode);
    }
    let target = file.link(paths, Root::Proc, format_args!("{pid}/ns/net"))?;
    scan::number(target.strip_prefix(b"net:[")?.strip_suffix(b"]")?)
}

/// The interfaces of the network namespace of a process, but those that a machine has for its containers.
pub(super) fn interfaces(paths: &Paths, file: &mut File, pid: impl fmt::Display, into: &mut Interfaces) {
    const IGNORED: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];
    const TITLES: usize = 2;
    into.clear();
    let Some(content) = file.content(paths, Root::Proc, format_args!("{pid}/net/dev")) else { return };
    let Some(end) = memchr::memrchr(b'\n', content) else { return };
    for line in scan::lines(&content[..end]).skip(TITLES) {
        let Some((name, counters)) = interface(line) else { continue };
        if !IGNORED.iter().any(|start| name.starts_with(start)) {
            into.push(name, counters);
        }
    }
}

/// A line such as `  eth0: 612452090   18809 …` with 16 numbers. A name can hold colons itself.
fn interface(line: &[u8]) -> Option<(&str, [u64; NET_COUNTERS])> {
    let colon = memchr::memrchr(b':', line)?;
    let name = std::str::from_utf8(line[..colon].trim_ascii()).ok().filter(|name| !name.is_empty())?;
    let mut counters = [0; NET_COUNTERS];
    let mut fields = scan::fields(&line[colon + 1..]);
    for counter in &mut counters {
        *counter = fields.number()?;
    }
    Some((name, counters))
}

/// How many descriptors a process has open. `None` when that is not ours to see.
pub(crate) fn open_descriptors(paths: &Paths, proc: ProcKind, file: &mut File, pid: u32) -> Option<u64> {
    let name = format_args!("{pid}/fd");
    if proc == ProcKind::Kernel {
        // Kernels from 6.2 on say the number as the folder's length; others say 0.
        let status = file.status(paths, Root::Proc, name)?;
        if status.bytes > 0 {
            return Some(status.bytes);
        }
    }
    let mut count = 0;
    file.entries(paths, Root::Proc, name, |_, _| count += 1)?;
    Some(count)
}

/// How many of a process's descriptors are sockets. `numbers` is room to work in.
pub(super) fn sockets(paths: &Paths, file: &mut File, numbers: &mut Vec<u32>, pid: u32) -> f64 {
    numbers_in(paths, file, format_args!("{pid}/fd"), numbers);
    let is_socket = |number: &&u32| {
        let target = file.link(paths, Root::Proc, format_args!("{pid}/fd/{number}"));
        target.is_some_and(|target| target.starts_with(b"socket:"))
    };
    numbers.iter().filter(is_socket).count() as f64
}

/// The soft limit of open descriptors: the line `Max open files  1024  1048576  files`. -1 is none.
pub(crate) fn open_files_limit(paths: &Paths, file: &mut File, pid: u32) -> Option<f64> {
    let content = file.content(paths, Root::Proc, format_args!("{pid}/limits"))?;
    let line = scan::lines(content).find_map(|line| line.strip_prefix(b"Max open files"))?;
    match scan::fields(line).next()? {
        b"unlimited" => Some(-1.0),
        number => scan::number(number).map(|number| number as f64),
    }
}

/// The numbers of a process's threads.
pub(crate) fn threads(paths: &Paths, file: &mut File, pid: u32, into: &mut Vec<u32>) {
    numbers_in(paths, file, format_args!("{pid}/task"), into);
}

/// The names in a folder of `/proc` that are numbers.
fn numbers_in(paths: &Paths, file: &mut File, folder: fmt::Arguments<'_>, into: &mut Vec<u32>) {
    into.clear();
    file.entries(paths, Root::Proc, folder, |name, _| {
        into.extend(scan::number(name).and_then(|number| u32::try_from(number).ok()));
    });
}

/// Counts the threads of a process by what they do.
pub(super) fn task_states(paths: &Paths, file: &mut File, tasks: &mut Vec<u32>, pid: u32, stats: &mut Stats) {
    threads(paths, file, pid, tasks);
    for task in tasks.iter() {
        let content = file.content(paths, Root::Proc, format_args!("{pid}/task/{task}/stat"));
        match content.and_then(state) {
            Some(b'R') => stats.add(Value::TasksRunning, 1.0),
            Some(b'S' | b'I' | b'P') => stats.add(Value::TasksSleeping, 1.0),
            Some(b'T' | b't') => stats.add(Value::TasksStopped, 1.0),
            Some(b'D') => stats.add(Value::TasksUninterruptible, 1.0),
            _ => {}
        }
    }
}

/// The state in `12 (a name) S 1 …`. A name can hold anything.
fn state(stat: &[u8]) -> Option<u8> {
    let behind = memchr::memrchr(b')', stat)?;
    scan::fields(&stat[behind + 1..]).next()?.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_interfaces() {
        let line = b"  eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        let (name, counters) = interface(line).unwrap();
        assert_eq!((name, counters[0], counters[15]), ("eth0:1", 1, 16));
        for line in ["", "eth0", ": 1 2", "eth0: 1 2 3"] {
            assert!(interface(line.as_bytes()).is_none(), "{line:?}");
        }
    }

    #[test]
    fn states_stand_behind_the_name() {
        for (stat, found) in
            [("12 (a (b) c) S 1 2", Some(b'S')), ("12 (R) D 1", Some(b'D')), ("12 (x)", None), ("", None)]
        {
            assert_eq!(state(stat.as_bytes()), found, "{stat:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            interface(&bytes);
            state(&bytes);
        }
    }
}
