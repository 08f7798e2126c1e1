//! Whether two histograms are equal, and whether a counter was reset between them. Changes none.

use super::{
    CUSTOM_SCHEMA, CounterResetHint, Span, bucket_indexes, same_floats,
    shape::{self, Shape},
};
use crate::HistogramView;

impl HistogramView<'_> {
    /// Whether both have the same observations in the same buckets, whatever their hints say. A NaN equals
    /// itself here.
    pub fn same_observations(&self, other: &HistogramView<'_>) -> bool {
        let (a, b) = (self.layout, other.layout);
        a.schema == b.schema
            && same_floats(
                &[self.count, self.sum, self.zero_count, a.zero_threshold],
                &[other.count, other.sum, other.zero_count, b.zero_threshold],
            )
            && same_floats(&a.custom_bounds, &b.custom_bounds)
            && same_places(&a.positive_spans, &b.positive_spans)
            && same_places(&a.negative_spans, &b.negative_spans)
            && same_floats(self.positive_buckets, other.positive_buckets)
            && same_floats(self.negative_buckets, other.negative_buckets)
    }

    /// Whether the counter was reset between `before` and this. The hint says so if it knows; else anything
    /// that counts less than before, and buckets that are finer than before, tell.
    pub fn is_reset_since(&self, before: &HistogramView<'_>) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < before.count {
            return true;
        }
        let custom = self.layout.has_custom_bounds();
        if custom != before.layout.has_custom_bounds() {
            return true;
        }
        if custom {
            let (a, b) = (&self.layout.custom_bounds, &before.layout.custom_bounds);
            if same_floats(a, b) {
                return fewer_on_a_side(self, before);
            }
            let bounds = Some(shape::shared_bounds(a, b));
            let shape = Shape { schema: CUSTOM_SCHEMA, zero_threshold: 0.0, bounds };
            let (a, b) = (shape::to_shape(self, &shape), shape::to_shape(before, &shape));
            return fewer_on_a_side(&a.view(), &b.view());
        }
        let threshold = self.layout.zero_threshold;
        if self.layout.schema > before.layout.schema || threshold < before.layout.zero_threshold {
            return true;
        }
        let zero = shape::wider_zero_bucket(before, threshold);
        if zero.threshold != threshold || self.zero_count < zero.count {
            return true;
        }
        if self.layout.schema == before.layout.schema && threshold == before.layout.zero_threshold {
            return fewer_on_a_side(self, before);
        }
        let shape = Shape { schema: self.layout.schema, zero_threshold: threshold, bounds: None };
        fewer_on_a_side(self, &shape::to_shape(before, &shape).view())
    }
}

/// Whether the spans have the same buckets, written in one way or another.
fn same_places(a: &[Span], b: &[Span]) -> bool {
    a == b || bucket_indexes(a).eq(bucket_indexes(b))
}

fn fewer_on_a_side(now: &HistogramView<'_>, before: &HistogramView<'_>) -> bool {
    let (a, b) = (now.layout, before.layout);
    fewer((&a.positive_spans, now.positive_buckets), (&b.positive_spans, before.positive_buckets))
        || fewer((&a.negative_spans, now.negative_buckets), (&b.negative_spans, before.negative_buckets))
}

/// Whether any bucket counts less than before.
fn fewer(now: (&[Span], &[f64]), before: (&[Span], &[f64])) -> bool {
    if now.0 == before.0 {
        return now.1.iter().zip(before.1).any(|(now, before)| now < before);
    }
    let mut now = bucket_indexes(now.0).zip(now.1).peekable();
    bucket_indexes(before.0).zip(before.1).any(|(index, before)| {
        while now.next_if(|(i, _)| *i < index).is_some() {}
        let count = now.next_if(|(i, _)| *i == index).map_or(0.0, |(_, count)| *count);
        count < *before
    })
}
