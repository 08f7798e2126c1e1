//! The metrics of containers: which value has which name. The page has one family after the other, so each
//! is written for all groups before the next begins.

use super::{
    connections::{TCP_STATES, UDP_STATES},
    disks::{Disks, FileSystem},
    group::Group,
    numa::OnNode,
    stats::{DeviceIo, OPERATIONS, READ, Value, WRITE},
};
use crate::{collector::Context, host::Usage};
use skopos_model::MetricType::{self, Counter, Gauge};

/// A metric of one value of a group.
struct Column {
    name: &'static str,
    kind: MetricType,
    value: Value,
    help: &'static str,
}

const fn column(name: &'static str, kind: MetricType, value: Value, help: &'static str) -> Column {
    Column { name, kind, value, help }
}

/// Shown only where a quota is set.
const CFS: &[Column] = &[
    column("container_cpu_cfs_periods_total", Counter, Value::CfsPeriods, "Periods of the CPU quota."),
    column(
        "container_cpu_cfs_throttled_periods_total",
        Counter,
        Value::CfsThrottledPeriods,
        "Periods in which the CPU quota was used up.",
    ),
    column(
        "container_cpu_cfs_throttled_seconds_total",
        Counter,
        Value::CfsThrottledSeconds,
        "Seconds spent waiting since the CPU quota was used up.",
    ),
    column(
        "container_cpu_cfs_burst_periods_total",
        Counter,
        Value::CfsBursts,
        "Periods in which more than the CPU quota was used, out of what was saved before.",
    ),
    column(
        "container_cpu_cfs_burst_seconds_total",
        Counter,
        Value::CfsBurstSeconds,
        "Seconds of CPU used beyond the quota, out of what was saved before.",
    ),
];

const COLUMNS: &[Column] = &[
    column("container_start_time_seconds", Gauge, Value::CreationTime, "When the container was made."),
    column("container_cpu_user_seconds_total", Counter, Value::CpuUser, "Seconds of CPU in user mode."),
    column("container_cpu_system_seconds_total", Counter, Value::CpuSystem, "Seconds of CPU in the kernel."),
    column(
        "container_cpu_schedstat_run_seconds_total",
        Counter,
        Value::ScheduledSeconds,
        "Seconds that processes ran.",
    ),
    column(
        "container_cpu_schedstat_runqueue_seconds_total",
        Counter,
        Value::ScheduleWaitSeconds,
        "Seconds that processes waited for a CPU.",
    ),
    column(
        "container_cpu_schedstat_run_periods_total",
        Counter,
        Value::ScheduledPeriods,
        "How often processes got a CPU.",
    ),
    column(
        "container_cpu_load_average_10s",
        Gauge,
        Value::LoadAverage,
        "Threads that run or want to, smoothed over 10 seconds, times 1000.",
    ),
    column("container_memory_cache", Gauge, Value::Cache, "Memory of cached file content."),
    column("container_memory_rss", Gauge, Value::Rss, "Memory that is of no file."),
    column("container_memory_kernel_usage", Gauge, Value::KernelMemory, "Memory of the kernel."),
    column("container_memory_mapped_file", Gauge, Value::MappedFile, "Memory of mapped files."),
    column("container_memory_swap", Gauge, Value::Swap, "Memory that was swapped out."),
    column("container_memory_failcnt", Counter, Value::FailCount, "How often the memory limit was hit."),
    column("container_memory_usage_bytes", Gauge, Value::Usage, "All memory, the cache included."),
    column("container_memory_max_usage_bytes", Gauge, Value::MaxUsage, "The most memory used so far."),
    column(
        "container_memory_working_set_bytes",
        Gauge,
        Value::WorkingSet,
        "Memory without the cache that was not used for long.",
    ),
    column(
        "container_memory_total_active_file_bytes",
        Gauge,
        Value::ActiveFile,
        "The cache that was used lately.",
    ),
    column(
        "container_memory_total_inactive_file_bytes",
        Gauge,
        Value::InactiveFile,
        "The cache that was not used for long.",
    ),
    column(
        "container_memory_events_high_total",
        Counter,
        Value::HighEvents,
        "How often processes were slowed down since memory.high was exceeded.",
    ),
    column("container_memory_events_max_total", Counter, Value::MaxEvents, "How often memory.max was hit."),
    column(
        "container_memory_file_dirty_bytes",
        Gauge,
        Value::FileDirty,
        "Cached file content that is not on disk yet.",
    ),
    column(
        "container_memory_file_writeback_bytes",
        Gauge,
        Value::FileWriteback,
        "Cached file content that is being written to disk.",
    ),
    column("container_memory_pgscan_total", Counter, Value::PagesScanned, "Pages looked at for reclaim."),
    column("container_memory_pgsteal_total", Counter, Value::PagesStolen, "Pages reclaimed."),
    column(
        "container_memory_workingset_refault_file_total",
        Counter,
        Value::RefaultFile,
        "Pages of files read again after they were reclaimed.",
    ),
    column(
        "container_memory_workingset_refault_anon_total",
        Counter,
        Value::RefaultAnon,
        "Pages of no file read again after they were reclaimed.",
    ),
    column(
        "container_oom_events_total",
        Counter,
        Value::OomKills,
        "Processes that were killed for want of memory.",
    ),
    column("container_processes", Gauge, Value::Processes, "Processes in the container."),
    column("container_file_descriptors", Gauge, Value::FileDescriptors, "Open file descriptors."),
    column("container_sockets", Gauge, Value::Sockets, "Open sockets."),
    column("container_threads", Gauge, Value::Threads, "Threads in the container."),
    column(
        "container_threads_max",
        Gauge,
        Value::ThreadsMax,
        "How many threads the container may have; 0 for any number.",
    ),
    column(
        "container_pressure_cpu_stalled_seconds_total",
        Counter,
        Value::CpuStalled,
        "Seconds in which all tasks waited for a CPU.",
    ),
    column(
        "container_pressure_cpu_waiting_seconds_total",
        Counter,
        Value::CpuWaiting,
        "Seconds in which some task waited for a CPU.",
    ),
    column(
        "container_pressure_memory_stalled_seconds_total",
        Counter,
        Value::MemoryStalled,
        "Seconds in which all tasks waited for memory.",
    ),
    column(
        "container_pressure_memory_waiting_seconds_total",
        Counter,
        Value::MemoryWaiting,
        "Seconds in which some task waited for memory.",
    ),
    column(
        "container_pressure_io_stalled_seconds_total",
        Counter,
        Value::IoStalled,
        "Seconds in which all tasks waited for a device.",
    ),
    column(
        "container_pressure_io_waiting_seconds_total",
        Counter,
        Value::IoWaiting,
        "Seconds in which some task waited for a device.",
    ),
    column("container_spec_cpu_period", Gauge, Value::CpuPeriod, "The period of the CPU quota, in µs."),
    column("container_spec_cpu_quota", Gauge, Value::CpuQuota, "The CPU quota in a period, in µs."),
    column("container_spec_cpu_shares", Gauge, Value::CpuShares, "The shares of CPU."),
    column("container_spec_memory_limit_bytes", Gauge, Value::MemoryLimit, "The memory limit; 0 for none."),
    column(
        "container_spec_memory_swap_limit_bytes",
        Gauge,
        Value::MemorySwapLimit,
        "The limit of swap, or of memory and swap; 0 for none.",
    ),
    column(
        "container_spec_memory_reservation_limit_bytes",
        Gauge,
        Value::MemoryReservation,
        "The memory that is kept for the container; 0 for none.",
    ),
];

/// The values that are one family, told apart by labels.
struct Labelled {
    name: &'static str,
    kind: MetricType,
    help: &'static str,
    values: &'static [(Value, &'static [(&'static str, &'static str)])],
}

const LABELLED: &[Labelled] = &[
    Labelled {
        name: "container_memory_failures_total",
        kind: Counter,
        help: "Page faults, and those that had to wait for a device.",
        values: &[
            (Value::PageFaults, &[("failure_type", "pgfault"), ("scope", "container")]),
            (Value::PageFaults, &[("failure_type", "pgfault"), ("scope", "hierarchy")]),
            (Value::MajorPageFaults, &[("failure_type", "pgmajfault"), ("scope", "container")]),
            (Value::MajorPageFaults, &[("failure_type", "pgmajfault"), ("scope", "hierarchy")]),
        ],
    },
    Labelled {
        name: "container_tasks_state",
        kind: Gauge,
        help: "Threads by what they do.",
        values: &[
            (Value::TasksSleeping, &[("state", "sleeping")]),
            (Value::TasksRunning, &[("state", "running")]),
            (Value::TasksStopped, &[("state", "stopped")]),
            (Value::TasksUninterruptible, &[("state", "uninterruptible")]),
            (Value::TasksIoWaiting, &[("state", "iowaiting")]),
        ],
    },
    Labelled {
        name: "container_ulimits_soft",
        kind: Gauge,
        help: "Soft limits of the container's first process; -1 for none.",
        values: &[(Value::OpenFilesLimit, &[("ulimit", "max_open_files")])],
    },
];

/// A metric of network interfaces, and where its counter stands.
const NETWORK: &[(&str, usize, &str)] = &[
    ("container_network_receive_bytes_total", 0, "Bytes received."),
    ("container_network_receive_packets_total", 1, "Packets received."),
    ("container_network_receive_errors_total", 2, "Errors while receiving."),
    ("container_network_receive_packets_dropped_total", 3, "Packets dropped while receiving."),
    ("container_network_transmit_bytes_total", 8, "Bytes sent."),
    ("container_network_transmit_packets_total", 9, "Packets sent."),
    ("container_network_transmit_errors_total", 10, "Errors while sending."),
    ("container_network_transmit_packets_dropped_total", 11, "Packets dropped while sending."),
];

type OfDevice = fn(&DeviceIo) -> Option<u64>;
type OfDisk = fn(&FileSystem<'_>) -> Option<f64>;
/// Of the bytes that a container keeps on a file system.
type OfLayer = fn(u64, &FileSystem<'_>) -> Option<f64>;

/// A metric of devices: of a group's, and of the file systems that the root shows.
struct DeviceColumn {
    name: &'static str,
    kind: MetricType,
    help: &'static str,
    of_group: Option<OfDevice>,
    of_disk: Option<OfDisk>,
    of_layer: Option<OfLayer>,
}

const fn of_group(name: &'static str, help: &'static str, value: OfDevice) -> DeviceColumn {
    DeviceColumn { name, kind: Counter, help, of_group: Some(value), of_disk: None, of_layer: None }
}

const fn of_disk(name: &'static str, kind: MetricType, help: &'static str, value: OfDisk) -> DeviceColumn {
    DeviceColumn { name, kind, help, of_group: None, of_disk: Some(value), of_layer: None }
}

const fn of_both(name: &'static str, help: &'static str, value: OfDevice, disk: OfDisk) -> DeviceColumn {
    DeviceColumn { name, kind: Counter, help, of_group: Some(value), of_disk: Some(disk), of_layer: None }
}

const fn of_layers(name: &'static str, help: &'static str, disk: OfDisk, layer: OfLayer) -> DeviceColumn {
    DeviceColumn { name, kind: Gauge, help, of_group: None, of_disk: Some(disk), of_layer: Some(layer) }
}

fn count(disk: &FileSystem<'_>, at: usize) -> Option<f64> {
    disk.counters.map(|counters| counters[at] as f64)
}

fn seconds(disk: &FileSystem<'_>, at: usize) -> Option<f64> {
    count(disk, at).map(|milliseconds| milliseconds / 1000.0)
}

fn usage(disk: &FileSystem<'_>, value: fn(&Usage) -> f64) -> Option<f64> {
    disk.usage.as_ref().map(value)
}

fn size(disk: &FileSystem<'_>) -> Option<f64> {
    usage(disk, |u| u.blocks as f64 * u.block_bytes as f64)
}

const DEVICES: &[DeviceColumn] = &[
    of_disk("container_fs_inodes_free", Gauge, "Free inodes.", |disk| usage(disk, |u| u.inodes_free as f64)),
    of_disk("container_fs_inodes_total", Gauge, "All inodes.", |disk| usage(disk, |u| u.inodes as f64)),
    of_layers("container_fs_limit_bytes", "The size of the file system.", size, |_, disk| size(disk)),
    of_layers(
        "container_fs_usage_bytes",
        "Bytes in use in the file system; those that a container keeps there.",
        |disk| usage(disk, |u| u.blocks.saturating_sub(u.blocks_free) as f64 * u.block_bytes as f64),
        |bytes, _| Some(bytes as f64),
    ),
    of_group("container_fs_reads_bytes_total", "Bytes read.", |io| io.bytes[READ]),
    of_both("container_fs_reads_total", "Reads done.", |io| io.requests[READ], |disk| count(disk, 0)),
    of_disk("container_fs_reads_merged_total", Counter, "Reads merged into others.", |disk| count(disk, 1)),
    of_disk("container_fs_sector_reads_total", Counter, "Sectors read.", |disk| count(disk, 2)),
    of_disk("container_fs_read_seconds_total", Counter, "Seconds spent reading.", |disk| seconds(disk, 3)),
    of_group("container_fs_writes_bytes_total", "Bytes written.", |io| io.bytes[WRITE]),
    of_both("container_fs_writes_total", "Writes done.", |io| io.requests[WRITE], |disk| count(disk, 4)),
    of_disk("container_fs_writes_merged_total", Counter, "Writes merged into others.", |disk| count(disk, 5)),
    of_disk("container_fs_sector_writes_total", Counter, "Sectors written.", |disk| count(disk, 6)),
    of_disk("container_fs_write_seconds_total", Counter, "Seconds spent writing.", |disk| seconds(disk, 7)),
    of_disk("container_fs_io_current", Gauge, "Requests under way.", |disk| count(disk, 8)),
    of_disk("container_fs_io_time_seconds_total", Counter, "Seconds with a request under way.", |disk| {
        seconds(disk, 9)
    }),
    of_disk(
        "container_fs_io_time_weighted_seconds_total",
        Counter,
        "Seconds with requests under way, times their number.",
        |disk| seconds(disk, 10),
    ),
];

/// Writes all families of these groups.
pub(super) fn write(groups: &[Group], disks: &Disks, cpu_labels: &[String], context: &mut Context<'_>) {
    let wall_s = context.clock.wall_ms().div_euclid(1000) as f64;
    let mut family = context.out.family("container_last_seen", Gauge, "When the container was last seen.");
    for group in groups {
        family.sample_prepared(&group.labels, &[], wall_s);
    }
    let name = "container_cpu_usage_seconds_total";
    let mut family = context.out.family(name, Counter, "Seconds of CPU.");
    for group in groups {
        let total = group.stats.get(Value::CpuUsage).filter(|_| group.per_cpu.is_empty());
        if let Some(seconds) = total {
            family.sample_prepared(&group.labels, &[("cpu", "total")], seconds);
        }
        for (seconds, cpu) in group.per_cpu.iter().zip(cpu_labels).filter(|(seconds, _)| **seconds > 0.0) {
            family.sample_prepared(&group.labels, &[("cpu", cpu)], *seconds);
        }
    }
    for column in COLUMNS {
        write_column(column, groups.iter(), context);
    }
    for column in CFS {
        let has_quota = |group: &&Group| group.stats.get(Value::CpuQuota).is_some();
        write_column(column, groups.iter().filter(has_quota), context);
    }
    for labelled in LABELLED {
        let mut family = context.out.family(labelled.name, labelled.kind, labelled.help);
        for group in groups {
            for (value, labels) in labelled.values {
                if let Some(number) = group.stats.get(*value) {
                    family.sample_prepared(&group.labels, labels, number);
                }
            }
        }
    }
    for (name, at, help) in NETWORK {
        let mut family = context.out.family(name, Counter, help);
        for group in groups {
            for interface in group.interfaces.iter() {
                let labels = [("interface", interface.name.as_str())];
                family.sample_prepared(&group.labels, &labels, interface.counters[*at] as f64);
            }
        }
    }
    write_connections(groups, context);
    write_tcp_counters(groups, context);
    write_numa(groups, context);
    for column in DEVICES {
        write_devices(column, groups, disks, context);
    }
    write_operations(groups, disks, context);
}

/// The connections of each namespace, of both versions of the protocols.
fn write_connections(groups: &[Group], context: &mut Context<'_>) {
    for (at, name) in
        ["container_network_tcp_usage_total", "container_network_tcp6_usage_total"].iter().enumerate()
    {
        let mut family = context.out.family(name, Gauge, "Connections of TCP by their state.");
        for (group, counts) in groups.iter().filter_map(|group| Some((group, group.connections.tcp[at]?))) {
            for (state, count) in TCP_STATES.iter().zip(counts) {
                family.sample_prepared(&group.labels, &[("tcp_state", state)], count as f64);
            }
        }
    }
    for (at, name) in
        ["container_network_udp_usage_total", "container_network_udp6_usage_total"].iter().enumerate()
    {
        let mut family =
            context.out.family(name, Gauge, "Sockets of UDP, and bytes and packets by their state.");
        for (group, counts) in groups.iter().filter_map(|group| Some((group, group.connections.udp[at]?))) {
            for (state, count) in UDP_STATES.iter().zip(counts) {
                family.sample_prepared(&group.labels, &[("udp_state", state)], count as f64);
            }
        }
    }
}

/// What the kernel counts of TCP in each namespace.
fn write_tcp_counters(groups: &[Group], context: &mut Context<'_>) {
    let help = "What the kernel counts of TCP, by its names; some of it is a setting or a number of now.";
    let mut family = context.out.family("container_network_advance_tcp_stats_total", Gauge, help);
    for group in groups {
        for (name, value) in &group.tcp_counters {
            family.sample_prepared(&group.labels, &[("tcp_state", name)], *value);
        }
    }
}

/// Where the memory of each group is.
fn write_numa(groups: &[Group], context: &mut Context<'_>) {
    let help = "Pages in use on each node of memory.";
    let mut family = context.out.family("container_memory_numa_pages", Gauge, help);
    for group in groups {
        for OnNode { kind, scope, node, pages } in &group.numa {
            let node = node.to_string();
            let labels = [("node", node.as_str()), ("scope", scope), ("type", kind)];
            family.sample_prepared(&group.labels, &labels, *pages);
        }
    }
}

fn write_column<'a>(column: &Column, groups: impl Iterator<Item = &'a Group>, context: &mut Context<'_>) {
    let mut family = context.out.family(column.name, column.kind, column.help);
    for group in groups {
        if let Some(number) = group.stats.get(column.value) {
            family.sample_prepared(&group.labels, &[], number);
        }
    }
}

/// The root shows a device of a file system by the file system's counters, and once.
fn write_devices(column: &DeviceColumn, groups: &[Group], disks: &Disks, context: &mut Context<'_>) {
    let mut family = context.out.family(column.name, column.kind, column.help);
    for group in groups {
        let on_disks = || disks.file_systems().filter(|_| group.path.is_empty());
        if let Some(value) = column.of_group {
            for io in &group.devices {
                let device = disks.get(io.device).map_or("", |disk| &disk.name);
                let is_shown_below = column.of_disk.is_some()
                    && on_disks().any(|fs| fs.device == device && fs.counters.is_some());
                if let Some(number) = value(io).filter(|_| !is_shown_below && !device.is_empty()) {
                    family.sample_prepared(&group.labels, &[("device", device)], number as f64);
                }
            }
        }
        if let (Some(value), Some(layer), Some(bytes)) = (column.of_layer, &group.layer, group.layer_bytes) {
            let disk = disks.file_system_of(&layer.folder);
            if let Some((number, disk)) = disk.and_then(|disk| Some((value(bytes, &disk)?, disk))) {
                family.sample_prepared(&group.labels, &[("device", disk.device)], number);
            }
        }
        if let Some(value) = column.of_disk {
            for disk in on_disks() {
                if let Some(number) = value(&disk) {
                    family.sample_prepared(&group.labels, &[("device", disk.device)], number);
                }
            }
        }
    }
}

fn write_operations(groups: &[Group], disks: &Disks, context: &mut Context<'_>) {
    let name = "container_blkio_device_usage_total";
    let mut family = context.out.family(name, Counter, "Bytes moved from and to a device, by operation.");
    for group in groups {
        for io in &group.devices {
            let Some(disk) = disks.get(io.device) else { continue };
            for (operation, bytes) in OPERATIONS.iter().zip(io.bytes) {
                let Some(bytes) = bytes else { continue };
                let labels = [
                    ("device", disk.name.as_str()),
                    ("major", &disk.major),
                    ("minor", &disk.minor),
                    ("operation", operation),
                ];
                family.sample_prepared(&group.labels, &labels, bytes as f64);
            }
        }
    }
}
