//! One chunk without what is deleted: as columns, or encoded again. Knows no file.

use crate::intervals::Intervals;
use skopos_chunk::{ChunkError, ChunkValue, Encoding, decode_columns};
use skopos_model::{Columns, histogram::CounterResetHint};
use skopos_storage::{Chunk, TimeRange, merge::keep_samples};

/// Appends the samples of `range` that are not deleted.
pub(crate) fn decode_kept(
    encoding: Encoding,
    bytes: &[u8],
    range: TimeRange,
    deleted: &Intervals,
    columns: &mut Columns,
) -> Result<(), ChunkError> {
    if !deleted.overlaps(range.min.as_ms(), range.max.as_ms()) {
        return decode_columns(encoding, bytes, range.min, range.max, columns);
    }
    let mark = columns.mark();
    for part in deleted.kept_in(range) {
        if let Err(e) = decode_columns(encoding, bytes, part.min, part.max, columns) {
            columns.truncate(mark);
            return Err(e);
        }
    }
    Ok(())
}

/// Hands a chunk on without its deleted samples: encoded again where some were, not at all where all were.
pub(crate) fn rewrite_kept(
    chunk: Chunk,
    deleted: &Intervals,
    out: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    let range = TimeRange { min: chunk.min, max: chunk.max };
    if !deleted.overlaps(range.min.as_ms(), range.max.as_ms()) {
        out.push(chunk);
        return Ok(());
    }
    if deleted.covers(range.min.as_ms(), range.max.as_ms()) {
        return Ok(());
    }
    keep_samples(&chunk, |time| !deleted.contains(time.as_ms()), forget_hint, out)
}

/// That there was no reset since a deleted sample says nothing about the sample before that.
fn forget_hint(value: &mut ChunkValue) {
    let hint = match value {
        ChunkValue::Float(_) => return,
        ChunkValue::Histogram(h) => &mut h.layout.counter_reset_hint,
        ChunkValue::FloatHistogram(h) => &mut h.layout.counter_reset_hint,
    };
    if *hint == CounterResetHint::NotReset {
        *hint = CounterResetHint::Unknown;
    }
}
