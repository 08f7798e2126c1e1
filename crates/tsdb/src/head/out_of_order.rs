//! Samples that come behind later ones of their series ("late" samples), as far as the head as a whole is
//! concerned: when they are, and the write-behind log (`wbl`), which names them once more and says which of
//! them are in chunks on disk. Never the only home of a sample that is not durable in the WAL.
//!
//! - `batch`: the late samples of one commit: stored, and made records of the write-behind log.
//! - `anew`: the write-behind log, where it was taken away.
//! - `cut`: late samples into blocks, and out of the head once they are there.
//!
//! A commit writes all its samples to the WAL. The records of the write-behind log wait in memory until the
//! WAL is durable: so that after a power loss the write-behind log has no part of a batch that the WAL has
//! lost. Before old segments of the WAL go, all that waits is written and durable.

mod anew;
mod batch;
pub(crate) mod cut;

pub(super) use batch::{LateBatch, Records, late_value};

use super::{Head, isolation::CommitId};
use crate::{
    stats::Stats,
    wal::{Wal, compress::Compressor, snapshot::Position},
};
use skopos_base::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};
use skopos_storage::{CommitError, TimeRange};
use std::{collections::VecDeque, io, sync::OnceLock};

/// While the write-behind log fails, so many bytes wait for it; what comes then is in the WAL alone.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// What the head knows of late samples.
#[derive(Debug, Default)]
pub(crate) struct OutOfOrder {
    extent: Mutex<Extent>,
    waiting: Mutex<Waiting>,
    /// Held while records go from `waiting` to the log; taken before it.
    writing: Mutex<Compressor>,
    log: OnceLock<Wal>,
    /// The last commit of which blocks have the late samples, or are about to.
    cut_up_to: AtomicU64,
    /// How many records the log never got.
    lost: AtomicU64,
    /// So many of those concern samples that are in blocks by now.
    lost_in_blocks: AtomicU64,
}

/// When late samples are; none without any.
#[derive(Debug, Default)]
struct Extent {
    all: Option<TimeRange>,
    /// Of those that came since a walk through all series began.
    since: Option<TimeRange>,
}

/// The range that has both.
fn widened(a: Option<TimeRange>, b: Option<TimeRange>) -> Option<TimeRange> {
    a.into_iter().chain(b).reduce(TimeRange::with)
}

/// Between the late samples that are cut and those that are not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// The last one that is cut.
    commit: CommitId,
    /// What of it the WAL has stands before this position.
    ahead: Position,
    /// What of it the write-behind log has is all that the segments up to this one have.
    behind: Option<u32>,
    /// The write-behind log had lost so many records.
    lost: u64,
}

/// Records on their way to the log.
#[derive(Debug, Default)]
struct Waiting {
    records: VecDeque<Vec<u8>>,
    bytes: usize,
    /// How many there have been before the first of them.
    before: u64,
}

impl OutOfOrder {
    /// Late samples are written to this log from now on.
    pub(crate) fn set_log(&self, log: Wal) {
        self.log.set(log).expect("invariant: a database has one write-behind log");
    }

    /// Whether a late sample may be in `range`.
    pub(crate) fn may_have(&self, range: TimeRange) -> bool {
        self.extent.lock().all.is_some_and(|all| all.min <= range.max && all.max >= range.min)
    }

    /// The times of the first and of the last late sample; none without any.
    pub(crate) fn time_range(&self) -> Option<TimeRange> {
        self.extent.lock().all
    }

    /// Where the log ends that has all late samples durably; none without any. Behind `settle_late`, while
    /// nobody appends.
    pub(crate) fn end_of_log(&self) -> Option<Position> {
        self.time_range()?;
        // No log has a segment of that number: what no log has is found in none.
        let nowhere = Position { segment: u32::MAX, offset: 0 };
        Some(self.log.get().and_then(Wal::end).unwrap_or(nowhere))
    }

    /// Notes when late samples are.
    pub(crate) fn saw(&self, range: TimeRange) {
        let mut extent = self.extent.lock();
        extent.all = widened(extent.all, Some(range));
        extent.since = widened(extent.since, Some(range));
    }

    /// The last commit of which blocks have the late samples, or are about to.
    pub(crate) fn cut_up_to(&self) -> CommitId {
        self.cut_up_to.load(Ordering::Acquire)
    }

    /// How many records there have been.
    fn logged(&self) -> u64 {
        let waiting = self.waiting.lock();
        waiting.before + waiting.records.len() as u64
    }

    fn push(&self, records: Vec<Vec<u8>>) {
        if self.log.get().is_some() {
            self.found(records);
        }
    }

    /// Records that a replay has found missing in the log, which is set soon.
    pub(crate) fn found(&self, records: Vec<Vec<u8>>) {
        let mut waiting = self.waiting.lock();
        for record in records {
            if waiting.bytes + record.len() > MAX_WAITING_BYTES {
                self.lost.fetch_add(1, Ordering::AcqRel);
                continue;
            }
            waiting.bytes += record.len();
            waiting.records.push_back(record);
        }
    }
}

impl Head {
    /// How far the write-behind log may be written once the WAL is durable.
    pub(super) fn late_records(&self) -> u64 {
        self.late.logged()
    }

    /// Writes the first `until` records to the write-behind log and makes them durable. The WAL has their
    /// samples.
    pub(super) fn write_late(&self, until: u64) -> Result<(), CommitError> {
        let Some(log) = self.late.log.get() else { return Ok(()) };
        let mut compressor = self.late.writing.lock();
        let written = self.write_records(log, until, &mut compressor).and_then(|()| log.sync());
        if written.is_err() {
            // The log says why.
            Stats::add(&self.stats.wbl_failed_writes_total, 1);
        }
        written
    }

    fn write_records(&self, log: &Wal, until: u64, compressor: &mut Compressor) -> Result<(), CommitError> {
        let (how, mut compressed) = (self.options.wal_compression, Vec::new());
        loop {
            let record = {
                let waiting = self.late.waiting.lock();
                if waiting.before >= until {
                    return Ok(());
                }
                let Some(record) = waiting.records.front() else { return Ok(()) };
                record.clone()
            };
            log.log(&[compressor.compress(how, &record, &mut compressed)])?;
            let mut waiting = self.late.waiting.lock();
            waiting.records.pop_front();
            waiting.bytes -= record.len();
            waiting.before += 1;
        }
    }

    /// Draws the line between what is cut now and what is cut later: the last commit of before, and where
    /// both logs have nothing of before any more.
    pub(crate) fn draw_line(&self, wal: &Wal) -> Result<Line, CommitError> {
        // Nothing of behind the line gets into the older segments of the write-behind log meanwhile.
        let mut compressor = self.late.writing.lock();
        let (commit, ahead, until, lost) = {
            let _no_commit = self.commit.lock();
            let commit = self.readers.visible();
            let ahead = wal.sound_end()?;
            self.late.cut_up_to.store(commit, Ordering::Release);
            (commit, ahead, self.late_records(), self.late.lost.load(Ordering::Acquire))
        };
        // A power loss must not leave a part of a batch in a block that the log has lost.
        wal.sync()?;
        let mut behind = None;
        if let Some(log) = self.late.log.get() {
            self.write_records(log, until, &mut compressor)?;
            behind = log.cut_segment()?;
        }
        Ok(Line { commit, ahead, behind, lost })
    }

    /// Has the write-behind log have durably all late samples that the WAL had when this was called: then the
    /// WAL's old segments may go.
    ///
    /// # Errors
    /// When a disk refuses, or the log lacks samples that are in no block yet.
    pub(crate) fn settle_late(&self, wal: &Wal) -> Result<(), CommitError> {
        let Some(log) = self.late.log.get() else { return Ok(()) };
        // Commits that the WAL has have pushed their records.
        drop(self.commit.lock());
        let until = self.late_records();
        wal.sync()?;
        self.write_late(until)?;
        let lost = self.late.lost.load(Ordering::Acquire);
        if lost > self.late.lost_in_blocks.load(Ordering::Acquire) {
            let source =
                io::Error::other("it lacks samples that are in the WAL alone until they are in a block");
            return Err(CommitError::Retry { path: log.dir().to_owned(), source });
        }
        Ok(())
    }
}
