//! The names of all collectors of the reference, and whether they run unless told otherwise. A
//! command line written for the reference may name any of them.

/// The collectors that run by default.
pub(super) const ON: &[&str] = &[
    "arp", "bcache", "bcachefs", "bonding", "btrfs", "conntrack", "cpu", "cpufreq", "diskstats", "dmi", "edac",
    "entropy", "fibrechannel", "filefd", "filesystem", "hwmon", "infiniband", "ipvs", "kernel_hung", "loadavg",
    "mdadm", "meminfo", "netclass", "netdev", "netstat", "nfs", "nfsd", "nvme", "os", "powersupplyclass",
    "pressure", "rapl", "schedstat", "selinux", "sockstat", "softnet", "stat", "tapestats", "textfile",
    "thermal_zone", "time", "timex", "udp_queues", "uname", "vmstat", "watchdog", "xfs", "zfs",
];

/// The collectors that run when asked for.
pub(super) const OFF: &[&str] = &[
    "buddyinfo", "cgroups", "cpu_vulnerabilities", "drbd", "drm", "ethtool", "interrupts", "ksmd", "lnstat",
    "logind", "meminfo_numa", "mountstats", "network_route", "ntp", "pcidevice", "perf", "processes", "qdisc",
    "runit", "slabinfo", "softirqs", "supervisord", "swap", "sysctl", "systemd", "tcpstat", "wifi", "xfrm",
    "zoneinfo",
];
