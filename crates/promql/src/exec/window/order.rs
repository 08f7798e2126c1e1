//! Functions over windows that depend on the order of their values. What they do for a window grows with
//! it, so they pay for every sample that they touch.

use super::{Column, Samples, slide};
use crate::exec::{
    matrix::RowMut,
    quantile::{nan_first, quantile, quantile_of_many, quantile_of_sorted},
    work::{WORK_PER_CHECK, Work},
};
use crate::plan::Windows;
use skopos_storage::QueryError;

/// Windows that share no more than this many steps are sorted one by one.
const FEW_STEPS: i64 = 3;
/// From so many samples in a window on, nothing is done to all of them without asking the budget in
/// between: sorting or partitioning them takes longer than anybody should wait for a query to end.
const MANY_SAMPLES: usize = 1 << 19;
/// Values that are moved up or down by one place as quickly as one sample is dealt with.
const MOVES_PER_TOUCH: usize = 16;

/// Writes the φ-quantile of each window.
pub(super) fn quantiles(
    s: Samples<'_>,
    windows: &Windows,
    phi: Column<'_>,
    (sorted, work): (&mut Vec<f64>, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    let few_steps = windows.range <= windows.step.saturating_mul(FEW_STEPS);
    // Else windows share most of their samples: those of the last one stay sorted, the few that come and
    // go are searched for.
    sorted.clear();
    let (mut from, mut to) = (0, 0);
    slide(s.timestamps, windows, work, |work, k, lo, hi| {
        let window = &s.values[lo..hi];
        if window.len() >= MANY_SAMPLES {
            to = 0;
            out.set(k, quantile_of_many(phi.at(k), window, work)?);
            return Ok(());
        }
        if few_steps {
            work.spend(window.len())?;
            sorted.clear();
            sorted.extend_from_slice(window);
            out.set(k, quantile(phi.at(k), sorted));
            return Ok(());
        }
        if lo >= to {
            work.spend(window.len() * (1 + window.len().ilog2() as usize))?;
            sorted.clear();
            sorted.extend_from_slice(window);
            sorted.sort_unstable_by(nan_first);
        } else {
            let price = 1 + sorted.len() / MOVES_PER_TOUCH;
            for v in &s.values[from..lo] {
                work.spend(price)?;
                sorted.remove(position(sorted, *v));
            }
            for v in &s.values[to..hi] {
                work.spend(price)?;
                sorted.insert(position(sorted, *v), *v);
            }
        }
        (from, to) = (lo, hi);
        out.set(k, quantile_of_sorted(phi.at(k), sorted));
        Ok(())
    })
}

/// Where `v` stands in `sorted`, or would.
fn position(sorted: &[f64], v: f64) -> usize {
    sorted.partition_point(|x| nan_first(x, &v).is_lt())
}

/// Writes the median distance from the median of each window; not a number where any sample is none.
pub(super) fn mad(
    s: Samples<'_>,
    windows: &Windows,
    (values, work): (&mut Vec<f64>, &mut Work),
    out: &mut RowMut<'_>,
) -> Result<(), QueryError> {
    slide(s.timestamps, windows, work, |work, k, lo, hi| {
        values.clear();
        let mut is_number = true;
        for part in s.values[lo..hi].chunks(WORK_PER_CHECK) {
            work.spend(part.len())?;
            values.extend_from_slice(part);
            is_number &= !part.iter().any(|v| v.is_nan());
        }
        if !is_number {
            out.set(k, f64::NAN);
            return Ok(());
        }
        let median = median(values, work)?;
        for part in values.chunks_mut(WORK_PER_CHECK) {
            work.spend(part.len())?;
            part.iter_mut().for_each(|v| *v = (*v - median).abs());
        }
        out.set(k, self::median(values, work)?);
        Ok(())
    })
}

/// The median of `values`, which are left in another order.
fn median(values: &mut [f64], work: &mut Work) -> Result<f64, QueryError> {
    if values.len() >= MANY_SAMPLES {
        return quantile_of_many(0.5, values, work);
    }
    work.spend(values.len())?;
    Ok(quantile(0.5, values))
}
