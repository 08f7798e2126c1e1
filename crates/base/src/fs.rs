//! `Fs` and `File`: the little of a file system that the data path needs, with its guarantees said.
//!
//! What survives a power loss: the bytes of a file up to its last `sync`, and a directory's entries
//! as of its last `sync_dir`. Everything later may be there, in part or not at all. What survives the
//! process: everything whose call returned.

use std::{fmt::Debug, io, path::Path, path::PathBuf, sync::Arc};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for `pread` only.
    Read,
    /// An existing file, for `pread` and `append`.
    Append,
    /// A new file for `pread` and `append`; fails with `AlreadyExists` when there is one.
    CreateNew,
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name without the directory.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_dir: bool,
    /// The file's length in bytes; 0 for a directory.
    pub len: u64,
}

/// A file system.
pub trait Fs: Send + Sync + Debug {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>>;
    /// The entries of a directory, sorted by name.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Makes a directory and those above it; no error when it is there.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Renames a file or directory; an existing file at `to` is replaced in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all it holds.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory's entries durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether there is something at `path`.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Takes the exclusive lock of the file at `path` (made when absent), held until the value is
    /// dropped or the process dies. `WouldBlock` when another holder has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
}

/// A held lock; dropping it releases it.
pub trait FileLock: Send + Sync + Debug {}

/// An open file.
pub trait File: Send + Sync + Debug {
    /// Reads at `offset` into `buf`; returns how many bytes there were (0 at the end).
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Appends at the end; returns how many bytes were taken, which may be fewer than given.
    fn append(&mut self, buf: &[u8]) -> io::Result<usize>;
    /// Makes all bytes durable. After a failure the file is poisoned: every later `append` and
    /// `sync` fails, since nobody knows which bytes are on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Appends all of `buf`, however often the file takes only a part.
pub fn append_all(file: &mut dyn File, mut buf: &[u8]) -> io::Result<()> {
    while !buf.is_empty() {
        let n = file.append(buf)?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the file took no bytes"));
        }
        buf = &buf[n..];
    }
    Ok(())
}

/// Reads the whole file at `path`.
pub fn read_all(fs: &dyn Fs, path: &Path) -> io::Result<Vec<u8>> {
    let file = fs.open(path, OpenMode::Read)?;
    let mut out = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let n = file.pread(&mut chunk, out.len() as u64)?;
        if n == 0 {
            return Ok(out);
        }
        out.extend_from_slice(&chunk[..n]);
    }
}

/// A file system shared by reference count, as every part of the program holds it.
pub type SharedFs = Arc<dyn Fs>;

/// The directory that `path` stands in.
pub fn parent(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
