//! Writes the WAL: one append a batch, synchronised in groups. Never reports a batch as written of
//! which a part is missing, and never synchronises a file twice after it failed.
//!
//! When a write fails, its bytes are cut off again; where that fails too, the segment is left and the
//! next batch begins a new one, so that nothing stands behind torn bytes. When a synchronisation
//! fails, nobody knows which bytes are on the disk: everything since the last success is written again
//! to a new segment and synchronised there before another batch is taken. A full disk or quota may show
//! only there (NFS, delayed allocation), and passes: then the new segment is removed, and every next
//! attempt makes another. When that synchronisation fails for another reason, the WAL halts.
//!
//! ```text
//!             sync failed                rescue: written again, but its sync failed
//!   Sound ────────────────────▶ Rescue ─────────────────────────────────────────────▶ Halted
//!     ▲                         │ ▲  │                                        (until a restart)
//!     └─────────────────────────┘ └──┘
//!      rescue: written again,      rescue: a write failed, or its sync for want of room;
//!      and durable                 tried again by the next commit or synchronisation
//! ```
//! `Sound` takes batches. `Rescue` takes none before its rescue succeeded, so that what it has to write
//! again does not grow. `Halted` takes none; `halt` leads there from everywhere, when a thread is gone
//! without which no promise holds. A write that fails leaves `Sound` as it is.
//!
//! A segment is durable before the next one gets its first record. So what a power loss damages is in
//! the last segment that has records, and a series is never lost while a later segment has its samples.

use super::{
    checkpoint::{Checkpoint, CheckpointError, CheckpointStats, KeptFrom, Memory},
    page::{Framable, PAGE_SIZE, fits, frame, page_room},
    segment::{MAX_INDEX, byte_len, list, remove_up_to, segment_path, segments_in},
    sequence::SequenceError,
    snapshot::Position,
    unsynced::Unsynced,
};
use crate::{
    dirs::{LateDir, is_no_room},
    options::WalCompression,
    stats::Stats,
};
use skopos_base::sync::{
    Mutex,
    atomic::{AtomicU32, Ordering},
};
use skopos_base::{
    clock::Clock,
    fs::{File, OpenMode, SharedFs, append_all},
};
use skopos_model::TimestampMs;
use skopos_storage::CommitError;
use std::{
    io, mem,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Above so many bytes that a power loss would cost, commits wait for the disk.
const MAX_UNSYNCED_BYTES: usize = 64 << 20;

/// A segment's second handle, by which it is synchronised while the first one is written.
type SyncHandle = Arc<Mutex<Box<dyn File>>>;

/// The log. All methods may be called by several threads.
#[derive(Debug)]
pub(crate) struct Wal {
    fs: SharedFs,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    late_dir: LateDir,
    segment_pages: u64,
    stats: Arc<Stats>,
    inner: Mutex<Inner>,
    /// The number of the segment that is written to.
    under_way: AtomicU32,
    /// Held while synchronising; taken before `inner`.
    syncing: Mutex<Unsynced>,
    /// Held while a checkpoint is written; taken before all others.
    truncating: Mutex<()>,
}

#[derive(Debug)]
struct Inner {
    /// What is being written; none after a failure that left its end in doubt.
    segment: Option<Segment>,
    next_index: u32,
    /// Finished segments that are not durable yet.
    finished: Vec<SyncHandle>,
    /// Written and not durable, but for what a synchronisation has in its hands.
    unsynced: Unsynced,
    /// Whether a synchronisation is under way.
    syncing: bool,
    /// Whether the segment has a part of the batch being written, which is in `unsynced` when all of it is.
    has_part: bool,
    out: Vec<u8>,
    state: State,
    /// The segments that the rescue under way has begun.
    rescued: Vec<u32>,
    /// Whether the log says already that batches are refused.
    said_refused: bool,
}

#[derive(Debug)]
enum State {
    Sound,
    /// A synchronisation failed: `unsynced` must be written again first.
    Rescue,
    /// So did the next one, with this reason.
    Halted(String),
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: Box<dyn File>,
    sync: SyncHandle,
    len: u64,
}

/// An operation on a file that the system refused.
struct Refused {
    path: PathBuf,
    source: io::Error,
    /// Whether it was a synchronisation, which is never tried again.
    in_sync: bool,
}

impl Refused {
    fn new(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { path, source, in_sync: false }
    }
}

impl From<Refused> for CommitError {
    fn from(Refused { path, source, .. }: Refused) -> Self {
        Self::Retry { path, source }
    }
}

impl Wal {
    /// A log that begins segment `next_index` of `dir`; on a full disk with the first batch that finds room.
    pub(crate) fn create(
        fs: SharedFs,
        clock: Arc<dyn Clock>,
        dir: &Path,
        next_index: u32,
        segment_pages: u64,
        stats: Arc<Stats>,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let inner = Inner {
            segment: None,
            next_index,
            finished: Vec::new(),
            unsynced: Unsynced::default(),
            syncing: false,
            has_part: false,
            out: Vec::new(),
            state: State::Sound,
            rescued: Vec::new(),
            said_refused: false,
        };
        let late_dir = LateDir::look(&*fs, dir).map_err(|e| (dir.to_owned(), e))?;
        let wal = Self {
            fs,
            clock,
            dir: dir.to_owned(),
            late_dir,
            segment_pages,
            stats,
            inner: Mutex::new(inner),
            under_way: AtomicU32::new(next_index),
            syncing: Mutex::new(Unsynced::default()),
            truncating: Mutex::new(()),
        };
        {
            let mut inner = wal.inner.lock();
            match wal.cut(&mut inner) {
                // The first batch begins the segment, once there is room.
                Err(refused) if is_no_room(&refused.source) => wal.say_taken(&mut inner, &Err(refused)),
                begun => begun.map_err(|e| (e.path, e.source))?,
            }
        }
        Ok(wal)
    }

    /// Writes the records of one batch. When it fails, the last of them is not in the log.
    pub(crate) fn log(&self, records: &[Framable<'_>]) -> Result<(), CommitError> {
        let must_sync = {
            let mut inner = self.inner.lock();
            self.make_sound(&mut inner)?;
            let written = self.write(&mut inner, records.iter().copied());
            self.say_taken(&mut inner, &written);
            written?;
            for record in records {
                inner.unsynced.push(*record);
            }
            inner.unsynced.byte_len() > MAX_UNSYNCED_BYTES
        };
        if must_sync {
            // The batch is in the log; what a failure means for later ones stands in `state`.
            let _ = self.sync();
        }
        Ok(())
    }

    /// Begins another segment where the one under way has anything, so that all before it are finished and
    /// durable. Returns the number of the last of those.
    pub(crate) fn cut_segment(&self) -> Result<Option<u32>, CommitError> {
        self.sync()?;
        let mut inner = self.inner.lock();
        self.make_sound(&mut inner)?;
        if inner.segment.as_ref().is_none_or(|s| s.len > 0) {
            self.cut(&mut inner)?;
        }
        // The segment under way has the number before the next one.
        Ok(inner.next_index.checked_sub(2))
    }

    /// The number of the segment that is written to.
    #[inline]
    pub(crate) fn under_way(&self) -> u32 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// The end of the log, when it is sound.
    pub(crate) fn end(&self) -> Option<Position> {
        let inner = self.inner.lock();
        let segment = inner.segment.as_ref()?;
        let offset = segment.len;
        matches!(inner.state, State::Sound)
            .then(|| Position { segment: inner.next_index.saturating_sub(1), offset })
    }

    /// The end of the log, which is made sound before.
    pub(crate) fn sound_end(&self) -> Result<Position, CommitError> {
        let mut inner = self.inner.lock();
        self.make_sound(&mut inner)?;
        Ok(match &inner.segment {
            Some(under_way) => {
                Position { segment: inner.next_index.saturating_sub(1), offset: under_way.len }
            }
            None => Position { segment: inner.next_index, offset: 0 },
        })
    }

    /// Shortens the log by the older two thirds of its segments, as Prometheus does: what is newer mostly has
    /// to be kept, and would be written again and again. `settle` is called when it is known which segments
    /// are finished: it has whatever else is to vouch for their samples do so, and says from when on it
    /// matters what is deleted. A log that gives a number to several series is shortened by all of them.
    /// `None` when there is nothing to shorten.
    pub(crate) fn truncate_before(
        &self,
        before: TimestampMs,
        compression: WalCompression,
        memory: &Memory<'_>,
        settle: &dyn Fn() -> Result<TimestampMs, CommitError>,
    ) -> Result<Option<CheckpointStats>, CheckpointError> {
        let Some(finished) = self.cut_segment()? else { return Ok(None) };
        let kept_from = KeptFrom { samples: before, tombstones: settle()?.min(before) };
        let listing = list(&*self.fs, &self.dir).map_err(SequenceError::new("listing", &self.dir))?;
        let first = listing.segments.first().map(|s| s.index).filter(|first| *first <= finished);
        let Some(first) = first else { return Ok(None) };
        // What names a number twice goes whole: nothing behind it may be taken for another series'.
        let last = if memory.given_twice.is_empty() { first + (finished - first) * 2 / 3 } else { finished };
        let _one_at_a_time = self.truncating.lock();
        // The segments up to the last one are finished. Batches go on meanwhile. A failure leaves them.
        let checkpoint = Checkpoint {
            fs: &*self.fs,
            dir: &self.dir,
            last,
            kept_from,
            segment_pages: self.segment_pages,
            compression,
        };
        let stats = checkpoint.write(memory)?;
        self.forget_up_to(last);
        Ok(Some(stats))
    }

    /// Removes whole segments that nobody needs any more. What cannot be removed is passed over by a replay
    /// where a checkpoint stands for it, and is tried again the next time.
    pub(crate) fn forget_up_to(&self, last: u32) {
        if let Err(error) = remove_up_to(&*self.fs, &self.dir, last) {
            tracing::warn!(dir = %self.dir.display(), last, %error, "old WAL segments were not removed");
        }
    }

    /// Removes whole segments that no start may read any more, durably.
    pub(crate) fn remove_up_to(&self, last: u32) -> Result<(), CommitError> {
        remove_up_to(&*self.fs, &self.dir, last)
            .and_then(|()| self.fs.sync_dir(&self.dir))
            .map_err(|source| CommitError::Retry { path: self.dir.clone(), source })
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The first of its segments.
    pub(crate) fn first_segment(&self) -> io::Result<u32> {
        let segments = segments_in(&*self.fs, &self.dir)?;
        Ok(segments.first().map_or_else(|| self.under_way(), |segment| segment.index))
    }

    /// The bytes that the log takes on disk.
    pub(crate) fn disk_bytes(&self) -> io::Result<u64> {
        byte_len(&*self.fs, &self.dir)
    }

    /// Says in the log that batches are refused, and that they are taken again; each once.
    fn say_taken(&self, inner: &mut Inner, written: &Result<(), Refused>) {
        let dir = self.dir.display();
        match written {
            Err(e) if !mem::replace(&mut inner.said_refused, true) => tracing::error!(
                %dir, error = %e.source,
                "the WAL takes no batches, what comes in is lost: make room on the disk; no restart is needed"
            ),
            Ok(()) if mem::take(&mut inner.said_refused) => {
                tracing::info!(%dir, "the WAL takes batches again");
            }
            _ => {}
        }
    }

    /// Makes every record logged so far durable.
    pub(crate) fn sync(&self) -> Result<(), CommitError> {
        let mut in_flight = self.syncing.lock();
        let handles = {
            let mut inner = self.inner.lock();
            match &inner.state {
                State::Sound => {}
                State::Rescue => return self.rescue(&mut inner),
                State::Halted(reason) => {
                    return Err(CommitError::Halt { path: self.dir.clone(), reason: reason.clone() });
                }
            }
            if inner.unsynced.is_empty() {
                return Ok(());
            }
            in_flight.clear();
            mem::swap(&mut *in_flight, &mut inner.unsynced);
            inner.syncing = true;
            inner.handles()
        };
        let result = self.sync_all(&handles);
        let mut inner = self.inner.lock();
        inner.syncing = false;
        let Err(e) = result else {
            inner.finished.retain(|f| !handles.iter().any(|h| Arc::ptr_eq(f, h)));
            return Ok(());
        };
        in_flight.append(&inner.unsynced);
        mem::swap(&mut *in_flight, &mut inner.unsynced);
        in_flight.clear();
        inner.segment = None;
        inner.finished.clear();
        inner.state = State::Rescue;
        tracing::error!(
            dir = %self.dir.display(), error = %e, bytes = inner.unsynced.byte_len(),
            "synchronising the WAL failed; what it may have lost is written to a new segment"
        );
        self.rescue(&mut inner)
    }

    fn sync_all(&self, handles: &[SyncHandle]) -> io::Result<()> {
        let started = self.clock.monotonic();
        let result = handles.iter().try_for_each(|h| h.lock().sync());
        let took = self.clock.monotonic().saturating_sub(started);
        self.stats.wal_synced(took, &result);
        result
    }

    /// Sees that the log takes records: what may be lost is written first.
    fn make_sound(&self, inner: &mut Inner) -> Result<(), CommitError> {
        match &inner.state {
            State::Sound => Ok(()),
            State::Rescue => self.rescue(inner),
            State::Halted(reason) => {
                Err(CommitError::Halt { path: self.dir.clone(), reason: reason.clone() })
            }
        }
    }

    /// Takes no batch from now on. Those that were committed are made durable where the log is sound, as that
    /// was promised.
    pub(crate) fn halt(&self, reason: String) {
        let mut inner = self.inner.lock();
        match inner.state {
            State::Halted(_) => return,
            State::Sound => {
                if let Err(error) = self.sync_all(&inner.handles()) {
                    tracing::error!(dir = %self.dir.display(), %error, "synchronising the WAL failed");
                }
            }
            State::Rescue => {}
        }
        self.set_halted(&mut inner, reason);
    }

    fn set_halted(&self, inner: &mut Inner, reason: String) {
        tracing::error!(dir = %self.dir.display(), reason, "the WAL has halted: what comes in is lost");
        Stats::add(&self.stats.wal_halted, 1);
        inner.state = State::Halted(reason);
    }

    /// Writes what may be lost to a new segment and makes it durable.
    fn rescue(&self, inner: &mut Inner) -> Result<(), CommitError> {
        inner.rescued.clear();
        let unsynced = mem::take(&mut inner.unsynced);
        // What is rewritten is in our hands, as in those of a synchronisation.
        inner.syncing = true;
        let written = self.write(inner, unsynced.iter());
        inner.syncing = false;
        inner.unsynced = unsynced;
        let rescued = written.and_then(|()| {
            let in_sync = |source| Refused { path: self.dir.clone(), source, in_sync: true };
            self.sync_all(&inner.handles()).map_err(in_sync)
        });
        let Err(e) = rescued else {
            tracing::warn!(dir = %self.dir.display(), "the WAL is durable again");
            inner.unsynced.clear();
            inner.finished.clear();
            inner.state = State::Sound;
            return Ok(());
        };
        let no_room = is_no_room(&e.source);
        if e.in_sync && !no_room {
            let failed = "two synchronisations of the WAL in a row failed, the last with";
            let reason = format!("{failed}: {}; restart once the disk is sound", e.source);
            self.set_halted(inner, reason.clone());
            return Err(CommitError::Halt { path: self.dir.clone(), reason });
        }
        self.discard_rescued(inner);
        let refused = Err(e);
        self.say_taken(inner, &refused);
        refused.map_err(Into::into)
    }

    /// Removes what a failed rescue wrote: it stands in `unsynced` still, and would take the room that is
    /// missing. From the last segment on, so that no number is left out.
    fn discard_rescued(&self, inner: &mut Inner) {
        inner.segment = None;
        inner.finished.clear();
        while let Some(index) = inner.rescued.pop() {
            let is_last = index + 1 == inner.next_index;
            if !is_last || self.fs.remove_file(&segment_path(&self.dir, index)).is_err() {
                // What stays is whole or torn like any last segment, and its records come once more.
                break;
            }
            inner.next_index = index;
        }
    }

    /// Frames and writes records, cutting segments where they are full.
    fn write<'a>(
        &self,
        inner: &mut Inner,
        records: impl Iterator<Item = Framable<'a>>,
    ) -> Result<(), Refused> {
        inner.out.clear();
        inner.has_part = false;
        for record in records {
            let full = inner.segment.as_ref().is_none_or(|s| {
                !fits(self.segment_pages, s.len + inner.out.len() as u64, record.bytes.len())
            });
            if full {
                self.flush(inner)?;
                self.cut(inner)?;
            }
            let start = inner.segment.as_ref().map_or(0, |s| s.len);
            frame(&mut inner.out, start, record);
        }
        self.flush(inner)
    }

    /// Appends `out` to the segment. When it fails, nothing of it is left behind.
    fn flush(&self, inner: &mut Inner) -> Result<(), Refused> {
        let Some(segment) = &mut inner.segment else { return Ok(()) };
        let Err(source) = append_all(&mut *segment.file, &inner.out) else {
            segment.len += inner.out.len() as u64;
            inner.has_part |= !inner.out.is_empty();
            self.stats.wal_written(inner.out.len() as u64);
            inner.out.clear();
            return Ok(());
        };
        inner.out.clear();
        self.stats.wal_write_failed();
        let path = segment.path.clone();
        if let Err(e) = segment.file.truncate(segment.len) {
            tracing::warn!(
                segment = %path.display(), offset = segment.len, error = %e,
                "cutting off an unfinished record failed; the next batch begins a new segment"
            );
            inner.finish_segment();
        }
        Err(Refused::new(path)(source))
    }

    /// Finishes the segment and begins the next one.
    fn cut(&self, inner: &mut Inner) -> Result<(), Refused> {
        inner.pad();
        self.sync_finished(inner)?;
        let path = segment_path(&self.dir, inner.next_index);
        if inner.next_index > MAX_INDEX {
            let none_left = "there is no number for another segment: move the log away and start anew";
            return Err(Refused::new(path)(io::Error::other(none_left)));
        }
        let file = match self.late_dir.create_file(&*self.fs, &path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // Left over by an attempt that failed half-way. It is empty, and is part of the sequence.
                inner.next_index += 1;
                return Err(Refused::new(path)(e));
            }
            other => other.map_err(Refused::new(&path))?,
        };
        let handle = self
            .fs
            .open(&path, OpenMode::Append)
            .and_then(|handle| self.fs.sync_dir(&self.dir).map(|()| handle));
        let handle = handle.map_err(|e| {
            // An empty segment does no harm; when it stays, the next attempt goes past it.
            let _ = self.fs.remove_file(&path);
            Refused::new(&path)(e)
        })?;
        inner.finished.clear();
        if matches!(inner.state, State::Rescue) {
            inner.rescued.push(inner.next_index);
        }
        self.under_way.store(inner.next_index, Ordering::Relaxed);
        inner.next_index += 1;
        inner.segment = Some(Segment { path, file, sync: Arc::new(Mutex::new(handle)), len: 0 });
        self.stats.wal_segment_begun(inner.next_index - 1);
        Ok(())
    }

    /// Makes all segments so far durable before another one begins. When that fails, the next group
    /// synchronisation fails too, as the file refuses it, and does what is to be done then.
    fn sync_finished(&self, inner: &mut Inner) -> Result<(), Refused> {
        if inner.unsynced.is_empty() && !inner.syncing && !inner.has_part {
            return Ok(());
        }
        let handles = inner.handles();
        self.sync_all(&handles).map_err(|e| Refused { in_sync: true, ..Refused::new(&self.dir)(e) })?;
        inner.unsynced.clear();
        inner.has_part = false;
        Ok(())
    }
}

impl Inner {
    fn finish_segment(&mut self) {
        if let Some(segment) = self.segment.take() {
            self.finished.push(segment.sync);
        }
    }

    /// All that has to be synchronised.
    fn handles(&self) -> Vec<SyncHandle> {
        self.finished.iter().chain(self.segment.as_ref().map(|s| &s.sync)).map(Arc::clone).collect()
    }

    /// Fills the last page with zeros, as Prometheus does. Readers do not need it, so that a failure
    /// is no failure of the batch.
    fn pad(&mut self) {
        let Some(segment) = &mut self.segment else { return };
        let room = page_room(segment.len) % PAGE_SIZE;
        match append_all(&mut *segment.file, &[0; PAGE_SIZE][..room]) {
            Ok(()) => segment.len += room as u64,
            // Some of the zeros may be there; what follows must not stand behind them.
            Err(_) => drop(segment.file.truncate(segment.len)),
        }
    }
}
