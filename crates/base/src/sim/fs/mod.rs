//! `SimFs`: a file system in memory that knows what a power loss may take. Owns the calls of `Fs` and `File`
//! and what a test asks of it; never touches the machine.
//!
//! - `data`: the bytes of a file, synchronised and not.
//! - `names`: the entries of a directory, synchronised and not.
//! - `state`: inodes, paths, and what each call does to them.
//! - `fault`: failures to come and the log of calls.
//! - `power`: the states that a power loss or a killed process leaves.

mod data;
mod fault;
mod names;
mod power;
mod state;

pub use fault::{Failure, Op, OpKind};
pub use power::CrashStates;

use crate::fs::{DirEntry, DiskSpace, File, FileError, FileLock, Fs, Handle, OpenMode};
use data::FileData;
use fault::Armed;
use names::{Ino, Names, Slot};
use parking_lot::{Mutex, MutexGuard};
use state::{InFlight, Node, ROOT, State, error};
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A simulated file system. Cloning shares it; `process_crash` and `crash_states` make others from it.
#[derive(Clone)]
pub struct SimFs(Arc<Mutex<State>>);

impl SimFs {
    /// An empty file system. The seed decides what a failed sync leaves.
    pub fn new(seed: u64) -> Self {
        let nodes = BTreeMap::from([(ROOT, Node::Dir(Names::default()))]);
        Self::of(State::new(seed, nodes, "new".into()))
    }

    fn of(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Makes everything durable, as after a long rest. For the part of a test that comes before the question.
    pub fn settle(&self) {
        let mut s = self.state();
        let dirs: Vec<Ino> = s.dirs().map(|(ino, _)| ino).collect();
        for dir in dirs {
            if s.names(dir).is_some() {
                s.sync_dir(dir);
            }
        }
        for node in s.nodes.values_mut() {
            if let Node::File(data) = node {
                data.sync();
            }
        }
    }

    /// How many calls there were, reading ones too.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// The calls so far that change something, oldest first. A crash after each of them differs from the
    /// others.
    pub fn ops(&self) -> Vec<Op> {
        self.state().log.clone()
    }

    /// Lets `n` changing calls work, counted from the file system's beginning, and every call after them
    /// fail, as the machine or the process is gone by then.
    pub fn crash_after(&self, n: usize) {
        self.state().crash_after = Some(n);
    }

    /// Whether the point set by `crash_after` was reached.
    pub fn is_crashed(&self) -> bool {
        self.state().crashed
    }

    /// Fails the `n`-th call from now (counted from 1), whatever it is.
    pub fn fail_call(&self, n: u64, failure: Failure) {
        self.arm(None, n, failure);
    }

    /// Fails the `n`-th call of this kind from now (counted from 1). A failed `Sync` poisons its handle,
    /// and of the bytes that it should have made durable some arrive and others never will.
    pub fn fail_nth(&self, kind: OpKind, n: u64, failure: Failure) {
        self.arm(Some(kind), n, failure);
    }

    /// Takes back the failures whose call has not come, and says how many they are.
    pub fn disarm(&self) -> usize {
        std::mem::take(&mut self.state().armed).len()
    }

    fn arm(&self, kind: Option<OpKind>, n: u64, failure: Failure) {
        assert!(n > 0, "calls are counted from 1");
        self.state().armed.push(Armed { kind, after: n - 1, failure });
    }

    /// Bounds the bytes of all files together; `None` is no bound. Appends take what fits, and fail with
    /// `StorageFull` when nothing does.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// How this file system came to be: which crash state it is.
    pub fn origin(&self) -> Arc<str> {
        self.state().origin.clone()
    }
}

/// The length of everything in a tree, for messages.
fn list(s: &State, dir: Ino, at: &Path, out: &mut Vec<String>) {
    let Some(names) = s.names(dir) else { return };
    for (name, &ino) in names.live() {
        let path = at.join(name);
        match s.nodes.get(&ino) {
            Some(Node::File(data)) => out.push(format!("{} ({} bytes)", path.display(), data.live().len())),
            _ => {
                out.push(format!("{}/", path.display()));
                list(s, ino, &path, out);
            }
        }
    }
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.state();
        let mut files = Vec::new();
        list(&s, ROOT, Path::new("/"), &mut files);
        f.debug_struct("SimFs").field("origin", &s.origin).field("files", &files).finish()
    }
}

/// The file and what the call does with it, for the errors of one call.
#[derive(Clone, Copy)]
struct Doing<'a>(OpKind, &'a Path);

impl Doing<'_> {
    fn err(self, kind: io::ErrorKind) -> io::Error {
        error(kind, self.0, self.1)
    }
}

impl SimFs {
    fn handle(&self, s: &mut State, ino: Ino, path: &Path, mode: OpenMode) -> Box<dyn File> {
        *s.open.entry(ino).or_default() += 1;
        Box::new(SimFile { fs: self.clone(), ino, path: path.to_owned(), mode, handle: Handle::Sound })
    }

    fn create(s: &mut State, path: &Path) -> io::Result<Ino> {
        let doing = Doing(OpKind::Create, path);
        s.begin_at(OpKind::Create, path)?;
        let slot = s.slot(path).map_err(|k| doing.err(k))?;
        if s.meaning(&slot).is_some() {
            return Err(doing.err(io::ErrorKind::AlreadyExists));
        }
        if s.room() == 0 {
            return Err(doing.err(io::ErrorKind::StorageFull));
        }
        Ok(s.make(&slot, Node::File(FileData::default())))
    }

    /// Removes a directory's content and then itself, in the steps in which a machine would.
    fn remove_tree(s: &mut State, slot: &Slot, path: &Path) -> io::Result<()> {
        let dir = s.meaning(slot).expect("invariant: the caller found it");
        let children: Vec<(String, Ino)> = match s.names(dir) {
            Some(names) => names.live().iter().map(|(name, &ino)| (name.clone(), ino)).collect(),
            None => Vec::new(),
        };
        for (name, ino) in children {
            let (child, path) = ((dir, name.clone()), path.join(name));
            if s.names(ino).is_some() {
                Self::remove_tree(s, &child, &path)?;
            } else {
                s.begin_at(OpKind::RemoveFile, &path)?;
                let gone = s.event(None);
                s.set(&child, gone);
            }
        }
        s.begin_at(OpKind::RemoveDir, path)?;
        let gone = s.event(None);
        s.set(slot, gone);
        Ok(())
    }
}

/// What stands at the new name decides whether a rename may take its place.
fn may_replace(s: &State, from: Ino, to: Ino) -> Result<(), io::ErrorKind> {
    match (s.names(from), s.names(to)) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(io::ErrorKind::IsADirectory),
        (Some(_), None) => Err(io::ErrorKind::NotADirectory),
        (Some(_), Some(names)) if names.live().is_empty() => Ok(()),
        (Some(_), Some(_)) => Err(io::ErrorKind::DirectoryNotEmpty),
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let mut s = self.state();
        let ino = if mode == OpenMode::CreateNew {
            Self::create(&mut s, path)?
        } else {
            let doing = Doing(OpKind::Open, path);
            s.begin_at(OpKind::Open, path)?;
            let ino = s.find(path).map_err(|k| doing.err(k))?;
            if s.names(ino).is_some() {
                return Err(doing.err(io::ErrorKind::IsADirectory));
            }
            ino
        };
        Ok(self.handle(&mut s, ino, path, mode))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut s = self.state();
        let doing = Doing(OpKind::ReadDir, path);
        s.begin_at(OpKind::ReadDir, path)?;
        let dir = s.find(path).map_err(|k| doing.err(k))?;
        let names = s.names(dir).ok_or_else(|| doing.err(io::ErrorKind::NotADirectory))?;
        let entry = |(name, ino): (&String, &Ino)| match &s.nodes[ino] {
            Node::File(data) => DirEntry { name: name.clone(), is_dir: false, len: data.live().len() as u64 },
            Node::Dir(_) => DirEntry { name: name.clone(), is_dir: true, len: 0 },
        };
        Ok(names.live().iter().map(entry).collect())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut s = self.state();
        s.alive(OpKind::CreateDir, path)?;
        let mut at = PathBuf::from("/");
        for part in state::parts(path) {
            at.push(part);
            let doing = Doing(OpKind::CreateDir, &at);
            match s.look_up(&at).map_err(|k| doing.err(k))? {
                Some(ino) if s.names(ino).is_some() => {}
                // A file in the way: at the end the name is taken, before it there is no way through.
                Some(_) if state::parts(&at).len() == state::parts(path).len() => {
                    return Err(doing.err(io::ErrorKind::AlreadyExists));
                }
                Some(_) => return Err(doing.err(io::ErrorKind::NotADirectory)),
                None => {
                    s.begin_at(OpKind::CreateDir, &at)?;
                    if s.room() == 0 {
                        return Err(doing.err(io::ErrorKind::StorageFull));
                    }
                    let slot = s.slot(&at).map_err(|k| doing.err(k))?;
                    s.make(&slot, Node::Dir(Names::default()));
                }
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut s = self.state();
        let doing = Doing(OpKind::Rename, from);
        s.begin(Op { kind: OpKind::Rename, path: from.to_owned(), to: Some(to.to_owned()), bytes: None })?;
        let old = s.slot(from).map_err(|k| doing.err(k))?;
        let ino = s.meaning(&old).ok_or_else(|| doing.err(io::ErrorKind::NotFound))?;
        let new = s.slot(to).map_err(|k| Doing(OpKind::Rename, to).err(k))?;
        let (old_parts, new_parts) = (state::parts(from), state::parts(to));
        if new_parts.len() > old_parts.len() && new_parts.starts_with(&old_parts) {
            // A directory cannot move into itself.
            return Err(doing.err(io::ErrorKind::InvalidInput));
        }
        match s.meaning(&new) {
            Some(there) if there == ino => return Ok(()),
            Some(there) => may_replace(&s, ino, there).map_err(|k| Doing(OpKind::Rename, to).err(k))?,
            None => {}
        }
        s.rename(&old, &new, ino);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut s = self.state();
        let doing = Doing(OpKind::HardLink, from);
        s.begin(Op { kind: OpKind::HardLink, path: from.to_owned(), to: Some(to.to_owned()), bytes: None })?;
        let ino = s.find(from).map_err(|k| doing.err(k))?;
        if s.names(ino).is_some() {
            return Err(doing.err(io::ErrorKind::PermissionDenied));
        }
        let slot = s.slot(to).map_err(|k| Doing(OpKind::HardLink, to).err(k))?;
        if s.meaning(&slot).is_some() {
            return Err(Doing(OpKind::HardLink, to).err(io::ErrorKind::AlreadyExists));
        }
        if s.room() == 0 {
            return Err(doing.err(io::ErrorKind::StorageFull));
        }
        let comes = s.event(Some(ino));
        s.set(&slot, comes);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut s = self.state();
        let doing = Doing(OpKind::RemoveFile, path);
        s.begin_at(OpKind::RemoveFile, path)?;
        let slot = s.slot(path).map_err(|k| doing.err(k))?;
        let ino = s.meaning(&slot).ok_or_else(|| doing.err(io::ErrorKind::NotFound))?;
        if s.names(ino).is_some() {
            return Err(doing.err(io::ErrorKind::IsADirectory));
        }
        let gone = s.event(None);
        s.set(&slot, gone);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut s = self.state();
        let doing = Doing(OpKind::RemoveDir, path);
        s.begin_at(OpKind::RemoveDir, path)?;
        let slot = s.slot(path).map_err(|k| doing.err(k))?;
        let ino = s.meaning(&slot).ok_or_else(|| doing.err(io::ErrorKind::NotFound))?;
        match s.names(ino) {
            None => return Err(doing.err(io::ErrorKind::NotADirectory)),
            Some(names) if !names.live().is_empty() => {
                return Err(doing.err(io::ErrorKind::DirectoryNotEmpty));
            }
            Some(_) => {}
        }
        let gone = s.event(None);
        s.set(&slot, gone);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut s = self.state();
        s.alive(OpKind::RemoveDir, path)?;
        let doing = Doing(OpKind::RemoveDir, path);
        let slot = s.slot(path).map_err(|k| doing.err(k))?;
        let ino = s.meaning(&slot).ok_or_else(|| doing.err(io::ErrorKind::NotFound))?;
        if s.names(ino).is_none() {
            return Err(doing.err(io::ErrorKind::NotADirectory));
        }
        Self::remove_tree(&mut s, &slot, path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut s = self.state();
        let doing = Doing(OpKind::SyncDir, path);
        s.begin_at(OpKind::SyncDir, path)?;
        let dir = s.find(path).map_err(|k| doing.err(k))?;
        s.names(dir).ok_or_else(|| doing.err(io::ErrorKind::NotADirectory))?;
        s.sync_dir(dir);
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut s = self.state();
        s.begin_at(OpKind::Exists, path)?;
        let there = s.look_up(path).map_err(|k| error(k, OpKind::Exists, path))?;
        Ok(there.is_some())
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        let mut s = self.state();
        s.begin_at(OpKind::Space, path)?;
        s.find(path).map_err(|k| error(k, OpKind::Space, path))?;
        Ok(DiskSpace { total: s.capacity.unwrap_or(u64::MAX), available: s.room() })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let mut s = self.state();
        let doing = Doing(OpKind::Lock, path);
        s.begin_at(OpKind::Lock, path)?;
        let ino = match s.look_up(path).map_err(|k| doing.err(k))? {
            Some(ino) if s.names(ino).is_some() => return Err(doing.err(io::ErrorKind::IsADirectory)),
            Some(ino) => ino,
            None => Self::create(&mut s, path)?,
        };
        if !s.locks.insert(ino) {
            return Err(doing.err(io::ErrorKind::WouldBlock));
        }
        Ok(Box::new(SimLock { fs: self.clone(), ino }))
    }
}

#[derive(Debug)]
struct SimLock {
    fs: SimFs,
    ino: Ino,
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.fs.state().locks.remove(&self.ino);
    }
}

struct SimFile {
    fs: SimFs,
    ino: Ino,
    path: PathBuf,
    mode: OpenMode,
    handle: Handle,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, mode, handle, .. } = self;
        write!(f, "SimFile {{ path: {path:?}, mode: {mode:?}, handle: {handle:?} }}")
    }
}

impl SimFile {
    fn begin(&self, s: &mut State, kind: OpKind, bytes: Option<u64>) -> io::Result<Option<usize>> {
        s.begin(Op { kind, path: self.path.clone(), to: None, bytes })
    }
}

impl File for SimFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut s = self.fs.state();
        self.begin(&mut s, OpKind::Read, None)?;
        let live = s.data(self.ino).live();
        let from = usize::try_from(offset).map_or(live.len(), |o| o.min(live.len()));
        let n = buf.len().min(live.len() - from);
        buf[..n].copy_from_slice(&live[from..from + n]);
        Ok(n)
    }

    fn append(&mut self, buf: &[u8]) -> io::Result<usize> {
        FileError::check_writable(&self.path, self.mode, self.handle)?;
        let mut s = self.fs.state();
        let was_on = !s.crashed;
        let short = self.begin(&mut s, OpKind::Append, Some(buf.len() as u64)).inspect_err(|_| {
            if was_on && s.crashed {
                s.in_flight = Some(InFlight { ino: self.ino, bytes: buf.to_vec() });
            }
        })?;
        let room = usize::try_from(s.room()).unwrap_or(usize::MAX);
        let n = buf.len().min(short.unwrap_or(usize::MAX)).min(room);
        if n == 0 && room == 0 && !buf.is_empty() {
            return Err(error(io::ErrorKind::StorageFull, OpKind::Append, &self.path));
        }
        s.data_mut(self.ino).append(&buf[..n]);
        Ok(n)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.handle == Handle::Poisoned {
            return Err(FileError::Poisoned { path: self.path.clone() }.into());
        }
        let mut s = self.fs.state();
        if let Err(e) = self.begin(&mut s, OpKind::Sync, None) {
            self.handle = Handle::Poisoned;
            if !s.crashed {
                let rng = s.rng.clone();
                s.data_mut(self.ino).fail_sync(&rng);
            }
            return Err(e);
        }
        s.data_mut(self.ino).sync();
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        FileError::check_writable(&self.path, self.mode, self.handle)?;
        let mut s = self.fs.state();
        self.begin(&mut s, OpKind::Truncate, Some(len))?;
        let now = s.data(self.ino).live().len() as u64;
        FileError::check_cut(&self.path, now, len)?;
        s.data_mut(self.ino).truncate(usize::try_from(len).expect("invariant: at most the length"));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut s = self.fs.state();
        self.begin(&mut s, OpKind::Len, None)?;
        Ok(s.data(self.ino).live().len() as u64)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut s = self.fs.state();
        if let Some(n) = s.open.get_mut(&self.ino) {
            *n -= 1;
            if *n == 0 {
                s.open.remove(&self.ino);
            }
        }
    }
}
