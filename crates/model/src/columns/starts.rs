//! `StartColumn`: since when samples were counted, of the few series whose source says so. Holds only those
//! that are known; knows no value.

use crate::TimestampMs;
use std::ops::Range;

/// Since when a sample was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its index among the samples.
    pub sample: usize,
    /// When it was zero; never the time zero, which stands for "unknown" where starts are written down.
    pub at: TimestampMs,
}

/// The start timestamps among the samples of columns, in the order of samples.
#[derive(Clone, Debug, Default)]
pub struct StartColumn {
    rows: Vec<Start>,
}

impl StartColumn {
    /// How many samples have one.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no sample has one.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Those of the samples in `samples`.
    pub fn of(&self, samples: Range<usize>) -> &[Start] {
        if self.rows.is_empty() {
            return &[];
        }
        let at = |sample| self.rows.partition_point(|r| r.sample < sample);
        &self.rows[at(samples.start)..at(samples.end)]
    }

    /// Notes that sample number `sample`, which is larger than those before, was counted since `at`.
    pub(super) fn push(&mut self, sample: usize, at: TimestampMs) {
        if at.as_ms() != 0 {
            self.rows.push(Start { sample, at });
        }
    }

    pub(super) fn extend_from(&mut self, other: &Self, samples: Range<usize>, to: usize) {
        let from = samples.start;
        let moved = other.of(samples).iter().map(|s| Start { sample: s.sample - from + to, ..*s });
        self.rows.extend(moved);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Columns;

    #[test]
    fn starts_stay_with_their_samples() {
        let mut columns = Columns::default();
        for (t, start) in [(10, 0), (20, 5), (30, 5), (40, 0), (50, 45)] {
            columns.push_float(TimestampMs::new(t), 1.0);
            columns.note_start(TimestampMs::new(start));
        }
        let of = |columns: &Columns, samples| {
            columns.starts.of(samples).iter().map(|s| (s.sample, s.at.as_ms())).collect::<Vec<_>>()
        };
        assert_eq!(of(&columns, 0..5), [(1, 5), (2, 5), (4, 45)]);
        assert_eq!(of(&columns, 2..4), [(2, 5)]);
        let mut other = Columns::default();
        other.push_float(TimestampMs::new(1), 1.0);
        let mark = other.mark();
        other.extend_from(&columns, 2..5);
        assert_eq!(of(&other, 0..4), [(1, 5), (3, 45)]);
        other.truncate(mark);
        assert!(other.starts.is_empty());
    }
}
