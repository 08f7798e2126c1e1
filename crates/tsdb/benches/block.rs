//! Blocks: written, opened, and selected from, at a million series of ten labels.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skopos_base::Env;
use skopos_chunk::{Encoding, XorEncoder};
use skopos_model::{Labels, MatchOp, Matcher, TimestampMs};
use skopos_storage::{
    Chunk, LabelRequest, Querier, QueryBudget, QueryLimits, SelectRequest, SeriesBatch, Shard, TimeRange,
    merge_queriers,
};
use skopos_tsdb::block::{
    Block, BlockChain, BlockIds, BlockMeta, BlockWriter, Compaction, Symbols, WriteOptions,
};
use std::{hint::black_box, path::Path, sync::Arc};

const LIMITS: QueryLimits = QueryLimits {
    max_samples: u64::MAX,
    max_series: u64::MAX,
    max_memory: u64::MAX,
    timeout: skopos_model::DurationMs::from_secs(3600),
};
const SERIES: usize = 1_000_000;

fn series(count: usize) -> Vec<Labels> {
    let mut all: Vec<Labels> = (0..count)
        .map(|i| {
            Labels::from_pairs([
                ("__name__", format!("metric_{}", i % 500)),
                ("cluster", "eu-1".to_owned()),
                ("container", format!("c{}", i % 11)),
                ("endpoint", "http-metrics".to_owned()),
                ("instance", format!("10.0.{}.{}:9100", i / 500 % 200, i % 7)),
                ("job", "node".to_owned()),
                ("namespace", format!("ns-{}", i % 40)),
                ("pod", format!("pod-{i}")),
                ("service", format!("service-{}", i % 97)),
                ("zone", format!("z{}", i % 3)),
            ])
        })
        .collect();
    all.sort_unstable();
    all
}

/// Chunks of 120 at 15 s: four make two hours.
fn chunks(count: i64) -> Vec<Chunk> {
    chunks_from(0, count)
}

/// The same from a time on.
fn chunks_from(first_ms: i64, count: i64) -> Vec<Chunk> {
    (0..count)
        .map(|c| {
            let mut encoder = XorEncoder::new();
            let time = |s: i64| TimestampMs::new(first_ms + c * 1_800_000 + s * 15_000);
            (0..120).for_each(|s| encoder.append(time(s), (c * 120 + s * 7919 % 1000) as f64));
            let bytes = encoder.into_bytes().into();
            Chunk { min: time(0), max: time(119), encoding: Encoding::Xor, bytes }
        })
        .collect()
}

fn write(env: &Env, dir: &Path, all: &[Labels], chunks: &[Chunk]) -> BlockMeta {
    let mut symbols = Symbols::default();
    all.iter().for_each(|labels| symbols.add(labels));
    let id = BlockIds::new(env).next();
    let mut writer =
        BlockWriter::create(&env.fs, dir, id, symbols, WriteOptions::default()).expect("it is new");
    for labels in all {
        writer.add_series(labels, chunks).expect("they come in order");
    }
    let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
    let start = chunks.first().map_or(TimestampMs::new(0), |c| c.min);
    let end = chunks.last().map_or(0, |c| c.max.as_ms()) + 1;
    let meta = BlockMeta::new(id, start, TimestampMs::new(end), compaction);
    writer.finish(meta).expect("the disk is sound")
}

/// A hundred thousand series with four chunks: as a head is cut into a block.
fn cut(c: &mut Criterion) {
    let env = Env::real();
    let dir = tempfile::tempdir().expect("there is room");
    let (all, chunks) = (series(SERIES / 10), chunks(4));
    let block = dir.path().join(write(&env, dir.path(), &all, &chunks).ulid.to_string());
    let size = Block::open(&*env.fs, &block).expect("it is sound").size_bytes();
    let mut group = c.benchmark_group("block");
    group.sample_size(10).throughput(Throughput::Bytes(size));
    group.bench_function("write_100k_series", |b| b.iter(|| write(&env, dir.path(), &all, &chunks)));
    group.finish();
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).expect("the expression is valid")
}

/// How many samples the series have that match.
fn decode(env: &Env, querier: &dyn Querier, matchers: &[Matcher], batch: &mut SeriesBatch) -> usize {
    let budget = QueryBudget::new(LIMITS, Arc::clone(&env.clock));
    let request = SelectRequest { matchers, range: TimeRange::ALL, shard: Shard::WHOLE, budget };
    let mut set = querier.select(&request).expect("in budget");
    let mut samples = 0;
    while set.next_batch(batch).expect("all chunks are sound") {
        samples += black_box(batch.sample_count());
    }
    samples
}

fn million(c: &mut Criterion) {
    let env = Env::real();
    let dir = tempfile::tempdir().expect("there is room");
    let all = series(SERIES);
    let meta = write(&env, dir.path(), &all, &chunks(1));
    drop(all);
    let path = dir.path().join(meta.ulid.to_string());
    let mut group = c.benchmark_group("block_1m");
    group.sample_size(10);
    group.bench_function("open", |b| b.iter(|| Block::open(&*env.fs, &path).expect("it is sound")));
    let block = Arc::new(Block::open(&*env.fs, &path).expect("it is sound"));
    let querier = block.querier(TimeRange::ALL);
    for (name, matchers) in [
        ("name_and_zone", vec![Matcher::equal("__name__", "metric_7"), Matcher::equal("zone", "z1")]),
        (
            "job_and_zone_and_container",
            vec![
                Matcher::equal("job", "node"),
                Matcher::equal("zone", "z1"),
                Matcher::equal("container", "c3"),
                Matcher::equal("service", "service-5"),
            ],
        ),
        ("job_and_one_pod", vec![Matcher::equal("job", "node"), Matcher::equal("pod", "pod-4711")]),
        (
            "name_and_pod_regex",
            vec![Matcher::equal("__name__", "metric_7"), matcher("pod", MatchOp::Regex, "pod-.*7.*7")],
        ),
        ("pod_regex_alone", vec![matcher("pod", MatchOp::Regex, "pod-.*7.*7.*7.*7")]),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let budget = QueryBudget::new(LIMITS, Arc::clone(&env.clock));
                querier.series(&LabelRequest { matchers: &matchers, limit: 0, budget }).expect("in budget")
            });
        });
    }
    let matchers = [Matcher::equal("__name__", "metric_7")];
    let mut batch = SeriesBatch::default();
    group.bench_function("decode_2000_series", |b| {
        b.iter(|| assert_eq!(decode(&env, &querier, &matchers, &mut batch), 2000 * 120));
    });
    group.finish();
}

/// Two thousand series of two days: what a heavy range query reads, decoded to columns.
fn range(c: &mut Criterion) {
    const CHUNKS: i64 = 2 * 48;
    let env = Env::real();
    let dir = tempfile::tempdir().expect("there is room");
    let meta = write(&env, dir.path(), &series(2000), &chunks(CHUNKS));
    let path = dir.path().join(meta.ulid.to_string());
    let block = Arc::new(Block::open(&*env.fs, &path).expect("it is sound"));
    let querier = block.querier(TimeRange::ALL);
    let samples = 2000 * CHUNKS as usize * 120;
    let mut group = c.benchmark_group("block_range");
    group.sample_size(10).throughput(Throughput::Elements(samples as u64));
    let mut batch = SeriesBatch::default();
    let matchers = [Matcher::equal("job", "node")];
    group.bench_function("2000_series_2d", |b| {
        b.iter(|| assert_eq!(decode(&env, &querier, &matchers, &mut batch), samples));
    });
    group.finish();
}

/// Many blocks as a database reads them: two of them overlap; or each has series of its own.
fn chain(c: &mut Criterion) {
    const BLOCKS: i64 = 45;
    const BLOCK_MS: i64 = 2 * 3600 * 1000;
    let env = Env::real();
    let dir = tempfile::tempdir().expect("there is room");
    let open = |name: String, all: &[Labels], chunks: &[Chunk]| {
        let dir = dir.path().join(name);
        env.fs.create_dir_all(&dir).expect("there is room");
        let meta = write(&env, &dir, all, chunks);
        Arc::new(Block::open(&*env.fs, &dir.join(meta.ulid.to_string())).expect("it is sound"))
    };
    let querier = |blocks: &[Arc<Block>]| match BlockChain::of(blocks, TimeRange::ALL) {
        Some(chain) => Box::new(chain) as Box<dyn Querier>,
        None => merge_queriers(
            blocks.iter().map(|b| Box::new(b.querier(TimeRange::ALL)) as Box<dyn Querier>).collect(),
        ),
    };
    let (all, mut batch) = (series(500), SeriesBatch::default());
    let mut of_pair: Vec<_> =
        (0..BLOCKS - 1).map(|b| open(format!("pair-{b}"), &all, &chunks_from(b * BLOCK_MS, 4))).collect();
    // Between the samples of another one.
    of_pair.push(open("pair-late".to_owned(), &all, &chunks_from(20 * BLOCK_MS + 7500, 4)));
    let all = series(500 * BLOCKS as usize);
    let churned: Vec<_> = (0..BLOCKS)
        .map(|b| {
            let own: Vec<Labels> = all.iter().skip(b as usize).step_by(BLOCKS as usize).cloned().collect();
            open(format!("churn-{b}"), &own, &chunks_from(b * BLOCK_MS, 1))
        })
        .collect();
    let mut group = c.benchmark_group("block_chain");
    group.sample_size(10);
    for (name, blocks, samples) in [
        ("45_blocks_two_overlap", of_pair, 45 * 500 * 480),
        ("45_blocks_of_own_series", churned, 45 * 500 * 120),
    ] {
        let querier = querier(&blocks);
        group.throughput(Throughput::Elements(samples as u64));
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(decode(&env, &*querier, &[], &mut batch), samples));
        });
    }
    group.finish();
}

criterion_group!(benches, cut, range, chain, million);
criterion_main!(benches);
