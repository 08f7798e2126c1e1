//! Quantiles and shares of classic histograms: of buckets that each count all observations up to their bound.

/// One bucket: all observations up to `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cumulative {
    pub upper: f64,
    pub count: f64,
}

/// A difference between two counts below this share of them is due to rounding.
const ROUNDING: f64 = 1e-12;

/// Buckets that had to be made to grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Raised {
    /// The bounds of the first and the last of them.
    pub from: f64,
    pub to: f64,
    /// By how much one of them was below another at most.
    pub difference: f64,
}

/// The φ-quantile; what had to be made good for it.
pub(super) fn quantile(phi: f64, buckets: &mut Vec<Cumulative>) -> (f64, Option<Raised>) {
    if phi.is_nan() {
        return (f64::NAN, None);
    }
    if phi < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if phi > 1.0 {
        return (f64::INFINITY, None);
    }
    if !prepare(buckets) {
        return (f64::NAN, None);
    }
    let forced = make_grow(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if buckets.len() < 2 || observations == 0.0 || observations.is_nan() {
        return (f64::NAN, None);
    }
    let rank = phi * observations;
    let at = buckets[..last].iter().position(|b| b.count >= rank).unwrap_or(last);
    let value = if at == last {
        buckets[last - 1].upper
    } else if at == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let before = at.checked_sub(1).map_or(Cumulative { upper: 0.0, count: 0.0 }, |i| buckets[i]);
        let share = (rank - before.count) / (buckets[at].count - before.count);
        before.upper + (buckets[at].upper - before.upper) * share
    };
    (value, forced)
}

/// The share of observations between `lower` and `upper`.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Cumulative>) -> f64 {
    if !prepare(buckets) {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |v: f64| rank_of(v, buckets).unwrap_or(total).min(total);
    (rank(upper) - rank(lower)) / total
}

fn rank_of(v: f64, buckets: &[Cumulative]) -> Option<f64> {
    let (mut rank, mut lower) = (0.0, f64::NEG_INFINITY);
    for b in buckets {
        if lower == f64::NEG_INFINITY && b.upper > 0.0 {
            lower = 0.0;
        }
        if lower >= v {
            return Some(rank);
        }
        if b.upper > v {
            if lower == f64::NEG_INFINITY {
                return Some(b.count);
            }
            return Some(rank + (b.count - rank) * (v - lower) / (b.upper - lower));
        }
        (rank, lower) = (b.count, b.upper);
    }
    None
}

/// Sorts the buckets and makes one of those with the same bound. False when the last one does not count all.
fn prepare(buckets: &mut Vec<Cumulative>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|b, kept| {
        let same = b.upper == kept.upper;
        if same {
            kept.count += b.count;
        }
        same
    });
    true
}

/// Raises counts that are below those of a lower bound.
fn make_grow(buckets: &mut [Cumulative]) -> Option<Raised> {
    let mut forced: Option<Raised> = None;
    let mut before = buckets[0].count;
    for b in &mut buckets[1..] {
        let difference = (before - b.count).abs();
        if difference == 0.0 {
            continue;
        }
        if difference <= ROUNDING * (before.abs() + b.count.abs()) {
            b.count = before;
            continue;
        }
        if b.count < before {
            let first = forced.map_or(b.upper, |f| f.from);
            let most = forced.map_or(difference, |f| f.difference.max(difference));
            forced = Some(Raised { from: first, to: b.upper, difference: most });
            b.count = before;
        }
        before = b.count;
    }
    forced
}
