//! Where the buckets of a histogram begin and end, and its buckets from the lowest to the highest. Changes
//! no histogram.

use super::{Layout, bucket_indexes};
use crate::HistogramView;

/// One bucket. It reaches from `lower` to `upper`; which of its ends belongs to it says `bounds`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// Observations in it.
    pub count: f64,
    /// Which ends belong to it.
    pub bounds: Bounds,
}

/// Which ends of a bucket belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// The upper one: positive and custom buckets.
    Upper = 0,
    /// The lower one: negative buckets.
    Lower = 1,
    /// Both: the zero bucket, and the first custom bucket.
    Both = 3,
}

/// The upper end of the positive bucket `index`; of custom buckets the last one has none.
pub fn upper_bound(layout: &Layout, index: i64) -> f64 {
    if layout.has_custom_bounds() {
        let Ok(index) = usize::try_from(index) else { return f64::NEG_INFINITY };
        return layout.custom_bounds.get(index).copied().unwrap_or(f64::INFINITY);
    }
    exponential_bound(layout.schema, index)
}

/// The finest resolution that there is, and how many bounds it has between a power of two and the next.
const FINEST_SCHEMA: i32 = 8;
const FINEST_BOUNDS: usize = 1 << FINEST_SCHEMA;

/// The bounds of the finest resolution from a half up to one; the coarser ones have every second, fourth, …
/// of them. They are those that Prometheus has, to the last bit: it keeps a table that was made by
/// multiplying each second bound, of the one before, with the root of two for the resolution, whose first is
/// rounded down. They differ from the nearest floats by up to four units in the last place.
const BOUNDS: [f64; FINEST_BOUNDS] = {
    let roots = [
        f64::from_bits(0x3ff6_a09e_667f_3bcc),
        f64::from_bits(0x3ff3_06fe_0a31_b715),
        f64::from_bits(0x3ff1_72b8_3c7d_517b),
        f64::from_bits(0x3ff0_b558_6cf9_890f),
        f64::from_bits(0x3ff0_59b0_d315_8574),
        f64::from_bits(0x3ff0_2c9a_3e77_8061),
        f64::from_bits(0x3ff0_163d_a9fb_3335),
        f64::from_bits(0x3ff0_0b1a_fa5a_bcbf),
    ];
    let mut all = [0.5; FINEST_BOUNDS];
    let mut schema = 1;
    while schema <= roots.len() {
        let distance = FINEST_BOUNDS >> schema;
        let mut at = distance;
        while at < FINEST_BOUNDS {
            all[at] = all[at - distance] * roots[schema - 1];
            at += 2 * distance;
        }
        schema += 1;
    }
    all
};

/// The bound `2^(index / 2^schema)`, of the last bucket that floats reach into the greatest float.
fn exponential_bound(schema: i32, index: i64) -> f64 {
    let (exponent, part) = if schema <= 0 {
        (index.saturating_mul(1i64 << (-schema).min(30)), 0.5)
    } else {
        // Nothing finer is ever read: decoders refuse it.
        let schema = schema.min(FINEST_SCHEMA);
        let fraction = (index & ((1 << schema) - 1)) as usize;
        (index >> schema, BOUNDS[fraction << (FINEST_SCHEMA - schema)])
    };
    if part == 0.5 && exponent == 1024 {
        return f64::MAX;
    }
    // Two factors, for below the normal numbers one of them alone would be zero already.
    let exponent = exponent.clamp(-2200, 2200) as i32 + 1;
    part * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
}

impl HistogramView<'_> {
    /// Puts the buckets, growing, in place of what `into` holds: negative ones, the zero bucket if anything
    /// is in it, positive ones. Buckets without observations are among them.
    pub fn buckets_into(&self, into: &mut Vec<Bucket>) {
        into.clear();
        let negative = bucket_indexes(&self.layout.negative_spans).zip(self.negative_buckets);
        into.extend(negative.map(|(index, count)| Bucket {
            lower: -upper_bound(self.layout, index),
            upper: -upper_bound(self.layout, index - 1),
            count: *count,
            bounds: Bounds::Lower,
        }));
        into.reverse();
        if self.zero_count > 0.0 {
            let (lower, upper) = (-self.layout.zero_threshold, self.layout.zero_threshold);
            into.push(Bucket { lower, upper, count: self.zero_count, bounds: Bounds::Both });
        }
        let custom = self.layout.has_custom_bounds();
        let positive = bucket_indexes(&self.layout.positive_spans).zip(self.positive_buckets);
        into.extend(positive.map(|(index, count)| Bucket {
            lower: upper_bound(self.layout, index - 1),
            upper: upper_bound(self.layout, index),
            count: *count,
            // The first custom bucket has all that is not above its end.
            bounds: if custom && index == 0 { Bounds::Both } else { Bounds::Upper },
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FloatHistogram, Span};

    #[test]
    fn bounds_are_powers_of_the_base() {
        let layout = |schema| Layout { schema, ..Layout::default() };
        for (schema, index, bound) in [
            (0, 0, 1.0),
            (0, -1, 0.5),
            (0, 1024, f64::MAX),
            (0, -1074, f64::from_bits(1)),
            (-1, 2, 16.0),
            (-4, 64, f64::MAX),
            // As Prometheus has it: one step below the root.
            (1, 1, std::f64::consts::SQRT_2.next_down()),
            (3, -4, 0.7071067811865475),
            (8, 1, 1.0027112750502025),
            (8, -1, 0.9972960560854698),
            (8, -1022 * 256 - 255, 1.115553322872315e-308),
            (8, 1024 * 256 - 1, 1.7928322734501122e308),
            (2, -4, 0.5),
            (8, 256, 2.0),
        ] {
            assert_eq!(upper_bound(&layout(schema), index), bound, "{schema} {index}");
        }
        let custom = Layout { schema: -53, custom_bounds: vec![1.5, 4.0], ..Layout::default() };
        let bounds: Vec<_> = (-1..=2).map(|i| upper_bound(&custom, i)).collect();
        assert_eq!(bounds, [f64::NEG_INFINITY, 1.5, 4.0, f64::INFINITY]);
    }

    #[test]
    fn buckets_grow_from_the_most_negative_on() {
        let spans = vec![Span { offset: 0, length: 2 }];
        let layout = Layout {
            zero_threshold: 0.25,
            positive_spans: spans.clone(),
            negative_spans: spans,
            ..Layout::default()
        };
        let h = FloatHistogram {
            layout,
            zero_count: 3.0,
            positive_buckets: vec![4.0, 5.0],
            negative_buckets: vec![2.0, 1.0],
            ..FloatHistogram::default()
        };
        let mut all = Vec::new();
        h.view().buckets_into(&mut all);
        let got: Vec<_> = all.iter().map(|b| (b.lower, b.upper, b.count)).collect();
        let want =
            [(-2.0, -1.0, 1.0), (-1.0, -0.5, 2.0), (-0.25, 0.25, 3.0), (0.5, 1.0, 4.0), (1.0, 2.0, 5.0)];
        assert_eq!(got, want);
    }
}
