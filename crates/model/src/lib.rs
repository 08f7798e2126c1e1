//! The vocabulary of the data path: what a series, a sample, a matcher and a duration are.
//!
//! Modules, from the smallest up:
//! - `time`: `TimestampMs`, a point in time, and the range of timestamps that storage accepts.
//! - `duration`: `DurationMs` and its written form (`1h30m`); `byte_size`: `ByteSize` and its (`512MB`).
//! - `float`: how floats are written (as Go's `strconv` writes them) and read.
//! - `name`: which metric and label names are allowed.
//! - `labels`: `Labels`, an immutable sorted set in one allocation, and its builder.
//! - `matcher`: `Matcher`, a compiled condition on one label.
//! - `re2`: regular expressions as Go reads them; every one that a user writes about labels goes through it.
//! - `sample`: `Sample`, the staleness marker, `SeriesRef`.
//! - `histogram`: native histograms, integer and float: shapes, validation, conversion, coarser resolution.
//! - `columns`: `Columns`, samples as columns, native histograms and start timestamps among them.
//! - `exemplar`, `metadata`: what travels beside samples.
//! - `absent`: what a key of a file means that has no value.
//! - `inlined`: parts of a file whose keys stand among those of others.
//!
//! What always holds:
//! - `Labels` are sorted by name, no name stands twice, no value is empty (an empty value means
//!   that the label is absent, so it is never stored).
//! - A `Matcher` is compiled once, when it is made; matching never fails and never allocates.
//! - Nothing here reads a clock, a file or the network.
//!
//! When you change the byte form of `Labels`, its hash changes too: look at every user of
//! `Labels::hash64` that keeps hashes beyond one process.

pub mod absent;
pub mod byte_size;
pub mod columns;
pub mod duration;
pub mod exemplar;
pub mod float;
pub mod histogram;
pub mod inlined;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod name;
pub mod re2;
pub mod sample;
pub mod time;

pub use absent::null_is_default;
pub use byte_size::ByteSize;
pub use columns::{Columns, HistogramColumn, HistogramView, LayoutIndex, RowCounts, Start};
pub use duration::DurationMs;
pub use exemplar::Exemplar;
pub use histogram::{CounterResetHint, FloatHistogram, Histogram, HistogramError, Layout, Span};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricType};
pub use sample::{STALE_NAN_BITS, Sample, SeriesRef, is_stale_nan, stale_nan};
pub use time::TimestampMs;
