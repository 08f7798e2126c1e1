//! The agent and Debian's node_exporter on this machine, read one after the other: what the reference
//! exposes, the agent exposes with the same types, labels and values. `DIFFERENCES` and `docs/agent.md`
//! hold what later versions of the reference changed, and nothing else is let through.

use crate::common::{Key, Page, gather, options, real_agent};
use skopos_model::MetricType;
use skopos_testkit::{peers, service::Service};
use std::collections::{BTreeMap, BTreeSet};

const COLLECTORS: &[&str] = &[
    "--collector.disable-defaults",
    "--collector.arp",
    "--collector.bcache",
    "--collector.bonding",
    "--collector.btrfs",
    "--collector.conntrack",
    "--collector.cpu",
    "--collector.cpufreq",
    "--collector.diskstats",
    "--collector.dmi",
    "--collector.edac",
    "--collector.entropy",
    "--collector.fibrechannel",
    "--collector.filefd",
    "--collector.filesystem",
    "--collector.hwmon",
    "--collector.infiniband",
    "--collector.ipvs",
    "--collector.loadavg",
    "--collector.mdadm",
    "--collector.meminfo",
    "--collector.netclass",
    "--collector.netdev",
    "--collector.netstat",
    "--collector.nfs",
    "--collector.nfsd",
    "--collector.nvme",
    "--collector.os",
    "--collector.perf",
    "--collector.powersupplyclass",
    "--collector.pressure",
    "--collector.processes",
    "--collector.qdisc",
    "--collector.rapl",
    "--collector.schedstat",
    "--collector.selinux",
    "--collector.slabinfo",
    "--collector.sockstat",
    "--collector.softnet",
    "--collector.stat",
    "--collector.sysctl",
    "--collector.tapestats",
    "--collector.tcpstat",
    "--collector.textfile",
    "--collector.thermal_zone",
    "--collector.time",
    "--collector.timex",
    "--collector.udp_queues",
    "--collector.uname",
    "--collector.vmstat",
    "--collector.wifi",
    "--collector.xfs",
    "--collector.zfs",
    "--collector.zoneinfo",
];

/// Collectors that 1.5 does not have.
const NEW_COLLECTORS: &[&str] = &["--collector.dmmultipath", "--collector.kernel_hung"];

/// More collectors that run only when asked for.
const OFF_BY_DEFAULT: &[&str] = &[
    "--collector.buddyinfo",
    "--collector.cgroups",
    "--collector.drbd",
    "--collector.drm",
    "--collector.ethtool",
    "--collector.interrupts",
    "--collector.ksmd",
    "--collector.lnstat",
    "--collector.logind",
    "--collector.meminfo_numa",
    "--collector.mountstats",
    "--collector.network_route",
];

/// What Debian changed in the reference's defaults is set to one value for both.
const SAME_DEFAULTS: &[&str] = &[
    "--collector.netdev.device-exclude=^$",
    "--collector.diskstats.device-exclude=^(ram|fd)",
    "--collector.filesystem.mount-points-exclude=^/(proc|sys)($|/)",
    "--collector.textfile.directory=",
    "--collector.filesystem.fs-types-exclude=^(proc|sysfs|cgroup2?)$",
    "--collector.netstat.fields=^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_.*|Tcp(Ext)?_.*|Udp6?_.*)$",
];

/// What else can be asked for, in both.
const MORE: &[&str] = &[
    "--collector.cpu.info",
    "--collector.cpu.info.flags-include=^(fpu|sse)",
    "--collector.cpu.info.bugs-include=spectre",
    "--collector.stat.softirq",
    "--collector.netdev.address-info",
    "--collector.netdev.enable-detailed-metrics",
    "--collector.netclass.ignore-invalid-speed",
    "--collector.netclass.ignored-devices=^lo$",
    "--collector.vmstat.fields=^(nr_|pg)",
    "--collector.sysctl.include=kernel.pid_max",
    "--collector.sysctl.include=net.ipv4.tcp_rmem",
    "--collector.sysctl.include=fs.dentry-state:all,unused,age,want,negative,dummy",
    "--collector.sysctl.include-info=kernel.seccomp.actions_avail",
];

/// What later versions of the reference changed.
#[derive(Debug)]
enum Difference {
    /// A family that 1.5 does not have.
    NewFamily(&'static str),
    /// A label that 1.5 does not have, on all families that begin like this.
    NewLabel(&'static str, &'static str),
    /// A family whose one sample says something else by its nature.
    OtherLabels(&'static str),
    /// A value that has another meaning.
    OtherValue(&'static str),
    /// Families that begin like this and count from another moment on.
    OtherStart(&'static str),
    /// A family that shows only what there is just now: its samples come and go between two reads.
    Passing(&'static str),
}

use Difference::{NewFamily, NewLabel, OtherLabels, OtherStart, OtherValue, Passing};

const DIFFERENCES: &[Difference] = &[
    NewLabel("node_disk_info", "rotational"),
    NewLabel("node_filesystem_", "device_error"),
    NewLabel("node_network_info", "adminstate"),
    NewFamily("node_kernel_hung_tasks_total"),
    NewFamily("node_cpu_online"),
    NewFamily("node_cpu_frequency_hertz"),
    NewFamily("node_filesystem_mount_info"),
    NewFamily("node_pressure_irq_stalled_seconds_total"),
    NewFamily("node_softnet_backlog_len"),
    NewFamily("node_softnet_cpu_collision_total"),
    NewFamily("node_softnet_flow_limit_count_total"),
    NewFamily("node_softnet_received_rps_total"),
    NewFamily("skopos_agent_build_info"),
    OtherLabels("node_exporter_build_info"),
    OtherValue("node_scrape_collector_duration_seconds"),
    NewLabel("node_tcp_connection_states", "direction"),
    NewLabel("node_tcp_connection_states", "port"),
    OtherStart("node_perf_"),
    Passing("node_processes_state"),
    Passing("node_processes_threads_state"),
    Passing("node_tcp_connection_states"),
];

/// Gauges that go up and down between two reads, and by how much at most: a part of the greater value
/// and something beside.
const MOVING: &[(&str, f64, f64)] = &[
    ("node_memory_", 0.2, 2e9),
    ("node_load", 0.2, 2.0),
    ("node_procs_", 0.0, 200.0),
    ("node_filefd_allocated", 0.5, 500.0),
    ("node_filesystem_", 0.05, 2e9),
    ("node_disk_io_now", 0.0, 10_000.0),
    ("node_vmstat_nr_", 0.5, 1e6),
    ("node_netstat_Tcp_CurrEstab", 0.5, 500.0),
    ("node_nf_conntrack_entries", 0.5, 500.0),
    ("node_entropy_available_bits", 0.5, 0.0),
    // Two readers of the kernel's idle and wait times see small steps back at different moments.
    ("node_cpu_seconds_total", 0.0, 0.5),
    ("node_cpu_frequency_hertz", 0.5, 0.0),
    ("node_processes_", 0.5, 300.0),
    ("node_qdisc_backlog", 1.0, 1e7),
    ("node_qdisc_current_queue_length", 1.0, 1e4),
    ("node_slabinfo_active_objects", 0.5, 1e6),
    ("node_slabinfo_objects", 0.5, 1e6),
    ("node_sysctl_fs_dentry_state", 0.5, 1e6),
    ("node_tcp_connection_states", 1.0, 1e6),
    ("node_zoneinfo_high", 0.5, 1e6),
    ("node_zoneinfo_low", 0.5, 1e6),
    ("node_zoneinfo_min", 0.5, 1e6),
    ("node_zoneinfo_nr_active", 0.5, 1e6),
    ("node_zoneinfo_nr_anon", 0.5, 1e6),
    ("node_zoneinfo_nr_dirty_", 0.5, 1e6),
    ("node_zoneinfo_nr_file", 0.5, 1e6),
    ("node_zoneinfo_nr_free", 0.5, 1e6),
    ("node_zoneinfo_nr_inactive", 0.5, 1e6),
    ("node_zoneinfo_nr_isolated", 0.5, 1e6),
    ("node_zoneinfo_nr_kernel", 0.5, 1e6),
    ("node_zoneinfo_nr_mapped", 0.5, 1e6),
    ("node_zoneinfo_nr_shmem", 0.5, 1e6),
    ("node_zoneinfo_nr_slab", 0.5, 1e6),
    ("node_zoneinfo_nr_unevictable", 0.5, 1e6),
    ("node_zoneinfo_nr_writeback", 0.5, 1e6),
    ("node_sockstat_", 1.0, 50_000.0),
    ("node_softnet_backlog_len", 0.0, 1000.0),
    ("node_timex_estimated_error_seconds", 0.1, 0.01),
    ("node_timex_frequency_adjustment_ratio", 1e-6, 0.0),
    ("node_timex_maxerror_seconds", 0.1, 0.01),
    ("node_timex_offset_seconds", 0.1, 1e-4),
    ("node_udp_queues", 1.0, 1e7),
    ("node_buddyinfo_blocks", 1.0, 1e6),
    // The reference takes the number of entries of the kernel's caches for a counter.
    ("node_lnstat_entries_total", 1.0, 1000.0),
];

fn page(peer: &Service) -> Page {
    Page::parse(&peer.get("/metrics").body)
}

/// Without the labels that only one of the two has.
fn comparable(key: &Key) -> Key {
    let (name, labels) = key;
    let is_new = |label: &str| {
        DIFFERENCES
            .iter()
            .any(|d| matches!(d, NewLabel(start, new) if name.starts_with(start) && *new == label))
    };
    let kept = labels.iter().filter(|(label, _)| !is_new(label)).cloned();
    (name.clone(), if is_other_labels(name) { Vec::new() } else { kept.collect() })
}

fn is_other_labels(name: &str) -> bool {
    DIFFERENCES.iter().any(|d| matches!(d, OtherLabels(family) if name == *family))
}

fn is_passing(name: &str) -> bool {
    DIFFERENCES.iter().any(|d| matches!(d, Passing(family) if name == *family))
}

fn is_of_new_collector((name, labels): &Key) -> bool {
    let is_new =
        |value: &str| NEW_COLLECTORS.iter().any(|flag| flag.strip_prefix("--collector.") == Some(value));
    name.starts_with("node_scrape_collector_") && is_new(&labels[0].1)
}

fn is_of_runtime(name: &str) -> bool {
    ["go_", "process_", "promhttp_"].iter().any(|start| name.starts_with(start))
}

fn compare(flags: &[&str]) {
    let flags = [COLLECTORS, SAME_DEFAULTS, flags].concat();
    let peer = peers::node_exporter(&flags);
    let agent = real_agent(options(&[&flags, NEW_COLLECTORS].concat()));
    // The first read of both is not compared: it warms both, and the agent's counters never go back.
    page(&peer);
    gather(&agent);
    let (before, ours, after) = (page(&peer), gather(&agent), page(&peer));

    for (name, kind) in before.types.iter().filter(|(name, _)| !is_of_runtime(name)) {
        let found = ours.types.get(name);
        assert_eq!(found, Some(kind), "the type of {name}");
    }
    let known = |name: &str| DIFFERENCES.iter().any(|d| matches!(d, NewFamily(new) if *new == name));
    for name in ours.types.keys() {
        assert!(before.types.contains_key(name) || known(name), "{name} is not in the reference");
    }

    let keys = |page: &Page| -> BTreeSet<Key> {
        let keys = page.samples.keys().filter(|key| !is_of_new_collector(key)).map(comparable);
        keys.filter(|(name, _)| !is_of_runtime(name) && !known(name) && !is_passing(name)).collect()
    };
    let (of_peer, of_agent) = (keys(&before), keys(&ours));
    let missing: Vec<_> = of_peer.difference(&of_agent).collect();
    let extra: Vec<_> = of_agent.difference(&of_peer).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}, extra: {extra:#?}");
    assert!(of_peer.len() > 200, "only {} samples were compared", of_peer.len());

    let values = |page: &Page| -> BTreeMap<Key, f64> {
        page.samples.iter().map(|(key, value)| (comparable(key), *value)).collect()
    };
    let (before, after) = (values(&before), values(&after));
    for (key, value) in &ours.samples {
        let of = |values: &BTreeMap<Key, f64>| values.get(&comparable(key)).copied();
        let (Some(first), Some(last)) = (of(&before), of(&after)) else { continue };
        let is_other = |d: &Difference| match d {
            OtherValue(family) => *family == key.0,
            OtherStart(start) => key.0.starts_with(start),
            _ => false,
        };
        if DIFFERENCES.iter().any(is_other) {
            continue;
        }
        let is_counter = ours.types.get(&key.0) == Some(&MetricType::Counter);
        let may_move = |start: &str| key.0.starts_with(start) && (!is_counter || start.ends_with("_total"));
        let moving = MOVING.iter().find(|(start, ..)| may_move(start));
        let room = moving.map_or(0.0, |(_, part, beside)| part * first.abs().max(last.abs()) + beside);
        let rounding = 1e-9 * value.abs();
        let (low, high) = (first.min(last) - room - rounding, first.max(last) + room + rounding);
        assert!((low..=high).contains(value), "{key:?}: {first} before, {value} ours, {last} after");
    }
}

#[test]
fn the_agent_exposes_what_the_reference_exposes() {
    compare(&[]);
}

#[test]
fn the_agent_exposes_what_the_reference_exposes_when_asked_for_more() {
    compare(MORE);
}

#[test]
fn collectors_that_are_off_by_default_expose_what_the_reference_exposes() {
    compare(OFF_BY_DEFAULT);
}

#[test]
fn proc_net_dev_gives_what_the_reference_gives_of_it() {
    compare(&["--no-collector.netdev.netlink"]);
}

/// What 1.5 does not show when it asks netlink; later versions read it from sysfs, too.
const NOT_BY_NETLINK: &[&str] =
    &["node_network_address_assign_type", "node_network_device_id", "node_network_name_assign_type"];
/// What it takes from ethtool, whose words and numbers for "unknown" are others.
const BY_ETHTOOL: &[&str] = &["node_network_info", "node_network_speed_bytes"];

#[test]
fn netlink_gives_what_the_reference_gives_of_it() {
    let flags = ["--collector.disable-defaults", "--collector.netclass", "--collector.netclass.netlink"];
    let flags = [&flags[..], &["--collector.netclass.ignored-devices=^$"]].concat();
    let peer = peers::node_exporter(&flags);
    let (theirs, ours) = (page(&peer), gather(&real_agent(options(&flags))));
    let of_network = |page: &Page| -> BTreeMap<Key, f64> {
        let is_one = |name: &str| name.starts_with("node_network_") && !BY_ETHTOOL.contains(&name);
        page.samples.iter().filter(|((name, _), _)| is_one(name)).map(|(k, v)| (k.clone(), *v)).collect()
    };
    let (theirs, mut ours) = (of_network(&theirs), of_network(&ours));
    ours.retain(|(name, _), _| !NOT_BY_NETLINK.contains(&name.as_str()));
    assert_eq!(theirs, ours);
    assert!(theirs.len() > 20, "{theirs:?}");
}

#[test]
fn no_gauge_without_reason_may_move() {
    let moving: Vec<&str> = MOVING.iter().map(|(start, ..)| *start).collect();
    let agent = real_agent(options(COLLECTORS));
    for (name, kind) in gather(&agent).types {
        if kind == MetricType::Counter && !name.starts_with("node_cpu_seconds_total") {
            assert!(!moving.iter().any(|start| name.starts_with(start)), "{name} only grows");
        }
    }
}

#[test]
fn the_differences_are_written_down() {
    let text = include_str!("../../../../docs/agent.md");
    for difference in DIFFERENCES {
        let (NewFamily(name)
        | NewLabel(_, name)
        | OtherLabels(name)
        | OtherStart(name)
        | OtherValue(name)
        | Passing(name)) = difference;
        assert!(text.contains(&format!("`{name}`")), "docs/agent.md does not name `{name}`");
    }
}
