//! Samples out of order: taken within the window, merged into every answer, there again after a restart.

use crate::common::{DIR, Dump, commit, dump, labels, open, range, select, series, try_append};
use skopos_base::{Env, rng::Rng, sim::SimWorld};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_storage::{Append, AppendError, Appendable, Querier, Queryable, SeriesId, TimeRange};
use skopos_tsdb::{Db, Options};
use std::collections::BTreeMap;

const HOUR_MS: i64 = 3_600_000;
const WINDOW_MS: i64 = 6 * HOUR_MS;

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        out_of_order_window: DurationMs::from_ms(WINDOW_MS),
        ..Options::default()
    }
}

#[test]
fn samples_are_taken_within_the_window_and_too_old_ones_are_refused() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        let now = 1_000 * HOUR_MS;
        commit(&db, &[(series(0), now, 1.0)]).unwrap();
        commit(&db, &[(series(1), now - 10_000, 1.0)]).unwrap();
        for (t, taken) in [
            (now - 1, true),
            (now - 2 * HOUR_MS, true),
            (now - WINDOW_MS, true),
            (now - WINDOW_MS - 1, false),
            (0, false),
        ] {
            match try_append(&db, &series(0), t, 5.0) {
                Ok(_) => assert!(taken, "{t}"),
                Err(AppendError::TooOld { timestamp, oldest, window }) => {
                    assert!(!taken, "{t}");
                    assert_eq!((timestamp.as_ms(), oldest.as_ms()), (t, now - WINDOW_MS));
                    assert_eq!(window.as_ms(), WINDOW_MS);
                }
                Err(e) => panic!("{t}: {e}"),
            }
        }
        assert!(matches!(try_append(&db, &series(0), now, 5.0), Err(AppendError::Duplicate { .. })));
        let committed = commit(&db, &[(series(0), now - 5, 3.0), (series(0), now - 7, 2.0)]).unwrap();
        assert_eq!((committed.samples, committed.overtaken), (2, 0));
        let stats = db.stats();
        assert_eq!((stats.out_of_order_appended_total, stats.too_old_total), (2, 2));
        let expected = [(now - 7, 2f64), (now - 5, 3.0), (now, 1.0)].map(|(t, v)| (t, v.to_bits()));
        assert_eq!(dump(env, &db)[&series(0)], expected);
    });
}

#[test]
fn the_oldest_time_is_that_of_all_samples_wherever_they_are() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        assert_eq!(db.min_time(), None);
        let now = 1_000 * HOUR_MS;
        commit(&db, &[(series(0), now, 1.0)]).unwrap();
        assert_eq!(db.min_time(), Some(TimestampMs::new(now)));
        commit(&db, &[(series(0), now - 1000, 1.0)]).unwrap();
        assert_eq!(db.min_time(), Some(TimestampMs::new(now - 1000)), "late samples too");
        for hour in 1..9 {
            commit(&db, &[(series(0), now + hour * HOUR_MS, 1.0)]).unwrap();
        }
        let done = db.maintain().unwrap();
        assert!(done.cut > 0, "{done:?}");
        db.compact_out_of_order().unwrap();
        let oldest = db.min_time().unwrap().as_ms();
        assert!((now - 2 * HOUR_MS..now).contains(&oldest), "a block begins at {oldest}");
        assert_eq!(dump(env, &db)[&series(0)][0].0, now - 1000);
    });
}

#[test]
fn without_a_window_nothing_is_written_for_it() {
    SimWorld::new(1).run(|env| {
        let db = open(env, Options::default());
        commit(&db, &[(series(0), 5_000, 1.0)]).unwrap();
        assert!(matches!(try_append(&db, &series(0), 4_000, 1.0), Err(AppendError::OutOfOrder { .. })));
        drop(db);
        assert!(!env.fs.exists(&std::path::Path::new(DIR).join("wbl")).unwrap());
    });
}

/// Of samples of one time the first one that was stored counts.
#[derive(Clone, Default)]
struct Oracle {
    samples: BTreeMap<Labels, BTreeMap<i64, u64>>,
    newest: i64,
}

impl Oracle {
    fn dump(&self, min: i64, max: i64) -> Dump {
        let of = |s: &BTreeMap<i64, u64>| s.range(min..=max).map(|(t, v)| (*t, *v)).collect::<Vec<_>>();
        let all = self.samples.iter().map(|(l, s)| (l.clone(), of(s)));
        all.filter(|(_, s)| !s.is_empty()).collect()
    }
}

/// What a life does beside appending and asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It stays in the head. Of samples of one time the first one counts.
    InHead,
    /// Blocks are cut and the log is shortened. Samples of one time have one value; `equal_times` has lives
    /// with several.
    Blocks,
}

fn one_batch(rng: &Rng, db: &Db, oracle: &mut Oracle, now: &mut i64, life: Life) {
    *now += rng.below(if life == Life::Blocks { 600_000 } else { 60_000 }) as i64;
    let late_ms = [30_000, HOUR_MS, WINDOW_MS][rng.below(3) as usize];
    let (mut appender, mut pending) = (db.appender(), Vec::new());
    for _ in 0..rng.below(40) {
        let labels = series(rng.below(6) as usize);
        let late = rng.below(3) > 0 && oracle.newest > 0;
        // Times repeat, with other values.
        let t = if late { (*now - rng.below(late_ms as u64) as i64) / 50 * 50 } else { *now };
        let value = if life == Life::Blocks { (t % 1009) as f64 } else { rng.below(1000) as f64 };
        let taken = appender.append(&Append::float(SeriesId::Labels(&labels), TimestampMs::new(t), value));
        match taken {
            Ok(_) => pending.push((labels, t, value.to_bits())),
            Err(AppendError::TooOld { .. }) => {
                assert!(t < oracle.newest - WINDOW_MS, "{t} {}", oracle.newest);
            }
            Err(AppendError::Duplicate { .. }) => {}
            Err(e) => panic!("{labels} at {t}: {e}"),
        }
    }
    if rng.below(6) == 0 {
        return;
    }
    appender.commit().expect("the disk is sound");
    for (labels, t, bits) in pending {
        oracle.samples.entry(labels).or_default().entry(t).or_insert(bits);
        oracle.newest = oracle.newest.max(t);
    }
}

fn check(env: &Env, rng: &Rng, querier: &dyn Querier, oracle: &Oracle, now: i64) {
    let (min, max) = match rng.below(3) {
        0 => (i64::MIN, i64::MAX),
        _ => {
            let min = now - rng.below(2 * WINDOW_MS as u64) as i64;
            (min, min + rng.below(WINDOW_MS as u64) as i64)
        }
    };
    let mut got = select(env, querier, &[], range(min, max));
    got.retain(|_, s| !s.is_empty());
    assert_eq!(got, oracle.dump(min, max), "from {min} to {max}");
}

/// Returns how many blocks were made of samples out of order.
fn live(env: &Env, seed: u64, life: Life) -> usize {
    let rng = Rng::from_seed(seed);
    let mut db = open(env, options());
    let (mut oracle, mut now) = (Oracle::default(), 1_000 * HOUR_MS);
    let mut blocks = 0;
    let mut readers: Vec<(Box<dyn Querier>, Oracle)> = Vec::new();
    let view = |db: &Db| db.querier(TimeRange::ALL).expect("a head is always there");
    for _ in 0..250 {
        match rng.below(14) {
            0 if readers.len() < 5 => readers.push((view(&db), oracle.clone())),
            1 if !readers.is_empty() => {
                let at = rng.below(readers.len() as u64) as usize;
                let (querier, seen) = &readers[at];
                check(env, &rng, &**querier, seen, now);
                if rng.below(2) == 0 {
                    readers.swap_remove(at);
                }
            }
            2 => check(env, &rng, &*view(&db), &oracle, now),
            3 => db.sync().expect("the disk is sound"),
            4 if rng.below(3) == 0 => {
                readers.clear();
                // Closing leaves a snapshot, from which the next life begins; dropping does not.
                match rng.below(2) {
                    0 => db.close().expect("the disk is sound"),
                    _ => drop(db),
                }
                db = open(env, options());
                check(env, &rng, &*view(&db), &oracle, now);
            }
            5 if life == Life::Blocks => {
                let all = rng.below(2) == 0;
                let done = if all { db.compact_out_of_order() } else { db.maintain() };
                blocks += done.expect("the disk is sound").out_of_order;
                check(env, &rng, &*view(&db), &oracle, now);
            }
            _ => one_batch(&rng, &db, &mut oracle, &mut now, life),
        }
    }
    for (querier, seen) in &readers {
        check(env, &rng, &**querier, seen, now);
    }
    assert_eq!(dump(env, &db), oracle.dump(i64::MIN, i64::MAX));
    blocks
}

#[expect(clippy::print_stdout, reason = "a random test prints its seed")]
fn lives(life: Life, count: u64) {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..count).collect(),
    };
    for seed in seeds {
        println!("seed {seed}");
        let blocks = SimWorld::new(seed).run(|env| live(env, seed, life));
        assert_eq!(blocks > 0, life == Life::Blocks);
    }
}

#[test]
fn random_lives_out_of_order_agree_with_the_oracle() {
    lives(Life::InHead, 16);
}

#[test]
fn random_lives_out_of_order_with_blocks_agree_with_the_oracle() {
    lives(Life::Blocks, 12);
}

/// What a commit said is there, however the process ended, also when nothing was synchronised.
#[test]
fn what_was_committed_survives_the_process() {
    let world = SimWorld::new(7);
    let fs = world.fs().clone();
    let mut expected = Dump::new();
    world.run(|env| {
        let db = open(env, options());
        let other = labels(&[("__name__", "late")]);
        commit(&db, &[(series(0), HOUR_MS, 1.0), (other.clone(), HOUR_MS, 0.0)]).unwrap();
        for i in 0..100 {
            commit(&db, &[(other.clone(), HOUR_MS - 37 * (i * 13 % 100) - 1, i as f64)]).unwrap();
            if i == 50 {
                db.sync().unwrap();
            }
        }
        expected = dump(env, &db);
        assert_eq!(expected[&other].len(), 101);
        let killed = SimWorld::with_fs(8, fs.process_crash());
        assert_eq!(killed.run(|env| dump(env, &open(env, options()))), expected);
    });
    assert!(!expected.is_empty());
}

/// The first sample of a series may be one that only its lateness lets in: then nothing in the log is later.
#[test]
fn a_new_series_that_begins_before_what_blocks_cover_survives_the_process() {
    for closed in [false, true] {
        let world = SimWorld::new(9);
        let fs = world.fs().clone();
        world.run(|env| {
            let mut db = open(env, options());
            for hour in 0..12 {
                commit(&db, &[(series(0), hour * HOUR_MS, 1.0)]).unwrap();
            }
            assert!(db.maintain().expect("the disk is sound").cut > 0);
            if closed {
                db.close().expect("the disk is sound");
                db = open(env, options());
            }
            commit(&db, &[(series(1), 6 * HOUR_MS, 2.0), (series(1), 6 * HOUR_MS + 1, 3.0)]).unwrap();
            let expected = dump(env, &db);
            assert_eq!(expected[&series(1)].len(), 2);
            let killed = SimWorld::with_fs(8, fs.process_crash());
            assert_eq!(killed.run(|env| dump(env, &open(env, options()))), expected, "closed: {closed}");
        });
    }
}

/// Between its append and its commit: nobody was told that it is refused, and the log has it.
#[test]
fn a_sample_that_was_overtaken_without_a_window_is_there_once_a_window_is_set() {
    let fs = SimWorld::new(1).fs().clone();
    let without = || Options { out_of_order_window: DurationMs::from_ms(0), ..options() };
    let newer = [(20_000, 2f64.to_bits())];
    let both = [(10_000, 1f64.to_bits()), newer[0]];
    SimWorld::with_fs(1, fs.clone()).run(|env| {
        let db = open(env, without());
        let mut slow = db.appender();
        let labels = series(0);
        slow.append(&Append::float(SeriesId::Labels(&labels), TimestampMs::new(10_000), 1.0)).unwrap();
        commit(&db, &[(series(0), 20_000, 2.0)]).unwrap();
        let committed = slow.commit().unwrap();
        assert_eq!((committed.samples, committed.overtaken), (0, 1));
        assert_eq!(dump(env, &db)[&series(0)], newer);
        db.sync().unwrap();
    });
    for (options, expected) in [
        (without(), &newer[..]),
        (options(), &both),
        (options(), &both),
        // What was taken stays when no more is taken.
        (without(), &both),
    ] {
        SimWorld::with_fs(2, fs.clone()).run(|env| {
            let db = open(env, Options { snapshot_on_shutdown: false, ..options });
            assert_eq!(dump(env, &db)[&series(0)], expected);
            db.close().unwrap();
        });
    }
}

#[test]
fn the_times_of_the_head_move_on_whatever_comes_late() {
    SimWorld::new(1).run(|env| {
        let blocks = DurationMs::from_ms(10_000);
        let db = open(env, Options { min_block_duration: blocks, ..options() });
        for t in (0..100_000).step_by(500) {
            commit(&db, &[(series(0), t, 1.0)]).unwrap();
            if t >= 3000 {
                commit(&db, &[(series(0), t - 2750, 2.0)]).unwrap();
            }
            if t % 10_000 == 0 {
                db.maintain().unwrap();
            }
        }
        let TimeRange { min, max } = db.head_time_range().unwrap();
        assert!(min.as_ms() > 70_000 && max.as_ms() == 99_500, "{min} to {max}");
        assert_eq!(db.time_range().unwrap().min.as_ms(), 0);
    });
}
