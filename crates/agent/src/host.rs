//! What collectors ask the system beside files: its name, how full a file system is, what its
//! network links count, what other programs say. It has a twin in the tests, which can hang and fail
//! at will.

use crate::{
    local_socket::{self, Limits},
    netlink, perf_events, scan, system_calls,
};
use std::{fmt, io, sync::OnceLock, time::Duration};

/// How long a service on this machine may take for an answer, and for all that it is asked.
const SERVICE_LIMITS: Limits = Limits { silence: Duration::from_secs(2), lifetime: Duration::from_secs(30) };

/// What `uname` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uname {
    /// The kernel's name.
    pub sysname: String,
    /// The machine's name.
    pub nodename: String,
    /// The kernel's release.
    pub release: String,
    /// The kernel's version.
    pub version: String,
    /// The hardware.
    pub machine: String,
    /// The NIS domain.
    pub domainname: String,
}

/// How full a file system is, in blocks of `block_bytes` and in inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The size of a block.
    pub block_bytes: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Blocks that an ordinary user may still use.
    pub blocks_available: u64,
    /// All inodes.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

/// What the kernel says of its clock, in the kernel's own units: adjtimex(2) has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockState {
    /// Whether the clock follows a reference.
    pub is_synchronised: bool,
    /// The bits of the state.
    pub status: i64,
    /// How far the clock is from its reference.
    pub offset: i64,
    /// By what the clock's pace is corrected.
    pub frequency: i64,
    /// The largest possible error.
    pub max_error: i64,
    /// The estimated error.
    pub estimated_error: i64,
    /// The time constant of the phase-locked loop.
    pub constant: i64,
    /// The time between two ticks.
    pub tick: i64,
    /// The frequency by pulses per second.
    pub pps_frequency: i64,
    /// How much the pulses shake.
    pub pps_jitter: i64,
    /// The interval of calibrations.
    pub pps_shift: i64,
    /// How much the frequency changed of late.
    pub pps_stability: i64,
    /// Pulses that shook too much.
    pub pps_jitters: i64,
    /// Calibrations.
    pub pps_calibrations: i64,
    /// Calibrations that failed.
    pub pps_errors: i64,
    /// Calibrations that strayed too far.
    pub pps_strays: i64,
    /// How far atomic time is ahead.
    pub tai_offset: i64,
}

/// What the driver of a network device says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriverInfo {
    /// The driver's name.
    pub name: String,
    /// Its version, or the kernel's.
    pub version: String,
    /// The version of the device's firmware.
    pub firmware_version: String,
    /// The version of its expansion ROM.
    pub expansion_rom_version: String,
    /// Where it is on its bus.
    pub bus_info: String,
}

/// A mounted file system of Btrfs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtrfsSystem {
    /// The UUID that it is known by.
    pub uuid: [u8; 16],
    /// Its devices.
    pub devices: Vec<BtrfsDevice>,
}

/// A device of such a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtrfsDevice {
    /// Its UUID.
    pub uuid: [u8; 16],
    /// Where it is, such as `/dev/sda1`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// What of it is set aside for data.
    pub used_bytes: u64,
    /// Errors of writing, reading, flushing, of checksums, and blocks that are older than they should be.
    pub errors: [u64; 5],
}

/// A connection to another program.
pub trait Stream: io::Read + io::Write + Send {}

impl<T: io::Read + io::Write + Send> Stream for T {}

/// The names of links, as the list of all of them has them.
fn listed_names(host: &(impl Host + ?Sized), indexes: &[u32]) -> io::Result<Vec<Option<String>>> {
    let mut answer = Vec::new();
    host.netlink(netlink::Request::Links, &mut answer)?;
    let name = |index: &u32| {
        let link = netlink::links(&answer).find(|link| link.index == *index)?;
        Some(scan::text(link.name).into_owned())
    };
    Ok(indexes.iter().map(name).collect())
}

/// The system. What a host need not have, it has not unless it says so.
pub trait Host: Send + Sync + fmt::Debug {
    /// The system's name.
    fn uname(&self) -> Uname;
    /// How full the file system at `path` is. It can take for ever.
    fn usage(&self, path: &str) -> io::Result<Usage>;
    /// The kernel's answer to `request`: netlink messages, one behind the other, in `answer`.
    fn netlink(&self, request: netlink::Request, answer: &mut Vec<u8>) -> io::Result<()>;

    /// The names of links; none of one that there is not.
    fn link_names(&self, indexes: &[u32]) -> io::Result<Vec<Option<String>>> {
        listed_names(self, indexes)
    }

    /// As `netlink`, for tables that can be large: hands on each piece of the answer, which holds whole
    /// messages. `piece` is the buffer.
    fn netlink_in_pieces(
        &self,
        request: netlink::Request,
        piece: &mut Vec<u8>,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.netlink(request, piece)?;
        each(piece)
    }

    /// Begins to count an event on a CPU. A host that does not count says that it is not supported.
    fn count_events(
        &self,
        event: &perf_events::Event,
        cpu: usize,
    ) -> io::Result<Box<dyn perf_events::Count>> {
        let _ = (event, cpu);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A connection to the program that listens on the socket at `path`; all that is said on it takes no
    /// longer than `patience`.
    fn connect(&self, path: &str, patience: Duration) -> io::Result<Box<dyn Stream>> {
        let _ = (path, patience);
        Err(io::ErrorKind::NotFound.into())
    }

    /// What the kernel says of its clock.
    fn clock_state(&self) -> io::Result<ClockState> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What the driver of the network device says of itself.
    fn driver_info(&self, device: &str) -> io::Result<DriverInfo> {
        let _ = device;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What the driver of the network device counts, by the driver's names.
    fn driver_counters(&self, device: &str) -> io::Result<Vec<(String, u64)>> {
        let _ = device;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The file system of Btrfs that is mounted there. It can take for ever.
    fn btrfs(&self, mount_point: &str) -> io::Result<BtrfsSystem> {
        let _ = mount_point;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The user that this program runs as.
    fn user_id(&self) -> u32 {
        0
    }

    /// The size of a page of memory.
    fn page_bytes(&self) -> u64 {
        4096
    }
}

/// The machine that this program runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisHost;

impl Host for ThisHost {
    fn uname(&self) -> Uname {
        let uname = rustix::system::uname();
        let owned = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Uname {
            sysname: owned(uname.sysname()),
            nodename: owned(uname.nodename()),
            release: owned(uname.release()),
            version: owned(uname.version()),
            machine: owned(uname.machine()),
            domainname: owned(uname.domainname()),
        }
    }

    fn usage(&self, path: &str) -> io::Result<Usage> {
        let found = rustix::fs::statfs(path)?;
        Ok(Usage {
            block_bytes: u64::try_from(found.f_bsize).unwrap_or(0),
            blocks: found.f_blocks,
            blocks_free: found.f_bfree,
            blocks_available: found.f_bavail,
            inodes: found.f_files,
            inodes_free: found.f_ffree,
        })
    }

    fn netlink(&self, request: netlink::Request, answer: &mut Vec<u8>) -> io::Result<()> {
        netlink::ask(request, answer)
    }

    fn link_names(&self, indexes: &[u32]) -> io::Result<Vec<Option<String>>> {
        // A name that is no text is in the list of links alone.
        netlink::link_names(indexes).or_else(|_| listed_names(self, indexes))
    }

    fn netlink_in_pieces(
        &self,
        request: netlink::Request,
        piece: &mut Vec<u8>,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        netlink::ask_in_pieces(request, piece, each)
    }

    fn count_events(
        &self,
        event: &perf_events::Event,
        cpu: usize,
    ) -> io::Result<Box<dyn perf_events::Count>> {
        perf_events::count(event, cpu)
    }

    fn connect(&self, path: &str, patience: Duration) -> io::Result<Box<dyn Stream>> {
        let lifetime = SERVICE_LIMITS.lifetime.min(patience);
        Ok(Box::new(local_socket::connect(path, Limits { lifetime, ..SERVICE_LIMITS })?))
    }

    fn clock_state(&self) -> io::Result<ClockState> {
        system_calls::clock_state()
    }

    fn driver_info(&self, device: &str) -> io::Result<DriverInfo> {
        system_calls::driver_info(device)
    }

    fn driver_counters(&self, device: &str) -> io::Result<Vec<(String, u64)>> {
        system_calls::driver_counters(device)
    }

    fn btrfs(&self, mount_point: &str) -> io::Result<BtrfsSystem> {
        system_calls::btrfs(mount_point)
    }

    fn user_id(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn page_bytes(&self) -> u64 {
        static BYTES: OnceLock<u64> = OnceLock::new();
        *BYTES.get_or_init(|| {
            let vector = std::fs::read("/proc/self/auxv").unwrap_or_default();
            page_bytes_of(&vector).unwrap_or(4096)
        })
    }
}

/// The size of a page, as the kernel tells it to each program: pairs of a key and a value.
fn page_bytes_of(vector: &[u8]) -> Option<u64> {
    const PAGE_SIZE_KEY: usize = 6;
    let word = |bytes: &[u8]| bytes.try_into().ok().map(usize::from_ne_bytes);
    vector.chunks_exact(2 * size_of::<usize>()).find_map(|pair| {
        let (key, value) = pair.split_at(size_of::<usize>());
        (word(key)? == PAGE_SIZE_KEY).then(|| word(value))?.map(|bytes| bytes as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_memory_is_a_power_of_two() {
        assert!(ThisHost.page_bytes().is_power_of_two());
        let pairs = [3_usize, 64, 6, 16384, 0, 0].iter().flat_map(|word| word.to_ne_bytes());
        assert_eq!(page_bytes_of(&pairs.collect::<Vec<u8>>()), Some(16384));
        assert_eq!(page_bytes_of(b"short"), None);
    }
}
