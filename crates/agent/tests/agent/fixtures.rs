//! Machines that are folders of files, and the pages they give. `UPDATE_GOLDEN=1` writes the pages
//! anew; look at the difference before you keep it.

use crate::common::{Page, gather, still_agent};
use skopos_exposition::Format;
use std::{fmt::Write as _, fs, path::PathBuf};

fn here(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

const ALL_FLAGS: &[&str] = &[
    "--collector.cpu.info",
    "--collector.cpu.info.flags-include=^avx",
    "--collector.cpu.info.bugs-include=.",
    "--collector.stat.softirq",
    "--collector.netdev.address-info",
    "--collector.netdev.enable-detailed-metrics",
    "--collector.netdev.label-ifalias",
    "--collector.netdev.device-exclude=^lo$",
    "--collector.diskstats.device-exclude=",
    "--collector.filesystem.mount-points-exclude=^/run$",
    "--collector.filesystem.fs-types-include=ext4|vfat",
    "--collector.vmstat.fields=.*",
];

#[test]
fn machines_give_the_pages_that_are_kept() {
    for (machine, page, line, format) in [
        ("metal", "metal", &[][..], Format::Text),
        ("metal", "metal-openmetrics", &[], Format::OpenMetrics),
        ("metal", "metal-all-flags", ALL_FLAGS, Format::Text),
        (
            "metal",
            "metal-proc-net-dev",
            &["--collector.disable-defaults", "--collector.netdev", "--no-collector.netdev.netlink"],
            Format::Text,
        ),
        (
            "metal",
            "metal-proc-net-dev-detailed",
            &[
                "--collector.disable-defaults",
                "--collector.netdev",
                "--no-collector.netdev.netlink",
                "--collector.netdev.enable-detailed-metrics",
            ],
            Format::Text,
        ),
        ("old", "old", &["--no-collector.netdev.netlink"], Format::Text),
        ("nothing", "nothing", &[], Format::Text),
    ] {
        let agent = still_agent(&here("fixtures").join(machine), line);
        let mut out = Vec::new();
        agent.gather(format, &mut out);
        let given = String::from_utf8(out).unwrap();
        if format == Format::Text {
            Page::parse(given.as_bytes());
        }
        let path = here("golden").join(format!("{page}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &given).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        for (i, (given, kept)) in given.lines().zip(kept.lines()).enumerate() {
            assert_eq!(given, kept, "{page}: line {}", i + 1);
        }
        assert_eq!(given.len(), kept.len(), "{page}");
    }
}

#[test]
fn a_second_scrape_gives_the_same_page() {
    let agent = still_agent(&here("fixtures/metal"), ALL_FLAGS);
    let (mut first, mut second) = (Vec::new(), b"before\n".to_vec());
    agent.gather(Format::Text, &mut first);
    agent.gather(Format::Text, &mut second);
    assert_eq!([&b"before\n"[..], &first].concat(), second);
}

#[test]
fn a_machine_of_128_cpus_shows_each_of_them() {
    const CPUS: usize = 128;
    let folder = tempfile::tempdir().unwrap();
    let cpus = folder.path().join("sys/devices/system/cpu");
    let mut stat = "cpu  0 0 0 0\n".to_owned();
    for cpu in 0..CPUS {
        writeln!(stat, "cpu{cpu} {cpu} 1 2 {} 4 5 6 7 8 9", cpu * 100).unwrap();
        for (name, value) in [
            ("topology/physical_package_id", cpu / 64),
            ("topology/core_id", cpu % 32),
            ("thermal_throttle/core_throttle_count", cpu),
            ("thermal_throttle/package_throttle_count", 1000 + cpu / 64),
        ] {
            let path = cpus.join(format!("cpu{cpu}/{name}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
    }
    fs::write(cpus.join("online"), "0-127\n").unwrap();
    fs::create_dir_all(folder.path().join("proc")).unwrap();
    fs::write(folder.path().join("proc/stat"), stat).unwrap();
    let agent = still_agent(folder.path(), &["--collector.disable-defaults", "--collector.cpu"]);
    let page = gather(&agent);
    for cpu in [0, 63, 127] {
        let label = cpu.to_string();
        let idle = page.value("node_cpu_seconds_total", &[("cpu", &label), ("mode", "idle")]);
        assert_eq!(idle, Some(cpu as f64));
    }
    let families = |name: &str| page.samples.keys().filter(|(family, _)| family == name).count();
    assert_eq!(families("node_cpu_seconds_total"), CPUS * 8);
    assert_eq!(families("node_cpu_guest_seconds_total"), CPUS * 2);
    assert_eq!(families("node_cpu_core_throttles_total"), 64);
    assert_eq!(families("node_cpu_package_throttles_total"), 2);
    let core = page.value("node_cpu_core_throttles_total", &[("package", "1"), ("core", "5")]);
    assert_eq!(core, Some(69.0), "the first thread of the core counts");
}

#[test]
fn a_cpu_that_goes_and_comes_back_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cpu = folder.path().join("sys/devices/system/cpu");
    fs::create_dir_all(folder.path().join("proc")).unwrap();
    fs::create_dir_all(cpu.join("cpu0")).unwrap();
    fs::write(cpu.join("present"), "0-1\n").unwrap();
    fs::write(cpu.join("cpu0/online"), "1\n").unwrap();
    let agent = still_agent(folder.path(), &["--collector.disable-defaults", "--collector.cpu"]);
    let cpu_0 = "cpu0 10 0 0 9000 0 0 0 0 0 0\n";
    for (stat, online, idle, is_online) in [
        ("cpu1 10 0 0 5000 0 0 0 0 0 0\n", "0-1\n", Some(50.0), 1.0),
        ("cpu1 10 0 0 4999 0 0 0 0 0 0\n", "0-1\n", Some(50.0), 1.0),
        ("", "0\n", None, 0.0),
        ("cpu1 0 0 0 7 0 0 0 0 0 0\n", "0-1\n", Some(0.07), 1.0),
    ] {
        fs::write(folder.path().join("proc/stat"), format!("{cpu_0}{stat}")).unwrap();
        fs::write(cpu.join("online"), online).unwrap();
        let page = gather(&agent);
        assert_eq!(page.value("node_cpu_seconds_total", &[("cpu", "1"), ("mode", "idle")]), idle);
        assert_eq!(page.value("node_cpu_online", &[("cpu", "1")]), Some(is_online));
    }
}
