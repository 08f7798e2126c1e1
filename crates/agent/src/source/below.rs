//! What all files below a folder take on their disk. Never follows a link nor leaves the folder's file
//! system: what is below may belong to somebody who wants us elsewhere.

use super::{Root, calls::noted};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, FileType, Mode, OFlags, RawDir, fstat, openat, statat},
    io::Errno,
};
use std::{collections::HashSet, ffi::CString};

/// The kernel counts the room of a file in pieces of this size, on all file systems.
const PIECE_BYTES: u64 = 512;
/// A folder that is deeper is not looked into; each level holds a file open.
const MAX_DEPTH: usize = 128;
const BUFFER_BYTES: usize = 32 << 10;

/// How many bytes the folder at `path` and all below it take on their disk, each file once. `None` when it
/// cannot be read, is deeper than `MAX_DEPTH` or has more than `most_entries`.
pub(crate) fn bytes_below(path: &str, most_entries: usize) -> Option<u64> {
    let folder = noted(Root::Given, path, open(rustix::fs::CWD, path)).ok()?;
    let found = fstat(&folder).ok()?;
    let mut sum = Sum {
        path,
        bytes: u64::try_from(found.st_blocks).unwrap_or(0) * PIECE_BYTES,
        left: most_entries,
        device: found.st_dev,
        seen: HashSet::new(),
    };
    sum.add(&folder, 0)?;
    Some(sum.bytes)
}

fn open(at: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

struct Sum<'a> {
    /// The folder that all is below.
    path: &'a str,
    bytes: u64,
    left: usize,
    device: u64,
    /// Files that have several names.
    seen: HashSet<u64>,
}

impl Sum<'_> {
    fn add(&mut self, folder: &OwnedFd, depth: usize) -> Option<()> {
        let mut folders: Vec<CString> = Vec::new();
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.ok()?;
            let name = entry.file_name();
            if name.to_bytes() == b"." || name.to_bytes() == b".." {
                continue;
            }
            self.left = self.left.checked_sub(1)?;
            // What is gone by now takes no room.
            let Ok(found) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
            let is_again = !is_folder && found.st_nlink > 1 && !self.seen.insert(found.st_ino);
            if found.st_dev != self.device || is_again {
                continue;
            }
            self.bytes = self.bytes.saturating_add(u64::try_from(found.st_blocks).unwrap_or(0) * PIECE_BYTES);
            if is_folder {
                folders.push(name.to_owned());
            }
        }
        drop(buffer);
        for name in folders {
            if depth == MAX_DEPTH {
                return None;
            }
            match open(folder, name.as_c_str()) {
                Ok(below) => self.add(&below, depth + 1)?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return noted(Root::Given, self.path, Err(error)).ok(),
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{MetadataExt, symlink},
        path::Path,
    };

    fn room(path: &Path) -> u64 {
        fs::symlink_metadata(path).unwrap().blocks() * PIECE_BYTES
    }

    #[test]
    fn each_file_counts_once_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("layer"), folder.path().join("outside"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(&outside, vec![1; 1 << 20]).unwrap();
        fs::write(root.join("a/large"), vec![1; 300_000]).unwrap();
        fs::hard_link(root.join("a/large"), root.join("a/b/same")).unwrap();
        symlink(&outside, root.join("link")).unwrap();
        symlink("/", root.join("a/b/all")).unwrap();
        let expected: u64 =
            ["", "a", "a/b", "a/large", "link", "a/b/all"].iter().map(|name| room(&root.join(name))).sum();
        let path = root.to_str().unwrap();
        assert_eq!(bytes_below(path, 6), Some(expected));
        assert!(expected >= 300_000);
        assert_eq!(bytes_below(path, 5), None, "there are six entries");
        assert_eq!(bytes_below(root.join("link").to_str().unwrap(), 9), None, "a link is no folder");
    }

    #[test]
    fn what_is_too_deep_has_no_size() {
        let folder = tempfile::tempdir().unwrap();
        let deep = (0..=MAX_DEPTH + 1).fold(folder.path().to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(bytes_below(folder.path().to_str().unwrap(), 10_000), None);
        fs::remove_dir(&deep).unwrap();
        fs::remove_dir(deep.parent().unwrap()).unwrap();
        assert!(bytes_below(folder.path().to_str().unwrap(), 10_000).is_some());
    }
}
