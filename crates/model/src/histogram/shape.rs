//! Brings histograms to one shape, so that their buckets can be put side by side: the coarser schema, a zero
//! bucket that holds both zero buckets, the custom bounds that both have.

use super::{
    CUSTOM_SCHEMA, FloatHistogram, Layout, Span, bucket_indexes, buckets::upper_bound, push_bucket,
    same_floats,
};
use crate::HistogramView;

/// Exponential and custom buckets have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("histograms with exponential buckets and with custom ones cannot be put together")]
pub struct IncompatibleBuckets;

/// What two histograms are brought to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub schema: i32,
    pub zero_threshold: f64,
    /// Of custom buckets whose bounds differ: those that both have.
    pub bounds: Option<Vec<f64>>,
}

/// The finest shape that both can be brought to.
pub(super) fn common(a: &HistogramView<'_>, b: &HistogramView<'_>) -> Result<Shape, IncompatibleBuckets> {
    let custom = a.layout.has_custom_bounds();
    if custom != b.layout.has_custom_bounds() {
        return Err(IncompatibleBuckets);
    }
    if custom {
        let (x, y) = (&a.layout.custom_bounds, &b.layout.custom_bounds);
        let bounds = (!same_floats(x, y)).then(|| shared_bounds(x, y));
        return Ok(Shape { schema: CUSTOM_SCHEMA, zero_threshold: 0.0, bounds });
    }
    let (mut at, mut bt) = (a.layout.zero_threshold, b.layout.zero_threshold);
    while at != bt && !at.is_nan() && !bt.is_nan() {
        if at > bt {
            bt = wider_zero_bucket(b, at).threshold;
        } else {
            at = wider_zero_bucket(a, bt).threshold;
        }
    }
    Ok(Shape { schema: a.layout.schema.min(b.layout.schema), zero_threshold: at, bounds: None })
}

/// The bounds that stand in both of two growing lists.
pub(super) fn shared_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut i, mut j, mut both) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            both.push(a[i]);
            (i, j) = (i + 1, j + 1);
        } else if a[i] < b[j] {
            i += 1;
        } else {
            j += 1;
        }
    }
    both
}

/// A zero bucket that has been widened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ZeroBucket {
    pub threshold: f64,
    pub count: f64,
}

/// The zero bucket of at least this threshold: a bucket with observations is in it or outside of it.
pub(super) fn wider_zero_bucket(h: &HistogramView<'_>, threshold: f64) -> ZeroBucket {
    let mut zero = ZeroBucket { threshold, count: h.zero_count };
    if h.layout.zero_threshold >= threshold {
        return ZeroBucket { threshold: h.layout.zero_threshold, ..zero };
    }
    loop {
        let before = zero.threshold;
        zero.count = h.zero_count;
        for (spans, counts) in
            [(&h.layout.positive_spans, h.positive_buckets), (&h.layout.negative_spans, h.negative_buckets)]
        {
            for (index, count) in bucket_indexes(spans).zip(counts) {
                if upper_bound(h.layout, index - 1) >= zero.threshold {
                    break;
                }
                zero.count += count;
                let upper = upper_bound(h.layout, index);
                if upper > zero.threshold && *count != 0.0 {
                    zero.threshold = upper;
                }
            }
        }
        if zero.threshold == before {
            return zero;
        }
    }
}

/// A side of a histogram: where its buckets are, and their counts.
type SideOf<'a> = (&'a [Span], &'a [f64]);

/// The histogram in `shape`, which is not finer than its own.
pub(super) fn to_shape(h: &HistogramView<'_>, shape: &Shape) -> FloatHistogram {
    let mut out = FloatHistogram {
        layout: Layout {
            schema: shape.schema,
            zero_threshold: shape.zero_threshold,
            custom_bounds: shape.bounds.clone().unwrap_or_else(|| h.layout.custom_bounds.clone()),
            counter_reset_hint: h.counter_reset_hint,
            ..Layout::default()
        },
        count: h.count,
        sum: h.sum,
        zero_count: h.zero_count,
        ..FloatHistogram::default()
    };
    let positive: SideOf<'_> = (&h.layout.positive_spans, h.positive_buckets);
    let negative: SideOf<'_> = (&h.layout.negative_spans, h.negative_buckets);
    if let Some(bounds) = &shape.bounds {
        let target = |index| {
            let upper = upper_bound(h.layout, index);
            bounds.partition_point(|b| *b < upper) as i64
        };
        (out.layout.positive_spans, out.positive_buckets) = moved(positive, target);
        return out;
    }
    if h.layout.has_custom_bounds() {
        out.layout.positive_spans.clone_from(&h.layout.positive_spans);
        out.positive_buckets.extend_from_slice(h.positive_buckets);
        return out;
    }
    let widened = shape.zero_threshold > h.layout.zero_threshold;
    let step = (i64::from(h.layout.schema) - i64::from(shape.schema)).clamp(0, 63) as u32;
    let beyond = |index| !widened || upper_bound(h.layout, index - 1) >= shape.zero_threshold;
    // Bucket 1 ends at the base; so do those of every schema that end there.
    let target = |index: i64| if beyond(index) { ((index - 1) >> step) + 1 } else { i64::MIN };
    if widened {
        out.zero_count = wider_zero_bucket(h, shape.zero_threshold).count;
    }
    (out.layout.positive_spans, out.positive_buckets) = moved(positive, target);
    (out.layout.negative_spans, out.negative_buckets) = moved(negative, target);
    out
}

/// The buckets at the indexes that `target` gives them, which grow; those of the same index become one, those
/// at `i64::MIN` go.
fn moved((spans, counts): SideOf<'_>, target: impl Fn(i64) -> i64) -> (Vec<Span>, Vec<f64>) {
    let (mut new_spans, mut new_counts, mut end) = (Vec::new(), Vec::<f64>::new(), 0);
    for (index, count) in bucket_indexes(spans).zip(counts) {
        let index = target(index);
        if index == i64::MIN {
            continue;
        }
        match new_counts.last_mut() {
            Some(last) if end == index + 1 => *last += count,
            _ => {
                end = push_bucket(&mut new_spans, end, index);
                new_counts.push(*count);
            }
        }
    }
    (new_spans, new_counts)
}

/// The spans of all buckets that either has.
pub(super) fn united(a: &[Span], b: &[Span]) -> Vec<Span> {
    let (mut x, mut y) = (bucket_indexes(a).peekable(), bucket_indexes(b).peekable());
    let (mut spans, mut end) = (Vec::new(), 0);
    loop {
        let index = match (x.peek().copied(), y.peek().copied()) {
            (None, None) => return spans,
            (Some(i), None) | (None, Some(i)) => i,
            (Some(i), Some(j)) => i.min(j),
        };
        x.next_if_eq(&index);
        y.next_if_eq(&index);
        end = push_bucket(&mut spans, end, index);
    }
}

/// The counts of the buckets of `from`, spread over those of `to`, which has all of them.
pub(super) fn spread(counts: &[f64], from: &[Span], to: &[Span]) -> Vec<f64> {
    let mut left = bucket_indexes(from).zip(counts).peekable();
    bucket_indexes(to)
        .map(|index| left.next_if(|(i, _)| *i == index).map_or(0.0, |(_, count)| *count))
        .collect()
}
