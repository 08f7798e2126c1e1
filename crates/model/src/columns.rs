//! `Columns`: samples as columns, as decoders write and queries read them. Holds numbers only; knows no
//! series and no encoding.

mod extend;
mod starts;

pub use starts::{Start, StartColumn};

use crate::{
    FloatHistogram, TimestampMs,
    histogram::{CounterResetHint, Layout},
};
use std::ops::Range;

/// Samples as columns: `timestamps` and `values` are equally long. A sample that is a native histogram has a
/// row in `histograms` and its sum as value (hence the staleness marker where the histogram is one).
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// When.
    pub timestamps: Vec<TimestampMs>,
    /// The float, or the sum of a histogram.
    pub values: Vec<f64>,
    /// The histograms among the samples.
    pub histograms: HistogramColumn,
    /// Since when samples were counted, of those whose source said so.
    pub starts: StartColumn,
}

/// How long columns are, to cut them back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ColumnsLen {
    samples: usize,
    histograms: usize,
    starts: usize,
}

impl Columns {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Removes all samples and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(ColumnsLen::default());
    }

    /// How long the columns are now.
    pub fn mark(&self) -> ColumnsLen {
        let (histograms, starts) = (self.histograms.rows.len(), self.starts.len());
        ColumnsLen { samples: self.len(), histograms, starts }
    }

    /// Cuts back to what was there at `mark`.
    pub fn truncate(&mut self, mark: ColumnsLen) {
        self.timestamps.truncate(mark.samples);
        self.values.truncate(mark.samples);
        self.histograms.truncate(mark.histograms);
        self.starts.truncate(mark.starts);
    }

    /// Adds a float.
    #[inline]
    pub fn push_float(&mut self, timestamp: TimestampMs, value: f64) {
        self.timestamps.push(timestamp);
        self.values.push(value);
    }

    /// Says since when the sample pushed last was counted; zero means that this is not known.
    ///
    /// # Panics
    /// When there is no sample.
    #[inline]
    pub fn note_start(&mut self, start: TimestampMs) {
        self.starts.push(self.values.len() - 1, start);
    }

    /// Adds a histogram of float counts.
    pub fn push_histogram(&mut self, timestamp: TimestampMs, histogram: &FloatHistogram) {
        self.histograms.push(self.values.len(), histogram);
        self.timestamps.push(timestamp);
        self.values.push(histogram.sum);
    }

    /// The layout for rows to come: that of the last row where it is the same, else a new one. Its own hint
    /// does not count.
    pub fn add_layout(&mut self, layout: &Layout) -> LayoutIndex {
        self.histograms.layout_of(layout)
    }

    /// Adds a histogram of that layout; allocates nothing for the row.
    pub fn push_row(&mut self, timestamp: TimestampMs, layout: LayoutIndex, counts: &RowCounts<'_>) {
        self.histograms.push_row(self.values.len(), layout, counts);
        self.timestamps.push(timestamp);
        self.values.push(counts.sum);
    }
}

/// A layout that rows of these columns may have; good until the columns are cut back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayoutIndex(usize);

/// What a row of a histogram column holds besides its layout.
#[derive(Clone, Copy, Debug)]
pub struct RowCounts<'a> {
    /// Whether the counts started anew.
    pub counter_reset_hint: CounterResetHint,
    /// All observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Positive buckets, absolute; as many as the layout has.
    pub positive_buckets: &'a [f64],
    /// Negative buckets, absolute; as many as the layout has.
    pub negative_buckets: &'a [f64],
}

/// Native histograms as columns. Rows that follow one another mostly share their layout, and all rows'
/// buckets stand in one column: nothing is allocated for a row.
#[derive(Clone, Debug, Default)]
pub struct HistogramColumn {
    layouts: Vec<Layout>,
    rows: Vec<HistogramRow>,
    buckets: Vec<f64>,
}

/// One histogram of a column.
#[derive(Clone, Debug, PartialEq)]
struct HistogramRow {
    /// Its index among the samples.
    sample: usize,
    /// Its layout's index among the layouts. The layout's own hint does not count.
    layout: usize,
    hint: CounterResetHint,
    count: f64,
    sum: f64,
    zero_count: f64,
    /// Its buckets, the positive ones first.
    buckets: Range<usize>,
    /// So many of them are positive.
    positive: usize,
}

/// A histogram in a column; borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistogramView<'a> {
    /// Which sample of the columns it is.
    pub sample: usize,
    /// Where the buckets are. Its own hint does not count.
    pub layout: &'a Layout,
    /// Whether the counts started anew.
    pub counter_reset_hint: CounterResetHint,
    /// All observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Positive buckets, absolute.
    pub positive_buckets: &'a [f64],
    /// Negative buckets, absolute.
    pub negative_buckets: &'a [f64],
}

impl HistogramView<'_> {
    /// How many buckets it has.
    pub fn bucket_count(&self) -> usize {
        self.positive_buckets.len() + self.negative_buckets.len()
    }

    /// The histogram as a value of its own.
    pub fn to_histogram(&self) -> FloatHistogram {
        let layout = Layout { counter_reset_hint: self.counter_reset_hint, ..self.layout.clone() };
        FloatHistogram {
            layout,
            count: self.count,
            sum: self.sum,
            zero_count: self.zero_count,
            positive_buckets: self.positive_buckets.to_vec(),
            negative_buckets: self.negative_buckets.to_vec(),
        }
    }
}

impl HistogramColumn {
    /// How many histograms there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// What they take, in bytes, layouts without their spans.
    pub fn size(&self) -> usize {
        size_of_val(self.rows.as_slice())
            + size_of_val(self.buckets.as_slice())
            + size_of_val(self.layouts.as_slice())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The histogram at `index`, counted among histograms.
    ///
    /// # Panics
    /// When `index` is not below `len`.
    pub fn get(&self, index: usize) -> HistogramView<'_> {
        let row = &self.rows[index];
        let (positive_buckets, negative_buckets) = self.buckets[row.buckets.clone()].split_at(row.positive);
        HistogramView {
            sample: row.sample,
            layout: &self.layouts[row.layout],
            counter_reset_hint: row.hint,
            count: row.count,
            sum: row.sum,
            zero_count: row.zero_count,
            positive_buckets,
            negative_buckets,
        }
    }

    /// The indexes, among histograms, of those whose samples stand in `samples`.
    pub fn rows_of(&self, samples: Range<usize>) -> Range<usize> {
        let at = |sample| self.rows.partition_point(|r| r.sample < sample);
        at(samples.start)..at(samples.end)
    }

    /// Adds a histogram as sample number `sample`, which is larger than those before.
    pub fn push(&mut self, sample: usize, histogram: &FloatHistogram) {
        let layout = self.layout_of(&histogram.layout);
        let counts = RowCounts {
            counter_reset_hint: histogram.layout.counter_reset_hint,
            count: histogram.count,
            sum: histogram.sum,
            zero_count: histogram.zero_count,
            positive_buckets: &histogram.positive_buckets,
            negative_buckets: &histogram.negative_buckets,
        };
        self.push_row(sample, layout, &counts);
    }

    fn layout_of(&mut self, layout: &Layout) -> LayoutIndex {
        let last = self.rows.last().map(|r| r.layout);
        match last.filter(|i| self.layouts[*i].same_buckets(layout)) {
            Some(index) => LayoutIndex(index),
            None => {
                self.layouts.push(layout.clone());
                LayoutIndex(self.layouts.len() - 1)
            }
        }
    }

    fn push_row(&mut self, sample: usize, layout: LayoutIndex, counts: &RowCounts<'_>) {
        let start = self.buckets.len();
        self.buckets.extend_from_slice(counts.positive_buckets);
        self.buckets.extend_from_slice(counts.negative_buckets);
        self.rows.push(HistogramRow {
            sample,
            layout: layout.0,
            hint: counts.counter_reset_hint,
            count: counts.count,
            sum: counts.sum,
            zero_count: counts.zero_count,
            buckets: start..self.buckets.len(),
            positive: counts.positive_buckets.len(),
        });
    }

    fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
        let last = self.rows.last();
        self.buckets.truncate(last.map_or(0, |r| r.buckets.end));
        // Rows need not stand in the order of their layouts.
        let layouts = self.rows.iter().map(|r| r.layout + 1).max();
        self.layouts.truncate(layouts.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Span;

    fn histogram(schema: i32, hint: CounterResetHint, buckets: &[f64]) -> FloatHistogram {
        let spans = vec![Span { offset: 0, length: buckets.len() as u32 }];
        let layout = Layout { schema, positive_spans: spans, counter_reset_hint: hint, ..Layout::default() };
        let count = buckets.iter().sum();
        FloatHistogram { layout, count, sum: 2.5, positive_buckets: buckets.to_vec(), ..Default::default() }
    }

    #[test]
    fn histograms_come_back_and_share_their_layouts() {
        let all = [
            histogram(1, CounterResetHint::Unknown, &[1.0, 2.0]),
            histogram(1, CounterResetHint::NotReset, &[2.0, 2.0]),
            histogram(0, CounterResetHint::Gauge, &[7.0]),
        ];
        let mut columns = Columns::default();
        columns.push_float(TimestampMs::new(1), 1.5);
        let mark = columns.mark();
        for (i, h) in all.iter().enumerate() {
            columns.push_histogram(TimestampMs::new(i as i64 + 2), h);
        }
        let got: Vec<_> = (0..3).map(|i| columns.histograms.get(i).to_histogram()).collect();
        assert_eq!((&got[..], columns.histograms.layouts.len()), (&all[..], 2));
        assert_eq!(columns.values, [1.5, 2.5, 2.5, 2.5]);
        assert_eq!((columns.histograms.rows_of(0..2), columns.histograms.rows_of(2..4)), (0..1, 1..3));
        columns.truncate(mark);
        assert_eq!((columns.len(), columns.histograms.len(), columns.histograms.layouts.len()), (1, 0, 0));
    }
}
