//! Whether a histogram is one: spans, buckets, counts and bounds agree. The rules are those of Prometheus,
//! so that what it takes is taken here and what it refuses is refused. Never mends anything.

use super::{
    CUSTOM_SCHEMA, EXPONENTIAL_SCHEMAS, FloatHistogram, Histogram, Layout, Span, absolute, bucket_count,
};
use std::fmt;

/// A side of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Observations above zero.
    Positive,
    /// Observations below zero.
    Negative,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Positive { "positive" } else { "negative" })
    }
}

/// Why a histogram is none. Spans, buckets and bounds are counted from 1.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// A schema that is not defined.
    #[error("schema {schema} is unknown; it has to be -4 to 8, or -53 for custom bounds")]
    Schema {
        /// The schema.
        schema: i32,
    },
    /// A span begins before the one before it ends.
    #[error("span {span} of the {side} buckets has offset {offset}; only the first one's may be below 0")]
    SpanOffset {
        /// On which side.
        side: Side,
        /// Which span.
        span: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans and buckets disagree.
    #[error("the {side} spans have {spans} buckets, but {buckets} are given")]
    SpanBuckets {
        /// On which side.
        side: Side,
        /// Buckets that the spans have.
        spans: u64,
        /// Buckets that are given.
        buckets: usize,
    },
    /// A bucket counts below zero.
    #[error("bucket {bucket} of the {side} ones counts {count}; counts are 0 or more")]
    NegativeBucket {
        /// On which side.
        side: Side,
        /// Which bucket.
        bucket: usize,
        /// Its count.
        count: f64,
    },
    /// The count of all observations, or of those near zero, is below zero.
    #[error("the count is {count}, that of the zero bucket {zero_count}; counts are 0 or more")]
    NegativeCount {
        /// All observations.
        count: f64,
        /// Those in the zero bucket.
        zero_count: f64,
    },
    /// Buckets and count disagree.
    #[error("the buckets hold {buckets} observations, but the count is {count}")]
    Count {
        /// Observations in all buckets.
        buckets: u64,
        /// The count.
        count: u64,
    },
    /// Custom bounds do not grow.
    #[error("custom bound {bound} is {value} and does not lie above the one before, {previous}")]
    BoundOrder {
        /// Which bound.
        bound: usize,
        /// Its value.
        value: f64,
        /// The value of the one before.
        previous: f64,
    },
    /// A custom bound is no finite number; the last bucket has no bound of its own.
    #[error("custom bound {bound} is {value}; bounds are finite, and the last bucket has none")]
    BoundNotFinite {
        /// Which bound.
        bound: usize,
        /// Its value.
        value: f64,
    },
    /// The spans reach beyond the last bucket.
    #[error("the spans reach to bucket {buckets}, but {bounds} custom bounds make {} buckets", bounds + 1)]
    TooFewBounds {
        /// How far the spans reach.
        buckets: i64,
        /// How many bounds there are.
        bounds: usize,
    },
    /// With custom bounds there is neither a zero bucket nor a negative side.
    #[error("a histogram with custom bounds has no zero bucket and no negative buckets")]
    CustomSides,
    /// Exponential buckets have no bounds of their own.
    #[error("a histogram of schema {schema} has no custom bounds")]
    BoundsOfExponential {
        /// The schema.
        schema: i32,
    },
}

impl Histogram {
    /// Checks that the parts agree.
    ///
    /// # Errors
    /// Says which parts do not. A staleness marker is to be looked for before: nothing else of it counts.
    pub fn validate(&self) -> Result<(), HistogramError> {
        check_layout(&self.layout, self.zero_count == 0, [&self.positive_deltas, &self.negative_deltas])?;
        let mut buckets = self.zero_count;
        for (side, deltas) in
            [(Side::Positive, &self.positive_deltas), (Side::Negative, &self.negative_deltas)]
        {
            for (i, count) in absolute(deltas).enumerate() {
                let Ok(count) = u64::try_from(count) else {
                    return Err(HistogramError::NegativeBucket { side, bucket: i + 1, count: count as f64 });
                };
                buckets = buckets.wrapping_add(count);
            }
        }
        // Observations that are no number are counted, but fall into no bucket.
        let fits = if self.sum.is_nan() { buckets <= self.count } else { buckets == self.count };
        if fits { Ok(()) } else { Err(HistogramError::Count { buckets, count: self.count }) }
    }
}

impl FloatHistogram {
    /// Checks that the parts agree. Count and buckets are not compared: float counts are rounded.
    ///
    /// # Errors
    /// Says which parts do not. A staleness marker is to be looked for before: nothing else of it counts.
    pub fn validate(&self) -> Result<(), HistogramError> {
        check_layout(&self.layout, self.zero_count == 0.0, [&self.positive_buckets, &self.negative_buckets])?;
        for (side, buckets) in
            [(Side::Positive, &self.positive_buckets), (Side::Negative, &self.negative_buckets)]
        {
            if let Some((i, count)) = buckets.iter().enumerate().find(|(_, count)| **count < 0.0) {
                return Err(HistogramError::NegativeBucket { side, bucket: i + 1, count: *count });
            }
        }
        if self.count < 0.0 || self.zero_count < 0.0 {
            return Err(HistogramError::NegativeCount { count: self.count, zero_count: self.zero_count });
        }
        Ok(())
    }
}

fn check_layout<B>(
    layout: &Layout,
    no_zeros: bool,
    [positive, negative]: [&[B]; 2],
) -> Result<(), HistogramError> {
    if layout.schema == CUSTOM_SCHEMA {
        check_bounds(&layout.custom_bounds)?;
        check_spans(Side::Positive, &layout.positive_spans, positive.len())?;
        let spans = &layout.positive_spans;
        if let Some(first) = spans.first().filter(|s| s.offset < 0) {
            return Err(HistogramError::SpanOffset { side: Side::Positive, span: 1, offset: first.offset });
        }
        let buckets: i64 = spans.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum();
        if buckets > layout.custom_bounds.len() as i64 + 1 {
            return Err(HistogramError::TooFewBounds { buckets, bounds: layout.custom_bounds.len() });
        }
        let empty = no_zeros && layout.zero_threshold == 0.0;
        return if empty && layout.negative_spans.is_empty() && negative.is_empty() {
            Ok(())
        } else {
            Err(HistogramError::CustomSides)
        };
    }
    if !EXPONENTIAL_SCHEMAS.contains(&layout.schema) {
        return Err(HistogramError::Schema { schema: layout.schema });
    }
    check_spans(Side::Positive, &layout.positive_spans, positive.len())?;
    check_spans(Side::Negative, &layout.negative_spans, negative.len())?;
    if layout.custom_bounds.is_empty() {
        Ok(())
    } else {
        Err(HistogramError::BoundsOfExponential { schema: layout.schema })
    }
}

fn check_spans(side: Side, spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    for (i, span) in spans.iter().enumerate().skip(1) {
        if span.offset < 0 {
            return Err(HistogramError::SpanOffset { side, span: i + 1, offset: span.offset });
        }
    }
    match bucket_count(spans) {
        count if count == buckets as u64 => Ok(()),
        count => Err(HistogramError::SpanBuckets { side, spans: count, buckets }),
    }
}

fn check_bounds(bounds: &[f64]) -> Result<(), HistogramError> {
    for (i, value) in bounds.iter().enumerate() {
        // The lowest bound may be minus infinity; Prometheus takes that too.
        if value.is_nan() || *value == f64::INFINITY {
            return Err(HistogramError::BoundNotFinite { bound: i + 1, value: *value });
        }
        if let Some(previous) = i.checked_sub(1).map(|i| bounds[i])
            && *value <= previous
        {
            return Err(HistogramError::BoundOrder { bound: i + 1, value: *value, previous });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(all: &[(i32, u32)]) -> Vec<Span> {
        all.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    }

    fn good() -> Histogram {
        Histogram {
            layout: Layout {
                schema: 3,
                positive_spans: spans(&[(-2, 2), (0, 1)]),
                negative_spans: spans(&[(1, 1)]),
                ..Layout::default()
            },
            count: 12,
            sum: 1.5,
            zero_count: 2,
            positive_deltas: vec![1, 2, 1],
            negative_deltas: vec![2],
        }
    }

    fn custom(bounds: &[f64]) -> Histogram {
        let positive_spans = spans(&[(0, 1), (1, 1)]);
        let layout =
            Layout { schema: -53, positive_spans, custom_bounds: bounds.to_vec(), ..Layout::default() };
        Histogram { layout, count: 3, positive_deltas: vec![1, 1], ..Histogram::default() }
    }

    #[test]
    fn good_histograms_pass() {
        let unordered = Histogram { sum: f64::NAN, count: 13, ..good() };
        for h in
            [good(), unordered, custom(&[1.0, 2.0]), custom(&[f64::NEG_INFINITY, 2.0]), Histogram::default()]
        {
            assert_eq!((h.validate(), h.to_float().validate()), (Ok(()), Ok(())));
        }
    }

    #[test]
    fn every_disagreement_has_its_error() {
        use HistogramError as E;
        let broken = |change: &dyn Fn(&mut Histogram)| {
            let mut h = good();
            change(&mut h);
            h.validate().unwrap_err()
        };
        assert_eq!(broken(&|h| h.layout.schema = 9), E::Schema { schema: 9 });
        assert_eq!(
            broken(&|h| h.layout.positive_spans[1].offset = -1),
            E::SpanOffset { side: Side::Positive, span: 2, offset: -1 }
        );
        assert_eq!(
            broken(&|h| h.negative_deltas.clear()),
            E::SpanBuckets { side: Side::Negative, spans: 1, buckets: 0 }
        );
        assert_eq!(
            broken(&|h| h.positive_deltas[1] = -2),
            E::NegativeBucket { side: Side::Positive, bucket: 2, count: -1.0 }
        );
        assert_eq!(broken(&|h| h.count = 11), E::Count { buckets: 12, count: 11 });
        assert_eq!(
            broken(&|h| {
                h.sum = f64::NAN;
                h.count = 11;
            }),
            E::Count { buckets: 12, count: 11 }
        );
        assert_eq!(broken(&|h| h.layout.custom_bounds = vec![1.0]), E::BoundsOfExponential { schema: 3 });
        let negative = FloatHistogram { zero_count: -0.5, ..good().to_float() };
        assert_eq!(negative.validate(), Err(E::NegativeCount { count: 12.0, zero_count: -0.5 }));
    }

    #[test]
    fn custom_bounds_are_checked() {
        use HistogramError as E;
        for (bounds, error) in [
            (&[2.0, 2.0][..], E::BoundOrder { bound: 2, value: 2.0, previous: 2.0 }),
            (&[1.0, f64::INFINITY], E::BoundNotFinite { bound: 2, value: f64::INFINITY }),
            (&[1.0], E::TooFewBounds { buckets: 3, bounds: 1 }),
        ] {
            assert_eq!(custom(bounds).validate(), Err(error));
        }
        assert!(matches!(custom(&[f64::NAN, 1.0]).validate(), Err(E::BoundNotFinite { bound: 1, .. })));
        let with_zeros = Histogram { zero_count: 1, count: 4, ..custom(&[1.0, 2.0]) };
        assert_eq!(with_zeros.validate(), Err(E::CustomSides));
        let mut below = custom(&[1.0, 2.0]);
        below.layout.positive_spans[0].offset = -1;
        assert!(matches!(below.validate(), Err(E::SpanOffset { span: 1, .. })));
    }
}
