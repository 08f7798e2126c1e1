//! `Kept`: files of the kernel's own file systems that stay open, so that reading one again costs no walk
//! along its path. The kernel makes their content anew for each read from the beginning. It keeps no file
//! that stands anywhere else: there, another file may have taken the name.

use foldhash::HashMap;
use rustix::{
    buffer::spare_capacity,
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::Errno,
    process::{Resource, getrlimit},
};
use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// `f_type` of the kernel's two file systems.
const PROC_MAGIC: u64 = 0x9fa0;
const SYSFS_MAGIC: u64 = 0x6265_6572;
/// The whole process keeps no more than this open, and no more than this part of what it may open.
const MOST: usize = 1024;
const PART_OF_LIMIT: u64 = 4;

/// Files that are none of the kernel's: a folder stands in for its file systems.
const MOST_ELSEWHERE: u8 = 8;

/// How many are open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// A place among those that may be open.
#[derive(Debug)]
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let most = getrlimit(Resource::Nofile)
            .current
            .map_or(MOST, |limit| usize::try_from(limit / PART_OF_LIMIT).map_or(MOST, |part| part.min(MOST)));
        let taken = OPEN.fetch_update(Relaxed, Relaxed, |open| (open < most).then_some(open + 1));
        // One that is made is given back when it is dropped.
        taken.is_ok().then(|| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

/// Open files by their paths.
#[derive(Debug, Default)]
pub(super) struct Kept {
    open: HashMap<String, (OwnedFd, Place)>,
    /// So many files were met that the kernel does not make: after a few, nothing is tried any more.
    elsewhere: u8,
}

impl Kept {
    pub(super) fn get(&self, path: &str) -> Option<BorrowedFd<'_>> {
        self.open.get(path).map(|(fd, _)| fd.as_fd())
    }

    /// Keeps a file, if it is one that can be kept and there is room.
    pub(super) fn keep(&mut self, path: &str, fd: OwnedFd) {
        if self.elsewhere == MOST_ELSEWHERE {
            return;
        }
        let kind = rustix::fs::fstatfs(&fd).map_or(0, |found| u64::try_from(found.f_type).unwrap_or(0));
        if ![PROC_MAGIC, SYSFS_MAGIC].contains(&kind) {
            self.elsewhere += 1;
        } else if let Some(place) = Place::take() {
            self.open.insert(path.to_owned(), (fd, place));
        }
    }

    /// Forgets all; whether there was anything.
    pub(super) fn let_go(&mut self) -> bool {
        let had = !self.open.is_empty();
        self.open.clear();
        had
    }

    pub(super) fn forget(&mut self, path: &str) {
        self.open.remove(path);
    }

    /// Forgets all that stand below a folder.
    pub(super) fn forget_below(&mut self, folder: &str) {
        self.open.retain(|path, _| !path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
    }
}

/// Whether an error says that the file is of a thing that has gone, whose name may be another's by now, or
/// that it cannot be read twice.
pub(super) fn has_gone(error: &io::Error) -> bool {
    let gone = [Errno::NODEV, Errno::NXIO, Errno::NOENT, Errno::SRCH, Errno::STALE, Errno::SPIPE, Errno::IO];
    Errno::from_io_error(error).is_some_and(|error| gone.contains(&error))
}

/// Whether an error says that the process, or the machine, may open no more files.
pub(super) fn is_out_of_files(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|error| [Errno::MFILE, Errno::NFILE].contains(&error))
}

/// Reads more of a file behind what `data` has of it.
pub(super) fn read_at_end(fd: BorrowedFd<'_>, data: &mut Vec<u8>) -> Result<usize, Errno> {
    let at = data.len() as u64;
    rustix::io::pread(fd, spare_capacity(data), at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};

    fn opened(path: &str) -> OwnedFd {
        open(path, OFlags::RDONLY, Mode::empty()).unwrap()
    }

    #[test]
    fn no_more_are_kept_than_there_are_places() {
        let held: Vec<Place> = (0..10 * MOST).filter_map(|_| Place::take()).collect();
        assert!(held.len() <= MOST, "{} places", held.len());
        let now = OPEN.load(Relaxed);
        assert!(Place::take().is_none() && OPEN.load(Relaxed) >= held.len(), "{now} are open");
        drop(held);
        assert!(Place::take().is_some());
    }

    #[test]
    fn files_of_the_kernel_are_kept_and_others_are_not() {
        let mut kept = Kept::default();
        kept.keep("/proc/uptime", opened("/proc/uptime"));
        let read = |kept: &Kept| {
            let mut data = Vec::with_capacity(100);
            read_at_end(kept.get("/proc/uptime").unwrap(), &mut data).unwrap();
            data
        };
        let first = read(&kept);
        assert!(first.ends_with(b"\n"));
        while read(&kept) == first {
            std::thread::yield_now();
        }
        kept.forget_below("/proc/up");
        assert!(kept.get("/proc/uptime").is_some(), "it is in no folder of that name");
        kept.forget_below("/proc");
        assert!(kept.get("/proc/uptime").is_none());
        kept.keep("/proc/uptime", opened("/proc/uptime"));
        kept.forget("/proc/uptime");
        assert!(kept.get("/proc/uptime").is_none());
        kept.keep("Cargo.toml", opened("Cargo.toml"));
        assert!(kept.get("Cargo.toml").is_none());
    }
}
