//! From blocks to larger blocks: what is planned is written, published, and its parents go. Never keeps the
//! head from being cut for longer than one block takes.

use super::{MaintainError, Maintained, State};
use crate::{
    block::{Block, BlockId, BlockMeta},
    compact::{CompactError, Plan, Planner},
    db::{
        Core,
        blocks::{Removable, covered_until, removable},
    },
};
use skopos_base::spawn::Stop;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

impl Core {
    /// Compacts until nothing is due. Somebody who waits to change blocks ends it early, but none of its
    /// compactions twice: who deletes often must not keep blocks from ever being compacted.
    pub(super) fn compact_blocks(
        &self,
        state: &mut State,
        done: &mut Maintained,
    ) -> Result<(), MaintainError> {
        let planner =
            Planner::new(self.head.options.min_block_duration, self.head.options.max_block_duration);
        let mut last = None;
        while !state.settled {
            let mut metas = self.blocks.metas();
            metas.retain(|m| !state.blocks.is_unsettled(m.ulid));
            let Some(plan) = plan(&planner, metas) else {
                state.settled = true;
                break;
            };
            let parents: Vec<Arc<Block>> =
                self.blocks.load().iter().filter(|b| plan.blocks.contains(&b.id())).cloned().collect();
            tracing::info!(blocks = ?plan.blocks, reason = ?plan.reason, "compacting blocks");
            let pausing = Pausing::of(self, state, &plan.blocks);
            match self.counted(self.compactor().compact(&parents, &pausing)) {
                Ok(meta) => {
                    self.publish(meta.as_ref(), state)?;
                    done.compacted += 1;
                }
                // Its blocks are marked, so that another plan comes; or they could not even be marked.
                Err(e @ (CompactError::Corrupt { .. } | CompactError::Refused(_))) => {
                    if last.as_ref() == Some(&plan) {
                        return Err(e.into());
                    }
                }
                Err(CompactError::Stopped) => {
                    state.interrupted = plan.blocks;
                    return Ok(());
                }
                Err(e) => return Err(e.into()),
            }
            last = Some(plan);
            self.cut_head(state, done)?;
        }
        Ok(())
    }

    /// Opens a block that was just written, has queries read it, and removes those that it stands for. When
    /// its end cannot be read back it is not wanted: what it was made of is still there.
    pub(in crate::db) fn publish(
        &self,
        meta: Option<&BlockMeta>,
        state: &mut State,
    ) -> Result<Option<Arc<Block>>, MaintainError> {
        let new = meta.map(|meta| self.open_new(meta, state)).transpose()?;
        let mut blocks: Vec<Arc<Block>> = self.blocks.load().iter().cloned().collect();
        blocks.extend(new.clone());
        let Removable { gone, mut unknown } = removable(&blocks, |id| state.blocks.is_unsettled(id));
        if let Some(error) = new.as_ref().and_then(|new| unknown.remove(&new.id())) {
            state.blocks.unwant(new.map(|new| new.id()));
            drop(self.remove_unwanted(state));
            return Err(error.into());
        }
        self.do_not_miss(&gone, meta, state);
        self.blocks.replace(new.clone(), &gone);
        state.settled = false;
        // Of other blocks the next pass says it.
        state.judge_again |= !unknown.is_empty();
        state.blocks.unwant(gone);
        if let Err(error) = self.remove_unwanted(state) {
            tracing::warn!(%error, "a block that is not needed could not be removed; it is tried again");
        }
        Ok(new)
    }
}

/// What is compacted next. A block of samples out of order that ends behind all others is not merged with
/// those: the end of the merged block would say that the log's samples up to there are in blocks, and they
/// are not.
fn plan(planner: &Planner, metas: Vec<BlockMeta>) -> Option<Plan> {
    let covered = covered_until(&metas);
    let (within, beyond): (Vec<_>, Vec<_>) = metas.into_iter().partition(|m| Some(m.max_time) <= covered);
    planner.plan(&within).or_else(|| planner.plan(&beyond))
}

/// Ends a compaction when the database closes or, unless it was ended so before, when somebody waits to
/// change blocks.
#[derive(Debug)]
pub(super) struct Pausing<'a> {
    core: &'a Core,
    yields: Yields,
}

/// To whom a compaction gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Yields {
    ToWhoWaits,
    ToTheEndAlone,
}

impl<'a> Pausing<'a> {
    /// For a compaction of `blocks`.
    pub(super) fn of(core: &'a Core, state: &State, blocks: &[BlockId]) -> Self {
        let yields = if state.interrupted == blocks { Yields::ToTheEndAlone } else { Yields::ToWhoWaits };
        Self { core, yields }
    }
}

impl Stop for Pausing<'_> {
    fn stop(&self) {
        self.core.stop.stop();
    }

    fn is_stopped(&self) -> bool {
        let somebody_waits = || self.core.waiting.load(Ordering::Acquire) > 0;
        self.core.stop.is_stopped() || self.yields == Yields::ToWhoWaits && somebody_waits()
    }

    fn wait(&self, d: Duration) -> bool {
        self.core.stop.wait(d) || self.is_stopped()
    }
}
