//! Exemplars: observations behind samples, each with labels of its own.

use super::{EXEMPLARS, RecordError, base::Base, bytes::take_f64, push_labels, take_labels, whole};
use skopos_model::{Labels, LabelsBuilder};

/// One exemplar of a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WalExemplar {
    pub(crate) wal_ref: u64,
    pub(crate) timestamp_ms: i64,
    pub(crate) value: f64,
    pub(crate) labels: Labels,
}

/// Writes a record of these exemplars behind `record`; nothing when there are none.
pub(crate) fn push_exemplars(record: &mut Vec<u8>, exemplars: &[WalExemplar]) {
    push_exemplars_as(record, EXEMPLARS, exemplars);
}

/// As `push_exemplars`, for a record of another kind that holds the same.
pub(crate) fn push_exemplars_as(record: &mut Vec<u8>, kind: u8, exemplars: &[WalExemplar]) {
    let Some(first) = exemplars.first() else { return };
    let base = Base::begin(record, kind, first.wal_ref, first.timestamp_ms);
    for exemplar in exemplars {
        base.push(record, exemplar.wal_ref, exemplar.timestamp_ms);
        record.extend_from_slice(&exemplar.value.to_bits().to_be_bytes());
        push_labels(record, &exemplar.labels);
    }
}

/// Reads an exemplars record into `out`, whole or not at all.
pub(crate) fn read_exemplars(record: &[u8], out: &mut Vec<WalExemplar>) -> Result<(), RecordError> {
    whole(out, |out| {
        let mut rest = &record[1..];
        if rest.is_empty() {
            return Ok(());
        }
        let base = Base::take(&mut rest)?;
        let mut builder = LabelsBuilder::default();
        while !rest.is_empty() {
            let (wal_ref, timestamp_ms) = base.take_entry(&mut rest)?;
            let value = take_f64(&mut rest)?;
            let labels = take_labels(&mut rest, &mut builder)?;
            out.push(WalExemplar { wal_ref, timestamp_ms, value, labels });
        }
        Ok(())
    })
}
