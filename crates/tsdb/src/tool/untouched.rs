//! `Untouched`: a directory that others may be writing to, read as the database reads its own. What a start
//! would repair on the disk (a torn end, a damaged file) it believes to be done, and what it writes stays in
//! memory; nothing is changed. Never takes a lock.

use skopos_base::fs::{DirEntry, DiskSpace, File, FileError, FileLock, Fs, OpenMode, SharedFs};
use skopos_base::sync::Mutex;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A file system on which repairs are only believed.
#[derive(Debug)]
pub(crate) struct Untouched {
    below: SharedFs,
    /// Files that were made here.
    made: Mutex<BTreeMap<PathBuf, Bytes>>,
}

type Bytes = Arc<Mutex<Vec<u8>>>;

impl Untouched {
    pub(crate) fn new(below: SharedFs) -> Self {
        Self { below, made: Mutex::default() }
    }

    fn refused<T>(path: &Path) -> io::Result<T> {
        Err(FileError::ReadOnly { path: path.to_owned() }.into())
    }
}

impl Fs for Untouched {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let mut made = self.made.lock();
        if mode == OpenMode::CreateNew {
            made.entry(path.to_owned()).or_default();
        }
        if let Some(bytes) = made.get(path) {
            return Ok(Box::new(MadeFile(Arc::clone(bytes))));
        }
        let file = self.below.open(path, OpenMode::Read)?;
        Ok(Box::new(UntouchedFile { file, path: path.to_owned() }))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        match self.below.read_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        Self::refused(path)
    }

    fn rename(&self, from: &Path, _: &Path) -> io::Result<()> {
        Self::refused(from)
    }

    fn hard_link(&self, from: &Path, _: &Path) -> io::Result<()> {
        Self::refused(from)
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.below.exists(path)
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        self.below.space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        Self::refused(path)
    }
}

#[derive(Debug)]
struct UntouchedFile {
    file: Box<dyn File>,
    path: PathBuf,
}

impl File for UntouchedFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.pread(buf, offset)
    }

    fn append(&mut self, _: &[u8]) -> io::Result<usize> {
        Untouched::refused(&self.path)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

/// A file in memory.
#[derive(Debug)]
struct MadeFile(Bytes);

impl File for MadeFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock();
        let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn append(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.lock().truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }
}
