//! Who changes blocks need not wait for a compaction, and yet compactions come to their end. On real threads.

use crate::common::{budget, commit, matcher, series};
use skopos_base::{Env, spawn::Joined};
use skopos_model::DurationMs;
use skopos_storage::TimeRange;
use skopos_tsdb::{Db, Options};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Passes within which blocks must have been compacted.
const PASSES: usize = 50;

#[test]
fn blocks_are_compacted_though_somebody_deletes_all_the_time() {
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        min_block_duration: DurationMs::from_ms(10_000),
        max_block_duration: DurationMs::from_ms(30_000),
        maintenance_interval: DurationMs::from_secs(36_000),
        ..Options::default()
    };
    let db = Arc::new(Db::open(dir.path(), options, &env).unwrap());
    let from = env.clock.wall_ms() / 30_000 * 30_000 - 120_000;
    for t in (from..from + 90_000).step_by(500) {
        commit(&db, &[(series(1), t, 1.0), (series(2), t, 2.0)]).unwrap();
    }
    let (is_over, deletions) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let deleting: Vec<Box<dyn Joined>> = (0..3)
        .map(|_| {
            let (db, of_thread) = (Arc::clone(&db), env.clone());
            let (is_over, deletions) = (Arc::clone(&is_over), Arc::clone(&deletions));
            let body = move || {
                while !is_over.load(Ordering::SeqCst) {
                    let nothing = [matcher("i", "=", "none")];
                    db.delete_series(&nothing, TimeRange::ALL, &budget(&of_thread)).unwrap();
                    deletions.fetch_add(1, Ordering::SeqCst);
                }
            };
            env.spawner.spawn("deleting", Box::new(body)).unwrap()
        })
        .collect();
    let compacted: usize = (0..PASSES)
        .map(|_| db.maintain().unwrap().compacted)
        .scan(0, |sum, more| {
            *sum += more;
            Some(*sum)
        })
        .find(|sum| *sum > 0)
        .unwrap_or(0);
    is_over.store(true, Ordering::SeqCst);
    deleting.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(compacted > 0, "{} deletions kept blocks from being compacted", deletions.load(Ordering::SeqCst));
}
