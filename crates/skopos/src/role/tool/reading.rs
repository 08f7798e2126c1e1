//! `Reading`: a file system that says now and then how much of it has been read, so that long work shows that
//! it goes on. Changes nothing of what is read or written.

use super::output::Progress;
use skopos_base::{
    Env,
    fs::{File, Fs, Layer, OpenMode, SharedFs},
};
use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Whoever listens is told after so many bytes.
const TELL_EVERY_BYTES: u64 = 256 << 10;

/// Is told how many bytes have been read.
type Listener = Box<dyn FnMut(u64) + Send>;

struct Told {
    bytes: AtomicU64,
    listener: Mutex<Listener>,
}

impl Told {
    fn read(&self, bytes: usize) {
        let bytes = bytes as u64;
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before / TELL_EVERY_BYTES != (before + bytes) / TELL_EVERY_BYTES {
            let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
            (*listener)(before + bytes);
        }
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// See above.
#[derive(Debug)]
struct Reading {
    below: SharedFs,
    told: Arc<Told>,
}

impl Reading {
    fn new(below: &SharedFs, listener: Listener) -> Self {
        let told = Told { bytes: AtomicU64::new(0), listener: Mutex::new(listener) };
        Self { below: Arc::clone(below), told: Arc::new(told) }
    }
}

/// The same world; while long work reads it, standard error has a line now and then that begins with `what`
/// and says how much was read of what stands at `path`.
pub(super) fn said(env: Env, what: &'static str, path: &Path) -> Env {
    let progress = Progress::new(&env.clock);
    said_by(env, what, path, progress)
}

fn said_by(env: Env, what: &'static str, path: &Path, mut progress: Progress) -> Env {
    let of_mib = bytes_at(path) >> 20;
    let listener = move |bytes: u64| {
        progress.say(|| format!("{what}: {} MiB read; there are {of_mib} MiB", bytes >> 20));
    };
    let fs: SharedFs = Arc::new(Reading::new(&env.fs, Box::new(listener)));
    Env { fs, ..env }
}

/// The bytes of a file, or of all files of a directory; what cannot be asked counts nothing. A link is not
/// followed.
fn bytes_at(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return std::fs::symlink_metadata(path).map_or(0, |file| file.len());
    };
    let is_link = path.is_symlink();
    entries.flatten().filter(|_| !is_link).map(|entry| bytes_at(&entry.path())).sum()
}

impl Layer for Reading {
    fn below(&self) -> &dyn Fs {
        &*self.below
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let file = self.below.open(path, mode)?;
        if mode != OpenMode::Read {
            return Ok(file);
        }
        Ok(Box::new(ReadingFile { file, told: Arc::clone(&self.told) }))
    }
}

/// A file that is read.
#[derive(Debug)]
struct ReadingFile {
    file: Box<dyn File>,
    told: Arc<Told>,
}

impl File for ReadingFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.pread(buf, offset)?;
        self.told.read(read);
        Ok(read)
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
        self.file.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::{fs::read_all, sim::SimWorld};
    use std::time::Duration;

    #[test]
    fn long_work_says_how_much_it_has_read_and_short_work_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("long");
        std::fs::write(&file, vec![7; 3 << 20]).unwrap();
        std::fs::write(dir.path().join("short"), b"x").unwrap();
        SimWorld::new(1).run(|simulated| {
            // The files are real, the time is not.
            let env = Env { fs: Env::real().fs, ..simulated.clone() };
            let heard = Arc::new(Mutex::new(String::new()));
            let hears = Arc::clone(&heard);
            let progress = Progress::to(&env.clock, move |line| *hears.lock().unwrap() += line);
            let env = said_by(env, "verify", dir.path(), progress);
            let read = |seconds: f64| {
                env.clock.sleep(Duration::from_secs_f64(seconds));
                assert_eq!(read_all(&*env.fs, &file).unwrap().len(), 3 << 20);
                std::mem::take(&mut *heard.lock().unwrap())
            };
            assert_eq!(read(0.0), "");
            assert_eq!(read(1.9), "");
            let said = read(0.2);
            assert!(said.starts_with("verify: ") && said.ends_with(" MiB read; there are 3 MiB"), "{said}");
            assert_eq!(said.matches("verify").count(), 1);
            assert_eq!(read(1.9), "", "not so often");
            assert_ne!(read(0.2), "");
        });
    }
}
