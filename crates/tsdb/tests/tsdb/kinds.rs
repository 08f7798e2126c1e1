//! Samples of several kinds of one series in one batch: floats and the four kinds of histograms stand in
//! records of their own, and yet memory and what is read back from the log have them in the order in which
//! they were accepted. Nothing is lost, and nothing that is accepted is dropped later.

use crate::{
    common::{commit, open, series},
    content::{append_one, content_of, differences},
};
use skopos_base::{
    rng::Rng,
    sim::{SimFs, SimWorld, effort},
};
use skopos_model::{DurationMs, Labels, STALE_NAN_BITS};
use skopos_storage::{AppendError, Appendable, Appender};
use skopos_testkit::series::{Content, Counts, Histogram, LabelPairs, Reset, Series, Value};
use skopos_tsdb::{Db, Options};
use std::collections::BTreeMap;

/// The kinds of samples that stand in records of their own, and the marker of staleness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    Stale,
    Exponential(Counts),
    Custom(Counts),
}

const KINDS: [Kind; 6] = [
    Kind::Float,
    Kind::Exponential(Counts::Whole),
    Kind::Exponential(Counts::Floats),
    Kind::Custom(Counts::Whole),
    Kind::Custom(Counts::Floats),
    Kind::Stale,
];

/// A value of a kind; another `k` is another value.
fn value(kind: Kind, k: u64) -> Value {
    let (counts, custom) = match kind {
        Kind::Float => return Value::float(k as f64),
        Kind::Stale => return Value::Float(STALE_NAN_BITS),
        Kind::Exponential(counts) => (counts, false),
        Kind::Custom(counts) => (counts, true),
    };
    let count = 1.0 + k as f64 + if counts == Counts::Floats { 0.5 } else { 0.0 };
    Value::Histogram(Histogram {
        counts,
        schema: if custom { -53 } else { 1 },
        zero_threshold: if custom { 0.0 } else { 0.001 },
        zero_count: 0.0,
        count: count + 2.0,
        sum_bits: (k as f64).to_bits(),
        reset: Reset::Unknown,
        positive: BTreeMap::from([(0, count), (1, 2.0)]),
        negative: BTreeMap::new(),
        custom_bounds: if custom { vec![1.0, 2.5] } else { Vec::new() },
    })
}

/// All pairs and triples of kinds.
fn sequences() -> Vec<Vec<Kind>> {
    let pairs: Vec<Vec<Kind>> =
        KINDS.iter().flat_map(|first| KINDS.iter().map(|second| vec![*first, *second])).collect();
    let triple = |pair: &Vec<Kind>| {
        let pair = pair.clone();
        KINDS.map(|third| [&pair[..], &[third]].concat())
    };
    let triples: Vec<Vec<Kind>> = pairs.iter().flat_map(triple).collect();
    pairs.into_iter().chain(triples).collect()
}

fn options(window_ms: i64) -> Options {
    Options {
        out_of_order_window: DurationMs::from_ms(window_ms),
        snapshot_on_shutdown: false,
        ..Options::default()
    }
}

/// A batch of `samples`: which series, when, and of what kind.
fn commit_all(db: &Db, samples: impl Iterator<Item = (usize, i64, Kind)>) {
    let mut appender = db.appender();
    let mut count = 0;
    for (i, t, kind) in samples {
        append_one(&mut *appender, &series(i), t, &value(kind, t as u64)).expect("it is in order");
        count += 1;
    }
    let done = appender.commit().expect("the disk is sound");
    assert_eq!((done.samples, done.overtaken), (count, 0));
}

/// What is left of a database by the end of its process, with nothing synchronised, and then by a loss of
/// power behind a synchronisation; and what it answered before. Closed chunks are nowhere but in memory yet:
/// what comes back comes from the log.
fn crashed(write: impl Fn(&Db)) -> (Vec<SimFs>, Content) {
    let world = SimWorld::new(1);
    let fs = world.fs().clone();
    world.run(|env| {
        let db = open(env, options(0));
        write(&db);
        let killed = fs.process_crash();
        db.sync().expect("the disk is sound");
        // Not behind the end of the database, which would bring its chunks to files.
        let lost = fs.crash_states(effort::states(2), effort::seed(1));
        ([killed].into_iter().chain(lost).collect(), content_of(&db))
    })
}

fn assert_kept(states: Vec<SimFs>, expected: &Content, what: &str) {
    effort::report(states.len());
    for state in states {
        let origin = state.origin();
        let found = SimWorld::with_fs(9, state).run(|env| content_of(&open(env, options(0))));
        let differing = differences(expected, &found);
        assert!(differing.is_empty(), "{what}, {origin}: {differing:#?}");
    }
}

fn times(content: &Content) -> Vec<Vec<i64>> {
    content.values().map(|series| series.samples.iter().map(|(t, _)| *t).collect()).collect()
}

#[test]
fn samples_of_any_kinds_of_one_series_in_one_batch_are_there_after_a_crash() {
    for kinds in sequences() {
        let (states, expected) =
            crashed(|db| commit_all(db, (1..).zip(&kinds).map(|(t, kind)| (0, t, *kind))));
        assert_eq!(times(&expected), [(1..=kinds.len() as i64).collect::<Vec<_>>()], "{kinds:?}");
        assert_kept(states, &expected, &format!("{kinds:?}"));
    }
}

#[test]
fn series_of_all_sequences_of_kinds_in_one_batch_are_there_after_a_crash() {
    let all = sequences();
    let by_series = || {
        let of = |(i, kinds): (usize, &Vec<Kind>)| {
            let samples: Vec<_> = (1..).zip(kinds).map(|(t, kind)| (i, t, *kind)).collect();
            samples
        };
        all.iter().enumerate().flat_map(of)
    };
    let by_time = || (1..=3).flat_map(move |time| by_series().filter(move |(_, t, _)| *t == time));
    for (states, expected) in
        [crashed(|db| commit_all(db, by_series())), crashed(|db| commit_all(db, by_time()))]
    {
        let mut lengths: Vec<usize> = times(&expected).iter().map(Vec::len).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, all.iter().map(Vec::len).collect::<Vec<_>>());
        assert_kept(states, &expected, "all");
    }
}

#[test]
fn a_batch_that_begins_later_and_finds_a_series_takes_nothing_from_an_earlier_one() {
    for kinds in sequences() {
        let (states, expected) = crashed(|db| {
            let mut earlier = db.appender();
            let mut later = Vec::new();
            for (t, kind) in (10..).step_by(10).zip(&kinds) {
                append_one(&mut *earlier, &series(0), t, &value(*kind, t as u64)).expect("it is in order");
                let mut other = db.appender();
                append_one(&mut *other, &series(0), 5, &value(Kind::Float, 5)).expect("it is the first");
                later.push(other);
            }
            drop(later);
            let done = earlier.commit().expect("the disk is sound");
            assert_eq!((done.samples, done.overtaken), (kinds.len(), 0), "{kinds:?}");
        });
        assert_eq!(times(&expected)[0].len(), kinds.len(), "{kinds:?}");
        assert_kept(states, &expected, &format!("{kinds:?}"));
    }
}

#[test]
fn a_batch_refuses_what_contradicts_it_also_where_a_later_one_has_found_the_series() {
    for (first, second) in KINDS[..5].iter().flat_map(|a| KINDS[..5].iter().map(move |b| (*a, *b))) {
        SimWorld::new(3).run(|env| {
            let db = open(env, options(0));
            let mut batch = db.appender();
            append_one(&mut *batch, &series(0), 10, &value(first, 1)).expect("it is the first");
            let mut later = db.appender();
            append_one(&mut *later, &series(0), 20, &value(Kind::Float, 1)).expect("it is the first");
            let refused = append_one(&mut *batch, &series(0), 10, &value(second, 2)).map(drop);
            assert!(
                matches!(refused, Err(AppendError::Duplicate { .. })),
                "{first:?}, {second:?}: {refused:?}"
            );
            let refused = append_one(&mut *batch, &series(0), 9, &value(second, 2)).map(drop);
            assert!(
                matches!(refused, Err(AppendError::OutOfOrder { .. })),
                "{first:?}, {second:?}: {refused:?}"
            );
            drop(later);
            let done = batch.commit().expect("the disk is sound");
            assert_eq!((done.samples, done.overtaken), (1, 0));
        });
    }
}

/// The first accepted sample of each series and time.
#[derive(Default)]
struct Oracle {
    committed: BTreeMap<usize, BTreeMap<i64, Value>>,
    /// Of the batch under way, with the newest of each series in order.
    batch: BTreeMap<usize, BTreeMap<i64, Value>>,
}

impl Oracle {
    fn newest(&self, i: usize) -> Option<i64> {
        let last = |of: &BTreeMap<usize, BTreeMap<i64, Value>>| of.get(&i)?.keys().last().copied();
        last(&self.committed).max(last(&self.batch))
    }

    fn has(&self, i: usize, t: i64) -> bool {
        [&self.committed, &self.batch].iter().any(|of| of.get(&i).is_some_and(|of| of.contains_key(&t)))
    }

    fn commit(&mut self) {
        for (i, samples) in std::mem::take(&mut self.batch) {
            self.committed.entry(i).or_default().extend(samples);
        }
    }

    fn content(&self) -> Content {
        let pairs = |labels: &Labels| -> LabelPairs {
            labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let of = |samples: &BTreeMap<i64, Value>| Series {
            samples: samples.iter().map(|(t, value)| (*t, value.clone())).collect(),
            ..Series::default()
        };
        self.committed.iter().map(|(i, samples)| (pairs(&series(*i)), of(samples))).collect()
    }
}

/// How often each answer came.
#[derive(Debug, Default)]
struct Seen {
    taken: usize,
    late: usize,
    repeated: usize,
    duplicate: usize,
    out_of_order: usize,
}

/// One sample; what must become of it is known before.
fn one_sample(rng: &Rng, to: &mut dyn Appender, oracle: &mut Oracle, window_ms: i64, seen: &mut Seen) {
    let i = rng.below(3) as usize;
    let kind = KINDS[rng.below(5) as usize];
    let own = value(kind, rng.below(1000));
    let newest = oracle.newest(i);
    let in_batch = oracle.batch.get(&i).and_then(|of| of.last_key_value()).map(|(t, v)| (*t, v.clone()));
    match (rng.below(8), newest, in_batch) {
        (0, Some(newest), Some((t, of_batch))) if t == newest => {
            let answer = append_one(to, &series(i), t, &of_batch).map(drop);
            assert_eq!(answer, Ok(()), "the same again at {t}");
            seen.repeated += 1;
        }
        (1, Some(newest), Some((t, of_batch))) if t == newest && of_batch != own => {
            let answer = append_one(to, &series(i), t, &own).map(drop);
            assert!(matches!(answer, Err(AppendError::Duplicate { .. })), "{t}: {answer:?}");
            seen.duplicate += 1;
        }
        (2, Some(newest), _) => {
            let t = newest - 1 - rng.below(40) as i64;
            if oracle.has(i, t) {
                return;
            }
            let answer = append_one(to, &series(i), t, &own).map(drop);
            if window_ms == 0 {
                assert!(matches!(answer, Err(AppendError::OutOfOrder { .. })), "{t}: {answer:?}");
                seen.out_of_order += 1;
            } else {
                assert_eq!(answer, Ok(()), "late at {t}");
                oracle.batch.entry(i).or_default().insert(t, own);
                seen.late += 1;
            }
        }
        _ => {
            let t = newest.unwrap_or(1000) + 1 + rng.below(20) as i64;
            assert_eq!(append_one(to, &series(i), t, &own).map(drop), Ok(()), "in order at {t}");
            oracle.batch.entry(i).or_default().insert(t, own);
            seen.taken += 1;
        }
    }
}

fn life(seed: u64, seen: &mut Seen) {
    let rng = Rng::from_seed(seed);
    let window_ms = [0, 1_000_000][rng.below(2) as usize];
    let world = SimWorld::new(seed);
    let fs = world.fs().clone();
    let mut oracle = Oracle::default();
    let states: Vec<SimFs> = world.run(|env| {
        let db = open(env, options(window_ms));
        for _ in 0..1 + rng.below(6) {
            let mut batch = db.appender();
            for _ in 0..rng.below(40) {
                one_sample(&rng, &mut *batch, &mut oracle, window_ms, seen);
                if rng.below(6) == 0 {
                    // A later batch that comes to nothing.
                    let (i, t) = (rng.below(3) as usize, 1_000_000 + rng.below(100) as i64);
                    drop(append_one(&mut *db.appender(), &series(i), t, &value(Kind::Float, 1)));
                }
            }
            let count: usize = oracle.batch.values().map(BTreeMap::len).sum();
            let done = batch.commit().expect("the disk is sound");
            assert_eq!((done.samples, done.overtaken), (count, 0));
            oracle.commit();
            let differing = differences(&oracle.content(), &content_of(&db));
            assert!(differing.is_empty(), "in memory: {differing:#?}");
        }
        let killed = fs.process_crash();
        db.sync().expect("the disk is sound");
        [killed].into_iter().chain(fs.crash_states(effort::states(2), effort::seed(seed))).collect()
    });
    effort::report(states.len());
    for state in states {
        let origin = state.origin();
        let found = SimWorld::with_fs(9, state).run(|env| content_of(&open(env, options(window_ms))));
        let differing = differences(&oracle.content(), &found);
        assert!(differing.is_empty(), "{origin}: {differing:#?}");
    }
}

#[test]
fn random_batches_are_in_memory_and_in_the_log_as_they_were_accepted() {
    let mut seen = Seen::default();
    for seed in 0..effort::states(150) as u64 {
        println!("seed {seed}");
        life(effort::seed(seed), &mut seen);
    }
    let Seen { taken, late, repeated, duplicate, out_of_order } = seen;
    assert!(taken > 5000 && late > 300, "{seen:?}");
    assert!(repeated > 50 && duplicate > 50 && out_of_order > 300, "{seen:?}");
}

/// The same series as before a restart: nothing of a batch is known when the next one begins.
#[test]
fn kinds_that_change_from_batch_to_batch_are_there_after_a_crash() {
    let (states, expected) = crashed(|db| {
        for (t, kind) in (1..).zip(KINDS.iter().chain(KINDS.iter().rev())) {
            commit_all(db, [(0, t, *kind)].into_iter());
        }
        commit(db, &[(series(1), 1, 1.0)]).expect("the disk is sound");
    });
    assert_eq!(times(&expected), [(1..=12).collect::<Vec<_>>(), vec![1]]);
    assert_kept(states, &expected, "each");
}
