//! The ways in which files of a block come to the disk. Knows no format.

use super::error::BlockError;
use skopos_base::fs::{File, Fs, OpenMode, append_all};
use std::path::{Path, PathBuf};

/// Bytes gathered before the file is asked to take them.
const BUFFER: usize = 256 << 10;
/// What a file is called until it is whole.
const UNFINISHED: &str = ".tmp";

/// Puts a small file in the place of an older one, so that after a power loss there is one of both.
pub(crate) fn replace(fs: &dyn Fs, dir: &Path, name: &str, bytes: &[u8]) -> Result<(), BlockError> {
    let path = dir.join(name);
    let unfinished = dir.join(format!("{name}{UNFINISHED}"));
    if fs.exists(&unfinished).map_err(BlockError::io("looking for", &unfinished))? {
        fs.remove_file(&unfinished).map_err(BlockError::io("removing", &unfinished))?;
    }
    let mut out = Output::create(fs, unfinished.clone())?;
    out.put(bytes)?;
    out.finish()?;
    fs.rename(&unfinished, &path).map_err(BlockError::io("renaming", &unfinished))?;
    fs.sync_dir(dir).map_err(BlockError::io("synchronising", dir))
}

/// A new file that is written from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Output {
    file: Box<dyn File>,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Bytes that the file has taken.
    flushed: u64,
}

impl Output {
    pub(crate) fn create(fs: &dyn Fs, path: PathBuf) -> Result<Self, BlockError> {
        let file = fs.open(&path, OpenMode::CreateNew).map_err(BlockError::io("creating", &path))?;
        Ok(Self { file, path, buffer: Vec::with_capacity(BUFFER), flushed: 0 })
    }

    /// Bytes put so far.
    pub(crate) fn len(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() > BUFFER {
            append_all(&mut *self.file, bytes).map_err(BlockError::io("writing", &self.path))?;
            self.flushed += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Puts zeros up to a multiple of `alignment`, which is a power of two.
    pub(crate) fn align(&mut self, alignment: u64) -> Result<(), BlockError> {
        const ZEROS: [u8; 16] = [0; 16];
        let spare = self.len().next_multiple_of(alignment) - self.len();
        self.put(&ZEROS[..spare as usize])
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        append_all(&mut *self.file, &self.buffer).map_err(BlockError::io("writing", &self.path))?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the file durable; how many bytes it has.
    pub(crate) fn finish(mut self) -> Result<u64, BlockError> {
        self.flush()?;
        self.file.sync().map_err(BlockError::io("synchronising", &self.path))?;
        Ok(self.flushed)
    }
}
