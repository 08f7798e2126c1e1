//! The files of metrics of one directory, or of those that a pattern names, read again as they change. It is
//! read on a thread beside the collector: while it hangs it costs its own files alone.
//! It never puts files together.

use super::{
    glob,
    textfile::{Families, Wrong, parse},
};
use crate::{
    error::CollectError,
    refusals,
    source::{File, Stamp, names_at, stamp_of},
};
use parking_lot::{Condvar, Mutex, MutexGuard};
use skopos_base::{clock::Clock, spawn::Spawner};
use std::{
    collections::{BTreeMap, HashSet},
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

const EXTENSION: &str = ".prom";

/// What files may still take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) files: usize,
    pub(super) bytes: usize,
    pub(super) samples: usize,
}

/// The names of what is in a directory.
type List = fn(&str) -> io::Result<Vec<String>>;

/// A directory, or a pattern of some.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) pattern: String,
    hangs: bool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    list: List,
    state: Mutex<State>,
    /// It was read.
    done: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) reader: Reader,
    /// A thread has the reader.
    is_reading: bool,
}

/// What was read of a directory, and of which file when.
#[derive(Debug, Default)]
pub(super) struct Reader {
    file: File,
    /// What was read, by path. A file is read again when it was changed.
    files: BTreeMap<String, Content>,
    /// The files that there are now, in their order.
    paths: Vec<String>,
    /// What could not be read.
    pub(super) wrong: Wrong,
    /// What the system refused.
    pub(super) refused: Vec<String>,
}

/// A file at one time.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) stamp: Stamp,
    bytes: usize,
    /// What it has, or why it is left out.
    families: Result<Families, Odd>,
}

#[derive(Debug)]
enum Odd {
    Unreadable(CollectError),
    Content(String),
}

impl Directory {
    pub(super) fn new(pattern: &str) -> Self {
        Self::listed_by(pattern, names_at)
    }

    fn listed_by(pattern: &str, list: List) -> Self {
        let shared = Shared { list, state: Mutex::default(), done: Condvar::new() };
        Self { pattern: pattern.to_owned(), hangs: false, shared: Arc::new(shared) }
    }

    /// What was read last.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }

    /// Reads it on another thread, and waits for that no longer than `most`. Whether it was read; while it
    /// hangs it is not waited for.
    pub(super) fn read_beside(
        &mut self,
        limits: Limits,
        (spawner, clock): (&dyn Spawner, &dyn Clock),
        most: Duration,
    ) -> bool {
        let Self { pattern, hangs, shared } = self;
        let mut state = shared.state.lock();
        if state.is_reading {
            return false;
        }
        if mem::take(hangs) {
            tracing::info!(directory = pattern, "the directory of metrics answers again");
        }
        state.is_reading = true;
        let (reads, what) = (Arc::clone(shared), pattern.clone());
        if let Err(error) = spawner.spawn("agent-textfile", Box::new(move || reads.work(&what, limits))) {
            tracing::warn!(%error, "no thread for reading a directory of metrics");
            state.is_reading = false;
            state.reader.read(pattern, shared.list, limits);
            return true;
        }
        let deadline = clock.monotonic().saturating_add(most);
        while state.is_reading {
            let left = deadline.saturating_sub(clock.monotonic());
            if left.is_zero() {
                *hangs = true;
                return false;
            }
            shared.done.wait_for(&mut state, left);
        }
        true
    }
}

impl Shared {
    /// A thread's life.
    fn work(&self, pattern: &str, limits: Limits) {
        let mut reader = mem::take(&mut self.state.lock().reader);
        let read = catch_unwind(AssertUnwindSafe(|| reader.read(pattern, self.list, limits)));
        if read.is_err() {
            reader = Reader::default();
            reader.wrong.note(pattern, "reading it panicked, which is a defect of ours");
        }
        *self.state.lock() = State { reader, is_reading: false };
        self.done.notify_all();
    }
}

impl Reader {
    /// The files that could be read, with what is in them.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&str, &Content, &Families)> {
        self.paths.iter().filter_map(|path| {
            let content = self.files.get(path)?;
            Some((path.as_str(), content, content.families.as_ref().ok()?))
        })
    }

    /// What is left of `limits`.
    pub(super) fn rest_of(&self, limits: Limits) -> Limits {
        let known = || self.shown().map(|(_, content, _)| content);
        Limits {
            files: limits.files.saturating_sub(self.paths.len()),
            bytes: limits.bytes.saturating_sub(known().map(|content| content.bytes).sum()),
            samples: limits.samples.saturating_sub(known().map(Content::samples).sum()),
        }
    }

    fn read(&mut self, pattern: &str, list: List, limits: Limits) {
        self.wrong = Wrong::default();
        self.find(pattern, list, limits.files);
        self.read_changed(limits);
        // The collector notes it on its own thread.
        self.refused = refusals::take();
    }

    /// Looks for the files, sorted within each directory.
    fn find(&mut self, pattern: &str, list: List, most: usize) {
        let Self { paths, wrong, .. } = self;
        paths.clear();
        let mut folders = glob::expand(pattern);
        if folders.is_empty() {
            folders.push(pattern.to_owned());
        }
        for folder in folders {
            match list(&folder) {
                Ok(names) => {
                    let names = names.iter().filter(|name| name.ends_with(EXTENSION));
                    paths.extend(names.map(|name| format!("{}/{name}", folder.trim_end_matches('/'))));
                }
                Err(error) => wrong.unreadable(&folder, &error, format!("cannot be listed: {error}")),
            }
        }
        if let Some(path) = paths.get(most) {
            wrong.note(path, "it and those behind it are left out: there are too many files");
            paths.truncate(most);
        }
    }

    /// Reads the files that were changed.
    fn read_changed(&mut self, limits: Limits) {
        let Self { file, files, paths, wrong, .. } = self;
        let listed: HashSet<&String> = paths.iter().collect();
        files.retain(|path, _| listed.contains(path));
        let (mut bytes_left, mut samples_left) = (limits.bytes, limits.samples);
        for path in &*paths {
            let stamp = match stamp_of(path) {
                Ok(stamp) => stamp,
                Err(error) => {
                    wrong.unreadable(path, &error, error.to_string());
                    files.remove(path);
                    continue;
                }
            };
            // What could not be read may be readable now, for a reason that is none of its own.
            let is_good = |known: &Content| {
                known.families.is_ok() && known.bytes <= bytes_left && known.samples() <= samples_left
            };
            if stamp.is_folder {
                // As in the reference, it is a file without metrics.
                files.insert(path.clone(), Content { stamp, bytes: 0, families: Ok(Families::new()) });
            } else if !files.get(path).is_some_and(|known| known.stamp == stamp && is_good(known)) {
                let families = match file.read_path(path, bytes_left) {
                    Ok(()) => parse(file.data(), samples_left).map_err(Odd::Content),
                    Err(error) => Err(Odd::Unreadable(error)),
                };
                let bytes = file.data().len();
                files.insert(path.clone(), Content { stamp, bytes, families });
            }
            let content = &files[path];
            match &content.families {
                Ok(_) => {
                    bytes_left -= content.bytes;
                    samples_left -= content.samples();
                }
                Err(Odd::Content(why)) => wrong.note(path, why),
                Err(Odd::Unreadable(CollectError::Read { error, .. })) => {
                    wrong.unreadable(path, error, error.to_string());
                }
                Err(Odd::Unreadable(error)) => wrong.note(path, error.to_string()),
            }
        }
    }
}

impl Content {
    /// How many samples it has.
    fn samples(&self) -> usize {
        self.families.iter().flat_map(BTreeMap::values).map(|family| family.samples.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::env::Env;

    static HANGS: (Mutex<bool>, Condvar) = (Mutex::new(true), Condvar::new());

    /// Does not come back while it hangs.
    fn list(folder: &str) -> io::Result<Vec<String>> {
        if folder.ends_with("hangs") {
            HANGS.1.wait_while(&mut HANGS.0.lock(), |hangs| *hangs);
        }
        names_at(folder)
    }

    #[test]
    fn a_directory_that_hangs_is_waited_for_once_and_read_again_when_it_answers() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { files: 9, bytes: 99, samples: 9 };
        let env = Env::real();
        let with = (&*env.spawner, &*env.clock);
        let directory = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("a.prom"), "a 1\n").unwrap();
            Directory::listed_by(path.to_str().unwrap(), list)
        };
        let (mut hanging, mut good) = (directory("hangs"), directory("good"));
        assert!(good.read_beside(limits, with, Duration::from_secs(60)));
        assert_eq!(good.state().reader.shown().count(), 1);
        let left = good.state().reader.rest_of(limits);
        assert_eq!((left.files, left.bytes, left.samples), (8, 95, 8));
        assert!(!hanging.read_beside(limits, with, Duration::from_millis(10)));
        let began = env.clock.monotonic();
        assert!(!hanging.read_beside(limits, with, Duration::from_secs(60)), "it still hangs");
        assert!(env.clock.monotonic() - began < Duration::from_secs(30), "and is not waited for");
        *HANGS.0.lock() = false;
        HANGS.1.notify_all();
        while !hanging.read_beside(limits, with, Duration::from_secs(60)) {
            std::thread::yield_now();
        }
        assert_eq!(hanging.state().reader.shown().count(), 1);
    }

    #[test]
    fn a_file_is_read_again_when_it_changed_or_could_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        };
        let directory = Directory::new(folder.path().to_str().unwrap());
        let read = || {
            let mut state = directory.state();
            state.reader.read(&directory.pattern, names_at, Limits { files: 9, bytes: 99, samples: 3 });
            let values = state.reader.shown().flat_map(|(_, _, families)| families.values());
            values.flat_map(|family| family.samples.iter().map(|sample| sample.value)).collect::<Vec<_>>()
        };
        write("a.prom", "a 1\nb 2\nc 3\n");
        write("d.prom", "d 4\n");
        assert_eq!(read(), [1.0, 2.0, 3.0], "there is no room for the other");
        write("a.prom", "a 1\n");
        assert_eq!(read(), [1.0, 4.0]);
        write("a.prom", "a 5\n");
        assert_eq!(read(), [5.0, 4.0], "as long as before, and of the same time");
    }
}
