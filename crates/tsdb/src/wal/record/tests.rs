//! Tests of the records: layouts byte by byte, round trips, truncations and bytes that mean nothing.

use super::{
    bytes::push_text,
    exemplars::push_exemplars,
    histograms::{HistogramValue, push_histograms, read_histograms},
    *,
};
use proptest::prelude::*;
use skopos_model::{
    FloatHistogram, Histogram, Labels, LabelsBuilder, Metadata, MetricType,
    histogram::{CounterResetHint, Layout, Span},
};

fn read_all_series(record: &[u8]) -> Result<Vec<(u64, Labels)>, RecordError> {
    let mut out = Vec::new();
    read_series(record, &mut LabelsBuilder::default(), |r, l| out.push((r, l)))?;
    Ok(out)
}

/// The entries of a record of any kind, as text; `Err` for one that is not taken.
fn read_any(record: &[u8]) -> Result<Vec<String>, RecordError> {
    fn shown<T: std::fmt::Debug>(
        read: impl FnOnce(&mut Vec<T>) -> Result<(), RecordError>,
    ) -> Result<Vec<String>, RecordError> {
        let mut out = Vec::new();
        let result = read(&mut out);
        assert!(result.is_ok() || out.is_empty(), "a record is taken whole or not at all");
        result.map(|()| out.iter().map(|e| format!("{e:?}")).collect())
    }
    match RecordKind::of(record).expect("it is not empty") {
        RecordKind::Series => shown(|out| read_all_series(record).map(|all| out.extend(all))),
        RecordKind::Samples => shown(|out| read_samples(record, out)),
        RecordKind::SamplesV2 => shown(|out| read_samples_v2(record, out)),
        RecordKind::Tombstones => shown(|out| read_tombstones(record, out)),
        RecordKind::Exemplars => shown(|out| read_exemplars(record, out)),
        RecordKind::MmapMarkers => shown(|out| read_markers(record, out)),
        RecordKind::Metadata => {
            let mut all = Vec::new();
            read_metadata(record, |r, m| all.push((r, m)))?;
            Ok(all.iter().map(|e| format!("{e:?}")).collect())
        }
        RecordKind::Histograms => shown(|out| read_histograms(record, out).map(|_| ())),
        RecordKind::MinValidTime => read_min_valid_time(record).map(|t| vec![t.to_string()]),
        RecordKind::GroupMarker => read_group_marker(record).map(|m| vec![format!("{m:?}")]),
        RecordKind::DeletionBound => {
            let mut first_ms = 0;
            let mut said = shown(|out| read_deletion_bound(record, out).map(|bound| first_ms = bound))?;
            said.push(first_ms.to_string());
            Ok(said)
        }
        RecordKind::Unknown(kind) => Err(RecordError::UnknownKind(kind)),
    }
}

fn int_histogram() -> Histogram {
    Histogram {
        layout: Layout {
            schema: 1,
            zero_threshold: 0.5,
            positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 3, length: 1 }],
            negative_spans: vec![],
            custom_bounds: vec![],
            counter_reset_hint: CounterResetHint::NotReset,
        },
        count: 300,
        sum: 1.0,
        zero_count: 2,
        positive_deltas: vec![1, -1],
        negative_deltas: vec![],
    }
}

fn float_histogram() -> FloatHistogram {
    FloatHistogram {
        layout: Layout {
            schema: -53,
            zero_threshold: 0.0,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            negative_spans: vec![],
            custom_bounds: vec![1.0],
            counter_reset_hint: CounterResetHint::Gauge,
        },
        count: 1.0,
        sum: 1.0,
        zero_count: 0.0,
        positive_buckets: vec![1.0, 0.0],
        negative_buckets: vec![],
    }
}

fn records_of(histograms: &[WalHistogram]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    push_histograms(histograms, &mut Vec::new(), |record| records.push(record.to_vec()));
    records
}

fn int_sample(wal_ref: u64, timestamp_ms: i64, start_ms: i64) -> WalHistogram {
    WalHistogram { wal_ref, timestamp_ms, start_ms, value: HistogramValue::Int(int_histogram()) }
}

fn float_sample(wal_ref: u64, timestamp_ms: i64, start_ms: i64) -> WalHistogram {
    WalHistogram { wal_ref, timestamp_ms, start_ms, value: HistogramValue::Float(float_histogram()) }
}

/// One record of each kind, with two entries.
fn one_of_each() -> Vec<Vec<u8>> {
    let mut series = Vec::new();
    push_series(&mut series, 5, &Labels::from_pairs([("a", "b")]));
    push_series(&mut series, 6, &Labels::from_pairs([("a", "c"), ("d", "e")]));
    let mut samples = SamplesRecord::default();
    samples.push(3, 1000, 1.0);
    samples.push(2, 1064, -0.0);
    let mut samples_v2 = SamplesV2Record::default();
    for (wal_ref, timestamp_ms, start_ms) in [(3, 1000, 500), (4, 1000, 500), (2, 1064, 0), (9, 900, 700)] {
        samples_v2.push(WalSample { wal_ref, timestamp_ms, value_bits: 1 }, start_ms);
    }
    let mut tombstones = Vec::new();
    push_tombstones(
        &mut tombstones,
        &[
            WalTombstone { wal_ref: 1, min_ms: -1, max_ms: 64 },
            WalTombstone { wal_ref: 2, min_ms: i64::MIN, max_ms: i64::MAX },
        ],
    );
    let exemplar = |wal_ref, timestamp_ms| WalExemplar {
        wal_ref,
        timestamp_ms,
        value: 2.0,
        labels: Labels::from_pairs([("trace_id", "x")]),
    };
    let mut exemplars = Vec::new();
    push_exemplars(&mut exemplars, &[exemplar(7, 1000), exemplar(8, 999)]);
    let mut markers = Vec::new();
    push_markers(
        &mut markers,
        &[MmapMarker { wal_ref: 1, chunk_ref: 1 << 32 | 8 }, MmapMarker { wal_ref: 2, chunk_ref: 9 }],
    );
    let mut metadata = Vec::new();
    let m = Metadata { metric_type: MetricType::StateSet, help: "what".into(), unit: "s".into() };
    push_metadata(&mut metadata, 300, &m);
    push_metadata(&mut metadata, 1, &Metadata::default());
    let mut all = vec![
        series,
        samples.bytes().to_vec(),
        samples_v2.bytes().to_vec(),
        tombstones,
        exemplars,
        markers,
        metadata,
        vec![MIN_VALID_TIME, 0, 0, 0, 0, 0, 0, 0, 9],
    ];
    all.extend(records_of(&[int_sample(1, 10, 0), int_sample(2, 10, 0)]));
    all.extend(records_of(&[float_sample(1, 10, 0), float_sample(2, 10, 0)]));
    all.extend(records_of(&[int_sample(1, 10, 5), float_sample(4, 10, 3), float_sample(2, 10, 0)]));
    all
}

/// Bytes of integers, of floats and of texts, in order.
macro_rules! bytes {
    ($($part:expr),* $(,)?) => {{
        let mut out: Vec<u8> = Vec::new();
        $(out.extend_from_slice(&$part);)*
        out
    }};
}

fn be(n: u64) -> [u8; 8] {
    n.to_be_bytes()
}

fn f(n: f64) -> [u8; 8] {
    n.to_bits().to_be_bytes()
}

/// The bytes of `one_of_each`, as the format has them.
fn layouts() -> Vec<Vec<u8>> {
    vec![
        bytes![
            [1],
            be(5),
            [1, 1],
            *b"a",
            [1],
            *b"b",
            be(6),
            [2, 1],
            *b"a",
            [1],
            *b"c",
            [1],
            *b"d",
            [1],
            *b"e"
        ],
        bytes![[2], be(3), be(1000), [0, 0], f(1.0), [1, 0x80, 1], f(-0.0)],
        bytes![
            [11, 6, 0xd0, 15, 0xe8, 7],
            be(1),
            [2, 0, 1],
            be(1),
            [3, 0x80, 1, 0],
            be(1),
            [14, 0xc7, 1, 2, 0x90, 3],
            be(1)
        ],
        bytes![[3], be(1), [1, 0x80, 1], be(2), [0xff; 9], [1, 0xfe], [0xff; 8], [1]],
        bytes![
            [4],
            be(7),
            be(1000),
            [0, 0],
            f(2.0),
            [1, 8],
            *b"trace_id",
            [1],
            *b"x",
            [2, 1],
            f(2.0),
            [1, 8],
            *b"trace_id",
            [1],
            *b"x"
        ],
    ]
}

/// Those from the markers on.
fn later_layouts() -> Vec<Vec<u8>> {
    let int = bytes![[2, 2], f(0.5), [2, 0xac, 2], f(1.0), [2, 3, 1, 6, 1, 0, 2, 2, 1, 0]];
    let float =
        bytes![[3, 105], f(0.0), f(0.0), f(1.0), f(1.0), [1, 0, 2, 0, 2], f(1.0), f(0.0), [0, 1], f(1.0)];
    vec![
        bytes![[5], be(1), be(1 << 32 | 8), be(2), be(9)],
        bytes![
            [6, 0xac, 2, 7, 2, 4],
            *b"UNIT",
            [1],
            *b"s",
            [4],
            *b"HELP",
            [4],
            *b"what",
            [1, 0, 2, 4],
            *b"UNIT",
            [0, 4],
            *b"HELP",
            [0]
        ],
        bytes![[14], be(9)],
        bytes![[7], be(1), be(10), [0, 0], int, [2, 0], int],
        bytes![[10], be(1), be(10), [0, 0], float, [2, 0], float],
        bytes![[12, 2, 20, 10], int],
        bytes![[13, 8, 20, 6], float, [3, 0, 0], float],
    ]
}

#[test]
fn layouts_are_those_that_prometheus_writes() {
    let all = one_of_each();
    let expected = [layouts(), later_layouts()].concat();
    assert_eq!(all.len(), expected.len());
    for (record, expected) in all.iter().zip(&expected) {
        assert_eq!(record, expected, "kind {}", expected[0]);
    }
}

#[test]
fn what_is_written_is_read() {
    let histograms =
        [float_sample(9, 50, 0), int_sample(1, -10, 0), float_sample(2, 20, 0), int_sample(u64::MAX, 30, 0)];
    for with_starts in [false, true] {
        let mut written = histograms.to_vec();
        written[3].start_ms = if with_starts { 7 } else { 0 };
        let records = records_of(&written);
        assert_eq!(records.len(), 2);
        let mut read = Vec::new();
        for record in &records {
            assert_eq!(read_histograms(record, &mut read), Ok(0));
        }
        let place = |h: &WalHistogram| (matches!(h.value, HistogramValue::Float(_)), h.timestamp_ms);
        written.sort_by_key(place);
        read.sort_by_key(place);
        assert_eq!(read, written);
    }
    for record in one_of_each() {
        assert!(!read_any(&record).expect("it is sound").is_empty(), "kind {}", record[0]);
    }
}

#[test]
fn every_truncation_gives_a_beginning_or_nothing() {
    for record in one_of_each() {
        let whole = read_any(&record).expect("it is sound");
        let mut taken = Vec::new();
        for len in 1..record.len() {
            if let Ok(entries) = read_any(&record[..len]) {
                assert!(whole.starts_with(&entries), "kind {}, {len} bytes", record[0]);
                taken.push(entries.len());
            }
        }
        assert!(taken.iter().all(|n| *n < whole.len()), "kind {}: {taken:?}", record[0]);
    }
}

#[test]
fn a_flipped_bit_gives_no_panic_and_no_huge_answer() {
    for record in one_of_each() {
        for bit in 8..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(entries) = read_any(&flipped) {
                assert!(entries.len() <= record.len(), "kind {}, bit {bit}", record[0]);
            }
        }
    }
}

#[test]
fn lengths_that_no_record_has_room_for_ask_for_no_memory() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let f = 1f64.to_bits().to_be_bytes();
    let start = bytes![[HISTOGRAMS], [0; 16], [0, 0], [0, 0], f, [0, 0], f];
    assert_eq!(read_any(&bytes![start, huge]), Err(RecordError::Truncated), "spans");
    assert_eq!(read_any(&bytes![start, [0, 0], huge]), Err(RecordError::Truncated), "buckets");
    assert_eq!(
        read_any(&bytes![start, [1, 0, 0xff, 0xff, 0xff, 0xff, 15, 0, 0, 0]]),
        Err(RecordError::Buckets),
        "a span of four thousand million buckets, and none of them"
    );
    assert_eq!(
        read_any(&bytes![start, [1, 0, 0xff, 0xff, 0xff, 0xff, 31, 0, 0, 0]]),
        Err(RecordError::OutOfRange)
    );
    assert_eq!(read_any(&bytes![[SERIES], [0; 8], huge]), Err(RecordError::Truncated), "labels");
    assert_eq!(read_any(&bytes![[METADATA, 1, 1], huge]), Err(RecordError::Truncated), "fields");
    assert_eq!(read_any(&bytes![[METADATA], [0xff; 10]]), Err(RecordError::Overflow));
    assert_eq!(read_any(&bytes![[METADATA], [0xff; 9]]), Err(RecordError::Truncated));
}

#[test]
fn histograms_of_unknown_schemas_are_passed_over() {
    let known = int_sample(1, 10, 0);
    let mut unknown = known.clone();
    let HistogramValue::Int(h) = &mut unknown.value else { unreachable!("it is one of whole counts") };
    h.layout.schema = 60;
    let [record] = &records_of(&[known.clone(), unknown, known.clone()])[..] else { panic!("one record") };
    let mut read = Vec::new();
    assert_eq!(read_histograms(record, &mut read), Ok(1));
    assert_eq!(read, [known.clone(), known]);
}

#[test]
fn kinds_are_told_by_the_first_byte() {
    assert_eq!(RecordKind::of(&[]), None);
    for (bytes, kind) in [
        (vec![1], RecordKind::Series),
        (vec![2], RecordKind::Samples),
        (vec![3], RecordKind::Tombstones),
        (vec![4], RecordKind::Exemplars),
        (vec![5], RecordKind::MmapMarkers),
        (vec![6], RecordKind::Metadata),
        (vec![7, 8, 9, 10, 12, 13], RecordKind::Histograms),
        (vec![11], RecordKind::SamplesV2),
        (vec![14], RecordKind::MinValidTime),
        (vec![208], RecordKind::GroupMarker),
        (vec![209], RecordKind::DeletionBound),
    ] {
        for byte in bytes {
            assert_eq!(RecordKind::of(&[byte]), Some(kind));
        }
    }
    for byte in [0, 15, 200, 255] {
        assert_eq!(RecordKind::of(&[byte]), Some(RecordKind::Unknown(byte)));
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
    fn samples_come_back(samples in prop::collection::vec(any::<(u64, i64, u64, Option<i64>)>(), 1..40)) {
        let (mut record, mut with_starts) = (SamplesRecord::default(), SamplesV2Record::default());
        let (mut expected, mut expected_v2) = (Vec::new(), Vec::new());
        for (wal_ref, timestamp_ms, value_bits, start_ms) in samples {
            let sample = WalSample { wal_ref, timestamp_ms, value_bits };
            record.push(wal_ref, timestamp_ms, f64::from_bits(value_bits));
            with_starts.push(sample, start_ms.unwrap_or(0));
            expected.push(sample);
            expected_v2.push((sample, start_ms.unwrap_or(0)));
        }
        let (mut got, mut got_v2, mut got_any) = (Vec::new(), Vec::new(), Vec::new());
        read_samples(record.bytes(), &mut got).unwrap();
        read_samples_v2(with_starts.bytes(), &mut got_v2).unwrap();
        read_any_samples(with_starts.bytes(), &mut got_any).unwrap();
        prop_assert_eq!(&got, &expected);
        prop_assert_eq!(&got_any, &expected);
        prop_assert_eq!(&got_v2, &expected_v2);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..300)) {
        for kind in (0..16).chain([208, 209]) {
            bytes[0] = kind;
            let _ = read_any(&bytes);
        }
    }
}
