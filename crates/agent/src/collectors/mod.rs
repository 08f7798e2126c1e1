//! The collectors, one a file, and the list of them.

use crate::{collector::Collector, containers::Containers, options::NodeOptions, registry::AgentEnv};

pub(crate) mod cpu;
pub(crate) mod cpu_info;
pub(crate) mod cpu_topology;
pub(crate) mod diskstats;
pub(crate) mod filefd;
pub(crate) mod filesystem;
pub(crate) mod loadavg;
pub(crate) mod logind;
pub(crate) mod meminfo;
pub(crate) mod mounts;
pub(crate) mod netdev;
pub(crate) mod netdev_columns;
pub(crate) mod nl80211;
pub(crate) mod nvmesubsystem;
pub(crate) mod os;
pub(crate) mod pci_ids;
pub(crate) mod pcidevice;
pub(crate) mod perf;
pub(crate) mod perf_columns;
pub(crate) mod pressure;
pub(crate) mod processes;
pub(crate) mod qdisc;
pub(crate) mod slabinfo;
pub(crate) mod softirqs;
pub(crate) mod stat;
pub(crate) mod stat_pool;
pub(crate) mod swap;
pub(crate) mod sysctl;
pub(crate) mod systemd;
pub(crate) mod tcpstat;
pub(crate) mod time;
pub(crate) mod udev;
pub(crate) mod uname;
pub(crate) mod vmstat;
pub(crate) mod wifi;
pub(crate) mod xfrm;
pub(crate) mod zoneinfo;

/// Makes a collector.
type Factory = fn(&NodeOptions, &AgentEnv) -> Box<dyn Collector>;

/// The collectors that this version has, by name. The page has them in this order.
const FACTORIES: &[(&str, Factory)] = &[
    ("containers", |o, e| Box::new(Containers::new(o, e))),
    ("cpu", |o, _| Box::new(cpu::Cpu::new(&o.cpu))),
    ("diskstats", |o, _| Box::new(diskstats::DiskStats::new(o))),
    ("filefd", |_, _| Box::new(filefd::FileFd::default())),
    ("filesystem", |o, e| Box::new(filesystem::FileSystem::new(&o.filesystem, e))),
    ("loadavg", |_, _| Box::new(loadavg::LoadAvg::default())),
    ("logind", |_, _| Box::new(logind::Logind)),
    ("meminfo", |_, _| Box::new(meminfo::MemInfo::default())),
    ("netdev", |o, _| Box::new(netdev::NetDev::new(&o.netdev))),
    ("nvmesubsystem", |_, _| Box::new(nvmesubsystem::NvmeSubsystem::default())),
    ("os", |_, _| Box::new(os::Os::default())),
    ("pcidevice", |o, _| Box::new(pcidevice::PciDevices::new(&o.asked.pci))),
    ("perf", |o, _| Box::new(perf::Perf::new(&o.asked.perf))),
    ("pressure", |_, _| Box::new(pressure::Pressure::default())),
    ("processes", |_, _| Box::new(processes::Processes::default())),
    ("qdisc", |o, _| Box::new(qdisc::Qdisc::new(&o.asked.qdisc_devices))),
    ("slabinfo", |o, _| Box::new(slabinfo::SlabInfo::new(&o.asked.slabs))),
    ("softirqs", |_, _| Box::new(softirqs::SoftIrqs::default())),
    ("stat", |o, _| Box::new(stat::Stat::new(o.stat_softirq))),
    ("swap", |_, _| Box::new(swap::Swap::default())),
    ("sysctl", |o, _| Box::new(sysctl::SysctlValues::new(&o.asked.sysctl))),
    ("systemd", |o, _| Box::new(systemd::Systemd::new(&o.asked.systemd))),
    ("tcpstat", |o, _| Box::new(tcpstat::TcpStat::new(&o.asked.tcpstat))),
    ("time", |o, _| Box::new(time::Time::new(o.time_zone.clone()))),
    ("uname", |_, _| Box::new(uname::UnameInfo)),
    ("vmstat", |o, _| Box::new(vmstat::VmStat::new(&o.vmstat_fields))),
    ("wifi", |_, _| Box::new(wifi::Wifi::default())),
    ("xfrm", |_, _| Box::new(xfrm::Xfrm::default())),
    ("zoneinfo", |_, _| Box::new(zoneinfo::ZoneInfo::default())),
];

/// The names of the collectors that this version has, sorted.
pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
    FACTORIES.iter().map(|(name, _)| *name)
}

/// Whether this version has the collector `name`.
pub(crate) fn is_built(name: &str) -> bool {
    FACTORIES.iter().any(|(built, _)| *built == name)
}

/// The enabled collectors.
pub(crate) fn build(options: &NodeOptions, env: &AgentEnv) -> Vec<(&'static str, Box<dyn Collector>)> {
    let enabled = FACTORIES.iter().filter(|(name, _)| options.enabled.contains(name));
    enabled.map(|(name, make)| (*name, make(options, env))).collect()
}
