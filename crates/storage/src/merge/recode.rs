//! `Recoder`: overlapping chunks of one series as chunks that do not overlap. `cut_chunk`: the part of a
//! chunk. Floats are decoded, merged and encoded as columns; where histograms are among them, sample by
//! sample. What it holds at once are the samples of the chunks that reach over the same time. Start
//! timestamps of samples are not kept, as nothing here writes them.

use super::{chunks::Sourced, floats::Runs};
use crate::{Chunk, TimeRange};
use bytes::Bytes;
use skopos_chunk::{
    BuiltChunk, ChunkBuilder, ChunkError, ChunkValue, CutAt, Encoding, MAX_SAMPLES, SampleIter,
    decode_columns, encode_floats,
};
use skopos_model::{Columns, TimestampMs, histogram::CounterResetHint};

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
    /// The place of its source, then its own among the source's chunks: of equal times the least is kept.
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

/// Writes chunks anew, with memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Recoder {
    order: Vec<usize>,
    columns: Columns,
    runs: Runs,
    encoded: Vec<u8>,
    ends: Vec<usize>,
}

/// What became of chunks to write anew as floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Floats {
    Written,
    /// There are others, or times that do not grow.
    NotOnly,
}

impl Recoder {
    /// Appends the samples of `chunks`, which stand by the times that they begin at, as new chunks. Of
    /// samples at the same time the one of the earlier source is kept, in a source that of the earlier place.
    pub(super) fn recode(&mut self, chunks: &[Sourced], out: &mut Vec<Chunk>) -> Result<(), Failed> {
        match self.recode_floats(chunks, out)? {
            Floats::Written => Ok(()),
            Floats::NotOnly => recode_each(chunks, out),
        }
    }

    fn recode_floats(&mut self, chunks: &[Sourced], out: &mut Vec<Chunk>) -> Result<Floats, Failed> {
        if chunks.iter().any(|c| !matches!(c.chunk.encoding, Encoding::Xor | Encoding::Xor2)) {
            return Ok(Floats::NotOnly);
        }
        let Self { order, columns, runs, .. } = self;
        order.clear();
        order.extend(0..chunks.len());
        order.sort_by_key(|at| chunks[*at].source);
        runs.clear();
        for own in order.chunk_by(|a, b| chunks[*a].source == chunks[*b].source) {
            columns.clear();
            for Sourced { source, chunk, .. } in own.iter().map(|at| &chunks[*at]) {
                decode_columns(chunk.encoding, &chunk.bytes, TimestampMs::MIN, TimestampMs::MAX, columns)
                    .map_err(|error| Failed { source: *source, error })?;
            }
            runs.timestamps.extend_from_slice(&columns.timestamps);
            runs.values.extend_from_slice(&columns.values);
            // Chunks of one source that overlap, or that lie about their times.
            if !runs.end_run() {
                return Ok(Floats::NotOnly);
            }
        }
        runs.merge();
        self.encode(out);
        Ok(Floats::Written)
    }

    /// The one run that is left, as chunks that share their memory.
    fn encode(&mut self, out: &mut Vec<Chunk>) {
        let samples = usize::from(CutAt::default().samples);
        let Self { runs, encoded, ends, .. } = self;
        encoded.clear();
        ends.clear();
        let parts = || runs.timestamps.chunks(samples).zip(runs.values.chunks(samples));
        for (timestamps, values) in parts() {
            encode_floats(timestamps, values, encoded);
            ends.push(encoded.len());
        }
        let all = Bytes::copy_from_slice(encoded);
        let mut from = 0;
        for ((timestamps, _), end) in parts().zip(&*ends) {
            if let [min, ..] = timestamps
                && let [.., max] = timestamps
            {
                let bytes = all.slice(from..*end);
                out.push(Chunk { min: *min, max: *max, encoding: Encoding::Xor, bytes });
            }
            from = *end;
        }
    }
}

/// The same, sample by sample.
fn recode_each(chunks: &[Sourced], out: &mut Vec<Chunk>) -> Result<(), Failed> {
    let mut builder = ChunkBuilder::new(CutAt::default());
    let mut waiting = chunks.iter().peekable();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut last: Option<(TimestampMs, (usize, usize))> = None;
    loop {
        let now = open.iter().enumerate().map(|(at, o)| (o.time, o.priority, at)).min();
        if let Some(Sourced { source, place, chunk }) = waiting.peek()
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
        chunks.into_iter().enumerate().map(|(source, chunk)| Sourced { source, place: 0, chunk }).collect();
    sourced.sort_by_key(|c| c.chunk.min);
    Recoder::default().recode(&sourced, out).map_err(|failed| failed.error)
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

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::rng::Rng;

    /// Chunks of some sources over the same time, by the times that they begin at.
    fn chunks(rng: &Rng, overlap_in_source: bool) -> Vec<Sourced> {
        let mut all = Vec::new();
        for source in 0..1 + rng.below(4) as usize {
            let mut t = rng.below(500) as i64;
            for place in 0..rng.below(6) as usize {
                let len = 1 + rng.below(200);
                let step = |_| {
                    t += 1 + rng.below(4) as i64;
                    TimestampMs::new(t)
                };
                let times: Vec<_> = (0..len).map(step).collect();
                let values: Vec<_> = times.iter().map(|_| rng.below(100) as f64).collect();
                let mut bytes = Vec::new();
                encode_floats(&times, &values, &mut bytes);
                let (min, max) = (times[0], times[times.len() - 1]);
                let chunk = Chunk { min, max, encoding: Encoding::Xor, bytes: bytes.into() };
                all.push(Sourced { source, place, chunk });
                t -= if overlap_in_source { rng.below(300) as i64 } else { 0 };
            }
        }
        all.sort_by_key(|c| c.chunk.min);
        all
    }

    #[test]
    fn columns_give_the_chunks_that_sample_by_sample_gives() {
        let mut recoder = Recoder::default();
        let mut seen = [0, 0];
        for seed in 0..400 {
            println!("seed {seed}");
            let overlap_in_source = seed % 2 == 1;
            let chunks = chunks(&Rng::from_seed(seed), overlap_in_source);
            let (mut columns, mut each, mut either) = (Vec::new(), Vec::new(), Vec::new());
            let floats = recoder.recode_floats(&chunks, &mut columns).ok().unwrap();
            recode_each(&chunks, &mut each).ok().unwrap();
            recoder.recode(&chunks, &mut either).ok().unwrap();
            assert_eq!(either, each);
            match floats {
                Floats::Written => assert_eq!(columns, each),
                Floats::NotOnly => assert!(overlap_in_source && columns.is_empty()),
            }
            seen[usize::from(floats == Floats::Written)] += 1;
        }
        assert!(seen.iter().all(|n| *n > 50), "both ways are gone: {seen:?}");
    }
}
