//! `XorEncoder`: appends samples to one chunk. Never cuts chunks and never checks the order of time:
//! both are the head's decisions.

use crate::ChunkError;
use crate::bits::{self, BitWriter, NO_WINDOW, xor_form};
use crate::decoder::Cursor;
use skopos_base::varint;
use skopos_model::{Sample, TimestampMs};

/// How many samples one chunk can count.
pub const MAX_SAMPLES: u16 = u16::MAX;

/// A chunk without samples.
const EMPTY: [u8; 2] = [0, 0];

/// Appends samples to a chunk whose bytes are complete whenever they are asked for.
///
/// An append touches the encoder itself and the end of the chunk: a million of them live at once, and what
/// they cost is mostly what has to come into the processor's cache.
///
/// The layout and its method are those of Prometheus, after "Gorilla: A Fast, Scalable, In-Memory Time
/// Series Database" (Pelkonen et al., VLDB 2015); see `docs/formats/xor-chunk.md`.
#[derive(Clone, Debug, Default)]
pub struct XorEncoder {
    /// The chunk so far; empty before the first sample. Its count is written when the bytes are asked for.
    buf: Vec<u8>,
    last_timestamp: i64,
    last_bits: u64,
    /// The time between the last two samples.
    delta: u64,
    /// The window of significant bits that a value can reuse.
    leading: u8,
    trailing: u8,
    /// How many bits of the last byte are taken; 0 when all are.
    used: u8,
    count: u16,
}

impl XorEncoder {
    /// A chunk without samples. Allocates nothing.
    pub const fn new() -> Self {
        Self {
            buf: Vec::new(),
            last_timestamp: 0,
            last_bits: 0,
            delta: 0,
            leading: NO_WINDOW,
            trailing: 0,
            used: 0,
            count: 0,
        }
    }

    /// An encoder that goes on where `bytes` end. What stands behind the last counted sample is
    /// dropped.
    ///
    /// # Errors
    /// When `bytes` are no chunk.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut cursor = Cursor::new(bytes)?;
        while cursor.remaining() > 0 {
            cursor.advance(bytes)?;
        }
        let count = cursor.read();
        if count == 0 {
            return Ok(Self::new());
        }
        let end_bit = cursor.bit_position();
        let BitWriter { buf, used } = BitWriter::behind(bytes, end_bit);
        Ok(Self {
            buf,
            last_timestamp: cursor.timestamp(),
            last_bits: cursor.value_bits(),
            delta: cursor.delta(),
            leading: cursor.leading(),
            trailing: cursor.trailing(),
            used,
            count,
        })
    }

    /// How many samples the chunk has.
    pub fn len(&self) -> u16 {
        self.count
    }

    /// Whether the chunk has no sample.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The chunk, complete with all samples so far.
    pub fn bytes(&mut self) -> &[u8] {
        self.write_count();
        if self.buf.is_empty() { &EMPTY } else { &self.buf }
    }

    /// How many bytes the chunk has.
    pub fn byte_len(&self) -> usize {
        self.buf.len().max(EMPTY.len())
    }

    fn write_count(&mut self) {
        if let Some(header) = self.buf.first_chunk_mut::<2>() {
            *header = self.count.to_be_bytes();
        }
    }

    /// The chunk, complete; its memory fits its length.
    pub fn into_bytes(mut self) -> Vec<u8> {
        if self.buf.is_empty() {
            return EMPTY.to_vec();
        }
        self.write_count();
        self.buf.shrink_to_fit();
        self.buf
    }

    /// The last sample.
    pub fn last(&self) -> Option<Sample> {
        (!self.is_empty()).then(|| Sample {
            timestamp: TimestampMs::new(self.last_timestamp),
            value: f64::from_bits(self.last_bits),
        })
    }

    /// How many bytes the encoder holds besides itself.
    pub fn heap_bytes(&self) -> usize {
        self.buf.capacity()
    }

    /// Appends a sample.
    ///
    /// # Panics
    /// When the chunk has `MAX_SAMPLES` samples already: its count would wrap and lose them.
    pub fn append(&mut self, timestamp: TimestampMs, value: f64) {
        let (t, bits) = (timestamp.as_ms(), value.to_bits());
        let count = self.count;
        assert!(count < MAX_SAMPLES, "invariant: a chunk is cut before it has {MAX_SAMPLES} samples");
        let delta = t.wrapping_sub(self.last_timestamp) as u64;
        match count {
            0 => self.put_first(t, bits),
            1 => {
                bits::grow_for(&mut self.buf, 10);
                varint::put_uvarint(&mut self.buf, delta);
                self.delta = delta;
                let (value, len) = self.encode_value(bits);
                self.put(value, len);
            }
            _ => {
                let change = delta.wrapping_sub(self.delta) as i64;
                self.delta = delta;
                let (mut time, mut time_len) = encode_change(change);
                if time_len > SHORT_CHANGE_MAX {
                    self.put(time, time_len);
                    (time, time_len) = (0, 0);
                }
                let (value, len) = self.encode_value(bits);
                self.put((time << len) | value, time_len + len);
            }
        }
        self.last_timestamp = t;
        self.last_bits = bits;
        self.count = count + 1;
    }

    fn put_first(&mut self, t: i64, bits: u64) {
        bits::grow_for(&mut self.buf, EMPTY.len() + 10 + 8);
        self.buf.extend_from_slice(&EMPTY);
        varint::put_varint(&mut self.buf, t);
        self.buf.extend_from_slice(&bits.to_be_bytes());
    }

    /// The form of a value behind the last one, as bits and their number (at most 77).
    fn encode_value(&mut self, bits: u64) -> (u128, u32) {
        xor_form(bits ^ self.last_bits, &mut self.leading, &mut self.trailing)
    }

    /// Appends the lowest `len` bits of `bits`, of which the higher ones are 0. `len` is 1 to 120.
    fn put(&mut self, bits: u128, len: u32) {
        bits::put(&mut self.buf, &mut self.used, bits, len);
    }
}

/// The longest form of a change of interval but the last.
const SHORT_CHANGE_MAX: u32 = 24;

/// The form of a change between two intervals, as bits and their number (1 to 68).
#[inline(always)]
pub(crate) fn encode_change(change: i64) -> (u128, u32) {
    let low = |bits: u32| u128::from(change as u64 & ((1 << bits) - 1));
    // Each range is off the middle by one: n bits hold from -(2^(n-1) - 1) to 2^(n-1).
    match change {
        0 => (0, 1),
        -8191..=8192 => ((0b10 << 14) | low(14), 16),
        -65535..=65536 => ((0b110 << 17) | low(17), 20),
        -524_287..=524_288 => ((0b1110 << 20) | low(20), 24),
        _ => ((0b1111 << 64) | u128::from(change as u64), 68),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoder_is_small() {
        assert!(size_of::<XorEncoder>() <= 56);
        assert_eq!(XorEncoder::new().heap_bytes(), 0);
    }

    #[test]
    fn an_empty_chunk_is_a_chunk() {
        let mut empty = XorEncoder::new();
        assert_eq!((empty.len(), empty.last()), (0, None));
        assert_eq!(empty.bytes(), [0, 0]);
        let again = XorEncoder::from_bytes(empty.bytes()).unwrap();
        assert_eq!(again.into_bytes(), [0, 0]);
    }

    #[test]
    #[should_panic(expected = "a chunk is cut before")]
    fn a_full_chunk_takes_no_more() {
        let mut encoder = XorEncoder::new();
        for t in 0..=i64::from(MAX_SAMPLES) {
            encoder.append(TimestampMs::new(t), 1.0);
        }
    }
}
