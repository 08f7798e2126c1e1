//! Reads chunks of histograms with whole counts, and with float counts. Never panics on bytes, never trusts a
//! count or a length in them.

use crate::ChunkError;
use crate::bits::{BitReader, Window, Xored};
use crate::frame::{Frame, Header};
use skopos_model::histogram::{
    CounterResetHint, EXPONENTIAL_SCHEMAS, FloatHistogram, Histogram, Layout, absolute, bucket_count,
};
use skopos_model::{Columns, RowCounts, TimestampMs, is_stale_nan};

/// The counts of a histogram besides its layout, and what the next one builds on: whole ones, or floats.
pub(crate) trait ChunkCounts: Clone + std::fmt::Debug {
    /// The histogram that has them.
    type Histogram;
    /// The fewest bits that a bucket of the first sample takes.
    const BUCKET_BITS: u64;

    /// No observations in the buckets of a layout.
    fn none(layout: &Layout) -> Self;
    /// Reads those of a chunk's first sample.
    fn take_first(&mut self, reader: &mut BitReader<'_>);
    /// Reads those of a later sample.
    fn take_later(&mut self, reader: &mut BitReader<'_>) -> Result<(), Window>;
    /// The sum.
    fn sum(&self) -> f64;
    /// All that a row of columns holds; the buckets stand in `floats`.
    fn row<'f>(&self, hint: CounterResetHint, floats: &'f mut Vec<f64>) -> RowCounts<'f>;
    /// As a histogram of that layout.
    fn histogram(&self, layout: Layout) -> Self::Histogram;
    /// The staleness marker.
    fn marker() -> Self::Histogram;
    /// The histogram with float counts, and of no schema that is too fine.
    fn to_float(histogram: &Self::Histogram) -> FloatHistogram;
}

/// Reads a histogram chunk sample by sample.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a, C> {
    /// What the samples share.
    pub(crate) frame: Frame<'a>,
    /// Those of the sample read last.
    pub(crate) counts: C,
    floats: Vec<f64>,
}

impl<'a, C: ChunkCounts> Cursor<'a, C> {
    /// Stands before the first sample.
    pub(crate) fn new(bytes: &'a [u8], header: Header) -> Result<Self, ChunkError> {
        let frame = Frame::new(bytes, header, C::BUCKET_BITS)?;
        let counts = C::none(&frame.layout);
        Ok(Self { frame, counts, floats: Vec::new() })
    }

    /// Reads the next sample. There must be one.
    pub(crate) fn advance(&mut self) -> Result<(), ChunkError> {
        let start = self.frame.reader.bit;
        self.frame.advance_time();
        if self.frame.read == 0 {
            self.counts.take_first(&mut self.frame.reader);
        } else {
            let taken = self.counts.take_later(&mut self.frame.reader);
            taken.map_err(|window| self.frame.bad_window(start, window))?;
        }
        self.frame.end_sample(start)
    }

    /// The sample read last as a row; it is no staleness marker.
    fn row(&mut self) -> RowCounts<'_> {
        self.counts.row(self.frame.hint(), &mut self.floats)
    }

    /// The sample read last, as the chunk has it: a schema that is too fine stays.
    pub(crate) fn exact(&self) -> C::Histogram {
        if is_stale_nan(self.counts.sum()) {
            return C::marker();
        }
        self.counts.histogram(Layout { counter_reset_hint: self.frame.hint(), ..self.frame.layout.clone() })
    }
}

/// Appends the samples from `min` to `max` to the columns; see `decode_columns`.
pub(crate) fn decode<C: ChunkCounts>(
    mut cursor: Cursor<'_, C>,
    min: TimestampMs,
    max: TimestampMs,
    columns: &mut Columns,
) -> Result<(), ChunkError> {
    let fine = cursor.frame.layout.schema > *EXPONENTIAL_SCHEMAS.end();
    let (mut layout, mut stale) = (None, None);
    while cursor.frame.remaining() > 0 {
        cursor.advance()?;
        let timestamp = TimestampMs::new(cursor.frame.timestamp);
        if timestamp > max {
            break;
        }
        if timestamp < min {
            continue;
        }
        if is_stale_nan(cursor.counts.sum()) {
            let counts = RowCounts {
                counter_reset_hint: Default::default(),
                count: 0.0,
                sum: cursor.counts.sum(),
                zero_count: 0.0,
                positive_buckets: &[],
                negative_buckets: &[],
            };
            let layout = *stale.get_or_insert_with(|| columns.add_layout(&Layout::default()));
            columns.push_row(timestamp, layout, &counts);
        } else if fine {
            columns.push_histogram(timestamp, &C::to_float(&cursor.exact()));
        } else {
            let layout = *layout.get_or_insert_with(|| columns.add_layout(&cursor.frame.layout));
            columns.push_row(timestamp, layout, &cursor.row());
        }
        if cursor.frame.starts.any() {
            columns.note_start(cursor.frame.starts.of_last());
        }
    }
    Ok(())
}

/// A histogram with whole counts besides its layout, and what the next one builds on.
#[derive(Clone, Debug)]
pub(crate) struct WholeCounts {
    pub(crate) count: u64,
    pub(crate) count_delta: i64,
    pub(crate) zero_count: u64,
    pub(crate) zero_count_delta: i64,
    pub(crate) sum: Xored,
    /// The buckets as differences to their neighbours, the positive ones first.
    pub(crate) buckets: Vec<i64>,
    /// How each of them changed last.
    pub(crate) changes: Vec<i64>,
    /// So many of them are positive.
    pub(crate) positive: usize,
}

impl ChunkCounts for WholeCounts {
    type Histogram = Histogram;
    const BUCKET_BITS: u64 = 1;

    fn none(layout: &Layout) -> Self {
        let positive = bucket_count(&layout.positive_spans) as usize;
        let buckets = positive + bucket_count(&layout.negative_spans) as usize;
        Self {
            count: 0,
            count_delta: 0,
            zero_count: 0,
            zero_count_delta: 0,
            sum: Xored::first(0),
            buckets: vec![0; buckets],
            changes: vec![0; buckets],
            positive,
        }
    }

    fn take_first(&mut self, reader: &mut BitReader<'_>) {
        self.count = reader.take_unsigned();
        self.zero_count = reader.take_unsigned();
        self.sum = Xored::first(reader.take(64));
        for bucket in &mut self.buckets {
            *bucket = reader.take_signed();
        }
    }

    fn take_later(&mut self, reader: &mut BitReader<'_>) -> Result<(), Window> {
        self.count_delta = self.count_delta.wrapping_add(reader.take_signed());
        self.count = self.count.wrapping_add(self.count_delta as u64);
        self.zero_count_delta = self.zero_count_delta.wrapping_add(reader.take_signed());
        self.zero_count = self.zero_count.wrapping_add(self.zero_count_delta as u64);
        reader.take_xor(&mut self.sum)?;
        if !is_stale_nan(self.sum.value()) {
            for (bucket, change) in self.buckets.iter_mut().zip(&mut self.changes) {
                *change = change.wrapping_add(reader.take_signed());
                *bucket = bucket.wrapping_add(*change);
            }
        }
        Ok(())
    }

    fn sum(&self) -> f64 {
        self.sum.value()
    }

    fn row<'f>(&self, hint: CounterResetHint, floats: &'f mut Vec<f64>) -> RowCounts<'f> {
        let (positive, negative) = self.buckets.split_at(self.positive);
        floats.clear();
        floats.extend(absolute(positive).chain(absolute(negative)).map(|c| c as f64));
        let (positive_buckets, negative_buckets) = floats.split_at(self.positive);
        RowCounts {
            counter_reset_hint: hint,
            count: self.count as f64,
            sum: self.sum.value(),
            zero_count: self.zero_count as f64,
            positive_buckets,
            negative_buckets,
        }
    }

    fn histogram(&self, layout: Layout) -> Histogram {
        let (positive, negative) = self.buckets.split_at(self.positive);
        Histogram {
            layout,
            count: self.count,
            sum: self.sum.value(),
            zero_count: self.zero_count,
            positive_deltas: positive.to_vec(),
            negative_deltas: negative.to_vec(),
        }
    }

    fn marker() -> Histogram {
        Histogram::stale()
    }

    fn to_float(histogram: &Histogram) -> FloatHistogram {
        histogram.reduced_to(*EXPONENTIAL_SCHEMAS.end()).to_float()
    }
}

/// A histogram with float counts besides its layout, and what the next one builds on.
#[derive(Clone, Debug)]
pub(crate) struct FloatCounts {
    pub(crate) count: Xored,
    pub(crate) zero_count: Xored,
    pub(crate) sum: Xored,
    /// The buckets, the positive ones first.
    pub(crate) buckets: Vec<Xored>,
    /// So many of them are positive.
    pub(crate) positive: usize,
}

impl ChunkCounts for FloatCounts {
    type Histogram = FloatHistogram;
    const BUCKET_BITS: u64 = 64;

    fn none(layout: &Layout) -> Self {
        let positive = bucket_count(&layout.positive_spans) as usize;
        let buckets = positive + bucket_count(&layout.negative_spans) as usize;
        let zero = Xored::first(0);
        Self { count: zero, zero_count: zero, sum: zero, buckets: vec![zero; buckets], positive }
    }

    fn take_first(&mut self, reader: &mut BitReader<'_>) {
        let known = [&mut self.count, &mut self.zero_count, &mut self.sum];
        for value in known.into_iter().chain(&mut self.buckets) {
            *value = Xored::first(reader.take(64));
        }
    }

    fn take_later(&mut self, reader: &mut BitReader<'_>) -> Result<(), Window> {
        reader.take_xor(&mut self.count)?;
        reader.take_xor(&mut self.zero_count)?;
        reader.take_xor(&mut self.sum)?;
        if !is_stale_nan(self.sum.value()) {
            for bucket in &mut self.buckets {
                reader.take_xor(bucket)?;
            }
        }
        Ok(())
    }

    fn sum(&self) -> f64 {
        self.sum.value()
    }

    fn row<'f>(&self, hint: CounterResetHint, floats: &'f mut Vec<f64>) -> RowCounts<'f> {
        floats.clear();
        floats.extend(self.buckets.iter().map(Xored::value));
        let (positive_buckets, negative_buckets) = floats.split_at(self.positive);
        RowCounts {
            counter_reset_hint: hint,
            count: self.count.value(),
            sum: self.sum.value(),
            zero_count: self.zero_count.value(),
            positive_buckets,
            negative_buckets,
        }
    }

    fn histogram(&self, layout: Layout) -> FloatHistogram {
        let (positive, negative) = self.buckets.split_at(self.positive);
        FloatHistogram {
            layout,
            count: self.count.value(),
            sum: self.sum.value(),
            zero_count: self.zero_count.value(),
            positive_buckets: positive.iter().map(Xored::value).collect(),
            negative_buckets: negative.iter().map(Xored::value).collect(),
        }
    }

    fn marker() -> FloatHistogram {
        FloatHistogram::stale()
    }

    fn to_float(histogram: &FloatHistogram) -> FloatHistogram {
        histogram.reduced_to(*EXPONENTIAL_SCHEMAS.end())
    }
}
