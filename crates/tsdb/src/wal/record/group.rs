//! Markers of groups: of the records of one batch each stands between two of them. Prometheus passes records
//! of this kind over, as those of a version to come.

use super::{GROUP_MARKER, RecordError, take, take_uvarint};
use skopos_base::varint::put_uvarint;

/// A place in a group of records: before the first, between two, or behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupMarker {
    /// CRC-32C of the checksums (big-endian) of all records of the group.
    pub(crate) group: u32,
    /// How many records the group has: at least two.
    pub(crate) len: u64,
    /// How many of them stand before this place.
    pub(crate) before: u64,
    /// CRC-32C of the record that follows, as it is without compression; none behind the last.
    pub(crate) next: Option<u32>,
}

/// Writes a marker behind `record`.
pub(crate) fn push_group_marker(record: &mut Vec<u8>, marker: &GroupMarker) {
    record.push(GROUP_MARKER);
    record.extend_from_slice(&marker.group.to_be_bytes());
    put_uvarint(record, marker.len);
    put_uvarint(record, marker.before);
    if let Some(next) = marker.next {
        record.extend_from_slice(&next.to_be_bytes());
    }
}

/// Reads a marker.
pub(crate) fn read_group_marker(record: &[u8]) -> Result<GroupMarker, RecordError> {
    let mut rest = &record[1..];
    let group = u32::from_be_bytes(take(&mut rest)?);
    let (len, before) = (take_uvarint(&mut rest)?, take_uvarint(&mut rest)?);
    if len < 2 || before > len {
        return Err(RecordError::OutOfRange);
    }
    let next = (before < len).then(|| take(&mut rest).map(u32::from_be_bytes)).transpose()?;
    if rest.is_empty() { Ok(GroupMarker { group, len, before, next }) } else { Err(RecordError::OutOfRange) }
}
