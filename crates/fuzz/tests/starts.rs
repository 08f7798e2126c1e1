//! What functions that heed start timestamps answer over blocks does not change when those blocks are written
//! anew. Stands here since no other crate of the lower layers uses both storage and queries.

#![allow(clippy::unwrap_used)]

use skopos_base::{Env, sim::SimWorld};
use skopos_chunk::{ChunkBuilder, ChunkValue, CutAt, Encoding};
use skopos_model::{
    DurationMs, Histogram, Labels, TimestampMs,
    histogram::{Layout, Span},
};
use skopos_promql::{Engine, EngineOptions, Steps, parse};
use skopos_storage::{
    Chunk, ChunkQuerier, Querier, QueryBudget, QueryError, QueryLimits, Queryable, SelectRequest, Shard,
    TimeRange, merge_queriers,
};
use skopos_testkit::storage::matcher;
use skopos_tsdb::{
    block::{Block, BlockIds, BlockMeta, BlockWriter, Compaction, Symbols, WriteOptions},
    compact::{CompactOptions, Compactor, RetentionRule, SelectorRetention},
};
use std::{path::Path, sync::Arc};

const DATA: &str = "/data";
/// Samples are so far apart …
const STEP_MS: i64 = 15_000;
/// … there are so many …
const SAMPLES: i64 = 600;
/// … and behind so many the source begins anew.
const LIFE: i64 = 7;

/// Blocks as storage.
struct Blocks(Vec<Arc<Block>>);

impl Queryable for Blocks {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, QueryError> {
        Ok(merge_queriers(self.0.iter().map(|b| Box::new(b.querier(range)) as Box<dyn Querier>).collect()))
    }
}

fn first_ms(env: &Env) -> i64 {
    env.clock.wall_ms() - SAMPLES * STEP_MS
}

/// A source that begins anew without a value that falls: its start alone tells.
fn value(i: i64, name: &str) -> ChunkValue {
    let count = 30 * (i / LIFE + 1) + i % LIFE * 3;
    if name == "floats" {
        return ChunkValue::Float(count as f64);
    }
    let layout = Layout { positive_spans: vec![Span { offset: 0, length: 2 }], ..Layout::default() };
    let (count, positive_deltas) = (2 * count as u64 + 1, vec![count, 1]);
    let sum = count as f64;
    let whole = Histogram { layout, count, sum, positive_deltas, ..Histogram::default() };
    match name {
        "whole_counts" => ChunkValue::Histogram(whole),
        _ => ChunkValue::FloatHistogram(whole.to_float()),
    }
}

const NAMES: [&str; 3] = ["float_counts", "floats", "whole_counts"];

/// A block of every `nth` of two samples; each third source does not say since when it counts.
fn write(env: &Env, ids: &BlockIds, nth: i64) -> Arc<Block> {
    let id = ids.next();
    let labels = |name| Labels::from_pairs([("__name__", name)]);
    let mut symbols = Symbols::default();
    NAMES.iter().for_each(|name| symbols.add(&labels(*name)));
    env.fs.create_dir_all(Path::new(DATA)).unwrap();
    let mut writer =
        BlockWriter::create(&env.fs, Path::new(DATA), id, symbols, WriteOptions::default()).unwrap();
    let first = first_ms(env);
    for name in NAMES {
        let mut builder = ChunkBuilder::new(CutAt::default());
        for i in (0..SAMPLES).filter(|i| i % 2 == nth) {
            let born = if i / LIFE % 3 == 2 { 0 } else { first + i / LIFE * LIFE * STEP_MS - 1000 };
            let at = TimestampMs::new(first + i * STEP_MS);
            builder.push_since(at, TimestampMs::new(born), &value(i, name));
        }
        let chunks = builder.finish().into_iter();
        let chunks: Vec<_> = chunks
            .map(|c| Chunk { min: c.min, max: c.max, encoding: c.encoding, bytes: c.bytes.into() })
            .collect();
        writer.add_series(&labels(name), &chunks).unwrap();
    }
    let (min, max) = (TimestampMs::new(first + nth), TimestampMs::new(first + SAMPLES * STEP_MS));
    let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
    writer.finish(BlockMeta::new(id, min, max, compaction)).unwrap();
    open(env, id)
}

fn open(env: &Env, id: skopos_tsdb::block::BlockId) -> Arc<Block> {
    Arc::new(Block::open(&*env.fs, &Path::new(DATA).join(id.to_string())).unwrap())
}

/// What functions say of all series from there on.
fn answers(env: &Env, blocks: &[Arc<Block>], from: i64, start_timestamps: bool) -> Vec<String> {
    let engine =
        Engine::new(EngineOptions { start_timestamps, ..EngineOptions::default() }, Arc::clone(&env.clock));
    let steps = Steps {
        start: TimestampMs::new(first_ms(env) + from),
        end: TimestampMs::new(env.clock.wall_ms()),
        step: DurationMs::from_ms(40_000),
    };
    let functions = ["rate", "increase", "irate", "resets"];
    let queries = functions.iter().flat_map(|function| NAMES.map(|name| format!("{function}({name}[2m])")));
    // What the query used is no answer.
    let used = regex::Regex::new("(samples|read|peak|memory|memory_peak|used): [0-9]+").unwrap();
    let answer = |query: String| {
        let storage = Blocks(blocks.to_vec());
        let expr = parse(&query).unwrap();
        let value = engine.range(&storage, &expr, steps, &engine.budget()).unwrap().value;
        format!("{query}: {}", used.replace_all(&format!("{value:?}"), ""))
    };
    queries.map(answer).collect()
}

/// Answers are long: of two that differ only what stands around the place is said.
fn assert_same(got: &[String], wanted: &[String]) {
    if let Some((got, wanted)) = got.iter().zip(wanted).find(|(got, wanted)| got != wanted) {
        let at = got.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
        let [got, wanted] =
            [got, wanted].map(|text| &text[at.saturating_sub(200)..(at + 100).min(text.len())]);
        panic!("{got}\nfor\n{wanted}");
    }
    assert_eq!(got.len(), wanted.len());
}

fn compactor(env: &Env, ids: &Arc<BlockIds>, options: CompactOptions) -> Compactor {
    Compactor::new(env, Arc::clone(ids), Path::new(DATA), options)
}

fn budget(env: &Env) -> Arc<QueryBudget> {
    QueryBudget::new(QueryLimits::default(), Arc::clone(&env.clock))
}

/// The encodings of all chunks.
fn encodings(env: &Env, block: &Arc<Block>) -> Vec<Encoding> {
    let (matchers, range, shard, budget) = (&[][..], TimeRange::ALL, Shard::WHOLE, budget(env));
    let querier = block.querier(range);
    let mut set = querier.select_chunks(&SelectRequest { matchers, range, shard, budget }).unwrap();
    let mut all = Vec::new();
    while let Some(series) = set.next_series().unwrap() {
        all.extend(series.chunks.iter().map(|c| c.encoding));
    }
    all.dedup();
    all
}

const WITH_STARTS: [Encoding; 3] =
    [Encoding::FloatHistogramStarts, Encoding::Xor2, Encoding::HistogramStarts];

#[test]
fn blocks_that_overlap_and_the_one_that_is_made_of_them_answer_alike() {
    let env = SimWorld::new(1).env();
    let ids = Arc::new(BlockIds::new(&env));
    let parents = [write(&env, &ids, 0), write(&env, &ids, 1)];
    let before = answers(&env, &parents, 0, true);
    for (with, without) in before.iter().zip(answers(&env, &parents, 0, false)) {
        assert!(*with != without, "starts make no difference: {with}");
    }
    let compactor = compactor(&env, &ids, CompactOptions::default());
    let meta = compactor.compact(&parents, &*env.spawner.stop_signal()).unwrap().unwrap();
    let made = open(&env, meta.ulid);
    assert_eq!(encodings(&env, &made), WITH_STARTS);
    assert_same(&answers(&env, &[made], 0, true), &before);
}

#[test]
fn a_block_answers_alike_when_its_deleted_samples_are_cleaned() {
    let env = SimWorld::new(2).env();
    let ids = Arc::new(BlockIds::new(&env));
    let parents = [write(&env, &ids, 0), write(&env, &ids, 1)];
    for (from, to) in [(40, 55), (300, 302)] {
        let [min, max] = [from, to].map(|i| TimestampMs::new(first_ms(&env) + i * STEP_MS));
        parents[0].delete(&*env.fs, &[], TimeRange { min, max }, &budget(&env)).unwrap();
    }
    let before = answers(&env, &parents, 0, true);
    let compactor = compactor(&env, &ids, CompactOptions::default());
    let meta = compactor.clean_tombstones(&parents[0], &*env.spawner.stop_signal()).unwrap().unwrap();
    let cleaned = open(&env, meta.ulid);
    assert_eq!(encodings(&env, &cleaned), WITH_STARTS);
    assert_same(&answers(&env, &[cleaned, Arc::clone(&parents[1])], 0, true), &before);
}

#[test]
fn what_retention_by_selector_leaves_of_a_block_answers_as_it_did() {
    let env = SimWorld::new(3).env();
    let ids = Arc::new(BlockIds::new(&env));
    let parents = [write(&env, &ids, 0)];
    // In the midst of a chunk.
    let oldest = 333 * STEP_MS;
    let time = DurationMs::from_ms(SAMPLES * STEP_MS - oldest);
    let matchers = vec![matcher("__name__", "!=", "")];
    let retention = SelectorRetention::new(vec![RetentionRule { matchers, time }]);
    let from = oldest + 4 * 60_000;
    let before = answers(&env, &parents, from, true);
    let compactor = compactor(&env, &ids, CompactOptions { retention, ..CompactOptions::default() });
    let meta = compactor.compact(&parents, &*env.spawner.stop_signal()).unwrap().unwrap();
    let kept = open(&env, meta.ulid);
    assert!(kept.meta().stats.num_samples < 3 * SAMPLES as u64 / 4);
    assert_eq!(encodings(&env, &kept), WITH_STARTS);
    assert_same(&answers(&env, &[kept], from, true), &before);
}
