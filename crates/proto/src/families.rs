//! Metric families as the exposition in protocol buffers has them, with the field numbers of
//! `io.prometheus.client`; and `FamilyWriter`, which writes them metric by metric, so that what is held of a
//! family is its bytes and not its messages. Decides nothing about what a page has.

use prost::{Enumeration, Message, Oneof};
use skopos_base::varint::put_uvarint;
use skopos_model::{FloatHistogram, TimestampMs, histogram::Span};

/// Metrics of one name and type.
#[derive(Clone, PartialEq, Message)]
pub struct MetricFamily {
    /// The name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// What it is about.
    #[prost(string, optional, tag = "2")]
    pub help: Option<String>,
    /// The type.
    #[prost(enumeration = "FamilyType", optional, tag = "3")]
    pub r#type: Option<i32>,
    /// In any order.
    #[prost(message, repeated, tag = "4")]
    pub metrics: Vec<Metric>,
    /// What they are measured in.
    #[prost(string, optional, tag = "5")]
    pub unit: Option<String>,
}

/// A type of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum FamilyType {
    /// It only grows.
    Counter = 0,
    /// It goes up and down.
    Gauge = 1,
    /// Quantiles.
    Summary = 2,
    /// Nobody knows.
    Untyped = 3,
    /// Classic or native buckets whose counts only grow.
    Histogram = 4,
    /// Buckets whose counts go up and down.
    GaugeHistogram = 5,
}

/// One metric.
#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    /// All but the name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<LabelPair>,
    /// When it was seen, in milliseconds.
    #[prost(int64, optional, tag = "6")]
    pub timestamp_ms: Option<i64>,
    /// What it says.
    #[prost(oneof = "MetricValue", tags = "2, 3, 4, 5, 7")]
    pub value: Option<MetricValue>,
}

/// What a metric says.
#[derive(Clone, PartialEq, Oneof)]
pub enum MetricValue {
    /// A float that goes up and down.
    #[prost(message, tag = "2")]
    Gauge(Untyped),
    /// A float that only grows.
    #[prost(message, tag = "3")]
    Counter(Counter),
    /// Quantiles.
    #[prost(message, tag = "4")]
    Summary(Summary),
    /// A float.
    #[prost(message, tag = "5")]
    Untyped(Untyped),
    /// A histogram, classic, native or both.
    #[prost(message, tag = "7")]
    Histogram(Box<FamilyHistogram>),
}

/// A label.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct LabelPair {
    /// Its name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Its value.
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

impl LabelPair {
    /// This label.
    pub fn new(name: &str, value: &str) -> Self {
        Self { name: Some(name.to_owned()), value: Some(value.to_owned()) }
    }
}

/// A float.
#[derive(Clone, PartialEq, Message)]
pub struct Untyped {
    /// The float.
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
}

/// A float that only grows.
#[derive(Clone, PartialEq, Message)]
pub struct Counter {
    /// The float.
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
    /// One thing that was counted.
    #[prost(message, optional, tag = "2")]
    pub exemplar: Option<FamilyExemplar>,
    /// Since when it has been counted.
    #[prost(message, optional, tag = "3")]
    pub created: Option<Time>,
}

/// Quantiles.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// How many observations there are.
    #[prost(uint64, optional, tag = "1")]
    pub sample_count: Option<u64>,
    /// Their sum.
    #[prost(double, optional, tag = "2")]
    pub sample_sum: Option<f64>,
    /// Which part of them is below which value.
    #[prost(message, repeated, tag = "3")]
    pub quantiles: Vec<Quantile>,
    /// Since when they have been counted.
    #[prost(message, optional, tag = "4")]
    pub created: Option<Time>,
}

/// Which part of all observations is below which value.
#[derive(Clone, PartialEq, Message)]
pub struct Quantile {
    /// The part.
    #[prost(double, optional, tag = "1")]
    pub quantile: Option<f64>,
    /// The value.
    #[prost(double, optional, tag = "2")]
    pub value: Option<f64>,
}

/// A bucket of a classic histogram.
#[derive(Clone, PartialEq, Message)]
pub struct FamilyBucket {
    /// How many observations there are in it and in those before.
    #[prost(uint64, optional, tag = "1")]
    pub cumulative_count: Option<u64>,
    /// Up to which value it reaches.
    #[prost(double, optional, tag = "2")]
    pub upper_bound: Option<f64>,
    /// An observation.
    #[prost(message, optional, tag = "3")]
    pub exemplar: Option<FamilyExemplar>,
    /// The count where it is none of whole numbers.
    #[prost(double, optional, tag = "4")]
    pub cumulative_count_float: Option<f64>,
}

/// One observation.
#[derive(Clone, PartialEq, Message)]
pub struct FamilyExemplar {
    /// What it is told by.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<LabelPair>,
    /// Its value.
    #[prost(double, optional, tag = "2")]
    pub value: Option<f64>,
    /// When it was made.
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Time>,
}

/// A time: `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Time {
    /// Since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Of a second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Time {
    /// So many milliseconds since the Unix epoch.
    pub fn of(at: TimestampMs) -> Self {
        let (seconds, ms) = (at.as_ms().div_euclid(1000), at.as_ms().rem_euclid(1000));
        Self { seconds, nanos: ms as i32 * 1_000_000 }
    }
}

/// A histogram, classic, native or both.
#[derive(Clone, PartialEq, Message)]
pub struct FamilyHistogram {
    /// How many observations there are.
    #[prost(uint64, optional, tag = "1")]
    pub sample_count: Option<u64>,
    /// Their sum.
    #[prost(double, optional, tag = "2")]
    pub sample_sum: Option<f64>,
    /// Those of the classic one.
    #[prost(message, repeated, tag = "3")]
    pub buckets: Vec<FamilyBucket>,
    /// How many there are, where that is no whole number.
    #[prost(double, optional, tag = "4")]
    pub sample_count_float: Option<f64>,
    /// How fine the buckets are.
    #[prost(sint32, optional, tag = "5")]
    pub schema: Option<i32>,
    /// How wide the zero bucket is.
    #[prost(double, optional, tag = "6")]
    pub zero_threshold: Option<f64>,
    /// How many are in it.
    #[prost(uint64, optional, tag = "7")]
    pub zero_count: Option<u64>,
    /// The same where that is no whole number.
    #[prost(double, optional, tag = "8")]
    pub zero_count_float: Option<f64>,
    /// Where the negative buckets are.
    #[prost(message, repeated, tag = "9")]
    pub negative_spans: Vec<FamilySpan>,
    /// Their counts, each as the difference to the one before.
    #[prost(sint64, repeated, packed = "false", tag = "10")]
    pub negative_deltas: Vec<i64>,
    /// Their counts where they are no whole numbers.
    #[prost(double, repeated, packed = "false", tag = "11")]
    pub negative_counts: Vec<f64>,
    /// Where the positive buckets are.
    #[prost(message, repeated, tag = "12")]
    pub positive_spans: Vec<FamilySpan>,
    /// Their counts, each as the difference to the one before.
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    pub positive_deltas: Vec<i64>,
    /// Their counts where they are no whole numbers.
    #[prost(double, repeated, packed = "false", tag = "14")]
    pub positive_counts: Vec<f64>,
    /// Since when observations have been counted.
    #[prost(message, optional, tag = "15")]
    pub created: Option<Time>,
    /// Observations of the native one.
    #[prost(message, repeated, tag = "16")]
    pub exemplars: Vec<FamilyExemplar>,
}

/// Buckets that stand beside one another.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct FamilySpan {
    /// How far from the end of the span before.
    #[prost(sint32, optional, tag = "1")]
    pub offset: Option<i32>,
    /// How many.
    #[prost(uint32, optional, tag = "2")]
    pub length: Option<u32>,
}

/// A metric of a float at a time.
pub fn untyped(labels: Vec<LabelPair>, at: TimestampMs, value: f64) -> Metric {
    let value = MetricValue::Untyped(Untyped { value: Some(value) });
    Metric { labels, timestamp_ms: Some(at.as_ms()), value: Some(value) }
}

/// A metric of a native histogram at a time. There is no room for the bounds of custom buckets.
pub fn native(labels: Vec<LabelPair>, at: TimestampMs, h: &FloatHistogram) -> Metric {
    let spans = |spans: &[Span]| {
        let span = |s: &Span| FamilySpan { offset: Some(s.offset), length: Some(s.length) };
        spans.iter().map(span).collect::<Vec<_>>()
    };
    let written = FamilyHistogram {
        sample_sum: Some(h.sum),
        sample_count_float: Some(h.count),
        schema: Some(h.layout.schema),
        zero_threshold: Some(h.layout.zero_threshold),
        zero_count_float: Some(h.zero_count),
        negative_spans: spans(&h.layout.negative_spans),
        negative_counts: h.negative_buckets.clone(),
        positive_spans: spans(&h.layout.positive_spans),
        positive_counts: h.positive_buckets.clone(),
        ..FamilyHistogram::default()
    };
    let value = Some(MetricValue::Histogram(Box::new(written)));
    Metric { labels, timestamp_ms: Some(at.as_ms()), value }
}

/// The field of `MetricFamily` that has its metrics.
const METRICS_FIELD: u8 = 4 << 3 | 2;

/// A family while it is written.
#[derive(Debug, Default)]
pub struct FamilyWriter {
    body: Vec<u8>,
}

impl FamilyWriter {
    /// The family `name`, without metrics.
    pub fn begin(name: &str, family_type: FamilyType) -> Self {
        let (name, r#type) = (Some(name.to_owned()), Some(family_type.into()));
        Self { body: MetricFamily { name, r#type, ..MetricFamily::default() }.encode_to_vec() }
    }

    /// Adds a metric.
    pub fn push(&mut self, metric: &Metric) {
        self.body.push(METRICS_FIELD);
        put_uvarint(&mut self.body, metric.encoded_len() as u64);
        metric.encode_raw(&mut self.body);
    }

    /// How many bytes it holds.
    pub fn held_bytes(&self) -> u64 {
        self.body.capacity() as u64
    }

    /// The length that stands before the message in a delimited stream, and the message.
    pub fn finish(self) -> (Vec<u8>, Vec<u8>) {
        let mut length = Vec::new();
        put_uvarint(&mut length, self.body.len() as u64);
        (length, self.body)
    }
}

/// A delimited stream of these families.
pub fn write_delimited(families: &[MetricFamily]) -> Vec<u8> {
    families.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
}

/// The families of a delimited stream.
///
/// # Errors
/// When it is none.
pub fn read_delimited(mut stream: &[u8]) -> Result<Vec<MetricFamily>, prost::DecodeError> {
    let mut families = Vec::new();
    while !stream.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut stream)?);
    }
    Ok(families)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_model::histogram::Layout;

    #[test]
    fn families_written_by_parts_are_the_messages() {
        let labels = || vec![LabelPair::new("a", "b"), LabelPair::new("empty", "")];
        let histogram = FloatHistogram {
            layout: Layout {
                schema: -2,
                zero_threshold: 0.5,
                positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 4, length: 1 }],
                ..Layout::default()
            },
            count: 10.5,
            sum: f64::INFINITY,
            zero_count: 0.0,
            positive_buckets: vec![1.0, 2.5, 0.0],
            negative_buckets: Vec::new(),
        };
        let at = TimestampMs::new(-7);
        let all = [
            ("floats", FamilyType::Untyped, vec![untyped(labels(), at, 1.5), untyped(vec![], at, 0.0)]),
            ("histograms", FamilyType::Histogram, vec![native(labels(), at, &histogram)]),
            ("none", FamilyType::GaugeHistogram, vec![]),
        ];
        let mut stream = Vec::new();
        for (name, family_type, metrics) in &all {
            let mut writer = FamilyWriter::begin(name, *family_type);
            metrics.iter().for_each(|metric| writer.push(metric));
            let (length, body) = writer.finish();
            stream.extend([length, body].concat());
        }
        let read = read_delimited(&stream).unwrap();
        for ((name, family_type, metrics), read) in all.iter().zip(&read) {
            let (name, metrics) = (Some((*name).to_owned()), metrics.clone());
            let r#type = Some((*family_type).into());
            let expected = MetricFamily { name, r#type, metrics, ..MetricFamily::default() };
            assert_eq!(*read, expected);
        }
        assert_eq!(read.len(), all.len());
        assert!(read_delimited(&stream[..stream.len() - 1]).is_err());
    }
}
