//! The value of a rank among very many values, digit by digit: a fixed number of passes over them in
//! order, between whose parts the query may be ended. Changes nothing and needs no copy.

use super::work::{WORK_PER_CHECK, Work};
use skopos_storage::QueryError;

const DIGIT_BITS: u32 = 16;
const DIGIT: u64 = (1 << DIGIT_BITS) - 1;

/// The value at `index` of `values` in the order of their size, not a number before all, and the next.
/// Both zeros count as the positive one.
pub(super) fn nth(values: &[f64], index: usize, work: &mut Work) -> Result<(f64, Option<f64>), QueryError> {
    // Of the key only the digits in `mask` are known yet; `rest` is the rank among those that have them.
    let (mut key, mut mask, mut rest, mut equal) = (0, 0, index, 0);
    let mut counts = vec![0usize; 1 << DIGIT_BITS];
    for shift in [48, 32, 16, 0] {
        counts.fill(0);
        each_part(values, work, |v| {
            let k = key_of(v);
            if k & mask == key {
                counts[(k >> shift & DIGIT) as usize] += 1;
            }
        })?;
        let mut digit = 0;
        while rest >= counts[digit] {
            rest -= counts[digit];
            digit += 1;
        }
        equal = counts[digit];
        key |= (digit as u64) << shift;
        mask |= DIGIT << shift;
    }
    let lower = value_of(key);
    if rest + 1 < equal {
        return Ok((lower, Some(lower)));
    }
    let mut next = None;
    each_part(values, work, |v| {
        let k = key_of(v);
        if k > key && next.is_none_or(|n| k < n) {
            next = Some(k);
        }
    })?;
    Ok((lower, next.map(value_of)))
}

fn each_part(values: &[f64], work: &mut Work, mut f: impl FnMut(f64)) -> Result<(), QueryError> {
    for part in values.chunks(WORK_PER_CHECK) {
        work.spend(part.len())?;
        part.iter().for_each(|v| f(*v));
    }
    Ok(())
}

/// A number that orders as the value does.
fn key_of(v: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    if v.is_nan() {
        return 0;
    }
    // Adding zero makes a negative zero positive.
    let bits = (v + 0.0).to_bits();
    if bits & SIGN != 0 { !bits } else { bits | SIGN }
}

fn value_of(key: u64) -> f64 {
    const SIGN: u64 = 1 << 63;
    match key {
        0 => f64::NAN,
        _ if key & SIGN != 0 => f64::from_bits(key & !SIGN),
        _ => f64::from_bits(!key),
    }
}

#[cfg(test)]
mod tests {
    use super::super::quantile::nan_first;
    use super::*;
    use skopos_base::{real::RealClock, rng::Rng};
    use skopos_storage::{QueryBudget, QueryLimits};
    use std::sync::Arc;

    #[test]
    fn every_rank_is_that_of_the_sorted_values() {
        let seed = 20_261_122;
        println!("seed {seed}");
        let rng = Rng::from_seed(seed);
        let budget = QueryBudget::new(QueryLimits::default(), Arc::new(RealClock::new()));
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, f64::MIN_POSITIVE / 4.0, f64::MAX, -1.5];
        for _ in 0..20 {
            let len = 1 + rng.below(40) as usize;
            let values: Vec<f64> = (0..len)
                .map(|_| match rng.below(3) {
                    0 => odd[rng.below(odd.len() as u64) as usize],
                    1 => rng.below(5) as f64 - 2.0,
                    _ => f64::from_bits(rng.next_u64()),
                })
                .collect();
            let mut sorted = values.clone();
            sorted.sort_by(nan_first);
            for index in 0..len {
                let (lower, upper) = nth(&values, index, &mut Work::new(&budget)).unwrap();
                let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
                assert!(same(lower, sorted[index]), "{index} of {values:?}: {lower}");
                match (upper, sorted.get(index + 1)) {
                    (Some(a), Some(b)) => assert!(same(a, *b), "above {index} of {values:?}: {a}"),
                    (a, b) => assert!(a.is_none() && b.is_none(), "above {index} of {values:?}"),
                }
            }
        }
    }
}
