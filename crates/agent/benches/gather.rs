//! One scrape of all node collectors that run by default: on this machine, and on one of 128 CPUs and 200
//! disks made of files. Beside the time it prints how often a scrape allocates, how large its page is, what
//! it takes of the processor, how long the slowest take, and what the process holds in memory.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use skopos_agent::{AgentEnv, BuildInfo, NodeAgent, NodeOptions, Paths, ThisHost};
use skopos_base::{
    env::Env,
    spawn::{Joined, Spawner, Stop},
};
use skopos_exposition::Format;
use skopos_testkit::machine::LARGE;
use std::{
    collections::BTreeSet,
    fs,
    hint::black_box,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

const SCRAPES: usize = 500;

/// Gives no threads: all collectors then run on the caller's, where their allocations are counted.
#[derive(Debug)]
struct NoThreads(Arc<dyn Spawner>);

impl Spawner for NoThreads {
    fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Joined>> {
        Err(io::ErrorKind::OutOfMemory.into())
    }

    fn stop_signal(&self) -> Arc<dyn Stop> {
        self.0.stop_signal()
    }
}

fn agent(paths: Option<&Paths>, spawner: Arc<dyn Spawner>) -> NodeAgent {
    agent_of(options(paths), spawner)
}

fn options(paths: Option<&Paths>) -> NodeOptions {
    let mut options = NodeOptions { paths: paths.cloned().unwrap_or_default(), ..NodeOptions::default() };
    // The files have network devices of their own.
    options.netdev.netlink = paths.is_none();
    options
}

fn agent_of(options: NodeOptions, spawner: Arc<dyn Spawner>) -> NodeAgent {
    let env = AgentEnv { clock: Env::real().clock, spawner, host: Arc::new(ThisHost) };
    NodeAgent::new(options, BuildInfo::default(), env)
}

/// Allocations of one scrape. File systems are not asked, for that takes threads.
fn allocations(options: NodeOptions) -> u64 {
    let agent = agent_of(options, Arc::new(NoThreads(Env::real().spawner)));
    let mut page = Vec::new();
    agent.gather(Format::Text, &mut page);
    page.clear();
    allocation_counter::measure(|| agent.gather(Format::Text, &mut page)).count_total
}

/// The collectors that allocate most when each runs alone.
fn allocators(paths: Option<&Paths>) -> String {
    let all = options(paths);
    let alone = |name: &&'static str| {
        let enabled = BTreeSet::from([*name]);
        (allocations(NodeOptions { enabled, ..all.clone() }), *name)
    };
    let mut found: Vec<(u64, &str)> = all.enabled.iter().map(alone).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.iter().take(8).map(|(count, name)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn bench_one(c: &mut Criterion, name: &str, paths: Option<&Paths>) {
    let agent = agent(paths, Env::real().spawner);
    let mut page = Vec::new();
    let mut took = Vec::with_capacity(SCRAPES);
    agent.gather(Format::Text, &mut page);
    let before = cpu_time();
    for _ in 0..SCRAPES {
        page.clear();
        let began = Instant::now();
        agent.gather(Format::Text, &mut page);
        took.push(began.elapsed());
    }
    let cpu_a_scrape = (cpu_time() - before) / SCRAPES as u32;
    took.sort_unstable();
    let samples = page.split(|b| *b == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count();
    eprintln!(
        "{name}: {} collectors, {} allocations a scrape, {samples} samples, page of {} bytes, \
         {cpu_a_scrape:.2?} of the processor a scrape, p50 {:.2?}, p99 {:.2?}, {} kB resident",
        agent.enabled().len(),
        allocations(options(paths)),
        page.len(),
        took[SCRAPES / 2],
        took[SCRAPES * 99 / 100],
        resident_kb()
    );
    eprintln!("{name}: the slowest are {}", slowest(&page));
    eprintln!("{name}: the most allocations are of {}", allocators(paths));
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
    bench_one(c, "agent/gather/this machine", None);
    let folder = tempfile::tempdir().unwrap();
    LARGE.write(folder.path()).unwrap();
    let paths = Paths::below(folder.path().to_str().unwrap());
    bench_one(c, "agent/gather/128 CPUs and 200 disks", Some(&paths));
}

criterion_group!(benches, gather);
criterion_main!(benches);
