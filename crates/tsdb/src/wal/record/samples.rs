//! Float samples, without and with the start of their count. No allocation per sample.

use super::{
    RecordError, SAMPLES, SAMPLES_V2,
    base::{Base, Chain, Entry},
    take, whole,
};

/// A samples record being written, sample by sample.
#[derive(Debug, Default)]
pub(crate) struct SamplesRecord {
    bytes: Vec<u8>,
    base: Base,
}

impl SamplesRecord {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    #[inline]
    pub(crate) fn push(&mut self, wal_ref: u64, timestamp_ms: i64, value: f64) {
        if self.bytes.is_empty() {
            self.base = Base::begin(&mut self.bytes, SAMPLES, wal_ref, timestamp_ms);
        }
        self.bytes.reserve(28);
        self.base.push(&mut self.bytes, wal_ref, timestamp_ms);
        self.bytes.extend_from_slice(&value.to_bits().to_be_bytes());
    }
}

/// A record of samples with the start of their count, being written.
#[derive(Debug, Default)]
pub(crate) struct SamplesV2Record {
    bytes: Vec<u8>,
    chain: Chain,
}

impl SamplesV2Record {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.chain = Chain::default();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a sample; a start of 0 is none.
    pub(crate) fn push(&mut self, sample: WalSample, start_ms: i64) {
        if self.bytes.is_empty() {
            self.bytes.push(SAMPLES_V2);
        }
        let WalSample { wal_ref, timestamp_ms, value_bits } = sample;
        self.chain.push(&mut self.bytes, Entry { wal_ref, timestamp_ms, start_ms });
        self.bytes.extend_from_slice(&value_bits.to_be_bytes());
    }
}

/// One sample of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WalSample {
    pub(crate) wal_ref: u64,
    pub(crate) timestamp_ms: i64,
    pub(crate) value_bits: u64,
}

/// Reads a samples record into `out`, whole or not at all.
pub(crate) fn read_samples(record: &[u8], out: &mut Vec<WalSample>) -> Result<(), RecordError> {
    whole(out, |out| read_samples_inner(&record[1..], out))
}

fn read_samples_inner(mut rest: &[u8], out: &mut Vec<WalSample>) -> Result<(), RecordError> {
    if rest.is_empty() {
        return Ok(());
    }
    let base = Base::take(&mut rest)?;
    // Ten bytes are the fewest that a sample takes, so no more room is asked for than there are bytes.
    out.reserve(rest.len() / 10);
    while !rest.is_empty() {
        let (wal_ref, timestamp_ms) = base.take_entry(&mut rest)?;
        let value_bits = u64::from_be_bytes(take(&mut rest)?);
        out.push(WalSample { wal_ref, timestamp_ms, value_bits });
    }
    Ok(())
}

/// Reads samples with the start of their count, 0 where there is none; whole or not at all.
pub(crate) fn read_samples_v2(record: &[u8], out: &mut Vec<(WalSample, i64)>) -> Result<(), RecordError> {
    whole(out, |out| {
        let mut rest = &record[1..];
        let mut chain = Chain::default();
        while !rest.is_empty() {
            let Entry { wal_ref, timestamp_ms, start_ms } = chain.take(&mut rest)?;
            let value_bits = u64::from_be_bytes(take(&mut rest)?);
            out.push((WalSample { wal_ref, timestamp_ms, value_bits }, start_ms));
        }
        Ok(())
    })
}

/// Reads a samples record of either version, without the starts.
pub(crate) fn read_any_samples(record: &[u8], out: &mut Vec<WalSample>) -> Result<(), RecordError> {
    if record[0] != SAMPLES_V2 {
        return read_samples(record, out);
    }
    let mut with_starts = Vec::new();
    read_samples_v2(record, &mut with_starts)?;
    out.extend(with_starts.iter().map(|(sample, _)| *sample));
    Ok(())
}
