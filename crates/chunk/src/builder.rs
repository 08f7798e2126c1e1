//! `ChunkBuilder`: samples of one series, one after the other, into chunks: for compaction, and wherever
//! samples are written anew. Never checks the order of time. A chunk has an encoding with start
//! timestamps where a sample of it has one, and else the plain one.

use crate::histogram_encoder::{At, HistogramChunkEncoder, Kind};
use crate::xor2_encoder::Xor2Encoder;
use crate::{Appended, ChunkValue, Encoding, FloatHistogramEncoder, HistogramEncoder, XorEncoder};
use skopos_model::TimestampMs;

/// When a chunk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutAt {
    /// So many samples are enough for any chunk.
    pub samples: u16,
    /// So many bytes are enough for a chunk of histograms.
    pub histogram_bytes: usize,
    /// A chunk of histograms has at least so many samples, however long they are.
    pub min_histograms: u16,
}

impl Default for CutAt {
    /// As Prometheus does.
    fn default() -> Self {
        Self { samples: 120, histogram_bytes: 1024, min_histograms: 10 }
    }
}

/// A chunk that is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltChunk {
    /// How `bytes` are written.
    pub encoding: Encoding,
    /// The time of its first sample.
    pub min: TimestampMs,
    /// The time of its last sample.
    pub max: TimestampMs,
    /// How many samples it has.
    pub samples: u16,
    /// The chunk.
    pub bytes: Vec<u8>,
}

/// Takes the samples of one series in the order of time and makes chunks of them. A chunk ends where it is
/// full, where the kind of value changes, and where a histogram does not fit (a counter reset, another
/// layout).
#[derive(Debug, Default)]
pub struct ChunkBuilder {
    cut_at: CutAt,
    open: Option<Open>,
    finished: Vec<BuiltChunk>,
}

#[derive(Debug)]
struct Open {
    min: TimestampMs,
    max: TimestampMs,
    encoder: Encoder,
}

#[derive(Debug)]
enum Encoder {
    Float(XorEncoder),
    /// Floats with start timestamps.
    FloatSince(Box<Xor2Encoder>),
    Histogram(Box<HistogramEncoder>),
    FloatHistogram(Box<FloatHistogramEncoder>),
}

impl ChunkBuilder {
    /// A builder whose chunks end there.
    pub fn new(cut_at: CutAt) -> Self {
        Self { cut_at, ..Self::default() }
    }

    /// Adds a sample, which is later than those before.
    ///
    /// # Panics
    /// When it is a histogram whose spans and buckets disagree.
    pub fn push(&mut self, timestamp: TimestampMs, value: &ChunkValue) {
        self.push_since(timestamp, TimestampMs::default(), value);
    }

    /// Adds a sample, which is later than those before, and was counted since `start`; zero where that is
    /// not known.
    ///
    /// # Panics
    /// When it is a histogram whose spans and buckets disagree.
    pub fn push_since(&mut self, timestamp: TimestampMs, start: TimestampMs, value: &ChunkValue) {
        let at = At { time: timestamp.as_ms(), start: start.as_ms() };
        let begun = match &mut self.open {
            None => Some(Encoder::begin(at, value)),
            Some(open) => {
                let next = open.encoder.append(self.cut_at, at, value);
                if next.is_none() {
                    open.max = timestamp;
                }
                next
            }
        };
        if let Some(encoder) = begun {
            let open = Open { min: timestamp, max: timestamp, encoder };
            self.finished.extend(self.open.replace(open).map(Open::finish));
        }
    }

    /// Takes out the chunks that are finished so far.
    pub fn take_finished(&mut self) -> Vec<BuiltChunk> {
        std::mem::take(&mut self.finished)
    }

    /// Ends the last chunk and gives all that were not taken out.
    pub fn finish(mut self) -> Vec<BuiltChunk> {
        self.finished.extend(self.open.map(Open::finish));
        self.finished
    }
}

impl Open {
    fn finish(self) -> BuiltChunk {
        let Self { min, max, encoder } = self;
        let (encoding, samples, bytes) = match encoder {
            Encoder::Float(e) => (Encoding::Xor, e.len(), e.into_bytes()),
            Encoder::FloatSince(e) => (Encoding::Xor2, e.len(), e.into_bytes()),
            Encoder::Histogram(e) if e.has_starts() => (Encoding::HistogramStarts, e.len(), e.into_bytes()),
            Encoder::Histogram(e) => (Encoding::Histogram, e.len(), e.into_bytes()),
            Encoder::FloatHistogram(e) if e.has_starts() => {
                (Encoding::FloatHistogramStarts, e.len(), e.into_bytes())
            }
            Encoder::FloatHistogram(e) => (Encoding::FloatHistogram, e.len(), e.into_bytes()),
        };
        BuiltChunk { encoding, min, max, samples, bytes }
    }
}

impl Encoder {
    /// The first chunk, or one of another kind than that before it.
    fn begin(at: At, value: &ChunkValue) -> Self {
        match value {
            ChunkValue::Float(v) => {
                let mut encoder = Self::Float(XorEncoder::new());
                encoder.append_float(at, *v);
                encoder
            }
            ChunkValue::Histogram(h) => {
                let header = HistogramEncoder::new().header_of_next(h);
                Self::Histogram(Box::new(HistogramEncoder::begin_since(header, at, h)))
            }
            ChunkValue::FloatHistogram(h) => {
                let header = FloatHistogramEncoder::new().header_of_next(h);
                Self::FloatHistogram(Box::new(FloatHistogramEncoder::begin_since(header, at, h)))
            }
        }
    }

    /// Appends; where the sample begins another chunk, gives that chunk's encoder.
    fn append(&mut self, cut_at: CutAt, at: At, value: &ChunkValue) -> Option<Self> {
        let floats = match self {
            Self::Float(encoder) => encoder.len(),
            Self::FloatSince(encoder) => encoder.len(),
            Self::Histogram(_) | Self::FloatHistogram(_) => u16::MAX,
        };
        match (self, value) {
            (encoder, ChunkValue::Float(v)) if floats < cut_at.samples => {
                encoder.append_float(at, *v);
                None
            }
            (Self::Histogram(encoder), ChunkValue::Histogram(h)) => {
                append_histogram(encoder, cut_at, at, h).map(|e| Self::Histogram(Box::new(e)))
            }
            (Self::FloatHistogram(encoder), ChunkValue::FloatHistogram(h)) => {
                append_histogram(encoder, cut_at, at, h).map(|e| Self::FloatHistogram(Box::new(e)))
            }
            _ => Some(Self::begin(at, value)),
        }
    }

    /// Appends to a chunk of floats. The first sample with a start makes it one that has starts.
    fn append_float(&mut self, at: At, value: f64) {
        let (time, start) = (TimestampMs::new(at.time), TimestampMs::new(at.start));
        match self {
            Self::Float(encoder) if at.start == 0 => encoder.append(time, value),
            Self::Float(encoder) => {
                let mut since = Xor2Encoder::of_plain(encoder.bytes());
                since.append(time, value, start);
                *self = Self::FloatSince(Box::new(since));
            }
            Self::FloatSince(encoder) => encoder.append(time, value, start),
            Self::Histogram(_) | Self::FloatHistogram(_) => {
                unreachable!("invariant: a chunk of histograms takes no float")
            }
        }
    }
}

fn append_histogram<H: Kind>(
    encoder: &mut HistogramChunkEncoder<H>,
    cut_at: CutAt,
    at: At,
    histogram: &H,
) -> Option<HistogramChunkEncoder<H>> {
    let long = encoder.bytes().len() >= cut_at.histogram_bytes && encoder.len() >= cut_at.min_histograms;
    let header = if long || encoder.len() >= cut_at.samples.min(encoder.max_samples(at)) {
        encoder.header_of_next(histogram)
    } else {
        match encoder.append_since(at, histogram) {
            Appended::Same | Appended::Recoded => return None,
            Appended::NewChunk(header) => header,
        }
    };
    Some(HistogramChunkEncoder::begin_since(header, at, histogram))
}
