//! `Compactor`: one new block from several sources. Reads them series by series and holds one series of
//! each and two batches on their way into the block; never removes a source.

use super::{
    batches::{BatchOptions, Batches},
    error::CompactError,
    rules::SelectorRetention,
};
use crate::{
    block::{
        Block, BlockId, BlockIds, BlockMeta, BlockParent, BlockWriter, Compaction, FROM_OUT_OF_ORDER,
        Symbols, WriteOptions,
    },
    equal_times::by_age,
};
use skopos_base::{
    Env,
    clock::Clock,
    fs::SharedFs,
    spawn::{Spawner, Stop},
};
use skopos_model::{DurationMs, TimestampMs};
use skopos_storage::{
    ChunkQuerier, QueryBudget, QueryError, QueryLimits, SelectRequest, Shard, TimeRange,
    merge::{ChunkMerge, ChunkSource, MergedChunkSeriesSet},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Compaction says this often how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(30);
/// Work that goes through all samples is bounded by its stop signal and by holding one series at a time.
const LIMITS: QueryLimits = QueryLimits {
    max_samples: u64::MAX,
    max_series: u64::MAX,
    max_memory: u64::MAX,
    timeout: DurationMs::from_ms(i64::MAX),
};

/// How blocks are written anew.
#[derive(Clone, Debug)]
pub struct CompactOptions {
    /// How chunks are laid into files.
    pub write: WriteOptions,
    /// Samples that are older than this are left out.
    pub retention: SelectorRetention,
    /// Series with so many bytes of chunks are merged and written together, by another thread while this one
    /// reads the next. Two such batches are held at once. What is less is not worth a thread.
    pub batch_bytes: usize,
}

impl Default for CompactOptions {
    fn default() -> Self {
        let (write, retention) = (WriteOptions::default(), SelectorRetention::default());
        Self { write, retention, batch_bytes: 1 << 20 }
    }
}

/// Makes blocks of one data directory.
#[derive(Debug)]
pub struct Compactor {
    fs: SharedFs,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    ids: Arc<BlockIds>,
    data_dir: PathBuf,
    options: CompactOptions,
}

/// The times that a block says to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockTimes {
    /// The earliest one.
    pub min: TimestampMs,
    /// Behind the latest one.
    pub end: TimestampMs,
}

impl BlockTimes {
    /// Of a range, both ends of which belong to it.
    pub const fn of(range: TimeRange) -> Self {
        Self { min: range.min, end: TimestampMs::new(range.max.as_ms().saturating_add(1)) }
    }

    /// The same as a range, both ends of which belong to it.
    pub const fn range(self) -> TimeRange {
        TimeRange { min: self.min, max: TimestampMs::new(self.end.as_ms().saturating_sub(1)) }
    }
}

/// Samples that are to become a block, and what is to be said of it.
pub struct NewBlock<'a> {
    /// Where samples come from, in the order of `equal_times`. Errors call each by its name.
    pub sources: Vec<(PathBuf, Box<dyn ChunkQuerier>)>,
    /// The texts of all their labels.
    pub symbols: Symbols,
    /// Samples of other times are left out.
    pub times: BlockTimes,
    /// How it came to be. Without a source of level 1 it is its own.
    pub compaction: Compaction,
    /// Ends the work.
    pub stop: &'a dyn Stop,
}

impl Compactor {
    /// Makes blocks in `data_dir`.
    pub fn new(env: &Env, ids: Arc<BlockIds>, data_dir: &Path, options: CompactOptions) -> Self {
        let (fs, clock, spawner) = (Arc::clone(&env.fs), Arc::clone(&env.clock), Arc::clone(&env.spawner));
        Self { fs, clock, spawner, ids, data_dir: data_dir.to_owned(), options }
    }

    /// Makes one block of `blocks`, without what is deleted from them. `None` when that leaves nothing:
    /// then they are marked as deletable. The blocks themselves stay; once the new one is open they are
    /// obsolete (`obsolete_blocks`).
    ///
    /// # Errors
    /// As `CompactError` says. Blocks that cannot be read are marked as failed.
    pub fn compact(&self, blocks: &[Arc<Block>], stop: &dyn Stop) -> Result<Option<BlockMeta>, CompactError> {
        self.rewrite(blocks, merged(blocks), stop)
    }

    /// Makes a block of `block` without what is deleted from it. It has the level and the sources of the
    /// old one.
    ///
    /// # Errors
    /// As `compact`.
    pub fn clean_tombstones(
        &self,
        block: &Arc<Block>,
        stop: &dyn Stop,
    ) -> Result<Option<BlockMeta>, CompactError> {
        let old = block.meta();
        let mut compaction = merged(std::slice::from_ref(block));
        compaction.level = old.compaction.level;
        self.rewrite(std::slice::from_ref(block), compaction, stop)
    }

    fn rewrite(
        &self,
        blocks: &[Arc<Block>],
        compaction: Compaction,
        stop: &dyn Stop,
    ) -> Result<Option<BlockMeta>, CompactError> {
        let started = self.clock.monotonic();
        let result = self.new_block_of(blocks, compaction, stop).and_then(|new| self.write(new));
        let bytes: u64 = blocks.iter().map(|b| b.size_bytes()).sum();
        let seconds = self.clock.monotonic().saturating_sub(started).as_secs_f64();
        let ids: Vec<String> = blocks.iter().map(|b| b.id().to_string()).collect();
        match &result {
            Ok(Some(meta)) => tracing::info!(
                block = %meta.ulid, parents = ?ids, bytes, seconds, series = meta.stats.num_series,
                samples = meta.stats.num_samples, level = meta.compaction.level, "compacted blocks"
            ),
            Ok(None) => {
                tracing::info!(parents = ?ids, "compaction left nothing of blocks: they may go");
                for block in blocks {
                    let marked = block.change_compaction(&*self.fs, |c| c.deletable = true);
                    marked.map_err(CompactError::Retry)?;
                }
            }
            Err(e) => self.mark_failed(blocks, e),
        }
        result
    }

    fn new_block_of<'a>(
        &self,
        blocks: &[Arc<Block>],
        compaction: Compaction,
        stop: &'a dyn Stop,
    ) -> Result<NewBlock<'a>, CompactError> {
        let mut blocks = blocks.to_vec();
        by_age(&mut blocks);
        let failed = |e| CompactError::of(e, blocks.iter().map(|b| b.dir()));
        let mut symbols = Symbols::default();
        for block in &blocks {
            block.for_each_symbol(|text| symbols.add_text(text)).map_err(failed)?;
        }
        let source = |b: &Arc<Block>| {
            let chunks: Box<dyn ChunkQuerier> = Box::new(b.querier(TimeRange::ALL));
            (b.dir().to_owned(), chunks)
        };
        let metas: Vec<BlockMeta> = blocks.iter().map(|b| b.meta()).collect();
        let min = metas.iter().map(|m| m.min_time).min().unwrap_or_default();
        let end = metas.iter().map(|m| m.max_time).max().unwrap_or_default();
        let sources = blocks.iter().map(source).collect();
        Ok(NewBlock { sources, symbols, times: BlockTimes { min, end }, compaction, stop })
    }

    /// Writes a block, durable when this returns; `None` when there is no sample. Whatever ends it before
    /// leaves nothing behind.
    ///
    /// # Errors
    /// As `CompactError` says.
    pub fn write(&self, new: NewBlock<'_>) -> Result<Option<BlockMeta>, CompactError> {
        let NewBlock { sources, symbols, times, mut compaction, stop } = new;
        let names: Vec<PathBuf> = sources.iter().map(|(name, _)| name.clone()).collect();
        let failed = |e| CompactError::of(e, names.iter().map(PathBuf::as_path));
        let id = self.ids.next();
        let writer = BlockWriter::create(&self.fs, &self.data_dir, id, symbols, self.options.write);
        let writer = writer.map_err(failed)?;
        let range = times.range();
        let mut series = self.select(sources, range).map_err(|e| failed(e.into()))?;
        let block = &self.data_dir.join(id.to_string());
        let options = BatchOptions { spawner: &self.spawner, full_at: self.options.batch_bytes, block };
        let mut batches = Batches::new(options, writer, [series.merger(), series.merger()]);
        let now = TimestampMs::new(self.clock.wall_ms());
        let (mut read, mut told) = (0_u64, self.clock.monotonic());
        while let Some(next) = series.next_unmerged().map_err(|e| failed(e.into()))? {
            if stop.is_stopped() {
                return Err(CompactError::Stopped);
            }
            let oldest = self.options.retention.oldest_kept(&next.labels, now).max(range.min);
            batches.push(next, TimeRange { min: oldest, max: range.max }).map_err(failed)?;
            read += 1;
            let passed = self.clock.monotonic();
            if passed.saturating_sub(told) >= PROGRESS_EVERY {
                told = passed;
                tracing::info!(block = %id, series = read, "writing a block");
            }
        }
        let writer = batches.finish().map_err(failed)?;
        if writer.series() == 0 {
            return Ok(None);
        }
        if compaction.sources.is_empty() {
            compaction.sources.push(id);
        }
        writer.finish(BlockMeta::new(id, times.min, times.end, compaction)).map(Some).map_err(failed)
    }

    fn select(
        &self,
        sources: Vec<(PathBuf, Box<dyn ChunkQuerier>)>,
        range: TimeRange,
    ) -> Result<MergedChunkSeriesSet, QueryError> {
        let budget = QueryBudget::new(LIMITS, Arc::clone(&self.clock));
        let mut sets = Vec::with_capacity(sources.len());
        for (name, source) in sources {
            let (matchers, shard, budget) = (&[][..], Shard::WHOLE, budget.for_source());
            let series = source.select_chunks(&SelectRequest { matchers, range, shard, budget })?;
            sets.push(ChunkSource { name, series });
        }
        Ok(MergedChunkSeriesSet::new(sets, ChunkMerge::Compact, budget))
    }

    /// Marks the blocks that are to blame, so that compaction does not try them for ever.
    fn mark_failed(&self, blocks: &[Arc<Block>], error: &CompactError) {
        for block in blocks {
            let marked = match error {
                CompactError::Stopped | CompactError::Retry(_) => continue,
                CompactError::Corrupt { block: damaged, .. } if damaged != block.dir() => continue,
                _ => block.change_compaction(&*self.fs, |c| c.failed = true),
            };
            tracing::error!(
                block = %block.id(), %error,
                "a block is not compacted any more, queries still read it: restore it from a copy, or stop \
                 the server and run `skopos tool tsdb repair`"
            );
            if let Err(e) = marked {
                tracing::error!(block = %block.id(), error = %e, "the block could not be marked as failed");
            }
        }
    }
}

/// What is said of a block made of `blocks`.
fn merged(blocks: &[Arc<Block>]) -> Compaction {
    let mut metas: Vec<BlockMeta> = blocks.iter().map(|b| b.meta()).collect();
    metas.sort_by_key(|m| (m.min_time, m.ulid));
    let sources: BTreeSet<BlockId> =
        metas.iter().flat_map(|m| m.compaction.sources.iter().copied()).collect();
    let parent = |m: &BlockMeta| BlockParent {
        ulid: m.ulid,
        min_time: m.min_time,
        max_time: m.max_time,
        other: Default::default(),
    };
    let all_out_of_order = metas.iter().all(BlockMeta::is_out_of_order);
    let hints = all_out_of_order.then(|| FROM_OUT_OF_ORDER.to_owned());
    Compaction {
        level: metas.iter().map(|m| m.compaction.level).max().unwrap_or(0) + 1,
        sources: sources.into_iter().collect(),
        parents: metas.iter().map(parent).collect(),
        hints: hints.into_iter().collect(),
        ..Compaction::default()
    }
}
