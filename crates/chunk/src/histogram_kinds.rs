//! What the two kinds of histogram chunks write: whole counts as changes of changes, float counts XORed.
//! Never decides whether a histogram fits beyond comparing counts.

use crate::bits::{BitWriter, Xored};
use crate::fit::{Counts, Fit, fit};
use crate::histogram_decoder::{FloatCounts, WholeCounts};
use crate::histogram_encoder::{Kind, facts, moved};
use skopos_model::histogram::{CounterResetHint, Layout, Span, absolute};
use skopos_model::{FloatHistogram, Histogram};

impl Kind for Histogram {
    type Counts = WholeCounts;

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn is_marker(&self) -> bool {
        self.is_stale()
    }

    fn given(&self) -> [usize; 2] {
        [self.positive_deltas.len(), self.negative_deltas.len()]
    }

    fn spread(&self, positive: Vec<Span>, negative: Vec<Span>) -> Self {
        let side = |given: &[i64], from: &[Span], to: &[Span]| {
            let mut counts = moved(absolute(given), from, to);
            let mut before = 0i64;
            for count in &mut counts {
                (*count, before) = (count.wrapping_sub(before), *count);
            }
            counts
        };
        let (positive_spans, negative_spans) = (positive, negative);
        Self {
            positive_deltas: side(&self.positive_deltas, &self.layout.positive_spans, &positive_spans),
            negative_deltas: side(&self.negative_deltas, &self.layout.negative_spans, &negative_spans),
            layout: Layout { positive_spans, negative_spans, ..self.layout.clone() },
            ..*self
        }
    }

    fn fit(&self, chunk: &Layout, counts: &WholeCounts) -> Fit {
        let fell = [self.count < counts.count, self.zero_count < counts.zero_count];
        let facts = facts(self, chunk, counts, fell, CounterResetHint::NotReset);
        let (positive, negative) = counts.buckets.split_at(counts.positive);
        fit(
            &facts,
            Counts { chunk: absolute(positive), next: absolute(&self.positive_deltas) },
            Counts { chunk: absolute(negative), next: absolute(&self.negative_deltas) },
        )
    }

    fn header_of(fit: &Fit) -> CounterResetHint {
        match fit {
            Fit::Another(header) => *header,
            _ => CounterResetHint::NotReset,
        }
    }

    fn put_first(&self, out: &mut BitWriter, counts: &mut WholeCounts) {
        out.put_unsigned(self.count);
        out.put_unsigned(self.zero_count);
        out.put(u128::from(self.sum.to_bits()), 64);
        (counts.count, counts.zero_count) = (self.count, self.zero_count);
        counts.sum = Xored::first(self.sum.to_bits());
        let given = self.positive_deltas.iter().chain(&self.negative_deltas);
        for (bucket, delta) in counts.buckets.iter_mut().zip(given) {
            out.put_signed(*delta);
            *bucket = *delta;
        }
    }

    fn put_later(&self, out: &mut BitWriter, c: &mut WholeCounts) {
        if self.is_stale() {
            // Changes of 0; the counts stay, as behind a marker only markers follow.
            out.put(0, 2);
            out.put_xor(&mut c.sum, self.sum.to_bits());
            return;
        }
        let count_delta = self.count.wrapping_sub(c.count) as i64;
        out.put_signed(count_delta.wrapping_sub(c.count_delta));
        (c.count, c.count_delta) = (self.count, count_delta);
        let zero_count_delta = self.zero_count.wrapping_sub(c.zero_count) as i64;
        out.put_signed(zero_count_delta.wrapping_sub(c.zero_count_delta));
        (c.zero_count, c.zero_count_delta) = (self.zero_count, zero_count_delta);
        out.put_xor(&mut c.sum, self.sum.to_bits());
        let given = self.positive_deltas.iter().chain(&self.negative_deltas);
        for ((bucket, last_change), delta) in c.buckets.iter_mut().zip(&mut c.changes).zip(given) {
            let change = delta.wrapping_sub(*bucket);
            out.put_signed(change.wrapping_sub(*last_change));
            (*bucket, *last_change) = (*delta, change);
        }
    }
}

impl Kind for FloatHistogram {
    type Counts = FloatCounts;

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn is_marker(&self) -> bool {
        self.is_stale()
    }

    fn given(&self) -> [usize; 2] {
        [self.positive_buckets.len(), self.negative_buckets.len()]
    }

    fn spread(&self, positive: Vec<Span>, negative: Vec<Span>) -> Self {
        let side = |given: &[f64], from: &[Span], to: &[Span]| moved(given.iter().copied(), from, to);
        let (positive_spans, negative_spans) = (positive, negative);
        Self {
            positive_buckets: side(&self.positive_buckets, &self.layout.positive_spans, &positive_spans),
            negative_buckets: side(&self.negative_buckets, &self.layout.negative_spans, &negative_spans),
            layout: Layout { positive_spans, negative_spans, ..self.layout.clone() },
            ..*self
        }
    }

    fn fit(&self, chunk: &Layout, counts: &FloatCounts) -> Fit {
        let fell = [self.count < counts.count.value(), self.zero_count < counts.zero_count.value()];
        let facts = facts(self, chunk, counts, fell, CounterResetHint::Unknown);
        let (positive, negative) = counts.buckets.split_at(counts.positive);
        fit(
            &facts,
            Counts { chunk: positive.iter().map(Xored::value), next: self.positive_buckets.iter().copied() },
            Counts { chunk: negative.iter().map(Xored::value), next: self.negative_buckets.iter().copied() },
        )
    }

    fn header_of(fit: &Fit) -> CounterResetHint {
        // Prometheus does not tell an unknown state from none here.
        match fit {
            Fit::Another(CounterResetHint::Reset) => CounterResetHint::Reset,
            _ => CounterResetHint::NotReset,
        }
    }

    fn put_first(&self, out: &mut BitWriter, counts: &mut FloatCounts) {
        let known = [&mut counts.count, &mut counts.zero_count, &mut counts.sum];
        let given = [self.count, self.zero_count, self.sum].into_iter();
        let given = given.chain(self.positive_buckets.iter().chain(&self.negative_buckets).copied());
        for (last, value) in known.into_iter().chain(&mut counts.buckets).zip(given) {
            out.put(u128::from(value.to_bits()), 64);
            *last = Xored::first(value.to_bits());
        }
    }

    fn put_later(&self, out: &mut BitWriter, counts: &mut FloatCounts) {
        out.put_xor(&mut counts.count, self.count.to_bits());
        out.put_xor(&mut counts.zero_count, self.zero_count.to_bits());
        out.put_xor(&mut counts.sum, self.sum.to_bits());
        let given = self.positive_buckets.iter().chain(&self.negative_buckets);
        for (last, value) in counts.buckets.iter_mut().zip(given) {
            out.put_xor(last, value.to_bits());
        }
    }
}
