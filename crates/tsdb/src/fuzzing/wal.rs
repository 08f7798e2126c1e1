//! The write-ahead log's decoders: segments, and records of every kind.

use super::block::{DIR, with_file};
use crate::options::WalCompression;
use crate::wal::{
    page::{Compression, Framable, frame},
    reader::{Item, SegmentReader},
    record::{self, HistogramValue, RecordError, RecordKind, SamplesRecord, WalHistogram},
    snapshot,
};
use skopos_base::fs::File;
use skopos_model::{Labels, LabelsBuilder, Metadata};
use std::{io, path::Path};

/// A file in memory that is only read.
#[derive(Debug)]
struct Bytes<'a>(&'a [u8]);

impl File for Bytes<'_> {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[self.0.len().min(offset as usize)..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn append(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// A segment's records and the number of its faults.
fn read_segment(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let owned = Bytes(bytes);
    let mut reader = SegmentReader::new(&owned);
    let (mut records, mut faults, mut last) = (Vec::new(), 0, None);
    while let Some(item) = reader.next().expect("invariant: memory can be read") {
        let offset = match item {
            Item::Record(offset, record) => {
                records.push(record.to_vec());
                assert!(last.is_none_or(|last| last < offset), "records stand out of order");
                last = Some(offset);
                offset
            }
            Item::Fault(fault) => {
                faults += 1;
                fault.offset
            }
        };
        assert!(offset <= bytes.len() as u64, "something stands behind the end");
        assert!(records.len() + faults <= bytes.len() + 1, "there are more items than bytes");
    }
    assert!(reader.good_end() <= bytes.len() as u64, "the good part ends behind the end");
    (records, faults)
}

/// A segment: its records come back when they are framed and read again.
pub fn segment(bytes: &[u8]) -> bool {
    let (records, faults) = read_segment(bytes);
    let again = framed(&records);
    assert_eq!(read_segment(&again), (records, 0), "records that were framed again do not come back");
    faults == 0
}

/// Records as a segment has them.
pub fn framed(records: &[Vec<u8>]) -> Vec<u8> {
    framed_with(records, Compression::None)
}

fn framed_with(records: &[Vec<u8>], compression: Compression) -> Vec<u8> {
    let mut out = Vec::new();
    for bytes in records {
        let packed;
        let bytes = match compression {
            Compression::Snappy => {
                let done = snap::raw::Encoder::new().compress_vec(bytes);
                packed = done.expect("invariant: a record is no longer than snappy takes");
                &packed
            }
            _ => bytes,
        };
        frame(&mut out, 0, Framable { bytes, compression });
    }
    out
}

/// Segments with records of every kind, plain and compressed, on one page and on several.
pub fn segment_seeds() -> Vec<Vec<u8>> {
    let records = record_seeds();
    let long = vec![(0..40_000u32).map(|i| (i % 251) as u8).collect(), vec![2; 5]];
    vec![
        framed(&records),
        framed_with(&records, Compression::Snappy),
        framed(&long),
        framed_with(&long, Compression::Snappy),
    ]
}

/// A record of the kind that its first byte says; whoever only checks it says the same of it.
pub fn record(bytes: &[u8]) -> bool {
    let is_sound = of_any_kind(bytes);
    assert_eq!(is_sound, !bytes.is_empty() && record::check_record(bytes).is_ok(), "a check says another");
    is_sound
}

fn of_any_kind(bytes: &[u8]) -> bool {
    match RecordKind::of(bytes) {
        Some(RecordKind::Series) => series(bytes),
        Some(RecordKind::Samples) => samples(bytes),
        Some(RecordKind::Metadata) => metadata(bytes),
        Some(RecordKind::Histograms) => histograms(bytes),
        Some(RecordKind::SamplesV2) => samples_v2(bytes),
        Some(RecordKind::Tombstones) => {
            let (read, push) = (record::read_tombstones, record::push_tombstones);
            comes_back(bytes, read, push, |a, b| a == b)
        }
        Some(RecordKind::MmapMarkers) => {
            comes_back(bytes, record::read_markers, record::push_markers, |a, b| a == b)
        }
        Some(RecordKind::Exemplars) => {
            comes_back(bytes, record::read_exemplars, record::push_exemplars, same_exemplar)
        }
        Some(RecordKind::MinValidTime) => record::read_min_valid_time(bytes).is_ok(),
        Some(RecordKind::GroupMarker) => group_marker(bytes),
        Some(RecordKind::DeletionBound) => deletion_bound(bytes),
        Some(RecordKind::Unknown(_)) | None => false,
    }
}

/// What was read comes back when it is written and read again.
fn comes_back<T: std::fmt::Debug>(
    bytes: &[u8],
    read: fn(&[u8], &mut Vec<T>) -> Result<(), RecordError>,
    push: fn(&mut Vec<u8>, &[T]),
    same: fn(&T, &T) -> bool,
) -> bool {
    let mut entries = Vec::new();
    let done = read(bytes, &mut entries);
    if done.is_err() || entries.is_empty() {
        assert!(entries.is_empty(), "a record that is refused gives entries");
        return done.is_ok();
    }
    let (mut written, mut again) = (Vec::new(), Vec::new());
    push(&mut written, &entries);
    assert_eq!(read(&written, &mut again), Ok(()));
    let is_same = again.len() == entries.len() && again.iter().zip(&entries).all(|(a, b)| same(a, b));
    assert!(is_same, "entries do not come back: {entries:?}, then {again:?}");
    true
}

fn deletion_bound(bytes: &[u8]) -> bool {
    let (mut anew, mut back) = (Vec::new(), Vec::new());
    let Ok(first_ms) = record::read_deletion_bound(bytes, &mut anew) else { return false };
    let mut again = Vec::new();
    record::push_deletion_bound(&mut again, first_ms, &anew);
    assert_eq!((record::read_deletion_bound(&again, &mut back), back), (Ok(first_ms), anew));
    true
}

fn group_marker(bytes: &[u8]) -> bool {
    let Ok(marker) = record::read_group_marker(bytes) else { return false };
    let mut again = Vec::new();
    record::push_group_marker(&mut again, &marker);
    assert_eq!(record::read_group_marker(&again), Ok(marker));
    true
}

fn same_exemplar(a: &record::WalExemplar, b: &record::WalExemplar) -> bool {
    let all_of = |e: &record::WalExemplar| (e.wal_ref, e.timestamp_ms, e.value.to_bits(), e.labels.clone());
    all_of(a) == all_of(b)
}

fn same_value(a: &HistogramValue, b: &HistogramValue) -> bool {
    match (a, b) {
        (HistogramValue::Int(a), HistogramValue::Int(b)) => a.same_bits(b),
        (HistogramValue::Float(a), HistogramValue::Float(b)) => a.same_bits(b),
        _ => false,
    }
}

fn same_histogram(a: &WalHistogram, b: &WalHistogram) -> bool {
    let of = |h: &WalHistogram| (h.wal_ref, h.timestamp_ms, h.start_ms);
    of(a) == of(b) && same_value(&a.value, &b.value)
}

/// What was read comes back, bit for bit. All of a record's histograms are of one kind of counts; those of
/// one kind of bounds stay in their order.
fn histograms(bytes: &[u8]) -> bool {
    let mut entries = Vec::new();
    if record::read_histograms(bytes, &mut entries).is_err() {
        assert!(entries.is_empty(), "a record that is refused gives histograms");
        return false;
    }
    let mut again: Vec<WalHistogram> = Vec::new();
    record::push_histograms(&entries, &mut Vec::new(), |written| {
        let done = record::read_histograms(written, &mut again);
        assert_eq!(done, Ok(0), "histograms that were written are refused");
    });
    if entries.iter().all(|h| h.start_ms == 0) {
        entries.sort_by_key(|h| match &h.value {
            HistogramValue::Int(h) => h.layout.has_custom_bounds(),
            HistogramValue::Float(h) => h.layout.has_custom_bounds(),
        });
    }
    let same = again.len() == entries.len() && again.iter().zip(&entries).all(|(a, b)| same_histogram(a, b));
    assert!(same, "histograms do not come back: {entries:?}, then {again:?}");
    true
}

fn read_series(bytes: &[u8]) -> Result<Vec<(u64, Labels)>, RecordError> {
    let mut out = Vec::new();
    record::read_series(bytes, &mut LabelsBuilder::default(), |wal_ref, labels| out.push((wal_ref, labels)))?;
    Ok(out)
}

fn series(bytes: &[u8]) -> bool {
    let Ok(series) = read_series(bytes) else { return false };
    let mut again = Vec::new();
    series.iter().for_each(|(wal_ref, labels)| record::push_series(&mut again, *wal_ref, labels));
    if !series.is_empty() {
        assert_eq!(read_series(&again), Ok(series), "series do not come back");
    }
    true
}

fn samples(bytes: &[u8]) -> bool {
    let mut samples = Vec::new();
    if record::read_samples(bytes, &mut samples).is_err() {
        assert!(samples.is_empty(), "a record that is refused gives samples");
        return false;
    }
    let mut again = SamplesRecord::default();
    for one in &samples {
        again.push(one.wal_ref, one.timestamp_ms, f64::from_bits(one.value_bits));
    }
    if !samples.is_empty() {
        let mut got = Vec::new();
        assert_eq!(record::read_samples(again.bytes(), &mut got), Ok(()));
        assert_eq!(got, samples, "samples do not come back");
    }
    true
}

fn samples_v2(bytes: &[u8]) -> bool {
    let mut samples = Vec::new();
    if record::read_samples_v2(bytes, &mut samples).is_err() {
        assert!(samples.is_empty(), "a record that is refused gives samples");
        return false;
    }
    let mut again = record::SamplesV2Record::default();
    samples.iter().for_each(|(sample, start_ms)| again.push(*sample, *start_ms));
    if !samples.is_empty() {
        let mut got = Vec::new();
        assert_eq!(record::read_samples_v2(again.bytes(), &mut got), Ok(()));
        assert_eq!(got, samples, "samples with start timestamps do not come back");
    }
    true
}

fn read_metadata(bytes: &[u8]) -> Result<Vec<(u64, Metadata)>, RecordError> {
    let mut all = Vec::new();
    record::read_metadata(bytes, |wal_ref, metadata| all.push((wal_ref, metadata))).map(|()| all)
}

fn metadata(bytes: &[u8]) -> bool {
    let Ok(all) = read_metadata(bytes) else { return false };
    let mut again = Vec::new();
    all.iter().for_each(|(wal_ref, metadata)| record::push_metadata(&mut again, *wal_ref, metadata));
    if !all.is_empty() {
        assert_eq!(read_metadata(&again), Ok(all), "metadata do not come back");
    }
    true
}

/// A record of each kind that is written or read.
pub fn record_seeds() -> Vec<Vec<u8>> {
    let mut series = Vec::new();
    let label_sets: [&[(&str, &str)]; 3] =
        [&[("__name__", "up"), ("job", "node")], &[], &[("__name__", "x"), ("ü", "\"\n")]];
    for (i, pairs) in label_sets.iter().enumerate() {
        record::push_series(&mut series, 1 << (20 * i), &Labels::from_pairs(pairs.iter().copied()));
    }
    let mut samples = SamplesRecord::default();
    for i in 0..8u64 {
        samples.push(i * i, 1_700_000_000_000 - 7 * i as i64, (i as f64).sqrt());
    }
    let metadata = b"\x06\x01\x01\x02\x04HELP\x04text\x04UNIT\x01s\x02\x02\x00".to_vec();
    let (mut tombstones, mut markers) = (Vec::new(), Vec::new());
    let deleted = record::WalTombstone { wal_ref: 3, min_ms: -5, max_ms: 1 << 40 };
    record::push_tombstones(&mut tombstones, &[deleted; 2]);
    record::push_markers(&mut markers, &[record::MmapMarker { wal_ref: 1, chunk_ref: 1 << 33 }; 2]);
    let reference = [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 3, 232];
    let exemplar =
        [&[4][..], &reference, &[0, 0], &1.5f64.to_bits().to_be_bytes(), b"\x01\x01a\x01b"].concat();
    // Hint, schema, threshold, zero count, count, sum, spans, deltas: of whole numbers and of floats.
    let half = 0.5f64.to_bits().to_be_bytes();
    let head: [&[u8]; 5] = [&reference, &[0, 0, 0, 2], &half, &[1, 3], &half];
    let whole = [&[7][..], &head.concat(), &[1, 0, 2, 0, 2, 2, 0, 0]].concat();
    let min_valid = [14, 0, 0, 0, 0, 0, 0, 0, 5].to_vec();
    let mut group = Vec::new();
    let marker = record::GroupMarker { group: 7, len: 2, before: 1, next: Some(9) };
    record::push_group_marker(&mut group, &marker);
    let mut bound = Vec::new();
    record::push_deletion_bound(&mut bound, -5, &[deleted]);
    let samples = samples.bytes().to_vec();
    let mut all = vec![series, samples, metadata, tombstones, markers, exemplar, whole, min_valid, group];
    all.push(bound);
    all.extend(with_starts(&all[6]));
    all
}

/// Records of version 2: samples, and the histograms of a record with whole and with float counts.
fn with_starts(whole: &[u8]) -> Vec<Vec<u8>> {
    let mut samples = record::SamplesV2Record::default();
    for (i, start_ms) in [0, 900, 900, 0, 950].into_iter().enumerate() {
        let (timestamp_ms, value_bits) = (1000 + 10 * i as i64, (i as f64).to_bits());
        samples.push(record::WalSample { wal_ref: 1 + i as u64, timestamp_ms, value_bits }, start_ms);
    }
    let mut records = vec![samples.bytes().to_vec()];
    let mut histograms = Vec::new();
    let read = record::read_histograms(whole, &mut histograms);
    assert_eq!((read, histograms.len()), (Ok(0), 1), "invariant: the seed is sound");
    let mut floats = histograms[0].clone();
    if let HistogramValue::Int(h) = &histograms[0].value {
        floats.value = HistogramValue::Float(h.to_float());
    }
    histograms.push(floats);
    histograms.iter_mut().for_each(|h| h.start_ms = h.timestamp_ms - 5);
    record::push_histograms(&histograms, &mut Vec::new(), |record| records.push(record.to_vec()));
    records
}

fn read_snapshot_record(bytes: &[u8]) -> Result<Vec<snapshot::Entry>, RecordError> {
    let mut entries = Vec::new();
    snapshot::read_record(bytes, &mut |entry| entries.push(entry)).map(|()| entries)
}

/// The entries of a snapshot's record come back when they are written and read again.
pub fn snapshot_record(bytes: &[u8]) -> bool {
    let Ok(entries) = read_snapshot_record(bytes) else { return false };
    let (fs, dir) = (with_file("other", &[]), Path::new(DIR));
    let position = snapshot::Position { segment: 0, offset: 0 };
    let written = snapshot::write_snapshot(&fs, dir, position, WalCompression::None, entries.clone());
    written.expect("invariant: there is room");
    let mut again = Vec::new();
    let read = snapshot::read_snapshot(&fs, dir, position, |entry| again.push(entry));
    read.expect("a snapshot that was written can be read");
    let same = again.len() == entries.len() && again.iter().zip(&entries).all(|(a, b)| same_entry(a, b));
    assert!(same, "entries do not come back: {entries:?}, then {again:?}");
    true
}

/// Both are the same, bit for bit.
fn same_entry(a: &snapshot::Entry, b: &snapshot::Entry) -> bool {
    use snapshot::{Entry, Last};
    let last = |last: &Last| match last.clone() {
        Last::Float(value) => Err(value.to_bits()),
        Last::Histogram(h) => Ok(HistogramValue::Int(h)),
        Last::FloatHistogram(h) => Ok(HistogramValue::Float(h)),
    };
    match (a, b) {
        (
            Entry::Series { chunk: Some(a_chunk), wal_ref: a_ref, labels: a_labels, closed: a_closed },
            Entry::Series { chunk: Some(b_chunk), wal_ref: b_ref, labels: b_labels, closed: b_closed },
        ) => {
            let same_last = match (last(&a_chunk.last), last(&b_chunk.last)) {
                (Ok(a), Ok(b)) => same_value(&a, &b),
                (Err(a), Err(b)) => a == b,
                _ => false,
            };
            same_last
                && (a_ref, a_labels, a_closed) == (b_ref, b_labels, b_closed)
                && (a_chunk.min, a_chunk.max, &a_chunk.bytes) == (b_chunk.min, b_chunk.max, &b_chunk.bytes)
        }
        (
            Entry::Exemplar { wal_ref: a_ref, timestamp: a_at, value: a, labels: a_labels },
            Entry::Exemplar { wal_ref: b_ref, timestamp: b_at, value: b, labels: b_labels },
        ) => (a_ref, a_at, a.to_bits(), a_labels) == (b_ref, b_at, b.to_bits(), b_labels),
        _ => a == b,
    }
}

/// The records of a segment that is sound.
pub fn records_in(segment: &[u8]) -> Vec<Vec<u8>> {
    let (records, faults) = read_segment(segment);
    assert_eq!(faults, 0, "the segment is damaged");
    records
}

pub fn snapshot_record_seeds() -> Vec<Vec<u8>> {
    let mut series = vec![1, 0, 0, 0, 0, 0, 0, 0, 7, 1, 1, b'a', 1, b'b', 0, 0, 0, 0, 0, 0, 0, 0, 1];
    series.extend_from_slice(&[0; 16]);
    series.extend_from_slice(&[1, 3, 0, 0, 0]);
    series.extend_from_slice(&[0; 64]);
    vec![series, vec![2, 4, 1, 7, 0, 18], vec![3]]
}
