//! What one control group says of itself in one scrape: a fixed table of values, and the lists of its
//! devices and interfaces. All of it is used again in the next scrape; nothing here is kept in maps.

/// A value of a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    CpuUsage,
    CpuUser,
    CpuSystem,
    CfsPeriods,
    CfsThrottledPeriods,
    CfsThrottledSeconds,
    CfsBursts,
    CfsBurstSeconds,
    LoadAverage,
    Cache,
    Rss,
    KernelMemory,
    MappedFile,
    Swap,
    FailCount,
    Usage,
    MaxUsage,
    WorkingSet,
    ActiveFile,
    InactiveFile,
    HighEvents,
    MaxEvents,
    FileDirty,
    FileWriteback,
    PagesScanned,
    PagesStolen,
    RefaultFile,
    RefaultAnon,
    PageFaults,
    MajorPageFaults,
    OomKills,
    Processes,
    FileDescriptors,
    Sockets,
    Threads,
    CpuStalled,
    CpuWaiting,
    MemoryStalled,
    MemoryWaiting,
    IoStalled,
    IoWaiting,
    TasksSleeping,
    TasksRunning,
    TasksStopped,
    TasksUninterruptible,
    TasksIoWaiting,
    ScheduledSeconds,
    ScheduleWaitSeconds,
    ScheduledPeriods,
    // What follows is read more rarely and stays from scrape to scrape.
    CreationTime,
    CpuPeriod,
    CpuQuota,
    CpuShares,
    MemoryLimit,
    MemorySwapLimit,
    MemoryReservation,
    ThreadsMax,
    OpenFilesLimit,
}

const COUNT: usize = Value::OpenFilesLimit as usize + 1;
const FIRST_KEPT: usize = Value::CreationTime as usize;

/// The values of a control group; those that it does not have are missing.
#[derive(Debug)]
pub(super) struct Stats([f64; COUNT]);

impl Default for Stats {
    fn default() -> Self {
        Self([f64::NAN; COUNT])
    }
}

impl Stats {
    /// Forgets what is read in every scrape.
    pub(super) fn forget(&mut self) {
        self.0[..FIRST_KEPT].fill(f64::NAN);
    }

    /// Forgets what is read rarely, but for the time of creation.
    pub(super) fn forget_limits(&mut self) {
        self.0[FIRST_KEPT + 1..].fill(f64::NAN);
    }

    pub(super) fn set(&mut self, value: Value, number: f64) {
        self.0[value as usize] = number;
    }

    pub(super) fn add(&mut self, value: Value, number: f64) {
        let sum = &mut self.0[value as usize];
        *sum = if sum.is_nan() { number } else { *sum + number };
    }

    pub(super) fn get(&self, value: Value) -> Option<f64> {
        let number = self.0[value as usize];
        (!number.is_nan()).then_some(number)
    }
}

/// The operations of a device that are counted apart.
pub(super) const OPERATIONS: [&str; 6] = ["Read", "Write", "Sync", "Async", "Discard", "Total"];
/// Where reads and writes stand in `OPERATIONS`.
pub(super) const READ: usize = 0;
pub(super) const WRITE: usize = 1;

/// What a control group moved from and to a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeviceIo {
    /// The device's number.
    pub(super) device: (u32, u32),
    /// Bytes by operation; what is not counted is missing.
    pub(super) bytes: [Option<u64>; OPERATIONS.len()],
    /// Requests by operation.
    pub(super) requests: [Option<u64>; OPERATIONS.len()],
}

impl DeviceIo {
    pub(super) const fn new(device: (u32, u32)) -> Self {
        Self { device, bytes: [None; OPERATIONS.len()], requests: [None; OPERATIONS.len()] }
    }
}

/// The entry of `device`, made if there is none.
pub(super) fn device_io(devices: &mut Vec<DeviceIo>, device: (u32, u32)) -> &mut DeviceIo {
    let at = devices.iter().position(|known| known.device == device).unwrap_or_else(|| {
        devices.push(DeviceIo::new(device));
        devices.len() - 1
    });
    &mut devices[at]
}

/// The counters of a network interface, in the order of `/proc/net/dev`.
pub(super) const NET_COUNTERS: usize = 16;

/// A network interface.
#[derive(Debug, Default)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) counters: [u64; NET_COUNTERS],
}

/// Interfaces in buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    all: Vec<Interface>,
    used: usize,
}

impl Interfaces {
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    pub(super) fn push(&mut self, name: &str, counters: [u64; NET_COUNTERS]) {
        if self.used == self.all.len() {
            self.all.push(Interface::default());
        }
        let next = &mut self.all[self.used];
        next.name.clear();
        next.name.push_str(name);
        next.counters = counters;
        self.used += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.all[..self.used].iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_rarely_stays() {
        let mut stats = Stats::default();
        assert_eq!(stats.get(Value::Usage), None);
        stats.set(Value::Usage, 1.0);
        stats.set(Value::CreationTime, 2.0);
        stats.set(Value::MemoryLimit, 3.0);
        stats.add(Value::Threads, 4.0);
        stats.add(Value::Threads, 4.0);
        assert_eq!(stats.get(Value::Threads), Some(8.0));
        stats.forget();
        assert_eq!((stats.get(Value::Usage), stats.get(Value::MemoryLimit)), (None, Some(3.0)));
        stats.forget_limits();
        assert_eq!((stats.get(Value::CreationTime), stats.get(Value::MemoryLimit)), (Some(2.0), None));
    }

    #[test]
    fn interfaces_are_used_again() {
        let mut interfaces = Interfaces::default();
        for round in 0..2 {
            interfaces.clear();
            for name in ["eth0", "eth1"] {
                interfaces.push(name, [round; NET_COUNTERS]);
            }
            let names: Vec<&str> = interfaces.iter().map(|found| found.name.as_str()).collect();
            assert_eq!(names, ["eth0", "eth1"]);
        }
        assert_eq!(interfaces.all.len(), 2);
    }
}
