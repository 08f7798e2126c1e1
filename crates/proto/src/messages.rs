//! The messages of Prometheus' remote read and remote write 1.0, with the field numbers of its `remote.proto`
//! and `types.proto`. Holds no logic.

use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

/// What is asked.
#[derive(Clone, PartialEq, Message)]
pub struct ReadRequest {
    /// One selection each.
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
    /// The kinds of answer that the client takes, the one it likes best first; none means samples.
    #[prost(enumeration = "ResponseType", repeated, tag = "2")]
    pub accepted_response_types: Vec<i32>,
}

/// A kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum ResponseType {
    /// `ReadResponse`, compressed by snappy.
    Samples = 0,
    /// Frames of `ChunkedReadResponse`.
    StreamedXorChunks = 1,
}

/// One selection.
#[derive(Clone, PartialEq, Message)]
pub struct Query {
    /// The first time, included.
    #[prost(int64, tag = "1")]
    pub start_timestamp_ms: i64,
    /// The last time, included.
    #[prost(int64, tag = "2")]
    pub end_timestamp_ms: i64,
    /// All of these must hold.
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
    /// What of it is needed, where that is said.
    #[prost(message, optional, tag = "4")]
    pub hints: Option<ReadHints>,
}

/// Which samples of a selection are needed. What they are needed for, which hints say too, is not read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct ReadHints {
    /// The first time, included.
    #[prost(int64, tag = "3")]
    pub start_ms: i64,
    /// The last time, included.
    #[prost(int64, tag = "4")]
    pub end_ms: i64,
}

/// A condition on one label.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct LabelMatcher {
    /// The comparison.
    #[prost(enumeration = "MatcherType", tag = "1")]
    pub r#type: i32,
    /// Which label.
    #[prost(string, tag = "2")]
    pub name: String,
    /// What it is compared with.
    #[prost(string, tag = "3")]
    pub value: String,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum MatcherType {
    /// `=`
    Eq = 0,
    /// `!=`
    Neq = 1,
    /// `=~`
    Re = 2,
    /// `!~`
    Nre = 3,
}

/// The answer of plain samples.
#[derive(Clone, PartialEq, Message)]
pub struct ReadResponse {
    /// One for each query, in their order.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// The series of one query.
#[derive(Clone, PartialEq, Message)]
pub struct QueryResult {
    /// In any order.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// What is written.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// In any order.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    /// In any order.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<MetricMetadata>,
}

/// What is known of a family of metrics.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct MetricMetadata {
    /// Its type.
    #[prost(enumeration = "FamilyType", tag = "1")]
    pub r#type: i32,
    /// Its name.
    #[prost(string, tag = "2")]
    pub family_name: String,
    /// What it means.
    #[prost(string, tag = "4")]
    pub help: String,
    /// Its unit; empty for none.
    #[prost(string, tag = "5")]
    pub unit: String,
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
#[expect(missing_docs, reason = "the names say it; `skopos_model::MetricType` says what each means")]
pub enum FamilyType {
    Unknown = 0,
    Counter = 1,
    Gauge = 2,
    Histogram = 3,
    GaugeHistogram = 4,
    Summary = 5,
    Info = 6,
    StateSet = 7,
}

/// One series with its samples.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Floats, by time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Native histograms, by time.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A float.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// The value; of a NaN every bit counts.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// When it was.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// A native histogram, with whole or with float counts.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    /// All observations.
    #[prost(oneof = "Count", tags = "1, 2")]
    pub count: Option<Count>,
    /// Their sum.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// The resolution.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// How wide the zero bucket is.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    #[prost(oneof = "ZeroCount", tags = "6, 7")]
    pub zero_count: Option<ZeroCount>,
    /// Where the negative buckets are.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// Whole counts, each as the difference to the one before.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// Float counts.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Where the positive buckets are.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// Whole counts, each as the difference to the one before.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// Float counts.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// Whether the counts started anew.
    #[prost(enumeration = "ResetHint", tag = "14")]
    pub reset_hint: i32,
    /// When it was.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// Upper bounds of custom buckets.
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
}

/// A count of either kind.
#[derive(Clone, Copy, PartialEq, Oneof)]
pub enum Count {
    /// Whole.
    #[prost(uint64, tag = "1")]
    CountInt(u64),
    /// Float.
    #[prost(double, tag = "2")]
    CountFloat(f64),
}

/// The count of the zero bucket, of either kind.
#[derive(Clone, Copy, PartialEq, Oneof)]
pub enum ZeroCount {
    /// Whole.
    #[prost(uint64, tag = "6")]
    ZeroCountInt(u64),
    /// Float.
    #[prost(double, tag = "7")]
    ZeroCountFloat(f64),
}

/// A run of buckets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct BucketSpan {
    /// Buckets left out before it.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// How many buckets it has.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// Whether counts started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum ResetHint {
    /// Not known.
    Unknown = 0,
    /// They did.
    Yes = 1,
    /// They did not.
    No = 2,
    /// A gauge, for which it means nothing.
    Gauge = 3,
}

/// One frame of a streamed answer.
#[derive(Clone, PartialEq, Message)]
pub struct ChunkedReadResponse {
    /// Parts of series: the chunks of one may be spread over several frames.
    #[prost(message, repeated, tag = "1")]
    pub chunked_series: Vec<ChunkedSeries>,
    /// Which of the request's queries they answer.
    #[prost(int64, tag = "2")]
    pub query_index: i64,
}

/// A series with some of its chunks.
#[derive(Clone, PartialEq, Message)]
pub struct ChunkedSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// By time; they do not overlap.
    #[prost(message, repeated, tag = "2")]
    pub chunks: Vec<Chunk>,
}

/// Encoded samples.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Chunk {
    /// The time of the first sample.
    #[prost(int64, tag = "1")]
    pub min_time_ms: i64,
    /// The time of the last sample.
    #[prost(int64, tag = "2")]
    pub max_time_ms: i64,
    /// How `data` are written: 1 XOR, 2 histograms, 3 histograms with float counts.
    #[prost(int32, tag = "3")]
    pub r#type: i32,
    /// The encoded samples.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
}
