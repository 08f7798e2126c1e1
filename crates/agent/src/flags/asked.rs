//! The flags of collectors that run only when they are asked for, of the names from N to Z, and their way
//! to `AskedOptions`.

use super::Switches;
use crate::{
    collectors::{
        pcidevice::PciOptions,
        perf::PerfOptions,
        perf_columns::{CACHE, HARDWARE, SOFTWARE},
        sysctl::{Kind, Sysctl},
        systemd::SystemdOptions,
        tcpstat::TcpStatOptions,
    },
    error::OptionsError,
    filter::{Filter, Flag},
    scan,
};
use clap::Args;

const UNIT_INCLUDE: &str = ".+";
const UNIT_EXCLUDE: &str = r".+\.(automount|device|mount|scope|slice)";

/// The flags.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedArgs {
    /// The list of PCI names to read
    #[arg(long = "collector.pcidevice.idsfile", value_name = "FILE")]
    pub pci_ids: Option<String>,

    /// The CPUs to count events on, such as 0-3,8-15:2 [default: all]
    #[arg(long = "collector.perf.cpus", value_name = "CPUS")]
    pub perf_cpus: Option<String>,
    /// A tracepoint to count, such as sched:sched_switch; can be given more than once
    #[arg(long = "collector.perf.tracepoint", value_name = "SUBSYSTEM:EVENT")]
    pub perf_tracepoints: Vec<String>,
    /// An event of the processor to count, instead of all; can be given more than once
    #[arg(long = "collector.perf.hardware-profilers", value_name = "NAME")]
    pub perf_hardware: Vec<String>,
    /// An event of the kernel to count, instead of all; can be given more than once
    #[arg(long = "collector.perf.software-profilers", value_name = "NAME")]
    pub perf_software: Vec<String>,
    /// An event of the caches to count, instead of all; can be given more than once
    #[arg(long = "collector.perf.cache-profilers", value_name = "NAME")]
    pub perf_cache: Vec<String>,

    /// The only devices whose queueing disciplines are shown
    #[arg(long = "collector.qdisc.device-include", value_name = "REGEX")]
    pub qdisc_include: Option<String>,
    /// Former name of --collector.qdisc.device-include
    #[arg(long = "collector.qdisk.device-include", value_name = "REGEX", hide = true)]
    pub qdisk_include: Option<String>,
    /// Devices whose queueing disciplines are not shown
    #[arg(long = "collector.qdisc.device-exclude", value_name = "REGEX")]
    pub qdisc_exclude: Option<String>,
    /// Former name of --collector.qdisc.device-exclude
    #[arg(long = "collector.qdisk.device-exclude", value_name = "REGEX", hide = true)]
    pub qdisk_exclude: Option<String>,

    /// The only slab caches to show
    #[arg(long = "collector.slabinfo.slabs-include", value_name = "REGEX")]
    pub slabs_include: Option<String>,
    /// Slab caches not to show
    #[arg(long = "collector.slabinfo.slabs-exclude", value_name = "REGEX")]
    pub slabs_exclude: Option<String>,

    /// A setting of the kernel to show, such as kernel.pid_max; can be given more than once
    #[arg(long = "collector.sysctl.include", value_name = "NAME[:KEY,…]")]
    pub sysctl: Vec<String>,
    /// A setting of the kernel to show as text; can be given more than once
    #[arg(long = "collector.sysctl.include-info", value_name = "NAME")]
    pub sysctl_info: Vec<String>,

    /// The only units of systemd to show [default: .+]
    #[arg(long = "collector.systemd.unit-include", value_name = "REGEX")]
    pub unit_include: Option<String>,
    /// Former name of --collector.systemd.unit-include
    #[arg(long = "collector.systemd.unit-whitelist", value_name = "REGEX", hide = true)]
    pub unit_whitelist: Option<String>,
    /// Units of systemd not to show [default: .+\.(automount|device|mount|scope|slice)]
    #[arg(long = "collector.systemd.unit-exclude", value_name = "REGEX")]
    pub unit_exclude: Option<String>,
    /// Former name of --collector.systemd.unit-exclude
    #[arg(long = "collector.systemd.unit-blacklist", value_name = "REGEX", hide = true)]
    pub unit_blacklist: Option<String>,

    /// A port of this machine whose connections are counted on their own; can be given more than once
    #[arg(long = "collector.tcpstat.port.source", value_name = "PORT")]
    pub tcp_source_ports: Vec<u16>,
    /// A port of others whose connections are counted on their own; can be given more than once
    #[arg(long = "collector.tcpstat.port.dest", value_name = "PORT")]
    pub tcp_dest_ports: Vec<u16>,
}

/// The options of these collectors.
#[derive(Clone, Debug)]
pub struct AskedOptions {
    /// Options of `pcidevice`.
    pub pci: PciOptions,
    /// Options of `perf`.
    pub perf: PerfOptions,
    /// Devices of `qdisc`.
    pub qdisc_devices: Filter,
    /// Caches of `slabinfo`.
    pub slabs: Filter,
    /// Settings of `sysctl`.
    pub sysctl: Vec<Sysctl>,
    /// Options of `systemd`.
    pub systemd: SystemdOptions,
    /// Options of `tcpstat`.
    pub tcpstat: TcpStatOptions,
}

impl AskedArgs {
    /// The options, if the flags fit together.
    pub(super) fn options(&self, switches: &Switches) -> Result<AskedOptions, OptionsError> {
        Ok(AskedOptions {
            pci: self.pci(switches)?,
            perf: self.perf(switches)?,
            qdisc_devices: self.qdisc()?,
            slabs: Filter::of_both(
                Flag { name: "collector.slabinfo.slabs-include", value: self.slabs_include.as_deref() },
                Flag { name: "collector.slabinfo.slabs-exclude", value: self.slabs_exclude.as_deref() },
            )?,
            sysctl: self.sysctl()?,
            systemd: self.systemd(switches)?,
            tcpstat: TcpStatOptions {
                source_ports: self.tcp_source_ports.clone(),
                dest_ports: self.tcp_dest_ports.clone(),
            },
        })
    }

    fn pci(&self, switches: &Switches) -> Result<PciOptions, OptionsError> {
        let flag = "collector.pcidevice.idsfile";
        let absolute = |path: &String| {
            let absolute =
                std::path::absolute(path).ok().and_then(|path| path.into_os_string().into_string().ok());
            let what = "write the path of a file";
            absolute.ok_or_else(|| OptionsError::Value { flag, value: path.clone(), what })
        };
        let ids_file = self.pci_ids.as_ref().filter(|path| !path.is_empty()).map(absolute).transpose()?;
        Ok(PciOptions { names: switches.is_on("collector.pcidevice.names"), ids_file })
    }

    fn perf(&self, switches: &Switches) -> Result<PerfOptions, OptionsError> {
        let cpus = |list: &String| {
            let what = "write CPUs like 0-3,8 or 0-15:2";
            let wrong = || OptionsError::Value { flag: "collector.perf.cpus", value: list.clone(), what };
            PerfOptions::parse_cpus(list).ok_or_else(wrong)
        };
        let tracepoint = |value: &String| {
            let what = "write a tracepoint like sched:sched_switch";
            let wrong =
                || OptionsError::Value { flag: "collector.perf.tracepoint", value: value.clone(), what };
            let (subsystem, event) = value.split_once(':').ok_or_else(wrong)?;
            let fits = [subsystem, event].iter().all(|part| scan::is_name(part.as_bytes()));
            fits.then(|| (subsystem.to_owned(), event.to_owned())).ok_or_else(wrong)
        };
        let mut events = Vec::new();
        for (off, flag, asked, group) in [
            (
                "collector.perf.disable-hardware-profilers",
                "collector.perf.hardware-profilers",
                &self.perf_hardware,
                HARDWARE,
            ),
            (
                "collector.perf.disable-software-profilers",
                "collector.perf.software-profilers",
                &self.perf_software,
                SOFTWARE,
            ),
            (
                "collector.perf.disable-cache-profilers",
                "collector.perf.cache-profilers",
                &self.perf_cache,
                CACHE,
            ),
        ] {
            let names = PerfOptions::group(flag, asked, group)?;
            if !switches.is_on(off) {
                events.extend(names);
            }
        }
        let mut tracepoints =
            self.perf_tracepoints.iter().map(tracepoint).collect::<Result<Vec<_>, OptionsError>>()?;
        tracepoints.sort_unstable();
        tracepoints.dedup();
        let cpus = self.perf_cpus.as_ref().filter(|list| !list.is_empty()).map(cpus).transpose()?;
        Ok(PerfOptions { cpus, tracepoints, events })
    }

    fn qdisc(&self) -> Result<Filter, OptionsError> {
        let include = newer(
            Flag { name: "collector.qdisc.device-include", value: self.qdisc_include.as_deref() },
            Flag { name: "collector.qdisk.device-include", value: self.qdisk_include.as_deref() },
        )?;
        let exclude = Flag { name: "collector.qdisc.device-exclude", value: self.qdisc_exclude.as_deref() };
        let older = Flag { name: "collector.qdisk.device-exclude", value: self.qdisk_exclude.as_deref() };
        Filter::new(include, exclude, older, "")
    }

    fn sysctl(&self) -> Result<Vec<Sysctl>, OptionsError> {
        let numbers = |value: &String| Sysctl::parse("collector.sysctl.include", value, Kind::Numbers);
        let words = |value: &String| Sysctl::parse("collector.sysctl.include-info", value, Kind::Words);
        self.sysctl.iter().map(numbers).chain(self.sysctl_info.iter().map(words)).collect()
    }

    fn systemd(&self, switches: &Switches) -> Result<SystemdOptions, OptionsError> {
        let include = newer(
            Flag { name: "collector.systemd.unit-include", value: self.unit_include.as_deref() },
            Flag { name: "collector.systemd.unit-whitelist", value: self.unit_whitelist.as_deref() },
        )?;
        let exclude = newer(
            Flag { name: "collector.systemd.unit-exclude", value: self.unit_exclude.as_deref() },
            Flag { name: "collector.systemd.unit-blacklist", value: self.unit_blacklist.as_deref() },
        )?;
        // Names of units match as a whole.
        let whole = |expression: &str| format!("^(?:{expression})$");
        let included = whole(include.value.unwrap_or(UNIT_INCLUDE));
        let excluded = whole(exclude.value.unwrap_or(UNIT_EXCLUDE));
        let is_on = |name: &str| switches.is_on(&format!("collector.systemd.{name}"));
        Ok(SystemdOptions {
            units: Filter::of_both(
                Flag { name: include.name, value: Some(&included) },
                Flag { name: exclude.name, value: Some(&excluded) },
            )?,
            private: is_on("private"),
            tasks: is_on("enable-task-metrics"),
            restarts: is_on("enable-restarts-metrics"),
            start_times: is_on("enable-start-time-metrics"),
        })
    }
}

/// The flag, or its former name if only that was given.
fn newer<'a>(flag: Flag<'a>, former: Flag<'a>) -> Result<Flag<'a>, OptionsError> {
    match (flag.value, former.value) {
        (_, None) => Ok(flag),
        (None, Some(_)) => {
            let (old, new) = (former.name, flag.name);
            tracing::warn!("--{old} is deprecated; use --{new}");
            Ok(Flag { value: former.value, ..flag })
        }
        (Some(_), Some(_)) => Err(OptionsError::Exclusive(former.name, flag.name)),
    }
}
