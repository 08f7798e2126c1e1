//! What an operator asks of a running database: deletions, their cleaning up, snapshots. Each waits for the
//! pass of maintenance under way, whose compactions end early for it; queries and ingestion wait for none.

use super::{
    Core, Db, MaintainError,
    maintain::{Retention, State},
};
use crate::{
    block::Compaction,
    compact::{BlockTimes, NewBlock, SnapshotRequest, snapshot},
    head::{querier::HeadQuerier, tombstones::DeleteError},
    stats::Stats,
};
use skopos_base::sync::{MutexGuard, atomic::Ordering};
use skopos_model::Matcher;
use skopos_storage::{QueryBudget, TimeRange};
use std::path::PathBuf;

/// What a snapshot is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotOf {
    /// The blocks alone.
    Blocks,
    /// The head too, as one more block.
    BlocksAndHead,
}

impl Core {
    /// Waits until nobody else changes blocks.
    fn change_blocks(&self) -> MutexGuard<'_, State> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let state = self.maintenance.lock();
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        state
    }

    /// All that the head has beyond blocks, as a block to be; none without a sample.
    fn whole_head(&self) -> Option<NewBlock<'_>> {
        let source = HeadQuerier::new(&self.head, TimeRange::ALL);
        // Late samples may be older than all that came in order.
        let ranges = self.head.time_range().into_iter().chain(self.head.late.time_range());
        let range = ranges.reduce(TimeRange::with)?;
        let symbols = source.symbols();
        Some(NewBlock {
            sources: vec![(PathBuf::from("head"), Box::new(self.behind_blocks(source, range)))],
            symbols,
            times: BlockTimes::of(range),
            compaction: Compaction { level: 1, ..Compaction::default() },
            stop: &*self.stop,
        })
    }
}

impl Db {
    /// Deletes the samples of `range` of the series that fulfil all matchers, from the head and from blocks.
    /// Returns of how many series some may be deleted, counted in the head and in each block. When it returns
    /// it is durable, and no later query sees them.
    ///
    /// # Errors
    /// When the series cannot be found within the budget, or the disk does not take it. Then some may be
    /// deleted; it may be tried again.
    pub fn delete_series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &QueryBudget,
    ) -> Result<usize, DeleteError> {
        let core = &*self.core;
        let mut state = core.change_blocks();
        let mut deleted = core.head.delete(&core.wal, matchers, range, budget)?;
        for block in core.blocks.load().iter() {
            let own = block.range();
            if own.min <= range.max && own.max >= range.min {
                let series = block.delete(&*core.env.fs, matchers, range, budget)?;
                deleted += series;
                // So much may be deleted that it is worth to write the block anew.
                state.settled &= series == 0;
            }
        }
        Ok(deleted)
    }

    /// Writes the blocks anew from which something is deleted, so that it is gone from the disk. Returns how
    /// many there were.
    ///
    /// # Errors
    /// When a block cannot be written or opened. Those before it are done.
    pub fn clean_tombstones(&self) -> Result<usize, MaintainError> {
        let core = &*self.core;
        let mut state = core.change_blocks();
        let started = core.env.clock.monotonic();
        let mut cleaned = 0;
        for block in core.blocks.load().iter().filter(|b| !b.tombstones().is_empty()) {
            if block.meta().compaction.deletable {
                continue;
            }
            let meta = core.counted(core.compactor().clean_tombstones(block, &*core.stop))?;
            core.publish(meta.as_ref(), &mut state)?;
            cleaned += 1;
        }
        let took = core.env.clock.monotonic().saturating_sub(started);
        Stats::add(&core.stats.tombstone_cleanups_total, 1);
        Stats::add(&core.stats.tombstone_cleanup_us_total, took.as_micros() as u64);
        Ok(cleaned)
    }

    /// Makes a snapshot below `snapshots` in the data directory, which opens as a database; returns its name.
    /// Takes hardly any room: it shares the files of blocks.
    ///
    /// # Errors
    /// When the disk refuses, or the database closes. Then there is no snapshot; where the disk refuses to
    /// take back one that has its name already, the log says so.
    pub fn snapshot(&self, of: SnapshotOf) -> Result<String, MaintainError> {
        let core = &*self.core;
        let _no_block_goes = core.change_blocks();
        let blocks: Vec<PathBuf> = core.blocks.load().iter().map(|b| b.dir().to_owned()).collect();
        let head = if of == SnapshotOf::BlocksAndHead { core.whole_head() } else { None };
        let request = SnapshotRequest { blocks: &blocks, head };
        let path = snapshot(&core.env, &core.ids, &core.dir, request)?;
        Ok(path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
    }

    /// From now on samples are kept so long.
    pub fn set_retention(&self, retention: Retention) {
        let mut state = self.core.change_blocks();
        *self.core.retention.lock() = retention;
        state.settled = false;
    }
}
