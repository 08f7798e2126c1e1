//! Which blocks go for their age or for the room that they take, and what there is on the disk. Decides
//! nothing itself (`compact::retention` does), and never touches the head or the log.

use super::{MaintainError, Maintained, State};
use crate::{
    block::{BlockId, BlockMeta},
    compact::{Expired, RetentionLimits, SelectorRetention, StoredBlock, Surroundings, expired_blocks},
    db::{Core, blocks::covered_until},
    stats::Stats,
};
use skopos_base::fs::Fs;
use skopos_base::sync::atomic::Ordering;
use skopos_model::TimestampMs;
use std::{collections::BTreeMap, io, path::Path, time::Duration};

/// Blocks come seldom, and the log grows slowly against them.
const MEASURE_EVERY: Duration = Duration::from_secs(30);

/// How long samples are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// When whole blocks go.
    pub limits: RetentionLimits,
    /// When samples of some series go.
    pub rules: SelectorRetention,
}

impl Core {
    /// Removes the blocks that are beyond a limit.
    pub(super) fn expire_blocks(
        &self,
        state: &mut State,
        done: &mut Maintained,
    ) -> Result<(), MaintainError> {
        let now = self.env.clock.monotonic();
        if state.settled && state.measured_at.is_some_and(|at| now.saturating_sub(at) < MEASURE_EVERY) {
            return Ok(());
        }
        state.measured_at = Some(now);
        let limits = self.retention.lock().limits;
        let expired = self.expired(&limits);
        if expired.is_empty() {
            return Ok(());
        }
        for block in self.blocks.load().iter() {
            let Some(why) = expired.get(&block.id()) else { continue };
            let counter = match why {
                Expired::Time => &self.stats.time_retentions_total,
                Expired::Size => &self.stats.size_retentions_total,
            };
            Stats::add(counter, 1);
            done.expired += 1;
            let range = block.range();
            tracing::info!(
                block = %block.id(), min_time = %range.min, max_time = %range.max, bytes = block.size_bytes(),
                limit = ?why, ?limits, "removing a block that is beyond a limit of retention"
            );
        }
        let gone = expired.into_keys().collect();
        self.do_not_miss(&gone, None, state);
        self.blocks.replace(None, &gone);
        state.settled = false;
        state.blocks.unwant(gone);
        self.remove_unwanted(state)
    }

    fn expired(&self, limits: &RetentionLimits) -> BTreeMap<BlockId, Expired> {
        let measure = |name: &str| match bytes_of(&*self.env.fs, &self.dir.join(name)) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(directory = name, %error, "a directory cannot be measured and counts nothing");
                0
            }
        };
        let (wal, chunks, wbl) = (measure("wal"), measure("chunks_head"), measure("wbl"));
        self.stats.wal_storage_bytes.store(wal + wbl, Ordering::Relaxed);
        self.stats.head_chunks_storage_bytes.store(chunks, Ordering::Relaxed);
        let disk = limits.disk.and_then(|_| match self.env.fs.space(&self.dir) {
            Ok(space) => Some(space),
            Err(error) => {
                tracing::warn!(%error, "the disk's size is not known; its share is no limit now");
                None
            }
        });
        let blocks = self.blocks.load();
        let stored: Vec<StoredBlock> = blocks
            .iter()
            .map(|b| StoredBlock { id: b.id(), max_time: b.meta().max_time, bytes: b.size_bytes() })
            .collect();
        let now = TimestampMs::new(self.env.clock.wall_ms());
        let around = Surroundings { now, head_bytes: wal + wbl + chunks, disk };
        let mut expired = expired_blocks(&stored, limits, around);
        // The log may have samples that were deleted from the newest block; as long as the block is there
        // they are passed over.
        let metas = self.blocks.metas();
        let covered = covered_until(&metas);
        let keeps_deleted = |m: &&BlockMeta| {
            Some(m.max_time) == covered
                && !m.is_out_of_order()
                && (m.stats.num_tombstones > 0 || m.compaction.deletable)
        };
        for meta in metas.iter().filter(keeps_deleted) {
            expired.remove(&meta.ulid);
        }
        expired
    }
}

/// The bytes of all files in a directory and those below it; none when there is no such directory.
pub(super) fn bytes_of(fs: &dyn Fs, dir: &Path) -> io::Result<u64> {
    if !fs.exists(dir)? {
        return Ok(0);
    }
    let mut total = 0;
    for entry in fs.read_dir(dir)? {
        total += if entry.is_dir { bytes_of(fs, &dir.join(&entry.name))? } else { entry.len };
    }
    Ok(total)
}
