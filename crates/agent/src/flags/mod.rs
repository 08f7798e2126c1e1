//! The command line, spelled as the reference spells it, and its way to `NodeOptions`.

use crate::{
    collectors,
    error::OptionsError,
    filter::{Filter, Flag, expression},
    options::{CpuInfoOptions, CpuOptions, FileSystemOptions, NetDevOptions, NodeOptions},
    source::Paths,
};
use clap::Args;
use jiff::tz::TimeZone;
use names::Known;
use skopos_model::{ByteSize, duration::DurationMs};
use std::{collections::BTreeSet, time::Duration};

mod asked;
mod containers;
mod devices;
mod filters;
mod names;
mod process_groups;
mod switches;
#[cfg(test)]
mod tests;

pub use asked::{AskedArgs, AskedOptions};
pub use containers::ContainerArgs;
pub use devices::DeviceArgs;
pub use filters::FilterArgs;
pub use process_groups::ProcessGroupArgs;
pub use switches::Switches;

const DISK_EXCLUDE: &str = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";
const MOUNT_POINT_EXCLUDE: &str =
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
const FS_TYPE_EXCLUDE: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|\
    hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|\
    sysfs|tracefs)$";
const VMSTAT_FIELDS: &str = "^(oom_kill|pgpg|pswp|pg.*fault).*";
const MOUNT_TIMEOUT: &str = "5s";
const STAT_WORKERS: usize = 4;
const MAX_CONNECTIONS: u32 = 512;
/// Some pages of a machine with hundreds of containers, hundreds of any other.
const MAX_WAITING_BYTES: ByteSize = ByteSize::from_bytes(32 << 20);
/// A scraper that was told nothing waits for 10 seconds.
const DEADLINE: &str = "8s";

/// The flags of the node collectors.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectorArgs {
    /// Where the process file system is [default: /proc]
    #[arg(long = "path.procfs", value_name = "DIR")]
    pub procfs: Option<String>,
    /// Where the device file system is [default: /sys]
    #[arg(long = "path.sysfs", value_name = "DIR")]
    pub sysfs: Option<String>,
    /// Where the root file system is [default: /]
    #[arg(long = "path.rootfs", value_name = "DIR")]
    pub rootfs: Option<String>,
    /// Where udev keeps its data [default: /run/udev/data]
    #[arg(long = "path.udev.data", value_name = "DIR")]
    pub udev_data: Option<String>,

    /// How long a scrape waits for each collector [default: 8s]
    #[arg(long = "collector.deadline", value_name = "DURATION")]
    pub deadline: Option<String>,

    /// Which features of the CPU to show
    #[arg(long = "collector.cpu.info.flags-include", value_name = "REGEX")]
    pub cpu_flags_include: Option<String>,
    /// Which defects of the CPU to show
    #[arg(long = "collector.cpu.info.bugs-include", value_name = "REGEX")]
    pub cpu_bugs_include: Option<String>,

    /// The only block devices to show
    #[arg(long = "collector.diskstats.device-include", value_name = "REGEX")]
    pub disk_include: Option<String>,
    /// Block devices not to show
    #[arg(long = "collector.diskstats.device-exclude", value_name = "REGEX")]
    pub disk_exclude: Option<String>,
    /// Former name of --collector.diskstats.device-exclude
    #[arg(long = "collector.diskstats.ignored-devices", value_name = "REGEX", hide = true)]
    pub disk_ignored: Option<String>,

    /// The only mount points to show
    #[arg(long = "collector.filesystem.mount-points-include", value_name = "REGEX")]
    pub mount_points_include: Option<String>,
    /// Mount points not to show
    #[arg(long = "collector.filesystem.mount-points-exclude", value_name = "REGEX")]
    pub mount_points_exclude: Option<String>,
    /// Former name of --collector.filesystem.mount-points-exclude
    #[arg(long = "collector.filesystem.ignored-mount-points", value_name = "REGEX", hide = true)]
    pub mount_points_ignored: Option<String>,
    /// The only types of file systems to show
    #[arg(long = "collector.filesystem.fs-types-include", value_name = "REGEX")]
    pub fs_types_include: Option<String>,
    /// Types of file systems not to show
    #[arg(long = "collector.filesystem.fs-types-exclude", value_name = "REGEX")]
    pub fs_types_exclude: Option<String>,
    /// Former name of --collector.filesystem.fs-types-exclude
    #[arg(long = "collector.filesystem.ignored-fs-types", value_name = "REGEX", hide = true)]
    pub fs_types_ignored: Option<String>,
    /// How long to wait for file systems to answer [default: 5s]
    #[arg(long = "collector.filesystem.mount-timeout", value_name = "DURATION")]
    pub mount_timeout: Option<String>,
    /// How many file systems to ask at a time [default: 4]
    #[arg(long = "collector.filesystem.stat-workers", value_name = "N")]
    pub stat_workers: Option<usize>,

    /// The only network devices to show
    #[arg(long = "collector.netdev.device-include", value_name = "REGEX")]
    pub net_include: Option<String>,
    /// Former name of --collector.netdev.device-include
    #[arg(long = "collector.netdev.device-whitelist", value_name = "REGEX", hide = true)]
    pub net_whitelist: Option<String>,
    /// Network devices not to show
    #[arg(long = "collector.netdev.device-exclude", value_name = "REGEX")]
    pub net_exclude: Option<String>,
    /// Former name of --collector.netdev.device-exclude
    #[arg(long = "collector.netdev.device-blacklist", value_name = "REGEX", hide = true)]
    pub net_blacklist: Option<String>,

    /// Which fields of /proc/vmstat to show
    #[arg(long = "collector.vmstat.fields", value_name = "REGEX")]
    pub vmstat_fields: Option<String>,

    /// Collectors that are off by default, from N to Z.
    #[command(flatten)]
    pub asked: AskedArgs,
    /// Flags of the container collector.
    #[command(flatten)]
    pub containers: ContainerArgs,
    /// What of other devices, interrupts and files is shown.
    #[command(flatten)]
    pub filters: FilterArgs,

    /// The flags of the collectors of hardware, file systems and protocols.
    #[command(flatten)]
    pub devices: DeviceArgs,
    /// Flags of the process groups.
    #[command(flatten)]
    pub process_groups: ProcessGroupArgs,

    /// What is on and off.
    #[command(flatten)]
    pub switches: Switches,
}

impl CollectorArgs {
    /// The options, if the flags fit together.
    pub fn options(&self) -> Result<NodeOptions, OptionsError> {
        let fields =
            Flag { name: "collector.vmstat.fields", value: Some(or(&self.vmstat_fields, VMSTAT_FIELDS)) };
        let every = Flag { name: fields.name, value: Some(".*") };
        let vmstat_fields = match expression(fields)? {
            Some(fields) => fields,
            None => expression(every)?.expect("invariant: a value was given"),
        };
        Ok(NodeOptions {
            paths: self.paths(),
            enabled: self.enabled()?,
            deadline: positive("collector.deadline", or(&self.deadline, DEADLINE))?,
            cpu: self.cpu()?,
            disk_devices: self.disk_devices()?,
            filesystem: self.filesystem()?,
            netdev: self.netdev()?,
            containers: self.containers.options(&self.switches)?,
            ethtool: self.filters.ethtool()?,
            interrupts: self.filters.interrupts(&self.switches)?,
            power_supplies: self.filters.power_supplies()?,
            rapl_zone_label: self.switches.is_on("collector.rapl.enable-zone-label"),
            tapes: self.filters.tapes()?,
            textfile_directories: self.filters.textfile_directories.clone(),
            devices: self.devices.options(&self.switches)?,
            process_groups: self.process_groups.options(&self.switches)?,
            stat_softirq: self.switches.is_on("collector.stat.softirq"),
            vmstat_fields,
            time_zone: TimeZone::system(),
            asked: self.asked.options(&self.switches)?,
        })
    }

    fn paths(&self) -> Paths {
        let default = Paths::default();
        Paths {
            procfs: or(&self.procfs, &default.procfs).to_owned(),
            sysfs: or(&self.sysfs, &default.sysfs).to_owned(),
            rootfs: or(&self.rootfs, &default.rootfs).to_owned(),
            udev_data: or(&self.udev_data, &default.udev_data).to_owned(),
        }
    }

    /// What was turned on, and the defaults that were not turned off. To turn on a collector that
    /// this program does not have is an error; one that is on by default and missing is left out.
    fn enabled(&self) -> Result<BTreeSet<&'static str>, OptionsError> {
        let defaults = !self.switches.is_on("collector.disable-defaults");
        let mut enabled = BTreeSet::new();
        for Known { name, switch } in names::all() {
            let asked = self.switches.given(switch.on);
            if asked == Some(true) && !collectors::is_built(name) && !is_part_of_another(name) {
                return Err(OptionsError::NotBuilt((*name).to_owned()));
            }
            if asked.unwrap_or(switch.default && defaults) {
                enabled.insert(*name);
            }
        }
        Ok(enabled)
    }

    fn cpu(&self) -> Result<CpuOptions, OptionsError> {
        let flag = |name, value: &'_ Option<String>| expression(Flag { name, value: value.as_deref() });
        let flags = flag("collector.cpu.info.flags-include", &self.cpu_flags_include)?;
        let bugs = flag("collector.cpu.info.bugs-include", &self.cpu_bugs_include)?;
        let wanted = self.switches.is_on("collector.cpu.info") || flags.is_some() || bugs.is_some();
        Ok(CpuOptions {
            guest: self.switches.is_on("collector.cpu.guest"),
            info: wanted.then_some(CpuInfoOptions { flags, bugs }),
        })
    }

    fn disk_devices(&self) -> Result<Filter, OptionsError> {
        Filter::new(
            Flag { name: "collector.diskstats.device-include", value: self.disk_include.as_deref() },
            Flag { name: "collector.diskstats.device-exclude", value: self.disk_exclude.as_deref() },
            Flag { name: "collector.diskstats.ignored-devices", value: self.disk_ignored.as_deref() },
            DISK_EXCLUDE,
        )
    }

    fn filesystem(&self) -> Result<FileSystemOptions, OptionsError> {
        let timeout = or(&self.mount_timeout, MOUNT_TIMEOUT);
        let mount_timeout = positive("collector.filesystem.mount-timeout", timeout)?;
        Ok(FileSystemOptions {
            mount_points: Filter::new(
                Flag {
                    name: "collector.filesystem.mount-points-include",
                    value: self.mount_points_include.as_deref(),
                },
                Flag {
                    name: "collector.filesystem.mount-points-exclude",
                    value: self.mount_points_exclude.as_deref(),
                },
                Flag {
                    name: "collector.filesystem.ignored-mount-points",
                    value: self.mount_points_ignored.as_deref(),
                },
                MOUNT_POINT_EXCLUDE,
            )?,
            fs_types: Filter::new(
                Flag {
                    name: "collector.filesystem.fs-types-include",
                    value: self.fs_types_include.as_deref(),
                },
                Flag {
                    name: "collector.filesystem.fs-types-exclude",
                    value: self.fs_types_exclude.as_deref(),
                },
                Flag {
                    name: "collector.filesystem.ignored-fs-types",
                    value: self.fs_types_ignored.as_deref(),
                },
                FS_TYPE_EXCLUDE,
            )?,
            mount_timeout,
            stat_workers: self.stat_workers.unwrap_or(STAT_WORKERS),
        })
    }

    fn netdev(&self) -> Result<NetDevOptions, OptionsError> {
        let include_name = "collector.netdev.device-include";
        let whitelist_name = "collector.netdev.device-whitelist";
        if self.net_include.is_some() && self.net_whitelist.is_some() {
            return Err(OptionsError::Exclusive(whitelist_name, include_name));
        }
        if self.net_whitelist.is_some() {
            tracing::warn!("--{whitelist_name} is deprecated; use --{include_name}");
        }
        let include = self.net_include.as_deref().or(self.net_whitelist.as_deref());
        let is_on = |name: &str| self.switches.is_on(&format!("collector.netdev.{name}"));
        Ok(NetDevOptions {
            devices: Filter::new(
                Flag { name: include_name, value: include },
                Flag { name: "collector.netdev.device-exclude", value: self.net_exclude.as_deref() },
                Flag { name: "collector.netdev.device-blacklist", value: self.net_blacklist.as_deref() },
                "",
            )?,
            address_info: is_on("address-info"),
            detailed: is_on("enable-detailed-metrics"),
            netlink: is_on("netlink"),
            label_ifalias: is_on("label-ifalias"),
        })
    }
}

/// When the machine was started is a part of `stat`.
fn is_part_of_another(name: &str) -> bool {
    name == "boottime"
}

/// Whether the reference has a collector `name`.
pub(crate) fn is_known(name: &str) -> bool {
    names::all().any(|known| known.name == name)
}

fn positive(flag: &'static str, value: &str) -> Result<Duration, OptionsError> {
    let parsed = DurationMs::parse_positive(value);
    parsed.map(DurationMs::as_std).map_err(|_| OptionsError::Duration { flag, value: value.to_owned() })
}

fn or<'a>(value: &'a Option<String>, default: &'a str) -> &'a str {
    value.as_deref().unwrap_or(default)
}

/// The flags of the agent's web page.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct WebArgs {
    /// Where to listen; can be given more than once
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = ":9100")]
    pub listen_address: Vec<String>,
    /// The path of the metrics page
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics")]
    pub telemetry_path: String,
    /// How many requests may run at a time; 0 for any number
    #[arg(long = "web.max-requests", value_name = "N", default_value_t = 40)]
    pub max_requests: usize,
    /// Connections at the same time; for one more, the one that rests longest ends, or the slowest
    #[arg(long = "web.max-connections", value_name = "N", default_value_t = MAX_CONNECTIONS,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// Bytes of pages that may wait for clients, of all together; for more, the client that takes slowest
    /// loses its connection
    #[arg(long = "web.max-waiting-bytes", value_name = "SIZE", default_value_t = MAX_WAITING_BYTES)]
    pub max_waiting_bytes: ByteSize,
    /// How long a client may take to send the head of a request
    #[arg(long = "web.read-header-timeout", value_name = "DURATION", default_value = "10s",
        value_parser = DurationMs::parse_positive)]
    pub read_header_timeout: DurationMs,
    /// Leave out the metrics of the agent itself
    #[arg(long = "web.disable-exporter-metrics", overrides_with = "no_disable_exporter_metrics")]
    pub disable_exporter_metrics: bool,
    /// The opposite of --web.disable-exporter-metrics
    #[arg(long = "no-web.disable-exporter-metrics", hide = true)]
    pub no_disable_exporter_metrics: bool,
    /// Listen on the sockets of the systemd unit, in the place of --web.listen-address
    #[arg(long = "web.systemd-socket", overrides_with = "no_systemd_socket")]
    pub systemd_socket: bool,
    /// The opposite of --web.systemd-socket
    #[arg(long = "no-web.systemd-socket", hide = true)]
    pub no_systemd_socket: bool,
    /// TLS and authentication
    #[arg(long = "web.config.file", value_name = "FILE", default_value = "")]
    pub config_file: String,
}

/// All flags of the role that stands in for the reference, but those of the log, which all roles share.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct AgentArgs {
    /// What is collected.
    #[command(flatten)]
    pub collectors: CollectorArgs,
    /// Where it is served.
    #[command(flatten)]
    pub web: WebArgs,
    /// Accepted and without effect: threads are not limited this way here
    #[arg(long = "runtime.gomaxprocs", value_name = "N", hide = true)]
    pub gomaxprocs: Option<usize>,
}
