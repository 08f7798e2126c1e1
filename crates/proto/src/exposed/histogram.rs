//! `ExposedHistogram`: what a metric says as a classic histogram, as a native one, or as both. Its memory is
//! used again for the next one.

use super::{RawExemplar, timestamp};
use crate::wire::{Fields, Value, WireError};
use skopos_model::{
    FloatHistogram, Histogram, TimestampMs,
    histogram::{CounterResetHint, Span},
};

/// The most buckets, spans or observations of a histogram. They take up to twenty times the bytes that they
/// came in.
pub const MOST_BUCKETS: usize = 65_536;

const TOO_MANY: WireError =
    WireError::new("a histogram has more than 65,536 buckets, spans or exemplars of one kind");

/// A histogram as it stands there.
#[derive(Clone, Debug, Default)]
pub struct ExposedHistogram<'a> {
    count: u64,
    count_float: f64,
    zero_count_float: f64,
    /// Since when observations have been counted.
    pub created: Option<TimestampMs>,
    /// Classic buckets.
    pub buckets: Vec<ClassicBucket<'a>>,
    /// Observations of the native histogram.
    pub exemplars: Vec<RawExemplar<'a>>,
    /// The native histogram of whole counts, as far as it is one.
    whole: Histogram,
    /// The same of float counts; until it is asked for, its buckets alone.
    floats: FloatHistogram,
}

/// A bucket of a classic histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassicBucket<'a> {
    /// Up to which value.
    pub upper: f64,
    /// How many observations there are up to it.
    pub count: f64,
    /// One of them.
    pub exemplar: Option<RawExemplar<'a>>,
}

/// A native histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Native<'h> {
    /// Of whole counts.
    Whole(&'h Histogram),
    /// Of float counts.
    Float(&'h FloatHistogram),
}

impl<'a> ExposedHistogram<'a> {
    /// How many observations there are.
    pub fn count(&self) -> f64 {
        if self.count_float > 0.0 { self.count_float } else { self.count as f64 }
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.whole.sum
    }

    /// Whether it says something as a native histogram.
    pub fn is_native(&self) -> bool {
        let layout = &self.whole.layout;
        !layout.positive_spans.is_empty()
            || !layout.negative_spans.is_empty()
            || layout.zero_threshold > 0.0
            || self.whole.zero_count > 0
            || self.zero_count_float > 0.0
    }

    /// The native histogram; that of a gauge has no resets.
    pub fn native(&mut self, hint: CounterResetHint) -> Native<'_> {
        self.whole.layout.counter_reset_hint = hint;
        if self.count_float > 0.0 || self.zero_count_float > 0.0 {
            let (from, floats) = (&self.whole.layout, &mut self.floats);
            floats.layout.positive_spans.clone_from(&from.positive_spans);
            floats.layout.negative_spans.clone_from(&from.negative_spans);
            (floats.layout.schema, floats.layout.zero_threshold) = (from.schema, from.zero_threshold);
            floats.layout.counter_reset_hint = hint;
            (floats.count, floats.zero_count) = (self.count_float, self.zero_count_float);
            floats.sum = self.whole.sum;
            return Native::Float(floats);
        }
        self.whole.count = self.count;
        Native::Whole(&self.whole)
    }

    pub(super) fn read(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        self.clear();
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next_field()? {
            let (whole, floats) = (&mut self.whole, &mut self.floats);
            match number {
                1 => self.count = value.uint()?,
                2 => whole.sum = value.double()?,
                3 => push(&mut self.buckets, bucket(value.bytes()?)?)?,
                4 => self.count_float = value.double()?,
                5 => whole.layout.schema = i32::try_from(value.sint()?).map_err(|_| NO_SCHEMA)?,
                6 => whole.layout.zero_threshold = value.double()?,
                7 => whole.zero_count = value.uint()?,
                8 => self.zero_count_float = value.double()?,
                9 => push(&mut whole.layout.negative_spans, span(value.bytes()?)?)?,
                10 => push_all(value, &mut whole.negative_deltas, Value::push_sints)?,
                11 => push_all(value, &mut floats.negative_buckets, push_doubles)?,
                12 => push(&mut whole.layout.positive_spans, span(value.bytes()?)?)?,
                13 => push_all(value, &mut whole.positive_deltas, Value::push_sints)?,
                14 => push_all(value, &mut floats.positive_buckets, push_doubles)?,
                15 => self.created = timestamp(value.bytes()?)?,
                16 => push(&mut self.exemplars, RawExemplar(value.bytes()?))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// As it was made, with the memory that it has.
    fn clear(&mut self) {
        (self.count, self.count_float, self.zero_count_float, self.created) = (0, 0.0, 0.0, None);
        self.buckets.clear();
        self.exemplars.clear();
        let (whole, floats) = (&mut self.whole, &mut self.floats);
        whole.layout.positive_spans.clear();
        whole.layout.negative_spans.clear();
        (whole.layout.schema, whole.layout.zero_threshold) = (0, 0.0);
        (whole.count, whole.sum, whole.zero_count) = (0, 0.0, 0);
        whole.positive_deltas.clear();
        whole.negative_deltas.clear();
        floats.positive_buckets.clear();
        floats.negative_buckets.clear();
    }
}

const NO_SCHEMA: WireError = WireError::new("the schema of a histogram is none");

fn push<T>(all: &mut Vec<T>, one: T) -> Result<(), WireError> {
    if all.len() == MOST_BUCKETS {
        return Err(TOO_MANY);
    }
    all.push(one);
    Ok(())
}

fn push_all<'a, T>(
    value: Value<'a>,
    all: &mut Vec<T>,
    push: impl Fn(Value<'a>, &mut Vec<T>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    // A packed number has up to ten bytes.
    if matches!(value, Value::Bytes(packed) if packed.len() > 10 * MOST_BUCKETS) {
        return Err(TOO_MANY);
    }
    push(value, all)?;
    if all.len() > MOST_BUCKETS { Err(TOO_MANY) } else { Ok(()) }
}

fn push_doubles(value: Value<'_>, all: &mut Vec<f64>) -> Result<(), WireError> {
    value.push_fixed64s(all, f64::from_bits)
}

fn bucket(message: &[u8]) -> Result<ClassicBucket<'_>, WireError> {
    let (mut fields, mut whole) = (Fields::of(message), 0);
    let mut bucket = ClassicBucket { upper: 0.0, count: 0.0, exemplar: None };
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => whole = value.uint()?,
            2 => bucket.upper = value.double()?,
            3 => bucket.exemplar = Some(RawExemplar(value.bytes()?)),
            4 => bucket.count = value.double()?,
            _ => {}
        }
    }
    if bucket.count == 0.0 {
        bucket.count = whole as f64;
    }
    Ok(bucket)
}

fn span(message: &[u8]) -> Result<Span, WireError> {
    const NONE: WireError = WireError::new("a span of buckets is none");
    let (mut fields, mut span) = (Fields::of(message), Span { offset: 0, length: 0 });
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => span.offset = i32::try_from(value.sint()?).map_err(|_| NONE)?,
            2 => span.length = u32::try_from(value.uint()?).map_err(|_| NONE)?,
            _ => {}
        }
    }
    Ok(span)
}
