//! The small files of a block. Never a whole block: the tests of `block` damage those.

use crate::block::{BlockMeta, META_FILE, TOMBSTONES_FILE, Tombstones};
use skopos_base::{
    crc::crc32c,
    fs::{Fs, OpenMode, append_all, read_all},
    sim::SimFs,
};
use std::path::Path;

const DIR: &str = "/block";
const CRC_LEN: usize = 4;

/// A disk with one file of a block.
fn disk(name: &str, bytes: &[u8]) -> SimFs {
    let fs = SimFs::new(1);
    let done = fs.create_dir_all(Path::new(DIR)).and_then(|()| {
        let mut file = fs.open(&Path::new(DIR).join(name), OpenMode::CreateNew)?;
        append_all(file.as_mut(), bytes)
    });
    done.expect("invariant: a new disk is sound");
    fs
}

fn bytes_of(fs: &SimFs, name: &str) -> Vec<u8> {
    read_all(fs, &Path::new(DIR).join(name)).expect("invariant: the file was just written")
}

/// Tombstones, whose checksum is put right first: else no change would come past it.
pub fn tombstones(bytes: &[u8]) {
    let mut file = bytes[..bytes.len().saturating_sub(CRC_LEN)].to_vec();
    // The checksum is of what stands behind magic number and version.
    let sum = crc32c(file.get(5..).unwrap_or_default());
    file.extend_from_slice(&sum.to_be_bytes());
    let fs = disk(TOMBSTONES_FILE, &file);
    let Ok(read) = Tombstones::read(&fs, Path::new(DIR)) else { return };
    read.write(&fs, Path::new(DIR)).expect("invariant: the disk is sound");
    assert_eq!(Tombstones::read(&fs, Path::new(DIR)).ok(), Some(read), "tombstones do not come back");
}

/// Files of some tombstones, and of none.
pub fn tombstones_seeds() -> Vec<Vec<u8>> {
    let header = [0x01, 0x30, 0xBA, 0x30, 1];
    let bodies: [&[u8]; 3] = [&[], &[5, 20, 40], &[1, 1, 2, 1, 10, 0x90, 0x4e, 0xff, 1, 0, 0]];
    bodies.iter().map(|body| [&header[..], body, &crc32c(body).to_be_bytes()].concat()).collect()
}

/// A block's description.
pub fn meta(bytes: &[u8]) {
    let fs = disk(META_FILE, bytes);
    let Ok(read) = BlockMeta::read(&fs, Path::new(DIR)) else { return };
    read.write(&fs, Path::new(DIR)).expect("invariant: the disk is sound");
    let written = bytes_of(&fs, META_FILE);
    let again = BlockMeta::read(&fs, Path::new(DIR)).expect("a description that was written can be read");
    again.write(&fs, Path::new(DIR)).expect("invariant: the disk is sound");
    assert_eq!(bytes_of(&fs, META_FILE), written, "a description is not stable");
}

/// Descriptions as Prometheus and Thanos write them.
pub fn meta_seeds() -> Vec<Vec<u8>> {
    let plain = "{\n\t\"ulid\": \"01HZZZZZZZZZZZZZZZZZZZZZZZ\",\n\t\"minTime\": 0,\n\t\"maxTime\": 7200000,\n\
                 \t\"stats\": {\"numSamples\": 4, \"numSeries\": 2, \"numChunks\": 2},\n\
                 \t\"compaction\": {\"level\": 1, \"sources\": [\"01HZZZZZZZZZZZZZZZZZZZZZZZ\"]},\n\
                 \t\"version\": 1\n}";
    let thanos = plain.replace("\"version\"", "\"thanos\": {\"labels\": {\"a\": \"b\"}},\n\t\"version\"");
    vec![plain.as_bytes().to_vec(), thanos.into_bytes()]
}
