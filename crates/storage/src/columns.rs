//! Series as columns: what queries move.

use crate::{EvenWindows, QueryError, parting::Parting};
use skopos_model::{Columns, HistogramColumn, HistogramView, Labels, Start, TimestampMs};
use std::ops::Range;

/// Series in the order of their labels, handed out in batches.
pub trait SeriesSet: Send {
    /// Clears `batch` and fills it with the next series. `false` when there are no more; then the
    /// batch is empty.
    fn next_batch(&mut self, batch: &mut SeriesBatch) -> Result<bool, QueryError>;

    /// Says, before anything is read, that samples outside of these windows are not looked at: they may be
    /// left out, and whoever can leaves out what it would have to read for them alone.
    fn only_within(&mut self, _windows: EvenWindows) {}

    /// The set as one that can be parted (`parted`), where it can.
    fn parting(&mut self) -> Option<&mut dyn Parting> {
        None
    }
}

/// Some series with all their samples of the requested range. Column `i` of timestamps belongs to
/// column `i` of values. Reused from batch to batch; nothing is allocated per sample.
#[derive(Debug, Default)]
pub struct SeriesBatch {
    labels: Vec<Labels>,
    /// Where the samples of series `i` end; they begin where those of `i - 1` end.
    ends: Vec<usize>,
    columns: Columns,
}

/// One series of a batch.
#[derive(Debug, Clone)]
pub struct SeriesColumns<'a> {
    /// What identifies it.
    pub labels: &'a Labels,
    /// Growing, none twice.
    pub timestamps: &'a [TimestampMs],
    /// As many as timestamps. May hold staleness markers. Of a native histogram this is the sum.
    pub values: &'a [f64],
    /// The native histograms among the samples.
    pub histograms: SeriesHistograms<'a>,
    /// Since when samples were counted, of those whose source said so.
    pub starts: SeriesStarts<'a>,
}

/// The start timestamps of one series of a batch.
#[derive(Debug, Clone, Copy)]
pub struct SeriesStarts<'a> {
    rows: &'a [Start],
    first_sample: usize,
}

impl<'a> SeriesStarts<'a> {
    /// Whether no sample has one.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All in order; `sample` counts among the samples of the series.
    pub fn iter(&self) -> impl Iterator<Item = Start> + use<'a> {
        let first = self.first_sample;
        self.rows.iter().map(move |s| Start { sample: s.sample - first, ..*s })
    }
}

/// The native histograms of one series of a batch.
#[derive(Debug, Clone)]
pub struct SeriesHistograms<'a> {
    column: &'a HistogramColumn,
    rows: Range<usize>,
    first_sample: usize,
}

impl<'a> SeriesHistograms<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the series has floats only.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All in order; `sample` counts among the samples of the series.
    pub fn iter(&self) -> impl Iterator<Item = HistogramView<'a>> {
        let (column, first) = (self.column, self.first_sample);
        self.rows.clone().map(move |row| {
            let view = column.get(row);
            HistogramView { sample: view.sample - first, ..view }
        })
    }
}

impl SeriesBatch {
    /// How many series the batch has.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How many samples all its series have together.
    pub fn sample_count(&self) -> usize {
        self.columns.len()
    }

    /// What the native histograms take, in bytes.
    pub fn histogram_bytes(&self) -> usize {
        self.columns.histograms.size()
    }

    /// The series at `index`.
    ///
    /// # Panics
    /// When `index` is not below `len`.
    pub fn series(&self, index: usize) -> SeriesColumns<'_> {
        let range = self.samples_of(index);
        SeriesColumns {
            labels: &self.labels[index],
            timestamps: &self.columns.timestamps[range.clone()],
            values: &self.columns.values[range.clone()],
            histograms: SeriesHistograms {
                column: &self.columns.histograms,
                first_sample: range.start,
                rows: self.columns.histograms.rows_of(range.clone()),
            },
            starts: SeriesStarts { first_sample: range.start, rows: self.columns.starts.of(range) },
        }
    }

    /// Where the samples of the series at `index` stand in `columns`.
    pub(crate) fn samples_of(&self, index: usize) -> Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Appends the samples of the series at `index` to `out`.
    ///
    /// # Panics
    /// When `index` is not below `len`.
    pub fn copy_series(&self, index: usize, out: &mut Columns) {
        out.extend_from(&self.columns, self.samples_of(index));
    }

    /// How many samples the series from `index` on have.
    ///
    /// # Panics
    /// When `index` is beyond `len`.
    pub fn samples_from(&self, index: usize) -> usize {
        let before = if index == 0 { 0 } else { self.ends[index - 1] };
        self.columns.len() - before
    }

    /// All series in order.
    pub fn iter(&self) -> impl Iterator<Item = SeriesColumns<'_>> {
        (0..self.len()).map(|i| self.series(i))
    }

    /// Removes all series and keeps the memory.
    pub fn clear(&mut self) {
        self.labels.clear();
        self.ends.clear();
        self.columns.clear();
    }

    /// Adds a series: `fill` pushes its samples behind those already there.
    ///
    /// # Panics
    /// When `fill` leaves columns of different lengths.
    pub fn push_series<E>(
        &mut self,
        labels: Labels,
        fill: impl FnOnce(&mut Columns) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.columns.mark();
        if let Err(e) = fill(&mut self.columns) {
            self.columns.truncate(before);
            return Err(e);
        }
        let columns = &self.columns;
        assert_eq!(columns.timestamps.len(), columns.values.len(), "columns of one series differ in length");
        self.labels.push(labels);
        self.ends.push(self.columns.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(batch: &mut SeriesBatch, name: &str, samples: &[(i64, f64)]) {
        let labels = Labels::from_pairs([("n", name)]);
        batch
            .push_series(labels, |columns| {
                samples.iter().for_each(|s| columns.push_float(TimestampMs::new(s.0), s.1));
                Ok::<(), ()>(())
            })
            .unwrap();
    }

    #[test]
    fn series_keep_their_own_samples() {
        let mut batch = SeriesBatch::default();
        push(&mut batch, "a", &[(1, 1.0), (2, 2.0)]);
        push(&mut batch, "b", &[]);
        push(&mut batch, "c", &[(5, 5.0)]);
        let got: Vec<_> = batch.iter().map(|s| (s.labels.value("n").to_owned(), s.values.to_vec())).collect();
        assert_eq!(
            got,
            [("a".to_owned(), vec![1.0, 2.0]), ("b".to_owned(), vec![]), ("c".to_owned(), vec![5.0])]
        );
        batch.clear();
        assert!(batch.is_empty() && batch.sample_count() == 0);
    }

    #[test]
    fn a_failed_series_leaves_nothing_behind() {
        let mut batch = SeriesBatch::default();
        let failed = batch.push_series(Labels::empty(), |columns| {
            columns.timestamps.push(TimestampMs::new(1));
            Err("damaged")
        });
        assert_eq!((failed, batch.len(), batch.columns.timestamps.len()), (Err("damaged"), 0, 0));
    }
}
