//! `Watched`: a file system that remembers the first read which the system refused. What is read as damage
//! and was a disk that did not answer can so be told apart: of such a block nothing is concluded.

use skopos_base::{
    fs::{DirEntry, File, Fs, Layer, OpenMode, SharedFs},
    sync::Mutex,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What was refused, and where.
type Refused = Arc<Mutex<Option<(PathBuf, io::Error)>>>;

#[derive(Debug)]
pub(super) struct Watched {
    below: SharedFs,
    refused: Refused,
}

impl Watched {
    pub(super) fn new(below: &SharedFs) -> Self {
        Self { below: Arc::clone(below), refused: Refused::default() }
    }

    /// Fails with what the system refused since the last time.
    pub(super) fn check(&self) -> Result<(), (PathBuf, io::Error)> {
        self.refused.lock().take().map_or(Ok(()), Err)
    }
}

/// Keeps `result`'s error in mind, unless it says that what is looked for is not there or is something else:
/// that is damage.
fn watch<T>(refused: &Refused, path: &Path, result: io::Result<T>) -> io::Result<T> {
    use io::ErrorKind as Kind;
    if let Err(e) = &result
        && !matches!(e.kind(), Kind::NotFound | Kind::IsADirectory | Kind::NotADirectory)
    {
        let mut first = refused.lock();
        first.get_or_insert_with(|| (path.to_owned(), io::Error::new(e.kind(), e.to_string())));
    }
    result
}

impl Layer for Watched {
    fn below(&self) -> &dyn Fs {
        &*self.below
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let opened = self.below.open(path, mode);
        if mode != OpenMode::Read {
            return opened;
        }
        let file = watch(&self.refused, path, opened)?;
        Ok(Box::new(WatchedFile { file, path: path.to_owned(), refused: Arc::clone(&self.refused) }))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        watch(&self.refused, path, self.below.read_dir(path))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        watch(&self.refused, path, self.below.exists(path))
    }
}

/// A file that is read.
#[derive(Debug)]
struct WatchedFile {
    file: Box<dyn File>,
    path: PathBuf,
    refused: Refused,
}

impl File for WatchedFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        watch(&self.refused, &self.path, self.file.pread(buf, offset))
    }

    fn append(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.append(buf)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn len(&self) -> io::Result<u64> {
        watch(&self.refused, &self.path, self.file.len())
    }
}
