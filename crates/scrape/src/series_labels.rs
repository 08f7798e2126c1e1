//! The labels of a target's series: its own, put together with those of its job.

use crate::target::Reading;
use skopos_exposition::{DuplicateLabel, Series};
use skopos_model::{
    Labels, LabelsBuilder, Metadata, MetricType,
    name::{METRIC_TYPE, METRIC_UNIT},
};

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

    /// The labels under which a series is stored; type and unit of `metadata` among them.
    pub(crate) fn of(
        &mut self,
        series: Series<'_>,
        metadata: Option<&Metadata>,
    ) -> Result<Labels, DuplicateLabel> {
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
        Ok(builder.build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_exposition::{Entry, Format, Parser};

    const JOB_WINS: Reading = Reading { honor_labels: false, honor_timestamps: true };
    const TARGET_WINS: Reading = Reading { honor_labels: true, ..JOB_WINS };

    #[track_caller]
    fn check(reading: Reading, series: &str, expected: &str) {
        let target = Labels::from_pairs([("instance", "h:1"), ("job", "j")]);
        let mut labels = SeriesLabels::new(target, reading);
        let line = format!("{series} 1\n");
        let Some(Ok(Entry::Sample(sample))) = Parser::new(Format::Text, line.as_bytes()).next() else {
            panic!("no sample: {line}");
        };
        assert_eq!(labels.of(sample.series, None).unwrap().to_string(), expected);
    }

    #[test]
    fn the_job_wins_unless_it_honors_the_targets_labels() {
        check(JOB_WINS, "up", r#"up{instance="h:1", job="j"}"#);
        check(JOB_WINS, r#"a{job="x"}"#, r#"a{exported_job="x", instance="h:1", job="j"}"#);
        check(TARGET_WINS, r#"a{job="x"}"#, r#"a{instance="h:1", job="x"}"#);
        check(TARGET_WINS, r#"a{job=""}"#, r#"a{instance="h:1"}"#);
        check(
            JOB_WINS,
            r#"a{job="x",exported_job="y"}"#,
            r#"a{exported_exported_job="x", exported_job="y", instance="h:1", job="j"}"#,
        );
    }
}
