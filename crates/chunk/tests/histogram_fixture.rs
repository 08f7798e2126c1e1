//! Bit-compatibility of histogram chunks: what Prometheus wrote for known samples is, byte for byte, what
//! we write, and says what was sent.

#![allow(clippy::unwrap_used)]

use skopos_chunk::{
    Appended, ChunkValue, Encoding, FloatHistogramEncoder, HistogramEncoder, SampleIter, samples_in,
};
use skopos_model::histogram::{CounterResetHint, Layout, Span};
use skopos_model::{FloatHistogram, Histogram, TimestampMs};
use std::collections::BTreeMap;

const SEGMENT_HEADER: usize = 8;

/// The chunks of a segment file: for each the length of its data as a varint, the encoding, the data, a
/// CRC-32C.
fn chunks(segment: &[u8]) -> Vec<(Encoding, &[u8])> {
    let (mut at, mut found) = (SEGMENT_HEADER, Vec::new());
    while at < segment.len() {
        let (mut len, mut shift) = (0usize, 0);
        loop {
            let byte = segment[at];
            at += 1;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        found.push((Encoding::from_byte(segment[at]).unwrap(), &segment[at + 1..at + 1 + len]));
        at += 1 + len + 4;
    }
    found
}

fn list<T>(text: &str, parse: impl Fn(&str) -> T) -> Vec<T> {
    if text == "-" { Vec::new() } else { text.split(',').map(parse).collect() }
}

fn float(text: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(text, 16).unwrap())
}

fn span(text: &str) -> Span {
    let (offset, length) = text.split_once(':').unwrap();
    Span { offset: offset.parse().unwrap(), length: length.parse().unwrap() }
}

/// A line: name, time, hint, schema, zero threshold, count, zero count, sum, positive spans and buckets,
/// negative ones, custom bounds. Floats are their bits.
fn sample(line: &str) -> (&str, TimestampMs, ChunkValue) {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, time, hint, schema, threshold, count, zeros, sum, ps, pb, ns, nb, bounds] = words[..] else {
        panic!("{line}");
    };
    let counter_reset_hint = match hint {
        "gauge" => CounterResetHint::Gauge,
        "reset" => CounterResetHint::Reset,
        "notreset" => CounterResetHint::NotReset,
        _ => CounterResetHint::Unknown,
    };
    let layout = Layout {
        schema: schema.parse().unwrap(),
        zero_threshold: float(threshold),
        positive_spans: list(ps, span),
        negative_spans: list(ns, span),
        custom_bounds: list(bounds, float),
        counter_reset_hint,
    };
    let value = if name.ends_with("_float") {
        ChunkValue::FloatHistogram(FloatHistogram {
            layout,
            count: float(count),
            sum: float(sum),
            zero_count: float(zeros),
            positive_buckets: list(pb, float),
            negative_buckets: list(nb, float),
        })
    } else {
        ChunkValue::Histogram(Histogram {
            layout,
            count: count.parse().unwrap(),
            sum: float(sum),
            zero_count: zeros.parse().unwrap(),
            positive_deltas: list(pb, |b| b.parse().unwrap()),
            negative_deltas: list(nb, |b| b.parse().unwrap()),
        })
    };
    (name, TimestampMs::new(time.parse().unwrap()), value)
}

type Samples = Vec<(TimestampMs, ChunkValue)>;

fn series() -> BTreeMap<&'static str, Samples> {
    let mut all: BTreeMap<&str, Samples> = BTreeMap::new();
    for line in include_str!("fixtures/prometheus-3.5.3-histograms.txt").lines() {
        let (name, timestamp, value) = sample(line);
        all.entry(name).or_default().push((timestamp, value));
    }
    all
}

/// The chunks of a series as the head makes them, and how often one was recoded.
fn encode(samples: &Samples) -> (Vec<Vec<u8>>, usize) {
    let (mut whole, mut floats) = (HistogramEncoder::new(), FloatHistogramEncoder::new());
    let (mut chunks, mut recoded) = (Vec::new(), 0);
    for (timestamp, value) in samples {
        let appended = match value {
            ChunkValue::Histogram(h) => {
                assert!(h.is_stale() || h.validate().is_ok());
                let appended = whole.append(*timestamp, h);
                if let Appended::NewChunk(header) = appended {
                    chunks.push(whole.into_bytes());
                    whole = HistogramEncoder::begin(header, *timestamp, h);
                }
                appended
            }
            ChunkValue::FloatHistogram(h) => {
                assert!(h.is_stale() || h.validate().is_ok());
                let appended = floats.append(*timestamp, h);
                if let Appended::NewChunk(header) = appended {
                    chunks.push(floats.into_bytes());
                    floats = FloatHistogramEncoder::begin(header, *timestamp, h);
                }
                appended
            }
            ChunkValue::Float(_) => unreachable!("the file has histograms only"),
        };
        recoded += usize::from(appended == Appended::Recoded);
    }
    chunks.push(if whole.is_empty() { floats.into_bytes() } else { whole.into_bytes() });
    (chunks, recoded)
}

#[test]
fn chunks_of_prometheus_are_ours() {
    let stored = chunks(include_bytes!("fixtures/prometheus-3.5.3-histograms.chunks"));
    let (mut stored, mut recoded, mut cut) = (stored.into_iter(), 0, 0);
    for (name, samples) in series() {
        let (ours, recodings) = encode(&samples);
        recoded += recodings;
        cut += ours.len() - 1;
        for (i, bytes) in ours.iter().enumerate() {
            let (encoding, theirs) = stored.next().unwrap();
            let mut theirs = theirs.to_vec();
            if i + 1 == ours.len() {
                // A snapshot writes the open chunk anew and forgets what its header said.
                assert!(theirs[2] == 0 || theirs[2] == bytes[2], "{name}");
                theirs[2] = bytes[2];
            }
            assert_eq!(*bytes, theirs, "{name}, chunk {i} of {}", ours.len());
            assert_eq!(encoding == Encoding::FloatHistogram, name.ends_with("_float"));
        }
    }
    assert_eq!(stored.next(), None);
    assert!(recoded > 20 && cut > 20, "the samples are of every kind: {recoded} recoded, {cut} cut");
}

#[test]
fn chunks_of_prometheus_say_what_was_sent() {
    let stored = chunks(include_bytes!("fixtures/prometheus-3.5.3-histograms.chunks"));
    let mut read = stored.iter().flat_map(|(encoding, bytes)| {
        let samples: Samples = SampleIter::new(*encoding, bytes).map(Result::unwrap).collect();
        assert_eq!(samples_in(*encoding, bytes).map(usize::from), Ok(samples.len()));
        samples
    });
    for (timestamp, sent) in series().into_values().flatten() {
        let (t, got) = read.next().unwrap();
        let (got, sent) = match (&got, &sent) {
            (ChunkValue::Histogram(a), ChunkValue::Histogram(b)) => {
                (head(&a.to_float()), head(&b.to_float()))
            }
            (ChunkValue::FloatHistogram(a), ChunkValue::FloatHistogram(b)) => (head(a), head(b)),
            other => panic!("{other:?}"),
        };
        assert_eq!((t, got), (timestamp, sent));
    }
    assert_eq!(read.next(), None);
}

/// What does not change when empty buckets come and go.
fn head(h: &FloatHistogram) -> (u64, u64, u64, i32, Vec<u64>, Vec<f64>) {
    let full = h.positive_buckets.iter().chain(&h.negative_buckets).filter(|b| **b != 0.0);
    let full = full.map(|b| b.to_bits()).collect();
    let bounds = h.layout.custom_bounds.clone();
    (h.count.to_bits(), h.zero_count.to_bits(), h.sum.to_bits(), h.layout.schema, full, bounds)
}
