//! Native histograms as the scripts write them, `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`; the hints that
//! a storage gives them; and the native twins of classic histograms.

use crate::points::{Point, number};
use skopos_model::{CounterResetHint, FloatHistogram, Labels, Layout, Span};
use std::collections::BTreeMap;

/// A histogram as written, and whether its hint was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) histogram: FloatHistogram,
    pub(crate) has_hint: bool,
}

/// Reads what stands between the braces.
pub(crate) fn parse(text: &str) -> Option<Written> {
    let mut out = FloatHistogram::default();
    let (mut offset, mut negative_offset, mut has_hint) = (0, 0, false);
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, value) = rest.split_once(':')?;
        let end = if value.starts_with('[') {
            value.find(']')? + 1
        } else {
            value.find(char::is_whitespace).unwrap_or(value.len())
        };
        let (value, behind) = value.split_at(end);
        rest = behind.trim_start();
        let list = || -> Option<Vec<f64>> {
            let inner = value.strip_prefix('[')?.strip_suffix(']')?;
            inner.split_whitespace().map(number).collect()
        };
        match key {
            "schema" => out.layout.schema = value.parse().ok()?,
            "sum" => out.sum = number(value)?,
            "count" => out.count = number(value)?,
            "z_bucket" => out.zero_count = number(value)?,
            "z_bucket_w" => out.layout.zero_threshold = number(value)?,
            "custom_values" => out.layout.custom_bounds = list()?,
            "buckets" => out.positive_buckets = list()?,
            "n_buckets" => out.negative_buckets = list()?,
            "offset" => offset = value.parse().ok()?,
            "n_offset" => negative_offset = value.parse().ok()?,
            "counter_reset_hint" => {
                has_hint = true;
                out.layout.counter_reset_hint = match value {
                    "unknown" => CounterResetHint::Unknown,
                    "reset" => CounterResetHint::Reset,
                    "not_reset" => CounterResetHint::NotReset,
                    "gauge" => CounterResetHint::Gauge,
                    _ => return None,
                };
            }
            _ => return None,
        }
    }
    let spans = |offset, buckets: &[f64]| match buckets.len() {
        0 => Vec::new(),
        n => vec![Span { offset, length: n as u32 }],
    };
    out.layout.positive_spans = spans(offset, &out.positive_buckets);
    out.layout.negative_spans = spans(negative_offset, &out.negative_buckets);
    Some(Written { histogram: out, has_hint })
}

/// Gives each histogram of a series the hint with which it comes back from a storage: one that could be put
/// into the chunk of the one before was not reset; of the first of a chunk nothing is known.
pub(crate) fn give_hints<'a>(points: impl Iterator<Item = &'a mut Point>) {
    let mut before: Option<FloatHistogram> = None;
    for point in points {
        let Point::Histogram(written) = point else {
            before = None;
            continue;
        };
        let histogram = &mut written.histogram;
        if histogram.layout.counter_reset_hint == CounterResetHint::Gauge {
            before = None;
            continue;
        }
        let fits = |before: &FloatHistogram| {
            let mut plain = histogram.clone();
            plain.layout.counter_reset_hint = CounterResetHint::Unknown;
            let (a, b) = (&before.layout, &plain.layout);
            let same = a.schema == b.schema
                && a.zero_threshold == b.zero_threshold
                && a.custom_bounds == b.custom_bounds;
            same && !plain.view().is_reset_since(&before.view())
        };
        let appended = before.as_ref().is_some_and(fits);
        histogram.layout.counter_reset_hint =
            if appended { CounterResetHint::NotReset } else { CounterResetHint::Unknown };
        before = Some(histogram.clone());
    }
}

/// What is known of a native twin at one time.
#[derive(Clone, Debug, Default)]
struct Twin {
    buckets: BTreeMap<u64, f64>,
    count: Option<f64>,
    sum: f64,
}

/// Native histograms with custom buckets, made of the series of classic ones.
#[derive(Debug, Default)]
pub(crate) struct Twins(BTreeMap<Labels, BTreeMap<i64, Twin>>);

impl Twins {
    /// Takes in a point of a series, if it is part of a classic histogram.
    pub(crate) fn add(&mut self, labels: &Labels, at: i64, value: f64) {
        let Some(name) = labels.metric_name() else { return };
        let found = ["_bucket", "_count", "_sum"].iter().find_map(|s| Some((*s, name.strip_suffix(s)?)));
        let Some((suffix, base)) = found else { return };
        let bound = labels.get("le");
        if (suffix == "_bucket") != bound.is_some() {
            return;
        }
        let others = labels.iter().filter(|(n, _)| !matches!(*n, "le" | "__name__"));
        let labels = Labels::from_pairs(others.chain([("__name__", base)]));
        let twin = self.0.entry(labels).or_default().entry(at).or_default();
        match suffix {
            "_count" => twin.count = Some(value),
            "_sum" => twin.sum = value,
            _ => {
                let upper = bound.and_then(number).expect("a bound is a number");
                // The order of these bits is that of the numbers.
                let bits = upper.to_bits();
                let key = if upper < 0.0 { !bits } else { bits | 1 << 63 };
                twin.buckets.insert(key, value);
            }
        }
    }

    /// All of them, of which none counts less at a higher bound.
    pub(crate) fn finish(self) -> impl Iterator<Item = (Labels, i64, FloatHistogram)> {
        let of_series = |(labels, twins): (Labels, BTreeMap<i64, Twin>)| {
            twins.into_iter().filter_map(move |(at, twin)| Some((labels.clone(), at, twin.finish()?)))
        };
        self.0.into_iter().flat_map(of_series)
    }
}

impl Twin {
    fn finish(self) -> Option<FloatHistogram> {
        let bound = |key: u64| f64::from_bits(if key >> 63 == 0 { !key } else { key & !(1 << 63) });
        let (mut bounds, mut counts, mut before) = (Vec::new(), Vec::new(), 0.0);
        for (key, count) in self.buckets {
            if count < before {
                return None;
            }
            if bound(key) == f64::INFINITY {
                counts.push(count - before);
                before = count;
                break;
            }
            bounds.push(bound(key));
            counts.push(count - before);
            before = count;
        }
        let count = self.count.unwrap_or(before);
        if count > before {
            counts.push(count - before);
        }
        let layout = Layout {
            schema: -53,
            custom_bounds: bounds,
            positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
            ..Layout::default()
        };
        let buckets = counts;
        Some(FloatHistogram { layout, count, sum: self.sum, positive_buckets: buckets, ..Default::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_read_with_all_their_parts() {
        let text = "schema:1 count:12 sum:-18.4 z_bucket:2 z_bucket_w:0.001 buckets:[1 2 0] offset:-1 \
                    n_buckets:[1E+2] n_offset:3 counter_reset_hint:gauge";
        let Written { histogram: h, has_hint } = parse(text).unwrap();
        assert!(has_hint);
        assert_eq!((h.layout.schema, h.count, h.sum, h.zero_count), (1, 12.0, -18.4, 2.0));
        assert_eq!(h.layout.positive_spans, [Span { offset: -1, length: 3 }]);
        assert_eq!(h.layout.negative_spans, [Span { offset: 3, length: 1 }]);
        assert_eq!((h.negative_buckets, h.layout.zero_threshold), (vec![100.0], 0.001));
        assert_eq!(h.layout.counter_reset_hint, CounterResetHint::Gauge);
        assert_eq!(parse("").unwrap().histogram, FloatHistogram::default());
        assert!(parse("buckets:1").is_none() && parse("nothing:1").is_none());
    }

    #[test]
    fn twins_have_the_differences_of_neighbouring_buckets() {
        let mut twins = Twins::default();
        let labels = |le: &str| Labels::from_pairs([("__name__", "h_bucket"), ("le", le), ("a", "b")]);
        for (le, count) in [("-1", 1.0), ("2", 3.0), ("0.5", 1.0), ("+Inf", 7.0)] {
            twins.add(&labels(le), 5, count);
        }
        twins.add(&Labels::from_pairs([("__name__", "h_sum"), ("a", "b")]), 5, 9.5);
        let all: Vec<_> = twins.finish().collect();
        let (labels, at, h) = &all[0];
        assert_eq!((labels.to_string(), *at, all.len()), ("h{a=\"b\"}".to_owned(), 5, 1));
        assert_eq!((h.layout.custom_bounds.as_slice(), h.sum, h.count), (&[-1.0, 0.5, 2.0][..], 9.5, 7.0));
        assert_eq!(h.positive_buckets, [1.0, 0.0, 2.0, 4.0]);
    }
}
