//! What is read of a directory while a database has it open: all that was committed before, in order and out
//! of order, between any two changes that the database makes, and also while it makes them.

use crate::{
    common::{DIR, Lines, lines, options, series},
    slow::Slow,
};
use parking_lot::Mutex;
use skopos_base::{
    Env,
    rng::Rng,
    sim::{
        SimWorld,
        crash::{CrashMode, CrashTest},
        effort,
    },
};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_tsdb::{
    Db, Options,
    tool::text::{dump_labels, write_dump_line},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The first batch; so late that all times are positive.
const FIRST: i64 = 100;
/// Series that have late samples alone.
const LATE_SERIES: i64 = 3;

fn late_options() -> Options {
    Options {
        out_of_order_window: DurationMs::from_ms(60_000),
        sync_interval: DurationMs::from_secs(36_000),
        ..options()
    }
}

fn late_series(i: i64) -> Labels {
    Labels::from_pairs([("__name__", "late"), ("i", &i.to_string())])
}

/// What batch `b` has: two samples in order, and one that is far behind them. Of a series' late samples most
/// are later than those before.
fn batch(b: i64) -> Vec<(Labels, i64)> {
    let late = b * 250 - 2000 - b * 7 % 5 * 301;
    vec![(series(0), b * 250), (series(1), b * 250), (late_series(b % LATE_SERIES), late)]
}

/// The lines of `dump` that a batch is.
fn lines_of(batch: &[(Labels, i64)]) -> impl Iterator<Item = String> + '_ {
    batch.iter().map(|(labels, t)| {
        let mut out = Vec::new();
        write_dump_line(&mut out, &dump_labels(labels), *t, &skopos_chunk::ChunkValue::Float(*t as f64));
        String::from_utf8(out).unwrap()
    })
}

/// Commits so many batches, with maintenance and synchronisation in between.
fn live(env: &Env, batches: i64, mut committed: impl FnMut(&[(Labels, i64)])) -> Outcome {
    let db = Db::open(Path::new(DIR), late_options(), env)?;
    for b in FIRST..FIRST + batches {
        let batch = batch(b);
        let mut appender = db.appender();
        for (labels, t) in &batch {
            appender.append(&Append::float(SeriesId::Labels(labels), TimestampMs::new(*t), *t as f64))?;
        }
        appender.commit()?;
        committed(&batch);
        if b % 5 == 0 {
            db.sync()?;
        }
        if b % 4 == 3 {
            db.maintain()?;
        }
    }
    db.close()?;
    Ok(())
}

fn assert_has(seen: &Lines, committed: &Lines) {
    let lacks: Vec<_> = committed.difference(seen).collect();
    assert!(lacks.is_empty(), "{} of {} are not seen: {lacks:?}", lacks.len(), committed.len());
}

#[test]
fn a_view_taken_while_the_database_goes_on_has_all_that_was_committed_before() {
    let mut views = 0;
    for seed in 0..effort::states(6) as u64 {
        let seed = effort::seed(seed);
        SimWorld::new(seed).run(|env| {
            let slow = |env: &Env, bound_us| {
                let (below, clock) = (Arc::clone(&env.fs), Arc::clone(&env.clock));
                let rng = Arc::new(Rng::from_seed(seed ^ bound_us));
                Env { fs: Arc::new(Slow { below, clock, rng, bound_us }), ..env.clone() }
            };
            env.fs.create_dir_all(Path::new(DIR)).unwrap();
            let (committed, seen) = (Arc::new(Mutex::new(Lines::new())), Arc::new(Mutex::new(0)));
            let is_over = Arc::new(AtomicBool::new(false));
            // Reads are many, so they are faster.
            let (reader, writer) = (slow(env, 50 << (seed % 5)), slow(env, 1000));
            let (known, looked, ended) = (Arc::clone(&committed), Arc::clone(&seen), Arc::clone(&is_over));
            let look = move || {
                while !ended.load(Ordering::SeqCst) {
                    let before = known.lock().clone();
                    assert_has(&lines(&reader, Path::new(DIR)), &before);
                    *looked.lock() += usize::from(!before.is_empty());
                }
            };
            let reading = env.spawner.spawn("reader", Box::new(look)).unwrap();
            live(&writer, 36, |batch| committed.lock().extend(lines_of(batch))).unwrap();
            is_over.store(true, Ordering::SeqCst);
            reading.join().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            views += *seen.lock();
        });
    }
    println!("{views} views");
    assert!(views > 100, "{views} views");
}

mod crash {
    use super::*;

    /// A process that was killed leaves what a reader finds between two changes of one that runs.
    #[test]
    fn a_view_between_any_two_changes_has_all_that_was_committed() {
        let done = CrashTest::new(CrashMode::ProcessKill).states_per_point(1).run(
            |env, committed: &mut Lines| live(env, 9, |batch| committed.extend(lines_of(batch))),
            |env, committed| {
                if env.fs.exists(Path::new(DIR)).unwrap() {
                    assert_has(&lines(env, Path::new(DIR)), committed);
                }
            },
        );
        println!("{done:?}");
        assert!(done.states > 200, "{done:?}");
    }
}
