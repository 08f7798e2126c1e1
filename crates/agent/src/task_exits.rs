//! `TaskExits`: what each process had used when it ended, as the kernel tells it of every task that exits
//! (taskstats, over generic netlink). Nobody but an administrator is told. It keeps what nobody has taken
//! yet, within a bound, says when something was missed, and never asks anything else.

use crate::netlink::{self, attributes, half, long, messages, word};
use parking_lot::Mutex;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    io::Errno,
    net::{
        self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink as protocols, sockopt,
    },
};
use skopos_base::{clock::Clock, spawn::Spawner};
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Weak},
    time::Duration,
};

/// The family's name.
const FAMILY: &str = "TASKSTATS";
/// `TASKSTATS_CMD_GET` and `TASKSTATS_CMD_ATTR_REGISTER_CPUMASK`.
const GET: u8 = 1;
const REGISTER_CPUS: u16 = 3;
/// `TASKSTATS_TYPE_AGGR_PID`, and `TASKSTATS_TYPE_STATS` within.
const OF_TASK: u16 = 4;
const STATS: u16 = 3;
const REPLY_TYPE_ERROR: u16 = 2;
/// The first version of the statistics that says to which process a task belongs, and one whose fields stand
/// elsewhere.
const LEAST_VERSION: u16 = 12;
const ODD_VERSION: u16 = 15;
/// `AGROUP`: the last task of its process.
const LAST_OF_PROCESS: u8 = 0x20;
/// The longest name that the kernel keeps of a task.
const NAME_BYTES: usize = 16;

/// What the kernel may hold for us between two reads: some thousands of tasks.
const BUFFER_BYTES: usize = 4 << 20;
/// So many processes are kept until they are taken.
const MAX_KEPT: usize = 32_768;
/// So many processes are known of which some task has exited and others run.
const MAX_PARTIAL: usize = 32_768;
/// The buffer is emptied so often at most, however many tasks exit.
const BETWEEN_READS: Duration = Duration::from_millis(100);
/// The thread looks so often whether it is still wanted.
const WAIT: Duration = Duration::from_secs(5);
const PIECE_BYTES: usize = 64 << 10;

/// What a process used, all its tasks together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    /// Of its first task alone.
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
}

/// A process that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) uid: u32,
    /// When it began, in whole seconds since the Unix epoch.
    pub(crate) start_s: u64,
    pub(crate) used: Used,
    name: [u8; NAME_BYTES],
}

impl Exit {
    #[cfg(test)]
    pub(crate) fn of(pid: u32, name: &str, parent: u32) -> Self {
        let mut bytes = [0; NAME_BYTES];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Self { pid, parent, uid: 0, start_s: 0, used: Used::default(), name: bytes }
    }

    /// The kernel's name of it.
    pub(crate) fn name(&self) -> &[u8] {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES);
        &self.name[..end]
    }
}

/// One task that exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Task {
    process: Exit,
    is_first: bool,
    is_last: bool,
}

/// The statistics of one task; `None` when they are of a version that is not known.
fn task(stats: &[u8]) -> Option<Task> {
    let version = half(stats, 0)?;
    if version < LEAST_VERSION || version == ODD_VERSION {
        return None;
    }
    let (user_us, system_us, run_ns) = (long(stats, 152)?, long(stats, 160)?, long(stats, 72)?);
    let (pid, tgid) = (word(stats, 128)?, word(stats, 368)?);
    let is_first = pid == tgid;
    let switches = |at| if is_first { long(stats, at) } else { Some(0) };
    let (user_us, system_us) = split(run_ns / 1000, user_us, system_us);
    let used = Used {
        user_us,
        system_us,
        minor_faults: long(stats, 168)?,
        major_faults: long(stats, 176)?,
        voluntary_switches: switches(272)?,
        involuntary_switches: switches(280)?,
    };
    let process = Exit {
        pid: tgid,
        parent: word(stats, 132)?,
        uid: word(stats, 120)?,
        start_s: long(stats, 344)?,
        used,
        name: stats.get(80..80 + NAME_BYTES)?.try_into().ok()?,
    };
    Some(Task { process, is_first, is_last: stats.get(8)? & LAST_OF_PROCESS != 0 })
}

/// The time that a task ran, which is exact, by the shares that the kernel's clock saw of it: as the kernel
/// itself splits it for `/proc/PID/stat`. Who was never seen in the kernel ran outside of it.
fn split(run_us: u64, user_us: u64, system_us: u64) -> (u64, u64) {
    let seen = u128::from(user_us) + u128::from(system_us);
    if seen == 0 {
        return (run_us, 0);
    }
    let system = (u128::from(run_us) * u128::from(system_us) / seen) as u64;
    (run_us - system, system)
}

/// What is known of processes that end.
#[derive(Debug, Default)]
struct Kept {
    /// Processes of which some task has exited.
    partial: HashMap<u32, Task>,
    ended: Vec<Exit>,
    /// Whether something was missed since `ended` was taken.
    missed: bool,
}

impl Kept {
    fn add(&mut self, task: Task) {
        let pid = task.process.pid;
        let mut whole = match self.partial.remove(&pid) {
            None => task,
            Some(before) => merged(before, task),
        };
        if !task.is_last {
            whole.is_last = false;
            if self.partial.len() < MAX_PARTIAL {
                self.partial.insert(pid, whole);
            } else {
                self.missed = true;
            }
        } else if self.ended.len() < MAX_KEPT {
            self.ended.push(whole.process);
        } else {
            self.missed = true;
        }
    }

    /// Something did not arrive: what is known of the processes that run is no longer whole.
    fn miss(&mut self) {
        self.missed = true;
        self.partial.clear();
    }
}

/// Two tasks of a process as one. The first task's name and times are the process's.
fn merged(before: Task, after: Task) -> Task {
    let (a, b) = (before.process.used, after.process.used);
    let mut one = if after.is_first { after } else { before };
    one.process.parent = after.process.parent;
    one.process.used = Used {
        user_us: a.user_us.saturating_add(b.user_us),
        system_us: a.system_us.saturating_add(b.system_us),
        minor_faults: a.minor_faults.saturating_add(b.minor_faults),
        major_faults: a.major_faults.saturating_add(b.major_faults),
        voluntary_switches: a.voluntary_switches.saturating_add(b.voluntary_switches),
        involuntary_switches: a.involuntary_switches.saturating_add(b.involuntary_switches),
    };
    one.process.start_s = before.process.start_s.min(after.process.start_s);
    one
}

/// The tasks in the kernel's messages.
fn tasks(family: u16, bytes: &[u8]) -> impl Iterator<Item = Option<Task>> {
    let ours = messages(bytes).filter(move |message| message.kind == family);
    let of_tasks = ours.flat_map(|message| attributes(message.body.get(4..).unwrap_or(&[])));
    let of_tasks = of_tasks.filter(|(kind, _)| *kind == OF_TASK);
    let stats = of_tasks.flat_map(|(_, content)| attributes(content)).filter(|(kind, _)| *kind == STATS);
    stats.map(|(_, content)| task(content))
}

/// See above.
#[derive(Debug)]
pub(crate) struct TaskExits {
    socket: OwnedFd,
    family: u16,
    kept: Mutex<Kept>,
}

impl TaskExits {
    /// Asks to be told of tasks that exit on these CPUs (`0-7`), and reads what is told on a thread of its
    /// own for as long as somebody has what this returns.
    ///
    /// # Errors
    /// When the kernel tells nobody, or not this user.
    pub(crate) fn start(cpus: &str, spawner: &dyn Spawner, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>> {
        let mut answer = Vec::new();
        netlink::ask(netlink::Request::Family(FAMILY), &mut answer)?;
        let family = netlink::family_number(&answer).ok_or(io::ErrorKind::Unsupported)?;
        let protocol = Some(protocols::GENERIC);
        let socket =
            net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        // With less room more is missed, which is said.
        let _as_large_as_may_be = sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES);
        let mut text = cpus.as_bytes().to_vec();
        text.push(0);
        let message = netlink::generic_message(family, GET, (REGISTER_CPUS, &text));
        net::send(&socket, &message, SendFlags::empty())?;
        let exits = Arc::new(Self { socket, family, kept: Mutex::default() });
        exits.acknowledged()?;
        let weak = Arc::downgrade(&exits);
        let body = Box::new(move || listen(&weak, &*clock));
        drop(spawner.spawn("agent-exits", body)?);
        Ok(exits)
    }

    /// The processes that ended since it was asked before, or nothing if some of them were missed.
    pub(crate) fn take(&self) -> Option<Vec<Exit>> {
        let mut kept = self.kept.lock();
        self.read(&mut kept);
        let ended = std::mem::take(&mut kept.ended);
        (!std::mem::take(&mut kept.missed)).then_some(ended)
    }

    /// What the kernel says of the request. Tasks may come before it says so.
    fn acknowledged(&self) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            if !self.is_readable(Duration::from_secs(2)) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let (_, len) = net::recv(&self.socket, &mut piece[..], RecvFlags::DONTWAIT)?;
            let found = &piece[..len.min(PIECE_BYTES)];
            let Some(answer) = messages(found).find(|message| message.kind == REPLY_TYPE_ERROR) else {
                continue;
            };
            return match word(answer.body, 0).unwrap_or(0) as i32 {
                0 => Ok(()),
                code => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
            };
        }
    }

    fn is_readable(&self, wait: Duration) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let wait = Timespec::try_from(wait).ok();
        poll(&mut fds, wait.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Takes all that the kernel has for us now.
    fn read(&self, kept: &mut Kept) {
        let mut piece = [0; 16 << 10];
        loop {
            match net::recv(&self.socket, &mut piece[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(Errno::AGAIN) => return,
                Ok((_, len)) => {
                    for task in tasks(self.family, &piece[..len.min(piece.len())]) {
                        match task {
                            Some(task) => kept.add(task),
                            None => kept.missed = true,
                        }
                    }
                }
                Err(Errno::INTR) => {}
                // The kernel had no room, and goes on.
                Err(Errno::NOBUFS) => kept.miss(),
                Err(_) => {
                    kept.miss();
                    return;
                }
            }
        }
    }
}

/// Empties the kernel's buffer as long as somebody wants what is in it.
fn listen(exits: &Weak<TaskExits>, clock: &dyn Clock) {
    while let Some(exits) = exits.upgrade() {
        if exits.is_readable(WAIT) {
            exits.read(&mut exits.kept.lock());
            drop(exits);
            clock.sleep(BETWEEN_READS);
        }
    }
}

/// Messages of a family, read as the kernel's are: whether a process ended in them.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(messages: &[u8]) -> bool {
    let mut kept = Kept::default();
    tasks(FUZZED_FAMILY, messages).flatten().for_each(|task| kept.add(task));
    !kept.ended.is_empty()
}

/// A message of such a family: the end of a process of one task.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_seed() -> Vec<u8> {
    let mut stats = vec![0; 400];
    stats[0] = LEAST_VERSION as u8;
    stats[8] = LAST_OF_PROCESS;
    stats[80..82].copy_from_slice(b"sh");
    for at in [128, 368] {
        stats[at] = 7;
    }
    let (mut of_task, mut all) = (Vec::new(), Vec::new());
    netlink::push_attribute(&mut of_task, STATS, &stats);
    netlink::push_attribute(&mut all, OF_TASK, &of_task);
    let mut message = netlink::generic_message(FUZZED_FAMILY, GET, (0, &[]));
    message.truncate(20);
    message.extend(all);
    let len = message.len() as u32;
    message[..4].copy_from_slice(&len.to_ne_bytes());
    message
}

#[cfg(feature = "fuzzing")]
const FUZZED_FAMILY: u16 = 31;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skopos_base::Env;
    use std::process::Command;

    /// Statistics of a version, of a task of process 7.
    fn stats(version: u16, pid: u32, flags: u8, run_ns: u64, shares: (u64, u64)) -> Vec<u8> {
        let mut bytes = vec![0; 400];
        let mut put = |at: usize, content: &[u8]| bytes[at..at + content.len()].copy_from_slice(content);
        put(0, &version.to_ne_bytes());
        put(8, &[flags]);
        put(72, &run_ns.to_ne_bytes());
        put(80, if pid == 7 { b"first" } else { b"other" });
        put(120, &5_u32.to_ne_bytes());
        put(128, &pid.to_ne_bytes());
        put(132, &1_u32.to_ne_bytes());
        put(152, &shares.0.to_ne_bytes());
        put(160, &shares.1.to_ne_bytes());
        put(168, &10_u64.to_ne_bytes());
        put(272, &3_u64.to_ne_bytes());
        put(344, &u64::from(pid).to_ne_bytes());
        put(368, &7_u32.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_process_is_all_its_tasks() {
        let mut kept = Kept::default();
        kept.add(task(&stats(12, 8, 0, 4_000_000, (0, 0))).unwrap());
        kept.add(task(&stats(16, 7, 0, 1_000_000, (0, 4000))).unwrap());
        assert_eq!(kept.ended, [], "one task still runs");
        kept.add(task(&stats(16, 9, LAST_OF_PROCESS, 8_000_000, (3000, 1000))).unwrap());
        let [exit] = kept.ended[..] else { panic!("{kept:?}") };
        assert_eq!((exit.pid, exit.parent, exit.uid, exit.start_s, exit.name()), (7, 1, 5, 7, &b"first"[..]));
        assert_eq!((exit.used.user_us, exit.used.system_us), (4000 + 6000, 1000 + 2000));
        assert_eq!((exit.used.minor_faults, exit.used.voluntary_switches), (30, 3));
        assert!(kept.partial.is_empty() && !kept.missed);
    }

    #[test]
    fn versions_that_are_not_known_are_not_read() {
        for version in [0, 11, ODD_VERSION] {
            assert_eq!(task(&stats(version, 7, 0, 0, (0, 0))), None, "{version}");
        }
        assert_eq!(task(&stats(12, 7, 0, 0, (0, 0))[..390]).map(|_| ()), Some(()));
        assert_eq!(task(&stats(12, 7, 0, 0, (0, 0))[..370]), None, "it is cut");
    }

    #[test]
    fn what_is_kept_has_a_bound_and_that_something_was_missed_is_said() {
        let mut kept = Kept::default();
        let last = task(&stats(12, 7, LAST_OF_PROCESS, 0, (0, 0))).unwrap();
        (0..MAX_KEPT).for_each(|_| kept.add(last));
        assert!(!kept.missed);
        kept.add(last);
        assert!(kept.missed && kept.ended.len() == MAX_KEPT);
    }

    /// Root alone is told; others get an error at the start and no silence later.
    #[test]
    fn the_kernel_tells_what_a_process_used() {
        let env = Env::real();
        let started = TaskExits::start("0", &*env.spawner, Arc::clone(&env.clock));
        let cpus = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
        let all = match TaskExits::start(cpus.trim(), &*env.spawner, Arc::clone(&env.clock)) {
            Ok(all) => all,
            Err(error) => {
                assert!(started.is_err() && error.kind() != io::ErrorKind::TimedOut, "{error}");
                return;
            }
        };
        let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let ended = all.take().unwrap();
        let exit = ended.iter().find(|exit| exit.pid == pid).unwrap();
        assert_eq!((exit.parent, exit.name()), (std::process::id(), &b"sh"[..]));
        assert!((100..60_000_000).contains(&(exit.used.user_us + exit.used.system_us)), "{exit:?}");
        assert!(exit.used.minor_faults > 10, "{exit:?}");
        let now_s = env.clock.wall_ms() as u64 / 1000;
        assert!((now_s.saturating_sub(120)..=now_s + 1).contains(&exit.start_s), "{exit:?}");
        assert!(all.take().unwrap().iter().all(|exit| exit.pid != pid), "each is told once");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            version in 0_u16..20,
        ) {
            tasks(31, &bytes).for_each(drop);
            let mut stats = bytes;
            stats.splice(0..stats.len().min(2), version.to_ne_bytes());
            let mut kept = Kept::default();
            if let Some(task) = task(&stats) {
                kept.add(task);
            }
        }
    }
}
