//! The decoders of blocks. Checksums are made to hold, so that the bytes behind them are looked at.

use crate::{
    block::{
        BlockId, BlockMeta, META_FILE, TOMBSTONES_FILE, Tombstones,
        chunks::reader::{ChunkFetcher, ChunkSegments, Wanted},
        index::{
            ChunkMeta, ChunkRef, IndexVersion,
            offsets::PostingOffsets,
            series::SeriesEntry,
            symbols::{SymbolReader, Symbols},
        },
        input::Input,
        kept::{decode_kept, rewrite_kept},
    },
    db::note::{self, HeadCut, LateBlock, LateNote, Note},
    head::out_of_order::cut::LateCut,
    head_chunks::ChunkPlace,
    intervals::{Interval, Intervals},
    wal::snapshot::Position,
};
use skopos_base::{
    crc::crc32c,
    fs::{Fs, OpenMode, append_all, read_all},
    sim::SimFs,
    varint::{put_uvarint, uvarint},
};
use skopos_chunk::{Appended, Encoding, HistogramEncoder, XorEncoder, decode_columns};
use skopos_model::{
    Columns, DurationMs, Histogram, SeriesRef, TimestampMs,
    histogram::{CounterResetHint, Layout, Span},
};
use skopos_storage::{Chunk, TimeRange};
use std::{fmt::Debug, ops::ControlFlow, path::Path};

pub(super) const DIR: &str = "/b";
const TABLE: &str = "/b/table";
/// The bytes before the first chunk of a segment.
const HEADER_BYTES: usize = 8;
/// More places of a segment are not asked for a chunk.
const MOST_PLACES: usize = 256;
/// Longer chunks are not rewritten here.
const MAX_REWRITTEN: usize = 512;

/// A file system with one file.
pub(super) fn with_file(name: &str, bytes: &[u8]) -> SimFs {
    let fs = SimFs::new(1);
    fs.create_dir_all(Path::new(DIR)).expect("invariant: a new file system has no faults");
    let mut file = fs.open(&Path::new(DIR).join(name), OpenMode::CreateNew).expect("invariant: it is new");
    append_all(&mut *file, bytes).expect("invariant: there is room");
    fs
}

/// Bytes as a table, with its length and checksum.
fn table(content: &[u8]) -> Input {
    let mut bytes = (content.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(&crc32c(content).to_be_bytes());
    let fs = with_file("table", &bytes);
    Input::open(&fs, TABLE.into()).expect("invariant: it was written")
}

/// What the first byte says.
const KINDS: [fn(&[u8]) -> bool; 11] = [
    symbols,
    offsets_of_version_1,
    offsets_of_version_2,
    series,
    tombstones,
    meta,
    deletion_of_floats,
    read_note::<HeadCut>,
    deletion,
    segment,
    read_note::<LateNote>,
];

pub fn any(bytes: &[u8]) -> bool {
    bytes.split_first().is_some_and(|(kind, rest)| KINDS[usize::from(*kind) % KINDS.len()](rest))
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut symbols = 3u32.to_be_bytes().to_vec();
    symbols.extend_from_slice(b"\0\x01a\x04name");
    let mut offsets = 2u32.to_be_bytes().to_vec();
    offsets.extend_from_slice(b"\x02\0\0\x10\x02\x04name\x05value\x80\x01");
    let chunk = |t, at| ChunkMeta {
        min: TimestampMs::new(t),
        max: TimestampMs::new(t + 9),
        at: ChunkRef::new(0, at),
    };
    let (mut entry, mut scratch) = (Vec::new(), Vec::new());
    SeriesEntry::encode(
        [(1, 2), (3, 900)].into_iter(),
        &[chunk(5, 8), chunk(15, 90)],
        &mut scratch,
        &mut entry,
    );
    let mut deleted = Vec::new();
    put_uvarint(&mut deleted, 7);
    deleted.extend_from_slice(&[9, 18]);
    let meta = br#"{"ulid":"01M80KR0P505J3R3AZ7M9NYV5Y","minTime":5,"maxTime":9,"stats":{"numSamples":4},
        "compaction":{"level":1,"sources":["01M80KR0P505J3R3AZ7M9NYV5Y"]},"version":1,"thanos":{"a":[1.5]}}"#;
    let mut chunk = XorEncoder::new();
    (0..9).for_each(|i| chunk.append(TimestampMs::new(1000 * i), i as f64));
    let (until, block) = (TimestampMs::new(1_700_000_000_000), Some(DurationMs::from_ms(7_200_000)));
    let head_cut = noted(&HeadCut { until, block });
    let late_cut = noted(&LateNote {
        cut: LateCut {
            wal: Position { segment: 7, offset: 32_768 },
            head_chunks: ChunkPlace::of_number(5 << 32 | 8),
        },
        blocks: vec![LateBlock { ulid: BlockId::new(1 << 90), wal_segment: 6 }],
    });
    let of_histograms = histograms();
    let mut segment = Vec::new();
    for (encoding, bytes) in [(Encoding::Xor, chunk.bytes()), (Encoding::Histogram, &of_histograms[1..])] {
        put_uvarint(&mut segment, bytes.len() as u64);
        segment.push(encoding.as_byte());
        segment.extend_from_slice(bytes);
        let sum = crc32c(&segment[segment.len() - bytes.len() - 1..]);
        segment.extend_from_slice(&sum.to_be_bytes());
    }
    let kinds: [&[u8]; 11] = [
        &symbols,
        &offsets,
        &offsets,
        &scratch,
        &deleted,
        &meta[..],
        chunk.bytes(),
        &head_cut,
        &of_histograms,
        &segment,
        &late_cut,
    ];
    kinds.iter().enumerate().map(|(kind, bytes)| [&[kind as u8], *bytes].concat()).collect()
}

/// A chunk of histograms behind the byte of its encoding.
fn histograms() -> Vec<u8> {
    let spans = vec![Span { offset: 0, length: 2 }];
    let layout = Layout { schema: 1, positive_spans: spans, ..Layout::default() };
    let mut encoder = HistogramEncoder::new();
    for i in 1..9i64 {
        let (count, sum, layout) = (3 * i as u64, 0.5 * i as f64, layout.clone());
        let positive_deltas = vec![i, i];
        let histogram = Histogram { layout, count, sum, positive_deltas, ..Histogram::default() };
        let done = encoder.append(TimestampMs::new(1000 * i), &histogram);
        assert_eq!(done, Appended::Same, "invariant: the seed is one chunk");
    }
    [&[Encoding::Histogram.as_byte()], encoder.bytes()].concat()
}

/// Each symbol that the walk hands out is found by its number.
fn symbols(bytes: &[u8]) -> bool {
    let input = table(bytes);
    let Ok(symbols) = Symbols::open(&input, 0, IndexVersion::V2) else { return false };
    let mut all = Vec::new();
    let is_sound = symbols.for_each(&input, |text| all.push(text.to_owned())).is_ok();
    if is_sound {
        let mut reader = SymbolReader::default();
        for (n, text) in all.iter().enumerate() {
            let pair = reader.pair(&symbols, &input, (n as u32, n as u32));
            assert!(matches!(pair, Ok((name, value)) if name == text && value == text), "symbol {n}");
        }
        assert!(reader.pair(&symbols, &input, (all.len() as u32, 0)).is_err());
    }
    is_sound
}

fn offsets_of_version_1(bytes: &[u8]) -> bool {
    offsets(bytes, IndexVersion::V1)
}

fn offsets_of_version_2(bytes: &[u8]) -> bool {
    offsets(bytes, IndexVersion::V2)
}

/// Each value that the walk hands out is found by its name, and no other is.
fn offsets(bytes: &[u8], version: IndexVersion) -> bool {
    let input = table(bytes);
    let Ok(offsets) = PostingOffsets::open(&input, 0, version) else { return false };
    for name in offsets.names().map(str::to_owned).collect::<Vec<_>>() {
        let mut all = Vec::new();
        let walked = offsets.for_each(&input, &name, "", |value, at| {
            all.push((value.to_owned(), at));
            Ok(ControlFlow::Continue(()))
        });
        assert!(walked.is_ok(), "what was opened is read: {walked:?}");
        assert!(all.is_sorted_by(|a, b| a.0 < b.0) && all.len() == offsets.value_count(&name));
        for (value, at) in all {
            assert_eq!(offsets.get(&input, &name, &value).ok(), Some(Some(at)));
        }
    }
    true
}

/// What was read is written and read again.
fn series(bytes: &[u8]) -> bool {
    let input = table(bytes);
    let mut entry = SeriesEntry::default();
    let is_sound = entry.decode(&input, bytes, 4).is_ok();
    if is_sound {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        SeriesEntry::encode(entry.labels.iter().copied(), &entry.chunks, &mut scratch, &mut out);
        let mut again = SeriesEntry::default();
        assert!(again.decode(&input, &scratch, 4).is_ok() && again == entry, "{entry:?}");
    }
    is_sound
}

fn tombstones(bytes: &[u8]) -> bool {
    let mut file = vec![0x01, 0x30, 0xba, 0x30, 1];
    file.extend_from_slice(bytes);
    file.extend_from_slice(&crc32c(bytes).to_be_bytes());
    let fs = with_file(TOMBSTONES_FILE, &file);
    let Ok(mut read) = Tombstones::read(&fs, Path::new(DIR)) else { return false };
    read.add(SeriesRef::new(1).expect("invariant: not 0"), Interval { min_ms: 0, max_ms: 5 });
    assert!(read.write(&fs, Path::new(DIR)).is_ok());
    assert_eq!(Tombstones::read(&fs, Path::new(DIR)).ok(), Some(read));
    true
}

fn meta(bytes: &[u8]) -> bool {
    let fs = with_file(META_FILE, bytes);
    let Ok(read) = BlockMeta::read(&fs, Path::new(DIR)) else { return false };
    assert!(read.write(&fs, Path::new(DIR)).is_ok());
    assert_eq!(BlockMeta::read(&fs, Path::new(DIR)).ok(), Some(read));
    true
}

/// A note as a file has it.
fn noted<N: Note>(note: &N) -> Vec<u8> {
    let fs = with_file("other", b"");
    note::write(&fs, Path::new(DIR), note).expect("invariant: there is room");
    read_all(&fs, &Path::new(DIR).join(N::FILE)).expect("invariant: it was written")
}

/// What is read of a note is what it was written with, whatever its form.
fn read_note<N: Note + PartialEq + Debug>(bytes: &[u8]) -> bool {
    let fs = with_file(N::FILE, bytes);
    let read = note::read::<N>(&fs, Path::new(DIR)).expect("invariant: the file can be read");
    if let Some(read) = &read {
        let fs = with_file(N::FILE, &noted(read));
        assert_eq!(note::read(&fs, Path::new(DIR)).ok().flatten().as_ref(), Some(read));
    }
    read.is_some()
}

fn deletion_of_floats(bytes: &[u8]) -> bool {
    deletion(&[&[Encoding::Xor.as_byte()], bytes].concat())
}

/// That the samples of `got` are those of `all` but for the one at `without`, bit for bit, the hints apart,
/// which say something of the sample before.
fn assert_same_without(got: &Columns, all: &Columns, without: usize) {
    let left = |columns: &Columns| columns.timestamps.len();
    assert_eq!(left(got) + 1, left(all), "samples are lost or more");
    let of = |columns: &Columns, at: usize| {
        let row = columns.histograms.rows_of(at..at + 1).next();
        let histogram = row.map(|row| columns.histograms.get(row).to_histogram()).map(|mut histogram| {
            let hint = &mut histogram.layout.counter_reset_hint;
            if *hint != CounterResetHint::Gauge {
                *hint = CounterResetHint::Unknown;
            }
            histogram
        });
        (columns.timestamps[at], columns.values[at].to_bits(), histogram)
    };
    for at in 0..left(got) {
        let (got, want) = (of(got, at), of(all, if at < without { at } else { at + 1 }));
        let same_histogram = match (&got.2, &want.2) {
            (Some(a), Some(b)) => a.same_bits(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        assert!((got.0, got.1) == (want.0, want.1) && same_histogram, "{got:?} for {want:?}");
    }
}

/// A chunk without its middle has the samples that are not in the middle, as columns and written again.
fn deletion(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    let Some(encoding) = Encoding::from_byte(*first) else { return false };
    // A chunk may become as many as it has samples.
    if bytes.len() > MAX_REWRITTEN {
        return false;
    }
    let mut all = Columns::default();
    let sound = decode_columns(encoding, bytes, TimestampMs::MIN, TimestampMs::MAX, &mut all).is_ok();
    let timestamps = &all.timestamps;
    let [first, .., last] = timestamps[..] else { return sound };
    if !sound || !timestamps.is_sorted_by(|a, b| a < b) {
        return false;
    }
    let without = timestamps.len() / 2;
    let (middle, range) = (timestamps[without], TimeRange { min: first, max: last });
    let deleted: Intervals =
        [Interval { min_ms: middle.as_ms(), max_ms: middle.as_ms() }].into_iter().collect();
    let mut columns = Columns::default();
    assert!(decode_kept(encoding, bytes, range, &deleted, &mut columns).is_ok());
    assert_same_without(&columns, &all, without);
    let chunk = Chunk { min: first, max: last, encoding, bytes: bytes.to_vec().into() };
    let mut chunks = Vec::new();
    assert!(rewrite_kept(chunk, &deleted, &mut chunks).is_ok());
    columns.clear();
    for chunk in chunks {
        assert!(decode_columns(chunk.encoding, &chunk.bytes, chunk.min, chunk.max, &mut columns).is_ok());
    }
    assert_same_without(&columns, &all, without);
    true
}

/// A chunk segment, of which each place is asked for a chunk: what is given stands there, and its checksum
/// holds. Sound is what is chunks to its end.
fn segment(bytes: &[u8]) -> bool {
    let mut bytes = [&[0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0], bytes].concat();
    let mut at = HEADER_BYTES;
    while let Some(end) = repair_chunk(&mut bytes, at) {
        at = end;
    }
    let fs = with_file("other", &[]);
    let dir = Path::new(DIR).join("chunks");
    fs.create_dir_all(&dir).expect("invariant: there is room");
    let mut file = fs.open(&dir.join("000001"), OpenMode::CreateNew).expect("invariant: it is new");
    append_all(&mut *file, &bytes).expect("invariant: there is room");
    let segments = ChunkSegments::open(&fs, Path::new(DIR)).expect("its first bytes are a segment's");
    let mut together = ChunkFetcher::default();
    for at in 0..bytes.len().min(MOST_PLACES) {
        let wanted = [Wanted { at: ChunkRef::new(0, at as u32), end: None }];
        let read = together.fetch(&segments, &wanted);
        let alone = ChunkFetcher::default().fetch(&segments, &wanted);
        assert_eq!(read.as_ref().ok(), alone.as_ref().ok(), "what was read before changes an answer");
        if let Ok((encoding, data)) = read {
            let (len, n) = uvarint(&bytes[at..]).expect("the length of a chunk stands there");
            let start = at + n + 1;
            assert_eq!((len as usize, bytes[start - 1]), (data.len(), encoding.as_byte()));
            assert_eq!(bytes[start..start + data.len()], data);
            assert!(at >= HEADER_BYTES);
        }
    }
    at == bytes.len()
}

/// Writes the checksum of the chunk at a place; returns its end.
fn repair_chunk(bytes: &mut [u8], at: usize) -> Option<usize> {
    let (len, n) = uvarint(bytes.get(at..)?)?;
    let from = at + n;
    let end = from.checked_add(1)?.checked_add(usize::try_from(len).ok()?)?;
    let sum = crc32c(bytes.get(from..end)?);
    bytes.get_mut(end..end + 4)?.copy_from_slice(&sum.to_be_bytes());
    Some(end + 4)
}
