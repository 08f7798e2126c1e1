//! Quantiles by linear interpolation between the two values next to the rank.

use std::cmp::Ordering;

/// The φ-quantile of `values`, which are left in another order. Not a number counts as the lowest.
pub(crate) fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    by_rank(phi, values.len(), |index| {
        let (_, lower, above) = values.select_nth_unstable_by(index, nan_first);
        (*lower, above.iter().copied().min_by(nan_first))
    })
}

/// The φ-quantile of values in the order of `nan_first`.
pub(crate) fn quantile_of_sorted(phi: f64, values: &[f64]) -> f64 {
    by_rank(phi, values.len(), |index| (values[index], values.get(index + 1).copied()))
}

/// The quantile of `len` values, of which `pick` finds the one at an index and the next one.
fn by_rank(phi: f64, len: usize, pick: impl FnOnce(usize) -> (f64, Option<f64>)) -> f64 {
    if len == 0 || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    let rank = phi * (len - 1) as f64;
    let (lower, upper) = pick(rank.floor() as usize);
    let weight = rank - rank.floor();
    lower * (1.0 - weight) + upper.unwrap_or(lower) * weight
}

/// The order of numbers, not a number before all.
pub(crate) fn nan_first(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_between_values_are_interpolated() {
        for (phi, values, want) in [
            (0.5, &[3.0, 1.0, 2.0][..], 2.0),
            (0.25, &[4.0, 1.0, 2.0, 3.0], 1.75),
            (0.0, &[2.0, 1.0], 1.0),
            (1.0, &[2.0, 1.0], 2.0),
            (-0.1, &[1.0], f64::NEG_INFINITY),
            (1.1, &[1.0], f64::INFINITY),
            (1.0, &[f64::NAN, 5.0], 5.0),
        ] {
            assert_eq!(quantile(phi, &mut values.to_vec()), want, "{phi} of {values:?}");
        }
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan());
        assert!(quantile(0.5, &mut []).is_nan());
    }
}
