//! One chunk without what is deleted: as columns, or encoded again. The only place here that knows encodings.

use skopos_chunk::{ChunkError, Encoding, XorEncoder, decode_range_into};
use skopos_model::{Columns, TimestampMs};
use skopos_storage::{Chunk, TimeRange};

use crate::intervals::Intervals;

/// Why a chunk cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
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
    for part in kept_parts(range, deleted) {
        if let Err(e) = decode_chunk(encoding, bytes, part, columns) {
            columns.truncate(mark);
            return Err(e);
        }
    }
    Ok(())
}

/// A chunk without its deleted samples, encoded again where some were; none where all were.
pub(super) fn rewrite_kept(chunk: Chunk, deleted: &Intervals) -> Result<Option<Chunk>, KeptError> {
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

/// The parts of `range` between the deleted ones.
fn kept_parts(range: TimeRange, deleted: &Intervals) -> Vec<TimeRange> {
    let (from, to) = (range.min.as_ms(), range.max.as_ms());
    let mut parts = Vec::new();
    let mut next = Some(from);
    for gone in deleted.as_slice().iter().filter(|gone| gone.max_ms >= from && gone.min_ms <= to) {
        if let Some(min) = next.filter(|min| *min < gone.min_ms) {
            parts.push((min, gone.min_ms - 1));
        }
        next = gone.max_ms.checked_add(1);
    }
    parts.extend(next.filter(|min| *min <= to).map(|min| (min, to)));
    let range = |(min, max)| TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) };
    parts.into_iter().map(range).collect()
}
