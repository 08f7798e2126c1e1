//! Tombstones: spans of time in which a series' samples are deleted; and bounds, before which no tombstone
//! counts any more.

use super::{DELETION_BOUND, RecordError, TOMBSTONES, take, take_varint, whole};
use skopos_base::varint::put_varint;

/// The deletion of a series' samples from `min_ms` to `max_ms`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalTombstone {
    pub(crate) wal_ref: u64,
    pub(crate) min_ms: i64,
    pub(crate) max_ms: i64,
}

/// Adds tombstones to a record, beginning it when it is empty.
pub(crate) fn push_tombstones(record: &mut Vec<u8>, tombstones: &[WalTombstone]) {
    for tombstone in tombstones {
        if record.is_empty() {
            record.push(TOMBSTONES);
        }
        record.extend_from_slice(&tombstone.wal_ref.to_be_bytes());
        put_varint(record, tombstone.min_ms);
        put_varint(record, tombstone.max_ms);
    }
}

/// Reads a tombstones record into `out`, whole or not at all.
pub(crate) fn read_tombstones(record: &[u8], out: &mut Vec<WalTombstone>) -> Result<(), RecordError> {
    whole(out, |out| {
        let mut rest = &record[1..];
        while !rest.is_empty() {
            let wal_ref = u64::from_be_bytes(take(&mut rest)?);
            let (min_ms, max_ms) = (take_varint(&mut rest)?, take_varint(&mut rest)?);
            out.push(WalTombstone { wal_ref, min_ms, max_ms });
        }
        Ok(())
    })
}

/// Writes a bound behind `record`: of tombstones that the log has before it, what they say of earlier times
/// counts no more.
pub(crate) fn push_deletion_bound(record: &mut Vec<u8>, first_ms: i64) {
    record.push(DELETION_BOUND);
    record.extend_from_slice(&first_ms.to_be_bytes());
}

/// Reads a bound.
pub(crate) fn read_deletion_bound(record: &[u8]) -> Result<i64, RecordError> {
    let mut rest = &record[1..];
    let first_ms = i64::from_be_bytes(take(&mut rest)?);
    if rest.is_empty() { Ok(first_ms) } else { Err(RecordError::OutOfRange) }
}
