//! Samples of equal time and different value, against an oracle that keeps the first one that was accepted:
//! the same query gives the same answer before and after restarts, cuts, compactions and snapshots.

use crate::{
    common::{DIR, commit, dump, open, series},
    content::{append_one, content_of, content_seen_by, differences},
};
use skopos_base::{
    Env,
    fs::{Fs, OpenMode, append_all, read_all},
    rng::Rng,
    sim::{SimWorld, effort},
};
use skopos_model::{DurationMs, Labels, STALE_NAN_BITS};
use skopos_storage::{AppendError, Appendable, Queryable, TimeRange};
use skopos_testkit::series::{Content, Counts, Histogram, LabelPairs, Reset, Series, Value};
use skopos_tsdb::{Db, Maintained, Options, SnapshotOf};
use std::{collections::BTreeMap, path::Path};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Times are multiples of this, so that many samples meet at one.
const GRID_MS: i64 = 3 * MINUTE_MS;
const WINDOW_MS: i64 = 5 * HOUR_MS;

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        out_of_order_window: DurationMs::from_ms(WINDOW_MS),
        maintenance_interval: DurationMs::from_secs(1 << 30),
        max_block_duration: DurationMs::from_secs(18 * 3600),
        ..Options::default()
    }
}

fn pairs(labels: &Labels) -> LabelPairs {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn histogram(counts: Counts, k: u64) -> Value {
    let buckets = BTreeMap::from([(0, 1.0 + k as f64), (1, 2.0), (k as i32, 3.0)]);
    let in_buckets: f64 = buckets.values().sum();
    // A float histogram never equals a whole one.
    let zero_count = if counts == Counts::Floats { 1.5 } else { 1.0 };
    Value::Histogram(Histogram {
        counts,
        schema: 1,
        zero_threshold: 0.001,
        zero_count,
        count: in_buckets + zero_count,
        sum_bits: (10.0 * (1 + k) as f64).to_bits(),
        reset: Reset::Unknown,
        positive: buckets,
        negative: BTreeMap::new(),
        custom_bounds: Vec::new(),
    })
}

/// Values that are alike to the eye and are not among them.
fn random_value(rng: &Rng) -> Value {
    let bits = match rng.below(10) {
        0 => STALE_NAN_BITS,
        1 => f64::NAN.to_bits(),
        2 => f64::NAN.to_bits() | 1,
        3 => (-0.0f64).to_bits(),
        4 => 0.0f64.to_bits(),
        5 => return histogram(Counts::Whole, rng.below(4)),
        6 => return histogram(Counts::Floats, rng.below(4)),
        k => (k as f64).to_bits(),
    };
    Value::Float(bits)
}

/// The first accepted sample of each series and time.
#[derive(Default)]
struct Oracle {
    samples: BTreeMap<LabelPairs, BTreeMap<i64, Value>>,
    newest: i64,
    /// How many came at a time that had another value.
    contradicted: usize,
    /// How many of those were refused by name.
    refused: usize,
}

impl Oracle {
    fn content(&self) -> Content {
        let of = |s: &BTreeMap<i64, Value>| s.iter().map(|(t, value)| (*t, value.clone())).collect();
        let series = |s| Series { samples: of(s), ..Series::default() };
        self.samples.iter().map(|(labels, s)| (labels.clone(), series(s))).collect()
    }

    fn add(&mut self, labels: LabelPairs, t: i64, value: &Value) {
        self.newest = self.newest.max(t);
        let first = self.samples.entry(labels).or_default().entry(t).or_insert_with(|| value.clone());
        self.contradicted += usize::from(first != value);
    }
}

fn one_batch(rng: &Rng, db: &Db, oracle: &mut Oracle, now: &mut i64) {
    *now += [0, 0, GRID_MS, GRID_MS, 10 * GRID_MS][rng.below(5) as usize];
    let reach = [2 * GRID_MS, HOUR_MS, WINDOW_MS][rng.below(3) as usize] as u64;
    let mut appender = db.appender();
    let mut pending: Vec<(LabelPairs, i64, Value)> = Vec::new();
    for _ in 0..rng.below(30) {
        let labels = series(rng.below(3) as usize);
        let back = if rng.below(3) == 0 { 0 } else { rng.below(reach) as i64 };
        let t = (*now - back) / GRID_MS * GRID_MS;
        let value = random_value(rng);
        match append_one(&mut *appender, &labels, t, &value) {
            Ok(_) => pending.push((pairs(&labels), t, value)),
            Err(AppendError::Duplicate { timestamp }) => {
                assert_eq!(timestamp.as_ms(), t);
                let labels = pairs(&labels);
                let known = oracle.samples.get(&labels).is_some_and(|s| s.contains_key(&t));
                let in_batch = pending.iter().any(|(l, at, _)| *l == labels && *at == t);
                assert!(known || in_batch, "{labels:?} at {t} contradicts nothing");
                oracle.refused += 1;
            }
            Err(AppendError::TooOld { .. }) => assert!(t < oracle.newest - WINDOW_MS, "{t}"),
            Err(e) => panic!("{labels} at {t}: {e}"),
        }
    }
    if rng.below(8) > 0 {
        appender.commit().expect("the disk is sound");
        pending.into_iter().for_each(|(labels, t, value)| oracle.add(labels, t, &value));
    }
}

/// What differs from the oracle. Behind histograms the marker of staleness becomes one of theirs: it is one
/// value, whatever its kind.
fn differing(oracle: &Oracle, mut found: Content) -> Vec<String> {
    for (_, value) in found.values_mut().flat_map(|series| &mut series.samples) {
        if matches!(value, Value::Histogram(h) if h.sum_bits == STALE_NAN_BITS) {
            *value = Value::Float(STALE_NAN_BITS);
        }
    }
    differences(&oracle.content(), &found)
}

fn check(db: &Db, oracle: &Oracle, when: &str) {
    let differing = differing(oracle, content_of(db));
    assert!(
        differing.is_empty(),
        "{when}: {} differ: {:#?}",
        differing.len(),
        &differing[..differing.len().min(5)]
    );
}

/// One thing that must not change an answer.
fn one_upkeep(env: &Env, rng: &Rng, db: &Db, oracle: &Oracle, done: &mut Maintained) {
    check(db, oracle, "after batches");
    let before = db.querier(TimeRange::ALL).expect("it can be queried");
    let (what, new) = match rng.below(5) {
        0 | 1 => ("maintenance", db.maintain().expect("the disk is sound")),
        2 => ("a cut of late samples", db.compact_out_of_order().expect("the disk is sound")),
        3 => {
            let name = db.snapshot(SnapshotOf::BlocksAndHead).expect("the disk is sound");
            let dir = Path::new(DIR).join("snapshots").join(name);
            let copy = Db::open(&dir, options(), env).expect("a snapshot opens");
            check(&copy, oracle, "in a snapshot");
            copy.maintain().expect("the disk is sound");
            check(&copy, oracle, "in a snapshot that was compacted");
            drop(copy);
            env.fs.remove_dir_all(&dir).expect("the disk is sound");
            ("a snapshot", Maintained::default())
        }
        _ => {
            db.sync().expect("the disk is sound");
            ("synchronising", Maintained::default())
        }
    };
    (done.cut, done.out_of_order) = (done.cut + new.cut, done.out_of_order + new.out_of_order);
    done.compacted += new.compacted;
    let seen = differing(oracle, content_seen_by(&*before));
    assert!(seen.is_empty(), "a reader of before {what}: {seen:#?}");
    drop(before);
    check(db, oracle, what);
}

/// What ended the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    ClosedWithoutSnapshot,
    Killed,
}

/// What all lives together have seen.
#[derive(Debug, Default)]
struct Seen {
    done: Maintained,
    contradicted: usize,
    refused: usize,
}

fn life(seed: u64, seen: &mut Seen) {
    let rng = Rng::from_seed(seed);
    let (mut oracle, mut now) = (Oracle::default(), 1_000 * HOUR_MS);
    let mut world = SimWorld::new(100 * seed);
    for process in 0..8 {
        let end = [End::Closed, End::ClosedWithoutSnapshot, End::Killed][rng.below(3) as usize];
        let fs = world.fs().clone();
        let mut left = fs.clone();
        // With few bytes the WAL's late samples ask the write-behind log many times.
        let replay_waiting_bytes = [1 << 28, 4000, 400][rng.below(3) as usize];
        world.run(|env| {
            let db = open(env, Options { replay_waiting_bytes, ..options() });
            check(&db, &oracle, "at the start");
            for _ in 0..rng.below(60) {
                match rng.below(6) {
                    0 => one_upkeep(env, &rng, &db, &oracle, &mut seen.done),
                    _ => one_batch(&rng, &db, &mut oracle, &mut now),
                }
            }
            check(&db, &oracle, "at the end");
            match end {
                End::Closed => db.close().expect("the disk is sound"),
                End::ClosedWithoutSnapshot => drop(db),
                End::Killed => left = fs.process_crash(),
            }
        });
        world = SimWorld::with_fs(100 * seed + process + 1, left);
    }
    (seen.contradicted, seen.refused) =
        (seen.contradicted + oracle.contradicted, seen.refused + oracle.refused);
}

#[test]
fn the_first_accepted_sample_of_a_time_stays_in_every_life() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..effort::states(8) as u64).map(effort::seed).collect(),
    };
    let (mut seen, all) = (Seen::default(), seeds.len());
    for seed in seeds {
        println!("seed {seed}");
        life(seed, &mut seen);
    }
    println!("{seen:?}");
    assert!(seen.contradicted > 100 * all && seen.refused > 20 * all, "too few met: {seen:?}");
    let Maintained { cut, out_of_order, compacted, .. } = seen.done;
    assert!(cut > all && out_of_order > all && compacted > all, "too little was done: {seen:?}");
}

/// The write-behind log has what came first where the WAL has been shortened: also when more samples of the
/// WAL are late than may wait until that log is read.
#[test]
fn what_the_write_behind_log_has_counts_before_the_wal_however_few_may_wait() {
    let times = |from: i64| (from..from + 100).map(|i| 1_000 * HOUR_MS - i * MINUTE_MS);
    // Of the same series, `logged` first, then `in_wal`.
    let (logged, in_wal) = (|t: i64| t as f64, |t: i64| -t as f64);
    let kept = Options { snapshot_on_shutdown: false, ..options() };
    let made = |value: fn(i64) -> f64, from: i64| {
        let fs = SimWorld::new(5).fs().clone();
        SimWorld::with_fs(5, fs.clone()).run(|env| {
            let db = open(env, kept.clone());
            commit(&db, &[(series(0), 1_001 * HOUR_MS, 0.0)]).unwrap();
            for t in times(from) {
                commit(&db, &[(series(0), t, value(t))]).unwrap();
            }
            db.close().unwrap();
        });
        fs
    };
    let (first, second) = (made(logged, 1), made(in_wal, 51));
    for file in first.read_dir(&Path::new(DIR).join("wbl")).unwrap() {
        let path = Path::new(DIR).join("wbl").join(&file.name);
        let bytes = read_all(&first, &path).unwrap();
        let mut to = second.open(&path, OpenMode::Append).unwrap();
        to.truncate(0).unwrap();
        append_all(&mut *to, &bytes).unwrap();
    }
    // So that the logs alone tell.
    for file in second.read_dir(&Path::new(DIR).join("chunks_head")).unwrap() {
        second.remove_file(&Path::new(DIR).join("chunks_head").join(file.name)).unwrap();
    }
    let mut expected: Vec<(i64, u64)> = vec![(1_001 * HOUR_MS, 0)];
    expected.extend(times(1).map(|t| (t, logged(t).to_bits())));
    expected.extend(times(51).skip(50).map(|t| (t, in_wal(t).to_bits())));
    expected.sort_unstable();
    for replay_waiting_bytes in [0, 1, 1000, 1 << 20] {
        let fs = second.process_crash();
        // The second start has what the first one added to the write-behind log.
        for start in 0..2 {
            SimWorld::with_fs(6 + start, fs.clone()).run(|env| {
                let db = open(env, Options { replay_waiting_bytes, ..kept.clone() });
                assert_eq!(dump(env, &db)[&series(0)], expected, "{replay_waiting_bytes} bytes");
                let replayed = db.stats().replayed_samples;
                assert!(replayed <= expected.len() as u64, "a time is stored again: {replayed}");
                db.close().unwrap();
            });
        }
    }
}

/// A block that somebody else made counts by its age: before what the head has, and so also before the block
/// that is made of it; a later one counts behind both.
#[test]
fn a_block_of_others_answers_alike_before_and_after_the_head_is_cut() {
    SimWorld::new(3).run(|env| {
        let db = open(env, options());
        let value = |labels: &str| -> Vec<(i64, u64)> {
            dump(env, &db)[&crate::common::labels(&[("n", labels)])].clone()
        };
        let both =
            |v: f64| [("a", v), ("b", v)].map(|(n, v)| (crate::common::labels(&[("n", n)]), HOUR_MS / 2, v));
        commit(&db, &both(1.0)[..1]).unwrap();
        put_block(env, &both(2.0));
        db.maintain().unwrap();
        let first = (value("a"), value("b"));
        assert_eq!(first.0, [(HOUR_MS / 2, 2f64.to_bits())]);
        for hour in 1..9 {
            commit(&db, &[(series(0), hour * HOUR_MS, 0.0)]).unwrap();
        }
        let done = db.maintain().unwrap();
        assert!(done.cut > 0, "{done:?}");
        assert_eq!((value("a"), value("b")), first, "the head is in a block");
        put_block(env, &both(3.0));
        for _ in 0..3 {
            db.maintain().unwrap();
            assert_eq!((value("a"), value("b")), first, "a younger block is there");
        }
        assert!(db.stats().blocks_loaded < 6, "what overlaps is compacted");
    });
}

/// A block of these samples, made in another database and moved into the one of the tests.
fn put_block(env: &Env, samples: &[(Labels, i64, f64)]) {
    let other = Path::new("/other");
    let db = Db::open(other, options(), env).expect("the disk is sound");
    commit(&db, samples).expect("the disk is sound");
    let name = db.snapshot(SnapshotOf::BlocksAndHead).expect("the disk is sound");
    drop(db);
    let snapshot = other.join("snapshots").join(name);
    let block = env.fs.read_dir(&snapshot).expect("the disk is sound").remove(0).name;
    env.fs.rename(&snapshot.join(&block), &Path::new(DIR).join(&block)).expect("the disk is sound");
    env.fs.remove_dir_all(other).expect("the disk is sound");
    env.clock.sleep(std::time::Duration::from_millis(5));
}
