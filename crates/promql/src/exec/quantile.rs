//! Quantiles by linear interpolation between the two values next to the rank.

use super::{select, work::Work};
use skopos_storage::QueryError;
use std::{cmp::Ordering, convert::Infallible};

/// The φ-quantile of `values`, which are left in another order. Not a number counts as the lowest.
pub(crate) fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    let Ok(value) = by_rank::<Infallible>(phi, values.len(), |index| {
        let (_, lower, above) = values.select_nth_unstable_by(index, nan_first);
        Ok((*lower, above.iter().copied().min_by(nan_first)))
    });
    value
}

/// The φ-quantile of very many values; asks the budget on the way.
pub(crate) fn quantile_of_many(phi: f64, values: &[f64], work: &mut Work) -> Result<f64, QueryError> {
    by_rank(phi, values.len(), |index| select::nth(values, index, work))
}

/// The φ-quantile of values in the order of `nan_first`.
pub(crate) fn quantile_of_sorted(phi: f64, values: &[f64]) -> f64 {
    let pick = |index: usize| Ok((values[index], values.get(index + 1).copied()));
    let Ok(value) = by_rank::<Infallible>(phi, values.len(), pick);
    value
}

/// The quantile of `len` values, of which `pick` finds the one at an index and the next one.
fn by_rank<E>(
    phi: f64,
    len: usize,
    pick: impl FnOnce(usize) -> Result<(f64, Option<f64>), E>,
) -> Result<f64, E> {
    if len == 0 || phi.is_nan() {
        return Ok(f64::NAN);
    }
    if phi < 0.0 {
        return Ok(f64::NEG_INFINITY);
    }
    if phi > 1.0 {
        return Ok(f64::INFINITY);
    }
    let rank = phi * (len - 1) as f64;
    let (lower, upper) = pick(rank.floor() as usize)?;
    let weight = rank - rank.floor();
    Ok(lower * (1.0 - weight) + upper.unwrap_or(lower) * weight)
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
