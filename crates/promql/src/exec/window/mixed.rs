//! Windows over a series that has native histograms among its samples. The functions of floats see the floats
//! alone; what is said here is what becomes of windows that have histograms.

use super::{
    Edge, Params, Samples, Scratch, Starts, compute, extended, fold::FEW_STEPS, instant, rate, slide,
    sliding::Sliding,
};
use crate::ast::Edges;
use crate::error::EvalError;
use crate::exec::{Annotations, bits, histograms::HistogramSteps, matrix::RowBuffer, work::Work};
use crate::plan::{Detail, Kernel, WindowFn, Windows};
use skopos_model::{
    CounterResetHint, FloatHistogram, HistogramView, TimestampMs, histogram::SumKind, is_stale_nan,
};
use std::{ops::RangeInclusive, sync::Arc};

/// What is computed, and on what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MixedInput<'a> {
    /// All samples.
    pub samples: Samples<'a>,
    /// Those that are histograms.
    pub histograms: &'a [HistogramView<'a>],
    pub params: Params<'a>,
    pub kernel: &'a Kernel,
    pub windows: &'a Windows,
    pub metric: &'a str,
}

/// The samples of a series, staleness markers gone, floats and histograms apart.
#[derive(Debug, Default)]
pub(super) struct Parted<'a> {
    /// Of all samples.
    pub timestamps: Vec<TimestampMs>,
    /// The index among the histograms of each sample that is one.
    pub kinds: Vec<Option<usize>>,
    pub histograms: Vec<HistogramView<'a>>,
    /// The index among the samples of each histogram.
    samples: Vec<usize>,
    /// Of all samples, or none.
    starts: Vec<TimestampMs>,
    float_starts: Vec<TimestampMs>,
    float_times: Vec<TimestampMs>,
    floats: Vec<f64>,
    /// How many histograms there are before each sample, and behind the last.
    before: Vec<usize>,
}

/// What is held of each sample: the lists above, which double as they grow, a copy of the histograms, and how
/// much each of them counts for.
pub(in crate::exec) const PARTED_SAMPLE_BYTES: usize = 2
    * (9 * size_of::<u64>() + size_of::<HistogramView<'static>>())
    + size_of::<HistogramView<'static>>()
    + 2 * size_of::<usize>();

impl<'a> Parted<'a> {
    fn of(input: &MixedInput<'a>) -> Self {
        let span = input.windows.span();
        let all = input.samples;
        let mut parted = Self::default();
        let mut histograms = input.histograms.iter().peekable();
        for (i, (t, v)) in all.timestamps.iter().zip(all.values).enumerate() {
            let histogram = histograms.next_if(|h| h.sample == i);
            if !(span.min..=span.max).contains(t) || is_stale_nan(*v) {
                continue;
            }
            parted.before.push(parted.histograms.len());
            parted.timestamps.push(*t);
            parted.kinds.push(histogram.map(|_| parted.histograms.len()));
            if !all.starts.is_empty() {
                parted.starts.push(all.starts.get(i));
            }
            match histogram {
                Some(h) => {
                    parted.samples.push(parted.timestamps.len() - 1);
                    parted.histograms.push(*h);
                }
                None => {
                    if !all.starts.is_empty() {
                        parted.float_starts.push(all.starts.get(i));
                    }
                    parted.float_times.push(*t);
                    parted.floats.push(*v);
                }
            }
        }
        parted.before.push(parted.histograms.len());
        if input.kernel.detail == Detail::CountAndSum {
            say_resets(&mut parted.histograms);
        }
        parted
    }

    /// The indexes among histograms of those of a window.
    pub(super) fn histograms_of(&self, lo: usize, hi: usize) -> std::ops::Range<usize> {
        self.before[lo]..self.before[hi]
    }

    pub(super) fn at(&self, sample: usize) -> Option<&HistogramView<'a>> {
        self.kinds[sample].map(|i| &self.histograms[i])
    }

    /// The value of a sample that is a float.
    pub(super) fn float(&self, sample: usize) -> f64 {
        self.floats[sample - self.before[sample]]
    }

    /// Whether there are both floats and histograms at these times.
    pub(super) fn is_mixed_within(&self, times: RangeInclusive<i64>) -> bool {
        if self.floats.is_empty() || self.histograms.is_empty() {
            return false;
        }
        let behind = |time: i64| self.timestamps.partition_point(|t| t.as_ms() < time);
        let (lo, hi) = (behind(*times.start()), behind(times.end().saturating_add(1)));
        let histograms = self.histograms_of(lo, hi).len();
        histograms > 0 && histograms < hi - lo
    }

    /// All samples, for those who look at times alone.
    pub(super) fn all(&self) -> Samples<'_> {
        Samples { timestamps: &self.timestamps, values: &[], starts: self.starts() }
    }

    /// Of all samples.
    pub(super) fn starts(&self) -> Starts<'_> {
        Starts::of_all(&self.starts)
    }

    /// The histogram with which the window of step `k`, and each behind it, begins.
    /// `lo` is the sample with which that of `k` does.
    pub(super) fn begins(&self, windows: &Windows, (k, lo): (usize, usize)) -> impl Iterator<Item = usize> {
        let (mut edge, windows) = (Edge { at: lo, stride: 0 }, *windows);
        (k..windows.steps).map(move |k| {
            edge.advance(&self.timestamps, windows.first_end + k as i64 * windows.step - windows.range);
            self.before[edge.at]
        })
    }

    /// Whether a counter was reset before histogram `i`, which follows another.
    pub(super) fn is_reset(&self, i: usize) -> bool {
        self.histograms[i].is_reset_since(&self.histograms[i - 1])
            || self.starts().is_reset(self.samples[i], &self.timestamps)
    }
}

/// Writes into each histogram of unknown hint whether there was a reset before it.
fn say_resets(histograms: &mut [HistogramView<'_>]) {
    for i in (1..histograms.len()).rev() {
        if histograms[i].counter_reset_hint == CounterResetHint::Unknown {
            let reset = histograms[i].is_reset_since(&histograms[i - 1]);
            histograms[i].counter_reset_hint =
                if reset { CounterResetHint::Reset } else { CounterResetHint::NotReset };
        }
    }
}

/// Writes what the kernel makes of every window. `out` has no value yet.
pub(crate) fn apply(
    input: &MixedInput<'_>,
    (scratch, work): (&mut Scratch, &mut Work),
    out: &mut RowBuffer,
    annotations: &mut Annotations,
) -> Result<(), EvalError> {
    work.spend(input.samples.values.len())?;
    // A list of a histogram at every step, which doubles as it grows.
    work.make(input.windows.steps.saturating_mul(2 * size_of::<Arc<FloatHistogram>>()))?;
    let (function, windows) = (input.kernel.function, input.windows);
    let extended = windows.edges != Edges::Sampled;
    if let Some(what) = instant::What::of(function)
        && !extended
    {
        work.spend(windows.steps)?;
        newest(input, what, work, out)?;
        work.count_present(&out.present);
        for (k, histogram) in out.histograms.iter().flat_map(|h| h.iter()) {
            let more = samples_in(&histogram.view()) - 1;
            work.count(k, more, more);
        }
        return Ok(());
    }
    let parted = Parted::of(input);
    count(&parted, windows, work)?;
    // What is done to floats and histograms apart is not counted again.
    let counted = std::mem::take(&mut work.counted);
    let done = compute_all(input, &parted, (scratch, work), out, annotations);
    work.counted = counted;
    done
}

/// How many samples a histogram counts for, as in Prometheus: by the size that it has there.
pub(crate) fn samples_in(histogram: &HistogramView<'_>) -> usize {
    const FIXED_BYTES: usize = 168 + 8;
    let layout = histogram.layout;
    let spans = layout.positive_spans.len() + layout.negative_spans.len();
    (FIXED_BYTES + 8 * (spans + histogram.bucket_count() + layout.custom_bounds.len())) / 16
}

/// Counts what the windows have.
fn count(parted: &Parted<'_>, windows: &Windows, work: &mut Work) -> Result<(), EvalError> {
    let mut up_to = Vec::with_capacity(parted.histograms.len() + 1);
    up_to.push(0);
    for histogram in &parted.histograms {
        up_to.push(up_to[up_to.len() - 1] + samples_in(histogram) - 1);
    }
    let more = |histograms: std::ops::Range<usize>| up_to[histograms.end] - up_to[histograms.start];
    let mut seen = 0;
    // Each sample is counted by sliding, a histogram for more than one.
    slide(&parted.timestamps, windows, work, |work, k, lo, hi| {
        let new = parted.histograms_of(lo.max(seen), hi);
        seen = hi;
        work.count(k, more(parted.histograms_of(lo, hi)), more(new));
        Ok(())
    })?;
    Ok(())
}

/// The windows of functions that look at more than one sample.
fn compute_all(
    input: &MixedInput<'_>,
    parted: &Parted<'_>,
    (scratch, work): (&mut Scratch, &mut Work),
    out: &mut RowBuffer,
    annotations: &mut Annotations,
) -> Result<(), EvalError> {
    use WindowFn as W;
    let (function, windows) = (input.kernel.function, input.windows);
    let extended = windows.edges != Edges::Sampled;
    match function {
        W::Count | W::Present | W::TimeOfFirst | W::TimeOfLast => {
            let row = &mut out.row_mut();
            compute(input.kernel, input.params, parted.all(), windows, (scratch, work), row)?;
        }
        W::Newest => extended::instants(input, parted, work, out, annotations)?,
        W::Changes | W::Resets if extended => {
            extended::transitions(function, parted, windows, work, out)?;
        }
        W::First | W::Last => ends(function, parted, windows, work, out)?,
        W::Changes | W::Resets => transitions(function, parted, windows, work, out)?,
        _ => {
            let starts = Starts::of_all(&parted.float_starts);
            let floats = Samples { timestamps: &parted.float_times, values: &parted.floats, starts };
            let row = &mut out.row_mut();
            compute(input.kernel, input.params, floats, windows, (scratch, work), row)?;
            match function {
                W::Rate | W::Increase | W::Delta if extended => {
                    extended::differences(input, parted, work, out, annotations)?;
                }
                W::Rate | W::Increase | W::Delta => {
                    rate::extrapolated(input, parted, work, out, annotations)?;
                }
                W::Irate | W::Idelta => rate::instant(input, parted, work, out, annotations)?,
                W::Sum | W::Avg => sums(input, parted, work, out, annotations)?,
                _ => ignored(input, parted, work, out, annotations)?,
            }
        }
    }
    Ok(())
}

/// What an instant selector takes.
fn newest(
    input: &MixedInput<'_>,
    what: instant::What,
    work: &mut Work,
    out: &mut RowBuffer,
) -> Result<(), EvalError> {
    let (s, windows) = (input.samples, input.windows);
    let owned: Vec<HistogramView<'_>>;
    let mut histograms = input.histograms;
    if input.kernel.detail == Detail::CountAndSum {
        let mut said = histograms.to_vec();
        said.retain(|h| !is_stale_nan(h.sum));
        say_resets(&mut said);
        owned = said;
        histograms = &owned;
    }
    // An info series must not have histograms, so that there is one has to be seen.
    let shown = matches!(input.kernel.function, WindowFn::Newest | WindowFn::InfoTime);
    let mut found = HistogramSteps::new(windows.steps);
    let (mut edge, mut next) = (Edge::default(), 0);
    let mut newest = None;
    for k in 0..windows.steps {
        let end = windows.first_end + k as i64 * windows.step;
        edge.advance(s.timestamps, end);
        work.spend(1)?;
        let Some(last) = edge.at.checked_sub(1) else { continue };
        let (t, v) = (s.timestamps[last], s.values[last]);
        if t.as_ms() <= end - windows.range || is_stale_nan(v) {
            continue;
        }
        while histograms.get(next).is_some_and(|h| h.sample < last) {
            next += 1;
        }
        let histogram = histograms.get(next).filter(|h| h.sample == last);
        let histogram = histogram.filter(|_| shown);
        let Some(histogram) = histogram else {
            out.row_mut().set(k, what.take(s, last));
            continue;
        };
        let shared = match &newest {
            Some((at, shared)) if *at == last => Arc::clone(shared),
            _ => work.made(histogram.to_histogram())?,
        };
        newest = Some((last, Arc::clone(&shared)));
        found.push(k, shared);
    }
    out.set_histograms(found);
    Ok(())
}

/// The first or the last sample of each window.
fn ends(
    function: WindowFn,
    parted: &Parted<'_>,
    windows: &Windows,
    work: &mut Work,
    out: &mut RowBuffer,
) -> Result<(), EvalError> {
    let mut found = HistogramSteps::new(windows.steps);
    let mut shared = None;
    slide(&parted.timestamps, windows, work, |work, k, lo, hi| {
        let sample = if function == WindowFn::First { lo } else { hi - 1 };
        let Some(histogram) = parted.at(sample) else {
            out.row_mut().set(k, parted.float(sample));
            return Ok(());
        };
        let value = match &shared {
            Some((at, value)) if *at == sample => Arc::clone(value),
            _ => work.made(histogram.to_histogram())?,
        };
        shared = Some((sample, Arc::clone(&value)));
        found.push(k, value);
        Ok(())
    })?;
    out.set_histograms(found);
    Ok(())
}

/// How often the value changed, or a counter was reset, within each window.
fn transitions(
    function: WindowFn,
    parted: &Parted<'_>,
    windows: &Windows,
    work: &mut Work,
    out: &mut RowBuffer,
) -> Result<(), EvalError> {
    let counts = count_transitions(function, parted);
    let mut row = out.row_mut();
    slide(&parted.timestamps, windows, work, |_, k, lo, hi| {
        row.set(k, f64::from(counts[hi - 1] - counts[lo]));
        Ok(())
    })?;
    Ok(())
}

/// How many transitions there are up to each sample, so that a window's are a difference.
pub(super) fn count_transitions(function: WindowFn, parted: &Parted<'_>) -> Vec<u32> {
    let mut total = 0u32;
    let mut counts = Vec::with_capacity(parted.timestamps.len());
    let float = |sample: usize| parted.float(sample);
    let by_start = |i| parted.starts().is_reset(i, &parted.timestamps);
    for i in 0..parted.timestamps.len() {
        if let Some(before) = i.checked_sub(1) {
            let hit = match (parted.at(before), parted.at(i)) {
                (Some(a), Some(b)) if function == WindowFn::Changes => !a.same_observations(b),
                (Some(a), Some(b)) => b.is_reset_since(a) || by_start(i),
                (None, None) if function == WindowFn::Changes => {
                    let (a, b) = (float(before), float(i));
                    a != b && !(a.is_nan() && b.is_nan())
                }
                (None, None) => float(i) < float(before) || by_start(i),
                _ => true,
            };
            total += u32::from(hit);
        }
        counts.push(total);
    }
    counts
}

/// Whether so much of each window is in others too that what they share is worth being kept.
pub(super) fn overlap(windows: &Windows) -> bool {
    windows.steps > 1 && windows.range > windows.step.saturating_mul(FEW_STEPS)
}

/// Sums and means of windows.
fn sums(
    input: &MixedInput<'_>,
    parted: &Parted<'_>,
    work: &mut Work,
    out: &mut RowBuffer,
    annotations: &mut Annotations,
) -> Result<(), EvalError> {
    let kind = if input.kernel.function == WindowFn::Avg { SumKind::Mean } else { SumKind::Sum };
    let (metric, span) = (input.metric, input.kernel.span);
    let mut found = HistogramSteps::new(input.windows.steps);
    let mut sliding = Sliding::new(kind, parted.histograms.clone());
    slide(&parted.timestamps, input.windows, work, |work, k, lo, hi| {
        let window = parted.histograms_of(lo, hi);
        if window.is_empty() {
            return Ok(());
        }
        if window.len() < hi - lo {
            bits::clear(&mut out.present, k);
            annotations.mixed_floats_histograms(metric, span);
            return Ok(());
        }
        let sum = if overlap(input.windows) {
            sliding.sum(window, parted.begins(input.windows, (k, lo)), work)?
        } else {
            sliding.one_by_one(window, work)?
        };
        let Ok(all) = sum else {
            annotations.mixed_buckets(metric, span);
            return Ok(());
        };
        let remarks = all.remarks();
        if remarks.conflicting_resets {
            annotations.conflicting_resets("aggregation", span);
        }
        if remarks.bounds_reconciled {
            annotations.bounds_reconciled("aggregation", span);
        }
        found.push(k, work.made(all.value())?);
        Ok(())
    })?;
    out.set_histograms(found);
    Ok(())
}

/// Functions of floats: a remark where there are both.
fn ignored(
    input: &MixedInput<'_>,
    parted: &Parted<'_>,
    work: &mut Work,
    out: &RowBuffer,
    annotations: &mut Annotations,
) -> Result<(), EvalError> {
    slide(&parted.timestamps, input.windows, work, |_, k, lo, hi| {
        let histograms = parted.histograms_of(lo, hi).len();
        // Of one float alone no trend is to be seen, and it is said all the same.
        let trend = matches!(
            input.kernel.function,
            WindowFn::Deriv | WindowFn::PredictLinear | WindowFn::DoubleExponentialSmoothing
        ) && hi - lo - histograms == 1;
        if histograms > 0 && histograms < hi - lo && (trend || bits::get(&out.present, k)) {
            annotations.ignored_in_range(input.metric, input.kernel.span);
        }
        Ok(())
    })?;
    Ok(())
}
