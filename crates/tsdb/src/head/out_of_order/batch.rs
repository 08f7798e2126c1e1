//! `LateBatch`: the late samples of one commit, stored, and made records of the write-behind log. Never
//! writes to a file.

use crate::{
    head::{
        Head,
        series::{CommitView, LateValue, MemSeries, Stored},
    },
    head_chunks::ChunkMeta,
    stats::Stats,
    wal::record::{HistogramValue, MmapMarker, SamplesRecord, WalHistogram, push_histograms, push_markers},
};
use skopos_model::{TimestampMs, histogram::CounterResetHint};
use skopos_storage::TimeRange;
use std::collections::HashSet;

/// See above.
pub(crate) struct LateBatch<'a> {
    head: &'a Head,
    view: CommitView<'a>,
    records: Records,
    range: Option<TimeRange>,
    closed: Vec<ChunkMeta>,
    chunks: u64,
    stored: u64,
}

impl<'a> LateBatch<'a> {
    pub(crate) fn new(head: &'a Head, view: CommitView<'a>) -> Self {
        let records = Records::default();
        Self { head, view, records, range: None, closed: Vec::new(), chunks: 0, stored: 0 }
    }

    /// Stores a float that its series did not take in order.
    #[cold]
    pub(crate) fn insert_float(&mut self, series: &MemSeries, timestamp_ms: i64, value: f64) -> Stored {
        let stored = self.insert(series, timestamp_ms, LateValue::Float(value));
        if matches!(stored, Stored::Late { .. }) {
            self.records.float(series.wal_ref().get(), timestamp_ms, value);
        }
        stored
    }

    /// Stores a histogram that its series did not take in order.
    #[cold]
    pub(crate) fn insert_histogram(&mut self, series: &MemSeries, sample: &WalHistogram) -> Stored {
        let stored = self.insert(series, sample.timestamp_ms, late_value(&sample.value));
        if matches!(stored, Stored::Late { .. }) {
            self.records.histogram(sample.clone());
        }
        stored
    }

    fn insert(&mut self, series: &MemSeries, timestamp_ms: i64, value: LateValue) -> Stored {
        if self.head.options.out_of_order_window.as_ms() <= 0 {
            return Stored::Overtaken;
        }
        let first_of_series = series.is_empty();
        let timestamp = TimestampMs::new(timestamp_ms);
        let stored = series.insert_late(timestamp, value, self.view, &mut self.closed);
        self.chunks += self.closed.len() as u64;
        for chunk in self.closed.drain(..) {
            self.records
                .marker(MmapMarker { wal_ref: series.wal_ref().get(), chunk_ref: chunk.place().number() });
        }
        if !stored {
            return Stored::Overtaken;
        }
        self.stored += 1;
        self.range = super::widened(self.range, Some(TimeRange::at(timestamp)));
        Stored::Late { first_of_series }
    }

    /// Has the records written once the WAL is durable. Before the batch is visible.
    pub(crate) fn finish(self) {
        if self.stored == 0 && self.chunks == 0 {
            return;
        }
        if let Some(range) = self.range {
            self.head.late.saw(range);
        }
        self.head.late.push(self.records.finish());
        Stats::add(&self.head.stats.chunks, self.chunks);
        Stats::add(&self.head.stats.out_of_order_appended_total, self.stored);
    }
}

/// A histogram between others: what it said of the one before it does not hold.
pub(crate) fn late_value(value: &HistogramValue) -> LateValue {
    let forget = |hint: &mut CounterResetHint| {
        if *hint != CounterResetHint::Gauge {
            *hint = CounterResetHint::Unknown;
        }
    };
    match value {
        HistogramValue::Int(h) => {
            let mut h = Box::new(h.clone());
            forget(&mut h.layout.counter_reset_hint);
            LateValue::Histogram(h)
        }
        HistogramValue::Float(h) => {
            let mut h = Box::new(h.clone());
            forget(&mut h.layout.counter_reset_hint);
            LateValue::FloatHistogram(h)
        }
    }
}

/// Records of the write-behind log. A marker says that the samples of its series that stand before it are in
/// chunks: so markers come first of a group of records, and one of a series that has samples in the group
/// begins another.
#[derive(Debug, Default)]
pub(in crate::head) struct Records {
    done: Vec<Vec<u8>>,
    markers: Vec<MmapMarker>,
    floats: SamplesRecord,
    has_floats: bool,
    histograms: Vec<WalHistogram>,
    /// The series of the group's samples.
    of_group: HashSet<u64>,
}

impl Records {
    fn marker(&mut self, marker: MmapMarker) {
        if self.of_group.contains(&marker.wal_ref) {
            self.end_group();
        }
        self.markers.push(marker);
    }

    fn float(&mut self, wal_ref: u64, timestamp_ms: i64, value: f64) {
        self.of_group.insert(wal_ref);
        self.floats.push(wal_ref, timestamp_ms, value);
        self.has_floats = true;
    }

    fn histogram(&mut self, sample: WalHistogram) {
        self.of_group.insert(sample.wal_ref);
        self.histograms.push(sample);
    }

    /// A sample of either kind.
    pub(in crate::head) fn late(&mut self, wal_ref: u64, timestamp_ms: i64, value: LateValue) {
        let value = match value {
            LateValue::Float(value) => return self.float(wal_ref, timestamp_ms, value),
            LateValue::Histogram(h) => HistogramValue::Int(*h),
            LateValue::FloatHistogram(h) => HistogramValue::Float(*h),
        };
        self.histogram(WalHistogram { wal_ref, timestamp_ms, start_ms: 0, value });
    }

    fn end_group(&mut self) {
        if !self.markers.is_empty() {
            let mut record = Vec::new();
            push_markers(&mut record, &self.markers);
            self.markers.clear();
            self.done.push(record);
        }
        if self.has_floats {
            self.done.push(self.floats.bytes().to_vec());
            self.floats.clear();
            self.has_floats = false;
        }
        let mut buffer = Vec::new();
        push_histograms(&self.histograms, &mut buffer, |record| self.done.push(record.to_vec()));
        self.histograms.clear();
        self.of_group.clear();
    }

    pub(in crate::head) fn finish(mut self) -> Vec<Vec<u8>> {
        self.end_group();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::record::RecordKind;

    #[test]
    fn a_marker_stands_behind_the_samples_that_it_speaks_of() {
        let mut records = Records::default();
        let marker = |wal_ref| MmapMarker { wal_ref, chunk_ref: 1 << 32 };
        records.float(1, 10, 1.0);
        records.marker(marker(2));
        records.float(2, 10, 1.0);
        records.marker(marker(1));
        records.float(1, 20, 1.0);
        records.marker(marker(3));
        let done = records.finish();
        let kinds: Vec<_> = done.iter().filter_map(|r| RecordKind::of(r)).collect();
        use RecordKind::{MmapMarkers, Samples};
        assert_eq!(kinds, [MmapMarkers, Samples, MmapMarkers, Samples]);
    }
}
