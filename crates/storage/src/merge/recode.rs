//! `Recoder`: overlapping chunks of one series as chunks that do not overlap. `cut_chunk`: the part of a
//! chunk. Floats are decoded, merged and encoded as columns; where histograms or start timestamps are among
//! them, sample by sample. What it holds at once are the samples of the chunks that reach over the same time.
//! A sample keeps its start timestamp.

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
    keep_samples(&chunk, |time| range.min <= time && time <= range.max, forget_reset, out)
}

/// What stands before a sample of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follows {
    ChunkBefore,
    Kept,
    /// Samples that are not kept, and none that is.
    LeftOut,
}

/// The samples of a chunk for whose times `is_kept` holds, encoded again as chunks: one, unless histograms
/// make more of it. `behind_left_out` is what becomes of the first of them where others stood before it.
///
/// # Errors
/// When the chunk cannot be decoded.
pub fn keep_samples(
    chunk: &Chunk,
    is_kept: impl Fn(TimestampMs) -> bool,
    behind_left_out: fn(&mut ChunkValue),
    out: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    let mut builder = ChunkBuilder::new(UNCUT);
    let mut follows = Follows::ChunkBefore;
    let mut samples = SampleIter::new(chunk.encoding, &chunk.bytes);
    while let Some(sample) = samples.next() {
        let (time, mut value) = sample?;
        if !is_kept(time) {
            follows = if follows == Follows::ChunkBefore { Follows::LeftOut } else { follows };
            continue;
        }
        if follows == Follows::LeftOut {
            behind_left_out(&mut value);
        }
        follows = Follows::Kept;
        builder.push_since(time, samples.start(), &value);
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
    /// There are others, start timestamps, or times that do not grow.
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
            if !columns.starts.is_empty() {
                return Ok(Floats::NotOnly);
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
            builder.push_since(time, taken.rest.start(), &taken.value);
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

    /// A sample of a series with starts: time, start, value.
    type Since = (i64, i64, f64);

    /// Chunks of some sources over the same time, of floats that mostly have starts; and what is kept of
    /// them: of equal times the sample of the earlier source, with its start.
    fn chunks_with_starts(rng: &Rng) -> (Vec<Sourced>, Vec<Since>) {
        let mut kept = std::collections::BTreeMap::new();
        let mut all = Vec::new();
        for source in 0..2 + rng.below(3) as usize {
            let mut t = rng.below(500) as i64;
            for place in 0..rng.below(4) as usize {
                let mut builder = ChunkBuilder::new(UNCUT);
                let mut start = [0, t - 7][rng.below(2) as usize];
                for _ in 0..1 + rng.below(200) {
                    t += 1 + rng.below(4) as i64;
                    start = if rng.below(20) == 0 { t - rng.below(5) as i64 } else { start };
                    let value = rng.below(100) as f64;
                    kept.entry(t).or_insert((source, t, start, value));
                    let at = [t, start].map(TimestampMs::new);
                    builder.push_since(at[0], at[1], &ChunkValue::Float(value));
                }
                let chunks = builder.finish().into_iter().map(of_built);
                all.extend(chunks.map(|chunk| Sourced { source, place, chunk }));
            }
        }
        all.sort_by_key(|c| c.chunk.min);
        (all, kept.into_values().map(|(_, t, start, value)| (t, start, value)).collect())
    }

    fn read(chunks: &[Chunk]) -> Vec<Since> {
        let mut columns = Columns::default();
        for chunk in chunks {
            let all = (TimestampMs::MIN, TimestampMs::MAX);
            decode_columns(chunk.encoding, &chunk.bytes, all.0, all.1, &mut columns).unwrap();
        }
        let mut starts = vec![0; columns.len()];
        columns.starts.of(0..columns.len()).iter().for_each(|s| starts[s.sample] = s.at.as_ms());
        let times = columns.timestamps.iter().map(|t| t.as_ms());
        times.zip(starts).zip(columns.values).map(|((t, start), value)| (t, start, value)).collect()
    }

    #[test]
    fn samples_keep_their_starts_when_chunks_are_merged_and_cut() {
        let mut with_starts = 0;
        for seed in 0..300 {
            println!("seed {seed}");
            let rng = Rng::from_seed(seed);
            let (chunks, expected) = chunks_with_starts(&rng);
            let mut merged = Vec::new();
            Recoder::default().recode(&chunks, &mut merged).ok().unwrap();
            assert_eq!(read(&merged), expected);
            with_starts += merged.iter().filter(|c| c.encoding == Encoding::Xor2).count();
            let (from, to) = (rng.below(600) as i64, rng.below(900) as i64);
            let range = TimeRange { min: TimestampMs::new(from), max: TimestampMs::new(to) };
            let mut cut = Vec::new();
            merged.into_iter().for_each(|chunk| cut_chunk(chunk, range, &mut cut).unwrap());
            let expected: Vec<_> = expected.into_iter().filter(|s| (from..=to).contains(&s.0)).collect();
            assert_eq!(read(&cut), expected);
            // Where no start is left there is no need of a chunk that has room for them.
            for chunk in cut {
                let any = read(std::slice::from_ref(&chunk)).iter().any(|s| s.1 != 0);
                assert!(any || chunk.encoding == Encoding::Xor, "{:?}", chunk.encoding);
            }
        }
        assert!(with_starts > 100, "{with_starts}");
    }
}
