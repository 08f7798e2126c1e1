//! The native histograms of a turn: checked, written to the WAL as records of their own, one for each kind,
//! and stored before the turn's floats. Never decides where a histogram fits into a chunk.

use super::{
    Head,
    out_of_order::LateBatch,
    series::{CommitView, HistogramRef, MemSeries, SeriesIndex, Stored},
};
use crate::options::WalCompression;
use crate::wal::{
    compress::Compressor,
    page::Framable,
    record::{HistogramValue, WalHistogram, push_histograms},
};
use skopos_model::{TimestampMs, histogram::Layout};
use skopos_storage::{AppendError, Value};

/// The histograms of a turn. Those of one series are of one kind: the records are in the order of their
/// kinds.
#[derive(Debug, Default)]
pub(super) struct Histograms {
    series: Vec<SeriesIndex>,
    samples: Vec<WalHistogram>,
    /// About how many bytes their records take.
    bytes: usize,
}

impl Histograms {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, series: &MemSeries, timestamp: TimestampMs, value: HistogramValue) {
        self.bytes += worst_bytes(&value);
        self.series.push(series.index);
        let timestamp_ms = timestamp.as_ms();
        self.samples.push(WalHistogram { wal_ref: series.wal_ref().get(), timestamp_ms, start_ms: 0, value });
    }

    /// Of which series each is, its time, and the kind of its record.
    pub(super) fn each(&self) -> impl Iterator<Item = (SeriesIndex, TimestampMs, u8)> {
        self.series.iter().zip(&self.samples).map(|(series, sample)| {
            (*series, TimestampMs::new(sample.timestamp_ms), sample.value.record_kind())
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// The value of one.
    pub(super) fn value(&self, at: usize) -> Option<HistogramRef<'_>> {
        self.samples.get(at).map(|sample| reference(&sample.value))
    }

    /// The records of all, one for each kind.
    pub(super) fn records(&self) -> Vec<Vec<u8>> {
        let (mut records, mut buffer) = (Vec::new(), Vec::new());
        push_histograms(&self.samples, &mut buffer, |record| records.push(record.to_vec()));
        records
    }

    /// Stores all in memory; hands out what became of each.
    pub(super) fn store(
        &self,
        head: &Head,
        view: CommitView<'_>,
        late: &mut LateBatch<'_>,
        mut each: impl FnMut(i64, Stored),
    ) {
        for (index, sample) in self.series.iter().zip(&self.samples) {
            let table = head.registry.table();
            let Some(series) = table.get(*index) else { continue };
            let timestamp = TimestampMs::new(sample.timestamp_ms);
            let mut stored = series.append_histogram(timestamp, reference(&sample.value), view);
            if stored == Stored::Overtaken {
                stored = late.insert_histogram(series, sample);
            }
            each(sample.timestamp_ms, stored);
        }
    }
}

/// Compresses records, each into its own buffer.
pub(super) fn compress_all<'a>(
    compressor: &mut Compressor,
    how: WalCompression,
    records: &'a [Vec<u8>],
    buffers: &'a mut Vec<Vec<u8>>,
) -> Vec<Framable<'a>> {
    buffers.resize_with(records.len(), Vec::new);
    records.iter().zip(buffers).map(|(record, buffer)| compressor.compress(how, record, buffer)).collect()
}

/// The value of an append, when it is a histogram that can be stored.
pub(super) fn checked(value: Value<'_>) -> Result<HistogramRef<'_>, AppendError> {
    let invalid = |e: skopos_model::histogram::HistogramError| AppendError::InvalidHistogram(e.to_string());
    match value {
        Value::Float(_) => Err(AppendError::Unsupported("floats as histograms")),
        Value::Histogram(h) if h.is_stale() => Ok(HistogramRef::Int(h)),
        Value::Histogram(h) => h.validate().map(|()| HistogramRef::Int(h)).map_err(invalid),
        Value::FloatHistogram(h) if h.is_stale() => Ok(HistogramRef::Float(h)),
        Value::FloatHistogram(h) => h.validate().map(|()| HistogramRef::Float(h)).map_err(invalid),
    }
}

/// Whether a histogram that the WAL has can be stored.
pub(super) fn is_sound(value: &HistogramValue) -> bool {
    match value {
        HistogramValue::Int(h) => h.is_stale() || h.validate().is_ok(),
        HistogramValue::Float(h) => h.is_stale() || h.validate().is_ok(),
    }
}

/// Whether both are the same, bit for bit. The marker of staleness is one value whatever its kind.
pub(super) fn same(a: HistogramRef<'_>, b: HistogramRef<'_>) -> bool {
    match (a, b) {
        (HistogramRef::Int(a), HistogramRef::Int(b)) if a.same_bits(b) => true,
        (HistogramRef::Float(a), HistogramRef::Float(b)) if a.same_bits(b) => true,
        _ => is_stale(a) && is_stale(b),
    }
}

/// Whether it is the marker of staleness.
pub(super) fn is_stale(value: HistogramRef<'_>) -> bool {
    match value {
        HistogramRef::Int(h) => h.is_stale(),
        HistogramRef::Float(h) => h.is_stale(),
    }
}

pub(super) fn reference(value: &HistogramValue) -> HistogramRef<'_> {
    match value {
        HistogramValue::Int(h) => HistogramRef::Int(h),
        HistogramValue::Float(h) => HistogramRef::Float(h),
    }
}

pub(super) fn owned(value: HistogramRef<'_>) -> HistogramValue {
    match value {
        HistogramRef::Int(h) => HistogramValue::Int(h.clone()),
        HistogramRef::Float(h) => HistogramValue::Float(h.clone()),
    }
}

/// The bytes of a histogram in a record at worst.
fn worst_bytes(value: &HistogramValue) -> usize {
    let of = |layout: &Layout, buckets: usize| {
        let spans = layout.positive_spans.len() + layout.negative_spans.len();
        120 + 20 * spans + 10 * buckets + 8 * layout.custom_bounds.len()
    };
    match value {
        HistogramValue::Int(h) => of(&h.layout, h.positive_deltas.len() + h.negative_deltas.len()),
        HistogramValue::Float(h) => of(&h.layout, h.positive_buckets.len() + h.negative_buckets.len()),
    }
}
