//! From the buffer to files, and whole files away. A failure leaves everything readable, in the buffer or in
//! a file, and is tried again at the next call; but a synchronisation that failed, since a second one may
//! report success without having written anything.

use super::{
    ChunkFile, HeadChunks,
    buffer::{ChunkPlace, Part},
    file_path,
    format::{HEADER_SIZE, header},
};
use skopos_base::fs::{File, OpenMode, append_all};
use skopos_base::sync::atomic::{AtomicI64, Ordering};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The file that is written to.
#[derive(Debug, Default)]
pub(super) struct Writer {
    current: Option<Current>,
    /// Files found at the start that nobody has synchronised since: a killed process may have left them.
    found: BTreeSet<u32>,
    /// Files of which nobody knows what the disk has, as long as they are there.
    doubtful: BTreeMap<u32, PathBuf>,
}

impl Writer {
    /// Of a directory with these files.
    pub(super) fn new(found: impl IntoIterator<Item = u32>) -> Self {
        Self { found: found.into_iter().collect(), ..Self::default() }
    }

    /// Notes how the synchronisation of a file ended.
    fn synced(&mut self, index: u32, path: &Path, result: io::Result<()>) -> Result<(), WriteError> {
        result.map_err(|source| {
            self.doubtful.insert(index, path.to_owned());
            WriteError { path: path.to_owned(), source }
        })
    }
}

#[derive(Debug)]
struct Current {
    index: u32,
    file: Box<dyn File>,
    len: u32,
    known: Arc<ChunkFile>,
}

/// Up to here entries may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sealed(ChunkPlace);

/// A file that could not be written, synchronised or removed.
#[derive(Debug, thiserror::Error)]
#[error("head chunk file {path}: {source}")]
pub(crate) struct WriteError {
    path: PathBuf,
    source: io::Error,
}

impl HeadChunks {
    /// Marks what has been put so far.
    pub(crate) fn seal(&self) -> Sealed {
        Sealed(self.buffer.lock().seal())
    }

    /// Where the next chunk is put at the earliest.
    pub(crate) fn next_place(&self) -> ChunkPlace {
        self.buffer.lock().seal()
    }

    /// Has what is put from now on begin a file; the number of that file.
    pub(crate) fn begin_file(&self) -> u32 {
        let mut buffer = self.buffer.lock();
        buffer.cut();
        buffer.seal().file
    }

    /// Writes what had been put at `seal`. To be called once the samples in it are durable in the WAL.
    ///
    /// # Errors
    /// When the disk refuses; then what is not written stays in memory until the next call.
    pub(crate) fn write(&self, until: Sealed) -> Result<(), WriteError> {
        let mut writer = self.writer.lock();
        loop {
            let part = self.buffer.lock().first_sealed().filter(|part| part.end() <= until.0);
            let Some(part) = part else { return Ok(()) };
            let result = self.write_part(&mut writer, &part);
            self.refused.store(result.is_err(), Ordering::Relaxed);
            result?;
            self.written.store(part.end().number(), Ordering::Release);
            let mut buffer = self.buffer.lock();
            buffer.drop_first_sealed();
            self.waiting.store(buffer.byte_len(), Ordering::Relaxed);
        }
    }

    fn write_part(&self, writer: &mut Writer, part: &Part) -> Result<(), WriteError> {
        let index = part.start.file;
        let current = match &mut writer.current {
            Some(current) if current.index == index => current,
            _ => {
                self.finish(writer);
                writer.current.insert(self.begin(index)?)
            }
        };
        // An attempt before may have written a beginning of it.
        let mut done = (current.len - part.start.offset) as usize;
        while done < part.bytes.len() {
            let refused = |source| WriteError { path: current.known.path.clone(), source };
            let n = current.file.append(&part.bytes[done..]).map_err(refused)?;
            if n == 0 {
                return Err(refused(io::ErrorKind::WriteZero.into()));
            }
            done += n;
            current.len += n as u32;
        }
        current.known.max_ms.fetch_max(part.max_ms, Ordering::AcqRel);
        Ok(())
    }

    /// Makes the file durable that is written to. The WAL has its samples, so that a failure is said and no
    /// more: reading goes on, and finds by the checksums what the disk may have lost.
    fn finish(&self, writer: &mut Writer) {
        let Some(mut current) = writer.current.take() else { return };
        if let Err(e) = current.file.sync() {
            writer.doubtful.insert(current.index, current.known.path.clone());
            tracing::warn!(
                file = %current.known.path.display(), error = %e,
                "synchronising a head chunk file failed; what it lost is read from the WAL at the next start"
            );
        }
    }

    /// Makes all files durable.
    ///
    /// # Errors
    /// When the disk refuses, or refused it before for a file that is still there.
    pub(crate) fn sync(&self) -> Result<(), WriteError> {
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        if let Some((_, path)) = writer.doubtful.first_key_value() {
            let source =
                io::Error::other("its synchronisation failed before: nobody knows what the disk has");
            return Err(WriteError { path: path.clone(), source });
        }
        while let Some(index) = writer.found.first().copied() {
            let path = file_path(&self.dir, index);
            let opened = self.fs.open(&path, OpenMode::Append);
            let mut file = opened.map_err(|source| WriteError { path: path.clone(), source })?;
            writer.synced(index, &path, file.sync())?;
            writer.found.remove(&index);
        }
        if let Some(Current { index, file, known, .. }) = &mut writer.current {
            let (index, path, result) = (*index, known.path.clone(), file.sync());
            writer.synced(index, &path, result)?;
        }
        Ok(())
    }

    /// Makes what was written durable, as far as the disk lets it; whether everything was written.
    pub(crate) fn settle(&self) -> bool {
        self.finish(&mut self.writer.lock());
        self.buffered_bytes() == 0
    }

    fn begin(&self, index: u32) -> Result<Current, WriteError> {
        let path = file_path(&self.dir, index);
        let refused = |source| WriteError { path: path.clone(), source };
        let mut file = self.late_dir.create_file(&*self.fs, &path).or_else(|e| {
            if e.kind() != io::ErrorKind::AlreadyExists {
                return Err(e);
            }
            // Left over by an attempt that failed half-way; no entry is in it.
            self.fs.remove_file(&path)?;
            self.fs.open(&path, OpenMode::CreateNew)
        });
        let file = file.as_mut().map_err(|e| refused(io::Error::new(e.kind(), e.to_string())))?;
        append_all(&mut **file, &header()).map_err(refused)?;
        self.fs.sync_dir(&self.dir).map_err(refused)?;
        let reader = self.fs.open(&path, OpenMode::Read).map_err(refused)?;
        let file = self.fs.open(&path, OpenMode::Append).map_err(refused)?;
        let known = Arc::new(ChunkFile { path, file: reader, max_ms: AtomicI64::new(i64::MIN) });
        self.files.write().insert(index, Arc::clone(&known));
        Ok(Current { index, file, len: HEADER_SIZE as u32, known })
    }

    /// Removes the files before all that are needed: from the oldest on, while all chunks of a file end
    /// before `before_ms` and its number is below `keep_from`. What is put from now on begins a file, so that
    /// those of today can go one day. Returns how many went.
    ///
    /// # Errors
    /// When the system refuses to remove a file; the next call tries it again.
    pub(crate) fn truncate(&self, before_ms: i64, keep_from: u32) -> Result<usize, WriteError> {
        let mut writer = self.writer.lock();
        let next = {
            let mut buffer = self.buffer.lock();
            buffer.cut();
            buffer.first_file()
        };
        if writer.current.as_ref().is_some_and(|c| c.index < next) {
            self.finish(&mut writer);
        }
        let unneeded: Vec<(u32, PathBuf)> = self
            .files
            .read()
            .iter()
            .take_while(|(index, file)| {
                **index < keep_from.min(next) && file.max_ms.load(Ordering::Acquire) < before_ms
            })
            .map(|(index, file)| (*index, file.path.clone()))
            .collect();
        for (index, path) in &unneeded {
            let removed = self.fs.remove_file(path);
            removed.map_err(|source| WriteError { path: path.clone(), source })?;
            self.files.write().remove(index);
            writer.found.remove(index);
            writer.doubtful.remove(index);
        }
        if !unneeded.is_empty() {
            let synced = self.fs.sync_dir(&self.dir);
            synced.map_err(|source| WriteError { path: self.dir.clone(), source })?;
        }
        Ok(unneeded.len())
    }
}
