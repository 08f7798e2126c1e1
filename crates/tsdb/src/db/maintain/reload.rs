//! Blocks that others put into the data directory or took from it: found at the next pass. Never removes a
//! block that cannot be read, and says once what is wrong with it. Such a block is missed from the start on,
//! or once two passes have found it the same: until then somebody may be copying it.

use super::{
    MaintainError, Maintained, State,
    retention::bytes_of,
    states::{BlockState, BlockStates, UnreadableBlock},
};
use crate::{
    block::{Block, BlockDir, BlockError, BlockId},
    db::{
        Core,
        blocks::{Removable, removable},
        open::{say_in_future, say_unreadable},
    },
};
use std::{collections::BTreeSet, sync::Arc};

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
        let wanted = |id: &&BlockId| state.blocks.is_to_be_opened(**id, known.contains(id));
        let candidates: Vec<BlockId> = on_disk.iter().filter(wanted).copied().collect();
        state.blocks.keep_those_of(&on_disk);
        let settling = state.blocks.settling();
        for id in candidates {
            new.extend(self.open_foreign(id, &mut state.blocks));
        }
        self.stats.blocks_reloaded(state.blocks.count_unreadable());
        // One that is read and found damaged stays published, as it was when it was opened.
        let read = known.difference(&vanished).copied().chain(new.iter().map(|b| b.id())).collect();
        self.blocks.set_unreadable(state.blocks.missed(&read));
        let has_settled = settling.iter().any(|id| state.blocks.is_plain(*id));
        if new.is_empty() && vanished.is_empty() && !has_settled && !state.judge_again {
            return Ok(());
        }
        done.loaded += new.len();
        done.vanished += vanished.len();
        let reopened: BTreeSet<BlockId> = new.iter().map(|b| b.id()).collect();
        let mut blocks: Vec<Arc<Block>> = self.blocks.load().iter().cloned().collect();
        blocks.retain(|b| !vanished.contains(&b.id()) && !reopened.contains(&b.id()));
        blocks.extend(new);
        // Another program may have compacted.
        let Removable { gone, unknown } = removable(&blocks, |id| state.blocks.is_unsettled(id));
        blocks.retain(|b| !gone.contains(&b.id()));
        self.blocks.publish(blocks);
        state.settled = false;
        state.judge_again = !unknown.is_empty();
        state.blocks.unwant(gone);
        let removed = self.remove_unwanted(state);
        unknown.into_values().next().map_or(removed, |error| Err(error.into()))
    }

    /// Opens a block that is new, or that was longer or shorter when it was opened.
    fn open_foreign(&self, id: BlockId, states: &mut BlockStates) -> Option<Arc<Block>> {
        let dir = self.dir.join(id.to_string());
        let bytes = bytes_of(&*self.env.fs, &dir).unwrap_or(0);
        match states.get_mut(id) {
            Some(BlockState::Settling { bytes: before }) if *before == bytes => {
                states.clear(id);
                return None;
            }
            Some(BlockState::Unreadable(found)) if found.bytes == bytes => {
                found.settle(&*self.env.fs);
                if !found.refused {
                    return None;
                }
            }
            _ => {}
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
                states.set(id, BlockState::Settling { bytes });
                Some(Arc::new(block))
            }
            Err(error) => {
                let mut found = UnreadableBlock::new(&*self.env.fs, &dir, id, &error);
                let reason = found.block.fault.clone();
                let known = match states.get_mut(id) {
                    Some(BlockState::Unreadable(known)) => Some(&*known),
                    _ => None,
                };
                found.is_missed = known.is_some_and(|f| f.is_missed && f.bytes == bytes);
                if known.is_none_or(|f| f.block.fault != reason) {
                    say_unreadable(&dir, &error);
                }
                states.set(id, BlockState::Unreadable(found));
                None
            }
        }
    }
}
