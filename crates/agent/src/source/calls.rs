//! The calls of the system that name a file, and the only ones. Each notes what is refused, so that nothing
//! goes untold that a collector may not have, however it does without. Never reads what a file holds.

use super::Root;
use crate::refusals;
use rustix::{
    fd::OwnedFd,
    fs::{Access, Mode, OFlags, RawDir, Stat},
};
use std::{ffi::CString, io, mem::MaybeUninit, path::PathBuf};

/// A folder is read in pieces of this size.
const FOLDER_READ_BYTES: usize = 4096;

/// What became of a call about `path`, or of reading what it opened.
pub(super) fn noted<T, E: Into<io::Error>>(root: Root, path: &str, done: Result<T, E>) -> io::Result<T> {
    done.map_err(|error| {
        let error = error.into();
        if error.kind() == io::ErrorKind::PermissionDenied {
            if root == Root::Proc { refusals::note_of_process(path) } else { refusals::note(path) }
        }
        error
    })
}

/// Opens it for reading.
pub(super) fn open(root: Root, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | flags;
    noted(root, path, rustix::fs::open(path, flags, Mode::empty()))
}

/// Where a symbolic link points to.
pub(super) fn link(root: Root, path: &str) -> io::Result<CString> {
    noted(root, path, rustix::fs::readlink(path, Vec::new()))
}

/// What the system says of it; links are followed.
pub(super) fn status(root: Root, path: &str) -> io::Result<Stat> {
    noted(root, path, rustix::fs::stat(path))
}

/// The number of the kind of file system that it is on.
pub(super) fn kind_of_file_system(root: Root, path: &str) -> io::Result<u64> {
    let found = noted(root, path, rustix::fs::statfs(path))?;
    Ok(u64::try_from(found.f_type).unwrap_or(0))
}

/// The path that it really has.
pub(super) fn real_path(root: Root, path: &str) -> io::Result<PathBuf> {
    noted(root, path, std::fs::canonicalize(path))
}

/// Whether there is one.
pub(super) fn exists(root: Root, path: &str) -> bool {
    noted(root, path, rustix::fs::access(path, Access::EXISTS)).is_ok()
}

/// The names in a folder, as far as they are text.
pub(super) fn names(root: Root, path: &str) -> io::Result<Vec<String>> {
    let mut buffer = [MaybeUninit::uninit(); FOLDER_READ_BYTES];
    let mut folder = RawDir::new(open(root, path, OFlags::DIRECTORY)?, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = folder.next() {
        match noted(root, path, entry)?.file_name().to_str() {
            Ok(".." | ".") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    Ok(names)
}
