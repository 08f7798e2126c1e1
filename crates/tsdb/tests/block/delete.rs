//! What is deleted from a block is gone, and nothing else is.

use crate::common::*;
use skopos_base::{Env, rng::Rng, sim::SimWorld};
use skopos_chunk::{ChunkBuilder, ChunkValue, CutAt, Encoding, decode_columns};
use skopos_model::{
    Columns, Histogram, Matcher, SeriesRef, TimestampMs,
    histogram::{Layout, Span},
};
use skopos_storage::{Chunk, ChunkQuerier, Querier, SeriesBatch, TimeRange};
use skopos_tsdb::block::{Interval, Tombstones, WriteOptions};
use std::path::Path;

fn delete(all: &mut Dump, matchers: &[Matcher], range: TimeRange) {
    let gone = range.min.as_ms()..=range.max.as_ms();
    for (_, samples) in all.iter_mut().filter(|(l, _)| matchers.iter().all(|m| m.matches(l.value(m.name()))))
    {
        samples.retain(|(t, _)| !gone.contains(t));
    }
    all.retain(|_, samples| !samples.is_empty());
}

fn some_range(rng: &Rng) -> TimeRange {
    let min = 1_000_000 + rng.below(500_000) as i64;
    range(min, min + [0, 25_000, 200_000, i64::MAX / 2][rng.below(4) as usize])
}

#[test]
fn any_deletions_take_away_exactly_their_samples() {
    for seed in 0..8 {
        println!("seed {seed}");
        let rng = Rng::from_seed(seed);
        let env: Env = SimWorld::new(seed).env();
        let mut left = some_series(40, 50);
        let dir = write(&env, Path::new(DIR), &left, 8);
        let block = open(&env, &dir);
        for _ in 0..6 {
            let zone = ["z1", "z2", "zone-3", ""][rng.below(4) as usize];
            let matchers = [matcher("zone", "=", zone)];
            let range = some_range(&rng);
            let before = block.querier(TimeRange::ALL);
            block.delete(&*env.fs, &matchers, range, &budget(&env)).unwrap();
            let unchanged = select(&before, &request(&env, &[], TimeRange::ALL)).unwrap();
            assert_eq!(unchanged, left, "a view stays as it is");
            delete(&mut left, &matchers, range);
            assert_eq!(dump(&env, &block).unwrap(), left);
            assert_eq!(dump(&env, &open(&env, &dir)).unwrap(), left);
        }
        let stats = open(&env, &dir).meta().stats;
        assert_eq!(stats.num_tombstones, block.tombstones().len() as u64);
    }
}

#[test]
fn tombstones_come_back_as_they_were_written() {
    let env = SimWorld::new(1).env();
    let dir = Path::new(DIR);
    env.fs.create_dir_all(dir).unwrap();
    assert!(Tombstones::read(&*env.fs, dir).unwrap().is_empty(), "no file, nothing deleted");
    let mut all = Tombstones::default();
    for (series, min, max) in
        [(1, i64::MIN, -5), (1, 7, i64::MAX), (u64::MAX, 0, 0), (300, 5, 6), (300, 7, 9)]
    {
        all.add(SeriesRef::new(series).unwrap(), Interval::new(min, max).unwrap());
    }
    all.write(&*env.fs, dir).unwrap();
    let read = Tombstones::read(&*env.fs, dir).unwrap();
    assert_eq!((&read, read.len()), (&all, 4));
}

/// A histogram of two buckets that counts on.
fn histogram(n: u64) -> ChunkValue {
    let layout = Layout { positive_spans: vec![Span { offset: 0, length: 2 }], ..Layout::default() };
    let positive_deltas = vec![n as i64, 1];
    let count = 2 * n + 1;
    ChunkValue::Histogram(Histogram { layout, count, sum: n as f64, positive_deltas, ..Histogram::default() })
}

#[test]
fn histograms_are_read_and_lose_what_is_deleted() {
    let env = SimWorld::new(1).env();
    let labels = labels(&[("__name__", "h")]);
    let mut builder = ChunkBuilder::new(CutAt::default());
    (0..300).for_each(|n| builder.push(TimestampMs::new(1000 * n), &histogram(n as u64)));
    let chunks: Vec<Chunk> = builder
        .finish()
        .into_iter()
        .map(|c| Chunk { min: c.min, max: c.max, encoding: c.encoding, bytes: c.bytes.into() })
        .collect();
    let all: Dump = [(labels.clone(), (0..300).map(|n| (1000 * n, (n as f64).to_bits())).collect())].into();
    let mut writer = begin(&env, Path::new(DIR), &all, WriteOptions::default());
    writer.add_series(&labels, &chunks).unwrap();
    let meta = writer.finish(meta_of(&all)).unwrap();
    assert_eq!((meta.stats.num_histogram_samples, meta.stats.num_float_samples), (300, 0));
    let block = open(&env, &Path::new(DIR).join(ID.to_string()));
    let columns = || {
        let querier = block.querier(TimeRange::ALL);
        let mut set = querier.select(&request(&env, &[], TimeRange::ALL)).unwrap();
        let mut batch = SeriesBatch::default();
        assert!(set.next_batch(&mut batch).unwrap());
        let series = batch.series(0);
        let rows = series.histograms.iter().map(|h| (series.timestamps[h.sample].as_ms(), h.to_histogram()));
        rows.map(|(t, h)| (t, h.count)).collect::<Vec<_>>()
    };
    let expected = |gone: std::ops::Range<i64>| -> Vec<(i64, f64)> {
        (0..300).filter(|n| !gone.contains(n)).map(|n| (1000 * n, (2 * n + 1) as f64)).collect()
    };
    assert_eq!(columns(), expected(0..0));
    block.delete(&*env.fs, &[], range(50_000, 199_500), &budget(&env)).unwrap();
    assert_eq!(columns(), expected(50..200));
    let querier = block.querier(TimeRange::ALL);
    let mut set = querier.select_chunks(&request(&env, &[], TimeRange::ALL)).unwrap();
    let mut decoded = Columns::default();
    for chunk in set.next_series().unwrap().unwrap().chunks {
        assert_eq!(chunk.encoding, Encoding::Histogram);
        decode_columns(chunk.encoding, &chunk.bytes, TimestampMs::MIN, TimestampMs::MAX, &mut decoded)
            .unwrap();
    }
    let times: Vec<i64> = decoded.timestamps.iter().map(|t| t.as_ms()).collect();
    assert_eq!(times, expected(50..200).iter().map(|(t, _)| *t).collect::<Vec<_>>());
    assert_eq!(decoded.histograms.len(), 150);
}
