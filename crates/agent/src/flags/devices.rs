//! The flags of the collectors of hardware, file systems and protocols.

use super::{Switches, or};
use crate::{
    collectors::ipvs,
    error::OptionsError,
    filter::{Filter, Flag, expression},
    options::{ArpOptions, DeviceOptions, HwMonOptions, NetClassOptions},
};
use clap::Args;
use regex::bytes::Regex;

const NETSTAT_FIELDS: &str = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|\
    Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|\
    Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|\
    Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$";
const NETCLASS_IGNORED: &str = "^$";

/// The flags.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceArgs {
    /// The only devices whose ARP entries to count
    #[arg(long = "collector.arp.device-include", value_name = "REGEX")]
    pub arp_include: Option<String>,
    /// Devices whose ARP entries not to count
    #[arg(long = "collector.arp.device-exclude", value_name = "REGEX")]
    pub arp_exclude: Option<String>,
    /// The only chips of sensors to show
    #[arg(long = "collector.hwmon.chip-include", value_name = "REGEX")]
    pub hwmon_chip_include: Option<String>,
    /// Chips of sensors not to show
    #[arg(long = "collector.hwmon.chip-exclude", value_name = "REGEX")]
    pub hwmon_chip_exclude: Option<String>,
    /// The only sensors to show, each as CHIP;SENSOR
    #[arg(long = "collector.hwmon.sensor-include", value_name = "REGEX")]
    pub hwmon_sensor_include: Option<String>,
    /// Sensors not to show, each as CHIP;SENSOR
    #[arg(long = "collector.hwmon.sensor-exclude", value_name = "REGEX")]
    pub hwmon_sensor_exclude: Option<String>,
    /// The only InfiniBand adapters to show
    #[arg(long = "collector.infiniband.device-include", value_name = "REGEX")]
    pub infiniband_include: Option<String>,
    /// InfiniBand adapters not to show
    #[arg(long = "collector.infiniband.device-exclude", value_name = "REGEX")]
    pub infiniband_exclude: Option<String>,
    /// Labels of the servers behind IPVS, with commas between them [default: all]
    #[arg(long = "collector.ipvs.backend-labels", value_name = "LABELS")]
    pub ipvs_labels: Option<String>,
    /// Network devices not to describe
    #[arg(long = "collector.netclass.ignored-devices", value_name = "REGEX")]
    pub netclass_ignored: Option<String>,
    /// Which fields of the statistics of protocols to show
    #[arg(long = "collector.netstat.fields", value_name = "REGEX")]
    pub netstat_fields: Option<String>,
}

impl DeviceArgs {
    /// The options, if the flags fit together.
    pub(super) fn options(&self, switches: &Switches) -> Result<DeviceOptions, OptionsError> {
        let ignored = or(&self.netclass_ignored, NETCLASS_IGNORED);
        Ok(DeviceOptions {
            arp: ArpOptions {
                devices: pair(
                    ("collector.arp.device-include", &self.arp_include),
                    ("collector.arp.device-exclude", &self.arp_exclude),
                )?,
                netlink: switches.is_on("collector.arp.netlink"),
            },
            bcache_priority_stats: switches.is_on("collector.bcache.priorityStats"),
            hwmon: HwMonOptions {
                chips: pair(
                    ("collector.hwmon.chip-include", &self.hwmon_chip_include),
                    ("collector.hwmon.chip-exclude", &self.hwmon_chip_exclude),
                )?,
                sensors: pair(
                    ("collector.hwmon.sensor-include", &self.hwmon_sensor_include),
                    ("collector.hwmon.sensor-exclude", &self.hwmon_sensor_exclude),
                )?,
            },
            infiniband_devices: pair(
                ("collector.infiniband.device-include", &self.infiniband_include),
                ("collector.infiniband.device-exclude", &self.infiniband_exclude),
            )?,
            ipvs_labels: self.ipvs_labels()?,
            netclass: NetClassOptions {
                ignored: expression(Flag {
                    name: "collector.netclass.ignored-devices",
                    value: Some(ignored),
                })?,
                netlink: switches.is_on("collector.netclass.netlink"),
                ignore_invalid_speed: switches.is_on("collector.netclass.ignore-invalid-speed"),
            },
            netstat_fields: self.netstat_fields()?,
        })
    }

    fn netstat_fields(&self) -> Result<Regex, OptionsError> {
        // An empty expression matches everything.
        let value = Some(self.netstat_fields.as_deref().unwrap_or(NETSTAT_FIELDS));
        let value = value.filter(|value| !value.is_empty()).or(Some(".*"));
        let fields = expression(Flag { name: "collector.netstat.fields", value })?;
        Ok(fields.expect("invariant: a value was given"))
    }

    fn ipvs_labels(&self) -> Result<Vec<&'static str>, OptionsError> {
        let Some(given) = &self.ipvs_labels else { return Ok(ipvs::LABELS.to_vec()) };
        let given: Vec<&str> = given.split(',').filter(|label| !label.is_empty()).collect();
        if let Some(unknown) = given.iter().find(|label| !ipvs::LABELS.contains(label)) {
            return Err(OptionsError::Value {
                flag: "collector.ipvs.backend-labels",
                value: (*unknown).to_owned(),
                what: "no label of this name; there are local_address, local_mark, local_port, proto, \
                       remote_address and remote_port",
            });
        }
        Ok(ipvs::LABELS.into_iter().filter(|label| given.contains(label)).collect())
    }
}

/// The filter of two flags without defaults and former names.
fn pair(
    (include_name, include): (&'static str, &Option<String>),
    (exclude_name, exclude): (&'static str, &Option<String>),
) -> Result<Filter, OptionsError> {
    Filter::new(
        Flag { name: include_name, value: include.as_deref() },
        Flag { name: exclude_name, value: exclude.as_deref() },
        Flag { name: exclude_name, value: None },
        "",
    )
}
