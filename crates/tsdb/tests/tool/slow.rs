//! `Slow`: a file system that lets time pass before each call, so that others who use it get in between any
//! two. Changes nothing of what a call does, but for the removal of a tree, which takes its steps one by one.

use skopos_base::{
    clock::Clock,
    fs::{DirEntry, DiskSpace, File, FileLock, Fs, OpenMode, SharedFs},
    rng::Rng,
};
use std::{io, path::Path, sync::Arc, time::Duration};

#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) below: SharedFs,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<Rng>,
    /// A call takes less than this.
    pub(crate) bound_us: u64,
}

impl Slow {
    fn wait(&self) -> &dyn Fs {
        self.clock.sleep(Duration::from_micros(self.rng.below(self.bound_us)));
        &*self.below
    }
}

impl Fs for Slow {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let file = self.wait().open(path, mode)?;
        Ok(Box::new(SlowFile { file, fs: self.clone() }))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.wait().read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.wait().create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.wait().rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.wait().hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.wait().remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.wait().remove_dir(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        for entry in self.read_dir(path)? {
            let child = path.join(entry.name);
            if entry.is_dir { self.remove_dir_all(&child)? } else { self.remove_file(&child)? }
        }
        self.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.wait().sync_dir(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.wait().exists(path)
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        self.wait().space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.wait().lock(path)
    }
}

#[derive(Debug)]
struct SlowFile {
    file: Box<dyn File>,
    fs: Slow,
}

impl File for SlowFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fs.wait();
        self.file.pread(buf, offset)
    }

    fn append(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.fs.wait();
        self.file.append(buf)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.fs.wait();
        self.file.sync()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.fs.wait();
        self.file.truncate(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.fs.wait();
        self.file.len()
    }
}
