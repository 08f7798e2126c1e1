//! `Db`: head, log and blocks as one database in a directory. Owns the directory's lock and the threads.
//!
//! - `open`: from the directory to a head and a list of blocks. `blocks`: that list.
//! - `note`: what blocks have of the head's files and logs, as noted beside them.
//! - `querier`: views over all of it.
//! - `admin`: what operators ask for.
//! - `maintain`: from the head to blocks, and what becomes of them; see its own map.
//! - `steps`: the same step by step, for tests.
//! - `threads`: who does that, and who makes commits durable.
//!
//! Locks are taken in this order: `Core::maintenance`, then those of the head and the log, then the list of
//! blocks. Who deletes or copies blocks holds `maintenance` too.

mod admin;
mod blocks;
pub(crate) mod maintain;
pub(crate) mod note;
mod open;
mod querier;
mod steps;
mod threads;

pub use admin::SnapshotOf;
pub use maintain::{MaintainError, Maintained, Retention};
pub use steps::Steps;

use crate::{
    block::BlockIds,
    dirs::{create_dirs, settle_dirs},
    error::OpenError,
    head::{
        Head,
        appender::HeadAppender,
        cardinality::{Cardinality, HeadShape},
        metadata::Again,
        saved::Which,
        snapshot::export,
    },
    options::Options,
    stats::{Stats, StatsSnapshot},
    wal::{
        Wal,
        checkpoint::{CheckpointError, CheckpointStats, Memory},
        snapshot::Position,
        tail::WalTail,
    },
};
pub(crate) use blocks::covered_until;
pub(crate) use open::BEHIND_UNFINISHED;

use blocks::Blocks;
use skopos_base::sync::{Mutex, atomic::AtomicUsize};
use skopos_base::{
    Env,
    fs::{FileLock, SharedFs},
    spawn::{Joined, Stop},
};
use skopos_model::{Exemplar, Labels, Matcher, Metadata, TimestampMs};
use skopos_storage::{
    Appendable, Appender, CommitError, KeptSeries, QueryBudget, QueryError, SeriesLimit, TimeRange,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// An open database. Dropping it closes it; `close` also says whether that went well.
pub struct Db {
    core: Arc<Core>,
    threads: Mutex<Vec<Box<dyn Joined>>>,
    _lock: Box<dyn FileLock>,
}

/// What the database's threads share.
#[derive(Debug)]
pub(crate) struct Core {
    env: Env,
    dir: PathBuf,
    head: Arc<Head>,
    wal: Arc<Wal>,
    blocks: Blocks,
    ids: Arc<BlockIds>,
    stats: Arc<Stats>,
    /// Held while blocks are written, deleted from or removed.
    maintenance: Mutex<maintain::State>,
    retention: Mutex<Retention>,
    /// Who waits for `maintenance` to change blocks.
    waiting: AtomicUsize,
    /// Ends the threads, and work on blocks at its next series.
    stop: Arc<dyn Stop>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("dir", &self.core.dir).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the database in `dir`, which is made when it is absent: its blocks, and what its log has beyond
    /// them.
    ///
    /// # Errors
    /// When another process has it open, or the system refuses a file. Damage is no error.
    pub fn open(dir: &Path, options: Options, env: &Env) -> Result<Self, OpenError> {
        let fs = &*env.fs;
        create_dirs(fs, dir).map_err(OpenError::io("creating", dir))?;
        // What is in it is made by the one process that has it.
        let lock = open::lock(fs, dir)?;
        let stats = Arc::new(Stats::default());
        let opened_blocks = open::open_blocks(env, dir, &stats)?;
        let (sync_interval, interval) = (options.sync_interval, options.maintenance_interval);
        let opened = open::open_head(env, dir, &options, &opened_blocks, &stats)?;
        let open::OpenedHead { head, wal, late_note, shortest_block } = opened;
        let open::OpenedBlocks { blocks, states, .. } = opened_blocks;
        let retention = options.retention;
        // Nobody knows whether those who made them, also a process that was killed, made them durable.
        settle_dirs(fs, dir).map_err(OpenError::io("synchronising", dir))?;
        let core = Arc::new(Core {
            env: env.clone(),
            dir: dir.to_owned(),
            head,
            wal,
            blocks,
            ids: Arc::new(BlockIds::new(env)),
            stats,
            maintenance: Mutex::new(maintain::State::new(states, late_note, shortest_block)),
            retention: Mutex::new(retention),
            waiting: AtomicUsize::new(0),
            stop: env.spawner.stop_signal(),
        });
        core.head.measure_all_memory();
        core.mend_log();
        let db = Self { core: Arc::clone(&core), threads: Mutex::default(), _lock: lock };
        threads::start_all(&core, sync_interval.as_std(), interval.as_std(), &mut db.threads.lock())
            .map_err(OpenError::io("starting the threads of", dir))?;
        log_opened(&core);
        Ok(db)
    }

    /// Makes every batch committed so far durable against power loss.
    ///
    /// # Errors
    /// When the disk refuses; then it is not known to be durable.
    pub fn sync(&self) -> Result<(), CommitError> {
        self.core.head.sync(&self.core.wal)
    }

    /// The same, and does nothing else: for whoever answers that a batch is durable. Those who ask meanwhile
    /// share the next synchronisation.
    ///
    /// # Errors
    /// When the disk refuses; then it is not known to be durable.
    pub fn sync_logs(&self) -> Result<(), CommitError> {
        self.core.head.sync_logs(&self.core.wal)
    }

    /// The log as it grows, from a place that an earlier tail came to, or from its end on.
    ///
    /// # Errors
    /// When the log is not sound, or the system refuses a file.
    pub fn wal_tail(&self, from: Option<Position>) -> io::Result<WalTail> {
        WalTail::new(SharedFs::clone(&self.core.env.fs), Arc::clone(&self.core.wal), from)
    }

    /// The bytes that the WAL takes on disk.
    ///
    /// # Errors
    /// When its directory cannot be listed.
    pub fn wal_bytes(&self) -> io::Result<u64> {
        self.core.wal.disk_bytes()
    }

    /// Makes everything durable, leaves a snapshot for a fast start where that is wanted, and gives the
    /// directory free.
    ///
    /// # Errors
    /// When the last synchronisation fails. A snapshot that fails is no error.
    pub fn close(self) -> Result<(), CommitError> {
        self.shut_down()?;
        let Core { env, dir, head, wal, .. } = &*self.core;
        if head.options.snapshot_on_shutdown {
            export(head, wal, env, dir);
        }
        Ok(())
    }

    /// What the database counts about itself.
    pub fn stats(&self) -> StatsSnapshot {
        let failed = self.core.blocks.load().iter().filter(|b| b.meta().compaction.failed).count();
        StatsSnapshot {
            blocks_not_compacted: failed as u64,
            // Asked for here: the thread that writes them may hang.
            head_chunks_unwritten_bytes: self.core.head.chunks.buffered_bytes() as u64,
            ..self.core.stats.snapshot()
        }
    }

    /// The times of the oldest and of the newest sample, as far as the ranges of blocks tell; none while
    /// there is no sample.
    pub fn time_range(&self) -> Option<TimeRange> {
        let (head, blocks) = (&self.core.head, &self.core.blocks);
        let ranges = [head.time_range(), head.late.time_range(), blocks.time_range()];
        ranges.into_iter().flatten().reduce(TimeRange::with)
    }

    /// The times of the oldest and of the newest sample of the head that came in order; none while there is
    /// none. Both move on when blocks are cut, whatever comes out of order.
    pub fn head_time_range(&self) -> Option<TimeRange> {
        self.core.head.time_range()
    }

    /// Does at once what the maintenance thread would do.
    ///
    /// # Errors
    /// When something that was due could not be done; everything else was.
    pub fn maintain(&self) -> Result<Maintained, MaintainError> {
        self.core.maintain()
    }

    /// The same, and moves all samples out of order to blocks, which otherwise happens when the head is cut.
    ///
    /// # Errors
    /// As `maintain`.
    pub fn compact_out_of_order(&self) -> Result<Maintained, MaintainError> {
        self.core.compact_out_of_order()
    }

    /// What the source of a metric said last about it.
    pub fn metadata(&self, metric: &str) -> Option<Metadata> {
        self.core.head.metadata.get(metric)
    }

    /// What the sources of all metrics said last about them, in no order.
    pub fn all_metadata(&self) -> Vec<(String, Metadata)> {
        self.core.head.metadata.all()
    }

    /// About how many bytes the head holds: series, labels, chunks, postings and tables.
    pub fn series_bytes(&self) -> u64 {
        self.core.head.registry.heap_bytes() as u64
    }

    /// The exemplars of `range` of the series that fulfil all matchers of any set, in the order of labels,
    /// each series' in the order of time.
    ///
    /// # Errors
    /// When the budget does not suffice.
    pub fn select_exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
        budget: &QueryBudget,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>, QueryError> {
        self.core.head.select_exemplars(range, sets, budget)
    }

    /// Which metrics, labels and pairs of the head have the most series; lists have at most `limit` entries.
    ///
    /// # Errors
    /// When the budget's time is over.
    pub fn cardinality(&self, limit: usize, budget: &QueryBudget) -> Result<Cardinality, QueryError> {
        self.core.head.cardinality(limit, budget)
    }

    /// What the head consists of, for its own metrics; lists have at most `limit` entries.
    pub fn head_shape(&self, limit: usize) -> HeadShape {
        self.core.head.shape(limit)
    }

    fn shut_down(&self) -> Result<(), CommitError> {
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return Ok(());
        }
        self.core.stop.stop();
        for thread in threads {
            if let Err(e) = thread.join() {
                tracing::error!(error = %e, "a thread of the database ended before its time");
            }
        }
        self.core.head.sync(&self.core.wal)
    }
}

impl Core {
    /// Writes a log anew that gives a number to several series. Until that works, on a full disk, it is tried
    /// again whenever the log is made shorter.
    fn mend_log(&self) {
        let given_twice = self.head.contradicted.numbers().len();
        if given_twice == 0 {
            return;
        }
        let dir = self.dir.display();
        match self.truncate_wal(TimestampMs::new(self.head.min_valid_ms())) {
            Ok(None) => {}
            Ok(Some(_)) => {
                tracing::warn!(%dir, given_twice, "the WAL is written anew, with a number for each series");
            }
            Err(error) => tracing::warn!(
                %dir, given_twice, %error,
                "the WAL gives numbers to two series each, and is not written anew yet: it is tried again"
            ),
        }
    }

    fn truncate_wal(&self, before: TimestampMs) -> Result<Option<CheckpointStats>, CheckpointError> {
        let compression = self.head.options.wal_compression;
        let given_twice = self.head.contradicted.numbers();
        let memory = Memory {
            given_twice: &given_twice,
            series: &|each| self.head.each_name(Which::Logged, each),
            save: &|| {
                tracing::warn!(
                    dir = %self.dir.display(),
                    "the WAL is damaged; what memory has of it is written elsewhere"
                );
                self.head.save(&self.wal)
            },
        };
        let settle = || {
            self.head.log_held_back(&self.wal)?;
            self.head.settle_late(&self.wal)?;
            self.head.log_metadata(&self.wal, Again::OfSeriesGone)?;
            Ok(self.head.first_from(before))
        };
        let stats = self.wal.truncate_before(before, compression, &memory, &settle);
        let failed = u64::from(stats.is_err());
        Stats::add(&self.stats.wal_truncations_total, 1);
        Stats::add(&self.stats.wal_truncations_failed_total, failed);
        let stats = stats?;
        if let Some(stats) = &stats {
            Stats::add(&self.stats.checkpoint_creations_total, 1);
            Stats::add(&self.stats.wal_corruptions_total, stats.faults);
            if let Some(names) = self.head.names.get() {
                names.rewrite(self.wal.under_way(), &|each| self.head.each_sure_name(Which::All, each));
            }
            if !given_twice.is_empty() {
                self.head.log_agrees();
            }
            tracing::info!(dir = %self.dir.display(), %before, ?stats, "the WAL is shorter");
        }
        Ok(stats)
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if let Err(e) = self.shut_down() {
            tracing::error!(
                dir = %self.core.dir.display(), error = %e,
                "closing the database: the last synchronisation failed"
            );
        }
    }
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(HeadAppender::new(&self.core.head, &self.core.wal, None))
    }

    fn appender_within(&self, limit: &Arc<SeriesLimit>) -> Box<dyn Appender + '_> {
        Box::new(HeadAppender::new(&self.core.head, &self.core.wal, Some(limit)))
    }

    fn charge_kept(&self, limit: &Arc<SeriesLimit>, kept: KeptSeries<'_>) {
        self.core.head.registry.charge_kept(limit, kept);
    }
}

fn log_opened(core: &Core) {
    let newest = core.head.time_range().map_or_else(|| "none".to_owned(), |range| range.max.to_string());
    let stats = core.stats.snapshot();
    tracing::info!(
        dir = %core.dir.display(), blocks = stats.blocks_loaded, unreadable_blocks = stats.blocks_unreadable,
        series = stats.series, samples = stats.replayed_samples,
        passed_over = stats.replay_covered_samples, ms = stats.replay_ms,
        damaged_places = stats.wal_corruptions_total, newest_ms = newest, "database opened"
    );
}
