//! `Fs` and `File`: the little of a file system that the data path needs, with its guarantees said.
//!
//! What survives a power loss: the bytes of a file up to its last `sync`, and a directory's entries
//! as of its last `sync_dir`. Everything later may be there, in part or not at all; bytes that were
//! appended and not synchronised may even read as zeros or as garbage. A rename never loses the file:
//! after a power loss it has its old name, its new one, or both. What survives the process: everything
//! whose call returned.

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

/// Why a file refused a call that the system would have taken. Comes inside an `io::Error`, where
/// `FileError::of` finds it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A `sync` of this handle failed, so that nobody knows which bytes are on the disk.
    #[error("{} refuses writes since a sync of it failed; open and check it anew", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
    /// The handle is for reading.
    #[error("{} was opened for reading only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// A truncation to more bytes than there are.
    #[error("{} has {len} bytes and cannot be cut to {wanted}", path.display())]
    CutBeyondEnd {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// The length asked for.
        wanted: u64,
    },
}

/// What a handle is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handle {
    Sound,
    /// A synchronisation failed: nobody knows what of the file is on the disk.
    Poisoned,
}

impl FileError {
    /// The `FileError` inside of `error`, if that is where it comes from.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What `append` and `truncate` ask first, in every implementation.
    pub(crate) fn check_writable(path: &Path, mode: OpenMode, handle: Handle) -> io::Result<()> {
        if mode == OpenMode::Read {
            Err(Self::ReadOnly { path: path.to_owned() }.into())
        } else if handle == Handle::Poisoned {
            Err(Self::Poisoned { path: path.to_owned() }.into())
        } else {
            Ok(())
        }
    }

    /// That a truncation cuts and never lengthens.
    pub(crate) fn check_cut(path: &Path, len: u64, wanted: u64) -> io::Result<()> {
        if wanted > len {
            Err(Self::CutBeyondEnd { path: path.to_owned(), len, wanted }.into())
        } else {
            Ok(())
        }
    }
}

impl From<FileError> for io::Error {
    fn from(e: FileError) -> Self {
        let kind = match e {
            FileError::Poisoned { .. } => io::ErrorKind::Other,
            FileError::ReadOnly { .. } => io::ErrorKind::PermissionDenied,
            FileError::CutBeyondEnd { .. } => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, e)
    }
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

/// How much a file system holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Used and free together.
    pub total: u64,
    /// What this process may still take.
    pub available: u64,
}

/// A file system.
pub trait Fs: Send + Sync + Debug {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>>;
    /// The entries of a directory, sorted by name. Those whose names are not UTF-8 are left out: this program
    /// makes none, so that they are not its own.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Makes a directory and those above it; no error when it is there. Each is an entry of the one above,
    /// whose `sync_dir` makes it durable.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Renames a file or directory; an existing file at `to` is replaced in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives the file at `from` a second name: both lead to the same bytes, until one is removed. Fails with
    /// `AlreadyExists` when there is something at `to`. The name is an entry of its directory, whose
    /// `sync_dir` makes it durable; the bytes are so once a handle of either name is synchronised.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory that holds nothing. Fails with `DirectoryNotEmpty` when it holds something, and
    /// never takes a link away that leads to a directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all it holds.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory's entries durable, though not the bytes of its files. After a failure it may be
    /// tried again; until one succeeds any of the changes since the last may be lost.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether there is something at `path`.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// How much the file system that holds `path` has, and has left.
    fn space(&self, path: &Path) -> io::Result<DiskSpace>;
    /// Takes the exclusive lock of the file at `path` (made when absent), held until the value is
    /// dropped or the process dies. `WouldBlock` when another holder has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
}

/// A file system that stands before another one. What it does not say for itself is said by that one.
pub trait Layer: Send + Sync + Debug {
    /// The other one.
    fn below(&self) -> &dyn Fs;
    /// See `Fs::open`.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        self.below().open(path, mode)
    }
    /// See `Fs::read_dir`.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.below().read_dir(path)
    }
    /// See `Fs::sync_dir`.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.below().sync_dir(path)
    }
    /// See `Fs::exists`.
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.below().exists(path)
    }
}

impl<L: Layer> Fs for L {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        Layer::open(self, path, mode)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        Layer::read_dir(self, path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.below().create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.below().rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.below().hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.below().remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.below().remove_dir(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.below().remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Layer::sync_dir(self, path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Layer::exists(self, path)
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        self.below().space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.below().lock(path)
    }
}

/// A held lock; dropping it releases it.
pub trait FileLock: Send + Sync + Debug {}

/// An open file.
pub trait File: Send + Sync + Debug {
    /// Reads at `offset` into `buf`; returns how many bytes there were (0 at the end).
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Appends at the end; returns how many bytes were taken, which may be fewer than given. A failure takes
    /// nothing and may be tried again (`StorageFull` when the disk has no room).
    fn append(&mut self, buf: &[u8]) -> io::Result<usize>;
    /// Makes all bytes durable. After a failure the handle is poisoned: every later `append`, `truncate` and
    /// `sync` fails (`FileError::Poisoned`), since nobody knows which bytes are on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes, of which it must have as many.
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
    read_at_most(fs, path, usize::MAX)
}

/// The same, unless it is larger than `max`: a device in its place may never end.
pub fn read_at_most(fs: &dyn Fs, path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let file = fs.open(path, OpenMode::Read)?;
    let mut out = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let n = file.pread(&mut chunk, out.len() as u64)?;
        if n == 0 {
            return Ok(out);
        }
        out.extend_from_slice(&chunk[..n]);
        if out.len() > max {
            let text = format!("{}: the file is larger than {max} bytes", path.display());
            return Err(io::Error::other(text));
        }
    }
}

/// A file system shared by reference count, as every part of the program holds it.
pub type SharedFs = Arc<dyn Fs>;

/// The directory that `path` stands in: that of the process where the path is a name alone.
pub fn parent(path: &Path) -> PathBuf {
    or_here(path.parent().unwrap_or(Path::new("")))
}

/// A path; the directory of the process where it is empty.
pub fn or_here(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}
