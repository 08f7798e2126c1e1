//! `recode`: overlapping chunks of one series as chunks that do not overlap. `cut_chunk`: the part of a
//! chunk. Decodes sample by sample; what it holds at once are the chunks that reach over the same time. Start
//! timestamps of samples are not kept, as `ChunkBuilder` does not write them.

use super::chunks::Sourced;
use crate::{Chunk, TimeRange};
use bytes::Bytes;
use skopos_chunk::{BuiltChunk, ChunkBuilder, ChunkError, ChunkValue, CutAt, MAX_SAMPLES, SampleIter};
use skopos_model::{TimestampMs, histogram::CounterResetHint};

/// A part of a chunk is one chunk, unless its histograms make more of it.
const UNCUT: CutAt = CutAt { samples: MAX_SAMPLES, histogram_bytes: usize::MAX, min_histograms: MAX_SAMPLES };

/// A chunk that cannot be decoded.
pub(super) struct Failed {
    /// Whose it is.
    pub(super) source: usize,
    /// What is wrong with it.
    pub(super) error: ChunkError,
}

/// A chunk while it is read.
struct Open<'a> {
    /// Its place in the order of sources, then of chunks: of equal times the least is kept.
    priority: (usize, usize),
    time: TimestampMs,
    value: ChunkValue,
    rest: SampleIter<'a>,
}

/// The samples of `range` of a chunk, as chunks: the same one when it has no other, none when it has none
/// there.
///
/// # Errors
/// When the chunk has to be decoded and cannot be.
pub fn cut_chunk(chunk: Chunk, range: TimeRange, out: &mut Vec<Chunk>) -> Result<(), ChunkError> {
    if range.min <= chunk.min && chunk.max <= range.max {
        out.push(chunk);
        return Ok(());
    }
    if chunk.max < range.min || range.max < chunk.min {
        return Ok(());
    }
    let mut builder = ChunkBuilder::new(UNCUT);
    let mut follows = true;
    for sample in SampleIter::new(chunk.encoding, &chunk.bytes) {
        let (time, mut value) = sample?;
        if time < range.min || time > range.max {
            follows = false;
            continue;
        }
        if !follows {
            forget_reset(&mut value);
            follows = true;
        }
        builder.push(time, &value);
    }
    out.extend(builder.finish().into_iter().map(of_built));
    Ok(())
}

/// Appends the samples of `chunks`, which stand by the times that they begin at, as new chunks. Of samples at
/// the same time the one of the earlier source is kept.
pub(super) fn recode(chunks: &[Sourced], out: &mut Vec<Chunk>) -> Result<(), Failed> {
    let mut builder = ChunkBuilder::new(CutAt::default());
    let mut waiting = chunks.iter().enumerate().peekable();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut last: Option<(TimestampMs, (usize, usize))> = None;
    loop {
        let now = open.iter().enumerate().map(|(at, o)| (o.time, o.priority, at)).min();
        if let Some((place, Sourced { source, chunk })) = waiting.peek()
            && now.is_none_or(|(time, ..)| chunk.min <= time)
        {
            let priority = (*source, *place);
            let mut rest = SampleIter::new(chunk.encoding, &chunk.bytes);
            if let Some((time, value)) = next_of(&mut rest, *source)? {
                open.push(Open { priority, time, value, rest });
            }
            waiting.next();
            continue;
        }
        let Some((time, priority, at)) = now else { break };
        let taken = &mut open[at];
        // Growing, whatever the bytes say: a chunk that lies about its times must not make another such.
        if last.is_none_or(|(last, _)| last < time) {
            if last.is_some_and(|(_, from)| from != priority) {
                forget_reset(&mut taken.value);
            }
            builder.push(time, &taken.value);
            last = Some((time, priority));
        }
        match next_of(&mut taken.rest, priority.0)? {
            Some((time, value)) => (taken.time, taken.value) = (time, value),
            None => drop(open.swap_remove(at)),
        }
    }
    out.extend(builder.finish().into_iter().map(of_built));
    Ok(())
}

/// The samples of chunks of one series as new chunks that do not overlap. Of samples at the same time the one
/// of the chunk given first is kept.
///
/// # Errors
/// When a chunk cannot be decoded.
pub fn compact_chunks(chunks: Vec<Chunk>, out: &mut Vec<Chunk>) -> Result<(), ChunkError> {
    let mut sourced: Vec<Sourced> =
        chunks.into_iter().enumerate().map(|(source, chunk)| Sourced { source, chunk }).collect();
    sourced.sort_by_key(|c| c.chunk.min);
    recode(&sourced, out).map_err(|failed| failed.error)
}

/// What a histogram says of the one before it does not hold when another has come in between.
fn forget_reset(value: &mut ChunkValue) {
    let hint = match value {
        ChunkValue::Float(_) => return,
        ChunkValue::Histogram(h) => &mut h.layout.counter_reset_hint,
        ChunkValue::FloatHistogram(h) => &mut h.layout.counter_reset_hint,
    };
    if *hint != CounterResetHint::Gauge {
        *hint = CounterResetHint::Unknown;
    }
}

fn next_of(iter: &mut SampleIter<'_>, source: usize) -> Result<Option<(TimestampMs, ChunkValue)>, Failed> {
    iter.next().transpose().map_err(|error| Failed { source, error })
}

fn of_built(built: BuiltChunk) -> Chunk {
    let BuiltChunk { encoding, min, max, bytes, .. } = built;
    Chunk { min, max, encoding, bytes: Bytes::from(bytes) }
}
