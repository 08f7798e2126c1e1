//! Whole index files of both versions. Checksums are made to hold wherever the file's own table of contents
//! says that a section is, so that the bytes behind them are looked at.

use super::block::{DIR, with_file};
use crate::block::{
    INDEX_FILE,
    index::{
        ChunkMeta, ChunkRef, IndexVersion,
        reader::{IndexReader, LabelReader},
        series::SeriesEntry,
        symbol_table::Symbols,
        writer::IndexWriter,
    },
};
use skopos_base::{
    crc::crc32c,
    fs::{Fs, read_all},
    sim::SimFs,
    varint::{put_uvarint, put_varint, uvarint},
};
use skopos_model::{Labels, TimestampMs};
use std::{ops::ControlFlow, path::Path};

const MAGIC: [u8; 4] = [0xba, 0xaa, 0xd7, 0x00];
/// The six offsets of the table of contents.
const TOC_BYTES: usize = 48;
/// More lists or series than these are not read: many values may name one long list.
const MOST_READ: usize = 64;

/// What can be read one by one is the same when it is read together.
pub fn file(bytes: &[u8]) -> bool {
    let bytes = repaired(bytes);
    let fs = with_file(INDEX_FILE, &bytes);
    let Ok(index) = IndexReader::open(&fs, Path::new(DIR)) else { return false };
    let mut lists = Vec::new();
    for name in index.offsets.names().map(str::to_owned).collect::<Vec<_>>() {
        let walked = index.offsets.for_each(&index.input, &name, "", |value, at| {
            lists.push((name.clone(), value.to_owned(), at));
            let is_enough = lists.len() == MOST_READ;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        assert!(walked.is_ok(), "what was opened is read: {walked:?}");
        if lists.len() == MOST_READ {
            break;
        }
    }
    let (mut one_by_one, mut sound) = (Vec::new(), true);
    for (name, value, at) in &lists {
        let from = one_by_one.len();
        sound &= index.postings_at(*at, &mut one_by_one).is_ok();
        if sound {
            let list = &one_by_one[from..];
            assert!(list.is_sorted_by(|a, b| a < b));
            assert_eq!(index.postings_len(name, value).ok(), Some(list.len()));
            assert_eq!(index.postings(name, value).ok().as_deref(), Some(list));
        }
    }
    let (mut together, at) = (Vec::new(), lists.iter().map(|(_, _, at)| *at).collect::<Vec<_>>());
    let read = index.postings_of(&at, &mut together);
    assert_eq!(read.is_ok(), sound, "{read:?}");
    if sound {
        assert_eq!(together, one_by_one);
    }
    one_by_one.sort_unstable();
    one_by_one.dedup();
    one_by_one.truncate(MOST_READ);
    sound && series(&index, &one_by_one)
}

fn series(index: &IndexReader, numbers: &[u32]) -> bool {
    let (mut together, mut entry, mut alone) =
        (LabelReader::default(), SeriesEntry::default(), SeriesEntry::default());
    for (nth, number) in numbers.iter().enumerate() {
        let read = together.entry(index, &numbers[nth..], &mut entry);
        let mut reader = LabelReader::default();
        let again = reader.entry(index, &[*number], &mut alone);
        assert_eq!(read.is_ok(), again.is_ok(), "{number}: {read:?}, {again:?}");
        if read.is_err() {
            return false;
        }
        assert_eq!(entry, alone);
        let labels = [together.labels(index, &entry).ok(), reader.labels(index, &alone).ok()];
        assert_eq!(labels[0], labels[1]);
        if labels[0].is_none() {
            return false;
        }
    }
    true
}

/// The bytes with an index's first bytes and with checksums that hold.
fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some(toc_at) = bytes.len().checked_sub(TOC_BYTES + 4).filter(|at| *at > 5) else { return bytes };
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4] = if bytes[4] == 1 { 1 } else { 2 };
    let version = if bytes[4] == 1 { IndexVersion::V1 } else { IndexVersion::V2 };
    let (toc, _) = bytes[toc_at..].as_chunks::<8>();
    let toc: Vec<usize> = toc.iter().map(|n| u64::from_be_bytes(*n) as usize).collect();
    let &[symbols, series, label_indices, _, postings, posting_offsets] = &toc[..] else { return bytes };
    repair_series(&mut bytes, series, label_indices.min(toc_at), version);
    let mut at = postings;
    while at < toc_at
        && let Some(end) = repair_section(&mut bytes, at)
    {
        at = if version == IndexVersion::V1 { end } else { end.next_multiple_of(4) };
    }
    repair_section(&mut bytes, symbols);
    repair_section(&mut bytes, posting_offsets);
    let sum = crc32c(&bytes[toc_at..toc_at + TOC_BYTES]);
    bytes[toc_at + TOC_BYTES..].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Writes the checksum of the section at an offset; returns its end.
fn repair_section(bytes: &mut [u8], at: usize) -> Option<usize> {
    let from = at.checked_add(4)?;
    let len = bytes.get(at..from)?.first_chunk().map(|n| u32::from_be_bytes(*n) as usize)?;
    let end = from.checked_add(len)?;
    repair_sum(bytes, from, end)
}

/// Writes the checksum behind some bytes; returns its end.
fn repair_sum(bytes: &mut [u8], from: usize, to: usize) -> Option<usize> {
    let sum = crc32c(bytes.get(from..to)?);
    bytes.get_mut(to..to.checked_add(4)?)?.copy_from_slice(&sum.to_be_bytes());
    Some(to + 4)
}

fn repair_series(bytes: &mut [u8], mut at: usize, end: usize, version: IndexVersion) {
    while at < end {
        let Some((len, n)) = bytes.get(at..).and_then(uvarint) else { return };
        let to = usize::try_from(len).ok().and_then(|len| (at + n).checked_add(len));
        let Some(next) = to.and_then(|to| repair_sum(bytes, at + n, to)) else { return };
        at = if version == IndexVersion::V1 { next } else { next.next_multiple_of(16) };
    }
}

pub fn file_seeds() -> Vec<Vec<u8>> {
    vec![version_2(3), version_2(80), version_1()]
}

/// What `IndexWriter` makes of so many series.
fn version_2(count: usize) -> Vec<u8> {
    let fs = SimFs::new(1);
    fs.create_dir_all(Path::new(DIR)).expect("invariant: a new file system has no faults");
    let path = Path::new(DIR).join(INDEX_FILE);
    let of = |i: usize| {
        let zone = if i.is_multiple_of(2) { "a" } else { "" };
        Labels::from_pairs([("__name__", "up"), ("i", &format!("{i:03}")), ("zone", zone)])
    };
    let all: Vec<Labels> = (0..count).map(of).collect();
    let mut texts = Symbols::default();
    all.iter().for_each(|labels| texts.add(labels));
    let mut writer = IndexWriter::create(&fs, &path, texts).expect("invariant: the texts are few");
    for (i, labels) in all.iter().enumerate() {
        let t = 1000 * i as i64;
        let (min, max) = (TimestampMs::new(t), TimestampMs::new(t + 900));
        let chunk = ChunkMeta { min, max, at: ChunkRef::new(0, 8 + 40 * i as u32) };
        writer.add_series(labels, &[chunk]).expect("invariant: the series are sorted");
    }
    writer.finish().expect("invariant: there is room");
    read_all(&fs, &path).expect("invariant: it was written")
}

/// One series, `{a="b"}`, as Prometheus 2.0 had it: texts and series are named by their offsets.
fn version_1() -> Vec<u8> {
    fn section(out: &mut Vec<u8>, content: &[u8]) -> u64 {
        let at = out.len() as u64;
        out.extend_from_slice(&(content.len() as u32).to_be_bytes());
        out.extend_from_slice(content);
        out.extend_from_slice(&crc32c(content).to_be_bytes());
        at
    }
    let mut out = [&MAGIC[..], &[1]].concat();
    // The texts stand at 13, 14 and 16.
    let symbols = section(&mut out, b"\0\0\0\x03\0\x01a\x01b");
    let series = out.len() as u64;
    let mut entry = vec![1, 14, 16, 1];
    put_varint(&mut entry, 5);
    entry.extend_from_slice(&[9, 8]);
    put_uvarint(&mut out, entry.len() as u64);
    out.extend_from_slice(&entry);
    out.extend_from_slice(&crc32c(&entry).to_be_bytes());
    let list = [1u32.to_be_bytes(), (series as u32).to_be_bytes()].concat();
    let postings = out.len() as u64;
    let mut table = 2u32.to_be_bytes().to_vec();
    for texts in [&b"\x02\x01a\x01b"[..], b"\x02\0\0"] {
        let at = section(&mut out, &list);
        table.extend_from_slice(texts);
        put_uvarint(&mut table, at);
    }
    let empty = section(&mut out, &0u32.to_be_bytes());
    let offsets = section(&mut out, &table);
    let toc: Vec<u8> =
        [symbols, series, postings, empty, postings, offsets].iter().flat_map(|n| n.to_be_bytes()).collect();
    out.extend_from_slice(&toc);
    out.extend_from_slice(&crc32c(&toc).to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_to_their_ends() {
        for (seed, series) in file_seeds().iter().zip([3, 80, 1]) {
            assert_eq!(repaired(seed), *seed, "a sound index needs no repair");
            let fs = with_file(INDEX_FILE, seed);
            let index = IndexReader::open(&fs, Path::new(DIR)).unwrap();
            let all = index.all().unwrap();
            assert_eq!(all.len(), series);
            let (mut reader, mut entry) = (LabelReader::default(), SeriesEntry::default());
            reader.entry(&index, &all, &mut entry).unwrap();
            assert!(!reader.labels(&index, &entry).unwrap().is_empty());
        }
    }
}
