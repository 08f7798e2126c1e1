//! Reads chunks of histograms with whole counts, and with float counts. Never panics on bytes, never trusts a
//! count or a length in them.

use crate::ChunkError;
use crate::bits::{Window, Xored};
use crate::frame::{Frame, Header};
use skopos_model::histogram::{
    EXPONENTIAL_SCHEMAS, FloatHistogram, Histogram, Layout, absolute, bucket_count,
};
use skopos_model::{Columns, RowCounts, TimestampMs, is_stale_nan};

/// Reads a histogram chunk sample by sample: once for whole counts, once for floats.
pub(crate) trait Cursor<'a> {
    /// What the samples share.
    fn frame(&self) -> &Frame<'a>;
    /// The same, to read on.
    fn frame_mut(&mut self) -> &mut Frame<'a>;
    /// Reads the counts of the next sample.
    fn advance_counts(&mut self) -> Result<(), Window>;
    /// Reads the next sample. There must be one.
    fn advance(&mut self) -> Result<(), ChunkError> {
        let start = self.frame().reader.bit;
        self.frame_mut().advance_time();
        self.advance_counts().map_err(|window| self.frame().bad_window(start, window))?;
        self.frame_mut().end_sample(start)
    }
    /// The sample read last as a row; it is no staleness marker.
    fn row(&mut self) -> RowCounts<'_>;
    /// The sum of the sample read last.
    fn sum(&self) -> f64;
    /// The sample read last with float counts.
    fn to_float(&self) -> FloatHistogram;
}

/// Appends the samples from `min` to `max` to the columns; see `decode_columns`.
pub(crate) fn decode<'a>(
    mut cursor: impl Cursor<'a>,
    min: TimestampMs,
    max: TimestampMs,
    columns: &mut Columns,
) -> Result<(), ChunkError> {
    let fine = cursor.frame().layout.schema > *EXPONENTIAL_SCHEMAS.end();
    let (mut layout, mut stale) = (None, None);
    while cursor.frame().remaining() > 0 {
        cursor.advance()?;
        let timestamp = TimestampMs::new(cursor.frame().timestamp);
        if timestamp > max {
            break;
        }
        if timestamp < min {
            continue;
        }
        if is_stale_nan(cursor.sum()) {
            let counts = RowCounts {
                counter_reset_hint: Default::default(),
                count: 0.0,
                sum: cursor.sum(),
                zero_count: 0.0,
                positive_buckets: &[],
                negative_buckets: &[],
            };
            let layout = *stale.get_or_insert_with(|| columns.add_layout(&Layout::default()));
            columns.push_row(timestamp, layout, &counts);
        } else if fine {
            columns.push_histogram(timestamp, &cursor.to_float());
        } else {
            let layout = *layout.get_or_insert_with(|| columns.add_layout(&cursor.frame().layout));
            columns.push_row(timestamp, layout, &cursor.row());
        }
        if cursor.frame().starts.any() {
            columns.note_start(cursor.frame().starts.of_last());
        }
    }
    Ok(())
}

/// Reads a chunk of histograms with whole counts.
#[derive(Clone, Debug)]
pub(crate) struct WholeCursor<'a> {
    pub(crate) frame: Frame<'a>,
    pub(crate) counts: WholeCounts,
    floats: Vec<f64>,
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

impl WholeCounts {
    /// No observations in the buckets of a layout.
    pub(crate) fn none(layout: &Layout) -> Self {
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
}

impl<'a> WholeCursor<'a> {
    /// Stands before the first sample.
    pub(crate) fn new(bytes: &'a [u8], header: Header) -> Result<Self, ChunkError> {
        let frame = Frame::new(bytes, header, 1)?;
        let counts = WholeCounts::none(&frame.layout);
        Ok(Self { frame, counts, floats: Vec::new() })
    }

    /// The sample read last, as the chunk has it: a schema that is too fine stays.
    pub(crate) fn exact(&self) -> Histogram {
        let c = &self.counts;
        if is_stale_nan(c.sum.value()) {
            return Histogram { sum: c.sum.value(), ..Histogram::default() };
        }
        let (positive, negative) = c.buckets.split_at(c.positive);
        Histogram {
            layout: Layout { counter_reset_hint: self.frame.hint(), ..self.frame.layout.clone() },
            count: c.count,
            sum: c.sum.value(),
            zero_count: c.zero_count,
            positive_deltas: positive.to_vec(),
            negative_deltas: negative.to_vec(),
        }
    }
}

impl<'a> Cursor<'a> for WholeCursor<'a> {
    fn frame(&self) -> &Frame<'a> {
        &self.frame
    }

    fn frame_mut(&mut self) -> &mut Frame<'a> {
        &mut self.frame
    }

    fn advance_counts(&mut self) -> Result<(), Window> {
        let (reader, c) = (&mut self.frame.reader, &mut self.counts);
        if self.frame.read == 0 {
            c.count = reader.take_unsigned();
            c.zero_count = reader.take_unsigned();
            c.sum = Xored::first(reader.take(64));
            for bucket in &mut c.buckets {
                *bucket = reader.take_signed();
            }
            return Ok(());
        }
        c.count_delta = c.count_delta.wrapping_add(reader.take_signed());
        c.count = c.count.wrapping_add(c.count_delta as u64);
        c.zero_count_delta = c.zero_count_delta.wrapping_add(reader.take_signed());
        c.zero_count = c.zero_count.wrapping_add(c.zero_count_delta as u64);
        reader.take_xor(&mut c.sum)?;
        if !is_stale_nan(c.sum.value()) {
            for (bucket, change) in c.buckets.iter_mut().zip(&mut c.changes) {
                *change = change.wrapping_add(reader.take_signed());
                *bucket = bucket.wrapping_add(*change);
            }
        }
        Ok(())
    }

    fn row(&mut self) -> RowCounts<'_> {
        let c = &self.counts;
        let (positive, negative) = c.buckets.split_at(c.positive);
        self.floats.clear();
        self.floats.extend(absolute(positive).chain(absolute(negative)).map(|c| c as f64));
        let (positive_buckets, negative_buckets) = self.floats.split_at(c.positive);
        RowCounts {
            counter_reset_hint: self.frame.hint(),
            count: c.count as f64,
            sum: c.sum.value(),
            zero_count: c.zero_count as f64,
            positive_buckets,
            negative_buckets,
        }
    }

    fn sum(&self) -> f64 {
        self.counts.sum.value()
    }

    fn to_float(&self) -> FloatHistogram {
        self.exact().reduced_to(*EXPONENTIAL_SCHEMAS.end()).to_float()
    }
}

/// Reads a chunk of histograms with float counts.
#[derive(Clone, Debug)]
pub(crate) struct FloatCursor<'a> {
    pub(crate) frame: Frame<'a>,
    pub(crate) counts: FloatCounts,
    floats: Vec<f64>,
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

impl FloatCounts {
    /// No observations in the buckets of a layout.
    pub(crate) fn none(layout: &Layout) -> Self {
        let positive = bucket_count(&layout.positive_spans) as usize;
        let buckets = positive + bucket_count(&layout.negative_spans) as usize;
        let zero = Xored::first(0);
        Self { count: zero, zero_count: zero, sum: zero, buckets: vec![zero; buckets], positive }
    }
}

impl<'a> FloatCursor<'a> {
    /// Stands before the first sample.
    pub(crate) fn new(bytes: &'a [u8], header: Header) -> Result<Self, ChunkError> {
        let frame = Frame::new(bytes, header, 64)?;
        let counts = FloatCounts::none(&frame.layout);
        Ok(Self { frame, counts, floats: Vec::new() })
    }

    /// The sample read last, as the chunk has it: a schema that is too fine stays.
    pub(crate) fn exact(&self) -> FloatHistogram {
        let c = &self.counts;
        if is_stale_nan(c.sum.value()) {
            return FloatHistogram { sum: c.sum.value(), ..FloatHistogram::default() };
        }
        let (positive, negative) = c.buckets.split_at(c.positive);
        FloatHistogram {
            layout: Layout { counter_reset_hint: self.frame.hint(), ..self.frame.layout.clone() },
            count: c.count.value(),
            sum: c.sum.value(),
            zero_count: c.zero_count.value(),
            positive_buckets: positive.iter().map(Xored::value).collect(),
            negative_buckets: negative.iter().map(Xored::value).collect(),
        }
    }
}

impl<'a> Cursor<'a> for FloatCursor<'a> {
    fn frame(&self) -> &Frame<'a> {
        &self.frame
    }

    fn frame_mut(&mut self) -> &mut Frame<'a> {
        &mut self.frame
    }

    fn advance_counts(&mut self) -> Result<(), Window> {
        let (reader, c) = (&mut self.frame.reader, &mut self.counts);
        if self.frame.read == 0 {
            for value in [&mut c.count, &mut c.zero_count, &mut c.sum].into_iter().chain(&mut c.buckets) {
                *value = Xored::first(reader.take(64));
            }
            return Ok(());
        }
        reader.take_xor(&mut c.count)?;
        reader.take_xor(&mut c.zero_count)?;
        reader.take_xor(&mut c.sum)?;
        if !is_stale_nan(c.sum.value()) {
            for bucket in &mut c.buckets {
                reader.take_xor(bucket)?;
            }
        }
        Ok(())
    }

    fn row(&mut self) -> RowCounts<'_> {
        let c = &self.counts;
        self.floats.clear();
        self.floats.extend(c.buckets.iter().map(Xored::value));
        let (positive_buckets, negative_buckets) = self.floats.split_at(c.positive);
        RowCounts {
            counter_reset_hint: self.frame.hint(),
            count: c.count.value(),
            sum: c.sum.value(),
            zero_count: c.zero_count.value(),
            positive_buckets,
            negative_buckets,
        }
    }

    fn sum(&self) -> f64 {
        self.counts.sum.value()
    }

    fn to_float(&self) -> FloatHistogram {
        self.exact().reduced_to(*EXPONENTIAL_SCHEMAS.end())
    }
}
