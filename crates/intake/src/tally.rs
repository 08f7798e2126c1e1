//! `Tally`: what became of a request's samples, and what its sender is told. Decides nothing.

use skopos_model::{Labels, LabelsBuilder, SeriesRef, name::METRIC_NAME};
use skopos_storage::AppendError;
use std::fmt::Write as _;

/// So many refusals are told in full.
const TOLD: u64 = 10;
/// So much of a series' labels is told.
const TOLD_BYTES: usize = 300;
/// So many metrics that were not known are remembered of a batch.
const METRICS_MAX: usize = 10_000;

/// What became of the samples.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) samples: u64,
    pub(crate) histograms: u64,
    pub(crate) exemplars: u64,
    /// Exemplars of series that have no sample.
    pub(crate) exemplars_passed_over: u64,
    /// Samples of series whose labels cannot be.
    pub(crate) invalid_labels: u64,
    /// All that was refused, those among it.
    pub(crate) refused: u64,
    /// What was refused for labels.
    of_labels: u64,
    lines: u64,
    text: String,
    /// Series that had not been known, by their metric.
    metrics: Vec<(Box<str>, SeriesRef)>,
}

impl Tally {
    /// Whether one more refusal would be told.
    pub(crate) fn tells_more(&self) -> bool {
        self.lines < TOLD
    }

    fn tell(&mut self, line: std::fmt::Arguments<'_>) {
        self.lines += 1;
        if self.lines <= TOLD {
            let _infallible = writeln!(self.text, "{line}");
        }
    }

    pub(crate) fn refuse(&mut self, error: &AppendError, labels: Option<&Labels>) {
        self.refused += 1;
        match labels {
            Some(labels) => self.tell(format_args!("{error} for series {}", excerpt(&labels.to_string()))),
            None => self.tell(format_args!("{error}")),
        }
    }

    /// Notes that a series' labels cannot be; `builder` has those that were read.
    pub(crate) fn refuse_labels(&mut self, samples: u64, reason: &str, builder: &LabelsBuilder) {
        self.refused += samples.max(1);
        self.of_labels += samples.max(1);
        self.invalid_labels += samples;
        if self.tells_more() {
            let labels = Labels::from_pairs(builder.iter());
            self.tell(format_args!("invalid labels: {reason}: {}", excerpt(&labels.to_string())));
        }
    }

    /// Notes that something cannot be, which is no sample.
    pub(crate) fn refuse_other(&mut self, reason: std::fmt::Arguments<'_>) {
        self.refused += 1;
        self.tell(reason);
    }

    /// Adds what became of the samples of another batch of the same request.
    pub(crate) fn join(&mut self, other: Self) {
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.exemplars += other.exemplars;
        self.exemplars_passed_over += other.exemplars_passed_over;
        self.invalid_labels += other.invalid_labels;
        self.refused += other.refused;
        self.of_labels += other.of_labels;
        for line in other.text.lines() {
            self.tell(format_args!("{line}"));
        }
        self.lines += other.lines.saturating_sub(TOLD);
        let room = METRICS_MAX.saturating_sub(self.metrics.len());
        self.metrics.extend(other.metrics.into_iter().take(room));
    }

    /// Notes samples that another batch overtook.
    pub(crate) fn overtaken(&mut self, samples: u64) {
        if samples > 0 {
            self.samples = self.samples.saturating_sub(samples);
            self.refused += samples;
            self.tell(format_args!("{samples} samples were overtaken by later ones of another request"));
        }
    }

    /// Notes a series that had not been known.
    pub(crate) fn met(&mut self, labels: &Labels, series: SeriesRef) {
        let is_more = |name: &&str| self.metrics.last().is_none_or(|(last, _)| **last != **name);
        let name = labels.get(METRIC_NAME).filter(is_more);
        if let Some(name) = name.filter(|_| self.metrics.len() < METRICS_MAX) {
            self.metrics.push((name.into(), series));
        }
    }

    /// The series that had not been known, by their metric.
    pub(crate) fn take_metrics(&mut self) -> Vec<(Box<str>, SeriesRef)> {
        std::mem::take(&mut self.metrics)
    }

    /// Whether anything was refused but for labels that cannot be.
    pub(crate) fn is_refused_for_more_than_labels(&self) -> bool {
        self.refused > self.of_labels
    }

    /// What the sender is told; none when all was taken.
    pub(crate) fn told(&mut self) -> Option<String> {
        if self.refused == 0 {
            return None;
        }
        let mut text = std::mem::take(&mut self.text);
        if self.lines > TOLD {
            let _infallible = writeln!(text, "and {} more like these", self.lines - TOLD);
        }
        Some(text)
    }
}

/// The beginning of a text.
fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(TOLD_BYTES)]
}
