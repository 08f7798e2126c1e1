//! A machine whose files are cut at any length, or full of nonsense: no panic, no page that cannot be
//! read, and no number that the whole file does not have.

use crate::common::{self, Page, options, still_agent, still_agent_of};
use skopos_agent::NodeAgent;
use skopos_base::{env::Env, rng::Rng};
use std::{
    fs,
    path::{Path, PathBuf},
};

const FLAGS: &[&str] = &[
    "--collector.cpu.info",
    "--collector.cpu.info.flags-include=.",
    "--collector.stat.softirq",
    "--no-collector.netdev.netlink",
    "--collector.netdev.label-ifalias",
    "--collector.vmstat.fields=.*",
    "--collector.diskstats.device-exclude=",
];

/// A copy of the machine whose files may be broken.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metal");
    for name in files_in(&machine) {
        let to = folder.path().join(&name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(machine.join(&name), to).unwrap();
    }
    folder
}

/// The files below `folder`, by their names from there, sorted.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn gather(agent: &NodeAgent) -> Page {
    let page = common::gather(agent);
    let collectors = page.samples.keys().filter(|(name, _)| name == "node_scrape_collector_success").count();
    assert_eq!(collectors, agent.enabled().count(), "every collector says how it went");
    page
}

/// The collectors that read this file of the machine.
fn readers(name: &Path) -> &'static [&'static str] {
    match name.to_str().unwrap() {
        "proc/stat" => &["--collector.cpu", "--collector.stat"],
        "proc/cpuinfo" => &["--collector.cpu"],
        "proc/meminfo" => &["--collector.meminfo"],
        "proc/diskstats" => &["--collector.diskstats"],
        "proc/1/mountinfo" => &["--collector.filesystem"],
        "proc/net/dev" => &["--collector.netdev"],
        "proc/loadavg" => &["--collector.loadavg"],
        "proc/sys/fs/file-nr" => &["--collector.filefd"],
        "proc/vmstat" => &["--collector.vmstat"],
        "etc/os-release" => &["--collector.os"],
        name if name.starts_with("proc/pressure") => &["--collector.pressure"],
        name if name.starts_with("run/udev") || name.starts_with("sys/block") => &["--collector.diskstats"],
        name if name.starts_with("sys/class/net") => &["--collector.netdev"],
        name if name.starts_with("sys/devices/system/cpu") => &["--collector.cpu"],
        name if name.starts_with("sys/devices/system/clocksource") => &["--collector.time"],
        name => panic!("no collector is known to read {name}"),
    }
}

#[test]
fn a_file_that_was_cut_gives_no_number_that_the_whole_file_does_not_have() {
    let folder = copy();
    for name in files_in(folder.path()) {
        let options = options(&[FLAGS, &["--collector.disable-defaults"], readers(&name)].concat());
        // A new agent for each read, since agents remember what a disk is.
        let read = || gather(&still_agent_of(folder.path(), options.clone()));
        let whole = read();
        let path = folder.path().join(&name);
        let content = fs::read(&path).unwrap();
        let is_table = name.starts_with("proc");
        for len in 0..content.len() {
            fs::write(&path, &content[..len]).unwrap();
            let page = read();
            for (key, value) in page.samples.iter().filter(|_| is_table) {
                // Descriptions are texts: a part of one is less, not wrong.
                if key.0 != "node_scrape_collector_success" && !key.0.ends_with("_info") {
                    assert_eq!(
                        whole.samples.get(key),
                        Some(value),
                        "{} cut at {len}: {key:?}",
                        name.display()
                    );
                }
            }
        }
        fs::write(&path, &content).unwrap();
    }
}

#[test]
fn a_file_that_is_missing_costs_only_its_collector() {
    let folder = copy();
    for (name, collector) in [
        ("proc/1/mountinfo", "filesystem"),
        ("proc/cpuinfo", "cpu"),
        ("proc/diskstats", "diskstats"),
        ("proc/loadavg", "loadavg"),
        ("proc/meminfo", "meminfo"),
        ("proc/net/dev", "netdev"),
        ("proc/sys/fs/file-nr", "filefd"),
        ("proc/vmstat", "vmstat"),
        ("etc/os-release", "os"),
    ] {
        let path = folder.path().join(name);
        let content = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let page = gather(&still_agent(folder.path(), FLAGS));
        for ((family, labels), value) in &page.samples {
            if family == "node_scrape_collector_success" {
                assert_eq!(*value, f64::from(u8::from(labels[0].1 != collector)), "{name}: {labels:?}");
            }
        }
        fs::write(&path, &content).unwrap();
    }
}

#[test]
fn nonsense_in_any_file_gives_a_page_that_can_be_read() {
    const ROUNDS: usize = 25;
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| Env::real().rng.next_u64());
    println!("SEED={seed}");
    let options = options(FLAGS);
    let rng = Rng::from_seed(seed);
    let folder = copy();
    for name in files_in(folder.path()) {
        let path = folder.path().join(&name);
        let content = fs::read(&path).unwrap();
        for _ in 0..ROUNDS {
            let mut broken = content.clone();
            for _ in 0..=rng.below(4) {
                break_once(&mut broken, &rng);
            }
            fs::write(&path, &broken).unwrap();
            gather(&still_agent_of(folder.path(), options.clone()));
        }
        fs::write(&path, &content).unwrap();
    }
}

/// Changes a byte, or puts one in, or doubles a line, or takes a piece out.
fn break_once(content: &mut Vec<u8>, rng: &Rng) {
    const ODD: &[u8] = b"\0\n\t :=-9\\\"{}\xff\xc3";
    let at = rng.below(content.len() as u64 + 1) as usize;
    let odd = ODD[rng.below(ODD.len() as u64) as usize];
    match rng.below(4) {
        0 if at < content.len() => content[at] = odd,
        1 => content.insert(at, odd),
        2 => {
            let line = content[at..].split_inclusive(|b| *b == b'\n').nth(1).unwrap_or_default().to_vec();
            content.splice(content.len().., line);
        }
        _ => {
            let end = (at + 1 + rng.below(20) as usize).min(content.len());
            content.drain(at.min(end)..end);
        }
    }
}
