//! The labels of a target's series: its own, put together with those of its job, and what the job's rules
//! make of them.

use crate::{
    ingest::MetadataLabels,
    target::{Reading, ScrapeLimits},
};
use skopos_exposition::{DuplicateLabel, Series};
use skopos_model::{
    Labels, LabelsBuilder, Metadata, MetricType,
    float::write_bound,
    name::{BUCKET_LABEL, METRIC_TYPE, METRIC_UNIT},
};
use skopos_relabel::Kept;

/// Before a name that the target and its job both use.
const EXPORTED: &str = "exported_";

/// How the target's labels and the series' labels become one set.
#[derive(Debug)]
pub(crate) struct SeriesLabels {
    target: Labels,
    reading: Reading,
    metadata_labels: MetadataLabels,
    builder: LabelsBuilder,
}

impl SeriesLabels {
    pub(crate) fn new(target: Labels, reading: Reading) -> Self {
        let (metadata_labels, builder) = Default::default();
        Self { target, reading, metadata_labels, builder }
    }

    pub(crate) fn metadata_labels(&self) -> MetadataLabels {
        self.metadata_labels
    }

    /// What of its metadata is in the labels of a series from now on.
    pub(crate) fn set_metadata_labels(&mut self, metadata_labels: MetadataLabels) {
        self.metadata_labels = metadata_labels;
    }

    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Reads the same lines otherwise from now on.
    pub(crate) fn set_reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    /// The labels under which a series is stored, of whose metric `metadata` says what is known; none where
    /// the rules drop it.
    pub(crate) fn of<'m>(
        &mut self,
        series: Series<'_>,
        metadata: impl FnOnce() -> Option<&'m Metadata>,
    ) -> Result<Option<Labels>, LabelsError> {
        self.put_together(series, metadata).map_err(|twice| LabelsError::Twice(twice.label))?;
        let Self { builder, reading, .. } = self;
        if reading.rules.is_empty() {
            let labels = builder.build();
            return reading.check(&labels).map(|()| Some(labels));
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
        reading.check(&labels).map(|()| Some(labels))
    }

    /// The labels of both into the builder; type and unit of `metadata` among them.
    fn put_together<'m>(
        &mut self,
        series: Series<'_>,
        metadata: impl FnOnce() -> Option<&'m Metadata>,
    ) -> Result<(), DuplicateLabel> {
        let builder = &mut self.builder;
        builder.clear();
        series.labels_into(builder)?;
        let has_bound = [BUCKET_LABEL, QUANTILE_LABEL].iter().any(|bound| builder.get(bound).is_some());
        let in_labels = self.metadata_labels == MetadataLabels::TypeAndUnit;
        let metadata = if has_bound || in_labels { metadata() } else { None };
        if let Some(metadata) = metadata {
            write_bounds_alike(builder, metadata.metric_type);
        }
        if let Some(Metadata { metric_type, unit, .. }) = metadata.filter(|_| in_labels) {
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

/// Whether a target writes a bound as `1` or as `1.0`, its series is the same.
fn write_bounds_alike(builder: &mut LabelsBuilder, metric_type: MetricType) {
    let label = match metric_type {
        MetricType::Histogram | MetricType::GaugeHistogram => BUCKET_LABEL,
        MetricType::Summary => QUANTILE_LABEL,
        _ => return,
    };
    let Some(bound) = builder.get(label).and_then(parse_bound) else { return };
    let mut out = Vec::with_capacity(24);
    write_bound(&mut out, bound);
    let text = String::from_utf8(out).expect("invariant: numbers are ASCII");
    builder.set(label, &text);
}

/// A number as Go reads it, as far as bounds are written by anybody.
fn parse_bound(text: &str) -> Option<f64> {
    let bound: f64 = text.parse().ok()?;
    let is_word = text.trim_start_matches(['+', '-']).starts_with(['i', 'I', 'n', 'N']);
    (bound.is_finite() || is_word).then_some(bound)
}

/// The label that says which part of all observations is below a value.
const QUANTILE_LABEL: &str = "quantile";

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
    /// The job takes no such names.
    #[error(
        "invalid metric name or label names: {labels}: metric_name_validation_scheme is legacy and takes no \
         UTF-8"
    )]
    Names {
        /// Those of the series.
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

impl Reading {
    fn check(&self, labels: &Labels) -> Result<(), LabelsError> {
        if !self.names.takes(labels) {
            return Err(LabelsError::Names { labels: labels.clone() });
        }
        self.limits.check(labels)
    }
}

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
        Ok(labels.of(sample.series, || None)?.map(|labels| labels.to_string()))
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
