//! `Open`: the chunk of a series that still takes samples, of any kind of value. Decides when it is full or
//! does not fit; never knows who sees its samples.

use crate::wal::snapshot::{Last, OpenChunk};
use skopos_chunk::{Appended, Encoding, FloatHistogramEncoder, HistogramEncoder, XorEncoder};
use skopos_model::{
    FloatHistogram, Histogram, Sample, TimestampMs, histogram::CounterResetHint, is_stale_nan,
};

/// A chunk is full at so many samples …
const SAMPLES_PER_CHUNK: u16 = 120;
/// … or, with histograms, at so many bytes, but not below …
const HISTOGRAM_CHUNK_BYTES: usize = 1024;
/// … so many samples.
const HISTOGRAMS_PER_CHUNK: u16 = 10;

/// A native histogram to be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HistogramRef<'a> {
    /// Of whole counts.
    Int(&'a Histogram),
    /// Of float counts.
    Float(&'a FloatHistogram),
}

/// See above.
#[derive(Debug)]
pub(super) enum Open {
    Floats(XorEncoder),
    Histograms(Box<HistogramEncoder>),
    FloatHistograms(Box<FloatHistogramEncoder>),
}

impl Default for Open {
    fn default() -> Self {
        Self::Floats(XorEncoder::new())
    }
}

/// What a chunk says of a histogram that comes behind its last sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    /// It was appended.
    Appended,
    /// It begins another chunk, with this header.
    Not(CounterResetHint),
}

/// Whether a chunk has time and room for another histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Left,
    None,
}

impl Open {
    /// A chunk that begins with a histogram.
    pub(super) fn begin(header: CounterResetHint, timestamp: TimestampMs, value: HistogramRef<'_>) -> Self {
        match value {
            HistogramRef::Int(h) => Self::Histograms(Box::new(HistogramEncoder::begin(header, timestamp, h))),
            HistogramRef::Float(h) => {
                Self::FloatHistograms(Box::new(FloatHistogramEncoder::begin(header, timestamp, h)))
            }
        }
    }

    pub(super) fn len(&self) -> u16 {
        match self {
            Self::Floats(e) => e.len(),
            Self::Histograms(e) => e.len(),
            Self::FloatHistograms(e) => e.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn encoding(&self) -> Encoding {
        match self {
            Self::Floats(_) => Encoding::Xor,
            Self::Histograms(_) => Encoding::Histogram,
            Self::FloatHistograms(_) => Encoding::FloatHistogram,
        }
    }

    pub(super) fn bytes(&mut self) -> &[u8] {
        match self {
            Self::Floats(e) => e.bytes(),
            Self::Histograms(e) => e.bytes(),
            Self::FloatHistograms(e) => e.bytes(),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Floats(e) => e.heap_bytes(),
            Self::Histograms(e) => size_of::<HistogramEncoder>() + e.heap_bytes(),
            Self::FloatHistograms(e) => size_of::<FloatHistogramEncoder>() + e.heap_bytes(),
        }
    }

    /// The chunk that a snapshot has; none when it is not what the snapshot says.
    pub(super) fn from_snapshot(chunk: &OpenChunk) -> Option<Self> {
        let OpenChunk { max, bytes, last, .. } = chunk;
        let open = match last {
            Last::Float(_) => Self::Floats(XorEncoder::from_bytes(bytes).ok()?),
            Last::Histogram(_) => Self::Histograms(Box::new(HistogramEncoder::from_bytes(bytes).ok()?)),
            Last::FloatHistogram(_) => {
                Self::FloatHistograms(Box::new(FloatHistogramEncoder::from_bytes(bytes).ok()?))
            }
        };
        let is_it = match last {
            Last::Float(value) => open.ends_with(Sample { timestamp: *max, value: *value }),
            Last::Histogram(h) => open.ends_with_histogram(*max, HistogramRef::Int(h)),
            Last::FloatHistogram(h) => open.ends_with_histogram(*max, HistogramRef::Float(h)),
        };
        is_it.then_some(open)
    }

    /// The chunk for a snapshot, if it has a sample.
    pub(super) fn snapshot(&mut self, min: TimestampMs) -> Option<OpenChunk> {
        let (max, last) = match self {
            Self::Floats(e) => e.last().map(|s| (s.timestamp, Last::Float(s.value)))?,
            Self::Histograms(e) => e.last().map(|(t, h)| (t, Last::Histogram(h)))?,
            Self::FloatHistograms(e) => e.last().map(|(t, h)| (t, Last::FloatHistogram(h)))?,
        };
        Some(OpenChunk { min, max, bytes: self.bytes().to_vec(), last })
    }

    /// When its last sample was.
    pub(super) fn last_timestamp(&self) -> Option<TimestampMs> {
        match self {
            Self::Floats(e) => e.last().map(|s| s.timestamp),
            Self::Histograms(e) => e.last_timestamp(),
            Self::FloatHistograms(e) => e.last_timestamp(),
        }
    }

    /// Whether its last sample is that float; a marker of staleness is one whatever the kind.
    pub(super) fn ends_with(&self, sample: Sample) -> bool {
        let stale = is_stale_nan(sample.value) && self.last_timestamp() == Some(sample.timestamp);
        match self {
            Self::Floats(e) => e.last() == Some(sample),
            Self::Histograms(e) => stale && e.last().is_some_and(|(_, h)| h.is_stale()),
            Self::FloatHistograms(e) => stale && e.last().is_some_and(|(_, h)| h.is_stale()),
        }
    }

    /// Whether its last sample is that histogram, whatever its hint.
    pub(super) fn ends_with_histogram(&self, timestamp: TimestampMs, value: HistogramRef<'_>) -> bool {
        match (self, value) {
            (Self::Histograms(e), HistogramRef::Int(h)) => {
                e.last().is_some_and(|(t, last)| t == timestamp && last.same_bits(h))
            }
            (Self::FloatHistograms(e), HistogramRef::Float(h)) => {
                e.last().is_some_and(|(t, last)| t == timestamp && last.same_bits(h))
            }
            _ => false,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Floats(e) => e.len() >= SAMPLES_PER_CHUNK,
            Self::Histograms(e) => is_full_of_histograms(e.len(), e.bytes().len()),
            Self::FloatHistograms(e) => is_full_of_histograms(e.len(), e.bytes().len()),
        }
    }

    /// Appends a histogram where it fits.
    pub(super) fn append_histogram(
        &mut self,
        timestamp: TimestampMs,
        value: HistogramRef<'_>,
        room: Room,
    ) -> Fits {
        let header = match (&mut *self, value) {
            (Self::Histograms(e), HistogramRef::Int(h)) if room == Room::Left => match e.append(timestamp, h)
            {
                Appended::Same | Appended::Recoded => return Fits::Appended,
                Appended::NewChunk(header) => header,
            },
            (Self::FloatHistograms(e), HistogramRef::Float(h)) if room == Room::Left => {
                match e.append(timestamp, h) {
                    Appended::Same | Appended::Recoded => return Fits::Appended,
                    Appended::NewChunk(header) => header,
                }
            }
            (Self::Histograms(e), HistogramRef::Int(h)) => e.header_of_next(h),
            (Self::FloatHistograms(e), HistogramRef::Float(h)) => e.header_of_next(h),
            (_, HistogramRef::Int(h)) => HistogramEncoder::new().header_of_next(h),
            (_, HistogramRef::Float(h)) => FloatHistogramEncoder::new().header_of_next(h),
        };
        Fits::Not(header)
    }
}

fn is_full_of_histograms(samples: u16, bytes: usize) -> bool {
    samples >= SAMPLES_PER_CHUNK || samples >= HISTOGRAMS_PER_CHUNK && bytes >= HISTOGRAM_CHUNK_BYTES
}
