//! Since when the samples of a series were counted: where that tells of a reset which the values do not show,
//! and where it tells that a counter was zero within a window. Source: Prometheus' rules for start
//! timestamps.

use skopos_model::TimestampMs;
use skopos_storage::SeriesStarts;

/// The start timestamps of samples: none at all, or one for each sample, zero where it is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Starts<'a>(&'a [TimestampMs]);

const UNKNOWN: TimestampMs = TimestampMs::new(0);

impl<'a> Starts<'a> {
    /// Those of a series of `samples` samples, written to `memory`.
    pub(crate) fn of(starts: SeriesStarts<'_>, samples: usize, memory: &'a mut Vec<TimestampMs>) -> Self {
        memory.clear();
        if !starts.is_empty() {
            memory.resize(samples, UNKNOWN);
            starts.iter().for_each(|start| memory[start.sample] = start.at);
        }
        Self(memory)
    }

    /// One for each sample, or none at all.
    pub(super) fn of_all(starts: &'a [TimestampMs]) -> Self {
        Self(starts)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Those of the samples in `samples`.
    pub(super) fn slice(self, samples: std::ops::Range<usize>) -> Self {
        if self.0.is_empty() { self } else { Self(&self.0[samples]) }
    }

    /// That of sample `i`; zero when it is not known.
    #[inline]
    pub(super) fn get(self, i: usize) -> TimestampMs {
        self.0.get(i).copied().unwrap_or(UNKNOWN)
    }

    /// That of sample `i` if it is of use: before the sample itself.
    #[inline]
    fn before_sample(self, i: usize, timestamps: &[TimestampMs]) -> Option<TimestampMs> {
        Some(self.get(i)).filter(|start| *start != UNKNOWN && *start < timestamps[i])
    }

    /// Whether the counter began anew between sample `i - 1` and sample `i`. A start at the very time of the
    /// sample before is such a beginning only where that one had a start of its own: else the source did not
    /// know the counter's beginning.
    pub(super) fn is_reset(self, i: usize, timestamps: &[TimestampMs]) -> bool {
        let before = timestamps[i - 1];
        match self.before_sample(i, timestamps) {
            Some(start) if start == before => self.before_sample(i - 1, timestamps).is_some(),
            Some(start) => start > before,
            None => false,
        }
    }

    /// When the counter was zero within the window that begins with sample `lo` and reaches back to
    /// `window_start`.
    #[inline]
    pub(super) fn zero_before(self, lo: usize, timestamps: &[TimestampMs], window_start: i64) -> Option<i64> {
        let start = self.before_sample(lo, timestamps)?.as_ms();
        (start > window_start).then_some(start)
    }

    /// Whether sample `i` says to have been counted since before the sample `i - 1`, but not since when that
    /// one was.
    fn overlaps(self, i: usize, timestamps: &[TimestampMs]) -> bool {
        let start = self.get(i);
        start != UNKNOWN && start < timestamps[i - 1] && start != self.get(i - 1)
    }

    /// The samples that overlap with the ones before them.
    pub(super) fn overlapping(self, timestamps: &[TimestampMs]) -> Vec<usize> {
        (1..self.0.len()).filter(|i| self.overlaps(*i, timestamps)).collect()
    }
}
