//! `SequenceWriter`: records into the segments of a directory of their own, as checkpoints and snapshots are.
//! Nothing of it counts before its directory has its final name.

use super::{
    compress::Compressor,
    page::{Framable, PAGE_SIZE, fits, frame, page_room},
    segment::{TEMPORARY_SUFFIX, segment_path},
};
use crate::options::WalCompression;
use skopos_base::fs::{File, Fs, OpenMode, append_all, parent};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Framed bytes gathered before they are written.
const FLUSH_BYTES: usize = 1 << 20;

/// What the system refused.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {path} failed: {source}")]
pub struct SequenceError {
    /// What was tried.
    pub doing: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl SequenceError {
    pub(crate) fn new(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { doing, path, source }
    }
}

use SequenceError as Fail;

/// Where and how segments are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence<'a> {
    pub(crate) fs: &'a dyn Fs,
    /// The directory that there will be.
    pub(crate) dir: &'a Path,
    pub(crate) segment_pages: u64,
    pub(crate) compression: WalCompression,
}

impl Sequence<'_> {
    /// Writes what `fill` pushes, makes it durable and gives it its name, all or nothing.
    pub(crate) fn write<T, E: From<Fail>>(
        &self,
        fill: impl FnOnce(&mut SequenceWriter<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut temporary = self.dir.to_owned().into_os_string();
        temporary.push(TEMPORARY_SUFFIX);
        let temporary = PathBuf::from(temporary);
        let result = self.write_to(&temporary, fill).and_then(|done| {
            self.fs.rename(&temporary, self.dir).map_err(Fail::new("renaming", &temporary))?;
            Ok(done)
        });
        if result.is_err() {
            // What stays is removed by the next attempt, or at the next start.
            let _ = self.fs.remove_dir_all(&temporary);
            return result;
        }
        let above = parent(self.dir);
        self.fs.sync_dir(&above).map_err(Fail::new("synchronising", &above))?;
        result
    }

    fn write_to<T, E: From<Fail>>(
        &self,
        temporary: &Path,
        fill: impl FnOnce(&mut SequenceWriter<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.fs.create_dir_all(temporary).map_err(Fail::new("making", temporary))?;
        let mut out = SequenceWriter::new(self, temporary)?;
        let done = fill(&mut out)?;
        out.finish_segment()?;
        self.fs.sync_dir(temporary).map_err(Fail::new("synchronising", temporary))?;
        Ok(done)
    }
}

/// The segments being written.
pub(crate) struct SequenceWriter<'a> {
    spec: &'a Sequence<'a>,
    dir: &'a Path,
    next_index: u32,
    path: PathBuf,
    file: Box<dyn File>,
    len: u64,
    out: Vec<u8>,
    compressor: Compressor,
    compressed: Vec<u8>,
}

impl<'a> SequenceWriter<'a> {
    fn new(spec: &'a Sequence<'a>, dir: &'a Path) -> Result<Self, Fail> {
        let path = segment_path(dir, 0);
        let file = spec.fs.open(&path, OpenMode::CreateNew).map_err(Fail::new("making", &path))?;
        let (out, compressor, compressed) = (Vec::new(), Compressor::default(), Vec::new());
        Ok(Self { spec, dir, next_index: 1, path, file, len: 0, out, compressor, compressed })
    }

    pub(crate) fn push(&mut self, record: &[u8]) -> Result<(), Fail> {
        let mut compressed = std::mem::take(&mut self.compressed);
        let framable = self.compressor.compress(self.spec.compression, record, &mut compressed);
        let result = self.push_framable(framable);
        self.compressed = compressed;
        result
    }

    fn push_framable(&mut self, record: Framable<'_>) -> Result<(), Fail> {
        let at = self.len + self.out.len() as u64;
        // A record may have grown a little and fit into no segment; readers do not mind a longer one.
        if at > 0 && !fits(self.spec.segment_pages, at, record.bytes.len()) {
            self.finish_segment()?;
            let path = segment_path(self.dir, self.next_index);
            self.file = self.spec.fs.open(&path, OpenMode::CreateNew).map_err(Fail::new("making", &path))?;
            (self.path, self.len) = (path, 0);
            self.next_index += 1;
        }
        frame(&mut self.out, self.len, record);
        if self.out.len() >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fail> {
        append_all(&mut *self.file, &self.out).map_err(Fail::new("writing", &self.path))?;
        self.len += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    /// Fills the last page, as Prometheus does, and makes the segment durable.
    fn finish_segment(&mut self) -> Result<(), Fail> {
        let room = page_room(self.len + self.out.len() as u64) % PAGE_SIZE;
        self.out.resize(self.out.len() + room, 0);
        self.flush()?;
        self.file.sync().map_err(Fail::new("synchronising", &self.path))
    }
}
