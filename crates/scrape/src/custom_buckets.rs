//! `Collected`: a classic histogram put together from its samples, as a native one with custom buckets. The
//! rules are those of Prometheus (`convert_classic_histograms_to_nhcb`): what is no histogram becomes none.

use skopos_model::{
    FloatHistogram, Histogram,
    histogram::{CUSTOM_SCHEMA, Layout, Span},
};

/// See above. Its memory is used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// Up to which value there are how many observations, growing.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    is_none: bool,
}

/// A native histogram of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Converted {
    Whole(Histogram),
    Float(FloatHistogram),
}

impl Collected {
    pub(crate) fn clear(&mut self) {
        self.buckets.clear();
        (self.count, self.sum, self.is_none) = (None, 0.0, false);
    }

    pub(crate) fn bucket(&mut self, upper: f64, count: f64) {
        if upper.is_nan() || count < 0.0 {
            self.is_none = true;
            return;
        }
        let place = self.buckets.partition_point(|(other, _)| *other < upper);
        if self.buckets.get(place).is_some_and(|(other, _)| *other == upper) {
            return;
        }
        let below = place.checked_sub(1).is_some_and(|before| count < self.buckets[before].1);
        let above = self.buckets.get(place).is_some_and(|(_, next)| count > *next);
        if below || above {
            self.is_none = true;
        } else {
            self.buckets.insert(place, (upper, count));
        }
    }

    pub(crate) fn count(&mut self, count: f64) {
        self.is_none |= count < 0.0;
        self.count = Some(count);
    }

    pub(crate) fn sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// The histogram that has been put together; none if it is none.
    pub(crate) fn convert(&mut self) -> Option<Converted> {
        if self.is_none {
            return None;
        }
        let count = self.count.or(self.buckets.last().map(|(_, count)| *count))?;
        if self.buckets.last().is_none_or(|(upper, _)| *upper != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        if self.buckets.last().is_none_or(|(_, all)| *all != count) {
            return None;
        }
        let layout = Layout {
            schema: CUSTOM_SCHEMA,
            positive_spans: vec![Span { offset: 0, length: u32::try_from(self.buckets.len()).ok()? }],
            custom_bounds: self.buckets[..self.buckets.len() - 1].iter().map(|(upper, _)| *upper).collect(),
            ..Layout::default()
        };
        let is_whole = |count: f64| count == count.trunc() && count < 2f64.powi(63);
        if is_whole(count) && self.buckets.iter().all(|(_, count)| is_whole(*count)) {
            return self.whole(layout, count as u64).map(Converted::Whole);
        }
        let mut before = 0.0;
        let buckets = self.buckets.iter().map(|(_, count)| count - std::mem::replace(&mut before, *count));
        let positive_buckets = buckets.collect();
        let histogram =
            FloatHistogram { layout, count, sum: self.sum, positive_buckets, ..FloatHistogram::default() };
        histogram.validate().is_ok().then_some(Converted::Float(histogram))
    }

    fn whole(&self, layout: Layout, count: u64) -> Option<Histogram> {
        let (mut below, mut bucket_before) = (0i64, 0i64);
        let deltas = self.buckets.iter().map(|(_, count)| {
            let bucket = *count as i64 - std::mem::replace(&mut below, *count as i64);
            bucket - std::mem::replace(&mut bucket_before, bucket)
        });
        let positive_deltas = deltas.collect();
        let histogram = Histogram { layout, count, sum: self.sum, positive_deltas, ..Histogram::default() };
        histogram.validate().is_ok().then_some(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(buckets: &[(f64, f64)], count: Option<f64>, expected: Option<(&[f64], &[f64])>) {
        let mut collected = Collected::default();
        buckets.iter().for_each(|(upper, count)| collected.bucket(*upper, *count));
        count.iter().for_each(|count| collected.count(*count));
        collected.sum(1.5);
        let got = collected.convert().map(|converted| match converted {
            Converted::Whole(h) => h.to_float(),
            Converted::Float(h) => h,
        });
        let got = got.as_ref().map(|h| (&*h.layout.custom_bounds, &*h.positive_buckets));
        assert_eq!(got, expected, "{buckets:?} {count:?}");
    }

    #[test]
    fn what_is_a_histogram_becomes_one() {
        let inf = f64::INFINITY;
        check(&[(1.0, 2.0), (2.0, 5.0), (inf, 6.0)], Some(6.0), Some((&[1.0, 2.0], &[2.0, 3.0, 1.0])));
        check(&[(2.0, 5.0), (1.0, 2.0)], Some(6.0), Some((&[1.0, 2.0], &[2.0, 3.0, 1.0])));
        check(&[(1.0, 2.0), (1.0, 7.0)], None, Some((&[1.0], &[2.0, 0.0])));
        check(&[(1.0, 0.5), (inf, 2.0)], Some(2.0), Some((&[1.0], &[0.5, 1.5])));
        check(&[], Some(3.0), Some((&[], &[3.0])));
        check(&[], None, None);
        check(&[(1.0, 2.0), (2.0, 1.0)], Some(2.0), None);
        check(&[(2.0, 1.0), (1.0, 2.0)], Some(2.0), None);
        check(&[(1.0, -1.0)], Some(2.0), None);
        check(&[(f64::NAN, 1.0)], Some(2.0), None);
        check(&[(1.0, 2.0), (inf, 6.0)], Some(7.0), None);
        check(&[(1.0, 2.0)], Some(f64::NAN), None);
        check(&[(1.0, 1e300)], Some(1e300), Some((&[1.0], &[1e300, 0.0])));
    }
}
