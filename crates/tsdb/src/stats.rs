//! `Stats`: what the database counts about itself. Plain numbers; who shows them names them.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters behind the snapshot.
        #[derive(Debug, Default)]
        pub(crate) struct Stats { $(pub(crate) $name: AtomicU64,)* }

        /// The numbers at one moment. Those named `_total` only grow while the process lives.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct StatsSnapshot { $($(#[$doc])* pub $name: u64,)* }

        impl Stats {
            pub(crate) fn snapshot(&self) -> StatsSnapshot {
                StatsSnapshot { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

stats! {
    /// Series in the head, those without a sample among them.
    series,
    /// Chunks in the head, open ones among them.
    chunks,
    /// Samples stored since the start, by commits.
    samples_appended_total,
    /// Batches committed.
    commits_total,
    /// Batches that were not stored.
    commits_failed_total,
    /// Samples refused because their series had a later one.
    out_of_order_total,
    /// Samples stored behind later ones of their series.
    out_of_order_appended_total,
    /// Samples refused because they came behind later ones of their series, and too late.
    too_old_total,
    /// Writes of samples out of order to the write-behind log that failed.
    wbl_failed_writes_total,
    /// Samples refused because their series had another value at that time.
    duplicates_total,
    /// Samples refused because their time is not accepted.
    out_of_bounds_total,
    /// New series refused since there are as many as may be.
    refused_series_total,
    /// New series refused since there are as many of their metric as may be.
    refused_per_metric_total,
    /// New series refused since the head holds as much memory as it may.
    refused_memory_total,
    /// New series refused since their source has as many as it may.
    refused_per_source_total,
    /// About how many bytes the head holds, as measured last.
    memory_bytes,
    /// Samples dropped at commit since their series had a later one by then, or another at their time.
    overtaken_total,
    /// Exemplars kept since the start, those that others took the place of among them.
    exemplars_appended_total,
    /// Exemplars that came with samples and were not kept: older than others of their series, or too long.
    exemplars_dropped_total,
    /// Types, help texts and units that were not kept since `max_metadata_bytes` was reached.
    metadata_dropped_total,
    /// Bytes written to the WAL.
    wal_written_bytes_total,
    /// Writes to the WAL that failed.
    wal_failed_writes_total,
    /// Segments begun.
    wal_segments_total,
    /// The number of the segment that is written.
    wal_segment,
    /// Synchronisations of the WAL.
    wal_syncs_total,
    /// Synchronisations that failed.
    wal_failed_syncs_total,
    /// 1 once the WAL takes no batches until the database is opened again.
    wal_halted,
    /// Time spent in synchronisations, in microseconds.
    wal_sync_us_total,
    /// Attempts to write closed chunks to a file that failed; the chunks stayed in memory.
    head_chunks_failed_writes_total,
    /// Bytes of closed chunks that wait to be written to a file.
    head_chunks_unwritten_bytes,
    /// Batches refused since the disk refuses closed chunks and as many bytes of them wait as may.
    commits_refused_unwritten_total,
    /// Places in the WAL that were found damaged, at the start or when it was made shorter.
    wal_corruptions_total,
    /// Head chunk files that were found damaged at the start.
    head_chunks_damaged_files,
    /// Chunks on disk that are in no block and whose series nobody names, as found at the start.
    head_chunks_unnamed,
    /// Samples read back at the start, from head chunks and from the WAL.
    replayed_samples,
    /// The most bytes that samples out of order took at the start while they waited to be stored.
    replay_waiting_bytes_max,
    /// Samples of the WAL that were passed over at the start since a block has them.
    replay_covered_samples,
    /// Samples of the WAL that are in no block and whose series nobody names: they are lost.
    replay_unknown_series,
    /// Records in the WAL of kinds that are not kept: histograms, exemplars, tombstones.
    replay_skipped_records,
    /// How long the replay took, in milliseconds.
    replay_ms,
    /// Times that the data directory was looked through for blocks.
    block_reloads_total,
    /// Those that found one that cannot be read.
    block_reloads_failed_total,
    /// Open blocks.
    blocks_loaded,
    /// Bytes of the indexes and chunks of open blocks.
    blocks_bytes,
    /// Blocks that could not be opened; their samples are missing from answers.
    blocks_unreadable,
    /// Open blocks that no compaction takes any more since one of them failed for their damage.
    blocks_not_compacted,
    /// Blocks written: cut from the head, compacted, or without what was deleted.
    compactions_total,
    /// Blocks that could not be written.
    compactions_failed_total,
    /// Blocks that went for their age.
    time_retentions_total,
    /// Blocks that went since there was too much.
    size_retentions_total,
    /// Requests to write blocks anew without what is deleted.
    tombstone_cleanups_total,
    /// Time spent on them, in microseconds.
    tombstone_cleanup_us_total,
    /// Bytes of the log on disk, as measured last.
    wal_storage_bytes,
    /// Bytes of the head chunk files, as measured last.
    head_chunks_storage_bytes,
    /// Passes of maintenance that could not do all that was due.
    maintenance_failed_total,
    /// Times that the head dropped what is in blocks.
    head_truncations_total,
    /// Attempts to shorten the WAL.
    wal_truncations_total,
    /// Those that failed.
    wal_truncations_failed_total,
    /// Checkpoints written.
    checkpoint_creations_total,
}

impl Stats {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }

    /// For the most that there was of something.
    pub(crate) fn raise(most: &AtomicU64, to: u64) {
        most.fetch_max(to, Relaxed);
    }

    pub(crate) fn sub(counter: &AtomicU64, n: u64) {
        counter.fetch_sub(n, Relaxed);
    }

    pub(crate) fn wal_written(&self, bytes: u64) {
        Self::add(&self.wal_written_bytes_total, bytes);
    }

    pub(crate) fn wal_write_failed(&self) {
        Self::add(&self.wal_failed_writes_total, 1);
    }

    pub(crate) fn wal_segment_begun(&self, index: u32) {
        Self::add(&self.wal_segments_total, 1);
        self.wal_segment.store(u64::from(index), Relaxed);
    }

    pub(crate) fn blocks_reloaded(&self, unreadable: u64) {
        self.blocks_unreadable.store(unreadable, Relaxed);
        Self::add(&self.block_reloads_total, 1);
        Self::add(&self.block_reloads_failed_total, u64::from(unreadable > 0));
    }

    pub(crate) fn wal_synced(&self, took: Duration, result: &io::Result<()>) {
        Self::add(&self.wal_syncs_total, 1);
        Self::add(&self.wal_failed_syncs_total, u64::from(result.is_err()));
        Self::add(&self.wal_sync_us_total, took.as_micros() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_of_something_is_no_sum() {
        let stats = Stats::default();
        [3, 7, 5].into_iter().for_each(|n| Stats::raise(&stats.replay_waiting_bytes_max, n));
        assert_eq!(stats.snapshot().replay_waiting_bytes_max, 7);
    }
}
