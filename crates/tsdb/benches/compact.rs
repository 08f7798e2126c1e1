//! From blocks to one larger block: megabytes of sources a second, where the blocks stand behind one
//! another (chunks are copied) and where they overlap (chunks are decoded, merged and encoded again).

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use skopos_base::Env;
use skopos_chunk::XorEncoder;
use skopos_model::{Labels, TimestampMs};
use skopos_storage::Chunk;
use skopos_tsdb::{
    block::{Block, BlockIds, BlockMeta, BlockWriter, Compaction, Symbols, WriteOptions, remove_block},
    compact::{CompactOptions, Compactor},
};
use std::{hint::black_box, path::Path, sync::Arc};

const SERIES: usize = 10_000;
const BLOCKS: i64 = 3;
/// Two hours of a sample every fifteen seconds.
const SAMPLES: i64 = 480;
const STEP_MS: i64 = 15_000;
const CHUNK: usize = 120;

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("node_network_receive_bytes_total_{}", i % 50)),
        ("device", format!("eth{}", i / 50 % 20)),
        ("instance", format!("host-{}.example:9100", i / 1000)),
    ])
}

/// A block of samples from `start` on.
fn write(env: &Env, dir: &Path, ids: &BlockIds, start: i64) -> Arc<Block> {
    let mut series: Vec<(Labels, usize)> = (0..SERIES).map(|i| (labels(i), i)).collect();
    series.sort();
    let mut symbols = Symbols::default();
    series.iter().for_each(|(labels, _)| symbols.add(labels));
    let id = ids.next();
    let mut writer =
        BlockWriter::create(&env.fs, dir, id, symbols, WriteOptions::default()).expect("there is room");
    for (labels, i) in &series {
        let samples: Vec<i64> = (0..SAMPLES).collect();
        let chunk = |part: &[i64]| {
            let mut encoder = XorEncoder::new();
            for s in part {
                let value = (s * (*i as i64 * 7919 % 1000)) as f64;
                encoder.append(TimestampMs::new(start + s * STEP_MS), value);
            }
            let at = |s: i64| TimestampMs::new(start + s * STEP_MS);
            let encoding = skopos_chunk::Encoding::Xor;
            Chunk {
                min: at(part[0]),
                max: at(part[part.len() - 1]),
                encoding,
                bytes: encoder.into_bytes().into(),
            }
        };
        let chunks: Vec<Chunk> = samples.chunks(CHUNK).map(chunk).collect();
        writer.add_series(labels, &chunks).expect("series come in order");
    }
    let (min, max) = (TimestampMs::new(start), TimestampMs::new(start + SAMPLES * STEP_MS));
    writer.finish(BlockMeta::new(id, min, max, Compaction::default())).expect("there is room");
    Arc::new(Block::open(&*env.fs, &dir.join(id.to_string())).expect("it was just written"))
}

fn compaction(c: &mut Criterion) {
    let env = Env::real();
    let mut group = c.benchmark_group("compaction");
    group.sample_size(10);
    for (name, step) in [("adjacent", SAMPLES * STEP_MS), ("overlapping", SAMPLES * STEP_MS / 2 + 1)] {
        let dir = tempfile::tempdir().expect("there is room");
        let ids = Arc::new(BlockIds::new(&env));
        let blocks: Vec<_> = (0..BLOCKS).map(|b| write(&env, dir.path(), &ids, b * step)).collect();
        let bytes = blocks.iter().map(|b| b.size_bytes()).sum();
        let compactor = Compactor::new(&env, Arc::clone(&ids), dir.path(), CompactOptions::default());
        let stop = env.spawner.stop_signal();
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::new(name, format!("{SERIES}_series")), |b| {
            b.iter(|| {
                let meta = compactor.compact(&blocks, &*stop).expect("the blocks are sound");
                let meta = black_box(meta).expect("there are samples");
                remove_block(&*env.fs, dir.path(), meta.ulid).expect("it was just written");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, compaction);
criterion_main!(benches);
