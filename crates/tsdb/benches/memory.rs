//! Resident bytes a series, measured as a process: what the system says that a million series with the labels
//! of containers and machines take, their postings and open chunks among them. Goal: 500 bytes an active
//! series. The allocator is the program's.

use skopos_base::{Env, fs::read_all};
use skopos_model::{Labels, LabelsBuilder, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_tsdb::{Db, Options};
use std::path::Path;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SERIES: usize = 1_000_000;
const BATCH: usize = 5000;
const PAGE_BYTES: u64 = 4096;

fn resident_bytes(env: &Env) -> u64 {
    let statm = read_all(&*env.fs, Path::new("/proc/self/statm")).expect("this is Linux");
    let pages = String::from_utf8(statm).ok().and_then(|s| s.split(' ').nth(1)?.parse::<u64>().ok());
    pages.expect("the second field is the resident size in pages") * PAGE_BYTES
}

/// Two of three series are of containers, 60 each; the others are of machines, 1000 each.
fn labels(i: usize, builder: &mut LabelsBuilder) -> Labels {
    builder.clear();
    builder.set("cluster", "production-eu-1");
    builder.set("environment", "production");
    if i % 3 < 2 {
        let (metric, container) = (i % 60, i / 60);
        let node = container / 40;
        builder.set("__name__", &format!("container_memory_working_set_bytes_{metric}"));
        builder.set("container", &format!("app-{}", container % 300));
        builder.set(
            "id",
            &format!("/kubepods/burstable/pod{:08x}/{:012x}", container * 7919, container * 104_729),
        );
        builder.set("image", &format!("registry.example/team/app-{}:1.2.3", container % 300));
        builder.set("instance", &format!("10.1.{}.{}:10250", node / 250, node % 250));
        builder.set("job", "cadvisor");
        builder.set("namespace", &format!("team-{}", container % 50));
        builder.set("pod", &format!("app-{}-5d8f7b9c4d-{:05x}", container % 300, container));
    } else {
        let (metric, node) = (i / 3 % 1000, i / 3000);
        builder.set("__name__", &format!("node_network_receive_bytes_total_{}", metric % 250));
        builder.set("device", &format!("eth{}", metric / 250));
        builder.set("instance", &format!("10.2.{}.{}:9100", node / 250, node % 250));
        builder.set("job", "node-exporter");
        builder.set("nodename", &format!("worker-{node}.eu-1.production.example"));
        builder.set("region", "eu-central-1");
    }
    builder.build()
}

#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
fn main() {
    let env = Env::real();
    let dir = tempfile::tempdir().expect("there is room");
    let db = Db::open(dir.path(), Options::default(), &env).expect("the directory is new");
    let start = env.clock.wall_ms() - 86_400_000;
    let mut refs = Vec::with_capacity(SERIES);
    refs.resize(SERIES, skopos_model::SeriesRef::new(1).expect("one is not zero"));
    let before = resident_bytes(&env);
    let (mut label_bytes, mut builder) = (0, LabelsBuilder::default());
    for round in 0..=120i64 {
        let timestamp = TimestampMs::new(start + round * 15_000);
        for from in (0..SERIES).step_by(BATCH) {
            let mut appender = db.appender();
            if round == 0 {
                for (i, series) in refs[from..from + BATCH].iter_mut().enumerate() {
                    let labels = labels(from + i, &mut builder);
                    label_bytes += labels.byte_len() as u64;
                    let append = Append::float(SeriesId::Labels(&labels), timestamp, i as f64);
                    *series = appender.append(&append).expect("the sample is in order");
                }
            } else {
                let value = |i: usize| i as f64 + (round as usize * (i * 7919 % 1000)) as f64;
                let values: Vec<f64> = (from..from + BATCH).map(value).collect();
                appender.append_floats(timestamp, &refs[from..from + BATCH], &values, &mut Vec::new());
            }
            appender.commit().expect("the disk is sound");
        }
        if [0, 1, 30, 60, 119, 120].contains(&round) {
            let bytes = resident_bytes(&env).saturating_sub(before);
            println!(
                "{SERIES} series, {:3} samples each: {} resident bytes a series \
                 ({} accounted for; the texts of labels alone are {})",
                round + 1,
                bytes / SERIES as u64,
                db.series_bytes() / SERIES as u64,
                label_bytes / SERIES as u64,
            );
        }
    }
}
