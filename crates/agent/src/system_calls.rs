//! System calls that no safe crate offers, as safe functions: adjtimex(2), asked to change nothing, and what
//! the drivers of network devices tell (`SIOCETHTOOL`). It owns no meaning of what comes back.
//! `docs/decisions/0021-one-file-for-system-calls.md` says what may stand here.
#![expect(unsafe_code, reason = "no crate has safe calls for these")]

use crate::host::{ClockState, DriverInfo};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use std::{
    ffi::{c_char, c_int, c_ulong, c_void},
    io,
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
}
