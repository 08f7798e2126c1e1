//! What sums, differences and comparisons of histograms yield.

use super::*;

fn spans(all: &[(i32, u32)]) -> Vec<Span> {
    all.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
}

fn exponential(schema: i32, offset: i32, buckets: &[f64]) -> FloatHistogram {
    let positive_spans = spans(&[(offset, buckets.len() as u32)]);
    let layout = Layout { schema, positive_spans, ..Layout::default() };
    let count = buckets.iter().sum();
    FloatHistogram { layout, count, sum: count, positive_buckets: buckets.to_vec(), ..Default::default() }
}

fn custom(bounds: &[f64], buckets: &[f64]) -> FloatHistogram {
    let mut h = exponential(CUSTOM_SCHEMA, 0, buckets);
    h.layout.custom_bounds = bounds.to_vec();
    h
}

#[test]
fn sums_have_the_buckets_of_both_at_the_coarser_schema() {
    let mut sum = exponential(0, 0, &[1.0, 2.0, 1.0]);
    assert_eq!(sum.add(&exponential(0, 4, &[5.0]).view()), Ok(Remarks::default()));
    assert_eq!(sum.layout.positive_spans, spans(&[(0, 3), (1, 1)]));
    assert_eq!((sum.positive_buckets.as_slice(), sum.count), (&[1.0, 2.0, 1.0, 5.0][..], 9.0));
    // Indexes 1 and 2 of schema 0 are index 1 of schema -1.
    let mut coarse = exponential(-1, 1, &[1.0]);
    coarse.add(&exponential(0, 1, &[2.0, 2.0]).view()).unwrap();
    assert_eq!((coarse.layout.schema, coarse.positive_buckets.as_slice()), (-1, &[5.0][..]));
    let mut gone = exponential(0, 0, &[1.0, 2.0]);
    gone.subtract(&exponential(0, 0, &[1.0, 1.0]).view()).unwrap();
    gone.compact();
    assert_eq!((gone.layout.positive_spans, gone.positive_buckets), (spans(&[(1, 1)]), vec![1.0]));
    assert_eq!(gone.layout.counter_reset_hint, CounterResetHint::Gauge);
}

#[test]
fn a_wider_zero_bucket_takes_in_the_buckets_that_it_reaches() {
    let mut a = exponential(0, -2, &[1.0, 2.0, 3.0]);
    let mut b = exponential(0, 0, &[1.0]);
    // Within the bucket from 0.25 to 0.5, whose end it takes.
    (b.layout.zero_threshold, b.zero_count) = (0.3, 7.0);
    a.add(&b.view()).unwrap();
    assert_eq!((a.layout.zero_threshold, a.zero_count), (0.5, 10.0));
    assert_eq!(
        (a.layout.positive_spans.as_slice(), a.positive_buckets.as_slice()),
        (&spans(&[(0, 1)])[..], &[4.0][..])
    );
}

#[test]
fn custom_buckets_keep_the_bounds_that_both_have() {
    let mut a = custom(&[2.0, 4.0, 6.0], &[1.0, 2.0, 5.0, 7.0]);
    let b = custom(&[1.0, 2.0, 3.0, 6.0], &[1.0, 1.0, 1.0, 1.0, 1.0]);
    assert!(a.add(&b.view()).unwrap().bounds_reconciled);
    assert_eq!(
        (a.layout.custom_bounds.as_slice(), a.positive_buckets.as_slice()),
        (&[2.0, 6.0][..], &[3.0, 9.0, 8.0][..])
    );
    assert_eq!(a.add(&exponential(0, 0, &[1.0]).view()), Err(IncompatibleBuckets));
}

#[test]
fn sums_keep_what_single_floats_lose() {
    let with_sum = |sum| FloatHistogram { sum, ..exponential(0, 0, &[1.0]) };
    for (kind, want) in [(SumKind::Sum, 2.0), (SumKind::Mean, 0.5)] {
        let mut all = HistogramSum::new(kind, &with_sum(1.0).view());
        for sum in [1e100, 1.0, -1e100] {
            all.add(&with_sum(sum).view()).unwrap();
        }
        assert_eq!(all.value().sum, want);
    }
    let mut mean = HistogramSum::new(SumKind::Mean, &with_sum(f64::MAX).view());
    mean.add(&with_sum(f64::MAX).view()).unwrap();
    assert_eq!(mean.value().sum, f64::MAX);
    assert_eq!(mean.value().positive_buckets, [1.0]);
}

#[test]
fn resets_are_seen_in_any_bucket_unless_the_hint_knows_better() {
    let before = exponential(0, 0, &[1.0, 2.0, 1.0]);
    for (now, reset) in [
        (exponential(0, 0, &[1.0, 1.0, 3.0]), true),
        (exponential(0, 0, &[1.0, 2.0, 3.0]), false),
        (exponential(0, 1, &[9.0, 9.0]), true),
        (exponential(1, 0, &[9.0, 9.0, 9.0, 9.0, 9.0]), true),
        (exponential(-1, 0, &[1.0, 3.0]), false),
        (exponential(-1, 0, &[2.0, 2.0]), true),
        (custom(&[1.0], &[9.0, 9.0]), true),
    ] {
        assert_eq!(now.view().is_reset_since(&before.view()), reset, "{now:?}");
        let mut hinted = now.clone();
        hinted.layout.counter_reset_hint =
            if reset { CounterResetHint::NotReset } else { CounterResetHint::Reset };
        assert_eq!(hinted.view().is_reset_since(&before.view()), !reset, "{hinted:?}");
    }
    let narrow = custom(&[5.0], &[1.0]);
    assert!(!custom(&[5.0, 10.0], &[1.0]).view().is_reset_since(&narrow.view()));
    assert!(custom(&[5.0, 10.0], &[0.0, 1.0]).view().is_reset_since(&narrow.view()));
}

#[test]
fn equality_looks_at_observations_and_not_at_hints_or_spans() {
    let a = exponential(0, 0, &[1.0, 2.0]);
    let mut b = a.clone();
    b.layout.counter_reset_hint = CounterResetHint::Gauge;
    b.layout.positive_spans = spans(&[(0, 1), (0, 1)]);
    assert!(a.view().same_observations(&b.view()));
    b.sum += 1.0;
    assert!(!a.view().same_observations(&b.view()));
}
