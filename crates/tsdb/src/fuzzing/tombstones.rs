//! Whole tombstone files. Their first bytes and their checksum are made to hold, so that what stands between
//! them is looked at.

use super::block::{DIR, with_file};
use crate::{
    block::{TOMBSTONES_FILE, Tombstones},
    intervals::Interval,
};
use skopos_base::{
    crc::crc32c,
    fs::read_all,
    sim::SimFs,
    varint::{put_uvarint, put_varint, uvarint, varint},
};
use skopos_model::SeriesRef;
use std::path::Path;

const MAGIC: [u8; 4] = [0x01, 0x30, 0xba, 0x30];
const HEADER_BYTES: usize = 5;
const SUM_BYTES: usize = 4;
/// The ends of more spans are not looked at.
const MOST_SPANS: usize = 32;

/// What a span of the file says.
#[derive(Clone, Copy)]
struct Span {
    series: SeriesRef,
    min_ms: i64,
    max_ms: i64,
}

/// What is read deletes what the spans of the file say, and nothing else; it is read again as it was.
pub fn file(bytes: &[u8]) -> bool {
    let bytes = repaired(bytes);
    let fs = with_file(TOMBSTONES_FILE, &bytes);
    let spans = bytes.get(HEADER_BYTES..bytes.len().saturating_sub(SUM_BYTES)).and_then(spans);
    let Ok(read) = Tombstones::read(&fs, Path::new(DIR)) else { return false };
    let spans = spans.expect("what is read has spans");
    for series in read.series() {
        let own = read.get(series).expect("it is listed").as_slice();
        assert!(own.iter().all(|span| span.min_ms <= span.max_ms), "{series:?}: {own:?}");
        assert!(own.is_sorted_by(|a, b| a.max_ms < b.min_ms), "{series:?}: {own:?}");
    }
    for Span { series, min_ms, max_ms } in spans.iter().take(MOST_SPANS) {
        for at in [min_ms.saturating_sub(1), *min_ms, *max_ms, max_ms.saturating_add(1)] {
            let is_in = |span: &Span| span.series == *series && (span.min_ms..=span.max_ms).contains(&at);
            let is_deleted = read.get(*series).is_some_and(|deleted| deleted.contains(at));
            assert_eq!(is_deleted, spans.iter().any(is_in), "{series:?} at {at}");
        }
    }
    assert!(read.write(&fs, Path::new(DIR)).is_ok());
    assert_eq!(Tombstones::read(&fs, Path::new(DIR)).ok(), Some(read));
    true
}

/// The spans between header and checksum, empty ones among them; none where they are not whole.
fn spans(mut rest: &[u8]) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    while !rest.is_empty() {
        let (series, n) = uvarint(rest)?;
        let (min_ms, m) = varint(&rest[n..])?;
        let (max_ms, o) = varint(&rest[n + m..])?;
        spans.push(Span { series: SeriesRef::new(series)?, min_ms, max_ms });
        rest = &rest[n + m + o..];
    }
    Some(spans)
}

/// The bytes with the first bytes of such a file, but for the version, and with a checksum that holds.
fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some(sum_at) = bytes.len().checked_sub(SUM_BYTES).filter(|at| *at >= HEADER_BYTES) else {
        return bytes;
    };
    bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
    let sum = crc32c(&bytes[HEADER_BYTES..sum_at]);
    bytes[sum_at..].copy_from_slice(&sum.to_be_bytes());
    bytes
}

pub fn file_seeds() -> Vec<Vec<u8>> {
    let series = |n| SeriesRef::new(n).expect("invariant: not 0");
    let mut some = Tombstones::default();
    for (n, min_ms, max_ms) in
        [(1, 0, 9), (1, 20, 20), (2, -1_000_000, 1 << 40), (300, i64::MIN, -5), (300, 5, i64::MAX)]
    {
        some.add(series(n), Interval { min_ms, max_ms });
    }
    // Spans of others: out of order, over one another, and one that is empty.
    let mut of_others = [&MAGIC[..], &[1]].concat();
    for (n, min_ms, max_ms) in [(9, 50, 60), (4, 10, 30), (9, 55, 70), (4, 31, 40), (4, 7, 3), (4, 12, 13)] {
        put_uvarint(&mut of_others, n);
        put_varint(&mut of_others, min_ms);
        put_varint(&mut of_others, max_ms);
    }
    of_others.extend_from_slice(&[0; SUM_BYTES]);
    vec![written(&some), written(&Tombstones::default()), repaired(&of_others)]
}

fn written(tombstones: &Tombstones) -> Vec<u8> {
    let fs: SimFs = with_file("other", b"");
    tombstones.write(&fs, Path::new(DIR)).expect("invariant: there is room");
    read_all(&fs, &Path::new(DIR).join(TOMBSTONES_FILE)).expect("invariant: it was written")
}
