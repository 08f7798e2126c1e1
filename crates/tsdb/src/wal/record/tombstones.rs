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
    if record.is_empty() && !tombstones.is_empty() {
        record.push(TOMBSTONES);
    }
    push_entries(record, tombstones);
}

/// Reads a tombstones record into `out`, whole or not at all.
pub(crate) fn read_tombstones(record: &[u8], out: &mut Vec<WalTombstone>) -> Result<(), RecordError> {
    read_entries(&record[1..], out)
}

/// Writes a bound behind `record`: of tombstones that the log has before it, what they say of times before
/// `first_ms` counts no more, and `anew` does.
pub(crate) fn push_deletion_bound(record: &mut Vec<u8>, first_ms: i64, anew: &[WalTombstone]) {
    record.push(DELETION_BOUND);
    record.extend_from_slice(&first_ms.to_be_bytes());
    push_entries(record, anew);
}

/// Reads a bound, and into `anew` what it deletes, whole or not at all.
pub(crate) fn read_deletion_bound(record: &[u8], anew: &mut Vec<WalTombstone>) -> Result<i64, RecordError> {
    let mut rest = &record[1..];
    let first_ms = i64::from_be_bytes(take(&mut rest)?);
    read_entries(rest, anew)?;
    Ok(first_ms)
}

fn push_entries(record: &mut Vec<u8>, tombstones: &[WalTombstone]) {
    for tombstone in tombstones {
        record.extend_from_slice(&tombstone.wal_ref.to_be_bytes());
        put_varint(record, tombstone.min_ms);
        put_varint(record, tombstone.max_ms);
    }
}

fn read_entries(mut rest: &[u8], out: &mut Vec<WalTombstone>) -> Result<(), RecordError> {
    whole(out, |out| {
        while !rest.is_empty() {
            let wal_ref = u64::from_be_bytes(take(&mut rest)?);
            let (min_ms, max_ms) = (take_varint(&mut rest)?, take_varint(&mut rest)?);
            out.push(WalTombstone { wal_ref, min_ms, max_ms });
        }
        Ok(())
    })
}
