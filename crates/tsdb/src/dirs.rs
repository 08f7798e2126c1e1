//! The directories of logs and chunk files: made durably, and where a full disk refuses them at the start, by
//! whoever first finds room. Knows nothing of what stands in them.

use skopos_base::fs::{File, Fs, OpenMode, parent};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Whether there may be room later.
pub(crate) fn is_no_room(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes a directory and those above it, so that no power loss takes one with all it holds. Where that fails
/// none of them is left: otherwise nobody would know later that it is not durable.
pub(crate) fn create_dirs(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    let absolute =
        |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    let mut missing = Vec::new();
    for path in dir.ancestors().map(absolute) {
        if fs.exists(&path)? {
            break;
        }
        missing.push(path);
    }
    let made = fs
        .create_dir_all(dir)
        .and_then(|()| missing.iter().rev().try_for_each(|path| fs.sync_dir(&absolute(&parent(path)))));
    if let (Err(_), Some(first)) = (&made, missing.last()) {
        // It may not be there; what stays is empty.
        let _ = fs.remove_dir_all(first);
    }
    made
}

/// Makes a directory, but for one for which the disk has no room: whether it is there. The one above it has
/// to be there.
pub(crate) fn create_if_room(fs: &dyn Fs, dir: &Path) -> io::Result<bool> {
    match create_dirs(fs, dir) {
        Ok(()) => Ok(true),
        Err(e) if is_no_room(&e) && fs.exists(&parent(dir))? => Ok(false),
        Err(e) => Err(e),
    }
}

/// Begins a file, and first its directory where that is missing still.
pub(crate) fn create_file(fs: &dyn Fs, path: &Path) -> io::Result<Box<dyn File>> {
    match fs.open(path, OpenMode::CreateNew) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            create_dirs(fs, &parent(path))?;
            fs.open(path, OpenMode::CreateNew)
        }
        other => other,
    }
}
