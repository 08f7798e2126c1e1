//! The replay of a log on several threads: it is that of one.

use crate::common::{DIR, commit, dump, open, series};
use skopos_base::{Env, sim::SimWorld};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_storage::{Append, Appendable, Queryable, SeriesId, TimeRange};
use skopos_tsdb::{Db, Options, StatsSnapshot};
use std::{path::Path, time::Duration};

const SERIES: usize = 700;

fn options(replay_threads: usize) -> Options {
    Options { replay_threads, ..Options::default() }
}

/// Batches of all series, and among them series that come later and samples that are no news.
fn write(env: &Env, batches: i64) {
    let db = open(env, options(1));
    let mut refs = Vec::new();
    for b in 0..batches {
        let mut appender = db.appender();
        if b % 100 == 0 {
            let count = if b == 0 { SERIES } else { 13 };
            for i in 0..count {
                let labels = Labels::from_pairs([("b", b.to_string()), ("i", i.to_string())]);
                let sample = Append::float(SeriesId::Labels(&labels), TimestampMs::new(b * 15_000), 0.5);
                refs.push(appender.append(&sample).expect("it is in order"));
            }
            appender.commit().expect("the disk is sound");
            continue;
        }
        let values: Vec<f64> = (0..refs.len()).map(|i| (b * (i as i64 * 7919 % 100)) as f64).collect();
        appender.append_floats(TimestampMs::new(b * 15_000), &refs, &values, &mut Vec::new());
        appender.commit().expect("the disk is sound");
    }
    db.close().expect("the disk is sound");
}

fn without_time(mut stats: StatsSnapshot) -> StatsSnapshot {
    (stats.replay_ms, stats.wal_sync_us_total, stats.memory_bytes) = (0, 0, 0);
    stats
}

fn same_with_any_number_of_threads(env: &Env, dir: &Path) {
    let open = |options| {
        // All of the log is read, also what an earlier life had moved to chunk files.
        match env.fs.remove_dir_all(&dir.join("chunks_head")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{e}"),
            _ => Db::open(dir, options, env).expect("the database opens"),
        }
    };
    let one = open(options(1));
    let (expected, stats) = (dump(env, &one), without_time(one.stats()));
    one.close().expect("the disk is sound");
    assert!(expected.len() > SERIES);
    for threads in [2, 3, 7] {
        let many = open(options(threads));
        assert_eq!(without_time(many.stats()), stats, "{threads} threads");
        assert!(dump(env, &many) == expected, "{threads} threads");
        many.close().expect("the disk is sound");
    }
}

#[test]
fn simulated_threads_make_the_same_head_as_one() {
    SimWorld::new(5).run(|env| {
        write(env, 400);
        same_with_any_number_of_threads(env, Path::new(DIR));
    });
}

#[test]
fn real_threads_make_the_same_head_as_one() {
    let env = Env::real();
    let folder = tempfile::tempdir().expect("there is room");
    SimWorld::new(5).run(|sim| {
        write(sim, 900);
        // The simulated log, as a real one: longer than two rounds.
        let (from, to) = (Path::new(DIR).join("wal"), folder.path().join("wal"));
        env.fs.create_dir_all(&to).expect("the folder is ours");
        for entry in sim.fs.read_dir(&from).expect("it was written") {
            let bytes = skopos_base::fs::read_all(&*sim.fs, &from.join(&entry.name)).expect("it is there");
            let mode = skopos_base::fs::OpenMode::CreateNew;
            let mut file = env.fs.open(&to.join(&entry.name), mode).expect("the folder is ours");
            skopos_base::fs::append_all(&mut *file, &bytes).expect("there is room");
        }
    });
    same_with_any_number_of_threads(&env, folder.path());
}

#[test]
fn a_start_says_at_once_what_the_head_holds_and_what_of_the_log_blocks_have() {
    for snapshot_on_shutdown in [false, true] {
        SimWorld::new(5).run(|env| {
            let options = || Options {
                min_block_duration: DurationMs::from_ms(10_000),
                maintenance_interval: DurationMs::from_secs(36_000),
                snapshot_on_shutdown,
                ..Options::default()
            };
            let db = open(env, options());
            for t in (0..40_000).step_by(500) {
                commit(&db, &[(series(0), t, t as f64), (series(1), t, 1.0)]).expect("all is sound");
            }
            assert_eq!(db.stats().replay_covered_samples, 0, "there was nothing to read");
            // While somebody reads, the head and the log keep what the block has.
            let reader = db.querier(TimeRange::ALL).expect("a head is always there");
            assert_eq!(db.maintain().expect("all is sound").cut, 1);
            drop(reader);
            db.close().expect("all is sound");
            let db = open(env, options());
            let stats = db.stats();
            // Of two samples every half second.
            let covered = if snapshot_on_shutdown { 0 } else { 40 };
            assert_eq!(stats.replay_covered_samples, covered, "a snapshot stands for the log");
            let at_once = stats.memory_bytes;
            env.clock.sleep(Duration::from_secs(2));
            assert_eq!((at_once, at_once > 1000), (db.stats().memory_bytes, true));
        });
    }
}
