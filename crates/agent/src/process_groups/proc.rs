//! Reading `/proc/PID`: one process at a time, into values. A process that has gone gives nothing; that is
//! never an error. Contents of any kind are read without panic.

use crate::{
    scan,
    source::{self, File, Paths, ProcKind, Root},
};
use std::collections::HashMap;

/// The kernel counts ticks of this length for programs, on all machines.
pub(crate) const TICKS: f64 = 100.0;

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) parent: u32,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    /// Of the children that ended and were waited for.
    pub(crate) children: Children,
    pub(crate) threads: u64,
    /// When it began, since the machine did. With the number it tells a process from all others.
    pub(crate) start_ticks: u64,
    pub(crate) virtual_bytes: u64,
}

/// What children used that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Children {
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
}

/// What a line such as `7 (name) S 1 7 7 0 -1 4194560 …` says, and the name, which holds any character.
pub(crate) fn stat(line: &[u8]) -> Option<(Stat, &[u8])> {
    let (start, end) = (memchr::memchr(b'(', line)?, memchr::memrchr(b')', line)?);
    let name = line.get(start + 1..end)?;
    let mut fields = scan::fields(&line[end + 1..]);
    let [state] = fields.next()? else { return None };
    let parent = u32::try_from(fields.number()?).ok()?;
    // The process group, the session, the terminal and its group, and flags; some of them can be negative.
    fields.nth(4)?;
    let (minor_faults, children_minor) = (fields.number()?, fields.number()?);
    let (major_faults, children_major) = (fields.number()?, fields.number()?);
    let (user_ticks, system_ticks) = (fields.number()?, fields.number()?);
    let (children_user, children_system) = (fields.number()?, fields.number()?);
    // Priority and nice.
    fields.nth(1)?;
    let threads = fields.number()?;
    fields.next()?;
    let (start_ticks, virtual_bytes) = (fields.number()?, fields.number()?);
    // More fields follow; without them the last number may be half a number.
    fields.next()?;
    let children = Children {
        minor_faults: children_minor,
        major_faults: children_major,
        user_ticks: children_user,
        system_ticks: children_system,
    };
    let stat = Stat {
        state: *state,
        parent,
        minor_faults,
        major_faults,
        user_ticks,
        system_ticks,
        children,
        threads,
        start_ticks,
        virtual_bytes,
    };
    Some((stat, name))
}

/// What `/proc/PID/status` says beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) effective_uid: u32,
    pub(crate) resident_bytes: u64,
    pub(crate) swap_bytes: u64,
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
}

/// How many processes and threads began since the machine did, by `/proc/stat`.
pub(crate) fn forks(content: &[u8]) -> Option<u64> {
    // A content that does not end with a line was cut.
    let line = scan::lines(content.strip_suffix(b"\n")?).find_map(|line| line.strip_prefix(b"processes "))?;
    scan::number(line.trim_ascii())
}

/// Whether the kernel calls processes as this file system does: it is a real one, in which this process has
/// the number that it has for itself. Of the whole machine it tells only those who see the whole machine.
pub(crate) fn has_own_numbers(paths: &Paths) -> bool {
    let own = std::process::id().to_string();
    let called = source::read_link(paths, Root::Proc, "self");
    ProcKind::of(paths) == ProcKind::Kernel && called.is_ok_and(|called| called == own)
}

/// What the lines of `/proc/PID/status` say. Threads of the kernel have no memory.
pub(crate) fn status(content: &[u8]) -> Status {
    let mut status = Status::default();
    for (key, mut fields) in keyed(content) {
        match key {
            b"Uid" => {
                let uid = fields.nth(1).and_then(scan::number).and_then(|uid| u32::try_from(uid).ok());
                status.effective_uid = uid.unwrap_or(0);
            }
            b"VmRSS" => status.resident_bytes = kib(fields),
            b"VmSwap" => status.swap_bytes = kib(fields),
            b"voluntary_ctxt_switches" => status.voluntary_switches = fields.number().unwrap_or(0),
            b"nonvoluntary_ctxt_switches" => status.involuntary_switches = fields.number().unwrap_or(0),
            _ => {}
        }
    }
    status
}

/// Bytes that were read from and written to devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Io {
    pub(crate) read_bytes: u64,
    pub(crate) write_bytes: u64,
}

/// What `/proc/PID/io` says; only root and the process's own user may read it.
pub(crate) fn io(content: &[u8]) -> Option<Io> {
    let (mut read, mut written) = (None, None);
    for (key, mut fields) in keyed(content) {
        match key {
            b"read_bytes" => read = fields.number(),
            b"write_bytes" => written = fields.number(),
            _ => {}
        }
    }
    Some(Io { read_bytes: read?, write_bytes: written? })
}

/// Memory by its share, when several processes have the same pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) resident_bytes: u64,
    pub(crate) swap_bytes: u64,
}

/// What `/proc/PID/smaps` or its sum says of it.
pub(crate) fn proportional(content: &[u8]) -> Shares {
    let mut shares = Shares::default();
    for (key, fields) in keyed(content) {
        match key {
            b"Pss" => shares.resident_bytes = shares.resident_bytes.saturating_add(kib(fields)),
            b"SwapPss" => shares.swap_bytes = shares.swap_bytes.saturating_add(kib(fields)),
            _ => {}
        }
    }
    shares
}

/// The lines `key: fields`. A last line without its end may be cut and is left out.
fn keyed(content: &[u8]) -> impl Iterator<Item = (&[u8], scan::Fields<'_>)> {
    let whole = memchr::memrchr(b'\n', content).map_or(&[][..], |end| &content[..end]);
    scan::lines(whole).filter_map(|line| {
        let (key, rest) = scan::split_at(line, b':')?;
        Some((key, scan::fields(rest)))
    })
}

fn kib(mut fields: scan::Fields<'_>) -> u64 {
    fields.number().unwrap_or(0).saturating_mul(1024)
}

/// The arguments in `/proc/PID/cmdline`.
pub(crate) fn arguments(content: &[u8]) -> Vec<String> {
    let content = content.strip_suffix(b"\0").unwrap_or(content);
    if content.is_empty() {
        return Vec::new();
    }
    content.split(|b| *b == 0).map(|argument| scan::text(argument).into_owned()).collect()
}

/// The paths in `/proc/PID/cgroup`, one a line: with version 1 most stand there several times.
pub(crate) fn cgroups(content: &[u8]) -> Vec<String> {
    let paths = scan::lines(content).filter_map(|line| line.splitn(3, |b| *b == b':').nth(2));
    paths.map(|path| scan::text(path).into_owned()).collect()
}

/// When the machine began, in seconds since the Unix epoch.
pub(crate) fn boot_time(paths: &Paths, file: &mut File) -> Option<f64> {
    let content = file.content(paths, Root::Proc, format_args!("stat"))?;
    let line = scan::lines(content).find_map(|line| line.strip_prefix(b"btime "))?;
    scan::number(line.trim_ascii()).map(|seconds| seconds as f64)
}

/// The names of users in `/etc/passwd`; others are called by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Users {
    names: HashMap<u32, String>,
}

impl Users {
    /// The name of a user. The file is read again for one that is not known yet.
    pub(crate) fn name(&mut self, paths: &Paths, file: &mut File, uid: u32) -> &str {
        if !self.names.contains_key(&uid) {
            let content = file.content(paths, Root::Rootfs, format_args!("etc/passwd")).unwrap_or_default();
            for line in scan::lines(content) {
                let mut fields = line.split(|b| *b == b':');
                let (name, number) = (fields.next(), fields.nth(1).and_then(scan::number));
                if let (Some(name), Some(Ok(number))) = (name, number.map(u32::try_from)) {
                    self.names.entry(number).or_insert_with(|| scan::text(name).into_owned());
                }
            }
            self.names.entry(uid).or_insert_with(|| uid.to_string());
        }
        &self.names[&uid]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAT: &str = "42 (a (b) c) S 1 42 42 0 -1 4194560 10 20 3 4 500 600 70 80 20 0 9 0 12345 4096000 \
                        77 18446744073709551615 1 1\n";

    #[test]
    fn stat_of_a_process() {
        let (found, name) = stat(STAT.as_bytes()).unwrap();
        assert_eq!((name, found.state, found.parent), (&b"a (b) c"[..], b'S', 1));
        assert_eq!((found.minor_faults, found.children.minor_faults), (10, 20));
        assert_eq!((found.major_faults, found.children.major_faults), (3, 4));
        assert_eq!((found.user_ticks, found.system_ticks), (500, 600));
        assert_eq!((found.children.user_ticks, found.children.system_ticks), (70, 80));
        assert_eq!((found.threads, found.start_ticks, found.virtual_bytes), (9, 12345, 4_096_000));
        for line in ["", "42 (a", "42 )a( S 1", "42 (a) SS 1", "42 (a) S 1 42 42 0 -1 4194560 10"] {
            assert_eq!(stat(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_stat_that_was_cut_is_whole_or_nothing() {
        let (whole, _) = stat(STAT.as_bytes()).unwrap();
        for len in 0..STAT.len() {
            let cut = stat(&STAT.as_bytes()[..len]);
            assert!(cut.is_none_or(|(cut, _)| cut == whole), "cut at {len}");
        }
    }

    #[test]
    fn the_other_files() {
        let text = b"Name:\tx\nUid:\t1\t33\t1\t1\nVmRSS:\t  12 kB\nVmSwap:\t 3 kB\n\
                     voluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n";
        let expected = Status {
            effective_uid: 33,
            resident_bytes: 12 << 10,
            swap_bytes: 3 << 10,
            voluntary_switches: 5,
            involuntary_switches: 6,
        };
        assert_eq!(status(text), expected);
        assert_eq!(
            io(b"rchar: 1\nread_bytes: 2\nwrite_bytes: 3\n"),
            Some(Io { read_bytes: 2, write_bytes: 3 })
        );
        assert_eq!(
            io(b"rchar: 1\nread_bytes: 2\nwrite_bytes: 3"),
            None,
            "the last number may be half a number"
        );
        let shares = Shares { resident_bytes: 2048, swap_bytes: 1024 };
        assert_eq!(proportional(b"Rss: 9 kB\nPss: 2 kB\nPss_Anon: 1 kB\nSwapPss: 1 kB\n"), shares);
        assert_eq!(arguments(b"/bin/sh\0-c\0\0"), ["/bin/sh", "-c", ""]);
        assert!(arguments(b"").is_empty());
        assert_eq!(cgroups(b"2:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/a\n"), ["/a", "/b:c", "/a"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            stat(&bytes);
            status(&bytes);
            io(&bytes);
            proportional(&bytes);
            arguments(&bytes);
            cgroups(&bytes);
        }
    }
}
