//! The series that every scrape leaves about itself: `up` and its companions.

use crate::{ingest::Tally, status::Health, target::Target};
use skopos_model::{Labels, LabelsBuilder, SeriesRef, TimestampMs, name::METRIC_NAME, stale_nan};
use skopos_storage::{Append, AppendError, Appender, KeptSeries, SeriesId};
use std::time::Duration;

/// Those that every scrape leaves, and those of a job that wants more (`extra_scrape_metrics`).
const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
/// How many every scrape leaves.
const USUAL: usize = 5;

/// The report series of one target.
#[derive(Debug)]
pub(crate) struct ReportSeries {
    /// Of the target.
    labels: Labels,
    series: [(Labels, Option<SeriesRef>); NAMES.len()],
    extra: Option<Extra>,
}

/// What is said of a target beyond the usual.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extra {
    timeout_secs: f64,
    sample_limit: f64,
}

impl Extra {
    fn of(target: &Target) -> Option<Self> {
        let (timeout_secs, sample_limit) =
            (target.timeout.as_secs_f64(), target.reading.limits.samples as f64);
        target.extra_metrics.then_some(Self { timeout_secs, sample_limit })
    }
}

impl ReportSeries {
    pub(crate) fn new(target: &Target) -> Self {
        let of = |name| {
            let mut builder = LabelsBuilder::from_labels(&target.labels);
            builder.set(METRIC_NAME, name);
            (builder.build(), None)
        };
        Self { labels: target.labels.clone(), series: NAMES.map(of), extra: Extra::of(target) }
    }

    /// Goes on with another target of the same labels.
    pub(crate) fn replaced_by(&mut self, target: &Target) {
        self.extra = Extra::of(target);
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
        let usual = [up, took.as_secs_f64(), scraped, relabelled, added];
        self.append_values(appender, at, 0, usual);
        match self.extra {
            Some(Extra { timeout_secs, sample_limit }) => {
                let extra = [timeout_secs, sample_limit, tally.body_bytes as f64];
                self.append_values(appender, at, USUAL, extra);
            }
            None => self.end(appender, at, USUAL),
        }
    }

    pub(crate) fn mark_stale(&mut self, appender: &mut dyn Appender, at: TimestampMs) {
        self.append_values(appender, at, 0, [stale_nan(); USUAL]);
        self.end(appender, at, USUAL);
    }

    /// Marks those from `first` on as ended that have samples.
    fn end(&mut self, appender: &mut dyn Appender, at: TimestampMs, first: usize) {
        for place in first..NAMES.len() {
            if self.series[place].1.is_some() {
                self.append_values(appender, at, place, [stale_nan()]);
                self.series[place].1 = None;
            }
        }
    }

    fn append_values<const N: usize>(
        &mut self,
        appender: &mut dyn Appender,
        at: TimestampMs,
        first: usize,
        values: [f64; N],
    ) {
        for ((labels, known), value) in self.series.iter_mut().skip(first).zip(values) {
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
