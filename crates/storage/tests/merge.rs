//! Merges against the storage contracts and against a storage that merges by inserting sample after sample.

#![cfg(test)]

use skopos_base::rng::Rng;
use skopos_model::{Labels, TimestampMs};
use skopos_storage::{
    ChunkQuerier, ChunkSeriesSet, QueryError, QueryLimits, SelectRequest, SeriesBatch, SeriesSet, Shard,
    TimeRange,
    merge::{ChunkMerge, ChunkSource, MergedChunkSeriesSet, MergedSeriesSet, cut_chunk},
    merge_chunk_queriers, merge_queriers,
};
use skopos_testkit::storage::{
    Kinds, MemoryStorage, Point, Size, budget, budget_of, check_chunk_querier, check_chunks_exactly,
    check_querier, decode, made_data,
};
use std::{path::PathBuf, sync::Arc};

const SEEDS: u64 = 25;

/// Some storages whose times lie side by side, overlap or are the same, and what they hold together.
fn sources(seed: u64, kinds: Kinds) -> (Vec<MemoryStorage>, MemoryStorage) {
    let rng = Rng::from_seed(seed);
    let mut all = MemoryStorage::default();
    let mut sources = Vec::new();
    for i in 0..rng.below(5) as i64 {
        let (series, samples) = (1 + rng.below(80), 1 + rng.below(300));
        let from = i * rng.below(3) as i64 * 50_000;
        let source = made_data(&rng, kinds, Size { series, samples, from, to: from + 100_000 });
        all.merge(&source);
        sources.push(source);
    }
    (sources, all)
}

#[test]
fn merged_queriers_keep_the_contract() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let (sources, all) = sources(seed, Kinds::FloatsAndHistograms);
        check_querier(&all, &|range| merge_queriers(sources.iter().map(|s| s.view(range)).collect()));
    }
}

#[test]
fn the_oracle_keeps_the_contract() {
    for seed in 0..5 {
        let (_, all) = sources(seed, Kinds::FloatsAndHistograms);
        check_querier(&all, &|range| all.view(range));
        let (_, floats) = self::sources(seed, Kinds::Floats);
        check_chunk_querier(&floats, &*floats.chunk_view(40));
    }
}

#[test]
fn the_earlier_source_wins_at_equal_times() {
    let labels = Labels::from_pairs([("n", "a")]);
    let mut sources = [MemoryStorage::default(), MemoryStorage::default()];
    sources[0].insert_floats(&labels, [(10, 1.0), (30, 1.0)]);
    sources[1].insert_floats(&labels, [(10, 2.0), (20, 2.0), (30, f64::NAN)]);
    let merged = merge_queriers(sources.iter().map(|s| s.view(TimeRange::ALL)).collect());
    let got = MemoryStorage::collect(&*merged, &[], TimeRange::ALL);
    let mut expected = MemoryStorage::default();
    expected.insert_floats(&labels, [(10, 1.0), (20, 2.0), (30, 1.0)]);
    assert_eq!(got, expected);
}

#[test]
fn a_series_of_many_sources_is_charged_once() {
    let mut storage = MemoryStorage::default();
    for n in 0..100 {
        storage.insert(&Labels::from_pairs([("n", n.to_string())]), TimestampMs::new(1), Point::Float(1.0));
    }
    let merged = merge_queriers((0..5).map(|_| storage.view(TimeRange::ALL)).collect());
    let limits = QueryLimits { max_series: 100, max_samples: 100 + 5 * 70, ..QueryLimits::default() };
    let budget = budget_of(limits);
    let request = SelectRequest { matchers: &[], range: TimeRange::ALL, shard: Shard::WHOLE, budget };
    let mut set = merged.select(&request).unwrap();
    assert_eq!(MemoryStorage::collect_set(&mut *set), storage);
    assert_eq!(request.budget.samples(), 100, "what merging dropped is given back");
}

/// Fails after so many batches.
struct Failing {
    set: Box<dyn SeriesSet>,
    batches: usize,
}

impl SeriesSet for Failing {
    fn next_batch(&mut self, batch: &mut SeriesBatch) -> Result<bool, QueryError> {
        if self.batches == 0 {
            return Err(QueryError::Corrupt { path: "x".into(), offset: 7, reason: "damaged".into() });
        }
        self.batches -= 1;
        self.set.next_batch(batch)
    }
}

#[test]
fn a_failing_source_fails_the_merge_and_leaves_nothing_charged() {
    for batches in 0..4 {
        let rng = Rng::from_seed(batches as u64);
        let size = Size { series: 400, samples: 20, from: 0, to: 50_000 };
        let data = [made_data(&rng, Kinds::Floats, size), made_data(&rng, Kinds::Floats, size)];
        let budget = budget();
        let select = |s: &MemoryStorage| {
            let (matchers, range, budget) = (&[][..], TimeRange::ALL, Arc::clone(&budget));
            let request = SelectRequest { matchers, range, shard: Shard::WHOLE, budget };
            s.view(TimeRange::ALL).select(&request).unwrap()
        };
        let failing = Failing { set: select(&data[1]), batches };
        let mut merged = MergedSeriesSet::new(vec![select(&data[0]), Box::new(failing)], Arc::clone(&budget));
        let mut batch = SeriesBatch::default();
        let error = loop {
            match merged.next_batch(&mut batch) {
                Ok(true) => budget.release_samples(batch.sample_count() as u64),
                Ok(false) => panic!("the failure was swallowed"),
                Err(e) => break e,
            }
        };
        assert!(matches!(error, QueryError::Corrupt { offset: 7, .. }), "{error:?}");
        assert!(batch.is_empty());
        drop(merged);
        assert_eq!(budget.samples(), 0, "after {batches} batches");
    }
}

fn chunk_sources(seed: u64, sources: &[MemoryStorage]) -> Vec<(PathBuf, Box<dyn ChunkQuerier>)> {
    let rng = Rng::from_seed(seed);
    let named = |(i, s): (usize, &MemoryStorage)| {
        let view = s.chunk_view(1 + rng.below(130) as usize);
        (PathBuf::from(format!("source{i}")), view)
    };
    sources.iter().enumerate().map(named).collect()
}

#[test]
fn merged_chunk_queriers_keep_the_contract() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let (mut sources, _) = sources(seed, Kinds::Floats);
        // Chunks that overlap come as they are: whoever reads them finds one value or the other at equal
        // times. So here equal times have equal values.
        let mut all = MemoryStorage::default();
        for source in &mut sources {
            let mut same = MemoryStorage::default();
            for (labels, samples) in source.iter() {
                samples.keys().for_each(|t| same.insert(labels, *t, Point::Float(t.as_ms() as f64)));
            }
            all.merge(&same);
            *source = same;
        }
        check_chunk_querier(&all, &*merge_chunk_queriers(chunk_sources(seed, &sources)));
    }
}

fn compacted(sources: Vec<(PathBuf, Box<dyn ChunkQuerier>)>) -> MergedChunkSeriesSet {
    let (matchers, range, budget) = (&[][..], TimeRange::ALL, budget());
    let request = SelectRequest { matchers, range, shard: Shard::WHOLE, budget };
    let series = |(name, q): (PathBuf, Box<dyn ChunkQuerier>)| {
        let series = q.select_chunks(&request).expect("the oracle's chunks");
        ChunkSource { name, series }
    };
    let sources = sources.into_iter().map(series).collect();
    MergedChunkSeriesSet::new(sources, ChunkMerge::Compact, Arc::clone(&request.budget))
}

#[test]
fn compacted_chunks_hold_each_sample_once_and_do_not_overlap() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let (sources, all) = sources(seed, Kinds::FloatsAndHistograms);
        check_chunks_exactly(&all, &mut compacted(chunk_sources(seed, &sources)));
    }
}

#[test]
fn compacting_touches_only_chunks_that_overlap() {
    let labels = Labels::from_pairs([("n", "a")]);
    let mut sources = [MemoryStorage::default(), MemoryStorage::default()];
    sources[0].insert_floats(&labels, (0..40).map(|t| (t, 1.0)));
    sources[1].insert_floats(&labels, (0..10).chain(25..35).chain(100..400).map(|t| (t, 1.0)));
    let named: Vec<_> = sources.iter().map(|s| (PathBuf::new(), s.chunk_view(10))).collect();
    let chunks = compacted(named).next_series().unwrap().unwrap().chunks;
    let ends: Vec<_> = chunks.iter().map(|c| (c.min.as_ms(), c.max.as_ms())).collect();
    // The first chunks are equal, the second overlaps with none, 20 to 39 is encoded anew, the rest is alone.
    assert_eq!(ends[..5], [(0, 9), (10, 19), (20, 39), (100, 109), (110, 119)]);
    let named: Vec<_> = sources.iter().map(|s| (PathBuf::new(), s.chunk_view(500))).collect();
    let chunks = compacted(named).next_series().unwrap().unwrap().chunks;
    let ends: Vec<_> = chunks.iter().map(|c| (c.min.as_ms(), c.max.as_ms())).collect();
    assert_eq!(ends, [(0, 179), (180, 299), (300, 399)], "chunks encoded anew have 120 samples");
}

#[test]
fn damaged_chunks_that_overlap_are_refused_with_their_source() {
    use skopos_storage::ChunkSeries;
    struct One(Option<ChunkSeries>);
    impl ChunkSeriesSet for One {
        fn next_series(&mut self) -> Result<Option<ChunkSeries>, QueryError> {
            Ok(self.0.take())
        }
    }
    let labels = Labels::from_pairs([("n", "a")]);
    let mut storage = MemoryStorage::default();
    storage.insert_floats(&labels, (0..40).map(|t| (t * 7, t as f64)));
    let good = compacted(vec![(PathBuf::new(), storage.chunk_view(200))]).next_series().unwrap().unwrap();
    let whole = good.chunks[0].bytes.clone();
    for cut in 0..whole.len() {
        let mut bad = good.clone();
        bad.chunks[0].bytes = whole.slice(..cut);
        let source =
            |name: &str, series| ChunkSource { name: name.into(), series: Box::new(One(Some(series))) };
        let sources = vec![source("good", good.clone()), source("bad", bad)];
        let mut merged = MergedChunkSeriesSet::new(sources, ChunkMerge::Compact, budget());
        match merged.next_series() {
            Err(QueryError::Corrupt { path, .. }) => assert_eq!(path, PathBuf::from("bad")),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn a_chunk_is_cut_to_every_range() {
    let labels = Labels::from_pairs([("n", "a")]);
    let mut storage = MemoryStorage::default();
    storage.insert_floats(&labels, (0..20).map(|t| (t * 2, t as f64)));
    let chunk = compacted(vec![(PathBuf::new(), storage.chunk_view(200))]);
    let chunk = { chunk }.next_series().unwrap().unwrap().chunks.remove(0);
    for min in -2..42 {
        for max in min..42 {
            let range = TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) };
            let mut out = Vec::new();
            cut_chunk(chunk.clone(), range, &mut out).unwrap();
            let got: Vec<i64> = out.iter().flat_map(decode).map(|(t, _)| t.as_ms()).collect();
            let expected: Vec<i64> = (0..40).step_by(2).filter(|t| (min..=max).contains(t)).collect();
            assert_eq!(got, expected, "{range:?}");
            assert!(out.len() <= 1);
        }
    }
}
