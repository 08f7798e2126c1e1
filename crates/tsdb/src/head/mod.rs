//! The head: the newest samples, in memory. Owns series, postings and chunks; what makes them survive
//! the process is the WAL's. What is in blocks is dropped by `truncate_before`.
//!
//! - `series`: one series: its labels, its chunks, which commit its last samples came with.
//! - `series_labels`: its labels, shared with others.
//! - `registry`: all series, found by labels or by reference; `series_table`: by number.
//! - `postings`: which series have which label.
//! - `select`: matchers to the numbers of series.
//! - `tombstones`: what is deleted; `cardinality`: what most series are of.
//! - `exemplars`: the newest of them; `metadata`: what metrics are.
//! - `limits`, `memory`: when a new series is refused.
//! - `isolation`: which commits a reader sees.
//! - `appender`: a batch, from `append` to `commit`; `batch_samples`: its samples, in `turn`s.
//! - `histograms`: the native histograms of a batch.
//! - `out_of_order`: samples that come behind later ones of their series, and the write-behind log.
//! - `querier`: a view, from matchers to columns.
//! - `chunk_set`: a view, from matchers to encoded chunks: what blocks are made of.
//! - `wal_ref`: by which numbers the WAL names series.
//! - `truncate`: what goes once it is in a block.
//! - `batches`: which batches are being gathered.
//! - `contradicted`: what of a log is to be mended that gives a number to several series.
//! - `saved`: what the head can say of its log once more.
//! - `replay`: the WAL's records back into series.
//! - `snapshot`: what is in memory alone, when the database is closed, and how a head begins.

pub(crate) mod appender;
mod batch_samples;
pub(crate) mod batches;
pub(crate) mod cardinality;
pub(crate) mod chunk_set;
pub(crate) mod contradicted;
pub(crate) mod exemplars;
mod histograms;
pub(crate) mod isolation;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod metadata;
pub(crate) mod out_of_order;
pub(crate) mod postings;
pub(crate) mod querier;
pub(crate) mod registry;
pub(crate) mod replay;
pub(crate) mod saved;
pub(crate) mod select;
pub(crate) mod series;
pub(crate) mod series_labels;
pub(crate) mod series_table;
pub(crate) mod snapshot;
pub(crate) mod tombstones;
pub(crate) mod truncate;
mod turn;
pub(crate) mod wal_ref;

use crate::{
    head_chunks::{ChunkMeta, HeadChunks, Loaded, OpenedChunks, Order, Sealed, UnnamedChunks},
    options::Options,
    stats::Stats,
    wal::{Wal, names::Names},
};
use appender::Batch;
use batches::Batches;
use contradicted::Contradicted;
use exemplars::Exemplars;
use isolation::Readers;
use limits::Limits;
use metadata::MetricMetadata;
use out_of_order::OutOfOrder;
use registry::Registry;
use replay::reserve;
use series::{CommitView, MemSeries, SeriesIndex};
use skopos_base::clock::Clock;
use skopos_base::sync::{
    Mutex, RwLock,
    atomic::{AtomicBool, AtomicI64, Ordering},
};
use skopos_model::{DurationMs, TimestampMs};
use skopos_storage::{CommitError, TimeRange};
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, OnceLock},
};
use tombstones::Tombstones;
use wal_ref::WalRef;

/// How the limit is named to an operator.
const UNWRITTEN_LIMIT: &str = "storage.tsdb.max-unwritten-chunk-bytes";

/// While the disk takes closed chunks so many times as much of them may wait: at the end of a block all
/// series close one within an interval of scraping. Beyond that it is too slow for what comes in, or it
/// hangs.
const SLOW_DISK_ROOM: usize = 4;

/// The head. Shared by appenders and queriers.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) registry: Registry,
    pub(crate) readers: Arc<Readers>,
    pub(crate) chunks: HeadChunks,
    /// The closed chunks whose samples are durable in the WAL.
    durable: Mutex<Option<Sealed>>,
    pub(crate) exemplars: Exemplars,
    pub(crate) late: OutOfOrder,
    /// What is deleted.
    pub(crate) tombstones: Tombstones,
    /// Chunks found on disk; empty once the WAL is read.
    loaded: RwLock<Loaded>,
    /// Held from the WAL's append to the moment when the batch is visible: commits happen one after
    /// the other, in memory in the same order as in the WAL.
    commit: Mutex<CommitState>,
    /// Of all committed samples.
    min_ms: AtomicI64,
    max_ms: AtomicI64,
    pub(crate) metadata: MetricMetadata,
    /// Earlier numbers by which the WAL names a series too. Only from a replay, and mostly none.
    older_refs: Mutex<BTreeSet<(SeriesIndex, WalRef)>>,
    pub(crate) contradicted: Contradicted,
    /// Buffers of finished batches, to be used again.
    spare: Mutex<Vec<Batch>>,
    pub(crate) batches: Batches,
    /// The names of series beside the log; none while that is read, and where nothing is written.
    pub(crate) names: OnceLock<Names>,
    /// Samples before this time belong to blocks. Changed while `commit` is held.
    min_valid_ms: AtomicI64,
    /// Whether the log says already that batches are refused for chunks that the disk refuses.
    said_unwritten: AtomicBool,
}

#[derive(Debug)]
struct CommitState {
    next: u64,
    /// Reused.
    series_record: Vec<u8>,
    compressed: Vec<u8>,
    marks: Vec<u64>,
}

impl Head {
    pub(crate) fn new(
        options: Options,
        clock: Arc<dyn Clock>,
        stats: Arc<Stats>,
        opened: OpenedChunks,
    ) -> Self {
        let OpenedChunks { chunks, loaded } = opened;
        let exemplars = Exemplars::new(options.max_exemplars);
        let metadata = MetricMetadata::new(options.max_metadata_bytes);
        let head = Self {
            registry: Registry::new(Limits::new(&options)),
            options,
            clock,
            stats,
            readers: Arc::new(Readers::default()),
            chunks,
            durable: Mutex::default(),
            exemplars,
            late: OutOfOrder::default(),
            tombstones: Tombstones::default(),
            loaded: RwLock::new(loaded),
            commit: Mutex::new(CommitState {
                next: 1,
                series_record: Vec::new(),
                compressed: Vec::new(),
                marks: Vec::new(),
            }),
            min_ms: AtomicI64::new(i64::MAX),
            max_ms: AtomicI64::new(i64::MIN),
            metadata,
            older_refs: Mutex::default(),
            contradicted: Contradicted::default(),
            spare: Mutex::default(),
            batches: Batches::default(),
            names: OnceLock::new(),
            min_valid_ms: AtomicI64::new(i64::MIN),
            said_unwritten: AtomicBool::new(false),
        };
        // Whoever gets one of their numbers would get the chunks too at the next start.
        head.loaded.read().iter().for_each(|(found, _)| reserve(&head, found));
        head
    }

    /// What a replay appends by.
    pub(crate) fn replay_view(&self) -> CommitView<'_> {
        CommitView {
            id: 0,
            marks: &[],
            block_ms: self.options.min_block_duration.as_ms().max(1),
            min_valid_ms: self.min_valid_ms(),
            late_cut: self.late.cut_up_to(),
            chunks: &self.chunks,
        }
    }

    /// Gives a series that the WAL names the chunks that were found on disk.
    pub(crate) fn attach_chunks(&self, series: &MemSeries, wal_ref: WalRef) {
        let wal_ref = wal_ref.get();
        let loaded = self.loaded.read();
        let late = loaded.chunks(wal_ref, Order::OutOfOrder).filter(|c| series.attach_late(*c));
        let (mut late_chunks, mut late_samples) = (0, 0);
        for chunk in late {
            self.late.saw(chunk.range());
            late_chunks += 1;
            late_samples += u64::from(chunk.samples());
        }
        Stats::add(&self.stats.chunks, late_chunks);
        Stats::add(&self.stats.replayed_samples, late_samples);
        let (mut range, mut chunks, mut samples) = (None::<TimeRange>, 0, 0);
        series.attach(loaded.chunks(wal_ref, Order::InOrder), |chunk| {
            let all = range.get_or_insert(chunk.range());
            *all = all.with(chunk.range());
            chunks += 1;
            samples += u64::from(chunk.samples());
        });
        if let Some(range) = range {
            self.saw(range);
        }
        Stats::add(&self.stats.chunks, chunks);
        Stats::add(&self.stats.replayed_samples, samples);
    }

    /// Whether chunks of a number were found on disk.
    pub(crate) fn has_loaded_chunks(&self, wal_ref: u64) -> bool {
        let loaded = self.loaded.read();
        [Order::InOrder, Order::OutOfOrder]
            .into_iter()
            .any(|order| loaded.chunks(wal_ref, order).next().is_some())
    }

    /// Passes over the chunks of these numbers that were found on disk, and hands them out.
    pub(crate) fn forget_loaded_chunks(&self, wal_refs: &BTreeSet<u64>) -> Vec<(u64, ChunkMeta)> {
        let mut loaded = self.loaded.write();
        let forgotten = loaded.iter().filter(|(wal_ref, _)| wal_refs.contains(wal_ref)).collect();
        loaded.forget(wal_refs);
        forgotten
    }

    /// The chunks found on disk that are of none of the series `named`, and have samples that no block has.
    pub(crate) fn unnamed_chunks(&self, named: impl Fn(u64) -> bool) -> UnnamedChunks {
        let (loaded, min_valid_ms) = (self.loaded.read(), self.min_valid_ms());
        let mut unnamed = UnnamedChunks::default();
        // Whole files go, so that chunks of series that only blocks have stay for a while.
        for (wal_ref, chunk) in loaded.iter().filter(|(_, c)| c.max_ms() >= min_valid_ms) {
            if !named(wal_ref) {
                unnamed.add(wal_ref, chunk.range(), chunk.samples());
            }
        }
        unnamed
    }

    /// Notes that the WAL names a series by another number now.
    pub(crate) fn rename(&self, series: &MemSeries, wal_ref: WalRef) {
        let mut older = self.older_refs.lock();
        if series.wal_ref() != wal_ref {
            older.insert((series.index, series.wal_ref()));
            older.remove(&(series.index, wal_ref));
            series.set_wal_ref(wal_ref);
        }
    }

    /// Notes that the WAL names a series by another number too, which is not its newest one.
    pub(crate) fn add_older_ref(&self, series: &MemSeries, wal_ref: WalRef) {
        self.older_refs.lock().insert((series.index, wal_ref));
    }

    /// The earlier numbers by which the WAL names a series too, growing.
    pub(crate) fn older_refs_of(&self, series: SeriesIndex) -> Vec<WalRef> {
        let older = self.older_refs.lock();
        let (first, last) = WalRef::BOUNDS;
        older.range((series, first)..=(series, last)).map(|(_, wal_ref)| *wal_ref).collect()
    }

    /// To be called once the WAL is read.
    pub(crate) fn replayed(&self) {
        *self.loaded.write() = Loaded::default();
    }

    /// Makes every batch committed so far durable against power loss, and moves the closed chunks whose
    /// samples are durable to files.
    pub(crate) fn sync(&self, wal: &Wal) -> Result<(), CommitError> {
        self.sync_logs(wal)?;
        self.spill_durable();
        Ok(())
    }

    /// Makes every batch committed so far durable against power loss, and does nothing else.
    pub(crate) fn sync_logs(&self, wal: &Wal) -> Result<(), CommitError> {
        let (closed, late) = (self.chunks.seal(), self.late_records());
        wal.sync()?;
        {
            let mut durable = self.durable.lock();
            *durable = durable.max(Some(closed));
        }
        if let Some(names) = self.names.get() {
            names.follow(wal.under_way());
            names.sync();
        }
        // The WAL has its samples, so that a failure costs nobody anything; the next call tries it again.
        let _ = self.write_late(late);
        Ok(())
    }

    /// Moves the closed chunks to files whose samples a synchronisation has made durable.
    pub(crate) fn spill_durable(&self) {
        let durable = *self.durable.lock();
        if let Some(closed) = durable {
            self.write_chunks(closed);
        }
    }

    /// Moves all closed chunks to files. Their samples are durable in the WAL.
    pub(crate) fn spill(&self) {
        self.write_chunks(self.chunks.seal());
    }

    /// Whether one more batch may close chunks. A disk that refuses them, or neither takes nor refuses them,
    /// does not make memory grow for ever.
    fn check_unwritten(&self) -> Result<(), CommitError> {
        let limit = self.options.max_unwritten_chunk_bytes;
        let refused = self.chunks.refused_bytes() >= limit;
        let waiting = self.chunks.buffered_bytes();
        let times = if refused { 1 } else { SLOW_DISK_ROOM };
        if waiting < limit.saturating_mul(times) {
            if self.said_unwritten.load(Ordering::Relaxed)
                && self.said_unwritten.swap(false, Ordering::Relaxed)
            {
                let dir = self.chunks.dir().display();
                tracing::info!(%dir, "the disk takes closed chunks again, and so the head takes batches");
            }
            return Ok(());
        }
        Stats::add(&self.stats.commits_refused_unwritten_total, 1);
        let path = self.chunks.dir().to_owned();
        let (disk, help) = if refused {
            ("the disk refuses closed chunks", "make room")
        } else {
            ("the disk takes closed chunks too slowly, or hangs", "look after it")
        };
        if !self.said_unwritten.swap(true, Ordering::Relaxed) {
            tracing::error!(
                dir = %path.display(), bytes = waiting, limit, times,
                "batches are refused, what comes in is lost: {disk}, and no more of them may wait in memory; \
                 {help}, no restart is needed"
            );
        }
        let reason = format!(
            "limit {UNWRITTEN_LIMIT} of {limit} bytes reached {times} times: {waiting} bytes of closed \
             chunks wait in memory, and {disk}; {help}, no restart is needed"
        );
        Err(CommitError::Retry { path, source: io::Error::other(reason) })
    }

    fn write_chunks(&self, closed: Sealed) {
        let written = self.chunks.write(closed);
        if let Err(e) = written {
            let waiting = self.chunks.buffered_bytes();
            Stats::add(&self.stats.head_chunks_failed_writes_total, 1);
            tracing::warn!(
                error = %e, bytes = waiting,
                "closed chunks stay in memory until a later attempt succeeds"
            );
        }
    }

    /// The times of the oldest and of the newest sample; none while there is no sample.
    pub(crate) fn time_range(&self) -> Option<TimeRange> {
        let min = self.min_ms.load(Ordering::Acquire);
        let max = self.max_ms.load(Ordering::Acquire);
        (min <= max).then(|| TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) })
    }

    /// Widens the time range.
    pub(crate) fn saw(&self, range: TimeRange) {
        self.min_ms.fetch_min(range.min.as_ms(), Ordering::AcqRel);
        self.max_ms.fetch_max(range.max.as_ms(), Ordering::AcqRel);
    }

    /// Which timestamps a batch begun now may have.
    fn accepted(&self) -> (i64, i64) {
        let window = DurationMs::from_ms(self.options.min_block_duration.as_ms() / 2);
        let newest = self.max_ms.load(Ordering::Acquire);
        let min = if newest == i64::MIN { i64::MIN } else { newest.saturating_sub(window.as_ms()) };
        // An empty head would otherwise take a time from which no range of blocks can be computed.
        let min = min.max(EARLIEST_MS).max(self.min_valid_ms());
        let max = self.clock.wall_ms().saturating_add(self.options.max_future.as_ms());
        (min, max.min(LATEST_MS).max(newest))
    }

    /// From when on a batch begun now may have samples out of order; none where there is no window for them.
    fn oldest_late(&self) -> Option<TimestampMs> {
        let window_ms = self.options.out_of_order_window.as_ms();
        let newest = self.max_ms.load(Ordering::Acquire);
        (window_ms > 0).then(|| TimestampMs::new(newest.saturating_sub(window_ms).max(EARLIEST_MS)))
    }
}

/// Times beyond these cannot be aligned to blocks without overflow.
const EARLIEST_MS: i64 = i64::MIN / 4;
const LATEST_MS: i64 = i64::MAX / 4;
