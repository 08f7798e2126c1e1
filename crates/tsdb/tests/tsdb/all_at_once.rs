//! Everything that a database does, at the same time on real threads: appends in order, late ones and
//! histograms, queries, deletion, cuts and compaction, retention, and snapshots. Each view, that of a
//! snapshot too, is checked against what was known to be committed and deleted before and after it was taken.

use crate::{
    common::{budget, matcher, range},
    content::content_of,
};
use parking_lot::{Condvar, Mutex};
use skopos_base::{Env, spawn::Joined};
use skopos_model::{
    DurationMs, Histogram, Labels, TimestampMs,
    histogram::{Layout, Span},
};
use skopos_storage::{Append, Appendable, SeriesId, Value};
use skopos_testkit::series::{Content, Value as Kept};
use skopos_tsdb::{Db, Maintained, Options, Retention, SnapshotOf, compact::RetentionLimits};
use std::{path::Path, sync::Arc};

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
/// After so many batches a writer waits for maintenance.
const BATCHES_PER_PASS: i64 = 50;
/// … and after so many until there was maintenance of each kind: by then, the first blocks are too old.
const BATCHES_BEFORE_ALL_IS_SEEN: i64 = 400;
const KINDS: [&str; 4] = ["float", "histogram", "late", "doomed"];

fn options() -> Options {
    Options {
        min_block_duration: DurationMs::from_ms(2000),
        max_block_duration: DurationMs::from_ms(BLOCK_MS),
        // Each pass is the test's, which counts what it did.
        maintenance_interval: DurationMs::from_secs(3600),
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
    now: Mutex<Then>,
    changed: Condvar,
}

/// What was known at some time.
#[derive(Clone, Copy, Debug, Default)]
struct Then {
    /// Batches of each writer.
    committed: [i64; WRITERS],
    /// Samples up to this time are doomed as soon as anyone wants …
    doom_begun: i64,
    /// … and those up to this time are gone.
    doom_done: i64,
    views: usize,
    deletions: usize,
    /// Passes of maintenance, and what they did.
    passes: usize,
    cut: usize,
    out_of_order: usize,
    compacted: usize,
    expired: usize,
    is_over: bool,
}

impl Then {
    /// How often maintenance did each thing, and how often others looked and deleted.
    const fn did(&self) -> [usize; 6] {
        [self.cut, self.out_of_order, self.compacted, self.expired, self.views, self.deletions]
    }
}

impl Known {
    fn now(&self) -> Then {
        *self.now.lock()
    }

    fn note(&self, change: impl FnOnce(&mut Then)) {
        change(&mut self.now.lock());
        self.changed.notify_all();
    }

    /// Waits until it is so, or all is over.
    fn wait_until(&self, is_so: impl Fn(&Then) -> bool) {
        self.changed.wait_while(&mut self.now.lock(), |now| !now.is_over && !is_so(now));
    }

    fn note_pass(&self, done: Maintained) {
        self.note(|now| {
            now.passes += 1;
            now.cut += done.cut;
            now.out_of_order += done.out_of_order;
            now.compacted += done.compacted;
            now.expired += done.expired;
        });
    }
}

/// Nobody waits for a thread that panicked.
struct OverOnPanic<'a>(&'a Known);

impl Drop for OverOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.note(|now| now.is_over = true);
        }
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

fn write(db: &Db, writer: usize, known: &Known) {
    for b in 1..=BATCHES {
        // Who is too far ahead makes the others' samples too old.
        known.wait_until(|now| now.committed.iter().all(|of| b - of <= LEAD));
        if b % BATCHES_PER_PASS == 0 {
            // One pass may have begun before the last batch, the one behind it has not.
            let passes = known.now().passes;
            known.wait_until(|now| now.passes >= passes + 2);
        }
        if b == BATCHES_BEFORE_ALL_IS_SEEN {
            // Threads of a busy machine wait long for their turn.
            known.wait_until(|now| now.did().iter().all(|times| *times > 0));
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
        known.note(|now| now.committed[writer] = b);
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
    while !known.now().is_over {
        let before = known.now();
        let view = content_of(db);
        check(&view, before, known.now(), "a query");
        known.note(|now| now.views += 1);
    }
}

/// Deletes what is doomed up to the time that all writers have passed, each time that they have gone on.
fn delete(db: &Db, env: &Env, known: &Known) {
    let passed = |now: &Then| now.committed.into_iter().min().unwrap_or_default();
    let mut last = 0;
    while !known.now().is_over {
        known.wait_until(|now| passed(now) > last);
        last = passed(&known.now());
        let until = time(last);
        known.note(|now| now.doom_begun = until);
        let matchers = [matcher("__name__", "=", "doomed")];
        db.delete_series(&matchers, range(i64::MIN, until), &budget(env)).expect("the disk is sound");
        known.note(|now| (now.doom_done, now.deletions) = (until, now.deletions + 1));
    }
}

fn maintain(db: &Db, known: &Known) {
    while !known.now().is_over {
        known.note_pass(db.maintain().expect("the disk is sound"));
        known.note_pass(db.compact_out_of_order().expect("the disk is sound"));
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
        let run = move || {
            let _over = OverOnPanic(&known);
            body(&db, &dir, &env_of, &known);
        };
        env.spawner.spawn("test", Box::new(run)).unwrap()
    };
    let mut ending: Vec<Box<dyn Joined>> = Vec::new();
    for writer in 0..WRITERS {
        ending.push(start(Box::new(move |db, _, _, known| write(db, writer, known))));
    }
    ending.push(start(Box::new(take_snapshots)));
    let others = [
        start(Box::new(|db, _, _, known| read(db, known))),
        start(Box::new(|db, _, _, known| read(db, known))),
        start(Box::new(|db, _, env, known| delete(db, env, known))),
        start(Box::new(|db, _, _, known| maintain(db, known))),
    ];
    ending.into_iter().for_each(|thread| thread.join().unwrap());
    // All of this happened while samples came in.
    let during = known.now();
    known.note(|now| now.is_over = true);
    others.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(during.did().iter().all(|times| *times > 0), "{during:?}");
    db.maintain().unwrap();
    let (now, whole) = (known.now(), content_of(&db));
    check(&whole, now, now, "the end");
    let oldest = whole.values().filter_map(|series| series.samples.first()).map(|(t, _)| *t).min();
    assert!(oldest.is_some_and(|t| t > time(1)), "retention took nothing: {oldest:?}");
    drop(db);
    let again = Db::open(dir.path(), options(), &env).unwrap();
    check(&content_of(&again), now, now, "another start");
}
