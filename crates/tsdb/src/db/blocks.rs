//! `Blocks`: the list of open blocks that queries read, replaced as a whole. Decides which blocks may go;
//! removes none by itself, and never looks at a sample.

use crate::{
    block::{Block, BlockError, BlockId, BlockMeta, remove_block},
    compact::obsolete_blocks,
    equal_times::by_age,
    stats::Stats,
};
use skopos_base::fs::Fs;
use skopos_base::sync::RwLock;
use skopos_model::TimestampMs;
use skopos_storage::{QueryError, TimeRange};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

/// A block that is there and cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    pub(crate) id: BlockId,
    pub(crate) dir: PathBuf,
    /// The times it may have; all where its `meta.json` does not tell.
    pub(crate) range: TimeRange,
    /// What it was made of, where its `meta.json` tells.
    pub(crate) parents: Vec<BlockId>,
    pub(crate) fault: Fault,
}

/// Why a block cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file, or the block where it is none.
    path: PathBuf,
    offset: u64,
    reason: String,
    /// It is what the system says, not what the bytes are.
    is_refused: bool,
}

impl Fault {
    /// What an error says of the block in `dir`.
    pub(crate) fn of(error: &BlockError, dir: &Path) -> Self {
        let (path, offset, reason) = match error {
            BlockError::Corrupt { path, offset, reason } => (&**path, *offset, reason.clone()),
            BlockError::Version { path, version } => {
                (&**path, 0, format!("the version {version} is newer than this program"))
            }
            BlockError::Io { doing, path, source } => (&**path, 0, format!("{doing} failed: {source}")),
            other => (dir, 0, other.to_string()),
        };
        let is_refused = matches!(error, BlockError::Io { .. });
        Self { path: path.to_owned(), offset, reason, is_refused }
    }
}

/// The open blocks. Whoever loads the list keeps its blocks readable, also when they are removed.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// By age: in the order in which they count where they have samples of one time (`equal_times`).
    list: RwLock<Arc<[Arc<Block>]>>,
    unreadable: RwLock<Arc<[Unreadable]>>,
    stats: Arc<Stats>,
}

impl Blocks {
    pub(crate) fn new(blocks: Vec<Arc<Block>>, stats: Arc<Stats>) -> Self {
        let this = Self { list: RwLock::new(Arc::from([])), unreadable: RwLock::new(Arc::from([])), stats };
        this.publish(blocks);
        this
    }

    pub(crate) fn load(&self) -> Arc<[Arc<Block>]> {
        Arc::clone(&self.list.read())
    }

    /// From now on queries read these.
    pub(crate) fn publish(&self, mut blocks: Vec<Arc<Block>>) {
        by_age(&mut blocks);
        self.stats.blocks_loaded.store(blocks.len() as u64, Ordering::Relaxed);
        let bytes = blocks.iter().map(|b| b.size_bytes()).sum();
        self.stats.blocks_bytes.store(bytes, Ordering::Relaxed);
        *self.list.write() = Arc::from(blocks);
    }

    /// Adds `new` and takes `gone` away, both at once.
    pub(crate) fn replace(&self, new: Option<Arc<Block>>, gone: &BTreeSet<BlockId>) {
        let mut blocks: Vec<_> = self.load().iter().filter(|b| !gone.contains(&b.id())).cloned().collect();
        blocks.extend(new);
        self.publish(blocks);
    }

    /// From now on queries of the times of these fail.
    pub(crate) fn set_unreadable(&self, unreadable: Vec<Unreadable>) {
        *self.unreadable.write() = Arc::from(unreadable);
    }

    /// Refuses `range` when a block of it cannot be read: an answer without its samples would be wrong, and
    /// nobody would see it. What another block was made of is not missed, nor is a block of which all that it
    /// was made of is there.
    pub(crate) fn check_readable(&self, range: TimeRange) -> Result<(), QueryError> {
        let unreadable = Arc::clone(&self.unreadable.read());
        let overlaps = |u: &&Unreadable| u.range.min <= range.max && u.range.max >= range.min;
        for block in unreadable.iter().filter(overlaps) {
            let in_another = |b: &Arc<Block>| b.meta().compaction.parents.iter().any(|p| p.ulid == block.id);
            let list = self.load();
            let is_there = |id: &BlockId| list.iter().any(|b| b.id() == *id);
            let has_parents = !block.parents.is_empty() && block.parents.iter().all(is_there);
            if !has_parents && !list.iter().any(in_another) {
                let Fault { path, offset, reason, is_refused } = block.fault.clone();
                let reason = format!(
                    "{reason}; samples of the times of block {} are missing: restore it from a copy, or move \
                     it away",
                    block.id
                );
                return Err(if is_refused {
                    QueryError::Io { path, source: io::Error::other(reason) }
                } else {
                    QueryError::Corrupt { path, offset, reason }
                });
            }
        }
        Ok(())
    }

    /// By their earliest times.
    pub(crate) fn metas(&self) -> Vec<BlockMeta> {
        let mut metas: Vec<BlockMeta> = self.load().iter().map(|b| b.meta()).collect();
        metas.sort_by_key(|meta| (meta.min_time, meta.max_time, meta.ulid));
        metas
    }

    /// The times of the blocks, both ends included; none without a block.
    pub(crate) fn time_range(&self) -> Option<TimeRange> {
        let ranges: Vec<TimeRange> = self.load().iter().map(|b| b.range()).collect();
        let min = ranges.iter().map(|r| r.min).min()?;
        let max = ranges.iter().map(|r| r.max).max()?;
        Some(TimeRange { min, max })
    }
}

/// The time up to which there are blocks of what came in order. Says nothing of the log by itself: such a
/// block may have been put there by somebody (`cut`).
pub(crate) fn covered_until(metas: &[BlockMeta]) -> Option<TimestampMs> {
    metas.iter().filter(|m| !m.is_out_of_order()).map(|m| m.max_time).max()
}

/// What `removable` says.
#[derive(Debug, Default)]
pub(crate) struct Removable {
    /// The blocks that another one has made needless.
    pub(crate) gone: BTreeSet<BlockId>,
    /// Blocks of which the system did not let us see whether they are whole: what they were made of stays
    /// until that is known.
    pub(crate) unknown: BTreeMap<BlockId, BlockError>,
}

/// The blocks that another one has made needless, which is said of each. A block that is not whole, or is
/// still being written, makes none needless. One of which nothing is left stays as long as it is the newest:
/// it is what keeps the log from bringing back what was deleted.
pub(crate) fn removable(blocks: &[Arc<Block>], is_being_written: impl Fn(BlockId) -> bool) -> Removable {
    let metas: Vec<BlockMeta> = blocks.iter().map(|b| b.meta()).collect();
    let there: BTreeSet<BlockId> = metas.iter().map(|m| m.ulid).collect();
    let stands_for_others =
        |m: &BlockMeta| m.compaction.parents.iter().any(|p| p.ulid != m.ulid && there.contains(&p.ulid));
    let mut unknown = BTreeMap::new();
    let mut sound = Vec::with_capacity(metas.len());
    for (block, mut meta) in blocks.iter().zip(metas) {
        if stands_for_others(&meta) {
            let whole = if is_being_written(meta.ulid) { Ok(false) } else { is_whole(block) };
            if !matches!(whole, Ok(true)) {
                meta.compaction.parents.clear();
            }
            if let Err(error) = whole {
                unknown.insert(meta.ulid, error);
            }
        }
        sound.push(meta);
    }
    let gone = needless(&sound);
    for meta in &sound {
        let parents = meta.compaction.parents.iter().map(|p| p.ulid).filter(|p| gone.contains(p));
        for parent in parents {
            let within = meta.ulid;
            tracing::info!(block = %parent, %within, "removing a block that a larger one has in it");
        }
        if meta.compaction.deletable && gone.contains(&meta.ulid) {
            tracing::info!(block = %meta.ulid, "removing a block of which nothing is left");
        }
    }
    Removable { gone, unknown }
}

/// Whether a block has all chunks that its index names, as far as its end tells. An error when the system
/// refuses to read it: then nobody knows.
fn is_whole(block: &Block) -> Result<bool, BlockError> {
    match block.check_end() {
        Ok(()) => Ok(true),
        Err(error @ BlockError::Io { .. }) => {
            tracing::warn!(
                block = %block.id(), %error,
                "a block says what it was made of and its end could not be read: those stay until it is"
            );
            Err(error)
        }
        Err(error) => {
            tracing::warn!(
                block = %block.id(), %error,
                "a block says what it was made of and is not whole: those blocks stay"
            );
            Ok(false)
        }
    }
}

fn needless(metas: &[BlockMeta]) -> BTreeSet<BlockId> {
    let covered = covered_until(metas);
    let last =
        metas.iter().filter(|m| !m.is_out_of_order() && Some(m.max_time) == covered).map(|m| m.ulid).max();
    let succeeded =
        |id| metas.iter().any(|m| m.ulid != id && m.compaction.parents.iter().any(|p| p.ulid == id));
    let mut out = obsolete_blocks(metas);
    out.retain(|id| Some(*id) != last || succeeded(*id));
    out
}

/// Removes the blocks `ids`, which no query finds any more. One that cannot be removed is named in the log
/// and left to the next start.
pub(crate) fn remove_all(fs: &dyn Fs, dir: &Path, ids: &BTreeSet<BlockId>) -> Result<(), BlockError> {
    let mut result = Ok(());
    for id in ids {
        if let Err(e) = remove_block(fs, dir, *id) {
            tracing::warn!(block = %id, error = %e, "a block that is not needed could not be removed");
            result = Err(e);
        }
    }
    result
}
