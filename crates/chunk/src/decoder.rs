//! Reads XOR chunks: whole, by range of time, or sample by sample. Never panics on bytes, never
//! trusts the chunk's count.

use crate::bits::{NO_WINDOW, WORD_BITS, read_long, word_at};
use crate::{ChunkError, varint};
use skopos_model::{Sample, TimestampMs};

/// Bytes of the count of samples at the chunk's start.
const HEADER: usize = 2;
/// The fewest bits that a sample takes.
const MIN_SAMPLE_BITS: usize = 2;

/// How many samples the chunk says it has.
///
/// # Errors
/// When `bytes` are too short to say it.
pub fn sample_count(bytes: &[u8]) -> Result<u16, ChunkError> {
    match bytes.first_chunk::<HEADER>() {
        Some(count) => Ok(u16::from_be_bytes(*count)),
        None => Err(ChunkError::NoHeader { len: bytes.len() }),
    }
}

/// Appends all samples of a chunk to the columns.
///
/// # Errors
/// When `bytes` are no chunk; the columns are then as they were.
pub fn decode_into(
    bytes: &[u8],
    timestamps: &mut Vec<TimestampMs>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    decode_range_into(bytes, TimestampMs::MIN, TimestampMs::MAX, timestamps, values)
}

/// Appends the samples from `min` to `max`, both included, to the columns. Reading ends at the first
/// sample behind `max`: what follows is not checked.
///
/// # Errors
/// When `bytes` are no chunk; the columns are then as they were.
pub fn decode_range_into(
    bytes: &[u8],
    min: TimestampMs,
    max: TimestampMs,
    timestamps: &mut Vec<TimestampMs>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let cursor = Cursor::new(bytes)?;
    let most = usize::from(cursor.count);
    let (first_timestamp, first_value) = (timestamps.len(), values.len());
    timestamps.resize(first_timestamp + most, TimestampMs::default());
    values.resize(first_value + most, 0.0);
    let rows = Rows {
        timestamps: &mut timestamps[first_timestamp..],
        values: &mut values[first_value..],
        min: min.as_ms(),
        max: max.as_ms(),
        written: 0,
    };
    let written = cursor.read_all(bytes, rows);
    let kept = *written.as_ref().unwrap_or(&0);
    timestamps.truncate(first_timestamp + kept);
    values.truncate(first_value + kept);
    written.map(|_| ())
}

/// Where samples are written, and which.
struct Rows<'a> {
    timestamps: &'a mut [TimestampMs],
    values: &'a mut [f64],
    min: i64,
    max: i64,
    written: usize,
}

impl Rows<'_> {
    /// Takes a sample. False when it is behind all that are wanted.
    #[inline(always)]
    fn take(&mut self, timestamp: i64, bits: u64) -> bool {
        if timestamp > self.max {
            return false;
        }
        if let (Some(t), Some(v)) = (self.timestamps.get_mut(self.written), self.values.get_mut(self.written))
        {
            *t = TimestampMs::new(timestamp);
            *v = f64::from_bits(bits);
        }
        // What is before all that are wanted is written over.
        self.written += usize::from(timestamp >= self.min);
        true
    }
}

/// Iterates over a chunk's samples; ends behind the last one or behind the first error.
#[derive(Clone, Debug)]
pub struct XorIter<'a> {
    bytes: &'a [u8],
    cursor: Result<Cursor, ChunkError>,
    failed: bool,
}

impl<'a> XorIter<'a> {
    /// Iterates over the chunk in `bytes`; when they are none, the first item says so.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, cursor: Cursor::new(bytes), failed: false }
    }
}

impl Iterator for XorIter<'_> {
    type Item = Result<Sample, ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let advanced = match &mut self.cursor {
            Ok(cursor) if cursor.remaining() == 0 => return None,
            Ok(cursor) => cursor.advance(self.bytes).map(|()| Sample {
                timestamp: TimestampMs::new(cursor.timestamp),
                value: f64::from_bits(cursor.bits),
            }),
            Err(e) => Err(*e),
        };
        self.failed = advanced.is_err();
        Some(advanced)
    }
}

/// Where reading stands, and what the next sample builds on.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// The next bit to read, counted from the chunk's start.
    bit: usize,
    timestamp: i64,
    delta: u64,
    bits: u64,
    /// How many bits of a value are written when it reuses the last window, and how far they are
    /// shifted. Before the first window all 64 are.
    significant: u32,
    trailing: u32,
    leading: u8,
    read: u16,
    count: u16,
}

impl Cursor {
    /// Stands before the first sample. A count that the bytes cannot hold is refused here, so that
    /// nobody asks for memory by it.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, ChunkError> {
        let cursor = Self {
            bit: HEADER * 8,
            timestamp: 0,
            delta: 0,
            bits: 0,
            significant: 64,
            trailing: 0,
            leading: NO_WINDOW,
            read: 0,
            count: sample_count(bytes)?,
        };
        if usize::from(cursor.count) * MIN_SAMPLE_BITS > (bytes.len() - HEADER) * 8 {
            return Err(cursor.truncated(cursor.bit));
        }
        Ok(cursor)
    }

    pub(crate) const fn remaining(&self) -> u16 {
        self.count - self.read
    }

    pub(crate) const fn read(&self) -> u16 {
        self.read
    }

    pub(crate) const fn bit_position(&self) -> usize {
        self.bit
    }

    pub(crate) const fn timestamp(&self) -> i64 {
        self.timestamp
    }

    pub(crate) const fn value_bits(&self) -> u64 {
        self.bits
    }

    pub(crate) const fn delta(&self) -> u64 {
        self.delta
    }

    /// The last window's leading zeros, `NO_WINDOW` before the first.
    pub(crate) const fn leading(&self) -> u8 {
        self.leading
    }

    /// The last window's trailing zeros.
    pub(crate) const fn trailing(&self) -> u8 {
        self.trailing as u8
    }

    /// Reads the next sample. There must be one.
    #[inline(always)]
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<(), ChunkError> {
        if self.read < 2 {
            self.advance_to_early(bytes)?;
        } else {
            self.advance_to_later(bytes)?;
        }
        self.read += 1;
        Ok(())
    }

    /// Reads all samples up to the first that `rows` does not want. Gives how many were written. Both are
    /// taken by value: what changes at each sample stands in registers then.
    fn read_all(mut self, bytes: &[u8], mut rows: Rows<'_>) -> Result<usize, ChunkError> {
        while self.remaining() > 0 && self.read < 2 {
            self.advance(bytes)?;
            if !rows.take(self.timestamp, self.bits) {
                return Ok(rows.written);
            }
        }
        while self.remaining() > 0 {
            let same = self.unchanged(bytes);
            if same > 1 {
                for _ in 0..same {
                    self.timestamp = self.timestamp.wrapping_add(self.delta as i64);
                    if !rows.take(self.timestamp, self.bits) {
                        return Ok(rows.written);
                    }
                }
                self.read += same;
                self.bit += 2 * usize::from(same);
                continue;
            }
            self.advance_to_later(bytes)?;
            self.read += 1;
            if !rows.take(self.timestamp, self.bits) {
                break;
            }
        }
        Ok(rows.written)
    }

    /// How many of the next samples surely come after the same interval with the same value: each of them is
    /// two bits of zero.
    #[inline(always)]
    fn unchanged(&self, bytes: &[u8]) -> u16 {
        let zeros = word_at(bytes, self.bit).leading_zeros().min(WORD_BITS);
        let same = (zeros / 2) as u16;
        // Behind the end zeros are read too.
        let ends = self.bit + 2 * usize::from(same) <= bytes.len() * 8;
        if ends { same.min(self.remaining()) } else { 0 }
    }

    /// Reads the first or the second sample, whose times are byte-aligned integers.
    #[cold]
    #[inline(never)]
    fn advance_to_early(&mut self, bytes: &[u8]) -> Result<(), ChunkError> {
        let start = self.bit / 8;
        if self.read == 0 {
            let Some((t, value_at)) = varint::read_signed(bytes, start)? else {
                return Err(self.truncated(self.bit));
            };
            let Some(value) = bytes.get(value_at..).and_then(|rest| rest.first_chunk::<8>()) else {
                return Err(self.truncated(self.bit));
            };
            self.timestamp = t;
            self.bits = u64::from_be_bytes(*value);
            self.bit = (value_at + 8) * 8;
            return Ok(());
        }
        let Some((delta, end)) = varint::read_unsigned(bytes, start)? else {
            return Err(self.truncated(self.bit));
        };
        self.delta = delta;
        self.timestamp = self.timestamp.wrapping_add(delta as i64);
        let word = word_at(bytes, end * 8);
        self.read_value(bytes, start * 8, end * 8, word)
    }

    #[inline(always)]
    fn advance_to_later(&mut self, bytes: &[u8]) -> Result<(), ChunkError> {
        let start = self.bit;
        let mut word = word_at(bytes, start);
        let mut bit = start + 1;
        if (word as i64) < 0 {
            let (change, len) = read_change(bytes, start, word);
            self.delta = self.delta.wrapping_add(change as u64);
            bit = start + len;
            word = word_at(bytes, bit);
        } else {
            word <<= 1;
        }
        self.timestamp = self.timestamp.wrapping_add(self.delta as i64);
        self.read_value(bytes, start, bit, word)
    }

    /// Reads a value at `bit`. Of `word`, which begins there, all but one of `WORD_BITS` bits count.
    #[inline(always)]
    fn read_value(
        &mut self,
        bytes: &[u8],
        sample_start: usize,
        bit: usize,
        word: u64,
    ) -> Result<(), ChunkError> {
        let mut end = bit + 1;
        if (word as i64) < 0 {
            let mut header = 2;
            if word & (1 << 62) != 0 {
                header = 13;
                let leading = (word >> 57) as u32 & 31;
                // 64 significant bits are written as 0.
                let significant = ((word >> 51) as u32).wrapping_sub(1) % 64 + 1;
                if leading + significant > 64 {
                    // Behind the end zeros are read: the window may only look impossible.
                    return Err(if bit + 13 > bytes.len() * 8 {
                        self.truncated(sample_start)
                    } else {
                        self.bad_window(sample_start, leading, significant)
                    });
                }
                self.leading = leading as u8;
                self.significant = significant;
                self.trailing = 64 - leading - significant;
            }
            let xor = if header + self.significant < WORD_BITS {
                (word << header) >> (64 - self.significant)
            } else {
                read_long(bytes, bit + header as usize, self.significant)
            };
            self.bits ^= xor << self.trailing;
            end = bit + (header + self.significant) as usize;
        }
        if end > bytes.len() * 8 {
            return Err(self.truncated(sample_start));
        }
        self.bit = end;
        Ok(())
    }

    #[cold]
    fn truncated(&self, sample_start: usize) -> ChunkError {
        ChunkError::Truncated { offset: sample_start / 8, sample: self.read, count: self.count }
    }

    #[cold]
    fn bad_window(&self, sample_start: usize, leading: u32, significant: u32) -> ChunkError {
        ChunkError::BadWindow {
            offset: sample_start / 8,
            sample: self.read,
            leading: leading as u8,
            significant: significant as u8,
        }
    }
}

/// Reads a change of interval that is not 0; gives it and the number of its bits.
#[inline(always)]
fn read_change(bytes: &[u8], start: usize, word: u64) -> (i64, usize) {
    let (prefix, len) = match word.leading_ones() {
        1 => (2, 14),
        2 => (3, 17),
        3 => (4, 20),
        _ => return (read_long(bytes, start + 4, 64) as i64, 68),
    };
    let bits = ((word << prefix) >> (64 - len)) as i64;
    // Each range is off the middle by one: only more than half of it is negative.
    let change = if bits > 1 << (len - 1) { bits - (1 << len) } else { bits };
    (change, prefix + len)
}
