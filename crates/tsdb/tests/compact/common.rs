//! What the tests of compaction share: blocks of made data, and a data directory opened as a start does.
//! Owns no test.

use skopos_base::{Env, fs::Fs, rng::Rng};
use skopos_model::TimestampMs;
use skopos_storage::{Querier, TimeRange, merge_queriers};
use skopos_testkit::storage::{Kinds, MemoryStorage, Size, made_data};
use skopos_tsdb::{
    block::{Block, BlockDir, BlockIds, BlockMeta, Compaction, Symbols, remove_block},
    compact::{BlockTimes, CompactError, CompactOptions, Compactor, NewBlock, obsolete_blocks},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where simulated databases stand.
pub(crate) const DATA: &str = "/data";

pub(crate) fn compactor(env: &Env, options: CompactOptions) -> Compactor {
    Compactor::new(env, Arc::new(BlockIds::new(env)), Path::new(DATA), options)
}

pub(crate) fn ms(ms: i64) -> TimestampMs {
    TimestampMs::new(ms)
}

/// Everything of `data` as a block that is to be written, as the head gives its samples.
pub(crate) fn new_block<'a>(
    data: &MemoryStorage,
    per_chunk: usize,
    times: (i64, i64),
    stop: &'a dyn skopos_base::spawn::Stop,
) -> NewBlock<'a> {
    let mut symbols = Symbols::default();
    data.iter().for_each(|(labels, _)| symbols.add(labels));
    let sources = vec![(PathBuf::from("head"), data.chunk_view(per_chunk))];
    let compaction = Compaction { level: 1, ..Compaction::default() };
    NewBlock { sources, symbols, times: BlockTimes { min: ms(times.0), end: ms(times.1) }, compaction, stop }
}

/// Writes a block of `data`, which must have a sample between the times.
pub(crate) fn write_block(env: &Env, data: &MemoryStorage, times: (i64, i64)) -> BlockMeta {
    env.fs.create_dir_all(Path::new(DATA)).unwrap();
    let stop = env.spawner.stop_signal();
    let new = new_block(data, 20, times, &*stop);
    compactor(env, CompactOptions::default()).write(new).unwrap().expect("a sample")
}

/// Writes blocks whose times stand `step` apart and are 100,000 ms long, and says what they hold
/// together. Of equal times the older block's sample counts.
pub(crate) fn write_blocks(env: &Env, seed: u64, kinds: Kinds, step: i64, size: (u64, u64)) -> MemoryStorage {
    let rng = Rng::from_seed(seed);
    let mut all = MemoryStorage::default();
    env.fs.create_dir_all(Path::new(DATA)).unwrap();
    let (stop, compactor) = (env.spawner.stop_signal(), compactor(env, CompactOptions::default()));
    for i in 0..3 {
        let (from, to) = (i * step, i * step + 100_000);
        let mut data = made_data(&rng, kinds, Size { series: size.0, samples: size.1, from, to });
        data.insert_floats(&skopos_model::Labels::from_pairs([("n", "always")]), [(from + i, i as f64)]);
        compactor.write(new_block(&data, 20, (from, to), &*stop)).unwrap().expect("a sample");
        all.merge(&data);
    }
    all
}

/// The blocks of the data directory by their times, after what a start removes is gone.
pub(crate) fn open(fs: &dyn Fs) -> Vec<Arc<Block>> {
    let dir = Path::new(DATA);
    let mut blocks = Vec::new();
    for entry in fs.read_dir(dir).unwrap() {
        match BlockDir::of(&entry.name) {
            Some(BlockDir::Leftover) => fs.remove_dir_all(&dir.join(entry.name)).unwrap(),
            Some(BlockDir::Whole(_)) => {
                blocks.push(Arc::new(Block::open(fs, &dir.join(entry.name)).unwrap()));
            }
            None => {}
        }
    }
    let metas: Vec<BlockMeta> = blocks.iter().map(|b| b.meta()).collect();
    let obsolete = obsolete_blocks(&metas);
    obsolete.iter().for_each(|id| remove_block(fs, dir, *id).unwrap());
    blocks.retain(|b| !obsolete.contains(&b.id()));
    blocks.sort_by_key(|b| (b.meta().min_time, b.id()));
    blocks
}

pub(crate) fn querier(blocks: &[Arc<Block>], range: TimeRange) -> Box<dyn Querier> {
    merge_queriers(blocks.iter().map(|b| Box::new(b.querier(range)) as Box<dyn Querier>).collect())
}

pub(crate) fn contents(blocks: &[Arc<Block>]) -> MemoryStorage {
    MemoryStorage::collect(&*querier(blocks, TimeRange::ALL), &[], TimeRange::ALL)
}

pub(crate) fn compact_all(env: &Env, blocks: &[Arc<Block>]) -> Result<Option<BlockMeta>, CompactError> {
    compactor(env, CompactOptions::default()).compact(blocks, &*env.spawner.stop_signal())
}

/// The same with batches of so many bytes, which another thread writes where the world lets one start.
pub(crate) fn compact_in_batches(
    env: &Env,
    blocks: &[Arc<Block>],
    batch_bytes: usize,
) -> Result<Option<BlockMeta>, CompactError> {
    let options = CompactOptions { batch_bytes, ..CompactOptions::default() };
    compactor(env, options).compact(blocks, &*env.spawner.stop_signal())
}

/// Removes blocks whose successor is there, as the database does once it has opened it.
pub(crate) fn remove_obsolete(fs: &dyn Fs, metas: &[BlockMeta]) -> Result<(), CompactError> {
    for id in obsolete_blocks(metas) {
        remove_block(fs, Path::new(DATA), id).map_err(CompactError::Retry)?;
    }
    Ok(())
}

pub(crate) fn names(fs: &dyn Fs) -> Vec<String> {
    fs.read_dir(Path::new(DATA)).unwrap().into_iter().map(|e| e.name).collect()
}
