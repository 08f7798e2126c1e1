//! Chunks: columns, iterator and encoder must make the same of the same bytes.

use skopos_chunk::{
    Appended, BuiltChunk, ChunkBuilder, ChunkValue, CutAt, Encoding, FloatHistogramEncoder, HistogramEncoder,
    SampleIter, XorEncoder, XorIter, decode_columns, decode_into, decode_range_into, samples_in,
};
use skopos_model::histogram::{CUSTOM_SCHEMA, CounterResetHint, Histogram, Layout, Span};
use skopos_model::{Columns, TimestampMs};

/// What the third byte of a chunk of histograms says where there was no counter reset before it.
const NOT_RESET: u8 = 0b0100_0000;
/// What of the first byte of one with start timestamps is not that.
const COUNT: u8 = 0b0011_1111;

/// Timestamps and the bits of values.
type Samples = Vec<(i64, u64)>;

fn columns(bytes: &[u8]) -> Option<Samples> {
    let (mut timestamps, mut values) = (vec![TimestampMs::new(7)], vec![7.0]);
    match decode_into(bytes, &mut timestamps, &mut values) {
        Ok(()) => {
            let rows = timestamps.iter().zip(&values).skip(1);
            Some(rows.map(|(t, v)| (t.as_ms(), v.to_bits())).collect())
        }
        Err(_) => {
            assert_eq!((timestamps.len(), values.len()), (1, 1), "a failure leaves the columns as they were");
            None
        }
    }
}

fn iterated(bytes: &[u8]) -> Option<Samples> {
    let samples: Result<Vec<_>, _> = XorIter::new(bytes).collect();
    Some(samples.ok()?.iter().map(|s| (s.timestamp.as_ms(), s.value.to_bits())).collect())
}

pub(super) fn xor(bytes: &[u8]) -> bool {
    let samples = columns(bytes);
    assert_eq!(samples, iterated(bytes), "columns and iterator differ");
    let taken_up = XorEncoder::from_bytes(bytes).ok();
    assert_eq!(samples.is_some(), taken_up.is_some(), "decoder and encoder differ on what is a chunk");
    let (Some(samples), Some(mut encoder)) = (samples, taken_up) else { return false };
    assert_eq!(columns(encoder.bytes()).as_ref(), Some(&samples), "taking a chunk up changes it");
    if samples.len() < usize::from(skopos_chunk::MAX_SAMPLES) {
        encoder.append(TimestampMs::new(-3), 0.5);
        let mut longer = samples.clone();
        longer.push((-3, 0.5f64.to_bits()));
        assert_eq!(
            columns(encoder.bytes()),
            Some(longer),
            "a chunk that was taken up cannot be gone on with"
        );
    }
    let mut again = XorEncoder::new();
    samples.iter().for_each(|(t, bits)| again.append(TimestampMs::new(*t), f64::from_bits(*bits)));
    assert_eq!(columns(again.bytes()).as_ref(), Some(&samples), "what was decoded does not come back");
    ranges(bytes, &samples);
    true
}

/// A range of a chunk in order of time has just what lies in it.
fn ranges(bytes: &[u8], samples: &Samples) {
    if !samples.is_sorted_by(|a, b| a.0 < b.0) || samples.is_empty() {
        return;
    }
    let (min, max) = (samples[samples.len() / 3].0, samples[samples.len() * 2 / 3].0);
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    let done =
        decode_range_into(bytes, TimestampMs::new(min), TimestampMs::new(max), &mut timestamps, &mut values);
    assert_eq!(done, Ok(()), "the whole can be decoded, a part cannot");
    let got: Samples = timestamps.iter().zip(&values).map(|(t, v)| (t.as_ms(), v.to_bits())).collect();
    let want: Samples = samples.iter().copied().filter(|(t, _)| (min..=max).contains(t)).collect();
    assert_eq!(got, want, "a range differs from the same part of the whole");
}

pub(super) fn xor_seeds() -> Vec<Vec<u8>> {
    let chunk = |samples: &[(i64, f64)]| {
        let mut encoder = XorEncoder::new();
        samples.iter().for_each(|(t, v)| encoder.append(TimestampMs::new(*t), *v));
        encoder.into_bytes()
    };
    let regular = |value: fn(i64) -> f64| -> Vec<(i64, f64)> {
        (0..20).map(|i| (1_700_000_000_000 + 15_000 * i, value(i))).collect()
    };
    vec![
        chunk(&[]),
        chunk(&[(i64::MIN, f64::NAN)]),
        chunk(&[(-1, 0.0), (i64::MAX, -0.0), (0, f64::INFINITY)]),
        chunk(&regular(|_| 1.0)),
        chunk(&regular(|i| (i * i * 1000) as f64)),
        chunk(&regular(|i| f64::from_bits((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)))),
        chunk(&[(0, 1.0), (1, 2.0), (10_000, 3.0), (90_000, 4.0), (700_000, 5.0), (1 << 40, 6.0)]),
    ]
}

/// A sample, and since when it was counted.
type Since = (TimestampMs, TimestampMs, ChunkValue);

/// The samples of a chunk that is sound, each with its start.
fn since(encoding: Encoding, bytes: &[u8]) -> impl Iterator<Item = Since> {
    let mut samples = SampleIter::new(encoding, bytes);
    std::iter::from_fn(move || {
        let (time, value) = samples.next()?.expect("the chunk is sound");
        Some((time, samples.start(), value))
    })
}

/// A chunk of any encoding, which the first byte says: columns and iterator have the same samples, and what
/// is iterated over comes back, bit for bit and with its start, when it is built anew. No more than a few
/// samples are held as values of their own: each has a copy of its layout.
pub(super) fn any(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    let Some(encoding) = Encoding::from_byte(*first) else { return false };
    let columns = all_columns(encoding, bytes);
    let is_sound = SampleIter::new(encoding, bytes).all(|sample| sample.is_ok());
    assert_eq!(columns.is_some(), is_sound, "columns and iterator differ on what is a chunk");
    let Some(columns) = columns else { return false };
    let samples = || since(encoding, bytes);
    assert_same_samples(&columns, samples());
    parts(encoding, bytes, &columns);
    let (mut builder, mut expected) = (ChunkBuilder::new(CutAt::default()), samples());
    for (timestamp, start, value) in samples() {
        builder.push_since(timestamp, start, &value);
        builder.take_finished().iter().for_each(|chunk| came_back(chunk, &mut expected));
    }
    builder.finish().iter().for_each(|chunk| came_back(chunk, &mut expected));
    assert!(expected.next().is_none(), "samples are lost");
    true
}

/// All samples behind one that was there before, which stays alone when they are none.
fn all_columns(encoding: Encoding, bytes: &[u8]) -> Option<Columns> {
    let mut columns = Columns::default();
    columns.push_float(TimestampMs::new(7), 7.0);
    let mark = columns.mark();
    let done = decode_columns(encoding, bytes, TimestampMs::MIN, TimestampMs::MAX, &mut columns);
    if done.is_err() {
        assert_eq!(columns.mark(), mark, "a failure leaves the columns as they were");
        return None;
    }
    assert_eq!((columns.timestamps[0].as_ms(), columns.values[0]), (7, 7.0), "what was there is changed");
    Some(columns)
}

/// The columns, behind their first sample, are the samples.
fn assert_same_samples(columns: &Columns, samples: impl Iterator<Item = Since>) {
    let (mut at, mut row) = (1, 0);
    for (timestamp, start, value) in samples {
        let noted = columns.starts.of(at..at + 1).first().map_or(0, |s| s.at.as_ms());
        assert_eq!(noted, start.as_ms(), "the start of sample {at}");
        assert_eq!(columns.timestamps.get(at), Some(&timestamp), "the time of sample {at}");
        let histogram = match value {
            ChunkValue::Float(value) => {
                assert_eq!(columns.values[at].to_bits(), value.to_bits(), "sample {at}");
                None
            }
            ChunkValue::Histogram(h) => Some(h.to_float()),
            ChunkValue::FloatHistogram(h) => Some(h),
        };
        if let Some(histogram) = histogram {
            let view = columns.histograms.get(row);
            assert_eq!((view.sample, columns.values[at].to_bits()), (at, histogram.sum.to_bits()));
            assert!(view.to_histogram().same_bits(&histogram), "sample {at}: {view:?}, {histogram:?}");
            row += 1;
        }
        at += 1;
    }
    assert_eq!((columns.len(), columns.histograms.len()), (at, row), "columns have more samples");
}

/// A part of a chunk in order of time is that part of the whole, with the same start timestamps.
fn parts(encoding: Encoding, bytes: &[u8], whole: &Columns) {
    let times = &whole.timestamps[1..];
    if !times.is_sorted_by(|a, b| a < b) || times.is_empty() {
        return;
    }
    let (from, to) = (times.len() / 3, times.len() * 2 / 3);
    let mut part = Columns::default();
    let done = decode_columns(encoding, bytes, times[from], times[to], &mut part);
    assert_eq!(done, Ok(()), "the whole can be decoded, a part cannot");
    assert_eq!(part.timestamps, times[from..=to]);
    // In `whole` one sample stands before the chunk's.
    let rows = whole.histograms.rows_of(1 + from..2 + to);
    assert_eq!(part.histograms.len(), rows.len());
    for (nth, row) in rows.enumerate() {
        let (got, want) = (part.histograms.get(nth), whole.histograms.get(row));
        assert_eq!(got.sample + 1 + from, want.sample);
        assert!(got.to_histogram().same_bits(&want.to_histogram()), "{got:?}, {want:?}");
    }
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&part.values), bits(&whole.values[1 + from..2 + to]));
    let starts = |columns: &Columns, samples: std::ops::Range<usize>| -> Vec<_> {
        let first = samples.start;
        columns.starts.of(samples).iter().map(|s| (s.sample - first, s.at)).collect()
    };
    assert_eq!(starts(&part, 0..part.len()), starts(whole, 1 + from..2 + to));
}

/// A chunk that was built has the next of the samples, and is built anew as it is.
fn came_back(chunk: &BuiltChunk, expected: &mut impl Iterator<Item = Since>) {
    let mut again =
        ChunkBuilder::new(CutAt { samples: u16::MAX, histogram_bytes: usize::MAX, min_histograms: 0 });
    assert_eq!(samples_in(chunk.encoding, &chunk.bytes), Ok(chunk.samples));
    let (mut last, mut count, mut has_starts) = (None, 0, false);
    for (timestamp, start, value) in since(chunk.encoding, &chunk.bytes) {
        let (time, since, want) = expected.next().expect("there is no sample more than there was");
        assert_eq!((timestamp, start), (time, since), "a time or a start does not come back");
        has_starts |= start.as_ms() != 0;
        assert!(same_but_hint(&value, &want), "{value:?} comes back for {want:?}");
        again.push_since(timestamp, start, &value);
        assert!(count > 0 || chunk.min == timestamp, "the chunk begins elsewhere");
        (last, count) = (Some(timestamp), count + 1);
    }
    assert_eq!((last, count), (Some(chunk.max), chunk.samples));
    let again = again.finish();
    assert_eq!(again.len(), 1, "a chunk becomes several");
    // That there was no reset before it, its first sample alone does not say.
    let mut bytes = chunk.bytes.clone();
    match chunk.encoding {
        Encoding::Xor | Encoding::Xor2 => {}
        Encoding::Histogram | Encoding::FloatHistogram if bytes[2] == NOT_RESET => bytes[2] = 0,
        Encoding::HistogramStarts | Encoding::FloatHistogramStarts if bytes[0] & !COUNT == NOT_RESET => {
            bytes[0] &= COUNT;
        }
        _ => {}
    }
    let plain = matches!(chunk.encoding, Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram);
    assert_eq!(plain, !has_starts, "only a chunk with starts has room for them");
    assert_eq!(again[0].bytes, bytes, "a chunk is built anew as another");
}

/// Both are the same, but that a reset may be known of one only, as a chunk says it of its first sample, and
/// that bounds have one zero, as the short form of a bound, which Prometheus takes for both, has no sign.
fn same_but_hint(a: &ChunkValue, b: &ChunkValue) -> bool {
    let without = |value: &ChunkValue| {
        let mut value = value.clone();
        let layout = match &mut value {
            ChunkValue::Float(_) => return value,
            ChunkValue::Histogram(h) => &mut h.layout,
            ChunkValue::FloatHistogram(h) => &mut h.layout,
        };
        if layout.counter_reset_hint != CounterResetHint::Gauge {
            layout.counter_reset_hint = CounterResetHint::Unknown;
        }
        layout.zero_threshold += 0.0;
        layout.custom_bounds.iter_mut().for_each(|bound| *bound += 0.0);
        value
    };
    without(a).same_bits(&without(b))
}

pub(super) fn any_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = xor_seeds().into_iter().map(|chunk| [&[1][..], &chunk].concat()).collect();
    for hint in [CounterResetHint::Unknown, CounterResetHint::Gauge] {
        for (schema, bounds) in [(2, vec![]), (CUSTOM_SCHEMA, vec![0.5, 1.0, 2.5])] {
            seeds.extend(histogram_chunks(schema, &bounds, hint));
        }
    }
    let plain = seeds.clone();
    seeds.extend(plain.iter().flat_map(|seed| with_starts(seed)));
    seeds
}

/// The samples of a seed with starts: one for all, and such that change.
fn with_starts(seed: &[u8]) -> Vec<Vec<u8>> {
    let encoding = Encoding::from_byte(seed[0]).expect("invariant: a seed says how it is written");
    let built = [|_| 900i64, |i: i64| if i < 3 { 0 } else { 1000 * (i / 2) }].map(|start| {
        let mut builder = ChunkBuilder::new(CutAt::default());
        for (i, (time, _, value)) in (0..).zip(since(encoding, &seed[1..])) {
            builder.push_since(time, TimestampMs::new(start(i)), &value);
        }
        builder.finish()
    });
    let bytes = |chunk: BuiltChunk| [&[chunk.encoding.as_byte()][..], &chunk.bytes].concat();
    built.into_iter().flatten().map(bytes).collect()
}

/// A chunk of whole counts and one of floats, with a marker in the midst.
fn histogram_chunks(schema: i32, bounds: &[f64], hint: CounterResetHint) -> Vec<Vec<u8>> {
    let spans = vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }];
    let mut layout =
        Layout { schema, positive_spans: spans, custom_bounds: bounds.to_vec(), ..Layout::default() };
    layout.counter_reset_hint = hint;
    let (mut whole, mut float) = (HistogramEncoder::new(), FloatHistogramEncoder::new());
    for i in 1..9i64 {
        let histogram = Histogram {
            layout: layout.clone(),
            count: 6 * i as u64,
            sum: 0.3 * i as f64,
            positive_deltas: vec![i, i, 0],
            ..Histogram::default()
        };
        let at = TimestampMs::new(15_000 * i);
        let histogram = if i == 6 { Histogram::stale() } else { histogram };
        let done = (whole.append(at, &histogram), float.append(at, &histogram.to_float()));
        // What follows the marker begins another chunk.
        if i < 6 {
            assert_eq!(done, (Appended::Same, Appended::Same), "invariant: the seeds are one chunk");
        }
    }
    [(Encoding::Histogram, whole.into_bytes()), (Encoding::FloatHistogram, float.into_bytes())]
        .into_iter()
        .map(|(encoding, bytes)| [&[encoding.as_byte()][..], &bytes].concat())
        .collect()
}
