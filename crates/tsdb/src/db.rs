//! `Db`: the head and the WAL as one database in a directory. Owns the directory's lock and the thread
//! that makes commits durable.

use crate::{
    error::OpenError,
    head::{
        Head,
        appender::HeadAppender,
        cardinality::Cardinality,
        querier::HeadQuerier,
        replay::{Logs, replay},
        tombstones::DeleteError,
        truncate::{Busy, Truncated},
    },
    head_chunks::HeadChunks,
    options::Options,
    stats::{Stats, StatsSnapshot},
    wal::{
        Wal,
        checkpoint::{CheckpointError, CheckpointStats, remove_temporary},
        segment::{self, Listing},
    },
};
use parking_lot::Mutex;
use skopos_base::{
    Env,
    fs::{FileLock, Fs},
    spawn::{Joined, Stop},
};
use skopos_model::{Exemplar, Labels, Matcher, Metadata, TimestampMs};
use skopos_storage::{
    Appendable, Appender, ChunkSeriesSet, CommitError, Querier, QueryBudget, QueryError, Queryable,
    SeriesLimit, TimeRange,
};
use std::{io, path::Path, path::PathBuf, sync::Arc};

/// The characters of a block directory's name.
const BLOCK_NAME_LEN: usize = 26;

/// An open database. Dropping it closes it; `close` also says whether that went well.
pub struct Db {
    head: Arc<Head>,
    wal: Arc<Wal>,
    stats: Arc<Stats>,
    dir: PathBuf,
    syncer: Mutex<Option<Syncer>>,
    _lock: Box<dyn FileLock>,
}

/// The thread that synchronises the WAL.
struct Syncer {
    stop: Arc<dyn Stop>,
    thread: Box<dyn Joined>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the database in `dir`, which is made when it is absent, and reads back its WAL.
    ///
    /// # Errors
    /// When another process has it open, or the system refuses a file. Damage is no error.
    pub fn open(dir: &Path, options: Options, env: &Env) -> Result<Self, OpenError> {
        let fs = &*env.fs;
        let wal_dir = dir.join("wal");
        create_dirs(fs, &wal_dir).map_err(OpenError::io("creating", &wal_dir))?;
        let lock_path = dir.join("lock");
        let lock = fs.lock(&lock_path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked { path: dir.to_owned(), source },
            _ => OpenError::Io { doing: "locking", path: lock_path.clone(), source },
        })?;
        warn_of_blocks(fs, dir)?;

        remove_temporary(fs, &wal_dir).map_err(OpenError::io("cleaning", &wal_dir))?;
        let listing = segment::list(fs, &wal_dir).map_err(OpenError::io("listing", &wal_dir))?;
        let stats = Arc::new(Stats::default());
        let segment_pages = options.segment_pages();
        let sync_interval = options.sync_interval;
        let chunks_dir = dir.join("chunks_head");
        create_dirs(fs, &chunks_dir).map_err(OpenError::io("creating", &chunks_dir))?;
        let chunks = HeadChunks::open(&env.fs, &chunks_dir, options.head_chunk_file_bytes)?;
        Stats::add(&stats.head_chunks_damaged_files, chunks.1.damaged_files);
        let head = Arc::new(Head::new(options, Arc::clone(&env.clock), Arc::clone(&stats), chunks));
        let behind = list_behind(fs, dir, &head.options)?;
        replay(&head, env, Logs { wal: &listing, behind: behind.as_ref() })?;
        head.replayed();
        if let Some(behind) = &behind {
            begin_behind(&head, env, dir, behind.next_index)?;
        }
        let wal = Wal::create(
            Arc::clone(&env.fs),
            Arc::clone(&env.clock),
            &wal_dir,
            listing.next_index,
            segment_pages,
            Arc::clone(&stats),
        )
        .map_err(|(path, source)| OpenError::Io { doing: "creating", path, source })?;
        let wal = Arc::new(wal);
        let syncer = start_syncer(env, &head, &wal, sync_interval.as_std())
            .map_err(OpenError::io("starting the thread that synchronises", &wal_dir))?;
        log_opened(dir, &stats.snapshot(), &head);
        let syncer = Mutex::new(Some(syncer));
        Ok(Self { head, wal, stats, dir: dir.to_owned(), syncer, _lock: lock })
    }

    /// Makes every batch committed so far durable against power loss.
    ///
    /// # Errors
    /// When the disk refuses; then it is not known to be durable.
    pub fn sync(&self) -> Result<(), CommitError> {
        self.head.sync(&self.wal)
    }

    /// Shortens the WAL: what is older than `before` goes, and so do the names of series that the head has no
    /// more. To be called when blocks have those samples; what the head itself holds stays there.
    ///
    /// # Errors
    /// When the disk refuses. Then the WAL is as long as it was, and as good.
    pub fn truncate_wal(&self, before: TimestampMs) -> Result<Option<CheckpointStats>, CheckpointError> {
        let compression = self.head.options.wal_compression;
        let keep = |_, labels: &Labels| self.head.registry.contains(labels);
        let settle = || self.head.settle_late(&self.wal);
        let stats = self.wal.truncate_before(before.as_ms(), compression, &keep, &settle)?;
        if let Some(stats) = &stats {
            tracing::info!(dir = %self.dir.display(), %before, ?stats, "the WAL is shorter");
        }
        Ok(stats)
    }

    /// The bytes that the WAL takes on disk.
    ///
    /// # Errors
    /// When its directory cannot be listed.
    pub fn wal_bytes(&self) -> io::Result<u64> {
        self.wal.disk_bytes()
    }

    /// Makes everything durable and gives the directory free.
    ///
    /// # Errors
    /// When the last synchronisation fails.
    pub fn close(self) -> Result<(), CommitError> {
        self.shut_down()
    }

    /// What the database counts about itself.
    pub fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }

    /// The times of the oldest and of the newest sample; none while there is no sample.
    pub fn time_range(&self) -> Option<(TimestampMs, TimestampMs)> {
        self.head.time_range()
    }

    /// What the source of a metric said last about it.
    pub fn metadata(&self, metric: &str) -> Option<Metadata> {
        self.head.metadata(metric)
    }

    /// About how many bytes the head holds: series, labels, chunks, postings and tables.
    pub fn series_bytes(&self) -> u64 {
        self.head.registry.heap_bytes() as u64
    }

    /// The block that may be cut from the head: its first and its last millisecond.
    pub fn cuttable(&self) -> Option<TimeRange> {
        self.head.cuttable()
    }

    /// All series of the head with their chunks in `range`. From now on no sample of it or of before is
    /// taken.
    ///
    /// # Errors
    /// When the budget's time is over.
    pub fn cut_chunks(
        &self,
        range: TimeRange,
        budget: Arc<QueryBudget>,
    ) -> Result<Box<dyn ChunkSeriesSet>, QueryError> {
        self.head.cut_chunks(range, budget)
    }

    /// Drops from the head what ends before `time` and is in a block that queries read.
    ///
    /// # Errors
    /// While a reader that began before needs it.
    pub fn truncate_head_before(&self, time: TimestampMs) -> Result<Truncated, Busy> {
        self.head.truncate_before(time)
    }

    /// Deletes the samples of `range` that the head has of the series that fulfil all matchers; returns of how
    /// many series some may be deleted. When it returns it is durable.
    ///
    /// # Errors
    /// When the series cannot be found within the budget, or the log does not take it.
    pub fn delete_series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &QueryBudget,
    ) -> Result<usize, DeleteError> {
        self.head.delete(&self.wal, matchers, range, budget)
    }

    /// The exemplars of `range` of the series that fulfil all matchers of any set, in the order of labels, each
    /// series' in the order of time.
    ///
    /// # Errors
    /// When the budget does not suffice.
    pub fn select_exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
        budget: &QueryBudget,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>, QueryError> {
        self.head.select_exemplars(range, sets, budget)
    }

    /// Which metrics, labels and pairs of the head have the most series; lists have at most `limit` entries.
    ///
    /// # Errors
    /// When the budget's time is over.
    pub fn cardinality(&self, limit: usize, budget: &QueryBudget) -> Result<Cardinality, QueryError> {
        self.head.cardinality(limit, budget)
    }

    fn shut_down(&self) -> Result<(), CommitError> {
        let Some(Syncer { stop, thread }) = self.syncer.lock().take() else { return Ok(()) };
        stop.stop();
        if let Err(e) = thread.join() {
            tracing::error!(error = %e, "the thread that synchronises the WAL ended before its time");
        }
        self.head.sync(&self.wal)
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if let Err(e) = self.shut_down() {
            tracing::error!(
                dir = %self.dir.display(), error = %e,
                "closing the database: the last synchronisation failed"
            );
        }
    }
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(HeadAppender::new(&self.head, &self.wal, None))
    }

    fn appender_within(&self, limit: &Arc<SeriesLimit>) -> Box<dyn Appender + '_> {
        Box::new(HeadAppender::new(&self.head, &self.wal, Some(limit)))
    }
}

impl Queryable for Db {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, QueryError> {
        Ok(Box::new(HeadQuerier::new(&self.head, range)))
    }
}

/// The write-behind log, where samples out of order are taken or once were.
fn list_behind(fs: &dyn Fs, dir: &Path, options: &Options) -> Result<Option<Listing>, OpenError> {
    let dir = dir.join("wbl");
    if options.out_of_order_window.as_ms() > 0 {
        create_dirs(fs, &dir).map_err(OpenError::io("creating", &dir))?;
    } else if !fs.exists(&dir).map_err(OpenError::io("looking for", &dir))? {
        return Ok(None);
    }
    segment::list(fs, &dir).map(Some).map_err(OpenError::io("listing", &dir))
}

/// Begins a segment of the write-behind log. Those before go when nothing of them is in the head.
fn begin_behind(head: &Head, env: &Env, dir: &Path, next_index: u32) -> Result<(), OpenError> {
    let (fs, clock) = (Arc::clone(&env.fs), Arc::clone(&env.clock));
    let (dir, pages) = (dir.join("wbl"), head.options.segment_pages());
    // What the statistics say of a log, they say of the WAL.
    let log = Wal::create(fs, clock, &dir, next_index, pages, Arc::default())
        .map_err(|(path, source)| OpenError::Io { doing: "creating", path, source })?;
    if let Some(last) = next_index.checked_sub(1).filter(|_| head.late.time_range().is_none()) {
        log.remove_up_to(last);
    }
    head.late.set_log(log);
    Ok(())
}

fn start_syncer(
    env: &Env,
    head: &Arc<Head>,
    wal: &Arc<Wal>,
    interval: std::time::Duration,
) -> io::Result<Syncer> {
    let stop = env.spawner.stop_signal();
    let (head, wal, stopped) = (Arc::clone(head), Arc::clone(wal), Arc::clone(&stop));
    let body = move || {
        while !stopped.wait(interval) {
            // What a failure means for commits stands in the WAL's state, and is logged there.
            let _ = head.sync(&wal);
            head.measure_memory();
        }
    };
    let thread = env.spawner.spawn("wal-sync", Box::new(body))?;
    Ok(Syncer { stop, thread })
}

/// Makes a directory and those above it, so that no power loss takes one with all it holds.
fn create_dirs(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    let absolute =
        |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    let mut missing = Vec::new();
    for path in dir.ancestors().map(absolute) {
        if fs.exists(&path)? {
            break;
        }
        missing.push(path);
    }
    fs.create_dir_all(dir)?;
    for path in missing.iter().rev() {
        fs.sync_dir(&absolute(&skopos_base::fs::parent(path)))?;
    }
    Ok(())
}

/// Blocks are not read yet: say so, since their samples are missing from every answer.
fn warn_of_blocks(fs: &dyn Fs, dir: &Path) -> Result<(), OpenError> {
    let entries = fs.read_dir(dir).map_err(OpenError::io("listing", dir))?;
    let is_block = |name: &str| {
        name.len() == BLOCK_NAME_LEN && name.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
    };
    let blocks = entries.iter().filter(|e| e.is_dir && is_block(&e.name)).count();
    if blocks > 0 {
        tracing::warn!(
            dir = %dir.display(), blocks,
            "the directory has blocks, which are not read: their samples are missing"
        );
    }
    Ok(())
}

fn log_opened(dir: &Path, stats: &StatsSnapshot, head: &Head) {
    let newest = head.time_range().map_or_else(|| "none".to_owned(), |(_, max)| max.to_string());
    tracing::info!(
        dir = %dir.display(), series = stats.series, samples = stats.replayed_samples, ms = stats.replay_ms,
        damaged_places = stats.wal_corruptions_total, newest_ms = newest, "database opened"
    );
}
