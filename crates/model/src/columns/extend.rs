//! Samples copied from columns to columns, histograms among them. Never looks at their times.

use super::{Columns, HistogramColumn, HistogramRow, LayoutIndex};
use std::ops::Range;

impl Columns {
    /// Appends the samples `samples` of `other`, with the histograms among them and the starts of all.
    ///
    /// # Panics
    /// When `other` has fewer samples.
    pub fn extend_from(&mut self, other: &Self, samples: Range<usize>) {
        if !other.histograms.is_empty() {
            let rows = other.histograms.rows_of(samples.clone());
            self.histograms.extend_from(
                &other.histograms,
                rows,
                Move { from: samples.start, to: self.len() },
            );
        }
        self.starts.extend_from(&other.starts, samples.clone(), self.len());
        self.timestamps.extend_from_slice(&other.timestamps[samples.clone()]);
        self.values.extend_from_slice(&other.values[samples]);
    }
}

/// The number of the first copied sample, in both columns.
#[derive(Clone, Copy)]
struct Move {
    from: usize,
    to: usize,
}

impl HistogramColumn {
    fn extend_from(&mut self, other: &Self, rows: Range<usize>, moved: Move) {
        // Rows that follow one another mostly share their layout: theirs is looked up once.
        let mut last: Option<(usize, LayoutIndex)> = None;
        for row in &other.rows[rows] {
            let layout = match last {
                Some((theirs, mine)) if theirs == row.layout => mine,
                _ => self.layout_of(&other.layouts[row.layout]),
            };
            last = Some((row.layout, layout));
            let start = self.buckets.len();
            self.buckets.extend_from_slice(&other.buckets[row.buckets.clone()]);
            let buckets = start..self.buckets.len();
            let sample = row.sample - moved.from + moved.to;
            self.rows.push(HistogramRow { sample, layout: layout.0, buckets, ..*row });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FloatHistogram, TimestampMs,
        histogram::{CounterResetHint, Layout, Span},
    };

    fn histogram(schema: i32, buckets: &[f64]) -> FloatHistogram {
        let positive_spans = vec![Span { offset: 0, length: buckets.len() as u32 }];
        let counter_reset_hint = CounterResetHint::NotReset;
        let layout = Layout { schema, positive_spans, counter_reset_hint, ..Layout::default() };
        FloatHistogram { layout, sum: 2.5, positive_buckets: buckets.to_vec(), ..Default::default() }
    }

    #[test]
    fn samples_are_copied_with_their_histograms() {
        let mut from = Columns::default();
        let rows = [histogram(1, &[1.0, 2.0]), histogram(1, &[2.0, 3.0]), histogram(0, &[7.0])];
        for (i, h) in rows.iter().enumerate() {
            from.push_float(TimestampMs::new(i as i64 * 10), i as f64);
            from.push_histogram(TimestampMs::new(i as i64 * 10 + 5), h);
        }
        let mut to = Columns::default();
        to.push_histogram(TimestampMs::new(-5), &rows[0]);
        to.extend_from(&from, 2..6);
        to.extend_from(&from, 0..0);
        assert_eq!(to.timestamps.iter().map(|t| t.as_ms()).collect::<Vec<_>>(), [-5, 10, 15, 20, 25]);
        assert_eq!(to.values, [2.5, 1.0, 2.5, 2.0, 2.5]);
        let got: Vec<_> = (0..to.histograms.len())
            .map(|i| to.histograms.get(i))
            .map(|view| (view.sample, view.to_histogram()))
            .collect();
        assert_eq!(got, [(0, rows[0].clone()), (2, rows[1].clone()), (4, rows[2].clone())]);
        assert_eq!(to.histograms.layouts.len(), 2, "equal layouts that follow one another are one");
    }
}
