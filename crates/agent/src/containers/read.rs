//! Reading the files of one control group into its `Stats`. A file that is missing, cut or odd leaves its
//! values missing, and nothing else: groups come and go while they are read.

use super::{
    hierarchy::{CONTROLLERS, Layout, Mask},
    numa::{self, OnNode},
    stats::{DeviceIo, OPERATIONS, READ, Stats, Value, WRITE, device_io},
};
use crate::{
    scan,
    source::{File, Paths, Root},
};

/// Nanoseconds of a second.
pub(super) const NANOS: f64 = 1e9;
/// Microseconds of a second.
const MICROS: f64 = 1e6;
/// The kernel counts ticks of this length for programs, on all machines.
const TICKS: f64 = 100.0;
/// What is larger is the kernel's way to say "no limit".
const MAX_LIMIT: u64 = 1 << 62;

/// One control group's files.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) paths: &'a Paths,
    pub(super) layout: &'a Layout,
    pub(super) file: &'a mut File,
    /// The group's path; empty for the root.
    pub(super) group: &'a str,
    /// The trees that have it.
    pub(super) mask: Mask,
}

impl Reader<'_> {
    /// The content of the file `name` of `controller`. In version 2 there is one tree for all controllers.
    fn content(&mut self, controller: &str, name: &str) -> Option<&[u8]> {
        let tree = match self.layout {
            Layout::V2 => "fs/cgroup",
            Layout::V1(trees) => {
                trees[CONTROLLERS.iter().position(|known| *known == controller)?].as_deref()?
            }
        };
        self.file.content(self.paths, Root::Sys, format_args!("{tree}{}/{name}", self.group))
    }

    /// Whether the controller has a tree of its own, without this group.
    fn lacks(&self, controller: &str) -> bool {
        let Layout::V1(trees) = self.layout else { return false };
        let at = CONTROLLERS.iter().position(|known| *known == controller);
        at.is_some_and(|at| trees[at].is_some() && self.mask & (1 << at) == 0)
    }

    /// The one number in a file. Without a line feed behind it, it may be half a number.
    fn number(&mut self, controller: &str, name: &str) -> Option<u64> {
        scan::number(self.content(controller, name)?.strip_suffix(b"\n")?)
    }

    fn set(&mut self, stats: &mut Stats, value: Value, controller: &str, name: &str) {
        if let Some(number) = self.number(controller, name) {
            stats.set(value, number as f64);
        }
    }

    /// Sets the values that the table names, of lines such as `anon 4096`.
    fn table(&mut self, stats: &mut Stats, controller: &str, name: &str, table: &[(&str, Value, f64)]) {
        let Some(content) = self.content(controller, name) else { return };
        for (key, number) in keyed(content) {
            for (_, value, unit) in table.iter().filter(|(known, ..)| known.as_bytes() == key) {
                stats.add(*value, number as f64 / unit);
            }
        }
    }

    /// Reads all that changes.
    pub(super) fn stats(&mut self, stats: &mut Stats, devices: &mut Vec<DeviceIo>) {
        devices.clear();
        match self.layout {
            Layout::V2 => self.v2(stats, devices),
            Layout::V1(_) => self.v1(stats, devices),
        }
        let inactive = stats.get(Value::InactiveFile);
        if let (Some(usage), Some(inactive)) = (stats.get(Value::Usage), inactive) {
            stats.set(Value::WorkingSet, (usage - inactive).max(0.0));
        }
    }

    /// Reads where the memory is.
    pub(super) fn numa(&mut self, page_bytes: u64, found: &mut Vec<OnNode>) {
        let is_v2 = *self.layout == Layout::V2;
        let Some(content) = self.content("memory", "memory.numa_stat") else { return };
        if is_v2 { numa::v2(content, page_bytes, found) } else { numa::v1(content, found) }
    }

    fn v2(&mut self, stats: &mut Stats, devices: &mut Vec<DeviceIo>) {
        self.table(stats, "cpu", "cpu.stat", CPU_V2);
        self.table(stats, "memory", "memory.stat", MEMORY_V2);
        self.table(stats, "memory", "memory.events", EVENTS_V2);
        self.set(stats, Value::Usage, "memory", "memory.current");
        self.set(stats, Value::MaxUsage, "memory", "memory.peak");
        self.set(stats, Value::Swap, "memory", "memory.swap.current");
        if let (true, None) = (self.group.is_empty(), stats.get(Value::Usage)) {
            // The root has no usage of its own.
            if let (Some(anon), Some(file)) = (stats.get(Value::Rss), stats.get(Value::Cache)) {
                stats.set(Value::Usage, anon + file);
            }
        }
        self.set(stats, Value::Threads, "pids", "pids.current");
        for (name, stalled, waiting) in [
            ("cpu.pressure", Value::CpuStalled, Value::CpuWaiting),
            ("memory.pressure", Value::MemoryStalled, Value::MemoryWaiting),
            ("io.pressure", Value::IoStalled, Value::IoWaiting),
        ] {
            if let Some(content) = self.content("cpu", name) {
                pressure(content, stats, stalled, waiting);
            }
        }
        if let Some(content) = self.content("blkio", "io.stat") {
            io_v2(content, devices);
        }
    }

    fn v1(&mut self, stats: &mut Stats, devices: &mut Vec<DeviceIo>) {
        if let Some(nanos) = self.number("cpuacct", "cpuacct.usage") {
            stats.set(Value::CpuUsage, nanos as f64 / NANOS);
        }
        self.table(stats, "cpuacct", "cpuacct.stat", CPUACCT_V1);
        self.table(stats, "cpu", "cpu.stat", CPU_V1);
        if self.lacks("memory") {
            // As in the reference.
            MEMORY_OF_ALL.into_iter().for_each(|value| stats.set(value, 0.0));
        }
        self.table(stats, "memory", "memory.stat", MEMORY_V1);
        self.table(stats, "memory", "memory.oom_control", OOM_V1);
        self.set(stats, Value::Usage, "memory", "memory.usage_in_bytes");
        self.set(stats, Value::MaxUsage, "memory", "memory.max_usage_in_bytes");
        self.set(stats, Value::FailCount, "memory", "memory.failcnt");
        self.set(stats, Value::KernelMemory, "memory", "memory.kmem.usage_in_bytes");
        self.set(stats, Value::Threads, "pids", "pids.current");
        for (recursive, own, is_bytes) in [
            ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes", true),
            ("blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced", false),
        ] {
            // Kernels before 4.5 know no recursive counts.
            for name in [recursive, own] {
                if let Some(content) = self.content("blkio", name) {
                    blkio_v1(content, |device, operation, count| {
                        let entry = device_io(devices, device);
                        let counts = if is_bytes { &mut entry.bytes } else { &mut entry.requests };
                        counts[operation] = Some(count);
                    });
                    break;
                }
            }
        }
    }

    /// Seconds by CPU, which only version 1 counts.
    pub(super) fn per_cpu(&mut self, seconds: &mut Vec<f64>) {
        seconds.clear();
        if matches!(self.layout, Layout::V2) {
            return;
        }
        if let Some(content) = self.content("cpuacct", "cpuacct.usage_percpu") {
            let nanos = scan::fields(content).map_while(scan::number).take(scan::MAX_CPUS);
            seconds.extend(nanos.map(|nanos| nanos as f64 / NANOS));
        }
    }

    /// Reads what rarely changes: limits and shares.
    pub(super) fn limits(&mut self, stats: &mut Stats) {
        stats.forget_limits();
        // Zero says "no limit".
        let limit = |number: Option<u64>| number.filter(|number| *number <= MAX_LIMIT).unwrap_or(0) as f64;
        let is_v2 = matches!(self.layout, Layout::V2);
        let (max, soft, swap) = if is_v2 {
            ("memory.max", "memory.min", "memory.swap.max")
        } else {
            ("memory.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.memsw.limit_in_bytes")
        };
        if self.content("memory", max).is_some() {
            for (name, value) in
                [(max, Value::MemoryLimit), (soft, Value::MemoryReservation), (swap, Value::MemorySwapLimit)]
            {
                let number = limit(self.number("memory", name));
                stats.set(value, number);
            }
        }
        if self.content("pids", "pids.max").is_some() {
            let number = limit(self.number("pids", "pids.max"));
            stats.set(Value::ThreadsMax, number);
        }
        if is_v2 {
            self.cpu_limits_v2(stats);
            return;
        }
        self.set(stats, Value::CpuShares, "cpu", "cpu.shares");
        self.set(stats, Value::CpuPeriod, "cpu", "cpu.cfs_period_us");
        // -1 is no quota.
        self.set(stats, Value::CpuQuota, "cpu", "cpu.cfs_quota_us");
    }

    fn cpu_limits_v2(&mut self, stats: &mut Stats) {
        if let Some(content) = self.content("cpu", "cpu.max") {
            let mut fields = scan::fields(content);
            let (quota, period) = (fields.number(), fields.number());
            // `max 100000` is no quota.
            let period = period.or_else(|| scan::fields(self.file.data()).nth(1).and_then(scan::number));
            for (value, number) in [(Value::CpuQuota, quota), (Value::CpuPeriod, period)] {
                if let Some(number) = number {
                    stats.set(value, number as f64);
                }
            }
        }
        if let Some(weight) = self.number("cpu", "cpu.weight").filter(|weight| *weight > 0) {
            // Runtimes turn shares (2 to 262144) into weights (1 to 10000) like this, and so back.
            let shares = 2 + weight.saturating_sub(1).saturating_mul(262_142) / 9999;
            stats.set(Value::CpuShares, shares as f64);
        }
    }

    /// The processes in the group itself, in the first tree that has it.
    pub(super) fn processes(&mut self, mask: u8, pids: &mut Vec<u32>) -> Option<()> {
        pids.clear();
        let tree = self.layout.trees().find(|(_, bit)| mask & bit != 0).map(|(tree, _)| tree)?;
        let name = format_args!("{tree}{}/cgroup.procs", self.group);
        let content = self.file.content(self.paths, Root::Sys, name)?;
        let numbers = scan::lines(content).filter_map(scan::number);
        // Zero is a process of another PID namespace.
        pids.extend(numbers.filter_map(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0));
        Some(())
    }
}

const CPU_V2: &[(&str, Value, f64)] = &[
    ("usage_usec", Value::CpuUsage, MICROS),
    ("user_usec", Value::CpuUser, MICROS),
    ("system_usec", Value::CpuSystem, MICROS),
    ("nr_periods", Value::CfsPeriods, 1.0),
    ("nr_throttled", Value::CfsThrottledPeriods, 1.0),
    ("throttled_usec", Value::CfsThrottledSeconds, MICROS),
    ("nr_bursts", Value::CfsBursts, 1.0),
    ("burst_usec", Value::CfsBurstSeconds, MICROS),
];
const MEMORY_V2: &[(&str, Value, f64)] = &[
    ("anon", Value::Rss, 1.0),
    ("file", Value::Cache, 1.0),
    ("kernel", Value::KernelMemory, 1.0),
    ("file_mapped", Value::MappedFile, 1.0),
    ("file_dirty", Value::FileDirty, 1.0),
    ("file_writeback", Value::FileWriteback, 1.0),
    ("active_file", Value::ActiveFile, 1.0),
    ("inactive_file", Value::InactiveFile, 1.0),
    ("pgfault", Value::PageFaults, 1.0),
    ("pgmajfault", Value::MajorPageFaults, 1.0),
    ("pgscan", Value::PagesScanned, 1.0),
    ("pgsteal", Value::PagesStolen, 1.0),
    ("workingset_refault_file", Value::RefaultFile, 1.0),
    ("workingset_refault_anon", Value::RefaultAnon, 1.0),
];
const EVENTS_V2: &[(&str, Value, f64)] = &[
    ("high", Value::HighEvents, 1.0),
    ("max", Value::MaxEvents, 1.0),
    ("max", Value::FailCount, 1.0),
    ("oom_kill", Value::OomKills, 1.0),
];
const CPUACCT_V1: &[(&str, Value, f64)] =
    &[("user", Value::CpuUser, TICKS), ("system", Value::CpuSystem, TICKS)];
const CPU_V1: &[(&str, Value, f64)] = &[
    ("nr_periods", Value::CfsPeriods, 1.0),
    ("nr_throttled", Value::CfsThrottledPeriods, 1.0),
    ("throttled_time", Value::CfsThrottledSeconds, NANOS),
    ("nr_bursts", Value::CfsBursts, 1.0),
    ("burst_time", Value::CfsBurstSeconds, NANOS),
];
/// What is shown of the memory of each group, also of one without the controller.
const MEMORY_OF_ALL: [Value; 10] = [
    Value::Cache,
    Value::Rss,
    Value::MappedFile,
    Value::Swap,
    Value::FailCount,
    Value::Usage,
    Value::MaxUsage,
    Value::WorkingSet,
    Value::PageFaults,
    Value::MajorPageFaults,
];
const MEMORY_V1: &[(&str, Value, f64)] = &[
    ("total_cache", Value::Cache, 1.0),
    ("total_rss", Value::Rss, 1.0),
    ("total_swap", Value::Swap, 1.0),
    ("total_mapped_file", Value::MappedFile, 1.0),
    ("total_dirty", Value::FileDirty, 1.0),
    ("total_writeback", Value::FileWriteback, 1.0),
    ("total_active_file", Value::ActiveFile, 1.0),
    ("total_inactive_file", Value::InactiveFile, 1.0),
    ("pgfault", Value::PageFaults, 1.0),
    ("pgmajfault", Value::MajorPageFaults, 1.0),
];
const OOM_V1: &[(&str, Value, f64)] = &[("oom_kill", Value::OomKills, 1.0)];

/// The lines `key number`. A last line without its end may be cut and is left out.
fn keyed(content: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    let whole = memchr::memrchr(b'\n', content).map_or(&[][..], |end| &content[..end]);
    scan::lines(whole).filter_map(|line| {
        let mut fields = scan::fields(line);
        Some((fields.next()?, fields.number()?))
    })
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234` and the same with `full`.
fn pressure(content: &[u8], stats: &mut Stats, stalled: Value, waiting: Value) {
    let Some(end) = memchr::memrchr(b'\n', content) else { return };
    for line in scan::lines(&content[..end]) {
        let mut fields = scan::fields(line);
        let value = match fields.next() {
            Some(b"full") => stalled,
            Some(b"some") => waiting,
            _ => continue,
        };
        let total = fields.find_map(|field| field.strip_prefix(b"total=")).and_then(scan::number);
        if let Some(micros) = total {
            stats.set(value, micros as f64 / MICROS);
        }
    }
}

fn device(text: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = scan::split_at(text, b':')?;
    Some((u32::try_from(scan::number(major)?).ok()?, u32::try_from(scan::number(minor)?).ok()?))
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`. Devices without numbers can stand in front.
fn io_v2(content: &[u8], devices: &mut Vec<DeviceIo>) {
    let Some(end) = memchr::memrchr(b'\n', content) else { return };
    for line in scan::lines(&content[..end]) {
        let mut current = None;
        for field in scan::fields(line) {
            if let Some(found) = device(field) {
                current = Some(found);
                continue;
            }
            let (Some(device), Some((key, number))) = (current, scan::split_at(field, b'=')) else {
                continue;
            };
            let Some(number) = scan::number(number) else { continue };
            let (is_bytes, operation) = match key {
                b"rbytes" => (true, READ),
                b"wbytes" => (true, WRITE),
                b"rios" => (false, READ),
                b"wios" => (false, WRITE),
                _ => continue,
            };
            let entry = device_io(devices, device);
            let counts = if is_bytes { &mut entry.bytes } else { &mut entry.requests };
            counts[operation] = Some(number);
        }
    }
}

/// `8:0 Read 4096`; the last line is `Total` without a device.
fn blkio_v1(content: &[u8], mut each: impl FnMut((u32, u32), usize, u64)) {
    let Some(end) = memchr::memrchr(b'\n', content) else { return };
    for line in scan::lines(&content[..end]) {
        let mut fields = scan::fields(line);
        let (Some(device), Some(name), Some(count)) =
            (fields.next().and_then(device), fields.next(), fields.number())
        else {
            continue;
        };
        if let Some(operation) = OPERATIONS.iter().position(|known| known.as_bytes() == name) {
            each(device, operation, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_keys_and_numbers() {
        let found: Vec<_> = keyed(b"anon 1\nfile x\n\nshmem 3 4\ncut 12").collect();
        assert_eq!(found, [(&b"anon"[..], 1), (b"shmem", 3)]);
    }

    #[test]
    fn pressure_of_both_kinds() {
        let mut stats = Stats::default();
        let text = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 total=7\n";
        pressure(text, &mut stats, Value::IoStalled, Value::IoWaiting);
        assert_eq!((stats.get(Value::IoWaiting), stats.get(Value::IoStalled)), (Some(1.5), Some(7e-6)));
    }

    #[test]
    fn devices_of_both_versions() {
        let mut devices = Vec::new();
        io_v2(
            b"8:16 8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n253:1 \n9:9 rbytes=7",
            &mut devices,
        );
        assert_eq!(devices.len(), 1);
        assert_eq!((devices[0].device, devices[0].bytes[WRITE]), ((8, 0), Some(2)));
        assert_eq!((devices[0].requests[READ], devices[0].bytes[5]), (Some(3), None));
        let mut lines = Vec::new();
        blkio_v1(b"8:0 Read 10\n8:0 Total 30\n8:0 Odd 1\nTotal 30\n8:16 Read 9", |device, at, count| {
            lines.push((device, OPERATIONS[at], count));
        });
        assert_eq!(lines, [((8, 0), "Read", 10), ((8, 0), "Total", 30)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b' '), Just(b':'), Just(b'='), Just(b'9'), any::<u8>()], 0..200)
        ) {
            let (mut stats, mut devices) = (Stats::default(), Vec::new());
            keyed(&bytes).count();
            pressure(&bytes, &mut stats, Value::IoStalled, Value::IoWaiting);
            io_v2(&bytes, &mut devices);
            blkio_v1(&bytes, |_, _, _| {});
        }
    }
}
