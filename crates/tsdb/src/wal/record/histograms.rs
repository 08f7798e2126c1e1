//! Samples of native histograms: whole or float counts, of exponential or custom buckets, without and with
//! the start of their count.

use super::{
    CUSTOM_FLOAT_HISTOGRAMS, CUSTOM_HISTOGRAMS, FLOAT_HISTOGRAMS, FLOAT_HISTOGRAMS_V2, HISTOGRAMS,
    HISTOGRAMS_V2, RecordError,
    base::{Base, Chain, Entry},
    bytes::{take_count, take_f64, take_varint},
    take, take_uvarint, whole,
};
use skopos_base::varint::{put_uvarint, put_varint};
use skopos_model::{
    FloatHistogram, Histogram,
    histogram::{CounterResetHint, Layout, Span},
};

/// The schema of custom bounds.
const CUSTOM_SCHEMA: i32 = -53;
/// The exponential schemas of which Prometheus knows that they exist, used or reserved.
const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;

/// A histogram of either kind of counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HistogramValue {
    Int(Histogram),
    Float(FloatHistogram),
}

impl HistogramValue {
    fn layout(&self) -> &Layout {
        match self {
            Self::Int(h) => &h.layout,
            Self::Float(h) => &h.layout,
        }
    }

    /// The version 1 record in which it stands.
    pub(crate) fn record_kind(&self) -> u8 {
        match (self, self.layout().schema == CUSTOM_SCHEMA) {
            (Self::Int(_), false) => HISTOGRAMS,
            (Self::Int(_), true) => CUSTOM_HISTOGRAMS,
            (Self::Float(_), false) => FLOAT_HISTOGRAMS,
            (Self::Float(_), true) => CUSTOM_FLOAT_HISTOGRAMS,
        }
    }
}

/// One histogram of a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WalHistogram {
    pub(crate) wal_ref: u64,
    pub(crate) timestamp_ms: i64,
    /// When the count began; 0 when that is not known.
    pub(crate) start_ms: i64,
    pub(crate) value: HistogramValue,
}

/// Writes `histograms` as one record for each kind that is among them, handing each to `each`. Where one has
/// the start of its count, the records are of version 2, which only Prometheus 3.9 and later reads.
pub(crate) fn push_histograms(
    histograms: &[WalHistogram],
    record: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]),
) {
    let with_starts = histograms.iter().any(|h| h.start_ms != 0);
    let kind_of = |h: &WalHistogram| match (&h.value, with_starts) {
        (HistogramValue::Int(_), true) => HISTOGRAMS_V2,
        (HistogramValue::Float(_), true) => FLOAT_HISTOGRAMS_V2,
        (value, false) => value.record_kind(),
    };
    for kind in HISTOGRAMS..=FLOAT_HISTOGRAMS_V2 {
        record.clear();
        let mut base = Base::default();
        let mut chain = Chain::default();
        for histogram in histograms.iter().filter(|h| kind_of(h) == kind) {
            let WalHistogram { wal_ref, timestamp_ms, start_ms, value } = histogram;
            let (wal_ref, timestamp_ms, start_ms) = (*wal_ref, *timestamp_ms, *start_ms);
            if with_starts {
                if record.is_empty() {
                    record.push(kind);
                }
                chain.push(record, Entry { wal_ref, timestamp_ms, start_ms });
            } else {
                if record.is_empty() {
                    base = Base::begin(record, kind, wal_ref, timestamp_ms);
                }
                base.push(record, wal_ref, timestamp_ms);
            }
            push_value(record, value);
        }
        if !record.is_empty() {
            each(record);
        }
    }
}

/// Reads a histograms record of any kind into `out`, whole or not at all. Returns how many histograms have a
/// schema that is not known and were passed over.
pub(crate) fn read_histograms(record: &[u8], out: &mut Vec<WalHistogram>) -> Result<u64, RecordError> {
    let mut passed_over = 0;
    whole(out, |out| {
        let kind = record[0];
        let counts = match kind {
            FLOAT_HISTOGRAMS | CUSTOM_FLOAT_HISTOGRAMS | FLOAT_HISTOGRAMS_V2 => Counts::Floats,
            _ => Counts::Integers,
        };
        let mut rest = &record[1..];
        let mut add = |out: &mut Vec<_>, entry: Entry, rest: &mut &[u8]| {
            let value = take_value(rest, counts)?;
            let schema = value.layout().schema;
            if schema == CUSTOM_SCHEMA || EXPONENTIAL_SCHEMAS.contains(&schema) {
                let Entry { wal_ref, timestamp_ms, start_ms } = entry;
                out.push(WalHistogram { wal_ref, timestamp_ms, start_ms, value });
            } else {
                passed_over += 1;
            }
            Ok::<(), RecordError>(())
        };
        if rest.is_empty() {
            return Ok(());
        }
        if matches!(kind, HISTOGRAMS_V2 | FLOAT_HISTOGRAMS_V2) {
            let mut chain = Chain::default();
            while !rest.is_empty() {
                let entry = chain.take(&mut rest)?;
                add(out, entry, &mut rest)?;
            }
        } else {
            let base = Base::take(&mut rest)?;
            while !rest.is_empty() {
                let (wal_ref, timestamp_ms) = base.take_entry(&mut rest)?;
                add(out, Entry { wal_ref, timestamp_ms, start_ms: 0 }, &mut rest)?;
            }
        }
        Ok(())
    })?;
    Ok(passed_over)
}

/// Writes one histogram of whole or float counts, as records and snapshots have it.
pub(crate) fn push_value(out: &mut Vec<u8>, value: &HistogramValue) {
    let layout = value.layout();
    out.push(match layout.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    });
    put_varint(out, i64::from(layout.schema));
    push_f64(out, layout.zero_threshold);
    match value {
        HistogramValue::Int(h) => {
            put_uvarint(out, h.zero_count);
            put_uvarint(out, h.count);
            push_f64(out, h.sum);
        }
        HistogramValue::Float(h) => {
            push_f64(out, h.zero_count);
            push_f64(out, h.count);
            push_f64(out, h.sum);
        }
    }
    for spans in [&layout.positive_spans, &layout.negative_spans] {
        put_uvarint(out, spans.len() as u64);
        for span in spans {
            put_varint(out, i64::from(span.offset));
            put_uvarint(out, u64::from(span.length));
        }
    }
    match value {
        HistogramValue::Int(h) => {
            for deltas in [&h.positive_deltas, &h.negative_deltas] {
                put_uvarint(out, deltas.len() as u64);
                deltas.iter().for_each(|d| put_varint(out, *d));
            }
        }
        HistogramValue::Float(h) => {
            push_floats(out, &h.positive_buckets);
            push_floats(out, &h.negative_buckets);
        }
    }
    if layout.schema == CUSTOM_SCHEMA {
        push_floats(out, &layout.custom_bounds);
    }
}

/// What the counts of a histogram are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    Integers,
    Floats,
}

/// Reads what `push_value` writes.
pub(crate) fn take_value(rest: &mut &[u8], counts: Counts) -> Result<HistogramValue, RecordError> {
    let counter_reset_hint = match take::<1>(rest)? {
        [1] => CounterResetHint::Reset,
        [2] => CounterResetHint::NotReset,
        [3] => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    };
    let schema = i32::try_from(take_varint(rest)?).map_err(|_| RecordError::OutOfRange)?;
    let zero_threshold = take_f64(rest)?;
    let mut layout = Layout { schema, zero_threshold, counter_reset_hint, ..Layout::default() };
    let value = if counts == Counts::Floats {
        let (zero_count, count, sum) = (take_f64(rest)?, take_f64(rest)?, take_f64(rest)?);
        take_spans(rest, &mut layout)?;
        let positive_buckets = take_floats(rest)?;
        let negative_buckets = take_floats(rest)?;
        check_spans(&layout, positive_buckets.len(), negative_buckets.len())?;
        take_bounds(rest, &mut layout)?;
        HistogramValue::Float(FloatHistogram {
            layout,
            count,
            sum,
            zero_count,
            positive_buckets,
            negative_buckets,
        })
    } else {
        let (zero_count, count, sum) = (take_uvarint(rest)?, take_uvarint(rest)?, take_f64(rest)?);
        take_spans(rest, &mut layout)?;
        let positive_deltas = take_deltas(rest)?;
        let negative_deltas = take_deltas(rest)?;
        check_spans(&layout, positive_deltas.len(), negative_deltas.len())?;
        take_bounds(rest, &mut layout)?;
        HistogramValue::Int(Histogram { layout, count, sum, zero_count, positive_deltas, negative_deltas })
    };
    Ok(value)
}

fn take_spans(rest: &mut &[u8], layout: &mut Layout) -> Result<(), RecordError> {
    for spans in [&mut layout.positive_spans, &mut layout.negative_spans] {
        let count = take_count(rest, 2)?;
        spans.reserve(count);
        for _ in 0..count {
            let offset = i32::try_from(take_varint(rest)?).map_err(|_| RecordError::OutOfRange)?;
            let length = u32::try_from(take_uvarint(rest)?).map_err(|_| RecordError::OutOfRange)?;
            spans.push(Span { offset, length });
        }
    }
    Ok(())
}

/// That there are as many buckets as the spans say. Nobody behind the WAL has to doubt it any more.
fn check_spans(layout: &Layout, positive: usize, negative: usize) -> Result<(), RecordError> {
    let buckets = |spans: &[Span]| spans.iter().map(|s| u64::from(s.length)).sum::<u64>();
    let fit = buckets(&layout.positive_spans) == positive as u64
        && buckets(&layout.negative_spans) == negative as u64;
    if fit { Ok(()) } else { Err(RecordError::Buckets) }
}

fn take_bounds(rest: &mut &[u8], layout: &mut Layout) -> Result<(), RecordError> {
    if layout.schema == CUSTOM_SCHEMA {
        layout.custom_bounds = take_floats(rest)?;
    }
    Ok(())
}

fn take_deltas(rest: &mut &[u8]) -> Result<Vec<i64>, RecordError> {
    (0..take_count(rest, 1)?).map(|_| take_varint(rest)).collect()
}

fn take_floats(rest: &mut &[u8]) -> Result<Vec<f64>, RecordError> {
    (0..take_count(rest, 8)?).map(|_| take_f64(rest)).collect()
}

fn push_floats(out: &mut Vec<u8>, floats: &[f64]) {
    put_uvarint(out, floats.len() as u64);
    floats.iter().for_each(|f| push_f64(out, *f));
}

fn push_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}
