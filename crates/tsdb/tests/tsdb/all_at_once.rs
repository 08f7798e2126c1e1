//! Everything that a database does, at the same time on real threads: appends in order, late ones and
//! histograms, queries, deletion, cuts and compaction, retention, and snapshots. Each view, that of a
//! snapshot too, is checked against what was known to be committed and deleted before and after it was taken.

use crate::{
    common::{budget, matcher, range},
    content::content_of,
};
use skopos_base::{Env, spawn::Joined};
use skopos_model::{
    DurationMs, Histogram, Labels, TimestampMs,
    histogram::{Layout, Span},
};
use skopos_storage::{Append, Appendable, SeriesId, Value};
use skopos_testkit::series::{Content, Value as Kept};
use skopos_tsdb::{Db, Options, Retention, SnapshotOf, compact::RetentionLimits};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
};

const WRITERS: usize = 2;
const BATCHES: i64 = 500;
/// Between two batches.
const STEP_MS: i64 = 100;
/// How far behind its batch a late sample is; no sample in order has its time.
const LATE_MS: i64 = 950;
/// What is older may go.
const KEPT_MS: i64 = 20_000;
/// The longest block. Retention counts from the end of the newest block, which may lie so much behind its
/// last sample.
const BLOCK_MS: i64 = 6_000;
/// How many batches a writer may be ahead of another.
const LEAD: i64 = 20;
const KINDS: [&str; 4] = ["float", "histogram", "late", "doomed"];

fn options() -> Options {
    Options {
        min_block_duration: DurationMs::from_ms(2000),
        max_block_duration: DurationMs::from_ms(BLOCK_MS),
        out_of_order_window: DurationMs::from_ms(KEPT_MS),
        retention: Retention {
            limits: RetentionLimits {
                time: Some(DurationMs::from_ms(KEPT_MS)),
                ..RetentionLimits::default()
            },
            ..Retention::default()
        },
        ..Options::default()
    }
}

/// The time of batch `b`, of which the first is 1.
const fn time(b: i64) -> i64 {
    1000 + b * STEP_MS
}

/// What is known while threads run. A view lies between what was known before and after it was taken.
#[derive(Debug, Default)]
struct Known {
    /// Batches of each writer.
    committed: [AtomicI64; WRITERS],
    /// Samples up to this time are doomed as soon as anyone wants …
    doom_begun: AtomicI64,
    /// … and those up to this time are gone.
    doom_done: AtomicI64,
    views: AtomicUsize,
    is_over: AtomicBool,
}

/// A reading of `Known`.
#[derive(Clone, Copy, Debug)]
struct Then {
    committed: [i64; WRITERS],
    doom_begun: i64,
    doom_done: i64,
}

impl Known {
    fn now(&self) -> Then {
        let doom_done = self.doom_done.load(Ordering::SeqCst);
        let committed = [0, 1].map(|w: usize| self.committed[w].load(Ordering::SeqCst));
        Then { committed, doom_begun: self.doom_begun.load(Ordering::SeqCst), doom_done }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

fn labels(writer: usize, kind: &str) -> Labels {
    Labels::from_pairs([("__name__", kind), ("writer", &writer.to_string())])
}

fn histogram(b: i64) -> Histogram {
    let layout =
        Layout { schema: 1, positive_spans: vec![Span { offset: 0, length: 2 }], ..Layout::default() };
    let positive_deltas = vec![b, 1];
    let count = 2 * b as u64 + 1;
    Histogram { layout, count, sum: b as f64, zero_count: 0, positive_deltas, negative_deltas: Vec::new() }
}

fn write(db: &Db, env: &Env, writer: usize, known: &Known) {
    for b in 1..=BATCHES {
        // Who is too far ahead makes the others' samples too old.
        while known.now().committed.iter().any(|of| b - of > LEAD) {
            env.clock.sleep(std::time::Duration::from_millis(1));
        }
        let histogram = histogram(b);
        let mut appender = db.appender();
        for kind in KINDS {
            let labels = labels(writer, kind);
            let value = match kind {
                "histogram" => Value::Histogram(&histogram),
                _ => Value::Float(b as f64),
            };
            // The first late sample is one in order; every other one is older than those before it.
            let times: &[i64] = if kind == "late" { &[time(b), time(b) - LATE_MS] } else { &[time(b)] };
            for t in times {
                let sample = Append::float(SeriesId::Labels(&labels), TimestampMs::new(*t), 0.0);
                let appended = appender.append(&Append { value, ..sample });
                appended.unwrap_or_else(|e| panic!("{labels} at {t}: {e}"));
            }
        }
        let done = appender.commit().expect("the disk is sound");
        assert_eq!((done.samples, done.overtaken), (KINDS.len() + 1, 0));
        known.committed[writer].store(b, Ordering::SeqCst);
    }
}

/// The batches that must be there whole, and the doomed ones that may; panics at a part of one or a wrong
/// value.
fn check(view: &Content, before: Then, after: Then, what: &str) {
    let newest = time(after.committed.into_iter().max().unwrap_or_default() + 1);
    for writer in 0..WRITERS {
        let of = |kind: &str| {
            let labels = [("__name__", kind.to_owned()), ("writer", writer.to_string())];
            let labels = labels.map(|(name, value)| (name.to_owned(), value));
            view.get(&labels.into_iter().collect()).map_or(&[][..], |series| &series.samples)
        };
        let [floats, histograms, late, doomed] = KINDS.map(of);
        let (sure, most) = (before.committed[writer], after.committed[writer] + 1);
        for b in 1..=BATCHES {
            let t = time(b);
            let at = |samples: &[(i64, Kept)], t: i64| {
                let i = samples.binary_search_by_key(&t, |(t, _)| *t).ok()?;
                match &samples[i].1 {
                    Kept::Float(bits) => {
                        assert_eq!(f64::from_bits(*bits), b as f64, "{what}: {writer} at {t}");
                    }
                    Kept::Histogram(h) => {
                        assert_eq!((h.count, h.sum_bits), ((2 * b + 1) as f64, (b as f64).to_bits()));
                    }
                }
                Some(())
            };
            let there = [at(floats, t), at(histograms, t), at(late, t), at(late, t - LATE_MS)];
            let said = format!("{what}: writer {writer}, batch {b}: {there:?}; {before:?} to {after:?}");
            if t - LATE_MS > newest - KEPT_MS + BLOCK_MS {
                assert!(there.iter().all(|one| *one == there[0]), "{said}");
                assert!(b > sure || there[0].is_some(), "{said}");
                let doomed_is_there = at(doomed, t).is_some();
                assert!(t > before.doom_done || !doomed_is_there, "{said}: deleted, and there");
                assert!(
                    t <= after.doom_begun || doomed_is_there == there[0].is_some(),
                    "{said}: not deleted"
                );
            }
            assert!(b <= most || there.iter().all(Option::is_none), "{said}: nobody wrote it");
        }
        assert!(floats.len() <= BATCHES as usize && late.len() <= 2 * BATCHES as usize);
    }
}

fn read(db: &Db, known: &Known) {
    while !known.is_over() {
        let before = known.now();
        let view = content_of(db);
        check(&view, before, known.now(), "a query");
        known.views.fetch_add(1, Ordering::SeqCst);
    }
}

/// Deletes what is doomed up to the time that all writers have passed.
fn delete(db: &Db, env: &Env, known: &Known) {
    while !known.is_over() {
        let committed = known.now().committed.into_iter().min().unwrap_or_default();
        let until = time(committed);
        known.doom_begun.store(until, Ordering::SeqCst);
        let matchers = [matcher("__name__", "=", "doomed")];
        db.delete_series(&matchers, range(i64::MIN, until), &budget(env)).expect("the disk is sound");
        known.doom_done.store(until, Ordering::SeqCst);
        env.clock.sleep(std::time::Duration::from_millis(3));
    }
}

fn maintain(db: &Db, known: &Known) {
    while !known.is_over() {
        db.maintain().expect("the disk is sound");
        db.compact_out_of_order().expect("the disk is sound");
        db.clean_tombstones().expect("the disk is sound");
    }
}

/// What a snapshot has is checked as a query is.
fn take_snapshots(db: &Db, dir: &Path, env: &Env, known: &Known) {
    for _ in 0..4 {
        let before = known.now();
        let name = db.snapshot(SnapshotOf::BlocksAndHead).expect("the disk is sound");
        let after = known.now();
        let copy = Db::open(&dir.join("snapshots").join(name), options(), env).expect("a snapshot opens");
        check(&content_of(&copy), before, after, "a snapshot");
    }
}

/// What one of the threads does.
type Body = Box<dyn FnOnce(&Db, &Path, &Env, &Known) + Send>;

#[test]
fn views_agree_with_what_was_written_whatever_else_the_database_does() {
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let db = Arc::new(Db::open(dir.path(), options(), &env).unwrap());
    let known = Arc::new(Known::default());
    let start = |body: Body| -> Box<dyn Joined> {
        let (db, known) = (Arc::clone(&db), Arc::clone(&known));
        let (dir, env_of) = (dir.path().to_owned(), env.clone());
        env.spawner.spawn("test", Box::new(move || body(&db, &dir, &env_of, &known))).unwrap()
    };
    let mut ending: Vec<Box<dyn Joined>> = Vec::new();
    for writer in 0..WRITERS {
        ending.push(start(Box::new(move |db, _, env, known| write(db, env, writer, known))));
    }
    ending.push(start(Box::new(take_snapshots)));
    let others = [
        start(Box::new(|db, _, _, known| read(db, known))),
        start(Box::new(|db, _, _, known| read(db, known))),
        start(Box::new(|db, _, env, known| delete(db, env, known))),
        start(Box::new(|db, _, _, known| maintain(db, known))),
    ];
    ending.into_iter().for_each(|thread| thread.join().unwrap());
    known.is_over.store(true, Ordering::SeqCst);
    others.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(known.views.load(Ordering::SeqCst) > 0);
    db.maintain().unwrap();
    let (now, whole) = (known.now(), content_of(&db));
    check(&whole, now, now, "the end");
    let oldest = whole.values().filter_map(|series| series.samples.first()).map(|(t, _)| *t).min();
    assert!(oldest.is_some_and(|t| t > time(1)), "retention took nothing: {oldest:?}");
    drop(db);
    let again = Db::open(dir.path(), options(), &env).unwrap();
    check(&content_of(&again), now, now, "another start");
}
