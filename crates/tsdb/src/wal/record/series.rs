//! Series: the number by which later records name each, and its labels.

use super::{RecordError, SERIES, push_labels, take, take_labels};
use skopos_model::{Labels, LabelsBuilder};

/// Adds a series to a record, beginning it when it is empty.
pub(crate) fn push_series(record: &mut Vec<u8>, wal_ref: u64, labels: &Labels) {
    if record.is_empty() {
        record.push(SERIES);
    }
    record.extend_from_slice(&wal_ref.to_be_bytes());
    push_labels(record, labels);
}

/// Reads a series record and hands out each reference with its labels.
pub(crate) fn read_series(
    record: &[u8],
    builder: &mut LabelsBuilder,
    mut each: impl FnMut(u64, Labels),
) -> Result<(), RecordError> {
    let mut rest = &record[1..];
    while !rest.is_empty() {
        let wal_ref = u64::from_be_bytes(take(&mut rest)?);
        each(wal_ref, take_labels(&mut rest, builder)?);
    }
    Ok(())
}
