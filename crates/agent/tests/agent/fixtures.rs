//! Machines that are folders of files, and the pages they give. Every `golden/NAME.args` says what to ask of
//! which machine, and `golden/NAME.txt` is the page. `UPDATE_GOLDEN=1` writes the pages anew; look at the
//! difference before you keep it.

use crate::common::{Page, check_golden, gather, here, still_agent};
use skopos_agent::NodeAgent;
use skopos_exposition::Format;
use std::{fmt::Write as _, fs};

/// What a file `golden/NAME.args` says: the machine, and how it is read. Its lines are `machine NAME`,
/// `collectors NAME…` for only these, `format openmetrics`, and flags.
struct Golden {
    name: String,
    machine: String,
    format: Format,
    line: Vec<String>,
}

impl Golden {
    fn read(name: &str) -> Self {
        let text = fs::read_to_string(here("golden").join(format!("{name}.args"))).unwrap();
        let mut golden =
            Self { name: name.into(), machine: String::new(), format: Format::Text, line: Vec::new() };
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("machine", machine)) => golden.machine = machine.into(),
                Some(("format", "openmetrics")) => golden.format = Format::OpenMetrics,
                Some(("collectors", names)) => {
                    golden.line.push("--collector.disable-defaults".into());
                    golden.line.extend(names.split(' ').map(|name| format!("--collector.{name}")));
                }
                _ => golden.line.push(line.into()),
            }
        }
        golden
    }

    fn agent(&self) -> NodeAgent {
        let line: Vec<&str> = self.line.iter().map(String::as_str).collect();
        still_agent(&here("fixtures").join(&self.machine), &line)
    }

    fn check(&self) {
        let mut out = Vec::new();
        self.agent().gather(self.format, &mut out);
        // Some labels are paths of the machine, which is somewhere below this crate.
        let root = here("fixtures").join(&self.machine);
        let given = String::from_utf8(out).unwrap().replace(root.to_str().unwrap(), "");
        if self.format == Format::Text {
            Page::parse(given.as_bytes());
        }
        check_golden(&self.name, &given);
    }
}

#[test]
fn machines_give_the_pages_that_are_kept() {
    let files = fs::read_dir(here("golden")).unwrap().map(|entry| entry.unwrap().path());
    let mut checked = 0;
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "args")) {
        Golden::read(path.file_stem().unwrap().to_str().unwrap()).check();
        checked += 1;
    }
    assert!(checked >= 7, "only {checked} pages are kept");
}

#[test]
fn a_second_scrape_gives_the_same_page() {
    let agent = Golden::read("metal-all-flags").agent();
    let (mut first, mut second) = (Vec::new(), b"before\n".to_vec());
    agent.gather(Format::Text, &mut first);
    agent.gather(Format::Text, &mut second);
    assert_eq!([&b"before\n"[..], &first].concat(), second);
}

#[test]
fn a_cpu_that_cpuinfo_does_not_place_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let cpus = folder.path().join("sys/devices/system/cpu");
    fs::create_dir_all(folder.path().join("proc")).unwrap();
    fs::create_dir_all(cpus.join("cpu0/cpufreq")).unwrap();
    fs::write(cpus.join("cpu0/cpufreq/cpuinfo_cur_freq"), "1000\n").unwrap();
    let text = "processor : 0\ncpu MHz : 5\n\nprocessor : 1\ncpu MHz : 6\n\n";
    fs::write(folder.path().join("proc/cpuinfo"), text).unwrap();
    let line = ["--collector.disable-defaults", "--collector.cpufreq", "--collector.cpu.info"];
    let page = gather(&still_agent(folder.path(), &line));
    let hertz = ["0", "1"].map(|cpu| page.value("node_cpu_frequency_hertz", &[("cpu", cpu)]));
    assert_eq!(hertz, [Some(1e6), Some(6e6)]);
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
