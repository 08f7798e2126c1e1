//! `Steps`: what maintenance does in one go, one step at a time. For tests and benches, which look at what is
//! between two steps; a server maintains, and never calls one of them. Owns nothing.

use super::{Core, Db};
use crate::{
    head::truncate::{Busy, Truncated},
    wal::checkpoint::{CheckpointError, CheckpointStats},
};
use skopos_model::TimestampMs;
use skopos_storage::{ChunkSeriesSet, QueryBudget, QueryError, TimeRange};
use std::sync::Arc;

/// See above. Whoever takes a step that maintenance would not take yet loses what it would have kept.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a> {
    core: &'a Core,
}

impl Db {
    /// The steps of maintenance, for tests and benches.
    #[doc(hidden)]
    pub fn steps(&self) -> Steps<'_> {
        Steps { core: &self.core }
    }
}

impl Steps<'_> {
    /// The block that may be cut from the head: its first and its last millisecond.
    pub fn cuttable(self) -> Option<TimeRange> {
        self.core.head.cuttable()
    }

    /// All series of the head with their chunks in `range`. From now on no sample of it or of before is
    /// taken.
    ///
    /// # Errors
    /// When the budget's time is over.
    pub fn cut_chunks(
        self,
        range: TimeRange,
        budget: Arc<QueryBudget>,
    ) -> Result<Box<dyn ChunkSeriesSet>, QueryError> {
        self.core.head.cut_chunks(range, budget)
    }

    /// Drops from the head what ends before `time` and is in a block that queries read.
    ///
    /// # Errors
    /// While a reader that began before needs it.
    pub fn truncate_head_before(self, time: TimestampMs) -> Result<Truncated, Busy> {
        self.core.head.truncate_before(time)
    }

    /// Shortens the WAL: what is older than `before` goes, and so do the names of series that the head has no
    /// more. To be called when blocks have those samples; what the head itself holds stays there.
    ///
    /// # Errors
    /// When the disk refuses. Then the WAL is as long as it was, and as good.
    pub fn truncate_wal(self, before: TimestampMs) -> Result<Option<CheckpointStats>, CheckpointError> {
        self.core.truncate_wal(before)
    }
}
