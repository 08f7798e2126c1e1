//! Flags that choose among power supplies, tape drives, drivers' counters, interrupts and files of metrics.

use super::Switches;
use crate::{
    error::OptionsError,
    filter::{Filter, Flag, expression},
    options::{EthtoolOptions, InterruptOptions},
};
use clap::Args;

const NONE: &str = "^$";

/// The flags.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterArgs {
    /// The only network devices whose drivers to ask
    #[arg(long = "collector.ethtool.device-include", value_name = "REGEX")]
    pub ethtool_include: Option<String>,
    /// Network devices whose drivers not to ask
    #[arg(long = "collector.ethtool.device-exclude", value_name = "REGEX")]
    pub ethtool_exclude: Option<String>,
    /// Which counters of drivers to show [default: .*]
    #[arg(long = "collector.ethtool.metrics-include", value_name = "REGEX")]
    pub ethtool_metrics: Option<String>,

    /// The only interrupts to show, by NAME;INFO;DEVICES
    #[arg(long = "collector.interrupts.name-include", value_name = "REGEX")]
    pub interrupts_include: Option<String>,
    /// Interrupts not to show, by NAME;INFO;DEVICES
    #[arg(long = "collector.interrupts.name-exclude", value_name = "REGEX")]
    pub interrupts_exclude: Option<String>,

    /// Power supplies not to show [default: ^$]
    #[arg(long = "collector.powersupply.ignored-supplies", value_name = "REGEX")]
    pub power_supplies_ignored: Option<String>,

    /// Tape drives not to show [default: ^$]
    #[arg(long = "collector.tapestats.ignored-devices", value_name = "REGEX")]
    pub tapes_ignored: Option<String>,

    /// Where to look for files called *.prom; can be a pattern, and be given more than once
    #[arg(long = "collector.textfile.directory", value_name = "DIR")]
    pub textfile_directories: Vec<String>,
}

impl FilterArgs {
    pub(super) fn ethtool(&self) -> Result<EthtoolOptions, OptionsError> {
        let metrics = self.ethtool_metrics.as_deref().filter(|value| !value.is_empty()).unwrap_or(".*");
        let metrics = Flag { name: "collector.ethtool.metrics-include", value: Some(metrics) };
        Ok(EthtoolOptions {
            devices: both(
                ("collector.ethtool.device-include", &self.ethtool_include),
                ("collector.ethtool.device-exclude", &self.ethtool_exclude),
            )?,
            metrics: expression(metrics)?.expect("invariant: a value was given"),
        })
    }

    pub(super) fn interrupts(&self, switches: &Switches) -> Result<InterruptOptions, OptionsError> {
        Ok(InterruptOptions {
            names: both(
                ("collector.interrupts.name-include", &self.interrupts_include),
                ("collector.interrupts.name-exclude", &self.interrupts_exclude),
            )?,
            zeros: switches.is_on("collector.interrupts.include-zeros"),
        })
    }

    pub(super) fn power_supplies(&self) -> Result<Filter, OptionsError> {
        ignored("collector.powersupply.ignored-supplies", &self.power_supplies_ignored)
    }

    pub(super) fn tapes(&self) -> Result<Filter, OptionsError> {
        ignored("collector.tapestats.ignored-devices", &self.tapes_ignored)
    }
}

type Given<'a> = (&'static str, &'a Option<String>);

/// A flag that includes and one that excludes.
fn both((include, included): Given<'_>, (exclude, excluded): Given<'_>) -> Result<Filter, OptionsError> {
    let none = Flag { name: "", value: None };
    let include = Flag { name: include, value: included.as_deref() };
    Filter::new(include, Flag { name: exclude, value: excluded.as_deref() }, none, "")
}

/// A flag that excludes, and has no other beside it.
fn ignored(name: &'static str, value: &Option<String>) -> Result<Filter, OptionsError> {
    let none = Flag { name: "", value: None };
    Filter::new(none, Flag { name, value: value.as_deref() }, none, NONE)
}
