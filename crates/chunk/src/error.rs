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
}
