//! Head chunks on disk: the directory `chunks_head` in Prometheus' format (docs/formats/head-chunks.md),
//! which closed chunks of the head go to, so that memory holds only open ones. Knows chunks by their places;
//! knows no series. Never the only home of a sample: the WAL has all of them until they are in a block, so
//! that what is missing or damaged here at a start is read from there.
//!
//! - `format`: one entry, to and from bytes.
//! - `buffer`: entries that are not in a file yet.
//! - `writer`: from the buffer to files, and whole files away.
//! - `load`: all entries at the start; what is damaged is cut off.
//! - `unnamed`: chunks whose series nobody names.
//!
//! Commits put entries into the buffer, where they can be read at once; the thread that synchronises the WAL
//! writes them to a file after the samples in them are durable in the WAL: after a power loss no file has a
//! sample that the WAL has lost.

mod buffer;
pub(crate) mod format;
mod load;
#[cfg(test)]
mod tests;
mod unnamed;
mod writer;

pub(crate) use format::{Entry, MAX_FILE_BYTES, Order};
pub(crate) use load::{Loaded, OpenedChunks, check};
pub(crate) use unnamed::UnnamedChunks;

use crate::dirs::LateDir;
use buffer::Buffer;
pub(crate) use buffer::ChunkPlace;
use format::{EntryError, extent, parse_entry};
use skopos_base::fs::{File, SharedFs};
use skopos_base::sync::{
    Mutex, RwLock,
    atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
};
use skopos_chunk::{Encoding, samples_in};
use skopos_model::TimestampMs;
use skopos_storage::{QueryError, TimeRange};
use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
pub(crate) use writer::Sealed;
use writer::Writer;

/// Where a closed chunk is, and what it spans: all that memory keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkMeta {
    min_ms: i64,
    span_ms: u32,
    file: u32,
    offset: u32,
    samples: u16,
    /// Of the entry; `u16::MAX` when it has as many or more.
    bytes: u16,
}

impl ChunkMeta {
    fn new(entry: &Entry<'_>, at: ChunkPlace, len: usize) -> Self {
        let (min_ms, max_ms) = (entry.min.as_ms(), entry.max.as_ms());
        Self {
            min_ms,
            span_ms: u32::try_from(max_ms.wrapping_sub(min_ms)).unwrap_or(u32::MAX),
            file: at.file,
            offset: at.offset,
            samples: samples_in(entry.encoding, entry.bytes).unwrap_or(0),
            bytes: u16::try_from(len).unwrap_or(u16::MAX),
        }
    }

    /// The time of its first sample.
    pub(crate) fn min_ms(&self) -> i64 {
        self.min_ms
    }

    /// The time of its last sample.
    pub(crate) fn max_ms(&self) -> i64 {
        self.min_ms.saturating_add(i64::from(self.span_ms))
    }

    /// The times of its first and of its last sample.
    pub(crate) fn range(&self) -> TimeRange {
        TimeRange { min: TimestampMs::new(self.min_ms()), max: TimestampMs::new(self.max_ms()) }
    }

    /// How many samples it has.
    pub(crate) fn samples(&self) -> u16 {
        self.samples
    }

    /// The number of its file.
    pub(crate) fn file(&self) -> u32 {
        self.file
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> ChunkPlace {
        ChunkPlace { file: self.file, offset: self.offset }
    }
}

/// A chunk in a buffer that was read into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadChunk {
    pub(crate) encoding: Encoding,
    /// Where in the buffer its bytes are.
    pub(crate) bytes: Range<usize>,
}

/// A file that can be read.
#[derive(Debug)]
struct ChunkFile {
    path: PathBuf,
    file: Box<dyn File>,
    /// Of all its chunks.
    max_ms: AtomicI64,
}

/// The directory, and what is on the way to it. Shared by commits, readers and the writing thread.
#[derive(Debug)]
pub(crate) struct HeadChunks {
    fs: SharedFs,
    dir: PathBuf,
    late_dir: LateDir,
    /// A file takes no entry that would make it longer.
    max_file_bytes: u32,
    files: RwLock<BTreeMap<u32, Arc<ChunkFile>>>,
    buffer: Mutex<Buffer>,
    /// How many bytes that has, to be asked for while it is locked.
    waiting: AtomicUsize,
    /// What stands before this place is in a file.
    written: AtomicU64,
    /// Whether the last attempt to write to a file failed.
    refused: AtomicBool,
    /// Locked before `buffer` and `files`, neither of which is held while the disk works.
    writer: Mutex<Writer>,
}

impl HeadChunks {
    /// Takes a chunk. It can be read from now on.
    pub(crate) fn put(&self, entry: &Entry<'_>) -> ChunkMeta {
        let mut buffer = self.buffer.lock();
        let (at, len) = buffer.push(entry, self.max_file_bytes);
        self.waiting.store(buffer.byte_len(), Ordering::Relaxed);
        ChunkMeta::new(entry, at, len)
    }

    /// Reads a chunk into `out`, whose content it replaces; says where in it the chunk stands. Its checksum
    /// is right and it is the one that was put.
    ///
    /// # Errors
    /// When the system refuses to read, or the file is damaged.
    pub(crate) fn read(&self, meta: &ChunkMeta, out: &mut Vec<u8>) -> Result<ReadChunk, QueryError> {
        out.clear();
        let at = meta.place();
        let buffered = at.number() >= self.written.load(Ordering::Acquire) && {
            let buffer = self.buffer.lock();
            buffer.copy(at, out)
        };
        let path = if buffered { PathBuf::from("head") } else { self.read_file(meta, out)? };
        let corrupt = |reason: EntryError| QueryError::Corrupt {
            path: path.clone(),
            offset: u64::from(meta.offset),
            reason: reason.to_string(),
        };
        let (entry, len) = parse_entry(out).map_err(corrupt)?;
        if *meta != ChunkMeta::new(&entry, at, len) {
            return Err(corrupt(EntryError::Other));
        }
        let encoding = entry.encoding;
        let (bytes, _) = extent(out).map_err(corrupt)?;
        Ok(ReadChunk { encoding, bytes })
    }

    /// Reads an entry from its file; returns the file's path.
    fn read_file(&self, meta: &ChunkMeta, out: &mut Vec<u8>) -> Result<PathBuf, QueryError> {
        let Some(file) = self.files.read().get(&meta.file).map(Arc::clone) else {
            let path = file_path(&self.dir, meta.file);
            return Err(QueryError::Io { path, source: io::ErrorKind::NotFound.into() });
        };
        let failed = |source| QueryError::Io { path: file.path.clone(), source };
        let offset = u64::from(meta.offset);
        read_at(&*file.file, offset, usize::from(meta.bytes), out).map_err(failed)?;
        if meta.bytes == u16::MAX
            && let Ok((_, len)) = extent(out)
        {
            let room = file.file.len().map_err(failed)?.saturating_sub(offset);
            let len = usize::try_from(room).unwrap_or(usize::MAX).min(len);
            read_at(&*file.file, offset, len, out).map_err(failed)?;
        }
        Ok(file.path.clone())
    }

    /// How many bytes wait to be written.
    #[inline]
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many bytes wait for a disk that refuses them; none while it takes them, however many wait.
    #[inline]
    pub(crate) fn refused_bytes(&self) -> usize {
        if self.refused.load(Ordering::Relaxed) { self.buffered_bytes() } else { 0 }
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

fn file_path(dir: &std::path::Path, index: u32) -> PathBuf {
    dir.join(format!("{index:06}"))
}

/// Reads `len` bytes, or as many as there are, into `out`, whose content it replaces.
fn read_at(file: &dyn File, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
    out.clear();
    out.resize(len, 0);
    let mut done = 0;
    while done < len {
        let n = file.pread(&mut out[done..], offset + done as u64)?;
        if n == 0 {
            break;
        }
        done += n;
    }
    out.truncate(done);
    Ok(())
}

/// The later of two times.
fn max_of(a: i64, b: TimestampMs) -> i64 {
    a.max(b.as_ms())
}
