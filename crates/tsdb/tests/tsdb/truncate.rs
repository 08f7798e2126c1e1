//! What goes to blocks: cutting chunks out of the head, truncating it, and who is in its way.

use crate::common::{Dump, budget, commit, dump, open, range, select, series, try_append};
use skopos_base::{Env, rng::Rng, sim::SimWorld};
use skopos_chunk::{Encoding, XorIter};
use skopos_model::{Labels, SeriesRef, TimestampMs};
use skopos_storage::{Append, AppendError, Appendable, ChunkSeries, Queryable, SeriesId, TimeRange};
use skopos_tsdb::{Busy, Db, Options};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

const BLOCK_MS: i64 = 2 * 3600 * 1000;

fn cut(env: &Env, db: &Db, range: TimeRange) -> Vec<ChunkSeries> {
    let mut set = db.steps().cut_chunks(range, budget(env)).expect("all is sound");
    std::iter::from_fn(|| set.next_series().expect("all is sound")).collect()
}

/// The samples of chunks, which must be sorted and say their own times.
fn decoded(all: &[ChunkSeries]) -> Dump {
    assert!(all.is_sorted_by(|a, b| a.labels < b.labels));
    let mut dump = Dump::new();
    for series in all {
        let samples = dump.entry(series.labels.clone()).or_default();
        for chunk in &series.chunks {
            assert_eq!(chunk.encoding, Encoding::Xor);
            let decoded: Vec<_> = XorIter::new(&chunk.bytes).map(|s| s.expect("all is sound")).collect();
            assert_eq!(decoded.first().map(|s| s.timestamp), Some(chunk.min));
            assert_eq!(decoded.last().map(|s| s.timestamp), Some(chunk.max));
            samples.extend(decoded.iter().map(|s| (s.timestamp.as_ms(), s.value.to_bits())));
        }
        assert!(samples.is_sorted_by(|a, b| a.0 < b.0));
    }
    dump
}

fn between(all: &Dump, min: i64, max: i64) -> Dump {
    let mut all = all.clone();
    all.values_mut().for_each(|s| s.retain(|(t, _)| (min..=max).contains(t)));
    all.retain(|_, s| !s.is_empty());
    all
}

/// Three blocks of samples every minute; series 9 ends with the first one.
fn three_blocks(env: &Env) -> (Db, Dump) {
    let db = open(env, Options { head_chunk_file_bytes: 2000, ..Options::default() });
    for t in (0..3 * BLOCK_MS).step_by(60_000) {
        let mut batch: Vec<_> = (0..3).map(|i| (series(i), t, (t * i as i64) as f64)).collect();
        if t < BLOCK_MS - 600_000 {
            batch.push((series(9), t, 9.0));
        }
        commit(&db, &batch).expect("all is sound");
    }
    let all = dump(env, &db);
    (db, all)
}

#[test]
fn the_first_block_is_cut_and_goes_with_series_that_end_in_it() {
    SimWorld::new(1).run(|env| {
        let (db, all) = three_blocks(env);
        db.sync().expect("all is sound");
        let nine = try_append(&db, &series(9), 3 * BLOCK_MS, 1.0).expect("all is sound");
        let block = db.steps().cuttable().expect("all is sound");
        assert_eq!(block, range(0, BLOCK_MS - 1));
        assert_eq!(decoded(&cut(env, &db, block)), between(&all, 0, BLOCK_MS - 1));
        let truncated = db.steps().truncate_head_before(TimestampMs::new(BLOCK_MS)).expect("all is sound");
        assert_eq!((truncated.chunks, truncated.series.len()), (4, 1));
        assert_eq!(dump(env, &db), between(&all, BLOCK_MS, i64::MAX));
        assert_eq!(db.stats().series, 3);
        let mut appender = db.appender();
        let by_ref = Append::float(SeriesId::Ref(nine), TimestampMs::new(3 * BLOCK_MS), 1.0);
        assert_eq!(appender.append(&by_ref), Err(AppendError::UnknownRef(nine.get())));
        drop(appender);
        // Its next life is another series, from another number on.
        commit(&db, &[(series(9), 3 * BLOCK_MS, 1.0)]).expect("all is sound");
        let last = db.steps().cuttable().expect("all is sound");
        assert_eq!(last, range(BLOCK_MS, 2 * BLOCK_MS - 1));
        cut(env, &db, last);
        let truncated =
            db.steps().truncate_head_before(TimestampMs::new(2 * BLOCK_MS)).expect("all is sound");
        assert!(truncated.files > 0, "whole files went: {truncated:?}");
        let expected = between(&all, 2 * BLOCK_MS, i64::MAX);
        assert_eq!(between(&dump(env, &db), 0, 3 * BLOCK_MS - 1), expected);
        assert_eq!(db.steps().cuttable(), None);
        let chunks = db.stats().chunks;
        drop(db);
        // What the WAL brings back is asked of the blocks; the chunks that are left are found.
        let db = open(env, Options { head_chunk_file_bytes: 2000, ..Options::default() });
        assert_eq!(between(&dump(env, &db), 2 * BLOCK_MS, 3 * BLOCK_MS - 1), expected);
        assert!(db.stats().chunks >= chunks);
    });
}

#[test]
fn samples_of_a_cut_block_are_refused_also_in_batches_begun_before() {
    SimWorld::new(1).run(|env| {
        let db = open(env, Options::default());
        commit(&db, &[(series(1), 0, 1.0)]).expect("all is sound");
        let mut early = db.appender();
        let late = TimestampMs::new(BLOCK_MS - 5);
        early.append(&Append::float(SeriesId::Labels(&series(2)), late, 1.0)).expect("all is sound");
        early
            .append(&Append::float(SeriesId::Labels(&series(3)), TimestampMs::new(BLOCK_MS), 1.0))
            .expect("all is sound");
        for i in 1..8 {
            commit(&db, &[(series(1), i * BLOCK_MS / 2, 1.0)]).expect("all is sound");
        }
        let block = db.steps().cuttable().expect("all is sound");
        assert_eq!(decoded(&cut(env, &db, block)).len(), 1);
        let committed = early.commit().expect("all is sound");
        assert_eq!((committed.samples, committed.overtaken), (1, 1));
        assert!(matches!(
            try_append(&db, &series(4), BLOCK_MS - 1, 1.0),
            Err(AppendError::OutOfBounds { .. })
        ));
    });
}

#[test]
fn an_older_reader_of_the_range_is_in_the_way_and_keeps_its_view() {
    SimWorld::new(1).run(|env| {
        let (db, all) = three_blocks(env);
        let time = TimestampMs::new(BLOCK_MS);
        let later = db.querier(range(BLOCK_MS, i64::MAX)).expect("all is sound");
        let older = db.querier(TimeRange::ALL).expect("all is sound");
        cut(env, &db, db.steps().cuttable().expect("all is sound"));
        assert_eq!(db.steps().truncate_head_before(time), Err(Busy));
        assert_eq!(select(env, &*older, &[], TimeRange::ALL), all);
        // A reader that begins now asks the block.
        assert_eq!(dump(env, &db), between(&all, BLOCK_MS, i64::MAX));
        drop(older);
        assert_eq!(db.steps().truncate_head_before(time).expect("all is sound").chunks, 4);
        assert_eq!(select(env, &*later, &[], TimeRange::ALL), between(&all, BLOCK_MS, i64::MAX));
    });
}

#[test]
fn a_series_that_a_batch_has_samples_for_stays() {
    SimWorld::new(1).run(|env| {
        let (db, _) = three_blocks(env);
        cut(env, &db, db.steps().cuttable().expect("all is sound"));
        let labels = series(9);
        let nine = Append::float(SeriesId::Labels(&labels), TimestampMs::new(3 * BLOCK_MS), 1.0);
        let mut first = db.appender();
        let r = first.append(&nine).expect("all is sound");
        // A newer batch takes the mark over and ends; the older one is still there.
        drop({
            let mut second = db.appender();
            second.append_floats(TimestampMs::new(3 * BLOCK_MS), &[r], &[2.0], &mut Vec::new());
            second
        });
        assert_eq!(
            db.steps().truncate_head_before(TimestampMs::new(BLOCK_MS)).expect("all is sound").series,
            [0u64; 0]
        );
        assert_eq!(first.commit().expect("all is sound").samples, 1);
        assert_eq!(dump(env, &db)[&series(9)], [(3 * BLOCK_MS, 1.0f64.to_bits())]);
        assert_eq!(
            db.steps().truncate_head_before(TimestampMs::new(BLOCK_MS)).expect("all is sound").series,
            [0u64; 0]
        );
    });
}

/// Against an oracle, with readers that live on and truncations that come in between.
#[test]
fn random_truncations_agree_with_the_oracle() {
    for seed in 0..25 {
        println!("seed {seed}");
        SimWorld::new(seed).run(|env| truncating_life(env, &Rng::from_seed(seed)));
    }
}

fn truncating_life(env: &Env, rng: &Rng) {
    let db = open(env, Options { head_chunk_file_bytes: 3000, ..Options::default() });
    let mut oracle = Dump::new();
    let mut cut_out = Dump::new();
    let mut readers = Vec::new();
    let mut now = 0;
    let mut floor = i64::MIN;
    for _ in 0..1500 {
        now += rng.below(120_000) as i64;
        let batch: Vec<(Labels, i64, f64)> = (0..rng.below(6))
            .map(|_| (series(rng.below(12) as usize), now, rng.below(100) as f64))
            .collect::<Vec<_>>();
        let unique: BTreeMap<Labels, f64> = batch.iter().map(|(l, _, v)| (l.clone(), *v)).collect();
        let batch: Vec<_> = unique.into_iter().map(|(l, v)| (l, now, v)).collect();
        if commit(&db, &batch).expect("all is sound").samples > 0 {
            for (l, t, v) in batch {
                let samples = oracle.entry(l).or_default();
                if samples.last().is_none_or(|(last, _)| *last < t) {
                    samples.push((t, v.to_bits()));
                }
            }
        }
        match rng.below(40) {
            0..3 => db.sync().expect("all is sound"),
            3 if readers.len() < 4 => {
                let min = now - rng.below(4 * BLOCK_MS as u64) as i64;
                let seen = between(&oracle, min.max(floor), i64::MAX);
                readers.push((db.querier(range(min, i64::MAX)).expect("all is sound"), seen));
            }
            4 if !readers.is_empty() => {
                let (reader, seen) = readers.swap_remove(rng.below(readers.len() as u64) as usize);
                assert_eq!(between(&select(env, &*reader, &[], TimeRange::ALL), i64::MIN, i64::MAX), seen);
            }
            5..10 => {
                if let Some(block) = db.steps().cuttable() {
                    let (min, max) = (block.min.as_ms(), block.max.as_ms());
                    if floor <= min {
                        cut_out.extend(between(&Dump::new(), min, max));
                        assert_eq!(decoded(&cut(env, &db, block)), between(&oracle, min, max));
                    }
                    floor = floor.max(max + 1);
                    let result = db.steps().truncate_head_before(TimestampMs::new(max + 1));
                    assert!(result.is_ok() || !readers.is_empty());
                }
            }
            _ => {}
        }
    }
    assert!(floor > 2 * BLOCK_MS, "blocks were cut");
    for (reader, seen) in readers {
        assert_eq!(between(&select(env, &*reader, &[], TimeRange::ALL), i64::MIN, i64::MAX), seen);
    }
    assert_eq!(dump(env, &db), between(&oracle, floor, i64::MAX));
}

/// Writers, readers and truncations on real threads: every batch in a reader's range is seen whole.
#[test]
fn readers_see_whole_batches_while_the_head_is_truncated() {
    const SERIES: usize = 50;
    let env = Env::real();
    let dir = tempfile::tempdir().expect("all is sound");
    let options = Options {
        min_block_duration: skopos_model::DurationMs::from_ms(2000),
        // Nobody else truncates.
        maintenance_interval: skopos_model::DurationMs::from_secs(3600),
        ..Options::default()
    };
    let db = Arc::new(Db::open(Path::new(dir.path()), options, &env).expect("all is sound"));
    let (done, newest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let writer = {
        let (db, done, newest) = (Arc::clone(&db), Arc::clone(&done), Arc::clone(&newest));
        move || {
            let mut refs: Vec<SeriesRef> = Vec::new();
            for t in (10..40_000).step_by(10) {
                let timestamp = TimestampMs::new(t);
                let mut appender = db.appender();
                if refs.is_empty() {
                    refs.extend((0..SERIES).map(|i| {
                        let labels = series(i);
                        let append = Append::float(SeriesId::Labels(&labels), timestamp, t as f64);
                        appender.append(&append).expect("all is sound")
                    }));
                } else {
                    let mut refused = Vec::new();
                    appender.append_floats(timestamp, &refs, &[t as f64; SERIES], &mut refused);
                    assert_eq!(refused, []);
                }
                assert_eq!(appender.commit().expect("all is sound").samples, SERIES);
                newest.store(t, Ordering::Release);
            }
            done.store(true, Ordering::Release);
        }
    };
    let writer = env.spawner.spawn("writer", Box::new(writer)).expect("all is sound");
    let (mut truncations, mut busy, mut views) = (0, 0, 0);
    while !done.load(Ordering::Acquire) {
        let committed = newest.load(Ordering::Acquire);
        let reader = db.querier(range(committed - 1500, i64::MAX)).expect("all is sound");
        if let Some(block) = db.steps().cuttable() {
            let chunks = decoded(&cut(&env, &db, block));
            assert!(chunks.is_empty() || chunks.len() == SERIES);
            match db.steps().truncate_head_before(TimestampMs::new(block.max.as_ms() + 1)) {
                Ok(_) => truncations += 1,
                Err(Busy) => busy += 1,
            }
        }
        let view = select(&env, &*reader, &[], TimeRange::ALL);
        let first = view.values().next().cloned().unwrap_or_default();
        assert!(view.is_empty() || view.len() == SERIES);
        assert!(view.values().all(|samples| *samples == first), "a batch is there in part");
        assert!(first.windows(2).all(|w| w[1].0 == w[0].0 + 10), "a batch is missing");
        assert!(committed == 0 || first.last().is_some_and(|(t, _)| *t >= committed));
        views += 1;
    }
    writer.join().expect("all is sound");
    assert!(truncations > 0 && views > 10, "{truncations} truncations, {busy} in vain, {views} views");
}
