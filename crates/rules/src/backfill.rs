//! A recording rule over a time that has passed: which spans are asked for one by one, and which series an
//! answer becomes. Asks nobody and writes nothing.

use crate::{
    file::RecordingRule,
    schedule::Schedule,
    source::{AnswerSeries, AnswerValue},
};
use skopos_model::{DurationMs, Labels, LabelsBuilder, TimestampMs, name::METRIC_NAME};
use skopos_promql::Steps;
use std::collections::BTreeMap;

/// So long is what is asked for at once: a block.
const SPAN: DurationMs = DurationMs::from_secs(2 * 3600);

/// The times of `schedule` from `start` to `end`, both included, by blocks of two hours.
pub fn spans(schedule: Schedule, start: TimestampMs, end: TimestampMs) -> impl Iterator<Item = Steps> {
    let first = start.as_ms().div_euclid(SPAN.as_ms());
    let last = end.as_ms().div_euclid(SPAN.as_ms());
    (first..=last).filter_map(move |nth| {
        let begin = TimestampMs::new(nth.saturating_mul(SPAN.as_ms()));
        let from = schedule.first_from(begin.max(start));
        let to = begin.plus(DurationMs::from_ms(SPAN.as_ms() - 1)).min(end);
        (from <= to).then_some(Steps { start: from, end: to, step: schedule.interval() })
    })
}

/// Two series of an answer are the same one as soon as they have the labels of the rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "rule {rule:?} records two values of {labels} at {at}: its labels make different series of the \
     expression the same one"
)]
pub struct SameSeries {
    /// The rule.
    pub rule: String,
    /// The series.
    pub labels: Labels,
    /// When.
    pub at: TimestampMs,
}

/// What the rule records of an answer: every series under the rule's name and with its labels, each once.
///
/// # Errors
/// When a series would have two values at one time.
pub fn recorded(rule: &RecordingRule, answer: Vec<AnswerSeries>) -> Result<Vec<AnswerSeries>, SameSeries> {
    let mut all: BTreeMap<Labels, Vec<(TimestampMs, AnswerValue)>> = BTreeMap::new();
    let mut builder = LabelsBuilder::default();
    for series in answer {
        builder.clear();
        builder.extend(&series.labels);
        for (name, value) in &rule.labels {
            match value.is_empty() {
                true => builder.remove(name),
                false => builder.set(name, value),
            }
        }
        builder.set(METRIC_NAME, &rule.name);
        all.entry(builder.build()).or_default().extend(series.samples);
    }
    all.into_iter()
        .map(|(labels, mut samples)| {
            samples.sort_by_key(|(at, _)| *at);
            match samples.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                Some(pair) => Err(SameSeries { rule: rule.name.clone(), labels, at: pair[0].0 }),
                None => Ok(AnswerSeries { labels, samples }),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_promql::parse;

    fn ms(ms: i64) -> TimestampMs {
        TimestampMs::new(ms)
    }

    #[test]
    fn every_time_of_the_schedule_is_asked_for_once() {
        for (interval_s, start, end) in [
            (60, 0, 30_000_000),
            (7, -7_300_000, 123_456),
            (1, 7_199_000, 7_200_000),
            (10_800, 0, 100_000_000),
            (60, 5, 6),
        ] {
            let schedule = Schedule::new("f", "g", DurationMs::from_secs(interval_s));
            let mut got = Vec::new();
            for span in spans(schedule, ms(start), ms(end)) {
                let (from, to) = (span.start.as_ms(), span.end.as_ms());
                assert_eq!(from.div_euclid(SPAN.as_ms()), to.div_euclid(SPAN.as_ms()), "within one block");
                got.extend((from..=to).step_by(interval_s as usize * 1000));
            }
            let first = schedule.first_from(ms(start)).as_ms();
            let expected: Vec<i64> = (first..=end).step_by(interval_s as usize * 1000).collect();
            assert_eq!(got, expected, "{interval_s} s from {start} to {end}");
        }
    }

    fn rule(labels: &[(&str, &str)]) -> RecordingRule {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        RecordingRule { name: "r".into(), expr: parse("1").unwrap(), labels }
    }

    fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> AnswerSeries {
        let samples = samples.iter().map(|(at, v)| (ms(*at), AnswerValue::Float(*v))).collect();
        AnswerSeries { labels: Labels::from_pairs(labels.iter().copied()), samples }
    }

    #[test]
    fn the_name_and_labels_of_the_rule_count_before_those_of_the_answer() {
        let answer = vec![series(&[("__name__", "x"), ("a", "1"), ("b", "2"), ("c", "3")], &[(1, 1.0)])];
        let got = recorded(&rule(&[("b", "rule"), ("c", "")]), answer).unwrap();
        assert_eq!(got, [series(&[("__name__", "r"), ("a", "1"), ("b", "rule")], &[(1, 1.0)])]);
    }

    #[test]
    fn series_that_become_one_are_joined_where_their_times_differ_and_refused_where_not() {
        let one = |at| series(&[("a", "1")], &[(at, 1.0)]);
        let two = |at| series(&[("a", "2")], &[(at, 2.0)]);
        let rule = rule(&[("a", "x")]);
        let got = recorded(&rule, vec![one(20), two(10)]).unwrap();
        assert_eq!(got, [series(&[("__name__", "r"), ("a", "x")], &[(10, 2.0), (20, 1.0)])]);
        let error = recorded(&rule, vec![one(10), two(10)]).unwrap_err();
        assert_eq!(error.at, ms(10));
        assert!(error.to_string().contains(r#"r{a="x"}"#), "{error}");
    }
}
