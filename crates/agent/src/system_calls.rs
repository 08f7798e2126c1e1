//! System calls that no safe crate offers, as safe functions: adjtimex(2), asked to change nothing; what the
//! drivers of network devices tell (`SIOCETHTOOL`); what Btrfs tells of its devices; and to let go of code
//! that only the start needed. It owns no meaning of what comes back.
//! `docs/decisions/0021-one-file-for-system-calls.md` says what may stand here.
#![expect(unsafe_code, reason = "no crate has safe calls for these")]

use crate::{
    host::{BtrfsDevice, BtrfsSystem, ClockState, DriverInfo},
    scan,
};
use rustix::{
    fs::{self, Mode, OFlags},
    net::{self, AddressFamily, SocketFlags, SocketType},
};
use std::{
    collections::BTreeSet,
    ffi::{c_char, c_int, c_ulong, c_void},
    io,
    ops::Range,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
};

/// What adjtimex returns when the clock follows no reference.
const UNSYNCHRONISED: c_int = 5;

/// The state of the kernel's clock.
pub(crate) fn clock_state() -> io::Result<ClockState> {
    // SAFETY: `timex` is made of integers and padding only, so all zeros are a value of it. `modes` is then
    // 0, which asks the kernel to change nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole `timex` of ours that outlives the call, and nothing else refers to
    // it; the kernel writes no more than that structure.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ClockState {
        is_synchronised: state != UNSYNCHRONISED,
        status: timex.status.into(),
        offset: timex.offset,
        frequency: timex.freq,
        max_error: timex.maxerror,
        estimated_error: timex.esterror,
        constant: timex.constant,
        tick: timex.tick,
        pps_frequency: timex.ppsfreq,
        pps_jitter: timex.jitter,
        pps_shift: timex.shift.into(),
        pps_stability: timex.stabil,
        pps_jitters: timex.jitcnt,
        pps_calibrations: timex.calcnt,
        pps_errors: timex.errcnt,
        pps_strays: timex.stbcnt,
        tai_offset: timex.tai.into(),
    })
}

/// The request of all that concerns network devices and their drivers.
const SIOCETHTOOL: c_ulong = 0x8946;
/// `ETHTOOL_GDRVINFO`, `ETHTOOL_GSTRINGS` and `ETHTOOL_GSTATS`.
const GET_DRIVER: u32 = 0x03;
const GET_STRINGS: u32 = 0x1b;
const GET_COUNTERS: u32 = 0x1d;
/// `ETH_SS_STATS`: the names of counters.
const NAMES_OF_COUNTERS: u32 = 1;

/// Answers are not longer, but the kernel decides how long they are.
const ANSWER_BYTES: usize = 1 << 20;
/// No machine has larger pages of memory.
const GUARD_BYTES: usize = 64 << 10;
const NAME_BYTES: usize = 32;
/// Drivers have some thousand counters at most; their names have to fit into an answer.
const MAX_COUNTERS: usize = 16 << 10;

/// What the driver of a network device says of itself.
pub(crate) fn driver_info(device: &str) -> io::Result<DriverInfo> {
    let mut answer = Answer::new()?;
    ask(&socket()?, device, &mut answer, [GET_DRIVER, 0, 0])?;
    let text = |at: usize| text(&answer.bytes()[at..at + NAME_BYTES]);
    Ok(DriverInfo {
        name: text(4),
        version: text(36),
        firmware_version: text(68),
        bus_info: text(100),
        expansion_rom_version: text(132),
    })
}

/// What the driver of a network device counts, by the driver's names.
pub(crate) fn driver_counters(device: &str) -> io::Result<Vec<(String, u64)>> {
    const COUNT_AT: usize = 180;
    let (socket, mut answer) = (socket()?, Answer::new()?);
    ask(&socket, device, &mut answer, [GET_DRIVER, 0, 0])?;
    let count = word(answer.bytes(), COUNT_AT);
    if count == 0 {
        return Ok(Vec::new());
    }
    if count as usize > MAX_COUNTERS {
        return Err(io::Error::other(format!("the driver has {count} counters, more than {MAX_COUNTERS}")));
    }
    ask(&socket, device, &mut answer, [GET_STRINGS, NAMES_OF_COUNTERS, count])?;
    let named = word(answer.bytes(), 8).min(count) as usize;
    let names = answer.bytes()[12..].chunks_exact(NAME_BYTES).take(named);
    let names: Vec<String> = names.map(text).collect();
    ask(&socket, device, &mut answer, [GET_COUNTERS, count, 0])?;
    let counted = word(answer.bytes(), 4).min(count) as usize;
    let values = answer.bytes()[8..].as_chunks::<8>().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
    Ok(names.into_iter().zip(values.take(counted)).collect())
}

fn socket() -> io::Result<OwnedFd> {
    Ok(net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

/// Text of a fixed length, which ends with a NUL if there is room.
fn text(bytes: &[u8]) -> String {
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Memory for an answer whose length the kernel decides: it trusts that there is room for all counters that
/// the driver has by now. Behind it stands memory that nobody may write, so that an answer that is too long
/// fails with `EFAULT` and goes nowhere else.
struct Answer {
    start: *mut c_void,
}

impl Answer {
    fn new() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: the kernel chooses a place where nothing is, and nothing refers to it yet.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), ANSWER_BYTES + GUARD_BYTES, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let answer = Self { start };
        // SAFETY: this is the first part of the mapping above, to which nothing refers yet.
        let done = unsafe { libc::mprotect(start, ANSWER_BYTES, libc::PROT_READ | libc::PROT_WRITE) };
        if done == 0 { Ok(answer) } else { Err(io::Error::last_os_error()) }
    }

    const fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes of the mapping can be read and are zeros or what was written since; they live
        // as long as `self`, and the kernel writes them only in `ask`, which has `self` alone.
        unsafe { std::slice::from_raw_parts(self.start.cast(), ANSWER_BYTES) }
    }

    const fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; they can be written, too, and `self` is borrowed by the caller alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), ANSWER_BYTES) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping, made in `new`; what refers to it borrows `self` and is gone.
        unsafe { libc::munmap(self.start, ANSWER_BYTES + GUARD_BYTES) };
    }
}

/// Asks the driver of `device`; the first words of the answer are the question.
fn ask(socket: &OwnedFd, device: &str, answer: &mut Answer, question: [u32; 3]) -> io::Result<()> {
    for (at, word) in question.into_iter().enumerate() {
        answer.bytes_mut()[4 * at..4 * at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    // SAFETY: `ifreq` is made of integers and a union of integers and pointers, so all zeros are a value of
    // it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if device.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from as c_char;
    }
    request.ifr_ifru.ifru_data = answer.start.cast();
    // SAFETY: the descriptor is open, and `request` is a whole `ifreq` whose name ends with a NUL. Each of
    // the three questions lets the kernel write from the start of `answer` upwards, and nowhere else: within
    // the mapping, or up to the guard, which ends the copy.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets go of the pages of code and constants that this process has mapped and that nobody wrote to: those
/// that are used come back from the page cache when they are. A start runs much that nothing runs later, and
/// the kernel maps the pages around what is touched, too: fewer of them from now on. Returns how many bytes
/// were mapped.
///
/// # Errors
/// When the kernel does not say what is mapped.
pub fn release_code() -> io::Result<u64> {
    let mut released = 0;
    for CodeArea { range, resident_bytes } in code_areas(&std::fs::read("/proc/self/smaps")?) {
        let start = ptr::with_exposed_provenance_mut::<c_void>(range.start);
        // SAFETY: by what the kernel says, the area is a private mapping of a file that this process runs,
        // cannot be written to and has no page of its own: what comes back from the file is what was there.
        // Whatever runs or reads there meanwhile waits for it. Programs and libraries are never unmapped
        // here, so nothing else is in its place.
        let done = unsafe { libc::madvise(start, range.len(), libc::MADV_DONTNEED) };
        if done == 0 {
            released += resident_bytes;
        }
        divide(range);
    }
    Ok(released)
}

/// So small are the areas of code that the kernel is to see. Each costs it some 200 bytes.
const PART_BYTES: usize = 8 << 10;

/// Has the kernel see an area as many small ones. Around a page that is touched it maps what it has of the
/// next 64 KiB, but nothing beyond an area's end; and areas that differ in nothing would be one.
fn divide(area: Range<usize>) {
    for start in area.clone().step_by(2 * PART_BYTES).map(|start| start + PART_BYTES) {
        let len = PART_BYTES.min(area.end.saturating_sub(start));
        let start = ptr::with_exposed_provenance_mut::<c_void>(start);
        // SAFETY: this is a part of the area, or empty. It stays mapped as it is; the advice says only that a
        // core dump can leave it out, which has nothing of it anyway, since it stands in the file.
        if len == 0 || unsafe { libc::madvise(start, len, libc::MADV_DONTDUMP) } != 0 {
            return;
        }
    }
}

/// A private mapping of a file that this process runs, which cannot be written to, and of which it has no
/// page of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CodeArea {
    range: Range<usize>,
    resident_bytes: u64,
}

/// A mapping, as its lines say it.
#[derive(Debug)]
struct Mapping<'a> {
    range: Range<usize>,
    permissions: &'a [u8],
    file: &'a [u8],
    resident_bytes: u64,
    /// Pages that are no file's any more; that it is not known, counts as some.
    own_bytes: Option<u64>,
}

/// The areas in the content of `smaps`, as proc(5) describes it.
fn code_areas(smaps: &[u8]) -> Vec<CodeArea> {
    let mut mappings: Vec<Mapping<'_>> = Vec::new();
    for line in scan::lines(smaps) {
        if let Some(mapping) = head(line) {
            mappings.push(mapping);
        } else if let (Some(mapping), Some((key, value))) = (mappings.last_mut(), scan::split_at(line, b':'))
        {
            let bytes = scan::fields(value).number().map(|kib| kib.saturating_mul(1024));
            match key {
                b"Rss" => mapping.resident_bytes = bytes.unwrap_or(0),
                b"Anonymous" => mapping.own_bytes = bytes,
                _ => {}
            }
        }
    }
    let run: BTreeSet<&[u8]> =
        mappings.iter().filter(|m| m.permissions == b"r-xp").map(|mapping| mapping.file).collect();
    let is_code = |mapping: &Mapping<'_>| {
        [&b"r-xp"[..], b"r--p"].contains(&mapping.permissions)
            && mapping.own_bytes == Some(0)
            && mapping.file.starts_with(b"/")
            && run.contains(mapping.file)
    };
    let found = mappings.into_iter().filter(is_code);
    found.map(|m| CodeArea { range: m.range, resident_bytes: m.resident_bytes }).collect()
}

/// The first line of a mapping: `55d0-55e0 r-xp 00000000 fe:00 1234   /usr/bin/skopos`.
fn head(line: &[u8]) -> Option<Mapping<'_>> {
    let mut fields = scan::fields(line);
    let (start, end) = scan::split_at(fields.next()?, b'-')?;
    let address = |text: &[u8]| usize::try_from(scan::hexadecimal(text)?).ok();
    let range = address(start)?..address(end)?;
    let permissions = fields.next().filter(|permissions| permissions.len() == 4)?;
    // Offset, device and inode.
    let file = fields.nth(3).unwrap_or_default();
    (!range.is_empty()).then_some(Mapping { range, permissions, file, resident_bytes: 0, own_bytes: None })
}

/// Reads what the kernel says of memory, and touches none: whether some of it is code.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(smaps: &[u8]) -> bool {
    !code_areas(smaps).is_empty()
}

/// `BTRFS_IOC_FS_INFO`, `BTRFS_IOC_DEV_INFO` and `BTRFS_IOC_GET_DEV_STATS`; each has the length of what it
/// writes in it.
const BTRFS_SYSTEM: c_ulong = 0x8400_941f;
const BTRFS_DEVICE: c_ulong = 0xd000_941e;
const BTRFS_ERRORS: c_ulong = 0xc408_9434;
/// The longest of the three.
const BTRFS_ANSWER_BYTES: usize = 4096;
/// Numbers of devices only grow; a file system had no more of them.
const BTRFS_MAX_NUMBER: u64 = 4096;

/// The file system of Btrfs that is mounted there.
pub(crate) fn btrfs(mount_point: &str) -> io::Result<BtrfsSystem> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = fs::open(mount_point, flags, Mode::empty())?;
    let system = ask_btrfs(&folder, BTRFS_SYSTEM, [0, 0])?;
    let (last, count) = (long(&system, 0), long(&system, 8));
    let mut devices = Vec::new();
    for number in 0..=last.min(BTRFS_MAX_NUMBER) {
        let device = match ask_btrfs(&folder, BTRFS_DEVICE, [number, 0]) {
            // Some numbers are nobody's.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
            device => device?,
        };
        let errors = ask_btrfs(&folder, BTRFS_ERRORS, [number, 5])?;
        devices.push(BtrfsDevice {
            uuid: uuid(&device, 8),
            used_bytes: long(&device, 24),
            bytes: long(&device, 32),
            path: text(&device[BTRFS_ANSWER_BYTES - 1024..]),
            errors: std::array::from_fn(|at| long(&errors, 24 + 8 * at)),
        });
        if devices.len() as u64 == count {
            break;
        }
    }
    Ok(BtrfsSystem { uuid: uuid(&system, 16), devices })
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

fn uuid(bytes: &[u8], at: usize) -> [u8; 16] {
    bytes[at..at + 16].try_into().expect("invariant: the answer is longer")
}

/// Asks Btrfs, or whoever else has the folder, for what `request` is; the first words of the answer are the
/// question.
fn ask_btrfs(folder: &OwnedFd, request: c_ulong, question: [u64; 2]) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; BTRFS_ANSWER_BYTES];
    for (at, word) in question.into_iter().enumerate() {
        answer[8 * at..8 * at + 8].copy_from_slice(&word.to_ne_bytes());
    }
    // SAFETY: the descriptor is open, and the pointer is to bytes of ours that outlive the call and that
    // nothing else refers to. Each of the three requests lets the kernel read and write as many of them as
    // its number says, at most 4096, and to no other place: there are no pointers in what it reads.
    let done = unsafe { libc::ioctl(folder.as_raw_fd(), request as _, answer.as_mut_ptr()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_the_state_of_its_clock() {
        let state = match clock_state() {
            // A sandbox may forbid the call.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
            state => state.unwrap(),
        };
        // The kernel takes no other values for these, so the fields stand where the kernel writes them.
        assert!((9_000..=11_000).contains(&state.tick), "{state:?}");
        assert!(state.max_error >= 0 && state.estimated_error >= 0, "{state:?}");
        assert!((0..=10).contains(&state.constant), "{state:?}");
        assert!(state.frequency.abs() <= 500 << 16, "{state:?}");
        assert!((0..1000).contains(&state.tai_offset), "{state:?}");
    }

    #[test]
    fn an_answer_ends_where_nobody_may_write() {
        let mut answer = Answer::new().unwrap();
        assert!(answer.bytes().iter().all(|byte| *byte == 0));
        answer.bytes_mut()[ANSWER_BYTES - 1] = 1;
        assert_eq!(answer.bytes().last(), Some(&1));
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let end = format!("{:x}", answer.start.addr() + ANSWER_BYTES);
        let guard = maps.lines().find(|line| line.trim_start_matches('0').starts_with(&format!("{end}-")));
        assert!(guard.unwrap().contains(" ---p "), "{maps}");
    }

    #[test]
    fn drivers_tell_who_they_are_and_what_they_count() {
        for name in std::fs::read_dir("/sys/class/net").unwrap() {
            let name = name.unwrap().file_name().into_string().unwrap();
            let Ok(driver) = driver_info(&name) else { continue };
            assert!(!driver.name.is_empty() && !driver.name.contains('\u{fffd}'), "{name}: {driver:?}");
            for (counter, _) in driver_counters(&name).unwrap_or_default() {
                assert!(counter.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}: {counter:?}");
            }
        }
        let missing = driver_info("no-such-device").unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENODEV));
        assert!(driver_info("a name that is too long").is_err());
    }

    #[test]
    fn other_file_systems_are_no_btrfs() {
        assert_eq!(btrfs("/proc").unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(btrfs("/no/such/folder").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn areas_are_code_and_constants_that_nobody_changed() {
        let mapping = |range: &str, permissions: &str, file: &str, own: &str| {
            format!("{range} {permissions} 00000000 fe:00 12   {file}\nSize: 8 kB\nRss: 4 kB\n{own}\n")
        };
        let smaps = [
            mapping("1000-3000", "r--p", "/bin/x", "Anonymous: 0 kB"),
            mapping("3000-5000", "r-xp", "/bin/x", "Anonymous: 0 kB"),
            mapping("5000-7000", "r--p", "/bin/x", "Anonymous: 4 kB"),
            mapping("7000-9000", "rw-p", "/bin/x", "Anonymous: 0 kB"),
            mapping("9000-b000", "r--p", "/etc/data", "Anonymous: 0 kB"),
            mapping("b000-d000", "r-xp", "", "Anonymous: 0 kB"),
            mapping("d000-f000", "r-xp", "/lib/y", "Other: 0 kB"),
        ]
        .concat();
        let found: Vec<_> = code_areas(smaps.as_bytes()).into_iter().map(|area| area.range).collect();
        assert_eq!(found, [0x1000..0x3000, 0x3000..0x5000]);
        assert_eq!(code_areas(b"garbage\n-: \n1-2 r\n"), []);
    }

    #[test]
    fn code_that_was_let_go_of_runs_on() {
        let released = release_code().unwrap();
        assert!(released > 100_000, "{released}");
        let areas = || code_areas(&std::fs::read("/proc/self/smaps").unwrap());
        let text = format!("{:?}", areas());
        assert!(text.contains("resident_bytes"));
        let (large, small): (Vec<_>, Vec<_>) =
            areas().into_iter().partition(|area| area.range.len() > PART_BYTES);
        assert!(small.len() > 100 && large.is_empty(), "{large:?}");
        // Once more changes nothing.
        release_code().unwrap();
        assert_eq!(areas().len(), small.len());
    }
}
