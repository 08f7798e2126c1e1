//! One chunk without what is deleted: as columns, or encoded again. The only place here that knows encodings.

use skopos_chunk::{ChunkError, Encoding, XorEncoder, decode_range_into};
use skopos_model::Columns;
use skopos_storage::{Chunk, TimeRange};

use crate::intervals::Intervals;

/// Why a chunk cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("chunks of encoding {0:?} are not read here")]
    Encoding(Encoding),
}

/// Appends the samples of `range` to the columns.
pub(super) fn decode_chunk(
    encoding: Encoding,
    bytes: &[u8],
    range: TimeRange,
    columns: &mut Columns,
) -> Result<(), KeptError> {
    match encoding {
        Encoding::Xor => {
            decode_range_into(bytes, range.min, range.max, &mut columns.timestamps, &mut columns.values)?;
            Ok(())
        }
        other => Err(KeptError::Encoding(other)),
    }
}

/// Appends the samples of `range` that are not deleted.
pub(super) fn decode_kept(
    encoding: Encoding,
    bytes: &[u8],
    range: TimeRange,
    deleted: &Intervals,
    columns: &mut Columns,
) -> Result<(), KeptError> {
    if !deleted.overlaps(range.min.as_ms(), range.max.as_ms()) {
        return decode_chunk(encoding, bytes, range, columns);
    }
    let mark = columns.mark();
    for part in deleted.kept_in(range) {
        if let Err(e) = decode_chunk(encoding, bytes, part, columns) {
            columns.truncate(mark);
            return Err(e);
        }
    }
    Ok(())
}

/// A chunk without its deleted samples, encoded again where some were; none where all were.
pub(crate) fn rewrite_kept(chunk: Chunk, deleted: &Intervals) -> Result<Option<Chunk>, KeptError> {
    let range = TimeRange { min: chunk.min, max: chunk.max };
    if !deleted.overlaps(range.min.as_ms(), range.max.as_ms()) {
        return Ok(Some(chunk));
    }
    if deleted.covers(range.min.as_ms(), range.max.as_ms()) {
        return Ok(None);
    }
    let mut columns = Columns::default();
    decode_kept(chunk.encoding, &chunk.bytes, range, deleted, &mut columns)?;
    let (Some(min), Some(max)) = (columns.timestamps.first(), columns.timestamps.last()) else {
        return Ok(None);
    };
    let mut encoder = XorEncoder::new();
    for (t, v) in columns.timestamps.iter().zip(&columns.values) {
        encoder.append(*t, *v);
    }
    let bytes = encoder.into_bytes().into();
    Ok(Some(Chunk { min: *min, max: *max, encoding: chunk.encoding, bytes }))
}
