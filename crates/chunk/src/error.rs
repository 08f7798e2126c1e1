//! `ChunkError`: where a chunk is broken, and how. Every variant means: these bytes are corrupt.

/// Bytes that are no chunk. Offsets count bytes from the chunk's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes end before the last sample that the chunk's count promises.
    #[error(
        "chunk is cut off: sample {sample} of {count} begins at byte {offset} and ends behind the last \
         byte; the chunk has to be read again from another copy"
    )]
    Truncated {
        /// Where the sample begins.
        offset: usize,
        /// The sample's number, counted from 0.
        sample: u16,
        /// How many samples the chunk says it has.
        count: u16,
    },
    /// Not even the count of samples fits.
    #[error("chunk of {len} bytes has no room for its 2 bytes of sample count; it is no chunk")]
    NoHeader {
        /// How many bytes there are.
        len: usize,
    },
    /// A variable-length integer has more than 64 bits.
    #[error("chunk is corrupt: the integer at byte {offset} has more than 64 bits")]
    IntegerOverflow {
        /// Where the integer begins.
        offset: usize,
    },
    /// A value says that it has more significant bits than a float has.
    #[error(
        "chunk is corrupt: sample {sample}, which begins at byte {offset}, claims {leading} leading zeros \
         and {significant} significant bits; both together are at most 64"
    )]
    BadWindow {
        /// Where the sample begins.
        offset: usize,
        /// The sample's number, counted from 0.
        sample: u16,
        /// The number of leading zeros it claims.
        leading: u8,
        /// The number of significant bits it claims.
        significant: u8,
    },
    /// Not even the header of a chunk of that encoding fits.
    #[error("chunk of {len} bytes has no room for its header of {header} bytes; it is no chunk")]
    HeaderCutOff {
        /// How many bytes there are.
        len: usize,
        /// How many bytes the header has.
        header: usize,
    },
    /// The bytes end inside a histogram chunk's layout.
    #[error("histogram chunk is cut off: its {len} bytes end inside the layout")]
    LayoutCutOff {
        /// How many bytes there are.
        len: usize,
    },
    /// A layout says that it has more spans, bounds or buckets than the bytes could hold.
    #[error(
        "histogram chunk is corrupt: at byte {offset} it claims {count} spans, bounds or buckets, \
         which do not fit in its {len} bytes"
    )]
    LayoutTooLarge {
        /// How many are claimed.
        count: u64,
        /// Where.
        offset: usize,
        /// How many bytes there are.
        len: usize,
    },
    /// A span is longer, or farther off, than spans can be.
    #[error(
        "histogram chunk is corrupt: a span before byte {offset} has length {length} and offset {span_offset}"
    )]
    Span {
        /// The span's length.
        length: u64,
        /// The span's own offset.
        span_offset: i64,
        /// Where reading stood.
        offset: usize,
    },
    /// A schema that is not defined.
    #[error("histogram chunk has schema {schema}, which is unknown: corrupt, or of a later version")]
    Schema {
        /// The schema.
        schema: i64,
    },
}
