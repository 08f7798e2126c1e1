//! One scrape of 500 containers made of files, each of two processes and a network namespace of its own, and
//! of this machine's own control groups. Beside the time it prints what a scrape takes of the CPU, which
//! other programs disturb less, and how large its page is.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

use criterion::{Criterion, criterion_group, criterion_main};
use skopos_agent::{AgentEnv, BuildInfo, NodeAgent, NodeOptions, Paths, ThisHost};
use skopos_base::env::Env;
use skopos_exposition::Format;
use std::{
    collections::BTreeSet,
    fs,
    hint::black_box,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

const CONTAINERS: usize = 500;
/// How many scrapes the CPU is measured over.
const SCRAPES: u32 = 20;

fn agent(paths: Option<Paths>) -> NodeAgent {
    let options = NodeOptions {
        paths: paths.unwrap_or_default(),
        enabled: BTreeSet::from(["containers"]),
        ..NodeOptions::default()
    };
    let Env { clock, spawner, .. } = Env::real();
    NodeAgent::new(options, BuildInfo::default(), AgentEnv { clock, spawner, host: Arc::new(ThisHost) })
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Many copies of the container of `tests/containers/pods` that Docker made.
fn large_machine(folder: &Path) {
    let pods = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers/pods");
    let slice = pods.join("sys/fs/cgroup/system.slice");
    let is_docker = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("docker-");
    let container = fs::read_dir(&slice).unwrap().map(|e| e.unwrap().path()).find(is_docker).unwrap();
    copy_files(&pods.join("sys/fs/cgroup"), &folder.join("sys/fs/cgroup"));
    copy_files(&slice, &folder.join("sys/fs/cgroup/system.slice"));
    for name in ["diskstats", "meminfo"] {
        fs::create_dir_all(folder.join("proc")).unwrap();
        fs::copy(pods.join("proc").join(name), folder.join("proc").join(name)).unwrap();
    }
    for i in 0..CONTAINERS {
        let group = folder.join(format!("sys/fs/cgroup/system.slice/docker-{i:064x}.scope"));
        copy_files(&container, &group);
        let first = 1000 + 2 * i;
        fs::write(group.join("cgroup.procs"), format!("{first}\n{}\n", first + 1)).unwrap();
        for pid in [first, first + 1] {
            let process = folder.join(format!("proc/{pid}"));
            copy_files(&pods.join("proc/100/fd"), &process.join("fd"));
            copy_files(&pods.join("proc/100"), &process);
            copy_files(&pods.join("proc/100/net"), &process.join("net"));
            fs::create_dir_all(process.join("ns")).unwrap();
            symlink(format!("net:[{}]", 5000 + i), process.join("ns/net")).unwrap();
        }
    }
}

/// What this process took of the CPU so far.
fn cpu_s() -> f64 {
    let taken = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    taken.tv_sec as f64 + taken.tv_nsec as f64 / 1e9
}

fn bench_one(c: &mut Criterion, name: &str, agent: &NodeAgent) {
    let mut page = Vec::new();
    agent.gather(Format::Text, &mut page);
    page.clear();
    agent.gather(Format::Text, &mut page);
    let samples = page.split(|b| *b == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count();
    let begin = cpu_s();
    for _ in 0..SCRAPES {
        page.clear();
        agent.gather(Format::Text, &mut page);
    }
    eprintln!(
        "{name}: {:.1} ms of CPU a scrape, {samples} samples, page of {} bytes",
        (cpu_s() - begin) * 1e3 / f64::from(SCRAPES),
        page.len()
    );
    c.bench_function(name, |b| {
        b.iter(|| {
            page.clear();
            agent.gather(Format::Text, &mut page);
            black_box(page.len())
        });
    });
}

fn gather(c: &mut Criterion) {
    bench_one(c, "agent/containers/this machine", &agent(None));
    let folder = tempfile::tempdir().unwrap();
    large_machine(folder.path());
    let paths = Paths::below(folder.path().to_str().unwrap());
    bench_one(c, "agent/containers/500 of Docker", &agent(Some(paths)));
}

criterion_group!(benches, gather);
criterion_main!(benches);
