//! Checkpoints: what is still needed of old segments, written anew, so that those can go. Reads and writes
//! records one at a time; never changes what stands in a segment.
//!
//! A checkpoint is a directory of segments. It gets its name only when all of it is durable: whatever ends
//! the program before that leaves the old state, and a directory `*.tmp` that the next checkpoint or the next
//! start removes. Damage is passed over as a replay does it: what a replay would not read is gone anyway.

mod filter;

use super::{
    compress::Compressor,
    page::{Framable, PAGE_SIZE, fits, frame, page_room},
    reader::{Item, SegmentReader},
    segment::{Listing, SegmentFile, TEMPORARY_SUFFIX, checkpoint_path, list, segment_path},
};
use crate::options::WalCompression;
use filter::Filter;
use skopos_base::fs::{File, Fs, OpenMode, append_all};
use skopos_model::Labels;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Framed bytes gathered before they are written.
const FLUSH_BYTES: usize = 1 << 20;

/// What a checkpoint went through and what it left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointStats {
    /// Series named in the segments, and those of them that nobody needs any more.
    pub series: Passed,
    /// Samples, histograms among them, and those that are too old.
    pub samples: Passed,
    /// Tombstones, and those of times that are too old.
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
    #[error(
        "checkpoint of the WAL: {doing} {path} failed: {source}; the old segments stay; make room on the disk"
    )]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log takes no writes.
    #[error("checkpoint of the WAL: {0}")]
    Log(#[from] skopos_storage::CommitError),
}

fn fail(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.into();
    move |source| CheckpointError::Io { doing, path, source }
}

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoint<'a> {
    pub(crate) fs: &'a dyn Fs,
    /// The log's directory.
    pub(crate) dir: &'a Path,
    /// The last segment that the checkpoint stands for; it must be finished.
    pub(crate) last: u32,
    /// Samples, exemplars and tombstones before this time are dropped.
    pub(crate) min_valid_ms: i64,
    pub(crate) segment_pages: u64,
    pub(crate) compression: WalCompression,
}

impl Checkpoint<'_> {
    /// Writes the checkpoint from the one before it and the segments behind that. `keep` says of a series
    /// whether it is still needed, by its number and its labels.
    pub(crate) fn write(
        &self,
        keep: &dyn Fn(u64, &Labels) -> bool,
    ) -> Result<CheckpointStats, CheckpointError> {
        let listing = list(self.fs, self.dir).map_err(fail("listing", self.dir))?;
        remove_temporary(self.fs, self.dir).map_err(fail("cleaning", self.dir))?;
        if listing.checkpoint_index.is_some_and(|index| index >= self.last) {
            // An attempt that failed at its very end.
            self.fs.sync_dir(self.dir).map_err(fail("synchronising", self.dir))?;
            return Ok(CheckpointStats::default());
        }
        let path = checkpoint_path(self.dir, self.last);
        let mut temporary = path.clone().into_os_string();
        temporary.push(TEMPORARY_SUFFIX);
        let temporary = PathBuf::from(temporary);
        let result = self.write_to(&temporary, &listing, keep).and_then(|stats| {
            self.fs.rename(&temporary, &path).map_err(fail("renaming", &temporary))?;
            Ok(stats)
        });
        match result {
            Ok(stats) => {
                self.fs.sync_dir(self.dir).map_err(fail("synchronising", self.dir))?;
                Ok(stats)
            }
            Err(e) => {
                // What stays is removed by the next attempt, or at the next start.
                let _ = self.fs.remove_dir_all(&temporary);
                Err(e)
            }
        }
    }

    fn write_to(
        &self,
        temporary: &Path,
        listing: &Listing,
        keep: &dyn Fn(u64, &Labels) -> bool,
    ) -> Result<CheckpointStats, CheckpointError> {
        self.fs.create_dir_all(temporary).map_err(fail("making", temporary))?;
        let mut out = Segments::new(self, temporary)?;
        let mut filter = Filter::new(self.min_valid_ms, keep);
        let segments = listing.segments.iter().filter(|s| s.index <= self.last);
        for segment in listing.checkpoint.iter().chain(segments) {
            self.pass(segment, &mut filter, &mut out)?;
        }
        let stats = filter.finish(|record| out.push(record))?;
        out.finish()?;
        self.fs.sync_dir(temporary).map_err(fail("synchronising", temporary))?;
        Ok(stats)
    }

    fn pass(
        &self,
        segment: &SegmentFile,
        filter: &mut Filter<'_>,
        out: &mut Segments<'_>,
    ) -> Result<(), CheckpointError> {
        let path = &segment.path;
        let file = self.fs.open(path, OpenMode::Read).map_err(fail("opening", path))?;
        let mut reader = SegmentReader::new(&*file);
        filter.begin_segment();
        while let Some(item) = reader.next().map_err(fail("reading", path))? {
            match item {
                Item::Fault(fault) => {
                    filter.fault();
                    tracing::warn!(
                        segment = %path.display(), offset = fault.offset, reason = fault.reason,
                        "the WAL is damaged here; the checkpoint leaves out what touches this page"
                    );
                }
                Item::Record(_, record) => filter.pass(record, |record| out.push(record))?,
            }
        }
        Ok(())
    }
}

/// The segments of a checkpoint being written.
struct Segments<'a> {
    spec: &'a Checkpoint<'a>,
    dir: &'a Path,
    next_index: u32,
    path: PathBuf,
    file: Box<dyn File>,
    len: u64,
    out: Vec<u8>,
    compressor: Compressor,
    compressed: Vec<u8>,
}

impl<'a> Segments<'a> {
    fn new(spec: &'a Checkpoint<'a>, dir: &'a Path) -> Result<Self, CheckpointError> {
        let path = segment_path(dir, 0);
        let file = spec.fs.open(&path, OpenMode::CreateNew).map_err(fail("making", &path))?;
        let (out, compressor, compressed) = (Vec::new(), Compressor::default(), Vec::new());
        Ok(Self { spec, dir, next_index: 1, path, file, len: 0, out, compressor, compressed })
    }

    fn push(&mut self, record: &[u8]) -> Result<(), CheckpointError> {
        let mut compressed = std::mem::take(&mut self.compressed);
        let framable = self.compressor.compress(self.spec.compression, record, &mut compressed);
        let result = self.push_framable(framable);
        self.compressed = compressed;
        result
    }

    fn push_framable(&mut self, record: Framable<'_>) -> Result<(), CheckpointError> {
        let at = self.len + self.out.len() as u64;
        // A record may have grown a little and fit into no segment; readers do not mind a longer one.
        if at > 0 && !fits(self.spec.segment_pages, at, record.bytes.len()) {
            self.finish_segment()?;
            let path = segment_path(self.dir, self.next_index);
            self.file = self.spec.fs.open(&path, OpenMode::CreateNew).map_err(fail("making", &path))?;
            (self.path, self.len) = (path, 0);
            self.next_index += 1;
        }
        frame(&mut self.out, self.len, record);
        if self.out.len() >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CheckpointError> {
        append_all(&mut *self.file, &self.out).map_err(fail("writing", &self.path))?;
        self.len += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    /// Fills the last page, as Prometheus does, and makes the segment durable.
    fn finish_segment(&mut self) -> Result<(), CheckpointError> {
        let room = page_room(self.len + self.out.len() as u64) % PAGE_SIZE;
        self.out.resize(self.out.len() + room, 0);
        self.flush()?;
        self.file.sync().map_err(fail("synchronising", &self.path))
    }

    fn finish(mut self) -> Result<(), CheckpointError> {
        self.finish_segment()
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
