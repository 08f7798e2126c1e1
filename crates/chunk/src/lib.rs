//! Encoding of samples into chunks, bit-compatible with Prometheus. Owns no memory but its buffers,
//! knows no series, no file and no clock.
//!
//! Modules:
//! - `encoding`: `Encoding`, the byte that says how a chunk's data are written.
//! - `samples`: one entry for all encodings: `decode_columns`, `samples_in`, `SampleIter`, `ChunkValue`.
//! - `builder`: `ChunkBuilder`: samples of any kind, one after the other, into finished chunks.
//! - `encoder`, `decoder`: XOR chunks of floats: `XorEncoder`, `decode_into`, `decode_range_into`, `XorIter`.
//! - `columns_encoder`: `encode_floats`: the same chunks from columns, for compaction.
//! - `xor2`, `xor2_encoder`: reader and writer of XOR2 chunks, which have start timestamps.
//! - `histogram_encoder`: `HistogramEncoder`, `FloatHistogramEncoder`; `histogram_kinds`: what either writes;
//!   `fit`: whether a histogram fits into a chunk.
//! - `histogram_decoder`: readers of both; `frame`: header and times; `layout`: spans and bounds.
//! - `starts`: start timestamps of both forms of chunks that can have them.
//! - `bits`: variable-length forms; `varint`: the byte-aligned integers of XOR chunks.
//! - `error`: `ChunkError`: where a chunk is broken, and how.
//!
//! Write path: `append` → `bytes`. The head keeps one encoder a series; a chunk that is full is taken out
//! with `into_bytes`. A histogram's encoder may answer `NewChunk`: then `begin` one with the header it
//! says. Compaction: `SampleIter` → `ChunkBuilder`, which keeps starts. Read path: `decode_columns(encoding,
//! bytes, min, max, columns)`; `decode_range_into` is its inner loop for floats.
//!
//! What always holds:
//! - What `bytes` returns is what Prometheus writes for the same samples, bit for bit, at any moment. Those
//!   with start timestamps are held to docs/formats (`xor2-chunk.md`, `histogram-chunk.md`), and not to bytes
//!   that Prometheus wrote.
//! - A decoder never panics, whatever the bytes; it reads past no end and asks for no more memory
//!   than the bytes could hold samples for, whatever their counts say.
//! - A decoder that fails leaves the columns as it found them.
//! - Chunks carry no checksum of their own: the file around them does. A flipped bit can therefore
//!   decode to other samples.
//!
//! When you change a layout here, you break every stored block: add an `Encoding` instead, and
//! describe it in `docs/formats/`. When you change the decoder, run the benches: each query pays.

mod bits;
mod builder;
mod columns_encoder;
mod decoder;
mod encoder;
mod encoding;
mod error;
mod fit;
mod frame;
mod histogram_decoder;
mod histogram_encoder;
mod histogram_kinds;
mod layout;
mod samples;
mod starts;
mod varint;
mod xor2;
mod xor2_encoder;

pub use builder::{BuiltChunk, ChunkBuilder, CutAt};
pub use columns_encoder::encode_floats;
pub use decoder::{XorIter, decode_into, decode_range_into, sample_count};
pub use encoder::{MAX_SAMPLES, XorEncoder};
pub use encoding::Encoding;
pub use error::ChunkError;
pub use histogram_encoder::{Appended, FloatHistogramEncoder, HistogramChunkEncoder, HistogramEncoder};
pub use samples::{ChunkValue, SampleIter, decode_columns, samples_in};
