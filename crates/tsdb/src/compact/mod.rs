//! What becomes of blocks: compaction, deletion, retention and snapshots. Functions over files and metas;
//! owns no thread for longer than a call, and no list of open blocks.
//!
//! - `plan`: which blocks are to become one; which are obsolete.
//! - `compactor`: one new block from several sources, or from one without what is deleted from it.
//! - `batches`: how its series are merged and written with the help of another thread.
//! - `rules`: how long the samples of which series are kept when blocks are written anew.
//! - `retention`: which blocks are too old or too much for the disk.
//! - `snapshot`: a second set of names for all blocks.
//! - `error`: `CompactError`.
//!
//! The way of a compaction: `Planner::plan` → `Compactor::compact` → the new block is opened →
//! `obsolete_blocks` → `remove_block` for each.
//!
//! What always holds:
//! - A source is removed only once its successor is durable; until then both are there, and
//!   `obsolete_blocks` knows.
//! - What ends a compaction early leaves its sources as they are, and no block.
//! - Of samples at one time that of the source given first is kept.

mod batches;
pub mod compactor;
pub mod error;
pub mod plan;
pub mod retention;
pub mod rules;
pub mod snapshot;

pub use compactor::{BlockTimes, CompactOptions, Compactor, NewBlock};
pub use error::CompactError;
pub use plan::{Plan, PlanReason, Planner, obsolete_blocks};
pub use retention::{DiskShare, Expired, RetentionLimits, StoredBlock, Surroundings, expired_blocks};
pub use rules::{RetentionRule, SelectorRetention};
pub use snapshot::{SNAPSHOTS_DIR, SnapshotRequest, remove_unfinished_snapshots, snapshot};
