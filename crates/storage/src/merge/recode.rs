//! `recode`: overlapping chunks of one series as chunks that do not overlap. Decodes sample by sample;
//! what it holds at once are the chunks that reach over the same time.

use super::chunks::Sourced;
use crate::Chunk;
use bytes::Bytes;
use skopos_chunk::{Encoding, XorEncoder, XorIter};
use skopos_model::{Sample, TimestampMs};

/// So many samples make a full chunk, as in Prometheus.
const CHUNK_SAMPLES: u16 = 120;

/// A chunk that cannot be decoded.
pub(super) struct Failed {
    /// Whose it is.
    pub(super) source: usize,
    /// What is wrong with it.
    pub(super) reason: String,
}

/// A chunk while it is read.
struct Open<'a> {
    /// Its place in the order of sources, then of chunks: of equal times the least is kept.
    priority: (usize, usize),
    next: Sample,
    rest: XorIter<'a>,
}

/// Appends the samples of `chunks`, which stand by the times that they begin at, as new chunks. Of
/// samples at the same time the one of the earlier source is kept.
pub(super) fn recode(chunks: &[Sourced], out: &mut Vec<Chunk>) -> Result<(), Failed> {
    let mut writer = Writer { encoder: XorEncoder::new(), min: TimestampMs::MIN, out };
    let mut waiting = chunks.iter().enumerate().peekable();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut last: Option<TimestampMs> = None;
    loop {
        let now = open.iter().map(|o| (o.next.timestamp, o.priority)).min();
        if let Some((place, chunk)) = waiting.peek()
            && now.is_none_or(|(time, _)| chunk.chunk.min <= time)
        {
            let priority = (chunk.source, *place);
            let mut rest = samples_of(chunk)?;
            if let Some(next) = next_of(&mut rest, chunk.source)? {
                open.push(Open { priority, next, rest });
            }
            waiting.next();
            continue;
        }
        let Some((_, priority)) = now else { break };
        let Some(at) = open.iter().position(|o| o.priority == priority) else { break };
        let taken = &mut open[at];
        // Growing, whatever the bytes say: a chunk that lies about its times must not make another such.
        if last.is_none_or(|last| last < taken.next.timestamp) {
            writer.push(taken.next);
            last = Some(taken.next.timestamp);
        }
        match next_of(&mut taken.rest, priority.0)? {
            Some(next) => taken.next = next,
            None => {
                open.swap_remove(at);
            }
        }
    }
    writer.cut();
    Ok(())
}

fn samples_of(chunk: &Sourced) -> Result<XorIter<'_>, Failed> {
    match chunk.chunk.encoding {
        Encoding::Xor => Ok(XorIter::new(&chunk.chunk.bytes)),
        other => Err(Failed {
            source: chunk.source,
            reason: format!("chunks of encoding {other:?} overlap and cannot be merged"),
        }),
    }
}

fn next_of(iter: &mut XorIter<'_>, source: usize) -> Result<Option<Sample>, Failed> {
    iter.next().transpose().map_err(|error| Failed { source, reason: error.to_string() })
}

struct Writer<'a> {
    encoder: XorEncoder,
    min: TimestampMs,
    out: &'a mut Vec<Chunk>,
}

impl Writer<'_> {
    fn push(&mut self, sample: Sample) {
        if self.encoder.is_empty() {
            self.min = sample.timestamp;
        }
        self.encoder.append(sample.timestamp, sample.value);
        if self.encoder.len() >= CHUNK_SAMPLES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let encoder = std::mem::take(&mut self.encoder);
        if let Some(last) = encoder.last() {
            let bytes = Bytes::from(encoder.into_bytes());
            self.out.push(Chunk { min: self.min, max: last.timestamp, encoding: Encoding::Xor, bytes });
        }
    }
}
