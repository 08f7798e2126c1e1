//! How the entries of a record name their series and time. Version 1: both as differences to the first
//! entry's, which stand before it. Version 2: the series as the difference to the entry before, the time as
//! that to the first one's, and the start of the count by a marker.

use super::{
    RecordError,
    bytes::{take, take_varint},
};
use skopos_base::varint::put_varint;

/// The series and the time of a version 1 record's first entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Base {
    wal_ref: u64,
    timestamp_ms: i64,
}

impl Base {
    /// Begins a record: writes its kind and this base.
    pub(super) fn begin(out: &mut Vec<u8>, kind: u8, wal_ref: u64, timestamp_ms: i64) -> Self {
        out.push(kind);
        out.extend_from_slice(&wal_ref.to_be_bytes());
        out.extend_from_slice(&timestamp_ms.to_be_bytes());
        Self { wal_ref, timestamp_ms }
    }

    pub(super) fn take(rest: &mut &[u8]) -> Result<Self, RecordError> {
        let wal_ref = u64::from_be_bytes(take(rest)?);
        Ok(Self { wal_ref, timestamp_ms: i64::from_be_bytes(take(rest)?) })
    }

    #[inline]
    pub(super) fn push(self, out: &mut Vec<u8>, wal_ref: u64, timestamp_ms: i64) {
        put_varint(out, wal_ref.wrapping_sub(self.wal_ref) as i64);
        put_varint(out, timestamp_ms.wrapping_sub(self.timestamp_ms));
    }

    #[inline]
    pub(super) fn take_entry(self, rest: &mut &[u8]) -> Result<(u64, i64), RecordError> {
        let wal_ref = self.wal_ref.wrapping_add(take_varint(rest)? as u64);
        Ok((wal_ref, self.timestamp_ms.wrapping_add(take_varint(rest)?)))
    }
}

const NO_START: u8 = 0;
const SAME_START: u8 = 1;
const OTHER_START: u8 = 2;

/// The beginning of an entry of a version 2 record. A start of 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) wal_ref: u64,
    pub(super) timestamp_ms: i64,
    pub(super) start_ms: i64,
}

/// What the next entry of a version 2 record stands against.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    /// The first entry and the one before.
    seen: Option<(Entry, Entry)>,
}

impl Chain {
    pub(super) fn push(&mut self, out: &mut Vec<u8>, entry: Entry) {
        let Some((first, before)) = self.seen else {
            self.seen = Some((entry, entry));
            put_varint(out, entry.wal_ref as i64);
            put_varint(out, entry.timestamp_ms);
            put_varint(out, entry.start_ms);
            return;
        };
        put_varint(out, entry.wal_ref.wrapping_sub(before.wal_ref) as i64);
        put_varint(out, entry.timestamp_ms.wrapping_sub(first.timestamp_ms));
        if entry.start_ms == 0 {
            out.push(NO_START);
        } else if entry.start_ms == before.start_ms {
            out.push(SAME_START);
        } else {
            out.push(OTHER_START);
            put_varint(out, entry.start_ms.wrapping_sub(first.start_ms));
        }
        self.seen = Some((first, entry));
    }

    pub(super) fn take(&mut self, rest: &mut &[u8]) -> Result<Entry, RecordError> {
        let Some((first, before)) = self.seen else {
            let wal_ref = take_varint(rest)? as u64;
            let (timestamp_ms, start_ms) = (take_varint(rest)?, take_varint(rest)?);
            let entry = Entry { wal_ref, timestamp_ms, start_ms };
            self.seen = Some((entry, entry));
            return Ok(entry);
        };
        let wal_ref = before.wal_ref.wrapping_add(take_varint(rest)? as u64);
        let timestamp_ms = first.timestamp_ms.wrapping_add(take_varint(rest)?);
        let start_ms = match take::<1>(rest)? {
            [NO_START] => 0,
            [SAME_START] => before.start_ms,
            [OTHER_START] => first.start_ms.wrapping_add(take_varint(rest)?),
            _ => return Err(RecordError::OutOfRange),
        };
        let entry = Entry { wal_ref, timestamp_ms, start_ms };
        self.seen = Some((first, entry));
        Ok(entry)
    }
}
