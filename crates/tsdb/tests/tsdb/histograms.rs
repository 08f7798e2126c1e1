//! Native histograms in the head: taken, kept in chunks of their kind, read back, found again after a
//! restart.

use crate::common::{budget, open, opened, range, series, try_append};
use skopos_base::{Env, rng::Rng, sim::SimWorld};
use skopos_chunk::Encoding;
use skopos_model::{
    FloatHistogram, Histogram, Labels, TimestampMs,
    histogram::{CounterResetHint, Layout, Span, bucket_indexes},
    stale_nan,
};
use skopos_storage::{
    Append, AppendError, Appendable, Queryable, SelectRequest, SeriesBatch, SeriesId, Shard, TimeRange, Value,
};
use skopos_tsdb::{Db, Options};
use std::collections::BTreeMap;

/// What a sample says, whatever its spans: its value's bits and, of a histogram, its count and the buckets
/// that are not empty.
#[derive(Clone, Debug, PartialEq)]
struct Seen(u64, Option<(u64, Vec<(i64, u64)>)>);

type Samples = BTreeMap<i64, Seen>;

fn seen(h: &FloatHistogram) -> Seen {
    let buckets = bucket_indexes(&h.layout.positive_spans).zip(&h.positive_buckets);
    let filled = buckets.filter(|(_, n)| **n != 0.0).map(|(i, n)| (i, n.to_bits())).collect();
    Seen(h.sum.to_bits(), Some((h.count.to_bits(), filled)))
}

fn read(env: &Env, db: &Db, of: &Labels) -> Samples {
    let querier = db.querier(TimeRange::ALL).expect("all is sound");
    let request =
        SelectRequest { matchers: &[], range: TimeRange::ALL, shard: Shard::WHOLE, budget: budget(env) };
    let mut set = querier.select(&request).expect("all is sound");
    let (mut batch, mut samples) = (SeriesBatch::default(), Samples::new());
    while set.next_batch(&mut batch).expect("all is sound") {
        for s in batch.iter().filter(|s| s.labels == of) {
            let floats = s.timestamps.iter().zip(s.values).map(|(t, v)| (t.as_ms(), Seen(v.to_bits(), None)));
            samples.extend(floats);
            for view in s.histograms.iter() {
                samples.insert(s.timestamps[view.sample].as_ms(), seen(&view.to_histogram()));
            }
        }
    }
    samples
}

fn append(db: &Db, of: &Labels, t: i64, value: Value<'_>) -> Result<usize, AppendError> {
    let mut appender = db.appender();
    let plain = Append::float(SeriesId::Labels(of), TimestampMs::new(t), 0.0);
    appender.append(&Append { value, ..plain })?;
    Ok(appender.commit().expect("all is sound").samples)
}

/// A counter's histogram with so many observations in each bucket, from bucket `first` on.
fn histogram(first: i32, buckets: &[i64]) -> Histogram {
    let spans = vec![Span { offset: first, length: buckets.len() as u32 }];
    let deltas = buckets.iter().scan(0, |last, n| Some(n - std::mem::replace(last, *n))).collect();
    Histogram {
        layout: Layout { schema: 1, positive_spans: spans, ..Layout::default() },
        count: buckets.iter().sum::<i64>() as u64,
        sum: 1.5,
        zero_count: 0,
        positive_deltas: deltas,
        negative_deltas: Vec::new(),
    }
}

#[test]
fn histograms_come_back_in_chunks_of_their_kind_also_after_a_restart() {
    SimWorld::new(1).run(|env| {
        let db = opened(env);
        let s = series(1);
        let mut expected = Samples::new();
        let mut put = |db: &Db, t: i64, value: Value<'_>| {
            assert_eq!(append(db, &s, t, value), Ok(1), "at {t}");
            expected.insert(
                t,
                match value {
                    Value::Float(v) => Seen(v.to_bits(), None),
                    Value::Histogram(h) => seen(&h.to_float()),
                    Value::FloatHistogram(h) => seen(h),
                },
            );
        };
        put(&db, 1000, Value::Float(1.0));
        for i in 0..200 {
            put(&db, 2000 + i * 1000, Value::Histogram(&histogram(0, &[i, 2 * i, 7])));
        }
        // More buckets: the chunk is written anew. Fewer observations: a reset begins a chunk.
        put(&db, 300_000, Value::Histogram(&histogram(-3, &[1, 0, 0, 200, 400, 7, 9])));
        put(&db, 301_000, Value::Histogram(&histogram(0, &[1])));
        for i in 0..30 {
            put(&db, 310_000 + i, Value::FloatHistogram(&histogram(2, &[i, 5]).to_float()));
        }
        put(&db, 320_000, Value::Float(2.0));
        assert_eq!(read(env, &db, &s), expected);
        db.sync().expect("all is sound");
        assert_eq!(read(env, &db, &s), expected);
        let mut chunks = db.steps().cut_chunks(range(0, 400_000), budget(env)).expect("all is sound");
        let kinds: Vec<_> = chunks
            .next_series()
            .expect("all is sound")
            .expect("all is sound")
            .chunks
            .iter()
            .map(|c| c.encoding)
            .collect();
        let histograms = kinds.iter().filter(|k| **k == Encoding::Histogram).count();
        assert_eq!((kinds[0], kinds[kinds.len() - 1]), (Encoding::Xor, Encoding::Xor));
        assert_eq!(kinds[kinds.len() - 2], Encoding::FloatHistogram);
        assert_eq!((histograms, kinds.len()), (3, 6), "full at 120, and cut by the reset");
        drop(chunks);
        drop(db);
        let db = opened(env);
        assert_eq!(read(env, &db, &s), expected);
        assert_eq!(db.stats().replay_skipped_records, 0);
    });
}

#[test]
fn the_marker_of_staleness_behind_histograms_is_one_of_theirs() {
    SimWorld::new(1).run(|env| {
        let db = opened(env);
        for (i, value) in [
            Value::Histogram(&histogram(0, &[1, 2])),
            Value::FloatHistogram(&histogram(0, &[1, 2]).to_float()),
        ]
        .into_iter()
        .enumerate()
        {
            let s = series(i);
            append(&db, &s, 1000, value).expect("all is sound");
            append(&db, &s, 2000, Value::Float(stale_nan())).expect("all is sound");
            assert_eq!(append(&db, &s, 2000, Value::Float(stale_nan())), Ok(0), "it is there already");
            append(&db, &s, 3000, value).expect("all is sound");
            let samples = read(env, &db, &s);
            assert_eq!(
                samples[&2000],
                Seen(
                    stale_nan().to_bits(),
                    Some((samples[&2000].1.clone().expect("all is sound").0, vec![]))
                )
            );
            assert_eq!(samples.len(), 3);
        }
        assert_eq!(db.stats().chunks, 4, "a marker ends its chunk, and begins none of floats");
        let before: Vec<_> = (0..2).map(|i| read(env, &db, &series(i))).collect();
        drop(db);
        let db = opened(env);
        assert_eq!((0..2).map(|i| read(env, &db, &series(i))).collect::<Vec<_>>(), before);
    });
}

#[test]
fn what_is_no_histogram_or_comes_twice_is_refused() {
    SimWorld::new(1).run(|env| {
        let db = opened(env);
        let s = series(1);
        let sound = histogram(0, &[1, 2]);
        let broken = Histogram { count: 1, ..sound.clone() };
        assert!(matches!(
            append(&db, &s, 1000, Value::Histogram(&broken)),
            Err(AppendError::InvalidHistogram(_))
        ));
        assert_eq!(append(&db, &s, 1000, Value::Histogram(&sound)), Ok(1));
        assert_eq!(append(&db, &s, 1000, Value::Histogram(&sound)), Ok(0));
        let other = histogram(0, &[1, 3]);
        let timestamp = TimestampMs::new(1000);
        let duplicate = Err(AppendError::Duplicate { timestamp });
        assert_eq!(append(&db, &s, 1000, Value::Histogram(&other)), duplicate);
        assert_eq!(try_append(&db, &s, 1000, 1.0).map(|_| 0), duplicate);
        assert_eq!(
            append(&db, &s, 500, Value::Histogram(&other)),
            Err(AppendError::OutOfOrder { timestamp: TimestampMs::new(500), newest: timestamp })
        );
        let mut appender = db.appender();
        let at = |t, value| Append { value, ..Append::float(SeriesId::Labels(&s), TimestampMs::new(t), 0.0) };
        appender.append(&at(2000, Value::Histogram(&other))).expect("all is sound");
        appender.append(&at(2000, Value::Histogram(&other))).expect("all is sound");
        let twice = appender.append(&at(2000, Value::Histogram(&sound)));
        assert_eq!(twice, Err(AppendError::Duplicate { timestamp: TimestampMs::new(2000) }));
        assert_eq!(appender.commit().expect("all is sound").samples, 1);
    });
}

/// Any order of kinds, resets, markers, restarts and synchronisations, with a reader that lives on.
#[test]
fn random_histograms_agree_with_the_oracle() {
    for seed in 0..40 {
        println!("seed {seed}");
        SimWorld::new(seed).run(|env| {
            let rng = Rng::from_seed(seed);
            let options = || Options { head_chunk_file_bytes: 4000, ..Options::default() };
            let mut db = open(env, options());
            let s = series(1);
            let mut expected = Samples::new();
            let (mut counts, mut float) = (vec![0i64; 4], false);
            for t in 1..400 {
                match rng.below(30) {
                    0 => counts.iter_mut().for_each(|n| *n /= 2),
                    1 => counts.push(1),
                    2 => float = !float,
                    3 => {
                        drop(db);
                        db = open(env, options());
                    }
                    4 => db.sync().expect("all is sound"),
                    _ => counts.iter_mut().for_each(|n| *n += rng.below(5) as i64),
                }
                let hint =
                    if rng.below(20) == 0 { CounterResetHint::Gauge } else { CounterResetHint::Unknown };
                let mut h = histogram(0, &counts);
                h.layout.counter_reset_hint = hint;
                let (f, marker) = (h.to_float(), rng.below(25) == 0);
                let value = match rng.below(20) {
                    _ if marker => Value::Float(stale_nan()),
                    0 => Value::Float(t as f64),
                    _ if float => Value::FloatHistogram(&f),
                    _ => Value::Histogram(&h),
                };
                assert_eq!(append(&db, &s, t * 1000, value), Ok(1), "seed {seed}");
                let is_float = matches!(value, Value::Float(_));
                expected.insert(t * 1000, if is_float { Seen(0, None) } else { seen(&f) });
            }
            let mut got = read(env, &db, &s);
            // A marker is of the kind before it, which is another test's matter.
            for (t, sample) in &mut got {
                if expected[t].1.is_none() {
                    *sample = Seen(0, None);
                }
            }
            assert_eq!(got, expected, "seed {seed}");
        });
    }
}

#[test]
fn histograms_out_of_order_are_merged_and_there_again_after_a_restart() {
    SimWorld::new(1).run(|env| {
        let options = || Options {
            out_of_order_window: skopos_model::DurationMs::from_secs(3600),
            ..Options::default()
        };
        let (s, mut expected) = (series(1), Samples::new());
        let mut db = open(env, options());
        for i in 0..80i64 {
            let t = if i == 0 { 1_000_000 } else { 1_000_000 - 1000 * (i * 37 % 83) };
            let h = histogram(0, &[1 + i, 2]);
            let value = if i % 20 == 19 { Value::Float(i as f64) } else { Value::Histogram(&h) };
            assert_eq!(append(&db, &s, t, value), Ok(1), "at {t}");
            let said = match value {
                Value::Float(v) => Seen(v.to_bits(), None),
                _ => seen(&h.to_float()),
            };
            expected.insert(t, said);
            if i % 30 == 29 {
                drop(db);
                db = open(env, options());
            }
            assert_eq!(read(env, &db, &s), expected, "after {i}");
        }
        db.compact_out_of_order().expect("the disk is sound");
        assert_eq!(read(env, &db, &s), expected, "in blocks");
    });
}
