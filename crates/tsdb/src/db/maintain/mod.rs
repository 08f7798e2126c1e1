//! What keeps a database in shape while it runs: one pass after the other, one at a time, on a thread of its
//! own and whenever somebody asks. Queries and ingestion never wait for it.
//!
//! - `head`: from the head to blocks; `out_of_order`: the same for samples out of order.
//! - `compact`: from blocks to larger ones. `retention`: blocks that go; `rules`: samples of some series.
//! - `reload`: blocks that others put into the directory or took from it.
//! - `states`: what a block may be beside one that is read.
//! - `error`: `MaintainError`.
//!
//! What always holds:
//! - A step that fails leaves all samples where they were, and does not keep later steps from being tried:
//!   on a full disk it is retention that makes room.
//! - Blocks are published before their samples go from elsewhere, and go from the list before the disk.

mod compact;
mod error;
mod head;
mod out_of_order;
mod reload;
mod retention;
mod rules;
mod states;

pub use error::MaintainError;
pub use retention::Retention;
pub(super) use states::BlockStates;

use super::{Core, note::LateNote};
use crate::{
    block::{Block, BlockId, BlockMeta, remove_block},
    compact::{CompactError, CompactOptions, Compactor, SelectorRetention},
    head::out_of_order::cut::InBlocks,
    stats::Stats,
};
use skopos_model::{DurationMs, TimestampMs};
use std::{sync::Arc, time::Duration};

/// The longest wait after failures.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Blocks that were cut from the head.
    pub cut: usize,
    /// Blocks that were made of samples out of order.
    pub out_of_order: usize,
    /// Truncations of the head.
    pub truncated: usize,
    /// Checkpoints of the log.
    pub checkpoints: usize,
    /// Compactions.
    pub compacted: usize,
    /// Blocks that were beyond a limit of retention.
    pub expired: usize,
    /// Blocks that were written anew for a rule of retention.
    pub trimmed: usize,
    /// Blocks that others put into the directory.
    pub loaded: usize,
    /// Blocks that others took from it.
    pub vanished: usize,
}

/// What maintenance remembers from pass to pass. Whoever holds it is the only one that changes blocks.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Blocks have all of before, and the head still has some of it.
    truncate_head: Option<TimestampMs>,
    /// Blocks have all of before, and that is not noted yet.
    note_cut: Option<TimestampMs>,
    /// The shortest block that the head was cut into before this start. The log may be of then, and of the
    /// first sample of a series tells only that whether it came in order.
    shortest_block: Option<DurationMs>,
    /// The head has nothing of before, and the log may.
    truncate_log: Option<TimestampMs>,
    /// Blocks have these samples out of order, and the head still has them.
    out_of_order: Option<InBlocks>,
    /// That is not noted yet.
    note_late: Option<LateNote>,
    /// What is noted of such samples.
    late_noted: Option<LateNote>,
    /// The disk has an older one.
    late_noted_owed: bool,
    /// Whether samples out of order are to be cut.
    out_of_order_due: bool,
    /// Nothing changed since compaction found nothing to do.
    pub(super) settled: bool,
    /// When sizes were measured last.
    measured_at: Option<Duration>,
    /// The blocks whose compaction was ended last for somebody who waited to change blocks.
    interrupted: Vec<BlockId>,
    /// The blocks that are not simply read.
    blocks: BlockStates,
    /// Of a block that is read it is not known whether it is whole, and so whether others may go.
    judge_again: bool,
    /// The rules by which no block has anything overdue, as of then.
    rules_applied: Option<(SelectorRetention, Duration)>,
    /// Passes that failed, one after the other.
    failures: u32,
    /// No pass of the thread before this time.
    retry_at: Duration,
}

impl State {
    pub(super) fn new(
        blocks: BlockStates,
        late_noted: Option<LateNote>,
        shortest_block: Option<DurationMs>,
    ) -> Self {
        // The start passes over a block of which it could not see whether it is whole.
        Self { blocks, late_noted, shortest_block, judge_again: true, ..Self::default() }
    }
}

impl Core {
    /// Does all that is due.
    pub(super) fn maintain(&self) -> Result<Maintained, MaintainError> {
        let mut state = self.maintenance.lock();
        self.pass(&mut state)
    }

    /// The same, unless it failed lately.
    pub(super) fn maintain_if_due(&self) {
        let mut state = self.maintenance.lock();
        if self.env.clock.monotonic() >= state.retry_at {
            // What failed was said and is counted.
            drop(self.pass(&mut state));
        }
    }

    /// The same, and makes blocks of all samples out of order.
    pub(super) fn compact_out_of_order(&self) -> Result<Maintained, MaintainError> {
        let mut state = self.maintenance.lock();
        state.out_of_order_due = true;
        self.pass(&mut state)
    }

    fn pass(&self, state: &mut State) -> Result<Maintained, MaintainError> {
        let mut done = Maintained::default();
        let removed = self.remove_unwanted(state);
        let reloaded = self.reload_blocks(state, &mut done);
        let cut = self.cut_head(state, &mut done);
        let late = self.cut_out_of_order(state, &mut done);
        let forgotten = self.head.forget_deleted(&self.wal).map_err(MaintainError::from);
        // Before compaction: what is beyond a limit is not written anew.
        let expired = self.expire_blocks(state, &mut done);
        let compacted = self.compact_blocks(state, &mut done);
        let trimmed = self.apply_rules(state, &mut done);
        let result =
            removed.and(reloaded).and(cut).and(late).and(forgotten).and(expired).and(compacted).and(trimmed);
        self.note(state, result.as_ref().err());
        result.map(|()| done)
    }

    /// Says once that maintenance fails, and once that it goes on; waits longer after each failure.
    fn note(&self, state: &mut State, error: Option<&MaintainError>) {
        match error {
            Some(e) if e.is_stopped() => {}
            Some(error) => {
                Stats::add(&self.stats.maintenance_failed_total, 1);
                let wait = Duration::from_secs(1 << state.failures.min(6)).min(LONGEST_BACK_OFF);
                state.retry_at = self.env.clock.monotonic() + wait;
                if state.failures == 0 {
                    tracing::error!(
                        dir = %self.dir.display(), %error,
                        "maintenance of blocks failed; it is tried again, ingestion and queries go on"
                    );
                }
                state.failures = state.failures.saturating_add(1);
            }
            None => {
                if state.failures > 0 {
                    tracing::info!(
                        dir = %self.dir.display(), failures = state.failures, "maintenance of blocks goes on"
                    );
                }
                (state.failures, state.retry_at) = (0, Duration::ZERO);
            }
        }
    }

    /// Opens a block that was just written. When that fails it is not wanted: what it was made of is still
    /// there, and is written again.
    fn open_new(&self, meta: &BlockMeta, state: &mut State) -> Result<Arc<Block>, MaintainError> {
        match Block::open(&*self.env.fs, &self.dir.join(meta.ulid.to_string())) {
            Ok(block) => Ok(Arc::new(block)),
            Err(e) => {
                state.blocks.unwant([meta.ulid]);
                drop(self.remove_unwanted(state));
                Err(e.into())
            }
        }
    }

    /// Removes blocks that no query finds any more. What cannot be removed is tried again.
    fn remove_unwanted(&self, state: &mut State) -> Result<(), MaintainError> {
        let mut result = Ok(());
        state.blocks.each_unwanted(|id| match remove_block(&*self.env.fs, &self.dir, id) {
            Ok(()) => true,
            Err(e) => {
                result = Err(e.into());
                false
            }
        });
        result.and(self.note_not_missed(state))
    }

    /// Counts how the writing of a block ended.
    pub(super) fn counted<T>(&self, result: Result<T, CompactError>) -> Result<T, CompactError> {
        match &result {
            Ok(_) => Stats::add(&self.stats.compactions_total, 1),
            Err(CompactError::Stopped) => {}
            Err(_) => Stats::add(&self.stats.compactions_failed_total, 1),
        }
        result
    }

    pub(super) fn compactor(&self) -> Compactor {
        let retention = self.retention.lock().rules.clone();
        let options = CompactOptions { retention, ..CompactOptions::default() };
        Compactor::new(&self.env, Arc::clone(&self.ids), &self.dir, options)
    }
}
