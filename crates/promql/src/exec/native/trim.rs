//! The trim operators: what of a histogram is below or above a value. Where the value is within a bucket, its
//! observations are interpolated as `histogram_fraction` does.

use super::{geometric_middle, rank::Interpolation};
use skopos_model::{
    FloatHistogram,
    histogram::{Bounds, Bucket, bucket_indexes, upper_bound},
};

/// Which part is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Below,
    Above,
}

/// What is left of a bucket.
#[derive(Clone, Copy, Debug)]
struct Part {
    count: f64,
    /// The estimated sum of its observations.
    sum: f64,
    whole: bool,
}

const NOTHING: Part = Part { count: 0.0, sum: 0.0, whole: false };

/// The part of `h` on the side of `cut` that is kept. Its sum is estimated, unless all is kept.
pub(super) fn trimmed(h: &FloatHistogram, keep: Keep, cut: f64) -> FloatHistogram {
    let mut out = h.clone();
    let (mut count, mut sum, mut whole) = (0.0, 0.0, true);
    let mut take = |from: &mut f64, bucket: Bucket| {
        if *from == 0.0 {
            return;
        }
        let part = if h.layout.has_custom_bounds() {
            of_custom(&bucket, keep, cut)
        } else {
            of_exponential(h, &bucket, keep, cut)
        };
        count += part.count;
        sum += part.sum;
        whole &= part.whole;
        *from = part.count;
    };
    let layout = &h.layout;
    let threshold = layout.zero_threshold;
    let bucket = |lower, upper, count, bounds| Bucket { lower, upper, count, bounds };
    take(&mut out.zero_count, bucket(-threshold, threshold, h.zero_count, Bounds::Both));
    for (index, count) in bucket_indexes(&layout.positive_spans).zip(&mut out.positive_buckets) {
        let (lower, upper) = (upper_bound(layout, index - 1), upper_bound(layout, index));
        let all = *count;
        take(count, bucket(lower, upper, all, Bounds::Upper));
    }
    for (index, count) in bucket_indexes(&layout.negative_spans).zip(&mut out.negative_buckets) {
        let (lower, upper) = (-upper_bound(layout, index), -upper_bound(layout, index - 1));
        let all = *count;
        take(count, bucket(lower, upper, all, Bounds::Lower));
    }
    if whole {
        return h.clone();
    }
    (out.count, out.sum) = (count, sum);
    out.compact();
    out
}

/// What is left of an exponential bucket, or of the zero bucket.
fn of_exponential(h: &FloatHistogram, bucket: &Bucket, keep: Keep, cut: f64) -> Part {
    let is_zero = bucket.bounds == Bounds::Both;
    let mut b = *bucket;
    if is_zero {
        super::rank::lean_zero_bucket(h, &mut b);
    }
    let middle = |lower: f64, upper: f64| {
        if is_zero { (lower + upper) / 2.0 } else { geometric_middle(lower, upper) }
    };
    let inside = match keep {
        Keep::Below if cut >= b.upper => return whole(b.count, middle(b.lower, b.upper)),
        Keep::Above if cut <= b.lower => return whole(b.count, middle(b.lower, b.upper)),
        _ => cut > b.lower && cut < b.upper,
    };
    if !inside {
        return NOTHING;
    }
    let below = if is_zero { Interpolation::Linear } else { Interpolation::Exponential }.share_below(&b, cut);
    let (share, middle) = match keep {
        Keep::Below => (below, middle(b.lower, cut)),
        Keep::Above => (1.0 - below, middle(cut, b.upper)),
    };
    Part { count: b.count * share, sum: b.count * share * middle, whole: false }
}

fn whole(count: f64, middle: f64) -> Part {
    Part { count, sum: count * middle, whole: true }
}

/// The middle of a custom bucket; of a bucket without a bound the other one. What is below the lowest bound
/// is taken to begin at zero, if that bound is positive.
fn linear_middle(b: &Bucket) -> f64 {
    if b.lower == f64::NEG_INFINITY && b.upper == f64::INFINITY {
        return 0.0;
    }
    if b.upper == f64::INFINITY {
        return b.lower;
    }
    if b.lower == f64::NEG_INFINITY {
        return if b.upper > 0.0 { b.upper / 2.0 } else { b.upper };
    }
    (b.lower + b.upper) / 2.0
}

/// What is left of a custom bucket. There is no interpolation in one without a bound: all or nothing is
/// kept of it.
fn of_custom(b: &Bucket, keep: Keep, cut: f64) -> Part {
    let mut b = *b;
    let all = |at: f64| Part { count: b.count, sum: b.count * at, whole: false };
    match keep {
        Keep::Below if cut >= b.upper => return whole(b.count, linear_middle(&b)),
        Keep::Above if cut <= b.lower => return whole(b.count, linear_middle(&b)),
        Keep::Below if b.upper == f64::INFINITY => return NOTHING,
        Keep::Above if cut >= b.upper => return NOTHING,
        _ => {}
    }
    if b.lower == f64::NEG_INFINITY {
        match keep {
            _ if b.upper == f64::INFINITY => return NOTHING,
            Keep::Below if b.upper <= 0.0 && cut > f64::NEG_INFINITY => return all(cut),
            Keep::Below if cut <= 0.0 => return NOTHING,
            Keep::Above if b.upper <= 0.0 || cut < 0.0 => return NOTHING,
            Keep::Above if cut <= 0.0 => return whole(b.count, linear_middle(&b)),
            _ => b.lower = 0.0,
        }
    }
    if keep == Keep::Above && b.upper == f64::INFINITY {
        return all(cut);
    }
    if cut.is_nan() || cut <= b.lower {
        return NOTHING;
    }
    let below = Interpolation::Linear.share_below(&b, cut);
    let (share, middle) = match keep {
        Keep::Below => (below, (b.lower + cut) / 2.0),
        Keep::Above => (1.0 - below, (cut + b.upper) / 2.0),
    };
    Part { count: b.count * share, sum: b.count * share * middle, whole: false }
}
