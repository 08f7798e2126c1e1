//! Flags that are on or off, as kingpin reads them: `--NAME` and `--no-NAME`, the last one counts.
//! They are too many for a struct's fields, and their names come from tables.

use super::names;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use std::collections::BTreeMap;

/// Every switch but those that turn collectors on and off: its name, its default and its help.
const SWITCHES: &[(&str, bool, &str)] = &[
    ("collector.cpu.guest", true, "Show the seconds that CPUs spent running guests"),
    ("collector.cpu.info", false, "Show what /proc/cpuinfo says of each CPU"),
    ("collector.netdev.address-info", false, "Show the addresses of each device"),
    ("collector.netdev.enable-detailed-metrics", false, "Name network counters as the kernel does"),
    ("collector.netdev.netlink", true, "Ask netlink for network counters, not /proc/net/dev"),
    ("collector.netdev.label-ifalias", false, "Make a network device's alias a label"),
    ("collector.stat.softirq", false, "Show soft interrupts by kind"),
    ("collector.disable-defaults", false, "Run only the collectors that are asked for"),
];

/// The switches that were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches(BTreeMap<String, bool>);

impl Switches {
    /// Whether the switch `name` is on: as given, else its default.
    pub fn is_on(&self, name: &str) -> bool {
        let default = || SWITCHES.iter().find(|(known, ..)| *known == name).is_some_and(|(_, default, _)| *default);
        self.0.get(name).copied().unwrap_or_else(default)
    }

    /// Whether the collector `name` was turned on or off explicitly.
    pub fn collector(&self, name: &str) -> Option<bool> {
        self.0.get(&format!("collector.{name}")).copied()
    }
}

/// Every switch with its help text.
fn all() -> impl Iterator<Item = (String, String)> {
    let collectors = names::ON.iter().map(|name| (name, "on")).chain(names::OFF.iter().map(|name| (name, "off")));
    let collectors = collectors
        .map(|(name, default)| (format!("collector.{name}"), format!("Run the collector {name} (default: {default})")));
    SWITCHES.iter().map(|(name, _, help)| ((*name).to_owned(), (*help).to_owned())).chain(collectors)
}

impl Args for Switches {
    fn augment_args(mut command: Command) -> Command {
        for (name, help) in all() {
            let negated = format!("no-{name}");
            let on = Arg::new(name.clone()).long(name.clone()).action(ArgAction::SetTrue);
            let off = Arg::new(negated.clone()).long(negated.clone()).action(ArgAction::SetTrue).hide(true);
            command = command
                .arg(on.help(help).overrides_with_all([name.clone(), negated.clone()]))
                .arg(off.overrides_with_all([negated, name]));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Switches {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut switches = Self::default();
        switches.update_from_arg_matches(matches)?;
        Ok(switches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for (name, _) in all() {
            if matches.get_flag(&name) {
                self.0.insert(name, true);
            } else if matches.get_flag(&format!("no-{name}")) {
                self.0.insert(name, false);
            }
        }
        Ok(())
    }
}
