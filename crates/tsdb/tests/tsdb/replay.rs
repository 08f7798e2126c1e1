//! The replay of a log on several threads: it is that of one.

use crate::common::{DIR, commit, dump, open, series};
use skopos_base::{
    Env,
    fs::{File, Fs, Layer, OpenMode},
    sim::SimWorld,
};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_storage::{Append, Appendable, Queryable, SeriesId, TimeRange};
use skopos_tsdb::{Db, Options, ReplayProgress, ReplaySegments, StatsSnapshot};
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

const SERIES: usize = 700;

fn options(replay_threads: usize) -> Options {
    // On a busy machine threads would come to synchronise, and to cut a block, before the statistics are
    // read.
    let never = DurationMs::from_secs(1 << 30);
    Options { replay_threads, sync_interval: never, maintenance_interval: never, ..Options::default() }
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

/// Looks how far the start says to be whenever it opens a segment.
#[derive(Debug)]
struct Watched {
    below: Arc<dyn Fs>,
    progress: ReplayProgress,
    seen: Arc<Mutex<Vec<(u64, ReplaySegments)>>>,
}

impl Layer for Watched {
    fn below(&self) -> &dyn Fs {
        &*self.below
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let (Some(segment), OpenMode::Read) =
            (name.filter(|_| path.starts_with(Path::new(DIR).join("wal"))), mode)
        {
            self.seen.lock().expect("no thread panicked").push((segment, self.progress.segments()));
        }
        self.below.open(path, mode)
    }
}

#[test]
fn a_start_says_which_segment_it_reads() {
    SimWorld::new(3).run(reads_and_says);
}

fn reads_and_says(env: &Env) {
    let small = |replay_progress| Options {
        segment_bytes: 64 << 10,
        snapshot_on_shutdown: false,
        replay_progress,
        ..Options::default()
    };
    let db = open(env, small(ReplayProgress::default()));
    for t in 0..1200 {
        let all: Vec<_> = (0..100).map(|i| (series(i), 15_000 * t, (t * 7919 % 1000) as f64 / 3.0)).collect();
        commit(&db, &all).expect("the log takes it");
    }
    db.close().expect("the disk is sound");

    let (progress, seen) = (ReplayProgress::default(), Arc::new(Mutex::new(Vec::new())));
    assert_eq!(progress.segments(), ReplaySegments::default());
    let watched = Watched { below: Arc::clone(&env.fs), progress: progress.clone(), seen: Arc::clone(&seen) };
    let db = open(&Env { fs: Arc::new(watched), ..env.clone() }, small(progress.clone()));
    let end = progress.segments();
    assert!(end.last >= end.first + 3, "{end:?}: the log is too short to say anything");
    assert_eq!(end.current, end.last);
    let during: Vec<_> =
        seen.lock().expect("no thread panicked").iter().filter(|(_, s)| s.last > 0).copied().collect();
    assert_eq!(during.len() as u64, end.last - end.first + 1, "each segment is read once");
    for (segment, said) in during {
        assert_eq!(said, ReplaySegments { current: segment, ..end });
    }
    db.close().expect("the disk is sound");
}

fn without_time(mut stats: StatsSnapshot) -> StatsSnapshot {
    (stats.replay_ms, stats.wal_sync_us_total, stats.memory_bytes) = (0, 0, 0);
    // Each start begins a segment.
    stats.wal_segment = 0;
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
