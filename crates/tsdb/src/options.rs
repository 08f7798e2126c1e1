//! `Options`: what an operator decides about the database. Every limit has a value; none is unlimited.

use crate::{db::Retention, head_chunks::MAX_FILE_BYTES, wal::PAGE_SIZE};
use skopos_base::sync::Mutex;
use skopos_model::DurationMs;
use std::sync::Arc;

/// `Options::max_unwritten_chunk_bytes` unless somebody says otherwise.
pub const DEFAULT_MAX_UNWRITTEN_CHUNK_BYTES: u64 = 512 << 20;

/// How WAL records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WalCompression {
    /// Not at all.
    None,
    /// Snappy, where it makes the record smaller.
    #[default]
    Snappy,
    /// Zstd, where it makes the record smaller: smaller files for more work.
    Zstd,
}

/// What an operator decides about the database.
#[derive(Clone, Debug)]
pub struct Options {
    /// The size at which a WAL segment is finished; whole pages of 32 KiB, at least two.
    pub segment_bytes: u64,
    /// How often committed batches are made durable against power loss.
    pub sync_interval: DurationMs,
    /// How often it is looked whether there is something to do for blocks: to cut, to compact, to remove.
    pub maintenance_interval: DurationMs,
    /// How WAL records are compressed (`--storage.tsdb.wal-compression-type`).
    pub wal_compression: WalCompression,
    /// The length of the shortest block. Samples older than the newest one by more than half of it are
    /// refused, since the block that they belong to may already be cut.
    pub min_block_duration: DurationMs,
    /// The length of the longest block that compaction makes (`--storage.tsdb.max-block-duration`).
    pub max_block_duration: DurationMs,
    /// How long samples are kept, to begin with.
    pub retention: Retention,
    /// So much older than the newest sample of all a sample may be that comes behind later ones of its series
    /// (`storage.tsdb.out_of_order_time_window`); zero: no such sample is taken.
    pub out_of_order_window: DurationMs,
    /// How far ahead of this machine's clock a sample may be. One absurd timestamp would otherwise
    /// move the newest time, and with it shut out every honest sample.
    pub max_future: DurationMs,
    /// The size at which a file of head chunks is finished.
    pub head_chunk_file_bytes: u32,
    /// So many bytes of closed chunks wait in memory while the disk refuses them; then batches are refused
    /// (`--storage.tsdb.max-unwritten-chunk-bytes`).
    pub max_unwritten_chunk_bytes: usize,
    /// The most series that the head takes (`--storage.tsdb.max-series`).
    pub max_series: u32,
    /// The most series of one metric (`--storage.tsdb.max-series-per-metric`).
    pub max_series_per_metric: u32,
    /// How many bytes the head may hold before new series are refused (`--storage.memory-budget`).
    pub memory_budget_bytes: u64,
    /// The most exemplars that are kept (`storage.exemplars.max_exemplars`).
    pub max_exemplars: u32,
    /// The most bytes that names, help texts and units of all metrics may take; what comes beyond is not
    /// kept.
    pub max_metadata_bytes: u64,
    /// The most bytes that the labels of one series may take.
    pub max_label_bytes: usize,
    /// Whether closing leaves a snapshot of what is in memory alone, so that the next start need not read the
    /// whole WAL (`--storage.tsdb.snapshot-on-shutdown`).
    pub snapshot_on_shutdown: bool,
    /// Threads that read the WAL at the start. What they make of it is the same, however many they are.
    pub replay_threads: usize,
    /// So many bytes samples out of order may take while they wait at the start to be stored, those of the
    /// WAL and those of the write-behind log together. With more of the WAL the write-behind log is read more
    /// than once.
    pub replay_waiting_bytes: usize,
    /// Where the start says how far it is, for others to look at meanwhile.
    pub replay_progress: ReplayProgress,
}

/// Segments of the write-ahead log, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaySegments {
    /// The first that a start reads.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The one that is read, and in the end the last.
    pub current: u64,
}

/// How far a start has read the write-ahead log. Clones are one: who keeps one sees what the start says.
#[derive(Clone, Debug, Default)]
pub struct ReplayProgress(Arc<Mutex<ReplaySegments>>);

impl ReplayProgress {
    /// How far it is; zeros before it has begun, and where there is nothing to read.
    pub fn segments(&self) -> ReplaySegments {
        *self.0.lock()
    }

    pub(crate) fn begin(&self, first: u64, last: u64) {
        *self.0.lock() = ReplaySegments { first, last, current: first };
    }

    pub(crate) fn reached(&self, segment: u64) {
        self.0.lock().current = segment;
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 128 << 20,
            sync_interval: DurationMs::from_ms(100),
            maintenance_interval: DurationMs::from_secs(1),
            wal_compression: WalCompression::Snappy,
            min_block_duration: DurationMs::from_secs(2 * 3600),
            max_block_duration: DurationMs::from_secs(36 * 3600),
            retention: Retention::default(),
            out_of_order_window: DurationMs::from_ms(0),
            max_future: DurationMs::from_secs(10 * 60),
            head_chunk_file_bytes: MAX_FILE_BYTES,
            max_unwritten_chunk_bytes: DEFAULT_MAX_UNWRITTEN_CHUNK_BYTES as usize,
            max_series: 20_000_000,
            max_series_per_metric: 5_000_000,
            memory_budget_bytes: 16 << 30,
            max_exemplars: 100_000,
            max_metadata_bytes: 64 << 20,
            max_label_bytes: 16 << 10,
            snapshot_on_shutdown: true,
            replay_threads: 2,
            replay_waiting_bytes: 256 << 20,
            replay_progress: ReplayProgress::default(),
        }
    }
}

impl Options {
    /// The bytes of one sample in a WAL record at worst: two varints and the value.
    const WORST_SAMPLE_BYTES: u64 = 10 + 10 + 8;
    /// The beginning of a samples record.
    const RECORD_START_BYTES: u64 = 1 + 8 + 8;

    /// The segment size as whole pages.
    pub(crate) fn segment_pages(&self) -> u64 {
        (self.segment_bytes / PAGE_SIZE as u64).max(2)
    }

    /// The longest record of histograms that a batch is gathered up to; the last histogram may go beyond.
    pub(crate) fn max_record_bytes(&self) -> usize {
        let record = crate::wal::segment_capacity(self.segment_pages());
        usize::try_from(record / 2).unwrap_or(usize::MAX)
    }

    /// The most floats of one batch: those of a turn stand in one record, and a record in one segment,
    /// however they are spread over turns.
    pub(crate) fn max_batch_samples(&self) -> usize {
        let record = crate::wal::segment_capacity(self.segment_pages());
        usize::try_from((record - Self::RECORD_START_BYTES) / Self::WORST_SAMPLE_BYTES).unwrap_or(usize::MAX)
    }
}
