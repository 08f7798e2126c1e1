//! Blocks that others put into the data directory or took from it: found at the next pass. Never removes a
//! block that cannot be read, and says once what is wrong with it. Such a block is missed from the start on,
//! or once two passes have found it the same: until then somebody may be copying it.

use super::{MaintainError, Maintained, State, retention::bytes_of};
use crate::{
    block::{Block, BlockDir, BlockError, BlockId, BlockMeta, META_FILE},
    db::{
        Core,
        blocks::{Fault, Unreadable, removable},
        open::{say_in_future, say_unreadable},
    },
};
use skopos_base::fs::Fs;
use skopos_storage::TimeRange;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, atomic::Ordering},
};

/// What was found of blocks that this program has not made.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    unreadable: BTreeMap<BlockId, Found>,
    /// Blocks that were read for the first time, with how long they were: somebody may still be writing them.
    settling: BTreeMap<BlockId, u64>,
}

/// A block that could not be read.
#[derive(Debug)]
struct Found {
    /// How long it was then: another attempt is made when that has changed, …
    bytes: u64,
    /// … or when it was the system that refused.
    refused: bool,
    /// Nobody is writing it any more, and it is a block: one without `meta.json` is none yet.
    is_missed: bool,
    block: Unreadable,
}

impl Found {
    fn new(fs: &dyn Fs, dir: &Path, id: BlockId, error: &BlockError) -> Self {
        let meta = BlockMeta::read(fs, dir).ok();
        let range = meta.as_ref().map_or(TimeRange::ALL, BlockMeta::range);
        let parents = meta.map_or_else(Vec::new, |m| m.compaction.parents.iter().map(|p| p.ulid).collect());
        let block = Unreadable { id, dir: dir.to_owned(), range, parents, fault: Fault::of(error, dir) };
        let refused = matches!(error, BlockError::Io { .. });
        Self { bytes: bytes_of(fs, dir).unwrap_or(0), refused, is_missed: false, block }
    }

    fn settle(&mut self, fs: &dyn Fs) {
        self.is_missed = fs.exists(&self.block.dir.join(META_FILE)).unwrap_or(true);
    }
}

impl Foreign {
    /// The blocks without which an answer is wrong.
    pub(in crate::db) fn missed(&self) -> Vec<Unreadable> {
        self.unreadable.values().filter(|f| f.is_missed).map(|f| f.block.clone()).collect()
    }

    /// Whether somebody may still be writing the block.
    pub(super) fn is_settling(&self, id: BlockId) -> bool {
        self.settling.contains_key(&id)
    }

    /// Notes a block that could not be read; that was said.
    pub(in crate::db) fn found_unreadable(
        &mut self,
        fs: &dyn Fs,
        dir: &Path,
        id: BlockId,
        error: &BlockError,
    ) {
        let mut found = Found::new(fs, dir, id, error);
        found.settle(fs);
        self.unreadable.insert(id, found);
    }
}

impl Core {
    /// Has queries read the blocks that are there and no others.
    pub(super) fn reload_blocks(
        &self,
        state: &mut State,
        done: &mut Maintained,
    ) -> Result<(), MaintainError> {
        let fs = &*self.env.fs;
        let entries = fs.read_dir(&self.dir).map_err(BlockError::io("listing", &self.dir))?;
        let on_disk: BTreeSet<BlockId> = entries
            .iter()
            .filter(|e| e.is_dir)
            .filter_map(|e| match BlockDir::of(&e.name) {
                Some(BlockDir::Whole(id)) => Some(id),
                _ => None,
            })
            .collect();
        let known: BTreeSet<BlockId> = self.blocks.load().iter().map(|b| b.id()).collect();
        let vanished: BTreeSet<BlockId> = known.difference(&on_disk).copied().collect();
        for id in &vanished {
            tracing::warn!(block = %id, "a block has gone from the data directory: it is not read any more");
        }
        let mut new = Vec::new();
        let wanted = |id: &&BlockId| !known.contains(id) || state.foreign.settling.contains_key(id);
        let candidates: Vec<BlockId> =
            on_disk.iter().filter(wanted).filter(|id| !state.unwanted.contains(id)).copied().collect();
        state.foreign.settling.retain(|id, _| on_disk.contains(id));
        state.foreign.unreadable.retain(|id, _| on_disk.contains(id));
        let settling = state.foreign.settling.len();
        for id in candidates {
            new.extend(self.open_foreign(id, &mut state.foreign));
        }
        let unreadable = state.foreign.unreadable.len() as u64;
        self.stats.blocks_unreadable.store(unreadable, Ordering::Relaxed);
        self.blocks.set_unreadable(state.foreign.missed());
        let has_settled = state.foreign.settling.len() < settling;
        if new.is_empty() && vanished.is_empty() && !has_settled {
            return Ok(());
        }
        done.loaded += new.len();
        done.vanished += vanished.len();
        let reopened: BTreeSet<BlockId> = new.iter().map(|b| b.id()).collect();
        let mut blocks: Vec<Arc<Block>> = self.blocks.load().iter().cloned().collect();
        blocks.retain(|b| !vanished.contains(&b.id()) && !reopened.contains(&b.id()));
        blocks.extend(new);
        // Another program may have compacted.
        let gone = removable(&blocks, |id| state.foreign.is_settling(id));
        blocks.retain(|b| !gone.contains(&b.id()));
        self.blocks.publish(blocks);
        state.settled = false;
        state.unwanted.extend(gone);
        self.remove_unwanted(state)
    }

    /// Opens a block that is new, or that was longer or shorter when it was opened.
    fn open_foreign(&self, id: BlockId, foreign: &mut Foreign) -> Option<Arc<Block>> {
        let dir = self.dir.join(id.to_string());
        let bytes = bytes_of(&*self.env.fs, &dir).unwrap_or(0);
        if let Some(found) = foreign.unreadable.get_mut(&id).filter(|f| f.bytes == bytes) {
            found.settle(&*self.env.fs);
            if !found.refused {
                return None;
            }
        }
        if foreign.settling.get(&id) == Some(&bytes) {
            foreign.settling.remove(&id);
            return None;
        }
        let opened = Block::open(&*self.env.fs, &dir);
        match opened.and_then(|block| block.check_end().map(|()| block)) {
            Ok(block) => {
                let range = block.range();
                tracing::info!(
                    block = %id, min_time = %range.min, max_time = %range.max, bytes,
                    "a block was put into the data directory: it is read from now on"
                );
                say_in_future(&*self.env.clock, &block);
                foreign.unreadable.remove(&id);
                foreign.settling.insert(id, bytes);
                Some(Arc::new(block))
            }
            Err(error) => {
                let mut found = Found::new(&*self.env.fs, &dir, id, &error);
                let reason = found.block.fault.clone();
                let known = foreign.unreadable.get(&id);
                found.is_missed = known.is_some_and(|f| f.is_missed && f.bytes == bytes);
                let known = foreign.unreadable.insert(id, found);
                if known.is_none_or(|f| f.block.fault != reason) {
                    say_unreadable(&dir, &error);
                }
                None
            }
        }
    }
}
