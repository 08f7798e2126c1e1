//! The labels of a target's series: its own, put together with those of its job, and what the job's rules
//! make of them.

use crate::target::{Reading, ScrapeLimits};
use skopos_exposition::{DuplicateLabel, Series};
use skopos_model::{
    Labels, LabelsBuilder, Metadata, MetricType,
    name::{METRIC_TYPE, METRIC_UNIT},
};
use skopos_relabel::Kept;

/// Before a name that the target and its job both use.
const EXPORTED: &str = "exported_";

/// How the target's labels and the series' labels become one set.
#[derive(Debug)]
pub(crate) struct SeriesLabels {
    target: Labels,
    reading: Reading,
    builder: LabelsBuilder,
}

impl SeriesLabels {
    pub(crate) fn new(target: Labels, reading: Reading) -> Self {
        Self { target, reading, builder: LabelsBuilder::default() }
    }

    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Reads the same lines otherwise from now on.
    pub(crate) fn set_reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    /// The labels under which a series is stored; none where the rules drop it.
    pub(crate) fn of(
        &mut self,
        series: Series<'_>,
        metadata: Option<&Metadata>,
    ) -> Result<Option<Labels>, LabelsError> {
        self.put_together(series, metadata).map_err(|twice| LabelsError::Twice(twice.label))?;
        let Self { builder, reading, .. } = self;
        if reading.rules.is_empty() {
            let labels = builder.build();
            return reading.limits.check(&labels).map(|()| Some(labels));
        }
        if reading.rules.apply(builder) == Kept::No {
            return Ok(None);
        }
        let labels = builder.build();
        if labels.is_empty() {
            return Ok(None);
        }
        if labels.metric_name().is_none() {
            return Err(LabelsError::NoName { labels });
        }
        reading.limits.check(&labels).map(|()| Some(labels))
    }

    /// The labels of both into the builder; type and unit of `metadata` among them.
    fn put_together(
        &mut self,
        series: Series<'_>,
        metadata: Option<&Metadata>,
    ) -> Result<(), DuplicateLabel> {
        let builder = &mut self.builder;
        builder.clear();
        series.labels_into(builder)?;
        if let Some(Metadata { metric_type, unit, .. }) = metadata {
            if *metric_type != MetricType::Unknown {
                builder.set(METRIC_TYPE, metric_type.as_str());
            }
            if !unit.is_empty() {
                builder.set(METRIC_UNIT, unit);
            }
        }
        for (name, value) in &self.target {
            let Some(theirs) = builder.get(name).map(str::to_owned) else {
                // A label that is written with an empty value says: not even the job's.
                if !(self.reading.honor_labels && series.has_label(name)) {
                    builder.set(name, value);
                }
                continue;
            };
            if self.reading.honor_labels {
                continue;
            }
            let mut exported = format!("{EXPORTED}{name}");
            while builder.get(&exported).is_some() || self.target.get(&exported).is_some() {
                exported.insert_str(0, EXPORTED);
            }
            builder.set(&exported, &theirs);
            builder.set(name, value);
        }
        Ok(())
    }
}

/// Why a series has no labels under which it could be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LabelsError {
    /// Of this sample alone.
    #[error("the label {0} stands twice; each may stand once")]
    Twice(String),
    /// Rules have taken the name of the metric.
    #[error("metric_relabel_configs leave {labels} without the label __name__")]
    NoName {
        /// What they leave.
        labels: Labels,
    },
    /// A limit of the job.
    #[error("{limit} exceeded: the metric {metric:?} has {what}, the limit is {max}")]
    Limit {
        /// As files call it.
        limit: &'static str,
        /// The name of the metric.
        metric: String,
        /// What there is too much of.
        what: String,
        /// The limit.
        max: u64,
    },
}

/// So many bytes of a text an error shows.
const SHOWN_BYTES: usize = 50;

impl ScrapeLimits {
    fn check(&self, labels: &Labels) -> Result<(), LabelsError> {
        let shown = |text: &str| text.chars().take(SHOWN_BYTES).collect::<String>();
        let beyond = |limit, what: String, max| {
            let metric = shown(labels.metric_name().unwrap_or_default());
            Err(LabelsError::Limit { limit, metric, what, max })
        };
        let exceeds = |n: usize, max: u64| max > 0 && n as u64 > max;
        if exceeds(labels.len(), self.labels) {
            return beyond("label_limit", format!("{} labels", labels.len()), self.labels);
        }
        if self.label_name_bytes == 0 && self.label_value_bytes == 0 {
            return Ok(());
        }
        for (name, value) in labels {
            if exceeds(name.len(), self.label_name_bytes) {
                let what = format!("a label name of {} bytes, {}", name.len(), shown(name));
                return beyond("label_name_length_limit", what, self.label_name_bytes);
            }
            if exceeds(value.len(), self.label_value_bytes) {
                let what = format!("a value of {} bytes in the label {}", value.len(), shown(name));
                return beyond("label_value_length_limit", what, self.label_value_bytes);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_exposition::{Entry, Format, Parser};
    use skopos_relabel::{Action, RuleConfig, Rules};

    fn labels_of(reading: &Reading, series: &str) -> Result<Option<String>, LabelsError> {
        let target = Labels::from_pairs([("instance", "h:1"), ("job", "j")]);
        let mut labels = SeriesLabels::new(target, reading.clone());
        let line = format!("{series} 1\n");
        let Some(Ok(Entry::Sample(sample))) = Parser::new(Format::Text, line.as_bytes()).next() else {
            panic!("no sample: {line}");
        };
        Ok(labels.of(sample.series, None)?.map(|labels| labels.to_string()))
    }

    #[track_caller]
    fn check(reading: &Reading, series: &str, expected: &str) {
        assert_eq!(labels_of(reading, series).unwrap().as_deref(), Some(expected));
    }

    #[test]
    fn the_job_wins_unless_it_honors_the_targets_labels() {
        let job_wins = Reading::default();
        let target_wins = Reading { honor_labels: true, ..Reading::default() };
        check(&job_wins, "up", r#"up{instance="h:1", job="j"}"#);
        check(&job_wins, r#"a{job="x"}"#, r#"a{exported_job="x", instance="h:1", job="j"}"#);
        check(&target_wins, r#"a{job="x"}"#, r#"a{instance="h:1", job="x"}"#);
        check(&target_wins, r#"a{job=""}"#, r#"a{instance="h:1"}"#);
        check(
            &job_wins,
            r#"a{job="x",exported_job="y"}"#,
            r#"a{exported_exported_job="x", exported_job="y", instance="h:1", job="j"}"#,
        );
    }

    fn with_rule(rule: RuleConfig) -> Reading {
        Reading { rules: Rules::new(vec![rule]).unwrap(), ..Reading::default() }
    }

    #[test]
    fn rules_see_the_labels_of_both_and_may_drop_a_series() {
        let drop = RuleConfig {
            source_labels: vec!["__name__".into(), "job".into()],
            regex: "go_.*;j".into(),
            action: Action::Drop,
            ..RuleConfig::default()
        };
        let reading = with_rule(drop);
        assert_eq!(labels_of(&reading, "go_threads"), Ok(None));
        check(&reading, "up", r#"up{instance="h:1", job="j"}"#);
        let forget = |regex: &str| {
            with_rule(RuleConfig { regex: regex.into(), action: Action::LabelDrop, ..RuleConfig::default() })
        };
        check(&forget("instance|x"), r#"a{x="1"}"#, r#"a{job="j"}"#);
        assert_eq!(labels_of(&forget(".*"), "a"), Ok(None), "nothing is left of it");
        assert!(matches!(labels_of(&forget("__name__"), "a"), Err(LabelsError::NoName { .. })));
    }

    #[test]
    fn limits_are_those_of_what_the_rules_leave() {
        let limited = |limits| Reading { limits, ..Reading::default() };
        let none = ScrapeLimits::default();
        let (series, said) = (r#"a{long_name="long value"}"#, |reading: &Reading| {
            labels_of(reading, r#"a{long_name="long value"}"#).map_err(|e| e.to_string())
        });
        for (limits, text) in [
            (ScrapeLimits { labels: 3, ..none }, "label_limit exceeded: the metric \"a\" has 4 labels"),
            (
                ScrapeLimits { label_name_bytes: 8, ..none },
                "a label name of 9 bytes, long_name, the limit is 8",
            ),
            (ScrapeLimits { label_value_bytes: 9, ..none }, "a value of 10 bytes in the label long_name"),
        ] {
            let error = said(&limited(limits)).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
        let all = ScrapeLimits { labels: 4, label_name_bytes: 9, label_value_bytes: 10, ..none };
        check(&limited(all), series, r#"a{instance="h:1", job="j", long_name="long value"}"#);
    }
}
