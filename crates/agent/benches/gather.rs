//! One scrape of all node collectors: on this machine, and on one of 128 CPUs and 200 disks made of
//! files. Beside the time it prints how often a scrape allocates, how large its page is, and what the
//! process holds in memory.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

use criterion::{Criterion, criterion_group, criterion_main};
use skopos_agent::{AgentEnv, BuildInfo, NodeAgent, NodeOptions, Paths, ThisHost};
use skopos_base::env::Env;
use skopos_exposition::Format;
use std::{fmt::Write as _, fs, hint::black_box, path::Path, sync::Arc};

const CPUS: usize = 128;
const DISKS: usize = 200;

fn agent(paths: Option<Paths>) -> NodeAgent {
    let options = NodeOptions { paths: paths.unwrap_or_default(), ..NodeOptions::default() };
    let Env { clock, spawner, .. } = Env::real();
    NodeAgent::new(options, BuildInfo::default(), AgentEnv { clock, spawner, host: Arc::new(ThisHost) })
}

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The files of `tests/fixtures/metal`, with many more CPUs and disks.
fn large_machine(folder: &Path) {
    let metal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metal");
    for name in [
        "proc/1/mountinfo",
        "proc/meminfo",
        "proc/loadavg",
        "proc/vmstat",
        "proc/sys/fs/file-nr",
        "proc/pressure/cpu",
        "proc/pressure/io",
        "proc/pressure/memory",
        "etc/os-release",
    ] {
        write(folder, name, &fs::read_to_string(metal.join(name)).unwrap());
    }
    let mut stat = String::new();
    for cpu in 0..CPUS {
        writeln!(stat, "cpu{cpu} 10132153 290696 3084719 46828483 16683 0 25195 175628 0 0").unwrap();
        for (name, value) in [
            ("topology/physical_package_id", cpu / 64),
            ("topology/core_id", cpu % 64),
            ("thermal_throttle/core_throttle_count", cpu),
            ("thermal_throttle/package_throttle_count", cpu),
        ] {
            write(folder, &format!("sys/devices/system/cpu/cpu{cpu}/{name}"), &format!("{value}\n"));
        }
    }
    write(folder, "sys/devices/system/cpu/online", "0-127\n");
    let interrupts = " 12345".repeat(1500);
    writeln!(stat, "intr 1462898{interrupts}\nctxt 115315\nbtime 769041601\nprocesses 86031").unwrap();
    write(folder, "proc/stat", &stat);
    let mut disks = String::new();
    for disk in 0..DISKS {
        let counters = "51033 16907 9641922 43834 27370 41255 5185488 15583 2 17096 60363 1 2 3 4 5 6";
        writeln!(disks, " 259 {disk} nvme{disk}n1 {counters}").unwrap();
        write(folder, &format!("sys/block/nvme{disk}n1/queue/rotational"), "0\n");
        let udev = format!("E:ID_MODEL=Example\nE:ID_SERIAL=serial{disk}\nE:ID_WWN=eui.{disk}\n");
        write(folder, &format!("run/udev/data/b259:{disk}"), &udev);
    }
    write(folder, "proc/diskstats", &disks);
}

fn bench_one(c: &mut Criterion, name: &str, agent: &NodeAgent) {
    let mut page = Vec::new();
    agent.gather(Format::Text, &mut page);
    page.clear();
    let counted = allocation_counter::measure(|| agent.gather(Format::Text, &mut page));
    let samples = page.split(|b| *b == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count();
    eprintln!(
        "{name}: {} allocations a scrape, {samples} samples, page of {} bytes, {} kB resident",
        counted.count_total,
        page.len(),
        resident_kb()
    );
    eprintln!("{name}: the slowest are {}", slowest(&page));
    c.bench_function(name, |b| {
        b.iter(|| {
            page.clear();
            agent.gather(Format::Text, &mut page);
            black_box(page.len())
        });
    });
}

/// The collectors that took longest, with their microseconds.
fn slowest(page: &[u8]) -> String {
    let text = std::str::from_utf8(page).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("node_scrape_collector_duration_seconds{"));
    let mut took: Vec<(f64, &str)> = lines
        .map(|line| {
            let (label, seconds) = line.split_once("} ").unwrap();
            (seconds.parse::<f64>().unwrap() * 1e6, label)
        })
        .collect();
    took.sort_by(|a, b| b.0.total_cmp(&a.0));
    took.iter().take(5).map(|(us, label)| format!("{label} {us:.0} µs")).collect::<Vec<_>>().join(", ")
}

fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn gather(c: &mut Criterion) {
    bench_one(c, "agent/gather/this machine", &agent(None));
    let folder = tempfile::tempdir().unwrap();
    large_machine(folder.path());
    let large = agent(Some(Paths::below(folder.path().to_str().unwrap())));
    bench_one(c, "agent/gather/128 CPUs and 200 disks", &large);
}

criterion_group!(benches, gather);
criterion_main!(benches);
