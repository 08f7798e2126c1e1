//! Encoding of samples into chunks, bit-compatible with Prometheus. Owns no memory but its buffers,
//! knows no series, no file and no clock.
//!
//! Modules:
//! - `encoding`: `Encoding`, the byte that says how a chunk's data are written.
//! - `encoder`: `XorEncoder`: appends samples to a chunk that is complete after every append.
//! - `decoder`: `decode_into` and `decode_range_into` (columns, the hot path) and `XorIter`.
//! - `varint`: the variable-length integers of a chunk's first two samples.
//! - `error`: `ChunkError`: where a chunk is broken, and how.
//!
//! Write path: `XorEncoder::append` → `XorEncoder::bytes`. The head keeps one encoder a series; a
//! chunk that is full is taken out with `into_bytes`.
//! Read path: `decode_range_into(bytes, min, max, timestamps, values)`; `decode_into` when the whole
//! chunk is wanted; `XorIter` where samples are looked at one by one.
//!
//! What always holds:
//! - What `bytes` returns is what Prometheus writes for the same samples, bit for bit, at any moment.
//! - A decoder never panics, whatever the bytes; it reads past no end and asks for no more memory
//!   than the bytes could hold samples for, whatever their count says.
//! - A decoder that fails leaves the columns as it found them.
//! - Chunks carry no checksum of their own: the file around them does. A flipped bit can therefore
//!   decode to other samples.
//!
//! When you change a layout here, you break every stored block: add an `Encoding` instead, and
//! describe it in `docs/formats/`. When you change the decoder, run the benches: each query pays.

mod decoder;
mod encoder;
mod encoding;
mod error;
mod varint;

pub use decoder::{XorIter, decode_into, decode_range_into, sample_count};
pub use encoder::{MAX_SAMPLES, XorEncoder};
pub use encoding::Encoding;
pub use error::ChunkError;
