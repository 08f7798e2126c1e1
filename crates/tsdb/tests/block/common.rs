//! What the tests of blocks share: series in, blocks out, and back. Owns no test.

use skopos_base::{
    Env,
    fs::{OpenMode, append_all, read_all},
};
use skopos_chunk::{Encoding, XorEncoder, decode_into};
use skopos_model::{Labels, Matcher, TimestampMs};
use skopos_storage::{
    Chunk, ChunkQuerier, LabelRequest, Querier, QueryBudget, QueryError, QueryLimits, SelectRequest,
    SeriesBatch, Shard, TimeRange,
};
pub(crate) use skopos_testkit::storage::matcher;
use skopos_tsdb::block::{
    Block, BlockError, BlockId, BlockMeta, BlockQuerier, BlockWriter, Compaction, Symbols, WriteOptions,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where simulated blocks stand.
pub(crate) const DIR: &str = "/data";
pub(crate) const ID: BlockId = BlockId::new(0x018b_cfe5_6800_1234_5678_9abc_def0_1234);

/// Series with their samples: time in milliseconds and the bits of the value.
pub(crate) type Dump = BTreeMap<Labels, Vec<(i64, u64)>>;

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

/// `count` series of `samples` samples each, every ten seconds.
pub(crate) fn some_series(count: usize, samples: usize) -> Dump {
    let one = |i: usize| {
        let labels = Labels::from_pairs([
            ("__name__", format!("m{}", i % 3)),
            ("i", i.to_string()),
            ("zone", ["", "z1", "z2", "zone-3"][i % 4].to_owned()),
        ]);
        let sample = |s: usize| (1_000_000 + 10_000 * s as i64, ((i * s) as f64 / 3.0).to_bits());
        (labels, (0..samples).map(sample).collect())
    };
    (0..count).map(one).collect()
}

pub(crate) fn chunk(samples: &[(i64, u64)]) -> Chunk {
    let mut encoder = XorEncoder::new();
    samples.iter().for_each(|(t, bits)| encoder.append(TimestampMs::new(*t), f64::from_bits(*bits)));
    Chunk {
        min: TimestampMs::new(samples[0].0),
        max: TimestampMs::new(samples[samples.len() - 1].0),
        encoding: Encoding::Xor,
        bytes: encoder.into_bytes().into(),
    }
}

/// What there is to say of a block of all these samples.
pub(crate) fn meta_of(series: &Dump) -> BlockMeta {
    let times = || series.values().flatten().map(|(t, _)| *t);
    let (min, max) = (times().min().unwrap_or(0), times().max().map_or(0, |t| t + 1));
    let compaction = Compaction { level: 1, sources: vec![ID], ..Compaction::default() };
    BlockMeta::new(ID, TimestampMs::new(min), TimestampMs::new(max), compaction)
}

pub(crate) fn begin(env: &Env, dir: &Path, series: &Dump, options: WriteOptions) -> BlockWriter {
    let mut symbols = Symbols::default();
    series.keys().for_each(|labels| symbols.add(labels));
    env.fs.create_dir_all(dir).expect("the directory can be made");
    BlockWriter::create(&env.fs, dir, ID, symbols, options).expect("there is no such block")
}

/// Writes a block with `per_chunk` samples a chunk; its directory.
pub(crate) fn write(env: &Env, dir: &Path, series: &Dump, per_chunk: usize) -> PathBuf {
    let options = WriteOptions { segment_bytes: 4 << 10 };
    let mut writer = begin(env, dir, series, options);
    for (labels, samples) in series {
        let chunks: Vec<Chunk> = samples.chunks(per_chunk).map(chunk).collect();
        writer.add_series(labels, &chunks).expect("the series come in order");
    }
    writer.finish(meta_of(series)).expect("the block is sound");
    dir.join(ID.to_string())
}

pub(crate) fn open(env: &Env, dir: &Path) -> Arc<Block> {
    Arc::new(Block::open(&*env.fs, dir).expect("the block is sound"))
}

pub(crate) fn budget(env: &Env) -> Arc<QueryBudget> {
    QueryBudget::new(QueryLimits::default(), Arc::clone(&env.clock))
}

pub(crate) fn range(min: i64, max: i64) -> TimeRange {
    TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) }
}

pub(crate) fn request<'a>(env: &Env, matchers: &'a [Matcher], range: TimeRange) -> SelectRequest<'a> {
    SelectRequest { matchers, range, shard: Shard::WHOLE, budget: budget(env) }
}

/// What columns say.
pub(crate) fn select(querier: &dyn Querier, request: &SelectRequest<'_>) -> Result<Dump, QueryError> {
    let mut set = querier.select(request)?;
    let mut batch = SeriesBatch::default();
    let mut dump = Dump::new();
    let mut last: Option<Labels> = None;
    while set.next_batch(&mut batch)? {
        for s in batch.iter() {
            assert!(last.as_ref().is_none_or(|l| l < s.labels), "series come sorted, each once");
            assert!(s.timestamps.is_sorted_by(|a, b| a < b), "samples of {} come sorted by time", s.labels);
            last = Some(s.labels.clone());
            let samples: Vec<_> =
                s.timestamps.iter().zip(s.values).map(|(t, v)| (t.as_ms(), v.to_bits())).collect();
            if !samples.is_empty() {
                dump.insert(s.labels.clone(), samples);
            }
        }
    }
    Ok(dump)
}

/// What chunks say.
pub(crate) fn select_chunks(querier: &BlockQuerier, request: &SelectRequest<'_>) -> Result<Dump, QueryError> {
    let mut set = querier.select_chunks(request)?;
    let mut dump = Dump::new();
    while let Some(series) = set.next_series()? {
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        for chunk in &series.chunks {
            let from = timestamps.len();
            decode_into(&chunk.bytes, &mut timestamps, &mut values).expect("the checksum held");
            assert_eq!((timestamps[from], timestamps[timestamps.len() - 1]), (chunk.min, chunk.max));
        }
        let samples = timestamps.iter().zip(&values).map(|(t, v)| (t.as_ms(), v.to_bits())).collect();
        assert_eq!(dump.insert(series.labels, samples), None);
    }
    Ok(dump)
}

/// All that a block has, by columns; by chunks it is the same.
pub(crate) fn dump(env: &Env, block: &Arc<Block>) -> Result<Dump, QueryError> {
    let querier = block.querier(TimeRange::ALL);
    let columns = select(&querier, &request(env, &[], TimeRange::ALL))?;
    assert_eq!(columns, select_chunks(&querier, &request(env, &[], TimeRange::ALL))?);
    Ok(columns)
}

/// All that the block in `dir` has, or why it has none.
pub(crate) fn dump_of(env: &Env, dir: &Path) -> Result<Dump, BlockError> {
    let block = Arc::new(Block::open(&*env.fs, dir)?);
    Ok(dump(env, &block)?)
}

pub(crate) fn label_request<'a>(env: &Env, matchers: &'a [Matcher], limit: usize) -> LabelRequest<'a> {
    LabelRequest { matchers, limit, budget: budget(env) }
}

/// Puts these bytes in the place of a file.
pub(crate) fn put(env: &Env, path: &Path, bytes: &[u8]) {
    if env.fs.exists(path).expect("the disk is sound") {
        env.fs.remove_file(path).expect("it is there");
    }
    let mut file = env.fs.open(path, OpenMode::CreateNew).expect("it was removed");
    append_all(&mut *file, bytes).expect("there is room");
}

/// The bytes with each of their bits flipped, one after the other.
pub(crate) fn every_bit(bytes: &[u8]) -> Vec<Vec<u8>> {
    let flipped = |bit: usize| {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        damaged
    };
    (0..bytes.len() * 8).map(flipped).collect()
}

/// The bytes cut to each length.
pub(crate) fn every_length(bytes: &[u8]) -> Vec<Vec<u8>> {
    (0..bytes.len()).map(|len| bytes[..len].to_vec()).collect()
}

/// Damages one file of a block in every way that is given: `answers` then gives what the sound block did, or
/// an error that names a file of the block. How many ways were found, and how many were harmless.
pub(crate) fn damage_file<A: PartialEq>(
    env: &Env,
    dir: &Path,
    file: &str,
    ways: impl Fn(&[u8]) -> Vec<Vec<u8>>,
    answers: impl Fn() -> Result<A, BlockError>,
) -> (usize, usize) {
    let sound = answers().expect("the block is sound");
    let path = dir.join(file);
    let bytes = read_all(&*env.fs, &path).expect("the file is there");
    let (mut found, mut harmless) = (0, 0);
    for (nth, damaged) in ways(&bytes).into_iter().enumerate() {
        put(env, &path, &damaged);
        match answers() {
            Ok(got) => {
                assert!(got == sound, "{file}, damage {nth}: another answer, and not a word");
                harmless += 1;
            }
            Err(BlockError::Corrupt { path: named, .. } | BlockError::Version { path: named, .. }) => {
                assert!(named.starts_with(dir), "{named:?}");
                found += 1;
            }
            Err(other) => panic!("{file}, damage {nth}: {other:?}"),
        }
    }
    (found, harmless)
}
