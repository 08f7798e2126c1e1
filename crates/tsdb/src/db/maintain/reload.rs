//! Blocks that others put into the data directory or took from it: found at the next pass. Never removes a
//! block that cannot be read, and says once what is wrong with it.

use super::{MaintainError, Maintained, State, retention::bytes_of};
use crate::{
    block::{Block, BlockDir, BlockError, BlockId},
    db::{
        Core,
        blocks::removable,
        open::{say_in_future, say_unreadable},
    },
};
use skopos_base::fs::Fs;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, atomic::Ordering},
};

/// What was found of blocks that this program has not made.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    /// Blocks that could not be read, with how long they were then and why: another attempt is made when
    /// their length has changed.
    unreadable: BTreeMap<BlockId, (u64, String)>,
    /// Blocks that were read for the first time, with how long they were: somebody may still be writing them.
    settling: BTreeMap<BlockId, u64>,
}

impl Foreign {
    /// Notes a block that could not be read; that was said.
    pub(in crate::db) fn found_unreadable(
        &mut self,
        fs: &dyn Fs,
        dir: &Path,
        id: BlockId,
        error: &BlockError,
    ) {
        self.unreadable.insert(id, (bytes_of(fs, dir).unwrap_or(0), error.to_string()));
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
        for id in candidates {
            new.extend(self.open_foreign(id, &mut state.foreign));
        }
        let unreadable = state.foreign.unreadable.len() as u64;
        self.stats.blocks_unreadable.store(unreadable, Ordering::Relaxed);
        if new.is_empty() && vanished.is_empty() {
            return Ok(());
        }
        done.loaded += new.len();
        done.vanished += vanished.len();
        let reopened: BTreeSet<BlockId> = new.iter().map(|b| b.id()).collect();
        let mut blocks: Vec<Arc<Block>> = self.blocks.load().iter().cloned().collect();
        blocks.retain(|b| !vanished.contains(&b.id()) && !reopened.contains(&b.id()));
        blocks.extend(new);
        // Another program may have compacted.
        let gone = removable(&blocks.iter().map(|b| b.meta()).collect::<Vec<_>>());
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
        if foreign.unreadable.get(&id).is_some_and(|(then, _)| *then == bytes) {
            return None;
        }
        if foreign.settling.get(&id) == Some(&bytes) {
            foreign.settling.remove(&id);
            return None;
        }
        match Block::open(&*self.env.fs, &dir) {
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
                let reason = error.to_string();
                let known = foreign.unreadable.insert(id, (bytes, reason.clone()));
                if known.is_none_or(|(_, before)| before != reason) {
                    say_unreadable(&dir, &error);
                }
                None
            }
        }
    }
}
