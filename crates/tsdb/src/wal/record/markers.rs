//! Markers of chunks that went to disk, and the earliest time that a checkpoint vouches for.

use super::{MMAP_MARKERS, RecordError, take, whole};

/// All samples of a series that stand before this in the write-behind log are in chunks on disk, the last of
/// them at `chunk_ref`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MmapMarker {
    pub(crate) wal_ref: u64,
    /// The chunk's file in the upper 32 bits, its offset there in the lower ones.
    pub(crate) chunk_ref: u64,
}

/// Adds markers to a record, beginning it when it is empty.
pub(crate) fn push_markers(record: &mut Vec<u8>, markers: &[MmapMarker]) {
    for marker in markers {
        if record.is_empty() {
            record.push(MMAP_MARKERS);
        }
        record.extend_from_slice(&marker.wal_ref.to_be_bytes());
        record.extend_from_slice(&marker.chunk_ref.to_be_bytes());
    }
}

/// Reads a record of markers into `out`, whole or not at all.
pub(crate) fn read_markers(record: &[u8], out: &mut Vec<MmapMarker>) -> Result<(), RecordError> {
    whole(out, |out| {
        let mut rest = &record[1..];
        while !rest.is_empty() {
            let wal_ref = u64::from_be_bytes(take(&mut rest)?);
            out.push(MmapMarker { wal_ref, chunk_ref: u64::from_be_bytes(take(&mut rest)?) });
        }
        Ok(())
    })
}

/// Before this time a checkpoint has no samples, in milliseconds.
pub(crate) fn read_min_valid_time(record: &[u8]) -> Result<i64, RecordError> {
    Ok(i64::from_be_bytes(take(&mut &record[1..])?))
}
