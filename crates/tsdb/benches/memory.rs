//! Resident bytes a series, measured as a process: what the system says that series, postings and open chunks
//! take. Goal: 500 bytes an active series. The allocator is the system's; the program itself uses another.

use skopos_base::{Env, fs::read_all};
use skopos_model::{Labels, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_tsdb::{Db, Options};
use std::path::Path;

const SERIES: usize = 500_000;
const BATCH: usize = 5000;
const PAGE_BYTES: u64 = 4096;

fn resident_bytes(env: &Env) -> u64 {
    let statm = read_all(&*env.fs, Path::new("/proc/self/statm")).expect("this is Linux");
    let pages = String::from_utf8(statm).ok().and_then(|s| s.split(' ').nth(1)?.parse::<u64>().ok());
    pages.expect("the second field is the resident size in pages") * PAGE_BYTES
}

#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
fn main() {
    let env = Env::real();
    let dir = tempfile::tempdir().expect("there is room");
    let db = Db::open(dir.path(), Options::default(), &env).expect("the directory is new");
    let start = env.clock.wall_ms() - 86_400_000;
    let before = resident_bytes(&env);
    let mut refs = Vec::with_capacity(SERIES);
    let mut label_bytes = 0;
    for round in 0..=120i64 {
        let timestamp = TimestampMs::new(start + round * 15_000);
        for from in (0..SERIES).step_by(BATCH) {
            let mut appender = db.appender();
            if round == 0 {
                for i in from..from + BATCH {
                    let labels = Labels::from_pairs([
                        ("__name__", format!("node_network_receive_bytes_total_{}", i % 500)),
                        ("device", format!("eth{}", i / 500 % 4)),
                        ("instance", format!("host-{}.example:9100", i / 2000)),
                        ("job", "node".to_owned()),
                    ]);
                    label_bytes += labels.byte_len() as u64;
                    let append = Append::float(SeriesId::Labels(&labels), timestamp, i as f64);
                    refs.push(appender.append(&append).expect("the sample is in order"));
                }
            } else {
                let value = |i: usize| i as f64 + (round as usize * (i * 7919 % 1000)) as f64;
                let values: Vec<f64> = (from..from + BATCH).map(value).collect();
                appender.append_floats(timestamp, &refs[from..from + BATCH], &values, &mut Vec::new());
            }
            appender.commit().expect("the disk is sound");
        }
        if [0, 1, 30, 60, 119, 120].contains(&round) {
            let bytes = resident_bytes(&env) - before;
            println!(
                "{SERIES} series, {:3} samples each: {} resident bytes a series \
                 ({} of them series and chunks, {} labels)",
                round + 1,
                bytes / SERIES as u64,
                db.series_bytes() / SERIES as u64,
                label_bytes / SERIES as u64,
            );
        }
    }
}
