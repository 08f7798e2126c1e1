//! The decoder of head chunk files. Checksums are made to hold, so that the bytes behind them are looked at.

use super::block::{DIR, with_file};
use crate::head_chunks::{
    HeadChunks, MAX_FILE_BYTES, OpenedChunks,
    format::{Entry, HEADER_SIZE, Order, extent, header, parse_entry, push_entry},
};
use skopos_base::{crc::crc32c, fs::SharedFs};
use skopos_chunk::{Encoding, XorEncoder};
use skopos_model::TimestampMs;
use std::{collections::BTreeSet, path::Path, sync::Arc};

/// Writes the checksum of the entry that the bytes begin with; returns the entry's length.
fn repair(bytes: &mut [u8]) -> Option<usize> {
    let (chunk, len) = extent(bytes).ok()?;
    let crc = crc32c(bytes.get(..chunk.end)?);
    bytes.get_mut(chunk.end..len)?.copy_from_slice(&crc.to_be_bytes());
    Some(len)
}

/// What was read is written and read again.
pub fn entry(bytes: &[u8]) -> bool {
    let mut bytes = bytes.to_vec();
    repair(&mut bytes);
    let Ok((entry, len)) = parse_entry(&bytes) else { return false };
    assert!(len <= bytes.len());
    let mut again = Vec::new();
    push_entry(&mut again, &entry);
    assert_eq!(parse_entry(&again), Ok((entry, again.len())));
    true
}

/// A file's entries can be read at their places, and opening it again finds it sound.
pub fn file(bytes: &[u8]) -> bool {
    let mut bytes = [&header()[..], bytes].concat();
    let (mut at, mut series) = (HEADER_SIZE, BTreeSet::new());
    while let Some(len) = repair(&mut bytes[at..]) {
        series.extend(parse_entry(&bytes[at..]).map(|(entry, _)| entry.wal_ref));
        at += len;
    }
    let fs: SharedFs = Arc::new(with_file("000001", &bytes));
    let open =
        || HeadChunks::open(&fs, Path::new(DIR), MAX_FILE_BYTES).expect("invariant: the disk is sound");
    let OpenedChunks { chunks, loaded } = open();
    let all = |loaded: &crate::head_chunks::Loaded| {
        let of = |order| series.iter().flat_map(move |s| loaded.chunks(*s, order)).collect::<Vec<_>>();
        [of(Order::InOrder), of(Order::OutOfOrder)]
    };
    let found = all(&loaded);
    for meta in found.iter().flatten() {
        let read = chunks.read(meta, &mut Vec::new());
        assert!(read.is_ok(), "{meta:?}: {read:?}");
    }
    let again = open().loaded;
    assert_eq!((all(&again), again.damaged_files), (found, 0), "what was cut off is sound");
    loaded.damaged_files == 0
}

pub fn file_seeds() -> Vec<Vec<u8>> {
    let one = entry_seeds();
    vec![one.concat(), [one.concat(), vec![0; 40]].concat(), [&one[0][..], &one[1][..20]].concat()]
}

pub fn entry_seeds() -> Vec<Vec<u8>> {
    let mut chunk = XorEncoder::new();
    (0..9).for_each(|i| chunk.append(TimestampMs::new(1000 * i), i as f64));
    let mut seed = |order| {
        let (min, max) = (TimestampMs::new(0), TimestampMs::new(8000));
        let entry = Entry { wal_ref: 7, min, max, order, encoding: Encoding::Xor, bytes: chunk.bytes() };
        let mut out = Vec::new();
        push_entry(&mut out, &entry);
        out
    };
    vec![seed(Order::InOrder), seed(Order::OutOfOrder)]
}
