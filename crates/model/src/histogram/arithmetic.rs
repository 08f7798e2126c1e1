//! Sums, differences and multiples of histograms, as PromQL defines them. Knows no quantile.

use super::{
    CounterResetHint, FloatHistogram, IncompatibleBuckets, Span, bucket_indexes, push_bucket,
    shape::{self, Shape},
};
use crate::HistogramView;

/// What came up when two histograms were put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Remarks {
    /// The one says that the counts started anew, the other that they did not.
    pub conflicting_resets: bool,
    /// Their custom bounds differ; those that both have are left.
    pub bounds_reconciled: bool,
}

/// What a counter reset hint becomes when another histogram is added, and whether the two contradict one
/// another.
fn merged_hint(a: CounterResetHint, b: CounterResetHint) -> (CounterResetHint, bool) {
    use CounterResetHint as H;
    match (a, b) {
        (a, b) if a == b => (a, false),
        (H::Gauge, _) | (_, H::Gauge) => (H::Gauge, false),
        (H::Unknown, _) | (_, H::Unknown) => (H::Unknown, false),
        _ => (H::Unknown, true),
    }
}

impl FloatHistogram {
    /// The histogram without its memory.
    pub fn view(&self) -> HistogramView<'_> {
        HistogramView {
            sample: 0,
            layout: &self.layout,
            counter_reset_hint: self.layout.counter_reset_hint,
            count: self.count,
            sum: self.sum,
            zero_count: self.zero_count,
            positive_buckets: &self.positive_buckets,
            negative_buckets: &self.negative_buckets,
        }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &HistogramView<'_>) -> Result<Remarks, IncompatibleBuckets> {
        self.combine(other, |a, b| a + b)
    }

    /// Subtracts `other`. What is left is a gauge.
    pub fn subtract(&mut self, other: &HistogramView<'_>) -> Result<Remarks, IncompatibleBuckets> {
        let remarks = self.combine(other, |a, b| a - b)?;
        self.layout.counter_reset_hint = CounterResetHint::Gauge;
        Ok(remarks)
    }

    fn combine(
        &mut self,
        other: &HistogramView<'_>,
        f: impl Fn(f64, f64) -> f64,
    ) -> Result<Remarks, IncompatibleBuckets> {
        let (hint, conflicting_resets) =
            merged_hint(self.layout.counter_reset_hint, other.counter_reset_hint);
        let reshaped;
        let (mut other, mut bounds_reconciled) = (other, false);
        let aligned;
        if !self.layout.same_buckets(other.layout) {
            let shape = shape::common(&self.view(), other)?;
            bounds_reconciled = shape.bounds.is_some();
            aligned = self.widened_for(other, &shape);
            reshaped = aligned.view();
            other = &reshaped;
        }
        self.count = f(self.count, other.count);
        self.sum = f(self.sum, other.sum);
        self.zero_count = f(self.zero_count, other.zero_count);
        for (a, b) in [
            (&mut self.positive_buckets, other.positive_buckets),
            (&mut self.negative_buckets, other.negative_buckets),
        ] {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = f(*a, *b));
        }
        self.layout.counter_reset_hint = hint;
        Ok(Remarks { conflicting_resets, bounds_reconciled })
    }

    /// Brings itself to `shape` with all buckets that either has; gives `other` with the same buckets.
    fn widened_for(&mut self, other: &HistogramView<'_>, shape: &Shape) -> FloatHistogram {
        let hint = self.layout.counter_reset_hint;
        *self = shape::to_shape(&self.view(), shape);
        self.layout.counter_reset_hint = hint;
        let mut other = shape::to_shape(other, shape);
        let positive = shape::united(&self.layout.positive_spans, &other.layout.positive_spans);
        let negative = shape::united(&self.layout.negative_spans, &other.layout.negative_spans);
        self.spread_over(&positive, &negative);
        other.spread_over(&positive, &negative);
        other
    }

    fn spread_over(&mut self, positive: &[Span], negative: &[Span]) {
        if self.layout.positive_spans != positive {
            self.positive_buckets =
                shape::spread(&self.positive_buckets, &self.layout.positive_spans, positive);
            self.layout.positive_spans = positive.to_vec();
        }
        if self.layout.negative_spans != negative {
            self.negative_buckets =
                shape::spread(&self.negative_buckets, &self.layout.negative_spans, negative);
            self.layout.negative_spans = negative.to_vec();
        }
    }

    /// Multiplies all by `factor`. With a negative one it is a gauge from there on.
    pub fn multiply(&mut self, factor: f64) {
        self.each(|v| v * factor);
        if factor < 0.0 {
            self.layout.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides all by `divisor`. By zero no bucket is left.
    pub fn divide(&mut self, divisor: f64) {
        self.each(|v| v / divisor);
        if divisor == 0.0 {
            self.layout.positive_spans.clear();
            self.layout.negative_spans.clear();
            self.positive_buckets.clear();
            self.negative_buckets.clear();
        }
        if divisor < 0.0 {
            self.layout.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    fn each(&mut self, f: impl Fn(f64) -> f64) {
        (self.count, self.sum, self.zero_count) = (f(self.count), f(self.sum), f(self.zero_count));
        self.positive_buckets.iter_mut().for_each(|v| *v = f(*v));
        self.negative_buckets.iter_mut().for_each(|v| *v = f(*v));
    }

    /// Removes buckets without observations.
    pub fn compact(&mut self) {
        compact_side(&mut self.layout.positive_spans, &mut self.positive_buckets);
        compact_side(&mut self.layout.negative_spans, &mut self.negative_buckets);
    }

    /// The size in memory, in bytes.
    pub fn size(&self) -> usize {
        let floats =
            self.positive_buckets.len() + self.negative_buckets.len() + self.layout.custom_bounds.len();
        let spans = self.layout.positive_spans.len() + self.layout.negative_spans.len();
        size_of::<Self>() + 8 * (floats + spans)
    }
}

fn compact_side(spans: &mut Vec<Span>, counts: &mut Vec<f64>) {
    let narrow = spans.iter().enumerate().all(|(i, s)| s.length > 0 && (i == 0 || s.offset > 0));
    if narrow && counts.iter().all(|c| *c != 0.0) {
        return;
    }
    let (mut kept, mut end) = (Vec::new(), 0);
    for (index, _) in bucket_indexes(spans).zip(counts.iter()).filter(|(_, count)| **count != 0.0) {
        end = push_bucket(&mut kept, end, index);
    }
    counts.retain(|count| *count != 0.0);
    *spans = kept;
}

/// A sum of histograms that keeps in a second one what the first cannot hold (Neumaier's variant of Kahan's
/// summation, the error of each addition by Knuth's TwoSum).
#[derive(Clone, Debug)]
pub struct HistogramSum {
    high: FloatHistogram,
    /// Has the buckets of `high`.
    low: FloatHistogram,
    /// How many were added.
    count: f64,
    /// The sum would overflow: it is the mean that is kept.
    running: bool,
    as_mean: bool,
    resets_seen: bool,
    others_seen: bool,
    bounds_reconciled: bool,
}

/// What a sum of histograms is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumKind {
    /// The sum.
    Sum,
    /// The mean, which does not overflow where the sum would.
    Mean,
}

impl HistogramSum {
    /// The sum of one.
    pub fn new(kind: SumKind, first: &HistogramView<'_>) -> Self {
        let high = first.to_histogram();
        let mut low = high.clone();
        low.each(|_| 0.0);
        let mut sum = Self {
            high,
            low,
            count: 1.0,
            running: false,
            as_mean: kind == SumKind::Mean,
            resets_seen: false,
            others_seen: false,
            bounds_reconciled: false,
        };
        sum.note(first.counter_reset_hint);
        sum
    }

    fn note(&mut self, hint: CounterResetHint) {
        self.resets_seen |= hint == CounterResetHint::Reset;
        self.others_seen |= hint == CounterResetHint::NotReset;
    }

    /// Adds a histogram.
    pub fn add(&mut self, other: &HistogramView<'_>) -> Result<(), IncompatibleBuckets> {
        let reshaped;
        let aligned;
        let mut other = other;
        self.note(other.counter_reset_hint);
        let (hint, _) = merged_hint(self.high.layout.counter_reset_hint, other.counter_reset_hint);
        if !self.high.layout.same_buckets(other.layout) {
            let shape = shape::common(&self.high.view(), other)?;
            self.bounds_reconciled |= shape.bounds.is_some();
            aligned = self.high.widened_for(other, &shape);
            self.low = shape::to_shape(&self.low.view(), &shape);
            self.low.spread_over(&self.high.layout.positive_spans, &self.high.layout.negative_spans);
            reshaped = aligned.view();
            other = &reshaped;
        }
        self.high.layout.counter_reset_hint = hint;
        self.count += 1.0;
        if self.as_mean && !self.running && self.would_overflow(other) {
            self.running = true;
            let before = self.count - 1.0;
            self.high.each(|v| v / before);
            self.low.each(|v| v / before);
        }
        if self.running {
            let (q, count) = ((self.count - 1.0) / self.count, self.count);
            self.high.each(|v| v * q);
            self.low.each(|v| v * q);
            self.add_scaled(other, |v| v / count);
        } else {
            self.add_scaled(other, |v| v);
        }
        Ok(())
    }

    /// Adds another sum, or mean of the same kind. Of histograms of one shape (`Layout::same_shape`) it is
    /// what adding them one by one gives, but for rounding.
    pub fn merge(&mut self, other: &Self) -> Result<(), IncompatibleBuckets> {
        self.resets_seen |= other.resets_seen;
        self.others_seen |= other.others_seen;
        let (hint, _) =
            merged_hint(self.high.layout.counter_reset_hint, other.high.layout.counter_reset_hint);
        let (mut high, mut low) = (&other.high, &other.low);
        let aligned;
        if !self.high.layout.same_buckets(&high.layout) {
            let shape = shape::common(&self.high.view(), &high.view())?;
            self.bounds_reconciled |= shape.bounds.is_some();
            let other_high = self.high.widened_for(&high.view(), &shape);
            let (positive, negative) = (&self.high.layout.positive_spans, &self.high.layout.negative_spans);
            let mut other_low = shape::to_shape(&low.view(), &shape);
            self.low = shape::to_shape(&self.low.view(), &shape);
            for low in [&mut self.low, &mut other_low] {
                low.spread_over(positive, negative);
            }
            aligned = (other_high, other_low);
            (high, low) = (&aligned.0, &aligned.1);
        }
        self.high.layout.counter_reset_hint = hint;
        self.count += other.count;
        self.add_scaled(&high.view(), |v| v);
        let own = &mut self.low;
        own.count += low.count;
        own.sum += low.sum;
        own.zero_count += low.zero_count;
        for (own, more) in [
            (&mut own.positive_buckets, &low.positive_buckets),
            (&mut own.negative_buckets, &low.negative_buckets),
        ] {
            own.iter_mut().zip(more).for_each(|(own, more)| *own += more);
        }
        Ok(())
    }

    /// Whether any number is infinite, or would be if it were not a mean: what it is depends on the order of
    /// additions then.
    pub fn has_overflowed(&self) -> bool {
        let all = [self.high.count, self.high.sum, self.high.zero_count];
        let buckets = self.high.positive_buckets.iter().chain(&self.high.negative_buckets);
        self.running || all.iter().chain(buckets).any(|v| v.is_infinite())
    }

    /// Adds `f` of each number of `other`, which has the same buckets.
    fn add_scaled(&mut self, other: &HistogramView<'_>, f: impl Fn(f64) -> f64) {
        let (high, low) = (&mut self.high, &mut self.low);
        two_sum(&mut high.count, &mut low.count, f(other.count));
        two_sum(&mut high.sum, &mut low.sum, f(other.sum));
        two_sum(&mut high.zero_count, &mut low.zero_count, f(other.zero_count));
        for (high, low, more) in [
            (&mut high.positive_buckets, &mut low.positive_buckets, other.positive_buckets),
            (&mut high.negative_buckets, &mut low.negative_buckets, other.negative_buckets),
        ] {
            for ((high, low), more) in high.iter_mut().zip(low).zip(more) {
                two_sum(high, low, f(*more));
            }
        }
    }

    fn would_overflow(&self, other: &HistogramView<'_>) -> bool {
        let over = |a: f64, b: f64| (a + b).is_infinite();
        let any = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| over(*a, *b));
        over(self.high.count, other.count)
            || over(self.high.sum, other.sum)
            || over(self.high.zero_count, other.zero_count)
            || any(&self.high.positive_buckets, other.positive_buckets)
            || any(&self.high.negative_buckets, other.negative_buckets)
    }

    /// What came up.
    pub fn remarks(&self) -> Remarks {
        Remarks {
            conflicting_resets: self.resets_seen && self.others_seen,
            bounds_reconciled: self.bounds_reconciled,
        }
    }

    /// The sum, or the mean; without empty buckets.
    pub fn value(&self) -> FloatHistogram {
        let divisor = if self.as_mean && !self.running { self.count } else { 1.0 };
        let whole = |high: f64, low: f64| {
            if high.is_infinite() { high } else { high / divisor + low / divisor }
        };
        let mut out = self.high.clone();
        out.count = whole(out.count, self.low.count);
        out.sum = whole(out.sum, self.low.sum);
        out.zero_count = whole(out.zero_count, self.low.zero_count);
        for (high, low) in [
            (&mut out.positive_buckets, &self.low.positive_buckets),
            (&mut out.negative_buckets, &self.low.negative_buckets),
        ] {
            high.iter_mut().zip(low).for_each(|(high, low)| *high = whole(*high, *low));
        }
        out.compact();
        out
    }

    /// The size in memory, in bytes.
    pub fn size(&self) -> usize {
        self.high.size() + self.low.size()
    }
}

/// Adds `v` to a sum of two words.
fn two_sum(high: &mut f64, low: &mut f64, v: f64) {
    let sum = *high + v;
    let part = sum - *high;
    *low += (*high - (sum - part)) + (v - part);
    *high = sum;
}
