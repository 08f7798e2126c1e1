//! Quantiles and shares of native histograms. Within exponential buckets observations are taken to be spread
//! evenly over the logarithm, within the zero bucket and custom ones evenly over the value.

use crate::exec::annotations::NanEffect;
use skopos_model::{
    FloatHistogram,
    histogram::{Bounds, Bucket},
};

/// How observations are spread within a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interpolation {
    Linear,
    Exponential,
}

impl Interpolation {
    /// Which share of the bucket's observations is below `v`, which is inside of it.
    pub(super) fn share_below(self, b: &Bucket, v: f64) -> f64 {
        if self == Self::Linear {
            return (v - b.lower) / (b.upper - b.lower);
        }
        let [lower, upper, v] = [b.lower, b.upper, v].map(|x| x.abs().log2());
        if b.lower < 0.0 { 1.0 - (v - upper) / (lower - upper) } else { (v - lower) / (upper - lower) }
    }

    /// The value below which is that share of the bucket's observations.
    fn value_at(self, b: &Bucket, share: f64) -> f64 {
        if self == Self::Linear {
            return b.lower + (b.upper - b.lower) * share;
        }
        let (lower, upper) = (b.lower.abs().log2(), b.upper.abs().log2());
        if b.lower > 0.0 {
            (lower + (upper - lower) * share).exp2()
        } else {
            -(upper + (lower - upper) * (1.0 - share)).exp2()
        }
    }
}

/// The zero bucket reaches to one side of zero only, when there are buckets on that side alone.
pub(super) fn lean_zero_bucket(h: &FloatHistogram, b: &mut Bucket) {
    if b.lower < 0.0 && b.upper > 0.0 {
        match (h.negative_buckets.is_empty(), h.positive_buckets.is_empty()) {
            (true, false) => b.lower = 0.0,
            (false, true) => b.upper = 0.0,
            _ => {}
        }
    }
}

fn interpolation(h: &FloatHistogram, b: &Bucket) -> Interpolation {
    let linear = h.layout.has_custom_bounds() || b.bounds == Bounds::Both;
    if linear { Interpolation::Linear } else { Interpolation::Exponential }
}

/// The φ-quantile, and what observations that are no numbers made of it, if there are any: they are counted
/// and in no bucket. That a sum is no number says nothing by itself: infinite ones make it so too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantile {
    pub value: f64,
    pub nan: Option<NanEffect>,
}

/// The φ-quantile of the observations. Observations that are no numbers count as the highest.
pub(super) fn quantile(phi: f64, h: &FloatHistogram, buckets: &mut Vec<Bucket>) -> Quantile {
    let plain = |value| Quantile { value, nan: None };
    if phi < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if phi > 1.0 {
        return plain(f64::INFINITY);
    }
    if h.count == 0.0 || phi.is_nan() {
        return plain(f64::NAN);
    }
    let may_have_nan = h.sum.is_nan();
    let forward = may_have_nan || phi < 0.5;
    h.view().buckets_into(buckets);
    if !forward {
        buckets.reverse();
    }
    let wanted = if forward { phi * h.count } else { (1.0 - phi) * h.count };
    let mut count = 0.0;
    // Without any bucket all is as if an empty one stood at zero.
    let mut b = Bucket { lower: 0.0, upper: 0.0, count: 0.0, bounds: Bounds::Both };
    let mut rest = buckets.iter();
    for bucket in rest.by_ref() {
        // Where the counts never reach what is wanted, the last bucket decides, though it be empty.
        b = *bucket;
        if b.count == 0.0 {
            continue;
        }
        count += b.count;
        if count >= wanted {
            break;
        }
    }
    if h.layout.has_custom_bounds() {
        if b.lower == f64::NEG_INFINITY {
            if b.upper <= 0.0 {
                return plain(b.upper);
            }
            b.lower = 0.0;
        }
        if b.upper == f64::INFINITY {
            return plain(b.lower);
        }
    } else {
        lean_zero_bucket(h, &mut b);
    }
    // Rounding may have added up more than there is.
    let count = count.min(h.count);
    if count < wanted {
        let nothing = Quantile { value: f64::NAN, nan: Some(NanEffect::Nan) };
        return if may_have_nan { nothing } else { plain(b.upper) };
    }
    let rank = if forward { wanted - (count - b.count) } else { count - wanted };
    let in_buckets = count + rest.map(|b| b.count).sum::<f64>();
    let nan = (may_have_nan && in_buckets < h.count).then_some(NanEffect::Skewed);
    Quantile { value: interpolation(h, &b).value_at(&b, rank / b.count), nan }
}

/// A share of the observations, and whether some are left out as they are no numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    pub value: f64,
    pub leaves_out: bool,
}

/// The share of observations between `lower` and `upper`. Those that are no numbers are nowhere between.
pub(super) fn fraction(lower: f64, upper: f64, h: &FloatHistogram, buckets: &mut Vec<Bucket>) -> Share {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return Share { value: f64::NAN, leaves_out: false };
    }
    if lower >= upper {
        return Share { value: 0.0, leaves_out: false };
    }
    h.view().buckets_into(buckets);
    let total: f64 = buckets.iter().map(|b| b.count).sum();
    // Whatever lies behind the last bucket, unless it is no number, is there by rounding.
    let end = if h.sum.is_nan() { total } else { h.count };
    let rank = |v: f64| rank_of(v, h, buckets).unwrap_or(end).min(end);
    Share { value: (rank(upper) - rank(lower)) / h.count, leaves_out: end < h.count }
}

/// How many observations are below `v`; none when all buckets are.
fn rank_of(v: f64, h: &FloatHistogram, buckets: &[Bucket]) -> Option<f64> {
    let custom = h.layout.has_custom_bounds();
    let mut rank = 0.0;
    for b in buckets {
        let mut b = *b;
        if !custom {
            lean_zero_bucket(h, &mut b);
        } else if b.lower == f64::NEG_INFINITY && b.upper > 0.0 {
            b.lower = 0.0;
        }
        if b.lower >= v {
            return Some(rank);
        }
        if b.upper > v {
            // In a bucket without a bound there is nothing to interpolate between.
            if b.lower == f64::NEG_INFINITY {
                return Some(b.count);
            }
            return Some(rank + b.count * interpolation(h, &b).share_below(&b, v));
        }
        rank += b.count;
    }
    None
}
