//! Snapshots of the head in Prometheus' format (docs/formats/wal.md): what is in memory alone when a database
//! is closed, so that the log up to there need not be read at the next start. Owns the directories
//! `chunk_snapshot.N.M`; never decodes a chunk.

use super::{
    reader::{Item, SegmentReader},
    record::{
        Counts, HistogramValue, RecordError, WalExemplar, push_exemplars_as, push_labels, push_value,
        read_exemplars, take, take_bytes, take_labels, take_uvarint, take_value, take_varint,
    },
    segment::{TEMPORARY_SUFFIX, segments_in},
    sequence::{Sequence, SequenceError, SequenceWriter},
};
use crate::options::WalCompression;
use skopos_base::{
    fs::{Fs, OpenMode},
    varint::{put_uvarint, put_varint},
};
use skopos_model::{FloatHistogram, Histogram, Labels, LabelsBuilder, TimestampMs};
use std::{io, path::Path};

const PREFIX: &str = "chunk_snapshot.";
const SERIES: u8 = 1;
const TOMBSTONES: u8 = 2;
const EXEMPLARS: u8 = 3;
/// The version of the encoding of tombstones, that of blocks.
const TOMBSTONES_VERSION: u8 = 1;
/// The encodings of chunks, as chunk files have them.
const XOR: u8 = 1;
const HISTOGRAM: u8 = 2;
const FLOAT_HISTOGRAM: u8 = 3;
/// Exemplars of one record, as Prometheus has it.
const EXEMPLARS_PER_RECORD: usize = 10_000;
/// Whoever reads is told after so many bytes how far it is.
const SAY_EVERY_BYTES: u64 = 1 << 20;
/// Pages of a segment: 128 MiB.
const SEGMENT_PAGES: u64 = 4096;

/// Up to where in the log a snapshot reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The segment.
    pub segment: u32,
    /// The bytes of it that the snapshot stands for.
    pub offset: u64,
}

/// What a series had last, which its chunk does not give without being decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Last {
    /// Of a chunk of floats.
    Float(f64),
    /// Of a chunk of histograms with whole counts.
    Histogram(Histogram),
    /// Of a chunk of histograms with float counts.
    FloatHistogram(FloatHistogram),
}

impl From<HistogramValue> for Last {
    fn from(value: HistogramValue) -> Self {
        match value {
            HistogramValue::Int(h) => Self::Histogram(h),
            HistogramValue::Float(h) => Self::FloatHistogram(h),
        }
    }
}

/// The chunk that a series appends to.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenChunk {
    /// The time of its first sample.
    pub min: TimestampMs,
    /// The time of its last sample.
    pub max: TimestampMs,
    /// The chunk's bytes, as chunk files have them.
    pub bytes: Vec<u8>,
    /// Its last value, which says the encoding too.
    pub last: Last,
}

/// What tells the closed chunks of a series from others: they stand elsewhere. Prometheus, which had
/// something here once, writes zeros and passes it over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClosedChunks {
    /// How many there are.
    pub count: u32,
    /// CRC-32C of what each spans, in their order.
    pub crc: u32,
}

/// An entry of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A series, by its number in the log.
    Series {
        /// The number.
        wal_ref: u64,
        /// Its labels.
        labels: Labels,
        /// What its closed chunks are.
        closed: ClosedChunks,
        /// Its open chunk, if it has one.
        chunk: Option<OpenChunk>,
    },
    /// Deleted times of a series, both included.
    Tombstone {
        /// The series' number.
        wal_ref: u64,
        /// The first time.
        min: TimestampMs,
        /// The last time.
        max: TimestampMs,
    },
    /// An exemplar of a series, in the order in which they came.
    Exemplar {
        /// The series' number.
        wal_ref: u64,
        /// When it was observed.
        timestamp: TimestampMs,
        /// What was observed.
        value: f64,
        /// Its own labels.
        labels: Labels,
    },
}

/// Why a snapshot cannot be used. The log is read instead.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system did not let us read or write.
    #[error("snapshot of the head: {0}")]
    Io(#[from] SequenceError),
    /// It is damaged.
    #[error("snapshot of the head: {path} is damaged at offset {offset}: {reason}")]
    Damaged {
        /// The segment.
        path: std::path::PathBuf,
        /// Where its record begins.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
}

/// Writes a snapshot into the data directory `dir` and removes older ones. `entries`: first all series, then
/// all tombstones, then all exemplars.
///
/// # Errors
/// When the disk refuses; then there is no new snapshot.
pub fn write_snapshot(
    fs: &dyn Fs,
    dir: &Path,
    position: Position,
    compression: WalCompression,
    entries: impl IntoIterator<Item = Entry>,
) -> Result<(), SnapshotError> {
    remove(fs, dir, |name| name.ends_with(TEMPORARY_SUFFIX))?;
    let path = dir.join(format!("{PREFIX}{:06}.{:010}", position.segment, position.offset));
    if !fs.exists(&path).map_err(SequenceError::new("looking for", &path))? {
        let sequence = Sequence { fs, dir: &path, segment_pages: SEGMENT_PAGES, compression };
        sequence.write(|out| {
            let mut writer =
                Writer { out, record: Vec::new(), tombstones: Vec::new(), exemplars: Vec::new() };
            entries.into_iter().try_for_each(|entry| writer.push(entry))?;
            writer.finish()
        })?;
    }
    remove(fs, dir, |name| position_of(name).is_some_and(|p| p < position))
}

/// Removes all snapshots of the data directory `dir`.
///
/// # Errors
/// When the system refuses.
pub fn remove_all(fs: &dyn Fs, dir: &Path) -> Result<(), SnapshotError> {
    remove(fs, dir, |_| true)
}

/// Removes the snapshots whose names are so.
fn remove(fs: &dyn Fs, dir: &Path, is_so: impl Fn(&str) -> bool) -> Result<(), SnapshotError> {
    for entry in fs.read_dir(dir).map_err(SequenceError::new("listing", dir))? {
        if entry.is_dir && entry.name.starts_with(PREFIX) && is_so(&entry.name) {
            let path = dir.join(&entry.name);
            fs.remove_dir_all(&path).map_err(SequenceError::new("removing", &path))?;
        }
    }
    Ok(())
}

/// Up to where in the log the newest snapshot of the data directory `dir` reaches, if there is one.
///
/// # Errors
/// When the directory cannot be listed.
pub fn newest(fs: &dyn Fs, dir: &Path) -> io::Result<Option<Position>> {
    let entries = fs.read_dir(dir)?;
    Ok(entries.iter().filter(|e| e.is_dir).filter_map(|e| position_of(&e.name)).max())
}

fn position_of(name: &str) -> Option<Position> {
    let (segment, offset) = name.strip_prefix(PREFIX)?.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(segment) || !digits(offset) {
        return None;
    }
    Some(Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
}

/// Hands out the entries of the snapshot that reaches to `position`, in their order.
///
/// # Errors
/// At the first damage. What was handed out before it must be thrown away.
pub fn read_snapshot(
    fs: &dyn Fs,
    dir: &Path,
    position: Position,
    each: impl FnMut(Entry),
) -> Result<(), SnapshotError> {
    read_snapshot_saying(fs, dir, position, each, |_| ())
}

/// How much of a snapshot has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadSoFar {
    pub(crate) bytes: u64,
    pub(crate) of_bytes: u64,
}

/// The same, and says from time to time how far it is.
pub(crate) fn read_snapshot_saying(
    fs: &dyn Fs,
    dir: &Path,
    position: Position,
    mut each: impl FnMut(Entry),
    mut say: impl FnMut(ReadSoFar),
) -> Result<(), SnapshotError> {
    // The name may have more digits or fewer than ours have.
    let entries = fs.read_dir(dir).map_err(SequenceError::new("listing", dir))?;
    let names = entries.iter().filter(|e| e.is_dir && position_of(&e.name) == Some(position));
    for name in names.take(1).map(|e| &e.name) {
        let dir = dir.join(name);
        let segments = segments_in(fs, &dir).map_err(SequenceError::new("listing", &dir))?;
        let of_bytes = segments.iter().map(|s| s.len).sum();
        let (mut before, mut said) = (0, 0);
        for segment in segments {
            let path = &segment.path;
            let file = fs.open(path, OpenMode::Read).map_err(SequenceError::new("opening", path))?;
            let mut reader = SegmentReader::new(&*file);
            let damaged =
                |offset, reason| SnapshotError::Damaged { path: segment.path.clone(), offset, reason };
            while let Some(item) = reader.next().map_err(SequenceError::new("reading", path))? {
                match item {
                    Item::Fault(fault) => return Err(damaged(fault.offset, fault.reason.to_owned())),
                    Item::Record(offset, record) => {
                        read_record(record, &mut each).map_err(|e| damaged(offset, e.to_string()))?;
                        let bytes = before + offset;
                        if bytes >= said + SAY_EVERY_BYTES {
                            said = bytes;
                            say(ReadSoFar { bytes, of_bytes });
                        }
                    }
                }
            }
            before += segment.len;
        }
    }
    Ok(())
}

/// Gathers entries into records.
struct Writer<'a, 'w> {
    out: &'a mut SequenceWriter<'w>,
    record: Vec<u8>,
    tombstones: Vec<u8>,
    exemplars: Vec<WalExemplar>,
}

impl Writer<'_, '_> {
    fn push(&mut self, entry: Entry) -> Result<(), SnapshotError> {
        match entry {
            Entry::Series { wal_ref, labels, closed, chunk } => {
                self.record.clear();
                push_series(&mut self.record, wal_ref, &labels, closed, chunk);
                self.out.push(&self.record)?;
            }
            Entry::Tombstone { wal_ref, min, max } => {
                put_uvarint(&mut self.tombstones, wal_ref);
                put_varint(&mut self.tombstones, min.as_ms());
                put_varint(&mut self.tombstones, max.as_ms());
            }
            Entry::Exemplar { wal_ref, timestamp, value, labels } => {
                self.exemplars.push(WalExemplar { wal_ref, timestamp_ms: timestamp.as_ms(), value, labels });
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), SnapshotError> {
        self.record.clear();
        self.record.push(TOMBSTONES);
        put_uvarint(&mut self.record, 1 + self.tombstones.len() as u64);
        self.record.push(TOMBSTONES_VERSION);
        self.record.extend_from_slice(&self.tombstones);
        self.out.push(&self.record)?;
        for exemplars in self.exemplars.chunks(EXEMPLARS_PER_RECORD) {
            self.record.clear();
            push_exemplars_as(&mut self.record, EXEMPLARS, exemplars);
            self.out.push(&self.record)?;
        }
        Ok(())
    }
}

fn push_series(
    out: &mut Vec<u8>,
    wal_ref: u64,
    labels: &Labels,
    closed: ClosedChunks,
    chunk: Option<OpenChunk>,
) {
    out.push(SERIES);
    out.extend_from_slice(&wal_ref.to_be_bytes());
    push_labels(out, labels);
    out.extend_from_slice(&closed.count.to_be_bytes());
    out.extend_from_slice(&closed.crc.to_be_bytes());
    put_uvarint(out, u64::from(chunk.is_some()));
    let Some(OpenChunk { min, max, bytes, last }) = chunk else { return };
    out.extend_from_slice(&min.as_ms().to_be_bytes());
    out.extend_from_slice(&max.as_ms().to_be_bytes());
    out.push(match &last {
        Last::Float(_) => XOR,
        Last::Histogram(_) => HISTOGRAM,
        Last::FloatHistogram(_) => FLOAT_HISTOGRAM,
    });
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(&bytes);
    match last {
        Last::Float(value) => {
            // Once the last four samples; of them only the last value is read.
            out.extend_from_slice(&[0; 3 * 16 + 8]);
            out.extend_from_slice(&value.to_bits().to_be_bytes());
        }
        Last::Histogram(h) => push_value(out, &HistogramValue::Int(h)),
        Last::FloatHistogram(h) => push_value(out, &HistogramValue::Float(h)),
    }
}

/// Hands out what a record has; nothing of kinds that are not known.
pub(crate) fn read_record(record: &[u8], each: &mut impl FnMut(Entry)) -> Result<(), RecordError> {
    let mut rest = record.get(1..).unwrap_or_default();
    match record.first() {
        None => Ok(()),
        Some(&SERIES) => {
            each(take_series(&mut rest)?);
            Ok(())
        }
        Some(&TOMBSTONES) => {
            let mut rest = take_bytes(&mut rest)?;
            if take::<1>(&mut rest)? != [TOMBSTONES_VERSION] {
                return Err(RecordError::OutOfRange);
            }
            while !rest.is_empty() {
                let wal_ref = take_uvarint(&mut rest)?;
                let (min_ms, max_ms) = (take_varint(&mut rest)?, take_varint(&mut rest)?);
                each(Entry::Tombstone {
                    wal_ref,
                    min: TimestampMs::new(min_ms),
                    max: TimestampMs::new(max_ms),
                });
            }
            Ok(())
        }
        Some(&EXEMPLARS) => {
            let mut exemplars = Vec::new();
            read_exemplars(record, &mut exemplars)?;
            for WalExemplar { wal_ref, timestamp_ms, value, labels } in exemplars {
                each(Entry::Exemplar { wal_ref, timestamp: TimestampMs::new(timestamp_ms), value, labels });
            }
            Ok(())
        }
        Some(kind) => Err(RecordError::UnknownKind(*kind)),
    }
}

fn take_series(rest: &mut &[u8]) -> Result<Entry, RecordError> {
    let wal_ref = u64::from_be_bytes(take(rest)?);
    let labels = take_labels(rest, &mut LabelsBuilder::default())?;
    let closed =
        ClosedChunks { count: u32::from_be_bytes(take(rest)?), crc: u32::from_be_bytes(take(rest)?) };
    let mut chunk = None;
    if take_uvarint(rest)? != 0 {
        let min = TimestampMs::new(i64::from_be_bytes(take(rest)?));
        let max = TimestampMs::new(i64::from_be_bytes(take(rest)?));
        let [encoding] = take(rest)?;
        let bytes = take_bytes(rest)?.to_vec();
        let last = match encoding {
            XOR => {
                take::<56>(rest)?;
                Last::Float(f64::from_bits(u64::from_be_bytes(take(rest)?)))
            }
            HISTOGRAM => take_value(rest, Counts::Integers)?.into(),
            FLOAT_HISTOGRAM => take_value(rest, Counts::Floats)?.into(),
            _ => return Err(RecordError::OutOfRange),
        };
        chunk = Some(OpenChunk { min, max, bytes, last });
    }
    if !rest.is_empty() {
        return Err(RecordError::OutOfRange);
    }
    Ok(Entry::Series { wal_ref, labels, closed, chunk })
}

#[cfg(test)]
mod tests;
