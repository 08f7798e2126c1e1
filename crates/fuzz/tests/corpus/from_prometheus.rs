//! What real Prometheus wrote, out of the fixtures of `tsdb` and `chunk`, in the pieces that targets take.
//! Reads framing alone; what is in a piece is the targets' business.

use skopos_testkit::archive;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SEGMENT_HEADER: usize = 8;
const CRC: usize = 4;
/// Series, first and last time of an entry of a head chunk file.
const ENTRY_HEAD: usize = 24;
/// A page of a log; kind, length and checksum of a part of a record.
const PAGE: usize = 32 << 10;
const FRAGMENT_HEAD: usize = 7;

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of a crate's fixtures.
pub(crate) fn fixture(path: &str) -> Vec<u8> {
    fs::read(crates().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A data directory that was packed.
pub(crate) struct Data(TempDir);

impl Data {
    pub(crate) fn unpacked(name: &str) -> Data {
        let to = tempfile::tempdir().unwrap();
        let packed = fixture(&format!("tsdb/tests/fixtures/prometheus-{name}.tar.gz"));
        archive::unpack(&packed, to.path()).unwrap();
        Data(to)
    }

    /// The files below a folder, in the order of their names.
    pub(crate) fn files(&self, folder: &str) -> Vec<Vec<u8>> {
        let entries = fs::read_dir(self.0.path().join(folder)).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.is_file());
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    /// A file of each block, from the one of the first name on.
    pub(crate) fn of_blocks(&self, file: &str) -> Vec<Vec<u8>> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut blocks: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        blocks.retain(|path| path.join("meta.json").is_file());
        blocks.sort();
        blocks.iter().map(|block| fs::read(block.join(file)).unwrap()).collect()
    }
}

/// A segment of a log without the zeros behind its last record.
pub(crate) fn without_padding(mut segment: Vec<u8>) -> Vec<u8> {
    let (mut at, mut end) = (0, 0);
    while at + FRAGMENT_HEAD <= segment.len() {
        if segment[at] == 0 {
            at = (at / PAGE + 1) * PAGE;
            continue;
        }
        at += FRAGMENT_HEAD + usize::from(u16::from_be_bytes([segment[at + 1], segment[at + 2]]));
        end = at;
    }
    segment.truncate(end);
    segment
}

/// The first record of each kind.
pub(crate) fn one_of_each_kind(records: Vec<Vec<u8>>) -> BTreeMap<u8, Vec<u8>> {
    let mut kinds = BTreeMap::new();
    for record in records {
        kinds.entry(record[0]).or_insert(record);
    }
    kinds
}

fn uvarint(bytes: &[u8], at: &mut usize) -> usize {
    let (mut n, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        n |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return n;
        }
    }
}

/// The chunks of a block's chunk file, each with its encoding before it.
pub(crate) fn chunks(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut at, mut found) = (SEGMENT_HEADER, Vec::new());
    while at < file.len() {
        let len = uvarint(file, &mut at);
        found.push(file[at..=at + len].to_vec());
        at += 1 + len + CRC;
    }
    found
}

/// The entries of a head chunk file.
pub(crate) fn entries(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut at, mut found) = (SEGMENT_HEADER, Vec::new());
    while at + ENTRY_HEAD < file.len() && file[at + ENTRY_HEAD] != 0 {
        let mut end = at + ENTRY_HEAD + 1;
        let len = uvarint(file, &mut end);
        end += len + CRC;
        found.push(file[at..end].to_vec());
        at = end;
    }
    found
}
