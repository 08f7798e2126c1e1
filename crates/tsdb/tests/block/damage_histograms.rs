//! A small block with a chunk of every encoding: every bit of every file flipped, and every length cut to.
//! What is read is the same, or an error that names the file.

use crate::common::*;
use skopos_base::{Env, sim::SimWorld};
use skopos_chunk::{BuiltChunk, ChunkBuilder, ChunkValue, CutAt, Encoding};
use skopos_model::{
    Histogram, Labels, Matcher, TimestampMs,
    histogram::{CUSTOM_SCHEMA, CounterResetHint, Layout, Span},
};
use skopos_storage::{Chunk, ChunkQuerier, Querier, QueryError, SeriesBatch, TimeRange};
use skopos_tsdb::block::{Block, BlockError, BlockQuerier, Symbols, WriteOptions};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Samples by series, a value in all its bits.
type Samples = BTreeMap<Labels, Vec<(i64, Vec<u64>)>>;

fn bits_of(value: &ChunkValue) -> Vec<u64> {
    let h = match value {
        ChunkValue::Float(value) => return vec![value.to_bits()],
        ChunkValue::Histogram(h) => h.to_float(),
        ChunkValue::FloatHistogram(h) => h.clone(),
    };
    let layout = &h.layout;
    let is_gauge = layout.counter_reset_hint == CounterResetHint::Gauge;
    let mut bits = vec![layout.schema as u64, u64::from(is_gauge)];
    for spans in [&layout.positive_spans, &layout.negative_spans] {
        bits.push(spans.len() as u64);
        bits.extend(spans.iter().flat_map(|span| [span.offset as u64, u64::from(span.length)]));
    }
    let floats = [layout.zero_threshold, h.count, h.sum, h.zero_count].into_iter();
    let floats = floats.chain(layout.custom_bounds.iter().copied());
    let floats = floats.chain(h.positive_buckets).chain(h.negative_buckets);
    bits.extend(floats.map(f64::to_bits));
    bits
}

/// Sample `i` of a series of that schema.
fn histogram(i: i64, schema: i32) -> Histogram {
    if i == 5 {
        return Histogram::stale();
    }
    let is_custom = schema == CUSTOM_SCHEMA;
    let spans = vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 1 }];
    let layout = Layout {
        schema,
        zero_threshold: if is_custom { 0.0 } else { 0.001 },
        positive_spans: spans.clone(),
        negative_spans: if is_custom { Vec::new() } else { spans },
        custom_bounds: if is_custom { vec![0.5, 1.0, 2.5] } else { Vec::new() },
        ..Layout::default()
    };
    let zero_count = if is_custom { 0 } else { i as u64 };
    let negative_deltas = if is_custom { Vec::new() } else { vec![i, i] };
    let sides = if is_custom { 1 } else { 2 };
    let count = zero_count + sides * 3 * i as u64;
    Histogram { layout, count, sum: 0.3 * i as f64, zero_count, positive_deltas: vec![i, i], negative_deltas }
}

fn series() -> BTreeMap<Labels, Vec<(i64, ChunkValue)>> {
    let of = |name: &str, value: &dyn Fn(i64) -> ChunkValue| {
        let samples = (1..10).map(|i| (1_000_000 + 10_000 * i, value(i))).collect();
        (labels(&[("__name__", name), ("zone", if name.len() > 5 { "z1" } else { "z2" })]), samples)
    };
    BTreeMap::from([
        of("float", &|i| ChunkValue::Float(i as f64 / 3.0)),
        of("whole", &|i| ChunkValue::Histogram(histogram(i, 2))),
        of("floats", &|i| ChunkValue::FloatHistogram(histogram(i, -1).to_float())),
        of("whole_custom", &|i| ChunkValue::Histogram(histogram(i, CUSTOM_SCHEMA))),
        of("floats_custom", &|i| ChunkValue::FloatHistogram(histogram(i, CUSTOM_SCHEMA).to_float())),
    ])
}

fn chunks_of(samples: &[(i64, ChunkValue)]) -> Vec<Chunk> {
    let mut builder = ChunkBuilder::new(CutAt { samples: 4, ..CutAt::default() });
    samples.iter().for_each(|(t, value)| builder.push(TimestampMs::new(*t), value));
    let chunk =
        |BuiltChunk { encoding, min, max, bytes, .. }| Chunk { min, max, encoding, bytes: bytes.into() };
    builder.finish().into_iter().map(chunk).collect()
}

/// The block, of which some is deleted.
fn write_block(env: &Env) -> PathBuf {
    let series = series();
    env.fs.create_dir_all(Path::new(DIR)).unwrap();
    let mut symbols = Symbols::default();
    series.keys().for_each(|labels| symbols.add(labels));
    let times = series.iter().map(|(l, s)| (l.clone(), s.iter().map(|(t, _)| (*t, 0)).collect())).collect();
    let writer = skopos_tsdb::block::BlockWriter::create(
        &env.fs,
        Path::new(DIR),
        ID,
        symbols,
        WriteOptions::default(),
    );
    let mut writer = writer.unwrap();
    let mut encodings = BTreeSet::new();
    for (labels, samples) in &series {
        let chunks = chunks_of(samples);
        encodings.extend(chunks.iter().map(|chunk| chunk.encoding.as_byte()));
        writer.add_series(labels, &chunks).unwrap();
    }
    let all = [Encoding::Xor, Encoding::Histogram, Encoding::FloatHistogram].map(Encoding::as_byte);
    assert_eq!(encodings, BTreeSet::from(all));
    writer.finish(meta_of(&times)).unwrap();
    let dir = Path::new(DIR).join(ID.to_string());
    let gone = [matcher("__name__", "=~", "whole.*")];
    assert_eq!(
        open(env, &dir).delete(&*env.fs, &gone, range(1_035_000, 1_045_000), &budget(env)).unwrap(),
        2
    );
    dir
}

fn by_columns(env: &Env, querier: &BlockQuerier, matchers: &[Matcher]) -> Result<Samples, QueryError> {
    let mut set = querier.select(&request(env, matchers, TimeRange::ALL))?;
    let (mut batch, mut all) = (SeriesBatch::default(), Samples::new());
    while set.next_batch(&mut batch)? {
        for series in batch.iter() {
            let values = series.timestamps.iter().zip(series.values);
            let mut samples: Vec<_> = values.map(|(t, v)| (t.as_ms(), vec![v.to_bits()])).collect();
            for view in series.histograms.iter() {
                samples[view.sample].1 = bits_of(&ChunkValue::FloatHistogram(view.to_histogram()));
            }
            assert!(all.insert(series.labels.clone(), samples).is_none());
        }
    }
    Ok(all)
}

fn by_chunks(env: &Env, querier: &BlockQuerier) -> Result<Samples, QueryError> {
    let mut set = querier.select_chunks(&request(env, &[], TimeRange::ALL))?;
    let mut all = Samples::new();
    while let Some(series) = set.next_series()? {
        let samples = all.entry(series.labels).or_default();
        for chunk in &series.chunks {
            let read = skopos_chunk::SampleIter::new(chunk.encoding, &chunk.bytes);
            let read = read.map(|sample| sample.expect("the checksum held"));
            samples.extend(read.map(|(t, value)| (t.as_ms(), bits_of(&value))));
        }
    }
    Ok(all)
}

/// All that is asked: everything by columns, everything by chunks, and what each of some labels selects.
fn answers(env: &Env, dir: &Path) -> Result<Vec<Samples>, BlockError> {
    let block = Arc::new(Block::open(&*env.fs, dir)?);
    let querier = block.querier(TimeRange::ALL);
    let mut all = vec![by_columns(env, &querier, &[])?, by_chunks(env, &querier)?];
    for some in [matcher("zone", "=", "z1"), matcher("zone", "=~", ".*2"), matcher("__name__", "!=", "float")]
    {
        all.push(by_columns(env, &querier, &[some])?);
    }
    Ok(all)
}

/// Damages one file; how many ways were found, and how many were harmless.
fn damage(file: &str, ways: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> (usize, usize) {
    let env = SimWorld::new(1).env();
    let dir = write_block(&env);
    damage_file(&env, &dir, file, ways, || answers(&env, &dir))
}

#[test]
fn the_block_is_read_as_it_was_written() {
    let env = SimWorld::new(1).env();
    let dir = write_block(&env);
    let answers = answers(&env, &dir).unwrap();
    let mut expected = Samples::new();
    for (labels, samples) in series() {
        let is_whole = labels.metric_name().unwrap().starts_with("whole");
        let is_left = |t: i64| !is_whole || !(1_035_000..=1_045_000).contains(&t);
        let left = samples.iter().filter(|(t, _)| is_left(*t));
        expected.insert(labels, left.map(|(t, value)| (*t, bits_of(value))).collect());
    }
    assert_eq!(answers[0], expected);
    assert_eq!(answers[1], expected);
    assert_eq!(answers[2..].iter().map(BTreeMap::len).collect::<Vec<_>>(), [3, 2, 4]);
}

#[test]
fn no_bit_of_a_segment_with_histograms_makes_a_wrong_sample() {
    // Three bytes of padding in the header mean nothing.
    assert_eq!(damage("chunks/000001", every_bit).1, 24);
    assert_eq!(damage("chunks/000001", every_length).1, 0);
}

#[test]
fn no_bit_of_an_index_of_histograms_makes_a_wrong_sample() {
    let (found, harmless) = damage("index", every_bit);
    assert!(found > 2 * harmless, "{found} found, {harmless} harmless");
    assert_eq!(damage("index", every_length).1, 0);
}

#[test]
fn no_bit_of_tombstones_brings_histograms_back() {
    assert_eq!(damage("tombstones", every_bit).1, 0);
    assert_eq!(damage("tombstones", every_length).1, 0);
}

#[test]
fn no_bit_of_the_meta_of_histograms_makes_a_wrong_sample() {
    let (found, harmless) = damage("meta.json", every_bit);
    assert!(found > 8 * harmless, "{found} found, {harmless} harmless");
    assert_eq!(damage("meta.json", every_length).1, 0);
}
