//! Quantiles by linear interpolation between the two values next to the rank.

use std::cmp::Ordering;

/// The φ-quantile of `values`, which are left in another order. Not a number counts as the lowest.
pub(crate) fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    let rank = phi * (values.len() - 1) as f64;
    let (_, lower, above) = values.select_nth_unstable_by(rank.floor() as usize, nan_first);
    let lower = *lower;
    let upper = above.iter().copied().min_by(nan_first).unwrap_or(lower);
    let weight = rank - rank.floor();
    lower * (1.0 - weight) + upper * weight
}

fn nan_first(a: &f64, b: &f64) -> Ordering {
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
