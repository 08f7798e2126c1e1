//! The series that every scrape leaves about itself: `up` and its companions.

use crate::{ingest::Tally, status::Health};
use skopos_model::{Labels, LabelsBuilder, SeriesRef, TimestampMs, name::METRIC_NAME, stale_nan};
use skopos_storage::{Append, AppendError, Appender, KeptSeries, SeriesId};
use std::time::Duration;

const NAMES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// The report series of one target.
#[derive(Debug)]
pub(crate) struct ReportSeries {
    /// Of the target.
    labels: Labels,
    series: [(Labels, Option<SeriesRef>); NAMES.len()],
}

impl ReportSeries {
    pub(crate) fn new(target: &Labels) -> Self {
        let of = |name| {
            let mut builder = LabelsBuilder::from_labels(target);
            builder.set(METRIC_NAME, name);
            (builder.build(), None)
        };
        Self { labels: target.clone(), series: NAMES.map(of) }
    }

    /// The series of the target that are not these.
    pub(crate) fn all_but(&self) -> KeptSeries<'_> {
        KeptSeries { labels: &self.labels, except_metrics: &NAMES }
    }

    pub(crate) fn append(
        &mut self,
        appender: &mut dyn Appender,
        at: TimestampMs,
        took: Duration,
        tally: &Tally,
        health: Health,
    ) {
        let up = if health == Health::Up { 1.0 } else { 0.0 };
        let (scraped, added) = (tally.scraped as f64, tally.series_added as f64);
        // Samples that storage refuses count too.
        let relabelled = tally.kept() as f64;
        self.append_values(appender, at, [up, took.as_secs_f64(), scraped, relabelled, added]);
    }

    pub(crate) fn mark_stale(&mut self, appender: &mut dyn Appender, at: TimestampMs) {
        self.append_values(appender, at, [stale_nan(); NAMES.len()]);
    }

    fn append_values(&mut self, appender: &mut dyn Appender, at: TimestampMs, values: [f64; NAMES.len()]) {
        for ((labels, known), value) in self.series.iter_mut().zip(values) {
            let by_labels = Append::float(SeriesId::Labels(labels), at, value);
            let appended = match *known {
                Some(series) => match appender.append(&Append::float(SeriesId::Ref(series), at, value)) {
                    Err(AppendError::UnknownRef(_)) => appender.append(&by_labels),
                    other => other,
                },
                None => appender.append(&by_labels),
            };
            match appended {
                Ok(series) => *known = Some(series),
                // The clock went back: the time will come when it is later again.
                Err(error) => tracing::debug!(series = %labels, %error, "report sample refused"),
            }
        }
    }
}
