//! Sorting the numbers of rows: stable, and asking the budget on the way, for comparing the labels of a
//! million rows takes longer than anybody should wait for a query to end.

use super::{
    held::Held,
    work::{WORK_OF_LABELS, Work},
};
use skopos_storage::{QueryBudget, QueryError};
use std::{cmp::Ordering, sync::Arc};

/// So many rows are sorted without asking.
const RUN: usize = 512;

/// Sorts `rows` by `compare`.
pub(crate) fn sort_rows(
    rows: &mut Vec<usize>,
    budget: &Arc<QueryBudget>,
    compare: impl Fn(usize, usize) -> Ordering,
) -> Result<(), QueryError> {
    let mut work = Work::new(budget);
    if is_sorted(rows, &mut work, &compare)? {
        return Ok(());
    }
    for run in rows.chunks_mut(RUN) {
        work.spend(run.len() * WORK_OF_LABELS)?;
        run.sort_by(|a, b| compare(*a, *b));
    }
    let mut held = Held::new(budget);
    held.grow_bytes(if rows.len() > RUN { size_of_val(rows.as_slice()) } else { 0 })?;
    let mut length = RUN;
    while length < rows.len() {
        let mut merged = Vec::with_capacity(rows.len());
        for pair in rows.chunks(2 * length) {
            let (left, right) = pair.split_at(length.min(pair.len()));
            merge((left, right), &mut merged, &mut work, &compare)?;
        }
        *rows = merged;
        length *= 2;
    }
    Ok(())
}

fn is_sorted(
    rows: &[usize],
    work: &mut Work,
    compare: &impl Fn(usize, usize) -> Ordering,
) -> Result<bool, QueryError> {
    for pair in rows.windows(2) {
        work.spend(WORK_OF_LABELS / 8)?;
        if compare(pair[0], pair[1]).is_gt() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn merge(
    (mut left, mut right): (&[usize], &[usize]),
    into: &mut Vec<usize>,
    work: &mut Work,
    compare: &impl Fn(usize, usize) -> Ordering,
) -> Result<(), QueryError> {
    while let ([l, left_rest @ ..], [r, right_rest @ ..]) = (left, right) {
        work.spend(WORK_OF_LABELS / 8)?;
        // Of equal ones the left one was first.
        if compare(*l, *r).is_le() {
            into.push(*l);
            left = left_rest;
        } else {
            into.push(*r);
            right = right_rest;
        }
    }
    into.extend_from_slice(left);
    into.extend_from_slice(right);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::real::RealClock;
    use skopos_storage::QueryLimits;

    #[test]
    fn rows_are_sorted_and_equal_ones_keep_their_order() {
        let budget = QueryBudget::new(QueryLimits::default(), Arc::new(RealClock::new()));
        for len in [0, 1, RUN, RUN + 1, 3 * RUN + 17, 5 * RUN] {
            let key = |i: usize| i.wrapping_mul(2_654_435_761) % 1000;
            let mut rows: Vec<usize> = (0..len).collect();
            let mut expected = rows.clone();
            expected.sort_by_key(|i| key(*i));
            sort_rows(&mut rows, &budget, |a, b| key(a).cmp(&key(b))).expect("a budget that suffices");
            assert_eq!(rows, expected, "{len} rows");
        }
        assert_eq!(budget.memory(), 0);
    }

    #[test]
    fn sorting_ends_with_the_query() {
        let budget = QueryBudget::new(QueryLimits::default(), Arc::new(RealClock::new()));
        let mut rows: Vec<usize> = (0..10 * RUN).collect();
        budget.cancel();
        let ended = sort_rows(&mut rows, &budget, |a, b| b.cmp(&a));
        assert!(matches!(ended, Err(QueryError::Cancelled)), "{ended:?}");
    }
}
