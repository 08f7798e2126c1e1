//! What the records of the WAL hold, to and from bytes. Never trusts a length; knows no page.

use skopos_model::{Labels, LabelsBuilder, Metadata, MetricType};

/// The first byte of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RecordKind {
    Series,
    Samples,
    Tombstones,
    Exemplars,
    MmapMarkers,
    Metadata,
    /// Any of the kinds of histogram samples.
    Histograms,
    /// Samples with start timestamps, as Prometheus 3 can write them.
    SamplesV2,
    MinValidTime,
    Unknown(u8),
}

const SERIES: u8 = 1;
const SAMPLES: u8 = 2;
const METADATA: u8 = 6;

impl RecordKind {
    pub(crate) fn of(record: &[u8]) -> Option<Self> {
        Some(match *record.first()? {
            SERIES => Self::Series,
            SAMPLES => Self::Samples,
            3 => Self::Tombstones,
            4 => Self::Exemplars,
            5 => Self::MmapMarkers,
            METADATA => Self::Metadata,
            7..=10 | 12 | 13 => Self::Histograms,
            11 => Self::SamplesV2,
            14 => Self::MinValidTime,
            other => Self::Unknown(other),
        })
    }
}

/// What is wrong with a record whose checksum is right: another writer's fault, or a flipped header bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("it ends in the middle of an entry")]
    Truncated,
    #[error("a variable-length integer has more than 64 bits")]
    Overflow,
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("a label has no name")]
    NoName,
    #[error("it is of kind {0}, which is unknown")]
    UnknownKind(u8),
}

/// Adds a series to a record, beginning it when it is empty.
pub(crate) fn push_series(record: &mut Vec<u8>, wal_ref: u64, labels: &Labels) {
    if record.is_empty() {
        record.push(SERIES);
    }
    record.extend_from_slice(&wal_ref.to_be_bytes());
    push_uvarint(record, labels.len() as u64);
    for (name, value) in labels {
        push_text(record, name);
        push_text(record, value);
    }
}

/// Reads a series record and hands out each reference with its labels.
pub(crate) fn read_series(
    record: &[u8],
    builder: &mut LabelsBuilder,
    mut each: impl FnMut(u64, Labels),
) -> Result<(), RecordError> {
    let mut rest = &record[1..];
    while !rest.is_empty() {
        let wal_ref = u64::from_be_bytes(take(&mut rest)?);
        builder.clear();
        for _ in 0..take_uvarint(&mut rest)? {
            let name = take_text(&mut rest)?;
            let value = take_text(&mut rest)?;
            if name.is_empty() {
                return Err(RecordError::NoName);
            }
            builder.set(name, value);
        }
        each(wal_ref, builder.build());
    }
    Ok(())
}

/// A samples record being written, sample by sample.
#[derive(Debug, Default)]
pub(crate) struct SamplesRecord {
    bytes: Vec<u8>,
    base_ref: u64,
    base_ms: i64,
}

impl SamplesRecord {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    #[inline]
    pub(crate) fn push(&mut self, wal_ref: u64, timestamp_ms: i64, value: f64) {
        if self.bytes.is_empty() {
            self.base_ref = wal_ref;
            self.base_ms = timestamp_ms;
            self.bytes.push(SAMPLES);
            self.bytes.extend_from_slice(&wal_ref.to_be_bytes());
            self.bytes.extend_from_slice(&timestamp_ms.to_be_bytes());
        }
        self.bytes.reserve(28);
        push_varint(&mut self.bytes, wal_ref.wrapping_sub(self.base_ref) as i64);
        push_varint(&mut self.bytes, timestamp_ms.wrapping_sub(self.base_ms));
        self.bytes.extend_from_slice(&value.to_bits().to_be_bytes());
    }
}

/// One sample of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WalSample {
    pub(crate) wal_ref: u64,
    pub(crate) timestamp_ms: i64,
    pub(crate) value_bits: u64,
}

/// Reads a samples record into `out`, whole or not at all: a batch is never half there.
pub(crate) fn read_samples(record: &[u8], out: &mut Vec<WalSample>) -> Result<(), RecordError> {
    let before = out.len();
    let result = read_samples_inner(&record[1..], out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

fn read_samples_inner(mut rest: &[u8], out: &mut Vec<WalSample>) -> Result<(), RecordError> {
    if rest.is_empty() {
        return Ok(());
    }
    let base_ref = u64::from_be_bytes(take(&mut rest)?);
    let base_ms = i64::from_be_bytes(take(&mut rest)?);
    // Ten bytes are the fewest that a sample takes, so no more room is asked for than there are bytes.
    out.reserve(rest.len() / 10);
    while !rest.is_empty() {
        let ref_delta = take_varint(&mut rest)?;
        let ms_delta = take_varint(&mut rest)?;
        let value_bits = u64::from_be_bytes(take(&mut rest)?);
        out.push(WalSample {
            wal_ref: base_ref.wrapping_add(ref_delta as u64),
            timestamp_ms: base_ms.wrapping_add(ms_delta),
            value_bits,
        });
    }
    Ok(())
}

/// Reads a metadata record. Fields that we do not know are passed over.
pub(crate) fn read_metadata(record: &[u8], mut each: impl FnMut(u64, Metadata)) -> Result<(), RecordError> {
    let mut rest = &record[1..];
    while !rest.is_empty() {
        let wal_ref = take_uvarint(&mut rest)?;
        let [metric_type] = take::<1>(&mut rest)?;
        let mut metadata = Metadata { metric_type: metric_type_of(metric_type), ..Metadata::default() };
        for _ in 0..take_uvarint(&mut rest)? {
            let name = take_text(&mut rest)?;
            let value = take_text(&mut rest)?;
            match name {
                "UNIT" => value.clone_into(&mut metadata.unit),
                "HELP" => value.clone_into(&mut metadata.help),
                _ => {}
            }
        }
        each(wal_ref, metadata);
    }
    Ok(())
}

fn metric_type_of(n: u8) -> MetricType {
    match n {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    push_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[inline]
fn push_uvarint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[inline]
fn push_varint(out: &mut Vec<u8>, n: i64) {
    push_uvarint(out, ((n << 1) ^ (n >> 63)) as u64);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RecordError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(RecordError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

#[inline]
fn take_uvarint(rest: &mut &[u8]) -> Result<u64, RecordError> {
    let mut n = 0u64;
    for (i, byte) in rest.iter().enumerate() {
        if i == 9 && *byte > 1 {
            return Err(RecordError::Overflow);
        }
        n |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Ok(n);
        }
    }
    Err(RecordError::Truncated)
}

#[inline]
fn take_varint(rest: &mut &[u8]) -> Result<i64, RecordError> {
    let n = take_uvarint(rest)?;
    Ok((n >> 1) as i64 ^ -((n & 1) as i64))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, RecordError> {
    let len = usize::try_from(take_uvarint(rest)?).map_err(|_| RecordError::Truncated)?;
    let (text, tail) = rest.split_at_checked(len).ok_or(RecordError::Truncated)?;
    *rest = tail;
    std::str::from_utf8(text).map_err(|_| RecordError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all_series(record: &[u8]) -> Result<Vec<(u64, Labels)>, RecordError> {
        let mut out = Vec::new();
        read_series(record, &mut LabelsBuilder::default(), |r, l| out.push((r, l)))?;
        Ok(out)
    }

    #[test]
    fn a_series_record_is_laid_out_as_prometheus_writes_it() {
        let mut record = Vec::new();
        push_series(&mut record, 5, &Labels::from_pairs([("a", "b"), ("cc", "")]));
        assert_eq!(record, [1, 0, 0, 0, 0, 0, 0, 0, 5, 1, 1, b'a', 1, b'b']);
    }

    #[test]
    fn a_samples_record_is_laid_out_as_prometheus_writes_it() {
        let mut record = SamplesRecord::default();
        record.push(3, 1000, 1.0);
        record.push(2, 1064, -0.0);
        let mut expected = vec![2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 3, 232];
        expected.extend([0, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
        expected.extend([1, 0x80, 1, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(record.bytes(), expected);
    }

    #[test]
    fn kinds_are_told_by_the_first_byte() {
        assert_eq!(RecordKind::of(&[]), None);
        for (byte, kind) in [
            (1, RecordKind::Series),
            (2, RecordKind::Samples),
            (3, RecordKind::Tombstones),
            (6, RecordKind::Metadata),
            (8, RecordKind::Histograms),
            (0, RecordKind::Unknown(0)),
            (200, RecordKind::Unknown(200)),
        ] {
            assert_eq!(RecordKind::of(&[byte]), Some(kind));
        }
    }

    #[test]
    fn a_metadata_record_is_read_past_unknown_fields() {
        let mut record = vec![METADATA, 9, 1, 3];
        for text in ["X", "y", "HELP", "what it is", "UNIT", "s"] {
            push_text(&mut record, text);
        }
        let mut got = Vec::new();
        read_metadata(&record, |r, m| got.push((r, m))).unwrap();
        let m = Metadata { metric_type: MetricType::Counter, help: "what it is".into(), unit: "s".into() };
        assert_eq!(got, [(9, m)]);
    }

    proptest! {
        #[test]
        fn series_come_back(sets in prop::collection::vec(
            (any::<u64>(), prop::collection::btree_map("[a-zü]{1,9}", ".{1,200}", 0..6)), 0..5)
        ) {
            let sets: Vec<_> = sets.into_iter().map(|(r, l)| (r, Labels::from_pairs(l))).collect();
            let mut record = vec![SERIES];
            for (r, l) in &sets {
                push_series(&mut record, *r, l);
            }
            prop_assert_eq!(read_all_series(&record).unwrap(), sets);
        }

        #[test]
        fn samples_come_back(samples in prop::collection::vec(any::<(u64, i64, u64)>(), 0..40)) {
            let mut record = SamplesRecord::default();
            let mut expected = Vec::new();
            for (wal_ref, timestamp_ms, value_bits) in samples {
                record.push(wal_ref, timestamp_ms, f64::from_bits(value_bits));
                expected.push(WalSample { wal_ref, timestamp_ms, value_bits });
            }
            prop_assume!(!expected.is_empty());
            let mut got = Vec::new();
            read_samples(record.bytes(), &mut got).unwrap();
            prop_assert_eq!(&got, &expected);
            // Of a record that is cut short, all samples are left out.
            for len in 1..record.bytes().len() {
                got.clear();
                if read_samples(&record.bytes()[..len], &mut got).is_err() {
                    prop_assert!(got.is_empty());
                } else {
                    prop_assert_eq!(&got[..], &expected[..got.len()]);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..300)) {
            for kind in [SERIES, SAMPLES, METADATA] {
                bytes[0] = kind;
                let _ = read_all_series(&bytes);
                let _ = read_samples(&bytes, &mut Vec::new());
                let _ = read_metadata(&bytes, |_, _| {});
            }
        }
    }
}
