//! Writers and readers at the same time, on real threads: a reader sees every batch whole or not at all,
//! and goes on seeing what it saw.

use crate::common::{Dump, label_request, matcher, range, select};
use parking_lot::Mutex;
use skopos_base::{Env, spawn::Joined};
use skopos_model::{Labels, SeriesRef, TimestampMs};
use skopos_storage::{Append, AppendError, Appendable, QueryError, Queryable, SeriesId, TimeRange};
use skopos_tsdb::{Db, Options};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const WRITERS: usize = 3;
const READERS: usize = 2;
const BATCHES: i64 = 400;
const SERIES: usize = 40;

fn labels(writer: usize, i: usize) -> Labels {
    Labels::from_pairs([("writer", writer.to_string()), ("i", i.to_string())])
}

/// Each batch has one sample of every series of its writer, with the batch's number as its value, and
/// from time to time a series that is new.
fn write(db: &Db, writer: usize, batches_done: &AtomicUsize) {
    let mut refs: Vec<SeriesRef> = Vec::new();
    for b in 0..BATCHES {
        let timestamp = TimestampMs::new(b + 1);
        let known = refs.len();
        let mut appender = db.appender();
        let mut refused = Vec::new();
        appender.append_floats(timestamp, &refs, &vec![b as f64; known], &mut refused);
        assert!(refused.is_empty());
        let wanted = SERIES / 2 + (b as usize * SERIES / 2) / BATCHES as usize;
        for i in known..wanted {
            let labels = labels(writer, i);
            let append = Append::float(SeriesId::Labels(&labels), timestamp, b as f64);
            refs.push(appender.append(&append).expect("the sample is in order"));
        }
        let rolled_back = b % 7 == 3;
        if rolled_back {
            drop(appender);
            // The same batch again, whole: what was made for the dropped one has gone with it.
            let mut appender = db.appender();
            appender.append_floats(timestamp, &refs, &vec![b as f64; refs.len()], &mut refused);
            assert!(refused.drain(..).all(|(i, e)| i >= known && matches!(e, AppendError::UnknownRef(_))));
            refs.truncate(known);
            for i in known..wanted {
                let labels = labels(writer, i);
                let append = Append::float(SeriesId::Labels(&labels), timestamp, b as f64);
                refs.push(appender.append(&append).expect("the sample is in order"));
            }
            appender.commit().expect("the disk is sound");
        } else {
            let committed = appender.commit().expect("the disk is sound");
            assert_eq!((committed.samples, committed.overtaken), (refs.len(), 0));
        }
        batches_done.fetch_add(1, Ordering::Release);
    }
}

/// How many batches of each writer the view has; panics when a batch is there in part.
fn batches_of(view: &Dump) -> Vec<i64> {
    let mut newest = vec![0; WRITERS];
    let mut per_batch: BTreeMap<(usize, i64), usize> = BTreeMap::new();
    for (labels, samples) in view {
        let writer: usize = labels.value("writer").parse().expect("a number was written");
        for (t, bits) in samples {
            assert_eq!(f64::from_bits(*bits) as i64, t - 1);
            newest[writer] = newest[writer].max(*t);
            *per_batch.entry((writer, *t)).or_default() += 1;
        }
    }
    for ((writer, t), samples) in &per_batch {
        let expected = SERIES / 2 + ((t - 1) as usize * SERIES / 2) / BATCHES as usize;
        assert_eq!(
            *samples,
            expected.max(SERIES / 2),
            "batch {t} of writer {writer}, the newest is {newest:?}"
        );
    }
    for (writer, newest) in newest.iter().enumerate() {
        assert_eq!(
            per_batch.keys().filter(|(w, _)| *w == writer).count() as i64,
            *newest,
            "no batch is missing"
        );
    }
    newest
}

fn read(env: &Env, db: &Db, batches_done: &AtomicUsize) -> usize {
    let mut views = 0;
    let mut last = vec![0; WRITERS];
    loop {
        let sure = batches_done.load(Ordering::Acquire);
        let querier = db.querier(TimeRange::ALL).expect("a head is always there");
        let first = select(env, &*querier, &[], TimeRange::ALL);
        let seen = batches_of(&first);
        assert!(
            seen.iter().sum::<i64>() as usize >= sure,
            "{seen:?} misses some of {sure} committed batches"
        );
        assert!(seen.iter().zip(&last).all(|(new, old)| new >= old), "time went back");
        // However long it lives, it sees the same.
        let mut again = select(env, &*querier, &[], TimeRange::ALL);
        again.retain(|_, samples| !samples.is_empty());
        let mut first = first;
        first.retain(|_, samples| !samples.is_empty());
        assert_eq!(first, again);
        last = seen;
        views += 1;
        if sure == WRITERS * BATCHES as usize {
            return views;
        }
    }
}

#[test]
fn readers_see_batches_whole_while_writers_write() {
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let db = Arc::new(Db::open(dir.path(), Options::default(), &env).unwrap());
    let done = Arc::new(AtomicUsize::new(0));
    let views = Arc::new(Mutex::new(0));
    let mut threads: Vec<Box<dyn Joined>> = Vec::new();
    for writer in 0..WRITERS {
        let (db, done) = (Arc::clone(&db), Arc::clone(&done));
        let body = Box::new(move || write(&db, writer, &done));
        threads.push(env.spawner.spawn("writer", body).unwrap());
    }
    for _ in 0..READERS {
        let (env_of, db, done, views) = (env.clone(), Arc::clone(&db), Arc::clone(&done), Arc::clone(&views));
        let body = Box::new(move || *views.lock() += read(&env_of, &db, &done));
        threads.push(env.spawner.spawn("reader", body).unwrap());
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(*views.lock() > READERS);
    let whole = select(&env, &*db.querier(TimeRange::ALL).unwrap(), &[], TimeRange::ALL);
    assert_eq!(batches_of(&whole), [BATCHES; WRITERS]);
    drop(db);
    let db = Db::open(dir.path(), Options::default(), &env).unwrap();
    assert_eq!(select(&env, &*db.querier(TimeRange::ALL).unwrap(), &[], TimeRange::ALL), whole);
}

/// Batches that are dropped and batches that are committed meet at the same new series: a committed sample is
/// never lost with a series, and a series without one never stays.
#[test]
fn dropped_batches_never_take_the_series_of_others() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 300;
    const KEPT: usize = 100;
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let db = Arc::new(Db::open(dir.path(), Options::default(), &env).unwrap());
    let run = |db: &Db, thread: usize| {
        for round in 0..ROUNDS {
            let mut appender = db.appender();
            let mut refs = Vec::new();
            for i in 0..20 {
                let labels = labels(0, (round * 7 + i) % 500);
                let timestamp = TimestampMs::new((round * THREADS + thread) as i64 + 1);
                let append = Append::float(SeriesId::Labels(&labels), timestamp, thread as f64);
                // Another one may be ahead.
                refs.extend(appender.append(&append));
            }
            let commits = thread == 0 && round % 3 == 0;
            if commits {
                appender.commit().expect("the disk is sound");
            } else {
                let mut refused = Vec::new();
                let values = vec![0.0; refs.len()];
                let later = TimestampMs::new(1_000_000);
                appender.append_floats(later, &refs, &values, &mut refused);
                assert!(refused.is_empty(), "what a batch found stays while it lasts");
            }
        }
        for i in 0..KEPT {
            let labels = labels(1 + thread, i);
            let mut appender = db.appender();
            let append = Append::float(SeriesId::Labels(&labels), TimestampMs::new(2_000_000), 1.0);
            appender.append(&append).expect("the sample is in order");
            appender.commit().expect("the disk is sound");
        }
    };
    let threads: Vec<Box<dyn Joined>> = (0..THREADS)
        .map(|thread| {
            let db = Arc::clone(&db);
            env.spawner.spawn("appender", Box::new(move || run(&db, thread))).unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let whole = select(&env, &*db.querier(TimeRange::ALL).unwrap(), &[], TimeRange::ALL);
    assert!(whole.values().all(|samples| !samples.is_empty()));
    assert!(whole.len() > THREADS * KEPT);
    assert_eq!(db.stats().series, whole.len() as u64, "series without a sample stay");
    drop(db);
    let db = Db::open(dir.path(), Options::default(), &env).unwrap();
    assert_eq!(select(&env, &*db.querier(TimeRange::ALL).unwrap(), &[], TimeRange::ALL), whole);
}

/// Queries let new series in between their strides, and answer as if they did not.
#[test]
fn queries_of_many_strides_are_exact_while_series_come_and_go() {
    const ALL: usize = 9000;
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let db = Arc::new(Db::open(dir.path(), Options::default(), &env).unwrap());
    let name = |i: usize| if i.is_multiple_of(3) { "third" } else { "other" };
    let of =
        move |i: usize| Labels::from_pairs([("__name__", name(i)), ("all", "x"), ("i", &format!("{i:05}"))]);
    let add = move |db: &Db, from: usize, to: usize, commits: bool| {
        let mut appender = db.appender();
        for i in from..to {
            let labels = of(i);
            let append = Append::float(SeriesId::Labels(&labels), TimestampMs::new(i as i64 + 1), 1.0);
            appender.append(&append).expect("the sample is in order");
        }
        if commits {
            appender.commit().expect("the disk is sound");
        }
    };
    add(&db, 0, ALL, true);
    let querier = db.querier(TimeRange::ALL).unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let (others, is_done) = (Arc::clone(&db), Arc::clone(&done));
    let body = move || {
        for round in 0.. {
            let from = ALL + round * 20;
            add(&others, from, from + 20, round % 2 == 0);
            if is_done.load(Ordering::Acquire) > 0 {
                return;
            }
        }
    };
    let thread = env.spawner.spawn("appender", Box::new(body)).unwrap();
    for matchers in [
        vec![],
        vec![matcher("i", "=~", ".*7")],
        vec![matcher("i", "!~", ".*7.*")],
        vec![matcher("i", "=~", "001.*"), matcher("all", "=", "x")],
        vec![matcher("__name__", "=", "third"), matcher("i", "!~", ".*7.*")],
        vec![matcher("all", "=", "x"), matcher("__name__", "!=", "third")],
        vec![matcher("all", "=", "x"), matcher("__name__", "=~", "third|none")],
        vec![matcher("none", "=", ""), matcher("all", "!=", "y")],
    ] {
        let fulfils = |i: &usize| matchers.iter().all(|m| m.matches(of(*i).value(m.name())));
        let expected: Vec<String> = (0..ALL).filter(fulfils).map(|i| format!("{i:05}")).collect();
        let request = label_request(&env, &matchers, 0);
        assert_eq!(querier.label_values("i", &request).unwrap(), expected, "{matchers:?}");
        assert_eq!(querier.series(&request).unwrap().len(), expected.len(), "{matchers:?}");
        assert_eq!(querier.label_names(&request).unwrap(), ["__name__", "all", "i"]);
    }
    // The samples of a label's first series are too old, or too young.
    for (min, max, values) in
        [(1, 1, 1), (ALL as i64, ALL as i64, 1), (ALL as i64 / 2, i64::MAX, 2), (-9, 0, 0)]
    {
        let querier = db.querier(range(min, max)).unwrap();
        let all = label_request(&env, &[], 0);
        assert_eq!(querier.label_values("all", &all).unwrap().len(), values.min(1), "{min} to {max}");
        assert_eq!(querier.label_values("__name__", &all).unwrap().len(), values, "{min} to {max}");
        assert_eq!(querier.label_names(&all).unwrap().len(), 3 * values.min(1), "{min} to {max}");
        assert_eq!(querier.series(&all).unwrap().is_empty(), values == 0, "{min} to {max}");
    }
    done.store(1, Ordering::Release);
    thread.join().unwrap();
}

#[test]
fn a_cancelled_query_stops_at_its_next_stride() {
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), Options::default(), &env).unwrap();
    crate::common::commit(&db, &[(labels(0, 0), 1, 1.0)]).unwrap();
    let querier = db.querier(TimeRange::ALL).unwrap();
    for matchers in [vec![], vec![matcher("i", "=~", ".+")], vec![matcher("i", "=", "0")]] {
        let request = label_request(&env, &matchers, 0);
        request.budget.cancel();
        for error in [
            querier.series(&request).err(),
            querier.label_names(&request).err(),
            querier.label_values("i", &request).err(),
        ] {
            assert!(matches!(error, Some(QueryError::Cancelled)), "{error:?}");
        }
    }
}
