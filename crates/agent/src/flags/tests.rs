//! Command lines, and what they mean.

use super::*;
use clap::{Parser, error::ErrorKind};

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    args: AgentArgs,
}

fn parse(line: &[&str]) -> Result<AgentArgs, clap::Error> {
    Program::try_parse_from(std::iter::once("agent").chain(line.iter().copied())).map(|program| program.args)
}

fn options(line: &[&str]) -> Result<NodeOptions, OptionsError> {
    parse(line).unwrap().collectors.options()
}

#[test]
fn the_command_line_of_a_container_is_understood() {
    let options = options(&[
        "--path.procfs=/host/proc",
        "--path.rootfs=/rootfs",
        "--path.sysfs=/host/sys",
        "--collector.filesystem.mount-points-exclude=^(sys|proc|dev|host|etc)($|/)",
    ])
    .unwrap();
    let paths = Paths {
        procfs: "/host/proc".into(),
        sysfs: "/host/sys".into(),
        rootfs: "/rootfs".into(),
        udev_data: "/run/udev/data".into(),
    };
    assert_eq!(options.paths, paths);
    assert!(options.filesystem.mount_points.admits(b"/dev"), "the given expression has no leading slash");
}

#[test]
fn the_defaults_are_those_of_the_reference() {
    let args = parse(&[]).unwrap();
    assert_eq!(args.web.listen_address, [":9100"]);
    assert_eq!((args.web.telemetry_path.as_str(), args.web.max_requests), ("/metrics", 40));
    assert_eq!((args.web.max_connections, args.web.read_header_timeout.as_ms()), (512, 10_000));
    for refused in ["--web.max-connections=0", "--web.read-header-timeout=0s"] {
        assert!(parse(&[refused]).is_err(), "{refused}");
    }
    assert_eq!(args.collectors, CollectorArgs::default());
    let options = args.collectors.options().unwrap();
    assert_eq!(options.enabled.len(), names::all().filter(|known| known.switch.default).count());
    assert!(options.cpu.guest && options.cpu.info.is_none() && options.netdev.netlink);
    assert_eq!(options.filesystem.mount_timeout.as_secs(), 5);
    for (name, shown) in [
        ("sda", true),
        ("sda1", false),
        ("nvme0n1", true),
        ("nvme0n1p2", false),
        ("loop3", false),
        ("zram0", false),
    ] {
        assert_eq!(options.disk_devices.admits(name.as_bytes()), shown, "{name}");
    }
    for (name, shown) in [("/", true), ("/dev/shm", false), ("/run", true), ("/var/lib/docker/x", false)] {
        assert_eq!(options.filesystem.mount_points.admits(name.as_bytes()), shown, "{name}");
    }
    for (name, shown) in
        [("ext4", true), ("tmpfs", true), ("cgroup2", false), ("overlay", false), ("erofs", false)]
    {
        assert_eq!(options.filesystem.fs_types.admits(name.as_bytes()), shown, "{name}");
    }
}

#[test]
fn collectors_are_turned_on_and_off() {
    for (line, on, off) in [
        (&["--no-collector.cpu"][..], "meminfo", "cpu"),
        (&["--collector.disable-defaults", "--collector.stat"], "stat", "cpu"),
        (&["--collector.cpu", "--no-collector.cpu"], "meminfo", "cpu"),
        (&["--no-collector.cpu", "--collector.cpu"], "cpu", "wifi"),
        (&["--no-collector.wifi", "--no-collector.zfs"], "cpu", "zfs"),
    ] {
        let enabled = options(line).unwrap().enabled;
        assert!(enabled.contains(on) && !enabled.contains(off), "{line:?}");
    }
    let error = options(&["--collector.supervisord"]).unwrap_err();
    assert!(error.to_string().starts_with("--collector.supervisord: this collector is not part"), "{error}");
}

#[test]
fn switches_and_values_can_be_written_both_ways() {
    let args = parse(&[
        "--no-collector.cpu.guest",
        "--collector.cpu.info.flags-include",
        "^avx",
        "--collector.netdev.device-exclude=^lo$",
        "--web.listen-address=127.0.0.1:1",
        "--web.listen-address",
        "127.0.0.1:2",
        "--web.disable-exporter-metrics",
        "--collector.filesystem.mount-timeout=1m30s",
    ])
    .unwrap();
    assert_eq!(args.web.listen_address, ["127.0.0.1:1", "127.0.0.1:2"]);
    assert!(args.web.disable_exporter_metrics);
    let options = args.collectors.options().unwrap();
    assert!(!options.cpu.guest && options.cpu.info.is_some(), "a filter of the info turns it on");
    assert!(!options.netdev.devices.admits(b"lo"));
    assert_eq!(options.filesystem.mount_timeout.as_secs(), 90);
}

#[test]
fn collectors_that_are_asked_for_have_their_flags() {
    let options = options(&[
        "--collector.systemd.unit-whitelist=ssh|cron.service",
        "--collector.systemd.enable-task-metrics",
        "--collector.qdisk.device-exclude=^lo$",
        "--collector.slabinfo.slabs-include=kmalloc",
        "--collector.slabinfo.slabs-exclude=dma",
        "--collector.perf.cpus=0,4-7:2",
        "--collector.perf.tracepoint=sched:sched_switch",
        "--collector.perf.software-profilers=MinorFault",
        "--collector.perf.disable-hardware-profilers",
        "--collector.perf.disable-cache-profilers",
        "--collector.sysctl.include=kernel.pid_max",
        "--collector.sysctl.include-info=kernel.osrelease",
        "--collector.tcpstat.port.source=22",
        "--collector.tcpstat.port.source=80",
        "--collector.pcidevice.idsfile=pci.ids",
    ])
    .unwrap()
    .asked;
    for (name, shown) in [("cron.service", true), ("sshd", false), ("ssh", true), ("a.mount", false)] {
        assert_eq!(options.systemd.units.admits(name.as_bytes()), shown, "{name} matches as a whole");
    }
    assert!(options.systemd.tasks && !options.systemd.restarts);
    assert!(!options.qdisc_devices.admits(b"lo") && options.qdisc_devices.admits(b"eth0"));
    assert!(options.slabs.admits(b"kmalloc-8") && !options.slabs.admits(b"dma-kmalloc-8"));
    assert_eq!(options.perf.cpus, Some(vec![0, 4, 6]));
    assert_eq!(options.perf.events, ["MinorFault"]);
    assert_eq!((options.sysctl.len(), options.tcpstat.source_ports), (2, vec![22, 80]));
    assert!(options.pci.ids_file.unwrap().starts_with('/'));
}

#[test]
fn flags_of_devices_come_to_their_options() {
    let devices = options(&[
        "--no-collector.arp.netlink",
        "--collector.arp.device-include=^eth",
        "--collector.bcache.priorityStats",
        "--collector.hwmon.sensor-exclude=^chip;temp3$",
        "--collector.ipvs.backend-labels=proto,,local_address",
        "--collector.netclass.ignored-devices=^veth",
        "--collector.netclass.ignore-invalid-speed",
        "--collector.netstat.fields=",
        "--collector.boottime",
    ])
    .unwrap()
    .devices;
    assert!(!devices.arp.netlink && devices.bcache_priority_stats && devices.netclass.ignore_invalid_speed);
    assert_eq!(["eth0", "lo"].map(|name| devices.arp.devices.admits(name.as_bytes())), [true, false]);
    let sensors = ["chip;temp3", "chip;temp33"].map(|name| devices.hwmon.sensors.admits(name.as_bytes()));
    assert_eq!(sensors, [false, true]);
    assert_eq!(devices.ipvs_labels, ["local_address", "proto"]);
    assert!(devices.netclass.ignored.unwrap().is_match(b"veth1"));
    assert!(devices.netstat_fields.is_match(b"Anything_AtAll"), "an empty expression admits all");
    let devices = options(&[]).unwrap().devices;
    assert!(devices.arp.netlink && !devices.bcache_priority_stats && !devices.netclass.ignore_invalid_speed);
    assert_eq!(devices.ipvs_labels.len(), 6);
    for (field, shown) in [
        ("Tcp_CurrEstab", true),
        ("Tcp_MaxConn", false),
        ("TcpExt_TCPTimeouts", true),
        ("Icmp6_InErrors", true),
    ] {
        assert_eq!(devices.netstat_fields.is_match(field.as_bytes()), shown, "{field}");
    }
}

#[test]
fn command_lines_that_make_no_sense_are_refused() {
    for (line, message) in [
        (
            &["--collector.netdev.device-include=a", "--collector.netdev.device-exclude=b"][..],
            "--collector.netdev.device-exclude and --collector.netdev.device-include are mutually exclusive",
        ),
        (
            &[
                "--collector.filesystem.ignored-mount-points=a",
                "--collector.filesystem.mount-points-exclude=b",
            ],
            "--collector.filesystem.ignored-mount-points and --collector.filesystem.mount-points-ex",
        ),
        (
            &["--collector.diskstats.device-exclude=("],
            "--collector.diskstats.device-exclude=(: not a regular",
        ),
        (
            &["--collector.systemd.unit-include=a", "--collector.systemd.unit-whitelist=b"],
            "--collector.systemd.unit-whitelist and --collector.systemd.unit-include are mutually exclusive",
        ),
        (&["--collector.systemd.unit-exclude=("], "--collector.systemd.unit-exclude=^(?:()$: not a regular"),
        (
            &["--collector.deadline=0s"],
            "--collector.deadline=0s: not a duration longer than 0; write it like 5s",
        ),
        (
            &["--collector.filesystem.mount-timeout=0"],
            "--collector.filesystem.mount-timeout=0: not a duration",
        ),
        (&["--collector.perf.cpus=1-"], "--collector.perf.cpus=1-: write CPUs like 0-3,8"),
        (&["--collector.perf.tracepoint=a"], "--collector.perf.tracepoint=a: write a tracepoint like"),
        (
            &["--collector.perf.cache-profilers=L9"],
            "--collector.perf.cache-profilers=L9: no event of this name",
        ),
        (&["--collector.sysctl.include="], "--collector.sysctl.include=: write the name of a setting"),
        (
            &["--collector.ipvs.backend-labels=proto,colour"],
            "--collector.ipvs.backend-labels=colour: no label of this name; there are local_address, ",
        ),
        (
            &["--collector.hwmon.chip-include=a", "--collector.hwmon.chip-exclude=b"],
            "--collector.hwmon.chip-exclude and --collector.hwmon.chip-include are mutually exclusive",
        ),
        (&["--collector.netstat.fields=("], "--collector.netstat.fields=(: not a regular"),
        (&["--collector.vmstat.fields=["], "--collector.vmstat.fields=[: not a regular"),
        (
            &["--collector.filesystem.mount-timeout=soon"],
            "--collector.filesystem.mount-timeout=soon: not a dur",
        ),
    ] {
        let error = options(line).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    for (line, kind) in [
        (&["--collector.cpu.bogus"][..], ErrorKind::UnknownArgument),
        (&["--collector.cpu=false"], ErrorKind::TooManyValues),
        (&["--web.max-requests=many"], ErrorKind::ValueValidation),
        (&["--collector.tcpstat.port.dest=http"], ErrorKind::ValueValidation),
        (&["extra"], ErrorKind::UnknownArgument),
        (
            &["--collector.netdev.device-exclude=a", "--collector.netdev.device-exclude=b"],
            ErrorKind::ArgumentConflict,
        ),
    ] {
        assert_eq!(parse(line).unwrap_err().kind(), kind, "{line:?}");
    }
}
