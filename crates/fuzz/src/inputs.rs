//! Inputs on disk: the corpora that the repository keeps, those that failed, and how a failing one is shrunk.
//! Never decides what fails.

use crate::Target;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// What the names of inputs begin with that a corpus has because their target takes them as sound.
pub const VALID: &str = "valid-";

/// Tries after which a failing input is as small as it gets.
const MAX_TRIES: usize = 2000;

/// The folder of a target's committed inputs.
#[must_use]
pub fn corpus_folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The files of a folder, in the order of their names; none if there is no such folder.
///
/// # Errors
/// If the folder or a file of it cannot be read.
pub fn read_folder(folder: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries: Result<Vec<_>, _> = fs::read_dir(folder)?.collect();
    let mut paths: Vec<PathBuf> = entries?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(&path).map(|bytes| (path, bytes))).collect()
}

/// Whether the target's check passes on `input`.
#[must_use]
pub fn passes(target: &Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| target.run(input))).is_ok()
}

/// A smaller input for which `fails` holds too: parts are cut out as long as it does.
pub fn shrink(input: &[u8], mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = input.to_vec();
    let mut tries = 0;
    let mut part = best.len().div_ceil(2);
    while part > 0 && tries < MAX_TRIES {
        let mut at = 0;
        while at < best.len() && tries < MAX_TRIES {
            let mut smaller = best.clone();
            smaller.drain(at..(at + part).min(best.len()));
            tries += 1;
            if fails(&smaller) {
                best = smaller;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    best
}

/// Keeps a failing input below `folder`, named by what it holds, and gives its path.
///
/// # Errors
/// If it cannot be written.
pub fn keep(folder: &Path, target: &Target, input: &[u8]) -> io::Result<PathBuf> {
    let folder = folder.join(target.name);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("crash-{:08x}-{}", skopos_base::crc::crc32c(input), input.len()));
    fs::write(&path, input)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_keeps_what_fails() {
        let mut input = vec![b'.'; 500];
        input.splice(200..200, *b"needle");
        let small = shrink(&input, |bytes| bytes.windows(6).any(|window| window == b"needle"));
        assert_eq!(small, b"needle");
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_inputs() {
        assert!(read_folder(Path::new("no/such/folder")).unwrap().is_empty());
    }
}
