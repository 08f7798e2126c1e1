//! Requests of remote write as bytes, series by series, so that no message is held beside them. Checks no
//! label: whoever writes has sound ones, and names sorted. Each series has one item.

use crate::{
    messages::{self, Sample},
    pushed,
    wire::WireError,
};
use prost::Message as _;
use skopos_base::varint::{put_uvarint, uvarint_len};
use skopos_model::{Exemplar, Metadata, MetricType};
use std::collections::HashMap;

/// Field 1 of every message here, a message or text of its own: series, label, name.
const FIRST: u8 = 1 << 3 | 2;
/// Field 2, the same: sample, value.
const SECOND: u8 = 2 << 3 | 2;
/// Field 2, a float.
const SECOND_FLOAT: u8 = 2 << 3 | 1;
/// Field 3, a time.
const THIRD_NUMBER: u8 = 3 << 3;

/// What a series of a request has.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A float.
    Sample(Sample),
    /// A native histogram.
    Histogram(&'a messages::Histogram),
    /// An exemplar.
    Exemplar(&'a Exemplar),
}

/// Appends the labels of a series to `out`, as they stand in the series.
pub fn put_labels<'a>(out: &mut Vec<u8>, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (name, value) in labels {
        let text = |text: &str| 1 + uvarint_len(text.len() as u64) + text.len();
        out.push(FIRST);
        put_uvarint(out, (text(name) + text(value)) as u64);
        for (tag, text) in [(FIRST, name), (SECOND, value)] {
            put_bytes(out, tag, text.as_bytes());
        }
    }
}

/// Appends a series of one sample to the request `out`; `labels` are what `put_labels` wrote.
pub fn put_series(out: &mut Vec<u8>, labels: &[u8], sample: Sample) {
    let sample_bytes = sample_len(sample);
    out.push(FIRST);
    put_uvarint(out, (labels.len() + 1 + uvarint_len(sample_bytes as u64) + sample_bytes) as u64);
    out.extend_from_slice(labels);
    out.push(SECOND);
    put_uvarint(out, sample_bytes as u64);
    put_sample(out, sample);
}

/// Appends a series of one item to the request `out` of version 1; `labels` are what `put_labels` wrote.
pub fn put_item(out: &mut Vec<u8>, labels: &[u8], item: Item<'_>) {
    let (field, message) = match item {
        Item::Sample(sample) => return put_series(out, labels, sample),
        Item::Histogram(histogram) => (4, histogram.encode_to_vec()),
        Item::Exemplar(exemplar) => {
            let mut message = Vec::new();
            put_labels(&mut message, &exemplar.labels);
            put_observation(&mut message, exemplar);
            (3, message)
        }
    };
    out.push(FIRST);
    put_uvarint(out, (labels.len() + 1 + uvarint_len(message.len() as u64) + message.len()) as u64);
    out.extend_from_slice(labels);
    put_bytes(out, field << 3 | 2, &message);
}

/// A request of version 2 while it is written: texts stand in it once.
#[derive(Debug, Default)]
pub struct Interned {
    symbols: HashMap<Box<str>, u64>,
    /// The symbols as fields of the request.
    table: Vec<u8>,
    /// The series as fields of the request.
    series: Vec<u8>,
    /// What one series refers to, and the series itself.
    references: Vec<u8>,
    one: Vec<u8>,
}

/// The fields of a request of version 2.
const SYMBOL: u8 = 4 << 3 | 2;
const SERIES: u8 = 5 << 3 | 2;

impl Interned {
    /// Appends a series of one item; `labels` are what `put_labels` wrote.
    ///
    /// # Errors
    /// When the labels are none.
    pub fn put_item(
        &mut self,
        labels: &[u8],
        item: Item<'_>,
        metadata: Option<&Metadata>,
    ) -> Result<(), WireError> {
        self.references.clear();
        pushed::labels(labels, |name, value| {
            self.refer(name);
            self.refer(value);
            Ok::<_, WireError>(())
        })?;
        self.one.clear();
        put_bytes(&mut self.one, FIRST, &self.references);
        let (field, message) = match item {
            Item::Sample(sample) => {
                let mut message = Vec::with_capacity(24);
                put_sample(&mut message, sample);
                (2, message)
            }
            Item::Histogram(histogram) => (3, histogram.encode_to_vec()),
            Item::Exemplar(exemplar) => {
                self.references.clear();
                for (name, value) in &exemplar.labels {
                    self.refer(name);
                    self.refer(value);
                }
                let mut message = Vec::new();
                put_bytes(&mut message, FIRST, &self.references);
                put_observation(&mut message, exemplar);
                (4, message)
            }
        };
        put_bytes(&mut self.one, field << 3 | 2, &message);
        if let Some(metadata) = metadata {
            self.put_metadata(metadata);
        }
        put_bytes(&mut self.series, SERIES, &self.one);
        Ok(())
    }

    fn put_metadata(&mut self, metadata: &Metadata) {
        let mut message = vec![1 << 3, type_number(metadata.metric_type)];
        for (field, text) in [(3, &metadata.help), (4, &metadata.unit)] {
            message.push(field << 3);
            put_uvarint(&mut message, self.symbol(text));
        }
        put_bytes(&mut self.one, 5 << 3 | 2, &message);
    }

    fn refer(&mut self, text: &str) {
        let symbol = self.symbol(text);
        put_uvarint(&mut self.references, symbol);
    }

    /// The number of a text. The first one is the empty text, as the protocol has it.
    fn symbol(&mut self, text: &str) -> u64 {
        if self.symbols.is_empty() {
            self.symbols.insert("".into(), 0);
            put_bytes(&mut self.table, SYMBOL, b"");
        }
        if let Some(known) = self.symbols.get(text) {
            return *known;
        }
        let number = self.symbols.len() as u64;
        self.symbols.insert(text.into(), number);
        put_bytes(&mut self.table, SYMBOL, text.as_bytes());
        number
    }

    /// How long the request is so far.
    pub fn byte_len(&self) -> usize {
        self.table.len() + self.series.len()
    }

    /// Appends the request to `out`, and begins another one.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.table);
        out.append(&mut self.series);
        self.symbols.clear();
    }
}

/// The number of a type in requests of both versions.
pub const fn type_number(metric_type: MetricType) -> u8 {
    match metric_type {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Of the value every bit counts: negative zero is written, which a message would leave out.
fn put_sample(out: &mut Vec<u8>, Sample { value, timestamp }: Sample) {
    if value.to_bits() != 0 {
        out.push(1 << 3 | 1);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    if timestamp != 0 {
        out.push(2 << 3);
        put_uvarint(out, timestamp.cast_unsigned());
    }
}

fn sample_len(Sample { value, timestamp }: Sample) -> usize {
    let time = if timestamp == 0 { 0 } else { 1 + uvarint_len(timestamp.cast_unsigned()) };
    if value.to_bits() == 0 { time } else { 9 + time }
}

/// An exemplar behind its labels.
fn put_observation(out: &mut Vec<u8>, exemplar: &Exemplar) {
    if exemplar.value.to_bits() != 0 {
        out.push(SECOND_FLOAT);
        out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
    }
    if let Some(at) = exemplar.timestamp {
        out.push(THIRD_NUMBER);
        put_uvarint(out, at.as_ms().cast_unsigned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        convert,
        messages::{Label, TimeSeries, WriteRequest},
        pushed::{AnyHistogram, Part, Parts, Series, Version},
    };
    use skopos_model::{Histogram, Labels, TimestampMs};

    #[test]
    fn what_is_written_is_the_message() {
        let long = "x".repeat(300);
        let series = [
            (vec![("__name__", "up"), ("job", "node")], 1.0, 1_700_000_000_123),
            (vec![("__name__", "long"), ("v", &*long)], -0.5, -7),
            (vec![("__name__", "zero")], 0.0, 0),
            (vec![], f64::INFINITY, 1),
        ];
        let (mut out, mut labels) = (Vec::new(), Vec::new());
        for (pairs, value, timestamp) in series.clone() {
            labels.clear();
            put_labels(&mut labels, pairs.iter().copied());
            put_series(&mut out, &labels, Sample { value, timestamp });
        }
        let expected = series.map(|(pairs, value, timestamp)| TimeSeries {
            labels: pairs.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect(),
            samples: vec![Sample { value, timestamp }],
            histograms: Vec::new(),
        });
        let expected = WriteRequest { timeseries: expected.to_vec(), ..WriteRequest::default() };
        assert_eq!(WriteRequest::decode(&out[..]).unwrap(), expected);
        assert_eq!(out, expected.encode_to_vec(), "byte for byte");
    }

    /// What a reader makes of a request: each item with its labels, and with what is said of its metric.
    fn read(request: &[u8], version: Version) -> Vec<String> {
        let (mut parts, mut symbols, mut out) = (Parts::of(request, version), Vec::new(), Vec::new());
        while let Some(part) = parts.next_part().unwrap() {
            let series = match part {
                Part::Symbol(text) => {
                    symbols.push(std::str::from_utf8(text).unwrap().to_owned());
                    continue;
                }
                Part::Series(series) => series,
                Part::Family(_) => panic!("nobody wrote one"),
            };
            let text_of = |fields: &[u8]| {
                let mut texts = Vec::new();
                match version {
                    Version::One => pushed::labels(fields, |name, value| {
                        texts.extend([name.to_owned(), value.to_owned()]);
                        Ok::<_, WireError>(())
                    }),
                    Version::Two => pushed::references(fields, |n| {
                        texts.push(symbols[n as usize].clone());
                        Ok::<_, WireError>(())
                    }),
                }
                .unwrap();
                texts.join(" ")
            };
            let mut series = Series::of(series, version).unwrap();
            let mut line = text_of(series.labels());
            while let Some(item) = series.next_item().unwrap() {
                line += &match item {
                    pushed::Item::Sample(s) => format!(" | {} @{}", s.value, s.timestamp_ms),
                    pushed::Item::Histogram(message) => {
                        let mut histogram = AnyHistogram::default();
                        histogram.read(message).unwrap();
                        format!(" | h{} @{}", histogram.whole.count, histogram.timestamp_ms)
                    }
                    pushed::Item::Exemplar(message) => {
                        let sample = pushed::exemplar(message).unwrap();
                        let labels =
                            &message[..message.len() - 9 - 1 - uvarint_len(sample.timestamp_ms as u64)];
                        format!(" | e{} @{} {}", sample.value, sample.timestamp_ms, text_of(labels))
                    }
                    pushed::Item::Metadata(message) => {
                        let told = pushed::metadata(message).unwrap();
                        let [help, unit] = [told.help, told.unit].map(|n| &symbols[n as usize]);
                        format!(" | {} {help:?} {unit:?}", told.metric_type)
                    }
                    pushed::Item::Created(_) => panic!("nobody wrote it"),
                };
            }
            out.push(line);
        }
        out
    }

    #[test]
    fn both_versions_say_the_same_of_every_kind_of_item() {
        let whole = Histogram { count: 3, zero_count: 3, ..Histogram::default() };
        let histogram = convert::histogram(TimestampMs::new(5), whole);
        let exemplar = Exemplar {
            labels: Labels::from_pairs([("trace", "t")]),
            value: 2.0,
            timestamp: Some(TimestampMs::new(6)),
        };
        let items = [
            Item::Sample(Sample { value: -0.0, timestamp: -4 }),
            Item::Histogram(&histogram),
            Item::Exemplar(&exemplar),
        ];
        let mut labels = Vec::new();
        put_labels(&mut labels, [("__name__", "m"), ("m", "")]);
        let (mut one, mut two, mut interned) = (Vec::new(), Vec::new(), Interned::default());
        for item in items {
            put_item(&mut one, &labels, item);
            interned.put_item(&labels, item, None).unwrap();
        }
        assert!(interned.byte_len() > 0);
        interned.take(&mut two);
        assert_eq!(interned.byte_len(), 0);
        let expected = ["__name__ m m  | -0 @-4", "__name__ m m  | h3 @5", "__name__ m m  | e2 @6 trace t"];
        assert_eq!(read(&one, Version::One), expected);
        assert_eq!(read(&two, Version::Two), expected);
        // Another request begins with other symbols.
        let told = Metadata { metric_type: MetricType::Counter, help: "Ms.".into(), unit: "m".into() };
        interned.put_item(&labels, items[0], Some(&told)).unwrap();
        two.clear();
        interned.take(&mut two);
        assert_eq!(read(&two, Version::Two), ["__name__ m m  | -0 @-4 | counter \"Ms.\" \"m\""]);
        assert!(interned.put_item(&[FIRST, 9], items[0], None).is_err());
    }
}
