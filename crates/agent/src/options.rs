//! What the collectors are told, after all flags were read and found to fit together.

use crate::{
    error::OptionsError,
    filter::Filter,
    flags::{AskedOptions, CollectorArgs},
    process_groups::ProcessRules,
    source::Paths,
};
use jiff::tz::TimeZone;
use regex::bytes::Regex;
use std::{collections::BTreeSet, time::Duration};

/// The options of a node agent.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Where the machine's file systems are.
    pub paths: Paths,
    /// The names of the collectors to run.
    pub enabled: BTreeSet<&'static str>,
    /// How long a scrape waits for a collector.
    pub deadline: Duration,
    /// Options of `cpu`.
    pub cpu: CpuOptions,
    /// Devices of `diskstats`.
    pub disk_devices: Filter,
    /// Options of `filesystem`.
    pub filesystem: FileSystemOptions,
    /// Options of `netdev`.
    pub netdev: NetDevOptions,
    /// Options of `containers`.
    pub containers: ContainerOptions,
    /// Options of `ethtool`.
    pub ethtool: EthtoolOptions,
    /// Options of `interrupts`.
    pub interrupts: InterruptOptions,
    /// Power supplies of `powersupplyclass`.
    pub power_supplies: Filter,
    /// Whether the zone is a label of `rapl`, not a part of its families' names.
    pub rapl_zone_label: bool,
    /// Drives of `tapestats`.
    pub tapes: Filter,
    /// Where `textfile` looks; each can be a pattern.
    pub textfile_directories: Vec<String>,
    /// Options of the collectors of hardware, file systems and protocols.
    pub devices: DeviceOptions,
    /// Options of `process-groups`.
    pub process_groups: ProcessGroupOptions,
    /// Whether `stat` shows soft interrupts.
    pub stat_softirq: bool,
    /// Fields of `vmstat`.
    pub vmstat_fields: Regex,
    /// The zone that `time` speaks of.
    pub time_zone: TimeZone,
    /// Options of collectors that are off by default, from N to Z.
    pub asked: AskedOptions,
}

/// Options of `cpu`.
#[derive(Clone, Debug)]
pub struct CpuOptions {
    /// Whether guests' seconds are shown.
    pub guest: bool,
    /// What of `/proc/cpuinfo` is shown; `None` for nothing.
    pub info: Option<CpuInfoOptions>,
}

/// What of `/proc/cpuinfo` is shown.
#[derive(Clone, Debug)]
pub struct CpuInfoOptions {
    /// Which features are shown; `None` for none.
    pub flags: Option<Regex>,
    /// Which defects are shown; `None` for none.
    pub bugs: Option<Regex>,
}

/// Options of `filesystem`.
#[derive(Clone, Debug)]
pub struct FileSystemOptions {
    /// Mount points.
    pub mount_points: Filter,
    /// Types of file systems.
    pub fs_types: Filter,
    /// How long to wait for file systems to answer.
    pub mount_timeout: Duration,
    /// How many are asked at a time.
    pub stat_workers: usize,
}

/// Options of `netdev`.
#[derive(Clone, Debug)]
pub struct NetDevOptions {
    /// Devices.
    pub devices: Filter,
    /// Whether addresses are shown.
    pub address_info: bool,
    /// Whether the kernel's own names are used.
    pub detailed: bool,
    /// Whether netlink is asked, not `/proc/net/dev`.
    pub netlink: bool,
    /// Whether a device's alias is a label.
    pub label_ifalias: bool,
}

/// Options of `containers`.
#[derive(Clone, Debug)]
pub struct ContainerOptions {
    /// Which control groups are shown, by their paths.
    pub ids: Filter,
    /// Which of the labels that users gave containers become labels of samples.
    pub labels: Filter,
    /// Docker's socket; empty to ask nobody.
    pub docker_socket: String,
    /// Podman's socket; empty to ask nobody.
    pub podman_socket: String,
    /// CRI-O's socket; empty to ask nobody.
    pub crio_socket: String,
    /// The folder in which containerd keeps what runs; empty to read nothing.
    pub containerd_state: String,
    /// Whether seconds are shown by CPU, where the kernel counts them so.
    pub per_cpu: bool,
    /// Whether threads are counted by state, and the load is measured.
    pub load: bool,
    /// Whether it is measured what containers write to their layers.
    pub layers: bool,
    /// Whether connections are counted by their states.
    pub connections: bool,
    /// Whether it is shown what the kernel counts of TCP.
    pub tcp_counters: bool,
    /// Whether memory is shown by node.
    pub numa: bool,
    /// Whether it is shown how long processes ran and waited for CPUs.
    pub schedule: bool,
    /// Whether open sockets are counted.
    pub sockets: bool,
    /// Whether the machine's caches and the threads of its cores are shown.
    pub topology: bool,
    /// Whether slices, services and other groups that no runtime made are left out.
    pub only_runtimes: bool,
}

/// Options of `ethtool`.
#[derive(Clone, Debug)]
pub struct EthtoolOptions {
    /// Devices.
    pub devices: Filter,
    /// Counters, by the driver's names.
    pub metrics: Regex,
}

/// Options of `interrupts`.
#[derive(Clone, Debug)]
pub struct InterruptOptions {
    /// Interrupts, by `name;info;devices`.
    pub names: Filter,
    /// Whether counts of zero are shown.
    pub zeros: bool,
}

/// Options of the collectors of hardware, file systems and protocols.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// Options of `arp`.
    pub arp: ArpOptions,
    /// Whether `bcache` shows what is expensive to find out.
    pub bcache_priority_stats: bool,
    /// Options of `hwmon`.
    pub hwmon: HwMonOptions,
    /// Devices of `infiniband`.
    pub infiniband_devices: Filter,
    /// Labels of the backends of `ipvs`.
    pub ipvs_labels: Vec<&'static str>,
    /// Options of `netclass`.
    pub netclass: NetClassOptions,
    /// Fields of `netstat`.
    pub netstat_fields: Regex,
}

/// Options of `arp`.
#[derive(Clone, Debug)]
pub struct ArpOptions {
    /// Devices.
    pub devices: Filter,
    /// Whether netlink is asked, not `/proc/net/arp`.
    pub netlink: bool,
}

/// Options of `hwmon`.
#[derive(Clone, Debug)]
pub struct HwMonOptions {
    /// Chips.
    pub chips: Filter,
    /// Sensors, each as `CHIP;SENSOR`.
    pub sensors: Filter,
}

/// Options of `netclass`.
#[derive(Clone, Debug)]
pub struct NetClassOptions {
    /// Devices that are not shown; `None` for none.
    pub ignored: Option<Regex>,
    /// Whether netlink is asked, too.
    pub netlink: bool,
    /// Whether a speed below zero, which says that it is unknown, is left out.
    pub ignore_invalid_speed: bool,
}

/// Options of `process-groups`.
#[derive(Clone, Debug)]
pub struct ProcessGroupOptions {
    /// Which process belongs to which group.
    pub rules: ProcessRules,
    /// Whether a process that no rule wants belongs to its parent's group.
    pub children: bool,
    /// Whether memory is measured by its share, too.
    pub smaps: bool,
    /// Whether threads are shown, by their names.
    pub threads: bool,
    /// Whether the kernel is asked to tell of processes that end.
    pub exits: bool,
}

impl NodeOptions {
    /// The options of the flags.
    pub fn from_args(args: &CollectorArgs) -> Result<Self, OptionsError> {
        args.options()
    }
}

impl Default for NodeOptions {
    /// The options of no flag at all.
    fn default() -> Self {
        CollectorArgs::default().options().expect("invariant: the flags' defaults fit together")
    }
}
