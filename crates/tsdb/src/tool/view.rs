//! `DirView`: all samples of a data directory, blocks and head, without a lock and without a change: also
//! while a server has it open.

use super::{
    listing::block_dirs,
    untouched::Untouched,
    verify::{Finding, Severity, Verified, verify_head, verify_notes},
};
use crate::{
    block::{Block, BlockError},
    db::note::{self, HeadCut, There},
    equal_times::by_age,
    error::OpenError,
    head::{
        Head,
        querier::HeadQuerier,
        replay::{Logs, replay},
    },
    head_chunks::{HeadChunks, MAX_FILE_BYTES},
    options::Options,
    stats::Stats,
    wal::{names::list_names, segment, unnamed::given_twice_reason},
};
use skopos_base::{
    Env,
    clock::Clock,
    fs::{Fs, SharedFs},
};
use skopos_model::{DurationMs, Matcher, TimestampMs};
use skopos_storage::{
    ChunkQuerier, ChunkSeriesSet, Querier, QueryBudget, QueryError, QueryLimits, Queryable, SelectRequest,
    Shard, TimeRange,
    merge::{ChunkMerge, ChunkSource, MergedChunkSeriesSet},
    merge_queriers,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A server may remove files while they are listed: then all is looked at anew, at most so often.
const ATTEMPTS: usize = 100;
/// A tool reads all there is, a series at a time.
pub(crate) const LIMITS: QueryLimits = QueryLimits {
    max_samples: u64::MAX,
    max_series: u64::MAX,
    max_memory: u64::MAX,
    timeout: DurationMs::from_ms(i64::MAX),
};

/// Why a directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// A block cannot be opened.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The head cannot be read.
    #[error(transparent)]
    Head(#[from] OpenError),
    /// There is no such directory, or the system does not let us look.
    #[error("{} cannot be listed: {source}", path.display())]
    Unlisted {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ViewError {
    /// The file that was listed and is not there.
    fn gone(&self) -> Option<&Path> {
        let (path, source) = match self {
            Self::Block(BlockError::Io { path, source, .. }) => (path, source),
            Self::Head(OpenError::Io { path, source, .. }) => (path, source),
            _ => return None,
        };
        (source.kind() == io::ErrorKind::NotFound).then_some(path)
    }
}

/// A data directory as it was when it was opened.
#[derive(Debug)]
pub struct DirView {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    blocks: Vec<Arc<Block>>,
    head: Option<Arc<Head>>,
}

impl DirView {
    /// Reads `dir`: the tables of its blocks, and its WAL into memory. Neither locks nor changes anything.
    ///
    /// # Errors
    /// When a block or the head cannot be read.
    pub fn open(dir: &Path, env: &Env) -> Result<Self, ViewError> {
        let (mut blocks, mut gone) = (Vec::new(), None);
        for _ in 1..ATTEMPTS {
            match Self::open_once(dir, env, &mut blocks) {
                // What is listed and not there, again and again, is no removal.
                Err(e) if e.gone().is_some() && e.gone() != gone.as_deref() => {
                    gone = e.gone().map(Path::to_owned);
                }
                other => return other,
            }
        }
        Self::open_once(dir, env, &mut blocks)
    }

    /// One attempt, which leaves the `blocks` that it has opened to the next.
    fn open_once(dir: &Path, env: &Env, blocks: &mut Vec<Arc<Block>>) -> Result<Self, ViewError> {
        let fs = &*env.fs;
        let noted = note::read(fs, dir)?;
        open_blocks(fs, dir, blocks)?;
        let there = There::default().and(blocks.iter().map(|b| b.meta()));
        let passed_over = note::passed_over(noted, &there);
        // The head first: what is cut from it meanwhile is then in a block that is listed behind it.
        let head = open_head(dir, env, passed_over, &there)?;
        open_blocks(fs, dir, blocks)?;
        if let Some(head) = &head {
            note::hide_deleted(head, blocks, passed_over)?;
        }
        let blocks = std::mem::take(blocks);
        Ok(Self { dir: dir.to_owned(), clock: Arc::clone(&env.clock), blocks, head })
    }

    /// All blocks, by their earliest times.
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// What of the head was found damaged while it was read: what it had is not in the view.
    ///
    /// # Errors
    /// When the system refuses a file.
    pub fn damage(&self, fs: &dyn Fs) -> io::Result<Vec<Finding>> {
        let Some(stats) = self.head.as_ref().map(|head| head.stats.snapshot()) else { return Ok(Vec::new()) };
        if stats.wal_corruptions_total + stats.head_chunks_damaged_files + stats.replay_unknown_series == 0 {
            return Ok(Vec::new());
        }
        let mut found = Verified::default();
        verify_head(fs, &self.dir, &mut found)?;
        let lacks = stats.replay_unknown_series > 0;
        found.findings.retain(|finding| match finding.severity {
            Severity::Damage => true,
            Severity::Contradiction => lacks,
            Severity::Leftover => false,
        });
        Ok(found.findings)
    }

    /// What is damaged and costs the view no sample.
    ///
    /// # Errors
    /// When the system refuses a file.
    pub fn harmless_damage(&self, fs: &dyn Fs) -> io::Result<Vec<Finding>> {
        let mut found = verify_notes(fs, &self.dir)?;
        let numbers = self.head.as_ref().map(|head| head.contradicted.numbers()).unwrap_or_default();
        let lacks = self.head.as_ref().is_some_and(|head| head.stats.snapshot().replay_unknown_series > 0);
        let reason = given_twice_reason(&numbers).filter(|_| !lacks);
        found.extend(reason.map(|reason| Finding::contradiction(&self.dir.join("wal"), reason)));
        Ok(found)
    }

    /// The series that fulfil all matchers of any set, with their samples. Chunks do not overlap; the first
    /// and the last may reach beyond the range.
    ///
    /// # Errors
    /// When something is damaged or cannot be read.
    pub fn samples(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Box<dyn ChunkSeriesSet>, QueryError> {
        let budget = QueryBudget::new(LIMITS, Arc::clone(&self.clock));
        let mut sources = Vec::new();
        let mut add = |name: &Path, querier: &dyn ChunkQuerier| {
            for matchers in sets {
                let (shard, budget) = (Shard::WHOLE, budget.for_source());
                let series = querier.select_chunks(&SelectRequest { matchers, range, shard, budget })?;
                sources.push(ChunkSource { name: name.to_owned(), series });
            }
            Ok::<(), QueryError>(())
        };
        for block in &self.blocks {
            add(block.dir(), &block.querier(range))?;
        }
        if let Some(head) = &self.head {
            add(&self.dir.join("wal"), &HeadQuerier::new(head, range))?;
        }
        Ok(Box::new(MergedChunkSeriesSet::new(sources, ChunkMerge::Compact, budget)))
    }
}

impl Queryable for DirView {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, QueryError> {
        let overlaps = |b: &&Arc<Block>| b.range().min <= range.max && b.range().max >= range.min;
        // In the order of `equal_times`.
        let mut sources: Vec<Box<dyn Querier>> = Vec::with_capacity(self.blocks.len() + 1);
        for block in self.blocks.iter().filter(overlaps) {
            sources.push(Box::new(block.querier(range)));
        }
        if let Some(head) = &self.head {
            sources.push(Box::new(HeadQuerier::new(head, range)));
        }
        Ok(merge_queriers(sources))
    }
}

/// Opens the blocks that are there, and keeps those that are open already.
fn open_blocks(fs: &dyn Fs, dir: &Path, blocks: &mut Vec<Arc<Block>>) -> Result<(), ViewError> {
    let dirs = block_dirs(fs, dir).map_err(|source| ViewError::Unlisted { path: dir.to_owned(), source })?;
    blocks.retain(|block| dirs.iter().any(|dir| dir == block.dir()));
    for dir in dirs {
        if blocks.iter().all(|block| block.dir() != dir) {
            blocks.push(Arc::new(Block::open(fs, &dir)?));
        }
    }
    by_age(blocks);
    Ok(())
}

/// The head, if the directory has a WAL.
fn open_head(
    dir: &Path,
    env: &Env,
    passed_over: Option<HeadCut>,
    there: &There,
) -> Result<Option<Arc<Head>>, ViewError> {
    let untouched: SharedFs = Arc::new(Untouched::new(Arc::clone(&env.fs)));
    let env = Env { fs: Arc::clone(&untouched), ..env.clone() };
    let wal_dir = dir.join("wal");
    if !untouched.exists(&wal_dir).map_err(OpenError::io("looking for", &wal_dir))? {
        return Ok(None);
    }
    let listing = segment::list(&*untouched, &wal_dir).map_err(OpenError::io("listing", &wal_dir))?;
    let late = note::of_this_directory(&*untouched, dir, &listing, there)?.in_blocks();
    let names = list_names(&*untouched, dir, &listing).map_err(OpenError::io("listing", dir))?;
    let options = Options {
        max_series: u32::MAX,
        memory_budget_bytes: u64::MAX,
        // None of them goes to a file here.
        max_unwritten_chunk_bytes: usize::MAX,
        ..Options::default()
    };
    let stats = Arc::new(Stats::default());
    let from = passed_over.map_or(TimestampMs::MIN, |covered| covered.until);
    let fresh = || {
        let mut chunks = HeadChunks::open(&untouched, &dir.join("chunks_head"), MAX_FILE_BYTES)?;
        Stats::add(&stats.head_chunks_damaged_files, chunks.loaded.damaged_files);
        chunks.loaded.pass_over(late.cut());
        let head = Head::new(options.clone(), Arc::clone(&env.clock), Arc::clone(&stats), chunks);
        head.refuse_before(from);
        Ok(Arc::new(head))
    };
    let late_taken = note::late_was_taken(&*untouched, dir).map_err(OpenError::io("looking at", dir))?;
    let behind_dir = dir.join("wbl");
    let behind = segment::list(&*untouched, &behind_dir).map_err(OpenError::io("listing", &behind_dir))?;
    let logs = Logs {
        wal: &listing,
        names: names.as_ref(),
        behind: &behind,
        late_taken,
        block: passed_over.and_then(|covered| covered.block),
        late,
        imported: None,
        started: env.clock.monotonic(),
    };
    let head = replay(fresh()?, &env, logs, fresh)?;
    // Chunks on disk may have what blocks have.
    head.see_from(from);
    Ok(Some(head))
}
