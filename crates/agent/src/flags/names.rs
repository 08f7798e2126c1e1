//! The names of all collectors of the reference, and whether they run unless told otherwise. A
//! command line written for the reference may name any of them. Our own stand behind them.

/// A flag that is on or off.
#[derive(Debug)]
pub(super) struct Switch {
    /// The flag that turns it on.
    pub(super) on: &'static str,
    /// The flag that turns it off.
    pub(super) off: &'static str,
    /// What holds when neither is given.
    pub(super) default: bool,
    /// The help text.
    pub(super) help: &'static str,
}

/// A collector and its flags.
#[derive(Debug)]
pub(super) struct Known {
    /// Its name.
    pub(super) name: &'static str,
    /// The flags that turn it on and off.
    pub(super) switch: Switch,
}

macro_rules! known {
    ($default:literal, $is:literal: $($name:literal),+ $(,)?) => {
        &[$(Known {
            name: $name,
            switch: Switch {
                on: concat!("collector.", $name),
                off: concat!("no-collector.", $name),
                default: $default,
                help: concat!("Run the collector ", $name, " (default: ", $is, ")"),
            },
        }),+]
    };
}

/// The collectors that run by default.
const ON: &[Known] = known! { true, "on":
    "arp", "bcache", "bcachefs", "bonding", "boottime", "btrfs", "conntrack", "cpu", "cpufreq",
    "diskstats", "dmi", "dmmultipath", "edac", "entropy", "fibrechannel", "filefd", "filesystem",
    "hwmon", "infiniband", "ipvs", "kernel_hung", "loadavg", "mdadm", "meminfo", "netclass", "netdev",
    "netstat", "nfs", "nfsd", "nvme", "os", "powersupplyclass", "pressure", "rapl", "schedstat",
    "selinux", "sockstat", "softnet", "stat", "tapestats", "textfile", "thermal_zone", "time", "timex",
    "udp_queues", "uname", "vmstat", "watchdog", "xfs", "zfs",
};

/// The collectors that run when asked for.
const OFF: &[Known] = known! { false, "off":
    "buddyinfo", "cgroups", "cpu_vulnerabilities", "drbd", "drm", "ethtool", "interrupts", "ksmd",
    "lnstat", "logind", "meminfo_numa", "mountstats", "network_route", "ntp", "nvmesubsystem",
    "pcidevice", "perf",
    "processes", "qdisc", "runit", "slabinfo", "softirqs", "supervisord", "swap", "sysctl", "systemd",
    "tcpstat", "wifi", "xfrm", "zoneinfo",
};

/// The collectors that the reference does not have. They run when asked for.
const OWN: &[Known] = known! { false, "off": "containers", "process-groups" };

/// All collectors.
pub(super) fn all() -> impl Iterator<Item = &'static Known> {
    ON.iter().chain(OFF).chain(OWN)
}
