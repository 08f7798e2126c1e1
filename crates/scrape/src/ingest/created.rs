//! `Created`: since when families of OpenMetrics have been counted, as their lines `_created` say it. Stores
//! nothing.

use skopos_exposition::{Entry, Format, Parser, Sample};
use skopos_model::{MetricType, TimestampMs};
use std::collections::HashMap;

/// What the names of such lines end with.
const SUFFIX: &str = "_created";
/// Labels that tell the samples of one metric apart.
const LE: &str = "le";
const QUANTILE: &str = "quantile";

/// Times by the metric, which is written as the series of its family without the labels of its parts.
#[derive(Debug, Default)]
pub(super) struct Created {
    starts: HashMap<String, TimestampMs>,
    /// Free for the metric of a sample.
    metric: String,
}

impl Created {
    /// Those of a whole body.
    pub(super) fn of(body: &[u8]) -> Self {
        let (mut starts, mut behind) = (HashMap::new(), 0);
        for at in memchr::memmem::find_iter(body, SUFFIX) {
            if at < behind {
                continue;
            }
            let from = memchr::memrchr(b'\n', &body[..at]).map_or(0, |end| end + 1);
            behind = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |end| at + end + 1);
            // What is no line is the error of who reads the body.
            let line = Parser::new(Format::OpenMetrics, &body[from..behind]).next();
            let Some(Ok(Entry::Sample(sample))) = line else { continue };
            let name = sample.series.metric_name();
            let Some(family) = name.strip_suffix(SUFFIX) else { continue };
            let ms = sample.value * 1000.0;
            if ms.is_finite() && ms > 0.0 {
                let mut metric = String::new();
                sample.series.renamed_into(family, LE, &mut metric);
                starts.insert(metric, TimestampMs::new(ms as i64));
            }
        }
        Self { starts, metric: String::new() }
    }

    /// Whether a sample behind what is said of `family` says since when that has been counted.
    pub(super) fn is_said_by(sample: &Sample<'_>, family: Option<(&str, MetricType)>) -> bool {
        let counts = family.is_some_and(|(_, metric_type)| is_counted(metric_type));
        counts && sample.series.metric_name().ends_with(SUFFIX)
    }

    /// Since when a sample behind what is said of `family` has been counted.
    pub(super) fn start(
        &mut self,
        sample: &Sample<'_>,
        family: Option<(&str, MetricType)>,
    ) -> Option<TimestampMs> {
        let (family, metric_type) = family.filter(|(_, metric_type)| is_counted(*metric_type))?;
        if self.starts.is_empty() || !sample.series.metric_name().starts_with(family) {
            return None;
        }
        let of_part = if metric_type == MetricType::Summary { QUANTILE } else { LE };
        self.metric.clear();
        sample.series.renamed_into(family, of_part, &mut self.metric);
        self.starts.get(&self.metric).copied()
    }
}

/// Whether values of a type are counted since a time.
fn is_counted(metric_type: MetricType) -> bool {
    matches!(metric_type, MetricType::Counter | MetricType::Histogram | MetricType::Summary)
}
