//! `Turn`: samples of a batch of which no series has both floats and histograms: histograms stand in records
//! of their own, which come before that of the floats, and are stored before those. A batch is one turn
//! nearly always. Never decides whether a sample is taken.

use super::{
    Head,
    histograms::Histograms,
    out_of_order::LateBatch,
    series::{CommitView, MemSeries, SeriesIndex, Stored},
};
use crate::wal::record::SamplesRecord;
use skopos_model::{Sample, TimestampMs};
use std::collections::HashMap;

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
    /// The last float in order of every series; only there once a series came twice.
    last_of: Option<HashMap<SeriesIndex, Sample>>,
}

impl Turn {
    pub(super) fn clear(&mut self) {
        self.record.clear();
        self.series.clear();
        self.timestamps_ms.clear();
        self.values.clear();
        self.histograms.clear();
        self.last_of = None;
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

    /// Whether the turn has a float of a series.
    pub(super) fn has_float(&self, index: SeriesIndex) -> bool {
        self.series.contains(&index)
    }

    /// The last sample that the batch has for a series that is part of it.
    pub(super) fn last_sample(&mut self, index: SeriesIndex) -> Option<Sample> {
        let at =
            |i: usize| Sample { timestamp: TimestampMs::new(self.timestamps_ms[i]), value: self.values[i] };
        // Samples of one series mostly follow one another.
        if self.last_of.is_none() && self.series.last() == Some(&index) {
            return Some(at(self.series.len() - 1));
        }
        self.last_of().get(&index).copied()
    }

    /// The last sample in order of every series.
    pub(super) fn last_of(&mut self) -> &mut HashMap<SeriesIndex, Sample> {
        let at =
            |i: usize| Sample { timestamp: TimestampMs::new(self.timestamps_ms[i]), value: self.values[i] };
        self.last_of.get_or_insert_with(|| self.series.iter().enumerate().map(|(i, s)| (*s, at(i))).collect())
    }

    /// Adds a sample that is not the last one of its series.
    pub(super) fn push_late(&mut self, series: &MemSeries, timestamp_ms: i64, value: f64) {
        self.last_of();
        self.record.push(series.wal_ref().get(), timestamp_ms, value);
        self.series.push(series.index);
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
    }

    #[inline]
    pub(super) fn push(&mut self, series: &MemSeries, timestamp_ms: i64, value: f64) {
        self.record.push(series.wal_ref().get(), timestamp_ms, value);
        self.series.push(series.index);
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
        if let Some(last_of) = &mut self.last_of {
            last_of.insert(series.index, Sample { timestamp: TimestampMs::new(timestamp_ms), value });
        }
    }
}
