//! `RealFs`: the operating system's files. Owns no path and no cache; never retries a failed synchronisation.

use crate::fs::{DirEntry, DiskSpace, File, FileError, FileLock, Fs, Handle, OpenMode};
use std::{
    fs::{self, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The operating system's file system. Paths mean what they mean to the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

/// Says in an error what was done to which file, and keeps its kind, which callers decide by.
fn at(doing: &str, path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |e| io::Error::new(e.kind(), format!("cannot {doing} {}: {e}", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "this is where the program reaches the system's files")]
impl Fs for RealFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Append => {
                options.append(true);
            }
            OpenMode::CreateNew => {
                options.append(true).create_new(true);
            }
        }
        let file = options.open(path).map_err(at("open", path))?;
        if file.metadata().map_err(at("open", path))?.is_dir() {
            // The system opens a directory for reading and fails at the first read: say so here instead.
            return Err(at("open", path)(io::ErrorKind::IsADirectory.into()));
        }
        Ok(Box::new(RealFile { file, path: path.to_owned(), mode, handle: Handle::Sound }))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut out = Vec::new();
        for entry in fs::read_dir(path).map_err(at("list", path))? {
            let entry = entry.map_err(at("list", path))?;
            // Whoever made a name that is no text, it was not this program, which could not even ask for it.
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Another process may remove an entry between the listing and the question for its length.
            let meta = match entry.metadata() {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(at("list", path))?,
            };
            let is_dir = meta.is_dir();
            out.push(DirEntry { name, is_dir, len: if is_dir { 0 } else { meta.len() } });
        }
        out.sort();
        Ok(out)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path).map_err(at("create directory", path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let doing = format!("rename to {} what was", to.display());
        fs::rename(from, to).map_err(at(&doing, from))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let doing = format!("give the name {} to", to.display());
        fs::hard_link(from, to).map_err(at(&doing, from))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path).map_err(at("remove", path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path).map_err(at("remove directory", path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path).map_err(at("remove directory", path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let dir = fs::File::open(path).map_err(at("synchronise directory", path))?;
        if !dir.metadata().map_err(at("synchronise directory", path))?.is_dir() {
            return Err(at("synchronise directory", path)(io::ErrorKind::NotADirectory.into()));
        }
        dir.sync_all().map_err(at("synchronise directory", path))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path).map_err(at("look for", path))
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        let found = rustix::fs::statvfs(path).map_err(|e| at("ask the room of", path)(e.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(DiskSpace { total: bytes(found.f_blocks), available: bytes(found.f_bavail) })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(at("lock", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    format!("{} is locked by {}; stop it first", path.display(), holder(&file)),
                ));
            }
            Err(TryLockError::Error(e)) => return Err(at("lock", path)(e)),
        }
        // Who holds the lock is a help to the reader of an error, so that failing to say it is no failure.
        let told =
            file.set_len(0).and_then(|()| (&file).write_all(format!("{}\n", std::process::id()).as_bytes()));
        drop(told);
        Ok(Box::new(RealLock { _file: file }))
    }
}

/// The process that wrote its number into a lock file, as far as one can tell.
fn holder(file: &fs::File) -> String {
    let mut buf = [0; 20];
    let n = file.read_at(&mut buf, 0).unwrap_or(0);
    match std::str::from_utf8(&buf[..n]).ok().and_then(|s| s.trim().parse::<u32>().ok()) {
        Some(pid) if pid == std::process::id() => format!("this process ({pid})"),
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// A held `flock`. The system releases it when the last descriptor closes, hence also when the process dies.
#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl FileLock for RealLock {}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    path: PathBuf,
    mode: OpenMode,
    handle: Handle,
}

impl RealFile {
    fn check_writable(&self) -> io::Result<()> {
        FileError::check_writable(&self.path, self.mode, self.handle)
    }
}

impl File for RealFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(at("read", &self.path)),
            }
        }
    }

    fn append(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.check_writable()?;
        loop {
            match (&self.file).write(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(at("append to", &self.path)),
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.handle == Handle::Poisoned {
            return Err(FileError::Poisoned { path: self.path.clone() }.into());
        }
        // fdatasync: it writes the length along with the data, and leaves out only the times.
        self.file.sync_data().map_err(|e| {
            self.handle = Handle::Poisoned;
            at("synchronise", &self.path)(e)
        })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        FileError::check_cut(&self.path, self.len()?, len)?;
        self.file.set_len(len).map_err(at("truncate", &self.path))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().map_err(at("ask the length of", &self.path))?.len())
    }
}
