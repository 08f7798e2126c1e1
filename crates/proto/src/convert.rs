//! Labels, matchers and histograms, to and from messages. Checks no histogram: what storage holds is sound,
//! and what comes from outside is checked by whoever stores it.

use crate::{
    ProtoError,
    messages::{
        BucketSpan, Count, Histogram as Written, Label, LabelMatcher, MatcherType, ResetHint, ZeroCount,
    },
};
use skopos_model::{
    FloatHistogram, Histogram, Labels, MatchOp, Matcher, TimestampMs,
    histogram::{CounterResetHint, Layout, Span},
    matcher::Regexes,
};
use std::collections::BTreeMap;

/// The labels of a series as a message, with those of `external` that it does not have itself.
pub fn labels(own: &Labels, external: &BTreeMap<String, String>) -> Vec<Label> {
    let missing = external.iter().filter(|(name, _)| own.get(name).is_none());
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let mut all: Vec<Label> = own.iter().map(|(name, value)| label(name, value)).collect();
    all.extend(missing.map(|(name, value)| label(name, value)));
    all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    all
}

/// How many conditions a query may have: every series is held against all of them.
pub const MAX_MATCHERS: usize = 1000;

/// The conditions of a query, one of several of a request that has an account of regular expressions.
///
/// # Errors
/// When there are too many, a comparison is not known, or a regular expression cannot be used.
pub fn matchers(given: &[LabelMatcher], regexes: &mut Regexes) -> Result<Vec<Matcher>, ProtoError> {
    if given.len() > MAX_MATCHERS {
        let many = format!("a query has {}, and may have {MAX_MATCHERS}", given.len());
        return Err(ProtoError::Matcher(many));
    }
    given.iter().map(|given| matcher(given, regexes)).collect()
}

fn matcher(given: &LabelMatcher, regexes: &mut Regexes) -> Result<Matcher, ProtoError> {
    let unknown = |_| ProtoError::Matcher(format!("its type is {}", given.r#type));
    let op = match MatcherType::try_from(given.r#type).map_err(unknown)? {
        MatcherType::Eq => MatchOp::Equal,
        MatcherType::Neq => MatchOp::NotEqual,
        MatcherType::Re => MatchOp::Regex,
        MatcherType::Nre => MatchOp::NotRegex,
    };
    regexes.matcher(&given.name, op, &given.value).map_err(|e| ProtoError::Matcher(e.to_string()))
}

/// A histogram with whole counts at a time.
pub fn histogram(at: TimestampMs, h: Histogram) -> Written {
    Written {
        count: Some(Count::CountInt(h.count)),
        sum: h.sum,
        zero_count: Some(ZeroCount::ZeroCountInt(h.zero_count)),
        negative_deltas: h.negative_deltas,
        positive_deltas: h.positive_deltas,
        ..of_layout(at, h.layout)
    }
}

/// A histogram with float counts at a time.
pub fn float_histogram(at: TimestampMs, h: FloatHistogram) -> Written {
    Written {
        count: Some(Count::CountFloat(h.count)),
        sum: h.sum,
        zero_count: Some(ZeroCount::ZeroCountFloat(h.zero_count)),
        negative_counts: h.negative_buckets,
        positive_counts: h.positive_buckets,
        ..of_layout(at, h.layout)
    }
}

fn of_layout(at: TimestampMs, layout: Layout) -> Written {
    let hint = match layout.counter_reset_hint {
        CounterResetHint::Unknown => ResetHint::Unknown,
        CounterResetHint::Reset => ResetHint::Yes,
        CounterResetHint::NotReset => ResetHint::No,
        CounterResetHint::Gauge => ResetHint::Gauge,
    };
    let spans = |spans: &[Span]| {
        spans.iter().map(|s| BucketSpan { offset: s.offset, length: s.length }).collect::<Vec<_>>()
    };
    Written {
        schema: layout.schema,
        zero_threshold: layout.zero_threshold,
        negative_spans: spans(&layout.negative_spans),
        positive_spans: spans(&layout.positive_spans),
        reset_hint: hint.into(),
        timestamp: at.as_ms(),
        custom_values: layout.custom_bounds,
        ..Written::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_labels_fill_in_what_a_series_lacks() {
        let external = BTreeMap::from([
            ("a".to_owned(), "outer".to_owned()),
            ("zone".to_owned(), "z".to_owned()),
            ("Zone".to_owned(), "Z".to_owned()),
        ]);
        let own = Labels::from_pairs([("__name__", "m"), ("a", "own"), ("x", "1")]);
        let all: Vec<_> = labels(&own, &external).into_iter().map(|l| (l.name, l.value)).collect();
        let expected = [("Zone", "Z"), ("__name__", "m"), ("a", "own"), ("x", "1"), ("zone", "z")];
        assert_eq!(all, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn comparisons_keep_their_meaning_and_unknown_ones_are_refused() {
        let of = |kind: i32, value: &str| {
            let given = LabelMatcher { r#type: kind, name: "n".to_owned(), value: value.to_owned() };
            matcher(&given, &mut Regexes::default())
        };
        for (kind, value, matching, other) in
            [(0, "a", "a", "b"), (1, "a", "b", "a"), (2, "a|c", "c", "b"), (3, "a|c", "b", "a")]
        {
            let m = of(kind, value).unwrap();
            assert!(m.matches(matching) && !m.matches(other), "{m:?}");
        }
        assert!(matches!(of(4, "a"), Err(ProtoError::Matcher(_))));
        assert!(matches!(of(2, "("), Err(ProtoError::Matcher(_))));
    }

    #[test]
    fn conditions_and_expressions_are_bounded_over_a_request() {
        let query = |kind: MatcherType, values: std::ops::Range<usize>| {
            let of =
                |i| LabelMatcher { r#type: kind.into(), name: "n".to_owned(), value: format!("[ab]{i}") };
            values.map(of).collect::<Vec<_>>()
        };
        let mut regexes = Regexes::default();
        assert!(matchers(&query(MatcherType::Eq, 0..MAX_MATCHERS), &mut regexes).is_ok());
        assert!(matchers(&query(MatcherType::Eq, 0..MAX_MATCHERS + 1), &mut regexes).is_err());
        for part in [0..40, 0..40, 40..64] {
            assert!(matchers(&query(MatcherType::Re, part), &mut regexes).is_ok());
        }
        let refused = matchers(&query(MatcherType::Nre, 64..65), &mut regexes).unwrap_err();
        assert!(refused.to_string().contains("limit of 64 regular expressions"), "{refused}");
    }
}
