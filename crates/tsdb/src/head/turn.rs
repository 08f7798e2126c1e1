//! `Turn`: samples of a batch of which no series has a histogram behind a sample of another kind: histograms
//! stand in a record for each kind, which come before that of the floats, and are stored before those. So a
//! series gets its samples in one order from memory and from the log. A batch is one turn nearly always.
//! Never decides whether a sample is taken.

use super::{
    Head,
    histograms::Histograms,
    out_of_order::LateBatch,
    series::{CommitView, MemSeries, SeriesIndex, Stored},
};
use crate::wal::record::SamplesRecord;
use skopos_model::{Sample, TimestampMs};

/// Samples stored before the registry is let go for a moment.
const STRIDE: usize = 4096;

/// See above.
#[derive(Default)]
pub(super) struct Turn {
    record: SamplesRecord,
    series: Vec<SeriesIndex>,
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    pub(super) histograms: Histograms,
}

impl Turn {
    pub(super) fn clear(&mut self) {
        self.record.clear();
        self.series.clear();
        self.timestamps_ms.clear();
        self.values.clear();
        self.histograms.clear();
    }

    /// How many floats there are.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty() && self.histograms.is_empty()
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        self.record.capacity() + self.series.capacity() * 20
    }

    /// The record of the floats; empty when there is none.
    pub(super) fn floats(&self) -> &[u8] {
        self.record.bytes()
    }

    /// Adds all records of the turn.
    pub(super) fn push_records(&self, out: &mut Vec<Vec<u8>>) {
        out.extend(self.histograms.records());
        out.extend((!self.series.is_empty()).then(|| self.floats().to_vec()));
    }

    /// Stores all in memory; hands out what became of each.
    pub(super) fn store(
        &self,
        head: &Head,
        view: CommitView<'_>,
        late: &mut LateBatch<'_>,
        mut each: impl FnMut(i64, Stored),
    ) {
        self.histograms.store(head, view, late, &mut each);
        for from in (0..self.series.len()).step_by(STRIDE) {
            let to = (from + STRIDE).min(self.series.len());
            let table = head.registry.table();
            let rows =
                self.series[from..to].iter().zip(&self.timestamps_ms[from..to]).zip(&self.values[from..to]);
            for ((index, timestamp_ms), value) in rows {
                let Some(series) = table.get(*index) else { continue };
                let mut stored = series.append(*timestamp_ms, *value, &view);
                if stored == Stored::Overtaken {
                    stored = late.insert_float(series, *timestamp_ms, *value);
                }
                each(*timestamp_ms, stored);
            }
        }
    }

    /// Of which series each float is, and the float.
    pub(super) fn each_float(&self) -> impl Iterator<Item = (SeriesIndex, Sample)> {
        let rows = self.series.iter().zip(&self.timestamps_ms).zip(&self.values);
        rows.map(|((series, timestamp_ms), value)| {
            (*series, Sample { timestamp: TimestampMs::new(*timestamp_ms), value: *value })
        })
    }

    /// The last float, when it is of this series.
    pub(super) fn last_float(&self, series: SeriesIndex) -> Option<Sample> {
        let (timestamp_ms, value) = (*self.timestamps_ms.last()?, *self.values.last()?);
        let sample = Sample { timestamp: TimestampMs::new(timestamp_ms), value };
        (self.series.last() == Some(&series)).then_some(sample)
    }

    #[inline]
    pub(super) fn push(&mut self, series: &MemSeries, timestamp_ms: i64, value: f64) {
        self.record.push(series.wal_ref().get(), timestamp_ms, value);
        self.series.push(series.index);
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
    }
}
