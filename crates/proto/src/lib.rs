//! Messages of protocol buffers that other programs speak, and how they become what `model` calls things.
//! Sends nothing and stores nothing.
//!
//! Modules:
//! - `messages`: the messages of Prometheus' remote read and write, as they stand on the wire.
//! - `convert`: labels, matchers and histograms, to and from messages.
//! - `read`: a request of remote read as it comes, and the answer of plain samples, written series by
//!   series so that no second copy of it is held.
//! - `write`: a request of remote write, written series by series.
//! - `pushed`: requests of remote write 1.0 and 2.0 as they come, read series by series.
//! - `exposed`: metric families as targets expose them, read metric by metric.
//! - `pushed_families`: metric families as other programs push them.
//! - `otlp`: metrics of OpenTelemetry, of protocol buffers and of JSON.
//! - `wire`: the fields of any message, borrowing the bytes.
//! - `frame`: the messages of a streamed answer, each with its length and checksum.
//! - `families`: metric families of the exposition in protocol buffers, written metric by metric.
//! - `error`: `ProtoError`: what is wrong with bytes from outside.
//!
//! The way of a request: bytes → `read::decode_request` → `convert::matchers` → storage.
//! The way of an answer: series → `read::SampledAnswer` → snappy, or `ChunkedReadResponse` →
//! `frame::write`.
//!
//! What always holds:
//! - Bytes from outside are never trusted with a length: what a request says that it unpacks to is
//!   checked before it is unpacked.
//! - A number that no message knows is an error or is passed over, never taken for another.
//!
//! When you add a message: its fields in `messages` with their numbers, its conversion in `convert`, and
//! its decoder in the fuzz targets.

pub mod convert;
pub mod error;
pub mod exposed;
pub mod families;
pub mod frame;
pub mod messages;
pub mod otlp;
pub mod pushed;
pub mod pushed_families;
pub mod read;
pub mod wire;
pub mod write;

pub use error::ProtoError;
