//! Flags that are on or off, as kingpin reads them: `--NAME` and `--no-NAME`, the last one counts.
//! They are too many for a struct's fields, and their names come from tables.

use super::names::{self, Switch};
use crate::collectors::is_built;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use std::collections::BTreeMap;

macro_rules! switch {
    ($name:literal, $default:literal, $help:literal) => {
        Switch { on: $name, off: concat!("no-", $name), default: $default, help: $help }
    };
}

/// Every switch but those that turn collectors on and off.
const SWITCHES: &[Switch] = &[
    switch!("collector.arp.netlink", true, "Ask netlink for ARP entries, not /proc/net/arp"),
    switch!("collector.bcache.priorityStats", false, "Show what is expensive to find out of caches"),
    switch!("collector.containers.advtcp", false, "Show what the kernel counts of containers' TCP"),
    switch!("collector.containers.connections", false, "Count connections of containers by their states"),
    switch!("collector.containers.layers", true, "Measure what containers write to their layers"),
    switch!("collector.containers.load", false, "Count containers' threads by state, and their load"),
    switch!("collector.containers.numa", false, "Show containers' memory by node"),
    switch!("collector.containers.only-runtimes", false, "Leave out slices, services and the like"),
    switch!("collector.containers.percpu", false, "Show containers' seconds by CPU, if counted so"),
    switch!("collector.containers.schedstat", false, "Show how long containers ran and waited for CPUs"),
    switch!("collector.containers.sockets", false, "Count containers' open sockets"),
    switch!("collector.containers.topology", false, "Show the machine's caches and threads of cores"),
    switch!("collector.process-groups.children", true, "Count children for their parent's group"),
    switch!("collector.process-groups.exits", false, "Have the kernel tell what processes used that ended"),
    switch!("collector.process-groups.smaps", false, "Measure processes' memory by its share, too"),
    switch!("collector.process-groups.threads", false, "Show processes' threads by their names, too"),
    switch!("collector.cpu.guest", true, "Show the seconds that CPUs spent running guests"),
    switch!("collector.cpu.info", false, "Show what /proc/cpuinfo says of each CPU"),
    switch!("collector.netclass.ignore-invalid-speed", false, "Leave out speeds that are unknown"),
    switch!("collector.netclass.netlink", false, "Ask netlink for flags and carriers, too"),
    switch!("collector.netclass_rtnl.with-stats", false, "Accepted and without effect: netdev has them"),
    switch!("collector.netdev.address-info", false, "Show the addresses of each device"),
    switch!("collector.netdev.enable-detailed-metrics", false, "Name network counters as the kernel does"),
    switch!("collector.netdev.netlink", true, "Ask netlink for network counters, not /proc/net/dev"),
    switch!("collector.netdev.label-ifalias", false, "Make a network device's alias a label"),
    switch!("collector.interrupts.include-zeros", true, "Show interrupts that never came"),
    switch!(
        "collector.rapl.enable-zone-label",
        false,
        "Make the zone of energy a label, not a part of the name"
    ),
    switch!("collector.pcidevice.names", false, "Show PCI devices with their names"),
    switch!("collector.perf.disable-cache-profilers", false, "Do not count events of the caches"),
    switch!("collector.perf.disable-hardware-profilers", false, "Do not count events of the processor"),
    switch!("collector.perf.disable-software-profilers", false, "Do not count events of the kernel"),
    switch!("collector.stat.softirq", false, "Show soft interrupts by kind"),
    switch!("collector.systemd.enable-restarts-metrics", false, "Show how often services were restarted"),
    switch!("collector.systemd.enable-start-time-metrics", false, "Show when units became active"),
    switch!("collector.systemd.enable-task-metrics", false, "Show the tasks of services"),
    switch!("collector.systemd.private", false, "Ask systemd without a bus between; needs root"),
    switch!("collector.disable-defaults", false, "Run only the collectors that are asked for"),
];

/// The switches that were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches(BTreeMap<&'static str, bool>);

impl Switches {
    /// Whether the switch `name` is on: as given, else its default.
    pub fn is_on(&self, name: &str) -> bool {
        let default =
            || SWITCHES.iter().find(|switch| switch.on == name).is_some_and(|switch| switch.default);
        self.given(name).unwrap_or_else(default)
    }

    /// Whether the switch `name` was turned on or off explicitly.
    pub fn given(&self, name: &str) -> Option<bool> {
        self.0.get(name).copied()
    }
}

fn all() -> impl Iterator<Item = &'static Switch> {
    SWITCHES.iter().chain(names::all().map(|known| &known.switch))
}

impl Args for Switches {
    fn augment_args(mut command: Command) -> Command {
        for Switch { on, off, help, .. } in all() {
            let flag =
                |name| Arg::new(name).long(name).action(ArgAction::SetTrue).overrides_with_all([on, off]);
            // The reference's other collectors are understood, so that command lines keep working; there is
            // nothing to say of them.
            let absent = on
                .strip_prefix("collector.")
                .is_some_and(|name| names::all().any(|known| known.name == name) && !is_built(name));
            command = command.arg(flag(on).help(help).hide(absent)).arg(flag(off).hide(true));
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
        for switch in all() {
            if matches.get_flag(switch.on) {
                self.0.insert(switch.on, true);
            } else if matches.get_flag(switch.off) {
                self.0.insert(switch.on, false);
            }
        }
        Ok(())
    }
}
