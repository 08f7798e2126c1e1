//! The simulated world itself: that a crash leaves all that the contract promises and all that it
//! allows, that faults come when they are told to and each in its turn, that worlds repeat, and that crash
//! enumeration finds planted errors.

#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

mod contract;
mod crash;
mod failing;
mod faults;
mod power;
mod world;

use skopos_base::{
    fs::{File, Fs, OpenMode, append_all},
    sim::SimFs,
};
use std::{collections::BTreeMap, path::Path};

/// A file system with an empty, durable directory `/d`.
fn new_fs(seed: u64) -> SimFs {
    let fs = SimFs::new(seed);
    fs.create_dir_all(Path::new("/d")).unwrap();
    fs.settle();
    fs
}

/// A new file with these bytes, nothing of which is durable.
fn write(fs: &SimFs, path: &str, bytes: &[u8]) -> Box<dyn File> {
    let mut file = fs.open(Path::new(path), OpenMode::CreateNew).unwrap();
    append_all(file.as_mut(), bytes).unwrap();
    file
}

/// All files with their bytes; directories have `None`.
fn tree(fs: &SimFs) -> BTreeMap<String, Option<Vec<u8>>> {
    fn walk(fs: &SimFs, dir: &str, out: &mut BTreeMap<String, Option<Vec<u8>>>) {
        for entry in fs.read_dir(Path::new(dir)).unwrap() {
            let path = format!("{}/{}", dir.trim_end_matches('/'), entry.name);
            if entry.is_dir {
                walk(fs, &path, out);
                out.insert(path, None);
            } else {
                let bytes = skopos_base::fs::read_all(fs, Path::new(&path)).unwrap();
                out.insert(path, Some(bytes));
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(fs, "/", &mut out);
    out
}

/// The bytes of one file; `None` when it is not there.
fn content(fs: &SimFs, path: &str) -> Option<Vec<u8>> {
    skopos_base::fs::read_all(fs, Path::new(path)).ok()
}
