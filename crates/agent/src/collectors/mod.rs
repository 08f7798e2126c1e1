//! The collectors, one a file, and the list of them.

use crate::{
    collector::Collector, containers::Containers, options::NodeOptions, process_groups::ProcessGroups,
    registry::AgentEnv,
};

pub(crate) mod arp;
pub(crate) mod bcache;
pub(crate) mod bonding;
pub(crate) mod btrfs;
pub(crate) mod buddyinfo;
pub(crate) mod cgroups;
pub(crate) mod class;
pub(crate) mod conntrack;
pub(crate) mod cpu;
pub(crate) mod cpu_info;
pub(crate) mod cpu_topology;
pub(crate) mod cpufreq;
pub(crate) mod diskstats;
pub(crate) mod dmi;
pub(crate) mod dmmultipath;
pub(crate) mod drbd;
pub(crate) mod drm;
pub(crate) mod edac;
pub(crate) mod entropy;
pub(crate) mod ethtool;
pub(crate) mod fibrechannel;
pub(crate) mod filefd;
pub(crate) mod filesystem;
pub(crate) mod glob;
pub(crate) mod hwmon;
pub(crate) mod infiniband;
pub(crate) mod infiniband_columns;
pub(crate) mod interrupts;
pub(crate) mod ipvs;
pub(crate) mod kernel_hung;
pub(crate) mod ksmd;
pub(crate) mod link_modes;
pub(crate) mod lnstat;
pub(crate) mod loadavg;
pub(crate) mod logind;
pub(crate) mod mdadm;
pub(crate) mod meminfo;
pub(crate) mod meminfo_numa;
pub(crate) mod mounts;
pub(crate) mod mountstats;
pub(crate) mod mountstats_families;
pub(crate) mod names;
pub(crate) mod netclass;
pub(crate) mod netdev;
pub(crate) mod netdev_columns;
pub(crate) mod netstat;
pub(crate) mod network_route;
pub(crate) mod nfs;
pub(crate) mod nfsd;
pub(crate) mod nl80211;
pub(crate) mod nvme;
pub(crate) mod nvmesubsystem;
pub(crate) mod os;
pub(crate) mod pci_ids;
pub(crate) mod pcidevice;
pub(crate) mod perf;
pub(crate) mod perf_columns;
pub(crate) mod powersupplyclass;
pub(crate) mod pressure;
pub(crate) mod processes;
pub(crate) mod qdisc;
pub(crate) mod rapl;
pub(crate) mod rpc;
pub(crate) mod schedstat;
pub(crate) mod selinux;
pub(crate) mod slabinfo;
pub(crate) mod sockstat;
pub(crate) mod softirqs;
pub(crate) mod softnet;
pub(crate) mod stat;
pub(crate) mod stat_pool;
pub(crate) mod swap;
pub(crate) mod sysctl;
pub(crate) mod systemd;
pub(crate) mod tapestats;
pub(crate) mod tcpstat;
pub(crate) mod textfile;
mod textfile_directory;
pub(crate) mod thermal_zone;
pub(crate) mod time;
pub(crate) mod timex;
pub(crate) mod udev;
pub(crate) mod udp_queues;
pub(crate) mod uname;
pub(crate) mod vmstat;
pub(crate) mod watchdog;
pub(crate) mod wifi;
pub(crate) mod xfrm;
pub(crate) mod xfs;
pub(crate) mod zfs;
pub(crate) mod zoneinfo;

/// Makes a collector.
type Factory = fn(&NodeOptions, &AgentEnv) -> Box<dyn Collector>;

/// The collectors that this version has, by name. The page has them in this order.
const FACTORIES: &[(&str, Factory)] = &[
    ("arp", |o, _| Box::new(arp::Arp::new(&o.devices.arp))),
    ("bcache", |o, _| Box::new(bcache::Bcache::new(bcache::PriorityStats(o.devices.bcache_priority_stats)))),
    ("bonding", |_, _| Box::new(bonding::Bonding::new())),
    ("btrfs", |_, _| Box::new(btrfs::Btrfs::new())),
    ("buddyinfo", |_, _| Box::new(buddyinfo::BuddyInfo::default())),
    ("cgroups", |_, _| Box::new(cgroups::Cgroups::default())),
    ("conntrack", |_, _| Box::new(conntrack::ConnTrack::default())),
    ("process-groups", |o, e| Box::new(ProcessGroups::new(o, e))),
    ("containers", |o, e| Box::new(Containers::new(o, e))),
    ("cpu", |o, _| Box::new(cpu::Cpu::new(&o.cpu))),
    ("cpufreq", |o, _| Box::new(cpufreq::CpuFreq::new(cpufreq::Described(o.cpu.info.is_some())))),
    ("diskstats", |o, _| Box::new(diskstats::DiskStats::new(o))),
    ("dmi", |_, _| Box::new(dmi::Dmi::default())),
    ("dmmultipath", |_, _| Box::new(dmmultipath::DmMultipath::new())),
    ("drbd", |_, _| Box::new(drbd::Drbd::default())),
    ("drm", |_, _| Box::new(drm::Drm::default())),
    ("edac", |_, _| Box::new(edac::Edac::new())),
    ("entropy", |_, _| Box::new(entropy::Entropy::default())),
    ("ethtool", |o, _| Box::new(ethtool::Ethtool::new(&o.ethtool))),
    ("fibrechannel", |_, _| Box::new(fibrechannel::FibreChannel::new())),
    ("filefd", |_, _| Box::new(filefd::FileFd::default())),
    ("filesystem", |o, e| Box::new(filesystem::FileSystem::new(&o.filesystem, e))),
    ("hwmon", |o, _| Box::new(hwmon::HwMon::new(&o.devices.hwmon))),
    ("infiniband", |o, _| Box::new(infiniband::InfiniBand::new(&o.devices.infiniband_devices))),
    ("interrupts", |o, _| Box::new(interrupts::Interrupts::new(&o.interrupts))),
    ("ipvs", |o, _| Box::new(ipvs::Ipvs::new(&o.devices.ipvs_labels))),
    ("kernel_hung", |_, _| Box::new(kernel_hung::KernelHung::default())),
    ("ksmd", |_, _| Box::new(ksmd::Ksmd::default())),
    ("lnstat", |_, _| Box::new(lnstat::LnStat::default())),
    ("loadavg", |_, _| Box::new(loadavg::LoadAvg::default())),
    ("logind", |_, _| Box::new(logind::Logind::default())),
    ("mdadm", |_, _| Box::new(mdadm::MdAdm::new())),
    ("meminfo", |_, _| Box::new(meminfo::MemInfo::default())),
    ("meminfo_numa", |_, _| Box::new(meminfo_numa::MemInfoNuma::default())),
    ("mountstats", |_, _| Box::new(mountstats::MountStats::default())),
    ("netclass", |o, _| Box::new(netclass::NetClass::new(&o.devices.netclass))),
    ("netdev", |o, _| Box::new(netdev::NetDev::new(&o.netdev))),
    ("netstat", |o, _| Box::new(netstat::NetStat::new(&o.devices.netstat_fields))),
    ("network_route", |_, _| Box::new(network_route::NetworkRoute::default())),
    ("nfs", |_, _| Box::new(nfs::Nfs::new())),
    ("nfsd", |_, _| Box::new(nfsd::Nfsd::new())),
    ("nvme", |_, _| Box::new(nvme::Nvme::new())),
    ("nvmesubsystem", |_, _| Box::new(nvmesubsystem::NvmeSubsystem::default())),
    ("os", |_, _| Box::new(os::Os::default())),
    ("pcidevice", |o, _| Box::new(pcidevice::PciDevices::new(&o.asked.pci))),
    ("perf", |o, _| Box::new(perf::Perf::new(&o.asked.perf))),
    ("powersupplyclass", |o, _| Box::new(powersupplyclass::PowerSupplyClass::new(&o.power_supplies))),
    ("pressure", |_, _| Box::new(pressure::Pressure::default())),
    ("processes", |_, _| Box::new(processes::Processes::default())),
    ("qdisc", |o, _| Box::new(qdisc::Qdisc::new(&o.asked.qdisc_devices))),
    ("rapl", |o, _| Box::new(rapl::Rapl::new(o.rapl_zone_label))),
    ("schedstat", |_, _| Box::new(schedstat::SchedStat::default())),
    ("selinux", |_, _| Box::new(selinux::SeLinux::default())),
    ("slabinfo", |o, _| Box::new(slabinfo::SlabInfo::new(&o.asked.slabs))),
    ("sockstat", |_, _| Box::new(sockstat::SockStat::default())),
    ("softirqs", |_, _| Box::new(softirqs::SoftIrqs::default())),
    ("softnet", |_, _| Box::new(softnet::SoftNet::default())),
    ("stat", |o, _| Box::new(stat::Stat::new(o.stat_softirq))),
    ("swap", |_, _| Box::new(swap::Swap::default())),
    ("sysctl", |o, _| Box::new(sysctl::SysctlValues::new(&o.asked.sysctl))),
    ("systemd", |o, _| Box::new(systemd::Systemd::new(&o.asked.systemd))),
    ("tapestats", |o, _| Box::new(tapestats::TapeStats::new(&o.tapes))),
    ("tcpstat", |o, _| Box::new(tcpstat::TcpStat::new(&o.asked.tcpstat))),
    ("textfile", |o, env| Box::new(textfile::TextFile::new(&o.textfile_directories, env))),
    ("thermal_zone", |_, _| Box::new(thermal_zone::ThermalZone::default())),
    ("time", |o, _| Box::new(time::Time::new(o.time_zone.clone()))),
    ("timex", |_, _| Box::new(timex::Timex)),
    ("udp_queues", |_, _| Box::new(udp_queues::UdpQueues::default())),
    ("uname", |_, _| Box::new(uname::UnameInfo)),
    ("vmstat", |o, _| Box::new(vmstat::VmStat::new(&o.vmstat_fields))),
    ("watchdog", |_, _| Box::new(watchdog::Watchdog::default())),
    ("wifi", |_, _| Box::new(wifi::Wifi::default())),
    ("xfrm", |_, _| Box::new(xfrm::Xfrm::default())),
    ("xfs", |_, _| Box::new(xfs::Xfs::default())),
    ("zfs", |_, _| Box::new(zfs::Zfs::default())),
    ("zoneinfo", |_, _| Box::new(zoneinfo::ZoneInfo::default())),
];

/// The collector whose families other programs named; they may be names of the agent's own.
pub(crate) const FOREIGN: &str = "textfile";

/// The names of the collectors that this version has, in the order of the page.
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
