//! Native histograms: sparse buckets of exponential or custom bounds, and what storage has to know of them.
//! Sums, differences, resets and equality are here; quantiles stand with the query language.

mod arithmetic;
mod buckets;
mod compare;
mod resolution;
mod shape;
#[cfg(test)]
mod tests;
mod validate;

pub use arithmetic::{HistogramSum, Remarks, SumKind};
pub use buckets::{Bounds, Bucket, upper_bound};
pub use shape::IncompatibleBuckets;
pub use validate::{HistogramError, Side};

use crate::sample::is_stale_nan;

/// The schema of histograms with custom bounds.
pub const CUSTOM_SCHEMA: i32 = -53;
/// The coarsest and the finest schema of exponential buckets.
pub const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;
/// The exponential schemas that files may hold; finer ones than those above are made coarser when read.
pub const RESERVED_SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;

/// A run of consecutive buckets that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Buckets skipped since the end of the previous span; for the first span the index it starts at.
    pub offset: i32,
    /// How many buckets the span has.
    pub length: u32,
}

/// How many buckets the spans have.
pub fn bucket_count(spans: &[Span]) -> u64 {
    spans.iter().map(|s| u64::from(s.length)).sum()
}

/// The indexes of the spans' buckets, in growing order where offsets are as they should be.
pub fn bucket_indexes(spans: &[Span]) -> impl Iterator<Item = i64> + Clone + '_ {
    let ranges = spans.iter().scan(0i64, |next, span| {
        let start = *next + i64::from(span.offset);
        *next = start + i64::from(span.length);
        Some(start..*next)
    });
    ranges.flatten()
}

/// Puts the bucket of `index` behind those of `spans`, which all have smaller indexes. The last span ends
/// before index `end`; what is returned is the end now.
pub fn push_bucket(spans: &mut Vec<Span>, end: i64, index: i64) -> i64 {
    match spans.last_mut() {
        Some(last) if end == index => last.length += 1,
        _ => spans.push(Span { offset: (index - end) as i32, length: 1 }),
    }
    index + 1
}

/// Whether the counts started anew at this sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CounterResetHint {
    /// Not known: compare with the sample before.
    #[default]
    Unknown,
    /// There was a reset.
    Reset,
    /// There was none.
    NotReset,
    /// A gauge histogram, for which resets have no meaning.
    Gauge,
}

/// The buckets' layout, common to integer and float histograms.
///
/// `schema` from -4 to 8: bounds are powers of `2^(2^-schema)`. Schema -53: `custom_bounds` are the
/// upper bounds, in growing order, and there are no negative buckets.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Layout {
    /// The resolution, or -53 for custom bounds.
    pub schema: i32,
    /// Observations up to this distance from zero are counted in the zero bucket.
    pub zero_threshold: f64,
    /// Spans of the buckets for positive observations.
    pub positive_spans: Vec<Span>,
    /// Spans of the buckets for negative observations.
    pub negative_spans: Vec<Span>,
    /// Upper bounds of custom buckets; empty for exponential schemas.
    pub custom_bounds: Vec<f64>,
    /// Whether the counts started anew.
    pub counter_reset_hint: CounterResetHint,
}

impl Layout {
    /// Whether the bounds are custom ones.
    pub fn has_custom_bounds(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    fn heap_bytes(&self) -> usize {
        let spans = self.positive_spans.capacity() + self.negative_spans.capacity();
        spans * size_of::<Span>() + self.custom_bounds.capacity() * size_of::<f64>()
    }

    /// Whether two layouts have the same buckets, written as the same spans, whatever their hints say.
    pub fn same_buckets(&self, other: &Self) -> bool {
        self.same_shape(other)
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
    }

    /// Whether the buckets that may be there are the same: those that are need not be.
    pub fn same_shape(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && same_floats(&self.custom_bounds, &other.custom_bounds)
    }
}

/// Whether the floats are the same, bit for bit: a NaN equals itself here.
fn same_floats(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// A histogram that counts in whole numbers, its buckets as deltas to the bucket before.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Histogram {
    /// Where the buckets are.
    pub layout: Layout,
    /// All observations.
    pub count: u64,
    /// Their sum; the staleness marker here makes the whole histogram one.
    pub sum: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Positive buckets, each as the difference to the one before.
    pub positive_deltas: Vec<i64>,
    /// Negative buckets, each as the difference to the one before.
    pub negative_deltas: Vec<i64>,
}

/// A histogram whose counts are floats, its buckets absolute.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FloatHistogram {
    /// Where the buckets are.
    pub layout: Layout,
    /// All observations.
    pub count: f64,
    /// Their sum; the staleness marker here makes the whole histogram one.
    pub sum: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Negative buckets.
    pub negative_buckets: Vec<f64>,
}

impl Histogram {
    /// The bytes of its buckets, beside its own.
    pub fn heap_bytes(&self) -> usize {
        let buckets = self.positive_deltas.capacity() + self.negative_deltas.capacity();
        self.layout.heap_bytes() + buckets * size_of::<i64>()
    }

    /// The staleness marker as a histogram.
    pub fn stale() -> Self {
        Self { sum: crate::stale_nan(), ..Self::default() }
    }

    /// Whether this is a staleness marker: then nothing else of it counts.
    pub fn is_stale(&self) -> bool {
        is_stale_nan(self.sum)
    }

    /// Whether both are the same, hint and spans included, bit for bit: a NaN equals itself here.
    pub fn same_bits(&self, other: &Self) -> bool {
        self.layout.counter_reset_hint == other.layout.counter_reset_hint
            && self.layout.same_buckets(&other.layout)
            && (self.count, self.zero_count) == (other.count, other.zero_count)
            && self.sum.to_bits() == other.sum.to_bits()
            && self.positive_deltas == other.positive_deltas
            && self.negative_deltas == other.negative_deltas
    }

    /// The same histogram with float counts; those above 2^53 are rounded.
    pub fn to_float(&self) -> FloatHistogram {
        FloatHistogram {
            layout: self.layout.clone(),
            count: self.count as f64,
            sum: self.sum,
            zero_count: self.zero_count as f64,
            positive_buckets: absolute(&self.positive_deltas).map(|c| c as f64).collect(),
            negative_buckets: absolute(&self.negative_deltas).map(|c| c as f64).collect(),
        }
    }
}

impl FloatHistogram {
    /// The bytes of its buckets, beside its own.
    pub fn heap_bytes(&self) -> usize {
        let buckets = self.positive_buckets.capacity() + self.negative_buckets.capacity();
        self.layout.heap_bytes() + buckets * size_of::<f64>()
    }

    /// The staleness marker as a histogram.
    pub fn stale() -> Self {
        Self { sum: crate::stale_nan(), ..Self::default() }
    }

    /// Whether this is a staleness marker: then nothing else of it counts.
    pub fn is_stale(&self) -> bool {
        is_stale_nan(self.sum)
    }

    /// Whether both are the same, hint and spans included, bit for bit: a NaN equals itself here.
    pub fn same_bits(&self, other: &Self) -> bool {
        self.layout.counter_reset_hint == other.layout.counter_reset_hint
            && self.layout.same_buckets(&other.layout)
            && same_floats(
                &[self.count, self.sum, self.zero_count],
                &[other.count, other.sum, other.zero_count],
            )
            && same_floats(&self.positive_buckets, &other.positive_buckets)
            && same_floats(&self.negative_buckets, &other.negative_buckets)
    }
}

/// The counts behind differences between neighbouring buckets. Wraps where they do not fit.
pub fn absolute(deltas: &[i64]) -> impl Iterator<Item = i64> + Clone + '_ {
    deltas.iter().scan(0i64, |count, delta| {
        *count = count.wrapping_add(*delta);
        Some(*count)
    })
}

#[cfg(test)]
mod basics {
    use super::*;

    #[test]
    fn indexes_follow_the_spans() {
        let spans = |all: &[(i32, u32)]| -> Vec<Span> {
            all.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
        };
        for (given, indexes) in [
            (spans(&[]), vec![]),
            (spans(&[(-2, 3), (1, 1)]), vec![-2, -1, 0, 2]),
            (spans(&[(1, 0), (2, 2), (0, 1)]), vec![3, 4, 5]),
        ] {
            assert_eq!(bucket_indexes(&given).collect::<Vec<_>>(), indexes);
            assert_eq!(bucket_count(&given), indexes.len() as u64);
            let (mut again, mut end) = (Vec::new(), 0);
            for index in &indexes {
                end = push_bucket(&mut again, end, *index);
            }
            assert_eq!(bucket_indexes(&again).collect::<Vec<_>>(), indexes);
        }
    }

    #[test]
    fn whole_counts_become_floats_and_markers_equal_themselves() {
        let layout = Layout { positive_spans: vec![Span { offset: 0, length: 3 }], ..Layout::default() };
        let whole = Histogram { layout, count: 6, positive_deltas: vec![2, -1, 2], ..Histogram::default() };
        assert_eq!(whole.to_float().positive_buckets, [2.0, 1.0, 3.0]);
        assert!(
            Histogram::stale().is_stale() && Histogram::stale().to_float().is_stale() && !whole.is_stale()
        );
        assert!(Histogram::stale().same_bits(&Histogram::stale()) && !whole.same_bits(&Histogram::stale()));
        assert!(FloatHistogram::stale().same_bits(&FloatHistogram::stale()));
    }
}
