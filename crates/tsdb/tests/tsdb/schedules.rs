//! The whole database under many orders of its threads. Each test says what no order may break; the threads
//! that synchronise and maintain run too.

use crate::common::{DIR, Dump, commit, dump, matcher, open, range, select, series};
use skopos_base::{
    Env,
    sim::{SimFs, effort, fs::OpKind, schedules::check},
    spawn::Joined,
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};
use skopos_model::{DurationMs, TimestampMs};
use skopos_storage::{Append, AppendError, Appendable, Queryable, SeriesId, SeriesLimit, TimeRange};
use skopos_tsdb::{Db, Options};
use std::{path::Path, sync::Arc};

/// Blocks are short, so that a few samples fill one.
const BLOCK_MS: i64 = 1000;

fn options() -> Options {
    Options {
        min_block_duration: DurationMs::from_ms(BLOCK_MS),
        max_block_duration: DurationMs::from_ms(9 * BLOCK_MS),
        out_of_order_window: DurationMs::from_ms(20 * BLOCK_MS),
        snapshot_on_shutdown: false,
        ..Options::default()
    }
}

/// Runs all of `bodies` at once to their ends.
fn at_once(env: &Env, bodies: Vec<Box<dyn FnOnce() + Send>>) {
    let start = |body| env.spawner.spawn("test", body).expect("a thread starts");
    let threads: Vec<Box<dyn Joined>> = bodies.into_iter().map(start).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
}

/// What a view has, without series that have nothing.
fn view(env: &Env, db: &Db) -> Dump {
    dump(env, db)
}

fn bits(v: f64) -> u64 {
    v.to_bits()
}

#[test]
fn batches_are_seen_whole_and_in_order() {
    const BATCHES: i64 = 3;
    check(300, |env, _| {
        let db = Arc::new(open(env, options()));
        let done: Arc<[AtomicI64; 2]> = Arc::default();
        let mut bodies: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        for writer in 0..2usize {
            let (db, done) = (Arc::clone(&db), Arc::clone(&done));
            bodies.push(Box::new(move || {
                for b in 1..=BATCHES {
                    // One series is in every batch, one is new.
                    let samples =
                        [(series(writer * 100), b, b as f64), (series(writer * 100 + b as usize), b, 0.5)];
                    assert_eq!(commit(&db, &samples).unwrap().samples, 2);
                    done[writer].store(b, Ordering::SeqCst);
                }
            }));
        }
        let (reader, env_of) = (Arc::clone(&db), env.clone());
        bodies.push(Box::new(move || {
            for _ in 0..2 {
                let sure = [0, 1].map(|w: usize| done[w].load(Ordering::SeqCst));
                let querier = reader.querier(TimeRange::ALL).unwrap();
                let mut seen = select(&env_of, &*querier, &[], TimeRange::ALL);
                let mut again = select(&env_of, &*querier, &[], TimeRange::ALL);
                for dump in [&mut seen, &mut again] {
                    dump.retain(|_, samples| !samples.is_empty());
                }
                assert_eq!(seen, again, "a view changes");
                for writer in 0..2usize {
                    let batches = seen.get(&series(writer * 100)).map_or(0, Vec::len) as i64;
                    assert!(batches >= sure[writer], "writer {writer}: {seen:?} lacks what was committed");
                    for b in 1..=BATCHES {
                        let half = seen.contains_key(&series(writer * 100 + b as usize));
                        assert_eq!(half, b <= batches, "writer {writer}, batch {b}: {seen:?}");
                    }
                }
            }
        }));
        at_once(env, bodies);
    });
}

#[test]
fn a_committed_sample_stays_when_another_batch_drops_its_series() {
    check(300, |env, _| {
        let db = Arc::new(open(env, options()));
        let bodies = (0..3).map(|thread| -> Box<dyn FnOnce() + Send> {
            let db = Arc::clone(&db);
            Box::new(move || {
                let mut appender = db.appender();
                let labels = series(0);
                let sample = Append::float(SeriesId::Labels(&labels), TimestampMs::new(1 + thread), 1.0);
                let taken = appender.append(&sample);
                if thread == 1 && taken.is_ok() {
                    appender.commit().expect("the disk is sound");
                }
            })
        });
        at_once(env, bodies.collect());
        let seen = view(env, &db);
        assert_eq!(seen[&series(0)], [(2, bits(1.0))]);
        assert_eq!(db.stats().series, 1);
        drop(db);
        assert_eq!(view(env, &open(env, options())), seen);
    });
}

#[test]
fn a_series_that_only_dropped_batches_had_goes() {
    check(300, |env, _| {
        let db = Arc::new(open(env, options()));
        let bodies = (0..3).map(|thread| -> Box<dyn FnOnce() + Send> {
            let db = Arc::clone(&db);
            Box::new(move || {
                let labels = series(0);
                let sample = Append::float(SeriesId::Labels(&labels), TimestampMs::new(1 + thread), 1.0);
                let mut appender = db.appender();
                let id = appender.append(&sample).expect("there is no sample");
                // What a batch found stays while it lasts.
                let again = Append::float(SeriesId::Ref(id), TimestampMs::new(10 + thread), 1.0);
                appender.append(&again).expect("the batch holds it");
            })
        });
        at_once(env, bodies.collect());
        assert_eq!(db.stats().series, 0);
        assert!(
            db.querier(TimeRange::ALL)
                .unwrap()
                .series(&crate::common::label_request(env, &[], 0))
                .unwrap()
                .is_empty()
        );
    });
}

#[test]
fn no_order_of_appenders_exceeds_a_limit() {
    check(300, |env, _| {
        let db = Arc::new(open(env, Options { max_series: 3, ..options() }));
        let limit = SeriesLimit::new("test", 2);
        let taken = Arc::new(AtomicUsize::new(0));
        let bodies = (0..3usize).map(|thread| -> Box<dyn FnOnce() + Send> {
            let (db, limit, taken) = (Arc::clone(&db), Arc::clone(&limit), Arc::clone(&taken));
            Box::new(move || {
                let mut appender = if thread < 2 { db.appender_within(&limit) } else { db.appender() };
                for i in 0..2 {
                    let labels = series(thread * 10 + i);
                    let sample = Append::float(SeriesId::Labels(&labels), TimestampMs::new(5), 1.0);
                    match appender.append(&sample) {
                        Ok(_) => {
                            taken.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(AppendError::Limit { .. }) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
                appender.commit().expect("the disk is sound");
            })
        });
        at_once(env, bodies.collect());
        let seen = view(env, &db);
        let limited = seen.keys().filter(|l| l.value("i").parse::<usize>().unwrap() < 20).count();
        assert_eq!(seen.len(), taken.load(Ordering::SeqCst));
        assert_eq!(seen.len(), 3, "as many as may be: {seen:?}");
        assert!(limited <= 2, "{seen:?}");
        assert_eq!(db.stats().series, 3);
    });
}

/// A synchronisation that says it is done has what was committed before it, whatever fails beside it.
#[test]
fn what_is_synchronised_survives_a_loss_of_power() {
    check(150, |env, fs| {
        let db = Arc::new(open(env, options()));
        let durable: Arc<Mutex<Vec<i64>>> = Arc::default();
        fs.fail_nth(OpKind::Sync, 2, skopos_base::sim::fs::Failure::Io);
        let bodies = (0..3i64).map(|thread| -> Box<dyn FnOnce() + Send> {
            let (db, durable) = (Arc::clone(&db), Arc::clone(&durable));
            Box::new(move || {
                for round in 0..2 {
                    let id = 10 * thread + round;
                    let committed = commit(&db, &[(series(id as usize), 5, id as f64)]).is_ok();
                    if committed && db.sync().is_ok() {
                        durable.lock().push(id);
                    }
                }
            })
        });
        at_once(env, bodies.collect());
        let lost = fs.crash_states(4, effort::seed(3)).collect::<Vec<SimFs>>();
        drop(db);
        for after in lost {
            let env = Env { fs: Arc::new(after.clone()), ..env.clone() };
            let seen = view(&env, &open(&env, options()));
            for id in durable.lock().iter() {
                let found = seen.get(&series(*id as usize)).map(Vec::as_slice);
                assert_eq!(found, Some(&[(5, bits(*id as f64))][..]), "{id} in {}", after.origin());
            }
        }
    });
}

/// While samples move from the head to a block, every view has each of them once.
#[test]
fn samples_are_always_in_the_head_or_in_a_block() {
    check(150, |env, _| {
        let db = Arc::new(open(env, options()));
        let old: Vec<i64> = (0..8).map(|i| i * 300).collect();
        for t in &old {
            commit(&db, &[(series(0), *t, *t as f64), (series(1000 + *t as usize), *t, 1.0)]).unwrap();
        }
        let (maintained, appended, reader, env_of) =
            (Arc::clone(&db), Arc::clone(&db), Arc::clone(&db), env.clone());
        at_once(
            env,
            vec![
                Box::new(move || {
                    maintained.maintain().expect("the disk is sound");
                }),
                Box::new(move || {
                    // One is in order, and one belongs to the time that is being cut.
                    commit(&appended, &[(series(0), 3000, 3000.0), (series(7), 100, 7.0)]).unwrap();
                }),
                Box::new(move || {
                    for _ in 0..2 {
                        let seen = view(&env_of, &reader);
                        let times: Vec<i64> = seen[&series(0)].iter().map(|(t, _)| *t).collect();
                        let expected: Vec<i64> =
                            old.iter().copied().chain([3000]).take(times.len()).collect();
                        assert!(times.len() >= old.len() && times == expected, "{seen:?}");
                        assert!(
                            old.iter().all(|t| seen.contains_key(&series(1000 + *t as usize))),
                            "{seen:?}"
                        );
                        let is_late_there = seen.contains_key(&series(7));
                        assert_eq!(is_late_there, times.len() > old.len(), "half a batch: {seen:?}");
                    }
                }),
            ],
        );
        assert_eq!(view(env, &db)[&series(7)], [(100, bits(7.0))]);
    });
}

/// The same for samples out of order, which have blocks and a log of their own.
#[test]
fn late_samples_are_always_in_the_head_or_in_a_block() {
    check(150, |env, _| {
        let db = Arc::new(open(env, options()));
        commit(&db, &[(series(0), 5000, 1.0)]).unwrap();
        commit(&db, &[(series(0), 100, 2.0), (series(0), 900, 3.0)]).unwrap();
        let (maintained, appended, reader, env_of) =
            (Arc::clone(&db), Arc::clone(&db), Arc::clone(&db), env.clone());
        at_once(
            env,
            vec![
                Box::new(move || {
                    maintained.compact_out_of_order().expect("the disk is sound");
                }),
                Box::new(move || {
                    commit(&appended, &[(series(0), 500, 4.0)]).unwrap();
                }),
                Box::new(move || {
                    for _ in 0..2 {
                        let mut times: Vec<i64> =
                            view(&env_of, &reader)[&series(0)].iter().map(|(t, _)| *t).collect();
                        times.retain(|t| *t != 500);
                        assert_eq!(times, [100, 900, 5000]);
                    }
                }),
            ],
        );
        let expected = [(100, 2.0), (500, 4.0), (900, 3.0), (5000, 1.0)].map(|(t, v)| (t, bits(v)));
        assert_eq!(view(env, &db)[&series(0)], expected);
        drop(db);
        assert_eq!(view(env, &open(env, options()))[&series(0)], expected);
    });
}

/// A query that begins behind a deletion sees nothing of what is deleted, and everything else always.
#[test]
fn deletions_take_what_was_there_and_nothing_else() {
    check(150, |env, _| {
        let db = Arc::new(open(env, options()));
        commit(&db, &[(series(0), 100, 1.0), (series(1), 100, 1.0)]).unwrap();
        let deleted = Arc::new(AtomicUsize::new(0));
        let (deleting, appended, reader) = (Arc::clone(&db), Arc::clone(&db), Arc::clone(&db));
        let (is_deleted, env_a, env_b) = (Arc::clone(&deleted), env.clone(), env.clone());
        at_once(
            env,
            vec![
                Box::new(move || {
                    let budget = crate::common::budget(&env_a);
                    deleting.delete_series(&[matcher("i", "=", "0")], range(0, 150), &budget).unwrap();
                    deleted.store(1, Ordering::SeqCst);
                }),
                Box::new(move || {
                    for t in [200, 300] {
                        commit(&appended, &[(series(0), t, 2.0), (series(1), t, 2.0)]).unwrap();
                    }
                }),
                Box::new(move || {
                    for _ in 0..2 {
                        let sure = is_deleted.load(Ordering::SeqCst) == 1;
                        let seen = view(&env_b, &reader);
                        let times = |i| -> Vec<i64> {
                            seen.get(&series(i)).iter().flat_map(|s| s.iter().map(|(t, _)| *t)).collect()
                        };
                        let (mut of_deleted, kept) = (times(0), times(1));
                        assert!(kept.contains(&100), "{seen:?}");
                        if of_deleted.first() == Some(&100) {
                            assert!(!sure, "{seen:?}");
                        } else {
                            of_deleted.insert(0, 100);
                        }
                        assert_eq!(of_deleted, kept, "half a batch");
                    }
                }),
            ],
        );
        drop(db);
        let seen = view(env, &open(env, options()));
        assert_eq!(seen[&series(0)].iter().map(|(t, _)| *t).collect::<Vec<_>>(), [200, 300]);
        assert_eq!(seen[&series(1)].iter().map(|(t, _)| *t).collect::<Vec<_>>(), [100, 200, 300]);
    });
}

/// A deletion takes all of a batch or nothing of it, though it goes series by series.
#[test]
fn a_deletion_of_everything_takes_batches_whole() {
    check(150, |env, _| {
        let db = Arc::new(open(env, options()));
        commit(&db, &[(series(0), 100, 1.0), (series(1), 100, 1.0)]).unwrap();
        let (deleting, appended, env_of) = (Arc::clone(&db), Arc::clone(&db), env.clone());
        at_once(
            env,
            vec![
                Box::new(move || {
                    let budget = crate::common::budget(&env_of);
                    deleting.delete_series(&[matcher("i", "=~", "0|1")], TimeRange::ALL, &budget).unwrap();
                }),
                Box::new(move || {
                    for t in [200, 300] {
                        commit(&appended, &[(series(0), t, 2.0), (series(1), t, 2.0)]).unwrap();
                    }
                }),
            ],
        );
        let seen = view(env, &db);
        assert_eq!(seen.get(&series(0)), seen.get(&series(1)), "half a batch");
        assert!(seen.values().flatten().all(|(t, _)| *t > 100), "{seen:?}");
        drop(db);
        assert_eq!(view(env, &open(env, options())), seen);
    });
}

/// The log is read by several threads, and what they make of it is what it says.
#[test]
fn a_replay_by_several_threads_gives_what_the_log_has() {
    check(150, |env, _| {
        let small = Options { segment_bytes: 64 << 10, replay_threads: 3, ..options() };
        let db = open(env, small.clone());
        for t in 0..6i64 {
            let samples: Vec<_> = (0..3).map(|i| (series(i + t as usize), 10 * t, i as f64)).collect();
            commit(&db, &samples).unwrap();
        }
        commit(&db, &[(series(5), 5, 9.0)]).unwrap();
        let before = view(env, &db);
        drop(db);
        let again = open(env, small);
        assert_eq!(view(env, &again), before);
        assert_eq!(again.stats().series, before.len() as u64);
    });
}

/// A snapshot opens as a database that has what was committed before, and no half of a batch.
#[test]
fn a_snapshot_is_whole_while_samples_come() {
    check(100, |env, _| {
        let db = Arc::new(open(env, options()));
        commit(&db, &[(series(0), 100, 1.0), (series(1), 100, 1.0)]).unwrap();
        let (from, appended, env_of) = (Arc::clone(&db), Arc::clone(&db), env.clone());
        at_once(
            env,
            vec![
                Box::new(move || {
                    commit(&appended, &[(series(0), 200, 2.0), (series(1), 200, 2.0)]).unwrap();
                }),
                Box::new(move || {
                    let name =
                        from.snapshot(skopos_tsdb::SnapshotOf::BlocksAndHead).expect("the disk is sound");
                    let dir = Path::new(DIR).join("snapshots").join(name);
                    let copy = Db::open(&dir, options(), &env_of).expect("the snapshot opens");
                    let seen = view(&env_of, &copy);
                    assert_eq!(seen[&series(0)], seen[&series(1)], "half a batch");
                    assert_eq!(seen[&series(0)][0], (100, bits(1.0)));
                }),
            ],
        );
    });
}
