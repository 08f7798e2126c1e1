//! Histogram chunks: what is encoded comes back, whatever happens to the series, and no bytes whatever make a
//! decoder panic. Random cases print their seed and are kept by proptest.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use skopos_chunk::{
    Appended, BuiltChunk, ChunkBuilder, ChunkError, ChunkValue, CutAt, Encoding, FloatHistogramEncoder,
    HistogramEncoder, SampleIter, decode_columns, samples_in,
};
use skopos_model::histogram::{CounterResetHint, Layout, Span, absolute, bucket_indexes, push_bucket};
use skopos_model::{Columns, FloatHistogram, Histogram, TimestampMs};
use std::collections::BTreeMap;

type Samples = Vec<(TimestampMs, ChunkValue)>;

/// The buckets of a histogram that is being made, by index.
type Buckets = BTreeMap<i64, i64>;

fn spans(buckets: &Buckets) -> (Vec<Span>, Vec<i64>) {
    let (mut spans, mut end, mut before, mut deltas) = (Vec::new(), 0, 0, Vec::new());
    for (index, count) in buckets {
        end = push_bucket(&mut spans, end, *index);
        deltas.push(count - before);
        before = *count;
    }
    (spans, deltas)
}

/// What happens to a series of histograms between two samples.
#[derive(Clone, Debug)]
enum Step {
    Observe { bucket: i64, times: i64 },
    ObserveBelowZero { bucket: i64, times: i64 },
    ObserveZero { times: u64 },
    AddEmpty { bucket: i64 },
    DropEmpty,
    Shrink,
    Reset,
    Schema(i32),
    Threshold(f64),
    Bounds(Vec<f64>),
    Stale,
    Hint(CounterResetHint),
    Sum(f64),
    Pause(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let bucket = -40..40i64;
    let hints = [CounterResetHint::Unknown, CounterResetHint::Gauge, CounterResetHint::NotReset];
    prop_oneof![
        20 => (bucket.clone(), 1..100i64).prop_map(|(bucket, times)| Step::Observe { bucket, times }),
        4 => (bucket.clone(), 1..i64::from(u32::MAX))
            .prop_map(|(bucket, times)| Step::ObserveBelowZero { bucket, times }),
        3 => any::<u16>().prop_map(|times| Step::ObserveZero { times: u64::from(times) }),
        3 => bucket.prop_map(|bucket| Step::AddEmpty { bucket }),
        2 => Just(Step::DropEmpty),
        1 => Just(Step::Shrink),
        1 => Just(Step::Reset),
        1 => (-4..9i32).prop_map(Step::Schema),
        1 => any::<f64>().prop_map(Step::Threshold),
        1 => prop::collection::vec(0..1000u32, 0..9)
            .prop_map(|b| Step::Bounds(b.into_iter().map(|b| f64::from(b) / 8.0).collect())),
        1 => Just(Step::Stale),
        1 => prop::sample::select(hints.to_vec()).prop_map(Step::Hint),
        5 => any::<u64>().prop_map(|bits| Step::Sum(f64::from_bits(bits))),
        3 => (1..1_000_000i64).prop_map(Step::Pause),
    ]
}

/// Histograms as the steps make them; every one is valid or a marker.
fn series(steps: &[Step]) -> Vec<(TimestampMs, Histogram)> {
    let (mut positive, mut negative) = (Buckets::new(), Buckets::new());
    let (mut layout, mut zero_count, mut sum, mut timestamp, mut stale) =
        (Layout::default(), 0u64, 0.0, 1_700_000_000_000i64, false);
    let mut all = Vec::new();
    for step in steps {
        timestamp += 15_000;
        match step {
            Step::Observe { bucket, times } => {
                *positive.entry(*bucket).or_default() += times;
                sum += 0.5;
            }
            Step::ObserveBelowZero { bucket, times } => *negative.entry(*bucket).or_default() += times,
            Step::ObserveZero { times } => zero_count += times,
            Step::AddEmpty { bucket } => drop(positive.entry(*bucket).or_default()),
            Step::DropEmpty => positive.retain(|_, count| *count > 0),
            Step::Shrink => drop(positive.pop_first()),
            Step::Reset => {
                zero_count = 0;
                positive.values_mut().chain(negative.values_mut()).for_each(|c| *c = 0);
            }
            Step::Schema(schema) => layout = Layout { schema: *schema, ..Layout::default() },
            Step::Threshold(threshold) if layout.schema != -53 => layout.zero_threshold = *threshold,
            Step::Bounds(bounds) => {
                layout = Layout { schema: -53, custom_bounds: bounds.clone(), ..Layout::default() };
                (positive, negative, zero_count) = (Buckets::from([(0, 7)]), Buckets::new(), 0);
            }
            Step::Hint(hint) => layout.counter_reset_hint = *hint,
            Step::Sum(s) => sum = *s,
            Step::Pause(ms) => timestamp += ms,
            Step::Stale | Step::Threshold(_) => {}
        }
        stale = matches!(step, Step::Stale) && !stale;
        let ((positive_spans, positive_deltas), (negative_spans, negative_deltas)) =
            (spans(&positive), spans(&negative));
        let count = positive.values().chain(negative.values()).sum::<i64>() as u64 + zero_count;
        let made = Histogram {
            layout: Layout { positive_spans, negative_spans, ..layout.clone() },
            count,
            sum,
            zero_count,
            positive_deltas,
            negative_deltas,
        };
        let marker = Histogram {
            layout: Layout { counter_reset_hint: layout.counter_reset_hint, ..Layout::default() },
            ..Histogram::stale()
        };
        all.push((TimestampMs::new(timestamp), if stale { marker } else { made }));
    }
    all
}

fn build(samples: &Samples) -> Vec<BuiltChunk> {
    let mut builder = ChunkBuilder::new(CutAt::default());
    let mut built = Vec::new();
    for (timestamp, value) in samples {
        builder.push(*timestamp, value);
        built.extend(builder.take_finished());
    }
    built.extend(builder.finish());
    built
}

fn read(chunks: &[BuiltChunk]) -> Samples {
    chunks
        .iter()
        .flat_map(|c| {
            assert_eq!(samples_in(c.encoding, &c.bytes), Ok(c.samples));
            let samples: Samples = SampleIter::new(c.encoding, &c.bytes).map(Result::unwrap).collect();
            assert_eq!(
                (samples.first().map(|s| s.0), samples.last().map(|s| s.0)),
                (Some(c.min), Some(c.max))
            );
            samples
        })
        .collect()
}

/// What a histogram says, however its spans are cut and whichever empty buckets it has; with the hint left
/// out.
fn said(value: &ChunkValue) -> String {
    let full = |spans: &[Span], counts: &mut dyn Iterator<Item = f64>| -> Vec<(i64, f64)> {
        bucket_indexes(spans).zip(counts).filter(|(_, c)| *c != 0.0).collect()
    };
    let line = |layout: &Layout, counts: [f64; 3], positive, negative| {
        // Minus zero is written as zero.
        let threshold = (layout.zero_threshold + 0.0).to_bits();
        let counts = counts.map(f64::to_bits);
        format!(
            "{} {threshold} {:?} {counts:?} {positive:?} {negative:?}",
            layout.schema, layout.custom_bounds
        )
    };
    match value {
        ChunkValue::Float(v) => v.to_bits().to_string(),
        ChunkValue::Histogram(h) if h.is_stale() => "stale".to_owned(),
        ChunkValue::FloatHistogram(h) if h.is_stale() => "stale".to_owned(),
        ChunkValue::Histogram(h) => {
            let side = |spans, deltas: &[i64]| full(spans, &mut absolute(deltas).map(|c| c as f64));
            let positive = side(&h.layout.positive_spans, &h.positive_deltas);
            let negative = side(&h.layout.negative_spans, &h.negative_deltas);
            line(&h.layout, [h.count as f64, h.zero_count as f64, h.sum], positive, negative)
        }
        ChunkValue::FloatHistogram(h) => {
            let positive = full(&h.layout.positive_spans, &mut h.positive_buckets.iter().copied());
            let negative = full(&h.layout.negative_spans, &mut h.negative_buckets.iter().copied());
            line(&h.layout, [h.count, h.zero_count, h.sum], positive, negative)
        }
    }
}

fn check(samples: &Samples) {
    let chunks = build(samples);
    let again = read(&chunks);
    assert_eq!(again.len(), samples.len());
    for ((t, got), (wanted_t, wanted)) in again.iter().zip(samples) {
        assert_eq!((t, said(got)), (wanted_t, said(wanted)));
    }
    check_hints(&chunks);
    check_columns(&chunks, &again);
    check_starts(samples);
    // What was read builds the same chunks: hints of resets are kept, and nothing has to be recoded.
    let rebuilt = read(&build(&again));
    assert!(
        rebuilt.len() == again.len() && rebuilt.iter().zip(&again).all(|(a, b)| said(&a.1) == said(&b.1))
    );
}

/// The samples come back with starts as without, and each with its own.
fn check_starts(samples: &Samples) {
    let starts: [fn(usize) -> i64; 4] = [
        |_| -5,
        |i| if i < 2 { 0 } else { 7 },
        |i| 1000 * (i as i64 / 9),
        |i| if i == 150 { i64::MIN } else { 0 },
    ];
    // One of them for each series: the series are many.
    let start = starts[samples.len() % 4];
    let mut builder = ChunkBuilder::new(CutAt { samples: u16::MAX, ..CutAt::default() });
    for (i, (timestamp, value)) in samples.iter().enumerate() {
        builder.push_since(*timestamp, TimestampMs::new(start(i)), value);
    }
    let mut at = 0;
    for chunk in builder.finish() {
        assert_eq!(samples_in(chunk.encoding, &chunk.bytes), Ok(chunk.samples));
        let from = at;
        let mut read = SampleIter::new(chunk.encoding, &chunk.bytes);
        while let Some(sample) = read.next() {
            let (timestamp, value) = sample.unwrap();
            assert_eq!((timestamp, said(&value)), (samples[at].0, said(&samples[at].1)));
            assert_eq!(read.start().as_ms(), start(at), "sample {at}");
            at += 1;
        }
        let plain = [Encoding::Xor, Encoding::Histogram, Encoding::FloatHistogram];
        assert_eq!(plain.contains(&chunk.encoding), (from..at).all(|i| start(i) == 0));
    }
    assert_eq!(at, samples.len());
}

/// Between two samples of a chunk no count falls, unless it is a gauge's.
fn check_hints(chunks: &[BuiltChunk]) {
    for chunk in chunks.iter().filter(|c| c.encoding == Encoding::Histogram) {
        let samples: Vec<_> = SampleIter::new(chunk.encoding, &chunk.bytes).map(|s| s.unwrap().1).collect();
        for pair in samples.windows(2) {
            let [ChunkValue::Histogram(a), ChunkValue::Histogram(b)] = pair else {
                panic!("a chunk has one kind of value");
            };
            if a.is_stale() || b.is_stale() {
                continue;
            }
            match b.layout.counter_reset_hint {
                CounterResetHint::NotReset => {
                    assert!(a.count <= b.count && a.zero_count <= b.zero_count);
                    let fell = |a: &[i64], b: &[i64]| absolute(a).zip(absolute(b)).any(|(a, b)| a > b);
                    assert!(!fell(&a.positive_deltas, &b.positive_deltas));
                    assert!(!fell(&a.negative_deltas, &b.negative_deltas));
                }
                hint => assert_eq!(hint, CounterResetHint::Gauge),
            }
        }
    }
}

fn check_columns(chunks: &[BuiltChunk], samples: &Samples) {
    let mut columns = Columns::default();
    columns.push_float(TimestampMs::new(-1), -1.0);
    for c in chunks {
        let (min, max) = (TimestampMs::new(i64::MIN), TimestampMs::new(i64::MAX));
        decode_columns(c.encoding, &c.bytes, min, max, &mut columns).unwrap();
    }
    assert_eq!(columns.len(), samples.len() + 1);
    let mut row = 0;
    for (i, (timestamp, value)) in samples.iter().enumerate() {
        assert_eq!(columns.timestamps[i + 1], *timestamp);
        let float = match value {
            ChunkValue::Float(v) => {
                assert_eq!(columns.values[i + 1].to_bits(), v.to_bits());
                continue;
            }
            ChunkValue::Histogram(h) => h.to_float(),
            ChunkValue::FloatHistogram(h) => h.clone(),
        };
        let view = columns.histograms.get(row);
        assert_eq!((view.sample, columns.values[i + 1].to_bits()), (i + 1, float.sum.to_bits()));
        assert!(view.to_histogram().same_bits(&float));
        row += 1;
    }
    let chunk = &chunks[chunks.len() / 2];
    let mut part = Columns::default();
    decode_columns(chunk.encoding, &chunk.bytes, chunk.max, chunk.max, &mut part).unwrap();
    assert_eq!(part.timestamps, [chunk.max]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whole_counts_come_back(steps in prop::collection::vec(step(), 1..200)) {
        let all = series(&steps);
        prop_assert!(all.iter().all(|(_, h)| h.is_stale() || h.layout.schema == -53 || h.validate().is_ok()));
        check(&all.into_iter().map(|(t, h)| (t, ChunkValue::Histogram(h))).collect());
    }

    #[test]
    fn float_counts_come_back(steps in prop::collection::vec(step(), 1..200), scale in 0.1..3.0f64) {
        let scaled = |h: &Histogram| {
            let mut h = h.to_float();
            h.positive_buckets.iter_mut().chain(&mut h.negative_buckets).for_each(|b| *b *= scale);
            h.count *= scale;
            h
        };
        check(&series(&steps).iter().map(|(t, h)| (*t, ChunkValue::FloatHistogram(scaled(h)))).collect());
    }

    #[test]
    fn kinds_may_change(steps in prop::collection::vec((step(), 0..3u8), 1..100)) {
        let kinds: Vec<u8> = steps.iter().map(|s| s.1).collect();
        let histograms = series(&steps.into_iter().map(|s| s.0).collect::<Vec<_>>());
        let value = |(h, kind): (Histogram, u8)| match kind {
            0 => ChunkValue::Float(h.sum),
            1 => ChunkValue::FloatHistogram(h.to_float()),
            _ => ChunkValue::Histogram(h),
        };
        check(&histograms.into_iter().zip(kinds).map(|((t, h), kind)| (t, value((h, kind)))).collect());
    }

    #[test]
    fn an_encoder_goes_on_where_bytes_end(
        steps in prop::collection::vec(step(), 2..60),
        at in any::<prop::sample::Index>(),
    ) {
        let samples = series(&steps);
        let (mut whole, mut floats) = (HistogramEncoder::new(), FloatHistogramEncoder::new());
        let at = at.index(samples.len());
        for (i, (t, h)) in samples.iter().enumerate() {
            if i == at {
                whole = HistogramEncoder::from_bytes(whole.bytes()).unwrap();
                floats = FloatHistogramEncoder::from_bytes(floats.bytes()).unwrap();
            }
            if let Appended::NewChunk(header) = whole.append(*t, h) {
                whole = HistogramEncoder::begin(header, *t, h);
            }
            let float = h.to_float();
            if let Appended::NewChunk(header) = floats.append(*t, &float) {
                floats = FloatHistogramEncoder::begin(header, *t, &float);
            }
            let (last_t, last) = whole.last().unwrap();
            let says = |h: Histogram| said(&ChunkValue::Histogram(h));
            prop_assert_eq!((last_t, says(last)), (*t, says(h.clone())));
            let read = |encoding, bytes: &[u8]| SampleIter::new(encoding, bytes).last().unwrap().unwrap();
            prop_assert_eq!(said(&read(Encoding::Histogram, whole.bytes()).1), says(h.clone()));
            let says = |h: FloatHistogram| said(&ChunkValue::FloatHistogram(h));
            prop_assert_eq!(said(&read(Encoding::FloatHistogram, floats.bytes()).1), says(float));
        }
    }

    #[test]
    fn arbitrary_bytes_make_no_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        ENCODINGS.iter().for_each(|e| drop(read_all_ways(*e, &bytes)));
    }

    #[test]
    fn broken_chunks_make_no_decoder_panic(
        steps in prop::collection::vec(step(), 1..60),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let values = series(&steps).into_iter().map(|(t, h)| (t, ChunkValue::Histogram(h))).collect();
        for chunk in build(&values) {
            let mut bytes = chunk.bytes.clone();
            for flip in &flips {
                let bit = flip.index(bytes.len() * 8);
                bytes[bit / 8] ^= 0x80 >> (bit % 8);
            }
            ENCODINGS.iter().for_each(|e| drop(read_all_ways(*e, &bytes)));
        }
    }
}

const ENCODINGS: [Encoding; 6] = [
    Encoding::Xor,
    Encoding::Histogram,
    Encoding::FloatHistogram,
    Encoding::Xor2,
    Encoding::HistogramStarts,
    Encoding::FloatHistogramStarts,
];

/// Every decoder agrees on the bytes: on the samples or on the error.
fn read_all_ways(encoding: Encoding, bytes: &[u8]) -> Result<Samples, ChunkError> {
    let read: Result<Samples, _> = SampleIter::new(encoding, bytes).collect();
    let mut columns = Columns::default();
    columns.push_float(TimestampMs::new(-7), -7.0);
    let (min, max) = (TimestampMs::new(i64::MIN), TimestampMs::new(i64::MAX));
    let decoded = decode_columns(encoding, bytes, min, max, &mut columns);
    assert_eq!(decoded.err(), read.as_ref().err().copied());
    assert_eq!(columns.len(), 1 + read.as_ref().map_or(0, Vec::len));
    if let Ok(samples) = &read {
        assert_eq!(samples_in(encoding, bytes).map(usize::from), Ok(samples.len()));
    }
    read
}

#[test]
fn every_truncation_is_an_error_and_no_flipped_bit_panics() {
    let observe = |i: i64| Step::Observe { bucket: i % 7, times: 1 + i };
    let steps: Vec<Step> =
        (0..20).map(observe).chain([Step::Sum(1e300), Step::ObserveZero { times: 5 }]).collect();
    let samples = series(&steps);
    let whole = samples.iter().map(|(t, h)| (*t, ChunkValue::Histogram(h.clone()))).collect();
    let float = samples.iter().map(|(t, h)| (*t, ChunkValue::FloatHistogram(h.to_float()))).collect();
    for chunk in [build(&whole), build(&float)].concat() {
        for len in 0..chunk.bytes.len() {
            assert!(read_all_ways(chunk.encoding, &chunk.bytes[..len]).is_err(), "{len} bytes");
        }
        for bit in 0..chunk.bytes.len() * 8 {
            let mut bytes = chunk.bytes.clone();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            drop(read_all_ways(chunk.encoding, &bytes));
        }
    }
}
