//! One entry for chunks of every encoding: to columns, and sample by sample. Owns no layout: the encodings'
//! own readers do.

use crate::histogram_decoder::{self, ChunkCounts, Cursor, FloatCounts, WholeCounts};
use crate::{ChunkError, Encoding, XorIter, decode_range_into, decoder, frame, frame::Header, xor2};
use skopos_model::histogram::EXPONENTIAL_SCHEMAS;
use skopos_model::{Columns, FloatHistogram, Histogram, TimestampMs};

/// Appends the samples from `min` to `max`, both included, to the columns, with the start timestamps of those
/// that have one. Reading ends at the first sample behind `max`: what follows is not checked. Histograms of a
/// schema finer than 8 become that schema.
///
/// # Errors
/// When `bytes` are no chunk of that encoding; the columns are then as they were.
pub fn decode_columns(
    encoding: Encoding,
    bytes: &[u8],
    min: TimestampMs,
    max: TimestampMs,
    columns: &mut Columns,
) -> Result<(), ChunkError> {
    let mark = columns.mark();
    let whole = |header, columns: &mut Columns| {
        Cursor::<WholeCounts>::new(bytes, header)
            .and_then(|cursor| histogram_decoder::decode(cursor, min, max, columns))
    };
    let float = |header, columns: &mut Columns| {
        Cursor::<FloatCounts>::new(bytes, header)
            .and_then(|cursor| histogram_decoder::decode(cursor, min, max, columns))
    };
    let result = match encoding {
        Encoding::Xor => decode_range_into(bytes, min, max, &mut columns.timestamps, &mut columns.values),
        Encoding::Xor2 => xor2::decode(bytes, min, max, columns),
        Encoding::Histogram => whole(Header::Plain, columns),
        Encoding::HistogramStarts => whole(Header::WithStarts, columns),
        Encoding::FloatHistogram => float(Header::Plain, columns),
        Encoding::FloatHistogramStarts => float(Header::WithStarts, columns),
    };
    if result.is_err() {
        columns.truncate(mark);
    }
    result
}

/// How many samples a chunk of that encoding says it has.
///
/// # Errors
/// When `bytes` are too short to say it.
pub fn samples_in(encoding: Encoding, bytes: &[u8]) -> Result<u16, ChunkError> {
    match encoding {
        Encoding::Xor => decoder::sample_count(bytes),
        Encoding::Xor2 => xor2::sample_count(bytes),
        Encoding::Histogram | Encoding::FloatHistogram => frame::sample_count(bytes, Header::Plain),
        Encoding::HistogramStarts | Encoding::FloatHistogramStarts => {
            frame::sample_count(bytes, Header::WithStarts)
        }
    }
}

/// The value of a sample, exactly as its chunk holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum ChunkValue {
    /// A float.
    Float(f64),
    /// A histogram with whole counts.
    Histogram(Histogram),
    /// A histogram with float counts.
    FloatHistogram(FloatHistogram),
}

impl ChunkValue {
    /// Whether both are the same, bit for bit: a NaN equals itself here.
    pub fn same_bits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => a.same_bits(b),
            (Self::FloatHistogram(a), Self::FloatHistogram(b)) => a.same_bits(b),
            _ => false,
        }
    }
}

/// Iterates over the samples of a chunk of any encoding; ends behind the last one or behind the first error.
///
/// The hint of a histogram is what its chunk knows: the first one's is the chunk's header where that says
/// reset, and later ones are no resets. Histograms of a schema finer than 8 become that schema.
#[derive(Clone, Debug)]
pub struct SampleIter<'a> {
    inner: Inner<'a>,
}

#[derive(Clone, Debug)]
enum Inner<'a> {
    Xor(XorIter<'a>),
    Xor2(xor2::Cursor<'a>),
    Histogram(Box<Cursor<'a, WholeCounts>>),
    FloatHistogram(Box<Cursor<'a, FloatCounts>>),
    Failed(ChunkError),
    Ended,
}

impl<'a> SampleIter<'a> {
    /// Iterates over the chunk in `bytes`; when they are none, the first item says so.
    pub fn new(encoding: Encoding, bytes: &'a [u8]) -> Self {
        let whole = |header| Cursor::new(bytes, header).map(|c| Inner::Histogram(Box::new(c)));
        let float = |header| Cursor::new(bytes, header).map(|c| Inner::FloatHistogram(Box::new(c)));
        let inner = match encoding {
            Encoding::Xor => Ok(Inner::Xor(XorIter::new(bytes))),
            Encoding::Xor2 => xor2::Cursor::new(bytes).map(Inner::Xor2),
            Encoding::Histogram => whole(Header::Plain),
            Encoding::HistogramStarts => whole(Header::WithStarts),
            Encoding::FloatHistogram => float(Header::Plain),
            Encoding::FloatHistogramStarts => float(Header::WithStarts),
        };
        Self { inner: inner.unwrap_or_else(Inner::Failed) }
    }

    /// Since when the sample that came last was counted; zero when that is not known.
    pub fn start(&self) -> TimestampMs {
        match &self.inner {
            Inner::Xor2(cursor) => cursor.start(),
            Inner::Histogram(cursor) => cursor.frame.starts.of_last(),
            Inner::FloatHistogram(cursor) => cursor.frame.starts.of_last(),
            Inner::Xor(_) | Inner::Failed(_) | Inner::Ended => TimestampMs::default(),
        }
    }

    fn advance(&mut self) -> Result<Option<(TimestampMs, ChunkValue)>, ChunkError> {
        let finest = *EXPONENTIAL_SCHEMAS.end();
        match &mut self.inner {
            Inner::Xor(samples) => {
                let sample = samples.next().transpose()?;
                Ok(sample.map(|s| (s.timestamp, ChunkValue::Float(s.value))))
            }
            Inner::Xor2(cursor) => {
                if cursor.remaining() == 0 {
                    return Ok(None);
                }
                cursor.advance()?;
                let sample = cursor.sample();
                Ok(Some((sample.timestamp, ChunkValue::Float(sample.value))))
            }
            Inner::Histogram(cursor) => advance(cursor.as_mut(), |cursor| {
                let exact = cursor.exact();
                let coarse = exact.layout.schema > finest;
                ChunkValue::Histogram(if coarse { exact.reduced_to(finest) } else { exact })
            }),
            Inner::FloatHistogram(cursor) => advance(cursor.as_mut(), |cursor| {
                let exact = cursor.exact();
                let coarse = exact.layout.schema > finest;
                ChunkValue::FloatHistogram(if coarse { exact.reduced_to(finest) } else { exact })
            }),
            Inner::Failed(e) => Err(*e),
            Inner::Ended => Ok(None),
        }
    }
}

fn advance<'a, C: ChunkCounts>(
    cursor: &mut Cursor<'a, C>,
    value: impl Fn(&Cursor<'a, C>) -> ChunkValue,
) -> Result<Option<(TimestampMs, ChunkValue)>, ChunkError> {
    if cursor.frame.remaining() == 0 {
        return Ok(None);
    }
    cursor.advance()?;
    Ok(Some((TimestampMs::new(cursor.frame.timestamp), value(cursor))))
}

impl Iterator for SampleIter<'_> {
    type Item = Result<(TimestampMs, ChunkValue), ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.inner = Inner::Ended;
        }
        item
    }
}
