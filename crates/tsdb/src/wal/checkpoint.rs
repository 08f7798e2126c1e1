//! Checkpoints: what is still needed of old segments, written anew, so that those can go. Reads and writes
//! records one at a time; never changes what stands in a segment.
//!
//! A checkpoint is a directory of segments. It gets its name only when all of it is durable: whatever ends
//! the program before that leaves the old state, and a directory `*.tmp` that the next checkpoint or the next
//! start removes. Damage is passed over as a replay does it: what a replay would not read is gone from the
//! log anyway. The names of series are not read from the log but told by memory, and memory is asked to save
//! what else it has before a damaged segment goes.

mod filter;

use super::{
    reader::{Item, SegmentReader},
    segment::{SegmentFile, TEMPORARY_SUFFIX, checkpoint_path, list},
    sequence::{Sequence, SequenceError, SequenceWriter},
};
use crate::options::WalCompression;
use filter::Filter;
use skopos_base::fs::{Fs, OpenMode};
use skopos_model::{Labels, TimestampMs};
use skopos_storage::CommitError;
use std::{collections::BTreeSet, io, path::Path};

/// What a checkpoint went through and what it left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointStats {
    /// Series named in the segments, and those of them that nobody needs any more.
    pub series: Passed,
    /// Samples, histograms among them, and those that are too old.
    pub samples: Passed,
    /// Tombstones, and those of which nothing counts any more.
    pub tombstones: Passed,
    /// Exemplars, and those that are too old.
    pub exemplars: Passed,
    /// Metadata, and those that later ones replace.
    pub metadata: Passed,
    /// Places that are damaged; what touches them is lost.
    pub faults: u64,
}

/// How many of something were read and how many of them were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// All that were read.
    pub total: u64,
    /// Those of them that were not written again.
    pub dropped: u64,
}

impl Passed {
    fn add(&mut self, total: usize, kept: usize) {
        self.total += total as u64;
        self.dropped += (total - kept) as u64;
    }
}

/// Why old segments could not be replaced. They are all still there, and so is the old checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system did not let us read or write.
    #[error("checkpoint of the WAL: {0}; the old segments stay; make room on the disk")]
    Io(#[from] SequenceError),
    /// The log takes no writes.
    #[error("checkpoint of the WAL: {0}")]
    Log(#[from] CommitError),
}

/// Hands out the series that are still needed: their numbers with their labels, of a series' numbers the
/// newest one last.
pub(crate) type LiveSeries<'a> = dyn Fn(&mut dyn FnMut(u64, &Labels)) + 'a;

/// What memory knows of the log.
pub(crate) struct Memory<'a> {
    pub(crate) series: &'a LiveSeries<'a>,
    /// Numbers that the log gives to several series: what it has under them goes to each under another number
    /// of it, and nothing is named by them any more. Then all segments have to go.
    pub(crate) given_twice: &'a BTreeSet<u64>,
    /// Called when the log was found damaged, before that part of it goes: brings elsewhere what memory has
    /// of it.
    pub(crate) save: &'a dyn Fn() -> Result<(), CommitError>,
}

/// From when on a checkpoint keeps what the log says of a series that is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptFrom {
    /// Samples and exemplars.
    pub(crate) samples: TimestampMs,
    /// Tombstones; not later than samples.
    pub(crate) tombstones: TimestampMs,
}

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoint<'a> {
    pub(crate) fs: &'a dyn Fs,
    /// The log's directory.
    pub(crate) dir: &'a Path,
    /// The last segment that the checkpoint stands for; it must be finished.
    pub(crate) last: u32,
    pub(crate) kept_from: KeptFrom,
    pub(crate) segment_pages: u64,
    pub(crate) compression: WalCompression,
}

/// How far a segment is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    End,
    EndOfBatch,
}

impl Checkpoint<'_> {
    /// Writes the checkpoint from the one before it, the segments behind that, and what memory has.
    pub(crate) fn write(&self, memory: &Memory<'_>) -> Result<CheckpointStats, CheckpointError> {
        let listing = list(self.fs, self.dir).map_err(SequenceError::new("listing", self.dir))?;
        remove_temporary(self.fs, self.dir).map_err(SequenceError::new("cleaning", self.dir))?;
        if listing.checkpoint_index.is_some_and(|index| index >= self.last) {
            // An attempt that failed at its very end.
            self.fs.sync_dir(self.dir).map_err(SequenceError::new("synchronising", self.dir))?;
            return Ok(CheckpointStats::default());
        }
        let path = checkpoint_path(self.dir, self.last);
        let (fs, segment_pages, compression) = (self.fs, self.segment_pages, self.compression);
        Sequence { fs, dir: &path, segment_pages, compression }.write(|out| {
            let mut filter = Filter::new(self.kept_from);
            filter.name_series(memory, |record| Ok(out.push(record)?))?;
            let (segments, later): (Vec<_>, Vec<_>) =
                listing.segments.iter().partition(|s| s.index <= self.last);
            for segment in &listing.checkpoint {
                self.pass(segment, &mut filter, out, Until::End)?;
            }
            filter.end_checkpoint();
            for segment in segments {
                self.pass(segment, &mut filter, out, Until::End)?;
            }
            // A batch longer than a segment: whether all of it is there shows only later. What is written of
            // it twice is the same.
            for segment in later {
                if filter.is_within_batch() {
                    self.pass(segment, &mut filter, out, Until::EndOfBatch)?;
                }
            }
            let stats = filter.finish(|record| Ok(out.push(record)?))?;
            if stats.faults > 0 {
                (memory.save)()?;
            }
            Ok(stats)
        })
    }

    fn pass(
        &self,
        segment: &SegmentFile,
        filter: &mut Filter,
        out: &mut SequenceWriter<'_>,
        until: Until,
    ) -> Result<(), CheckpointError> {
        let path = &segment.path;
        let file = self.fs.open(path, OpenMode::Read).map_err(SequenceError::new("opening", path))?;
        let mut reader = SegmentReader::new(&*file);
        filter.begin_segment();
        while let Some(item) = reader.next().map_err(SequenceError::new("reading", path))? {
            match item {
                Item::Fault(fault) => {
                    tracing::warn!(
                        segment = %path.display(), offset = fault.offset, reason = fault.reason,
                        "the WAL is damaged here; the checkpoint leaves out what touches this page"
                    );
                    filter.damage(|record| Ok(out.push(record)?))?;
                }
                Item::Record(_, record) => filter.pass(record, |record| Ok(out.push(record)?))?,
            }
            if until == Until::EndOfBatch && !filter.is_within_batch() {
                break;
            }
        }
        Ok(())
    }
}

/// Removes what unfinished checkpoints left.
pub(crate) fn remove_temporary(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    for entry in fs.read_dir(dir)? {
        if entry.is_dir && entry.name.starts_with("checkpoint.") && entry.name.ends_with(TEMPORARY_SUFFIX) {
            fs.remove_dir_all(&dir.join(&entry.name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
