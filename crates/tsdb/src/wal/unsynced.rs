//! The records that are written but not yet durable, so that a failed synchronisation can be answered
//! by writing them elsewhere. Owns memory only.

use super::page::{Compression, Framable};

/// Records in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    bytes: Vec<u8>,
    records: Vec<(usize, Compression)>,
}

impl Unsynced {
    pub(super) fn push(&mut self, record: Framable<'_>) {
        self.bytes.extend_from_slice(record.bytes);
        self.records.push((record.bytes.len(), record.compression));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// Puts `later` behind these.
    pub(super) fn append(&mut self, later: &Self) {
        self.bytes.extend_from_slice(&later.bytes);
        self.records.extend_from_slice(&later.records);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Framable<'_>> {
        let mut rest = &self.bytes[..];
        self.records.iter().map(move |(len, compression)| {
            let (bytes, tail) = rest.split_at(*len);
            rest = tail;
            Framable { bytes, compression: *compression }
        })
    }
}
