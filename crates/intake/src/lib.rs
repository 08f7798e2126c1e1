//! What is pushed to the server: from a body to a durable batch. Knows no HTTP and no sockets: `api` and the
//! wiring of the server hand bodies in.
//!
//! Modules:
//! - `intake`: `Intake`: takes bodies, one batch each, and says what became of them.
//! - `remote_write`: requests of remote write 1.0 and 2.0.
//! - `text`: bodies of text, line by line: `lines` (Influx, Graphite), `json`, `csv`; `stream`: `Stream`:
//!   those of any length, window by window; `unzip`: what compressed them.
//! - `otlp`: metrics of OpenTelemetry, translated as Prometheus does; see its map.
//! - `statsd`: what comes over StatsD, added up. `pushgateway`: groups of metrics that jobs leave; see their
//!   maps.
//! - `batch`: `Batch`: one request while it is read; rows of known series, labels of new ones.
//! - `cache`: `SeriesCache`: series by the bytes of their labels. `metrics`: a series of each metric.
//! - `tally`: what became of samples, and what senders are told. `stats`: the same, counted.
//! - `limits`: what a request may have, and what all of them may hold.
//! - `error`: `IntakeError`: why nothing of a request was taken.
//!
//! The way of a request: body → `proto::pushed::unpack` → `proto::pushed::Parts` → `Batch::series` (by
//! `SeriesCache`, else by labels) → `Batch::float` → `Appender::append_rows` → `commit` → `MakeDurable`.
//!
//! What always holds:
//! - A request is one batch: what of it is good is visible as one, what is refused is told to its sender. One
//!   that cannot be read to its end leaves nothing. A `Stream` is a batch for each window, and says how
//!   far it came.
//! - What was said to be written is durable.
//! - A sample of a known series costs no allocation, and nothing is made of its labels.
//! - What a request says of its length is checked before anything is made of it; all requests together have a
//!   bound.
//!
//! When you add a protocol: a module that reads it into a `Batch`, its `Protocol`, a method of `Intake`, a
//! fuzz target, a handler in `crates/api/src/push/`, and a row in docs/http-api.md.

mod batch;
mod cache;
mod csv;
mod error;
mod intake;
mod json;
pub mod limits;
mod lines;
mod metrics;
mod otlp;
mod pushgateway;
mod remote_write;
mod stats;
mod statsd;
mod stream;
mod tally;
mod text;
mod unzip;

pub use csv::{CsvFormat, FormatError};
pub use error::IntakeError;
pub use intake::{Destination, Intake, MakeDurable, Written};
pub use limits::{Held, Limits, Memory};
pub use otlp::{OtlpConfig, OtlpForm, TranslationStrategy};
pub use pushgateway::{Form, GatewayOptions, GroupingKey, PathError, Pushgateway, Replace};
pub use skopos_proto::{pushed::Version, wire::WireError};
pub use stats::{OfProtocol, Protocol, Stats};
pub use statsd::{Statsd, StatsdStats};
pub use stream::Stream;
pub use text::{ExtraLabels, Precision, TextFormat};
pub use unzip::{Compression, Packing};
