//! `rate`, `increase`, `delta`, `irate`, `idelta` of native histograms: differences bucket by bucket, resets
//! made good. How far they are extrapolated stands in `counter`.

use super::{
    MixedInput,
    counter::{Ends, extrapolation},
    mixed::{Parted, overlap},
    slide,
    sliding::Sliding,
};
use crate::error::EvalError;
use crate::exec::{Annotations, bits, histograms::HistogramSteps, matrix::RowBuffer, work::Work};
use crate::plan::WindowFn;
use skopos_model::{CounterResetHint, FloatHistogram, HistogramView, histogram::SumKind};
use skopos_storage::QueryError;
use std::ops::Range;

/// What is known of the histograms of a series before any window is looked at.
struct Known {
    /// How many gauges there are before each, and behind the last.
    gauges: Vec<usize>,
    /// The same of those with custom buckets.
    custom: Vec<usize>,
    /// Those before which a counter was reset.
    resets: Vec<usize>,
    /// All have the same schema.
    one_schema: bool,
    /// All have buckets that may be added up in any order.
    one_shape: bool,
}

/// So many histograms before resets are added up one by one in each window.
const FEW_RESETS: usize = 4;

impl Known {
    fn of(parted: &Parted<'_>, is_counter: bool) -> Self {
        let histograms = &parted.histograms;
        let counted = |is: fn(&HistogramView<'_>) -> bool| {
            let mut total = 0;
            let mut counts = vec![0];
            counts.extend(histograms.iter().map(|h| {
                total += usize::from(is(h));
                total
            }));
            counts
        };
        let mut resets = Vec::new();
        if is_counter {
            resets.extend((1..histograms.len()).filter(|i| parted.is_reset(*i)));
        }
        Self {
            gauges: counted(|h| h.counter_reset_hint == CounterResetHint::Gauge),
            custom: counted(|h| h.layout.has_custom_bounds()),
            resets,
            one_schema: histograms.windows(2).all(|w| w[0].layout.schema == w[1].layout.schema),
            one_shape: histograms.windows(2).all(|w| w[0].layout.same_shape(w[1].layout)),
        }
    }
}

/// Writes the extrapolated difference between the ends of each window of histograms.
pub(super) fn extrapolated(
    input: &MixedInput<'_>,
    parted: &Parted<'_>,
    work: &mut Work,
    out: &mut RowBuffer,
    annotations: &mut Annotations,
) -> Result<(), EvalError> {
    let (windows, function) = (input.windows, input.kernel.function);
    let is_counter = function != WindowFn::Delta;
    let per_second = if function == WindowFn::Rate { windows.range as f64 / 1000.0 } else { 1.0 };
    let known = Known::of(parted, is_counter);
    let before_resets = known.resets.iter().map(|r| parted.histograms[r - 1]).collect();
    let mut lost = Sliding::new(SumKind::Sum, before_resets);
    let mut found = HistogramSteps::new(windows.steps);
    slide(&parted.timestamps, windows, work, |work, k, lo, hi| {
        let window = parted.histograms_of(lo, hi);
        if window.is_empty() {
            return Ok(());
        }
        if window.len() < hi - lo {
            bits::clear(&mut out.present, k);
            annotations.mixed_floats_histograms(input.metric, input.kernel.span);
            return Ok(());
        }
        let end = windows.first_end + k as i64 * windows.step;
        let start_ms = end - windows.range;
        let zero_ms = parted.starts().zero_before(lo, &parted.timestamps, start_ms).filter(|_| is_counter);
        if window.len() < 2 && zero_ms.is_none() {
            return Ok(());
        }
        work.spend(1 + parted.histograms[window.end - 1].bucket_count())?;
        let first_count = parted.histograms[window.start].count;
        let base = if zero_ms.is_some() { Base::Zero } else { Base::First };
        let looked = (Looked { window, base }, &known);
        let Some(mut h) = difference(input, parted, looked, (&mut lost, work), annotations)? else {
            return Ok(());
        };
        let ends = Ends {
            zero_ms,
            first_ms: parted.timestamps[lo].as_ms(),
            last_ms: parted.timestamps[hi - 1].as_ms(),
            start_ms,
            end_ms: end,
        };
        let floor = (is_counter && h.count > 0.0 && first_count >= 0.0).then_some(first_count);
        h.multiply(extrapolation(&ends, hi - lo, h.count, floor) / per_second);
        found.push(k, work.made(h)?);
        Ok(())
    })?;
    out.set_histograms(found);
    Ok(())
}

/// What a difference is taken to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    /// The first histogram of the window.
    First,
    /// No observation: the counter is known to have begun within the window.
    Zero,
}

/// The histograms of a window, and what the last one is compared with.
struct Looked {
    window: Range<usize>,
    base: Base,
}

/// The last histogram of the window less its base, and all that was lost in between. None where their
/// buckets do not fit.
fn difference(
    input: &MixedInput<'_>,
    parted: &Parted<'_>,
    (Looked { window, base }, known): (Looked, &Known),
    (lost, work): (&mut Sliding<'_>, &mut Work),
    annotations: &mut Annotations,
) -> Result<Option<FloatHistogram>, QueryError> {
    let (metric, span) = (input.metric, input.kernel.span);
    let histograms = &parted.histograms[window.clone()];
    let (first, last) = (&histograms[0], &histograms[histograms.len() - 1]);
    let is_counter = input.kernel.function != WindowFn::Delta;
    let count = |counts: &[usize], range: Range<usize>| counts[range.end] - counts[range.start];
    let gauges = count(&known.gauges, window.clone());
    if is_counter && gauges > 0 {
        annotations.histogram_not_counter(metric, span);
    }
    let from = known.resets.partition_point(|r| *r <= window.start);
    let to = known.resets.partition_point(|r| *r < window.end);
    let resets = &known.resets[from..to];
    // A reset right behind the first makes it meaningless, whatever its buckets are.
    let first_is_lost = base == Base::First && resets.first() == Some(&(window.start + 1));
    let looked_at = if first_is_lost { window.start + 1..window.end } else { window.clone() };
    let inner = if is_counter { looked_at } else { window.clone() };
    let custom = count(&known.custom, inner.clone());
    let ends_differ = first.layout.has_custom_bounds() != last.layout.has_custom_bounds();
    let fits = if is_counter { custom == 0 || custom == inner.len() } else { !ends_differ };
    if !fits {
        annotations.mixed_buckets(metric, span);
        return Ok(None);
    }
    let mut h = last.to_histogram();
    if is_counter && !known.one_schema {
        let least = parted.histograms[inner].iter().map(|h| h.layout.schema).min();
        h = h.reduced_to(least.unwrap_or(h.layout.schema));
    }
    if base == Base::First && !first_is_lost && h.subtract(first).is_ok_and(|r| r.bounds_reconciled) {
        annotations.bounds_reconciled("subtraction", span);
    }
    let from = from + usize::from(first_is_lost);
    let many = known.one_shape && to.saturating_sub(from) > FEW_RESETS && overlap(input.windows);
    if many && let Ok(sum) = lost.sum(from..to, from..to, work)? {
        // Of one shape: there is nothing to remark.
        let _fits = h.add(&sum.value().view());
    }
    for reset in resets.iter().skip(usize::from(first_is_lost)).filter(|_| !many) {
        work.spend(1 + h.positive_buckets.len() + h.negative_buckets.len())?;
        if h.add(&parted.histograms[reset - 1]).is_ok_and(|r| r.bounds_reconciled) {
            annotations.bounds_reconciled("addition", span);
        }
    }
    if !is_counter && [first, last].iter().any(|h| h.counter_reset_hint != CounterResetHint::Gauge) {
        annotations.histogram_not_gauge(metric, span);
    }
    h.layout.counter_reset_hint = CounterResetHint::Gauge;
    h.compact();
    Ok(Some(h))
}

/// Writes the difference between the last two samples of each window, if they are histograms.
pub(super) fn instant(
    input: &MixedInput<'_>,
    parted: &Parted<'_>,
    work: &mut Work,
    out: &mut RowBuffer,
    annotations: &mut Annotations,
) -> Result<(), EvalError> {
    let is_rate = input.kernel.function == WindowFn::Irate;
    let (metric, span) = (input.metric, input.kernel.span);
    let mut found = HistogramSteps::new(input.windows.steps);
    slide(&parted.timestamps, input.windows, work, |work, k, lo, hi| {
        if hi - lo < 2 {
            return Ok(());
        }
        let (before, last, index) = match (parted.at(hi - 2), parted.at(hi - 1)) {
            (None, None) => return Ok(()),
            (Some(before), Some(last)) => (before, last, parted.histograms_of(lo, hi).end - 1),
            _ => {
                bits::clear(&mut out.present, k);
                annotations.mixed_floats_histograms(metric, span);
                return Ok(());
            }
        };
        bits::clear(&mut out.present, k);
        let gauges = [before, last].map(|h| h.counter_reset_hint == CounterResetHint::Gauge);
        if is_rate && gauges.contains(&true) {
            annotations.histogram_not_counter(metric, span);
        }
        if !is_rate && gauges.contains(&false) {
            annotations.histogram_not_gauge(metric, span);
        }
        work.spend(1 + last.bucket_count())?;
        let mut h = last.to_histogram();
        if !is_rate || !parted.is_reset(index) {
            match h.subtract(before) {
                Ok(remarks) if remarks.bounds_reconciled => {
                    annotations.bounds_reconciled("subtraction", span);
                }
                Ok(_) => {}
                Err(_) => {
                    annotations.mixed_buckets(metric, span);
                    return Ok(());
                }
            }
        }
        h.layout.counter_reset_hint = CounterResetHint::Gauge;
        h.compact();
        if is_rate {
            let ms = parted.timestamps[hi - 1].as_ms() - parted.timestamps[hi - 2].as_ms();
            h.divide(ms as f64 / 1000.0);
        }
        found.push(k, work.made(h)?);
        Ok(())
    })?;
    out.set_histograms(found);
    Ok(())
}
