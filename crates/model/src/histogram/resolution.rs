//! Histograms made coarser: neighbouring buckets become one. Never makes one finer.

use super::{FloatHistogram, Histogram, Layout, Span, absolute, bucket_indexes, push_bucket};

impl Histogram {
    /// The same observations in the buckets of a coarser schema. A histogram that has that schema, a
    /// coarser one or custom bounds comes back as it is.
    #[must_use]
    pub fn reduced_to(&self, schema: i32) -> Self {
        let Some(step) = step(&self.layout, schema) else { return self.clone() };
        let (positive_spans, positive) =
            merge(&self.layout.positive_spans, absolute(&self.positive_deltas), step, wrapping);
        let (negative_spans, negative) =
            merge(&self.layout.negative_spans, absolute(&self.negative_deltas), step, wrapping);
        Self {
            layout: Layout { schema, positive_spans, negative_spans, ..self.layout.clone() },
            positive_deltas: deltas(positive),
            negative_deltas: deltas(negative),
            ..*self
        }
    }
}

impl FloatHistogram {
    /// The same observations in the buckets of a coarser schema. A histogram that has that schema, a
    /// coarser one or custom bounds comes back as it is.
    #[must_use]
    pub fn reduced_to(&self, schema: i32) -> Self {
        let Some(step) = step(&self.layout, schema) else { return self.clone() };
        let (positive_spans, positive_buckets) =
            merge(&self.layout.positive_spans, self.positive_buckets.iter().copied(), step, |a, b| a + b);
        let (negative_spans, negative_buckets) =
            merge(&self.layout.negative_spans, self.negative_buckets.iter().copied(), step, |a, b| a + b);
        Self {
            layout: Layout { schema, positive_spans, negative_spans, ..self.layout.clone() },
            positive_buckets,
            negative_buckets,
            ..*self
        }
    }
}

/// How many times the width of a bucket doubles.
fn step(layout: &Layout, schema: i32) -> Option<u32> {
    if layout.has_custom_bounds() {
        return None;
    }
    layout.schema.checked_sub(schema).and_then(|s| u32::try_from(s).ok()).filter(|s| *s > 0)
}

/// Adds up the buckets that fall into one.
fn merge<C: Copy>(
    spans: &[Span],
    counts: impl Iterator<Item = C>,
    step: u32,
    add: impl Fn(C, C) -> C,
) -> (Vec<Span>, Vec<C>) {
    let (mut merged, mut sums, mut end) = (Vec::new(), Vec::<C>::new(), 0);
    for (index, count) in bucket_indexes(spans).zip(counts) {
        // Bucket 1 ends at the base; so do those of every schema that end there.
        let index = ((index - 1) >> step.min(63)) + 1;
        match sums.last_mut() {
            Some(last) if end == index + 1 => *last = add(*last, count),
            _ => {
                end = push_bucket(&mut merged, end, index);
                sums.push(count);
            }
        }
    }
    (merged, sums)
}

/// Counts of a damaged histogram may be anything.
fn wrapping(a: i64, b: i64) -> i64 {
    a.wrapping_add(b)
}

fn deltas(mut counts: Vec<i64>) -> Vec<i64> {
    let mut before = 0i64;
    for count in &mut counts {
        let delta = count.wrapping_sub(before);
        before = *count;
        *count = delta;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one() {
        let spans = |all: &[(i32, u32)]| -> Vec<Span> {
            all.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
        };
        // Indexes 0 1 2, 5 6: one schema coarser they are 0 1 1, 3 3.
        let layout = Layout { schema: 2, positive_spans: spans(&[(0, 3), (2, 2)]), ..Layout::default() };
        let h = Histogram { layout, count: 15, positive_deltas: vec![1, 1, 1, 1, 1], ..Histogram::default() };
        let coarser = h.reduced_to(1);
        assert_eq!((coarser.layout.schema, coarser.count), (1, 15));
        assert_eq!(coarser.layout.positive_spans, spans(&[(0, 2), (1, 1)]));
        assert_eq!(coarser.positive_deltas, [1, 4, 4]);
        assert!(coarser.to_float().same_bits(&h.to_float().reduced_to(1)));
        assert!(h.reduced_to(2).same_bits(&h) && h.reduced_to(5).same_bits(&h));
        assert_eq!(h.reduced_to(-4).to_float().positive_buckets, [1.0, 14.0]);
    }

    #[test]
    fn counts_beyond_all_bounds_are_added_up_as_their_differences_are() {
        let spans = vec![Span { offset: 1, length: 2 }];
        let layout = Layout { schema: 1, positive_spans: spans, ..Layout::default() };
        let h = Histogram { layout, positive_deltas: vec![i64::MAX, -5], ..Histogram::default() };
        assert_eq!(h.reduced_to(0).positive_deltas, [-7]);
    }
}
